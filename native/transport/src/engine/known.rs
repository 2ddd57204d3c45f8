//! Fields of heads as HTTP/2 wants them. Most of what a gateway says it has said before: a field line that was said lately is looked up here instead of being read, copied and checked
//! again. What was said only once, such as a request id, gets no place, here or in the tables of peers; nor do secrets.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, SET_COOKIE};

use super::lines::{self, field_lines, sized};

/// Lines that are kept of each direction. A power of two.
const LINES: usize = 256;
/// Longest line that is.
const LINE_BYTES_MAX: usize = 256;

/// What they hold is in no table (RFC 7541 §7.1.3).
static SECRETS: [HeaderName; 4] = [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE, SET_COOKIE];

#[derive(Default)]
struct Place {
    /// Hash of the line that asked for this place last.
    asked: u32,
    line: Box<[u8]>,
    field: Option<(HeaderName, HeaderValue)>,
}

/// Those of each direction by themselves: what goes both ways, such as a request id, is said once in each.
#[derive(Default)]
pub struct KnownFields {
    answers: Lines,
    requests: Lines,
}

impl KnownFields {
    /// The fields of a head for a client.
    pub fn of_answer(&mut self, text: &[u8]) -> HeaderMap {
        self.answers.map(text)
    }

    /// The fields of a head for an upstream.
    pub fn of_request(&mut self, text: &[u8]) -> HeaderMap {
        self.requests.map(text)
    }
}

#[derive(Default)]
struct Lines {
    /// Empty before the first head over HTTP/2.
    places: Vec<Place>,
}

impl Lines {
    /// The fields of a head. A value that was not said lately is marked as sensitive: so it is never indexed (RFC 7541 §6.2.3), for it would put what is
    /// said again and again out of the peer's table, and be compared with at each later head.
    fn map(&mut self, text: &[u8]) -> HeaderMap {
        if self.places.is_empty() {
            self.places.resize_with(LINES, Place::default);
        }
        let mut map = sized(text);
        for line in field_lines(text) {
            if let Some((name, value)) = self.field(line) {
                map.append(name, value);
            }
        }
        map
    }

    fn field(&mut self, line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
        let hash = hash(line);
        let place = &mut self.places[hash as usize % LINES];
        if *place.line == *line {
            return place.field.clone();
        }
        let mut field = lines::field(line)?;
        if SECRETS.contains(&field.0) {
            field.1.set_sensitive(true);
            return Some(field);
        }
        // The second time it gets the place: what is said once must not take it from what is said often.
        if std::mem::replace(&mut place.asked, hash) == hash && line.len() <= LINE_BYTES_MAX {
            place.line = line.into();
            place.field = Some(field.clone());
        } else {
            field.1.set_sensitive(true);
        }
        Some(field)
    }
}

/// Eight bytes at a time, each mixed by a multiplication whose halves are folded into one another. Who finds lines of one hash has them read anew, no more.
fn hash(line: &[u8]) -> u32 {
    fn mix(h: u64, word: [u8; 8]) -> u64 {
        const K: u128 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(h ^ u64::from_le_bytes(word)) * K;
        (product as u64) ^ (product >> 64) as u64
    }
    let (words, rest) = line.as_chunks::<8>();
    let h = words.iter().fold(line.len() as u64, |h, word| mix(h, *word));
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    mix(h, last) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lines::{header_map, request_parts};
    use super::*;

    fn sensitive(map: &HeaderMap) -> Vec<&str> {
        map.iter()
            .filter(|(_, v)| v.is_sensitive())
            .map(|(n, _)| n.as_str())
            .collect()
    }

    #[test]
    fn only_what_is_said_again_may_be_indexed() {
        let mut known = Lines::default();
        let mut say = |id: u32| known.map(format!("server: a\r\nx-id: {id}\r\nServer: a\r\n").as_bytes());
        assert_eq!(sensitive(&say(1)), ["server", "server", "x-id"]);
        assert_eq!(sensitive(&say(2)), ["x-id"]);
        for id in 3..1_000 {
            assert_eq!(sensitive(&say(id)), ["x-id"], "at {id}");
        }
    }

    #[test]
    fn what_is_said_once_to_an_upstream_and_once_to_its_client_is_said_once() {
        let mut known = KnownFields::default();
        for id in 0..100 {
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\n\r\n");
            let request = request_parts(head.as_bytes(), false, false, &mut known).unwrap();
            let answer = known.of_answer(format!("x-request-id: {id}\r\n").as_bytes());
            for map in [&request.headers, &answer] {
                assert_eq!(sensitive(map), ["x-request-id"], "at {id}");
            }
        }
    }

    #[test]
    fn secrets_take_no_place() {
        let mut known = Lines::default();
        let names = ["authorization", "proxy-authorization", "cookie", "set-cookie"];
        for _ in 0..4 {
            for name in names {
                assert_eq!(sensitive(&known.map(format!("{name}: a\r\n").as_bytes())), [name]);
            }
        }
        assert!(known.places.iter().all(|p| p.line.is_empty()));
    }

    #[test]
    fn a_long_line_takes_no_place() {
        let mut known = Lines::default();
        let long = format!("x-long: {}\r\n", "y".repeat(LINE_BYTES_MAX));
        for _ in 0..4 {
            assert_eq!(sensitive(&known.map(long.as_bytes())), ["x-long"]);
        }
        assert!(known.places.iter().all(|p| p.line.is_empty()));
    }

    proptest! {
        #[test]
        fn fields_are_those_of_their_lines_whatever_was_said_before(
            answers in prop::collection::vec("((a|B|x-c|:|set-cookie|\u{e4}):? ?[a-c]{0,2} ?\r?\n){0,6}[a-z:]{0,3}", 1..40),
        ) {
            let mut known = Lines::default();
            for lines in answers {
                prop_assert_eq!(known.map(lines.as_bytes()), header_map(lines.as_bytes()), "{:?}", lines);
            }
        }
    }
}
