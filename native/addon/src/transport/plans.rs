//! What JavaScript says an engine, its listeners and its endpoints are to be, in the terms of cnx-transport.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use cnx_transport::engine::options::{Cidr, Options, RefusalTemplate, ShedPlan};
use cnx_transport::tls::{
    CertificatePlan, ClientAuth, ClientTls, ClientTlsPlan, MinVersion, ServerTls, ServerTlsPlan, TicketKeys,
    client_tls, server_tls,
};
use napi::bindgen_prelude::{Result, Uint8Array};
use napi::{Error, Status};
use napi_derive::napi;

/// Time that a key of session tickets is used for new ones, seconds.
const TICKET_ROTATION_S: u64 = 6 * 3600;

/// One of our own refusals.
#[napi(object)]
pub struct TransportRefusal {
    pub status: u16,
    pub before_id: String,
    pub after_id: String,
    pub close: bool,
}

/// How requests are turned away unread.
#[napi(object)]
pub struct TransportShed {
    pub row: u32,
    pub retry_after_s: u32,
    pub id_prefix: String,
}

#[napi(object)]
pub struct TransportOptions {
    pub exchanges_max: u32,
    pub refusals: Vec<TransportRefusal>,
    pub internal_row: u32,
    pub connections_max: u32,
    pub connections_per_address_max: u32,
    pub handshake_ms: u32,
    pub head_ms: u32,
    pub idle_ms: u32,
    pub write_ms: u32,
    pub body_rate_min: u32,
    pub shed: TransportShed,
}

impl TransportOptions {
    pub fn split(self) -> Result<(Options, Vec<RefusalTemplate>)> {
        if self.internal_row as usize >= self.refusals.len() {
            return Err(Error::new(Status::InvalidArg, "internalRow is no refusal"));
        }
        if self.shed.row as usize >= self.refusals.len() {
            return Err(Error::new(Status::InvalidArg, "shed.row is no refusal"));
        }
        let options = Options {
            exchanges_max: self.exchanges_max as usize,
            connections_max: self.connections_max as usize,
            connections_per_address_max: self.connections_per_address_max as usize,
            handshake_ms: u64::from(self.handshake_ms),
            head_ms: u64::from(self.head_ms),
            idle_ms: u64::from(self.idle_ms),
            write_ms: u64::from(self.write_ms),
            body_rate_min: u64::from(self.body_rate_min),
            shed: Some(ShedPlan {
                row: self.shed.row as usize,
                retry_after_s: self.shed.retry_after_s,
                id_prefix: self.shed.id_prefix,
            }),
            ..Options::default()
        };
        let refusals = self.refusals.into_iter().map(|row| RefusalTemplate {
            status: row.status,
            before_id: row.before_id,
            after_id: row.after_id,
            close: row.close,
        });
        Ok((options, refusals.collect()))
    }
}

/// A certificate of a listener.
#[napi(object)]
pub struct TransportCertificate {
    pub chain_pem: Uint8Array,
    pub key_pem: Uint8Array,
    pub ocsp_der: Option<Uint8Array>,
    pub names: Vec<String>,
}

#[napi(object)]
pub struct TransportTls {
    pub certificates: Vec<TransportCertificate>,
    pub min_version: String,
    pub client_auth: String,
    pub client_ca_pem: Option<Uint8Array>,
    pub cipher_suites: Vec<String>,
}

#[napi(object)]
pub struct TransportListener {
    pub number: u32,
    pub address: String,
    pub port: u16,
    pub tls: Option<TransportTls>,
    pub http2: bool,
    pub proxy_from: Vec<String>,
    pub inherited: Option<u32>,
}

#[napi(object)]
pub struct TransportEndpointTls {
    pub server_name: String,
    pub ca_pem: Option<String>,
    pub chain_pem: Option<String>,
    pub key_pem: Option<String>,
}

#[napi(object)]
pub struct TransportEndpoint {
    pub connections_max: u32,
    pub waiting_max: Option<u32>,
    pub http2: bool,
    pub tls: Option<TransportEndpointTls>,
}

/// Keys of session tickets: one set in the process, so that a ticket of one lane is good at another.
fn tickets() -> Result<Arc<TicketKeys>> {
    static KEYS: OnceLock<Option<Arc<TicketKeys>>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| TicketKeys::new(TICKET_ROTATION_S));
    keys.clone()
        .ok_or_else(|| Error::from_reason("the system gives no randomness for the keys of session tickets"))
}

/// Seconds since this was first asked.
fn seconds() -> u64 {
    static SINCE: OnceLock<Instant> = OnceLock::new();
    SINCE.get_or_init(Instant::now).elapsed().as_secs()
}

/// Changes the keys when their time has come.
pub fn rotate_tickets() {
    if let Ok(keys) = tickets() {
        keys.rotate(seconds());
    }
}

/// The keys of session tickets, for the process that follows.
#[napi]
pub fn ticket_keys() -> Result<Uint8Array> {
    Ok(tickets()?.hand_over(seconds()).into())
}

/// Takes the keys of a former process, before a lane listens; false: they are none.
#[napi]
pub fn take_ticket_keys(keys: Uint8Array) -> Result<bool> {
    Ok(tickets()?.take_over(&keys, seconds()))
}

/// A listener's TLS. What is wrong with it is an error of the kind `InvalidArg`, which tells it from an address that is taken.
pub fn server(tls: TransportTls, http2: bool) -> Result<ServerTls> {
    let ca_pem = |ca: Option<Uint8Array>| {
        ca.map(|ca| ca.to_vec())
            .ok_or_else(|| Error::new(Status::InvalidArg, "client certificates need clientCaPem"))
    };
    let certificates = tls.certificates.into_iter().map(|one| CertificatePlan {
        chain_pem: one.chain_pem.to_vec(),
        key_pem: one.key_pem.to_vec(),
        ocsp_der: one.ocsp_der.map(|der| der.to_vec()),
        names: one.names,
    });
    let plan = ServerTlsPlan {
        certificates: certificates.collect(),
        min_version: if tls.min_version == "1.3" {
            MinVersion::Tls13
        } else {
            MinVersion::Tls12
        },
        client_auth: match tls.client_auth.as_str() {
            "required" => ClientAuth::Required {
                ca_pem: ca_pem(tls.client_ca_pem)?,
            },
            "optional" => ClientAuth::Optional {
                ca_pem: ca_pem(tls.client_ca_pem)?,
            },
            _ => ClientAuth::Off,
        },
        // HTTP/1.0 for who offers nothing else: what is spoken is the same (curl --http1.0).
        alpn: [&b"h2"[..], b"http/1.1", b"http/1.0"][usize::from(!http2)..]
            .iter()
            .map(|name| name.to_vec())
            .collect(),
        cipher_suites: tls.cipher_suites,
    };
    rotate_tickets();
    server_tls(&plan, tickets()?).map_err(|error| Error::new(Status::InvalidArg, error.to_string()))
}

/// TLS towards an endpoint, and the name that its certificate must have.
pub fn client(tls: TransportEndpointTls, http2: bool) -> Result<(ClientTls, String)> {
    let identity = match (tls.chain_pem, tls.key_pem) {
        (Some(chain), Some(key)) => Some((chain.into_bytes(), key.into_bytes())),
        (None, None) => None,
        _ => {
            return Err(Error::new(Status::InvalidArg, "chainPem and keyPem go together"));
        }
    };
    let plan = ClientTlsPlan {
        ca_pem: tls.ca_pem.map(String::into_bytes),
        identity,
        alpn: if http2 { vec![b"h2".to_vec()] } else { Vec::new() },
    };
    let made = client_tls(&plan).map_err(|error| Error::new(Status::InvalidArg, error.to_string()))?;
    Ok((made, tls.server_name))
}

/// Networks as `address/bits`.
pub fn networks(texts: &[String]) -> Result<Vec<Cidr>> {
    texts
        .iter()
        .map(|text| {
            let (address, bits) = text.split_once('/').unwrap_or((text, ""));
            let address = address.parse::<IpAddr>().ok();
            let most = if address.is_some_and(|a| a.is_ipv4()) { 32 } else { 128 };
            let bits = if bits.is_empty() { Some(most) } else { bits.parse().ok() };
            match (address, bits) {
                (Some(address), Some(bits)) if bits <= most => Ok(Cidr { address, bits }),
                _ => Err(Error::new(Status::InvalidArg, format!("{text} is no network"))),
            }
        })
        .collect()
}
