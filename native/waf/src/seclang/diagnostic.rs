//! What is wrong with a rule file, where, and how to mend it.

use std::fmt;
use std::sync::Arc;

/// A place in a rule file. Lines count from 1; 0 means the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file as it was given to the compiler.
    pub file: Arc<str>,
    /// The first line of the directive.
    pub line: u32,
}

/// One error in a rule file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where the directive begins.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub mend: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {} ({})",
            self.place.file, self.place.line, self.message, self.mend
        )
    }
}

/// An error that does not know its place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub mend: String,
}

impl Problem {
    /// A problem with its mend.
    pub fn new(message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            mend: mend.into(),
        }
    }

    /// The same problem at a place.
    pub fn at(self, place: &Place) -> Diagnostic {
        Diagnostic {
            place: place.clone(),
            message: self.message,
            mend: self.mend,
        }
    }
}

/// Errors as a JSON array of `{file, line, message, mend}`.
pub fn to_json(list: &[Diagnostic]) -> String {
    let mut out = String::from("[");
    for (i, d) in list.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str("{\"file\":");
        push_json(&mut out, &d.place.file);
        out.push_str(&format!(",\"line\":{},\"message\":", d.place.line));
        push_json(&mut out, &d.message);
        out.push_str(",\"mend\":");
        push_json(&mut out, &d.mend);
        out.push('}');
    }
    out.push(']');
    out
}

pub(crate) fn push_json(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The known name that is nearest to a misspelt one, for the mend of a "no such name" error.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    if name.len() > 64 {
        return None;
    }
    known
        .map(|k| (distance(&name, &k.to_ascii_lowercase()), k))
        .filter(|(d, k)| *d <= 1 + k.len() / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.bytes().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        row[0] = left;
        for (j, cb) in b.iter().enumerate() {
            let best = (diagonal + usize::from(ca != *cb)).min(left + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = best;
            left = best;
        }
    }
    row[b.len()]
}

/// "did you mean X?" when something is near, else `otherwise`.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    match nearest(name, known) {
        Some(k) => format!("did you mean {k}?"),
        None => otherwise.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_answered_with_its_neighbour() {
        assert_eq!(
            nearest("ruleRemoveByld", ["ruleRemoveById", "auditEngine"].into_iter()),
            Some("ruleRemoveById")
        );
        assert_eq!(nearest("entirelyElse", ["rx", "pm"].into_iter()), None);
    }

    #[test]
    fn json_escapes_what_json_must() {
        let d = Problem::new("a\"b\\\n\u{1}", "m").at(&Place {
            file: "f.conf".into(),
            line: 3,
        });
        assert_eq!(
            to_json(&[d]),
            r#"[{"file":"f.conf","line":3,"message":"a\"b\\\n\u0001","mend":"m"}]"#
        );
    }
}
