//! One rule: its conditions, texts and actions, compiled.

use std::sync::Arc;

use super::change::plain;
use super::compile::{Compiler, Known, SourceFile, is_rules, select};
use super::slots::Slots;
use super::{
    Control, Destination, Gate, GateOf, PHASES, Persist, Piece, Rule, Selector, Set, Step, Target, TargetRemoval, Test,
    Text,
};
use crate::operator::{self, Expression, Operator, Recipe};
use crate::seclang::action::{Collecting, Disruptive, SetOp, SetVar};
use crate::seclang::ctl::Ctl;
use crate::seclang::diagnostic::{Place, Problem};
use crate::seclang::draft::RuleDraft;
use crate::seclang::macros::{Part, Template};
use crate::seclang::variable::{SelectorText, Shape, TargetText, VARIABLE_COUNT};
use crate::transform::TransformId;

impl Compiler<'_> {
    pub(super) fn rule(&mut self, r: &RuleDraft, known: &[Known], counts: &[usize; PHASES]) -> Rule {
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
            status: a.status.or(defaults.status).unwrap_or(0),
            log: a.log.or(defaults.log).unwrap_or(true),
            disruptive,
            jump: None,
            expression: r.expression.and_then(|n| self.conditions.get_mut(n)?.take()),
            steps,
            prefiltered: false,
            search_chain: 0,
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
            persists: a.collecting.iter().map(|c| self.collecting(c)).collect(),
            hides: a.hides_matched,
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
        let as_written = || Template {
            parts: vec![Part::Text(argument.into())],
        };
        let template = match def.macros {
            // In an expression a percent sign before a brace is not always a macro.
            true if def.is_expression() => Template::parse(argument).unwrap_or_else(|_| as_written()),
            true => Template::parse(argument)?,
            false => as_written(),
        };
        let has_macros = template.fixed().is_none() && !template.parts.is_empty();
        let directory = r.place.file.rsplit_once('/').map_or("", |(d, _)| d).to_owned();
        let files = self.files;
        let data = move |n: &str| find_data(files, &directory, n);
        let datasets = self.datasets;
        let dataset = move |n: &str| datasets.get(n).map(Vec::as_slice);
        let mut recipe = Recipe {
            argument,
            has_macros,
            data: &data,
            dataset: &dataset,
            expressions: &mut self.expressions,
            multi_line: self.options.multi_line,
        };
        // Rules that ask the same of other values are many, and operators are most of what a rule set takes to load.
        let same = (
            def.name,
            r.place.file.rsplit_once('/').map_or("", |(d, _)| d).to_owned(),
            argument.to_owned(),
        );
        let operator = match self.operators.get(&same) {
            Some(made) => Arc::clone(made),
            None => {
                let made: Arc<dyn Operator> = Arc::from(def.build(&mut recipe)?);
                self.memory += made.memory_bytes();
                Arc::clone(self.operators.entry(same).or_insert(made))
            }
        };
        let needs = operator.needs();
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
            needs,
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

    fn collecting(&mut self, c: &Collecting) -> Persist {
        self.reads_clock = true;
        match c {
            Collecting::Open(store, key, named) => Persist::Open(*store, self.text(key), *named),
            Collecting::Expire(store, name, seconds) => Persist::Expire(*store, self.text(name), self.text(seconds)),
            Collecting::Deprecate(store, name, amount, seconds) => {
                Persist::Deprecate(*store, self.text(name), *amount, *seconds)
            }
        }
    }

    fn control(&mut self, place: &Place, c: &Ctl, known: &[Known], counts: &[usize; PHASES]) -> Option<Control> {
        match c {
            Ctl::Nothing => None,
            Ctl::Remove(choice) => Some(Control::Remove(Box::new(select(choice, known, counts)))),
            Ctl::RemoveTarget(choice, t) => match target(t, &mut self.slots, &mut self.expressions, &mut self.used) {
                Ok(target) => {
                    let removal = Arc::new(TargetRemoval {
                        rules: select(choice, known, counts),
                        target,
                        number: u32::try_from(self.target_removals.len()).ok(),
                    });
                    self.target_removals.push(Arc::clone(&removal));
                    Some(Control::RemoveTarget(removal))
                }
                Err(p) => {
                    self.report(place, p);
                    None
                }
            },
            other => Some(Control::Engine(other.clone())),
        }
    }
}

pub(super) fn target(
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
        SelectorText::Pattern(p) => Selector::Pattern(Box::new(Expression::linear(p, true, false, expressions)?.0)),
    };
    Ok(Target {
        var: t.var,
        selector,
        count: t.count,
        slots: Vec::new(),
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
    let ([target], [], [], Ok(constant)) = (targets, exclusions, steps, argument.trim().parse::<i64>()) else {
        return None;
    };
    let of = match &target.selector {
        Selector::Slot(slot) => GateOf::Slot {
            slot: *slot,
            count: target.count,
        },
        Selector::All if target.var.is_fixed() && target.count => GateOf::Count(target.var, None),
        Selector::Key(key) if target.var.is_fixed() && target.count => GateOf::Count(target.var, Some(key.clone())),
        Selector::All if target.var.is_fixed() && target.var.def().shape == Shape::One => GateOf::Value(target.var),
        _ => return None,
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
        of,
        compare,
        constant,
        negated,
    })
}

/// A data file: beside the rule file, under its whole name, or the only one with its base name.
pub(super) fn find_data<'a>(files: &'a [SourceFile<'a>], directory: &str, name: &str) -> Option<&'a [u8]> {
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
