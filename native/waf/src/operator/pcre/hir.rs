//! A tree as `regex-syntax` has them, of which automata are made. What no automaton can do is left out, so that the expression matches at least
//! wherever the tree does.

use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, Look, Repetition};

use super::{Greed, Node, Place, Tree};
use crate::bytes::ByteSet;

/// The expression. It has the groups of the tree, but none where something was left out: those that match are the tree's then.
pub fn hir(tree: &Tree) -> Hir {
    visit(&tree.node, !tree.special)
}

fn visit(node: &Node, groups: bool) -> Hir {
    match node {
        Node::Empty | Node::Look { .. } => Hir::empty(),
        Node::Byte(set) => class(set),
        Node::Place(place) => match place {
            Place::Start => Hir::look(Look::Start),
            Place::End => Hir::look(Look::End),
            Place::EndOrLastLine => Hir::alternation(vec![
                Hir::look(Look::End),
                Hir::concat(vec![Hir::literal(*b"\n"), Hir::look(Look::End)]),
            ]),
            Place::LineStart => Hir::look(Look::StartLF),
            Place::LineEnd => Hir::look(Look::EndLF),
            Place::Word => Hir::look(Look::WordAscii),
            Place::NotWord => Hir::look(Look::WordAsciiNegate),
        },
        Node::Group(inner, Some(index)) if groups => Hir::capture(Capture {
            index: *index,
            name: None,
            sub: Box::new(visit(inner, groups)),
        }),
        Node::Group(inner, _) | Node::Atomic(inner) => visit(inner, groups),
        Node::Concat(list) => concat(list, groups),
        Node::Alternatives(list) => Hir::alternation(list.iter().map(|n| visit(n, groups)).collect()),
        Node::Repeat { node, min, max, greed } => Hir::repetition(Repetition {
            min: *min,
            max: *max,
            greedy: *greed != Greed::Lazy,
            sub: Box::new(visit(node, groups)),
        }),
        Node::Back(..) => Hir::repetition(Repetition {
            min: 0,
            max: None,
            greedy: true,
            sub: Box::new(class(&ByteSet::range(0, 255))),
        }),
    }
}

/// Bytes that stand one behind the other make one literal at once.
fn concat(list: &[Node], groups: bool) -> Hir {
    let mut parts = Vec::with_capacity(list.len());
    let mut literal = Vec::new();
    for node in list {
        match node {
            Node::Byte(set) if let Some(b) = only_byte(set) => literal.push(b),
            Node::Empty => {}
            other => {
                if !literal.is_empty() {
                    parts.push(Hir::literal(std::mem::take(&mut literal)));
                }
                parts.push(visit(other, groups));
            }
        }
    }
    if !literal.is_empty() {
        parts.push(Hir::literal(literal));
    }
    Hir::concat(parts)
}

fn only_byte(set: &ByteSet) -> Option<u8> {
    let mut all = (0u8..).zip(set.0).filter(|(_, word)| *word != 0);
    let (at, word) = all.next()?;
    (all.next().is_none() && word.is_power_of_two()).then(|| at * 64 + word.trailing_zeros() as u8)
}

fn class(set: &ByteSet) -> Hir {
    let ranges = set.ranges().map(|r| ClassBytesRange::new(*r.start(), *r.end()));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}
