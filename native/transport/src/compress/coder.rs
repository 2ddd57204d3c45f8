//! One body on its way through one algorithm. Windows are no larger than WINDOW_BITS_MAX, so that what a body takes is bounded here and at the client.

use brotli::enc::StandardAlloc;
use brotli::enc::encode::{BrotliEncoderOperation, BrotliEncoderParameter, BrotliEncoderStateStruct};
use flate2::{Compress, Compression, FlushCompress, Status};
use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, InBuffer, OutBuffer, ResetDirective};

use super::{Algorithm, Levels};

/// Largest window: 256 KiB. Text gains a percent or two beyond it, and each doubling doubles what a body takes.
pub const WINDOW_BITS_MAX: u32 = 18;
/// Smallest window of brotli (RFC 7932 §9.1).
const WINDOW_BITS_MIN: u32 = 10;
/// And from level 5 on: for smaller ones the encoder has another way of searching, whose preparation takes milliseconds however short the body is.
const WINDOW_BITS_MIN_HIGH: u32 = 17;
/// From this hint on brotli takes tables of 4 MiB.
const SIZE_HINT_MAX: u64 = (1 << 20) - 1;
/// Room that is made for output at a time, bytes. More than the six that one flush of zlib needs.
const OUT_BYTES: usize = 16 * 1024;
/// Rounds of one call: each takes input or gives output, so this is never reached by what works.
const ROUNDS_MAX: usize = 1 << 16;

type Brotli = BrotliEncoderStateStruct<StandardAlloc>;

/// An encoder that broke: the body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// What an encoder is asked to do with all that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take bytes.
    Take,
    /// Give what was taken, so that it can be read.
    Flush,
    /// Give what was taken, and the end.
    End,
}

/// An encoder in the middle of a body.
pub enum Coder {
    /// RFC 1952, by zlib-rs; with its level.
    Gzip(Box<Compress>, u8),
    /// RFC 7932.
    Brotli(Box<Brotli>),
    /// RFC 8878.
    Zstd(CCtx<'static>),
}

/// Encoders that are kept from one body to the next. Brotli's cannot be used again.
#[derive(Default)]
pub struct Kept {
    gzip: Vec<(Box<Compress>, u8)>,
    zstd: Vec<CCtx<'static>>,
}

/// Encoders of one kind that are kept while nobody uses them.
pub const KEPT_MAX: usize = 8;

impl Kept {
    /// An encoder for a body, of `declared` bytes when that is known. None when it cannot be made.
    pub fn coder(&mut self, algorithm: Algorithm, levels: &Levels, declared: Option<u64>) -> Option<Coder> {
        match algorithm {
            Algorithm::Gzip => {
                let level = levels.gzip;
                let place = self.gzip.iter().position(|(_, kept)| *kept == level);
                let compress = place.map(|at| self.gzip.swap_remove(at).0);
                let compress =
                    compress.unwrap_or_else(|| Box::new(Compress::new_gzip(Compression::new(level.into()), 15)));
                Some(Coder::Gzip(compress, level))
            }
            Algorithm::Brotli => Some(Coder::Brotli(Box::new(brotli(levels.brotli, declared)))),
            Algorithm::Zstd => {
                let mut context = self.zstd.pop().or_else(CCtx::try_create)?;
                zstd(&mut context, levels.zstd, declared).ok()?;
                Some(Coder::Zstd(context))
            }
        }
    }

    /// Takes one back for the next body, wherever in its own it was left.
    pub fn take_back(&mut self, coder: Coder) {
        match coder {
            Coder::Gzip(mut compress, level) if self.gzip.len() < KEPT_MAX => {
                compress.reset();
                self.gzip.push((compress, level));
            }
            Coder::Zstd(context) if self.zstd.len() < KEPT_MAX => self.zstd.push(context),
            _ => {}
        }
    }
}

/// Bytes that an encoder takes at most while it is at work; what a test holds. `declared`: the body's length, when it is known.
#[must_use]
pub fn bytes_of(algorithm: Algorithm, levels: &Levels, declared: Option<u64>) -> usize {
    const KIB: usize = 1024;
    let short = declared.is_some_and(|bytes| bytes <= 64 * 1024);
    match algorithm {
        Algorithm::Gzip => 384 * KIB,
        Algorithm::Brotli if short => 2_048 * KIB,
        Algorithm::Brotli => 3_072 * KIB,
        Algorithm::Zstd => match (levels.zstd <= 3, short) {
            (true, true) => 1_024 * KIB,
            (true, false) | (false, true) => 2_048 * KIB,
            (false, false) => 5_120 * KIB,
        },
    }
}

fn brotli(level: u8, declared: Option<u64>) -> Brotli {
    let mut state = Brotli::new(StandardAlloc::default());
    let window = declared.map_or(WINDOW_BITS_MAX, |bytes| {
        // A window of n bits reaches back 2^n − 16 bytes.
        let bits = 64 - bytes.saturating_add(16).leading_zeros();
        let least = if level >= 5 {
            WINDOW_BITS_MIN_HIGH
        } else {
            WINDOW_BITS_MIN
        };
        bits.clamp(least, WINDOW_BITS_MAX)
    });
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_QUALITY, level.into());
    state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_LGWIN, window);
    if let Some(bytes) = declared {
        let hint = bytes.min(SIZE_HINT_MAX) as u32;
        state.set_parameter(BrotliEncoderParameter::BROTLI_PARAM_SIZE_HINT, hint);
    }
    state
}

fn zstd(context: &mut CCtx<'static>, level: u8, declared: Option<u64>) -> Result<(), zstd_safe::ErrorCode> {
    context.reset(ResetDirective::SessionAndParameters)?;
    context.set_parameter(CParameter::CompressionLevel(level.into()))?;
    context.set_parameter(CParameter::WindowLog(WINDOW_BITS_MAX))?;
    if declared.is_some() {
        // Smaller tables for small bodies, and the size in the frame's head. It must hold then: a body of another length breaks off anyway.
        context.set_pledged_src_size(declared)?;
    }
    Ok(())
}

impl Coder {
    /// Takes bytes, then does the step; what comes out is appended to `out`.
    ///
    /// # Errors
    /// When the encoder cannot go on: it has no memory, or the body is longer or shorter than was declared.
    pub fn run(&mut self, bytes: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), Broken> {
        match self {
            Self::Gzip(compress, _) => run_gzip(compress, bytes, step, out),
            Self::Brotli(state) => run_brotli(state, bytes, step, out),
            Self::Zstd(context) => run_zstd(context, bytes, step, out),
        }
    }
}

fn run_gzip(compress: &mut Compress, bytes: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), Broken> {
    let how = match step {
        Step::Take => FlushCompress::None,
        Step::Flush => FlushCompress::Sync,
        Step::End => FlushCompress::Finish,
    };
    let mut at = 0;
    for _ in 0..ROUNDS_MAX {
        if out.capacity() - out.len() < OUT_BYTES / 2 {
            out.reserve(OUT_BYTES);
        }
        let before = compress.total_in();
        let status = compress.compress_vec(&bytes[at..], out, how).map_err(|_| Broken)?;
        at += (compress.total_in() - before) as usize;
        // Room that is left says that nothing is held back but what the step allows.
        let room = out.capacity() > out.len();
        let done = match step {
            Step::End => status == Status::StreamEnd,
            Step::Take | Step::Flush => at == bytes.len() && room,
        };
        if done {
            return Ok(());
        }
    }
    Err(Broken)
}

fn run_brotli(state: &mut Brotli, bytes: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), Broken> {
    let how = match step {
        Step::Take => BrotliEncoderOperation::BROTLI_OPERATION_PROCESS,
        Step::Flush => BrotliEncoderOperation::BROTLI_OPERATION_FLUSH,
        Step::End => BrotliEncoderOperation::BROTLI_OPERATION_FINISH,
    };
    let (mut left, mut at) = (bytes.len(), 0);
    for _ in 0..ROUNDS_MAX {
        // No room is given: what comes out is taken from where it lies.
        let went = state.compress_stream(
            how,
            &mut left,
            bytes,
            &mut at,
            &mut 0,
            &mut [],
            &mut 0,
            &mut None,
            &mut |_, _, _, _| {},
        );
        if !went {
            return Err(Broken);
        }
        let mut size = 0;
        let lies = state.take_output(&mut size);
        out.extend_from_slice(&lies[..size]);
        let done = match step {
            Step::End => state.is_finished(),
            Step::Take | Step::Flush => left == 0 && !state.has_more_output(),
        };
        if done {
            return Ok(());
        }
    }
    Err(Broken)
}

fn run_zstd(context: &mut CCtx<'static>, bytes: &[u8], step: Step, out: &mut Vec<u8>) -> Result<(), Broken> {
    let how = match step {
        Step::Take => ZSTD_EndDirective::ZSTD_e_continue,
        Step::Flush => ZSTD_EndDirective::ZSTD_e_flush,
        Step::End => ZSTD_EndDirective::ZSTD_e_end,
    };
    let mut input = InBuffer::around(bytes);
    for _ in 0..ROUNDS_MAX {
        if out.capacity() - out.len() < OUT_BYTES / 2 {
            out.reserve(OUT_BYTES);
        }
        let from = out.len();
        let mut output = OutBuffer::around_pos(out, from);
        let left = context
            .compress_stream2(&mut output, &mut input, how)
            .map_err(|_| Broken)?;
        let taken = input.pos() == bytes.len();
        if taken && (step == Step::Take || left == 0) {
            return Ok(());
        }
    }
    Err(Broken)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::compress::ALGORITHMS;
    use proptest::prelude::*;

    const LEVELS: Levels = Levels {
        gzip: 6,
        brotli: 5,
        zstd: 3,
    };

    fn decoded(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let read = match algorithm {
            Algorithm::Gzip => flate2::bufread::GzDecoder::new(bytes).read_to_end(&mut out),
            Algorithm::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
            Algorithm::Zstd => {
                let mut room = vec![0; 1 << 20];
                let n = zstd_safe::decompress(&mut room[..], bytes).unwrap();
                out.extend_from_slice(&room[..n]);
                Ok(n)
            }
        };
        read.unwrap();
        out
    }

    /// Pieces, each with whether it is flushed.
    fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
        let text = "[ab ]{0,300}".prop_map(String::into_bytes);
        let noise = proptest::collection::vec(any::<u8>(), 0..300);
        let long = (any::<u8>(), 0..100_000_usize).prop_map(|(byte, n)| vec![byte; n]);
        proptest::collection::vec((prop_oneof![text, noise, long], any::<bool>()), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_decoded_is_what_went_in_however_it_is_cut(bodies in proptest::collection::vec((pieces(), any::<bool>()), 1..4)) {
            for algorithm in ALGORITHMS {
                let mut kept = Kept::default();
                for (body, declared) in &bodies {
                    let whole: Vec<u8> = body.iter().flat_map(|(piece, _)| piece.clone()).collect();
                    let length = declared.then_some(whole.len() as u64);
                    let mut coder = kept.coder(algorithm, &LEVELS, length).unwrap();
                    let mut out = Vec::new();
                    for (piece, flush) in body {
                        coder.run(piece, Step::Take, &mut out).unwrap();
                        if *flush {
                            coder.run(&[], Step::Flush, &mut out).unwrap();
                        }
                    }
                    coder.run(&[], Step::End, &mut out).unwrap();
                    prop_assert!(decoded(algorithm, &out) == whole);
                    // One that is left in the middle of a body serves the next one as well.
                    let mut left = kept.coder(algorithm, &LEVELS, None).unwrap();
                    left.run(b"half a body", Step::Take, &mut Vec::new()).unwrap();
                    kept.take_back(left);
                    kept.take_back(coder);
                }
            }
        }
    }

    #[test]
    fn no_more_encoders_are_kept_than_may_be() {
        let mut kept = Kept::default();
        for algorithm in ALGORITHMS {
            let some: Vec<Coder> = (0..KEPT_MAX + 3)
                .filter_map(|_| kept.coder(algorithm, &LEVELS, None))
                .collect();
            assert_eq!(some.len(), KEPT_MAX + 3);
            some.into_iter().for_each(|coder| kept.take_back(coder));
        }
        assert_eq!((kept.gzip.len(), kept.zstd.len()), (KEPT_MAX, KEPT_MAX));
    }

    #[test]
    fn zstd_takes_no_more_than_is_counted_for_it() {
        for level in 1..=6 {
            for declared in [None, Some(5_000), Some(64 * 1024), Some(1 << 30)] {
                let levels = Levels { zstd: level, ..LEVELS };
                let Some(Coder::Zstd(mut context)) = Kept::default().coder(Algorithm::Zstd, &levels, declared) else {
                    panic!("no encoder");
                };
                let piece = vec![7; 4096];
                run_zstd(&mut context, &piece, Step::Take, &mut Vec::new()).unwrap();
                let most = bytes_of(Algorithm::Zstd, &levels, declared);
                assert!(
                    context.sizeof() <= most,
                    "level {level} {declared:?}: {}",
                    context.sizeof()
                );
            }
        }
    }

    #[test]
    fn windows_are_bounded() {
        // RFC 8878 §3.1.1.1.2: exponent and mantissa after the magic number and the descriptor.
        let mut out = Vec::new();
        let mut coder = Kept::default().coder(Algorithm::Zstd, &LEVELS, None).unwrap();
        coder.run(&vec![1; 1 << 20], Step::Flush, &mut out).unwrap();
        assert_eq!(10 + (u32::from(out[5]) >> 3), WINDOW_BITS_MAX);
    }
}
