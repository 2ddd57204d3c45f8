//! Listeners, and connections up to the point where their protocol is known.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::event::epoll;

use super::h2_down::H2;
use super::io::{Got, Io};
use super::net::{self, Accepted};
use super::options::ListenPlan;
use super::slab::Key;
use super::state::{Down, H1, Proto, Stage};
use super::{DOWN, EVERYTHING, Engine, LISTENER};
use crate::proxy::{Proxy, read_proxy};
use crate::tls::Session;

/// Connections taken from one listener before others get their turn; level-triggered, so the rest is told again.
const ACCEPTS_PER_TURN: usize = 64;
/// Bytes of the longest PROXY header (version 2 with its TLVs).
const PROXY_BYTES_MAX: usize = 4096;

pub struct Listener {
    pub plan: ListenPlan,
    pub fd: Option<OwnedFd>,
    pub port: u16,
    /// No descriptors were left: it is not listened to before the next tick.
    pub resting: bool,
    /// Clients wait that were not taken in yet.
    pub more: bool,
}

impl Engine {
    /// Goes on with listeners that had more clients than one turn takes in. Told of by the kernel alone, the next ones would wait behind every request that is ready, turn for turn.
    pub(super) fn accept_more(&mut self) {
        for place in 0..self.listeners.len() {
            if self.listeners[place].more {
                self.accept(place);
            }
        }
    }

    /// Takes who waits. True: there may be more.
    pub(super) fn accept(&mut self, place: usize) -> bool {
        let more = self.take_waiting(place);
        if let Some(listener) = self.listeners.get_mut(place) {
            listener.more = more;
        }
        more
    }

    fn take_waiting(&mut self, place: usize) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(Listener { fd: Some(fd), .. }) = self.listeners.get(place) else {
                return false;
            };
            match net::accept(fd) {
                Accepted::Connection(fd, peer) => self.take_connection(place, fd, peer),
                Accepted::Gone => {}
                Accepted::None => return false,
                // Out of descriptors. As long as somebody waits the listener is readable, and the lane would turn for nothing.
                Accepted::Exhausted => {
                    self.listen_to(place, false);
                    return false;
                }
            }
        }
        true
    }

    /// Whether a listener's clients are told of.
    fn listen_to(&mut self, place: usize, on: bool) {
        let listener = &mut self.listeners[place];
        listener.resting = !on;
        if let Some(fd) = &listener.fd {
            let data = epoll::EventData::new_u64(Key::unpack(place as u64).1.pack(LISTENER));
            let flags = if on {
                epoll::EventFlags::IN
            } else {
                epoll::EventFlags::empty()
            };
            let _ = epoll::modify(&self.epoll, fd, data, flags);
        }
    }

    /// Listeners that rested are tried again.
    pub(super) fn wake_listeners(&mut self) {
        for place in 0..self.listeners.len() {
            if self.listeners[place].resting {
                self.listen_to(place, true);
            }
        }
    }

    fn take_connection(&mut self, place: usize, fd: OwnedFd, peer: SocketAddr) {
        if self.downs.len() >= self.options.connections_max {
            // Dropped: the descriptor closes. No answer, since TLS would have to be spoken for one.
            return;
        }
        let listener = &self.listeners[place];
        let proxy = listener.plan.proxy_from.iter().any(|net| net.contains(peer.ip()));
        // A balancer speaks for many: its connections count for whom it names.
        let counted = if proxy { None } else { self.count_address(peer.ip()) };
        if !proxy && counted.is_none() {
            return;
        }
        let listener = &self.listeners[place];
        let secure = listener.plan.tls.is_some();
        let proto = if proxy || secure || listener.plan.http2 {
            Proto::Opening {
                proxy,
                ahead: Vec::new(),
            }
        } else {
            Proto::H1(H1::new())
        };
        let down = Down {
            io: Io::new(fd, None),
            listener: place,
            counted,
            peer,
            local_port: listener.port,
            deadline: self.now + self.options.handshake_ms,
            stalled_since: 0,
            proto,
        };
        let key = self.downs.insert(down);
        let Some(down) = self.downs.get_mut(key) else { return };
        let data = epoll::EventData::new_u64(key.pack(DOWN));
        if epoll::add(&self.epoll, down.io.fd(), data, EVERYTHING).is_err() {
            self.drop_down(key);
        }
    }

    /// Counts one more connection of an address; none when it has as many as it may.
    fn count_address(&mut self, address: IpAddr) -> Option<u128> {
        let class = address_class(address);
        let open = self.per_address.get(&class).copied().unwrap_or(0);
        if open as usize >= self.options.connections_per_address_max {
            return None;
        }
        self.per_address.insert(class, open + 1);
        Some(class)
    }

    /// Closes a client's connection at once. Whoever calls has ended its exchanges.
    pub(super) fn drop_down(&mut self, key: Key) {
        let Some(down) = self.downs.remove(key) else { return };
        if let Some(class) = down.counted
            && let Some(count) = self.per_address.get_mut(&class)
        {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&class);
            }
        }
    }

    /// Reads what comes before HTTP. True once the protocol is known.
    pub(super) fn open(&mut self, key: Key, scratch: &mut [u8]) -> bool {
        loop {
            let Some(down) = self.downs.get_mut(key) else {
                return false;
            };
            let Proto::Opening { proxy, ahead } = &mut down.proto else {
                return true;
            };
            if *proxy {
                match read_proxy(ahead) {
                    Proxy::Header { consumed, source, .. } => {
                        ahead.drain(..consumed);
                        *proxy = false;
                        if let Some(source) = source {
                            down.peer = source;
                        }
                        let address = down.peer.ip();
                        let counted = self.count_address(address);
                        match self.downs.get_mut(key) {
                            Some(down) if counted.is_some() => down.counted = counted,
                            _ => {
                                self.drop_down(key);
                                return false;
                            }
                        }
                        continue;
                    }
                    Proxy::More if ahead.len() < PROXY_BYTES_MAX => {}
                    // Whoever is trusted to speak the protocol and does not is not served: a client's own bytes would be believed to be its header.
                    Proxy::More | Proxy::Broken | Proxy::Absent => {
                        self.drop_down(key);
                        return false;
                    }
                }
            } else {
                let plan = &self.listeners[down.listener].plan;
                match (&plan.tls, down.io.tls.as_ref()) {
                    (Some(tls), None) => {
                        let mut session = Session::server(tls);
                        let early = std::mem::take(ahead);
                        let mut rest = &early[..];
                        while !rest.is_empty() {
                            if !matches!(session.receive(&mut rest), Ok(n) if n > 0) {
                                self.drop_down(key);
                                return false;
                            }
                        }
                        down.io.tls = Some(Box::new(session));
                        // What came with the PROXY header may want an answer already.
                        down.io.flush();
                        continue;
                    }
                    (Some(_), Some(session)) => {
                        if !session.handshaking() {
                            let h2 = plan.http2 && session.alpn() == Some(b"h2");
                            return self.speak(key, h2, Vec::new());
                        }
                    }
                    (None, _) => {
                        let known = preface(ahead);
                        if !plan.http2 || known == Some(false) {
                            let ahead = std::mem::take(ahead);
                            return self.speak(key, false, ahead);
                        }
                        if known == Some(true) {
                            let ahead = std::mem::take(ahead);
                            return self.speak(key, true, ahead);
                        }
                    }
                }
            }
            let Some(down) = self.downs.get_mut(key) else {
                return false;
            };
            let handshaking = down.io.tls.as_ref().is_some_and(|s| s.handshaking());
            match down.io.read(scratch) {
                Got::Bytes(n) => {
                    if let Proto::Opening { ahead, .. } = &mut down.proto {
                        ahead.extend_from_slice(&scratch[..n]);
                    }
                }
                // The handshake may have ended without application data.
                Got::Wait if handshaking && down.io.tls.as_ref().is_some_and(|s| !s.handshaking()) => {}
                Got::Wait => return false,
                Got::End => {
                    self.drop_down(key);
                    return false;
                }
                Got::Broken => {
                    self.refuse_handshake(key);
                    return false;
                }
            }
        }
    }

    /// A handshake has failed. A client of TLS 1.3 has sent its first request by then: closed over those bytes, the connection would be reset, and the alert lost.
    fn refuse_handshake(&mut self, key: Key) {
        let Some(down) = self.downs.get_mut(key) else { return };
        if !down.io.outlive_session() {
            return self.drop_down(key);
        }
        let mut last = H1::new();
        last.stage = Stage::Linger;
        down.proto = Proto::H1(last);
        self.linger(key);
    }

    fn speak(&mut self, key: Key, h2: bool, ahead: Vec<u8>) -> bool {
        let now = self.now;
        let head_ms = self.options.head_ms;
        let Some(down) = self.downs.get_mut(key) else {
            return false;
        };
        let ahead = match &mut down.proto {
            Proto::Opening { ahead: more, .. } if ahead.is_empty() => std::mem::take(more),
            _ => ahead,
        };
        down.deadline = now + head_ms;
        if h2 {
            let mut made = Box::new(H2::new());
            made.server.feed(&ahead);
            down.proto = Proto::H2(made);
            if self.draining {
                self.h2_leave(key);
            }
            self.h2_turn(key);
            return self.downs.get(key).is_some();
        }
        let mut h1 = H1::new();
        h1.ahead = ahead;
        down.proto = Proto::H1(h1);
        true
    }
}

/// Whether bytes begin an HTTP/2 connection (RFC 9113 §3.4); none = too few to tell.
fn preface(bytes: &[u8]) -> Option<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let n = bytes.len().min(PREFACE.len());
    if bytes[..n] != PREFACE[..n] {
        return Some(false);
    }
    (n == PREFACE.len()).then_some(true)
}

/// What counts as one client: an IPv4 address, or an IPv6 network of 64 bits.
fn address_class(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(a) => u128::from(u32::from(a)) | 0xffff_0000_0000,
        IpAddr::V6(a) => u128::from(a) & !u128::from(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::super::options::Options;
    use super::*;
    use crate::hand_over::Inbox;

    fn told(engine: &Engine) -> usize {
        let mut ready = Vec::with_capacity(8);
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        epoll::wait(&engine.epoll, rustix::buffer::spare_capacity(&mut ready), Some(&now)).expect("epoll");
        ready.len()
    }

    #[test]
    fn who_connects_does_not_wait_behind_every_request_of_those_who_did() {
        let plan = ListenPlan::plain(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut engine = Engine::new(Options::default(), Vec::new()).expect("an engine");
        let port = engine.listen(plan).expect("a port");
        let connect = || TcpStream::connect(("127.0.0.1", port)).expect("a client");
        let mut early: Vec<TcpStream> = (0..256).map(|_| connect()).collect();
        while engine.open_connections() < early.len() || engine.poll() {
            engine.poll();
        }
        // Of them more are ready than four turns look at, and so it stays.
        let keep_busy = |early: &mut [TcpStream]| {
            for client in early {
                client.write_all(b"G").expect("a part of a head");
            }
        };
        keep_busy(&mut early);
        let late: Vec<TcpStream> = (0..320).map(|_| connect()).collect();
        for _ in 0..12 {
            engine.poll();
            keep_busy(&mut early);
        }
        assert_eq!(engine.open_connections(), early.len() + late.len());
    }

    #[test]
    fn an_engine_that_gave_its_listener_on_hears_no_more_of_it_and_its_clients_wait_for_the_other() {
        let path = std::env::temp_dir().join(format!("cnx-engine-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let inbox = Inbox::open(&path).expect("an inbox");
        let plan = ListenPlan::plain(SocketAddr::from(([127, 0, 0, 1], 0)));
        let mut former = Engine::new(Options::default(), Vec::new()).expect("an engine");
        let port = former.listen(plan.clone()).expect("a port");
        assert_eq!(former.send_listeners(&path).expect("sent"), 1);
        let mut sockets = inbox.receive().expect("received");
        std::fs::remove_file(&path).expect("removed");
        let _early = TcpStream::connect(("127.0.0.1", port)).expect("a client");
        assert_eq!(told(&former), 1, "it goes on until it drains");
        former.drain();
        assert_eq!(former.open_connections(), 1);
        // What is told of the early client itself.
        former.poll();

        let _late = TcpStream::connect(("127.0.0.1", port)).expect("another client");
        assert_eq!(told(&former), 0);
        let mut next = Engine::new(Options::default(), Vec::new()).expect("an engine");
        let plan = ListenPlan {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            ..plan
        };
        assert_eq!(next.inherit(plan, sockets.remove(0)).expect("inherited"), port);
        next.poll();
        assert_eq!(next.open_connections(), 1);
        next.drain();
        former.close();
        next.close();
        TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    }

    #[test]
    fn the_preface_is_told_as_soon_as_it_is_certain() {
        assert_eq!(preface(b""), None);
        assert_eq!(preface(b"PRI * HT"), None);
        assert_eq!(preface(b"PRI /"), Some(false));
        assert_eq!(preface(b"GET"), Some(false));
        assert_eq!(preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxyz"), Some(true));
    }
}
