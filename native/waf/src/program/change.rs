//! `SecRuleRemove…` and `SecRuleUpdate…`: changes of rules before they are compiled.

use super::compile::Compiler;
use crate::seclang::action::ActionList;
use crate::seclang::diagnostic::Problem;
use crate::seclang::draft::{Change, Draft, Item, RuleChoice, RuleDraft};
use crate::seclang::macros::{Part, Template};

impl Compiler<'_> {
    /// `SecRuleRemove…` and `SecRuleUpdate…`, which apply to rules before and after them.
    pub(super) fn apply_changes(&mut self, draft: &mut Draft) {
        for (place, change) in std::mem::take(&mut draft.changes) {
            let mut touched = 0usize;
            match &change {
                Change::Remove(choice) => {
                    draft.items.retain(|item| match item {
                        Item::Rule(r) if chosen(choice, r) => {
                            touched += 1;
                            false
                        }
                        _ => true,
                    });
                }
                Change::Targets(choice, targets) => {
                    for r in rules_of(draft).filter(|r| chosen(choice, r)) {
                        touched += 1;
                        r.targets.extend(targets.iter().cloned());
                    }
                }
                Change::ReplaceTarget(choice, old, new) => {
                    for r in rules_of(draft).filter(|r| chosen(choice, r)) {
                        touched += 1;
                        r.targets.retain(|t| t != old);
                        r.targets.extend(new.iter().cloned());
                    }
                }
                Change::Actions(id, link, actions) => {
                    for r in rules_of(draft).filter(|r| r.actions.id == Some(*id)) {
                        let step = match link.checked_sub(1) {
                            None => Some(&mut *r),
                            Some(n) => r.links.get_mut(n as usize),
                        };
                        if let Some(step) = step {
                            touched += 1;
                            merge_actions(&mut step.actions, actions);
                        }
                    }
                }
            }
            // A range, tag or message that finds nothing is no mistake: rule sets differ.
            if touched == 0
                && let Change::Actions(id, link, _) = change
            {
                let id = if link == 0 {
                    id.to_string()
                } else {
                    format!("{id}:{link}")
                };
                self.report(
                    &place,
                    Problem::new(
                        format!("there is no rule {id}"),
                        "correct the id or remove the directive",
                    ),
                );
            }
        }
    }
}

fn rules_of(draft: &mut Draft) -> impl Iterator<Item = &mut RuleDraft> {
    draft.items.iter_mut().filter_map(|i| match i {
        Item::Rule(r) => Some(r.as_mut()),
        Item::Marker(_) => None,
    })
}

fn chosen(choice: &RuleChoice, r: &RuleDraft) -> bool {
    let message = r.actions.message.as_ref().map(plain).unwrap_or_default();
    choice.covers(r.actions.id.unwrap_or(0), &r.actions.tags, &message)
}

/// A template as it was written, roughly: enough to compare messages.
pub(super) fn plain(t: &Template) -> String {
    let mut out = String::new();
    for p in &t.parts {
        match p {
            Part::Text(t) => out.push_str(t),
            Part::Value(var, key) => out.push_str(&format!("%{{{}.{key}}}", var.name())),
        }
    }
    out
}

fn merge_actions(into: &mut ActionList, from: &ActionList) {
    macro_rules! replace {
        ($($field:ident)*) => { $(if from.$field.is_some() { into.$field.clone_from(&from.$field); })* };
    }
    replace!(disruptive log audit_log message log_data severity status skip skip_after);
    into.tags.extend(from.tags.iter().cloned());
    into.set_vars.extend(from.set_vars.iter().cloned());
    into.ctls.extend(from.ctls.iter().cloned());
    into.collecting.extend(from.collecting.iter().cloned());
    into.hidden.extend(from.hidden.iter().cloned());
    into.hides_matched |= from.hides_matched;
    into.capture |= from.capture;
    into.multi_match |= from.multi_match;
    if from.transforms_reset {
        into.transforms.clear();
        into.transforms_reset = true;
    }
    into.transforms.extend(from.transforms.iter().copied());
}
