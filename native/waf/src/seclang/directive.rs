//! The table of directives, and the parser that goes through a file with it.

use std::collections::HashMap;
use std::sync::Arc;

use super::action::{ActionList, Disruptive, parse_actions};
use super::ctl::{bytes, on_off, parse_ids};
use super::diagnostic::{Diagnostic, Place, Problem, did_you_mean};
use super::draft::{Change, Draft, Item, OperatorText, RuleChoice, RuleDraft};
use super::setting::{EngineMode, LimitAction};
use super::source::{LINE_BYTES_MAX, logical_lines};
use super::variable::parse_targets;
use super::words;

/// Most rules of one rule set.
pub const RULES_MAX: usize = 100_000;
/// Most errors kept; the count goes on.
pub const DIAGNOSTICS_MAX: usize = 1000;

/// State while files are read.
#[derive(Default)]
pub struct Parser {
    /// What has been understood so far.
    pub draft: Draft,
    /// What is wrong so far.
    pub diagnostics: Vec<Diagnostic>,
    defaults: [Option<ActionList>; 5],
    open_chain: Option<Box<RuleDraft>>,
    ids: HashMap<u32, Place>,
    rules: usize,
}

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
    count: (usize, usize),
    parse: Parse,
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
const REFUSED: &[(&str, &str)] = &[
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

impl Parser {
    /// Reads one rule file.
    pub fn file(&mut self, name: &str, content: &[u8]) {
        let file: Arc<str> = Arc::from(name);
        let Ok(text) = std::str::from_utf8(content) else {
            self.report(
                &Place { file, line: 0 },
                Problem::new(
                    "the file is not UTF-8",
                    "save it as UTF-8; write other bytes as \\xHH in expressions",
                ),
            );
            return;
        };
        for line in logical_lines(text) {
            let place = Place {
                file: Arc::clone(&file),
                line: line.line,
            };
            if let Err(p) = self.line(&place, &line.text) {
                self.report(&place, p);
            }
        }
        self.close_chain();
    }

    fn line(&mut self, place: &Place, text: &str) -> Result<(), Problem> {
        if text.len() > LINE_BYTES_MAX {
            return Err(Problem::new(
                format!("a directive of more than {LINE_BYTES_MAX} bytes"),
                "split it",
            ));
        }
        if text.starts_with('<') {
            return Err(Problem::new(
                "sections of a web server's configuration are not understood",
                "put only SecLang into rule files",
            ));
        }
        let words = words::split(text)?;
        let Some((name, arguments)) = words.split_first() else {
            return Ok(());
        };
        let Some(def) = DIRECTIVES.iter().find(|d| d.name.eq_ignore_ascii_case(name)) else {
            if let Some((n, why)) = REFUSED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Err(Problem::new(format!("{n} is not supported"), *why));
            }
            return Err(Problem::new(
                format!("no directive is called {name}"),
                did_you_mean(
                    name,
                    DIRECTIVES.iter().map(|d| d.name),
                    "see the directives in docs/seclang.md",
                ),
            ));
        };
        let (min, max) = def.count;
        if arguments.len() < min || arguments.len() > max {
            return Err(Problem::new(
                format!("{} has {} arguments", def.name, arguments.len()),
                format!("write {} {}", def.name, def.arguments),
            ));
        }
        (def.parse)(self, place, arguments)
    }

    /// Records an error.
    pub fn report(&mut self, place: &Place, problem: Problem) {
        if self.diagnostics.len() < DIAGNOSTICS_MAX {
            self.diagnostics.push(problem.at(place));
        }
    }

    fn actions(&mut self, place: &Place, text: &str) -> ActionList {
        let mut problems = Vec::new();
        let list = parse_actions(text, &mut problems);
        for p in problems {
            self.report(place, p);
        }
        list
    }

    fn change(&mut self, place: &Place, change: Change) -> Result<(), Problem> {
        self.draft.changes.push((place.clone(), change));
        Ok(())
    }

    fn targets(&mut self, place: &Place, choice: RuleChoice, a: &[String]) -> Result<(), Problem> {
        // Some files separate with commas; a comma inside of a key's expression is never followed by an exclamation mark.
        let targets = parse_targets(&a[1].replace(",!", "|!"))?;
        match a.get(2) {
            None => self.change(place, Change::Targets(choice, targets)),
            Some(old) => {
                let mut old = parse_targets(old)?;
                match (old.pop(), old.is_empty()) {
                    (Some(one), true) => self.change(place, Change::ReplaceTarget(choice, one, targets)),
                    _ => Err(Problem::new(
                        "more than one replaced target",
                        "write one directive for each replaced target",
                    )),
                }
            }
        }
    }

    fn default_action(&mut self, place: &Place, a: &[String]) -> Result<(), Problem> {
        let list = self.actions(place, &a[0]);
        let Some(phase) = list.phase else {
            return Err(Problem::new(
                "the default actions name no phase",
                "write SecDefaultAction \"phase:2,…\"",
            ));
        };
        if list.disruptive.is_none() || list.disruptive == Some(Disruptive::Block) {
            return Err(Problem::new(
                "the default actions do not say what blocking means",
                "add pass or deny",
            ));
        }
        if list.chain || list.id.is_some() || list.skip_after.is_some() || list.skip.is_some() {
            return Err(Problem::new(
                "id, chain, skip and skipAfter cannot be defaults",
                "leave them out",
            ));
        }
        self.defaults[usize::from(phase) - 1] = Some(list);
        Ok(())
    }

    fn rule(&mut self, place: &Place, condition: Option<(&str, &str)>, actions: &str) -> Result<(), Problem> {
        self.rules += 1;
        if self.rules > RULES_MAX {
            return Err(Problem::new(
                format!("more than {RULES_MAX} rules"),
                "split the rule set",
            ));
        }
        let list = self.actions(place, actions);
        let before = self.diagnostics.len();
        let mut targets = Vec::new();
        let mut operator = None;
        if let Some((t, o)) = condition {
            match parse_targets(t) {
                Ok(t) => targets = t,
                Err(p) => self.report(place, p),
            }
            operator = Some(parse_operator(o));
            if targets.iter().all(|t| t.exclude) && self.diagnostics.len() == before {
                self.report(
                    place,
                    Problem::new("a rule with exclusions only", "name at least one target without !"),
                );
            }
        }
        let rule = RuleDraft {
            place: place.clone(),
            targets,
            operator,
            actions: list,
            links: Vec::new(),
            defaults: None,
        };
        match self.open_chain.take() {
            Some(head) => self.link(head, rule),
            None => self.head(rule),
        }
        Ok(())
    }

    fn head(&mut self, mut rule: RuleDraft) {
        let phase = rule.actions.phase.unwrap_or(2);
        rule.defaults = self.defaults[usize::from(phase) - 1].clone();
        match rule.actions.id {
            None => self.report(
                &rule.place,
                Problem::new("the rule has no id", "add id:NUMBER to its actions"),
            ),
            Some(id) => {
                if let Some(first) = self.ids.insert(id, rule.place.clone()) {
                    self.report(
                        &rule.place,
                        Problem::new(
                            format!("the id {id} is taken"),
                            format!("{}:{} has it; choose another", first.file, first.line),
                        ),
                    );
                }
            }
        }
        if rule.actions.chain {
            self.open_chain = Some(Box::new(rule));
        } else {
            self.draft.items.push(Item::Rule(Box::new(rule)));
        }
    }

    fn link(&mut self, mut head: Box<RuleDraft>, rule: RuleDraft) {
        let a = &rule.actions;
        if a.id.is_some()
            || a.skip_after.is_some()
            || a.skip.is_some()
            || a.disruptive.is_some_and(|d| d != Disruptive::Pass)
        {
            self.report(
                &rule.place,
                Problem::new(
                    "id, skip, skipAfter and disruptive actions belong to the first rule of a chain",
                    "move them there",
                ),
            );
        }
        if a.phase.is_some_and(|p| p != head.actions.phase.unwrap_or(2)) {
            self.report(
                &rule.place,
                Problem::new("a link names another phase than its chain", "leave the phase out"),
            );
        }
        let goes_on = a.chain;
        head.links.push(rule);
        if goes_on {
            self.open_chain = Some(head);
        } else {
            self.draft.items.push(Item::Rule(head));
        }
    }

    fn close_chain(&mut self) {
        if let Some(head) = self.open_chain.take() {
            let place = head.links.last().map_or(&head.place, |l| &l.place).clone();
            self.report(
                &place,
                Problem::new(
                    "the chain has no next rule",
                    "remove chain, or write the rule that it continues with",
                ),
            );
        }
    }
}

/// Splits `!@name argument`; without `@` the whole is a regular expression.
pub fn parse_operator(text: &str) -> OperatorText {
    let trimmed = text.trim_start();
    let (negated, rest) = match trimmed.strip_prefix('!') {
        Some(r) => (true, r.trim_start()),
        None => (false, trimmed),
    };
    match rest.strip_prefix('@') {
        Some(r) => {
            let (name, argument) = r.split_once(char::is_whitespace).unwrap_or((r, ""));
            OperatorText {
                negated,
                name: name.to_owned(),
                argument: argument.trim_start().to_owned(),
            }
        }
        None => OperatorText {
            negated,
            name: "rx".to_owned(),
            argument: rest.to_owned(),
        },
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parser {
        let mut p = Parser::default();
        p.file("t.conf", text.as_bytes());
        p
    }

    #[test]
    fn every_error_is_reported_at_once_with_its_line() {
        let p = parse(
            "SecRul A b\n\nSecRule ARG \"@rx x\" \"id:1,blok\"\nSecRuleEngine Maybe\nSecRule ARGS x\nInclude x\nSecAction \"id:5,phase:1\" more\n",
        );
        let lines: Vec<u32> = p.diagnostics.iter().map(|d| d.place.line).collect();
        assert_eq!(lines, vec![1, 3, 3, 4, 5, 6, 7]);
        assert!(
            p.diagnostics
                .iter()
                .all(|d| !d.mend.is_empty() && &*d.place.file == "t.conf")
        );
    }

    #[test]
    fn chains_are_gathered_under_their_head() {
        let p = parse("SecRule ARGS x \"id:1,chain,deny\"\nSecRule ARGS y \"chain\"\nSecRule ARGS z\nSecMarker M");
        assert!(p.diagnostics.is_empty(), "{:?}", p.diagnostics);
        let Item::Rule(r) = &p.draft.items[0] else {
            panic!("no rule")
        };
        assert_eq!(r.links.len(), 2);
        assert_eq!(p.draft.items.len(), 2);
    }

    #[test]
    fn an_unfinished_chain_and_a_repeated_id_are_errors() {
        let p = parse("SecRule ARGS x \"id:1,chain\"\nSecMarker M\nSecAction id:2\nSecAction id:2");
        let messages: Vec<&str> = p.diagnostics.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(messages, vec!["the chain has no next rule", "the id 2 is taken"]);
    }

    #[test]
    fn operators_are_split() {
        let o = parse_operator("!@within  a b ");
        assert_eq!(
            (o.negated, o.name.as_str(), o.argument.as_str()),
            (true, "within", "a b ")
        );
        let o = parse_operator("^a@b$");
        assert_eq!(
            (o.negated, o.name.as_str(), o.argument.as_str()),
            (false, "rx", "^a@b$")
        );
    }
}
