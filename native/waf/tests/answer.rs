//! Answers: phases 3 to 5, what is kept of a request until then, and that another thread can go on with it.

mod common;

use std::sync::Arc;

use cnx_waf::engine::{KEPT_BYTES_MAX, Limit, Outcome, Transaction, Verdict, Wanted};
use cnx_waf::profile::{Profile, ProfileOptions};
use cnx_waf::program::compile::{CompileOptions, SourceFile, compile};
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{RESPONSE_BODY_NOT_READ, RESPONSE_BODY_TRUNCATED, Request, Response, pack_request, pack_response};

const HTML: &[(&[u8], &[u8])] = &[
    (b"content-type", b"text/html; charset=utf-8"),
    (b"x-powered-by", b"PHP"),
];

fn profile(rules: &str, mode: EngineMode) -> Profile {
    let file = [SourceFile {
        name: "t.conf",
        content: rules.as_bytes(),
    }];
    let program = compile(&file, CompileOptions::default()).unwrap_or_else(|e| panic!("{}", e[0]));
    let options = ProfileOptions {
        mode: Some(mode),
        answers: true,
        ..ProfileOptions::default()
    };
    Profile::new(Arc::new(program), &options).unwrap_or_else(|p| panic!("{}", p.message))
}

fn ids(t: &Transaction) -> Vec<u32> {
    t.reports().map(|r| r.rule).collect()
}

/// Ids of the request and of the answer, which is handed to another transaction, and the last verdict.
fn exchange(p: &Profile, target: &str, response: &[u8]) -> (Vec<u32>, Vec<u32>, Outcome) {
    let packed = pack_request(
        b"GET",
        target.as_bytes(),
        b"HTTP/1.1",
        b"192.0.2.1",
        &[(b"host", b"h")],
        b"",
    );
    let request = Request::unpack(&packed).unwrap();
    let response = Response::unpack(response).unwrap();
    let mut first = Transaction::default();
    let outcome = first.inspect(p, &request);
    let mut kept = vec![0; KEPT_BYTES_MAX];
    let n = first.keep(p, &mut kept).expect("it fits");
    let whole = Transaction::default()
        .inspect_whole(p, &request, Some(&response))
        .matches;
    if n == 0 {
        assert_eq!(whole, outcome.matches);
        return (ids(&first), Vec::new(), outcome);
    }
    let mut second = Transaction::default();
    let other = pack_request(b"GET", b"/?other=1", b"HTTP/1.1", b"192.0.2.2", &[], b"");
    second.inspect(p, &Request::unpack(&other).unwrap());
    let last = second.respond(p, &kept[..n], &response);
    assert_eq!(outcome.matches + last.matches, whole, "in two calls and in one");
    for cut in [0, 1, n / 2, n - 1] {
        assert_eq!(second.respond(p, &kept[..cut], &response).verdict, Verdict::Error);
    }
    second.respond(p, &kept[..n], &response);
    (ids(&first), ids(&second), last)
}

#[test]
fn answers_are_seen_by_phases_3_to_5_with_what_the_request_left() {
    for (name, rules, want) in [
        (
            "the head",
            "SecRule RESPONSE_STATUS \"@streq 500\" \"id:1,phase:3,pass\"\nSecRule RESPONSE_HEADERS:X-Powered-By PHP \"id:2,phase:3,pass\"\nSecRule RESPONSE_HEADERS_NAMES \"@streq x-powered-by\" \"id:3,phase:3,pass\"\nSecRule RESPONSE_PROTOCOL \"@streq HTTP/1.1\" \"id:4,phase:3,pass\"\nSecRule RESPONSE_CONTENT_TYPE \"@streq text/html\" \"id:5,phase:3,pass\"\nSecRule STATUS_LINE \"@streq HTTP/1.1 500\" \"id:6,phase:3,pass\"",
            &[1, 2, 3, 4, 5, 6][..],
        ),
        (
            "the body, in phase 4",
            "SecResponseBodyAccess On\nSecRule RESPONSE_BODY secret \"id:2,phase:4,pass\"\nSecRule RESPONSE_BODY secret \"id:1,phase:3,pass\"\nSecRule RESPONSE_CONTENT_LENGTH \"@eq 13\" \"id:3,phase:4,pass\"",
            &[2, 3],
        ),
        (
            "no body without access",
            "SecRule RESPONSE_BODY secret \"id:2,phase:4,pass\"\nSecRule RESPONSE_STATUS 500 \"id:3,phase:4,pass\"",
            &[3],
        ),
        (
            "no body of another media type",
            "SecResponseBodyAccess On\nSecResponseBodyMimeType text/plain\nSecRule RESPONSE_BODY secret \"id:2,phase:4,pass\"",
            &[],
        ),
        (
            "access by a rule",
            "SecAction \"id:9,phase:1,nolog,pass,ctl:responseBodyAccess=On\"\nSecRule RESPONSE_BODY secret \"id:2,phase:4,pass\"",
            &[2],
        ),
        (
            "variables that rules set",
            "SecAction \"id:9,phase:1,nolog,pass,setvar:tx.n=3,setvar:tx.t=text,setvar:'tx.x_%{ARGS.a}=1'\"\nSecRule TX:n \"@eq 3\" \"id:1,phase:3,pass,setvar:tx.n=+1\"\nSecRule TX:t \"@streq text\" \"id:2,phase:4,pass\"\nSecRule TX:/^x_/ \"@eq 1\" \"id:3,phase:5,pass\"\nSecRule TX:n \"@eq 4\" \"id:4,phase:5,pass\"",
            &[1, 2, 3, 4],
        ),
        (
            "variables of the request",
            "SecRule ARGS:a \"@streq b\" \"id:1,phase:3,pass\"\nSecRule REQUEST_URI \"@contains a=b\" \"id:2,phase:5,pass\"\nSecRule RESPONSE_STATUS \"@streq 500\" \"id:3,phase:3,pass,chain\"\nSecRule REQUEST_HEADERS:Host \"@streq h\" \"chain\"\nSecRule &ARGS \"@eq 1\"",
            &[1, 3, 2],
        ),
        (
            "rules left out",
            "SecAction \"id:9,phase:1,nolog,pass,ctl:ruleRemoveById=1,ctl:ruleRemoveTargetById=2;RESPONSE_HEADERS:x-powered-by\"\nSecRule RESPONSE_STATUS 500 \"id:1,phase:3,pass\"\nSecRule RESPONSE_HEADERS PHP \"id:2,phase:3,pass\"\nSecRule RESPONSE_HEADERS PHP \"id:3,phase:3,pass\"",
            &[3],
        ),
        (
            "allow ends all but the last phase",
            "SecAction \"id:9,phase:1,nolog,allow\"\nSecRule RESPONSE_STATUS 500 \"id:1,phase:3,pass\"\nSecRule RESPONSE_STATUS 500 \"id:2,phase:5,pass\"",
            &[2],
        ),
        (
            "allow:request ends the request phases alone",
            "SecAction \"id:9,phase:1,nolog,allow:request\"\nSecRule RESPONSE_STATUS 500 \"id:1,phase:3,pass\"",
            &[1],
        ),
        (
            "the severest severity",
            "SecAction \"id:9,phase:1,pass,nolog,severity:3\"\nSecRule HIGHEST_SEVERITY \"@eq 3\" \"id:1,phase:5,pass\"",
            &[1],
        ),
        (
            "JSON, when a rule says so",
            "SecResponseBodyAccess On\nSecAction \"id:9,phase:3,nolog,pass,ctl:responseBodyProcessor=JSON\"\nSecRule RES_BODY_ERROR \"@eq 1\" \"id:1,phase:4,pass\"\nSecRule RES_BODY_PROCESSOR \"@streq JSON\" \"id:2,phase:4,pass\"",
            &[1, 2],
        ),
    ] {
        let packed = pack_response(500, b"HTTP/1.1", HTML, b"a secret text", 0);
        let p = profile(rules, EngineMode::On);
        let (_, answer, _) = exchange(&p, "/?a=b", &packed);
        assert_eq!(answer, want, "{name}");
    }
}

#[test]
fn a_rule_of_phase_3_or_4_refuses_the_answer_and_phase_5_still_runs() {
    let rules = "SecResponseBodyAccess On\nSecRule RESPONSE_BODY secret \"id:1,phase:4,deny\"\nSecRule RESPONSE_BODY secret \"id:2,phase:4,pass\"\nSecAction \"id:3,phase:5,pass\"";
    let packed = pack_response(200, b"HTTP/1.1", HTML, b"secret", 0);
    let (_, answer, outcome) = exchange(&profile(rules, EngineMode::On), "/", &packed);
    assert_eq!(
        (answer, outcome.verdict, outcome.blocking_rule),
        (vec![1, 3], Verdict::Block, 1)
    );
    let (_, answer, outcome) = exchange(&profile(rules, EngineMode::DetectionOnly), "/", &packed);
    assert_eq!((answer, outcome.verdict), (vec![1, 2, 3], Verdict::DetectMatch));
    assert!(outcome.would_block);
}

#[test]
fn phase_5_ends_a_request_that_is_refused_and_one_whose_answer_nobody_hands_in() {
    let rules = "SecRule ARGS evil \"id:1,deny\"\nSecRule ARGS odd \"id:2,pass\"\nSecAction \"id:3,phase:5,pass\"\nSecAction \"id:4,phase:3,pass\"";
    let packed = pack_response(200, b"HTTP/1.1", &[], b"", 0);
    let mut p = profile(rules, EngineMode::On);
    assert_eq!(exchange(&p, "/?a=evil", &packed).0, [1, 3]);
    let (request, answer, _) = exchange(&p, "/?a=odd", &packed);
    assert_eq!((request, answer), (vec![2], vec![4, 3]));
    p.answers = false;
    for (target, want) in [("/?a=evil", &[1, 3][..]), ("/?a=odd", &[2, 3]), ("/", &[])] {
        let packed = pack_request(b"GET", target.as_bytes(), b"HTTP/1.1", b"192.0.2.1", &[], b"");
        let mut t = Transaction::default();
        let outcome = t.inspect(&p, &Request::unpack(&packed).unwrap());
        assert_eq!((&ids(&t)[..], outcome.answer), (want, Wanted::Nothing), "{target}");
    }
}

#[test]
fn what_is_wanted_of_an_answer_follows_from_the_rules() {
    let packed = pack_response(200, b"HTTP/1.1", &[], b"", 0);
    let wanted = |rules: &str| exchange(&profile(rules, EngineMode::On), "/", &packed);
    let request = pack_request(b"GET", b"/", b"HTTP/1.1", b"192.0.2.1", &[], b"");
    for (rules, want) in [
        ("SecRule ARGS a \"id:1,deny\"", Wanted::Nothing),
        ("SecRule RESPONSE_STATUS a \"id:1,phase:3,deny\"", Wanted::Head),
        ("SecAction \"id:1,phase:5,pass\"", Wanted::Head),
        ("SecRule RESPONSE_BODY a \"id:1,phase:4,deny\"", Wanted::Head),
        (
            "SecResponseBodyAccess On\nSecRule RESPONSE_BODY a \"id:1,phase:4,deny\"",
            Wanted::Body,
        ),
        (
            "SecResponseBodyAccess On\nSecAction \"id:2,phase:1,pass,nolog,ctl:responseBodyAccess=Off\"\nSecRule RESPONSE_BODY a \"id:1,phase:4,deny\"",
            Wanted::Head,
        ),
        (
            "SecResponseBodyAccess On\nSecAction \"id:2,phase:1,pass,nolog,ctl:ruleEngine=Off\"\nSecRule RESPONSE_BODY a \"id:1,phase:4,deny\"",
            Wanted::Nothing,
        ),
    ] {
        let p = profile(rules, EngineMode::On);
        let outcome = Transaction::default().inspect(&p, &Request::unpack(&request).unwrap());
        assert_eq!(outcome.answer, want, "{rules}");
        wanted(rules);
    }
}

#[test]
fn an_answer_beyond_its_limit_is_inspected_in_part_or_refused() {
    let rules = |action: &str| {
        format!(
            "SecResponseBodyAccess On\nSecResponseBodyLimit 8\nSecResponseBodyLimitAction {action}\nSecRule RESPONSE_BODY \"@streq a secret\" \"id:1,phase:4,pass\"\nSecRule OUTBOUND_DATA_ERROR \"@eq 1\" \"id:2,phase:4,pass\""
        )
    };
    let packed = pack_response(200, b"HTTP/1.1", HTML, b"a secret text", 0);
    let (_, ids, outcome) = exchange(&profile(&rules("ProcessPartial"), EngineMode::On), "/", &packed);
    assert_eq!((ids, outcome.limit), (vec![1, 2], Limit::None));
    let (_, ids, outcome) = exchange(&profile(&rules("Reject"), EngineMode::On), "/", &packed);
    assert_eq!(
        (ids, outcome.limit, outcome.verdict),
        (vec![], Limit::ResponseBody, Verdict::BudgetExceeded)
    );
    let packed = pack_response(200, b"HTTP/1.1", HTML, b"a secret", RESPONSE_BODY_TRUNCATED);
    assert_eq!(
        exchange(&profile(&rules("ProcessPartial"), EngineMode::On), "/", &packed).1,
        [1, 2]
    );
    let packed = pack_response(200, b"HTTP/1.1", HTML, b"", RESPONSE_BODY_NOT_READ);
    assert!(
        exchange(&profile(&rules("Reject"), EngineMode::On), "/", &packed)
            .1
            .is_empty()
    );
}

#[test]
fn what_does_not_fit_is_not_kept_and_what_no_rule_reads_costs_nothing() {
    let request = |value: &str| {
        let target = format!("/?a={value}");
        pack_request(b"GET", target.as_bytes(), b"HTTP/1.1", b"192.0.2.1", &[], b"")
    };
    let kept = |rules: &str, value: &str, room: usize| {
        let p = profile(rules, EngineMode::On);
        let mut t = Transaction::default();
        t.inspect(&p, &Request::unpack(&request(value)).unwrap());
        t.keep(&p, &mut vec![0; room])
    };
    let long = "x".repeat(KEPT_BYTES_MAX);
    let reads = "SecRule ARGS b \"id:1,phase:3,pass\"";
    assert_eq!(kept(reads, &long, 2 * KEPT_BYTES_MAX), None);
    assert_eq!(kept(reads, "short", 20), None);
    assert!(kept(reads, "short", 200).is_some());
    let own = "SecRule ARGS .* \"id:1,phase:1,pass,nolog,capture,setvar:tx.copy=%{tx.0}\"\nSecRule RESPONSE_STATUS 5.. \"id:2,phase:3,pass,capture,logdata:'%{tx.0}'\"";
    assert!(
        kept(own, &long, 100).is_some_and(|n| n < 100),
        "groups are written anew by rules that capture"
    );
}

proptest::proptest! {
    #[test]
    fn kept_bytes_that_were_changed_are_an_error_or_another_state_and_never_more(
        changes in proptest::collection::vec((0usize..400, 0u8..255), 1..6)
    ) {
        let rules = "SecResponseBodyAccess On\nSecAction \"id:9,phase:1,nolog,pass,setvar:tx.n=3,setvar:tx.t=text,setvar:'tx.x_%{ARGS.a}=1',ctl:ruleRemoveById=4,ctl:ruleRemoveTargetById=2;RESPONSE_HEADERS:a\"\nSecRule TX:n \"@ge 3\" \"id:1,phase:3,pass\"\nSecRule RESPONSE_HEADERS|TX b \"id:2,phase:4,pass\"\nSecRule ARGS|REQUEST_URI a \"id:3,phase:5,pass\"\nSecAction \"id:4,phase:4,pass\"";
        let p = profile(rules, EngineMode::On);
        let packed = pack_request(b"GET", b"/?a=b&c=aaa", b"HTTP/1.1", b"192.0.2.1", &[], b"");
        let mut t = Transaction::default();
        t.inspect(&p, &Request::unpack(&packed).unwrap());
        let mut kept = vec![0; 2000];
        let n = t.keep(&p, &mut kept).expect("it fits");
        kept.truncate(n);
        for (at, byte) in changes {
            kept[at % n] = byte;
        }
        let answer = pack_response(200, b"HTTP/1.1", HTML, b"b", 0);
        let outcome = t.respond(&p, &kept, &Response::unpack(&answer).unwrap());
        proptest::prop_assert!(outcome.matches <= 20);
    }
}
