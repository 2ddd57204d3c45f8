//! The table of fields: their names in expressions and the variables of the engine behind them.

use super::node::Kind;
use crate::seclang::variable::Var;

/// One row of the table.
pub struct FieldDef {
    /// Name.
    pub name: &'static str,
    /// Other names for the same.
    pub aliases: &'static [&'static str],
    /// What it is.
    pub kind: FieldKind,
    /// The variable behind it.
    pub var: Var,
    /// The key of the variable that it means; empty: all.
    pub key: &'static str,
    /// Transformations that its value has gone through.
    pub steps: &'static [&'static str],
    /// What it is, for people.
    pub summary: &'static str,
}

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// One value. A string that is not there is empty.
    One(Kind),
    /// Strings.
    Array,
    /// Strings by key, each key with all of its values.
    Map,
}

macro_rules! fields {
    ($($name:literal $aliases:expr, $kind:expr, $var:ident $key:literal $steps:expr, $summary:literal;)*) => {
        /// All fields.
        pub static FIELDS: &[FieldDef] = &[
            $(FieldDef { name: $name, aliases: &$aliases, kind: $kind, var: Var::$var, key: $key, steps: &$steps, summary: $summary },)*
        ];
    };
}

const BOOL: FieldKind = FieldKind::One(Kind::Bool);
const INT: FieldKind = FieldKind::One(Kind::Int);
const BYTES: FieldKind = FieldKind::One(Kind::Bytes);
const IP: FieldKind = FieldKind::One(Kind::Ip);
const ARRAY: FieldKind = FieldKind::Array;
const MAP: FieldKind = FieldKind::Map;

fields! {
    "http.cookie" [], BYTES, RequestHeaders "cookie" [], "the Cookie header field";
    "http.host" [], BYTES, RequestHeaders "host" [], "the Host header field, as received";
    "http.referer" [], BYTES, RequestHeaders "referer" [], "the Referer header field";
    "http.request.accepted_languages" [], ARRAY, RequestLanguages "" [], "language tags of Accept-Language, best first, lower case";
    "http.request.body.form" [], MAP, ArgsPost "" [], "arguments of the body: fields of a form, leaves of JSON by path (`json.a.b`)";
    "http.request.body.form.names" [], ARRAY, ArgsPostNames "" [], "their names";
    "http.request.body.form.values" [], ARRAY, ArgsPost "" [], "their values";
    "http.request.body.mime" [], BYTES, RequestMediaType "" ["lowercase"], "the media type of the body without parameters, lower case";
    "http.request.body.raw" [], BYTES, RequestBodyRaw "" [], "the body as received, as far as it is inspected";
    "http.request.body.size" [], INT, RequestBodyLength "" [], "bytes of the body, as far as it is inspected";
    "http.request.body.truncated" [], BOOL, InboundDataError "" [], "the body is longer than what is inspected of it";
    "http.request.cookies" [], MAP, RequestCookies "" [], "cookies, not decoded";
    "http.request.cookies.names" [], ARRAY, RequestCookiesNames "" [], "their names";
    "http.request.cookies.values" [], ARRAY, RequestCookies "" [], "their values";
    "http.request.headers" [], MAP, RequestHeaders "" [], "header fields; keys ignore case";
    "http.request.headers.names" [], ARRAY, RequestHeadersNames "" ["lowercase"], "their names, lower case";
    "http.request.headers.values" [], ARRAY, RequestHeaders "" [], "their values";
    "http.request.method" [], BYTES, RequestMethod "" [], "the method";
    "http.request.uri" [], BYTES, RequestUri "" [], "path and query as received";
    "http.request.uri.args" [], MAP, ArgsGet "" [], "query arguments, percent-decoded once (Cloudflare does not decode them)";
    "http.request.uri.args.names" [], ARRAY, ArgsGetNames "" [], "their names";
    "http.request.uri.args.values" [], ARRAY, ArgsGet "" [], "their values";
    "http.request.uri.path" ["http.request.path"], BYTES, RequestFilename "" ["normalizePath"], "the path, percent-decoded once, without `//`, `/./` and `/../`, so that another spelling of a path does not evade a rule about it";
    "http.request.uri.query" [], BYTES, QueryString "" [], "the query as received, without `?`";
    "http.request.version" [], BYTES, RequestProtocol "" [], "`HTTP/1.1`, `HTTP/1.0`, `HTTP/2.0`; under the transport uws always `HTTP/1.1`";
    "http.response.code" [], INT, ResponseStatus "" [], "the status of the answer";
    "http.response.content_type.media_type" [], BYTES, ResponseContentType "" ["lowercase"], "the media type of the answer without parameters, lower case";
    "http.response.headers" [], MAP, ResponseHeaders "" [], "header fields of the answer; keys ignore case";
    "http.response.headers.names" [], ARRAY, ResponseHeadersNames "" ["lowercase"], "their names, lower case";
    "http.response.headers.values" [], ARRAY, ResponseHeaders "" [], "their values";
    "http.user_agent" [], BYTES, RequestHeaders "user-agent" [], "the User-Agent header field";
    "http.x_forwarded_for" [], BYTES, RequestHeaders "x-forwarded-for" [], "the X-Forwarded-For header field: what it claims; `ip.src` is what the gateway believes";
    "ip.src" [], IP, RemoteAddr "" [], "the client's address, after trusted proxies";
    "raw.http.request.uri.path" [], BYTES, RequestPathRaw "" [], "the path as received, neither decoded nor normalised";
    "ssl" [], BOOL, Https "" [], "the request came through TLS";
    "tls.cipher" [], BYTES, TlsCipher "" [], "IANA name of the cipher suite; empty unless the native transport serves TLS, as all `tls.*`";
    "tls.client_certificate.fingerprint" [], BYTES, TlsClientFingerprint "" [], "SHA-256 of the client's verified certificate, lower-case hexadecimal; empty when it has shown none";
    "tls.client_certificate.names" [], ARRAY, TlsClientNames "" [], "its alternative names: `DNS:…`, `IP:…`, `email:…`, `URI:…`";
    "tls.client_certificate.subject" [], BYTES, TlsClientSubject "" [], "its subject, such as `CN=alice,O=Example`";
    "tls.ja4" [], BYTES, TlsJa4 "" [], "JA4 fingerprint of the ClientHello";
    "tls.server_name" [], BYTES, TlsServerName "" [], "the server name that the client asked for, lower case";
    "tls.version" [], BYTES, TlsVersion "" [], "`TLSv1.3` or `TLSv1.2`";
}

/// Names that Cloudflare has and that are written otherwise here, or why they do not exist.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("cf.bot_management.ja4", "write tls.ja4"),
    ("cf.tls_cipher", "write tls.cipher"),
    (
        "cf.tls_client_auth.cert_fingerprint_sha256",
        "write tls.client_certificate.fingerprint",
    ),
    (
        "cf.tls_client_auth.cert_presented",
        "write tls.client_certificate.fingerprint ne \"\"",
    ),
    (
        "cf.tls_client_auth.cert_subject_dn",
        "write tls.client_certificate.subject",
    ),
    ("cf.tls_version", "write tls.version"),
    ("http.request.full_uri", "write http.host and http.request.uri"),
    ("http.request.method_name", "write http.request.method"),
    (
        "http.request.uri.path.extension",
        "write http.request.uri.path ends_with \".php\"",
    ),
    (
        "ip.geoip.country",
        "there is no address database; write a list of networks",
    ),
    (
        "ip.src.country",
        "there is no address database; write a list of networks",
    ),
    ("raw.http.request.uri", "write http.request.uri, which is as received"),
    (
        "raw.http.request.uri.query",
        "write http.request.uri.query, which is as received",
    ),
];

/// Looks a name up.
pub fn by_name(name: &str) -> Option<&'static FieldDef> {
    FIELDS.iter().find(|f| f.name == name || f.aliases.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sorted_and_steps_exist() {
        assert!(FIELDS.is_sorted_by(|a, b| a.name < b.name));
        assert!(ELSEWHERE.is_sorted_by(|a, b| a.0 < b.0));
        for f in FIELDS {
            assert!(
                f.steps.iter().all(|s| crate::transform::by_name(s).is_ok()),
                "{}",
                f.name
            );
            assert!(ELSEWHERE.iter().all(|(n, _)| by_name(n).is_none()));
        }
    }
}
