//! `application/x-www-form-urlencoded`, and queries.

use super::Sink;

/// Names and values, decoded once; a pair without `=` is a name with an empty value. `room` is scratch memory.
pub fn parse(text: &[u8], separator: u8, room: &mut [Vec<u8>; 2], sink: &mut dyn Sink) {
    if text.is_empty() {
        return;
    }
    let [name_text, value_text] = room;
    let mut rest = Some(text);
    while let Some(text) = rest {
        let pair = match memchr::memchr(separator, text) {
            Some(at) => {
                rest = Some(&text[at + 1..]);
                &text[..at]
            }
            None => {
                rest = None;
                text
            }
        };
        if pair.is_empty() {
            continue;
        }
        let (name, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (&pair[..at], &pair[at + 1..]),
            None => (pair, &b""[..]),
        };
        let name = decoded(name, name_text);
        let value = decoded(value, value_text);
        if !sink.argument(name, value) {
            return;
        }
    }
}

/// The text itself when there is nothing to decode.
fn decoded<'a>(text: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return text;
    }
    room.clear();
    crate::transform::url_decode(text, room);
    room
}

#[cfg(test)]
mod tests {
    use super::super::tests::collected;
    use super::*;

    #[test]
    fn pairs_are_split_and_decoded() {
        let mut c = collected();
        parse(b"a=1&b=%41+b&c&=x&&d=e=f&%zz=%", b'&', &mut Default::default(), &mut c);
        let want = [
            ("a", "1"),
            ("b", "A b"),
            ("c", ""),
            ("", "x"),
            ("d", "e=f"),
            ("%zz", "%"),
        ];
        assert_eq!(c.arguments, want.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }
}
