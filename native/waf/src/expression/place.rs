//! Where the scores of expressions go. Rules of SecLang first set the score to its beginning, add to it, and judge it at last; an
//! expression that adds to it must stand between the two, wherever its item is in the list.

use crate::seclang::action::SetOp;
use crate::seclang::draft::{Draft, Item, RuleDraft};
use crate::seclang::macros::{Part, Template};
use crate::seclang::variable::{SelectorText, Var};

/// The variables in which rule sets add scores up, best first: CRS 4 and 3, and small rule sets.
const SCORES: &[&str] = &["inbound_anomaly_score_pl1", "anomaly_score_pl1", "anomaly_score"];

/// Rules that judge the scores of expressions where no rule of SecLang does. A profile's threshold replaces the one set here.
pub const JUDGE: &str = "SecRule &TX:inbound_anomaly_score_threshold \"@eq 0\" \"id:90999998,phase:1,nolog,pass,\
    setvar:tx.inbound_anomaly_score_threshold=5\"\n\
    SecRule TX:anomaly_score \"@ge %{tx.inbound_anomaly_score_threshold}\" \"id:90999999,phase:2,deny,log,severity:2,\
    msg:'Anomaly score %{tx.anomaly_score} reaches %{tx.inbound_anomaly_score_threshold}',tag:'anomaly-evaluation'\"\n";

fn rules(draft: &Draft) -> impl Iterator<Item = &RuleDraft> {
    draft.items.iter().filter_map(|i| match i {
        Item::Rule(r) => Some(r.as_ref()),
        Item::Marker(_) => None,
    })
}

/// The rule and its links.
fn parts(rule: &RuleDraft) -> impl Iterator<Item = &RuleDraft> {
    std::iter::once(rule).chain(&rule.links)
}

fn sets(rule: &RuleDraft, name: &str) -> bool {
    parts(rule).any(|r| {
        let mut sets = r.actions.set_vars.iter();
        sets.any(|s| matches!(s.op, SetOp::Set(_)) && s.store == Var::Tx && is(&s.name, name))
    })
}

fn is(text: &Template, name: &str) -> bool {
    text.fixed().is_some_and(|t| t.eq_ignore_ascii_case(name))
}

fn names(text: &Template, name: &str) -> bool {
    let named = |p: &Part| matches!(p, Part::Value(Var::Tx, key) if key.eq_ignore_ascii_case(name));
    text.parts.iter().any(named)
}

/// True when a rule looks at a score to do something with it.
fn judges(rule: &RuleDraft, name: &str) -> bool {
    parts(rule).any(|r| {
        let target = |t: &crate::seclang::variable::TargetText| {
            t.var == Var::Tx && matches!(&t.selector, SelectorText::Key(k) if k.eq_ignore_ascii_case(name))
        };
        r.targets.iter().any(target)
            || r.actions.set_vars.iter().any(|s| match &s.op {
                SetOp::Set(t) | SetOp::Add(t) | SetOp::Subtract(t) => names(t, name),
                SetOp::Unset => false,
            })
    })
}

/// The variable in which the rules add their scores up; `None` when they have none.
pub fn score_of(draft: &Draft) -> Option<&'static str> {
    SCORES
        .iter()
        .copied()
        .find(|name| rules(draft).any(|r| sets(r, name)) && rules(draft).any(|r| judges(r, name)))
}

/// Gives the score of each expression its variable and moves the expression, within its phase, behind the rules that set the
/// variable and before those that judge it.
pub fn settle(draft: &mut Draft, name: &str) {
    let mut at = 0;
    while let Some(item) = draft.items.get_mut(at) {
        let Item::Rule(rule) = item else {
            at += 1;
            continue;
        };
        let unnamed = rule.actions.set_vars.iter_mut().find(|s| is(&s.name, ""));
        let (Some(_), Some(set)) = (rule.expression, unnamed) else {
            at += 1;
            continue;
        };
        set.name = Template {
            parts: vec![Part::Text(name.to_owned())],
        };
        let phase = rule.actions.phase;
        let item = draft.items.remove(at);
        let found = |i: &Item, test: &dyn Fn(&RuleDraft) -> bool| match i {
            Item::Rule(r) => r.actions.phase.unwrap_or(2) == phase.unwrap_or(2) && r.expression.is_none() && test(r),
            Item::Marker(_) => false,
        };
        let begin = draft.items.iter().rposition(|i| found(i, &|r| sets(r, name)));
        let end = draft.items.iter().position(|i| found(i, &|r| judges(r, name)));
        let to = at.min(end.unwrap_or(usize::MAX)).max(begin.map_or(0, |b| b + 1));
        draft.items.insert(to, item);
        // When it moved on, what followed it stands at its old place now.
        if to <= at {
            at += 1;
        }
    }
}
