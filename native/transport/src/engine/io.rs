//! One socket, plain or through TLS: edge-triggered, one read or send per direction and turn as far as possible, and a queue for what it did not take.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use bytes::{Buf, Bytes};
use rustix::net::{RecvFlags, SendFlags, Shutdown};

use crate::tls::{RECORD_PLAIN_MAX, Session};

/// Pieces that are together at most so long are copied into one rather than sent as several.
const COPIED_BYTES_MAX: usize = 4096;

/// Bytes that were sent and stand at the begin of a queue that is not empty; beyond, the rest moves up.
const SENT_BYTES_MAX: usize = 64 * 1024;

/// What a read gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now; an event follows.
    Wait,
    /// The peer has ended its side.
    End,
    /// Reset, or TLS broke.
    Broken,
}

/// Raw calls, for rustls.
struct Raw<'a> {
    fd: &'a OwnedFd,
    /// A read gave less than was asked for: the socket is empty.
    short: bool,
}

impl<'a> Raw<'a> {
    fn new(fd: &'a OwnedFd) -> Self {
        Self { fd, short: false }
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = buffer.len();
        let (n, _) = rustix::net::recv(self.fd, buffer, RecvFlags::empty())?;
        self.short = n < asked;
        Ok(n)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.fd, bytes, SendFlags::NOSIGNAL)?)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let mut control = rustix::net::SendAncillaryBuffer::default();
        Ok(rustix::net::sendmsg(
            self.fd,
            slices,
            &mut control,
            SendFlags::NOSIGNAL,
        )?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub struct Io {
    fd: OwnedFd,
    pub tls: Option<Box<Session>>,
    /// The socket may have bytes: set by its event, cleared by a read that was short.
    pub readable: bool,
    /// The socket may take bytes.
    pub writable: bool,
    /// The peer will send no more, as far as epoll said.
    pub hung_up: bool,
    pub broken: bool,
    /// It takes nothing more. What the peer said before that may still be there to read.
    unwritable: bool,
    /// The session broke, and an alert that says why was sent.
    alerted: bool,
    /// Nothing follows what waits.
    ends: bool,
    /// Our side was ended.
    pub shut: bool,
    /// Plain bytes that wait for the socket or for the session.
    queue: Vec<u8>,
    queued_from: usize,
    /// What follows them and belongs to others as well: it is sent from where it lies.
    tail: Bytes,
}

impl Io {
    pub fn new(fd: OwnedFd, tls: Option<Box<Session>>) -> Self {
        Self {
            fd,
            tls,
            readable: false,
            writable: false,
            hung_up: false,
            broken: false,
            unwritable: false,
            alerted: false,
            ends: false,
            shut: false,
            queue: Vec::new(),
            queued_from: 0,
            tail: Bytes::new(),
        }
    }

    pub fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Bytes that the peer has not been given yet.
    pub fn pending(&self) -> usize {
        self.queue.len() - self.queued_from + self.tail.len() + self.tls.as_ref().map_or(0, |s| s.pending())
    }

    /// The peer takes nothing of what waits for it.
    pub fn is_stalled(&self) -> bool {
        !self.writable && self.pending() > 0
    }

    /// Nothing that the peer sent lies unread in the system, its end included: a close now is an end for it, and no reset. Costs a call of the system.
    pub fn is_quiet(&self) -> bool {
        let mut one = [0_u8; 1];
        let seen = rustix::net::recv(&self.fd, &mut one[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        matches!(seen, Err(rustix::io::Errno::AGAIN))
    }

    /// Bytes that the peer has been given, and that its system has not got yet.
    pub fn unacknowledged(&self) -> usize {
        super::net::unacknowledged(&self.fd)
    }

    /// True when it can carry nothing more in at least one direction.
    pub fn is_broken(&self) -> bool {
        self.broken || self.unwritable
    }

    /// True when bytes may be read without an event that tells of them: the socket's, or those that the session has decrypted.
    pub fn may_read(&self) -> bool {
        self.readable || self.has_plain()
    }

    fn has_plain(&self) -> bool {
        self.tls.as_ref().is_some_and(|session| !session.readable().is_empty())
    }

    /// True when the peer has sent more than was read. Costs a call of the system only when the last read was not short.
    pub fn has_more(&mut self) -> bool {
        if self.tls.is_some() || !self.readable {
            return self.has_plain();
        }
        let mut one = [0_u8; 1];
        let seen = rustix::net::recv(&self.fd, &mut one[..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        !matches!(seen, Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR))
    }

    /// One read.
    pub fn read(&mut self, buffer: &mut [u8]) -> Got {
        if self.broken {
            return Got::Broken;
        }
        match self.tls {
            None => self.read_plain(buffer),
            Some(_) => self.read_tls(buffer),
        }
    }

    fn read_plain(&mut self, buffer: &mut [u8]) -> Got {
        if !self.readable {
            return Got::Wait;
        }
        match rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => {
                self.readable = false;
                Got::End
            }
            Ok((n, _)) => {
                // A short read means empty; an end that follows has an event of its own, unless it was seen already.
                self.readable = n == buffer.len() || self.hung_up;
                Got::Bytes(n)
            }
            Err(rustix::io::Errno::INTR) => self.read_plain(buffer),
            Err(rustix::io::Errno::AGAIN) => {
                self.readable = false;
                Got::Wait
            }
            Err(_) => self.fail(),
        }
    }

    fn read_tls(&mut self, buffer: &mut [u8]) -> Got {
        loop {
            let Some(session) = self.tls.as_mut() else {
                return Got::Broken;
            };
            match session.read(buffer) {
                Ok(0) => return Got::End,
                Ok(n) => return Got::Bytes(n),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return self.fail(),
            }
            if !self.readable {
                return Got::Wait;
            }
            let mut raw = Raw::new(&self.fd);
            let began = session.handshaking();
            let received = session.receive(&mut raw);
            if raw.short && !self.hung_up {
                self.readable = false;
            }
            match received {
                // An end without close_notify: what was read stands, what is missing is missing (RFC 8446 §6.1).
                Ok(0) => {
                    self.readable = false;
                    return Got::End;
                }
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // The alert that says why.
                    self.alerted = session.send(&mut Raw::new(&self.fd)).is_ok();
                    return self.fail();
                }
            }
            // What handshakes and key updates have to say. The tickets of a client that has asked for something already go with its answer.
            let goes_with_answer = began && session.owes_only_tickets() && !session.readable().is_empty();
            if session.wants_send() && !goes_with_answer {
                self.flush();
            }
        }
    }

    /// Sends, and keeps what is not taken. False when the connection is broken.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.write_both(bytes, &[])
    }

    /// The same with two pieces, and what waited, in one call of the system.
    pub fn write_both(&mut self, first: &[u8], second: &[u8]) -> bool {
        if self.is_broken() {
            return false;
        }
        self.take_in_tail();
        let waiting = self.queue.len() - self.queued_from;
        if self.tls.is_some() {
            // A head and its body are one record rather than two: whoever seals and opens them does so once.
            let all = waiting + first.len() + second.len();
            if all > first.len() && all <= RECORD_PLAIN_MAX {
                self.queue.extend_from_slice(first);
                self.queue.extend_from_slice(second);
                return self.write_tls(&[]);
            }
            return self.write_tls(first) && (second.is_empty() || self.write_tls(second));
        }
        if !self.writable || waiting + first.len() + second.len() <= COPIED_BYTES_MAX {
            self.queue.extend_from_slice(first);
            self.queue.extend_from_slice(second);
            return self.flush();
        }
        let queue = std::mem::take(&mut self.queue);
        let slices = [
            io::IoSlice::new(&queue[self.queued_from..]),
            io::IoSlice::new(first),
            io::IoSlice::new(second),
        ];
        let sent = if waiting == 0 && second.is_empty() {
            self.send_plain(first)
        } else {
            let mut control = rustix::net::SendAncillaryBuffer::default();
            let all = waiting + first.len() + second.len();
            let sent = rustix::net::sendmsg(&self.fd, &slices, &mut control, SendFlags::NOSIGNAL);
            self.sent(sent, all)
        };
        let Some(mut n) = sent else {
            self.no_more();
            return false;
        };
        self.queue = queue;
        let of_waiting = n.min(waiting);
        self.taken(of_waiting);
        n -= of_waiting;
        let of_first = n.min(first.len());
        self.queue.extend_from_slice(&first[of_first..]);
        self.queue.extend_from_slice(&second[n - of_first..]);
        true
    }

    /// Sends a head and what belongs to others as well: of that nothing is copied, however slowly the peer takes it. False when the connection is broken.
    pub fn write_shared(&mut self, head: &[u8], body: Bytes) -> bool {
        if self.is_broken() {
            return false;
        }
        self.take_in_tail();
        self.queue.extend_from_slice(head);
        self.tail = body;
        self.flush()
    }

    /// Something is to follow what belongs to others: from here on it waits as a copy.
    fn take_in_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue.extend_from_slice(&self.tail);
            self.tail = Bytes::new();
        }
    }

    /// Keeps bytes for the next send: heads that go out with what follows.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.take_in_tail();
        self.queue.extend_from_slice(bytes);
    }

    /// As [`Io::write_both`], but what is short waits for what follows at once: whoever calls this flushes next.
    pub fn write_before(&mut self, first: &[u8], second: &[u8]) -> bool {
        let most = if self.tls.is_some() {
            RECORD_PLAIN_MAX
        } else {
            COPIED_BYTES_MAX
        };
        if self.queue.len() - self.queued_from + first.len() + second.len() > most {
            return self.write_both(first, second);
        }
        self.queue(first);
        self.queue(second);
        true
    }

    /// Nothing follows what waits: under TLS the end is said along with it.
    pub fn ends(&mut self) {
        self.ends = true;
    }

    /// Sends what waits. False when the connection is broken.
    pub fn flush(&mut self) -> bool {
        if self.is_broken() {
            return false;
        }
        if self.tls.is_some() {
            return self.write_tls(&[]);
        }
        if !self.tail.is_empty() {
            return self.flush_both();
        }
        if self.queue.len() > self.queued_from && self.writable {
            let queue = std::mem::take(&mut self.queue);
            let sent = self.send_plain(&queue[self.queued_from..]);
            match sent {
                Some(n) => {
                    self.queue = queue;
                    self.taken(n);
                }
                None => {
                    self.no_more();
                    return false;
                }
            }
        }
        true
    }

    /// The queue and what follows it, in one call of the system.
    fn flush_both(&mut self) -> bool {
        if !self.writable {
            return true;
        }
        let waiting = self.queue.len() - self.queued_from;
        let slices = [
            io::IoSlice::new(&self.queue[self.queued_from..]),
            io::IoSlice::new(&self.tail),
        ];
        let mut control = rustix::net::SendAncillaryBuffer::default();
        let sent = rustix::net::sendmsg(&self.fd, &slices, &mut control, SendFlags::NOSIGNAL);
        let Some(n) = self.sent(sent, waiting + self.tail.len()) else {
            self.no_more();
            return false;
        };
        let of_waiting = n.min(waiting);
        self.taken(of_waiting);
        self.tail_taken(n - of_waiting);
        true
    }

    fn write_tls(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        loop {
            let Some(session) = self.tls.as_mut() else { return false };
            // In order: what waits, then what is new.
            if self.queue.len() > self.queued_from {
                let n = session.write(&self.queue[self.queued_from..]);
                self.taken(n);
            }
            let Some(session) = self.tls.as_mut() else { return false };
            if self.queue.len() == self.queued_from && !self.tail.is_empty() {
                let n = session.write(&self.tail);
                self.tail_taken(n);
            }
            let Some(session) = self.tls.as_mut() else { return false };
            if self.queue.len() == self.queued_from && self.tail.is_empty() && !rest.is_empty() {
                let n = session.write(rest);
                rest = &rest[n..];
            }
            if self.ends && rest.is_empty() && self.tail.is_empty() && self.queue.len() == self.queued_from {
                session.close();
            }
            let mut moved = false;
            while session.wants_send() && self.writable {
                match session.send(&mut Raw::new(&self.fd)) {
                    Ok(0) => break,
                    Ok(_) => moved = true,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => self.writable = false,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(_) => {
                        self.no_more();
                        return false;
                    }
                }
            }
            let left = !rest.is_empty() || !self.tail.is_empty() || self.queue.len() > self.queued_from;
            if !left || !moved || !self.writable {
                break;
            }
        }
        if !rest.is_empty() {
            self.take_in_tail();
            self.queue.extend_from_slice(rest);
        }
        true
    }

    fn send_plain(&mut self, bytes: &[u8]) -> Option<usize> {
        let sent = rustix::net::send(&self.fd, bytes, SendFlags::NOSIGNAL);
        self.sent(sent, bytes.len())
    }

    fn sent(&mut self, sent: rustix::io::Result<usize>, of: usize) -> Option<usize> {
        match sent {
            Ok(n) => {
                self.writable = n == of;
                Some(n)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {
                self.writable = false;
                Some(0)
            }
            Err(_) => {
                self.unwritable = true;
                None
            }
        }
    }

    /// Nothing of what waits can be sent.
    fn no_more(&mut self) {
        self.unwritable = true;
        self.queue = Vec::new();
        self.queued_from = 0;
        self.tail = Bytes::new();
    }

    /// Gives back memory that holds nothing, now and then: a busy connection takes some again, an idle one needs none.
    pub fn rest(&mut self) {
        if self.queue.is_empty() && self.queue.capacity() > 0 {
            self.queue = Vec::new();
        }
    }

    fn tail_taken(&mut self, n: usize) {
        if n == self.tail.len() {
            // Whoever shares it may be the last one now.
            self.tail = Bytes::new();
        } else {
            self.tail.advance(n);
        }
    }

    fn taken(&mut self, n: usize) {
        self.queued_from += n;
        if self.queued_from == self.queue.len() {
            self.queued_from = 0;
            if self.queue.capacity() > 4096 {
                self.queue = Vec::new();
            } else {
                self.queue.clear();
            }
        } else if self.queued_from >= SENT_BYTES_MAX {
            // A reader that is always a little behind never empties the queue: what it has taken must not pile up.
            self.queue.drain(..self.queued_from);
            self.queued_from = 0;
        }
    }

    /// After a session that broke: the connection alone, so that its client can be left the time to read why. False when it was told nothing.
    pub fn outlive_session(&mut self) -> bool {
        if !self.alerted || self.unwritable {
            return false;
        }
        self.tls = None;
        self.broken = false;
        true
    }

    /// What the TLS session failed of, for whoever asks why; the records that it goes into are short.
    pub fn tls_failure(&self) -> Option<String> {
        let failure = self.tls.as_ref()?.failure()?;
        let of_certificate = failure.strip_prefix("invalid peer certificate: ");
        Some(match of_certificate {
            Some(what) if what.starts_with("certificate") => format!("TLS: {what}"),
            Some(what) => format!("TLS: certificate: {what}"),
            None => format!("TLS: {failure}"),
        })
    }

    fn fail(&mut self) -> Got {
        self.broken = true;
        Got::Broken
    }

    /// True when the peer has closed its side and everything that it sent was read: looks without taking.
    pub fn peer_is_gone(&mut self) -> bool {
        if self.is_broken() {
            return true;
        }
        let mut one = [0_u8; 1];
        match rustix::net::recv(&self.fd, &mut one[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((n, _)) => n == 0,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => false,
            Err(_) => true,
        }
    }

    /// After its end: whether the peer said so itself, and not only whoever carries its bytes.
    pub fn ended_cleanly(&self) -> bool {
        self.tls.as_ref().is_none_or(|session| session.closed_cleanly())
    }

    /// True when nothing that is sent will reach the peer.
    pub fn peer_is_reset(&mut self) -> bool {
        self.is_broken() || !matches!(rustix::net::sockopt::socket_error(&self.fd), Ok(Ok(())))
    }

    /// The peer sees a reset rather than an end.
    pub fn reset_on_close(&mut self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.fd, Some(std::time::Duration::ZERO));
    }

    /// Says that nothing follows from our side.
    pub fn shut_down(&mut self) {
        self.shut = true;
        if let Some(session) = self.tls.as_mut() {
            session.close();
            let _ = session.send(&mut Raw::new(&self.fd));
        }
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
    }
}

#[cfg(test)]
#[path = "io_test.rs"]
mod tests;
