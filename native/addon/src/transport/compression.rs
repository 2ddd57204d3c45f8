//! Plans of compression as JavaScript says them, and what was compressed as it hears it.

use cnx_transport::compress::{Algorithm, Levels, Plan};
use cnx_transport::engine::Compressed;
use napi::bindgen_prelude::Result;
use napi::{Error, Status};
use napi_derive::napi;

#[napi(object)]
pub struct TransportCompression {
    pub algorithms: Vec<String>,
    pub types: Vec<String>,
    pub bytes_min: u32,
    pub gzip: u8,
    pub br: u8,
    pub zstd: u8,
}

impl TransportCompression {
    pub fn plan(self) -> Result<Plan> {
        let algorithms = self.algorithms.iter().map(|name| {
            Algorithm::named(name).ok_or_else(|| Error::new(Status::InvalidArg, format!("{name} is no algorithm")))
        });
        Ok(Plan {
            algorithms: algorithms.collect::<Result<_>>()?,
            types: self.types,
            bytes_min: u64::from(self.bytes_min),
            levels: Levels {
                gzip: self.gzip.clamp(1, 9),
                brotli: self.br.clamp(1, 6),
                zstd: self.zstd.clamp(1, 6),
            },
        })
    }
}

/// Counts are exact up to 2^53.
#[napi(object)]
pub struct TransportCompressed {
    pub answers: Vec<f64>,
    pub bytes_in: Vec<f64>,
    pub bytes_out: Vec<f64>,
    pub busy: f64,
}

impl From<Compressed> for TransportCompressed {
    fn from(counts: Compressed) -> Self {
        let list = |counts: &[u64]| counts.iter().map(|n| *n as f64).collect();
        Self {
            answers: list(&counts.answers),
            bytes_in: list(&counts.bytes_in),
            bytes_out: list(&counts.bytes_out),
            busy: counts.busy as f64,
        }
    }
}
