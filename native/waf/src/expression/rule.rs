//! Expressions as rules: their actions, their ids, and their places among the rules of SecLang.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ast::Condition;
use super::set::{List, ListText};
use super::{Fault, LISTS_MAX, RULES_MAX, parser, place};
use crate::seclang::action::{ActionList, Disruptive, SetOp, SetVar};
use crate::seclang::ctl::Ctl;
use crate::seclang::diagnostic::{Diagnostic, Place, Problem};
use crate::seclang::draft::{Draft, Item, RuleChoice, RuleDraft};
use crate::seclang::macros::{Part, Template};
use crate::seclang::variable::Var;

/// The first id of expressions. Rules of SecLang cannot have the ids from here to [`ID_LAST`].
pub const ID_FIRST: u32 = 90_000_000;
/// The last id that an expression may choose; those without one get theirs from name or text, from here on.
pub const ID_CHOSEN_LAST: u32 = 90_099_999;
/// The last id of expressions.
pub const ID_LAST: u32 = 90_999_999;
/// From here on to the last: rules that judge the scores of expressions when no rule of SecLang does.
pub const ID_JUDGE: u32 = 90_999_998;
/// The tag of all expressions.
pub const TAG: &str = "expression";

/// What an expression does when it is true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Refuses.
    Block,
    /// Reports.
    Log,
    /// Reports and adds to the anomaly score.
    Score(u32),
    /// Skips all rules that follow, or with tags those that have one of them. Not reported.
    Skip(Vec<String>),
}

/// An expression as a bundle gives it.
#[derive(Clone, Debug)]
pub struct ExpressionRule {
    /// Where it stands, as a document with a JSON Pointer; profiles name it so. Errors in its text are at `/when` below it.
    pub place: String,
    /// How many rule files stand before it.
    pub before: usize,
    /// It runs only where a profile names it.
    pub local: bool,
    /// From [`ID_FIRST`] to [`ID_CHOSEN_LAST`].
    pub id: Option<u32>,
    /// Its name.
    pub name: Option<String>,
    /// The expression.
    pub when: String,
    /// What it does.
    pub action: Action,
    /// Without one it is the name, without that the text.
    pub message: Option<String>,
    /// 0 to 7.
    pub severity: Option<u8>,
}

/// All expressions of a rule set with their lists.
#[derive(Clone, Debug, Default)]
pub struct Expressions {
    /// In order.
    pub rules: Vec<ExpressionRule>,
    /// Lists, with where they stand.
    pub lists: Vec<(String, ListText)>,
}

/// An expression that was read.
pub struct Read {
    /// Its text, for errors.
    pub text: String,
    /// What it says.
    pub condition: Condition,
    /// It runs only where a profile names it.
    pub local: bool,
}

fn place(of: &str) -> Place {
    Place {
        file: Arc::from(of),
        line: 0,
    }
}

/// Where the text of an item stands.
pub fn text_place(of: &str) -> Place {
    place(&format!("{of}/when"))
}

fn template(text: &str) -> Template {
    Template {
        parts: vec![Part::Text(text.to_owned())],
    }
}

impl Expressions {
    /// Types the lists.
    pub fn lists(&self, diagnostics: &mut Vec<Diagnostic>) -> HashMap<String, List> {
        let mut out = HashMap::new();
        for (at, text) in &self.lists {
            let made = List::new(text).and_then(|list| {
                let room = out.len() < LISTS_MAX;
                let full = || Fault::new(0, format!("more than {LISTS_MAX} lists"), "join some");
                room.then_some(list).ok_or_else(full)
            });
            match made {
                Ok(list) => {
                    out.insert(text.name.clone(), list);
                }
                Err(f) => diagnostics.push(Problem::new(f.message, f.mend).at(&place(at))),
            }
        }
        out
    }

    /// Reads the expressions and gives each its rule, without its phase; both in order. `taken` are the ids of other rules.
    pub fn drafts(&self, taken: &HashSet<u32>, diagnostics: &mut Vec<Diagnostic>) -> Vec<(RuleDraft, Read)> {
        let mut out = Vec::new();
        let mut ids = Ids::default();
        if self.rules.len() > RULES_MAX {
            let problem = Problem::new(
                format!("more than {RULES_MAX} expressions"),
                "join some with or, or use lists",
            );
            diagnostics.push(problem.at(&place("")));
            return out;
        }
        ids.take_chosen(&self.rules, diagnostics);
        for rule in &self.rules {
            let id = ids.of(rule);
            if taken.contains(&id) {
                continue;
            }
            match parser::parse(&rule.when) {
                Ok(condition) => {
                    let read = Read {
                        text: rule.when.clone(),
                        condition,
                        local: rule.local,
                    };
                    out.push((rule.draft(id, out.len()), read));
                }
                Err(f) => diagnostics.push(f.in_text(&rule.when).at(&text_place(&rule.place))),
            }
        }
        out
    }
}

impl ExpressionRule {
    fn draft(&self, id: u32, number: usize) -> RuleDraft {
        let message = self.message.as_ref().or(self.name.as_ref()).unwrap_or(&self.when);
        let mut actions = ActionList {
            id: Some(id),
            phase: Some(1),
            transforms_reset: true,
            disruptive: Some(Disruptive::Pass),
            log: Some(true),
            message: Some(template(message)),
            tags: vec![TAG.to_owned()],
            ..ActionList::default()
        };
        let severity = match &self.action {
            Action::Block => {
                actions.disruptive = Some(Disruptive::Deny);
                2
            }
            Action::Log => 5,
            Action::Score(points) => {
                actions.set_vars.push(SetVar {
                    store: Var::Tx,
                    // Put in when it is known where scores stand.
                    name: template(""),
                    op: SetOp::Add(template(&points.to_string())),
                });
                4
            }
            Action::Skip(tags) => {
                actions.log = Some(false);
                if tags.is_empty() {
                    actions.disruptive = Some(Disruptive::Allow);
                }
                let remove = |t: &String| Ctl::Remove(RuleChoice::Tag(t.clone()));
                actions.ctls = tags.iter().map(remove).collect();
                255
            }
        };
        actions.severity = Some(self.severity.unwrap_or(severity));
        RuleDraft {
            place: place(&self.place),
            targets: Vec::new(),
            operator: None,
            actions,
            links: Vec::new(),
            defaults: None,
            expression: Some(number),
        }
    }
}

/// Ids that are given away.
#[derive(Default)]
struct Ids(HashMap<u32, String>);

impl Ids {
    fn take_chosen(&mut self, rules: &[ExpressionRule], diagnostics: &mut Vec<Diagnostic>) {
        for rule in rules {
            let Some(id) = rule.id else { continue };
            let problem = if !(ID_FIRST..=ID_CHOSEN_LAST).contains(&id) {
                let mend = format!("write a number from {ID_FIRST} to {ID_CHOSEN_LAST}, or leave it out");
                Some(Problem::new(format!("the id {id} is none of an expression"), mend))
            } else {
                let first = self.0.insert(id, rule.place.clone());
                first.map(|first| {
                    Problem::new(
                        format!("the id {id} is taken"),
                        format!("{first} has it; choose another"),
                    )
                })
            };
            if let Some(p) = problem {
                diagnostics.push(p.at(&place(&rule.place)));
            }
        }
    }

    /// The chosen id, or one that follows from name or text: it stays when other rules come and go.
    fn of(&mut self, rule: &ExpressionRule) -> u32 {
        if let Some(id) = rule.id {
            return id;
        }
        let text = rule.name.as_ref().unwrap_or(&rule.when);
        // FNV-1a, 32 bits.
        let hash = text
            .bytes()
            .fold(0x811c_9dc5u32, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
        let room = ID_JUDGE - ID_CHOSEN_LAST - 1;
        let mut id = ID_CHOSEN_LAST + 1 + hash % room;
        // There are fewer expressions than ids, so this ends.
        while self.0.contains_key(&id) {
            id = if id + 1 == ID_JUDGE { ID_CHOSEN_LAST + 1 } else { id + 1 };
        }
        self.0.insert(id, rule.place.clone());
        id
    }
}

/// Ids of SecLang rules; each that is one of expressions is an error.
pub fn taken_ids(draft: &Draft, diagnostics: &mut Vec<Diagnostic>) -> HashSet<u32> {
    let mut out = HashSet::new();
    for item in &draft.items {
        let Item::Rule(rule) = item else { continue };
        let Some(id) = rule.actions.id.filter(|id| (ID_FIRST..=ID_LAST).contains(id)) else {
            continue;
        };
        out.insert(id);
        let message = format!("the ids from {ID_FIRST} to {ID_LAST} are those of expressions");
        diagnostics.push(Problem::new(message, "choose another").at(&rule.place));
    }
    out
}

pub use place::{JUDGE, score_of, settle};
