//! From the draft of a rule set to its program.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::answer::Answer;
use super::bits::Bits;
use super::change::plain;
use super::prefilter::{self, Builder, Classes, Prefilter};
use super::slots::Slots;
use super::{Chain, GROUPS, PHASES, Phase, Program, Rule, Selector, Step, TargetRemoval, Test, group_of};
use crate::expression::node::Checked;
use crate::expression::rule::Expressions;
use crate::operator::{Operator, RegexCaches, Requirement};
use crate::seclang::diagnostic::{Diagnostic, Place, Problem};
use crate::seclang::draft::{Draft, Item, RuleChoice, RuleDraft};
use crate::seclang::parser::Parser;
use crate::seclang::variable::{Life, Shape, VARIABLE_COUNT, VARIABLES, Var};
use crate::transform::{TRANSFORMS, TransformId, UnicodeMap};

/// Bytes of all files together.
pub const SOURCE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most files.
pub const FILES_MAX: usize = 4096;
/// Most rules in one phase.
const PHASE_RULES_MAX: usize = 50_000;

/// One file of a rule set. Names that end with `.conf` or `.conf.example` are rules and apply in the order given; all
/// others are data that operators name.
pub struct SourceFile<'a> {
    /// Its name; directories are separated by `/`.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

/// How to compile.
#[derive(Clone, Copy, Debug, Default)]
pub struct CompileOptions {
    /// `^` and `$` match at line ends too, as in ModSecurity 3. Rules of the CRS are written for `false`.
    pub multi_line: bool,
}

/// The flags that MULTIPART_STRICT_ERROR sums up.
pub const STRICT_PARTS: &[Var] = &[
    Var::ReqbodyProcessorError,
    Var::MultipartBoundaryQuoted,
    Var::MultipartBoundaryWhitespace,
    Var::MultipartDataBefore,
    Var::MultipartDataAfter,
    Var::MultipartHeaderFolding,
    Var::MultipartLfLine,
    Var::MultipartMissingSemicolon,
    Var::MultipartInvalidQuoting,
    Var::MultipartInvalidPart,
    Var::MultipartInvalidHeaderFolding,
    Var::MultipartFileLimitExceeded,
];

static SERIAL: AtomicU64 = AtomicU64::new(1);

/// Compiles rule files. All errors are returned at once.
pub fn compile(files: &[SourceFile<'_>], options: CompileOptions) -> Result<Program, Vec<Diagnostic>> {
    compile_with(files, &Expressions::default(), options)
}

/// Compiles rule files and expressions into one program. All errors are returned at once.
pub fn compile_with(
    files: &[SourceFile<'_>],
    expressions: &Expressions,
    options: CompileOptions,
) -> Result<Program, Vec<Diagnostic>> {
    let whole = |message: String, mend: &str| {
        vec![Problem::new(message, mend).at(&Place {
            file: Arc::from(""),
            line: 0,
        })]
    };
    if files.len() > FILES_MAX || files.iter().map(|f| f.content.len()).sum::<usize>() > SOURCE_BYTES_MAX {
        return Err(whole(
            format!("more than {FILES_MAX} files or {SOURCE_BYTES_MAX} bytes"),
            "leave out what is not needed",
        ));
    }
    if !files.iter().any(|f| is_rules(f.name)) && expressions.rules.is_empty() {
        return Err(whole("no rule file".into(), "name rule files *.conf"));
    }
    let mut parser = Parser::default();
    // How many rules stand before each file.
    let before = parser.files(files.iter().map(|f| (f.name, f.content)).collect(), is_rules);
    let mut draft = std::mem::take(&mut parser.draft);
    let datasets = std::mem::take(&mut draft.datasets);
    let mut compiler = Compiler {
        options,
        diagnostics: std::mem::take(&mut parser.diagnostics),
        ..Compiler::new(files, &datasets)
    };
    compiler.add_expressions(expressions, &mut draft, &before);
    compiler.apply_changes(&mut draft);
    let program = compiler.program(&draft);
    let mut diagnostics = compiler.diagnostics;
    if diagnostics.is_empty() {
        return program.map_err(|message| whole(message, "use fewer or shorter phrases"));
    }
    let order = |d: &Diagnostic| (files.iter().position(|f| *f.name == *d.place.file), d.place.line);
    diagnostics.sort_by_key(order);
    Err(diagnostics)
}

/// True for names of rule files.
pub fn is_rules(name: &str) -> bool {
    name.ends_with(".conf") || name.ends_with(".conf.example")
}

/// Compiling in progress.
pub(super) struct Compiler<'a> {
    pub options: CompileOptions,
    pub files: &'a [SourceFile<'a>],
    pub datasets: &'a HashMap<String, Vec<u8>>,
    pub diagnostics: Vec<Diagnostic>,
    pub slots: Slots,
    pub chains: Vec<Chain>,
    pub used: [bool; VARIABLE_COUNT],
    pub expressions: u32,
    /// Checked expressions, by the numbers in drafts.
    pub reads_clock: bool,
    pub conditions: Vec<Option<Box<Checked>>>,
    pub memory: usize,
    pub target_removals: Vec<Arc<TargetRemoval>>,
    /// Operators by name, directory and argument.
    pub operators: HashMap<(&'static str, String, String), Arc<dyn Operator>>,
}

/// What is known of each rule before it is compiled: where it will stand and what can name it.
pub(super) struct Known {
    pub phase: usize,
    pub index: usize,
    pub id: u32,
    pub tags: Vec<String>,
    pub message: String,
}

impl<'a> Compiler<'a> {
    fn new(files: &'a [SourceFile<'a>], datasets: &'a HashMap<String, Vec<u8>>) -> Self {
        Self {
            options: CompileOptions::default(),
            files,
            datasets,
            diagnostics: Vec::new(),
            slots: Slots::default(),
            chains: vec![Chain {
                steps: Vec::new(),
                set: 0,
            }],
            used: [false; VARIABLE_COUNT],
            expressions: 0,
            reads_clock: false,
            conditions: Vec::new(),
            memory: 0,
            target_removals: Vec::new(),
            operators: HashMap::new(),
        }
    }

    pub fn report(&mut self, place: &Place, problem: Problem) {
        self.diagnostics.push(problem.at(place));
    }

    fn program(&mut self, draft: &Draft) -> Result<Program, String> {
        let known = known_rules(draft);
        let mut counts = [0usize; PHASES];
        for k in &known {
            counts[k.phase] += 1;
        }
        let mut phases: [Vec<Rule>; PHASES] = Default::default();
        let mut rule_count = 0usize;
        for item in &draft.items {
            if let Item::Rule(r) = item {
                rule_count += 1 + r.links.len();
                let phase = phase_of(r);
                let rule = self.rule(r, &known, &counts);
                phases[phase].push(rule);
            }
        }
        self.jumps(draft, &mut phases);
        self.find_slots(&mut phases);
        if self.used[Var::MultipartStrictError as usize] {
            // The sum reads its parts.
            for var in STRICT_PARTS {
                self.used[*var as usize] = true;
            }
        }
        let find = |names: &[&str]| -> Vec<u32> {
            let slots = names.iter().filter_map(|n| self.slots.find(Var::Tx, n.as_bytes()));
            slots.collect()
        };
        let score_slots = find(&[
            "blocking_inbound_anomaly_score",
            "anomaly_score",
            "inbound_anomaly_score",
        ]);
        let outbound_score_slots = find(&["blocking_outbound_anomaly_score", "outbound_anomaly_score"]);
        let mut out: [Phase; PHASES] = Default::default();
        let mut prefiltered = 0u32;
        let mut builders: [Builder; GROUPS] = Default::default();
        for (p, (to, rules)) in out.iter_mut().zip(phases).enumerate() {
            *to = self.phase(rules, &mut builders[group_of(p)], &mut prefiltered);
        }
        let mut prefilters: [Prefilter; GROUPS] = Default::default();
        for (to, builder) in prefilters.iter_mut().zip(builders) {
            *to = builder.build()?;
        }
        let local = super::expressions::local(&out);
        let prefilter_bytes: usize = prefilters.iter().map(Prefilter::memory_bytes).sum();
        let kept: Vec<u32> = score_slots.iter().chain(&outbound_score_slots).copied().collect();
        Ok(Program {
            answer: Answer::of(&out, &self.slots, &kept),
            target_removals: std::mem::take(&mut self.target_removals),
            outbound_score_slots,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            phases: out,
            chains: std::mem::take(&mut self.chains),
            slots: std::mem::take(&mut self.slots),
            hidden: hidden(draft),
            unicode_map: self.unicode_map(draft),
            reads_clock: self.reads_clock
                || VARIABLES
                    .iter()
                    .any(|d| self.used[d.var as usize] && d.life == Life::Clock),
            settings: draft.settings.clone(),
            used: self.used,
            local,
            expressions: self.expressions,
            profile_expressions: AtomicU32::new(0),
            rule_count: u32::try_from(rule_count).unwrap_or(u32::MAX),
            prefiltered_count: prefiltered,
            memory_bytes: self.memory + prefilter_bytes + rule_count * 512,
            prefilters,
            score_slots,
        })
    }

    /// Selectors by expression find the slots they mean, once all slots are known.
    fn find_slots(&self, phases: &mut [Vec<Rule>; PHASES]) {
        let mut caches = RegexCaches::default();
        let steps = phases.iter_mut().flatten().flat_map(|r| &mut r.steps);
        for target in steps.filter_map(|s| s.test.as_mut()).flat_map(|t| &mut t.targets) {
            if let Selector::Pattern(pattern) = &target.selector
                && target.var.def().shape == Shape::Store
            {
                target.slots = self.slots.matching(target.var, pattern, &mut caches);
            }
        }
    }

    fn unicode_map(&mut self, draft: &Draft) -> Option<Arc<UnicodeMap>> {
        let (name, page, place) = draft.settings.unicode_map.as_ref()?;
        let directory = place.file.rsplit_once('/').map_or("", |(d, _)| d);
        let content = super::build::find_data(self.files, directory, name);
        let made = content.and_then(|c| UnicodeMap::read(c, *page));
        if made.is_none() {
            let problem = match content {
                None => Problem::new(
                    format!("there is no file {name}"),
                    "put it into the bundle beside the rules, or leave the directive out",
                ),
                Some(_) => Problem::new(
                    format!("{name} has no code page {page}"),
                    "write a code page of the file, such as 20127 or 1252",
                ),
            };
            self.report(place, problem);
        }
        made.map(Arc::new)
    }

    fn phase(&mut self, mut rules: Vec<Rule>, builder: &mut Builder, prefiltered: &mut u32) -> Phase {
        let first_word = builder.phase(rules.len());
        let size = rules.len();
        let mut always = Bits::new(size);
        let mut constant = Bits::new(size);
        let mut classes = Classes::new();
        for (index, rule) in rules.iter_mut().enumerate() {
            if let Some(need) = rule.expression.as_ref().and_then(|e| e.need.as_ref()) {
                rule.prefiltered = true;
                *prefiltered += 1;
                builder.require(first_word * 64 + index, &need.literals);
                for (var, key, steps) in &need.seen {
                    let chain = self.chain(steps);
                    let set = self.chains[usize::from(chain)].set;
                    prefilter::note(&mut classes, size, index, (*var, key.as_deref()), (chain, set));
                }
                continue;
            }
            let Some(Step { test: Some(test), .. }) = rule.steps.first() else {
                always.add(index);
                continue;
            };
            let fixed = test.targets.iter().all(|t| t.var.is_fixed() && !t.count);
            let unchanging = fixed && test.argument.is_none() && !test.multi_match;
            if unchanging {
                constant.add(index);
            }
            let selectors = test.targets.iter().map(|t| {
                let key = match &t.selector {
                    Selector::Key(k) => Some(k.as_slice()),
                    _ => None,
                };
                (t.var, key)
            });
            match test.operator.requirement() {
                Requirement::OneOf(literals) if fixed && !test.negated => {
                    rule.prefiltered = true;
                    *prefiltered += 1;
                    builder.require(first_word * 64 + index, &literals);
                    let chains = self.seen_chains(test);
                    rule.search_chain = chains.last().copied().unwrap_or(0);
                    for of in selectors {
                        for chain in &chains {
                            let set = self.chains[usize::from(*chain)].set;
                            prefilter::note(&mut classes, size, index, of, (*chain, set));
                        }
                    }
                }
                _ if unchanging => {
                    for of in selectors {
                        prefilter::note_unfiltered(&mut classes, size, index, of);
                    }
                }
                _ => always.add(index),
            }
        }
        let (gates, settled) = super::reach::gates(&rules, &always);
        Phase {
            searched_before_settled: (0..settled).any(|i| !always.has(i)),
            gates,
            settled,
            rules,
            always,
            constant,
            classes,
            first_word,
        }
    }

    /// The chains through which a test sees values: one, or with `multiMatch` every beginning of it. Changes of case at the
    /// end are left out, since the prefilter ignores case.
    fn seen_chains(&mut self, test: &Test) -> Vec<u16> {
        let steps = self.chains[usize::from(test.chain)].steps.clone();
        let shortest = if test.multi_match { 0 } else { steps.len() };
        let mut out = Vec::new();
        for n in shortest..=steps.len() {
            let folds = |s: &&TransformId| TRANSFORMS[usize::from(**s)].folds_case;
            let folded = steps[..n].iter().rev().take_while(folds).count();
            let chain = self.chain(&steps[..n - folded]);
            if !out.contains(&chain) {
                out.push(chain);
            }
        }
        out
    }

    pub fn chain(&mut self, steps: &[TransformId]) -> u16 {
        if let Some(at) = self.chains.iter().position(|c| c.steps == steps) {
            return u16::try_from(at).unwrap_or(0);
        }
        self.chains.push(Chain {
            steps: steps.to_vec(),
            set: steps.iter().fold(0, |set, s| set | 1 << s),
        });
        u16::try_from(self.chains.len() - 1).unwrap_or(0)
    }

    /// `skip` and `skipAfter` become positions.
    fn jumps(&mut self, draft: &Draft, phases: &mut [Vec<Rule>; PHASES]) {
        // For each marker and id: how many rules of each phase stand before it, or up to it.
        let mut at = [0usize; PHASES];
        let mut labels: HashMap<String, Vec<[usize; PHASES]>> = HashMap::new();
        for item in &draft.items {
            match item {
                Item::Marker(label) => labels.entry(label.clone()).or_default().push(at),
                Item::Rule(r) => {
                    at[phase_of(r)] += 1;
                    if let Some(id) = r.actions.id {
                        labels.entry(id.to_string()).or_default().push(at);
                    }
                }
            }
        }
        let mut position = [0usize; PHASES];
        for item in &draft.items {
            let Item::Rule(r) = item else { continue };
            let phase = phase_of(r);
            let here = position[phase];
            position[phase] += 1;
            let to = match (&r.actions.skip_after, r.actions.skip) {
                (Some(label), _) => match labels.get(label) {
                    None => {
                        let mend = "write SecMarker with this label, or correct it";
                        self.report(
                            &r.place,
                            Problem::new(format!("skipAfter:{label} names no marker and no rule"), mend),
                        );
                        continue;
                    }
                    // The first one behind; when all stand before, nothing more of the phase runs.
                    Some(list) => list
                        .iter()
                        .map(|p| p[phase])
                        .find(|p| *p > here)
                        .unwrap_or(phases[phase].len()),
                },
                (None, Some(n)) => here + 1 + n as usize,
                (None, None) => continue,
            };
            if let Some(rule) = phases[phase].get_mut(here) {
                rule.jump = u32::try_from(to).ok();
            }
        }
    }
}

/// The rules that a choice means, as bits for each phase.
pub(super) fn select(choice: &RuleChoice, known: &[Known], counts: &[usize; PHASES]) -> [Bits; PHASES] {
    let mut out: [Bits; PHASES] = std::array::from_fn(|p| Bits::new(counts[p]));
    for k in known.iter().filter(|k| choice.covers(k.id, &k.tags, &k.message)) {
        out[k.phase].add(k.index);
    }
    out
}

fn known_rules(draft: &Draft) -> Vec<Known> {
    let mut at = [0usize; PHASES];
    let mut out = Vec::new();
    for item in &draft.items {
        let Item::Rule(r) = item else { continue };
        let phase = phase_of(r);
        if at[phase] >= PHASE_RULES_MAX {
            break;
        }
        let mut tags = r.defaults.as_ref().map(|d| d.tags.clone()).unwrap_or_default();
        tags.extend(r.actions.tags.iter().cloned());
        let message = r.actions.message.as_ref().map(plain).unwrap_or_default();
        out.push(Known {
            phase,
            index: at[phase],
            id: r.actions.id.unwrap_or(0),
            tags,
            message,
        });
        at[phase] += 1;
    }
    out
}

/// What `sanitiseArg` and its like name anywhere.
fn hidden(draft: &Draft) -> Vec<(Var, Vec<u8>)> {
    let rules = draft.items.iter().filter_map(|item| match item {
        Item::Rule(r) => Some(r),
        Item::Marker(_) => None,
    });
    rules
        .flat_map(|r| std::iter::once(&**r).chain(&r.links))
        .flat_map(|r| &r.actions.hidden)
        .map(|(var, key)| (*var, key.clone().into_bytes()))
        .collect()
}

fn phase_of(r: &RuleDraft) -> usize {
    usize::from(r.actions.phase.unwrap_or(2)).clamp(1, PHASES) - 1
}
