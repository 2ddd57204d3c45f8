//! What three tokens are together.

use super::fold::{Fold, Folder};
use super::token::Kind::{
    Bareword, Close, Comma, Dot, Expression, Function, Group, Keyword, Logic, Number, Open, Operator, SqlType, Text,
    Variable,
};

impl Folder<'_> {
    /// Applies the first rule for the three tokens behind those that are done.
    pub fn triple(&mut self) -> Fold {
        let left = self.left;
        let middle = &self.tokens[left + 1];
        let unary = middle.is_unary();
        let cast = middle.kind == Operator && middle.text() == b"::";
        match (self.kind(0), self.kind(1), self.kind(2)) {
            (Number, Operator, Number) | (Logic, _, Logic) => self.restart(2),
            (Operator, second, Operator) if second != Open => self.restart(2),
            (Variable, Operator, Variable | Number | Bareword)
            | (Bareword | Number, Operator, Number | Bareword)
            | (Bareword, Dot, Bareword) => self.restart(2),
            (Bareword | Number | Variable | Text, Operator, SqlType) if cast => self.restart(2),
            (Bareword | Number | Text | Variable, Comma, Number | Bareword | Text | Variable) => self.restart(2),
            (Expression | Group | Comma, _, Open)
            | (Keyword | Expression | Group, _, Number | Bareword | Variable | Text | Function)
            | (Comma, _, Function)
                if unary =>
            {
                self.drop_middle(1)
            }
            // "1,-1" is "1".
            (Comma, _, Number | Bareword | Variable | Text) if unary => self.drop_middle(3),
            (Expression, Dot, Bareword) => self.drop_middle(1),
            (Function, Open, third) => {
                // USER() takes nothing: USER(foo) is something else.
                if third != Close && self.tokens[left].is(b"USER") {
                    self.tokens[left].kind = Bareword;
                }
                Fold::Onward
            }
            _ => Fold::Onward,
        }
    }

    /// The third token takes the place of the second; so many are dropped from the end.
    fn drop_middle(&mut self, drop: usize) -> Fold {
        self.tokens[self.left + 1] = self.tokens[self.left + 2];
        self.restart(drop)
    }
}
