//! From the draft of a rule set to its program.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bits::Bits;
use super::prefilter::{self, Builder, Classes, Prefilter};
use super::slots::Slots;
use super::{
    Chain, Control, Destination, GROUPS, Gate, PHASES, Phase, Piece, Program, Rule, Selector, Set, Step, Target,
    TargetRemoval, Test, Text, group_of,
};
use crate::bytes::ByteSet;
use crate::operator::{self, Expression, Recipe, Requirement};
use crate::seclang::action::{ActionList, Disruptive, SetOp, SetVar};
use crate::seclang::ctl::Ctl;
use crate::seclang::diagnostic::{Diagnostic, Place, Problem};
use crate::seclang::directive::Parser;
use crate::seclang::draft::{Change, Draft, Item, RuleChoice, RuleDraft};
use crate::seclang::macros::{Part, Template};
use crate::seclang::variable::{SelectorText, Shape, TargetText, VARIABLE_COUNT, Var};
use crate::transform::{TRANSFORMS, TransformId, Trigger};

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
    let mut parser = Parser::default();
    let mut seen = false;
    for file in files.iter().filter(|f| is_rules(f.name)) {
        seen = true;
        parser.file(file.name, file.content);
    }
    if !seen {
        return Err(whole("no rule file".into(), "name rule files *.conf"));
    }
    let mut compiler = Compiler {
        options,
        files,
        diagnostics: std::mem::take(&mut parser.diagnostics),
        ..Compiler::new(files)
    };
    let mut draft = std::mem::take(&mut parser.draft);
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

struct Compiler<'a> {
    options: CompileOptions,
    files: &'a [SourceFile<'a>],
    diagnostics: Vec<Diagnostic>,
    slots: Slots,
    chains: Vec<Chain>,
    used: [bool; VARIABLE_COUNT],
    expressions: u32,
    memory: usize,
}

/// What is known of each rule before it is compiled: where it will stand and what can name it.
struct Known {
    phase: usize,
    index: usize,
    id: u32,
    tags: Vec<String>,
    message: String,
}

impl<'a> Compiler<'a> {
    fn new(files: &'a [SourceFile<'a>]) -> Self {
        Self {
            options: CompileOptions::default(),
            files,
            diagnostics: Vec::new(),
            slots: Slots::default(),
            chains: vec![Chain {
                steps: Vec::new(),
                trigger: Some(ByteSet::EMPTY),
            }],
            used: [false; VARIABLE_COUNT],
            expressions: 0,
            memory: 0,
        }
    }

    fn report(&mut self, place: &Place, problem: Problem) {
        self.diagnostics.push(problem.at(place));
    }

    /// `SecRuleRemove…` and `SecRuleUpdate…`, which apply to rules before and after them.
    fn apply_changes(&mut self, draft: &mut Draft) {
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
                Change::Actions(id, actions) => {
                    for r in rules_of(draft).filter(|r| r.actions.id == Some(*id)) {
                        touched += 1;
                        merge_actions(&mut r.actions, actions);
                    }
                }
            }
            // A range, tag or message that finds nothing is no mistake: rule sets differ.
            if touched == 0
                && let Change::Actions(id, _) = change
            {
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
        if self.used[Var::MultipartStrictError as usize] {
            // The sum reads its parts.
            for var in STRICT_PARTS {
                self.used[*var as usize] = true;
            }
        }
        let score_slots = [
            "blocking_inbound_anomaly_score",
            "anomaly_score",
            "inbound_anomaly_score",
        ]
        .iter()
        .filter_map(|n| self.slots.find(Var::Tx, n.as_bytes()))
        .collect();
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
        let prefilter_bytes: usize = prefilters.iter().map(Prefilter::memory_bytes).sum();
        Ok(Program {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            phases: out,
            chains: std::mem::take(&mut self.chains),
            slots: std::mem::take(&mut self.slots),
            settings: draft.settings.clone(),
            used: self.used,
            expressions: self.expressions,
            rule_count: u32::try_from(rule_count).unwrap_or(u32::MAX),
            prefiltered_count: prefiltered,
            memory_bytes: self.memory + prefilter_bytes + rule_count * 512,
            prefilters,
            score_slots,
        })
    }

    fn phase(&mut self, mut rules: Vec<Rule>, builder: &mut Builder, prefiltered: &mut u32) -> Phase {
        let first_word = builder.phase(rules.len());
        let size = rules.len();
        let mut always = Bits::new(size);
        let mut classes = Classes::new();
        for (index, rule) in rules.iter_mut().enumerate() {
            let Some(Step { test: Some(test), .. }) = rule.steps.first() else {
                always.add(index);
                continue;
            };
            let fixed = test.targets.iter().all(|t| t.var.is_fixed() && !t.count);
            match test.operator.requirement() {
                Requirement::OneOf(literals) if fixed && !test.negated => {
                    rule.prefiltered = true;
                    *prefiltered += 1;
                    builder.require(first_word * 64 + index, &literals);
                    for chain in self.seen_chains(test) {
                        let trigger = self.chains[usize::from(chain)].trigger;
                        for t in &test.targets {
                            let key = match &t.selector {
                                Selector::Key(k) => Some(k.as_slice()),
                                _ => None,
                            };
                            prefilter::note(&mut classes, size, index, (t.var, key), (chain, trigger));
                        }
                    }
                }
                _ => always.add(index),
            }
        }
        Phase {
            rules,
            always,
            classes,
            first_word,
        }
    }

    /// The chains through which a test sees values: one, or with `multiMatch` every beginning of it.
    fn seen_chains(&mut self, test: &Test) -> Vec<u16> {
        if !test.multi_match {
            return vec![test.chain];
        }
        let steps = self.chains[usize::from(test.chain)].steps.clone();
        (0..=steps.len()).map(|n| self.chain(&steps[..n])).collect()
    }

    fn chain(&mut self, steps: &[TransformId]) -> u16 {
        if let Some(at) = self.chains.iter().position(|c| c.steps == steps) {
            return u16::try_from(at).unwrap_or(0);
        }
        let mut trigger = Some(ByteSet::EMPTY);
        for s in steps {
            trigger = match (trigger, TRANSFORMS[usize::from(*s)].trigger) {
                (Some(a), Trigger::Bytes(b)) => Some(a.or(b)),
                _ => None,
            };
        }
        self.chains.push(Chain {
            steps: steps.to_vec(),
            trigger,
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

    fn rule(&mut self, r: &RuleDraft, known: &[Known], counts: &[usize; PHASES]) -> Rule {
        let defaults = r.defaults.clone().unwrap_or_default();
        let a = &r.actions;
        let block = match defaults.disruptive {
            Some(d) => d,
            None => Disruptive::Pass,
        };
        let disruptive = match a.disruptive {
            Some(Disruptive::Block) | None => block,
            Some(d) => d,
        };
        let mut steps = vec![self.step(r, &defaults.transforms, known, counts)];
        for link in &r.links {
            steps.push(self.step(link, &defaults.transforms, known, counts));
        }
        let message = a.message.as_ref().or(defaults.message.as_ref());
        Rule {
            id: a.id.unwrap_or(0),
            place: r.place.clone(),
            tags: defaults.tags.iter().chain(&a.tags).cloned().collect(),
            message_text: message.map(plain).unwrap_or_default(),
            message: message.map(|t| self.text(t)).unwrap_or_default(),
            log_data: a.log_data.as_ref().map(|t| self.text(t)).unwrap_or_default(),
            severity: a.severity.or(defaults.severity).unwrap_or(255),
            log: a.log.or(defaults.log).unwrap_or(true),
            disruptive,
            jump: None,
            steps,
            prefiltered: false,
        }
    }

    fn step(
        &mut self,
        r: &RuleDraft,
        default_transforms: &[TransformId],
        known: &[Known],
        counts: &[usize; PHASES],
    ) -> Step {
        let a = &r.actions;
        let test = r.operator.as_ref().and_then(|o| {
            let made = self.test(r, o.negated, &o.name, &o.argument, default_transforms);
            made.map_err(|p| self.report(&r.place, p)).ok()
        });
        Step {
            test,
            capture: a.capture,
            sets: a.set_vars.iter().map(|s| self.set(s)).collect(),
            controls: a
                .ctls
                .iter()
                .filter_map(|c| self.control(&r.place, c, known, counts))
                .collect(),
        }
    }

    fn test(
        &mut self,
        r: &RuleDraft,
        negated: bool,
        name: &str,
        argument: &str,
        default_transforms: &[TransformId],
    ) -> Result<Test, Problem> {
        let def = operator::by_name(name)?;
        let template = if def.macros {
            Template::parse(argument)?
        } else {
            Template {
                parts: vec![Part::Text(argument.into())],
            }
        };
        let has_macros = template.fixed().is_none() && !template.parts.is_empty();
        let directory = r.place.file.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
        let files = self.files;
        let data = move |n: &str| find_data(files, &directory, n);
        let mut recipe = Recipe {
            argument,
            has_macros,
            data: &data,
            expressions: &mut self.expressions,
            multi_line: self.options.multi_line,
        };
        let operator = def.build(&mut recipe)?;
        self.memory += operator.memory_bytes();
        let (mut targets, mut exclusions) = (Vec::new(), Vec::new());
        for t in &r.targets {
            let list = if t.exclude { &mut exclusions } else { &mut targets };
            let made = target(t, &mut self.slots, &mut self.expressions, &mut self.used)?;
            list.push(made);
        }
        let steps: Vec<TransformId> = if r.actions.transforms_reset {
            r.actions.transforms.clone()
        } else {
            default_transforms
                .iter()
                .chain(&r.actions.transforms)
                .copied()
                .collect()
        };
        let chain = self.chain(&steps);
        let argument_text = has_macros.then(|| self.text(&template));
        let gate = gate(&targets, &exclusions, &steps, def.name, argument, negated);
        Ok(Test {
            targets,
            exclusions,
            chain,
            multi_match: r.actions.multi_match,
            negated,
            operator,
            argument: argument_text,
            gate,
        })
    }

    fn text(&mut self, t: &Template) -> Text {
        Text(
            t.parts
                .iter()
                .map(|p| match p {
                    Part::Text(t) => Piece::Text(t.as_bytes().to_vec()),
                    Part::Value(var, key) if var.def().shape == Shape::Store => {
                        Piece::Slot(self.slots.number(*var, key.as_bytes()))
                    }
                    Part::Value(var, key) => {
                        self.used[*var as usize] = true;
                        Piece::Value(*var, key.as_bytes().to_vec())
                    }
                })
                .collect(),
        )
    }

    fn set(&mut self, s: &SetVar) -> (Destination, Set) {
        let to = match s.name.fixed() {
            Some(name) => Destination::Slot(self.slots.number(s.store, name.as_bytes())),
            None => Destination::Named(s.store, self.text(&s.name)),
        };
        let number = |t: &Template| t.fixed().map(|f| crate::bytes::to_int(f.as_bytes()));
        let what = match &s.op {
            SetOp::Unset => Set::Unset,
            SetOp::Set(t) => match t.fixed() {
                Some(f) if is_plain_number(f) => Set::Number(crate::bytes::to_int(f.as_bytes())),
                _ => Set::Text(self.text(t)),
            },
            SetOp::Add(t) => number(t).map_or_else(|| Set::AddText(self.text(t), 1), Set::Add),
            SetOp::Subtract(t) => number(t).map_or_else(|| Set::AddText(self.text(t), -1), |n| Set::Add(-n)),
        };
        (to, what)
    }

    fn control(&mut self, place: &Place, c: &Ctl, known: &[Known], counts: &[usize; PHASES]) -> Option<Control> {
        match c {
            Ctl::Nothing => None,
            Ctl::Remove(choice) => Some(Control::Remove(Box::new(select(choice, known, counts)))),
            Ctl::RemoveTarget(choice, t) => match target(t, &mut self.slots, &mut self.expressions, &mut self.used) {
                Ok(target) => Some(Control::RemoveTarget(Arc::new(TargetRemoval {
                    rules: select(choice, known, counts),
                    target,
                }))),
                Err(p) => {
                    self.report(place, p);
                    None
                }
            },
            other => Some(Control::Engine(other.clone())),
        }
    }
}

/// The rules that a choice means, as bits for each phase.
fn select(choice: &RuleChoice, known: &[Known], counts: &[usize; PHASES]) -> [Bits; PHASES] {
    let mut out: [Bits; PHASES] = std::array::from_fn(|p| Bits::new(counts[p]));
    for k in known.iter().filter(|k| choice.covers(k.id, &k.tags, &k.message)) {
        out[k.phase].add(k.index);
    }
    out
}

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
        // Expressions in profiles take their scratch memory behind the program's own.
        let mut expressions = self.expressions;
        match list.as_slice() {
            [t] if !t.exclude
                && !t.count
                && t.var.def().shape != Shape::Store
                && !matches!(t.selector, SelectorText::Pattern(_)) =>
            {
                Ok(TargetRemoval {
                    rules: self.select(choice),
                    target: target(t, &mut slots, &mut expressions, &mut used)?,
                })
            }
            _ => Err(Problem::new(
                format!("{text} is not one plain target"),
                "write VARIABLE or VARIABLE:key",
            )),
        }
    }
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

fn phase_of(r: &RuleDraft) -> usize {
    usize::from(r.actions.phase.unwrap_or(2)).clamp(1, PHASES) - 1
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
fn plain(t: &Template) -> String {
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
    into.capture |= from.capture;
    into.multi_match |= from.multi_match;
    if from.transforms_reset {
        into.transforms.clear();
        into.transforms_reset = true;
    }
    into.transforms.extend(from.transforms.iter().copied());
}

fn target(
    t: &TargetText,
    slots: &mut Slots,
    expressions: &mut u32,
    used: &mut [bool; VARIABLE_COUNT],
) -> Result<Target, Problem> {
    used[t.var as usize] = true;
    let selector = match &t.selector {
        SelectorText::All => Selector::All,
        SelectorText::Key(k) if t.var.def().shape == Shape::Store => Selector::Slot(slots.number(t.var, k.as_bytes())),
        SelectorText::Key(k) => Selector::Key(k.to_ascii_lowercase().into_bytes()),
        SelectorText::Pattern(p) => Selector::Pattern(Box::new(Expression::new(p, true, false, expressions)?.0)),
    };
    Ok(Target {
        var: t.var,
        selector,
        count: t.count,
    })
}

fn is_plain_number(text: &str) -> bool {
    text.parse::<i64>().is_ok_and(|n| n.to_string() == text)
}

fn gate(
    targets: &[Target],
    exclusions: &[Target],
    steps: &[TransformId],
    name: &str,
    argument: &str,
    negated: bool,
) -> Option<Gate> {
    let (
        [
            Target {
                selector: Selector::Slot(slot),
                count,
                ..
            },
        ],
        [],
        [],
        Ok(constant),
    ) = (targets, exclusions, steps, argument.trim().parse::<i64>())
    else {
        return None;
    };
    let compare: fn(i64, i64) -> bool = match name {
        "eq" => |a, b| a == b,
        "ge" => |a, b| a >= b,
        "gt" => |a, b| a > b,
        "le" => |a, b| a <= b,
        "lt" => |a, b| a < b,
        _ => return None,
    };
    Some(Gate {
        slot: *slot,
        count: *count,
        compare,
        constant,
        negated,
    })
}

/// A data file: beside the rule file, under its whole name, or the only one with its base name.
fn find_data<'a>(files: &'a [SourceFile<'a>], directory: &str, name: &str) -> Option<&'a [u8]> {
    let name = name.trim_start_matches("./");
    let beside = if directory.is_empty() {
        name.to_owned()
    } else {
        format!("{directory}/{name}")
    };
    let find = |wanted: &str| {
        files
            .iter()
            .find(|f| f.name == wanted && !is_rules(f.name))
            .map(|f| f.content)
    };
    find(&beside).or_else(|| find(name)).or_else(|| {
        let base = name.rsplit('/').next().unwrap_or(name);
        let mut same = files
            .iter()
            .filter(|f| !is_rules(f.name) && f.name.rsplit('/').next() == Some(base));
        match (same.next(), same.next()) {
            (Some(one), None) => Some(one.content),
            _ => None,
        }
    })
}
