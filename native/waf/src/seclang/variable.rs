//! Targets of a rule: `ARGS|!ARGS:token|&REQUEST_HEADERS:Host|REQUEST_COOKIES:/^sid_/`.

use super::diagnostic::{Problem, did_you_mean};
pub use super::variable_table::{Life, Shape, VARIABLE_COUNT, VARIABLES, Var, VarDef};

/// Variables of other engines that are refused, with the reason.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    (
        "ENV",
        "rules never see the environment of the process; use a variable that setvar:tx.name sets",
    ),
    ("FULL_RESPONSE", "use RESPONSE_HEADERS and RESPONSE_BODY"),
    ("JSON", "use ARGS, whose names begin with json. there"),
    ("PERF_ALL", "the metrics of the gateway have times"),
    ("SCRIPT_BASENAME", "there is no script; use REQUEST_BASENAME"),
    ("SCRIPT_FILENAME", "there is no script; use REQUEST_FILENAME"),
    ("SCRIPT_GID", "there is no script"),
    ("SCRIPT_GROUPNAME", "there is no script"),
    ("SCRIPT_MODE", "there is no script"),
    ("SCRIPT_UID", "there is no script"),
    ("SCRIPT_USERNAME", "there is no script"),
    ("STREAM_INPUT_BODY", "bodies are not edited by rules; use REQUEST_BODY"),
    (
        "STREAM_OUTPUT_BODY",
        "answers are not edited by rules; use RESPONSE_BODY",
    ),
    (
        "USERAGENT_IP",
        "use REMOTE_ADDR, which is the client's address as the listener tells it",
    ),
    ("WEBSERVER_ERROR_LOG", "the gateway keeps its own records"),
];

/// Most targets of one rule.
pub const TARGETS_MAX: usize = 256;

/// Which values of a collection are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SelectorText {
    /// All of them.
    All,
    /// Those with this key, ASCII case ignored.
    Key(String),
    /// Those whose key matches this expression, ASCII case ignored.
    Pattern(String),
}

/// One target as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetText {
    /// The variable.
    pub var: Var,
    /// Which of its values.
    pub selector: SelectorText,
    /// `&`: the number of values instead of the values.
    pub count: bool,
    /// `!`: leave these out.
    pub exclude: bool,
}

/// Parses a list of targets separated by `|`.
pub fn parse_targets(text: &str) -> Result<Vec<TargetText>, Problem> {
    let mut out = Vec::new();
    for part in split_targets(text) {
        out.push(parse_target(part.trim())?);
        if out.len() > TARGETS_MAX {
            return Err(Problem::new(
                format!("more than {TARGETS_MAX} targets"),
                "split the rule",
            ));
        }
    }
    Ok(out)
}

/// Splits at `|` outside of `/regular expressions/` and quotes.
fn split_targets(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut start = 0;
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'|' => {
                out.push(&text[start..i]);
                start = i + 1;
                i += 1;
            }
            b':' => i = selector_end(text, start, i + 1),
            _ => i += 1,
        }
    }
    out.push(&text[start..]);
    out
}

/// Where the selector that begins at `from` ends.
fn selector_end(text: &str, target_start: usize, from: usize) -> usize {
    let bytes = text.as_bytes();
    let name = text[target_start..from - 1].trim_start_matches(['!', '&', ' ']);
    let (mut i, close) = match bytes.get(from) {
        Some(b'\'') => (from + 1, Some(b'\'')),
        Some(b'/') if !name.eq_ignore_ascii_case("XML") => (from + 1, Some(b'/')),
        _ => (from, None),
    };
    if let Some(close) = close {
        while i < bytes.len() {
            if bytes[i] == b'\\' {
                i += 1;
            } else if bytes[i] == close {
                return (i + 1).min(bytes.len());
            }
            i += 1;
        }
        return bytes.len();
    }
    while i < bytes.len() && bytes[i] != b'|' {
        i += 1;
    }
    i
}

fn parse_target(text: &str) -> Result<TargetText, Problem> {
    let (exclude, rest) = match text.strip_prefix('!') {
        Some(r) => (true, r),
        None => (false, text),
    };
    let (count, rest) = match rest.strip_prefix('&') {
        Some(r) => (true, r),
        None => (false, rest),
    };
    let (name, key) = match rest.split_once(':') {
        Some((n, k)) => (n, Some(k)),
        None => (rest, None),
    };
    if name.is_empty() {
        return Err(Problem::new("an empty target", "write a variable on each side of |"));
    }
    let var = known(name)?;
    let selector = match key {
        None => SelectorText::All,
        Some(_) if !var.has_keys() => {
            return Err(Problem::new(
                format!("{} has one value and takes no selector", var.name()),
                format!("write {} alone", var.name()),
            ));
        }
        Some(k) => parse_selector(var, k)?,
    };
    if exclude && count {
        return Err(Problem::new(
            "both ! and & on one target",
            "exclude the target without counting it",
        ));
    }
    Ok(TargetText {
        var,
        selector,
        count,
        exclude,
    })
}

fn known(name: &str) -> Result<Var, Problem> {
    // Names that mean the same.
    let canonical = match name.to_ascii_uppercase().as_str() {
        "SERVER_HOST" => "SERVER_NAME",
        "REQUEST_PATH" => "REQUEST_FILENAME",
        "MULTIPART_SEMICOLON_MISSING" => "MULTIPART_MISSING_SEMICOLON",
        "REQUEST_XML" => "XML",
        _ => name,
    };
    if let Some((n, why)) = REFUSED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
        return Err(Problem::new(format!("the variable {n} is not supported"), *why));
    }
    Var::from_name(canonical).ok_or_else(|| {
        Problem::new(
            format!("no variable is called {name}"),
            did_you_mean(
                name,
                VARIABLES.iter().map(|d| d.name),
                "see the variables in docs/seclang.md",
            ),
        )
    })
}

/// Parses what stands after the colon.
pub fn parse_selector(var: Var, text: &str) -> Result<SelectorText, Problem> {
    if var == Var::Xml {
        return match text {
            "/*" | "//@*" => Ok(SelectorText::Key(text.to_owned())),
            _ => Err(Problem::new(
                format!("XML:{text} is an XPath that is not understood"),
                "use XML:/* (all text) or XML://@* (all attribute values)",
            )),
        };
    }
    let bare = text
        .strip_prefix('\'')
        .and_then(|t| t.strip_suffix('\''))
        .unwrap_or(text);
    if bare.is_empty() {
        return Err(Problem::new(
            "an empty selector",
            "write the key after the colon, or leave the colon out",
        ));
    }
    if let Some(rest) = bare.strip_prefix('/') {
        if let Some(pattern) = rest.strip_suffix('/').filter(|p| !p.is_empty()) {
            return Ok(SelectorText::Pattern(pattern.replace("\\/", "/")));
        }
        return Err(Problem::new(
            format!("the selector {bare} begins with / and does not end with one"),
            "a selector between slashes is a regular expression; quote it with '…' if the key holds a slash",
        ));
    }
    Ok(SelectorText::Key(bare.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split_outside_of_expressions() {
        let t =
            parse_targets(r"ARGS|!ARGS:/a|b/|&REQUEST_HEADERS:Host|XML:/*|XML://@*|REQUEST_COOKIES:'/S?S|x/'").unwrap();
        assert_eq!(t.len(), 6);
        assert_eq!(t[1].selector, SelectorText::Pattern("a|b".into()));
        assert!(t[1].exclude && t[2].count);
        assert_eq!(t[3].selector, SelectorText::Key("/*".into()));
        assert_eq!(t[5].selector, SelectorText::Pattern("S?S|x".into()));
    }

    #[test]
    fn wrong_targets_say_what_to_write() {
        for (text, mend) in [
            ("ARG", "did you mean ARGS?"),
            ("REQUEST_URI:x", "write REQUEST_URI alone"),
            ("ARGS|", "write a variable on each side of |"),
            ("XML://user", "use XML:/* (all text) or XML://@* (all attribute values)"),
        ] {
            assert_eq!(parse_targets(text).unwrap_err().mend, mend, "{text}");
        }
    }
}
