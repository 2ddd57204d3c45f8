//! A tree as a program for the matcher.

use super::{Greed, Node, Place, Tree};
use crate::bytes::ByteSet;
use crate::seclang::diagnostic::Problem;

/// Most instructions.
const OPS_MAX: usize = 50_000;

/// One instruction. Numbers are places in the program.
#[derive(Debug)]
pub(super) enum Op {
    /// One byte of a set.
    Byte(ByteSet),
    /// A condition.
    Place(Place),
    /// Notes the position.
    Save(u32),
    /// The first, and when it fails the second.
    Split(u32, u32),
    /// Goes on elsewhere.
    Jump(u32),
    /// Notes where a round begins.
    Round(u32),
    /// Leaves the loop when the round took nothing.
    Empty(u32, u32),
    /// What follows up to its `Match` must (not) match here; goes on behind it.
    Ahead { negative: bool, end: u32 },
    /// One of the parts, with their lengths, must (not) match just before.
    Behind {
        negative: bool,
        parts: Vec<(usize, u32)>,
        end: u32,
    },
    /// What follows up to its `Match` matches in its first way only.
    Atomic { end: u32 },
    /// What a group matched; whether case does not count.
    Back(u32, bool),
    /// The end.
    Match,
}

/// A compiled tree.
#[derive(Debug)]
pub struct Program {
    pub(super) ops: Vec<Op>,
    pub(super) groups: u32,
    pub(super) rounds: u32,
    pub(super) back_references: bool,
    /// It can match only at the begin.
    pub(super) anchored: bool,
}

impl Program {
    /// Compiles a tree.
    pub fn new(tree: &Tree) -> Result<Self, Problem> {
        let mut p = Self {
            ops: Vec::new(),
            groups: tree.groups + 1,
            rounds: 0,
            back_references: tree.back_references,
            anchored: begins_at_start(&tree.node),
        };
        p.node(&tree.node)?;
        p.push(Op::Match)?;
        Ok(p)
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.ops.len() * size_of::<Op>()
    }

    fn here(&self) -> u32 {
        u32::try_from(self.ops.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, op: Op) -> Result<usize, Problem> {
        if self.ops.len() >= OPS_MAX {
            return Err(Problem::new(
                "the expression is too large",
                "use smaller counted repetitions",
            ));
        }
        self.ops.push(op);
        Ok(self.ops.len() - 1)
    }

    fn node(&mut self, node: &Node) -> Result<(), Problem> {
        match node {
            Node::Empty => {}
            Node::Byte(set) => drop(self.push(Op::Byte(*set))?),
            Node::Place(place) => drop(self.push(Op::Place(*place))?),
            Node::Back(group, fold) => drop(self.push(Op::Back(*group, *fold))?),
            Node::Group(inner, None) => self.node(inner)?,
            Node::Group(inner, Some(n)) => {
                self.push(Op::Save(n * 2))?;
                self.node(inner)?;
                self.push(Op::Save(n * 2 + 1))?;
            }
            Node::Concat(list) => {
                for n in list {
                    self.node(n)?;
                }
            }
            Node::Alternatives(list) => self.alternatives(list)?,
            Node::Repeat { node, min, max, greed } => {
                if *greed == Greed::Possessive {
                    let at = self.push(Op::Atomic { end: 0 })?;
                    self.repeat(node, *min, *max, true)?;
                    self.push(Op::Match)?;
                    self.ops[at] = Op::Atomic { end: self.here() };
                } else {
                    self.repeat(node, *min, *max, *greed == Greed::Greedy)?;
                }
            }
            Node::Atomic(inner) => {
                let at = self.push(Op::Atomic { end: 0 })?;
                self.node(inner)?;
                self.push(Op::Match)?;
                self.ops[at] = Op::Atomic { end: self.here() };
            }
            Node::Look { node, ahead, negative } => self.look(node, *ahead, *negative)?,
        }
        Ok(())
    }

    fn alternatives(&mut self, list: &[Node]) -> Result<(), Problem> {
        let mut ends = Vec::new();
        for (i, n) in list.iter().enumerate() {
            if i + 1 == list.len() {
                self.node(n)?;
                break;
            }
            let split = self.push(Op::Jump(0))?;
            self.node(n)?;
            ends.push(self.push(Op::Jump(0))?);
            self.ops[split] = Op::Split(u32::try_from(split + 1).unwrap_or(u32::MAX), self.here());
        }
        for end in ends {
            self.ops[end] = Op::Jump(self.here());
        }
        Ok(())
    }

    fn repeat(&mut self, node: &Node, min: u32, max: Option<u32>, greedy: bool) -> Result<(), Problem> {
        let split = |body: u32, out: u32| {
            if greedy {
                Op::Split(body, out)
            } else {
                Op::Split(out, body)
            }
        };
        for _ in 0..min {
            self.node(node)?;
        }
        let Some(max) = max else {
            let round = self.rounds;
            self.rounds += 1;
            let at = self.push(Op::Jump(0))?;
            self.push(Op::Round(round))?;
            self.node(node)?;
            let check = self.push(Op::Jump(0))?;
            self.push(Op::Jump(u32::try_from(at).unwrap_or(u32::MAX)))?;
            let out = self.here();
            self.ops[at] = split(u32::try_from(at + 1).unwrap_or(u32::MAX), out);
            self.ops[check] = Op::Empty(round, out);
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.push(Op::Jump(0))?);
            self.node(node)?;
        }
        let out = self.here();
        for at in splits {
            self.ops[at] = split(u32::try_from(at + 1).unwrap_or(u32::MAX), out);
        }
        Ok(())
    }

    fn look(&mut self, node: &Node, ahead: bool, negative: bool) -> Result<(), Problem> {
        let at = self.push(Op::Jump(0))?;
        if ahead {
            self.node(node)?;
            self.push(Op::Match)?;
            self.ops[at] = Op::Ahead {
                negative,
                end: self.here(),
            };
            return Ok(());
        }
        let mut inner = node;
        while let Node::Group(g, None) = inner {
            inner = g;
        }
        let list = match inner {
            Node::Alternatives(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut parts = Vec::new();
        for n in list {
            let Some(length) = length(n) else {
                return Err(Problem::new(
                    "the expression looks behind at something of no fixed length",
                    "give each alternative of the look-behind one length",
                ));
            };
            parts.push((length, self.here()));
            self.node(n)?;
            self.push(Op::Match)?;
        }
        self.ops[at] = Op::Behind {
            negative,
            parts,
            end: self.here(),
        };
        Ok(())
    }
}

/// The bytes that every match takes, if they are always as many.
fn length(node: &Node) -> Option<usize> {
    match node {
        Node::Empty | Node::Place(_) | Node::Look { .. } => Some(0),
        Node::Byte(_) => Some(1),
        Node::Group(inner, _) | Node::Atomic(inner) => length(inner),
        Node::Concat(list) => list.iter().map(length).sum(),
        Node::Alternatives(list) => {
            let first = length(list.first()?)?;
            list.iter().all(|n| length(n) == Some(first)).then_some(first)
        }
        Node::Repeat { node, min, max, .. } => match max {
            Some(max) if max == min => length(node)?.checked_mul(usize::try_from(*min).ok()?),
            _ => None,
        },
        Node::Back(..) => None,
    }
}

fn begins_at_start(node: &Node) -> bool {
    match node {
        Node::Place(Place::Start) => true,
        Node::Group(inner, _) | Node::Atomic(inner) => begins_at_start(inner),
        Node::Concat(list) => list.first().is_some_and(begins_at_start),
        Node::Alternatives(list) => list.iter().all(begins_at_start),
        _ => false,
    }
}
