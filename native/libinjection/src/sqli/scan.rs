//! Reads one token after the other.

use super::tables;
use super::token::{Kind, Token};

/// How comments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `--` begins a comment, `#` does not.
    Ansi,
    /// `--` begins a comment before white space only, `#` always.
    MySql,
}

/// What the value is taken to begin inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quote {
    None,
    Single,
    Double,
}

/// A place in a value.
pub(super) struct Scanner<'a> {
    pub value: &'a [u8],
    /// Where the next token begins.
    pub at: usize,
    dialect: Dialect,
    quote: Quote,
    /// Tokens so far.
    pub tokens: u32,
    /// A comment was seen that MySQL reads otherwise.
    pub other_in_mysql: bool,
}

/// White space of SQL; NUL is some to Oracle, 0xa0 is Latin-1's.
pub(super) fn is_white(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' | 0xa0 | 0)
}

/// Where a pair of bytes stands in a text.
pub(super) fn find_pair(text: &[u8], pair: [u8; 2]) -> Option<usize> {
    text.windows(2).position(|w| w == pair)
}

/// How many bytes at the beginning of a text satisfy a condition.
pub(super) fn span(text: &[u8], accept: impl Fn(u8) -> bool) -> usize {
    text.iter().position(|b| !accept(*b)).unwrap_or(text.len())
}

impl<'a> Scanner<'a> {
    pub fn new(value: &'a [u8], quote: Quote, dialect: Dialect) -> Self {
        Self {
            value,
            at: 0,
            dialect,
            quote,
            tokens: 0,
            other_in_mysql: false,
        }
    }

    /// The next token; `None` at the end.
    pub fn next(&mut self) -> Option<Token<'a>> {
        let token = match self.quote {
            Quote::Single if self.at == 0 => Some(self.quoted(0, b'\'', 0)),
            Quote::Double if self.at == 0 => Some(self.quoted(0, b'"', 0)),
            _ => self.unquoted(),
        };
        self.tokens += u32::from(token.is_some());
        token
    }

    fn unquoted(&mut self) -> Option<Token<'a>> {
        self.at += span(&self.value[self.at..], |b| b <= b' ' || b == 0x7f || b == 0xa0);
        let first = *self.value.get(self.at)?;
        Some(match first {
            b'"' | b'\'' => self.quoted(self.at + 1, first, first),
            b'#' => self.hash(),
            b'$' => self.money(),
            b'%' | b'+' | b'^' | b'~' => self.one(Kind::Operator),
            b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(),
            b'(' => self.one(Kind::Open),
            b')' => self.one(Kind::Close),
            b',' => self.one(Kind::Comma),
            b';' => self.one(Kind::Semicolon),
            b'{' => self.one(Kind::OpenBrace),
            b'}' => self.one(Kind::CloseBrace),
            b'-' => self.dash(),
            b'.' | b'0'..=b'9' => self.number(),
            b'/' => self.slash(),
            b'?' | b']' => self.one(Kind::Unknown),
            b'@' => self.variable(),
            b'[' => self.bracketed(),
            b'\\' => self.backslash(),
            b'`' => self.tick(),
            b'B' | b'b' => self.digits_in_quotes(|b| matches!(b, b'0' | b'1')),
            b'X' | b'x' => self.digits_in_quotes(|b| b.is_ascii_hexdigit()),
            b'E' | b'e' => self.escape_string(),
            b'N' | b'n' => self.national_string(),
            b'Q' | b'q' => self.oracle_string(0),
            b'U' | b'u' => self.unicode_string(),
            _ => self.word(),
        })
    }

    /// The byte so far from the place.
    #[inline]
    pub fn peek(&self, offset: usize) -> Option<u8> {
        self.value.get(self.at + offset).copied()
    }

    /// A token of so many bytes.
    pub fn take(&mut self, kind: Kind, len: usize) -> Token<'a> {
        let from = self.at;
        self.at += len;
        Token::new(kind, &self.value[from..self.at])
    }

    pub fn one(&mut self, kind: Kind) -> Token<'a> {
        self.take(kind, 1)
    }

    /// A comment up to the end of the line, which is left out.
    fn line_comment(&mut self) -> Token<'a> {
        let len = span(&self.value[self.at..], |b| b != b'\n');
        let token = self.take(Kind::Comment, len);
        self.at = (self.at + 1).min(self.value.len());
        token
    }

    fn hash(&mut self) -> Token<'a> {
        self.other_in_mysql = true;
        match self.dialect {
            Dialect::MySql => self.line_comment(),
            Dialect::Ansi => self.one(Kind::Operator),
        }
    }

    /// `--` and white space is a comment to all; `--` and something else is two operators to MySQL.
    fn dash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'-') {
            return self.one(Kind::Operator);
        }
        if self.peek(2).is_none_or(is_white) {
            return self.line_comment();
        }
        if self.dialect == Dialect::Ansi {
            self.other_in_mysql = true;
            return self.line_comment();
        }
        self.one(Kind::Operator)
    }

    /// A comment that holds the beginning of another is read differently by PostgreSQL, and `/*!` by MySQL: neither is taken.
    fn slash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'*') {
            return self.one(Kind::Operator);
        }
        let inside = &self.value[self.at + 2..];
        let end = find_pair(inside, *b"*/");
        let nested = end.is_some_and(|end| find_pair(&inside[..=end], *b"/*").is_some());
        let kind = if nested || inside.first() == Some(&b'!') {
            Kind::Evil
        } else {
            Kind::Comment
        };
        self.take(kind, end.map_or(inside.len(), |end| end + 2) + 2)
    }

    /// `\N` is NULL to MySQL.
    fn backslash(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'N') {
            return self.take(Kind::Number, 2);
        }
        self.one(Kind::Backslash)
    }

    fn operator(&mut self) -> Token<'a> {
        let rest = &self.value[self.at..];
        if rest.len() < 2 {
            return self.one(Kind::Operator);
        }
        if rest.starts_with(b"<=>") {
            return self.take(Kind::Operator, 3);
        }
        if let Some(kind) = tables::kind_of(&rest[..2]) {
            return self.take(kind, 2);
        }
        if rest[0] == b':' {
            return self.one(Kind::Colon);
        }
        self.one(Kind::Operator)
    }
}
