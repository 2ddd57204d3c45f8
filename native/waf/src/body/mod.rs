//! Reading bodies. Each parser is a function from bytes to calls of a [`Sink`]; none of them recurses, copies the
//! whole, or trusts a length that the client wrote.

pub mod json;
pub mod multipart;
mod part;
pub mod urlencoded;
pub mod xml;

use crate::bytes::hex_pair;
use crate::engine::Limit;
use crate::seclang::variable::Var;

/// Where parsers put what they find.
pub trait Sink {
    /// An argument. False when there is no room for more: the parser must stop.
    fn argument(&mut self, name: &[u8], value: &[u8]) -> bool;
    /// A value of another variable.
    fn item(&mut self, var: Var, key: &[u8], value: &[u8]);
    /// Sets a flag variable to 1.
    fn flag(&mut self, var: Var);
    /// Sets a variable to a number.
    fn number(&mut self, var: Var, n: i64);
    /// A bound was passed.
    fn exceed(&mut self, limit: Limit);
    /// The error that follows is that the text ends: of a body of which only the begin is here, nothing else was to be expected.
    fn cut(&mut self) {}
}

/// Appends the text with its `%HH` escapes decoded; wrong escapes stay.
pub fn percent_decode(text: &[u8], out: &mut Vec<u8>) {
    let mut i = 0;
    while i < text.len() {
        match (text[i], hex_pair(text, i + 1)) {
            (b'%', Some(b)) => {
                out.push(b);
                i += 3;
            }
            (b, _) => {
                out.push(b);
                i += 1;
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Collects everything as text.
    #[derive(Default)]
    pub struct Collected {
        pub arguments: Vec<(String, String)>,
        pub items: Vec<(Var, String, String)>,
        pub flags: Vec<Var>,
        pub room: usize,
        pub cut: bool,
    }

    impl Sink for Collected {
        fn argument(&mut self, name: &[u8], value: &[u8]) -> bool {
            if self.arguments.len() >= self.room {
                return false;
            }
            self.arguments.push((
                String::from_utf8_lossy(name).into(),
                String::from_utf8_lossy(value).into(),
            ));
            true
        }
        fn item(&mut self, var: Var, key: &[u8], value: &[u8]) {
            self.items.push((
                var,
                String::from_utf8_lossy(key).into(),
                String::from_utf8_lossy(value).into(),
            ));
        }
        fn flag(&mut self, var: Var) {
            self.flags.push(var);
        }
        fn number(&mut self, _: Var, _: i64) {}
        fn exceed(&mut self, _: Limit) {}
        fn cut(&mut self) {
            self.cut = true;
        }
    }

    pub fn collected() -> Collected {
        Collected {
            room: 1000,
            ..Collected::default()
        }
    }

    proptest::proptest! {
        #[test]
        fn parsers_never_panic_and_stop_when_told(
            bytes in proptest::collection::vec(proptest::sample::select(b"{}[]\",:a1\\u00e9<>/!?-= \r\n&%+;\xff--bX".to_vec()), 0..300),
            room in 0usize..5
        ) {
            for parser in 0..4 {
                let mut c = Collected { room, ..Collected::default() };
                match parser {
                    0 => urlencoded::parse(&bytes, b'&', &mut Default::default(), &mut c),
                    1 => { let _ = json::parse(&bytes, 8, &mut Default::default(), &mut c); }
                    2 => { let _ = multipart::parse(&bytes, b"multipart/form-data; boundary=bX", 3, &mut c); }
                    _ => { let _ = xml::parse(&bytes, &mut c); }
                }
                proptest::prop_assert!(c.arguments.len() <= room);
            }
        }
    }
}
