//! WAF expressions: what is true of which request.

mod common;

use cnx_waf::expression::rule::Action;
use common::expressions::{Given, Running, holds, rule};

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
fn a_plus_of_a_path_is_a_plus() {
    assert!(holds("http.request.path eq \"/a+b c\"", &Given::get("/a+b%20c")));
}
