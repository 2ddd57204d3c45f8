//! The table of operators. Each has its own file and one row here.

mod absent;
mod bytes_valid;
mod compare;
mod injection;
mod ip;
pub mod pcre;
mod phrases;
mod pm;
mod restpath;
mod rx;
mod text;
mod utf8;
mod verify;

use std::ops::Range;

pub use rx::{Expression, RegexCaches};

use crate::program::needs::Needs;
use crate::seclang::diagnostic::{Problem, did_you_mean};

/// Most groups that `capture` keeps: TX.0 to TX.9.
pub const GROUPS_MAX: usize = 10;
/// Work that is more than any budget: a search was given up, and what that means is the caller's policy.
pub(crate) const GIVEN_UP: u64 = 1 << 62;

/// Most bytes of a text that an operator says of a match.
const SAID_BYTES_MAX: usize = 8;

/// Where groups lie in the value that matched.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    ranges: [Range<usize>; GROUPS_MAX],
    len: usize,
    said: [u8; SAID_BYTES_MAX],
    said_len: usize,
}

impl Groups {
    /// Forgets all.
    pub fn clear(&mut self) {
        self.len = 0;
        self.said_len = 0;
    }

    /// Sets TX.0 to a text that is no part of the value; it is cut to eight bytes.
    pub fn say(&mut self, text: &[u8]) {
        self.said_len = text.len().min(SAID_BYTES_MAX);
        self.said[..self.said_len].copy_from_slice(&text[..self.said_len]);
    }

    /// That text.
    pub fn said(&self) -> Option<&[u8]> {
        (self.said_len > 0).then(|| &self.said[..self.said_len])
    }

    /// Adds one; those beyond the tenth are dropped.
    pub fn push(&mut self, range: Range<usize>) {
        if self.len < GROUPS_MAX {
            self.ranges[self.len] = range;
            self.len += 1;
        }
    }

    /// True when no more fit.
    pub fn is_full(&self) -> bool {
        self.len == GROUPS_MAX
    }

    /// The groups.
    pub fn all(&self) -> &[Range<usize>] {
        &self.ranges[..self.len]
    }
}

/// What an operator is asked.
pub struct Probe<'a> {
    /// The value after transformations.
    pub value: &'a [u8],
    /// The operator's argument after macros, for operators that have macros.
    pub argument: &'a [u8],
    /// Groups are wanted.
    pub capture: bool,
    /// Where they go.
    pub groups: &'a mut Groups,
    /// This thread's scratch memory of regular expressions.
    pub caches: &'a mut RegexCaches,
    /// Work done, in bytes looked at.
    pub work: &'a mut u64,
}

/// What every match of an operator must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing is known: the operator runs on every value.
    Unknown,
    /// One of these, ASCII case ignored; all lower case.
    OneOf(Vec<Vec<u8>>),
}

/// A compiled operator.
pub trait Operator: Send + Sync {
    /// True when the value matches.
    fn matches(&self, probe: &mut Probe<'_>) -> bool;

    /// What every match must contain.
    fn requirement(&self) -> Requirement {
        Requirement::Unknown
    }

    /// What a value needs to match, seen from its bytes alone.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// Names of the groups behind the first, for operators whose groups become `ARGS_PATH`.
    fn names(&self) -> &[String] {
        &[]
    }

    /// Bytes of memory, roughly.
    fn memory_bytes(&self) -> usize {
        0
    }
}

/// What an operator is made of.
pub struct Recipe<'a> {
    /// The argument as written.
    pub argument: &'a str,
    /// The argument holds macros, so its text is known only when a rule runs.
    pub has_macros: bool,
    /// Contents of the data files of the bundle, by name.
    pub data: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// Entries of the data sets of the rule files, by name.
    pub dataset: &'a dyn Fn(&str) -> Option<&'a [u8]>,
    /// Where scratch memory of expressions is counted.
    pub expressions: &'a mut u32,
    /// `^` and `$` match at line ends too.
    pub multi_line: bool,
}

/// One row of the table.
pub struct OperatorDef {
    /// Name without `@`.
    pub name: &'static str,
    /// Other names for the same.
    pub aliases: &'static [&'static str],
    /// What stands after it; empty when nothing may.
    pub argument: &'static str,
    /// What it finds.
    pub summary: &'static str,
    /// Macros in the argument are expanded.
    pub macros: bool,
    make: fn(&mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem>,
}

macro_rules! operator {
    ($name:literal, $aliases:expr, $argument:literal, $macros:literal, $make:expr, $summary:literal) => {
        OperatorDef {
            name: $name,
            aliases: &$aliases,
            argument: $argument,
            summary: $summary,
            macros: $macros,
            make: $make,
        }
    };
}

/// All operators.
pub static OPERATORS: &[OperatorDef] = &[
    operator!(
        "beginsWith",
        [],
        "text",
        true,
        text::begins_with,
        "the value begins with the text"
    ),
    operator!(
        "contains",
        [],
        "text",
        true,
        text::contains,
        "the text occurs in the value"
    ),
    operator!(
        "containsWord",
        [],
        "text",
        true,
        text::contains_word,
        "the text occurs with no letter, digit or _ beside it"
    ),
    operator!(
        "detectSQLi",
        [],
        "",
        false,
        injection::sql,
        "libinjection takes the value for SQL injection; TX.0 is the fingerprint"
    ),
    operator!(
        "detectXSS",
        [],
        "",
        false,
        injection::script,
        "libinjection takes the value for cross-site scripting"
    ),
    operator!(
        "endsWith",
        [],
        "text",
        true,
        text::ends_with,
        "the value ends with the text"
    ),
    operator!("eq", [], "number", true, compare::eq, "the value's number equals"),
    operator!(
        "ge",
        [],
        "number",
        true,
        compare::ge,
        "the value's number is greater or equal"
    ),
    operator!(
        "geoLookup",
        [],
        "",
        false,
        absent::geo_lookup,
        "nothing: as in ModSecurity without an address database, it never matches"
    ),
    operator!("gt", [], "number", true, compare::gt, "the value's number is greater"),
    operator!(
        "ipMatch",
        [],
        "addresses and networks, separated by commas",
        false,
        ip::list,
        "the value is an address in one of the networks"
    ),
    operator!(
        "ipMatchFromDataset",
        [],
        "name",
        false,
        ip::dataset,
        "the same, with the entries of a SecDataset"
    ),
    operator!(
        "ipMatchFromFile",
        ["ipMatchF"],
        "file",
        false,
        ip::file,
        "the same, one network on each line of a file of the bundle"
    ),
    operator!(
        "le",
        [],
        "number",
        true,
        compare::le,
        "the value's number is less or equal"
    ),
    operator!("lt", [], "number", true, compare::lt, "the value's number is less"),
    operator!("noMatch", [], "", false, text::never, "never"),
    operator!(
        "pm",
        [],
        "phrases, separated by white space",
        false,
        pm::list,
        "one of the phrases occurs in the value, case ignored"
    ),
    operator!(
        "pmFromDataset",
        [],
        "name",
        false,
        pm::dataset,
        "the same, with the entries of a SecDataset"
    ),
    operator!(
        "pmFromFile",
        ["pmf"],
        "file",
        false,
        pm::file,
        "the same, one phrase on each line of a file of the bundle"
    ),
    operator!(
        "rbl",
        [],
        "dnsbl.httpbl.org",
        false,
        absent::rbl,
        "nothing: as in ModSecurity without a key, this list never matches; others are refused"
    ),
    operator!(
        "restpath",
        [],
        "path with {names}",
        false,
        restpath::make,
        "the path occurs in the value; what stands for the names becomes ARGS_PATH"
    ),
    operator!(
        "rx",
        [],
        "regular expression",
        true,
        rx::make,
        "the expression matches somewhere in the value"
    ),
    operator!(
        "rxGlobal",
        [],
        "regular expression",
        true,
        rx::make_global,
        "the same; groups are those of all matches, one after the other"
    ),
    operator!("streq", [], "text", true, text::equals, "the value is the text"),
    operator!(
        "strmatch",
        [],
        "text",
        true,
        text::contains,
        "the text occurs in the value"
    ),
    operator!("unconditionalMatch", [], "", false, text::always, "always"),
    operator!(
        "validateByteRange",
        [],
        "numbers and ranges, separated by commas",
        false,
        bytes_valid::range,
        "a byte of the value lies outside of the ranges"
    ),
    operator!(
        "validateNid",
        [],
        "cl or us, and a regular expression",
        false,
        verify::nid,
        "a match of the expression is a valid national number (RUT, SSN)"
    ),
    operator!(
        "validateUrlEncoding",
        [],
        "",
        false,
        bytes_valid::url_encoding,
        "the value holds a wrong percent escape"
    ),
    operator!(
        "validateUtf8Encoding",
        [],
        "",
        false,
        utf8::make,
        "the value is not UTF-8"
    ),
    operator!(
        "verifyCC",
        [],
        "regular expression",
        false,
        verify::card,
        "a match of the expression is a valid card number (Luhn)"
    ),
    operator!(
        "verifyCPF",
        [],
        "regular expression",
        false,
        verify::cpf,
        "a match of the expression is a valid Brazilian CPF"
    ),
    operator!(
        "verifySSN",
        [],
        "regular expression",
        false,
        verify::ssn,
        "a match of the expression is a valid social security number"
    ),
    operator!(
        "verifySVNR",
        [],
        "regular expression",
        false,
        verify::svnr,
        "a match of the expression is a valid Austrian social insurance number"
    ),
    operator!("within", [], "text", true, text::within, "the value occurs in the text"),
];

/// Operators that are refused, with the reason.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    (
        "fuzzyHash",
        "rules see no files on disk; use @rx or @pmFromFile on FILES_TMP_CONTENT",
    ),
    (
        "gsbLookup",
        "rules never ask the network; put the addresses into a file of the bundle and use @pmFromFile",
    ),
    (
        "inspectFile",
        "rules never start programs; use @rx or @pmFromFile on FILES_TMP_CONTENT",
    ),
    (
        "rsub",
        "requests are not edited by rules; edit headers with the respond stage",
    ),
    (
        "validateDTD",
        "XML is read without document types; check XML:/* and XML://@*",
    ),
    (
        "validateHash",
        "answers are not edited by rules; sign links in the application",
    ),
    (
        "validateSchema",
        "XML is read without schemas; check XML:/* and XML://@*, or validate in the application",
    ),
];

/// Looks a name up, ignoring case.
pub fn by_name(name: &str) -> Result<&'static OperatorDef, Problem> {
    let same = |n: &&str| n.eq_ignore_ascii_case(name);
    if let Some(def) = OPERATORS.iter().find(|d| same(&d.name) || d.aliases.iter().any(&same)) {
        return Ok(def);
    }
    if let Some((n, why)) = REFUSED.iter().find(|(n, _)| same(n)) {
        return Err(Problem::new(format!("the operator @{n} is not supported"), *why));
    }
    Err(Problem::new(
        format!("no operator is called @{name}"),
        did_you_mean(
            name,
            OPERATORS.iter().map(|d| d.name),
            "see the operators in docs/seclang.md",
        ),
    ))
}

impl OperatorDef {
    /// The argument is a regular expression.
    pub fn is_expression(&self) -> bool {
        matches!(self.name, "rx" | "rxGlobal")
    }

    /// Compiles the operator.
    pub fn build(&self, recipe: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
        if self.argument.is_empty() && !recipe.argument.trim().is_empty() {
            return Err(Problem::new(
                format!("@{} takes no argument", self.name),
                format!("write @{} alone", self.name),
            ));
        }
        if !self.argument.is_empty() && recipe.argument.is_empty() && self.name != "streq" && !self.is_expression() {
            return Err(Problem::new(
                format!("@{} needs an argument", self.name),
                format!("write @{} {}", self.name, self.argument),
            ));
        }
        (self.make)(recipe)
    }
}

/// The text an operator works with: fixed when it was compiled, or filled in when the rule runs.
pub(crate) enum Argument {
    /// Known.
    Fixed(Vec<u8>),
    /// In [`Probe::argument`].
    Running,
}

impl Argument {
    pub(crate) fn of(recipe: &Recipe<'_>) -> Self {
        if recipe.has_macros {
            Self::Running
        } else {
            Self::Fixed(recipe.argument.as_bytes().to_vec())
        }
    }

    pub(crate) fn get<'p>(&'p self, probe: &'p Probe<'_>) -> &'p [u8] {
        match self {
            Self::Fixed(text) => text,
            Self::Running => probe.argument,
        }
    }

    /// The requirement of an operator whose match holds the whole text.
    pub(crate) fn required(&self) -> Requirement {
        match self {
            Self::Fixed(text) if !text.is_empty() => Requirement::OneOf(vec![text.to_ascii_lowercase()]),
            _ => Requirement::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
