//! One transaction told to a person: every rule that matched with its texts, the interruptions and the scores, as JSON.

use super::act::Told;
use super::report::{is_secret, push_printable};
use super::transaction::{Key, SlotValue, Transaction};
use super::{Limit, Outcome, Verdict};
use crate::profile::Profile;
use crate::program::{Program, Rule};
use crate::seclang::action::Disruptive;
use crate::seclang::action_arguments::SEVERITIES;
use crate::seclang::diagnostic::push_json;
use crate::seclang::variable::Var;
use crate::wire::{Request, Response};

/// Most matches of one trace; the number of all is told.
pub const TRACE_MATCHES_MAX: usize = 10_000;
/// Most bytes of a text in a trace.
const TEXT_BYTES_MAX: usize = 2_000;
const VERDICTS: [&str; 5] = ["pass", "detect-match", "block", "budget-exceeded", "error"];
const ACTIONS: [&str; 4] = ["none", "deny", "drop", "redirect"];
const LIMITS: [&str; 7] = ["none", "work", "arguments", "body", "memory", "files", "response-body"];

/// What is told, as it comes about.
#[derive(Default)]
pub(crate) struct Trace {
    /// Objects of JSON, separated by commas.
    matches: String,
    count: usize,
    interruptions: String,
}

impl Trace {
    pub fn interruption(&mut self, phase: usize, rule: u32, action: u8) {
        let action = ACTIONS.get(usize::from(action)).copied().unwrap_or("none");
        if self.interruptions.len() > TEXT_BYTES_MAX {
            return;
        }
        separate(&mut self.interruptions);
        let phase = phase + 1;
        self.interruptions
            .push_str(&format!(r#"{{"phase":{phase},"ruleId":{rule},"action":"{action}"}}"#));
    }
}

impl Transaction {
    /// Inspects a request and its answer, all phases, and tells everything as JSON; see `WafTrace` in `src/native/waf.ts`.
    pub fn trace(&mut self, profile: &Profile, request: &Request<'_>, response: Option<&Response<'_>>) -> String {
        self.trace = Some(Box::default());
        let outcome = self.inspect_whole(profile, request, response);
        let trace = self.trace.take().unwrap_or_default();
        self.told(&profile.program, &outcome, &trace)
    }

    /// Notes a match, when somebody wants to be told.
    pub(super) fn note(&mut self, program: &Program, phase: usize, rule: &Rule) {
        let Some(mut trace) = self.trace.take() else { return };
        trace.count += 1;
        if trace.count <= TRACE_MATCHES_MAX {
            self.tell(program, phase, rule, &mut trace.matches);
        }
        self.trace = Some(trace);
    }

    fn tell(&mut self, program: &Program, phase: usize, rule: &Rule, out: &mut String) {
        let Told { message, variable } = self.told_texts(program, rule);
        let message = shown(&message);
        let variable = shown(&variable);
        let last = self.matched.last().copied();
        let secret = last.as_ref().is_some_and(|m| {
            let key = match m.key {
                Key::Value(id) => self.values.get(id),
                _ => b"",
            };
            is_secret(m.var, key)
        });
        let value = match &last {
            Some(m) if secret => format!("<masked, {} bytes>", self.values.get(m.value).len()),
            Some(m) => shown(self.values.get(m.value)),
            None => String::new(),
        };
        let mut data = Vec::new();
        self.expand(program, &rule.log_data, &mut data);
        let data = if secret && !data.is_empty() {
            "<masked>".to_owned()
        } else {
            shown(&data)
        };
        let severity = SEVERITIES.get(usize::from(rule.severity)).copied().unwrap_or("");
        let mut line = format!(
            "ModSecurity: {} [file {:?}] [line \"{}\"] [id \"{}\"]",
            what_matched(rule, &variable, &value),
            rule.place.file,
            rule.place.line,
            rule.id
        );
        for (name, text) in [("msg", message.as_str()), ("data", &data), ("severity", severity)] {
            if !text.is_empty() {
                line.push_str(&format!(" [{name} \"{text}\"]"));
            }
        }
        for tag in &rule.tags {
            line.push_str(&format!(" [tag \"{tag}\"]"));
        }
        separate(out);
        out.push_str(&format!(
            r#"{{"phase":{},"ruleId":{},"logged":{},"#,
            phase + 1,
            rule.id,
            rule.log
        ));
        for (name, text) in [
            ("message", message.as_str()),
            ("data", &data),
            ("severity", severity),
            ("variable", &variable),
            ("value", &value),
            ("action", action_of(rule.disruptive)),
            ("file", &rule.place.file),
            ("line", &line),
        ] {
            let name = if name == "line" { "logLine" } else { name };
            out.push_str(&format!("\"{name}\":"));
            push_json(out, text);
            out.push(',');
        }
        if rule.status != 0 && action_of(rule.disruptive) != "pass" {
            out.push_str(&format!("\"status\":{},", rule.status));
        }
        out.push_str(&format!("\"line\":{},\"tags\":[", rule.place.line));
        for (i, tag) in rule.tags.iter().enumerate() {
            if i > 0 {
                out.push(',');
            }
            push_json(out, tag);
        }
        out.push_str("]}");
    }

    fn told(&mut self, program: &Program, outcome: &Outcome, trace: &Trace) -> String {
        let mut out = format!(
            r#"{{"verdict":"{}","wouldBlock":{},"blockingRuleId":{},"action":"{}","limit":"{}","work":{},"matchCount":{},"notTold":{},"#,
            VERDICTS[verdict_place(outcome.verdict)],
            outcome.would_block,
            outcome.blocking_rule,
            ACTIONS.get(usize::from(outcome.action)).copied().unwrap_or("none"),
            LIMITS[limit_place(outcome.limit)],
            outcome.work,
            outcome.matches,
            trace.count.saturating_sub(TRACE_MATCHES_MAX),
        );
        let number = |tx: &Self, name: &str| -> i64 {
            let slot = program.slots.find(Var::Tx, name.as_bytes());
            slot.and_then(|s| tx.slot_int(s)).unwrap_or(0)
        };
        let levels = |tx: &Self, direction: &str| -> String {
            let of = |level: usize| number(tx, &format!("{direction}_anomaly_score_pl{level}")).to_string();
            (1..=4).map(of).collect::<Vec<_>>().join(",")
        };
        let (inbound, outbound) = (levels(self, "inbound"), levels(self, "outbound"));
        let answered = program.outbound_score_slots.iter().find_map(|s| self.slot_int(*s));
        out.push_str(&format!(
            r#""scores":{{"inbound":{},"outbound":{},"inboundPerLevel":[{inbound}],"outboundPerLevel":[{outbound}]}},"#,
            outcome.score,
            answered.unwrap_or(0),
        ));
        out.push_str(&format!(
            r#""interruptions":[{}],"matches":[{}],"tx":{{"#,
            trace.interruptions, trace.matches
        ));
        let mut first = true;
        let mut pair = |name: &[u8], value: &str| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            push_json(&mut out, &shown(name));
            out.push(':');
            push_json(&mut out, value);
        };
        for (slot, value) in self.slots.iter().enumerate() {
            let (var, name) = program.slots.name(u32::try_from(slot).unwrap_or(u32::MAX));
            if var == Var::Tx && *value != SlotValue::Unset {
                pair(name, &self.shown_slot(*value));
            }
        }
        for (_, name, value) in self.named.iter().filter(|(var, ..)| *var == Var::Tx) {
            pair(self.values.get(*name), &self.shown_slot(*value));
        }
        out.push_str("}}");
        out
    }

    fn shown_slot(&self, value: SlotValue) -> String {
        match value {
            SlotValue::Unset => String::new(),
            SlotValue::Int(n) => n.to_string(),
            SlotValue::Value(id) => shown(self.values.get(id)),
        }
    }
}

fn what_matched(rule: &Rule, variable: &str, value: &str) -> String {
    let denied = match rule.disruptive {
        Disruptive::Deny | Disruptive::Drop | Disruptive::Redirect => "Access denied.",
        _ => "Warning.",
    };
    if variable.is_empty() {
        format!("{denied} Unconditional match in SecAction.")
    } else {
        format!("{denied} Matched variable `{variable}' (Value: `{value}')")
    }
}

fn action_of(disruptive: Disruptive) -> &'static str {
    match disruptive {
        Disruptive::Deny => "deny",
        Disruptive::Drop => "drop",
        Disruptive::Redirect => "redirect",
        Disruptive::Allow | Disruptive::AllowPhase | Disruptive::AllowRequest => "allow",
        Disruptive::Pass | Disruptive::Block => "pass",
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    push_printable(&mut out, bytes, TEXT_BYTES_MAX);
    String::from_utf8_lossy(&out).into_owned()
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push(',');
    }
}

fn verdict_place(v: Verdict) -> usize {
    (v as usize).min(VERDICTS.len() - 1)
}

fn limit_place(l: Limit) -> usize {
    (l as usize).min(LIMITS.len() - 1)
}
