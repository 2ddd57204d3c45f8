//! Certificates made for a test, and two sessions talking to each other through memory.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};

use super::{CertificatePlan, ClientTlsPlan, ServerTls, ServerTlsPlan, Session, TicketKeys, client_tls, server_tls};

/// An authority.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, in PEM.
pub struct Issued {
    pub chain_pem: Vec<u8>,
    pub key_pem: Vec<u8>,
}

pub fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Authority {
        pem: certificate.pem(),
        issuer: Issuer::new(params, key),
    }
}

impl Authority {
    pub fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().expect("a key");
        self.issue_for(names, key, change)
    }

    pub fn issue_for(&self, names: &[&str], key: KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let mut params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            chain_pem: certificate.pem().into_bytes(),
            key_pem: key.serialize_pem().into_bytes(),
        }
    }

    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    pub fn issue_person(&self, name: &str) -> Issued {
        self.issue_with(&[], |params| {
            params.distinguished_name.push(DnType::CommonName, name);
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.subject_alt_names = vec![SanType::URI(
                format!("spiffe://example/{name}").try_into().expect("a URI"),
            )];
        })
    }
}

impl Issued {
    pub fn plan(&self) -> CertificatePlan {
        CertificatePlan {
            chain_pem: self.chain_pem.clone(),
            key_pem: self.key_pem.clone(),
            ..CertificatePlan::default()
        }
    }
}

pub fn tickets() -> Arc<TicketKeys> {
    TicketKeys::new(3600).expect("ticket keys")
}

pub fn plan_of(certificates: &[&Issued]) -> ServerTlsPlan {
    ServerTlsPlan {
        certificates: certificates.iter().map(|issued| issued.plan()).collect(),
        ..ServerTlsPlan::default()
    }
}

pub fn server_of(plan: &ServerTlsPlan) -> ServerTls {
    server_tls(plan, tickets()).expect("a server's TLS")
}

pub fn client_plan(authority: &Authority) -> ClientTlsPlan {
    ClientTlsPlan {
        ca_pem: Some(authority.pem.clone().into_bytes()),
        ..ClientTlsPlan::default()
    }
}

pub fn client_of(plan: &ClientTlsPlan) -> super::ClientTls {
    client_tls(plan).expect("a client's TLS")
}

/// A pipe in memory that gives at most `step` bytes a read and takes at most `step` a write.
pub struct Pipe {
    pub bytes: Vec<u8>,
    pub step: usize,
    pub ended: bool,
}

impl Pipe {
    pub fn new(step: usize) -> Pipe {
        Pipe {
            bytes: Vec::new(),
            step,
            ended: false,
        }
    }
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = out.len().min(self.step).min(self.bytes.len());
        if n == 0 && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        out[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes.drain(..n);
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = bytes.len().min(self.step);
        self.bytes.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A client and a server with a pipe each way.
pub struct Pair {
    pub client: Session,
    pub server: Session,
    pub to_server: Pipe,
    pub to_client: Pipe,
}

impl Pair {
    pub fn new(client: Session, server: Session, step: usize) -> Pair {
        Pair {
            client,
            server,
            to_server: Pipe::new(step),
            to_client: Pipe::new(step),
        }
    }

    /// Moves ciphertext both ways until nothing moves. The first error of each side: `(client, server)`.
    pub fn settle(&mut self) -> (Option<io::Error>, Option<io::Error>) {
        let (mut of_client, mut of_server) = (None, None);
        loop {
            let mut moved = 0;
            moved += drain(&mut self.client, &mut self.to_server);
            moved += take(&mut self.server, &mut self.to_server, &mut of_server);
            moved += drain(&mut self.server, &mut self.to_client);
            moved += take(&mut self.client, &mut self.to_client, &mut of_client);
            if moved == 0 {
                return (of_client, of_server);
            }
        }
    }

    /// Sends `bytes` from the client and gives what the server reads.
    pub fn up(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = bytes;
        let mut got = Vec::new();
        let mut room = vec![0; 64 * 1024];
        while !rest.is_empty() || got.len() < bytes.len() {
            rest = &rest[self.client.write(rest)..];
            self.settle();
            while let Ok(n @ 1..) = self.server.read(&mut room) {
                got.extend_from_slice(&room[..n]);
            }
        }
        got
    }

    /// The other way.
    pub fn down(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut rest = bytes;
        let mut got = Vec::new();
        let mut room = vec![0; 64 * 1024];
        while !rest.is_empty() || got.len() < bytes.len() {
            rest = &rest[self.server.write(rest)..];
            self.settle();
            while let Ok(n @ 1..) = self.client.read(&mut room) {
                got.extend_from_slice(&room[..n]);
            }
        }
        got
    }
}

fn drain(session: &mut Session, pipe: &mut Pipe) -> usize {
    let mut moved = 0;
    while session.wants_send() {
        moved += session.send(pipe).expect("a pipe takes what it is given");
    }
    moved
}

fn take(session: &mut Session, pipe: &mut Pipe, error: &mut Option<io::Error>) -> usize {
    let mut moved = 0;
    loop {
        match session.receive(pipe) {
            Ok(0) => return moved,
            Ok(n) => moved += n,
            Err(found) if found.kind() == io::ErrorKind::WouldBlock => return moved,
            Err(found) => {
                // A failed session reads no more: what is left in the pipe is nobody's.
                moved += usize::from(error.is_none());
                error.get_or_insert(found);
                return moved;
            }
        }
    }
}
