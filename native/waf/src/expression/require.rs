//! What a request must hold for an expression to be true: the literals by which the prefilter knows it.

use super::node::{Node, Order, Source, Test, Value};
use crate::operator::Requirement;
use crate::program::literals;
use crate::seclang::variable::Var;
use crate::transform::{TRANSFORMS, TransformId};

/// Most literals of one expression.
const LITERALS_MAX: usize = 4096;

/// One of these literals occurs in one of these values.
#[derive(Debug, Default)]
pub struct Need {
    /// Lower case; none is empty.
    pub literals: Vec<Vec<u8>>,
    /// Variable, key (lower case) and transformations through which the values are seen.
    pub seen: Vec<(Var, Option<Vec<u8>>, Vec<TransformId>)>,
}

/// The need of a condition; `None` when it may be true whatever the values hold. `current` is what [`Value::Current`] stands for.
pub fn need(node: &Node, current: Option<&Source>) -> Option<Need> {
    match node {
        Node::And(list) => list
            .iter()
            .filter_map(|n| need(n, current))
            .min_by(|a, b| literals::cost_of(&a.literals).total_cmp(&literals::cost_of(&b.literals))),
        // An odd number is at least one.
        Node::Or(list) | Node::Xor(list) => {
            let mut out = Need::default();
            for n in list {
                let part = need(n, current)?;
                out.literals.extend(part.literals);
                for seen in part.seen {
                    if !out.seen.contains(&seen) {
                        out.seen.push(seen);
                    }
                }
            }
            (out.literals.len() <= LITERALS_MAX).then_some(out)
        }
        Node::Not(_) | Node::Has(_) => None,
        Node::Each(source, inner, _) => need(inner, Some(source)),
        Node::Compare(value, test) => {
            let literals = of_test(test)?;
            let mut steps = Vec::new();
            let source = seen_by(value, current, &mut steps)?;
            let key = source.key.as_ref().map(|k| k.to_ascii_lowercase());
            Some(Need {
                literals,
                seen: vec![(source.var, key, steps)],
            })
        }
    }
}

fn of_test(test: &Test) -> Option<Vec<Vec<u8>>> {
    let one = |text: &[u8]| (!text.is_empty()).then(|| vec![text.to_ascii_lowercase()]);
    match test {
        Test::Bytes(Order::Equal, text) | Test::StartsWith(text) | Test::EndsWith(text) => one(text),
        Test::Contains(finder) => one(finder.needle()),
        Test::Text(set) => {
            let usable = set.0.len() <= LITERALS_MAX && set.0.iter().all(|t| !t.is_empty());
            usable.then(|| set.0.iter().map(|t| t.to_ascii_lowercase()).collect())
        }
        Test::Matches(_, Requirement::OneOf(list)) => Some(list.clone()),
        Test::Matches(..) | Test::Bytes(..) | Test::Int(..) | Test::Number(_) | Test::Address(..) | Test::Truth => None,
    }
}

/// The values that a value is made of by transformations alone. At the end changes of case are left out, since the prefilter
/// ignores case, and parts too, since a part holds nothing that the whole does not.
fn seen_by<'a>(value: &'a Value, current: Option<&'a Source>, steps: &mut Vec<TransformId>) -> Option<&'a Source> {
    let mut inner = value;
    loop {
        inner = match inner {
            Value::Transform(of, id) if TRANSFORMS[usize::from(*id)].folds_case => of,
            Value::Substring(of, ..) => of,
            _ => break,
        };
    }
    let mut found = None;
    while found.is_none() {
        match inner {
            Value::Load(source, ..) => found = Some(source),
            Value::Current => found = Some(current?),
            Value::Transform(of, id) => {
                steps.push(*id);
                inner = of;
            }
            _ => return None,
        }
    }
    steps.reverse();
    found
}
