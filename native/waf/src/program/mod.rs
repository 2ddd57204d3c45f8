//! A compiled rule set: one flat program for each phase, shared by all threads and never changed.

pub mod answer;
pub mod bits;
mod build;
mod change;
pub mod compile;
mod dense;
mod expressions;
pub mod literals;
pub mod needs;
pub mod prefilter;
mod reach;
mod select;
pub mod slots;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::expression::node::Checked;
use crate::operator::{Expression, Operator};
use crate::seclang::action::Disruptive;
use crate::seclang::ctl::Ctl;
use crate::seclang::diagnostic::Place;
use crate::seclang::setting::Settings;
use crate::seclang::variable::{VARIABLE_COUNT, Var};
use crate::transform::{TransformId, UnicodeMap};
use answer::Answer;
use bits::Bits;
use needs::Needs;
use prefilter::{Classes, Prefilter};
use slots::Slots;

/// Number of phases.
pub const PHASES: usize = 5;

/// A piece of a text with macros.
#[derive(Debug)]
pub enum Piece {
    /// Bytes as they are.
    Text(Vec<u8>),
    /// The value of a slot.
    Slot(u32),
    /// The first value of a variable with this key (lower case; empty: the first of all).
    Value(Var, Vec<u8>),
}

/// A text with macros, ready to be filled in.
#[derive(Debug, Default)]
pub struct Text(pub Vec<Piece>);

/// Which values of a variable a target means.
pub enum Selector {
    /// All.
    All,
    /// Those with this key, ASCII case ignored.
    Key(Vec<u8>),
    /// The value of this slot.
    Slot(u32),
    /// Those whose key matches.
    Pattern(Box<Expression>),
}

/// One target of a rule.
pub struct Target {
    /// The variable.
    pub var: Var,
    /// Which of its values.
    pub selector: Selector,
    /// Their number instead of them.
    pub count: bool,
    /// Slots whose names a selector by expression means, for targets of conditions: they are known before any rule runs.
    pub slots: Vec<u32>,
}

/// Transformations in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The transformations.
    pub steps: Vec<TransformId>,
    /// The same as bits: where none of them could change a value, the chain does not.
    pub set: u64,
}

/// The condition of a rule or link.
pub struct Test {
    /// What it looks at.
    pub targets: Vec<Target>,
    /// What it leaves out.
    pub exclusions: Vec<Target>,
    /// Index into [`Program::chains`].
    pub chain: u16,
    /// The operator runs on every intermediate value.
    pub multi_match: bool,
    /// `!`.
    pub negated: bool,
    /// The operator; tests that ask the same share one.
    pub operator: Arc<dyn Operator>,
    /// The operator's argument, when it holds macros.
    pub argument: Option<Text>,
    /// A quick test that decides most visits.
    pub gate: Option<Gate>,
    /// What a value needs so that the operator could match it.
    pub needs: Needs,
}

/// The number that a gate compares.
#[derive(Debug, Clone)]
pub enum GateOf {
    /// That of a slot.
    Slot {
        /// The slot.
        slot: u32,
        /// Whether it is set (1 or 0) instead of its number.
        count: bool,
    },
    /// How many values a variable has, all or those with a lower-case key.
    Count(Var, Option<Vec<u8>>),
    /// That of a variable with one value.
    Value(Var),
}

/// A comparison of a number with a constant, tried before the whole rule.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The number.
    pub of: GateOf,
    /// The comparison.
    pub compare: fn(i64, i64) -> bool,
    /// The constant.
    pub constant: i64,
    /// `!`.
    pub negated: bool,
}

/// Where `setvar` writes.
pub enum Destination {
    /// A slot known when rules were compiled.
    Slot(u32),
    /// A name that is known when the rule runs.
    Named(Var, Text),
}

/// What `setvar` does.
pub enum Set {
    /// Replaces by a number.
    Number(i64),
    /// Replaces by a text.
    Text(Text),
    /// Adds a number; negative numbers subtract.
    Add(i64),
    /// Adds the number of a text, times 1 or -1.
    AddText(Text, i64),
    /// Removes.
    Unset,
}

/// What `ctl` does, with rules found when they were compiled.
pub enum Control {
    /// Changes of the engine itself.
    Engine(Ctl),
    /// Leaves rules out: bits for each phase.
    Remove(Box<[Bits; PHASES]>),
    /// Leaves a target out of rules.
    RemoveTarget(Arc<TargetRemoval>),
}

/// Rules that lose a target.
pub struct TargetRemoval {
    /// The rules, for each phase.
    pub rules: [Bits; PHASES],
    /// The target.
    pub target: Target,
    /// Its place in [`Program::target_removals`]; `None` for those of a profile.
    pub number: Option<u32>,
}

/// A condition and what happens on each value that matches it.
pub struct Step {
    /// `None`: always.
    pub test: Option<Test>,
    /// `capture`.
    pub capture: bool,
    /// `setvar`.
    pub sets: Vec<(Destination, Set)>,
    /// `ctl`.
    pub controls: Vec<Control>,
    /// `initcol` and its like, `expirevar`, `deprecatevar`.
    pub persists: Vec<Persist>,
    /// `sanitiseMatched`: records do not show what matched.
    pub hides: bool,
}

/// What an action does with persistent collections.
pub enum Persist {
    /// Opens a collection by its key; the variable that then holds the key.
    Open(Var, Text, Option<Var>),
    /// A variable expires after so many seconds.
    Expire(Var, Text, Text),
    /// A number shrinks by so much in so many seconds.
    Deprecate(Var, Text, i64, u64),
}

/// A rule with its chain.
pub struct Rule {
    /// Its id.
    pub id: u32,
    /// Where it stands.
    pub place: Place,
    /// Tags.
    pub tags: Vec<String>,
    /// `msg` as written.
    pub message_text: String,
    /// `msg`.
    pub message: Text,
    /// `logdata`.
    pub log_data: Text,
    /// 0 to 7; 255 when not given.
    pub severity: u8,
    /// `status`, which the gateway's own refusal replaces; 0: none is written.
    pub status: u16,
    /// A match is reported.
    pub log: bool,
    /// What a match does, `block` resolved.
    pub disruptive: Disruptive,
    /// The node that runs next after a match, when it is not the next one.
    pub jump: Option<u32>,
    /// Its condition when it is an expression; it has one step without a test then.
    pub expression: Option<Box<Checked>>,
    /// The rule and its links.
    pub steps: Vec<Step>,
    /// The prefilter knows this rule: values without its bit cannot match.
    pub prefiltered: bool,
    /// The chain through which the prefilter sees values of this rule, without `multiMatch`.
    pub search_chain: u16,
}

/// The program of one phase.
#[derive(Default)]
pub struct Phase {
    /// Rules in order.
    pub rules: Vec<Rule>,
    /// Rules that are visited whatever the values are.
    pub always: Bits,
    /// Rules whose first condition says the same of a value whenever it is asked: no macros, and variables that no rule changes.
    pub constant: Bits,
    /// Which values the others see.
    pub classes: Classes,
    /// Rules that compare a slot and then jump, with where to, in order; nothing behind them sets the slot in this phase.
    pub gates: Vec<(u32, u32)>,
    /// From this rule on no slot is set that one of the gates compares.
    pub settled: usize,
    /// Some rule before that is not always visited.
    pub searched_before_settled: bool,
    /// Where the words of this phase begin in the sets of its prefilter.
    pub first_word: usize,
}

/// Number of prefilters: phases 1 and 2 see the same head, 3 and 4 the same answer, 5 everything.
pub const GROUPS: usize = 3;

/// The prefilter of a phase (0 to 4).
pub const fn group_of(phase: usize) -> usize {
    phase / 2
}

/// A compiled rule set.
pub struct Program {
    /// Distinguishes programs in per-thread memory; unique in the process.
    pub serial: u64,
    /// One program for each phase.
    pub phases: [Phase; PHASES],
    /// What finds the rules worth a visit, by [`group_of`].
    pub prefilters: [Prefilter; GROUPS],
    /// Distinct chains of transformations; 0 is the identity.
    pub chains: Vec<Chain>,
    /// Names of the variables that rules set.
    pub slots: Slots,
    /// Engine settings.
    pub settings: Settings,
    /// Variables that some rule or macro uses.
    pub used: [bool; VARIABLE_COUNT],
    /// Rules that run only where a profile names them: phase (0 to 4), index, place.
    pub local: Vec<(usize, usize, Arc<str>)>,
    /// Number of regular expressions.
    pub expressions: u32,
    /// Number of those that profiles have added.
    pub profile_expressions: AtomicU32,
    /// Rules, links included.
    pub rule_count: u32,
    /// Rules that the prefilter knows.
    pub prefiltered_count: u32,
    /// Bytes of memory, roughly.
    pub memory_bytes: usize,
    /// The slots in which the inbound anomaly score may stand, best first.
    pub score_slots: Vec<u32>,
    /// Likewise that of the answer.
    pub outbound_score_slots: Vec<u32>,
    /// Keys whose values records do not show (`sanitiseArg` and its like), lower case.
    pub hidden: Vec<(Var, Vec<u8>)>,
    /// `SecUnicodeMapFile`.
    pub unicode_map: Option<Arc<UnicodeMap>>,
    /// Some rule asks the clock.
    pub reads_clock: bool,
    /// What phases 3 to 5 need.
    pub answer: Answer,
    /// The removals of targets that rules make, by number.
    pub target_removals: Vec<Arc<TargetRemoval>>,
}
