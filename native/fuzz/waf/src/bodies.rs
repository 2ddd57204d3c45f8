//! Bodies, to the engine and to each reader of them.

use std::cell::RefCell;
use std::sync::Arc;

use cnx_waf::engine::Transaction;
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::wire::{Request, pack_request};

use crate::count::Count;

const RULES: &[u8] = br#"
SecRule ARGS|ARGS_NAMES|REQUEST_COOKIES|FILES|FILES_NAMES|FILES_TMP_CONTENT|XML:/*|XML://@*|MULTIPART_PART_HEADERS|REQUEST_BODY "@rx (?i)a.*b|<x" "id:1,pass,capture,multiMatch,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode,t:base64Decode,t:lowercase,msg:'%{TX.0} %{MATCHED_VAR_NAME}',setvar:'tx.n_%{MATCHED_VAR_NAME}=+1'"
SecRule TX:/^n_/ "@gt 1" "id:2,pass"
"#;

thread_local! {
    static ENGINE: RefCell<(Profile, Transaction)> = RefCell::new({
        let program = compile(&[SourceFile { name: "r.conf", content: RULES }], CompileOptions::default()).expect("rules");
        (Profile::new(Arc::new(program), &ProfileOptions::default()).expect("a profile"), Transaction::default())
    });
}

/// Requests with a body, whose media type the first byte chooses, against rules that look at everything: no panic, bounded work.
pub fn waf_bodies(bytes: &[u8]) {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    let kind: &[u8] = match kind % 6 {
        0 => b"application/x-www-form-urlencoded",
        1 => b"application/json",
        2 => b"multipart/form-data; boundary=B",
        3 => b"text/xml",
        4 => b"text/plain",
        _ => &body[..body.len().min(80)],
    };
    let target = &body[..body.len().min(200)];
    let packed = pack_request(
        b"POST",
        target,
        b"HTTP/1.1",
        b"192.0.2.1",
        &[(b"content-type", kind), (b"cookie", target)],
        body,
    );
    let Ok(request) = Request::unpack(&packed) else {
        panic!("a packed request is none")
    };
    ENGINE.with_borrow_mut(|(profile, transaction)| {
        let outcome = transaction.inspect(profile, &request);
        assert!(outcome.work < 2 * profile.work_max + 100 * packed.len() as u64);
    });
    let _ = Request::unpack(bytes);
}

/// URL-encoded bodies: no panic, and nothing longer than what was read.
pub fn waf_urlencoded(bytes: &[u8]) {
    let mut found = Count::default();
    cnx_waf::body::urlencoded::parse(bytes, b'&', &mut Default::default(), &mut found);
    found.check(bytes.len(), 1);
}

/// JSON bodies: no panic, and values no longer than what was read (half of a surrogate pair becomes three bytes).
pub fn waf_json(bytes: &[u8]) {
    let mut found = Count::default();
    let read = cnx_waf::body::json::parse(bytes, 64, &mut Default::default(), &mut found);
    found.check(bytes.len(), 1);
    assert!(read.is_err() || std::str::from_utf8(bytes).is_ok() || bytes.is_empty());
}

/// XML bodies: no panic, nothing expands. Of a tag that is broken attributes may have been seen before it is seen as text.
pub fn waf_xml(bytes: &[u8]) {
    let mut found = Count::default();
    let _ = cnx_waf::body::xml::parse(bytes, &mut found);
    found.check(bytes.len(), 2);
}

/// Multipart bodies, the first line being the boundary: no panic, parts no longer than what was read.
pub fn waf_multipart(bytes: &[u8]) {
    let at = bytes.iter().position(|b| *b == b'\n').unwrap_or(0);
    let (first, body) = bytes.split_at(at);
    let kind = [&b"multipart/form-data; boundary="[..], first].concat();
    let mut found = Count::default();
    let _ = cnx_waf::body::multipart::parse(body, &kind, 100, &mut found);
    // Names stand in several variables; folded lines are joined with a space.
    found.check(bytes.len(), 70);
}
