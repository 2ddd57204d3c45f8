//! What two tokens are together.

use super::fold::{Fold, Folder};
use super::tables;
use super::token::{Kind, TEXT_BYTES_MAX};

/// Words that are functions before a parenthesis, and common as names of columns everywhere else.
const FUNCTIONS_BEFORE_PARENTHESIS: [&[u8]; 11] = [
    b"USER_ID",
    b"USER_NAME",
    b"DATABASE",
    b"PASSWORD",
    b"USER",
    b"CURRENT_USER",
    b"CURRENT_DATE",
    b"CURRENT_TIME",
    b"CURRENT_TIMESTAMP",
    b"LOCALTIME",
    b"LOCALTIMESTAMP",
];

/// Kinds of words that may be the first of a phrase.
fn begins_phrase(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Keyword
            | Kind::Bareword
            | Kind::Operator
            | Kind::Union
            | Kind::Function
            | Kind::Expression
            | Kind::Tsql
            | Kind::SqlType
    )
}

impl Folder<'_> {
    /// Applies the first rule for the two tokens behind those that are done.
    pub fn pair(&mut self) -> Fold {
        let (first, second) = (self.kind(0), self.kind(1));
        let unary = self.tokens[self.left + 1].is_unary();
        match (first, second) {
            (Kind::Text, Kind::Text) | (Kind::Semicolon, Kind::Semicolon) => {
                self.count -= 1;
                return Fold::Again;
            }
            (Kind::Operator | Kind::Logic, _) if unary || second == Kind::SqlType => return self.restart(1),
            (Kind::Open, _) if unary => return self.back(),
            _ => {}
        }
        if self.merge_phrase() {
            return self.back();
        }
        let (left, right) = {
            let (done, open) = self.tokens.split_at_mut(self.left + 1);
            (&mut done[self.left], &mut open[0])
        };
        match (first, second) {
            (Kind::Semicolon, Kind::Function)
                if right.text().len() >= 2 && right.text()[..2].eq_ignore_ascii_case(b"IF") =>
            {
                // Transact-SQL's statement, not the function.
                right.kind = Kind::Tsql;
                Fold::Again
            }
            (Kind::Bareword | Kind::Variable, Kind::Open)
                if FUNCTIONS_BEFORE_PARENTHESIS.iter().any(|w| left.is(w)) =>
            {
                left.kind = Kind::Function;
                Fold::Again
            }
            (Kind::Keyword, _) if left.is(b"IN") || left.is(b"NOT IN") => {
                left.kind = if second == Kind::Open {
                    Kind::Operator
                } else {
                    Kind::Bareword
                };
                Fold::Again
            }
            (Kind::Operator, _) if left.is(b"LIKE") || left.is(b"NOT LIKE") => {
                if second == Kind::Open {
                    left.kind = Kind::Function;
                }
                Fold::Onward
            }
            (
                Kind::SqlType,
                Kind::Bareword
                | Kind::Number
                | Kind::SqlType
                | Kind::Open
                | Kind::Function
                | Kind::Variable
                | Kind::Text,
            ) => {
                *left = *right;
                self.restart(1)
            }
            (Kind::Collate, Kind::Bareword) => {
                // There are too many collations to list; their names have a _.
                let name = right.text().split(|b| *b == 0).next().unwrap_or_default();
                if name.contains(&b'_') {
                    right.kind = Kind::SqlType;
                    self.left = 0;
                }
                Fold::Onward
            }
            (Kind::Backslash, _) if right.is_arithmetic() => {
                // SQL Server reads "\%1" as "0 % 1", and "\1" as "1".
                left.kind = Kind::Number;
                self.restart(0)
            }
            (Kind::Backslash, _) => {
                *left = *right;
                self.restart(1)
            }
            (Kind::Open, Kind::Open) | (Kind::Close, Kind::Close) => self.restart(1),
            (Kind::OpenBrace, Kind::Bareword) if right.text().is_empty() => {
                // MySQL's {``.``.id} is too rare to be read.
                right.kind = Kind::Evil;
                Fold::Evil
            }
            // {foo expression} is the expression.
            (Kind::OpenBrace, Kind::Bareword) => self.restart(2),
            (_, Kind::CloseBrace) => self.restart(1),
            _ => Fold::Onward,
        }
    }

    /// Drops one token and goes one back.
    fn back(&mut self) -> Fold {
        self.count -= 1;
        self.left = self.left.saturating_sub(1);
        Fold::Again
    }

    /// Two words that are known as a phrase become the first of them: `UNION` and `ALL`.
    fn merge_phrase(&mut self) -> bool {
        let (first, second) = (&self.tokens[self.left], &self.tokens[self.left + 1]);
        if !begins_phrase(first.kind) || !(begins_phrase(second.kind) || second.kind == Kind::Logic) {
            return false;
        }
        let (a, b) = (first.text(), second.text());
        let mut buffer = [b' '; TEXT_BYTES_MAX];
        let Some(phrase) = buffer.get_mut(..a.len() + 1 + b.len()) else {
            return false;
        };
        phrase[..a.len()].copy_from_slice(a);
        phrase[a.len() + 1..].copy_from_slice(b);
        let Some((kind, phrase)) = tables::phrase(phrase) else {
            return false;
        };
        self.tokens[self.left].set(kind, phrase);
        true
    }
}
