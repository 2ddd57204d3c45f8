//! `ipMatch`, `ipMatchFromFile`.

use std::net::IpAddr;

use super::{Operator, Probe, Recipe};
use crate::seclang::diagnostic::Problem;

/// Most networks of one operator.
const NETWORKS_MAX: usize = 100_000;

struct Network {
    base: u128,
    mask: u128,
}

struct Networks(Vec<Network>);

/// IPv4 as mapped IPv6, so that both compare alike.
fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Operator for Networks {
    fn matches(&self, probe: &mut Probe<'_>) -> bool {
        *probe.work += self.0.len() as u64;
        let Some(ip) = std::str::from_utf8(probe.value)
            .ok()
            .and_then(|t| t.parse::<IpAddr>().ok())
        else {
            return false;
        };
        let ip = bits(ip);
        self.0.iter().any(|n| ip & n.mask == n.base)
    }
}

fn network(text: &str) -> Result<Network, Problem> {
    let wrong = || {
        Problem::new(
            format!("{text} is no address and no network"),
            "write 10.0.0.0/8 or 2001:db8::/32",
        )
    };
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = address.trim().parse().map_err(|_| wrong())?;
    let (width, offset) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
    let length: u32 = if prefix.is_empty() {
        width
    } else {
        prefix.trim().parse().map_err(|_| wrong())?
    };
    if length > width {
        return Err(wrong());
    }
    let length = length + offset;
    let mask = if length == 0 { 0 } else { u128::MAX << (128 - length) };
    Ok(Network {
        base: bits(ip) & mask,
        mask,
    })
}

fn networks<'t>(texts: impl Iterator<Item = &'t str>) -> Result<Box<dyn Operator>, Problem> {
    let list: Vec<Network> = texts
        .map(str::trim)
        .filter(|t| !t.is_empty())
        .map(network)
        .collect::<Result<_, _>>()?;
    if list.len() > NETWORKS_MAX {
        return Err(Problem::new(
            format!("more than {NETWORKS_MAX} networks"),
            "use a limit or a policy",
        ));
    }
    Ok(Box::new(Networks(list)))
}

pub fn list(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    networks(r.argument.split(','))
}

pub fn file(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    lines(super::pm::data_file(r)?)
}

pub fn dataset(r: &mut Recipe<'_>) -> Result<Box<dyn Operator>, Problem> {
    lines(super::pm::data_set(r)?)
}

fn lines(content: &[u8]) -> Result<Box<dyn Operator>, Problem> {
    let text = String::from_utf8_lossy(content);
    networks(text.lines().map(|l| l.split('#').next().unwrap_or("")))
}
