//! The chunked transfer coding (RFC 9112 §7.1), read as it arrives: nothing is kept but counters, and trailers when there are any.

use super::fields::NAME_BYTES_MAX;
use super::scan::{LOWER_TOKEN, in_value, is_space, is_token, trimmed};
use crate::layout::Fault;

/// Largest chunk, bytes: what a double counts exactly.
pub const CHUNK_SIZE_MAX: u64 = (1 << 53) - 1;
/// Digits of a chunk size, leading zeros included.
pub const CHUNK_DIGITS_MAX: u8 = 16;
/// Bytes of all chunk extensions of one message.
pub const EXTENSION_BYTES_MAX: u32 = 4 * 1024;
/// Bytes of the trailer section of one message as it arrives.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Trailers of one message as they arrive.
pub const TRAILERS_MAX: u8 = 64;

/// What came of one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes that belong to the body; less than the piece only when it is over.
    pub consumed: usize,
    /// The body is over: what follows is another message.
    pub done: bool,
}

/// Decoder of one body at a time.
#[derive(Clone, Debug, Default)]
pub struct Chunked {
    state: State,
    /// Digits of the size so far.
    digits: u8,
    /// Size so far, or bytes of the chunk that are still to come.
    left: u64,
    /// Bytes of extensions so far.
    extension_bytes: u32,
    /// Bytes of trailers so far, dropped ones included.
    trailer_bytes: usize,
    trailer_count: u8,
    /// Whole trailers that pass, and the line that is arriving.
    trailers: Vec<u8>,
    /// Where the line that is arriving begins in `trailers`.
    line: usize,
    /// Where its value begins, colon included; 0 while its name is arriving.
    colon: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Digits of a chunk size.
    #[default]
    Size,
    /// White space after the size or an extension: a semicolon must follow (RFC 9112 §7.1.1 allows it there, and nowhere else).
    BeforeSemicolon,
    /// After the semicolon.
    BeforeName,
    Name,
    /// White space after an extension's name: an equals sign or a semicolon must follow.
    AfterName,
    /// After the equals sign.
    BeforeValue,
    Value,
    Quoted,
    /// After a backslash within quotes.
    Escaped,
    /// After the closing quote.
    AfterQuoted,
    /// LF of the size line.
    SizeLf,
    Data,
    /// CR after the data.
    DataCr,
    /// LF after the data.
    DataLf,
    /// First byte of a trailer line, or CR of the empty line.
    TrailerStart,
    Trailer,
    /// LF after a trailer.
    TrailerLf,
    /// LF of the empty line.
    EndLf,
    Done,
}

impl Chunked {
    /// Makes it ready for the next body, keeping its memory.
    pub fn reset(&mut self) {
        let mut trailers = std::mem::take(&mut self.trailers);
        trailers.clear();
        *self = Chunked {
            trailers,
            ..Chunked::default()
        };
    }

    /// Reads a piece of the body and hands its content to `sink` in pieces of that piece. After an error, or once it is done, the decoder reads nothing more
    /// before `reset`. Errors: `BadFraming` for sizes, extensions and data, `BadHeader` for trailers, `HeadTooLarge` for too many or too long trailers.
    pub fn decode(&mut self, input: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<Decoded, Fault> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            if self.state == State::Data {
                let here = self.left.min((input.len() - at) as u64) as usize;
                sink(&input[at..at + here]);
                at += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            self.state = self.step(input[at])?;
            at += 1;
        }
        Ok(Decoded {
            consumed: at,
            done: self.state == State::Done,
        })
    }

    /// Trailers as lines `name: value CRLF`, names in lower case; those that must not come after a body are left out (RFC 9110 §6.5.1). Complete once the body
    /// is done.
    pub fn trailers(&self) -> &[u8] {
        &self.trailers[..self.line]
    }

    /// One byte that is not content.
    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        match self.state {
            State::Size => self.size(byte),
            State::BeforeSemicolon
            | State::BeforeName
            | State::Name
            | State::AfterName
            | State::BeforeValue
            | State::Value
            | State::Quoted
            | State::Escaped
            | State::AfterQuoted => self.extension(byte),
            State::SizeLf if byte == b'\n' => {
                self.digits = 0;
                Ok(if self.left == 0 {
                    State::TrailerStart
                } else {
                    State::Data
                })
            }
            State::DataCr if byte == b'\r' => Ok(State::DataLf),
            State::DataLf if byte == b'\n' => Ok(State::Size),
            State::EndLf if byte == b'\n' => Ok(State::Done),
            State::TrailerStart if byte == b'\r' => Ok(State::EndLf),
            State::TrailerStart | State::Trailer => self.trailer(byte),
            State::TrailerLf if byte == b'\n' => {
                self.trailer_ended();
                Ok(State::TrailerStart)
            }
            State::TrailerLf | State::EndLf => Err(Fault::BadHeader),
            _ => Err(Fault::BadFraming),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.digits == 0 => return Err(Fault::BadFraming),
            b'\r' => return Ok(State::SizeLf),
            b';' | b' ' | b'\t' => {
                self.count_extension()?;
                return Ok(if byte == b';' {
                    State::BeforeName
                } else {
                    State::BeforeSemicolon
                });
            }
            _ => return Err(Fault::BadFraming),
        };
        self.digits += 1;
        // Sixteen digits fit 64 bits, so that nothing is lost before it is compared.
        self.left = (self.left << 4) | u64::from(digit);
        if self.digits > CHUNK_DIGITS_MAX || self.left > CHUNK_SIZE_MAX {
            return Err(Fault::BadFraming);
        }
        Ok(State::Size)
    }

    /// `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`: checked, and dropped.
    fn extension(&mut self, byte: u8) -> Result<State, Fault> {
        self.count_extension()?;
        let next = match (self.state, byte) {
            (State::BeforeSemicolon, b' ' | b'\t') => State::BeforeSemicolon,
            (State::BeforeSemicolon | State::Name | State::AfterName | State::Value | State::AfterQuoted, b';') => {
                State::BeforeName
            }
            (State::BeforeName, b' ' | b'\t') => State::BeforeName,
            (State::BeforeName | State::Name, _) if is_token(byte) => State::Name,
            (State::Name | State::AfterName, b'=') => State::BeforeValue,
            (State::Name | State::AfterName, b' ' | b'\t') => State::AfterName,
            (State::BeforeValue, b' ' | b'\t') => State::BeforeValue,
            (State::BeforeValue, b'"') => State::Quoted,
            (State::BeforeValue | State::Value, _) if is_token(byte) => State::Value,
            (State::Value | State::AfterQuoted, b' ' | b'\t') => State::BeforeSemicolon,
            (State::Quoted, b'"') => State::AfterQuoted,
            (State::Quoted, b'\\') => State::Escaped,
            (State::Quoted | State::Escaped, _) if in_value(byte) => State::Quoted,
            (State::Name | State::Value | State::AfterQuoted, b'\r') => State::SizeLf,
            _ => return Err(Fault::BadFraming),
        };
        Ok(next)
    }

    fn count_extension(&mut self) -> Result<(), Fault> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            Err(Fault::BadFraming)
        } else {
            Ok(())
        }
    }

    fn trailer(&mut self, byte: u8) -> Result<State, Fault> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err(Fault::HeadTooLarge);
        }
        if self.state == State::TrailerStart {
            self.trailer_count += 1;
            if self.trailer_count > TRAILERS_MAX {
                return Err(Fault::HeadTooLarge);
            }
            self.colon = 0;
        }
        if self.colon == 0 {
            let lower = LOWER_TOKEN[byte as usize];
            let length = self.trailers.len() - self.line;
            if lower != 0 && length < NAME_BYTES_MAX {
                self.trailers.push(lower);
            } else if lower != 0 {
                return Err(Fault::HeadTooLarge);
            } else if byte == b':' && length > 0 {
                self.colon = self.trailers.len();
                self.trailers.extend_from_slice(b": ");
            } else {
                return Err(Fault::BadHeader);
            }
        } else if byte == b'\r' {
            return Ok(State::TrailerLf);
        } else if !in_value(byte) {
            return Err(Fault::BadHeader);
        } else if !is_space(byte) || self.trailers.len() > self.colon + 2 {
            self.trailers.push(byte);
        }
        Ok(State::Trailer)
    }

    /// Keeps the line that has arrived, or drops it.
    fn trailer_ended(&mut self) {
        let name = &self.trailers[self.line..self.colon];
        if is_forbidden_trailer(name) {
            self.trailers.truncate(self.line);
            return;
        }
        let (_, end) = trimmed(&self.trailers, self.colon + 2, self.trailers.len());
        self.trailers.truncate(end);
        self.trailers.extend_from_slice(b"\r\n");
        self.line = self.trailers.len();
    }
}

/// Fields that frame, route, authenticate, control or describe content: too late after the body, and dangerous for whoever merges trailers into the head
/// (RFC 9110 §6.5.1).
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 36] = [
        b"age",
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-location",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"forwarded",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"origin",
        b"pragma",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"traceparent",
        b"tracestate",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"via",
        b"warning",
        b"www-authenticate",
        b"x-real-ip",
        b"x-request-id",
    ];
    NAMES
        .iter()
        .any(|other| other.len() == name.len() && begins(name, other))
        || [b"if-".as_slice(), b"proxy-", b"x-forwarded-", b"sec-websocket-"]
            .iter()
            .any(|prefix| begins(name, prefix))
}

/// Whether a name begins so, `_` being as good as `-`: CGI and its heirs cannot tell them apart.
fn begins(name: &[u8], prefix: &[u8]) -> bool {
    name.len() >= prefix.len()
        && prefix
            .iter()
            .zip(name)
            .all(|(a, b)| a == b || (*a == b'-' && *b == b'_'))
}

/// Writes the line that begins a chunk of so many bytes, `1a CRLF`, and gives its length. `len` is 1 to 2^32 - 1 (0 would end the body, which is right only
/// at its end); beyond it nothing is written.
pub fn chunk_prefix(len: usize, out: &mut [u8; 10]) -> usize {
    if len > u32::MAX as usize {
        return 0;
    }
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4).max(1) as usize;
    for (n, byte) in out[..digits].iter_mut().enumerate() {
        *byte = b"0123456789abcdef"[(len >> (4 * (digits - 1 - n))) & 15];
    }
    out[digits..digits + 2].copy_from_slice(b"\r\n");
    digits + 2
}
