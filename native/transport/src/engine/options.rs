//! What an engine is made with: every bound and deadline by name.

use std::net::{IpAddr, SocketAddr};

use crate::tls::{ClientTls, ServerTls};

/// Bounds and deadlines of one engine; times in milliseconds, sizes in bytes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Exchanges open at once; beyond it connections are not read.
    pub exchanges_max: usize,
    /// Downstream connections open at once; beyond it new ones are closed.
    pub connections_max: usize,
    /// Of these from one client address (IPv6: one /64).
    pub connections_per_address_max: usize,
    /// From accept to the end of the TLS handshake.
    pub handshake_ms: u64,
    /// From a head's first byte to its end.
    pub head_ms: u64,
    /// Between two requests of a connection.
    pub idle_ms: u64,
    /// Collecting a body that a stage asked for.
    pub collect_ms: u64,
    /// Stages, waits included.
    pub decide_ms: u64,
    /// A body must bring `body_rate_min` bytes a second, judged over this time.
    pub body_rate_ms: u64,
    /// Bytes a second.
    pub body_rate_min: u64,
    /// A client that takes nothing of what waits for it; one of HTTP/2, less than `body_rate_min` of it.
    pub write_ms: u64,
    /// After an answer that ends the connection, or an HTTP/2 stream whose body is not all here: time for the client to read it.
    pub linger_ms: u64,
    /// Bytes that are read and dropped in that time.
    pub linger_bytes_max: u64,
    /// An upstream connection that was idle for so long is not used again.
    pub upstream_idle_ms: u64,
    /// The same, when the upstream names a longer time.
    pub upstream_idle_hint_ms_max: u64,
    /// Rest of a refused request's body that is read and dropped so that the connection can be used again.
    pub discard_bytes_max: u64,
    /// Bytes for one direction of one exchange that wait here before its source is not read.
    pub queue_bytes_max: usize,
    /// A body up to this is kept until the response head, so that it can be sent again.
    pub replay_bytes_max: usize,
    /// Collected bodies of all exchanges together.
    pub collected_bytes_max: usize,
    /// Memory of encoders that are at work at once; answers beyond it are not compressed.
    pub coder_bytes_max: usize,
    /// Requests that wait for a connection of one endpoint, for each connection it may have.
    pub waiting_per_connection: usize,
    /// And never fewer than this.
    pub waiting_min: usize,
    /// Requests of one connection before it is asked to leave: 0 = no bound.
    pub requests_per_connection_max: u32,
    /// What requests are told that are turned away before anybody decides; none: no request is.
    pub shed: Option<ShedPlan>,
}

/// How a request is turned away under overload.
#[derive(Clone, Debug)]
pub struct ShedPlan {
    /// Number of the refusal.
    pub row: usize,
    /// Time after which a client may come again, seconds.
    pub retry_after_s: u32,
    /// What request ids begin with.
    pub id_prefix: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            exchanges_max: 16_384,
            connections_max: 65_536,
            connections_per_address_max: 65_536,
            handshake_ms: 10_000,
            head_ms: 10_000,
            idle_ms: 60_000,
            collect_ms: 30_000,
            decide_ms: 30_000,
            body_rate_ms: 10_000,
            body_rate_min: 128,
            write_ms: 30_000,
            linger_ms: 2_000,
            linger_bytes_max: 1024 * 1024,
            upstream_idle_ms: 4_000,
            upstream_idle_hint_ms_max: 60_000,
            discard_bytes_max: 256 * 1024,
            queue_bytes_max: 64 * 1024,
            replay_bytes_max: 16 * 1024,
            collected_bytes_max: 64 * 1024 * 1024,
            coder_bytes_max: 128 * 1024 * 1024,
            waiting_per_connection: 2,
            waiting_min: 64,
            requests_per_connection_max: 0,
            shed: None,
        }
    }
}

/// One of our own refusals, by the number that decisions use; the request id goes between the two halves of the body.
#[derive(Clone, Debug)]
pub struct RefusalTemplate {
    /// Status of the answer.
    pub status: u16,
    /// Body up to the request id.
    pub before_id: String,
    /// Body after it.
    pub after_id: String,
    /// The connection cannot be used again.
    pub close: bool,
}

/// A network, for the PROXY protocol's senders.
#[derive(Clone, Copy, Debug)]
pub struct Cidr {
    /// Any address of it.
    pub address: IpAddr,
    /// Bits that count.
    pub bits: u8,
}

impl Cidr {
    /// True when the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(a)) => same_bits(&net.octets(), &a.octets(), self.bits),
            (IpAddr::V6(net), IpAddr::V6(a)) => same_bits(&net.octets(), &a.octets(), self.bits),
            _ => false,
        }
    }
}

fn same_bits(a: &[u8], b: &[u8], bits: u8) -> bool {
    let whole = usize::from(bits / 8).min(a.len());
    let rest = bits % 8;
    a[..whole] == b[..whole] && (rest == 0 || whole >= a.len() || (a[whole] ^ b[whole]) >> (8 - rest) == 0)
}

/// A listener.
#[derive(Clone)]
pub struct ListenPlan {
    /// Its number, as records name it.
    pub number: u32,
    /// Where to listen; port 0 = any.
    pub address: SocketAddr,
    /// Certificates; none = plain.
    pub tls: Option<ServerTls>,
    /// HTTP/2: by ALPN under TLS, by prior knowledge without.
    pub http2: bool,
    /// Networks whose connections begin with a PROXY header; others are served without.
    pub proxy_from: Vec<Cidr>,
}

impl ListenPlan {
    /// HTTP/1.1 without TLS or PROXY headers, as listener 0.
    pub fn plain(address: SocketAddr) -> ListenPlan {
        ListenPlan {
            number: 0,
            address,
            tls: None,
            http2: false,
            proxy_from: Vec::new(),
        }
    }
}

/// An endpoint's connections.
#[derive(Clone)]
pub struct EndpointPlan {
    /// TLS towards it, and the name that its certificate must have.
    pub tls: Option<(ClientTls, String)>,
    /// Connections at once.
    pub connections_max: u32,
    /// Requests that wait for a connection; none: by the engine's options.
    pub waiting_max: Option<u32>,
    /// HTTP/2 rather than 1.1.
    pub http2: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_what_their_bits_say() {
        let net = |text: &str, bits| Cidr {
            address: text.parse().unwrap(),
            bits,
        };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(net("10.0.0.0", 8).contains(ip("10.255.0.1")));
        assert!(!net("10.0.0.0", 8).contains(ip("11.0.0.1")));
        assert!(net("10.0.0.128", 25).contains(ip("10.0.0.200")));
        assert!(!net("10.0.0.128", 25).contains(ip("10.0.0.1")));
        assert!(net("0.0.0.0", 0).contains(ip("1.2.3.4")));
        assert!(net("10.0.0.1", 32).contains(ip("::ffff:10.0.0.1")));
        assert!(net("fd00::", 8).contains(ip("fd12::1")));
        assert!(!net("fd00::", 8).contains(ip("10.0.0.1")));
    }
}
