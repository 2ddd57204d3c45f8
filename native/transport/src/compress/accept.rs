//! Accept-Encoding (RFC 9110 §12.5.3): which of our codings a client takes best.

use super::{ALGORITHMS, Algorithm};

/// Weights are thousandths; this is what a coding without `q` has.
const WHOLE: u16 = 1000;
/// Codings of one field that are looked at; nobody has so many.
const MEMBERS_MAX: usize = 64;

/// The algorithm for a client that sent these values: the one that it takes most gladly, and among equals the first of `order`. None: the body stays as it is, since
/// nothing of `order` is taken, or `identity` is preferred. A client that sends no such field takes anything in theory, and in practice is a program that decodes
/// nothing.
pub fn chosen<'a>(values: impl Iterator<Item = &'a [u8]>, order: &[Algorithm]) -> Option<Algorithm> {
    let mut weights: [Option<u16>; ALGORITHMS.len()] = [None; ALGORITHMS.len()];
    let (mut identity, mut rest) = (None, None);
    for member in values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .take(MEMBERS_MAX)
    {
        let Some((name, weight)) = read(member) else { continue };
        let place = if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
            &mut weights[Algorithm::Gzip as usize]
        } else if name.eq_ignore_ascii_case(b"br") {
            &mut weights[Algorithm::Brotli as usize]
        } else if name.eq_ignore_ascii_case(b"zstd") {
            &mut weights[Algorithm::Zstd as usize]
        } else if name.eq_ignore_ascii_case(b"identity") {
            &mut identity
        } else if name == b"*" {
            &mut rest
        } else {
            continue;
        };
        // Named twice: the first counts.
        place.get_or_insert(weight);
    }
    let mut best = None;
    let mut most = 0;
    for algorithm in order {
        let weight = weights[*algorithm as usize].or(rest).unwrap_or(0);
        if weight > most {
            (best, most) = (Some(*algorithm), weight);
        }
    }
    // Without a weight of its own, identity is taken, and less gladly than what is named.
    if identity.is_some_and(|weight| weight > most) {
        return None;
    }
    best
}

/// A coding and its weight in thousandths; none when it is malformed.
fn read(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|byte| *byte == b';');
    let name = parts.next()?.trim_ascii();
    if name.is_empty() {
        return None;
    }
    let Some(parameter) = parts.next() else {
        return Some((name, WHOLE));
    };
    if parts.next().is_some() {
        return None;
    }
    let parameter = parameter.trim_ascii();
    let value = parameter
        .strip_prefix(b"q=")
        .or_else(|| parameter.strip_prefix(b"Q="))?;
    Some((name, thousandths(value)?))
}

/// `qvalue` of RFC 9110 §12.4.2: 0 to 1 with up to three digits.
fn thousandths(text: &[u8]) -> Option<u16> {
    let (whole, digits) = text.split_first()?;
    let digits = match digits {
        [] => digits,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut sum = u16::from(*whole == b'1');
    if !matches!(whole, b'0' | b'1') {
        return None;
    }
    for place in 0..3 {
        let digit = digits.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        sum = sum * 10 + u16::from(digit - b'0');
    }
    (sum <= WHOLE).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Algorithm::{Brotli, Gzip, Zstd};
    use proptest::prelude::*;

    fn of(fields: &[&str]) -> Option<Algorithm> {
        chosen(fields.iter().map(|f| f.as_bytes()), &[Zstd, Brotli, Gzip])
    }

    #[test]
    fn weights_come_first_then_the_order_of_the_route() {
        for (fields, want) in [
            (&["gzip, deflate, br, zstd"][..], Some(Zstd)),
            (&["gzip, deflate, br"], Some(Brotli)),
            (&["gzip"], Some(Gzip)),
            (&["x-gzip"], Some(Gzip)),
            (&["GZip;q=0.5 , BR ; Q=0.4"], Some(Gzip)),
            (&["gzip;q=0.5", "br;q=0.8"], Some(Brotli)),
            (&["br;q=0, gzip"], Some(Gzip)),
            (&["*"], Some(Zstd)),
            (&["*;q=0.1, gzip;q=0.2"], Some(Gzip)),
            (&["zstd;q=0, *"], Some(Brotli)),
            (&["*;q=0"], None),
            (&["gzip, *;q=0"], Some(Gzip)),
            (&["identity"], None),
            (&["identity;q=1, gzip;q=0.5"], None),
            (&["identity;q=0.5, gzip;q=0.5"], Some(Gzip)),
            (&["identity;q=0"], None),
            (&["identity;q=0, *"], Some(Zstd)),
            (&["deflate, compress"], None),
            (&[""], None),
            (&[], None),
            (&["gzip;q=0.000"], None),
            (&["gzip;q=0.001"], Some(Gzip)),
            (&["br;q=1.000, zstd;q=0.999"], Some(Brotli)),
        ] {
            assert_eq!(of(fields), want, "{fields:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_as_if_it_were_not_there() {
        for (field, want) in [
            ("gzip;q=2", None),
            ("gzip;q=0.1234", None),
            ("gzip;q=", None),
            ("gzip;level=9", None),
            ("gzip;q=1;q=0", None),
            ("gzip;q=1.001, br", Some(Brotli)),
            (",,;,gzip", Some(Gzip)),
            ("gzip;q=-1", None),
        ] {
            assert_eq!(of(&[field]), want, "{field}");
        }
    }

    proptest! {
        #[test]
        fn what_is_chosen_was_named_or_any_was(fields in proptest::collection::vec("[a-z*;=,.q01 ]{0,40}", 0..3)) {
            let refs: Vec<&str> = fields.iter().map(String::as_str).collect();
            if let Some(found) = of(&refs) {
                prop_assert!(fields.iter().any(|f| f.contains('*') || f.contains(found.name())));
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = chosen(std::iter::once(&bytes[..]), &[Gzip]);
        }
    }
}
