//! The suites of raw requests in `../shared/data`, through the parsers alone: what a suite wants refused is refused, what it wants served is read, and no gadget ends
//! as another framing. Where a suite and RFC 9112 disagree, the class of disagreement is named here; the runner over sockets judges the rest.

use std::path::PathBuf;

use cnx_transport::http1::{Chunked, Framing, Parsed, Progress, RequestHead, parse_request};
use cnx_transport::layout::Fault;
use serde_json::Value;

/// Cases of a suite; none when the data is not here, which is an error where CI says that it must be.
fn cases(suite: &str, file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(suite)
        .join(file);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let mut value: Value = serde_json::from_slice(&bytes).expect("the suite is JSON");
            match value["cases"].take() {
                Value::Array(list) if !list.is_empty() => list,
                _ => panic!("{} has no cases", path.display()),
            }
        }
        Err(error) if std::env::var_os("CI").is_some() => panic!("{}: {error}", path.display()),
        Err(_) => Vec::new(),
    }
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn latin1(text: &str) -> Vec<u8> {
    // One suite has a few characters that are no bytes; the runner over sockets cuts them likewise.
    text.chars().map(|c| c as u8).collect()
}

fn base64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        bits = (bits << 6) | alphabet.iter().position(|b| *b == byte).expect("base64") as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}

/// With a Host after the request line, which most suites leave out.
fn with_host(bytes: &[u8]) -> Vec<u8> {
    let lower = bytes.to_ascii_lowercase();
    let has_host = lower
        .windows(6)
        .any(|window| window == b"\nhost:" || window == b"\nhost ");
    let line_end = bytes
        .windows(2)
        .skip(2)
        .position(|window| window == b"\r\n")
        .map(|n| n + 4);
    match line_end {
        Some(at) if !has_host => [&bytes[..at], b"Host: a.test\r\n", &bytes[at..]].concat(),
        _ => bytes.to_vec(),
    }
}

#[derive(Debug, PartialEq)]
enum Outcome {
    /// So many messages, and nothing is left over but what may become another.
    Served(usize),
    Refused(Fault),
    Waiting,
}

/// Reads messages until one is refused, is the last of its connection, or is not whole.
fn outcome(bytes: &[u8]) -> Outcome {
    let mut at = 0;
    let mut served = 0;
    while at < bytes.len() {
        let mut buffer = bytes[at..].to_vec();
        let mut head = RequestHead::default();
        match parse_request(&mut buffer, &mut Progress::default(), &mut head) {
            Parsed::More => break,
            Parsed::Broken(fault) => return Outcome::Refused(fault),
            Parsed::Done(end) => at += end,
        }
        let rest = &bytes[at..];
        match head.framing {
            Framing::None | Framing::UntilClose => {}
            Framing::Length(length) if length > rest.len() as u64 => break,
            Framing::Length(length) => at += length as usize,
            Framing::Chunked => match Chunked::default().decode(rest, &mut |_| {}) {
                Ok(decoded) if decoded.done => at += decoded.consumed,
                Ok(_) => break,
                Err(fault) => return Outcome::Refused(fault),
            },
        }
        served += 1;
        if !head.keep_alive {
            break;
        }
    }
    if served == 0 {
        Outcome::Waiting
    } else {
        Outcome::Served(served)
    }
}

/// What RFC 9112 lets a strict gateway refuse although a parser takes it.
fn may_refuse(fault: Fault, bytes: &[u8]) -> bool {
    let lower = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let first_line = lower.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let has = |part: &str| lower.contains(part);
    match fault {
        // Codings that are not implemented, and more than one framing.
        Fault::BadFraming => has("transfer-encoding") || has("content-length"),
        // Names that others map to the framing fields.
        Fault::BadHeader => {
            has("content_length") || has("transfer_encoding") || has("\r\n ") || has("\r\n\t") || has(" :")
        }
        // Fragments, 8-bit, and forms that belong to a proxy.
        Fault::BadTarget => !first_line.contains(" /") || first_line.contains('#') || !first_line.is_ascii(),
        Fault::BadHost => has("http/1.0") || has("://") || has("host:"),
        // HTTP/0.9, other protocols, more than one empty line, bare LF.
        Fault::BadRequest => {
            !first_line.ends_with("http/1.1") || bytes.starts_with(b"\r\n\r\n") || lower.contains('\n')
        }
        Fault::VersionNotSupported | Fault::ExpectationFailed | Fault::HeadTooLarge | Fault::NotImplemented => true,
        _ => false,
    }
}

/// What is well-formed by RFC 9112 although a parser refuses it, or is refused by a later stage: a method that it does not know, a field repeated that has one
/// value, a trailer that must not be one (it is dropped).
fn may_serve(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let line = bytes
        .split(|byte| *byte == b'\r')
        .find(|line| line.len() > 1)
        .unwrap_or_default();
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let known = [
        b"GET".as_slice(),
        b"HEAD",
        b"POST",
        b"PUT",
        b"PATCH",
        b"DELETE",
        b"OPTIONS",
    ];
    let repeated = text.matches("\r\ncontent-type:").count() > 1;
    let trailer = text
        .split("\r\n0\r\n")
        .nth(1)
        .is_some_and(|rest| !rest.starts_with("\r\n"));
    !known.contains(&method.trim_ascii()) || repeated || trailer
}

fn expect(name: &str, wanted_refused: Option<bool>, bytes: &[u8], wrong: &mut Vec<String>) {
    let got = outcome(bytes);
    let fine = match (wanted_refused, &got) {
        (Some(true), Outcome::Served(_)) => may_serve(bytes),
        (Some(false), Outcome::Refused(fault)) => may_refuse(*fault, bytes),
        _ => true,
    };
    if !fine {
        wrong.push(format!(
            "{name}: {got:?} of {:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(300)])
        ));
    }
}

fn finish(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn gunicorn_requests_are_read_or_refused_as_they_must() {
    let mut wrong = Vec::new();
    for case in cases("h1-gunicorn", "cases.json") {
        let own_rules = case["gunicorn_config"].as_array().is_some_and(|list| !list.is_empty())
            || text(&case, "error_class").starts_with("Limit");
        let refused = (!own_rules).then(|| !text(&case, "verdict").contains("accepts"));
        expect(
            text(&case, "id"),
            refused,
            &with_host(&latin1(text(&case, "raw_latin1"))),
            &mut wrong,
        );
    }
    finish(&wrong);
}

#[test]
fn severe_and_ambiguous_heads_of_the_desync_guardian_are_refused_and_compliant_ones_read() {
    let mut wrong = Vec::new();
    for case in cases("h1-desync-guardian", "cases.json") {
        let refused = match text(&case, "expected_tier") {
            "Severe" => Some(true),
            "Compliant" => Some(false),
            _ => None,
        };
        expect(
            text(&case, "id"),
            refused,
            &with_host(&latin1(text(&case, "raw_latin1"))),
            &mut wrong,
        );
    }
    finish(&wrong);
}

#[test]
fn requests_that_llhttp_refuses_when_strict_are_refused() {
    // No verdicts on the bytes: paused, upgraded, and bytes after the last message.
    let no_verdict = ["code=5 ", "code=21 ", "code=22 ", "code=23 "];
    let mut wrong = Vec::new();
    for case in cases("h1-llhttp", "cases.json") {
        if case["strict"] != Value::Bool(true) || !text(&case, "id").starts_with("request/") {
            continue;
        }
        let log = case["log"].to_string();
        let refused = if text(&case, "outcome") == "accepted" {
            Some(false)
        } else if no_verdict.iter().any(|code| log.contains(code)) {
            None
        } else {
            Some(true)
        };
        let mut bytes = base64(text(&case, "bytes_b64"));
        if !bytes.ends_with(b"\r\n\r\n") {
            bytes.extend_from_slice(b"\r\n\r\n");
        }
        expect(text(&case, "id"), refused, &with_host(&bytes), &mut wrong);
    }
    finish(&wrong);
}

#[test]
fn what_http11probe_wants_answered_with_400_only_is_refused() {
    let mut wrong = Vec::new();
    for case in cases("http11probe", "cases.json") {
        let Some(template) = case["request"]["template_latin1"].as_str() else {
            continue;
        };
        let passes: Vec<i64> = case["verdict_table"]["Open"]["Pass"]
            .as_array()
            .map(|list| list.iter().filter_map(Value::as_i64).collect())
            .unwrap_or_default();
        let is_only =
            |wanted: i64| passes.contains(&wanted) && passes.iter().all(|status| status / 100 == wanted / 100);
        let must = case["scored"] == Value::Bool(true) && text(&case, "rfc_level") == "Must";
        let refused = if !must || is_only(405) {
            None
        } else if is_only(400) && passes.iter().all(|status| [400, 501, 505].contains(status)) {
            Some(true)
        } else if is_only(200) {
            Some(false)
        } else {
            None
        };
        let run = &case["request"]["run"];
        let run = text(run, "char").repeat(run["count"].as_u64().unwrap_or(0) as usize);
        let raw = template.replace("@@HOST@@", "a.test:80").replace("@@RUN@@", &run);
        expect(text(&case, "id"), refused, &latin1(&raw), &mut wrong);
    }
    finish(&wrong);
}

#[test]
fn no_gadget_of_the_smuggler_is_read_as_anything_but_the_length_beside_it() {
    for case in cases("h1-smuggler", "gadgets.json") {
        let body = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n";
        let bytes = latin1(&format!(
            "POST / HTTP/1.1\r\n{}\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n{body}",
            text(&case, "gadget_latin1"),
            body.len()
        ));
        match outcome(&bytes) {
            Outcome::Refused(_) | Outcome::Served(1) => {}
            other => panic!("{}: {other:?}", text(&case, "id")),
        }
    }
}
