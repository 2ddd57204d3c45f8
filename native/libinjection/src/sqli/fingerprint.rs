//! The fingerprint of a reading, and whether it is one of an attack.

use super::fold::{Folder, TOKENS_MAX};
use super::scan::{Dialect, Quote, Scanner};
use super::tables;
use super::token::{Kind, Token};

/// The kinds of the folded tokens, a letter each; at most five.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    letters: [u8; TOKENS_MAX],
    len: u8,
}

impl Fingerprint {
    const EVIL: Self = Self {
        letters: [Kind::Evil as u8, 0, 0, 0, 0],
        len: 1,
    };

    fn of(tokens: &[Token<'_>]) -> Self {
        if tokens.iter().any(|t| t.kind == Kind::Evil) {
            return Self::EVIL;
        }
        let mut letters = [0; TOKENS_MAX];
        for (to, token) in letters.iter_mut().zip(tokens) {
            *to = token.kind as u8;
        }
        Self {
            letters,
            len: tokens.len().min(TOKENS_MAX) as u8,
        }
    }

    /// The letters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.letters[..usize::from(self.len)]
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// A value read in one way.
pub(super) struct Reading<'a> {
    folder: Folder<'a>,
    fingerprint: Fingerprint,
}

impl<'a> Reading<'a> {
    pub fn of(value: &'a [u8], quote: Quote, dialect: Dialect) -> Self {
        let mut folder = Folder::new(Scanner::new(value, quote, dialect));
        let count = folder.run();
        let tokens = &mut folder.tokens[..count];
        // An open backtick at the end hides what follows from PHP programs, as a comment does.
        if let [_, _, .., last] = tokens
            && last.kind == Kind::Bareword
            && last.open == b'`'
            && last.close == 0
            && last.text().is_empty()
        {
            last.kind = Kind::Comment;
        }
        let fingerprint = Fingerprint::of(tokens);
        Self { folder, fingerprint }
    }

    /// Bytes of the value that were read.
    pub fn bytes_read(&self) -> u64 {
        self.folder.scanner.at as u64
    }

    /// MySQL would have read a comment otherwise.
    pub fn other_in_mysql(&self) -> bool {
        self.folder.scanner.other_in_mysql
    }

    /// The fingerprint when it is one of an attack.
    pub fn attack(&self) -> Option<Fingerprint> {
        (tables::is_known(self.fingerprint.as_bytes()) && !self.is_harmless()).then_some(self.fingerprint)
    }

    /// A fingerprint of an attack that ordinary text has too, in a form that is rather that.
    fn is_harmless(&self) -> bool {
        let letters = self.fingerprint.as_bytes();
        // SQL Server's audit log leaves out what holds sp_password.
        if letters.len() > 1 && letters.ends_with(b"c") && contains(self.folder.scanner.value, b"sp_password") {
            return false;
        }
        match letters {
            [_, _] => self.two_are_harmless(),
            [_, _, _] => self.three_are_harmless(),
            _ => false,
        }
    }

    fn two_are_harmless(&self) -> bool {
        let [first, second, ..] = &self.folder.tokens;
        let seen = self.folder.scanner.tokens;
        let mark = second.byte(0);
        match (first.kind, second.kind) {
            // "1 union" alone.
            (_, Kind::Union) => seen == 2,
            _ if mark == b'#' => true,
            (Kind::Bareword, Kind::Comment) => mark != b'/',
            (Kind::Number, Kind::Comment) => mark != b'/' && seen <= 2 && !self.number_ends_well(first),
            // Text with dashes is common: only "--" at the end counts.
            _ => mark == b'-' && second.text().len() > 2,
        }
    }

    /// Behind a number at the beginning of the value stands white space or a comment: "1234--" but not "1234-ABCD--". Bytes above
    /// 0x7f count as white space here.
    fn number_ends_well(&self, number: &Token<'_>) -> bool {
        let rest = self.folder.scanner.value.get(number.text().len()..).unwrap_or_default();
        match rest {
            [] | [..=b' ' | 0x80.., ..] => true,
            _ => rest.starts_with(b"/*") || rest.starts_with(b"--"),
        }
    }

    fn three_are_harmless(&self) -> bool {
        let [first, second, third, ..] = &self.folder.tokens;
        match self.fingerprint.as_bytes() {
            // ...foo" + "bar...: quotes that neither open the one text nor close the other.
            b"sos" | b"s&s" => !(first.open == 0 && third.close == 0 && first.close == third.open),
            // "sexy and 17" but not "sexy and 17<18".
            b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s" => self.folder.scanner.tokens == 3,
            // INTO OUTFILE and INTO DUMPFILE.
            _ if second.kind == Kind::Keyword => {
                let word = second.text();
                word.len() < 5 || !word[..4].eq_ignore_ascii_case(b"INTO")
            }
            _ => false,
        }
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|w| w == word)
}
