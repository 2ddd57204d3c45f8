//! Requests with bodies of each media type, against rules that look at everything.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use cnx_waf::engine::Transaction;
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::wire::{Request, pack_request};
use libfuzzer_sys::fuzz_target;

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

fuzz_target!(|bytes: &[u8]| {
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
});
