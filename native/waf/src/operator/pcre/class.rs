//! Classes in brackets, and the sets of escapes.

use super::parse::{Flags, Wrong};
use crate::bytes::{ByteSet, hex};

pub(super) const DIGIT: ByteSet = ByteSet::range(b'0', b'9');
pub(super) const WORD: ByteSet = ByteSet::range(b'a', b'z')
    .or(ByteSet::range(b'A', b'Z'))
    .or(DIGIT)
    .or(ByteSet::of(b"_"));
pub(super) const SPACE: ByteSet = ByteSet::of(b" \t\n\x0b\x0c\r");
pub(super) const LINE_BREAK: ByteSet = ByteSet::of(b"\n\x0b\x0c\r\x85");
const BLANK: ByteSet = ByteSet::of(b" \t\xa0");
const ALL: ByteSet = ByteSet::range(0, 255);

pub(super) fn not(set: ByteSet) -> ByteSet {
    ByteSet(set.0.map(|w| !w))
}

/// A set with both cases of its letters, if case does not count.
pub(super) fn folded(set: ByteSet, flags: Flags) -> ByteSet {
    if !flags.ignore_case {
        return set;
    }
    // Both cases of a letter are 32 apart, in the second word.
    const UPPER: u64 = 0x07ff_fffe;
    let [a, letters, c, d] = set.0;
    ByteSet([a, letters | (letters & UPPER) << 32 | letters >> 32 & UPPER, c, d])
}

/// The set of `\d` and its like.
pub(super) fn escape_set(c: u8) -> Option<ByteSet> {
    Some(match c {
        b'd' => DIGIT,
        b'D' => not(DIGIT),
        b'w' => WORD,
        b'W' => not(WORD),
        b's' => SPACE,
        b'S' => not(SPACE),
        b'h' => BLANK,
        b'H' => not(BLANK),
        b'v' => LINE_BREAK,
        b'V' => not(LINE_BREAK),
        b'N' => not(ByteSet::of(b"\n")),
        b'C' => ALL,
        _ => return None,
    })
}

/// The byte of an escape that means one, and how many bytes it takes behind the backslash. `\1` to `\9` are for the caller.
pub(super) fn escape_byte(text: &[u8]) -> Result<(u8, usize), Wrong> {
    const TOO_LARGE: Wrong = Wrong(
        "a code point beyond FF: values are bytes",
        "write the bytes of its UTF-8 form",
    );
    let digits = |from: usize, most: usize, base: u8| {
        text[from.min(text.len())..]
            .iter()
            .take(most)
            .take_while(|b| hex(**b).is_some_and(|d| d < base))
            .count()
    };
    let number = |from: usize, count: usize, base: u32| {
        text[from..from + count].iter().fold(0u32, |n, b| {
            n.saturating_mul(base).saturating_add(u32::from(hex(*b).unwrap_or(0)))
        })
    };
    let byte = |n: u32| u8::try_from(n).map_err(|_| TOO_LARGE);
    let Some(c) = text.first().copied() else {
        return Err(Wrong("a backslash at the end", "write \\\\ for a backslash"));
    };
    Ok(match c {
        b'x' if text.get(1) == Some(&b'{') => {
            let n = digits(2, 8, 16);
            if n == 0 || text.get(2 + n) != Some(&b'}') {
                return Err(Wrong("\\x{ without digits and }", "write \\xHH"));
            }
            (byte(number(2, n, 16))?, n + 3)
        }
        b'x' => {
            let n = digits(1, 2, 16);
            (byte(number(1, n, 16))?, n + 1)
        }
        b'o' if text.get(1) == Some(&b'{') => {
            let n = digits(2, 11, 8);
            if n == 0 || text.get(2 + n) != Some(&b'}') {
                return Err(Wrong("\\o{ without digits and }", "write \\xHH"));
            }
            (byte(number(2, n, 8))?, n + 3)
        }
        b'0'..=b'7' => {
            let n = digits(0, 3, 8);
            (byte(number(0, n, 8))?, n)
        }
        b'c' => match text.get(1) {
            Some(b) => (b.to_ascii_uppercase() ^ 0x40, 2),
            None => return Err(Wrong("\\c at the end", "write the control character as \\xHH")),
        },
        b'a' => (7, 1),
        b'e' => (0x1b, 1),
        b'f' => (0x0c, 1),
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'p' | b'P' | b'X' => {
            return Err(Wrong(
                "Unicode properties: values are bytes",
                "name the bytes, as in [\\x80-\\xff]",
            ));
        }
        b => (b, 1),
    })
}

/// `[:alpha:]` and its like at the begin of a text.
fn posix(text: &[u8]) -> Option<Result<(ByteSet, usize), Wrong>> {
    let inner = text.strip_prefix(b"[:")?;
    let end = inner.windows(2).take(12).position(|w| w == b":]")?;
    let (negative, name) = match inner[..end].strip_prefix(b"^") {
        Some(name) => (true, name),
        None => (false, &inner[..end]),
    };
    if !name.iter().all(u8::is_ascii_lowercase) {
        return None;
    }
    let of = |test: fn(&u8) -> bool| {
        let mut set = ByteSet::EMPTY;
        (0..=u8::MAX).filter(test).for_each(|b| set.add(b));
        set
    };
    let set = match name {
        b"alpha" => of(u8::is_ascii_alphabetic),
        b"alnum" => of(u8::is_ascii_alphanumeric),
        b"ascii" => of(u8::is_ascii),
        b"blank" => ByteSet::of(b" \t"),
        b"cntrl" => of(u8::is_ascii_control),
        b"digit" => DIGIT,
        b"graph" => of(u8::is_ascii_graphic),
        b"lower" => of(u8::is_ascii_lowercase),
        b"print" => of(|b| (0x20..0x7f).contains(b)),
        b"punct" => of(u8::is_ascii_punctuation),
        b"space" => SPACE,
        b"upper" => of(u8::is_ascii_uppercase),
        b"word" => WORD,
        b"xdigit" => of(u8::is_ascii_hexdigit),
        _ => {
            return Some(Err(Wrong(
                "an unknown class name between [: and :]",
                "write [:alpha:] or the like",
            )));
        }
    };
    Some(Ok((if negative { not(set) } else { set }, end + 4)))
}

enum Item {
    Byte(u8),
    Set(ByteSet),
}

/// Reads a class whose opening bracket stands before `from`; gives its set and where it ends.
pub(super) fn class(text: &[u8], from: usize, flags: Flags) -> Result<(ByteSet, usize), Wrong> {
    const OPEN: Wrong = Wrong("a class is never closed", "close it with ], or write \\[ for a bracket");
    let mut i = from;
    let negative = text.get(i) == Some(&b'^');
    if negative {
        i += 1;
    }
    let first = i;
    let mut set = ByteSet::EMPTY;
    let mut quoted = false;
    loop {
        let b = *text.get(i).ok_or(OPEN)?;
        if b == b']' && i > first && !quoted {
            i += 1;
            break;
        }
        if b == b'\\' && text.get(i + 1) == Some(&b'E') {
            quoted = false;
            i += 2;
            continue;
        }
        if b == b'\\' && text.get(i + 1) == Some(&b'Q') && !quoted {
            quoted = true;
            i += 2;
            continue;
        }
        let (item, next) = item(text, i, quoted)?;
        i = next;
        let Item::Byte(low) = item else {
            if let Item::Set(s) = item {
                set = set.or(s);
            }
            continue;
        };
        let range = !quoted && text.get(i) == Some(&b'-') && text.get(i + 1).is_some_and(|b| *b != b']');
        if !range {
            set.add(low);
            continue;
        }
        match self::item(text, i + 1, false)? {
            (Item::Byte(high), next) if low <= high => {
                set = set.or(ByteSet::range(low, high));
                i = next;
            }
            (Item::Byte(_), _) => {
                return Err(Wrong(
                    "a range of a class whose end comes before its begin",
                    "write the lower byte first",
                ));
            }
            // As in [a-\d]: the minus is one.
            (Item::Set(s), next) => {
                set.add(low);
                set.add(b'-');
                set = set.or(s);
                i = next;
            }
        }
    }
    let set = folded(set, flags);
    Ok((if negative { not(set) } else { set }, i))
}

fn item(text: &[u8], at: usize, quoted: bool) -> Result<(Item, usize), Wrong> {
    match text[at] {
        _ if quoted => Ok((Item::Byte(text[at]), at + 1)),
        b'[' => match posix(&text[at..]) {
            Some(found) => found.map(|(set, used)| (Item::Set(set), at + used)),
            None => Ok((Item::Byte(b'['), at + 1)),
        },
        b'\\' => match text.get(at + 1) {
            Some(b'b') => Ok((Item::Byte(8), at + 2)),
            Some(b'N' | b'R' | b'X' | b'B') => Err(Wrong(
                "an escape that cannot stand in a class",
                "put it beside the class",
            )),
            Some(c) if let Some(set) = escape_set(*c) => Ok((Item::Set(set), at + 2)),
            _ => escape_byte(&text[at + 1..]).map(|(b, used)| (Item::Byte(b), at + 1 + used)),
        },
        b => Ok((Item::Byte(b), at + 1)),
    }
}
