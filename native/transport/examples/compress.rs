//! How long each algorithm takes for a file at each level, what is left of it, and what a fresh encoder costs: `cargo run --release --example compress -- file…`.
//! The levels of `src/config/compress.ts` are chosen by it.

use cnx_transport::compress::{ALGORITHMS, Algorithm, Kept, Levels, Step};

/// Bytes that are handed over at a time, as the engine does.
const PIECE: usize = 64 * 1024;

fn main() {
    for path in std::env::args().skip(1) {
        let Ok(body) = std::fs::read(&path) else {
            eprintln!("{path} cannot be read");
            continue;
        };
        for algorithm in ALGORITHMS {
            let most = if algorithm == Algorithm::Gzip { 9 } else { 6 };
            for level in 1..=most {
                measure(&path, algorithm, level, &body);
            }
        }
    }
}

fn measure(path: &str, algorithm: Algorithm, level: u8, body: &[u8]) {
    let levels = Levels {
        gzip: level,
        brotli: level,
        zstd: level,
    };
    let mut kept = Kept::default();
    let mut out = Vec::new();
    let (mut rounds, started) = (0_u32, busy_ns());
    while busy_ns() - started < 200_000_000 {
        out.clear();
        let Some(mut coder) = kept.coder(algorithm, &levels, Some(body.len() as u64)) else {
            return;
        };
        for piece in body.chunks(PIECE) {
            let _ = coder.run(piece, Step::Take, &mut out);
        }
        let _ = coder.run(&[], Step::End, &mut out);
        kept.take_back(coder);
        rounds += 1;
    }
    let each = (busy_ns() - started) as f64 / 1e9 / f64::from(rounds);
    println!(
        "{path} {} {level}: {:.1} % left, {:.0} µs, {:.0} MB/s",
        algorithm.name(),
        100.0 * out.len() as f64 / body.len() as f64,
        each * 1e6,
        body.len() as f64 / each / 1e6,
    );
}

/// Time that this thread has run, whatever else the machine does.
fn busy_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
