//! Finding rules of a compiled program, for profiles.

use std::sync::atomic::Ordering;

use super::bits::Bits;
use super::build::target;
use super::slots::Slots;
use super::{PHASES, Program, TargetRemoval};
use crate::seclang::diagnostic::Problem;
use crate::seclang::draft::RuleChoice;
use crate::seclang::variable::{Shape, VARIABLE_COUNT};

impl Program {
    /// The rules that a choice means, as bits for each phase.
    pub fn select(&self, choice: &RuleChoice) -> [Bits; PHASES] {
        std::array::from_fn(|p| {
            let rules = &self.phases[p].rules;
            let mut bits = Bits::new(rules.len());
            for (i, r) in rules.iter().enumerate() {
                if choice.covers(r.id, &r.tags, &r.message_text) {
                    bits.add(i);
                }
            }
            bits
        })
    }

    /// A target removal for a profile, from text such as `ARGS:password`. Stores cannot be named here.
    pub fn target_removal(&self, choice: &RuleChoice, text: &str) -> Result<TargetRemoval, Problem> {
        let list = crate::seclang::variable::parse_targets(text)?;
        let (mut slots, mut used) = (Slots::default(), [false; VARIABLE_COUNT]);
        // Expressions of profiles take their scratch memory behind the program's own, each a place that no other profile has.
        let mut expressions = self
            .expressions
            .saturating_add(self.profile_expressions.fetch_add(1, Ordering::Relaxed));
        match list.as_slice() {
            [t] if !t.exclude && !t.count && t.var.def().shape != Shape::Store => Ok(TargetRemoval {
                rules: self.select(choice),
                target: target(t, &mut slots, &mut expressions, &mut used)?,
                number: None,
            }),
            _ => Err(Problem::new(
                format!("{text} is not one plain target"),
                "write VARIABLE, VARIABLE:key or VARIABLE:/expression/",
            )),
        }
    }
}
