//! Values to ask about: all texts of the WAF's test data, and changes of them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Longest value that is changed.
const CHANGED_BYTES_MAX: usize = 400;

/// What changes put in.
const PIECES: [&[u8]; 58] = [
    b"'",
    b"\"",
    b"`",
    b"--",
    b"-- ",
    b"#",
    b"/*",
    b"*/",
    b"/*!",
    b"(",
    b")",
    b"((",
    b",",
    b";",
    b"=",
    b"<",
    b">",
    b"<a ",
    b"</",
    b"<!--",
    b"-->",
    b"<%",
    b"%>",
    b"<![CDATA[",
    b"]]>",
    b"<?",
    b"/",
    b"\\",
    b"\0",
    b"\xa0",
    b"\xff",
    b"\n",
    b" ",
    b"1",
    b"0x1f",
    b"x'1f'",
    b"q'(",
    b"$$",
    b"$a$",
    b"@@",
    b"{",
    b"}",
    b"{``",
    b"[",
    b"::",
    b":=",
    b" or ",
    b" and 1=1",
    b" union all select ",
    b" not ",
    b" in (",
    b" like ",
    b" collate a_b",
    b"user(",
    b" onx=",
    b" style=",
    b" href=&#106;ava",
    b"sp_password",
];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data")
}

/// The test data is not there.
pub fn is_missing() -> bool {
    !data().is_dir()
}

/// All values, and so many changes.
pub fn values(changed: usize) -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for folder in ["crs-tests", "waf-gotestwaf", "waf-httpparams", "waf-nemesida-bypass"] {
        let folder = data().join(folder);
        if !folder.is_dir() {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "{} is missing",
                folder.display()
            );
            continue;
        }
        let mut files = Vec::new();
        files_of(&folder, &mut files);
        for file in files {
            let text = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            for line in text.split(|b| *b == b'\n') {
                add_line(line, &mut found);
            }
        }
    }
    found.extend(PIECES.iter().map(|p| p.to_vec()));
    found.insert(Vec::new());
    let mut out: Vec<Vec<u8>> = found.into_iter().collect();
    change(&mut out, changed);
    out
}

fn files_of(folder: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files_of(&path, out);
        } else if path
            .extension()
            .is_some_and(|e| e == "yaml" || e == "json" || e == "csv")
        {
            out.push(path);
        }
    }
}

/// A line as it stands, its text behind a key, in quotes and without, and the parts of what may be a query.
fn add_line(line: &[u8], out: &mut BTreeSet<Vec<u8>>) {
    let line = line.trim_ascii();
    let value = line
        .windows(2)
        .position(|w| w == b": ")
        .map_or(line, |at| &line[at + 2..]);
    let value = value.strip_suffix(b",").unwrap_or(value);
    let plain = match value {
        [b'"', inner @ .., b'"'] => unescaped(inner),
        [b'\'', inner @ .., b'\''] => inner.to_vec(),
        _ => value.to_vec(),
    };
    for part in plain.split(|b| matches!(b, b'?' | b'&')).chain([&plain[..], line]) {
        let behind = part.iter().position(|b| *b == b'=').map_or(part, |at| &part[at + 1..]);
        for text in [part, behind] {
            out.insert(text.to_vec());
            let once = decoded(text);
            out.insert(decoded(&once));
            out.insert(once);
        }
    }
}

/// Escapes of JSON and YAML, those of one byte.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.iter();
    while let Some(b) = bytes.next() {
        if *b != b'\\' {
            out.push(*b);
            continue;
        }
        out.extend(match bytes.next() {
            Some(b'n') => Some(b'\n'),
            Some(b'r') => Some(b'\r'),
            Some(b't') => Some(b'\t'),
            other => other.copied(),
        });
    }
    out
}

/// Percent escapes and `+`.
fn decoded(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match (text[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(a), Some(b)) => {
                out.push((a * 16 + b) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (b, ..) => out.push(b),
        }
        at += 1;
    }
    out
}

/// Adds changes of the values: two joined, cut, repeated, with a piece put in or a byte replaced, in the other case; and values made of
/// words and pieces.
fn change(values: &mut Vec<Vec<u8>>, count: usize) {
    let short: Vec<usize> = (0..values.len())
        .filter(|i| values[*i].len() <= CHANGED_BYTES_MAX)
        .collect();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |n: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        ((random >> 32) as usize) % n.max(1)
    };
    let words: Vec<&[u8]> = include_str!("../../data/words.txt")
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1.as_bytes()))
        .collect();
    for i in 0..count {
        if i % 3 == 0 {
            // Words of SQL and pieces alone.
            let mut value = Vec::new();
            for _ in 0..2 + below(9) {
                match below(5) {
                    0 | 1 => value.extend_from_slice(words[below(words.len())]),
                    2 => value.push(b"1'(),;.+-*@an_"[below(14)]),
                    _ => value.extend_from_slice(PIECES[below(PIECES.len())]),
                }
                if below(3) > 0 {
                    value.push(b' ');
                }
            }
            values.push(value);
            continue;
        }
        let mut value = values[short[below(short.len())]].clone();
        for _ in 0..=below(3) {
            let at = below(value.len() + 1);
            match below(8) {
                0 | 1 => drop(value.splice(at..at, PIECES[below(PIECES.len())].iter().copied())),
                2 => value.truncate(at),
                3 => drop(value.drain(..at)),
                4 => {
                    let other = &values[short[below(short.len())]];
                    value.truncate(at);
                    value.extend_from_slice(&other[below(other.len() + 1)..]);
                }
                5 if at < value.len() => value[at] = below(256) as u8,
                6 if at < value.len() => value[at] ^= 0x20,
                _ => {
                    let to = (at + 1 + below(6)).min(value.len());
                    let piece = value[at..to].to_vec();
                    for _ in 0..below(4) {
                        value.splice(at..at, piece.iter().copied());
                    }
                }
            }
        }
        values.push(value);
    }
}
