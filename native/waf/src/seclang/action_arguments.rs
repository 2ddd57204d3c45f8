//! What actions take: numbers, severities, and what `setvar` sets.

use super::action::{SetOp, SetVar};
use super::diagnostic::{Problem, did_you_mean};
use super::macros::Template;
use super::variable::{Shape, Var};

pub(super) fn number(text: &str, min: u32, max: u32) -> Result<u32, Problem> {
    match text.trim().parse::<u32>() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(Problem::new(
            format!("{text:?} is no number from {min} to {max}"),
            format!("write a number from {min} to {max}"),
        )),
    }
}

/// Names of the severities, most severe first.
pub const SEVERITIES: [&str; 8] = [
    "EMERGENCY",
    "ALERT",
    "CRITICAL",
    "ERROR",
    "WARNING",
    "NOTICE",
    "INFO",
    "DEBUG",
];

pub(super) fn severity(text: &str) -> Result<u8, Problem> {
    let by_name = SEVERITIES.iter().position(|s| s.eq_ignore_ascii_case(text));
    match by_name.or_else(|| text.parse::<usize>().ok().filter(|n| *n < 8)) {
        Some(n) => Ok(u8::try_from(n).unwrap_or(7)),
        None => Err(Problem::new(
            format!("{text} is no severity"),
            did_you_mean(
                text,
                SEVERITIES.into_iter(),
                "write 0 to 7, or EMERGENCY, ALERT, CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG",
            ),
        )),
    }
}

/// A store that can be persistent.
pub(super) fn persistent(name: &str) -> Result<Var, Problem> {
    match Var::from_name(name).filter(|v| v.def().shape == Shape::Store && *v != Var::Tx) {
        Some(var) => Ok(var),
        None => Err(Problem::new(
            format!("{name} is no persistent collection"),
            "write ip, global, session, user or resource",
        )),
    }
}

/// A variable of a persistent collection.
pub(super) fn variable_of(text: &str) -> Result<(Var, Template), Problem> {
    let (store, name) = text.trim().split_once(['.', ':']).unwrap_or((text.trim(), ""));
    let store = persistent(store)?;
    if name.is_empty() {
        return Err(Problem::new(format!("{text} names no variable"), "write ip.name"));
    }
    Ok((store, Template::parse(&name.to_ascii_lowercase())?))
}

pub(super) fn parse_setvar(text: &str) -> Result<SetVar, Problem> {
    let (unset, body) = match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (target, value) = match body.split_once('=') {
        Some((t, v)) => (t.trim(), Some(v.trim())),
        None => (body.trim(), None),
    };
    let Some((store, name)) = target.split_once(['.', ':']) else {
        return Err(Problem::new(
            format!("setvar:{text} names no collection"),
            "write setvar:tx.name=value",
        ));
    };
    let store = Var::from_name(store)
        .filter(|v| v.def().shape == Shape::Store)
        .ok_or_else(|| {
            Problem::new(
                format!("{store} cannot be written"),
                "write to tx, ip, global, session, user or resource",
            )
        })?;
    if name.is_empty() {
        return Err(Problem::new(
            format!("setvar:{text} names no variable"),
            "write setvar:tx.name=value",
        ));
    }
    let op = match value {
        _ if unset => SetOp::Unset,
        None => SetOp::Set(Template::parse("1")?),
        Some(v) => match v.as_bytes().first() {
            Some(b'+') => SetOp::Add(Template::parse(&v[1..])?),
            Some(b'-') => SetOp::Subtract(Template::parse(&v[1..])?),
            _ => SetOp::Set(Template::parse(v)?),
        },
    };
    // Keys ignore case: the fixed parts are folded here, the macros' values when they are known.
    let name = Template::parse(&name.to_ascii_lowercase())?;
    Ok(SetVar { store, name, op })
}
