//! Listening sockets of a former process: received by main, taken by the lanes. Both are threads of this process, so that they lie in a static.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cnx_transport::hand_over::{Inbox, Inherited};
use napi::Error;
use napi::bindgen_prelude::Result;
use napi_derive::napi;

struct Arrived {
    inbox: Option<Inbox>,
    sockets: Vec<Inherited>,
}

static ARRIVED: Mutex<Arrived> = Mutex::new(Arrived {
    inbox: None,
    sockets: Vec::new(),
});

fn arrived() -> MutexGuard<'static, Arrived> {
    ARRIVED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes up to `count` sockets that listen there.
pub fn take(address: SocketAddr, count: usize) -> Vec<Inherited> {
    let sockets = &mut arrived().sockets;
    let mut taken = Vec::new();
    for place in (0..sockets.len()).rev() {
        if taken.len() < count && sockets[place].address == address {
            taken.push(sockets.swap_remove(place));
        }
    }
    taken
}

/// Opens the inbox at a path where nothing is.
#[napi]
pub fn inbox_open(path: String) -> Result<()> {
    let inbox = Inbox::open(Path::new(&path)).map_err(|error| Error::from_reason(error.to_string()))?;
    arrived().inbox = Some(inbox);
    Ok(())
}

/// Takes in what has arrived; how many sockets there are.
#[napi]
pub fn inbox_receive() -> Result<u32> {
    let mut arrived = arrived();
    let more = match &arrived.inbox {
        Some(inbox) => inbox.receive().map_err(|error| Error::from_reason(error.to_string()))?,
        None => Vec::new(),
    };
    arrived.sockets.extend(more);
    Ok(u32::try_from(arrived.sockets.len()).unwrap_or(u32::MAX))
}

/// How many of them listen there.
#[napi]
pub fn inbox_count(address: String, port: u16) -> u32 {
    let Ok(address) = address.parse::<IpAddr>() else {
        return 0;
    };
    let address = SocketAddr::new(address, port);
    let sockets = &arrived().sockets;
    sockets.iter().filter(|one| one.address == address).count() as u32
}

/// Closes the inbox and what nobody took.
#[napi]
pub fn inbox_close() {
    let mut arrived = arrived();
    arrived.inbox = None;
    arrived.sockets.clear();
}
