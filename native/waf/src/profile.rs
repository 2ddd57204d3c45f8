//! What a route may change of a rule set, worked out once so that a request pays nothing for it.

use std::sync::Arc;

use crate::program::bits::Bits;
use crate::program::{PHASES, Program, TargetRemoval};
use crate::seclang::ctl::parse_ids;
use crate::seclang::diagnostic::Problem;
use crate::seclang::draft::RuleChoice;
use crate::seclang::setting::EngineMode;
use crate::seclang::variable::Var;

/// Work of one transaction unless the profile says otherwise: roughly bytes looked at by transformations, searches and
/// expressions. A unit costs about 2 ns on ordinary and adversarial bodies alike (`examples/bench.rs`), so this is some
/// 40 ms, and enough for 1 MB of body with the whole CRS at paranoia level 1.
pub const WORK_MAX_DEFAULT: u64 = 16 * 1024 * 1024;
/// Most exclusions of one profile.
pub const EXCLUSIONS_MAX: usize = 10_000;

/// Rules that a route leaves out, or one target of theirs.
#[derive(Clone, Debug)]
pub struct Exclusion {
    /// Which rules.
    pub rules: RuleChoice,
    /// `ARGS:password`, `ARGS`, `REQUEST_COOKIES:/^_ga/`; `None`: the rules whole.
    pub target: Option<String>,
}

/// What a variable is pinned to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pin {
    /// A number.
    Int(i64),
    /// Any other text.
    Text(Vec<u8>),
}

impl Pin {
    /// A number when the text is the way a number is written, else the text.
    pub fn of(text: &str) -> Self {
        match text.parse::<i64>() {
            Ok(n) if n.to_string() == text => Self::Int(n),
            _ => Self::Text(text.as_bytes().to_vec()),
        }
    }
}

/// What a route says.
#[derive(Clone, Debug, Default)]
pub struct ProfileOptions {
    /// Engine mode; `None`: what the rule files say, else detection only.
    pub mode: Option<EngineMode>,
    /// Rules left out.
    pub remove_rule_ids: Vec<u32>,
    /// Rules with these whole tags left out.
    pub remove_tags: Vec<String>,
    /// Targets left out, as `942100;ARGS:password` or `attack-sqli;ARGS:password`.
    pub remove_targets: Vec<String>,
    /// CRS paranoia level, 1 to 4.
    pub paranoia_level: Option<u8>,
    /// CRS inbound anomaly score threshold.
    pub inbound_anomaly_threshold: Option<u32>,
    /// Work of one transaction.
    pub work_max: Option<u64>,
    /// Answers will be handed in: phases 3 to 5 run then. Else phase 5 ends the request phases when something matched.
    pub answers: bool,
    /// Further rules and targets left out.
    pub exclusions: Vec<Exclusion>,
    /// Variables of the collection TX with their values, which rules cannot change; those that no rule names are passed over. They win over the two above.
    pub variables: Vec<(String, String)>,
    /// Expressions that run on this route alone, by their places.
    pub local_rules: Vec<String>,
}

/// A rule set as one route uses it.
pub struct Profile {
    /// The rule set.
    pub program: Arc<Program>,
    /// Engine mode.
    pub mode: EngineMode,
    /// Rules left out, for each phase.
    pub removed: [Bits; PHASES],
    /// Targets left out.
    pub target_removals: Vec<Arc<TargetRemoval>>,
    /// Variables that the route sets and rules cannot change.
    pub pinned: Vec<(u32, Pin)>,
    /// Work of one transaction; an answer has as much again.
    pub work_max: u64,
    /// Answers will be handed in.
    pub answers: bool,
}

impl Profile {
    /// Works a route's options out.
    pub fn new(program: Arc<Program>, options: &ProfileOptions) -> Result<Self, Problem> {
        let total = options.remove_rule_ids.len()
            + options.remove_tags.len()
            + options.remove_targets.len()
            + options.exclusions.len();
        if total > EXCLUSIONS_MAX {
            return Err(Problem::new(
                format!("more than {EXCLUSIONS_MAX} exclusions"),
                "remove by tag or range",
            ));
        }
        let mut removed: [Bits; PHASES] = std::array::from_fn(|p| Bits::new(program.phases[p].rules.len()));
        let ids = RuleChoice::Ids(options.remove_rule_ids.iter().map(|id| (*id, *id)).collect());
        let tags = options.remove_tags.iter().cloned().map(RuleChoice::Tag);
        let whole = options.exclusions.iter().filter(|e| e.target.is_none());
        for choice in std::iter::once(ids).chain(tags).chain(whole.map(|e| e.rules.clone())) {
            for (to, from) in removed.iter_mut().zip(program.select(&choice)) {
                to.union(&from);
            }
        }
        for (phase, index, place) in &program.local {
            if !options.local_rules.iter().any(|p| **p == **place) {
                removed[*phase].add(*index);
            }
        }
        let mut target_removals = Vec::new();
        for exclusion in &options.exclusions {
            if let Some(target) = &exclusion.target {
                target_removals.push(Arc::new(program.target_removal(&exclusion.rules, target)?));
            }
        }
        for text in &options.remove_targets {
            let Some((which, target)) = text.split_once(';') else {
                return Err(Problem::new(
                    format!("{text} names no target"),
                    "write 942100;ARGS:password",
                ));
            };
            let choice = match parse_ids(which) {
                Ok(ids) => RuleChoice::Ids(ids),
                Err(_) => RuleChoice::Tag(which.to_owned()),
            };
            target_removals.push(Arc::new(program.target_removal(&choice, target)?));
        }
        let mut pinned = Vec::new();
        let mut pin = |name: &str, n: i64| {
            if let Some(slot) = program.slots.find(Var::Tx, name.as_bytes()) {
                pinned.push((slot, Pin::Int(n)));
            }
        };
        if let Some(level) = options.paranoia_level {
            if !(1..=4).contains(&level) {
                return Err(Problem::new(format!("paranoia level {level}"), "write 1, 2, 3 or 4"));
            }
            for name in [
                "blocking_paranoia_level",
                "detection_paranoia_level",
                "paranoia_level",
                "executing_paranoia_level",
            ] {
                pin(name, i64::from(level));
            }
        }
        if let Some(threshold) = options.inbound_anomaly_threshold {
            pin("inbound_anomaly_score_threshold", i64::from(threshold));
        }
        for (name, value) in &options.variables {
            if let Some(slot) = program.slots.find(Var::Tx, name.to_ascii_lowercase().as_bytes()) {
                pinned.retain(|(other, _)| *other != slot);
                pinned.push((slot, Pin::of(value)));
            }
        }
        let mode = options
            .mode
            .or(program.settings.engine)
            .unwrap_or(EngineMode::DetectionOnly);
        Ok(Self {
            mode,
            removed,
            target_removals,
            pinned,
            work_max: options.work_max.unwrap_or(WORK_MAX_DEFAULT),
            answers: options.answers,
            program,
        })
    }
}
