//! `pm`, `pmFromFile`: many phrases at once, case ignored.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::{Operator, Probe, Recipe, Requirement};
use crate::seclang::diagnostic::Problem;

/// Most phrases of one operator.
const PHRASES_MAX: usize = 200_000;

struct Phrases {
    automaton: AhoCorasick,
    phrases: Vec<Vec<u8>>,
}

impl Operator for Phrases {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += probe.value.len() as u64;
        if !probe.capture {
            return self.automaton.is_match(probe.value);
        }
        match self.automaton.find(probe.value) {
            Some(m) => {
                probe.groups.push(m.range());
                true
            }
            None => false,
        }
    }

    fn requirement(&self) -> Requirement {
        Requirement::OneOf(self.phrases.clone())
    }

    fn memory_bytes(&self) -> usize {
        self.automaton.memory_usage() + self.phrases.iter().map(|p| p.len() + 24).sum::<usize>()
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
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::LeftmostFirst)
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .build(&list)
        .map_err(|e| {
            Problem::new(
                format!("the phrases cannot be compiled: {e}"),
                "use fewer or shorter phrases",
            )
        })?;
    Ok(Box::new(Phrases {
        automaton,
        phrases: list,
    }))
}

pub fn list(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    phrases(
        r.argument
            .split_ascii_whitespace()
            .map(|w| unescape(w).to_ascii_lowercase())
            .collect(),
    )
}

pub fn file(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    let mut list = Vec::new();
    for name in r.argument.split_ascii_whitespace() {
        let content = data_file_named(r, name)?;
        for line in content.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            if !line.is_empty() && line[0] != b'#' {
                list.push(line.to_ascii_lowercase());
            }
        }
    }
    phrases(list)
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

/// Snort's way to write bytes: `|41 42|`; in one word the digits stand without spaces.
fn unescape(word: &str) -> Vec<u8> {
    let parts: Vec<&str> = word.split('|').collect();
    if parts.len().is_multiple_of(2) {
        return word.as_bytes().to_vec();
    }
    let mut out = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        if i % 2 == 0 {
            out.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits = part.as_bytes();
        let bytes: Option<Vec<u8>> = digits
            .chunks(2)
            .map(|c| {
                if c.len() == 2 {
                    crate::bytes::hex_pair(c, 0)
                } else {
                    None
                }
            })
            .collect();
        match bytes {
            Some(b) if !b.is_empty() => out.extend(b),
            _ => return word.as_bytes().to_vec(),
        }
    }
    out
}
