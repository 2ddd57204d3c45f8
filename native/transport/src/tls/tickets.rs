//! Keys of session tickets, shared by all lanes: a session that one lane began, any lane resumes, and nothing is kept for it here (RFC 8446 §4.6.1, RFC 5077).
//!
//! A ticket is `name (8) ‖ nonce (12) ‖ AES-256-GCM-SIV ciphertext ‖ tag (16)`; the name of the key and the scope of the listener are authenticated with it.
//! The scope keeps a ticket of a listener that asks for no client certificate from being resumed at one that does.

use std::fmt;
use std::sync::{Arc, RwLock};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

/// How long a key makes tickets, in seconds, unless told otherwise. Its tickets are accepted for as long again.
pub const ROTATION_S_DEFAULT: u64 = 6 * 3600;

const NAME_LEN: usize = 8;
const TAG_LEN: usize = 16;
/// The longest ticket that is tried. A ticket carries the client's certificates, so it can be long; TLS allows 65,535.
const TICKET_BYTES_MAX: usize = 32 * 1024;

struct TicketKey {
    name: [u8; NAME_LEN],
    key: RandomizedNonceKey,
}

struct Ring {
    current: TicketKey,
    previous: Option<TicketKey>,
    /// When `current` began, in seconds of the caller's clock; `None` until the clock was first told.
    since_s: Option<u64>,
}

/// The process's ticket keys. Time is told by the caller; without [`TicketKeys::rotate`] the first key stays.
pub struct TicketKeys {
    ring: RwLock<Ring>,
    rotation_s: u64,
}

fn fresh() -> Option<TicketKey> {
    let mut name = [0; NAME_LEN];
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut name).ok()?;
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).ok()?;
    bytes.fill(0);
    Some(TicketKey { name, key })
}

impl TicketKeys {
    /// Fresh random keys that change every `rotation_s` seconds (at least 60, at most 3.5 days: a ticket lives two rotations and RFC 8446 ends it after 7 days).
    /// `None` when the system gives no randomness.
    pub fn new(rotation_s: u64) -> Option<Arc<TicketKeys>> {
        let rotation_s = rotation_s.clamp(60, 7 * 24 * 3600 / 2);
        Some(Arc::new(TicketKeys {
            ring: RwLock::new(Ring {
                current: fresh()?,
                previous: None,
                since_s: None,
            }),
            rotation_s,
        }))
    }

    /// Tells the time (any clock in seconds that only grows). True when a new key was made. May be called by every lane, as often as it likes.
    pub fn rotate(&self, now_s: u64) -> bool {
        let due = |ring: &Ring| {
            ring.since_s
                .is_none_or(|since| now_s.saturating_sub(since) >= self.rotation_s)
        };
        if !due(&self.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner())) {
            return false;
        }
        let mut ring = self.ring.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !due(&ring) {
            return false;
        }
        let Some(since) = ring.since_s.replace(now_s) else {
            return false;
        };
        let Some(next) = fresh() else {
            // Without randomness the old key stays; the next call tries again.
            ring.since_s = Some(since);
            return false;
        };
        let last = std::mem::replace(&mut ring.current, next);
        // After a pause of more than a whole rotation the last key is as old as one that would have been dropped.
        ring.previous = (now_s.saturating_sub(since) < 2 * self.rotation_s).then_some(last);
        true
    }

    fn seal(&self, scope: &[u8; 32], message: &[u8]) -> Option<Vec<u8>> {
        if message.len() + NAME_LEN + NONCE_LEN + TAG_LEN > TICKET_BYTES_MAX {
            return None;
        }
        let ring = self.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let TicketKey { name, key } = &ring.current;
        let mut ticket = Vec::with_capacity(NAME_LEN + NONCE_LEN + message.len() + TAG_LEN);
        ticket.extend_from_slice(name);
        ticket.extend_from_slice(&[0; NONCE_LEN]);
        ticket.extend_from_slice(message);
        let body = &mut ticket[NAME_LEN + NONCE_LEN..];
        let (nonce, tag) = key.seal_in_place_separate_tag(Aad::from(aad(name, scope)), body).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        ticket[NAME_LEN..NAME_LEN + NONCE_LEN].copy_from_slice(nonce.as_ref());
        Some(ticket)
    }

    fn open(&self, scope: &[u8; 32], ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() < NAME_LEN + NONCE_LEN + TAG_LEN || ticket.len() > TICKET_BYTES_MAX {
            return None;
        }
        let (name, rest) = ticket.split_at(NAME_LEN);
        let (nonce, body) = rest.split_at(NONCE_LEN);
        let ring = self.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let found = [Some(&ring.current), ring.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.name == name)?;
        let mut message = body.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = found
            .key
            .open_in_place(nonce, Aad::from(aad(&found.name, scope)), &mut message)
            .ok()?
            .len();
        message.truncate(length);
        Some(message)
    }

    /// What a listener hands to rustls: these keys, for tickets of its scope only.
    pub(super) fn scoped(self: Arc<Self>, scope: [u8; 32]) -> Arc<dyn ProducesTickets> {
        Arc::new(ScopedTickets { keys: self, scope })
    }
}

fn aad(name: &[u8; NAME_LEN], scope: &[u8; 32]) -> [u8; NAME_LEN + 32] {
    let mut all = [0; NAME_LEN + 32];
    all[..NAME_LEN].copy_from_slice(name);
    all[NAME_LEN..].copy_from_slice(scope);
    all
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys")
            .field("rotation_s", &self.rotation_s)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct ScopedTickets {
    keys: Arc<TicketKeys>,
    scope: [u8; 32],
}

impl ProducesTickets for ScopedTickets {
    fn enabled(&self) -> bool {
        true
    }

    /// What the client is told: one rotation, for which a ticket is certain to be accepted.
    fn lifetime(&self) -> u32 {
        self.keys.rotation_s as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.keys.seal(&self.scope, plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.keys.open(&self.scope, cipher)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: [u8; 32] = [7; 32];

    #[test]
    fn a_ticket_lives_through_one_rotation_and_not_two() {
        let keys = TicketKeys::new(100).expect("keys");
        assert!(!keys.rotate(1000), "the first call only sets the clock");
        let ticket = keys.seal(&SCOPE, b"session").expect("a ticket");
        assert!(!keys.rotate(1099));
        assert_eq!(keys.open(&SCOPE, &ticket).as_deref(), Some(&b"session"[..]));
        assert!(keys.rotate(1100));
        assert!(!keys.rotate(1100), "one rotation for all lanes");
        assert_eq!(keys.open(&SCOPE, &ticket).as_deref(), Some(&b"session"[..]));
        assert!(keys.rotate(1200));
        assert_eq!(keys.open(&SCOPE, &ticket), None);
    }

    #[test]
    fn a_key_that_slept_through_two_rotations_is_dropped() {
        let keys = TicketKeys::new(100).expect("keys");
        keys.rotate(0);
        let ticket = keys.seal(&SCOPE, b"session").expect("a ticket");
        assert!(keys.rotate(200));
        assert_eq!(keys.open(&SCOPE, &ticket), None);
    }

    #[test]
    fn a_changed_ticket_opens_nothing() {
        let keys = TicketKeys::new(100).expect("keys");
        let ticket = keys.seal(&SCOPE, b"session").expect("a ticket");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(&SCOPE, &changed), None, "byte {at}");
        }
        for length in 0..ticket.len() {
            assert_eq!(keys.open(&SCOPE, &ticket[..length]), None);
        }
        assert_eq!(keys.open(&[8; 32], &ticket), None, "another scope");
        assert_eq!(
            TicketKeys::new(100).expect("keys").open(&SCOPE, &ticket),
            None,
            "other keys"
        );
    }

    #[test]
    fn tickets_of_one_session_differ() {
        let keys = TicketKeys::new(100).expect("keys");
        assert_ne!(keys.seal(&SCOPE, b"session"), keys.seal(&SCOPE, b"session"));
    }
}
