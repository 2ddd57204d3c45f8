//! Filling the variables of a request: the head before phase 1, the body before phase 2.

use super::Limit;
use super::sink::ArgSink;
use super::transaction::{Entry, Transaction};
use crate::body;
use crate::program::Program;
use crate::program::compile::STRICT_PARTS;
use crate::seclang::setting::{BodyProcessor, LimitAction};
use crate::seclang::variable::Var;
use crate::wire::{Request, Tls};

/// Most cookies of a request; more are answered by the limit policy.
const COOKIES_MAX: usize = 1000;
/// Most languages that are looked at.
const LANGUAGES_MAX: usize = 64;
/// Bytes for which the part of a body that could not be read is named in REQBODY_ERROR_MSG.
const NOT_JSON: &str = "the body is not what its media type says";

impl Transaction {
    /// Everything that the head of the request gives.
    pub(crate) fn fill_head(&mut self, program: &Program, r: &Request<'_>) {
        let used = |v: Var| program.used[v as usize];
        self.put(Var::RequestMethod, r.method);
        self.put(Var::RequestProtocol, r.protocol);
        self.put(Var::RequestUriRaw, r.target);
        let local = strip_authority(r.target);
        self.put(Var::RequestUri, local);
        let (path, query) = match memchr::memchr(b'?', local) {
            Some(at) => (&local[..at], &local[at + 1..]),
            None => (local, &b""[..]),
        };
        self.put(Var::QueryString, query);
        self.put(Var::RequestPathRaw, path);
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        body::percent_decode(path, &mut text);
        self.put(Var::RequestFilename, &text);
        self.put(Var::PathInfo, &text);
        let base = memchr::memrchr2(b'/', b'\\', &text).map_or(0, |at| at + 1);
        self.put(Var::RequestBasename, &text[base..]);
        if used(Var::RequestLine) {
            text.clear();
            for part in [r.method, b" ", r.target, b" ", r.protocol] {
                text.extend_from_slice(part);
            }
            self.put(Var::RequestLine, &text);
        }
        self.text = text;
        self.put(Var::RemoteAddr, r.client);
        self.put(Var::RemoteHost, r.client);
        self.put_int(Var::RemotePort, i64::from(r.client_port));
        self.put_int(Var::Https, i64::from(r.secure));
        self.fill_tls(&r.tls);
        self.put(Var::UniqueId, r.id);
        self.put(Var::ModsecBuild, b"030000000");
        self.put(Var::WebAppId, program.settings.web_app_id.as_bytes());
        self.fill_headers(r);
        if used(Var::FullRequestLength) {
            let headers: usize = r.headers().map(|(n, v)| n.len() + v.len() + 4).sum();
            let n = r.method.len() + r.target.len() + r.protocol.len() + 4 + headers + 2 + r.body.len();
            self.put_int(Var::FullRequestLength, i64::try_from(n).unwrap_or(i64::MAX));
        }
        self.put_int(
            Var::UrlencodedError,
            i64::from(crate::transform::has_wrong_escape(query)),
        );
        let separator = program.settings.argument_separator;
        let max = program.settings.arguments_max as usize;
        let mut sink = ArgSink {
            tx: self,
            var: Var::ArgsGet,
            names: Var::ArgsGetNames,
            left: max,
            bytes: 0,
            exceeded: None,
            cut: false,
        };
        let mut decoded = std::mem::take(&mut sink.tx.decoded);
        body::urlencoded::parse(query, separator, &mut decoded, &mut sink);
        let (bytes, exceeded) = (sink.bytes, sink.exceeded);
        self.decoded = decoded;
        if let Some(limit) = exceeded {
            self.exceed(limit);
        }
        self.put_int(Var::ArgsCombinedSize, bytes);
        self.flags();
    }

    fn fill_headers(&mut self, r: &Request<'_>) {
        let mut processor = None;
        for (name, value) in r.headers() {
            let entry = Entry {
                key: self.values.intern(name),
                value: self.values.intern(value),
            };
            self.entries[Var::RequestHeaders as usize].push(entry);
            self.entries[Var::RequestHeadersNames as usize].push(Entry {
                key: entry.key,
                value: entry.key,
            });
            if name.eq_ignore_ascii_case(b"cookie") {
                self.fill_cookies(value);
            } else if name.eq_ignore_ascii_case(b"content-type") {
                processor = processor_of(value);
                self.put(Var::RequestMediaType, media_type(value));
            } else if name.eq_ignore_ascii_case(b"accept-language") && self.used[Var::RequestLanguages as usize] {
                self.fill_languages(value);
            } else if name.eq_ignore_ascii_case(b"host") {
                let host = strip_port(value);
                self.put(Var::ServerName, host);
            } else if name.eq_ignore_ascii_case(b"authorization") {
                let scheme = value.split(|b| *b == b' ').next().unwrap_or(b"");
                self.put(Var::AuthType, scheme);
                if self.used[Var::RemoteUser as usize] && scheme.eq_ignore_ascii_case(b"basic") {
                    let mut text = Vec::new();
                    crate::transform::base64_decode(value[scheme.len()..].trim_ascii(), &mut text);
                    let end = memchr::memchr(b':', &text).unwrap_or(text.len());
                    self.put(Var::RemoteUser, &text[..end]);
                }
            }
        }
        self.controls.processor = processor;
        self.put(
            Var::ReqbodyProcessor,
            processor.map_or("", BodyProcessor::name).as_bytes(),
        );
    }

    /// Cookies as RFC 6265 §4.2.1 writes them; values stay as they are.
    fn fill_cookies(&mut self, header: &[u8]) {
        for pair in header.split(|b| *b == b';') {
            let pair = pair.trim_ascii();
            if pair.is_empty() {
                continue;
            }
            let (name, value) = match memchr::memchr(b'=', pair) {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &b""[..]),
            };
            if self.entries[Var::RequestCookies as usize].len() >= COOKIES_MAX {
                self.exceed(Limit::Arguments);
                return;
            }
            let entry = Entry {
                key: self.values.intern(name),
                value: self.values.intern(value),
            };
            self.entries[Var::RequestCookies as usize].push(entry);
            self.entries[Var::RequestCookiesNames as usize].push(Entry {
                key: entry.key,
                value: entry.key,
            });
        }
    }

    /// What the handshake told.
    fn fill_tls(&mut self, tls: &Tls<'_>) {
        for (var, text) in [
            (Var::TlsVersion, tls.version),
            (Var::TlsCipher, tls.cipher),
            (Var::TlsServerName, tls.server_name),
            (Var::TlsJa4, tls.ja4),
            (Var::TlsClientSubject, tls.client_subject),
            (Var::TlsClientFingerprint, tls.client_fingerprint),
        ] {
            self.put(var, text);
        }
        for name in tls.client_names() {
            self.add(Var::TlsClientNames, b"", name);
        }
    }

    /// Languages of Accept-Language (RFC 9110 §12.5.4) by their weights; those of weight 0 are not accepted.
    fn fill_languages(&mut self, header: &[u8]) {
        let mut list: Vec<(u16, Vec<u8>)> = Vec::new();
        for part in header.split(|b| *b == b',').take(LANGUAGES_MAX) {
            let mut pieces = part.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let tag = pieces.next().unwrap_or(b"").to_ascii_lowercase();
            let weight = pieces.find_map(|p| p.strip_prefix(b"q=").or(p.strip_prefix(b"Q=")));
            let weight = weight.map_or(1000, weight_of);
            if !tag.is_empty() && weight > 0 {
                list.push((weight, tag));
            }
        }
        list.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        for (_, tag) in list {
            self.add(Var::RequestLanguages, b"", &tag);
        }
    }

    /// The flags that rules compare with 0 before there is a body.
    fn flags(&mut self) {
        let zero = self.values.intern_int(0);
        for var in [
            Var::ReqbodyError,
            Var::ReqbodyProcessorError,
            Var::InboundDataError,
            Var::MultipartStrictError,
            Var::MultipartUnmatchedBoundary,
            Var::MultipartBoundaryQuoted,
            Var::MultipartBoundaryWhitespace,
            Var::MultipartCrlfLfLines,
            Var::MultipartDataAfter,
            Var::MultipartDataBefore,
            Var::MultipartFileLimitExceeded,
            Var::MultipartHeaderFolding,
            Var::MultipartInvalidHeaderFolding,
            Var::MultipartInvalidPart,
            Var::MultipartInvalidQuoting,
            Var::MultipartLfLine,
            Var::MultipartMissingSemicolon,
            Var::FilesCombinedSize,
            Var::RequestBodyLength,
            Var::OutboundDataError,
        ] {
            if self.used[var as usize] {
                self.entries[var as usize].push(Entry { key: 0, value: zero });
            }
        }
    }

    /// Everything that the body gives.
    pub(crate) fn fill_body(&mut self, program: &Program, r: &Request<'_>) {
        if !self.controls.body_access {
            return;
        }
        let mut content = r.body;
        let max = usize::try_from(self.controls.body_bytes_max).unwrap_or(usize::MAX);
        if content.len() > max {
            match program.settings.request_body_limit_action {
                LimitAction::Reject => self.exceed(Limit::Body),
                LimitAction::ProcessPartial => content = &content[..max],
            }
        }
        let partial = r.body_truncated || content.len() < r.body.len();
        if partial {
            self.put_int(Var::InboundDataError, 1);
        }
        self.put_int(Var::RequestBodyLength, i64::try_from(r.body.len()).unwrap_or(i64::MAX));
        let processor = self.controls.processor;
        if self.controls.force_body || processor == Some(BodyProcessor::Urlencoded) {
            self.put(Var::RequestBody, content);
        }
        self.put(Var::RequestBodyRaw, content);
        if self.used[Var::FullRequest as usize] {
            let mut text = std::mem::take(&mut self.text);
            text.clear();
            for (name, value) in r.headers() {
                for part in [name, b": ", value, b"\n"] {
                    text.extend_from_slice(part);
                }
            }
            text.extend_from_slice(b"\n\n");
            text.extend_from_slice(content);
            self.put(Var::FullRequest, &text);
            self.text = text;
        }
        if content.is_empty() {
            return;
        }
        // Each leaf is charged, so that a body of very many leaves meets the budget as well.
        self.outcome.work += content.len() as u64;
        let given = self.entries[Var::ArgsGet as usize].len();
        let left = (program.settings.arguments_max as usize).saturating_sub(given);
        let named = |(n, _): &(&[u8], &[u8])| n.eq_ignore_ascii_case(b"content-type");
        let content_type = r.headers().find(named).map_or(&b""[..], |(_, v)| v);
        let mut sink = ArgSink {
            tx: self,
            var: Var::ArgsPost,
            names: Var::ArgsPostNames,
            left,
            bytes: 0,
            exceeded: None,
            cut: false,
        };
        let settings = &program.settings;
        let result: Result<(), &str> = match processor {
            Some(BodyProcessor::Urlencoded) => {
                let mut decoded = std::mem::take(&mut sink.tx.decoded);
                body::urlencoded::parse(content, settings.argument_separator, &mut decoded, &mut sink);
                sink.tx.decoded = decoded;
                Ok(())
            }
            Some(BodyProcessor::Json) => {
                let mut room = std::mem::take(&mut sink.tx.json);
                let result = body::json::parse(content, settings.json_depth_max as usize, &mut room, &mut sink);
                sink.tx.json = room;
                result
            }
            Some(BodyProcessor::Multipart) => {
                body::multipart::parse(content, content_type, settings.files_max as usize, &mut sink)
            }
            Some(BodyProcessor::Xml) => body::xml::parse(content, &mut sink),
            Some(BodyProcessor::Raw) | None => Ok(()),
        };
        let (bytes, exceeded, cut) = (sink.bytes, sink.exceeded, sink.cut);
        if let Some(limit) = exceeded {
            self.exceed(limit);
        }
        if self.used[Var::UrlencodedError as usize]
            && processor == Some(BodyProcessor::Urlencoded)
            && crate::transform::has_wrong_escape(content)
        {
            self.put_int(Var::UrlencodedError, 1);
        }
        let before = self.entries[Var::ArgsCombinedSize as usize]
            .first()
            .map_or(0, |e| crate::bytes::to_int(self.values.get(e.value)));
        self.put_int(Var::ArgsCombinedSize, before.saturating_add(bytes));
        match result {
            // Half of a document never ends well: what was read of it counts. An error before its end would hide what follows.
            Err(_) if partial && cut => {}
            Err(reason) => {
                for var in [Var::ReqbodyError, Var::ReqbodyProcessorError] {
                    self.put_int(var, 1);
                }
                let reason = if reason.is_empty() { NOT_JSON } else { reason };
                for var in [Var::ReqbodyErrorMsg, Var::ReqbodyProcessorErrorMsg] {
                    self.put(var, reason.as_bytes());
                }
            }
            Ok(()) => {}
        }
        self.strict_multipart();
        self.limit_without_files(program, content.len());
    }

    /// `SecRequestBodyNoFilesLimit`: seen by rules, as in ModSecurity 3.
    fn limit_without_files(&mut self, program: &Program, bytes: usize) {
        let Some(max) = program.settings.no_files_bytes_max else {
            return;
        };
        let files = match self.controls.processor {
            Some(BodyProcessor::Multipart) => self.files_bytes,
            Some(BodyProcessor::Raw) | None => return,
            Some(_) => 0,
        };
        if (bytes as u64).saturating_sub(files) > max {
            for var in [Var::ReqbodyError, Var::InboundDataError] {
                self.put_int(var, 1);
            }
            self.put(
                Var::ReqbodyErrorMsg,
                b"the body without its files is longer than its limit",
            );
        }
    }

    /// MULTIPART_STRICT_ERROR sums the flags up.
    fn strict_multipart(&mut self) {
        let zero = self.values.intern_int(0);
        let set = |v: &Var| self.entries[*v as usize].first().is_some_and(|e| e.value != zero);
        let any = STRICT_PARTS.iter().any(set);
        if any && self.controls.processor == Some(BodyProcessor::Multipart) {
            self.put_int(Var::MultipartStrictError, 1);
        }
    }
}

/// An absolute-form target without its scheme and authority.
fn strip_authority(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let Some(at) = memchr::memmem::find(&target[..target.len().min(16)], b"://") else {
        return target;
    };
    if !target[..at].iter().all(u8::is_ascii_alphanumeric) {
        return target;
    }
    let rest = &target[at + 3..];
    match memchr::memchr2(b'/', b'?', rest) {
        Some(from) => &rest[from..],
        None => b"/",
    }
}

fn strip_port(host: &[u8]) -> &[u8] {
    if host.first() == Some(&b'[') {
        return memchr::memchr(b']', host).map_or(host, |at| &host[..=at]);
    }
    memchr::memchr(b':', host).map_or(host, |at| &host[..at])
}

/// A weight in thousandths (RFC 9110 §12.4.2); what is none counts as 1.
fn weight_of(text: &[u8]) -> u16 {
    let text = std::str::from_utf8(text).ok().and_then(|t| t.parse::<f32>().ok());
    text.filter(|w| (0.0..=1.0).contains(w))
        .map_or(1000, |w| (w * 1000.0) as u16)
}

/// A media type without its parameters.
fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or(b"").trim_ascii()
}

/// How a body of this media type is read. JSON and XML are recognised without a rule, unlike ModSecurity.
fn processor_of(content_type: &[u8]) -> Option<BodyProcessor> {
    let media = media_type(content_type);
    let is = |name: &[u8]| media.eq_ignore_ascii_case(name);
    let ends =
        |suffix: &[u8]| media.len() > suffix.len() && media[media.len() - suffix.len()..].eq_ignore_ascii_case(suffix);
    // What begins like a form is read as one, for there are services that look no further.
    let begins = |name: &[u8]| media.get(..name.len()).is_some_and(|m| m.eq_ignore_ascii_case(name));
    if begins(b"application/x-www-form-urlencoded") {
        Some(BodyProcessor::Urlencoded)
    } else if begins(b"multipart/form-data") {
        Some(BodyProcessor::Multipart)
    } else if is(b"application/json") || is(b"text/json") || ends(b"+json") {
        Some(BodyProcessor::Json)
    } else if is(b"application/xml") || is(b"text/xml") || ends(b"+xml") {
        Some(BodyProcessor::Xml)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_hosts_are_stripped() {
        assert_eq!(strip_authority(b"http://h:1/a?b"), b"/a?b");
        assert_eq!(strip_authority(b"http://h"), b"/");
        assert_eq!(strip_authority(b"/a://b"), b"/a://b");
        assert_eq!(strip_authority(b"*"), b"*");
        assert_eq!(strip_port(b"h:80"), b"h");
        assert_eq!(strip_port(b"[::1]:80"), b"[::1]");
    }

    #[test]
    fn media_types_choose_the_processor() {
        assert_eq!(
            processor_of(b"application/JSON; charset=utf-8"),
            Some(BodyProcessor::Json)
        );
        assert_eq!(processor_of(b"application/problem+json"), Some(BodyProcessor::Json));
        assert_eq!(processor_of(b"image/svg+xml"), Some(BodyProcessor::Xml));
        assert_eq!(processor_of(b"text/plain"), None);
        assert_eq!(
            processor_of(b"Application/x-www-form-urlencoded\x95"),
            Some(BodyProcessor::Urlencoded)
        );
    }
}
