//! SQL injection: tokens, folded to a fingerprint that a list knows.

mod fingerprint;
mod fold;
mod pairs;
mod scan;
mod strings;
mod tables;
mod token;
mod triples;
mod words;

pub use fingerprint::Fingerprint;
use fingerprint::Reading;
use scan::{Dialect, Quote};

/// What was found.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The fingerprint of the attack; `None` when there is none.
    pub fingerprint: Option<Fingerprint>,
    /// Bytes read, all readings together: at most five times the length of the value.
    pub bytes_read: u64,
}

/// Whether a byte is one without which nothing is found: a value of word bytes alone is at most two numbers or names and a word,
/// and no fingerprint of such is one of an attack.
pub const fn is_needed(byte: u8) -> bool {
    !matches!(byte, b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80..=0x9f | 0xa1..=0xff)
}

/// Looks for SQL injection in a value.
pub fn detect(value: &[u8]) -> Answer {
    let mut search = Search { value, bytes_read: 0 };
    Answer {
        fingerprint: search.all(),
        bytes_read: search.bytes_read,
    }
}

struct Search<'a> {
    value: &'a [u8],
    bytes_read: u64,
}

impl Search<'_> {
    fn all(&mut self) -> Option<Fingerprint> {
        if self.value.is_empty() {
            return None;
        }
        if let Some(found) = self.both_dialects(Quote::None) {
            return Some(found);
        }
        if self.value.contains(&b'\'')
            && let Some(found) = self.both_dialects(Quote::Single)
        {
            return Some(found);
        }
        if self.value.contains(&b'"') {
            return self.read(Quote::Double, Dialect::MySql).attack();
        }
        None
    }

    /// Reads in standard SQL, and where that saw comments which MySQL reads otherwise, in its dialect too.
    fn both_dialects(&mut self, quote: Quote) -> Option<Fingerprint> {
        let standard = self.read(quote, Dialect::Ansi);
        if let Some(found) = standard.attack() {
            return Some(found);
        }
        if standard.other_in_mysql() {
            return self.read(quote, Dialect::MySql).attack();
        }
        None
    }

    fn read(&mut self, quote: Quote, dialect: Dialect) -> Reading<'_> {
        let reading = Reading::of(self.value, quote, dialect);
        self.bytes_read += reading.bytes_read();
        reading
    }
}

#[cfg(test)]
mod tests;
