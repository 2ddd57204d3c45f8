//! The head of a response (RFC 9112 §4, §6.3), read as strictly as a request's: what an upstream can make ambiguous, a client behind us would read differently.

use super::connection::read_connection;
use super::fields::{CONTENT_LENGTH, Field, TRANSFER_ENCODING, Table, UPGRADE, read_fields};
use super::scan::{listed, number, value_end};
use super::{Framing, Parsed, Progress, Span, Stage};
use crate::layout::Fault;

/// Field lines of one response head.
pub const RESPONSE_FIELDS_MAX: usize = 256;
/// Bytes of one response head.
pub const RESPONSE_HEAD_BYTES_MAX: usize = 64 * 1024;

/// The head of a response. Made once and read into again and again: it is cleared by `parse_response`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 100 to 599.
    pub status: u16,
    /// Reason phrase, often empty.
    pub reason: Span,
    /// All field lines in their order.
    pub fields: Vec<Field>,
    /// How the body's end is found. 1xx, 204, 304 and answers to HEAD have none, whatever their fields say.
    pub framing: Framing,
    /// HTTP/1.0; otherwise it is HTTP/1.1.
    pub http10: bool,
    /// The connection can be used again once the body is over. False also where an answer without a body declares one: nobody knows whether it was sent.
    pub keep_alive: bool,
    /// 101 that switches to WebSocket, the only protocol that we ask for: the connection belongs to that from here on. Any other 101 is no answer.
    pub upgrade: bool,
    /// `timeout` of Keep-Alive, s: how long the peer keeps the connection when idle, by its own account.
    pub keep_alive_hint_s: Option<u32>,
    /// Bytes of all names and values.
    pub field_bytes: u32,
    /// Index of the first field with this known id, or -1.
    pub known: [i16; 32],
    /// Bit n: the known field n occurs more than once.
    pub repeated: u32,
}

impl Default for ResponseHead {
    fn default() -> ResponseHead {
        ResponseHead {
            status: 0,
            reason: Span::default(),
            fields: Vec::new(),
            framing: Framing::None,
            http10: false,
            keep_alive: false,
            upgrade: false,
            keep_alive_hint_s: None,
            field_bytes: 0,
            known: [-1; 32],
            repeated: 0,
        }
    }
}

impl ResponseHead {
    fn clear(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        *self = ResponseHead {
            fields,
            ..ResponseHead::default()
        };
    }

    /// Value of the first field with this known id.
    pub fn value<'a>(&self, known: u8, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let index = usize::try_from(self.known[known as usize & 31]).ok()?;
        self.fields.get(index).map(|field| field.value.of(bytes))
    }

    fn is_repeated(&self, known: u8) -> bool {
        self.repeated & (1 << known) != 0
    }
}

/// Reads the head of a response that begins at the first byte, as `parse_request` reads that of a request; no empty line may stand before it. `to_head`: it
/// answers HEAD. Every flaw is `Broken(BadRequest)`: to the client they are all one refusal.
pub fn parse_response(bytes: &mut [u8], progress: &mut Progress, head: &mut ResponseHead, to_head: bool) -> Parsed {
    let arrived = bytes.len();
    let bytes = &mut bytes[..arrived.min(RESPONSE_HEAD_BYTES_MAX)];
    if progress.stage != Stage::Fresh {
        if arrived < RESPONSE_HEAD_BYTES_MAX && walk(bytes, progress, None) == Ok(None) {
            return Parsed::More;
        }
        *progress = Progress::default();
    }
    head.clear();
    match walk(bytes, progress, Some(head)) {
        Ok(None) if arrived < RESPONSE_HEAD_BYTES_MAX => Parsed::More,
        Ok(Some(end)) if judge(bytes, head, to_head).is_ok() => Parsed::Done(end),
        _ => Parsed::Broken(Fault::BadRequest),
    }
}

fn walk(
    bytes: &mut [u8],
    progress: &mut Progress,
    mut head: Option<&mut ResponseHead>,
) -> Result<Option<usize>, Fault> {
    if progress.stage == Stage::Fresh {
        progress.stage = Stage::First;
    }
    if progress.stage == Stage::First && !status_line(bytes, progress, head.as_deref_mut())? {
        return Ok(None);
    }
    let table = head.map(|head| Table {
        fields: &mut head.fields,
        known: &mut head.known,
        repeated: &mut head.repeated,
        field_bytes: &mut head.field_bytes,
    });
    read_fields(bytes, progress, RESPONSE_FIELDS_MAX, table)
}

/// What a status line begins with; `0` stands for a digit.
const STATUS_LINE: [u8; 12] = *b"HTTP/1.0 000";

/// `HTTP/1.x SP status SP [reason] CRLF`; the space before an empty reason may be missing, as several servers leave it out. False: not whole yet.
fn status_line(bytes: &[u8], progress: &mut Progress, head: Option<&mut ResponseHead>) -> Result<bool, Fault> {
    for (n, (byte, wanted)) in bytes.iter().zip(STATUS_LINE).enumerate() {
        let fits = match n {
            7 => matches!(byte, b'0' | b'1'),
            9 => matches!(byte, b'1'..=b'5'),
            10 | 11 => byte.is_ascii_digit(),
            _ => *byte == wanted,
        };
        if !fits {
            return Err(Fault::BadRequest);
        }
    }
    let from = STATUS_LINE.len();
    match bytes.get(from) {
        None => return Ok(false),
        Some(b' ' | b'\r') => {}
        Some(_) => return Err(Fault::BadRequest),
    }
    let stop = value_end(bytes, (progress.checked as usize).max(from));
    match bytes.get(stop..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([]) | Some([b'\r']) | None => {
            progress.checked = stop as u32;
            return Ok(false);
        }
        Some(_) => return Err(Fault::BadRequest),
    }
    if let Some(head) = head {
        head.http10 = bytes[7] == b'0';
        head.status = bytes[9..12]
            .iter()
            .fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        head.reason = Span::between((from + 1).min(stop), stop);
    }
    progress.line = stop as u32 + 2;
    progress.checked = progress.line;
    progress.stage = Stage::Fields;
    Ok(true)
}

/// What a whole head says, beyond its syntax.
fn judge(bytes: &[u8], head: &mut ResponseHead, to_head: bool) -> Result<(), Fault> {
    let connection = read_connection(bytes, &mut head.fields, false)?;
    let declared = judge_framing(bytes, head)?;
    let interim = head.status < 200;
    let bodiless = interim || matches!(head.status, 204 | 304) || to_head;
    head.framing = if bodiless { Framing::None } else { declared };
    head.keep_alive =
        !connection.close && (!head.http10 || connection.keep_alive) && head.framing != Framing::UntilClose;
    // Neither length nor coding may stand in these (RFC 9112 §6.1, RFC 9110 §8.6), whatever the method was.
    if interim || head.status == 204 {
        if !matches!(declared, Framing::UntilClose | Framing::Length(0)) {
            if interim {
                return Err(Fault::BadFraming);
            }
            head.keep_alive = false;
        }
        for field in head.fields.iter_mut().filter(|field| field.known == CONTENT_LENGTH) {
            field.hop = true;
        }
    }
    head.upgrade = head.status == 101 && connection.upgrade && !head.http10 && is_websocket(bytes, head);
    head.keep_alive_hint_s = keep_alive_hint(bytes, &head.fields);
    Ok(())
}

/// RFC 9112 §6.3 without its repairs, as for requests; without length and coding the body lasts until the close.
fn judge_framing(bytes: &[u8], head: &ResponseHead) -> Result<Framing, Fault> {
    match (head.value(CONTENT_LENGTH, bytes), head.value(TRANSFER_ENCODING, bytes)) {
        (None, None) => Ok(Framing::UntilClose),
        (Some(_), Some(_)) => Err(Fault::BadFraming),
        (Some(text), None) => {
            if head.is_repeated(CONTENT_LENGTH) {
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

/// The response names WebSocket and nothing else (RFC 6455 §4.1).
fn is_websocket(bytes: &[u8], head: &ResponseHead) -> bool {
    let mut names = head
        .fields
        .iter()
        .filter(|field| field.known == UPGRADE)
        .flat_map(|field| listed(field.value.of(bytes)));
    names.next().is_some_and(|name| name.eq_ignore_ascii_case(b"websocket")) && names.next().is_none()
}

/// `Keep-Alive: timeout=5, max=100`.
fn keep_alive_hint(bytes: &[u8], fields: &[Field]) -> Option<u32> {
    let field = fields
        .iter()
        .find(|field| field.known == 0 && field.name.of(bytes) == b"keep-alive")?;
    listed(field.value.of(bytes)).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(8)?;
        let seconds = name.eq_ignore_ascii_case(b"timeout=").then(|| number(value))??;
        Some(u32::try_from(seconds).unwrap_or(u32::MAX))
    })
}
