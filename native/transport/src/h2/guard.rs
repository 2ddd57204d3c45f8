//! A look at the header of every frame that arrives, before h2 sees it: floods of frames that are cheap to send and costly to serve are bounded here where
//! h2 has no bound of its own. Budgets are given back by what flows and by time, so that they hold for connections of any age; the clock is read only
//! when a budget is used up.

use std::time::Instant;

use super::limits::Limits;

const PREFACE_BYTES: usize = 24;
const HEADER_BYTES: usize = 9;
/// Bytes sent or received in bodies that give one frame without use back: a peer that acknowledges each packet with a WINDOW_UPDATE or measures by PING is no flood.
const BYTES_PER_FRAME: usize = 512;
/// What a completed exchange gives back: its own WINDOW_UPDATEs, PRIORITYs and PINGs.
const FRAMES_PER_EXCHANGE: i64 = 8;
const PING_COST: i64 = 2;
const SETTINGS_COST: i64 = 10;
/// Bytes of a part of a header block below which the part counts as empty, unless it is the last.
const SMALL_PART_BYTES: usize = 128;

/// Tokens that are used up and given back.
struct Budget {
    tokens: i64,
    max: i64,
    per_second: i64,
    /// When time was last counted.
    at: Instant,
}

impl Budget {
    fn new(max: u32, per_second: u32, at: Instant) -> Budget {
        Budget {
            tokens: i64::from(max),
            max: i64::from(max),
            per_second: i64::from(per_second),
            at,
        }
    }

    /// False when there is none left.
    fn take(&mut self, cost: i64, now: impl FnOnce() -> Instant) -> bool {
        self.tokens -= cost;
        if self.tokens < 0 {
            let now = now();
            let elapsed_ms = now.saturating_duration_since(self.at).as_millis().min(1 << 40) as i64;
            self.at = now;
            self.tokens = (self.tokens + elapsed_ms * self.per_second / 1000).min(self.max);
        }
        self.tokens >= 0
    }

    fn give(&mut self, n: i64) {
        self.tokens = (self.tokens + n).min(self.max);
    }
}

/// What has been seen of the frames of one connection.
pub(super) struct Guard {
    header: [u8; HEADER_BYTES],
    have: usize,
    /// Payload or preface left to skip.
    skip: usize,
    /// Bytes of the header block that is open; none outside of one.
    block: Option<usize>,
    block_max: usize,
    control: Budget,
    resets: Budget,
    goaway: bool,
    flood: Option<&'static str>,
}

impl Guard {
    pub fn new(limits: &Limits, server: bool) -> Guard {
        let now = Instant::now();
        Guard {
            header: [0; HEADER_BYTES],
            have: 0,
            skip: if server { PREFACE_BYTES } else { 0 },
            block: None,
            // Huffman coding at its worst is longer than the text.
            block_max: limits.header_list_bytes_max as usize * 2 + 16 * 1024,
            control: Budget::new(limits.control_frames_max, limits.control_frames_per_second, now),
            resets: Budget::new(limits.resets_max, limits.resets_per_second, now),
            goaway: false,
            flood: None,
        }
    }

    /// Looks at what has arrived; the name of the flood once there is one.
    pub fn scan(&mut self, mut bytes: &[u8]) -> Option<&'static str> {
        while self.flood.is_none() && !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                bytes = &bytes[n..];
                continue;
            }
            let n = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                self.frame();
            }
        }
        self.flood
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = len;
        let cost = match kind {
            0x0 if len == 0 && flags & 0x1 == 0 => 1,
            0x0 => {
                self.flowed(len);
                0
            }
            0x1 | 0x9 => return self.header_part(kind, flags, len),
            0x3 => return self.reset("too many resets"),
            0x4 if flags & 0x1 == 0 => SETTINGS_COST + (len / 64) as i64,
            0x6 => PING_COST,
            0x7 => {
                self.goaway = true;
                SETTINGS_COST
            }
            // PRIORITY, WINDOW_UPDATE, an acknowledgement, PUSH_PROMISE (h2 ends the connection), unknown ones.
            _ => 1,
        };
        if cost > 0 && !self.control.take(cost, Instant::now) {
            self.flood = Some(match kind {
                0x2 => "too many PRIORITY frames",
                0x4 => "too many SETTINGS frames",
                0x6 => "too many PING frames",
                0x8 => "too many WINDOW_UPDATE frames",
                _ => "too many frames without use",
            });
        }
    }

    /// HEADERS or CONTINUATION.
    fn header_part(&mut self, kind: u8, flags: u8, len: usize) {
        let total = if kind == 0x9 {
            self.block.unwrap_or(0) + len
        } else {
            len
        };
        if total > self.block_max {
            self.flood = Some("header block too long");
            return;
        }
        let last = flags & 0x4 != 0;
        self.block = if last { None } else { Some(total) };
        if !last && len < SMALL_PART_BYTES && !self.control.take(PING_COST, Instant::now) {
            self.flood = Some("too many parts of header blocks");
        }
    }

    /// A stream was reset, or had to be.
    pub fn reset(&mut self, flood: &'static str) {
        if !self.resets.take(1, Instant::now) {
            self.flood = Some(flood);
        }
    }

    /// Bytes of bodies went through, either way.
    pub fn flowed(&mut self, bytes: usize) {
        self.control.give((bytes / BYTES_PER_FRAME) as i64);
    }

    /// A request was answered to its end.
    pub fn completed(&mut self) {
        self.resets.give(1);
        self.control.give(FRAMES_PER_EXCHANGE);
    }

    /// True once the peer has said that it leaves.
    pub fn goaway(&self) -> bool {
        self.goaway
    }

    pub fn flood(&self) -> Option<&'static str> {
        self.flood
    }
}
