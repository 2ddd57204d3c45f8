//! `validateUtf8Encoding`.

use super::{Operator, Probe, Recipe, Requirement};
use crate::seclang::diagnostic::Problem;

struct Utf8;

impl Operator for Utf8 {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        std::str::from_utf8(probe.value).is_err()
    }

    fn requirement(&self) -> Requirement {
        Requirement::OneOf((0x80..=u8::MAX).map(|b| vec![b]).collect())
    }
}

pub fn make(_: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    Ok(Box::new(Utf8))
}
