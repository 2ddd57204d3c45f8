//! `%{…}` in messages, operator arguments and `setvar`: parsed once, when rules are compiled.

use super::diagnostic::{Problem, did_you_mean};
use super::variable::{Shape, VARIABLES, Var};

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// The first value of a variable, with its key if it has keys (lower case).
    Value(Var, String),
}

/// Text with macros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// The pieces in order.
    pub parts: Vec<Part>,
}

impl Template {
    /// Parses a text. A `%{` without its `}` is an error.
    pub fn parse(text: &str) -> Result<Template, Problem> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find("%{") {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let Some(close) = rest[open..].find('}') else {
                return Err(Problem::new(
                    format!("the macro in {text:?} is never closed"),
                    "close it with }",
                ));
            };
            parts.push(parse_macro(&rest[open + 2..open + close])?);
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// The text, if there is no macro in it.
    pub fn fixed(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(t)] => Some(t),
            _ => None,
        }
    }
}

fn parse_macro(inner: &str) -> Result<Part, Problem> {
    let (name, key) = match inner.split_once(['.', ':']) {
        Some((n, k)) => (n.trim(), k.trim()),
        None => (inner.trim(), ""),
    };
    let var = Var::from_name(name).ok_or_else(|| {
        Problem::new(
            format!("the macro %{{{inner}}} names no variable"),
            did_you_mean(
                name,
                VARIABLES.iter().map(|d| d.name),
                "see the variables in docs/seclang.md",
            ),
        )
    })?;
    if key.is_empty() && var.def().shape == Shape::Store {
        return Err(Problem::new(
            format!("the macro %{{{inner}}} names a whole collection"),
            format!("write %{{{}.key}}", name.to_ascii_lowercase()),
        ));
    }
    Ok(Part::Value(var, key.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_text_and_values() {
        let t = Template::parse("a %{TX.Foo}%{matched_var} 100%").unwrap();
        assert_eq!(
            t.parts,
            vec![
                Part::Text("a ".into()),
                Part::Value(Var::Tx, "foo".into()),
                Part::Value(Var::MatchedVar, String::new()),
                Part::Text(" 100%".into()),
            ]
        );
        assert_eq!(Template::parse("plain").unwrap().fixed(), Some("plain"));
        assert!(Template::parse("%{tx.a").is_err());
        assert!(Template::parse("%{txx.a}").unwrap_err().mend.contains("TX"));
        assert!(Template::parse("%{tx}").is_err());
    }
}
