//! Listening sockets: opened here, taken over from another process, or handed on to one.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::epoll;

use super::accept::Listener;
use super::options::ListenPlan;
use super::slab::Key;
use super::{Engine, LISTENER, net};
use crate::hand_over::{self, Inherited};
use crate::tls::ServerTls;

/// Rounds of accepting before a listener is closed.
const LAST_ACCEPTS: usize = 64;

impl Engine {
    /// Opens a listener; returns its port.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn listen(&mut self, plan: ListenPlan) -> io::Result<u16> {
        let (fd, port) = net::listen(plan.address)?;
        self.listen_on(plan, fd, port)
    }

    /// The same with a socket that listens already: another process had it, and may have it still.
    ///
    /// # Errors
    /// When it cannot be watched.
    pub fn inherit(&mut self, plan: ListenPlan, socket: Inherited) -> io::Result<u16> {
        rustix::io::ioctl_fionbio(&socket.fd, true)?;
        self.listen_on(plan, socket.fd, socket.address.port())
    }

    fn listen_on(&mut self, plan: ListenPlan, fd: OwnedFd, port: u16) -> io::Result<u16> {
        let place = self.listeners.len();
        let key = Key::unpack(place as u64).1;
        epoll::add(
            &self.epoll,
            &fd,
            epoll::EventData::new_u64(key.pack(LISTENER)),
            epoll::EventFlags::IN,
        )?;
        self.listeners.push(Listener {
            plan,
            fd: Some(fd),
            port,
            resting: false,
            more: false,
        });
        Ok(port)
    }

    /// Gives copies of the listening sockets to whoever has an inbox at `path`; goes on accepting. How many there are.
    ///
    /// # Errors
    /// When nobody takes them.
    pub fn send_listeners(&self, path: &Path) -> io::Result<usize> {
        let sockets: Vec<_> = self
            .listeners
            .iter()
            .filter_map(|l| Some(l.fd.as_ref()?.as_fd()))
            .collect();
        hand_over::send(path, &sockets)?;
        Ok(sockets.len())
    }

    /// Other certificates for the new connections of a listener.
    pub fn set_tls(&mut self, number: u32, tls: ServerTls) {
        for listener in &mut self.listeners {
            if listener.plan.number == number {
                listener.plan.tls = Some(tls.clone());
            }
        }
    }

    /// Accepts no more. Who has connected already is taken in: with the listener, the kernel would reset them.
    pub fn stop_listening(&mut self) {
        for place in 0..self.listeners.len() {
            for _ in 0..LAST_ACCEPTS {
                if !self.accept(place) {
                    break;
                }
            }
            if let Some(fd) = self.listeners[place].fd.take() {
                // Closing is not enough: as long as another process has a copy, epoll would tell of its clients.
                let _ = epoll::delete(&self.epoll, &fd);
            }
        }
    }
}
