//! The table of directives.

use super::ctl::{bytes, on_off, parse_ids};
use super::diagnostic::{Place, Problem};
use super::draft::{Change, Item, RuleChoice};
use super::parser::Parser;
use super::setting::{EngineMode, LimitAction};

type Parse = fn(&mut Parser, &Place, &[String]) -> Result<(), Problem>;

/// One row of the table.
pub struct DirectiveDef {
    /// Name.
    pub name: &'static str,
    /// Its arguments.
    pub arguments: &'static str,
    /// What it does, or why it does nothing.
    pub summary: &'static str,
    /// Fewest and most arguments.
    pub(super) count: (usize, usize),
    pub(super) parse: Parse,
}

macro_rules! directive {
    ($name:literal, $arguments:literal, $min:literal..$max:literal, $summary:literal, $parse:expr) => {
        DirectiveDef {
            name: $name,
            arguments: $arguments,
            summary: $summary,
            count: ($min, $max),
            parse: $parse,
        }
    };
}

macro_rules! without_effect {
    ($name:literal, $why:literal) => {
        DirectiveDef {
            name: $name,
            arguments: "any",
            summary: concat!("accepted without effect: ", $why),
            count: (0, 16),
            parse: |_, _, _| Ok(()),
        }
    };
}

/// All directives.
pub static DIRECTIVES: &[DirectiveDef] = &[
    directive!(
        "SecAction",
        "\"ACTIONS\"",
        1..1,
        "actions that always run",
        |p, at, a| p.rule(at, None, &a[0])
    ),
    directive!(
        "SecArgumentSeparator",
        "character",
        1..1,
        "what separates the arguments of a URL-encoded body or query",
        |p, _, a| {
            p.draft.settings.argument_separator = match a[0].as_bytes() {
                [b] => *b,
                _ => {
                    return Err(Problem::new(
                        "not one character",
                        "write one character, as in SecArgumentSeparator \"&\"",
                    ));
                }
            };
            Ok(())
        }
    ),
    directive!(
        "SecArgumentsLimit",
        "number",
        1..1,
        "most arguments of a request; more is answered by the limit policy",
        |p, _, a| {
            p.draft.settings.arguments_max = count(&a[0], 1_000_000)?;
            Ok(())
        }
    ),
    directive!(
        "SecComponentSignature",
        "\"text\"",
        1..1,
        "names a rule set",
        |p, _, a| {
            p.draft.settings.signatures.push(a[0].clone());
            Ok(())
        }
    ),
    directive!(
        "SecDefaultAction",
        "\"ACTIONS\"",
        1..1,
        "defaults for the rules of a phase that follow",
        Parser::default_action
    ),
    directive!(
        "SecMarker",
        "label",
        1..1,
        "a place that skipAfter jumps behind",
        |p, _, a| {
            p.close_chain();
            p.draft.items.push(Item::Marker(a[0].clone()));
            Ok(())
        }
    ),
    directive!(
        "SecRequestBodyAccess",
        "On|Off",
        1..1,
        "whether bodies are read",
        |p, _, a| {
            p.draft.settings.request_body_access = on_off(&a[0])?;
            Ok(())
        }
    ),
    directive!(
        "SecRequestBodyJsonDepthLimit",
        "number",
        1..1,
        "deepest JSON body",
        |p, _, a| {
            p.draft.settings.json_depth_max = count(&a[0], 10_000)?;
            Ok(())
        }
    ),
    directive!("SecRequestBodyLimit", "bytes", 1..1, "longest body", |p, _, a| {
        p.draft.settings.request_body_bytes_max = bytes(&a[0])?;
        Ok(())
    }),
    directive!(
        "SecRequestBodyLimitAction",
        "Reject|ProcessPartial",
        1..1,
        "what happens with a longer body",
        |p, _, a| {
            p.draft.settings.request_body_limit_action = limit_action(&a[0])?;
            Ok(())
        }
    ),
    directive!(
        "SecResponseBodyAccess",
        "On|Off",
        1..1,
        "whether answers are read",
        |p, _, a| {
            p.draft.settings.response_body_access = on_off(&a[0])?;
            Ok(())
        }
    ),
    directive!(
        "SecResponseBodyLimit",
        "bytes",
        1..1,
        "longest answer read",
        |p, _, a| {
            p.draft.settings.response_body_bytes_max = bytes(&a[0])?;
            Ok(())
        }
    ),
    directive!(
        "SecResponseBodyLimitAction",
        "Reject|ProcessPartial",
        1..1,
        "what happens with a longer answer",
        |p, _, a| {
            p.draft.settings.response_body_limit_action = limit_action(&a[0])?;
            Ok(())
        }
    ),
    directive!(
        "SecResponseBodyMimeType",
        "types",
        1..32,
        "answers of these media types are read",
        |p, _, a| {
            p.draft.settings.response_body_mime_types = a.iter().map(|t| t.to_ascii_lowercase()).collect();
            Ok(())
        }
    ),
    directive!(
        "SecResponseBodyMimeTypesClear",
        "",
        0..0,
        "no answer is read",
        |p, _, _| {
            p.draft.settings.response_body_mime_types.clear();
            Ok(())
        }
    ),
    directive!(
        "SecRule",
        "TARGETS \"OPERATOR\" \"ACTIONS\"",
        2..3,
        "a rule",
        |p, at, a| { p.rule(at, Some((&a[0], &a[1])), a.get(2).map_or("", String::as_str)) }
    ),
    directive!(
        "SecRuleEngine",
        "On|Off|DetectionOnly",
        1..1,
        "engine mode; a route's own mode wins",
        |p, _, a| {
            p.draft.settings.engine = Some(EngineMode::parse(&a[0])?);
            Ok(())
        }
    ),
    directive!(
        "SecRuleRemoveById",
        "ids and ranges",
        1..64,
        "removes rules",
        |p, at, a| { p.change(at, Change::Remove(RuleChoice::Ids(parse_ids(&a.join(" "))?))) }
    ),
    directive!(
        "SecRuleRemoveByMsg",
        "\"message\"",
        1..1,
        "removes rules by their whole message",
        |p, at, a| { p.change(at, Change::Remove(RuleChoice::Message(a[0].clone()))) }
    ),
    directive!(
        "SecRuleRemoveByTag",
        "\"tag\"",
        1..1,
        "removes rules by a whole tag",
        |p, at, a| { p.change(at, Change::Remove(RuleChoice::Tag(a[0].clone()))) }
    ),
    directive!(
        "SecRuleUpdateActionById",
        "id \"ACTIONS\"",
        2..2,
        "replaces actions of a rule",
        |p, at, a| {
            let id = one_id(&a[0])?;
            let actions = p.actions(at, &a[1]);
            p.change(at, Change::Actions(id, Box::new(actions)))
        }
    ),
    directive!(
        "SecRuleUpdateTargetById",
        "ids \"TARGETS\" [\"REPLACED\"]",
        2..3,
        "adds targets or exclusions, after all files are read",
        |p, at, a| {
            let choice = RuleChoice::Ids(parse_ids(&a[0])?);
            p.targets(at, choice, a)
        }
    ),
    directive!(
        "SecRuleUpdateTargetByMsg",
        "\"message\" \"TARGETS\" [\"REPLACED\"]",
        2..3,
        "the same, by message",
        |p, at, a| {
            let choice = RuleChoice::Message(a[0].clone());
            p.targets(at, choice, a)
        }
    ),
    directive!(
        "SecRuleUpdateTargetByTag",
        "\"tag\" \"TARGETS\" [\"REPLACED\"]",
        2..3,
        "the same, by tag",
        |p, at, a| {
            let choice = RuleChoice::Tag(a[0].clone());
            p.targets(at, choice, a)
        }
    ),
    directive!(
        "SecUploadFileLimit",
        "number",
        1..1,
        "most files of a multipart body",
        |p, _, a| {
            p.draft.settings.files_max = count(&a[0], 100_000)?;
            Ok(())
        }
    ),
    directive!("SecWebAppId", "text", 1..1, "the value of WEBAPPID", |p, _, a| {
        p.draft.settings.web_app_id = a[0].clone();
        Ok(())
    }),
    without_effect!("SecAuditEngine", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLog", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLog2", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogDirMode", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogFileMode", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogFormat", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogParts", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogRelevantStatus", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogStorageDir", "the gateway keeps its own decision record"),
    without_effect!("SecAuditLogType", "the gateway keeps its own decision record"),
    without_effect!("SecCollectionTimeout", "collections live for one transaction"),
    without_effect!("SecCookieFormat", "version 0 cookies are read"),
    without_effect!("SecCookieV0Separator", "cookies are separated by ;"),
    without_effect!("SecDataDir", "collections live for one transaction"),
    without_effect!("SecDebugLog", "the engine has no debug log"),
    without_effect!("SecDebugLogLevel", "the engine has no debug log"),
    without_effect!("SecInterceptOnError", "a rule that fails is a verdict of its own"),
    without_effect!("SecPcreMatchLimit", "matching is linear"),
    without_effect!("SecPcreMatchLimitRecursion", "matching is linear"),
    without_effect!("SecRequestBodyInMemoryLimit", "bodies are never written to disk"),
    without_effect!(
        "SecRequestBodyNoFilesLimit",
        "SecRequestBodyLimit bounds the whole body"
    ),
    without_effect!("SecRxPreFilter", "the prefilter is always on"),
    without_effect!("SecSensorId", "the gateway names itself in its records"),
    without_effect!("SecServerSignature", "headers are edited by the respond stage"),
    without_effect!("SecStatusEngine", "nothing is reported to anyone"),
    without_effect!("SecTmpDir", "bodies are never written to disk"),
    without_effect!("SecTmpSaveUploadedFiles", "bodies are never written to disk"),
    without_effect!(
        "SecUnicodeMapFile",
        "%u escapes are mapped by their low byte and full-width forms"
    ),
    without_effect!("SecUploadDir", "bodies are never written to disk"),
    without_effect!("SecUploadFileMode", "bodies are never written to disk"),
    without_effect!("SecUploadKeepFiles", "bodies are never written to disk"),
    without_effect!("SecXmlExternalEntity", "entities are never expanded"),
];

/// Directives of other engines that are refused, with the reason.
pub(super) const REFUSED: &[(&str, &str)] = &[
    (
        "Include",
        "list the files in the bundle, in the order in which they apply",
    ),
    (
        "IncludeOptional",
        "list the files in the bundle, in the order in which they apply",
    ),
    ("SecRuleScript", "rules never run programs; write a SecRule or a policy"),
    (
        "SecRuleInheritance",
        "the gateway has one rule set per route; use exclusions",
    ),
    ("SecRemoteRules", "rules come only from the signed bundle"),
    ("SecRemoteRulesFailAction", "rules come only from the signed bundle"),
    ("SecChrootDir", "the gateway runs in its container"),
    ("SecConnEngine", "use the limits of the admit stage"),
    ("SecConnReadStateLimit", "use the limits of the admit stage"),
    ("SecConnWriteStateLimit", "use the limits of the admit stage"),
    ("SecContentInjection", "answers are not edited by rules"),
    ("SecDisableBackendCompression", "use the respond stage"),
    ("SecGeoLookupDB", "use a policy; the engine has no address database"),
    ("SecGsbLookupDb", "rules never ask the network"),
    ("SecGuardianLog", "rules never start programs"),
    ("SecHttpBlKey", "rules never ask the network"),
    ("SecHashEngine", "answers are not edited by rules"),
    (
        "SecStreamInBodyInspection",
        "bodies are inspected as a whole up to SecRequestBodyLimit",
    ),
    (
        "SecStreamOutBodyInspection",
        "bodies are inspected as a whole up to SecResponseBodyLimit",
    ),
];

fn one_id(text: &str) -> Result<u32, Problem> {
    text.parse()
        .map_err(|_| Problem::new(format!("{text} is no rule id"), "write one number"))
}

fn count(text: &str, max: u32) -> Result<u32, Problem> {
    match text.parse::<u32>() {
        Ok(n) if (1..=max).contains(&n) => Ok(n),
        _ => Err(Problem::new(
            format!("{text} is no number from 1 to {max}"),
            format!("write a number from 1 to {max}"),
        )),
    }
}

fn limit_action(text: &str) -> Result<LimitAction, Problem> {
    match text.to_ascii_lowercase().as_str() {
        "reject" => Ok(LimitAction::Reject),
        "processpartial" => Ok(LimitAction::ProcessPartial),
        _ => Err(Problem::new(
            format!("{text} is no limit action"),
            "write Reject or ProcessPartial",
        )),
    }
}
