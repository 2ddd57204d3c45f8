//! A rule set as parsed: every part checked, nothing compiled yet.

use std::collections::HashMap;

use super::action::ActionList;
use super::diagnostic::Place;
use super::setting::Settings;
use super::variable::TargetText;

/// An operator as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorText {
    /// `!` stands before it.
    pub negated: bool,
    /// Name without `@`; `rx` when none is written.
    pub name: String,
    /// The rest.
    pub argument: String,
}

/// One `SecRule` or `SecAction`.
#[derive(Clone, Debug)]
pub struct RuleDraft {
    /// Where it stands.
    pub place: Place,
    /// Targets; empty for `SecAction`.
    pub targets: Vec<TargetText>,
    /// `None` for `SecAction`.
    pub operator: Option<OperatorText>,
    /// Its own actions.
    pub actions: ActionList,
    /// The links that follow it in its chain (head only).
    pub links: Vec<RuleDraft>,
    /// The default actions in force where it stands (head only).
    pub defaults: Option<ActionList>,
    /// Its condition is the expression with this number (head only).
    pub expression: Option<usize>,
}

/// What stands in a file, in order.
#[derive(Clone, Debug)]
pub enum Item {
    /// A rule with its chain.
    Rule(Box<RuleDraft>),
    /// `SecMarker`.
    Marker(String),
}

/// Which rules an update or removal means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleChoice {
    /// Ids, as inclusive ranges.
    Ids(Vec<(u32, u32)>),
    /// Rules with exactly this tag.
    Tag(String),
    /// Rules with exactly this message.
    Message(String),
}

impl RuleChoice {
    /// True when a rule is meant.
    pub fn covers(&self, id: u32, tags: &[String], message: &str) -> bool {
        match self {
            Self::Ids(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&id)),
            Self::Tag(tag) => tags.iter().any(|t| t == tag),
            Self::Message(text) => message == text,
        }
    }
}

/// A change to rules, applied after all files are read.
#[derive(Clone, Debug)]
pub enum Change {
    /// Removes rules.
    Remove(RuleChoice),
    /// Adds targets or exclusions.
    Targets(RuleChoice, Vec<TargetText>),
    /// Replaces one target by others.
    ReplaceTarget(RuleChoice, TargetText, Vec<TargetText>),
    /// Replaces actions of a rule, or of a link of its chain (from 1).
    Actions(u32, u32, Box<ActionList>),
}

/// The whole rule set.
#[derive(Debug, Default)]
pub struct Draft {
    /// Rules and markers in order.
    pub items: Vec<Item>,
    /// Changes in order.
    pub changes: Vec<(Place, Change)>,
    /// `SecDataset`: entries by name, one on each line.
    pub datasets: HashMap<String, Vec<u8>>,
    /// Settings.
    pub settings: Settings,
}
