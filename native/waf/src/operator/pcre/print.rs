//! A tree in the dialect of `regex-syntax`. What no automaton can do is left out, so that the printed expression matches at
//! least wherever the tree does.

use std::fmt::Write;

use super::{Greed, Node, Place};
use crate::bytes::ByteSet;

/// The expression.
pub fn print(node: &Node) -> String {
    let mut out = String::new();
    // Flags of the caller do not count: sets and places are explicit.
    out.push_str("(?-im)");
    visit(node, &mut out);
    out
}

fn visit(node: &Node, out: &mut String) {
    match node {
        Node::Empty | Node::Look { .. } => out.push_str("(?:)"),
        Node::Byte(set) => push_set(set, out),
        Node::Place(place) => out.push_str(match place {
            Place::Start => r"\A",
            Place::End => r"\z",
            Place::EndOrLastLine => r"(?:\z|\n\z)",
            Place::LineStart => "(?m:^)",
            Place::LineEnd => "(?m:$)",
            Place::Word => r"\b",
            Place::NotWord => r"\B",
        }),
        Node::Group(inner, number) => {
            out.push_str(if number.is_some() { "(" } else { "(?:" });
            visit(inner, out);
            out.push(')');
        }
        Node::Atomic(inner) => {
            out.push_str("(?:");
            visit(inner, out);
            out.push(')');
        }
        Node::Concat(list) => list.iter().for_each(|n| visit(n, out)),
        Node::Alternatives(list) => {
            out.push_str("(?:");
            for (i, n) in list.iter().enumerate() {
                if i > 0 {
                    out.push('|');
                }
                visit(n, out);
            }
            out.push(')');
        }
        Node::Repeat { node, min, max, greed } => {
            out.push_str("(?:");
            visit(node, out);
            out.push(')');
            match (min, max) {
                (0, None) => out.push('*'),
                (1, None) => out.push('+'),
                (0, Some(1)) => out.push('?'),
                (min, None) => _ = write!(out, "{{{min},}}"),
                (min, Some(max)) => _ = write!(out, "{{{min},{max}}}"),
            }
            if *greed == Greed::Lazy {
                out.push('?');
            }
        }
        Node::Back(..) => out.push_str(r"[\x00-\xff]*"),
    }
}

fn push_set(set: &ByteSet, out: &mut String) {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for b in (0..=u8::MAX).filter(|b| set.has(*b)) {
        match ranges.last_mut() {
            Some((_, to)) if u16::from(*to) + 1 == u16::from(b) => *to = b,
            _ => ranges.push((b, b)),
        }
    }
    match ranges.as_slice() {
        // Matches nothing.
        [] => out.push_str(r"[^\x00-\xff]"),
        [(b, to)] if b == to => _ = write!(out, r"\x{b:02x}"),
        list => {
            out.push('[');
            for (from, to) in list {
                _ = write!(out, r"\x{from:02x}-\x{to:02x}");
            }
            out.push(']');
        }
    }
}
