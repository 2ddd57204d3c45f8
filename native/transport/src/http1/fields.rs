//! Field lines (RFC 9112 §5): read one after the other until the empty line, names lowered in place, known ones numbered.

use super::scan::{LOWER_TOKEN, trimmed, value_end};
use super::{Progress, Span, Stage};
use crate::layout::{Fault, KNOWN_NAMES};

/// Longest field name, bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// One field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// In lower case.
    pub name: Span,
    /// Without white space around it; bytes of 0x80 and above as they came.
    pub value: Span,
    /// Place in `layout::KNOWN_NAMES` plus one, 0 = unknown.
    pub known: u8,
    /// Ends at this hop (RFC 9110 §7.6.1): by itself, or since Connection nominates it. Host, Content-Length and Expect are not marked: who forwards
    /// writes them anew.
    pub hop: bool,
}

/// Known id of a name at compile time; a name that the table lost does not compile.
pub(super) const fn id(name: &str) -> u8 {
    let mut i = 0;
    while i < KNOWN_NAMES.len() {
        if same(KNOWN_NAMES[i].as_bytes(), name.as_bytes()) {
            return i as u8 + 1;
        }
        i += 1;
    }
    panic!("not a known name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

pub(crate) const HOST: u8 = id("host");
pub(crate) const CONNECTION: u8 = id("connection");
pub(crate) const CONTENT_LENGTH: u8 = id("content-length");
pub(crate) const TRANSFER_ENCODING: u8 = id("transfer-encoding");
pub(crate) const EXPECT: u8 = id("expect");
pub(crate) const UPGRADE: u8 = id("upgrade");
pub(super) const TE: u8 = id("te");
pub(super) const TRAILER: u8 = id("trailer");

/// Names by their length and first byte: at most two of the known ones share both. Filled from the table, so that it follows what the table says.
const LENGTH_MAX: usize = 32;
const BY_SHAPE: [[[u8; 2]; 32]; LENGTH_MAX] = by_shape();

const fn by_shape() -> [[[u8; 2]; 32]; LENGTH_MAX] {
    let mut table = [[[0u8; 2]; 32]; LENGTH_MAX];
    let mut i = 0;
    while i < KNOWN_NAMES.len() {
        let name = KNOWN_NAMES[i].as_bytes();
        let cell = &mut table[name.len()][(name[0] & 31) as usize];
        if cell[0] == 0 {
            cell[0] = i as u8 + 1;
        } else if cell[1] == 0 {
            cell[1] = i as u8 + 1;
        } else {
            panic!("three known names of one length and first letter: widen the cells");
        }
        i += 1;
    }
    table
}

/// Known id of a lower-case name, 0 when it is none.
#[inline]
pub fn known_id(name: &[u8]) -> u8 {
    let Some(first) = name.first() else {
        return 0;
    };
    if name.len() >= LENGTH_MAX {
        return 0;
    }
    for id in BY_SHAPE[name.len()][(first & 31) as usize] {
        if id != 0 && KNOWN_NAMES[id as usize - 1].as_bytes() == name {
            return id;
        }
    }
    0
}

/// True for fields that concern one connection only, whether Connection says so or not.
fn is_hop(known: u8, name: &[u8]) -> bool {
    match known {
        CONNECTION | TRANSFER_ENCODING | UPGRADE | TE | TRAILER => true,
        0 => match name.len() {
            10 => name == b"keep-alive",
            14 => name == b"http2-settings",
            16 => name == b"proxy-connection",
            18 => name == b"proxy-authenticate",
            19 => name == b"proxy-authorization",
            25 => name == b"proxy-authentication-info",
            _ => false,
        },
        _ => false,
    }
}

/// Valid names that CGI and its heirs cannot tell from the framing fields: to such an upstream they would be a second length.
fn is_lookalike(name: &[u8]) -> bool {
    match name.len() {
        14 => name == b"content_length",
        17 => name == b"transfer_encoding",
        _ => false,
    }
}

/// Where whole field lines go.
pub(super) struct Table<'a> {
    pub fields: &'a mut Vec<Field>,
    pub known: &'a mut [i16; 32],
    pub repeated: &'a mut u32,
    pub field_bytes: &'a mut u32,
}

impl Table<'_> {
    #[inline]
    fn add(&mut self, bytes: &[u8], name: Span, value: Span) {
        let text = name.of(bytes);
        let known = known_id(text);
        if known != 0 {
            let first = &mut self.known[known as usize];
            if *first < 0 {
                *first = self.fields.len() as i16;
            } else {
                *self.repeated |= 1 << known;
            }
        }
        *self.field_bytes += name.len + value.len;
        self.fields.push(Field {
            name,
            value,
            known,
            hop: is_hop(known, text),
        });
    }
}

/// Reads field lines from `progress.line` on. `None`: the empty line is not here yet; else the place after it. `table`: where they go, or none when they are
/// only checked.
pub(super) fn read_fields(
    bytes: &mut [u8],
    progress: &mut Progress,
    fields_max: usize,
    mut table: Option<Table<'_>>,
) -> Result<Option<usize>, Fault> {
    debug_assert_eq!(progress.stage, Stage::Fields);
    loop {
        let line = progress.line as usize;
        match bytes.get(line) {
            None => return Ok(None),
            Some(b'\r') => {
                return match bytes.get(line + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some(line + 2)),
                    Some(_) => Err(Fault::BadHeader),
                };
            }
            Some(_) if progress.fields as usize >= fields_max => return Err(Fault::HeadTooLarge),
            Some(_) => {}
        }
        let Some(colon) = read_name(bytes, line)? else {
            return Ok(None);
        };
        let stop = value_end(bytes, (progress.checked as usize).max(colon + 1));
        match bytes.get(stop..) {
            Some([b'\r', b'\n', ..]) => {}
            Some([]) | Some([b'\r']) | None => {
                progress.checked = stop as u32;
                return Ok(None);
            }
            // A control byte, a bare CR or a bare LF.
            Some(_) => return Err(Fault::BadHeader),
        }
        let name = Span::between(line, colon);
        if is_lookalike(name.of(bytes)) {
            return Err(Fault::BadHeader);
        }
        if let Some(table) = &mut table {
            let (from, to) = trimmed(bytes, colon + 1, stop);
            table.add(bytes, name, Span::between(from, to));
        }
        progress.fields += 1;
        progress.line = stop as u32 + 2;
    }
}

/// Checks and lowers a name; the place of its colon, or none when it is not here yet. White space before the colon or the line, an empty name and a line
/// without colon are all the same flaw: a byte that is no token where a token must go on.
#[inline]
fn read_name(bytes: &mut [u8], line: usize) -> Result<Option<usize>, Fault> {
    let rest = &mut bytes[line..];
    for (n, byte) in rest.iter_mut().enumerate() {
        let lower = LOWER_TOKEN[*byte as usize];
        if lower == 0 {
            return if *byte == b':' && n > 0 {
                Ok(Some(line + n))
            } else {
                Err(Fault::BadHeader)
            };
        }
        if n >= NAME_BYTES_MAX {
            return Err(Fault::HeadTooLarge);
        }
        *byte = lower;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_by_its_number_and_nothing_else_is() {
        for (n, name) in KNOWN_NAMES.iter().enumerate() {
            assert_eq!(known_id(name.as_bytes()) as usize, n + 1, "{name}");
            let longer = format!("{name}x");
            if !KNOWN_NAMES.contains(&longer.as_str()) {
                assert_eq!(known_id(longer.as_bytes()), 0);
            }
            let mut other = name.as_bytes().to_vec();
            *other.last_mut().expect("a byte") ^= 1;
            assert_eq!(known_id(&other), 0);
        }
        for name in [
            "",
            "x",
            "keep-alive",
            "proxy-authorization",
            "a-name-that-is-longer-than-every-known-one",
        ] {
            assert_eq!(known_id(name.as_bytes()), 0);
        }
    }
}
