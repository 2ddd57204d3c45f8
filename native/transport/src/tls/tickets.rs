//! Keys of session tickets, shared by all lanes: a session that one lane began, any lane resumes, and nothing is kept for it here (RFC 8446 §4.6.1, RFC 5077).
//!
//! A ticket is `name (8) ‖ nonce (12) ‖ AES-256-GCM-SIV ciphertext ‖ tag (16)`; the name of the key and the scope of the listener are authenticated with it.
//! The scope keeps a ticket of a listener that asks for no client certificate from being resumed at one that does. A session whose client showed a certificate is
//! resumed as long as that holds: each resumption gives a new ticket, so that without it whoever once had a certificate would be served for ever.

use std::fmt;
use std::sync::{Arc, RwLock};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

use super::client_hello::Fields;
use super::x509;

/// How long a key makes tickets, in seconds, unless told otherwise. Its tickets are accepted for as long again.
pub const ROTATION_S_DEFAULT: u64 = 6 * 3600;

const NAME_LEN: usize = 8;
const SECRET_LEN: usize = 32;
const TAG_LEN: usize = 16;
/// Keys as they are handed over: age of the current one in seconds (8 bytes, big-endian), then name and secret of it and of the one before, if there is one.
const HANDED_AGE_LEN: usize = 8;
const HANDED_KEY_LEN: usize = NAME_LEN + SECRET_LEN;
/// The longest ticket that is tried. A ticket carries the client's certificates, so it can be long; TLS allows 65,535.
const TICKET_BYTES_MAX: usize = 32 * 1024;

struct TicketKey {
    name: [u8; NAME_LEN],
    key: RandomizedNonceKey,
    /// What `key` was made of, for the process that follows this one.
    secret: [u8; SECRET_LEN],
}

impl TicketKey {
    fn of(name: [u8; NAME_LEN], secret: [u8; SECRET_LEN]) -> Option<Self> {
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, &secret).ok()?;
        Some(Self { name, key, secret })
    }
}

struct Ring {
    current: TicketKey,
    previous: Option<TicketKey>,
    /// When `current` began, in seconds of the caller's clock, before its zero when another process made it; `None` until the clock was first told.
    since_s: Option<i64>,
}

/// The process's ticket keys. Time is told by the caller; without [`TicketKeys::rotate`] the first key stays.
pub struct TicketKeys {
    ring: RwLock<Ring>,
    rotation_s: u64,
}

fn fresh() -> Option<TicketKey> {
    let mut name = [0; NAME_LEN];
    let mut secret = [0; SECRET_LEN];
    aws_lc_rs::rand::fill(&mut name).ok()?;
    aws_lc_rs::rand::fill(&mut secret).ok()?;
    TicketKey::of(name, secret)
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
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        let rotation_s = self.rotation_s as i64;
        let due = |ring: &Ring| {
            ring.since_s
                .is_none_or(|since| now_s.saturating_sub(since) >= rotation_s)
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
        ring.previous = (now_s.saturating_sub(since) < 2 * rotation_s).then_some(last);
        true
    }

    /// The keys, for the process that follows this one: it accepts what this one gave, and changes them when this one would have. Whoever reads them reads all
    /// sessions that tickets of theirs resume, but for what a key exchange of its own protects.
    #[must_use]
    pub fn hand_over(&self, now_s: u64) -> Vec<u8> {
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        let ring = self.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let age_s = ring.since_s.map_or(0, |since| now_s.saturating_sub(since).max(0));
        let mut out = Vec::with_capacity(HANDED_AGE_LEN + 2 * HANDED_KEY_LEN);
        out.extend_from_slice(&age_s.to_be_bytes());
        for key in [Some(&ring.current), ring.previous.as_ref()].into_iter().flatten() {
            out.extend_from_slice(&key.name);
            out.extend_from_slice(&key.secret);
        }
        out
    }

    /// Takes the keys of a former process in place of its own, which have made no tickets yet. False, and nothing has changed, when they are none.
    #[must_use]
    pub fn take_over(&self, handed: &[u8], now_s: u64) -> bool {
        let Some((age_s, keys)) = handed.split_first_chunk::<HANDED_AGE_LEN>() else {
            return false;
        };
        let age_s = i64::from_be_bytes(*age_s);
        let (keys, rest) = keys.as_chunks::<HANDED_KEY_LEN>();
        if age_s < 0 || keys.is_empty() || keys.len() > 2 || !rest.is_empty() {
            return false;
        }
        let mut made = keys.iter().map(|both| {
            let (name, secret) = both.split_first_chunk::<NAME_LEN>()?;
            TicketKey::of(*name, *secret.first_chunk::<SECRET_LEN>()?)
        });
        let (Some(Some(current)), previous) = (made.next(), made.next()) else {
            return false;
        };
        let mut ring = self.ring.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let now_s = i64::try_from(now_s).unwrap_or(i64::MAX);
        *ring = Ring {
            current,
            previous: previous.flatten(),
            since_s: Some(now_s.saturating_sub(age_s)),
        };
        true
    }

    fn seal(&self, scope: &[u8; 32], message: &[u8]) -> Option<Vec<u8>> {
        if message.len() + NAME_LEN + NONCE_LEN + TAG_LEN > TICKET_BYTES_MAX {
            return None;
        }
        let ring = self.ring.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let TicketKey { name, key, .. } = &ring.current;
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
        let session = self.keys.open(&self.scope, cipher)?;
        (client_until_s(&session)? >= super::wall_s()).then_some(session)
    }
}

/// When the first of the certificates ends that a session's client showed, in seconds since 1970; `i64::MAX` when it showed none. `None`: that cannot be told, and the
/// client makes a full handshake. rustls keeps a session as `server name? version suite secret extended-master-secret certificates? …`, and gives no other way to look at it.
fn client_until_s(session: &[u8]) -> Option<i64> {
    let mut session = Fields(session);
    if session.take(1)? == [1] {
        session.short()?;
    }
    session.take(2 + 2)?;
    session.short()?;
    session.take(1)?;
    if session.take(1)? == [0] {
        return Some(i64::MAX);
    }
    let mut certificates = Fields(session.longest()?);
    let mut until = i64::MAX;
    while !certificates.0.is_empty() {
        until = until.min(x509::read(certificates.longest()?)?.not_after_s);
    }
    Some(until)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::ClientAuth;
    use super::super::session::Session;
    use super::super::testing::{Pair, authority, client_of, client_plan, plan_of, server_of};
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
    fn keys_that_are_handed_over_go_on_where_they_were() {
        let former = TicketKeys::new(100).expect("keys");
        former.rotate(1000);
        let oldest = former.seal(&SCOPE, b"session").expect("a ticket");
        assert!(former.rotate(1100));
        let older = former.seal(&SCOPE, b"session").expect("a ticket");
        let next = TicketKeys::new(100).expect("keys");
        next.rotate(0);
        assert!(next.take_over(&former.hand_over(1170), 5));
        for ticket in [&oldest, &older] {
            assert_eq!(next.open(&SCOPE, ticket).as_deref(), Some(&b"session"[..]));
        }
        assert_eq!(next.open(&[8; 32], &older), None, "another scope");
        // Both serve for a moment: what the next one gives, the former accepts too.
        let newer = next.seal(&SCOPE, b"session").expect("a ticket");
        assert_eq!(former.open(&SCOPE, &newer).as_deref(), Some(&b"session"[..]));
        // 70 s old when they were handed over at 5: changed at 35.
        assert!(!next.rotate(34));
        assert!(next.rotate(35));
        assert_eq!(next.open(&SCOPE, &oldest), None);
        assert_eq!(next.open(&SCOPE, &older).as_deref(), Some(&b"session"[..]));
    }

    #[test]
    fn what_is_no_key_changes_nothing() {
        let keys = TicketKeys::new(100).expect("keys");
        let ticket = keys.seal(&SCOPE, b"session").expect("a ticket");
        let handed = TicketKeys::new(100).expect("keys").hand_over(0);
        for length in (0..handed.len()).chain([handed.len() + 1, 500]) {
            let mut bytes = handed.clone();
            bytes.resize(length, 0);
            assert!(!keys.take_over(&bytes, 0), "{length} bytes");
        }
        assert!(
            !keys.take_over(&[&[0xff; 8], &handed[8..]].concat(), 0),
            "an age below zero"
        );
        assert!(keys.open(&SCOPE, &ticket).is_some());
    }

    #[test]
    fn tickets_of_one_session_differ() {
        let keys = TicketKeys::new(100).expect("keys");
        assert_ne!(keys.seal(&SCOPE, b"session"), keys.seal(&SCOPE, b"session"));
    }

    /// Keeps what rustls would have sealed.
    #[derive(Debug, Default)]
    struct Unsealed(Mutex<Vec<Vec<u8>>>);

    impl ProducesTickets for Unsealed {
        fn enabled(&self) -> bool {
            true
        }

        fn lifetime(&self) -> u32 {
            3600
        }

        fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
            self.0.lock().expect("a lock").push(plain.to_vec());
            Some(plain.to_vec())
        }

        fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
            Some(cipher.to_vec())
        }
    }

    #[test]
    fn a_ticket_says_until_when_the_certificates_of_its_client_hold() {
        let authority = authority("root");
        let mut plan = plan_of(&[&authority.issue(&["a.example"])]);
        plan.client_auth = ClientAuth::Optional {
            ca_pem: authority.pem.clone().into_bytes(),
        };
        let mut client = client_plan(&authority);
        let ends = rcgen::date_time_ymd(2099, 1, 1);
        let alice = authority.issue_with(&["alice.example"], |params| params.not_after = ends);
        for (identity, until) in [
            (None, i64::MAX),
            (Some((alice.chain_pem, alice.key_pem)), ends.unix_timestamp()),
        ] {
            client.identity = identity;
            let kept = Arc::new(Unsealed::default());
            let mut server = server_of(&plan);
            let mut config = rustls::ServerConfig::clone(&server.config);
            config.ticketer = kept.clone();
            server.config = Arc::new(config);
            let client = Session::client(&client_of(&client), "a.example").expect("a client");
            let mut pair = Pair::new(client, Session::server(&server), usize::MAX);
            pair.settle();
            let tickets = kept.0.lock().expect("a lock");
            let ticket = tickets.first().expect("a ticket");
            assert_eq!(client_until_s(ticket), Some(until));
            // What is no session of rustls holds for nobody.
            if until != i64::MAX {
                assert_eq!(client_until_s(&ticket[..ticket.len() / 2]), None);
            }
        }
    }
}
