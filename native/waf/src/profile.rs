//! What a route may change of a rule set, worked out once so that a request pays nothing for it.

use std::sync::Arc;

use crate::program::bits::Bits;
use crate::program::{PHASES, Program, TargetRemoval};
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
    /// Work of one transaction.
    pub work_max: Option<u64>,
    /// Answers will be handed in: phases 3 to 5 run then. Else phase 5 ends the request phases when something matched.
    pub answers: bool,
    /// Rules left out, or targets of theirs.
    pub exclusions: Vec<Exclusion>,
    /// Variables of the collection TX with their values, which rules cannot change; those that no rule names are passed over.
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
        if options.exclusions.len() > EXCLUSIONS_MAX {
            return Err(Problem::new(
                format!("more than {EXCLUSIONS_MAX} exclusions"),
                "remove by tag or range",
            ));
        }
        let mut removed: [Bits; PHASES] = std::array::from_fn(|p| Bits::new(program.phases[p].rules.len()));
        for exclusion in options.exclusions.iter().filter(|e| e.target.is_none()) {
            for (to, from) in removed.iter_mut().zip(program.select(&exclusion.rules)) {
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
        let mut pinned = Vec::new();
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
