//! Goes through rule files with the table of directives: chains, default actions, ids, and every error with its place.

use std::collections::HashMap;
use std::sync::Arc;

use super::action::{ActionList, Disruptive};
use super::action_list::parse_actions;
use super::diagnostic::{Diagnostic, Place, Problem, did_you_mean};
use super::directive::DIRECTIVES;
use super::directive_refused::REFUSED;
use super::draft::{Change, Draft, Item, OperatorText, RuleChoice, RuleDraft};
use super::include::{INCLUDE_DEPTH_MAX, resolve};
use super::source::{LINE_BYTES_MAX, logical_lines};
use super::variable::parse_targets;
use super::words;

/// Most rules of one rule set.
pub const RULES_MAX: usize = 100_000;
/// Most errors kept; the count goes on.
pub const DIAGNOSTICS_MAX: usize = 1000;

/// Most bytes of all files as often as they are included.
const READ_BYTES_MAX: usize = 64 * 1024 * 1024;

/// State while files are read.
#[derive(Default)]
pub struct Parser<'f> {
    /// What has been understood so far.
    pub draft: Draft,
    /// What is wrong so far.
    pub diagnostics: Vec<Diagnostic>,
    defaults: [Option<ActionList>; 5],
    open_chain: Option<Box<RuleDraft>>,
    ids: HashMap<u32, Place>,
    rules: usize,
    /// All files by name: those that `Include` can mean.
    files: Vec<(&'f str, &'f [u8])>,
    /// Files that are being read, the innermost last.
    open_files: Vec<usize>,
    /// How many items stood before each file when it was first read.
    was_read: Vec<Option<usize>>,
    read_bytes: usize,
}

impl<'f> Parser<'f> {
    /// Reads rule files in their order; those that others include are read there. How many rules and markers stand before
    /// each rule file.
    pub fn files(&mut self, files: Vec<(&'f str, &'f [u8])>, is_rules: fn(&str) -> bool) -> Vec<usize> {
        self.was_read = vec![None; files.len()];
        self.files = files;
        let mut included = vec![false; self.files.len()];
        let mut left: Vec<usize> = (0..self.files.len()).filter(|i| is_rules(self.files[*i].0)).collect();
        while let Some(index) = left.pop() {
            let (name, content) = self.files[index];
            for pattern in included_patterns(content) {
                for i in resolve(&pattern, name, self.files.iter().map(|(n, _)| *n)) {
                    // What is included is read for rules whatever its name.
                    if !included[i] && !is_rules(self.files[i].0) {
                        left.push(i);
                    }
                    included[i] = true;
                }
            }
        }
        for (i, included) in included.iter().enumerate() {
            if !included && is_rules(self.files[i].0) {
                self.nested(i);
            }
        }
        for i in 0..self.files.len() {
            let name = self.files[i].0;
            if is_rules(name) && self.was_read[i].is_none() {
                let place = Place {
                    file: Arc::from(name),
                    line: 0,
                };
                let mend = "remove one of the Include directives";
                self.report(&place, Problem::new("files include one another in a circle", mend));
                break;
            }
        }
        let rules = self.files.iter().zip(&self.was_read).filter(|((n, _), _)| is_rules(n));
        rules.map(|(_, before)| before.unwrap_or(0)).collect()
    }

    /// Reads a file at the place where it is included.
    fn nested(&mut self, index: usize) {
        let (name, content) = self.files[index];
        self.read_bytes += content.len();
        self.was_read[index].get_or_insert(self.draft.items.len());
        self.open_files.push(index);
        self.file(name, content);
        self.open_files.pop();
    }

    /// `Include` and `IncludeOptional`.
    pub(super) fn include(&mut self, place: &Place, pattern: &str, optional: bool) -> Result<(), Problem> {
        self.close_chain();
        let list = resolve(pattern, &place.file, self.files.iter().map(|(n, _)| *n));
        if list.is_empty() && !optional {
            return Err(Problem::new(
                format!("no file of the rule set is called {pattern}"),
                "put it into the bundle, correct the name, or write IncludeOptional",
            ));
        }
        for index in list {
            if self.open_files.contains(&index) || self.open_files.len() >= INCLUDE_DEPTH_MAX {
                return Err(Problem::new(
                    format!("{} is included by itself, or too deeply", self.files[index].0),
                    "remove one of the Include directives",
                ));
            }
            if self.read_bytes > READ_BYTES_MAX {
                return Err(Problem::new(
                    format!("more than {READ_BYTES_MAX} bytes are included"),
                    "include each file once",
                ));
            }
            self.nested(index);
        }
        Ok(())
    }

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

    pub(super) fn actions(&mut self, place: &Place, text: &str) -> ActionList {
        let mut problems = Vec::new();
        let list = parse_actions(text, &mut problems);
        for p in problems {
            self.report(place, p);
        }
        list
    }

    pub(super) fn change(&mut self, place: &Place, change: Change) -> Result<(), Problem> {
        self.draft.changes.push((place.clone(), change));
        Ok(())
    }

    pub(super) fn targets(&mut self, place: &Place, choice: RuleChoice, a: &[String]) -> Result<(), Problem> {
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

    pub(super) fn default_action(&mut self, place: &Place, a: &[String]) -> Result<(), Problem> {
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

    pub(super) fn rule(
        &mut self,
        place: &Place,
        condition: Option<(&str, &str)>,
        actions: &str,
    ) -> Result<(), Problem> {
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
            expression: None,
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

    pub(super) fn close_chain(&mut self) {
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

/// What the `Include` directives of a file name.
fn included_patterns(content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    if !text.contains("nclude") && !text.contains("NCLUDE") {
        return Vec::new();
    }
    let lines = logical_lines(&text);
    let includes = |name: &str| name.eq_ignore_ascii_case("Include") || name.eq_ignore_ascii_case("IncludeOptional");
    let named = lines
        .iter()
        .filter_map(|l| match words::split(&l.text).ok()?.as_slice() {
            [name, pattern] if includes(name) => Some(pattern.clone()),
            _ => None,
        });
    named.collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parser<'static> {
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
