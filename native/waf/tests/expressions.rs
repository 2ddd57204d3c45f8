//! WAF expressions: what is true of which request, what is refused with which words, what actions do.

mod common;

use cnx_waf::engine::{KEPT_BYTES_MAX, Transaction, Verdict, Wanted};
use cnx_waf::expression::rule::{Action, ExpressionRule, ID_CHOSEN_LAST, ID_FIRST, ID_JUDGE};
use cnx_waf::profile::{Exclusion, ProfileOptions};
use cnx_waf::seclang::draft::RuleChoice;
use cnx_waf::seclang::setting::EngineMode;
use cnx_waf::wire::{RESPONSE_BODY_NOT_READ, Response, pack_response};
use common::expressions::{Given, Running, holds, program, rule, strings};

fn browser() -> Given {
    let mut given = Given::get("/Shop/../admin//x.php?q=Caf%C3%A9+au&q=2&empty=&b=R0VU&a%20b=%2527")
        .header("user-agent", "Mozilla/5.0 (X11)")
        .header("x-tag", "one")
        .header("X-Tag", "Two")
        .header("cookie", "sid=s3cret; theme=dark")
        .header("accept-language", "de;q=0.8, en-GB, fr;q=0");
    given.tls = true;
    given
}

#[test]
fn true_and_false_of_a_request() {
    for (when, expected) in [
        // Comparisons.
        ("http.request.method eq \"GET\"", true),
        ("http.request.method == \"get\"", false),
        ("http.request.method ne \"GET\"", false),
        ("http.request.method in {\"HEAD\" \"GET\"}", true),
        ("http.request.method lt \"H\" and http.request.method ge \"GET\"", true),
        ("http.request.uri contains \"Shop/../admin\"", true),
        ("http.request.uri contains \"shop\"", false),
        ("lower(http.request.uri) contains \"shop\"", true),
        ("http.request.path eq \"/admin/x.php\"", true),
        ("http.request.uri.path starts_with \"/admin\"", true),
        (
            "starts_with(http.request.uri.path, \"/admin\") and ends_with(http.request.path, \".php\")",
            true,
        ),
        ("http.request.path ends_with \".ph\"", false),
        ("raw.http.request.uri.path eq \"/Shop/../admin//x.php\"", true),
        ("http.request.uri.query ends_with \"=%2527\"", true),
        (r#"http.request.path matches r"^/[a-z]+/x\.php$""#, true),
        ("http.request.path ~ \"(?i)X\\\\.PHP$\"", true),
        ("http.request.path matches \"^admin\"", false),
        ("http.request.path wildcard \"/ADMIN/*.php\"", true),
        ("http.request.path strict wildcard \"/ADMIN/*.php\"", false),
        (r#"http.request.path wildcard r"/admin/\*""#, false),
        ("http.host in $paths", false),
        ("http.request.path in $paths", false),
        ("http.request.version eq \"HTTP/1.1\"", true),
        // Addresses.
        ("ip.src eq 192.0.2.1", true),
        ("ip.src ne 192.0.2.1", false),
        ("ip.src in $office", true),
        ("not ip.src in $office", false),
        ("ip.src in {10.0.0.0/8 2001:db8::/32}", false),
        ("ip.src in {192.0.2.0..192.0.2.1}", true),
        ("cidr(ip.src, 24, 64) eq 192.0.2.0", true),
        ("cidr6(ip.src, 64) eq 192.0.2.1", true),
        ("to_string(ip.src) starts_with \"192.\"", true),
        // Maps and arrays.
        ("any(http.request.headers[\"X-TAG\"][*] eq \"Two\")", true),
        ("http.request.headers[\"x-tag\"][0] eq \"one\"", true),
        ("http.request.headers[\"x-tag\"][2] eq \"one\"", false),
        ("http.request.headers[\"x-tag\"][2] ne \"one\"", false),
        ("not http.request.headers[\"x-tag\"][2] eq \"one\"", true),
        ("all(http.request.headers[\"x-tag\"][*] in {\"one\" \"Two\"})", true),
        ("all(http.request.headers[\"x-tag\"][*] eq \"one\")", false),
        ("all(http.request.headers[\"x-none\"][*] ne \"one\")", false),
        ("len(http.request.headers[\"x-tag\"]) eq 2", true),
        ("any(lower(http.request.headers[\"x-tag\"][*])[*] eq \"two\")", true),
        ("lower(http.request.headers[\"x-tag\"][*])[1] eq \"two\"", true),
        ("any(len(http.request.headers.values[*])[*] gt 16)", true),
        ("any(http.request.headers.names[*] eq \"x-tag\")", true),
        (
            "any(http.request.headers[\"x-tag\"][*] eq \"one\" and not http.request.headers[\"x-tag\"][*] eq \"one\")",
            false,
        ),
        ("any(starts_with(http.request.headers.values[*], \"Moz\"))", true),
        (
            "has_key(http.request.headers, \"User-Agent\") and not has_key(http.request.uri.args, \"Q\")",
            true,
        ),
        (
            "has_value(http.request.uri.args, \"2\") and has_value(http.request.headers.names, \"x-tag\")",
            true,
        ),
        ("http.request.uri.args[\"q\"][0] eq \"Caf\\xc3\\xa9 au\"", true),
        ("any(http.request.uri.args.values[*] eq \"\")", true),
        ("any(http.request.uri.args.names[*] eq \"a b\")", true),
        ("url_decode(http.request.uri.args[\"a b\"][0]) eq \"'\"", true),
        (
            "any(url_decode(http.request.uri.args.values[*], \"r\")[*] eq \"'\")",
            true,
        ),
        ("http.request.cookies[\"theme\"][0] eq \"dark\"", true),
        (
            "http.request.accepted_languages[0] eq \"en-gb\" and len(http.request.accepted_languages) eq 2",
            true,
        ),
        // Functions.
        ("len(http.request.method) eq 3", true),
        ("len(http.request.method) in {1..2 4}", false),
        ("len(http.request.method) in $sizes", false),
        ("substring(http.host, 0, 4) eq \"exam\"", true),
        ("substring(http.host, -4) eq \".com\"", true),
        ("substring(http.host, 99) eq \"\"", true),
        ("remove_bytes(http.host, \".e\") eq \"xamplcom\"", true),
        (
            "concat(http.request.method, \" \", http.host, \":\", len(http.host)) eq \"GET example.com:11\"",
            true,
        ),
        ("upper(http.host) eq \"EXAMPLE.COM\"", true),
        ("decode_base64(http.request.uri.args[\"b\"][0]) eq \"GET\"", true),
        ("to_string(ssl) eq \"true\"", true),
        // TLS.
        ("ssl", true),
        ("tls.version eq \"TLSv1.3\" and tls.ja4 starts_with \"t13d\"", true),
        (
            "tls.client_certificate.subject eq \"CN=alice\" and tls.client_certificate.fingerprint eq \"00ff\"",
            true,
        ),
        (
            "any(tls.client_certificate.names[*] eq \"email:alice@example.com\")",
            true,
        ),
        // What is not there.
        ("http.referer eq \"\"", true),
        ("http.referer contains \"x\"", false),
        ("http.request.uri.args[\"none\"][0] eq \"\"", false),
        // Binding: not > and > xor > or.
        ("ssl or ssl xor ssl", true),
        ("ssl xor ssl or not ssl", false),
        ("ssl or ssl and not ssl", true),
        ("(ssl or ssl) and not ssl", false),
        ("not ssl xor ssl", true),
        ("not (ssl xor ssl)", true),
        ("! ssl || ssl && ! ! ssl", true),
        ("ssl ^^ ssl ^^ ssl", true),
    ] {
        assert_eq!(holds(when, &browser()), expected, "{when}");
    }
}

#[test]
fn bodies_are_looked_at() {
    let form = Given::get("/f").form("user=alice&note=Hello+World");
    for (when, expected) in [
        ("http.request.body.form[\"user\"][0] eq \"alice\"", true),
        ("any(http.request.body.form.values[*] contains \"World\")", true),
        ("any(http.request.body.form.names[*] eq \"note\")", true),
        ("http.request.body.raw contains \"Hello+World\"", true),
        ("http.request.body.size eq 27", true),
        ("http.request.body.mime eq \"application/x-www-form-urlencoded\"", true),
        ("http.request.body.truncated", false),
        (
            "http.request.method eq \"POST\" and http.request.body.size lt 27",
            false,
        ),
    ] {
        assert_eq!(holds(when, &form), expected, "{when}");
    }
    let mut json = Given::get("/j").header("content-type", "application/json");
    json.body = br#"{"user":{"name":"bob"}}"#.to_vec();
    assert!(holds("http.request.body.form[\"json.user.name\"][0] eq \"bob\"", &json));
    // Rule files that turn bodies off do not make expressions blind.
    let files = [("a.conf", "SecRequestBodyAccess Off")];
    let mut running = Running::new(
        vec![rule("http.request.body.raw contains \"alice\"", Action::Log)],
        &files,
    );
    assert_eq!(running.send(&form).matches, 1);
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_mend() {
    for (when, said) in [
        (
            "",
            "column 1: an empty expression (write a condition, such as http.request.path eq \"/\")",
        ),
        (
            "http.request.pth eq \"/\"",
            "column 1: no field is called http.request.pth (did you mean http.request.path?)",
        ),
        (
            "ssl and\n  http.hots eq \"x\"",
            "line 2, column 3: no field is called http.hots (did you mean http.host?)",
        ),
        (
            "http.host equals \"x\"",
            "column 11: no operator is called equals (write eq, contains, starts_with, matches, in, …)",
        ),
        (
            "http.host contain \"x\"",
            "column 11: no operator is called contain (did you mean contains?)",
        ),
        ("http.host = \"x\"", "column 11: = is no operator (write eq or ==)"),
        (
            "http.host eq x",
            "column 14: x is no string, number, address or network (a string is written \"…\", a number 42, an address 192.0.2.1, a network 10.0.0.0/8)",
        ),
        (
            "http.host eq 'x'",
            "column 14: 'x' is no string, number, address or network (a string is written \"…\", a number 42, an address 192.0.2.1, a network 10.0.0.0/8)",
        ),
        (
            "http.host eq 5",
            "column 14: 5 does not fit http.host (write it in quotes: \"5\")",
        ),
        (
            "http.host",
            "column 1: http.host is Bytes and no condition (compare it: http.host eq \"…\")",
        ),
        (
            "ip.src eq \"192.0.2.1\"",
            "column 11: \"192.0.2.1\" does not fit ip.src (write an address such as 192.0.2.1, without quotes)",
        ),
        (
            "ip.src eq 10.0.0.0/8",
            "column 11: 10.0.0.0/8 does not fit ip.src (write ip.src in {10.0.0.0/8})",
        ),
        (
            "ip.src in {\"10.0.0.0/8\"}",
            "column 12: \"10.0.0.0/8\" does not fit ip.src (write addresses and networks without quotes: {192.0.2.1 10.0.0.0/8})",
        ),
        (
            "ip.src in {10.0.0.0/33}",
            "column 12: 10.0.0.0/33 is no string, number, address or network (a string is written \"…\", a number 42, an address 192.0.2.1, a network 10.0.0.0/8)",
        ),
        (
            "ip.src in {10.0.0.9..10.0.0.1}",
            "column 12: the range 10.0.0.9..10.0.0.1 ends before it begins (write the smaller end first, both of one family)",
        ),
        (
            "ip.src in $offices",
            "column 11: no list is called $offices (did you mean $office?)",
        ),
        (
            "ip.src in $typo",
            "column 11: $typo is a list of strings: \"10.0.0.0/33\" is no address and no network (correct the entry, or compare a string with the list)",
        ),
        (
            "ip.src in $sizes",
            "column 11: ip.src is Ip and $sizes a list of Int (compare with a list of the same type)",
        ),
        (
            "ip.src contains \"1\"",
            "column 8: ip.src is Ip, which contains does not fit (write ip.src in {10.0.0.0/8})",
        ),
        (
            "http.request.body.size eq \"5\"",
            "column 27: \"5\" does not fit http.request.body.size (write a number such as 42, without quotes)",
        ),
        (
            "http.request.method in {\"GET\", \"PUT\"}",
            "column 30: , is not expected here (separate the entries of a set by spaces)",
        ),
        (
            "http.request.method in {}",
            "column 24: an empty set (write what it holds, separated by spaces)",
        ),
        (
            "http.request.method in \"GET\"",
            "column 24: \"GET is not expected here (after in comes a set such as {1 2 5..9} or the name of a list such as $office)",
        ),
        (
            "http.request.method not in {\"GET\"}",
            "column 21: not stands before a whole comparison (write not field in {…}, with not before the field)",
        ),
        (
            "ssl eq \"true\"",
            "column 5: ssl is Bool, which eq does not fit (write ssl or not ssl)",
        ),
        (
            "http.request.headers[\"x\"] eq \"a\"",
            "column 1: http.request.headers[\"x\"] is Array<Bytes>, not one value (write any(http.request.headers[\"x\"][*] eq \"a\") or http.request.headers[\"x\"][0] eq \"a\")",
        ),
        (
            "http.request.headers eq \"a\"",
            "column 1: http.request.headers is Map<Array<Bytes>>, not one value (write any(http.request.headers[\"key\"][*] eq \"a\"))",
        ),
        (
            "http.request.headers[*] eq \"a\"",
            "column 1: http.request.headers is Map<Array<Bytes>> and needs a key (write http.request.headers[\"key\"][*] or http.request.headers.values[*])",
        ),
        (
            "http.host[0] eq \"a\"",
            "column 1: http.host is Bytes and has no elements (write http.host without [0])",
        ),
        (
            "http.host[\"a\"] eq \"a\"",
            "column 1: http.host is Bytes and has no keys (write http.host alone)",
        ),
        (
            "http.request.headers.values[*] eq \"a\"",
            "column 1: http.request.headers.values[*] eq \"a\" has an answer for each element (write any(http.request.headers.values[*] eq \"a\") or all(http.request.headers.values[*] eq \"a\"))",
        ),
        (
            "any(http.host eq \"a\")",
            "column 1: http.host eq \"a\" asks no elements (write [*] behind an array, or leave any and all out)",
        ),
        (
            "any(http.request.headers.values[*] eq \"a\" or http.request.headers.names[*] eq \"a\")",
            "column 46: elements of two arrays are mixed (ask each array by an any(…) or all(…) of its own)",
        ),
        (
            "lower(http.request.headers.values) eq \"a\"",
            "column 7: http.request.headers.values is Array<Bytes>, not one value (write http.request.headers.values[*] for each element, or http.request.headers.values[0])",
        ),
        (
            "lowr(http.host) eq \"a\"",
            "column 1: no function is called lowr (did you mean lower?)",
        ),
        (
            "lookup_json_string(http.request.body.raw, \"a\") eq \"b\"",
            "column 1: there is no function lookup_json_string (JSON is read already: write http.request.body.form[\"json.a.b\"][0])",
        ),
        (
            "lower() eq \"a\"",
            "column 1: lower has 0 arguments (write lower(Bytes) → Bytes)",
        ),
        (
            "lower(ip.src) eq \"a\"",
            "column 7: ip.src is Ip (Bytes is expected here)",
        ),
        (
            "cidr(ip.src, 33, 64) eq 10.0.0.0",
            "column 14: 33 bits (write a number from 1 to 32)",
        ),
        (
            "url_decode(http.host, \"x\") eq \"a\"",
            "column 23: \"x\" are no options of url_decode (write \"r\", \"u\" or \"ru\")",
        ),
        (
            "starts_with(http.host, \"a\") eq \"b\"",
            "column 1: starts_with(http.host, \"a\") is a condition and no value (write it alone: starts_with(http.host, \"a\"))",
        ),
        (
            "lower(\"A\") eq \"a\"",
            "column 7: \"A\" is known beforehand (write a field, or compare one with it: http.host eq \"example.com\")",
        ),
        (
            "\"a\" eq http.host",
            "column 8: http.host is no string, number, address or network (a string is written \"…\", a number 42, an address 192.0.2.1, a network 10.0.0.0/8)",
        ),
        (
            "http.host contains \"\"",
            "column 20: contains an empty string is always true (write what it holds, or eq \"\" for empty)",
        ),
        (
            "http.host eq \"a",
            "column 14: a string that is never closed (close it with \")",
        ),
        (
            "http.host matches \"\\d\"",
            "column 20: \\d is no escape (write \\\\ for a backslash, \\\" or \\xHH, or a raw string: r\"…\")",
        ),
        (
            "http.host matches r\"(?=a)\"",
            "column 19: the expression is wrong: look-around, back-references and possessive quantifiers do not exist here (matching is linear; rewrite it without them)",
        ),
        (
            "http.host wildcard \"a**\"",
            "column 20: two * side by side (write one *)",
        ),
        (
            "(ssl",
            "column 5: the end of the expression is not expected here (close with ))",
        ),
        (
            "ssl)",
            "column 4: ) is not expected here (remove it, or open a ( before)",
        ),
        (
            "ssl ssl",
            "column 5: no operator is called ssl (write eq, contains, starts_with, matches, in, …)",
        ),
        (
            "and ssl",
            "column 1: and is not expected here (write a field such as http.request.path, or a function such as lower(…))",
        ),
        (
            "cf.tls_version eq \"TLSv1.3\"",
            "column 1: there is no field cf.tls_version (write tls.version)",
        ),
        (
            "ip.src.country eq \"DE\"",
            "column 1: there is no field ip.src.country (there is no address database; write a list of networks)",
        ),
        (
            "http.request.uri.args[q][0] eq \"a\"",
            "column 23: that is no key and no index (write [\"key\"], [0] or [*])",
        ),
        (
            "http.request.body.size gt 99999999999999999999",
            "column 27: 99999999999999999999 is no number of 64 bits (a string is written \"…\", a number 42, an address 192.0.2.1, a network 10.0.0.0/8)",
        ),
    ] {
        let list = program(vec![rule(when, Action::Log)], &[]).err().unwrap_or_default();
        assert_eq!(list, [said], "{when}");
    }
}

#[test]
fn sizes_are_bounded() {
    let said = |when: String| {
        program(vec![rule(&when, Action::Log)], &[])
            .err()
            .unwrap_or_default()
            .join("\n")
    };
    assert!(said(format!("http.host eq \"{}\"", "x".repeat(17_000))).contains("more than 16384 bytes"));
    assert!(said(format!("{}ssl{}", "(".repeat(33), ")".repeat(33))).contains("nested more than 32 deep"));
    assert_eq!(said(format!("{}ssl{}", "(".repeat(32), ")".repeat(32))), "");
    assert!(said("not ".repeat(33) + "ssl").contains("nested more than 32 deep"));
    assert!(said(vec!["ssl"; 1025].join(" or ")).contains("more than 1024 comparisons"));
    assert!(said(format!("http.request.body.size in {{{}}}", "1 ".repeat(2049))).contains("more than 2048 entries"));
    assert!(said("lower(".repeat(40) + "http.host").contains("nested more than 32 deep"));
}

#[test]
fn one_expression_ends_within_the_work_of_its_route() {
    let terms: Vec<String> = (0..200)
        .map(|n| format!("any(http.request.uri.args.values[*] matches \"b{n}$\")"))
        .collect();
    let options = ProfileOptions {
        work_max: Some(1_000_000),
        ..ProfileOptions::default()
    };
    let mut running = Running::with(
        vec![rule(&format!("not ({})", terms.join(" or ")), Action::Block)],
        &[],
        &options,
    );
    let outcome = running.send(&Given::get(&format!("/?{}", "a=bbbbbbbbbbbbbbbbbbbb&".repeat(900))));
    assert_eq!((outcome.verdict, outcome.matches), (Verdict::BudgetExceeded, 0));
    assert!(outcome.work < 1_100_000, "{}", outcome.work);
    // Of the same request, one that asks little is answered.
    let mut running = Running::with(vec![rule(&terms[0], Action::Block)], &[], &options);
    assert_eq!(running.send(&Given::get("/?a=b0")).verdict, Verdict::Block);
}

#[test]
fn actions_do_what_they_say() {
    let at = |path: &str, action| rule(&format!("http.request.path eq \"{path}\""), action);
    let mut running = Running::new(
        vec![
            at("/no", Action::Block),
            at("/log", Action::Log),
            at("/skip", Action::Skip(Vec::new())),
            at("/part", Action::Skip(strings(&["words"]))),
        ],
        &[(
            "a.conf",
            "SecRule ARGS \"@contains evil\" \"id:1,phase:2,deny,tag:'words',msg:'evil'\"\n\
             SecRule ARGS \"@contains worse\" \"id:2,phase:2,deny,msg:'worse'\"",
        )],
    );
    let mut verdict = |target: &str| {
        let outcome = running.send(&Given::get(target));
        (outcome.verdict, outcome.matches)
    };
    assert_eq!(verdict("/no"), (Verdict::Block, 1));
    assert_eq!(verdict("/%6eo"), (Verdict::Block, 1));
    assert_eq!(verdict("/log"), (Verdict::DetectMatch, 1));
    assert_eq!(verdict("/x?a=evil"), (Verdict::Block, 1));
    assert_eq!(verdict("/skip?a=evil"), (Verdict::Pass, 0));
    assert_eq!(verdict("/part?a=evil"), (Verdict::Pass, 0));
    assert_eq!(verdict("/part?a=worse"), (Verdict::Block, 1));

    let detect = ProfileOptions {
        mode: Some(EngineMode::DetectionOnly),
        ..ProfileOptions::default()
    };
    let mut running = Running::with(vec![at("/no", Action::Block)], &[], &detect);
    let outcome = running.send(&Given::get("/no"));
    assert_eq!((outcome.verdict, outcome.would_block), (Verdict::DetectMatch, true));
    assert!((ID_CHOSEN_LAST + 1..ID_JUDGE).contains(&outcome.blocking_rule));
}

const SCORED: &str = r#"
SecAction "id:1,phase:1,nolog,pass,setvar:tx.inbound_anomaly_score_pl1=0,setvar:tx.inbound_anomaly_score_threshold=5"
SecRule ARGS "@contains evil" "id:2,phase:2,log,pass,setvar:tx.inbound_anomaly_score_pl1=+3"
SecRule TX:inbound_anomaly_score_pl1 "@ge 1" "id:3,phase:2,nolog,pass,setvar:tx.blocking_inbound_anomaly_score=%{tx.inbound_anomaly_score_pl1}"
SecRule TX:blocking_inbound_anomaly_score "@ge %{tx.inbound_anomaly_score_threshold}" "id:4,phase:2,deny,log"
"#;

#[test]
fn scores_are_added_and_judged_wherever_the_item_stands() {
    for when in [
        "ssl or http.request.path starts_with \"/a\"",
        "http.request.body.size ge 0 and http.request.path starts_with \"/a\"",
    ] {
        for before in [0, 1] {
            let item = ExpressionRule {
                before,
                ..rule(when, Action::Score(2))
            };
            let mut running = Running::new(vec![item], &[("a.conf", SCORED)]);
            let mut send = |target: &str| {
                let outcome = running.send(&Given::get(target));
                (outcome.verdict, outcome.score)
            };
            assert_eq!(send("/a?x=evil"), (Verdict::Block, 5), "{when} {before}");
            assert_eq!(send("/a"), (Verdict::DetectMatch, 2), "{when} {before}");
            assert_eq!(send("/b?x=evil"), (Verdict::DetectMatch, 3), "{when} {before}");
        }
    }
}

#[test]
fn scores_are_judged_without_any_file() {
    let items = vec![
        rule("http.request.path starts_with \"/a\"", Action::Score(4)),
        rule("http.request.path ends_with \"b\"", Action::Score(4)),
    ];
    let options = ProfileOptions {
        variables: vec![("inbound_anomaly_score_threshold".into(), "8".into())],
        ..ProfileOptions::default()
    };
    let mut running = Running::with(items.clone(), &[], &options);
    let outcome = running.send(&Given::get("/ab"));
    assert_eq!(
        (outcome.verdict, outcome.score, outcome.matches),
        (Verdict::Block, 8, 3)
    );
    assert_eq!(outcome.blocking_rule, ID_JUDGE + 1);
    assert_eq!(running.send(&Given::get("/a")).verdict, Verdict::DetectMatch);
    // The threshold without a profile's is that of the CRS.
    assert_eq!(
        Running::new(items, &[]).send(&Given::get("/ab")).verdict,
        Verdict::Block
    );
}

#[test]
fn reports_name_what_made_it_true_and_mask_secrets() {
    let items = vec![
        ExpressionRule {
            id: Some(ID_FIRST + 7),
            name: Some("Only from the office".into()),
            ..rule(
                "http.request.path starts_with \"/admin\" and not ip.src in {10.0.0.0/8}",
                Action::Log,
            )
        },
        ExpressionRule {
            message: Some("100% {macro}: %{tx.0}".into()),
            ..rule("any(http.request.cookies.values[*] contains \"s3c\")", Action::Log)
        },
        rule("not http.user_agent contains \"curl\" or ssl", Action::Log),
        rule(
            "http.request.uri.args[\"password\"][0] eq \"hunter2\" xor ssl",
            Action::Log,
        ),
        rule("http.referer eq \"\"", Action::Log),
    ];
    let mut running = Running::new(items, &[]);
    running.send(
        &Given::get("/x/../admin?password=hunter2")
            .header("user-agent", "Mozilla")
            .header("cookie", "a=1; sid=s3cret"),
    );
    let reports: Vec<_> = running
        .reports()
        .into_iter()
        .map(|(_, m, v, t)| [m, v, t].map(String::from))
        .collect();
    let reports: Vec<[&str; 3]> = reports
        .iter()
        .map(|r| [r[0].as_str(), r[1].as_str(), r[2].as_str()])
        .collect();
    assert_eq!(
        reports,
        [
            ["Only from the office", "REQUEST_FILENAME", "/x/../admin"],
            ["100% {macro}: %{tx.0}", "REQUEST_COOKIES:sid", "<masked, 6 bytes>"],
            [
                "not http.user_agent contains \"curl\" or ssl",
                "REQUEST_HEADERS:user-agent",
                "Mozilla"
            ],
            [
                "http.request.uri.args[\"password\"][0] eq \"hunter2\" xor ssl",
                "ARGS_GET:password",
                "<masked, 7 bytes>"
            ],
            ["http.referer eq \"\"", "", ""],
        ]
    );
    assert_eq!(running.reports()[0].0, ID_FIRST + 7);
}

#[test]
fn ids_stay_and_do_not_clash() {
    let ids = |items: Vec<ExpressionRule>| {
        let program = program(items, &[]).unwrap_or_else(|l| panic!("{}", l.join("\n")));
        program.phases[0].rules.iter().map(|r| r.id).collect::<Vec<_>>()
    };
    let (a, b) = (rule("ssl", Action::Log), rule("not ssl", Action::Log));
    let both = ids(vec![a.clone(), b.clone()]);
    assert_eq!(ids(vec![b.clone()]), both[1..]);
    assert_eq!(ids(vec![a.clone(), a.clone()])[0], both[0]);
    let chosen = |id| ExpressionRule {
        id: Some(id),
        ..a.clone()
    };
    let said = |items, conf: &str| program(items, &[("a.conf", conf)]).err().unwrap_or_default();
    assert_eq!(
        said(vec![chosen(5)], ""),
        ["the id 5 is none of an expression (write a number from 90000000 to 90099999, or leave it out)"]
    );
    assert_eq!(
        said(vec![chosen(ID_FIRST), chosen(ID_FIRST)], ""),
        [format!("the id {ID_FIRST} is taken (/ssl has it; choose another)")]
    );
    assert_eq!(
        said(vec![b], &format!("SecAction \"id:{ID_FIRST},phase:1,pass\"")),
        ["the ids from 90000000 to 90999999 are those of expressions (choose another)"]
    );
}

#[test]
fn files_and_profiles_change_expressions_as_they_change_rules() {
    let item = ExpressionRule {
        id: Some(ID_FIRST),
        ..rule("http.request.path eq \"/no\"", Action::Block)
    };
    let verdict = |item: &ExpressionRule, conf: &str, options: ProfileOptions| {
        let mut running = Running::with(vec![item.clone()], &[("a.conf", conf)], &options);
        running.send(&Given::get("/no")).verdict
    };
    let none = ProfileOptions::default;
    assert_eq!(verdict(&item, "", none()), Verdict::Block);
    assert_eq!(verdict(&item, "SecRuleRemoveById 90000000", none()), Verdict::Pass);
    assert_eq!(verdict(&item, "SecRuleRemoveByTag expression", none()), Verdict::Pass);
    let left_out = ProfileOptions {
        exclusions: vec![Exclusion {
            rules: RuleChoice::Ids(vec![(ID_FIRST, ID_FIRST)]),
            target: None,
        }],
        ..none()
    };
    assert_eq!(verdict(&item, "", left_out), Verdict::Pass);
    // Those of a route run nowhere else.
    let local = ExpressionRule {
        local: true,
        place: "routes.yaml#/0".into(),
        ..item
    };
    assert_eq!(verdict(&local, "", none()), Verdict::Pass);
    let here = ProfileOptions {
        local_rules: strings(&["routes.yaml#/0"]),
        ..none()
    };
    assert_eq!(verdict(&local, "", here), Verdict::Block);
}

#[test]
fn answers_are_asked_together_with_their_requests() {
    let items = vec![
        rule(
            "http.response.code in {500..599} and http.request.path starts_with \"/api\" and ssl",
            Action::Log,
        ),
        rule("any(http.response.headers[\"X-Debug\"][*] eq \"on\")", Action::Block),
        rule("http.response.content_type.media_type eq \"text/html\"", Action::Log),
    ];
    let options = ProfileOptions {
        answers: true,
        ..ProfileOptions::default()
    };
    let mut running = Running::with(items, &[], &options);
    let mut exchange = |target: &str, status, headers: &[(&[u8], &[u8])]| {
        let given = Given {
            tls: true,
            ..Given::get(target)
        };
        let request = running.send(&given);
        assert_eq!((request.verdict, request.answer), (Verdict::Pass, Wanted::Head));
        let mut kept = vec![0; KEPT_BYTES_MAX];
        let n = running.transaction.keep(&running.profile, &mut kept).expect("it fits");
        let packed = pack_response(status, b"HTTP/1.1", headers, b"", RESPONSE_BODY_NOT_READ);
        let response = Response::unpack(&packed).expect("a packed answer");
        let outcome = Transaction::default().respond(&running.profile, &kept[..n], &response);
        (outcome.verdict, outcome.matches)
    };
    assert_eq!(
        exchange("/api/x", 503, &[(b"content-type", b"Text/HTML; charset=utf-8")]),
        (Verdict::DetectMatch, 2)
    );
    assert_eq!(exchange("/other", 503, &[(b"x-debug", b"off")]), (Verdict::Pass, 0));
    assert_eq!(exchange("/other", 200, &[(b"x-debug", b"on")]), (Verdict::Block, 1));
    let said = program(vec![rule("http.response.code eq 500", Action::Score(3))], &[])
        .err()
        .unwrap_or_default();
    assert_eq!(
        said,
        ["the score is of requests, and this asks the answer (use block or log, or ask the request alone)"]
    );
}

#[test]
fn an_expression_without_its_literals_costs_nothing() {
    let words: Vec<ExpressionRule> = (0..200)
        .map(|n| {
            rule(
                &format!("http.request.path contains \"/forbidden{n}/\" and not ip.src in $office"),
                Action::Block,
            )
        })
        .collect();
    let mut many = Running::new(words, &[]);
    let mut one = Running::new(
        vec![rule("http.request.path contains \"/forbidden0/\"", Action::Block)],
        &[],
    );
    assert_eq!(many.profile.program.prefiltered_count, 200);
    let given = Given::get("/index.html?a=b");
    assert_eq!(many.send(&given).work, one.send(&given).work);
    assert_eq!(
        many.send(&Given {
            client: "198.51.100.1".into(),
            ..Given::get("/forbidden77/")
        })
        .verdict,
        Verdict::Block
    );
}

#[test]
fn a_plus_of_a_path_is_a_plus() {
    assert!(holds("http.request.path eq \"/a+b c\"", &Given::get("/a+b%20c")));
}
