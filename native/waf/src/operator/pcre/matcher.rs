//! Runs a program with backtracking, in the order in which Perl tries, within a number of steps. Where nothing is referred
//! back to, no state is tried twice at one position.

use std::ops::Range;

use super::Place;
use super::class::WORD;
use super::program::{Op, Program};

/// Steps that any search may take, and those for each byte of the value.
const STEPS_BASE: u64 = 100_000;
const STEPS_PER_BYTE: u64 = 500;
/// Most steps of a search.
const STEPS_MAX: u64 = 4_000_000;
/// Most bits of tried states.
const TRIED_BITS_MAX: usize = 4 << 20;

/// The search was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySteps;

/// Scratch memory of one thread.
#[derive(Default)]
pub struct Scratch {
    stack: Vec<Frame>,
    slots: Vec<usize>,
    rounds: Vec<usize>,
    tried: Vec<u64>,
}

impl Scratch {
    /// Bytes in use.
    pub fn memory_bytes(&self) -> usize {
        self.stack.capacity() * size_of::<Frame>()
            + (self.slots.capacity() + self.rounds.capacity() + self.tried.capacity()) * 8
    }

    /// The groups of the last match.
    pub fn groups(&self) -> impl Iterator<Item = Option<Range<usize>>> {
        let (pairs, _) = self.slots.as_chunks::<2>();
        pairs
            .iter()
            .map(|[a, b]| (*a != NONE && *b != NONE && a <= b).then_some(*a..*b))
    }
}

const NONE: usize = usize::MAX;

enum Frame {
    /// Another way.
    Try(u32, usize),
    /// What a slot held.
    Slot(u32, usize),
    /// Where a round began.
    Round(u32, usize),
}

struct Run<'a> {
    program: &'a Program,
    value: &'a [u8],
    scratch: &'a mut Scratch,
    steps: u64,
    steps_max: u64,
    use_tried: bool,
}

/// The first match at or behind a position. Its groups are left in the scratch memory. `work` grows with the steps.
pub fn search(
    program: &Program,
    value: &[u8],
    from: usize,
    scratch: &mut Scratch,
    work: &mut u64,
) -> Result<bool, TooManySteps> {
    let bits = program.ops.len().saturating_mul(value.len() + 1);
    let use_tried = !program.back_references && bits <= TRIED_BITS_MAX;
    scratch.tried.clear();
    if use_tried {
        scratch.tried.resize(bits.div_ceil(64), 0);
        *work += bits as u64 / 256;
    }
    let mut run = Run {
        program,
        value,
        scratch,
        steps: 0,
        steps_max: (STEPS_BASE + STEPS_PER_BYTE * value.len() as u64).min(STEPS_MAX),
        use_tried,
    };
    let mut found = Ok(false);
    let last = if program.anchored { 0 } else { value.len() };
    for start in from..=last.max(from) {
        run.scratch.stack.clear();
        run.scratch.slots.clear();
        run.scratch.slots.resize(program.groups as usize * 2, NONE);
        run.scratch.rounds.clear();
        run.scratch.rounds.resize(program.rounds as usize, NONE);
        match run.run(0, start, true) {
            Ok(None) => {}
            Ok(Some(end)) => {
                run.scratch.slots[0] = start;
                run.scratch.slots[1] = end;
                found = Ok(true);
                break;
            }
            Err(e) => {
                found = Err(e);
                break;
            }
        }
    }
    *work += run.steps * 2;
    found
}

impl Run<'_> {
    /// Runs from an instruction to its `Match`; the position there. Ways not taken are forgotten, what slots held is not.
    fn run(&mut self, pc: u32, at: usize, outer: bool) -> Result<Option<usize>, TooManySteps> {
        let base = self.scratch.stack.len();
        let (mut pc, mut at) = (pc, at);
        loop {
            self.steps += 1;
            if self.steps > self.steps_max {
                return Err(TooManySteps);
            }
            match self.step(pc, at, outer)? {
                Next::Go(next_pc, next_at) => (pc, at) = (next_pc, next_at),
                Next::Done => {
                    self.forget_ways(base);
                    return Ok(Some(at));
                }
                Next::Fail => match self.back(base) {
                    Some(way) => (pc, at) = way,
                    None => return Ok(None),
                },
            }
        }
    }

    /// The last way that was not taken.
    fn back(&mut self, base: usize) -> Option<(u32, usize)> {
        while self.scratch.stack.len() > base {
            match self.scratch.stack.pop() {
                Some(Frame::Try(pc, at)) => return Some((pc, at)),
                Some(Frame::Slot(slot, old)) => self.scratch.slots[slot as usize] = old,
                Some(Frame::Round(round, old)) => self.scratch.rounds[round as usize] = old,
                None => {}
            }
        }
        None
    }

    fn forget_ways(&mut self, base: usize) {
        let mut kept = base;
        for i in base..self.scratch.stack.len() {
            if !matches!(self.scratch.stack[i], Frame::Try(..)) {
                self.scratch.stack.swap(kept, i);
                kept += 1;
            }
        }
        self.scratch.stack.truncate(kept);
    }

    fn step(&mut self, pc: u32, at: usize, outer: bool) -> Result<Next, TooManySteps> {
        let program = self.program;
        let next = Next::Go(pc + 1, at);
        Ok(match &program.ops[pc as usize] {
            Op::Byte(set) => match self.value.get(at) {
                Some(b) if set.has(*b) => Next::Go(pc + 1, at + 1),
                _ => Next::Fail,
            },
            Op::Place(place) => {
                if holds(*place, self.value, at) {
                    next
                } else {
                    Next::Fail
                }
            }
            Op::Save(slot) => {
                let held = std::mem::replace(&mut self.scratch.slots[*slot as usize], at);
                self.scratch.stack.push(Frame::Slot(*slot, held));
                next
            }
            Op::Split(first, second) => {
                if outer && self.use_tried && !self.try_once(pc, at) {
                    return Ok(Next::Fail);
                }
                self.scratch.stack.push(Frame::Try(*second, at));
                Next::Go(*first, at)
            }
            Op::Jump(to) => Next::Go(*to, at),
            Op::Round(round) => {
                let held = std::mem::replace(&mut self.scratch.rounds[*round as usize], at);
                self.scratch.stack.push(Frame::Round(*round, held));
                next
            }
            Op::Empty(round, out) => {
                if self.scratch.rounds[*round as usize] == at {
                    Next::Go(*out, at)
                } else {
                    next
                }
            }
            Op::Atomic { end } => match self.run(pc + 1, at, false)? {
                Some(to) => Next::Go(*end, to),
                None => Next::Fail,
            },
            Op::Ahead { negative, end } => self.look(*negative, &[(0, pc + 1)], at, *end)?,
            Op::Behind { negative, parts, end } => self.look(*negative, parts, at, *end)?,
            Op::Back(group, fold) => self.back_reference(*group, *fold, pc, at),
            Op::Match => Next::Done,
        })
    }

    fn look(&mut self, negative: bool, parts: &[(usize, u32)], at: usize, end: u32) -> Result<Next, TooManySteps> {
        let base = self.scratch.stack.len();
        let mut found = false;
        for (length, pc) in parts {
            let Some(from) = at.checked_sub(*length) else { continue };
            if self.run(*pc, from, false)?.is_some() {
                found = true;
                break;
            }
        }
        if found && negative {
            // Groups of what must not be there are not kept.
            self.back(base);
        }
        Ok(if found == negative {
            Next::Fail
        } else {
            Next::Go(end, at)
        })
    }

    fn back_reference(&self, group: u32, fold: bool, pc: u32, at: usize) -> Next {
        let slot = group as usize * 2;
        let (Some(from), Some(to)) = (self.scratch.slots.get(slot), self.scratch.slots.get(slot + 1)) else {
            return Next::Fail;
        };
        // A group that took no part matches nothing.
        if *from == NONE || *to == NONE || from > to {
            return Next::Fail;
        }
        let text = &self.value[*from..*to];
        let same = |there: &&[u8]| {
            if fold {
                there.eq_ignore_ascii_case(text)
            } else {
                *there == text
            }
        };
        match self.value.get(at..at + text.len()).filter(same) {
            Some(_) => Next::Go(pc + 1, at + text.len()),
            None => Next::Fail,
        }
    }

    /// False when the state was tried before.
    fn try_once(&mut self, pc: u32, at: usize) -> bool {
        let bit = pc as usize * (self.value.len() + 1) + at;
        let word = &mut self.scratch.tried[bit / 64];
        let new = *word >> (bit % 64) & 1 == 0;
        *word |= 1 << (bit % 64);
        new
    }
}

enum Next {
    Go(u32, usize),
    Fail,
    Done,
}

fn holds(place: Place, value: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|i| value.get(i));
    let after = value.get(at);
    let word = |b: Option<&u8>| b.is_some_and(|b| WORD.has(*b));
    match place {
        Place::Start => at == 0,
        Place::End => at == value.len(),
        Place::EndOrLastLine => at == value.len() || (at + 1 == value.len() && after == Some(&b'\n')),
        Place::LineStart => at == 0 || before == Some(&b'\n'),
        Place::LineEnd => at == value.len() || after == Some(&b'\n'),
        Place::Word => word(before) != word(after),
        Place::NotWord => word(before) == word(after),
    }
}
