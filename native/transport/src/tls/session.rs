//! One TLS connection, either side, without a socket: ciphertext comes from whatever can be read and goes to whatever can be written. No call waits.
//!
//! An idle session holds rustls' own state and nothing else: ciphertext is read into memory of the thread and decrypted there, and buffers own memory only
//! while bytes are in them.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{CommonState, HandshakeKind, ServerConfig};

use super::buffer::Buffer;
use super::client_hello::{self, Hello};
use super::{ClientIdentity, ClientTls, ServerTls, TlsError, client, ja4};

/// Ciphertext that waits to be sent; [`Session::write`] takes no more beyond it.
pub const OUTGOING_BYTES_MAX: usize = 64 * 1024;
/// Plaintext that waits to be read; [`Session::receive`] reads no more beyond it.
pub const PLAIN_BYTES_MAX: usize = 64 * 1024;
/// Ciphertext taken by one read.
const READ_BYTES: usize = 64 * 1024;
/// Ciphertext of an incomplete record (at most 16,640 bytes) or of an incomplete handshake message, which a client's certificates can make long.
const CARRIED_BYTES_MAX: usize = 32 * 1024;
/// Room below which a long write waits for more, so that a slow reader does not get records of a few bytes.
const WRITE_BYTES_MIN: usize = 4 * 1024;
/// Bytes that a record adds at most: header, explicit nonce, content type, tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;
/// Plaintext of one record at most (RFC 8446 §5.1).
pub const RECORD_PLAIN_MAX: usize = 16 * 1024;

thread_local! {
    /// Where every session of the thread reads: what it carried over, then the new bytes.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

enum Side {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// One TLS connection.
pub struct Session {
    side: Side,
    /// Ciphertext that is not yet a whole record or message.
    carried: Buffer,
    plain: Buffer,
    outgoing: Buffer,
    status: Status,
    server_name: Option<Box<str>>,
    ja4: Box<str>,
    /// Until the ClientHello is read: what serves a client that puts ChaCha20 first.
    client_order: Option<Arc<ServerConfig>>,
}

#[derive(Default)]
struct Status {
    /// The ClientHello is not read yet (server).
    hello_due: bool,
    peer_closed: bool,
    end_of_stream: bool,
    closing: bool,
    failure: Option<Box<str>>,
}

/// What a session agreed on, once its handshake is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `TLSv1.3` or `TLSv1.2`; empty before it is agreed.
    pub version: &'static str,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The key exchange group, such as `X25519MLKEM768`; empty when none was used.
    pub group: String,
    /// The name the client asked for (server side), in lower case.
    pub server_name: Option<String>,
    /// The client's certificate, verified (server side).
    pub client: Option<ClientIdentity>,
    /// The client's JA4 fingerprint (server side); empty when its ClientHello was not seen.
    pub ja4: String,
    /// Whether a ticket spared the full handshake.
    pub resumed: bool,
}

/// What to do once application data may be sent.
enum Task<'p> {
    Nothing,
    Encrypt(&'p [u8]),
    Close,
}

/// The two kinds of rustls connection, as far as they differ here.
trait Records {
    type Data;
    fn records<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Records for UnbufferedServerConnection {
    type Data = ServerConnectionData;
    fn records<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, ServerConnectionData> {
        self.process_tls_records(bytes)
    }
}

impl Records for UnbufferedClientConnection {
    type Data = ClientConnectionData;
    fn records<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, ClientConnectionData> {
        self.process_tls_records(bytes)
    }
}

/// What a turn did.
#[derive(Default)]
struct Turn {
    consumed: usize,
    /// Plaintext that the task encrypted.
    taken: usize,
    peer_closed: bool,
    failure: Option<Box<str>>,
}

/// Lets a connection do all it can with `bytes`, then the task if it may.
fn turn<R: Records>(
    connection: &mut R,
    bytes: &mut [u8],
    task: Task<'_>,
    plain: &mut Buffer,
    outgoing: &mut Buffer,
) -> Turn {
    let mut turn = Turn::default();
    loop {
        let UnbufferedStatus { mut discard, state, .. } = connection.records(&mut bytes[turn.consumed..]);
        let mut more = true;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            plain.push(record.payload);
                        }
                        Err(error) => turn.failure = Some(error.to_string().into()),
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                if let Err(error) = encode(outgoing, |room| data.encode(room)) {
                    turn.failure = Some(error.to_string().into());
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => turn.peer_closed = true,
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                match &task {
                    Task::Nothing => {}
                    Task::Encrypt(bytes) => match encrypt(&mut traffic, bytes, outgoing) {
                        Ok(()) => turn.taken = bytes.len(),
                        Err(error) => turn.failure = Some(error.to_string().into()),
                    },
                    Task::Close => {
                        // The alert comes out encoded, or as data to encode in the next round, or there is none to send any more.
                        let _ = close(&mut traffic, outgoing);
                    }
                }
                more = false;
            }
            Ok(ConnectionState::BlockedHandshake | ConnectionState::Closed) => more = false,
            Ok(_) => turn.failure = Some("early data, which was not offered".into()),
            Err(error) => turn.failure = Some(error.to_string().into()),
        }
        turn.consumed = (turn.consumed + discard).min(bytes.len());
        if !more || turn.failure.is_some() {
            return turn;
        }
    }
}

/// After a failure: the alert that says why, and nothing else.
fn alerts<R: Records>(connection: &mut R, wants: impl Fn(&R) -> bool, outgoing: &mut Buffer) {
    while wants(connection) {
        match connection.records(&mut []).state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                if encode(outgoing, |room| data.encode(room)).is_err() {
                    return;
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            _ => return,
        }
    }
}

fn encode(
    outgoing: &mut Buffer,
    mut data: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), EncodeError> {
    let written = match data(outgoing.space(0)) {
        Err(EncodeError::InsufficientSize(needed)) => data(outgoing.space(needed.required_size)),
        other => other,
    };
    outgoing.filled(written?);
    Ok(())
}

fn encrypt<D>(traffic: &mut WriteTraffic<'_, D>, bytes: &[u8], outgoing: &mut Buffer) -> Result<(), EncryptError> {
    let records = bytes.len().div_ceil(RECORD_PLAIN_MAX);
    let written = match traffic.encrypt(bytes, outgoing.space(bytes.len() + records * RECORD_OVERHEAD)) {
        // An answer to a key update goes out first.
        Err(EncryptError::InsufficientSize(needed)) => traffic.encrypt(bytes, outgoing.space(needed.required_size)),
        other => other,
    };
    outgoing.filled(*written.as_ref().unwrap_or(&0));
    written.map(|_| ())
}

fn close<D>(traffic: &mut WriteTraffic<'_, D>, outgoing: &mut Buffer) -> Result<(), EncryptError> {
    let room = outgoing.space(256);
    let written = traffic.queue_close_notify(room);
    outgoing.filled(*written.as_ref().unwrap_or(&0));
    written.map(|_| ())
}

fn server_side(config: &Arc<ServerConfig>) -> Side {
    let connection = UnbufferedServerConnection::new(Arc::clone(config))
        .expect("a configuration without a fragment size, the only thing that a session can find wrong");
    Side::Server(Box::new(connection))
}

impl Session {
    fn new(side: Side) -> Session {
        Session {
            side,
            carried: Buffer::default(),
            plain: Buffer::default(),
            outgoing: Buffer::default(),
            status: Status::default(),
            server_name: None,
            ja4: Box::default(),
            client_order: None,
        }
    }

    /// A session for a connection that was accepted.
    pub fn server(tls: &ServerTls) -> Session {
        let mut session = Session::new(server_side(&tls.config));
        session.status.hello_due = true;
        session.client_order.clone_from(&tls.client_order);
        session
    }

    /// A session for a connection that was made to `server_name`, a host name or an address. Its ClientHello is at once ready to send.
    pub fn client(tls: &ClientTls, server_name: &str) -> Result<Session, TlsError> {
        let name = client::server_name(server_name)?;
        let connection = UnbufferedClientConnection::new(tls.config.clone(), name)
            .map_err(|error| TlsError::new("upstream TLS", error.to_string(), "check the upstream's TLS settings"))?;
        let mut session = Session::new(Side::Client(Box::new(connection)));
        session.advance(&mut [], Task::Nothing);
        Ok(session)
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Server(connection) => connection,
            Side::Client(connection) => connection,
        }
    }

    /// One turn of the connection over `bytes`; an alert for a failure is queued.
    fn advance(&mut self, bytes: &mut [u8], task: Task<'_>) -> Turn {
        let turn = match &mut self.side {
            Side::Server(connection) => {
                let turn = turn(&mut **connection, bytes, task, &mut self.plain, &mut self.outgoing);
                if turn.failure.is_some() {
                    alerts(
                        &mut **connection,
                        |connection| connection.wants_write(),
                        &mut self.outgoing,
                    );
                }
                turn
            }
            Side::Client(connection) => {
                let turn = turn(&mut **connection, bytes, task, &mut self.plain, &mut self.outgoing);
                if turn.failure.is_some() {
                    alerts(
                        &mut **connection,
                        |connection| connection.wants_write(),
                        &mut self.outgoing,
                    );
                }
                turn
            }
        };
        self.status.peer_closed |= turn.peer_closed;
        if let Some(failure) = &turn.failure {
            self.status.failure.get_or_insert_with(|| failure.clone());
        }
        turn
    }

    /// The same over what was carried over.
    fn advance_carried(&mut self, task: Task<'_>) -> Turn {
        let mut carried = std::mem::take(&mut self.carried);
        let turn = self.advance(carried.bytes_mut(), task);
        carried.consume(turn.consumed);
        self.carried = carried;
        turn
    }

    fn failed(&self) -> Option<io::Error> {
        self.status
            .failure
            .as_ref()
            .map(|failure| io::Error::new(io::ErrorKind::InvalidData, failure.to_string()))
    }

    /// Takes ciphertext by one read of up to 64 KiB and processes it; says how many bytes came, 0 at the end of the stream. `WouldBlock` passes through, and is
    /// also the answer while [`PLAIN_BYTES_MAX`] wait to be read: read until `WouldBlock` first. `InvalidData` is the end of the session; an alert then
    /// waits to be sent.
    pub fn receive(&mut self, io: &mut dyn Read) -> io::Result<usize> {
        if let Some(error) = self.failed() {
            return Err(error);
        }
        if self.plain.len() >= PLAIN_BYTES_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut scratch = SCRATCH.with_borrow_mut(std::mem::take);
        if scratch.is_empty() {
            scratch.resize(CARRIED_BYTES_MAX + READ_BYTES, 0);
        }
        let result = self.receive_into(io, &mut scratch);
        SCRATCH.with_borrow_mut(|place| *place = scratch);
        result
    }

    fn receive_into(&mut self, io: &mut dyn Read, scratch: &mut [u8]) -> io::Result<usize> {
        let carried = self.carried.len();
        let came = io.read(&mut scratch[carried..carried + READ_BYTES])?;
        if came == 0 {
            self.status.end_of_stream = true;
            return Ok(0);
        }
        if self.status.peer_closed {
            // Nothing after close_notify is looked at (RFC 8446 §6.1).
            return Ok(came);
        }
        scratch[..carried].copy_from_slice(self.carried.bytes());
        let bytes = &mut scratch[..carried + came];
        if self.status.hello_due && !self.hello(bytes)? {
            self.carried.push(&bytes[carried..]);
            return Ok(came);
        }
        let turn = self.advance(bytes, Task::Nothing);
        self.carried.clear();
        if let Some(error) = self.failed() {
            return Err(error);
        }
        let rest = &bytes[turn.consumed..];
        if self.status.peer_closed {
            return Ok(came);
        }
        if rest.len() > CARRIED_BYTES_MAX {
            return Err(self.refuse("a handshake message beyond 32 KiB", 50));
        }
        self.carried.push(rest);
        Ok(came)
    }

    /// Reads the ClientHello; false while it is incomplete.
    fn hello(&mut self, bytes: &[u8]) -> io::Result<bool> {
        match client_hello::read(bytes) {
            Hello::More if bytes.len() <= client_hello::HELLO_BYTES_MAX + 5 * client_hello::RECORDS_MAX => {
                return Ok(false);
            }
            Hello::More => return Err(self.refuse("a ClientHello beyond 16 KiB", 50)),
            Hello::NotTls if bytes[0].is_ascii_uppercase() => {
                return Err(self.refuse("plain HTTP where TLS is spoken", 10));
            }
            Hello::NotTls => return Err(self.refuse("not TLS", 10)),
            Hello::Broken(why) => return Err(self.refuse(why, 50)),
            Hello::Done(hello) => {
                // rustls looks for signature algorithms first and would blame those (RFC 8446 §4.2.1 wants this alert).
                if hello.version().is_none_or(|version| version < 0x0303) {
                    return Err(self.refuse("a client of TLS 1.1 or older", 70));
                }
                if let Some(config) = self.client_order.take_if(|_| hello.prefers_chacha20()) {
                    self.side = server_side(&config);
                }
                self.ja4 = ja4::ja4(&hello).into();
                self.server_name = hello.server_name.map(Into::into);
            }
        }
        self.client_order = None;
        self.status.hello_due = false;
        Ok(true)
    }

    /// Ends the session by a fatal alert of ours, for what never reached rustls. Alerts before keys are agreed are plain text; once they are, the connection
    /// is simply ended.
    fn refuse(&mut self, why: &'static str, alert: u8) -> io::Error {
        if self.status.hello_due {
            self.outgoing.push(&[21, 3, 3, 0, 2, 2, alert]);
        }
        self.carried.clear();
        self.status.failure = Some(why.into());
        io::Error::new(io::ErrorKind::InvalidData, why)
    }

    /// Plaintext. `WouldBlock`: none now. `Ok(0)`: the other side has closed; [`Session::closed_cleanly`] tells how.
    pub fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.plain.len().min(out.len());
        if n > 0 {
            out[..n].copy_from_slice(&self.plain.bytes()[..n]);
            self.plain.consume(n);
            return Ok(n);
        }
        if let Some(error) = self.failed() {
            return Err(error);
        }
        if self.status.peer_closed || self.status.end_of_stream || out.is_empty() {
            return Ok(0);
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Plaintext that waits, in place; [`Session::consume`] says how much of it was taken. Spares the copy of [`Session::read`].
    pub fn readable(&self) -> &[u8] {
        self.plain.bytes()
    }

    /// The first `n` bytes of [`Session::readable`] were taken.
    pub fn consume(&mut self, n: usize) {
        self.plain.consume(n);
    }

    /// Encrypts what fits into the bound of [`OUTGOING_BYTES_MAX`] and says how much that was: 0 during the handshake, after [`Session::close`], after a failure,
    /// and while too much waits to be sent.
    pub fn write(&mut self, plain: &[u8]) -> usize {
        if self.status.failure.is_some() || self.status.closing || plain.is_empty() || self.common().is_handshaking() {
            return 0;
        }
        let room = OUTGOING_BYTES_MAX.saturating_sub(self.outgoing.len());
        let n = plain.len().min(room);
        if n < plain.len() && room < WRITE_BYTES_MIN {
            return 0;
        }
        self.advance_carried(Task::Encrypt(&plain[..n])).taken
    }

    /// Sends ciphertext by one write and says how many bytes went; `WouldBlock` passes through.
    pub fn send(&mut self, io: &mut dyn Write) -> io::Result<usize> {
        if self.outgoing.is_empty() {
            return Ok(0);
        }
        let n = io.write(self.outgoing.bytes())?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.outgoing.consume(n);
        Ok(n)
    }

    /// Whether ciphertext waits to be sent.
    pub fn wants_send(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Ciphertext that waits to be sent, in bytes.
    pub fn pending(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether the handshake goes on. False after a failure.
    pub fn handshaking(&self) -> bool {
        self.status.failure.is_none() && self.common().is_handshaking()
    }

    /// Whether the handshake is over for the other side too, so that of ours only tickets are to be sent. TLS 1.2 ends with the server's word.
    pub fn owes_only_tickets(&self) -> bool {
        !self.handshaking() && self.common().protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3)
    }

    /// The application protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.common().alpn_protocol()
    }

    /// Queues close_notify, once. During the handshake there is nothing to say: end the connection.
    pub fn close(&mut self) {
        if self.status.closing || self.status.failure.is_some() {
            return;
        }
        if !self.common().is_handshaking() {
            self.advance_carried(Task::Close);
        }
        self.status.closing = true;
    }

    /// Whether the other side said close_notify: what was read is all there was. An end of stream without it may be a truncation (RFC 8446 §6.1).
    pub fn closed_cleanly(&self) -> bool {
        self.status.peer_closed
    }

    /// Why the session ended, if it failed.
    pub fn failure(&self) -> Option<&str> {
        self.status.failure.as_deref()
    }

    /// What was agreed on. Makes strings and reads the client's certificate: once per connection, not per request.
    pub fn facts(&self) -> Facts {
        let common = self.common();
        let is_server = matches!(self.side, Side::Server(_));
        let client = common.peer_certificates().filter(|_| is_server).and_then(<[_]>::first);
        Facts {
            version: match common.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "",
            },
            cipher: common
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .map_or_else(String::new, |name| name.replace("TLS13_", "TLS_")),
            group: common
                .negotiated_key_exchange_group()
                .map_or_else(String::new, |group| format!("{:?}", group.name())),
            server_name: self.server_name.as_deref().map(str::to_owned),
            client: client.map(ClientIdentity::of),
            ja4: self.ja4.to_string(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
