//! What a match leaves for the decision record: bounded, and with secrets masked.

use crate::seclang::variable::Var;

/// Most matches kept with their texts.
pub const REPORTS_MAX: usize = 64;
/// Most bytes of a message.
const MESSAGE_BYTES_MAX: usize = 200;
/// Most bytes of a variable's name.
const VARIABLE_BYTES_MAX: usize = 100;
/// Most bytes of a value.
const VALUE_BYTES_MAX: usize = 100;

/// One match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// Id of the rule.
    pub rule: u32,
    /// 0 to 7; 255 when not given.
    pub severity: u8,
    /// 1 to 5.
    pub phase: u8,
    /// The message, printable ASCII.
    pub message: &'a [u8],
    /// The full name of what matched.
    pub variable: &'a [u8],
    /// Its value: masked or printable ASCII, cut.
    pub value: &'a [u8],
}

#[derive(Clone, Copy)]
struct Row {
    rule: u32,
    severity: u8,
    phase: u8,
    at: [usize; 4],
}

/// All matches of a transaction.
#[derive(Default)]
pub(crate) struct Reports {
    rows: Vec<Row>,
    bytes: Vec<u8>,
}

impl Reports {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
    }

    pub fn is_full(&self) -> bool {
        self.rows.len() >= REPORTS_MAX
    }

    pub fn push(&mut self, rule: u32, severity: u8, phase: u8, message: &[u8], variable: &[u8], value: Shown<'_>) {
        if self.is_full() {
            return;
        }
        let a = self.bytes.len();
        push_printable(&mut self.bytes, message, MESSAGE_BYTES_MAX);
        let b = self.bytes.len();
        push_printable(&mut self.bytes, variable, VARIABLE_BYTES_MAX);
        let c = self.bytes.len();
        match value {
            Shown::Plain(v) => push_printable(&mut self.bytes, v, VALUE_BYTES_MAX),
            Shown::Masked(length) => {
                self.bytes.extend_from_slice(b"<masked, ");
                crate::bytes::push_int(&mut self.bytes, i64::try_from(length).unwrap_or(i64::MAX));
                self.bytes.extend_from_slice(b" bytes>");
            }
        }
        let d = self.bytes.len();
        self.rows.push(Row {
            rule,
            severity,
            phase,
            at: [a, b, c, d],
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = Report<'_>> {
        self.rows.iter().map(|r| Report {
            rule: r.rule,
            severity: r.severity,
            phase: r.phase,
            message: &self.bytes[r.at[0]..r.at[1]],
            variable: &self.bytes[r.at[1]..r.at[2]],
            value: &self.bytes[r.at[2]..r.at[3]],
        })
    }
}

/// How a value is shown.
pub(crate) enum Shown<'a> {
    Plain(&'a [u8]),
    Masked(usize),
}

/// Appends at most `max` bytes of printable ASCII; other bytes become `\xHH`.
pub(crate) fn push_printable(out: &mut Vec<u8>, text: &[u8], max: usize) {
    let end = out.len() + max;
    for &b in text {
        let room = end - out.len();
        if (0x20..0x7f).contains(&b) {
            if room < 1 {
                return;
            }
            out.push(b);
        } else {
            if room < 4 {
                return;
            }
            out.extend_from_slice(b"\\x");
            out.push(b"0123456789abcdef"[usize::from(b >> 4)]);
            out.push(b"0123456789abcdef"[usize::from(b & 15)]);
        }
    }
}

/// Bytes of a key that are looked at for words of secrets.
const SECRET_KEY_BYTES_MAX: usize = 256;
/// Words in the key of an argument or header that make its value a secret.
const SECRET_WORDS: [&[u8]; 12] = [
    b"pass",
    b"pwd",
    b"secret",
    b"token",
    b"auth",
    b"session",
    b"apikey",
    b"api-key",
    b"api_key",
    b"credential",
    b"card",
    b"cvv",
];

/// True when a value is a credential by its place or the name of its key, so that records must not show it.
pub(crate) fn is_secret(var: Var, key: &[u8]) -> bool {
    match var {
        Var::RequestCookies | Var::RequestBodyRaw => true,
        Var::RequestHeaders | Var::Args | Var::ArgsGet | Var::ArgsPost | Var::ResponseHeaders => {
            let mut folded = [0; SECRET_KEY_BYTES_MAX];
            let folded = &mut folded[..key.len().min(SECRET_KEY_BYTES_MAX)];
            folded.copy_from_slice(&key[..folded.len()]);
            folded.make_ascii_lowercase();
            folded.ends_with(b"cookie") || SECRET_WORDS.iter().any(|w| memchr::memmem::find(folded, w).is_some())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_printable_and_bounded() {
        let mut r = Reports::default();
        r.push(1, 2, 1, b"a\nb", b"ARGS:x", Shown::Plain(&[0xff; 300]));
        r.push(2, 2, 1, b"m", b"ARGS:password", Shown::Masked(7));
        let list: Vec<_> = r.iter().collect();
        assert_eq!(list[0].message, b"a\\x0ab");
        assert_eq!(list[0].value.len(), 100);
        assert_eq!(list[1].value, b"<masked, 7 bytes>");
        for _ in 0..1000 {
            r.push(3, 2, 1, b"m", b"v", Shown::Plain(b"x"));
        }
        assert_eq!(r.iter().count(), REPORTS_MAX);
    }

    #[test]
    fn credentials_are_secret() {
        assert!(is_secret(Var::RequestHeaders, b"Authorization") && is_secret(Var::RequestCookies, b"a"));
        assert!(
            is_secret(Var::Args, b"user_password") && !is_secret(Var::Args, b"q") && !is_secret(Var::RequestUri, b"")
        );
    }
}
