//! What directives take: checks of those that have no effect here, and readers of numbers, ids and words.

use super::ctl::on_off;
use super::diagnostic::Problem;
use super::setting::LimitAction;

pub(super) fn anything(_: &str) -> bool {
    true
}

pub(super) fn on_or_off(text: &str) -> bool {
    on_off(text).is_ok()
}

pub(super) fn number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

pub(super) fn mode(text: &str) -> bool {
    text.eq_ignore_ascii_case("default") || u32::from_str_radix(text, 8).is_ok_and(|m| m <= 0o7777)
}

pub(super) fn one_of(text: &str, known: &[&str]) -> bool {
    known.iter().any(|k| k.eq_ignore_ascii_case(text))
}

pub(super) fn one_id(text: &str) -> Result<u32, Problem> {
    text.parse()
        .map_err(|_| Problem::new(format!("{text} is no rule id"), "write one number"))
}

pub(super) fn count(text: &str, max: u32) -> Result<u32, Problem> {
    match text.parse::<u32>() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(Problem::new(
            format!("{text} is no number from 1 to {max}"),
            format!("write a number from 1 to {max}"),
        )),
    }
}

pub(super) fn limit_action(text: &str) -> Result<LimitAction, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "reject" => Ok(LimitAction::Reject),
        "processpartial" => Ok(LimitAction::ProcessPartial),
        _ => Err(Problem::new(
            format!("{text} is no limit action"),
            "write Reject or ProcessPartial",
        )),
    }
}
