//! `detectSQLi` and `detectXSS`: libinjection's answers.

use cnx_libinjection::{sqli, xss};

use super::{Operator, Probe, Recipe, Requirement};
use crate::seclang::diagnostic::Problem;

/// One of these bytes stands in every match.
fn one_of(is_needed: fn(u8) -> bool) -> Requirement {
    Requirement::OneOf((0..=u8::MAX).filter(|b| is_needed(*b)).map(|b| vec![b]).collect())
}

struct Sql;

impl Operator for Sql {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        let answer = sqli::detect(probe.value);
        *probe.work += answer.bytes_read;
        let Some(fingerprint) = answer.fingerprint else {
            return false;
        };
        if probe.capture {
            probe.groups.say(fingerprint.as_bytes());
        }
        true
    }

    fn requirement(&self) -> Requirement {
        one_of(sqli::is_needed)
    }
}

struct Script;

impl Operator for Script {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        let answer = xss::detect(probe.value);
        *probe.work += answer.bytes_read;
        if answer.found && probe.capture {
            probe.groups.push(0..probe.value.len());
        }
        answer.found
    }

    fn requirement(&self) -> Requirement {
        one_of(xss::is_needed)
    }
}

pub fn sql(_: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    Ok(Box::new(Sql))
}

pub fn script(_: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    Ok(Box::new(Script))
}
