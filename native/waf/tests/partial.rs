//! Bodies of which only the begin is here (`beyond: partial`): that they end is no error, and nothing before the end hides from rules.

mod common;

use cnx_waf::wire::{BODY_TRUNCATED, Request, pack_request};
use common::Gateway;

const RULES: &str = "SecRequestBodyAccess On
SecRule ARGS|ARGS_NAMES|XML:/*|XML://@* \"@contains attack\" \"id:1,phase:2,pass,log\"
SecRule REQBODY_ERROR \"!@eq 0\" \"id:2,phase:2,pass,log\"";

/// Ids of the rules that report on the begin of a body.
fn ids(gateway: &mut Gateway, content_type: &str, body: &str) -> Vec<u32> {
    let headers: [(&[u8], &[u8]); 2] = [(b"host", b"h"), (b"content-type", content_type.as_bytes())];
    let mut packed = pack_request(b"POST", b"/", b"HTTP/1.1", b"192.0.2.1", &headers, body.as_bytes());
    packed[1] |= BODY_TRUNCATED;
    let request = Request::unpack(&packed).expect("a packed request");
    assert!(request.body_truncated);
    gateway.transaction.inspect(&gateway.profile, &request);
    let mut ids = gateway.ids();
    ids.dedup();
    ids
}

#[test]
fn what_is_cut_is_seen_and_no_error_and_an_error_before_it_is_one() {
    let mut gateway = Gateway::rules(RULES);
    let multipart = "multipart/form-data; boundary=B";
    for (content_type, body, want) in [
        ("application/json", r#"{"a":1,"b":"attack..."#, &[1][..]),
        ("application/json", r#"{"attack"#, &[1]),
        ("application/json", r#"{"a":[1,2"#, &[]),
        ("application/json", r#"{"a":1,,"b":"attack","c":"and so on"#, &[2]),
        ("application/json", r#"{"a":"\x attack","c":"and so on"#, &[2]),
        ("text/xml", "<a><b>attack", &[1]),
        ("text/xml", "<a><b c='attack", &[1]),
        ("text/xml", "<a></b><c>attack", &[1, 2]),
        ("text/xml", "<a><b>", &[]),
        (
            multipart,
            "--B\r\nContent-Disposition: form-data; name=a\r\n\r\nattack",
            &[1],
        ),
        (multipart, "--B\r\nContent-Disposition: form-data; name=attack", &[1]),
        (
            multipart,
            "--B\r\nX: y\r\n\r\nz\r\n--B\r\nContent-Disposition: form-data; name=a\r\n\r\nattack",
            &[2],
        ),
    ] {
        assert_eq!(ids(&mut gateway, content_type, body), want, "{body}");
    }
}
