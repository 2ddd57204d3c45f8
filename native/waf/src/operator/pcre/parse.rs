//! From the text of an expression to its tree.

use super::class::{LINE_BREAK, class, escape_byte, escape_set, folded};
use super::{Greed, Node, Place, Tree};
use crate::bytes::ByteSet;
use crate::seclang::diagnostic::Problem;

/// Deepest nesting of groups.
const NEST_MAX: usize = 250;
/// Most quantifiers behind one part.
const QUANTIFIERS_MAX: usize = 8;
/// Largest number in braces, as in PCRE.
const REPEAT_MAX: u32 = 65_535;
/// Most groups that capture.
const GROUPS_MAX: u32 = 5_000;

/// What is wrong, and its mend.
#[derive(Debug)]
pub(super) struct Wrong(pub &'static str, pub &'static str);

/// What `(?i)` and its like change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
    extended: bool,
    lazy: bool,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    flags: Flags,
    groups: u32,
    names: Vec<(&'a [u8], u32)>,
    depth: usize,
    special: bool,
    back_references: Vec<u32>,
}

/// Parses an expression. `.` matches line feeds.
pub fn parse(pattern: &str, ignore_case: bool, multi_line: bool) -> Result<Tree, Problem> {
    let mut p = Parser {
        text: pattern.as_bytes(),
        at: 0,
        flags: Flags {
            ignore_case,
            multi_line,
            dot_all: true,
            extended: false,
            lazy: false,
        },
        groups: 0,
        names: Vec::new(),
        depth: 0,
        special: false,
        back_references: Vec::new(),
    };
    let problem = |p: &Parser<'_>, Wrong(what, mend): Wrong| {
        Problem::new(format!("the expression is wrong at its byte {}: {what}", p.at), mend)
    };
    let node = p.alternatives().map_err(|w| problem(&p, w))?;
    if p.at < p.text.len() {
        return Err(problem(
            &p,
            Wrong("a ) that closes nothing", "write \\) for a parenthesis"),
        ));
    }
    if p.back_references.iter().any(|n| *n > p.groups) {
        return Err(problem(
            &p,
            Wrong("a back-reference to a group that does not exist", "correct its number"),
        ));
    }
    Ok(Tree {
        node,
        groups: p.groups,
        special: p.special,
        back_references: !p.back_references.is_empty(),
    })
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    fn take(&mut self, what: &[u8]) -> bool {
        let found = self.rest().starts_with(what);
        if found {
            self.at += what.len();
        }
        found
    }

    /// Up to a `)` or the end. Flags that change inside end there.
    fn alternatives(&mut self) -> Result<Node, Wrong> {
        self.depth += 1;
        if self.depth > NEST_MAX {
            return Err(Wrong("groups are nested too deeply", "use fewer groups"));
        }
        let outside = self.flags;
        let mut list = vec![self.concat()?];
        while self.take(b"|") {
            list.push(self.concat()?);
        }
        self.flags = outside;
        self.depth -= 1;
        Ok(match list.len() {
            1 => list.remove(0),
            _ => Node::Alternatives(list),
        })
    }

    fn concat(&mut self) -> Result<Node, Wrong> {
        let mut list = Vec::new();
        loop {
            if self.flags.extended {
                self.skip_extended();
            }
            match self.peek() {
                None | Some(b'|' | b')') => break,
                _ => {}
            }
            if self.take(b"\\Q") {
                let end = memchr::memmem::find(self.rest(), b"\\E");
                let text = &self.rest()[..end.unwrap_or(self.rest().len())];
                self.at += text.len() + end.map_or(0, |_| 2);
                if let Some((last, others)) = text.split_last() {
                    list.extend(others.iter().map(|b| self.byte(*b)));
                    // A quantifier belongs to the last byte.
                    let last = self.byte(*last);
                    list.push(self.repeated(last)?);
                }
                continue;
            }
            if self.take(b"\\E") {
                continue;
            }
            let Some(atom) = self.atom()? else { continue };
            list.push(self.repeated(atom)?);
        }
        Ok(match list.len() {
            0 => Node::Empty,
            1 => list.remove(0),
            _ => Node::Concat(list),
        })
    }

    fn skip_extended(&mut self) {
        while let Some(b) = self.peek() {
            if b == b'#' {
                self.at += memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
            } else if b.is_ascii_whitespace() || b == 0x0b {
                self.at += 1;
            } else {
                return;
            }
        }
    }

    fn byte(&self, b: u8) -> Node {
        Node::Byte(folded(ByteSet::of(&[b]), self.flags))
    }

    /// One part without its quantifier; `None` for what only changes how the rest is read.
    fn atom(&mut self) -> Result<Option<Node>, Wrong> {
        let Some(b) = self.peek() else { return Ok(None) };
        self.at += 1;
        Ok(Some(match b {
            b'(' => return self.group(),
            b'[' => {
                let (set, end) = class(self.text, self.at, self.flags)?;
                self.at = end;
                Node::Byte(set)
            }
            b'.' if self.flags.dot_all => Node::Byte(ByteSet::range(0, 255)),
            b'.' => Node::Byte(super::class::not(ByteSet::of(b"\n"))),
            b'^' if self.flags.multi_line => Node::Place(Place::LineStart),
            b'^' => Node::Place(Place::Start),
            b'$' if self.flags.multi_line => Node::Place(Place::LineEnd),
            b'$' => Node::Place(Place::End),
            b'\\' => self.escape()?,
            b'*' | b'+' | b'?' => {
                return Err(Wrong(
                    "a quantifier with nothing before it",
                    "write a backslash before it if it is meant",
                ));
            }
            b'{' if self.braces(self.at).is_some() => {
                return Err(Wrong("a quantifier with nothing before it", "write \\{ for a brace"));
            }
            b => self.byte(b),
        }))
    }

    fn escape(&mut self) -> Result<Node, Wrong> {
        let c = self.peek().unwrap_or(0);
        let place = match c {
            b'A' => Some(Place::Start),
            b'z' => Some(Place::End),
            b'Z' => {
                // The printed form takes the line feed with it.
                self.special = true;
                Some(Place::EndOrLastLine)
            }
            b'b' => Some(Place::Word),
            b'B' => Some(Place::NotWord),
            _ => None,
        };
        if let Some(place) = place {
            self.at += 1;
            return Ok(Node::Place(place));
        }
        if let Some(set) = escape_set(c) {
            self.at += 1;
            return Ok(Node::Byte(set));
        }
        match c {
            b'R' => {
                self.at += 1;
                let pair = Node::Concat(vec![Node::Byte(ByteSet::of(b"\r")), Node::Byte(ByteSet::of(b"\n"))]);
                Ok(Node::Alternatives(vec![pair, Node::Byte(LINE_BREAK)]))
            }
            b'G' | b'K' => Err(Wrong("\\G and \\K", "rewrite it without them")),
            b'g' | b'k' => self.named_reference(),
            b'1'..=b'9' => {
                let digits = self.rest().iter().take(3).take_while(|b| b.is_ascii_digit()).count();
                let number = self.number(digits);
                if number < 10 || number <= self.groups {
                    self.at += digits;
                    return Ok(self.reference(number));
                }
                let (b, used) = escape_byte(self.rest())?;
                self.at += used;
                Ok(self.byte(b))
            }
            _ => {
                let (b, used) = escape_byte(self.rest())?;
                self.at += used;
                Ok(self.byte(b))
            }
        }
    }

    fn number(&self, digits: usize) -> u32 {
        self.rest()[..digits].iter().fold(0u32, |n, d| {
            n.saturating_mul(10).saturating_add(u32::from(d.wrapping_sub(b'0')))
        })
    }

    fn reference(&mut self, number: u32) -> Node {
        self.special = true;
        self.back_references.push(number);
        Node::Back(number, self.flags.ignore_case)
    }

    /// `\g1`, `\g{-1}`, `\g{name}`, `\k<name>`.
    fn named_reference(&mut self) -> Result<Node, Wrong> {
        const WRONG: Wrong = Wrong("a back-reference that is not understood", "write \\1 to \\9");
        self.at += 1;
        let close = match self.peek() {
            Some(b'{') => b'}',
            Some(b'<') => b'>',
            Some(b'\'') => b'\'',
            Some(b'0'..=b'9') => {
                let digits = self.rest().iter().take(3).take_while(|b| b.is_ascii_digit()).count();
                let number = self.number(digits);
                self.at += digits;
                return Ok(self.reference(number));
            }
            _ => return Err(WRONG),
        };
        let end = memchr::memchr(close, &self.rest()[1..]).ok_or(WRONG)?;
        let name = &self.rest()[1..=end];
        let number = match std::str::from_utf8(name).ok().and_then(|n| n.parse::<i64>().ok()) {
            Some(n) if n < 0 => u32::try_from(i64::from(self.groups) + 1 + n).map_err(|_| WRONG)?,
            Some(n) => u32::try_from(n).map_err(|_| WRONG)?,
            None => self.names.iter().find(|(n, _)| *n == name).ok_or(WRONG)?.1,
        };
        if number == 0 {
            return Err(WRONG);
        }
        self.at += end + 2;
        Ok(self.reference(number))
    }

    /// A group whose opening parenthesis has been read.
    fn group(&mut self) -> Result<Option<Node>, Wrong> {
        if self.peek() == Some(b'*') {
            return Err(Wrong("a verb of PCRE such as (*ANY)", "rewrite it without"));
        }
        let looks: [(&[u8], bool, bool); 4] = [
            (b"?=", true, false),
            (b"?!", true, true),
            (b"?<=", false, false),
            (b"?<!", false, true),
        ];
        if let Some((_, ahead, negative)) = looks.into_iter().find(|(mark, ..)| self.rest().starts_with(mark)) {
            self.at += if ahead { 2 } else { 3 };
            self.special = true;
            let node = Box::new(self.closed()?);
            return Ok(Some(Node::Look { node, ahead, negative }));
        }
        if self.take(b"?>") {
            self.special = true;
            return Ok(Some(Node::Atomic(Box::new(self.closed()?))));
        }
        if self.take(b"?#") {
            let end = memchr::memchr(b')', self.rest()).ok_or(Wrong("a comment is never closed", "close it with )"))?;
            self.at += end + 1;
            return Ok(None);
        }
        if self.take(b"?:") {
            return Ok(Some(Node::Group(Box::new(self.closed()?), None)));
        }
        for (mark, close) in [(&b"?P<"[..], b'>'), (b"?<", b'>'), (b"?'", b'\'')] {
            if self.take(mark) {
                let end =
                    memchr::memchr(close, self.rest()).ok_or(Wrong("a group's name is never closed", "close it"))?;
                let name = &self.rest()[..end];
                self.at += end + 1;
                return self.capture(Some(name));
            }
        }
        if self.take(b"?") {
            return self.flags();
        }
        self.capture(None)
    }

    fn capture(&mut self, name: Option<&'a [u8]>) -> Result<Option<Node>, Wrong> {
        self.groups += 1;
        if self.groups > GROUPS_MAX {
            return Err(Wrong("too many groups", "write (?:…) where nothing is captured"));
        }
        let number = self.groups;
        if let Some(name) = name {
            self.names.push((name, number));
        }
        Ok(Some(Node::Group(Box::new(self.closed()?), Some(number))))
    }

    fn closed(&mut self) -> Result<Node, Wrong> {
        let node = self.alternatives()?;
        if !self.take(b")") {
            return Err(Wrong(
                "a group is never closed",
                "close it with ), or write \\( for a parenthesis",
            ));
        }
        Ok(node)
    }

    /// `(?i)` and `(?i:…)`, behind the question mark.
    fn flags(&mut self) -> Result<Option<Node>, Wrong> {
        let mut flags = self.flags;
        let mut on = true;
        loop {
            let b = self.peek();
            self.at += 1;
            match b {
                Some(b'-') => on = false,
                Some(b'i') => flags.ignore_case = on,
                Some(b'm') => flags.multi_line = on,
                Some(b's') => flags.dot_all = on,
                Some(b'x') => flags.extended = on,
                Some(b'U') => flags.lazy = on,
                // Names may repeat; groups are numbered all the same.
                Some(b'J') => {}
                Some(b')') => {
                    self.flags = flags;
                    return Ok(None);
                }
                Some(b':') => {
                    let outside = std::mem::replace(&mut self.flags, flags);
                    let node = self.closed()?;
                    self.flags = outside;
                    return Ok(Some(Node::Group(Box::new(node), None)));
                }
                _ => {
                    self.at -= 1;
                    return Err(Wrong(
                        "a kind of group that is not understood (conditions, recursion and branch reset are not)",
                        "rewrite it without",
                    ));
                }
            }
        }
    }

    /// The quantifiers behind a part.
    fn repeated(&mut self, mut node: Node) -> Result<Node, Wrong> {
        for _ in 0..=QUANTIFIERS_MAX {
            if self.flags.extended {
                self.skip_extended();
            }
            let (min, max) = match self.peek() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => match self.braces(self.at + 1) {
                    Some((min, max, end)) => {
                        self.at = end - 1;
                        (min, max)
                    }
                    None => return Ok(node),
                },
                _ => return Ok(node),
            };
            self.at += 1;
            if max.is_some_and(|m| m < min) || min > REPEAT_MAX || max.is_some_and(|m| m > REPEAT_MAX) {
                return Err(Wrong(
                    "a repetition whose numbers are wrong",
                    "write the smaller number first",
                ));
            }
            let greed = match self.peek() {
                Some(b'+') => Greed::Possessive,
                Some(b'?') if self.flags.lazy => Greed::Greedy,
                Some(b'?') => Greed::Lazy,
                _ if self.flags.lazy => Greed::Lazy,
                _ => Greed::Greedy,
            };
            if matches!(self.peek(), Some(b'+' | b'?')) {
                self.at += 1;
            }
            self.special |= greed == Greed::Possessive;
            node = Node::Repeat {
                node: Box::new(node),
                min,
                max,
                greed,
            };
        }
        Err(Wrong("too many quantifiers behind one another", "write one"))
    }

    /// `n}`, `n,}` or `n,m}` at a position, and where it ends. Anything else is text.
    fn braces(&self, from: usize) -> Option<(u32, Option<u32>, usize)> {
        let digits = |at: usize| {
            self.text[at.min(self.text.len())..]
                .iter()
                .take(6)
                .take_while(|b| b.is_ascii_digit())
                .count()
        };
        let read = |at: usize, n: usize| std::str::from_utf8(&self.text[at..at + n]).ok()?.parse::<u32>().ok();
        let n = digits(from);
        let min = read(from, n)?;
        let mut at = from + n;
        let mut max = Some(min);
        if self.text.get(at) == Some(&b',') {
            at += 1;
            let n = digits(at);
            max = if n == 0 { None } else { Some(read(at, n)?) };
            at += n;
        }
        (self.text.get(at) == Some(&b'}')).then_some((min, max, at + 1))
    }
}
