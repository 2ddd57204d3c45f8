//! The parser of action lists: `id:1,phase:2,msg:'a, b',deny`.

use super::action::{ACTIONS, ActionList, REFUSED};
use super::diagnostic::{Problem, did_you_mean};

/// Most actions of one rule.
pub const ACTIONS_MAX: usize = 512;

/// Parses an action list into `out`, collecting every problem.
pub fn parse_actions(text: &str, problems: &mut Vec<Problem>) -> ActionList {
    let mut out = ActionList::default();
    let parts = match split_actions(text) {
        Ok(parts) => parts,
        Err(p) => {
            problems.push(p);
            return out;
        }
    };
    if parts.len() > ACTIONS_MAX {
        problems.push(Problem::new(
            format!("more than {ACTIONS_MAX} actions"),
            "split the rule",
        ));
        return out;
    }
    for (name, value) in parts {
        if let Err(p) = apply(&mut out, &name, value.as_deref()) {
            problems.push(p);
        }
    }
    out
}

fn apply(out: &mut ActionList, name: &str, value: Option<&str>) -> Result<(), Problem> {
    let Some(def) = ACTIONS.iter().find(|d| d.name.eq_ignore_ascii_case(name)) else {
        if let Some((n, why)) = REFUSED.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            return Err(Problem::new(format!("the action {n} is not supported"), *why));
        }
        return Err(Problem::new(
            format!("no action is called {name:?}"),
            did_you_mean(
                name,
                ACTIONS.iter().map(|d| d.name),
                "see the actions in docs/seclang.md",
            ),
        ));
    };
    match (def.argument, value.map(str::trim)) {
        ("", Some(v)) => Err(Problem::new(
            format!("{} takes no value, but {v:?} is given", def.name),
            format!("write {} alone", def.name),
        )),
        (arg, None | Some("")) if !arg.is_empty() && !arg.starts_with('?') => Err(Problem::new(
            format!("{} needs a value", def.name),
            format!("write {}:{}", def.name, def.argument),
        )),
        (_, v) => (def.apply)(out, v.unwrap_or("")),
    }
}

/// Splits `a,b:'c,d',e:f` into names and values.
fn split_actions(text: &str) -> Result<Vec<(String, Option<String>)>, Problem> {
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut i = 0;
    loop {
        while i < chars.len() && (chars[i].is_whitespace() || chars[i] == ',') {
            i += 1;
        }
        if i >= chars.len() {
            return Ok(out);
        }
        let mut name = String::new();
        while i < chars.len() && chars[i] != ':' && chars[i] != ',' {
            name.push(chars[i]);
            i += 1;
        }
        let mut value = None;
        if chars.get(i) == Some(&':') {
            let (v, next) = action_value(&chars, i + 1, name.trim())?;
            value = Some(v);
            i = next;
        }
        out.push((name.trim().to_owned(), value));
    }
}

fn action_value(chars: &[char], from: usize, name: &str) -> Result<(String, usize), Problem> {
    let mut i = from;
    let mut v = String::new();
    if chars.get(i) != Some(&'\'') {
        while i < chars.len() && chars[i] != ',' {
            v.push(chars[i]);
            i += 1;
        }
        return Ok((v.trim().to_owned(), i));
    }
    i += 1;
    while i < chars.len() {
        match chars[i] {
            '\\' if chars.get(i + 1) == Some(&'\'') => {
                v.push('\'');
                i += 2;
            }
            '\'' => {
                let rest: String = chars[i + 1..].iter().take_while(|c| **c != ',').collect();
                if !rest.trim().is_empty() {
                    return Err(Problem::new(
                        format!("text follows the quoted value of {name}: {rest:?}"),
                        "put a comma between actions, or a backslash before a quote that belongs to the value",
                    ));
                }
                return Ok((v, i + 1));
            }
            c => {
                v.push(c);
                i += 1;
            }
        }
    }
    Err(Problem::new(
        format!("the quoted value of {name} is never closed"),
        "close it with '",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::action::{Disruptive, SetOp};
    use super::*;

    fn ok(text: &str) -> ActionList {
        let mut problems = Vec::new();
        let list = parse_actions(text, &mut problems);
        assert_eq!(problems, vec![], "{text}");
        list
    }

    #[test]
    fn a_list_of_the_core_rule_set_is_understood() {
        let a = ok(
            "id:942100,    phase:2,block,capture,t:none,t:urlDecodeUni,msg:'a, \\'b\\': %{TX.0}',tag:'x/y',\
                    severity:'CRITICAL',multiMatch,setvar:'tx.s=+%{tx.critical_anomaly_score}',setvar:!tx.q,skipAfter:END",
        );
        assert_eq!((a.id, a.phase, a.severity), (Some(942_100), Some(2), Some(2)));
        assert_eq!(a.disruptive, Some(Disruptive::Block));
        assert!(a.capture && a.multi_match && a.transforms_reset);
        assert_eq!(a.transforms.len(), 1);
        assert_eq!(a.set_vars.len(), 2);
        assert!(matches!(a.set_vars[0].op, SetOp::Add(_)));
        assert_eq!(a.set_vars[1].op, SetOp::Unset);
        assert_eq!(a.skip_after.as_deref(), Some("END"));
    }

    #[test]
    fn every_wrong_action_is_reported() {
        let mut problems = Vec::new();
        parse_actions(
            "id:x,blok,severity:HIGH,deny:1,exec:/bin/sh,t:lowercas,msg",
            &mut problems,
        );
        let mends: Vec<&str> = problems.iter().map(|p| p.mend.as_str()).collect();
        assert_eq!(problems.len(), 7, "{mends:?}");
        assert_eq!(mends[1], "did you mean block?");
        assert_eq!(mends[3], "write deny alone");
        assert_eq!(mends[5], "did you mean lowercase?");
    }

    #[test]
    fn an_open_quote_is_an_error() {
        let mut problems = Vec::new();
        parse_actions("id:1,msg:'open", &mut problems);
        assert_eq!(problems.len(), 1);
    }
}
