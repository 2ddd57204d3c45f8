//! The head of a request (RFC 9112 §3, §5, §6).

use super::connection::read_connection;
use super::fields::{CONTENT_LENGTH, EXPECT, Field, HOST, TE, TRANSFER_ENCODING, Table, UPGRADE, read_fields};
use super::host::read_host;
use super::scan::{is_token, listed, number, target_end};
use super::target::{Form, TARGET_BYTES_MAX, Target, read_target};
use super::websocket::{Handshake, read_handshake};
use super::{Framing, Parsed, Progress, Span, Stage};
use crate::layout::{FIELDS_MAX, Fault, HEAD_BYTES_MAX};

/// Methods with a number of their own, in the order of `METHODS` of `exchange.ts`.
pub const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE",
];
/// Number of every other method.
pub const METHOD_OTHER: u8 = METHODS.len() as u8;
/// Longest method, bytes; longer ones are not implemented (RFC 9112 §3).
pub const METHOD_BYTES_MAX: usize = 32;

const GET: u8 = 0;
const OPTIONS: u8 = 6;
const CONNECT: u8 = 7;

/// The head of a request. Made once and read into again and again: it is cleared by `parse_request`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Index in `METHODS`, or `METHOD_OTHER`.
    pub method: u8,
    /// The method's text.
    pub method_at: Span,
    /// Path as received; `*` and the authority of CONNECT stand here too.
    pub path: Span,
    /// Query without `?`.
    pub query: Span,
    /// Host, or the authority of an absolute-form target.
    pub host: Span,
    /// All field lines in their order.
    pub fields: Vec<Field>,
    /// How the body's end is found. `Content-Length: 0` is `Length(0)`.
    pub framing: Framing,
    /// HTTP/1.0; otherwise it is HTTP/1.1.
    pub http10: bool,
    /// The client lets the connection stay.
    pub keep_alive: bool,
    /// The client waits for 100 before it sends the body, and there is one.
    pub expect_continue: bool,
    /// The opening handshake of a WebSocket, complete and well-formed (RFC 6455 §4.2.1).
    pub websocket: bool,
    /// TE lists `trailers` (RFC 9110 §10.1.4).
    pub te_trailers: bool,
    /// Bytes of all names and values.
    pub field_bytes: u32,
    /// Index of the first field with this known id, or -1.
    pub known: [i16; 32],
    /// Bit n: the known field n occurs more than once.
    pub repeated: u32,
}

impl Default for RequestHead {
    fn default() -> RequestHead {
        RequestHead {
            method: METHOD_OTHER,
            method_at: Span::default(),
            path: Span::default(),
            query: Span::default(),
            host: Span::default(),
            fields: Vec::new(),
            framing: Framing::None,
            http10: false,
            keep_alive: false,
            expect_continue: false,
            websocket: false,
            te_trailers: false,
            field_bytes: 0,
            known: [-1; 32],
            repeated: 0,
        }
    }
}

impl RequestHead {
    fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = RequestHead {
            fields,
            ..RequestHead::default()
        };
    }

    /// Value of the first field with this known id.
    pub fn value<'a>(&self, known: u8, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let index = usize::try_from(self.known[known as usize & 31]).ok()?;
        self.fields.get(index).map(|field| field.value.of(bytes))
    }

    fn has(&self, known: u8) -> bool {
        self.known[known as usize] >= 0
    }

    /// The client expects 100 Continue, if there is a body at all; to be asked of a sound head.
    pub fn expects(&self) -> bool {
        self.has(EXPECT)
    }

    fn is_repeated(&self, known: u8) -> bool {
        self.repeated & (1 << known) != 0
    }
}

/// Reads the head of a request that begins at the first byte. Names are lowered in place, and `*` is written where OPTIONS means it; nothing
/// else is. One empty line before it is skipped
/// (RFC 9112 §2.2). When it is not `Done` and not `Broken`, call it again with the same progress once there are more bytes, the former ones unchanged.
pub fn parse_request(bytes: &mut [u8], progress: &mut Progress, head: &mut RequestHead) -> Parsed {
    let arrived = bytes.len();
    // What lies beyond the longest head cannot belong to it.
    let bytes = &mut bytes[..arrived.min(HEAD_BYTES_MAX)];
    if progress.stage != Stage::Fresh {
        // Only what is new is looked at until the end, or the flaw, is there.
        if arrived < HEAD_BYTES_MAX && walk(bytes, progress, None) == Ok(None) {
            return Parsed::More;
        }
        *progress = Progress::default();
    }
    head.clear();
    let fault = match walk(bytes, progress, Some(head)) {
        Ok(None) if arrived < HEAD_BYTES_MAX => return Parsed::More,
        Ok(None) => Fault::HeadTooLarge,
        Ok(Some(end)) => match judge(bytes, head) {
            Ok(()) => {
                as_asterisk(bytes, head);
                return Parsed::Done(end);
            }
            Err(fault) => fault,
        },
        Err(fault) => fault,
    };
    if head.host.is_empty() && head.has(HOST) {
        head.host = head.fields[head.known[HOST as usize] as usize].value;
    }
    Parsed::Broken(fault)
}

/// Walks over the lines from where progress stands. `None`: not whole yet.
fn walk(bytes: &mut [u8], progress: &mut Progress, mut head: Option<&mut RequestHead>) -> Result<Option<usize>, Fault> {
    if progress.stage == Stage::Fresh {
        progress.line = match bytes {
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => return Ok(None),
            _ => 0,
        };
        progress.stage = Stage::First;
    }
    if progress.stage == Stage::First && !request_line(bytes, progress, head.as_deref_mut())? {
        return Ok(None);
    }
    let table = head.map(|head| Table {
        fields: &mut head.fields,
        known: &mut head.known,
        repeated: &mut head.repeated,
        field_bytes: &mut head.field_bytes,
    });
    read_fields(bytes, progress, FIELDS_MAX, table)
}

/// `method SP target SP HTTP/1.x CRLF`, each space one and alone. False: not whole yet.
fn request_line(bytes: &[u8], progress: &mut Progress, head: Option<&mut RequestHead>) -> Result<bool, Fault> {
    let mut unused = None;
    let head = match head {
        Some(head) => head,
        // Spans and flags only: an empty table of fields takes no memory.
        None => unused.insert(RequestHead::default()),
    };
    let start = (progress.line as usize).min(bytes.len());
    let Some(space) = read_method(bytes, start)? else {
        return Ok(false);
    };
    head.method_at = Span::between(start, space);
    head.method = method_number(&bytes[start..space]);

    let target_at = space + 1;
    let stop = target_end(bytes, (progress.checked as usize).max(target_at));
    let target = Span::between(target_at, stop.max(target_at));
    if target.len as usize > TARGET_BYTES_MAX {
        readable(bytes, target, head);
        return Err(Fault::TargetTooLong);
    }
    match bytes.get(stop) {
        None => {
            progress.checked = target.end() as u32;
            return Ok(false);
        }
        Some(b' ') if !target.is_empty() => {}
        // No target, or no version after it: HTTP/0.9 among others.
        Some(b' ' | b'\r' | b'\n') => {
            readable(bytes, target, head);
            return Err(Fault::BadRequest);
        }
        Some(_) => {
            readable(bytes, target, head);
            return Err(Fault::BadTarget);
        }
    }
    // Known from here on, whatever is wrong with the rest of the line.
    readable(bytes, target, head);
    let version_at = stop + 1;
    let Some(minor) = read_version(&bytes[version_at..])? else {
        // Nothing behind the target is skipped: it is ten bytes at most.
        progress.checked = stop as u32;
        return Ok(false);
    };
    head.http10 = minor == 0;
    let form = match head.method {
        CONNECT => Form::Connect,
        OPTIONS => Form::Options,
        _ => Form::Other,
    };
    let Target {
        path, query, authority, ..
    } = read_target(bytes, target, form)?;
    head.path = path;
    head.query = query;
    head.host = authority.unwrap_or_default();
    progress.line = (version_at + VERSION_LINE.len()) as u32;
    progress.checked = progress.line;
    progress.stage = Stage::Fields;
    Ok(true)
}

/// An absolute-form of OPTIONS without path and query asks about the server as a whole, which is `*` to whoever is last on the way (RFC 9112 §3.2.4). The slash before the authority,
/// which stands for the path, becomes it.
fn as_asterisk(bytes: &mut [u8], head: &RequestHead) {
    let (path, host) = (head.path, head.host);
    if head.method == OPTIONS && path.end() == host.at as usize && bytes.get(host.end()) == Some(&b' ') {
        bytes[path.at as usize] = b'*';
    }
}

/// For the record of a request that is refused: what stands before the query.
fn readable(bytes: &[u8], target: Span, head: &mut RequestHead) {
    let text = target.of(bytes);
    let len = memchr::memchr(b'?', text).unwrap_or(text.len());
    head.path = Span {
        at: target.at,
        len: len as u32,
    };
}

/// The place of the space after the method.
fn read_method(bytes: &[u8], start: usize) -> Result<Option<usize>, Fault> {
    for (n, byte) in bytes[start..].iter().enumerate() {
        if !is_token(*byte) {
            return if *byte == b' ' && n > 0 {
                Ok(Some(start + n))
            } else {
                Err(Fault::BadRequest)
            };
        }
        if n >= METHOD_BYTES_MAX {
            return Err(Fault::NotImplemented);
        }
    }
    Ok(None)
}

#[inline]
fn method_number(text: &[u8]) -> u8 {
    METHODS
        .iter()
        .position(|method| method.as_bytes() == text)
        .map_or(METHOD_OTHER, |n| n as u8)
}

const VERSION_LINE: [u8; 10] = *b"HTTP/1.1\r\n";

/// Minor version of HTTP/1.0 and HTTP/1.1, with the line's end. Others are told apart from what is no version at all. Also the preface of HTTP/2.
fn read_version(rest: &[u8]) -> Result<Option<u8>, Fault> {
    if rest.starts_with(&VERSION_LINE) {
        return Ok(Some(1));
    }
    for (byte, wanted) in rest.iter().zip(VERSION_LINE) {
        let fits = if wanted.is_ascii_digit() {
            byte.is_ascii_digit()
        } else {
            *byte == wanted
        };
        if !fits {
            return Err(Fault::BadRequest);
        }
    }
    match rest.get(..VERSION_LINE.len()) {
        None => Ok(None),
        Some([.., b'1', b'.', minor @ (b'0' | b'1'), _, _]) => Ok(Some(minor - b'0')),
        Some(_) => Err(Fault::VersionNotSupported),
    }
}

/// What a whole head says, beyond its syntax.
fn judge(bytes: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
    // Host first: the record of a refused request should name it.
    let host = judge_host(bytes, head);
    head.framing = judge_framing(bytes, head)?;
    host?;
    let connection = read_connection(bytes, &mut head.fields, true)?;
    head.keep_alive = !connection.close && (!head.http10 || connection.keep_alive);
    let has_body = !matches!(head.framing, Framing::None | Framing::Length(0));
    if head.has(EXPECT) {
        let known = |field: &&Field| field.known == EXPECT;
        if !head
            .fields
            .iter()
            .filter(known)
            .all(|field| field.value.of(bytes).eq_ignore_ascii_case(b"100-continue"))
        {
            return Err(Fault::ExpectationFailed);
        }
        // HTTP/1.0 knows no interim answers (RFC 9110 §10.1.1).
        head.expect_continue = has_body && !head.http10;
    }
    if head.has(TE) {
        let known = |field: &&Field| field.known == TE;
        head.te_trailers = head
            .fields
            .iter()
            .filter(known)
            .flat_map(|field| listed(field.value.of(bytes)))
            .any(|coding| coding.eq_ignore_ascii_case(b"trailers"));
    }
    if head.has(UPGRADE) && connection.upgrade && head.method == GET && !head.http10 {
        match read_handshake(bytes, &head.fields) {
            Handshake::No => {}
            // What follows would be frames to one reader and a body to another.
            Handshake::Yes if has_body => return Err(Fault::BadFraming),
            Handshake::Yes => head.websocket = true,
            Handshake::BadProtocols => return Err(Fault::BadHeader),
        }
    }
    Ok(())
}

/// Exactly one Host (RFC 9112 §3.2). With absolute-form it must say the same as the target: RFC 9112 §3.2.2 has a proxy ignore Host then, but a client must
/// send both alike, and those that choose differently (servers do) would route one request to two sites. HTTP/1.0 may leave it out where the target names one.
fn judge_host(bytes: &[u8], head: &mut RequestHead) -> Result<(), Fault> {
    let authority = head.host;
    let Some(text) = head.value(HOST, bytes) else {
        return if head.http10 && !authority.is_empty() {
            Ok(())
        } else {
            Err(Fault::BadHost)
        };
    };
    if head.is_repeated(HOST) {
        return Err(Fault::BadHost);
    }
    let host = read_host(text).ok_or(Fault::BadHost)?;
    if authority.is_empty() {
        head.host = head.fields[head.known[HOST as usize] as usize].value;
        return Ok(());
    }
    let named = read_host(authority.of(bytes)).ok_or(Fault::BadHost)?;
    // `s://` or `p://` stands before the authority.
    let secure = bytes[authority.at as usize - 4].eq_ignore_ascii_case(&b's');
    let default_port: &[u8] = if secure { b"443" } else { b"80" };
    if named.agrees(&host, default_port) {
        Ok(())
    } else {
        Err(Fault::BadHost)
    }
}

/// RFC 9112 §6.3, without its repairs: one Content-Length or one `Transfer-Encoding: chunked`, never both, and no coding in HTTP/1.0.
fn judge_framing(bytes: &[u8], head: &RequestHead) -> Result<Framing, Fault> {
    let length = head.value(CONTENT_LENGTH, bytes);
    let coding = head.value(TRANSFER_ENCODING, bytes);
    match (length, coding) {
        (None, None) => Ok(Framing::None),
        (Some(_), Some(_)) => Err(Fault::BadFraming),
        (Some(text), None) => {
            // A zero before other digits: octal to some readers.
            if head.is_repeated(CONTENT_LENGTH) || (text.len() > 1 && text[0] == b'0') {
                return Err(Fault::BadFraming);
            }
            number(text).map(Framing::Length).ok_or(Fault::BadFraming)
        }
        (None, Some(text)) => {
            if head.is_repeated(TRANSFER_ENCODING) || head.http10 || !text.eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::BadFraming);
            }
            Ok(Framing::Chunked)
        }
    }
}
