//! What Connection says (RFC 9110 §7.6.1): whether the connection stays, and which fields end here.

use super::fields::{CONNECTION, CONTENT_LENGTH, Field};
use super::scan::listed;
use crate::layout::Fault;

/// Fields that one head may nominate; more are refused, since each is looked for among all fields.
pub const NOMINATED_MAX: usize = 32;

/// Fields that decisions and framing rely on. A client that has them end here would make the upstream see another request than was decided on.
const RELIED_ON: [&[u8]; 13] = [
    b"authorization",
    b"cookie",
    b"content-type",
    b"content-encoding",
    b"content-length",
    b"host",
    b"via",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-request-id",
    b"traceparent",
];

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Connection {
    pub close: bool,
    pub keep_alive: bool,
    pub upgrade: bool,
}

/// What a Connection field nominates: these end here, in the trailers as in the head.
pub fn nominated(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    listed(value).filter(|option| !Connection::default().said(option))
}

impl Connection {
    /// Takes note of an option that names no field; false: it names one.
    fn said(&mut self, option: &[u8]) -> bool {
        if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else {
            return false;
        }
        true
    }
}

/// Reads all Connection fields and marks what they nominate. `of_request`: nominating what decisions rely on is a fault; in a response only the length
/// is kept whatever is said of it.
pub(super) fn read_connection(bytes: &[u8], fields: &mut [Field], of_request: bool) -> Result<Connection, Fault> {
    let mut found = Connection::default();
    let mut nominated = 0;
    for n in 0..fields.len() {
        if fields[n].known != CONNECTION {
            continue;
        }
        let value = fields[n].value.of(bytes);
        for option in listed(value) {
            if !found.said(option) {
                nominated += 1;
                let relied_on = of_request && RELIED_ON.iter().any(|name| option.eq_ignore_ascii_case(name));
                if nominated > NOMINATED_MAX || relied_on {
                    return Err(Fault::BadHeader);
                }
                for field in fields.iter_mut() {
                    if field.known != CONTENT_LENGTH && field.name.of(bytes).eq_ignore_ascii_case(option) {
                        field.hop = true;
                    }
                }
            }
        }
    }
    Ok(found)
}
