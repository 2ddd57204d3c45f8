//! The table of actions.

use super::action_arguments::{number, parse_setvar, persistent, severity, variable_of};
use super::ctl::{Ctl, parse_ctl};
use super::diagnostic::Problem;
use super::macros::Template;
use super::variable::Var;
use crate::transform::{self, TransformId};

/// What a matching rule does to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disruptive {
    /// Goes on.
    Pass,
    /// What the default actions say.
    Block,
    /// Refuses.
    Deny,
    /// Refuses and closes the connection.
    Drop,
    /// Refuses by redirecting.
    Redirect,
    /// Ends all phases but the last.
    Allow,
    /// Ends this phase.
    AllowPhase,
    /// Ends the request phases.
    AllowRequest,
}

/// What `setvar` does.
#[derive(Clone, Debug, PartialEq)]
pub enum SetOp {
    /// `name=value`.
    Set(Template),
    /// `name=+value`.
    Add(Template),
    /// `name=-value`.
    Subtract(Template),
    /// `!name`.
    Unset,
}

/// One `setvar`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetVar {
    /// TX, IP, GLOBAL, SESSION, USER or RESOURCE.
    pub store: Var,
    /// The key, lower case where it is fixed.
    pub name: Template,
    /// What happens to it.
    pub op: SetOp,
}

/// What happens to a persistent collection.
#[derive(Clone, Debug, PartialEq)]
pub enum Collecting {
    /// Opened by its key; the variable that then holds the key.
    Open(Var, Template, Option<Var>),
    /// A variable expires after so many seconds.
    Expire(Var, Template, Template),
    /// A number shrinks by so much in so many seconds.
    Deprecate(Var, Template, i64, u64),
}

/// The actions of one rule.
#[derive(Clone, Debug, Default)]
pub struct ActionList {
    /// `id`.
    pub id: Option<u32>,
    /// `phase`.
    pub phase: Option<u8>,
    /// `t:` in order, after the last `t:none`.
    pub transforms: Vec<TransformId>,
    /// `t:none` was among them, so those of the default actions are dropped.
    pub transforms_reset: bool,
    /// The disruptive action.
    pub disruptive: Option<Disruptive>,
    /// `log` or `nolog`.
    pub log: Option<bool>,
    /// `auditlog` or `noauditlog`.
    pub audit_log: Option<bool>,
    /// `msg`.
    pub message: Option<Template>,
    /// `logdata`.
    pub log_data: Option<Template>,
    /// `severity`, 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// `tag`.
    pub tags: Vec<String>,
    /// `setvar`.
    pub set_vars: Vec<SetVar>,
    /// `ctl`.
    pub ctls: Vec<Ctl>,
    /// `capture`.
    pub capture: bool,
    /// `multiMatch`.
    pub multi_match: bool,
    /// `chain`.
    pub chain: bool,
    /// `skip`.
    pub skip: Option<u32>,
    /// `skipAfter`.
    pub skip_after: Option<String>,
    /// `status`.
    pub status: Option<u16>,
    /// `initcol`, `setsid`, `setuid`, `setrsc`, `expirevar`, `deprecatevar`.
    pub collecting: Vec<Collecting>,
    /// `sanitiseArg` and its like: variables and keys.
    pub hidden: Vec<(Var, String)>,
    /// `sanitiseMatched`.
    pub hides_matched: bool,
}

/// One row of the table.
pub struct ActionDef {
    /// Name.
    pub name: &'static str,
    /// metadata, flow, disruptive, data or log.
    pub group: &'static str,
    /// What stands after the colon; empty when nothing may.
    pub argument: &'static str,
    /// What it does, or why it does nothing.
    pub summary: &'static str,
    pub(super) apply: fn(&mut ActionList, &str) -> Result<(), Problem>,
}

macro_rules! action {
    ($name:literal, $group:literal, $argument:literal, $summary:literal, $apply:expr) => {
        ActionDef {
            name: $name,
            group: $group,
            argument: $argument,
            summary: $summary,
            apply: $apply,
        }
    };
}

/// All actions.
pub static ACTIONS: &[ActionDef] = &[
    action!("accuracy", "metadata", "1-9", "accepted as metadata", |_, _| Ok(())),
    action!(
        "allow",
        "disruptive",
        "?phase|request",
        "ends all phases, this phase or the request phases",
        |a, v| {
            disrupt(
                a,
                match v.to_ascii_lowercase().as_str() {
                    "" => Disruptive::Allow,
                    "phase" => Disruptive::AllowPhase,
                    "request" => Disruptive::AllowRequest,
                    _ => {
                        return Err(Problem::new(
                            format!("allow:{v} is unknown"),
                            "write allow, allow:phase or allow:request",
                        ));
                    }
                },
            )
        }
    ),
    action!(
        "auditlog",
        "log",
        "",
        "accepted; the gateway keeps its own decision record",
        |a, _| {
            a.audit_log = Some(true);
            Ok(())
        }
    ),
    action!("block", "disruptive", "", "what SecDefaultAction says", |a, _| disrupt(
        a,
        Disruptive::Block
    )),
    action!(
        "capture",
        "data",
        "",
        "writes the groups of the expression to TX.0 to TX.9",
        |a, _| {
            a.capture = true;
            Ok(())
        }
    ),
    action!("chain", "flow", "", "the next rule must match too", |a, _| {
        a.chain = true;
        Ok(())
    }),
    action!(
        "ctl",
        "data",
        "name=value",
        "changes the engine for this transaction",
        |a, v| {
            a.ctls.push(parse_ctl(v)?);
            Ok(())
        }
    ),
    action!("deny", "disruptive", "", "refuses the request", |a, _| disrupt(
        a,
        Disruptive::Deny
    )),
    action!(
        "drop",
        "disruptive",
        "",
        "refuses the request and closes the connection",
        |a, _| disrupt(a, Disruptive::Drop)
    ),
    action!(
        "deprecatevar",
        "data",
        "store.name=amount/seconds",
        "takes the amount from a number of a persistent collection for every so many seconds that have passed",
        |a, v| {
            let wrong = || {
                Problem::new(
                    format!("deprecatevar:{v} is malformed"),
                    "write deprecatevar:ip.name=60/300",
                )
            };
            let (target, rate) = v.split_once('=').ok_or_else(wrong)?;
            let (amount, seconds) = rate.split_once('/').ok_or_else(wrong)?;
            let (store, name) = variable_of(target)?;
            let amount = amount.trim().parse().map_err(|_| wrong())?;
            let seconds = seconds.trim().parse().ok().filter(|s| *s > 0).ok_or_else(wrong)?;
            a.collecting.push(Collecting::Deprecate(store, name, amount, seconds));
            Ok(())
        }
    ),
    action!(
        "expirevar",
        "data",
        "store.name=seconds",
        "a variable of a persistent collection is forgotten after so many seconds",
        |a, v| {
            let Some((target, seconds)) = v.split_once('=') else {
                return Err(Problem::new(
                    format!("expirevar:{v} names no time"),
                    "write expirevar:ip.name=60",
                ));
            };
            let seconds = Template::parse(seconds.trim())?;
            if seconds.fixed().is_some_and(|s| s.parse::<u64>().is_err()) {
                return Err(Problem::new(
                    format!("expirevar:{v} names no time"),
                    "write expirevar:ip.name=60",
                ));
            }
            let (store, name) = variable_of(target)?;
            a.collecting.push(Collecting::Expire(store, name, seconds));
            Ok(())
        }
    ),
    action!("id", "metadata", "number", "the id of the rule", |a, v| {
        a.id = Some(number(v, 1, u32::MAX)?);
        Ok(())
    }),
    action!(
        "initcol",
        "data",
        "store=key",
        "opens a persistent collection, which lives in the memory of this process",
        |a, v| {
            let Some((store, key)) = v.split_once('=') else {
                return Err(Problem::new(
                    format!("initcol:{v} names no key"),
                    "write initcol:ip=%{REMOTE_ADDR}",
                ));
            };
            let store = persistent(store.trim())?;
            a.collecting
                .push(Collecting::Open(store, Template::parse(key.trim())?, None));
            Ok(())
        }
    ),
    action!("log", "log", "", "a match is reported", |a, _| {
        a.log = Some(true);
        Ok(())
    }),
    action!("logdata", "log", "text", "text for the report, with macros", |a, v| {
        a.log_data = Some(Template::parse(v)?);
        Ok(())
    }),
    action!("maturity", "metadata", "1-9", "accepted as metadata", |_, _| Ok(())),
    action!(
        "msg",
        "log",
        "text",
        "the message of the report, with macros",
        |a, v| {
            a.message = Some(Template::parse(v)?);
            Ok(())
        }
    ),
    action!(
        "multiMatch",
        "data",
        "",
        "the operator runs before and after every transformation that changes the value",
        |a, _| {
            a.multi_match = true;
            Ok(())
        }
    ),
    action!(
        "noauditlog",
        "log",
        "",
        "accepted; the gateway keeps its own decision record",
        |a, _| {
            a.audit_log = Some(false);
            Ok(())
        }
    ),
    action!("nolog", "log", "", "a match is not reported", |a, _| {
        a.log = Some(false);
        a.audit_log = Some(false);
        Ok(())
    }),
    action!("pass", "disruptive", "", "goes on", |a, _| disrupt(a, Disruptive::Pass)),
    action!(
        "phase",
        "metadata",
        "1-5|request|response|logging",
        "when the rule runs; 2 when missing",
        |a, v| {
            a.phase = Some(match v.to_ascii_lowercase().as_str() {
                "request" => 2,
                "response" => 4,
                "logging" => 5,
                _ => u8::try_from(number(v, 1, 5)?).unwrap_or(2),
            });
            Ok(())
        }
    ),
    action!(
        "redirect",
        "disruptive",
        "address",
        "refuses the request; the gateway answers with its own refusal",
        |a, v| {
            Template::parse(v)?;
            disrupt(a, Disruptive::Redirect)
        }
    ),
    action!("rev", "metadata", "text", "accepted as metadata", |_, _| Ok(())),
    action!(
        "sanitiseArg",
        "log",
        "name",
        "records never show the value of this argument, whether the rule matches or not",
        |a, v| {
            for var in [Var::Args, Var::ArgsGet, Var::ArgsPost] {
                a.hidden.push((var, v.to_ascii_lowercase()));
            }
            Ok(())
        }
    ),
    action!(
        "sanitiseMatched",
        "log",
        "",
        "records do not show what this rule matched",
        |a, _| {
            a.hides_matched = true;
            Ok(())
        }
    ),
    action!(
        "sanitiseMatchedBytes",
        "log",
        "?first/last",
        "the same: nothing of it is shown",
        |a, v| {
            let numbers = v.split('/').all(|n| n.parse::<u32>().is_ok());
            if !v.is_empty() && !numbers {
                return Err(Problem::new(
                    format!("sanitiseMatchedBytes:{v} is malformed"),
                    "write sanitiseMatchedBytes or sanitiseMatchedBytes:1/4",
                ));
            }
            a.hides_matched = true;
            Ok(())
        }
    ),
    action!(
        "sanitiseRequestHeader",
        "log",
        "name",
        "records never show the value of this request header",
        |a, v| {
            a.hidden.push((Var::RequestHeaders, v.to_ascii_lowercase()));
            Ok(())
        }
    ),
    action!(
        "sanitiseResponseHeader",
        "log",
        "name",
        "records never show the value of this answer's header",
        |a, v| {
            a.hidden.push((Var::ResponseHeaders, v.to_ascii_lowercase()));
            Ok(())
        }
    ),
    action!(
        "setrsc",
        "data",
        "key",
        "opens the persistent collection RESOURCE",
        |a, v| {
            a.collecting
                .push(Collecting::Open(Var::Resource, Template::parse(v)?, None));
            Ok(())
        }
    ),
    action!(
        "setsid",
        "data",
        "key",
        "sets SESSIONID and opens the persistent collection SESSION",
        |a, v| {
            let key = Template::parse(v)?;
            a.collecting
                .push(Collecting::Open(Var::Session, key, Some(Var::SessionId)));
            Ok(())
        }
    ),
    action!(
        "setuid",
        "data",
        "key",
        "sets USERID and opens the persistent collection USER",
        |a, v| {
            let key = Template::parse(v)?;
            a.collecting.push(Collecting::Open(Var::User, key, Some(Var::UserId)));
            Ok(())
        }
    ),
    action!(
        "setvar",
        "data",
        "[!]store.name[=[+-]value]",
        "writes a variable, once for each matched value",
        |a, v| {
            a.set_vars.push(parse_setvar(v)?);
            Ok(())
        }
    ),
    action!(
        "severity",
        "metadata",
        "0-7 or a name",
        "how severe a match is",
        |a, v| {
            a.severity = Some(severity(v)?);
            Ok(())
        }
    ),
    action!("skip", "flow", "number", "jumps over the next rules", |a, v| {
        a.skip = Some(number(v, 1, 100_000)?);
        Ok(())
    }),
    action!(
        "skipAfter",
        "flow",
        "marker or id",
        "jumps behind a marker of this phase",
        |a, v| {
            a.skip_after = Some(v.to_owned());
            Ok(())
        }
    ),
    action!(
        "status",
        "data",
        "100-599",
        "accepted; the gateway answers with its own refusal",
        |a, v| {
            a.status = u16::try_from(number(v, 100, 599)?).ok();
            Ok(())
        }
    ),
    action!(
        "t",
        "data",
        "transformation",
        "changes the value before the operator sees it",
        |a, v| {
            if v.eq_ignore_ascii_case("none") {
                a.transforms.clear();
                a.transforms_reset = true;
            } else {
                a.transforms.push(transform::by_name(v)?);
            }
            Ok(())
        }
    ),
    action!("tag", "metadata", "text", "a label for removals and reports", |a, v| {
        a.tags.push(v.to_owned());
        Ok(())
    }),
    action!("ver", "metadata", "text", "accepted as metadata", |_, _| Ok(())),
    action!(
        "xmlns",
        "metadata",
        "prefix=name",
        "accepted; the two XPaths that are understood name no element",
        |_, v| match v.split_once('=') {
            Some((prefix, name)) if !prefix.is_empty() && !name.is_empty() => Ok(()),
            _ => Err(Problem::new(
                format!("xmlns:{v} is malformed"),
                "write xmlns:prefix=name"
            )),
        }
    ),
];

/// Actions of other engines that are refused, with the reason.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("exec", "rules never start programs; read the gateway's records"),
    ("proxy", "routes choose where requests go; use a route"),
    ("pause", "a lane never waits; use a limit"),
    ("setenv", "rules never write the environment; use setvar:tx.name"),
    ("append", "answers are not edited by rules; use the respond stage"),
    ("prepend", "answers are not edited by rules; use the respond stage"),
];

fn disrupt(a: &mut ActionList, what: Disruptive) -> Result<(), Problem> {
    a.disruptive = Some(what);
    Ok(())
}
