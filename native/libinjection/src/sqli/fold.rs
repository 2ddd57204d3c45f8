//! Folds the tokens of a value to at most five.
//!
//! The first `left` tokens are done; the rules of [`super::pairs`] and [`super::triples`] look at those behind, two and three at a time, and
//! take away what changes nothing: `1 + 1` is a number like `1`. A fold may begin anew at the first token, and drops tokens from the end:
//! both are what the fingerprints were made with.

use super::scan::Scanner;
use super::token::{Kind, Token};

/// Most tokens of a fingerprint. One more is read, since it can tell what the fifth is.
pub(super) const TOKENS_MAX: usize = 5;
/// Room for tokens: those, and what a rule looks at beyond.
const ROOM: usize = 8;

/// The tokens while they are folded.
pub(super) struct Folder<'a> {
    pub scanner: Scanner<'a>,
    pub tokens: [Token<'a>; ROOM],
    /// How many there are: where the next goes.
    pub count: usize,
    /// How many of them are done.
    pub left: usize,
    /// More may come from the scanner.
    more: bool,
    /// A comment behind all tokens.
    comment: Option<Token<'a>>,
}

/// What a rule did.
pub(super) enum Fold {
    /// Something changed: look again.
    Again,
    /// Nothing more to do here.
    Onward,
    /// An attack, and the tokens up to it are all.
    Evil,
}

impl<'a> Folder<'a> {
    pub fn new(scanner: Scanner<'a>) -> Self {
        Self {
            scanner,
            tokens: [Token::NONE; ROOM],
            count: 0,
            left: 0,
            more: true,
            comment: None,
        }
    }

    /// Kind of a token behind the ones that are done.
    #[inline]
    pub fn kind(&self, offset: usize) -> Kind {
        self.tokens[self.left + offset].kind
    }

    /// Drops tokens from the end and begins anew at the first.
    pub fn restart(&mut self, drop: usize) -> Fold {
        self.count -= drop;
        self.left = 0;
        Fold::Again
    }

    /// Folds all. How many tokens stand at the beginning of `tokens`: more than five only when the last is evil.
    pub fn run(&mut self) -> usize {
        let Some(first) = self.first() else { return 0 };
        self.tokens[0] = first;
        self.count = 1;
        loop {
            if self.count >= TOKENS_MAX {
                self.shorten_five();
            }
            if !self.more || self.left >= TOKENS_MAX {
                break;
            }
            self.read_up_to(2);
            if self.count - self.left < 2 {
                self.left = self.count;
                continue;
            }
            match self.pair() {
                Fold::Again => continue,
                Fold::Evil => return self.left + 2,
                Fold::Onward => {}
            }
            self.read_up_to(3);
            if self.count - self.left < 3 {
                self.left = self.count;
                continue;
            }
            if let Fold::Again = self.triple() {
                continue;
            }
            self.left += 1;
        }
        let mut count = self.count;
        if count < TOKENS_MAX
            && let Some(comment) = self.comment
        {
            self.tokens[count] = comment;
            count += 1;
        }
        count.min(TOKENS_MAX)
    }

    /// The first token that is more than a comment, a parenthesis, a type or a sign.
    fn first(&mut self) -> Option<Token<'a>> {
        while let Some(token) = self.scanner.next() {
            if !matches!(token.kind, Kind::Comment | Kind::Open | Kind::SqlType) && !token.is_unary() {
                return Some(token);
            }
        }
        None
    }

    /// Reads tokens until so many are not done, or there is no room for more. The last comment is kept when no token follows it.
    fn read_up_to(&mut self, wanted: usize) {
        while self.more && self.count <= TOKENS_MAX && self.count - self.left < wanted {
            match self.scanner.next() {
                None => self.more = false,
                Some(token) if token.kind == Kind::Comment => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    self.tokens[self.count] = token;
                    self.count += 1;
                }
            }
        }
    }

    /// Five tokens of these forms are the first alone.
    fn shorten_five(&mut self) {
        let kinds: [Kind; TOKENS_MAX] = std::array::from_fn(|i| self.tokens[i].kind);
        let shortens = matches!(
            kinds,
            [
                Kind::Number,
                Kind::Operator | Kind::Comma,
                Kind::Open,
                Kind::Number,
                Kind::Close
            ] | [
                Kind::Bareword,
                Kind::Operator,
                Kind::Open,
                Kind::Bareword | Kind::Number,
                Kind::Close
            ] | [Kind::Number, Kind::Close, Kind::Comma, Kind::Open, Kind::Number]
                | [Kind::Bareword, Kind::Close, Kind::Operator, Kind::Open, Kind::Bareword]
        );
        if !shortens {
            return;
        }
        self.left = 0;
        if self.count > TOKENS_MAX {
            self.tokens[1] = self.tokens[TOKENS_MAX];
            self.count = 2;
        } else {
            self.count = 1;
        }
    }
}
