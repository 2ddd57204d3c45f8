//! Where an answer's bytes can be changed or copied on their way: compression, a tee to a cache or a mirror. What a filter gives goes the way that the bytes
//! would have gone, so the client's room bounds what is read of the upstream as it does without one. An exchange without a filter pays for one look at a
//! pointer a part.

use super::Engine;
use super::state::{After, AnswerBody, Phase};

/// Bytes that all filters of a lane take in one turn; the other connections have theirs before more. Some milliseconds of compression.
pub const FILTER_BYTES_PER_TURN: usize = 128 * 1024;
/// A body of unknown length that pauses is given on as far as it came, at most so often, ms. What pauses sooner, and bodies whose length says that more comes,
/// wait for the next tick.
const FLUSH_MS: u64 = 20;

/// What an answer's body passes through.
pub trait Filter: Send {
    /// True when the body may become longer or shorter: the length that the upstream declared does not pass then.
    fn resizes(&self) -> bool;
    /// A part of the body as it came; what the client gets for it is appended to `out`, now or with a later part. False: it cannot go on, and the answer breaks off.
    fn part(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool;
    /// The upstream pauses: what was held back of the parts so far, if anything was. False as above.
    fn flush(&mut self, out: &mut Vec<u8>) -> bool;
    /// The body is over: what is still due. Not called when it breaks off. False as above.
    fn end(&mut self, out: &mut Vec<u8>) -> bool;
}

/// What a filter is given.
#[derive(Clone, Copy)]
enum Given<'a> {
    Part(&'a [u8]),
    Pause,
    End,
}

impl Engine {
    /// Puts a filter in the way of an exchange's answer; to be said before its head goes out: with the verdict that forwards it, or that lets it pass. Answers of our
    /// own and those without a body are not filtered. Edits of fields (Content-Encoding, ETag, Vary) are whoever's who sets it.
    pub fn filter_answer(&mut self, slot: u32, filter: Box<dyn Filter>) {
        if let Some(x) = self.exchanges.get_mut(slot as usize)
            && !x.head_sent
            && !matches!(x.phase, Phase::Free | Phase::Over)
        {
            x.filter = Some(filter);
        }
    }

    /// How the body is framed when it passes the filter: none is needed for what has no body.
    pub(super) fn frame_filtered(&mut self, slot: u32, body: AnswerBody) -> AnswerBody {
        let x = &mut self.exchanges[slot as usize];
        match body {
            AnswerBody::None | AnswerBody::Length(0) => {
                x.filter = None;
                body
            }
            AnswerBody::Length(_) if x.filter.as_ref().is_some_and(|f| f.resizes()) => {
                // Whoever knows how much is to come loses nothing by waiting for it.
                x.flushed_at = u64::MAX;
                if x.http10 {
                    AnswerBody::Close
                } else {
                    AnswerBody::Chunked
                }
            }
            _ => body,
        }
    }

    /// A part of the body, or its end, through the filter.
    pub(super) fn filtered(&mut self, slot: u32, part: Option<&[u8]>) {
        let Some(bytes) = part else {
            return self.filter_given(slot, Given::End);
        };
        self.filter_left = self.filter_left.saturating_sub(bytes.len());
        let x = &mut self.exchanges[slot as usize];
        if !std::mem::replace(&mut x.filter_holds, true) {
            self.unflushed.push(slot);
        }
        self.filter_given(slot, Given::Part(bytes));
    }

    fn filter_given(&mut self, slot: u32, given: Given<'_>) {
        let x = &mut self.exchanges[slot as usize];
        let Some(mut filter) = x.filter.take() else { return };
        let mut out = std::mem::take(&mut self.filter_out);
        out.clear();
        let after = if matches!(given, Given::End) {
            After::More
        } else {
            After::Unknown
        };
        let went = match given {
            Given::Part(bytes) => filter.part(bytes, &mut out),
            Given::Pause => filter.flush(&mut out),
            Given::End => filter.end(&mut out),
        };
        if went && !matches!(given, Given::End) {
            x.filter = Some(filter);
        }
        if went {
            self.answer_out(slot, &out, after);
        } else {
            // Half a body must not look whole.
            self.abort(slot, false);
            self.cut(slot);
        }
        self.filter_out = out;
    }

    /// Whether this turn has bytes left for the filter of an exchange, if it has one. If not, the next turn goes on with it.
    pub(super) fn filter_takes_more(&mut self, slot: u32) -> bool {
        if self.filter_left > 0 || self.exchanges[slot as usize].filter.is_none() {
            return true;
        }
        if !self.filter_later.contains(&slot) {
            self.filter_later.push(slot);
        }
        false
    }

    /// A turn begins.
    pub(super) fn filter_anew(&mut self) {
        self.filter_left = FILTER_BYTES_PER_TURN;
        for slot in std::mem::take(&mut self.filter_later) {
            self.client_takes(slot);
        }
    }

    /// Gives on what filters hold back while their upstream pauses: at the end of a turn, when nothing more has come, and at each tick.
    pub(super) fn flush_filters(&mut self, tick: bool) {
        let mut at = 0;
        while let Some(slot) = self.unflushed.get(at).copied() {
            let x = &self.exchanges[slot as usize];
            if !x.filter_holds || x.filter.is_none() || x.phase != Phase::Answering {
                self.unflushed.swap_remove(at);
                continue;
            }
            let pauses = x.flushed_at != u64::MAX && self.now >= x.flushed_at + FLUSH_MS;
            // A client that takes nothing gains nothing by it.
            if !(tick || pauses) || !self.client_takes_more(slot) || self.filter_later.contains(&slot) {
                at += 1;
                continue;
            }
            self.unflushed.swap_remove(at);
            let now = self.now;
            let x = &mut self.exchanges[slot as usize];
            x.filter_holds = false;
            if x.flushed_at != u64::MAX {
                x.flushed_at = now;
            }
            self.filter_given(slot, Given::Pause);
        }
    }
}
