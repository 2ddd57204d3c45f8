//! `restpath`: a path with names in braces, which become `ARGS_PATH`.

use super::rx::Expression;
use super::{Operator, Probe, Recipe, Requirement};
use crate::program::literals;
use crate::seclang::diagnostic::Problem;

/// Most names of one path.
const NAMES_MAX: usize = super::GROUPS_MAX - 1;

struct RestPath {
    expression: Expression,
    requirement: Requirement,
    names: Vec<String>,
}

impl Operator for RestPath {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        self.expression.find_groups(probe)
    }

    fn requirement(&self) -> Requirement {
        self.requirement.clone()
    }

    fn memory_bytes(&self) -> usize {
        self.expression.memory_bytes()
    }

    fn names(&self) -> &[String] {
        &self.names
    }
}

pub fn make(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    let mut pattern = String::new();
    let mut names: Vec<String> = Vec::new();
    let mut rest = r.argument;
    while let Some(open) = rest.find('{') {
        let wrong = || {
            Problem::new(
                "a name of the path is malformed",
                "write names between braces, as in /users/{id}",
            )
        };
        let close = rest[open..].find('}').ok_or_else(wrong)? + open;
        let name = &rest[open + 1..close];
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !plain || names.iter().any(|n| n == name) {
            return Err(wrong());
        }
        pattern.push_str(&rest[..open]);
        pattern.push_str("([^?/]+)");
        names.push(name.to_owned());
        rest = &rest[close + 1..];
    }
    pattern.push_str(rest);
    if names.len() > NAMES_MAX {
        return Err(Problem::new(
            format!("a path of more than {NAMES_MAX} names"),
            "write a shorter path, or an @rx",
        ));
    }
    let (expression, hir) = Expression::new(&pattern, false, r.multi_line, r.expressions)?;
    Ok(Box::new(RestPath {
        expression,
        requirement: literals::requirement(&hir),
        names,
    }))
}
