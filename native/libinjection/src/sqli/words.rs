//! Words, numbers and variables.

use super::scan::{Scanner, is_white, span};
use super::tables;
use super::token::{Kind, TEXT_BYTES_MAX, Token};

/// Bytes that words and variables end before.
fn ends_both(b: u8) -> bool {
    matches!(
        b,
        b' ' | b'<'
            | b'>'
            | b':'
            | b'\\'
            | b'?'
            | b'='
            | b'@'
            | b'!'
            | b'#'
            | b'~'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'&'
            | b'|'
            | b'^'
            | b'%'
            | b'('
            | b')'
            | b','
            | b'\''
            | b';'
            | b'\t'
            | b'\n'
            | 0x0b
            | 0x0c
            | b'\r'
            | b'"'
            | 0
    )
}

fn is_of_word(b: u8) -> bool {
    !ends_both(b) && !matches!(b, b'[' | b']' | b'{' | b'}' | 0xa0)
}

fn is_of_variable(b: u8) -> bool {
    !ends_both(b) && b != b'`'
}

impl<'a> Scanner<'a> {
    /// A word. What stands in it before `.` or a backtick is one of its own when it is known: `SELECT.1`.
    pub fn word(&mut self) -> Token<'a> {
        let rest = &self.value[self.at..];
        // The known part is looked for before the end of the word, so that a word of many dots is not searched once for each.
        let begin = span(&rest[..rest.len().min(TEXT_BYTES_MAX)], is_of_word);
        for at in 0..begin {
            if matches!(rest[at], b'.' | b'`')
                && let Some(kind) = tables::kind_of(&rest[..at])
                && kind != Kind::Bareword
            {
                return self.take(kind, at);
            }
        }
        let len = begin
            + if begin < TEXT_BYTES_MAX {
                0
            } else {
                span(&rest[begin..], is_of_word)
            };
        let known = if len <= TEXT_BYTES_MAX {
            tables::kind_of(&rest[..len])
        } else {
            None
        };
        self.take(known.unwrap_or(Kind::Bareword), len)
    }

    /// A name in brackets, as SQL Server writes it.
    pub fn bracketed(&mut self) -> Token<'a> {
        let rest = &self.value[self.at..];
        let len = rest.iter().position(|b| *b == b']').map_or(rest.len(), |end| end + 1);
        self.take(Kind::Bareword, len)
    }

    /// `@name`, `@@name` and both with quotes.
    pub fn variable(&mut self) -> Token<'a> {
        self.at += if self.peek(1) == Some(b'@') { 2 } else { 1 };
        let mut token = match self.peek(0) {
            Some(b'`') => self.tick(),
            Some(quote @ (b'\'' | b'"')) => self.quoted(self.at + 1, quote, quote),
            _ => {
                let len = span(&self.value[self.at..], is_of_variable);
                self.take(Kind::Variable, len)
            }
        };
        token.kind = Kind::Variable;
        token
    }

    /// `1`, `1.5`, `.5e-3`, `0x1f`, `0b11`, and Oracle's `1.5f`.
    pub fn number(&mut self) -> Token<'a> {
        if let Some(token) = self.prefixed_number() {
            return token;
        }
        let digits = |from: usize| {
            span(self.value.get(self.at + from..).unwrap_or_default(), |b| {
                b.is_ascii_digit()
            })
        };
        let mut len = digits(0);
        if self.peek(len) == Some(b'.') {
            len += 1;
            len += digits(len);
            if len == 1 {
                return self.one(Kind::Dot);
            }
        }
        let mut kind = Kind::Number;
        if let Some(b'e' | b'E') = self.peek(len) {
            len += 1;
            if let Some(b'+' | b'-') = self.peek(len) {
                len += 1;
            }
            let exponent = digits(len);
            len += exponent;
            if exponent == 0 {
                // "10.10E" is a name.
                kind = Kind::Bareword;
            }
        }
        if let Some(b'd' | b'D' | b'f' | b'F') = self.peek(len)
            && self
                .peek(len + 1)
                .is_none_or(|b| is_white(b) || matches!(b, b';' | b'u' | b'U'))
        {
            // The suffix belongs to the number at the end and, as in "1fUNION", before a U.
            len += 1;
        }
        self.take(kind, len)
    }

    /// `0x1f` and `0b11`.
    fn prefixed_number(&mut self) -> Option<Token<'a>> {
        if self.peek(0) != Some(b'0') {
            return None;
        }
        let rest = self.value.get(self.at + 2..).unwrap_or_default();
        let digits = match self.peek(1)? {
            b'x' | b'X' => span(rest, |b| b == 0 || b.is_ascii_hexdigit()),
            b'b' | b'B' => span(rest, |b| matches!(b, b'0' | b'1' | 0)),
            _ => return None,
        };
        let kind = if digits == 0 { Kind::Bareword } else { Kind::Number };
        Some(self.take(kind, 2 + digits))
    }
}
