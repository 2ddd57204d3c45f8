//! Where an answer's bytes can be changed or copied on their way: compression, a tee to a cache or a mirror. What a filter gives goes the way that the bytes
//! would have gone, so the client's room bounds what is read of the upstream as it does without one. An exchange without a filter pays for one look at a
//! pointer a part.

use super::Engine;
use super::state::{AnswerBody, Phase};

/// What an answer's body passes through.
pub trait Filter: Send {
    /// True when the body may become longer or shorter: the length that the upstream declared does not pass then.
    fn resizes(&self) -> bool;
    /// A part of the body as it came; what the client gets for it is appended to `out`, now or with a later part.
    fn part(&mut self, bytes: &[u8], out: &mut Vec<u8>);
    /// The body is over: what is still due. Not called when it breaks off.
    fn end(&mut self, out: &mut Vec<u8>);
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
        let x = &mut self.exchanges[slot as usize];
        let Some(mut filter) = x.filter.take() else { return };
        let mut out = std::mem::take(&mut self.filter_out);
        out.clear();
        match part {
            Some(bytes) => {
                filter.part(bytes, &mut out);
                x.filter = Some(filter);
            }
            None => filter.end(&mut out),
        }
        self.answer_out(slot, &out);
        self.filter_out = out;
    }
}
