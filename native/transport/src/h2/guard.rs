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

/// Bytes of a header block that tell whether it begins with a pseudo-header field, with padding length and priority before them.
const PEEK_BYTES: usize = 12;

/// Streams of which that is noted between two turns.
const PSEUDO_TRAILERS_MAX: usize = 256;

/// Codes of RFC 9113 §7.
const FRAME_SIZE_ERROR: u32 = 0x6;
const COMPRESSION_ERROR: u32 = 0x9;
const ENHANCE_YOUR_CALM: u32 = 0xb;

/// Changes of the table's size that a header block may begin with: the smallest of an interval and the last (RFC 7541 §4.2).
const SIZE_UPDATES_MAX: u8 = 2;

/// Whether frames of this kind may be so long; h2 answers the others with PROTOCOL_ERROR, where RFC 9113 §6 wants FRAME_SIZE_ERROR.
fn length_fits(kind: u8, flags: u8, len: usize) -> bool {
    match kind {
        0x2 => len == 5,
        0x3 | 0x8 => len == 4,
        0x4 if flags & 0x1 != 0 => len == 0,
        0x4 => len.is_multiple_of(6),
        0x6 => len == 8,
        0x7 => len >= 8,
        _ => true,
    }
}

/// The beginning of a header block, while it is nothing but changes of the table's size. They cost h2 more than any other byte, and it takes any number.
#[derive(Default)]
struct SizeUpdates {
    /// Padding length and priority that come first.
    before: usize,
    count: u8,
    /// Within the integer of one.
    within: bool,
}

/// Whether a header block (RFC 7541 §6) begins with a pseudo-header field: one of the static table's first 14, or a name spelt out that begins with a colon.
fn begins_with_pseudo(mut block: &[u8]) -> bool {
    // Changes of the table's size.
    while let [first, rest @ ..] = block
        && first & 0xe0 == 0x20
    {
        block = rest;
    }
    match block {
        [first, ..] if first & 0x80 != 0 => (1..=14).contains(&(first & 0x7f)),
        [0x00 | 0x10 | 0x40, length, name, ..] => {
            // Plain, or Huffman-coded: 1011100.
            if length & 0x80 == 0 {
                *name == b':'
            } else {
                name >> 1 == 0x5c
            }
        }
        [first, ..] => (1..=14).contains(&(first & if first & 0x40 != 0 { 0x3f } else { 0x0f })),
        [] => false,
    }
}

/// Padding length and priority of HEADERS.
fn bytes_before_block(flags: u8) -> usize {
    usize::from(flags & 0x8 != 0) + if flags & 0x20 != 0 { 5 } else { 0 }
}

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
    /// Why the connection cannot go on: code and reason.
    fault: Option<(u32, &'static str)>,
    server: bool,
    /// Server: the last stream that was opened.
    last_stream: u32,
    /// Where the beginning of trailers is put together, and how much of it is there; none outside.
    peek: ([u8; PEEK_BYTES], Option<usize>),
    /// Streams whose trailers begin with a pseudo-header field, as `pseudo_trailers()` tells them.
    pseudo_trailers: Vec<u32>,
    /// None past the beginning of a header block.
    size_updates: Option<SizeUpdates>,
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
            fault: None,
            server,
            last_stream: 0,
            peek: ([0; PEEK_BYTES], None),
            pseudo_trailers: Vec::new(),
            size_updates: None,
        }
    }

    /// Looks at what has arrived; false once the connection cannot go on.
    pub fn scan(&mut self, mut bytes: &[u8]) -> bool {
        while self.fault.is_none() && !bytes.is_empty() {
            if self.skip > 0 {
                let n = self.skip.min(bytes.len());
                self.skip -= n;
                if let Some(have) = self.peek.1 {
                    self.peek(have, &bytes[..n]);
                }
                if self.size_updates.is_some() {
                    self.count_size_updates(&bytes[..n]);
                }
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
        self.fault.is_none()
    }

    fn flood(&mut self, reason: &'static str) {
        self.fault = Some((ENHANCE_YOUR_CALM, reason));
    }

    fn count_size_updates(&mut self, bytes: &[u8]) {
        let Some(updates) = &mut self.size_updates else { return };
        let before = updates.before.min(bytes.len());
        updates.before -= before;
        for byte in &bytes[before..] {
            if updates.within {
                updates.within = byte & 0x80 != 0;
            } else if byte & 0xe0 == 0x20 {
                updates.count += 1;
                updates.within = byte & 0x1f == 0x1f;
                if updates.count > SIZE_UPDATES_MAX {
                    self.fault = Some((COMPRESSION_ERROR, "too many changes of the header table's size"));
                    return;
                }
            } else {
                self.size_updates = None;
                return;
            }
        }
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = len;
        if kind != 0x9 {
            self.size_updates = None;
        }
        if !length_fits(kind, flags, len) {
            self.fault = Some((FRAME_SIZE_ERROR, "frame of a wrong length"));
            return;
        }
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
            self.flood(match kind {
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
            self.flood("header block too long");
            return;
        }
        if kind == 0x1 {
            self.size_updates = Some(SizeUpdates {
                before: bytes_before_block(flags),
                ..SizeUpdates::default()
            });
        }
        if kind == 0x1 && self.server {
            let stream = self.stream();
            if stream > self.last_stream {
                self.last_stream = stream;
            } else if len > 0 {
                self.peek.1 = Some(0);
            }
        }
        if kind == 0x1 && !self.server && flags & 0x1 != 0 && len > 0 {
            self.peek.1 = Some(0);
        }
        let last = flags & 0x4 != 0;
        self.block = if last { None } else { Some(total) };
        if !last && len < SMALL_PART_BYTES && !self.control.take(PING_COST, Instant::now) {
            self.flood("too many parts of header blocks");
        }
    }

    fn stream(&self) -> u32 {
        let [.., a, b, c, d] = self.header;
        u32::from_be_bytes([a & 0x7f, b, c, d])
    }

    /// Looks at the beginning of trailers: h2 drops pseudo-header fields in them, RFC 9113 §8.1 wants the stream reset. Only one that is named by its place
    /// in the dynamic table passes here, to be dropped there.
    fn peek(&mut self, have: usize, bytes: &[u8]) {
        let n = (PEEK_BYTES - have).min(bytes.len());
        self.peek.0[have..have + n].copy_from_slice(&bytes[..n]);
        if have + n < PEEK_BYTES && self.skip > 0 {
            self.peek.1 = Some(have + n);
            return;
        }
        self.peek.1 = None;
        let flags = self.header[4];
        let block = self.peek.0[..have + n]
            .get(bytes_before_block(flags)..)
            .unwrap_or_default();
        if begins_with_pseudo(block) && self.pseudo_trailers.len() < PSEUDO_TRAILERS_MAX {
            self.pseudo_trailers.push(self.stream());
        }
    }

    /// The peer sends requests.
    pub fn is_server(&self) -> bool {
        self.server
    }

    /// A stream whose trailers begin with a pseudo-header field; on the client's side one that ends with HEADERS that do, be they a head or trailers.
    pub fn pseudo_trailers(&mut self) -> Option<u32> {
        self.pseudo_trailers.pop()
    }

    /// A stream was reset, or had to be.
    pub fn reset(&mut self, flood: &'static str) {
        if !self.resets.take(1, Instant::now) {
            self.flood(flood);
        }
    }

    /// Client: a request was begun. Its reset is no flood: a client of ours may have what it asks for end so, and it shares the connection with others.
    pub fn requested(&mut self) {
        self.resets.give(1);
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

    /// Why the connection cannot go on, as a code of RFC 9113 §7 and for logs.
    pub fn fault(&self) -> Option<(u32, &'static str)> {
        self.fault
    }
}
