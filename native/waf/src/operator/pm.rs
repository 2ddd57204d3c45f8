//! `pm`, `pmFromFile`: many phrases at once, case ignored.

use super::phrases::Phrases;
use super::{Operator, Probe, Recipe, Requirement};
use crate::seclang::diagnostic::Problem;

/// Most phrases of one operator.
const PHRASES_MAX: usize = 200_000;

struct Match {
    automaton: Phrases,
    phrases: Vec<Vec<u8>>,
}

impl Operator for Match {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        if !probe.capture {
            return self.automaton.occur_in(probe.value);
        }
        match self.automaton.find(probe.value) {
            Some(range) => {
                probe.groups.push(range);
                true
            }
            None => false,
        }
    }

    fn requirement(&self) -> Requirement {
        Requirement::OneOf(self.phrases.clone())
    }

    fn memory_bytes(&self) -> usize {
        self.automaton.memory_bytes() + self.phrases.iter().map(|p| p.len() + 24).sum::<usize>()
    }
}

fn phrases(mut list: Vec<Vec<u8>>) -> Result<Box<dyn Operator>, Problem> {
    list.retain(|p| !p.is_empty());
    list.sort();
    list.dedup();
    if list.is_empty() {
        return Err(Problem::new("no phrase to look for", "write at least one"));
    }
    if list.len() > PHRASES_MAX {
        return Err(Problem::new(
            format!("more than {PHRASES_MAX} phrases"),
            "split the file",
        ));
    }
    let automaton = Phrases::new(&list)
        .ok_or_else(|| Problem::new("the phrases cannot be compiled", "use fewer or shorter phrases"))?;
    Ok(Box::new(Match {
        automaton,
        phrases: list,
    }))
}

pub fn list(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    phrases(split(r.argument.as_bytes()))
}

pub fn file(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    let mut list = Vec::new();
    for name in r.argument.split_ascii_whitespace() {
        lines(data_file_named(r, name)?, &mut list);
    }
    phrases(list)
}

pub fn dataset(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    let mut list = Vec::new();
    lines(data_set(r)?, &mut list);
    phrases(list)
}

/// One phrase on each line; comments begin with `#`.
fn lines(content: &[u8], list: &mut Vec<Vec<u8>>) {
    for line in content.split(|b| *b == b'\n').map(<[u8]>::trim_ascii) {
        if !line.is_empty() && line[0] != b'#' {
            list.push(line.to_ascii_lowercase());
        }
    }
}

/// The entries of the `SecDataset` that the argument names.
pub fn data_set<'a>(r: &Recipe<'a>) -> Result<&'a [u8], Problem> {
    let name = r.argument.trim();
    (r.dataset)(name).ok_or_else(|| {
        Problem::new(
            format!("there is no data set {name}"),
            "write it with SecDataset before the rule",
        )
    })
}

/// The content of the data file that the argument names.
pub fn data_file<'a>(r: &Recipe<'a>) -> Result<&'a [u8], Problem> {
    data_file_named(r, r.argument.trim())
}

fn data_file_named<'a>(r: &Recipe<'a>, name: &str) -> Result<&'a [u8], Problem> {
    (r.data)(name).ok_or_else(|| {
        Problem::new(
            format!("there is no file {name}"),
            "put it into the bundle beside the rules",
        )
    })
}

/// Phrases separated by white space. Bytes may be written between bars, as in `|41 0d|`, and `\\`, `\"`, `\:` and `\;` mean
/// what follows the backslash, unless some other escape stands in the text.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let escaped = |i: usize| text.get(i + 1).is_some_and(|b| matches!(b, b'\\' | b'"' | b':' | b';'));
    let mut escapes = true;
    let mut i = 0;
    while let Some(at) = memchr::memchr(b'\\', &text[i..]) {
        escapes &= escaped(i + at);
        i = (i + at + 2).min(text.len());
    }
    let mut out = vec![Vec::new()];
    let mut i = 0;
    while i < text.len() {
        let mut word = out.pop().unwrap_or_default();
        match text[i] {
            b if b.is_ascii_whitespace() => out.push(std::mem::take(&mut word)),
            b'\\' if escapes => {
                word.push(text[i + 1]);
                i += 1;
            }
            b'|' => match between_bars(&text[i + 1..]) {
                Some((bytes, used)) => {
                    word.extend(bytes);
                    i += used;
                }
                None => word.push(b'|'),
            },
            b => word.push(b),
        }
        out.push(word);
        i += 1;
    }
    out.iter_mut().for_each(|w| w.make_ascii_lowercase());
    out
}

/// Bytes in hexadecimal up to the next bar, and how long they and the bar are.
fn between_bars(text: &[u8]) -> Option<(Vec<u8>, usize)> {
    let end = memchr::memchr(b'|', text)?;
    let digits: Vec<u8> = text[..end].iter().copied().filter(|b| *b != b' ').collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return None;
    }
    let bytes = pairs
        .iter()
        .map(|p| crate::bytes::hex_pair(p, 0))
        .collect::<Option<Vec<u8>>>()?;
    Some((bytes, end + 1))
}
