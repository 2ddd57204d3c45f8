//! Rules behind a gate are not searched for when it is going to jump: what that guess is never changes what matches.

mod common;

use common::Gateway;
use proptest::prelude::*;

/// One part of a rule file; ids and labels come from its place.
#[derive(Clone, Debug)]
enum Part {
    /// Sets the level.
    Level(u8),
    /// Jumps to a marker when the level is below a number.
    Gate(u8, usize),
    /// Looks for a letter.
    Search(char),
    /// Looks for a letter and then jumps over some rules.
    SearchAndSkip(char, u8),
    /// Looks for a letter and then leaves out the rule with some number, or its target.
    Remove(char, usize, bool),
    Marker(usize),
}

fn part() -> impl Strategy<Value = Part> {
    let letter = proptest::sample::select(vec!['a', 'b', 'c']);
    prop_oneof![
        1 => (0u8..4).prop_map(Part::Level),
        4 => (0u8..4, 0usize..3).prop_map(|(n, to)| Part::Gate(n, to)),
        6 => letter.clone().prop_map(Part::Search),
        1 => (letter.clone(), 1u8..5).prop_map(|(c, n)| Part::SearchAndSkip(c, n)),
        1 => (letter, 0usize..20, any::<bool>()).prop_map(|(c, n, whole)| Part::Remove(c, n, whole)),
        2 => (0usize..3).prop_map(Part::Marker),
    ]
}

/// The rules; `as_gates` decides whether gates are written so that they are seen as such.
fn rules(parts: &[(Part, u8)], as_gates: bool) -> String {
    let mut out = String::new();
    for (i, (part, phase)) in parts.iter().enumerate() {
        let head = format!("id:{},phase:{phase},pass", i + 1);
        out.push_str(&match part {
            Part::Level(n) => format!("SecAction \"{head},nolog,setvar:tx.level={n}\"\n"),
            Part::Gate(n, to) => {
                let none = if as_gates { "" } else { "|TX:none" };
                format!("SecRule TX:level{none} \"@lt {n}\" \"{head},nolog,skipAfter:M{to}\"\n")
            }
            Part::Search(c) => format!("SecRule ARGS|REQUEST_HEADERS:x-test \"@rx {c}\\d\" \"{head},t:lowercase\"\n"),
            Part::SearchAndSkip(c, n) => format!("SecRule ARGS \"@rx {c}\\d\" \"{head},skip:{n}\"\n"),
            Part::Remove(c, n, true) => {
                format!("SecRule ARGS \"@rx {c}\\d\" \"{head},ctl:ruleRemoveById={}\"\n", n + 1)
            }
            Part::Remove(c, n, false) => {
                format!(
                    "SecRule ARGS \"@rx {c}\\d\" \"{head},ctl:ruleRemoveTargetById={};TX:level\"\n",
                    n + 1
                )
            }
            Part::Marker(label) => format!("SecMarker M{label}\n"),
        });
    }
    // Every label exists.
    (0..3).for_each(|label| out.push_str(&format!("SecMarker M{label}\n")));
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn gates_that_are_known_as_such_change_nothing(
        parts in proptest::collection::vec((part(), 1u8..3), 1..20),
        values in proptest::collection::vec("[abcABCx]{0,2}[0-9]", 1..5),
    ) {
        let (with, without) = (rules(&parts, true), rules(&parts, false));
        let (mut with, mut without) = (Gateway::rules(&with), Gateway::rules(&without));
        // What is known of values from one request must be right for the next.
        for value in &values {
            let target = format!("/?q={value}&r=b1");
            for g in [&mut with, &mut without] {
                g.get(&target, &[("x-test", value)]);
            }
            prop_assert_eq!(with.ids(), without.ids(), "{} on {:?}", rules(&parts, true), value);
        }
    }
}

#[test]
fn more_levels_than_are_kept_apart_are_told_apart() {
    let mut text =
        "SecRule ARGS:level \"@rx (\\d+)\" \"id:1000,phase:1,pass,nolog,capture,setvar:tx.level=%{tx.1}\"\n".to_owned();
    for n in 1..60 {
        text.push_str(&format!(
            "SecRule TX:level \"@lt {n}\" \"id:{},phase:2,pass,nolog,skipAfter:END\"\nSecRule ARGS:q \"@rx a\\d\" \"id:{n},phase:2,pass\"\n",
            n + 2000
        ));
    }
    text.push_str("SecMarker END\n");
    let mut g = Gateway::rules(&text);
    for level in (0..60).chain((0..60).rev()) {
        g.get(&format!("/?q=a1&level={level}"), &[]);
        assert_eq!(g.ids(), (1..=level).collect::<Vec<u32>>(), "level {level}");
    }
}
