//! All path patterns of all hosts as one tree of segments: built with maps, then laid flat and numbered in candidate order.

use crate::path::{End, Pattern, Segment};
use std::collections::BTreeMap;
use std::ops::Range;

/// A tree under construction; what hangs at a node are drafts of entries, by the way in which their pattern ends.
#[derive(Default)]
pub(crate) struct Branch<T> {
    statics: BTreeMap<Box<[u8]>, Branch<T>>,
    param: Option<Box<Branch<T>>>,
    closed: Vec<T>,
    rest: Vec<T>,
    open: Vec<T>,
}

impl<T: Default> Branch<T> {
    pub fn insert(&mut self, pattern: &Pattern, draft: T) {
        let mut at = self;
        for segment in &pattern.segments {
            at = match segment {
                Segment::Static(text) => at.statics.entry(text.as_slice().into()).or_default(),
                Segment::Param => at.param.get_or_insert_default(),
            };
        }
        match pattern.end {
            End::Closed => at.closed.push(draft),
            End::Rest => at.rest.push(draft),
            End::Open => at.open.push(draft),
        }
    }
}

/// No node: node 0 is always a root and nobody's child.
const NONE: u32 = 0;

#[derive(Default)]
struct Node {
    /// Child of a parameter.
    param: u32,
    has_statics: bool,
    closed: Range<u32>,
    rest: Range<u32>,
    open: Range<u32>,
    /// One after the last entry at or below this node.
    end: u32,
}

/// An edge to a static child. Parent 0xFFFF_FFFF marks a free place.
#[derive(Clone, Copy)]
struct Edge {
    hash: u32,
    parent: u32,
    child: u32,
    text_at: u32,
    text_bytes: u32,
}

const FREE: Edge = Edge {
    hash: 0,
    parent: u32::MAX,
    child: 0,
    text_at: 0,
    text_bytes: 0,
};

/// The flat form. Static children of all nodes share one open-addressing table (a power of two, at most half full), so a node with
/// 50,000 children costs what one with two does.
#[derive(Default)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    texts: Vec<u8>,
    pending: Vec<Edge>,
}

impl Tree {
    /// Lays a branch flat and answers its root. `number` is given each list of drafts in candidate order and answers its entries.
    pub fn add<T>(&mut self, branch: Branch<T>, number: &mut impl FnMut(Vec<T>) -> Range<u32>) -> u32 {
        let at = self.nodes.len();
        self.nodes.push(Node {
            has_statics: !branch.statics.is_empty(),
            ..Node::default()
        });
        let id = small(at);
        for (text, child) in branch.statics {
            let text_at = small(self.texts.len());
            self.texts.extend_from_slice(&text);
            let child = self.add(child, number);
            self.pending.push(Edge {
                hash: hash(id, &text),
                parent: id,
                child,
                text_at,
                text_bytes: small(text.len()),
            });
        }
        let param = branch.param.map_or(NONE, |child| self.add(*child, number));
        let closed = number(branch.closed);
        let rest = number(branch.rest);
        let open = number(branch.open);
        let node = &mut self.nodes[at];
        *node = Node {
            param,
            end: open.end,
            closed,
            rest,
            open,
            has_statics: node.has_statics,
        };
        id
    }

    /// Builds the table of edges; called once, after the last `add`.
    pub fn seal(&mut self) {
        let places = (self.pending.len() * 2).next_power_of_two();
        self.edges = vec![FREE; places];
        for edge in std::mem::take(&mut self.pending) {
            let mut place = edge.hash as usize & (places - 1);
            while self.edges[place].parent != u32::MAX {
                place = (place + 1) & (places - 1);
            }
            self.edges[place] = edge;
        }
        self.texts.shrink_to_fit();
        self.nodes.shrink_to_fit();
    }

    /// Calls `visit` with every run of entries that match a path, in candidate order, until it says stop (true). Subtrees that
    /// lie before `cursor` are not entered.
    pub fn walk(&self, root: u32, path: &[u8], cursor: u32, visit: &mut impl FnMut(&Range<u32>) -> bool) -> bool {
        path.first() == Some(&b'/') && self.step(root, Some(&path[1..]), cursor, visit)
    }

    /// Depth is bounded by SEGMENTS_MAX, and no node is entered twice for one path.
    fn step(&self, at: u32, left: Option<&[u8]>, cursor: u32, visit: &mut impl FnMut(&Range<u32>) -> bool) -> bool {
        let node = &self.nodes[at as usize];
        if node.end <= cursor {
            return false;
        }
        let Some(left) = left else {
            return visit(&node.closed) || visit(&node.open);
        };
        if node.has_statics || node.param != NONE {
            let (segment, left) = match memchr::memchr(b'/', left) {
                Some(slash) => (&left[..slash], Some(&left[slash + 1..])),
                None => (left, None),
            };
            if node.has_statics
                && let Some(child) = self.child(at, segment)
                && self.step(child, left, cursor, visit)
            {
                return true;
            }
            if node.param != NONE && !segment.is_empty() && self.step(node.param, left, cursor, visit) {
                return true;
            }
        }
        visit(&node.rest) || visit(&node.open)
    }

    fn child(&self, parent: u32, segment: &[u8]) -> Option<u32> {
        let hash = hash(parent, segment);
        let mask = self.edges.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let edge = &self.edges[place];
            if edge.parent == u32::MAX {
                return None;
            }
            if edge.hash == hash && edge.parent == parent {
                let from = edge.text_at as usize;
                if &self.texts[from..from + edge.text_bytes as usize] == segment {
                    return Some(edge.child);
                }
            }
            place = (place + 1) & mask;
        }
    }
}

/// Multiplies eight bytes at a time. Not keyed: only the operator puts segments into the table, so a client that finds collisions gets a
/// longer probe within one cluster of a half-empty table and no more.
fn hash(parent: u32, segment: &[u8]) -> u32 {
    const K: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut h = (u64::from(parent) ^ (segment.len() as u64) << 32).wrapping_mul(K);
    let (words, tail) = segment.as_chunks::<8>();
    for word in words {
        h = (h.rotate_left(23) ^ u64::from_le_bytes(*word)).wrapping_mul(K);
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    h = (h.rotate_left(23) ^ u64::from_le_bytes(last)).wrapping_mul(K);
    (h >> 32) as u32 ^ h as u32
}

/// Counts here are bounded far below 2³² by the limits of the crate.
fn small(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
