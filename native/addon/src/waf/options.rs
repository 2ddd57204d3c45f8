//! What JavaScript hands to the WAF and gets to know of it, as objects; see `src/native/waf.ts` for what each field means.

use cnx_waf::expression::rule::{Action, ExpressionRule, Expressions};
use cnx_waf::expression::set::ListText;
use cnx_waf::profile::Exclusion;
use cnx_waf::seclang::ctl::parse_ids;
use cnx_waf::seclang::draft::RuleChoice;
use napi::bindgen_prelude::{Error, Result, Uint8Array};
use napi_derive::napi;

/// One file of a rule set.
#[napi(object)]
pub struct WafFile {
    pub name: String,
    pub bytes: Uint8Array,
}

/// How to compile.
#[napi(object)]
pub struct WafCompileOptions {
    pub multi_line: Option<bool>,
    pub expressions: Option<Vec<WafExpression>>,
    pub lists: Option<Vec<WafList>>,
}

/// A WAF expression with what it does.
#[napi(object)]
pub struct WafExpression {
    pub place: String,
    pub before: u32,
    pub local: bool,
    pub id: Option<u32>,
    pub name: Option<String>,
    pub when: String,
    pub action: String,
    pub points: Option<u32>,
    pub tags: Option<Vec<String>>,
    pub message: Option<String>,
    pub severity: Option<u32>,
}

/// A list that expressions name.
#[napi(object)]
pub struct WafList {
    pub place: String,
    pub name: String,
    pub entries: Vec<String>,
    pub numbers: bool,
}

/// Expressions as the crate takes them; an unknown action is an error.
pub fn expressions_of(rules: Vec<WafExpression>, lists: Vec<WafList>) -> Result<Expressions> {
    let rule = |r: WafExpression| {
        let action = match r.action.as_str() {
            "block" => Action::Block,
            "log" => Action::Log,
            "score" => Action::Score(r.points.unwrap_or(0)),
            "skip" => Action::Skip(r.tags.unwrap_or_default()),
            other => {
                return Err(Error::from_reason(format!(
                    "{other} is no action: write block, log, score or skip"
                )));
            }
        };
        Ok(ExpressionRule {
            place: r.place,
            before: r.before as usize,
            local: r.local,
            id: r.id,
            name: r.name,
            when: r.when,
            action,
            message: r.message,
            severity: r.severity.map(|s| u8::try_from(s).unwrap_or(u8::MAX)),
        })
    };
    let list = |l: WafList| {
        let text = ListText {
            name: l.name,
            entries: l.entries,
            numbers: l.numbers,
        };
        (l.place, text)
    };
    Ok(Expressions {
        rules: rules.into_iter().map(rule).collect::<Result<_>>()?,
        lists: lists.into_iter().map(list).collect(),
    })
}

/// What a route changes.
#[napi(object)]
pub struct WafProfileOptions {
    pub mode: Option<String>,
    pub work_max: Option<f64>,
    pub answers: Option<bool>,
    pub exclusions: Option<Vec<WafExclusion>>,
    pub variables: Option<Vec<WafVariable>>,
    pub local_rules: Option<Vec<String>>,
}

/// Rules that a route leaves out, or one target of theirs.
#[napi(object)]
pub struct WafExclusion {
    pub rules: Option<String>,
    pub tag: Option<String>,
    pub message: Option<String>,
    pub target: Option<String>,
}

/// A variable of the collection TX that rules cannot change.
#[napi(object)]
pub struct WafVariable {
    pub name: String,
    pub value: String,
}

/// A rule as it was compiled.
#[napi(object)]
pub struct WafRule {
    pub id: u32,
    pub phase: u32,
    pub severity: u32,
    pub file: String,
    pub line: u32,
    pub message: String,
    pub tags: Vec<String>,
    pub log: bool,
}

/// What rules see of answers.
#[napi(object)]
pub struct WafAnswerStats {
    pub rules: bool,
    pub body: bool,
    pub mime_types: Vec<String>,
    pub body_bytes_max: f64,
    pub reject_longer: bool,
}

/// Numbers of a compiled rule set.
#[napi(object)]
pub struct WafStats {
    pub rules: u32,
    pub prefiltered_rules: u32,
    pub expressions: u32,
    pub memory_bytes: f64,
    pub source_bytes: f64,
    pub load_ms: f64,
    pub profiles: u32,
    pub answer: WafAnswerStats,
    pub reads_tls: bool,
}

/// An exclusion as the crate takes it; it names rules, a tag or a message.
pub fn exclusion(e: WafExclusion) -> Result<Exclusion> {
    let rules = match (e.rules, e.tag, e.message) {
        (Some(ids), None, None) => {
            RuleChoice::Ids(parse_ids(&ids).map_err(|p| Error::from_reason(format!("{}; {}", p.message, p.mend)))?)
        }
        (None, Some(tag), None) => RuleChoice::Tag(tag),
        (None, None, Some(message)) => RuleChoice::Message(message),
        _ => {
            return Err(Error::from_reason(
                "an exclusion names rules, a tag or a message: one of them",
            ));
        }
    };
    Ok(Exclusion {
        rules,
        target: e.target,
    })
}
