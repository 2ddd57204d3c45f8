//! Reads the first message of a TLS connection (RFC 8446 §4.1.2) for what rustls does not tell: everything that a JA4 fingerprint needs. It looks at bytes that
//! rustls will read after it, refuses only what no TLS client sends, and is bounded: [`HELLO_BYTES_MAX`], [`RECORDS_MAX`].

/// The longest ClientHello. With post-quantum key shares, tickets and ECH real ones stay below 4 KiB.
pub const HELLO_BYTES_MAX: usize = 16 * 1024;
/// Records over which one ClientHello may be spread. Clients that fragment on purpose use a few.
pub const RECORDS_MAX: usize = 16;

/// What a ClientHello offers, in wire order, with GREASE (RFC 8701) still in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The version outside of extensions.
    pub legacy_version: u16,
    /// `supported_versions`.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Extension types.
    pub extensions: Vec<u16>,
    /// `signature_algorithms`.
    pub signature_algorithms: Vec<u16>,
    /// The first protocol of `application_layer_protocol_negotiation`; empty when there is none.
    pub alpn_first: Vec<u8>,
    /// The host name of `server_name`, in lower case.
    pub server_name: Option<String>,
}

impl ClientHello {
    /// The newest version that is offered, without GREASE; `None` when `supported_versions` lists nothing else.
    pub fn version(&self) -> Option<u16> {
        if self.extensions.contains(&43) {
            self.versions.iter().copied().filter(|version| !grease(*version)).max()
        } else {
            Some(self.legacy_version)
        }
    }

    /// Whether a suite with ChaCha20 stands first: so do clients whose processor has no instructions for AES.
    pub fn prefers_chacha20(&self) -> bool {
        let first = self.ciphers.iter().find(|cipher| !grease(**cipher));
        first.is_some_and(|cipher| matches!(cipher, 0x1303 | 0xcca8 | 0xcca9))
    }
}

/// GREASE (RFC 8701): both bytes equal, low half A.
pub(super) fn grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a ClientHello, so far.
    More,
    /// A whole one.
    Done(Box<ClientHello>),
    /// Not TLS at all: the first byte is not that of a handshake record.
    NotTls,
    /// A handshake record that no TLS client sends, or one beyond the bounds.
    Broken(&'static str),
}

/// Reads the ClientHello at the beginning of `bytes`, which begin with the first byte of the connection.
pub fn read(bytes: &[u8]) -> Hello {
    match message(bytes) {
        Err(early) => early,
        Ok(message) => match parse(&message) {
            Some(hello) => Hello::Done(Box::new(hello)),
            None => Hello::Broken("the ClientHello's lengths do not fit"),
        },
    }
}

/// The handshake message's body, out of its records.
fn message(bytes: &[u8]) -> Result<std::borrow::Cow<'_, [u8]>, Hello> {
    let mut rest = bytes;
    let mut joined: Vec<u8> = Vec::new();
    for number in 0..RECORDS_MAX {
        let [kind, tail @ ..] = rest else {
            return Err(Hello::More);
        };
        if *kind != 22 {
            return Err(if number == 0 {
                Hello::NotTls
            } else {
                Hello::Broken("a ClientHello interrupted by another record")
            });
        }
        if tail.first().is_some_and(|major| *major != 3) {
            return Err(Hello::Broken("a record of no TLS version"));
        }
        let [_, _, high, low, tail @ ..] = tail else {
            return Err(Hello::More);
        };
        let length = usize::from(*high) << 8 | usize::from(*low);
        if length == 0 || length > HELLO_BYTES_MAX + 4 {
            return Err(Hello::Broken("a handshake record of no sensible length"));
        }
        let here = &tail[..length.min(tail.len())];
        let whole = here.len() == length;
        let seen: &[u8] = if joined.is_empty() {
            here
        } else {
            joined.extend_from_slice(here);
            &joined
        };
        if let [kind, ..] = seen
            && *kind != 1
        {
            return Err(Hello::Broken("the first message is not a ClientHello"));
        }
        if let [_, a, b, c, ..] = seen {
            let needed = 4 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
            if needed > HELLO_BYTES_MAX {
                return Err(Hello::Broken("a ClientHello beyond 16 KiB"));
            }
            if seen.len() >= needed {
                return Ok(if joined.is_empty() {
                    here[4..needed].into()
                } else {
                    joined[4..needed].to_vec().into()
                });
            }
        }
        if !whole {
            return Err(Hello::More);
        }
        if joined.is_empty() {
            joined.extend_from_slice(here);
        }
        rest = &tail[length..];
    }
    Err(Hello::Broken("a ClientHello in more than 16 records"))
}

/// A reader of length-prefixed fields.
pub(super) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    pub fn short(&mut self) -> Option<&'a [u8]> {
        let length = self.take(1)?[0];
        self.take(usize::from(length))
    }

    fn long(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub fn longest(&mut self) -> Option<&'a [u8]> {
        let [a, b, c] = *self.take(3)?.first_chunk()?;
        self.take(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
    }
}

fn numbers(bytes: &[u8]) -> Option<Vec<u16>> {
    bytes.len().is_multiple_of(2).then(|| {
        bytes
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
            .collect()
    })
}

fn parse(body: &[u8]) -> Option<ClientHello> {
    let mut fields = Fields(body);
    let legacy_version = fields.u16()?;
    fields.take(32)?;
    fields.short().filter(|session| session.len() <= 32)?;
    let mut hello = ClientHello {
        legacy_version,
        ciphers: numbers(fields.long()?)?,
        ..ClientHello::default()
    };
    fields.short()?;
    if fields.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Fields(fields.long()?);
    if !fields.0.is_empty() {
        return None;
    }
    while !extensions.0.is_empty() {
        let kind = extensions.u16()?;
        let mut value = Fields(extensions.long()?);
        hello.extensions.push(kind);
        match kind {
            0 => hello.server_name = host_name(value.long()?)?,
            13 => hello.signature_algorithms = numbers(value.long()?)?,
            16 => hello.alpn_first = Fields(value.long()?).short()?.to_vec(),
            43 => hello.versions = numbers(value.short()?)?,
            _ => value.0 = &[],
        }
        if !value.0.is_empty() {
            return None;
        }
    }
    Some(hello)
}

/// The one host_name of a server_name list, without the dot that may not end it (RFC 6066 §3). An address or bytes that no name has are no name, as rustls sees them too.
fn host_name(list: &[u8]) -> Option<Option<String>> {
    let mut list = Fields(list);
    let mut name = None;
    while !list.0.is_empty() {
        let kind = list.take(1)?[0];
        let value = list.long()?;
        if kind == 0 && name.is_none() {
            name = rustls::pki_types::DnsName::try_from(value)
                .ok()
                .map(|name| undotted(name.as_ref()).to_ascii_lowercase());
        }
    }
    Some(name)
}

/// A name without the dot of the root: some clients send it as they were given it.
pub(super) fn undotted(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

#[cfg(test)]
#[path = "client_hello_test.rs"]
mod tests;
