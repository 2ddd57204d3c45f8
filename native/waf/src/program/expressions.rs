//! Expressions take their places among the rules of SecLang.

use std::sync::Arc;

use super::Phase;
use super::compile::Compiler;
use crate::expression::check::{Checker, requirement};
use crate::expression::node::Checked;
use crate::expression::rule::{self, Expressions};
use crate::expression::set::List;
use crate::seclang::diagnostic::Problem;
use crate::seclang::draft::{Draft, Item};
use crate::seclang::parser::Parser;
use crate::seclang::variable::Life;

impl Compiler<'_> {
    /// Checks expressions and puts their rules into the draft. `before` says how many rules stand before each file.
    pub(super) fn add_expressions(&mut self, expressions: &Expressions, draft: &mut Draft, before: &[usize]) {
        let taken = rule::taken_ids(draft, &mut self.diagnostics);
        let lists = expressions.lists(&mut self.diagnostics);
        self.memory += lists.values().map(List::memory_bytes).sum::<usize>();
        let mut places = Vec::new();
        for (number, (mut rule, read)) in expressions
            .drafts(&taken, &mut self.diagnostics)
            .into_iter()
            .enumerate()
        {
            let mut checker = Checker {
                lists: &lists,
                expressions: &mut self.expressions,
                used: &mut self.used,
                variables: Vec::new(),
                memory: 0,
                phase: 1,
            };
            let made = checker.whole(&read.condition);
            rule.actions.phase = Some(checker.phase);
            self.memory += checker.memory;
            let variables = checker.variables;
            // What looks at the body needs it.
            draft.settings.request_body_access |= variables.iter().any(|v| v.def().life == Life::Body);
            if rule.actions.phase > Some(2) && !rule.actions.set_vars.is_empty() {
                let mend = "use block or log, or ask the request alone";
                self.report(
                    &rule.place,
                    Problem::new("the score is of requests, and this asks the answer", mend),
                );
            }
            match made {
                Ok(root) => self.conditions.push(Some(Box::new(Checked {
                    need: requirement(&root),
                    root,
                    variables,
                    local: read.local,
                }))),
                Err(fault) => {
                    self.conditions.push(None);
                    self.report(&rule::text_place(&rule.place.file), fault.in_text(&read.text));
                }
            }
            let at = expressions.rules.iter().find(|r| *r.place == *rule.place.file);
            let at = at.and_then(|r| before.get(r.before).copied()).unwrap_or(usize::MAX);
            places.push((at, number, rule));
        }
        places.sort_by_key(|(at, number, _)| (*at, *number));
        let mut places = places.into_iter().peekable();
        let mut items = Vec::with_capacity(draft.items.len() + places.len());
        let own = std::mem::take(&mut draft.items);
        for (at, item) in own.into_iter().enumerate() {
            while let Some((_, _, rule)) = places.next_if(|p| p.0 <= at) {
                items.push(Item::Rule(Box::new(rule)));
            }
            items.push(item);
        }
        items.extend(places.map(|(_, _, rule)| Item::Rule(Box::new(rule))));
        draft.items = items;
        self.add_scores(expressions, draft);
    }

    fn add_scores(&mut self, expressions: &Expressions, draft: &mut Draft) {
        let scores = |r: &rule::ExpressionRule| matches!(r.action, rule::Action::Score(_));
        if !expressions.rules.iter().any(scores) {
            return;
        }
        let name = match rule::score_of(draft) {
            Some(name) => name,
            None => {
                let mut judge = Parser::default();
                judge.file("expressions", rule::JUDGE.as_bytes());
                draft.items.append(&mut judge.draft.items);
                "anomaly_score"
            }
        };
        rule::settle(draft, name);
    }
}

/// The rules that run only where a profile names them.
pub(super) fn local(phases: &[Phase]) -> Vec<(usize, usize, Arc<str>)> {
    let mut out = Vec::new();
    for (p, phase) in phases.iter().enumerate() {
        for (i, rule) in phase.rules.iter().enumerate() {
            if rule.expression.as_ref().is_some_and(|e| e.local) {
                out.push((p, i, Arc::clone(&rule.place.file)));
            }
        }
    }
    out
}
