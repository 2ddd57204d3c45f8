//! Host patterns: read, put in order, and looked up.

use crate::HOST_BYTES_MAX;
use std::cmp::Reverse;
use std::collections::HashMap;

/// A host pattern. The derived order of [`Host::rank`] is the candidate order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Exact(Box<str>),
    /// `*.example.com` is kept as `example.com`; one or more labels stand before it.
    Wildcard(Box<str>),
    Any,
}

impl Host {
    /// Reads `example.com`, `*.example.com`, `[::1]` or `*`.
    pub fn read(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        if lower == "*" {
            return Ok(Self::Any);
        }
        if lower.len() > HOST_BYTES_MAX {
            return Err(format!(
                "the host has {} bytes; at most {HOST_BYTES_MAX} are allowed",
                lower.len()
            ));
        }
        let (name, wildcard) = lower.strip_prefix("*.").map_or((lower.as_str(), false), |n| (n, true));
        let bracketed = name.starts_with('[') && name.ends_with(']') && name.len() > 2 && !wildcard;
        let good = if bracketed {
            name[1..name.len() - 1]
                .bytes()
                .all(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.')
        } else {
            name.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            })
        };
        if !good {
            return Err(format!(
                "`{text}` is not a host: example.com, *.example.com, [::1] or * (no port, no dot at the end)"
            ));
        }
        Ok(if wildcard {
            Self::Wildcard(name.into())
        } else {
            Self::Exact(name.into())
        })
    }

    /// Sorts exact first, then wildcards by length, then any. Within a class of hosts that exclude each other any order will do.
    pub fn rank(&self) -> (u8, Reverse<usize>, &str) {
        match self {
            Self::Exact(name) => (0, Reverse(0), name),
            Self::Wildcard(name) => (1, Reverse(name.len()), name),
            Self::Any => (2, Reverse(0), ""),
        }
    }
}

/// From a host to the groups of entries that its patterns stand for.
#[derive(Default)]
pub(crate) struct Hosts {
    exact: HashMap<Box<[u8]>, u32>,
    wildcard: HashMap<Box<[u8]>, u32>,
    /// Bit n: there is a wildcard of n bytes. Spares a host of many labels one hash for each.
    wildcard_bytes: [u64; HOST_BYTES_MAX / 64 + 1],
    any: Option<u32>,
}

impl Hosts {
    pub fn insert(&mut self, host: &Host, group: u32) {
        match host {
            Host::Exact(name) => drop(self.exact.insert(name.as_bytes().into(), group)),
            Host::Wildcard(name) => {
                self.wildcard_bytes[name.len() / 64] |= 1 << (name.len() % 64);
                self.wildcard.insert(name.as_bytes().into(), group);
            }
            Host::Any => self.any = Some(group),
        }
    }

    /// Calls `visit` with each group of a host in candidate order until it says stop (true).
    pub fn each(&self, host: &[u8], mut visit: impl FnMut(u32) -> bool) {
        if host.len() <= HOST_BYTES_MAX {
            if !self.exact.is_empty()
                && let Some(&group) = self.exact.get(host)
                && visit(group)
            {
                return;
            }
            if !self.wildcard.is_empty() && self.each_wildcard(host, &mut visit) {
                return;
            }
        }
        if let Some(group) = self.any {
            visit(group);
        }
    }

    fn each_wildcard(&self, host: &[u8], visit: &mut impl FnMut(u32) -> bool) -> bool {
        for dot in memchr::memchr_iter(b'.', host) {
            let suffix = &host[dot + 1..];
            let present = self.wildcard_bytes[suffix.len() / 64] >> (suffix.len() % 64) & 1 == 1;
            // A dot in front is no label: ".example.com" is not below example.com.
            if dot > 0
                && present
                && let Some(&group) = self.wildcard.get(suffix)
                && visit(group)
            {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(hosts: &Hosts, host: &str) -> Vec<u32> {
        let mut seen = Vec::new();
        hosts.each(host.as_bytes(), |g| {
            seen.push(g);
            false
        });
        seen
    }

    #[test]
    fn exact_comes_before_the_longest_wildcard_before_any() {
        let mut hosts = Hosts::default();
        for (i, text) in ["*", "*.example.com", "*.com", "a.example.com", "*.b.example.com"]
            .iter()
            .enumerate()
        {
            hosts.insert(&Host::read(text).unwrap(), u32::try_from(i).unwrap());
        }
        assert_eq!(groups(&hosts, "a.example.com"), [3, 1, 2, 0]);
        assert_eq!(groups(&hosts, "x.y.b.example.com"), [4, 1, 2, 0]);
        assert_eq!(groups(&hosts, "example.com"), [2, 0]);
        assert_eq!(groups(&hosts, ".example.com"), [2, 0]);
        assert_eq!(groups(&hosts, ""), [0]);
        assert_eq!(groups(&hosts, &"a.".repeat(500)), [0]);
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for text in [
            "", "a:80", "a.", ".a", "*.", "a*.b", "*a", "a..b", "[::1", "a b", "é.com", "*.[::1]",
        ] {
            assert!(Host::read(text).is_err(), "{text}");
        }
        assert_eq!(Host::read("[::1]").unwrap(), Host::Exact("[::1]".into()));
        assert_eq!(
            Host::read("A.Example.COM").unwrap(),
            Host::Exact("a.example.com".into())
        );
    }
}
