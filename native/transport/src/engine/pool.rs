//! Endpoints: their connections, and the exchanges that wait for one.

use std::collections::VecDeque;
use std::net::SocketAddr;

use rustix::event::epoll;

use super::hedge::Hedge;
use super::io::Io;
use super::net;
use super::options::EndpointPlan;
use super::slab::Key;
use super::state::{Due, OutBody, Phase, Up, UpStage};
use super::{EVERYTHING, Engine, UP};
use crate::http1::Progress;
use crate::layout::FailReason;
use crate::tls::Session;

/// Exchanges that are expected to share one HTTP/2 connection, when it is decided how many to open.
const SHARED_BY: usize = 100;

pub struct Endpoint {
    /// None once it was dropped.
    pub plan: Option<EndpointPlan>,
    /// None until its name was resolved.
    pub addresses: Option<Vec<SocketAddr>>,
    next_address: usize,
    /// The one used last is taken first, so that the others can end.
    pub idle: Vec<Key>,
    /// HTTP/2 connections.
    pub shared: Vec<Key>,
    /// Connections, those that are being made included.
    pub open: u32,
    pub connecting: u32,
    /// Of those that are open, the ones of HTTP/2 that take no more streams.
    pub retired: u32,
    pub waiting: VecDeque<u32>,
}

const NO_ADDRESS: &str = "its name has no address";

/// What the system says of a connection, in its words without their number.
fn said(error: &std::io::Error) -> String {
    error.kind().to_string()
}

impl Engine {
    /// Makes an endpoint known; returns its number. It has no address yet.
    pub fn endpoint(&mut self, plan: EndpointPlan) -> u32 {
        let made = Endpoint {
            plan: Some(plan),
            addresses: None,
            next_address: 0,
            idle: Vec::new(),
            shared: Vec::new(),
            open: 0,
            connecting: 0,
            retired: 0,
            waiting: VecDeque::new(),
        };
        // Numbers of those that were dropped and have no connection left are used again.
        let free = self
            .endpoints
            .iter()
            .position(|e| e.plan.is_none() && e.open == 0 && e.waiting.is_empty());
        match free {
            Some(place) => {
                self.endpoints[place] = made;
                place as u32
            }
            None => {
                self.endpoints.push(made);
                self.endpoints.len() as u32 - 1
            }
        }
    }

    /// Where an endpoint is. None of them: its name has no address, and what waits for it fails.
    pub fn set_addresses(&mut self, endpoint: u32, addresses: &[SocketAddr]) {
        let Some(e) = self.endpoints.get_mut(endpoint as usize) else {
            return;
        };
        e.addresses = Some(addresses.to_vec());
        if addresses.is_empty() {
            while let Some(slot) = self.endpoints[endpoint as usize].waiting.pop_front() {
                self.fail_of(slot, FailReason::Connect, NO_ADDRESS);
            }
        } else {
            self.open_connections_to(endpoint);
        }
    }

    /// An endpoint is in no snapshot any more: its connections end once idle.
    pub fn drop_endpoint(&mut self, endpoint: u32) {
        let Some(e) = self.endpoints.get_mut(endpoint as usize) else {
            return;
        };
        e.plan = None;
        for key in std::mem::take(&mut e.idle) {
            self.drop_up(key);
        }
        for key in self.endpoints[endpoint as usize].shared.clone() {
            self.h2_up_leave(key);
        }
        while let Some(slot) = self.endpoints[endpoint as usize].waiting.pop_front() {
            self.fail(slot, FailReason::Connect);
        }
    }

    /// Gives the exchange a connection, now or later.
    pub(super) fn wait_for_connection(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        x.phase = Phase::Waiting;
        // Of this attempt nothing has gone out, whatever has of one before.
        x.written = false;
        x.failure = Box::default();
        x.due = Due::Connection;
        x.deadline = self.now + x.connect_ms + x.head_ms;
        let (endpoint, idempotent) = (x.endpoint, x.idempotent());
        if self.endpoints[endpoint as usize].plan.as_ref().is_some_and(|p| p.http2)
            && self.share_connection(slot, endpoint)
        {
            return;
        }
        while let Some(key) = self.endpoints[endpoint as usize].idle.pop() {
            let Some(up) = self.ups.get_mut(key) else { continue };
            // What cannot be sent twice goes to no connection that is closing, as far as can be known.
            let usable = !up.io.hung_up && !up.io.is_broken() && (idempotent || !up.io.peer_is_gone());
            if usable {
                self.use_connection(key, slot);
                return;
            }
            self.drop_up(key);
        }
        let e = &mut self.endpoints[endpoint as usize];
        let max = e.plan.as_ref().map_or(0, |p| p.connections_max) as usize;
        let room = e.plan.as_ref().and_then(|p| p.waiting_max).map_or_else(
            || (max * self.options.waiting_per_connection).max(self.options.waiting_min),
            |waiting| waiting as usize,
        );
        // Those for whom a connection is still being made have the place that it will give them.
        let running = (e.open - e.connecting) as usize;
        if e.plan.is_none() {
            self.fail(slot, FailReason::Connect);
        } else if e.addresses.as_ref().is_some_and(Vec::is_empty) {
            self.fail_of(slot, FailReason::Connect, NO_ADDRESS);
        } else if e.waiting.len() >= room + max.saturating_sub(running) {
            self.fail(slot, FailReason::Busy);
        } else {
            e.waiting.push_back(slot);
            self.open_connections_to(endpoint);
        }
    }

    fn use_connection(&mut self, key: Key, slot: u32) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let reused = up.served > 0;
        up.served += 1;
        up.stage = UpStage::Head;
        up.slot = slot;
        up.deadline = u64::MAX;
        up.progress = Progress::default();
        up.body = OutBody::Done;
        self.send_request(slot, key, reused);
    }

    /// As many connections as are waited for and allowed.
    pub(super) fn open_connections_to(&mut self, endpoint: u32) {
        loop {
            let now = self.now;
            let e = &mut self.endpoints[endpoint as usize];
            let (Some(plan), Some(addresses)) = (&e.plan, &e.addresses) else {
                return;
            };
            let carries = if plan.http2 { SHARED_BY } else { 1 };
            // Those that only serve what is open on them make room for others, once: however long a stream lasts, an endpoint that asks its clients to come anew is not lost to them.
            let counted = e.open - e.retired.min(plan.connections_max);
            if addresses.is_empty()
                || counted >= plan.connections_max
                || e.connecting as usize * carries >= e.waiting.len()
            {
                return;
            }
            let address = addresses[e.next_address % addresses.len()];
            e.next_address = e.next_address.wrapping_add(1);
            let Some(first) = e.waiting.front() else { return };
            let deadline = now + self.exchanges[*first as usize].connect_ms;
            let fd = match net::connect(&address) {
                Ok(fd) => fd,
                Err(error) => {
                    self.connection_failed(endpoint, &said(&error));
                    continue;
                }
            };
            e.open += 1;
            e.connecting += 1;
            let key = self.ups.insert(Up {
                io: Io::new(fd, None),
                endpoint,
                stage: UpStage::Connecting,
                slot: 0,
                ahead: Vec::new(),
                progress: Progress::default(),
                body: OutBody::Done,
                nominated: Vec::new(),
                keep_alive: true,
                interim: 0,
                served: 0,
                deadline,
                idle_ms: 0,
                h2: None,
            });
            let Some(up) = self.ups.get_mut(key) else { return };
            let data = epoll::EventData::new_u64(key.pack(UP));
            if let Err(error) = epoll::add(&self.epoll_up, up.io.fd(), data, EVERYTHING) {
                // Not by `drop_up`, which would come back here.
                self.ups.remove(key);
                let e = &mut self.endpoints[endpoint as usize];
                e.open -= 1;
                e.connecting -= 1;
                self.connection_failed(endpoint, &said(&error.into()));
            }
        }
    }

    /// Whoever has waited longest is told; the others may have more luck.
    fn connection_failed(&mut self, endpoint: u32, why: &str) {
        if let Some(slot) = self.endpoints[endpoint as usize].waiting.pop_front() {
            self.fail_of(slot, FailReason::Connect, why);
        }
    }

    /// The socket is writable for the first time, or has failed.
    pub(super) fn connecting(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let endpoint = up.endpoint;
        if let Some(error) = net::connect_fault(up.io.fd()) {
            self.came_to_nothing(key, &said(&error));
            return;
        }
        let tls = self.endpoints[endpoint as usize]
            .plan
            .as_ref()
            .and_then(|p| p.tls.clone());
        let Some((client, name)) = tls else {
            self.connection_stands(key);
            return;
        };
        match Session::client(&client, &name) {
            Ok(session) => {
                up.io.tls = Some(Box::new(session));
                up.stage = UpStage::Handshake;
                if !up.io.flush() {
                    self.give_up_connecting(key);
                }
            }
            Err(error) => self.came_to_nothing(key, &error.to_string()),
        }
    }

    /// A connection came to nothing before it carried a request.
    pub(super) fn give_up_connecting(&mut self, key: Key) {
        let Some(up) = self.ups.get(key) else { return };
        let late = up.deadline <= self.now;
        let why = match (&up.stage, up.io.tls_failure()) {
            (_, Some(failure)) => failure,
            (UpStage::Handshake, None) if late => "no TLS handshake in time".into(),
            (UpStage::Handshake, None) => "closed within the TLS handshake".into(),
            _ if late => "not made in time".into(),
            _ => net::connect_fault(up.io.fd()).map_or_else(|| "closed".into(), |error| said(&error)),
        };
        self.came_to_nothing(key, &why);
    }

    fn came_to_nothing(&mut self, key: Key, why: &str) {
        let Some(up) = self.ups.get(key) else { return };
        let endpoint = up.endpoint;
        // First, so that the one that fails does not have another connection made for it.
        self.connection_failed(endpoint, why);
        self.drop_up(key);
    }

    pub(super) fn connection_stands(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        up.stage = UpStage::Idle;
        let e = &mut self.endpoints[up.endpoint as usize];
        e.connecting -= 1;
        if e.plan.as_ref().is_some_and(|p| p.http2) {
            return self.h2_up_stands(key);
        }
        self.connection_is_free(key);
    }

    /// The next that waits gets it; or it waits itself.
    fn connection_is_free(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let e = &mut self.endpoints[up.endpoint as usize];
        if let Some(slot) = e.waiting.pop_front() {
            self.use_connection(key, slot);
            return;
        }
        if e.plan.is_none() || self.draining && self.open == 0 {
            self.drop_up(key);
            return;
        }
        up.stage = UpStage::Idle;
        let idle_ms = if up.idle_ms == 0 {
            self.options.upstream_idle_ms
        } else {
            up.idle_ms
        };
        up.deadline = self.now + idle_ms;
        e.idle.push(key);
    }

    /// An exchange is through with its connection, and the connection with it.
    pub(super) fn give_back(&mut self, key: Key) {
        let Some(up) = self.ups.get_mut(key) else { return };
        let quiet = up.ahead.is_empty() && up.io.pending() == 0 && !up.io.has_more();
        if !up.keep_alive || up.io.hung_up || up.io.is_broken() || !quiet {
            self.drop_up(key);
            return;
        }
        self.connection_is_free(key);
    }

    /// Closes an upstream connection at once. Whoever calls has dealt with its exchange.
    pub(super) fn drop_up(&mut self, key: Key) {
        let Some(up) = self.ups.remove(key) else { return };
        let e = &mut self.endpoints[up.endpoint as usize];
        e.open -= 1;
        match up.stage {
            UpStage::Connecting | UpStage::Handshake => e.connecting -= 1,
            UpStage::Idle => e.idle.retain(|k| *k != key),
            UpStage::Shared => {
                e.shared.retain(|k| *k != key);
                e.retired -= u32::from(up.h2.is_some_and(|h2| h2.leaving));
            }
            UpStage::Head | UpStage::Body | UpStage::Tunnel => {}
        }
        if !e.waiting.is_empty() {
            self.open_connections_to(up.endpoint);
        }
    }

    /// Takes an exchange away from its connection, or from those that wait for one.
    pub(super) fn let_go_of_upstream(&mut self, slot: u32) {
        if self.exchanges[slot as usize].hedge != Hedge::None {
            self.hedge_is_off(slot);
        }
        self.let_go_of_attempt(slot);
    }

    /// The same, of one attempt: a hedge beside it goes on.
    pub(super) fn let_go_of_attempt(&mut self, slot: u32) {
        let x = &mut self.exchanges[slot as usize];
        if x.phase == Phase::Waiting {
            let endpoint = x.endpoint as usize;
            self.endpoints[endpoint].waiting.retain(|s| *s != slot);
        }
        let x = &mut self.exchanges[slot as usize];
        let Some(key) = x.up.take() else { return };
        if x.up_stream == 0 {
            self.drop_up(key);
        } else {
            self.h2_up_forget(slot, key, false);
        }
    }
}
