//! Operators that compare texts: `streq`, `contains`, `containsWord`, `beginsWith`, `endsWith`, `within`, and the two
//! constants `unconditionalMatch` and `noMatch`.

use memchr::memmem;

use super::{Argument, Operator, Probe, Recipe, Requirement};
use crate::seclang::diagnostic::Problem;

type Made = Result<Box<dyn Operator>, Problem>;

struct Text {
    argument: Argument,
    /// Every match holds the argument.
    holds: bool,
    test: fn(&[u8], &[u8]) -> bool,
}

impl Operator for Text {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        let hit = (self.test)(probe.value, self.argument.get(probe));
        if hit && probe.capture {
            probe.groups.push(0..probe.value.len());
        }
        hit
    }

    fn requirement(&self) -> Requirement {
        if self.holds {
            self.argument.required()
        } else {
            Requirement::Unknown
        }
    }
}

fn text(recipe: &Recipe<'_>, holds: bool, test: fn(&[u8], &[u8]) -> bool) -> Made {
    Ok(Box::new(Text {
        argument: Argument::of(recipe),
        holds,
        test,
    }))
}

pub fn equals(r: &mut Recipe<'_>) -> Made {
    text(r, true, |value, argument| value == argument)
}

pub fn contains(r: &mut Recipe<'_>) -> Made {
    text(r, true, |value, argument| memmem::find(value, argument).is_some())
}

/// As in ModSecurity 3 only letters belong to a word, and the empty word is everywhere.
pub fn contains_word(r: &mut Recipe<'_>) -> Made {
    text(r, true, |value, argument| {
        let letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphabetic);
        places(value, argument).any(|at| {
            let before = at.checked_sub(1).and_then(|i| value.get(i));
            !letter(before) && !letter(value.get(at + argument.len()))
        })
    })
}

pub fn begins_with(r: &mut Recipe<'_>) -> Made {
    text(r, true, |value, argument| value.starts_with(argument))
}

pub fn ends_with(r: &mut Recipe<'_>) -> Made {
    text(r, true, |value, argument| value.ends_with(argument))
}

pub fn within(r: &mut Recipe<'_>) -> Made {
    text(r, false, |value, argument| memmem::find(argument, value).is_some())
}

pub fn always(r: &mut Recipe<'_>) -> Made {
    text(r, false, |_, _| true)
}

pub fn never(r: &mut Recipe<'_>) -> Made {
    text(r, false, |_, _| false)
}

/// Every place of a text in a value, those that overlap too.
fn places<'v>(value: &'v [u8], text: &'v [u8]) -> impl Iterator<Item = usize> + 'v {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + memmem::find(value.get(from..)?, text)?;
        from = at + 1;
        Some(at)
    })
}
