//! Sets of strings, numbers and addresses, and the lists that expressions name.

use std::net::IpAddr;
use std::sync::Arc;

use super::ast::Literal;
use super::cursor::literal;
use super::node::Kind;
use super::{Fault, LIST_ENTRIES_MAX};

/// Strings in order.
pub struct Texts(pub Vec<Vec<u8>>);

/// Ranges of numbers in order, apart from each other, both ends included.
pub struct Numbers(Vec<(i64, i64)>);

/// Likewise for addresses of both families.
#[derive(Default)]
pub struct Addresses {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

/// Sorts ranges and joins those that overlap.
fn joined<T: Ord + Copy>(mut list: Vec<(T, T)>) -> Vec<(T, T)> {
    list.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(list.len());
    for (from, to) in list {
        match out.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => out.push((from, to)),
        }
    }
    out
}

fn holds<T: Ord + Copy>(list: &[(T, T)], n: T) -> bool {
    let after = list.partition_point(|(from, _)| *from <= n);
    after > 0 && n <= list[after - 1].1
}

impl Texts {
    /// Any strings.
    pub fn new(mut list: Vec<Vec<u8>>) -> Self {
        list.sort_unstable();
        list.dedup();
        Self(list)
    }

    /// True when the string is one of them.
    pub fn has(&self, text: &[u8]) -> bool {
        self.0.binary_search_by(|t| t.as_slice().cmp(text)).is_ok()
    }
}

impl Numbers {
    /// Ranges in any order, overlapping or not.
    pub fn new(list: Vec<(i64, i64)>) -> Self {
        Self(joined(list))
    }

    /// True when the number is in a range.
    pub fn has(&self, n: i64) -> bool {
        holds(&self.0, n)
    }
}

impl Addresses {
    /// Ranges in any order; both ends of each are of one family.
    pub fn new(list: &[(IpAddr, IpAddr)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (from, to) in list {
            match (from, to) {
                (IpAddr::V4(a), IpAddr::V4(b)) => v4.push((a.to_bits(), b.to_bits())),
                (IpAddr::V6(a), IpAddr::V6(b)) => v6.push((a.to_bits(), b.to_bits())),
                // Ends of two families are refused before.
                _ => {}
            }
        }
        Self {
            v4: joined(v4),
            v6: joined(v6),
        }
    }

    /// True when the address is in a range of its family.
    pub fn has(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => holds(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => holds(&self.v6, v6.to_bits()),
        }
    }
}

/// An address with only its first bits.
pub fn network(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits.min(32))).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits.min(128))).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// First and last address of a network.
pub fn range_of(ip: IpAddr, bits: u8) -> (IpAddr, IpAddr) {
    let first = network(ip, bits);
    let last = match first {
        IpAddr::V4(v4) => {
            let rest = u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() | rest).into())
        }
        IpAddr::V6(v6) => {
            let rest = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() | rest).into())
        }
    };
    (first, last)
}

/// A list as a bundle gives it.
#[derive(Clone, Debug)]
pub struct ListText {
    /// Its name, without `$`.
    pub name: String,
    /// Its entries; numbers are written in decimal.
    pub entries: Vec<String>,
    /// All entries are numbers, not strings.
    pub numbers: bool,
}

/// A list with its type.
pub enum List {
    /// Strings that are not all addresses; why the first of them is none.
    Texts(Arc<Texts>, String),
    /// Numbers.
    Numbers(Arc<Numbers>),
    /// Addresses, networks and ranges, with their texts.
    Addresses(Arc<Addresses>, Arc<Texts>),
}

impl List {
    /// Works out what a list is a list of.
    pub fn new(text: &ListText) -> Result<Self, Fault> {
        if text.entries.len() > LIST_ENTRIES_MAX {
            return Err(Fault::new(
                0,
                format!("the list {} has more than {LIST_ENTRIES_MAX} entries", text.name),
                "split it",
            ));
        }
        if text.entries.is_empty() {
            return Err(Fault::new(
                0,
                format!("the list {} is empty", text.name),
                "write its entries, or remove it",
            ));
        }
        if text.numbers {
            let number = |e: &String| e.parse::<i64>().ok().map(|n| (n, n));
            let list: Option<Vec<_>> = text.entries.iter().map(number).collect();
            return list.map(|n| Self::Numbers(Arc::new(Numbers::new(n)))).ok_or_else(|| {
                Fault::new(
                    0,
                    format!("the list {} holds no numbers of 64 bits", text.name),
                    "write integers",
                )
            });
        }
        let texts = text.entries.iter().map(|e| e.as_bytes().to_vec());
        let texts = Arc::new(Texts::new(texts.collect()));
        let mut addresses = Vec::with_capacity(text.entries.len());
        for entry in &text.entries {
            match addresses_of(entry) {
                Some(range) => addresses.push(range),
                None => return Ok(Self::Texts(texts, entry.clone())),
            }
        }
        Ok(Self::Addresses(Arc::new(Addresses::new(&addresses)), texts))
    }

    /// Bytes of memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        let texts = |t: &Texts| t.0.iter().map(|t| t.len() + size_of::<Vec<u8>>()).sum::<usize>();
        match self {
            Self::Texts(t, _) => texts(t),
            Self::Numbers(n) => n.0.len() * size_of::<(i64, i64)>(),
            Self::Addresses(a, t) => {
                texts(t) + a.v4.len() * size_of::<(u32, u32)>() + a.v6.len() * size_of::<(u128, u128)>()
            }
        }
    }

    /// What it is a list of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Texts(..) => Kind::Bytes,
            Self::Numbers(_) => Kind::Int,
            Self::Addresses(..) => Kind::Ip,
        }
    }
}

/// An address, a network, or a range of addresses.
fn addresses_of(text: &str) -> Option<(IpAddr, IpAddr)> {
    let text = text.trim();
    if let Some((from, to)) = text.split_once("..") {
        let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
        return (from.is_ipv4() == to.is_ipv4() && from <= to).then_some((from, to));
    }
    match literal(text)? {
        Literal::Ip(ip) => Some((ip, ip)),
        Literal::Network(ip, bits) => Some(range_of(ip, bits)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let ranges: Vec<_> = [
            "10.0.0.0/8",
            "192.0.2.7",
            "2001:db8::/32",
            "10.1.0.0/16",
            "::/0",
            "0.0.0.0/32",
        ]
        .iter()
        .filter_map(|t| addresses_of(t))
        .collect();
        assert_eq!(ranges.len(), 6);
        let set = Addresses::new(&ranges[..4]);
        assert!(set.has(ip("10.255.255.255")) && set.has(ip("192.0.2.7")) && set.has(ip("2001:db8:ffff::1")));
        assert!(
            !set.has(ip("11.0.0.0")) && !set.has(ip("192.0.2.8")) && !set.has(ip("2001:db9::")) && !set.has(ip("::"))
        );
        assert!(Addresses::new(&ranges[4..]).has(ip("ffff::")));
        assert_eq!(network(ip("192.0.2.7"), 24), ip("192.0.2.0"));
        assert_eq!(network(ip("2001:db8:1::"), 32), ip("2001:db8::"));
        assert_eq!(network(ip("192.0.2.7"), 0), ip("0.0.0.0"));
        assert_eq!(addresses_of("10.0.0.0/33"), None);
        assert_eq!(addresses_of("10.0.0.9..10.0.0.1"), None);
    }

    #[test]
    fn numbers_are_found_in_ranges() {
        let set = Numbers::new(vec![(5, 9), (1, 1), (7, 12)]);
        assert!([1, 5, 12].iter().all(|n| set.has(*n)) && [0, 2, 4, 13].iter().all(|n| !set.has(*n)));
    }
}
