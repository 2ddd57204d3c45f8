//! Text in quotes of all kinds.

use super::scan::{Scanner, find_pair, span};
use super::tables;
use super::token::{Kind, Token};

impl<'a> Scanner<'a> {
    /// Text from a place up to a delimiter that is neither doubled nor behind an odd number of backslashes.
    pub fn quoted(&mut self, from: usize, delimiter: u8, open: u8) -> Token<'a> {
        let value = self.value;
        let mut at = from;
        loop {
            let Some(found) = value[at..].iter().position(|b| *b == delimiter) else {
                self.at = value.len();
                return Token::quoted(&value[from..], open, 0);
            };
            let end = at + found;
            let backslashes = value[from..end].iter().rev().take_while(|b| **b == b'\\').count();
            if backslashes % 2 == 1 {
                at = end + 1;
            } else if value.get(end + 1) == Some(&delimiter) {
                at = end + 2;
            } else {
                self.at = end + 1;
                return Token::quoted(&value[from..end], open, delimiter);
            }
        }
    }

    /// PostgreSQL's `E'...'` and MySQL's `N'...'`.
    pub fn escape_string(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'\'') || self.peek(2).is_none() {
            return self.word();
        }
        self.quoted(self.at + 2, b'\'', b'\'')
    }

    /// `U&'...'`
    pub fn unicode_string(&mut self) -> Token<'a> {
        if !self.value[self.at + 1..].starts_with(b"&'") {
            return self.word();
        }
        let mut token = self.quoted(self.at + 3, b'\'', b'u');
        if token.close == b'\'' {
            token.close = b'u';
        }
        token
    }

    /// `N'...'`, or Oracle's `NQ'(...)'`.
    pub fn national_string(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'\'') && self.peek(2).is_some() {
            return self.escape_string();
        }
        self.oracle_string(1)
    }

    /// Oracle's `Q'(...)'`, with any byte for the parentheses; the `Q` stands so far from the place.
    pub fn oracle_string(&mut self, offset: usize) -> Token<'a> {
        let (Some(b'q' | b'Q'), Some(b'\''), Some(first)) =
            (self.peek(offset), self.peek(offset + 1), self.peek(offset + 2))
        else {
            return self.word();
        };
        let last = match first {
            ..=b' ' | 0x80.. => return self.word(),
            b'(' => b')',
            b'[' => b']',
            b'{' => b'}',
            b'<' => b'>',
            other => other,
        };
        let from = self.at + offset + 3;
        self.delimited(from, b'q', |text| find_pair(text, [last, b'\'']), 2)
    }

    /// Text from a place up to where `find` finds the delimiter, which has so many bytes.
    fn delimited(
        &mut self,
        from: usize,
        quote: u8,
        find: impl FnOnce(&[u8]) -> Option<usize>,
        delimiter_bytes: usize,
    ) -> Token<'a> {
        let text = &self.value[from..];
        match find(text) {
            None => {
                self.at = self.value.len();
                Token::quoted(text, quote, 0)
            }
            Some(len) => {
                self.at = from + len + delimiter_bytes;
                Token::quoted(&text[..len], quote, quote)
            }
        }
    }

    /// `B'0101'` and `X'0aff'`.
    pub fn digits_in_quotes(&mut self, digit: impl Fn(u8) -> bool) -> Token<'a> {
        if self.peek(1) != Some(b'\'') || self.peek(2).is_none() {
            return self.word();
        }
        let len = span(&self.value[self.at + 2..], |b| b == 0 || digit(b));
        if self.peek(2 + len) != Some(b'\'') {
            return self.word();
        }
        self.take(Kind::Number, len + 3)
    }

    /// A name in backticks. MySQL calls functions by such names too.
    pub fn tick(&mut self) -> Token<'a> {
        let mut token = self.quoted(self.at + 1, b'`', b'`');
        token.kind = match tables::kind_of(token.text()) {
            Some(Kind::Function) => Kind::Function,
            _ => Kind::Bareword,
        };
        token
    }

    /// `$1,000.00`, or PostgreSQL's `$$...$$` and `$name$...$name$`.
    pub fn money(&mut self) -> Token<'a> {
        let rest = &self.value[self.at + 1..];
        let digits = span(rest, |b| matches!(b, b'0'..=b'9' | b'.' | b',' | 0));
        if digits == 1 && rest[0] == b'.' {
            return self.word();
        }
        if digits > 0 {
            return self.take(Kind::Number, digits + 1);
        }
        if rest.first() == Some(&b'$') {
            return self.delimited(self.at + 2, b'$', |text| find_pair(text, *b"$$"), 2);
        }
        let name = span(rest, |b| b.is_ascii_alphabetic() || b == 0);
        if name == 0 || rest.get(name) != Some(&b'$') {
            return self.one(Kind::Bareword);
        }
        let delimiter = &self.value[self.at..self.at + name + 2];
        let find = |text: &[u8]| text.windows(delimiter.len()).position(|w| w == delimiter);
        self.delimited(self.at + delimiter.len(), b'$', find, delimiter.len())
    }
}
