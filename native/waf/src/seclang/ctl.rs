//! The table of `ctl:` options.

use super::diagnostic::{Problem, did_you_mean};
use super::draft::RuleChoice;
use super::setting::{BodyProcessor, EngineMode};
use super::variable::{TargetText, parse_targets};

/// What a `ctl` does to the running transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Ctl {
    /// `ruleEngine`.
    Engine(EngineMode),
    /// `ruleRemoveBy…`.
    Remove(RuleChoice),
    /// `ruleRemoveTargetBy…`.
    RemoveTarget(RuleChoice, TargetText),
    /// `requestBodyAccess`.
    RequestBodyAccess(bool),
    /// `requestBodyLimit`, bytes.
    RequestBodyLimit(u64),
    /// `requestBodyProcessor`.
    RequestBodyProcessor(BodyProcessor),
    /// `forceRequestBodyVariable`.
    ForceRequestBody(bool),
    /// `responseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `responseBodyLimit`, bytes.
    ResponseBodyLimit(u64),
    /// `responseBodyProcessor`.
    ResponseBodyProcessor(BodyProcessor),
    /// Accepted, and without effect for the reason that the table gives.
    Nothing,
}

/// One row of the table.
pub struct CtlDef {
    /// Name.
    pub name: &'static str,
    /// What stands after `=`.
    pub argument: &'static str,
    /// What it does, or why it does nothing.
    pub summary: &'static str,
    parse: fn(&str) -> Result<Ctl, Problem>,
}

/// All options.
pub static CTLS: &[CtlDef] = &[
    CtlDef {
        name: "auditEngine",
        argument: "On|Off|RelevantOnly",
        summary: "accepted; the gateway keeps its own decision record",
        parse: |v| nothing(v, "auditEngine=On|Off|RelevantOnly", &["on", "off", "relevantonly"]),
    },
    CtlDef {
        name: "auditLogParts",
        argument: "parts",
        summary: "accepted; the gateway keeps its own decision record",
        parse: |v| nothing(v, "auditLogParts=+letters", &[]),
    },
    CtlDef {
        name: "debugLogLevel",
        argument: "0-9",
        summary: "accepted; the engine has no debug log",
        parse: |v| {
            nothing(
                v,
                "debugLogLevel=0-9",
                &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            )
        },
    },
    CtlDef {
        name: "forceRequestBodyVariable",
        argument: "On|Off",
        summary: "fills REQUEST_BODY whatever the media type",
        parse: |v| Ok(Ctl::ForceRequestBody(on_off(v)?)),
    },
    CtlDef {
        name: "forceResponseBodyVariable",
        argument: "On|Off",
        summary: "accepted; RESPONSE_BODY has every body that is read",
        parse: |v| on_off(v).map(|_| Ctl::Nothing),
    },
    CtlDef {
        name: "requestBodyAccess",
        argument: "On|Off",
        summary: "whether the body is read at all",
        parse: |v| Ok(Ctl::RequestBodyAccess(on_off(v)?)),
    },
    CtlDef {
        name: "requestBodyLimit",
        argument: "bytes",
        summary: "longest body",
        parse: |v| Ok(Ctl::RequestBodyLimit(bytes(v)?)),
    },
    CtlDef {
        name: "requestBodyProcessor",
        argument: "URLENCODED|MULTIPART|JSON|XML|RAW",
        summary: "how the body is read (phase 1)",
        parse: |v| Ok(Ctl::RequestBodyProcessor(BodyProcessor::parse(v)?)),
    },
    CtlDef {
        name: "responseBodyAccess",
        argument: "On|Off",
        summary: "whether the answer's body is read",
        parse: |v| Ok(Ctl::ResponseBodyAccess(on_off(v)?)),
    },
    CtlDef {
        name: "responseBodyLimit",
        argument: "bytes",
        summary: "longest answer read",
        parse: |v| Ok(Ctl::ResponseBodyLimit(bytes(v)?)),
    },
    CtlDef {
        name: "responseBodyProcessor",
        argument: "JSON|XML|RAW",
        summary: "how the answer's body is read",
        parse: |v| Ok(Ctl::ResponseBodyProcessor(BodyProcessor::parse(v)?)),
    },
    CtlDef {
        name: "ruleEngine",
        argument: "On|Off|DetectionOnly",
        summary: "engine mode for the rest of the transaction",
        parse: |v| Ok(Ctl::Engine(EngineMode::parse(v)?)),
    },
    CtlDef {
        name: "ruleRemoveById",
        argument: "id or range",
        summary: "leaves rules out",
        parse: |v| Ok(Ctl::Remove(RuleChoice::Ids(parse_ids(v)?))),
    },
    CtlDef {
        name: "ruleRemoveByMsg",
        argument: "message",
        summary: "leaves rules out by their whole message",
        parse: |v| Ok(Ctl::Remove(RuleChoice::Message(v.to_owned()))),
    },
    CtlDef {
        name: "ruleRemoveByTag",
        argument: "tag",
        summary: "leaves rules out by a whole tag",
        parse: |v| Ok(Ctl::Remove(RuleChoice::Tag(v.to_owned()))),
    },
    CtlDef {
        name: "ruleRemoveTargetById",
        argument: "id;TARGET",
        summary: "leaves a target out",
        parse: |v| target(v, |c| Ok(RuleChoice::Ids(parse_ids(c)?))),
    },
    CtlDef {
        name: "ruleRemoveTargetByMsg",
        argument: "message;TARGET",
        summary: "leaves a target out",
        parse: |v| target(v, |c| Ok(RuleChoice::Message(c.to_owned()))),
    },
    CtlDef {
        name: "ruleRemoveTargetByTag",
        argument: "tag;TARGET",
        summary: "leaves a target out",
        parse: |v| target(v, |c| Ok(RuleChoice::Tag(c.to_owned()))),
    },
];

/// Options of other engines that are refused, with the reason.
pub(crate) const REFUSED: &[(&str, &str)] = &[
    ("hashEngine", "answers are not edited by rules; leave it out"),
    ("hashEnforcement", "answers are not edited by rules; leave it out"),
    ("parseXmlIntoArgs", "write rules for XML:/* and XML://@*"),
    (
        "ruleRemoveTargetByVariable",
        "write ruleRemoveTargetById or ruleRemoveTargetByTag",
    ),
];

/// Parses `name=value`.
pub fn parse_ctl(text: &str) -> Result<Ctl, Problem> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Problem::new(format!("ctl:{text} has no value"), "write ctl:name=value"));
    };
    let (name, value) = (name.trim(), value.trim());
    match CTLS.iter().find(|d| d.name.eq_ignore_ascii_case(name)) {
        Some(def) => (def.parse)(value),
        None if let Some((n, why)) = REFUSED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) => {
            Err(Problem::new(format!("ctl:{n} is not supported"), *why))
        }
        None => Err(Problem::new(
            format!("no ctl option is called {name}"),
            did_you_mean(
                name,
                CTLS.iter().map(|d| d.name),
                "see the ctl options in docs/seclang.md",
            ),
        )),
    }
}

/// Accepted without effect, if the value is one of those that are known.
fn nothing(value: &str, write: &str, known: &[&str]) -> Result<Ctl, Problem> {
    let lower = value.to_ascii_lowercase();
    if known.is_empty() && !value.is_empty() || known.contains(&lower.as_str()) {
        return Ok(Ctl::Nothing);
    }
    Err(Problem::new(
        format!("the value {value} of a ctl option is wrong"),
        format!("write ctl:{write}"),
    ))
}

/// `On` or `Off`.
pub fn on_off(text: &str) -> Result<bool, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Problem::new(format!("{text} is neither On nor Off"), "write On or Off")),
    }
}

/// A number of bytes.
pub fn bytes(text: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| Problem::new(format!("{text} is no number of bytes"), "write digits only"))
}

fn target(text: &str, choice: fn(&str) -> Result<RuleChoice, Problem>) -> Result<Ctl, Problem> {
    let Some((which, what)) = text.split_once(';') else {
        return Err(Problem::new(
            format!("{text} names no target"),
            "write the rules, a semicolon and the target, as in 942100;ARGS:password",
        ));
    };
    let mut targets = parse_targets(what.trim())?;
    match (targets.pop(), targets.is_empty()) {
        (Some(t), true) if !t.exclude && !t.count => Ok(Ctl::RemoveTarget(choice(which.trim())?, t)),
        _ => Err(Problem::new(
            format!("{what} is not one plain target"),
            "write one ctl for each target, without ! and &",
        )),
    }
}

/// Ids and ranges: `942100`, `942100-942200`, several separated by commas or white space.
pub fn parse_ids(text: &str) -> Result<Vec<(u32, u32)>, Problem> {
    let mut out = Vec::new();
    for word in text.split([',', ' ']).filter(|w| !w.is_empty()) {
        let (from, to) = word.split_once('-').unwrap_or((word, word));
        match (from.trim().parse::<u32>(), to.trim().parse::<u32>()) {
            (Ok(a), Ok(b)) if a <= b => out.push((a, b)),
            _ => {
                return Err(Problem::new(
                    format!("{word} is no rule id and no range"),
                    "write 942100 or 942100-942199",
                ));
            }
        }
    }
    if out.is_empty() {
        return Err(Problem::new("no rule id", "write 942100 or 942100-942199"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seclang::variable::{SelectorText, Var};

    #[test]
    fn options_are_parsed_and_misspellings_mended() {
        assert_eq!(
            parse_ctl("ruleRemoveById=1-3").unwrap(),
            Ctl::Remove(RuleChoice::Ids(vec![(1, 3)]))
        );
        let Ctl::RemoveTarget(RuleChoice::Tag(tag), t) = parse_ctl("ruleRemoveTargetByTag=a-b;ARGS:pwd").unwrap()
        else {
            panic!("not a target removal");
        };
        assert_eq!(
            (tag.as_str(), t.var, t.selector),
            ("a-b", Var::Args, SelectorText::Key("pwd".into()))
        );
        assert_eq!(
            parse_ctl("ruleRemoveByld=1").unwrap_err().mend,
            "did you mean ruleRemoveById?"
        );
        assert!(parse_ctl("ruleEngine=Maybe").is_err());
        assert!(parse_ctl("ruleRemoveById=5-3").is_err());
    }
}
