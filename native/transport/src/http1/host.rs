//! `host [":" port]` (RFC 9110 §7.2, RFC 3986 §3.2.2), as Host and as the authority of a target. Names are made of letters, digits, `-`, `_` and dots;
//! percent-encoding and sub-delimiters, which the URI grammar would allow, are in no name that resolves and are read differently by those behind us.

use std::net::Ipv6Addr;

/// Longest host with its port, bytes.
pub const HOST_BYTES_MAX: usize = 262;

/// The two parts of a host with a port; the port is empty when there is none, or nothing follows the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host<'a> {
    pub name: &'a [u8],
    pub port: &'a [u8],
}

/// Splits and checks; none when it is malformed: empty, userinfo, path, list, port out of range, zone.
pub(super) fn read_host(text: &[u8]) -> Option<Host<'_>> {
    if text.is_empty() || text.len() > HOST_BYTES_MAX {
        return None;
    }
    let name_len = if text[0] == b'[' {
        let end = memchr::memchr(b']', text)?;
        let literal = std::str::from_utf8(&text[1..end]).ok()?;
        literal.parse::<Ipv6Addr>().ok()?;
        end + 1
    } else {
        let end = text.iter().position(|b| !is_name(*b)).unwrap_or(text.len());
        if text[..end].iter().all(|b| *b == b'.') {
            return None;
        }
        end
    };
    let (name, rest) = text.split_at(name_len);
    let port = match rest {
        [] => rest,
        [b':', port @ ..] if is_port(port) => port,
        _ => return None,
    };
    Some(Host { name, port })
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// Nothing (the grammar allows it), or 1 to 65535.
fn is_port(port: &[u8]) -> bool {
    port.len() <= 5
        && (port.is_empty() || super::scan::number(port).is_some_and(|number| (1..=65_535).contains(&number)))
}

impl Host<'_> {
    /// True when both name the same, the scheme's own port being as good as none.
    pub(super) fn agrees(&self, other: &Host<'_>, default_port: &[u8]) -> bool {
        let port = |host: &Host<'_>| {
            if host.port == default_port {
                0
            } else {
                super::scan::number(host.port).unwrap_or(0)
            }
        };
        self.name.eq_ignore_ascii_case(other.name) && port(self) == port(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_at_most_one_port() {
        for good in [
            "a",
            "a.test",
            "A.Test.",
            "a_b",
            "1.2.3.4",
            "a:",
            "a:1",
            "a:65535",
            "[::1]",
            "[::ffff:1.2.3.4]:443",
            "xn--a",
        ] {
            assert!(read_host(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            ".",
            ":",
            ":80",
            "a:0",
            "a:65536",
            "a:99999",
            "a:8x",
            "a:+8",
            "a:80:80",
            "u@a",
            "a/",
            "a,b",
            "a b",
            "a\t",
            "a#",
            "a?",
            "a%41",
            "[::1",
            "[::1]x",
            "[::1%eth0]",
            "[1.2.3.4]",
            "[]",
            "a[::1]",
            "a\x7f",
            "\u{e9}",
            "a:-1",
            "a\\b",
        ] {
            assert!(read_host(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(read_host(&[b'a'; HOST_BYTES_MAX]).is_some());
        assert!(read_host(&[b'a'; HOST_BYTES_MAX + 1]).is_none());
    }

    #[test]
    fn hosts_agree_without_regard_to_case_and_the_default_port() {
        let agree = |a: &str, b: &str| {
            let (a, b) = (
                read_host(a.as_bytes()).expect("a host"),
                read_host(b.as_bytes()).expect("a host"),
            );
            a.agrees(&b, b"80")
        };
        assert!(agree("a.test", "A.TEST:80"));
        assert!(agree("a.test:", "a.test"));
        assert!(agree("a.test:8080", "a.test:8080"));
        assert!(!agree("a.test", "a.test:443"));
        assert!(!agree("a.test", "b.test"));
        assert!(!agree("a.test:81", "a.test:82"));
    }
}
