//! WAF expressions: what is refused with which words, and what bounds there are.

mod common;

use cnx_waf::engine::Verdict;
use cnx_waf::expression::rule::Action;
use cnx_waf::profile::ProfileOptions;
use common::expressions::{Given, Running, program, rule};

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
