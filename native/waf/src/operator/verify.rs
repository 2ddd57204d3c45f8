//! Numbers with a check: `verifyCC`, `verifySSN`, `verifyCPF`, `verifySVNR`, `validateNid`. An expression finds candidates, a
//! function checks each.

use super::rx::Expression;
use super::{Operator, Probe, Recipe, Requirement};
use crate::program::literals;
use crate::seclang::diagnostic::Problem;

type Made = Result<Box<dyn Operator>, Problem>;

/// Most bytes that candidates of one value may have together, so that overlapping ones cost no square.
const CANDIDATE_BYTES_MAX: u64 = 1 << 20;
/// Most numbers that `validateNid` looks at.
const NIDS_MAX: usize = 10;

struct Verify {
    expression: Expression,
    requirement: Requirement,
    valid: fn(&[u8]) -> bool,
    /// Candidates overlap and the first valid one counts; else they do not and each valid one is a group.
    overlapping: bool,
}

impl Operator for Verify {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        let mut from = 0;
        let mut seen = 0u64;
        let mut any = false;
        let mut count = 0;
        while from < probe.value.len() {
            let Some(m) = self.expression.find_from(probe.value, from, probe.caches, probe.work) else {
                break;
            };
            *probe.work += 16 + (m.end - from) as u64;
            seen += (m.end - from) as u64;
            count += 1;
            if (self.valid)(&probe.value[m.clone()]) {
                any = true;
                if probe.capture {
                    probe.groups.push(m.clone());
                }
                if self.overlapping {
                    break;
                }
            }
            if !self.overlapping && count == NIDS_MAX {
                break;
            }
            if seen > CANDIDATE_BYTES_MAX {
                *probe.work = (*probe.work).max(super::GIVEN_UP);
                break;
            }
            from = if self.overlapping || m.is_empty() {
                m.start + 1
            } else {
                m.end
            };
        }
        any
    }

    fn requirement(&self) -> Requirement {
        self.requirement.clone()
    }

    fn memory_bytes(&self) -> usize {
        self.expression.memory_bytes()
    }
}

fn make(r: &mut Recipe<'_>, pattern: &str, overlapping: bool, valid: fn(&[u8]) -> bool) -> Made {
    let (expression, hir) = Expression::new(pattern, false, r.multi_line, r.expressions)?;
    Ok(Box::new(Verify {
        expression,
        requirement: literals::requirement(&hir),
        valid,
        overlapping,
    }))
}

pub fn card(r: &mut Recipe<'_>) -> Made {
    make(r, r.argument, true, is_card)
}

pub fn cpf(r: &mut Recipe<'_>) -> Made {
    make(r, r.argument, true, is_cpf)
}

pub fn ssn(r: &mut Recipe<'_>) -> Made {
    make(r, r.argument, true, is_ssn)
}

pub fn svnr(r: &mut Recipe<'_>) -> Made {
    make(r, r.argument, true, is_svnr)
}

pub fn nid(r: &mut Recipe<'_>) -> Made {
    let (country, pattern) = r.argument.split_once(' ').unwrap_or((r.argument, ""));
    let valid: fn(&[u8]) -> bool = match country {
        "cl" => is_rut,
        "us" => is_ssn,
        _ => {
            return Err(Problem::new(
                format!("@validateNid knows no country {country}"),
                "write cl or us, and an expression behind it",
            ));
        }
    };
    if pattern.trim().is_empty() {
        return Err(Problem::new(
            "@validateNid has no expression",
            "write cl or us, and an expression behind it",
        ));
    }
    make(r, pattern.trim(), false, valid)
}

/// The digits of a text; at most `N`, `None` when there are more or fewer.
fn digits<const N: usize>(text: &[u8]) -> Option<[u32; N]> {
    let mut out = [0; N];
    let mut all = text.iter().filter(|b| b.is_ascii_digit());
    for (to, from) in out.iter_mut().zip(&mut all) {
        *to = u32::from(from - b'0');
    }
    let count = text.iter().filter(|b| b.is_ascii_digit()).count();
    (count == N).then_some(out)
}

/// The first digits of a text, which may have more.
fn first_digits<const N: usize>(text: &[u8]) -> Option<[u32; N]> {
    let end = text
        .iter()
        .enumerate()
        .filter(|(_, b)| b.is_ascii_digit())
        .nth(N - 1)
        .map(|(i, _)| i)?;
    digits(&text[..=end])
}

/// The check of Luhn (ISO/IEC 7812-1).
fn is_card(text: &[u8]) -> bool {
    let mut sums = [0u32; 2];
    let mut odd = 0;
    let mut count = 0usize;
    for d in text.iter().filter(|b| b.is_ascii_digit()).map(|b| u32::from(b - b'0')) {
        let doubled = if d > 4 { d * 2 - 9 } else { d * 2 };
        sums[odd] += doubled;
        sums[1 - odd] += d;
        odd = 1 - odd;
        count += 1;
    }
    count > 0 && sums[odd].is_multiple_of(10)
}

/// The Brazilian Cadastro de Pessoas Físicas: eleven digits, of which two are checks.
fn is_cpf(text: &[u8]) -> bool {
    let Some(d) = first_digits::<11>(text) else {
        return false;
    };
    let check = |count: usize| {
        let weights = (2..=u32::try_from(count + 1).unwrap_or(2)).rev();
        let sum: u32 = d[..count].iter().zip(weights).map(|(d, w)| d * w).sum();
        if sum % 11 < 2 { 0 } else { 11 - sum % 11 }
    };
    let repeated = d.iter().all(|x| *x == d[0]) || d[..10] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    !repeated && check(9) == d[9] && check(10) == d[10]
}

/// A social security number of the United States.
fn is_ssn(text: &[u8]) -> bool {
    let Some(d) = digits::<9>(text) else { return false };
    let number = |part: &[u32]| part.iter().fold(0, |n, d| n * 10 + d);
    let pairs = || d.iter().zip(&d[1..]);
    let area = number(&d[..3]);
    let zero = area == 0 || number(&d[3..5]) == 0 || number(&d[5..]) == 0;
    !pairs().all(|(a, b)| a + 1 == *b) && !pairs().all(|(a, b)| a == b) && !zero && area < 740 && area != 666
}

/// An Austrian Sozialversicherungsnummer: ten digits, the fourth a check.
fn is_svnr(text: &[u8]) -> bool {
    const WEIGHTS: [u32; 10] = [3, 7, 9, 0, 5, 8, 4, 2, 1, 6];
    let Some(d) = first_digits::<10>(text) else {
        return false;
    };
    let repeated = d.iter().all(|x| *x == d[0]) || d == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    let sum: u32 = d.iter().zip(WEIGHTS).map(|(d, w)| d * w).sum();
    !repeated && sum % 11 % 10 == d[3]
}

/// A Chilean Rol Único Tributario: digits and a check, which may be a K.
fn is_rut(text: &[u8]) -> bool {
    if text.len() < 8 {
        return false;
    }
    let kept: Vec<u8> = text
        .iter()
        .map(u8::to_ascii_lowercase)
        .filter(|b| b.is_ascii_digit() || *b == b'k')
        .collect();
    let Some((check, number)) = kept.split_last() else {
        return false;
    };
    if number.len() > 18 || number.contains(&b'k') {
        return false;
    }
    let weights = (2..=7).cycle();
    let sum: u32 = number
        .iter()
        .rev()
        .zip(weights)
        .map(|(d, w)| u32::from(d - b'0') * w)
        .sum();
    *check
        == match sum % 11 {
            0 => b'0',
            1 => b'k',
            n => b'0' + u8::try_from(11 - n).unwrap_or(0),
        }
}
