//! The rules that decide which others are reached: comparisons of a slot that jump, as the gates of paranoia levels do.

use super::bits::Bits;
use super::{Destination, GateOf, Rule};

/// The gates of a phase whose slots nothing behind them sets, with where they jump to, and the rule from which on no slot of theirs is set.
pub(super) fn gates(rules: &[Rule], always: &Bits) -> (Vec<(u32, u32)>, usize) {
    let mut gates = Vec::new();
    let mut settled = 0;
    for (index, rule) in rules.iter().enumerate() {
        let ([step], Some(to)) = (&rule.steps[..], rule.jump) else {
            continue;
        };
        let gate = step.test.as_ref().and_then(|t| t.gate.as_ref());
        let Some(GateOf::Slot { slot, .. }) = gate.map(|g| &g.of) else {
            continue;
        };
        if !always.has(index) || (to as usize) < index + 2 {
            continue;
        }
        let behind_last_set = rules.iter().rposition(|r| sets(r, *slot)).map_or(0, |at| at + 1);
        if behind_last_set > index {
            continue;
        }
        settled = settled.max(behind_last_set);
        gates.extend(u32::try_from(index).ok().map(|index| (index, to)));
    }
    (gates, settled)
}

fn sets(rule: &Rule, slot: u32) -> bool {
    let all = rule.steps.iter().flat_map(|s| &s.sets);
    all.into_iter()
        .any(|(to, _)| matches!(to, Destination::Slot(s) if *s == slot))
}
