//! The table of directives.

use super::ctl::{bytes, on_off, parse_ids};
use super::diagnostic::{Place, Problem};
use super::directive_arguments::{anything, count, limit_action, mode, number, on_or_off, one_id, one_of};
use super::draft::{Change, Item, RuleChoice};
use super::parser::Parser;
use super::setting::EngineMode;

type Parse = fn(&mut Parser<'_>, &Place, &[String]) -> Result<(), Problem>;

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
    ($name:literal, $arguments:literal, $check:expr, $why:literal) => {
        DirectiveDef {
            name: $name,
            arguments: $arguments,
            summary: concat!("accepted without effect: ", $why),
            count: (1, 4),
            parse: |_, _, a| {
                let check: fn(&str) -> bool = $check;
                if check(&a[0]) {
                    return Ok(());
                }
                Err(Problem::new(
                    format!("{} {} is wrong", $name, a[0]),
                    concat!("write ", $name, " ", $arguments),
                ))
            },
        }
    };
}

/// All directives.
pub static DIRECTIVES: &[DirectiveDef] = &[
    directive!(
        "Include",
        "file or pattern",
        1..1,
        "reads files of the rule set here; they are not read again where they stand",
        |p, at, a| p.include(at, &a[0], false)
    ),
    directive!(
        "IncludeOptional",
        "file or pattern",
        1..1,
        "the same, and no error when there is none",
        |p, at, a| p.include(at, &a[0], true)
    ),
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
        "SecCollectionTimeout",
        "seconds",
        1..1,
        "how long a value of a persistent collection lives after it was written",
        |p, _, a| {
            p.draft.settings.collection_timeout_s = count(&a[0], 31_536_000)?;
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
        "SecDataset",
        "name `entries, one on each line`",
        2..2,
        "entries for @pmFromDataset and @ipMatchFromDataset",
        |p, _, a| {
            let known = p.draft.datasets.insert(a[0].clone(), a[1].clone().into_bytes());
            match known {
                None => Ok(()),
                Some(_) => Err(Problem::new(
                    format!("the data set {} is there already", a[0]),
                    "choose another name",
                )),
            }
        }
    ),
    directive!(
        "SecDefaultAction",
        "\"ACTIONS\"",
        1..1,
        "defaults for the rules of a phase that follow",
        |p, at, a| p.default_action(at, a)
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
        "SecRequestBodyNoFilesLimit",
        "bytes",
        1..1,
        "longest body without the content of uploaded files",
        |p, _, a| {
            p.draft.settings.no_files_bytes_max = Some(bytes(&a[0])?);
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
        "SecResponseBodyJsonDepthLimit",
        "number",
        1..1,
        "deepest JSON answer",
        |p, _, a| {
            p.draft.settings.response_json_depth_max = count(&a[0], 10_000)?;
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
        "id[:link] \"ACTIONS\"",
        2..2,
        "replaces actions of a rule, or of a link of its chain",
        |p, at, a| {
            let (id, link) = a[0].split_once(':').unwrap_or((&a[0], "0"));
            let (id, link) = (one_id(id)?, one_id(link)?);
            let actions = p.actions(at, &a[1]);
            if actions.id.is_some() || actions.phase.is_some() || actions.chain {
                return Err(Problem::new(
                    "id, phase and chain of a rule cannot be updated",
                    "leave them out, or remove the rule and write another",
                ));
            }
            p.change(at, Change::Actions(id, link, Box::new(actions)))
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
        "SecUnicodeMapFile",
        "file code-page",
        2..2,
        "how %u escapes become bytes in urlDecodeUni: a file of the bundle and a number in it",
        |p, at, a| {
            let page = count(&a[1], 99_999)?;
            p.draft.settings.unicode_map = Some((a[0].clone(), page, at.clone()));
            Ok(())
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
    without_effect!(
        "SecAuditEngine",
        "On|Off|RelevantOnly",
        |t| one_of(t, &["On", "Off", "RelevantOnly"]),
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLog",
        "path",
        anything,
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLog2",
        "path",
        anything,
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogDirMode",
        "mode",
        mode,
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogFileMode",
        "mode",
        mode,
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogFormat",
        "JSON|Native|OCSF",
        |t| one_of(t, &["JSON", "Native", "OCSF", "JsonLegacy"]),
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogParts",
        "letters",
        |t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphabetic()),
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogRelevantStatus",
        "expression",
        anything,
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogStorageDir",
        "path",
        anything,
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecAuditLogType",
        "Serial|Concurrent|HTTPS|Syslog",
        |t| one_of(t, &["Serial", "Concurrent", "HTTPS", "Syslog"]),
        "the gateway keeps its own decision record"
    ),
    without_effect!(
        "SecCacheTransformations",
        "On|Off",
        on_or_off,
        "every transformation runs once for each value"
    ),
    without_effect!(
        "SecCookieFormat",
        "0",
        |t| t == "0",
        "version 0 cookies are read, and no others"
    ),
    without_effect!(
        "SecCookieV0Separator",
        "\";\"",
        |t| t == ";",
        "cookies are separated by ; alone"
    ),
    without_effect!("SecDataDir", "path", anything, "persistent collections live in memory"),
    without_effect!("SecDebugLog", "path", anything, "the engine has no debug log"),
    without_effect!(
        "SecDebugLogLevel",
        "0 to 9",
        |t| t.parse::<u8>().is_ok_and(|n| n <= 9),
        "the engine has no debug log"
    ),
    without_effect!(
        "SecIgnoreRuleCompilationErrors",
        "Off",
        |t| one_of(t, &["Off"]),
        "wrong rules are always errors"
    ),
    without_effect!(
        "SecInterceptOnError",
        "On|Off",
        on_or_off,
        "a rule that fails is a verdict of its own"
    ),
    without_effect!(
        "SecPcreMatchLimit",
        "number",
        number,
        "matching is bounded by the work of the route"
    ),
    without_effect!(
        "SecPcreMatchLimitRecursion",
        "number",
        number,
        "matching is bounded by the work of the route"
    ),
    without_effect!(
        "SecRequestBodyInMemoryLimit",
        "bytes",
        number,
        "bodies are never written to disk"
    ),
    without_effect!(
        "SecRulePerfTime",
        "microseconds",
        number,
        "the metrics of the gateway have times"
    ),
    without_effect!("SecRxPreFilter", "On|Off", on_or_off, "the prefilter is always on"),
    without_effect!(
        "SecSensorId",
        "text",
        anything,
        "the gateway names itself in its records"
    ),
    without_effect!(
        "SecServerSignature",
        "text",
        anything,
        "headers are edited by the respond stage"
    ),
    without_effect!("SecStatusEngine", "On|Off", on_or_off, "nothing is reported to anyone"),
    without_effect!("SecTmpDir", "path", anything, "bodies are never written to disk"),
    without_effect!(
        "SecTmpSaveUploadedFiles",
        "Off",
        |t| one_of(t, &["Off"]),
        "bodies are never written to disk: use FILES_TMP_CONTENT"
    ),
    without_effect!("SecUploadDir", "path", anything, "bodies are never written to disk"),
    without_effect!("SecUploadFileMode", "mode", mode, "bodies are never written to disk"),
    without_effect!(
        "SecUploadKeepFiles",
        "On|Off|RelevantOnly",
        |t| one_of(t, &["On", "Off", "RelevantOnly"]),
        "bodies are never written to disk"
    ),
    without_effect!(
        "SecXmlExternalEntity",
        "Off",
        |t| one_of(t, &["Off"]),
        "entities are never expanded"
    ),
];
