//! `validateByteRange`, `validateUrlEncoding`.

use super::{Operator, Probe, Recipe, Requirement};
use crate::bytes::ByteSet;
use crate::seclang::diagnostic::Problem;
use crate::transform;

type Made = Result<Box<dyn Operator>, Problem>;

struct Range {
    allowed: ByteSet,
}

impl Operator for Range {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        probe.value.iter().any(|b| !self.allowed.has(*b))
    }

    fn requirement(&self) -> Requirement {
        Requirement::OneOf(
            (0..=u8::MAX)
                .filter(|b| !self.allowed.has(*b))
                .map(|b| vec![b.to_ascii_lowercase()])
                .collect(),
        )
    }
}

pub fn range(r: &mut Recipe<'_>) -> Made {
    let mut allowed = ByteSet::EMPTY;
    for part in r.argument.split(',').map(str::trim).filter(|p| !p.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.trim().parse::<u8>(), to.trim().parse::<u8>()) {
            (Ok(a), Ok(b)) if a <= b => allowed = allowed.or(ByteSet::range(a, b)),
            _ => {
                return Err(Problem::new(
                    format!("{part} is no byte and no range of bytes"),
                    "write numbers from 0 to 255, as in 32-126,9,10",
                ));
            }
        }
    }
    Ok(Box::new(Range { allowed }))
}

struct UrlEncoding;

impl Operator for UrlEncoding {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        transform::has_wrong_escape(probe.value)
    }

    fn requirement(&self) -> Requirement {
        Requirement::OneOf(vec![b"%".to_vec()])
    }
}

pub fn url_encoding(_: &mut Recipe<'_>) -> Made {
    Ok(Box::new(UrlEncoding))
}
