//! `eq`, `ge`, `gt`, `le`, `lt`: both sides are read as C's `atoi` reads them.

use super::{Operator, Probe, Recipe};
use crate::bytes::to_int;
use crate::seclang::diagnostic::Problem;

type Made = Result<Box<dyn Operator>, Problem>;

struct Compare {
    /// `None` when the argument holds macros.
    fixed: Option<i64>,
    test: fn(i64, i64) -> bool,
}

impl Operator for Compare {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += 8;
        (self.test)(
            to_int(probe.value),
            self.fixed.unwrap_or_else(|| to_int(probe.argument)),
        )
    }
}

fn compare(recipe: &Recipe<'_>, test: fn(i64, i64) -> bool) -> Made {
    if recipe.has_macros {
        return Ok(Box::new(Compare { fixed: None, test }));
    }
    let n = recipe.argument.trim().parse::<i64>().map_err(|_| {
        Problem::new(
            format!("{:?} is no number", recipe.argument),
            "write a whole number, or a macro such as %{tx.name}",
        )
    })?;
    Ok(Box::new(Compare { fixed: Some(n), test }))
}

pub fn eq(r: &mut Recipe<'_>) -> Made {
    compare(r, |a, b| a == b)
}

pub fn ge(r: &mut Recipe<'_>) -> Made {
    compare(r, |a, b| a >= b)
}

pub fn gt(r: &mut Recipe<'_>) -> Made {
    compare(r, |a, b| a > b)
}

pub fn le(r: &mut Recipe<'_>) -> Made {
    compare(r, |a, b| a <= b)
}

pub fn lt(r: &mut Recipe<'_>) -> Made {
    compare(r, |a, b| a < b)
}
