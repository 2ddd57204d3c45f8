//! Compression of answers: whether one is compressed, what its head says then, and the filter that does it. Decided here rather than in a stage, for most answers
//! pass without JavaScript; a stage has named the plan (`word::COMPRESS`).

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Engine;
use super::fields::{Edits, write_field};
use super::filter::Filter;
use super::slots::Slots;
use super::state::AnswerBody;
use crate::compress::{ALGORITHMS, Algorithm, Coder, Kept, Plan, Step, bytes_of, chosen};
use crate::layout::{FIELDS_AT, FIELDS_MAX, word};

/// Number of Accept-Encoding among the known fields.
const ACCEPT_ENCODING: u32 = 11;
/// Plans that are known at once; a number beyond it is none.
pub const PLANS_MAX: usize = 1024;
/// An answer of our own up to this is compressed before its head goes out, so that it has a length; a longer one on its way.
const AT_ONCE_BYTES_MAX: usize = 64 * 1024;
/// Fields that name a digest or a signature of the content: a body that was changed would be taken for a damaged one.
const DIGESTS: [&[u8]; 5] = [
    b"content-digest",
    b"repr-digest",
    b"digest",
    b"content-md5",
    b"signature",
];

/// What was compressed since the engine was made; by algorithm's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compressed {
    /// Answers.
    pub answers: [u64; ALGORITHMS.len()],
    /// Their bytes before, and after.
    pub bytes_in: [u64; ALGORITHMS.len()],
    /// Counted when an answer is over.
    pub bytes_out: [u64; ALGORITHMS.len()],
    /// Answers that stayed as they were since no encoder was to be had (`Options::coder_bytes_max`).
    pub busy: u64,
}

/// What all encoders of an engine share.
#[derive(Default)]
pub struct Coders {
    kept: Kept,
    /// Bytes that those in use may take.
    bytes: usize,
    counts: Compressed,
}

type Shared = Arc<Mutex<Coders>>;

fn with<T>(shared: &Shared, work: impl FnOnce(&mut Coders) -> T) -> T {
    // One thread uses it: it is a lock so that filters may be sent with their engine.
    work(&mut shared.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An encoder in the way of one answer. It goes back to the others when it is dropped.
struct Compressor {
    coder: Option<Coder>,
    algorithm: Algorithm,
    bytes: usize,
    taken: u64,
    given: u64,
    shared: Shared,
}

impl Compressor {
    fn run(&mut self, bytes: &[u8], step: Step, out: &mut Vec<u8>) -> bool {
        let Some(coder) = &mut self.coder else { return false };
        let before = out.len();
        let went = coder.run(bytes, step, out).is_ok();
        self.taken += bytes.len() as u64;
        self.given += (out.len() - before) as u64;
        went
    }
}

impl Filter for Compressor {
    fn resizes(&self) -> bool {
        true
    }

    fn part(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        self.run(bytes, Step::Take, out)
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> bool {
        self.run(&[], Step::Flush, out)
    }

    fn end(&mut self, out: &mut Vec<u8>) -> bool {
        self.run(&[], Step::End, out)
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        let coder = self.coder.take();
        with(&self.shared, |coders| {
            coders.bytes -= self.bytes;
            let at = self.algorithm as usize;
            coders.counts.answers[at] += 1;
            coders.counts.bytes_in[at] += self.taken;
            coders.counts.bytes_out[at] += self.given;
            if let Some(coder) = coder {
                coders.kept.take_back(coder);
            }
        });
    }
}

/// What compression has to say in an answer's head.
#[derive(Clone, Copy, Debug, Default)]
pub struct Coding {
    /// The body is compressed.
    pub algorithm: Option<Algorithm>,
    /// Another client would have got it otherwise.
    pub varies: bool,
    /// Strong validators are weak here: there is more than one sequence of bytes for them (RFC 9110 §8.8.1). Lengths that the source declared are not what this client gets, or
    /// would get (§8.6).
    pub weakens: bool,
}

impl Coding {
    /// Writes a field of the answer as it is now.
    pub fn field(&self, out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        if self.algorithm.is_some() && name == b"accept-ranges" {
            return;
        }
        if self.weakens && name == b"etag" && value.first() == Some(&b'"') {
            out.extend_from_slice(b"etag: W/");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
            return;
        }
        write_field(out, name, value);
    }

    /// Writes the fields that come with it.
    pub fn write(&self, out: &mut Vec<u8>) {
        if let Some(algorithm) = self.algorithm {
            write_field(out, b"content-encoding", algorithm.name().as_bytes());
        }
        if self.varies {
            out.extend_from_slice(b"vary: accept-encoding\r\n");
        }
    }
}

/// What counts of an answer's fields.
#[derive(Default)]
struct Facts {
    takes_type: Option<bool>,
    coded: bool,
    part: bool,
    fixed: bool,
    varies: bool,
    length: Option<u64>,
}

impl Facts {
    fn read(&mut self, plan: &Plan, name: &[u8], value: &[u8]) {
        match name {
            b"content-type" => self.takes_type = Some(plan.takes(value)),
            b"content-encoding" => self.coded |= !value.is_empty() && !value.eq_ignore_ascii_case(b"identity"),
            b"content-range" => self.part = true,
            b"content-length" => self.length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()),
            // RFC 9110 §7.7: the origin forbids it.
            b"cache-control" => self.fixed |= lists(value, b"no-transform"),
            b"vary" => self.varies |= lists(value, b"accept-encoding") || lists(value, b"*"),
            _ => self.fixed |= DIGESTS.contains(&name),
        }
    }
}

fn lists(value: &[u8], wanted: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted))
}

/// Values of the request's Accept-Encoding.
fn accepted(slots: &Slots, slot: u32) -> impl Iterator<Item = &[u8]> {
    let head = slots.head_ref(slot);
    let count = slots.word(slot, word::FIELD_COUNT).clamp(0, FIELDS_MAX as i32) as usize;
    // -1 when there is none.
    let first = usize::try_from(slots.word(slot, word::KNOWN + ACCEPT_ENCODING as usize)).unwrap_or(count);
    (first..count).filter_map(move |i| {
        let value = slots.word(slot, FIELDS_AT / 4 + 2 * i) as u32;
        let name = slots.word(slot, FIELDS_AT / 4 + 2 * i + 1) as u32;
        let at = (value & 0xffff) as usize;
        ((name >> 24) & 0x1f == ACCEPT_ENCODING)
            .then(|| head.get(at..at + (value >> 16) as usize))
            .flatten()
    })
}

/// An answer as far as compression is concerned.
pub struct Answer<'a, F> {
    pub status: u16,
    /// How the body is framed by its source. Of an answer to HEAD: `None`, and its fields tell the length.
    pub body: AnswerBody,
    /// Fields before edits, as far as they pass; names in lower case.
    pub fields: F,
    pub plan: &'a Plan,
    pub to_head: bool,
}

impl Engine {
    /// Makes a plan known, or replaces one. False when the number is none.
    pub fn set_compression(&mut self, number: u32, plan: Plan) -> bool {
        let Some(place) = (number as usize).checked_sub(1).filter(|place| *place < PLANS_MAX) else {
            return false;
        };
        if self.compressions.len() <= place {
            self.compressions.resize(place + 1, None);
        }
        self.compressions[place] = Some(Arc::new(plan));
        true
    }

    /// What was compressed so far.
    #[must_use]
    pub fn compressed(&self) -> Compressed {
        with(&self.coders, |coders| coders.counts)
    }

    /// The plan that a stage has named for this exchange.
    pub(super) fn compression(&self, slot: u32) -> Option<Arc<Plan>> {
        let number = usize::try_from(self.slots.word(slot, word::COMPRESS)).ok()?;
        self.compressions.get(number.checked_sub(1)?)?.clone()
    }

    /// What compression has to say in the head of an answer; who asks starts an encoder then.
    pub(super) fn coding<'a>(
        &self,
        slot: u32,
        answer: Answer<'a, impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone>,
    ) -> Coding {
        let Answer {
            status,
            body,
            fields,
            plan,
            to_head,
        } = answer;
        if matches!(status, 100..200 | 204 | 205) || self.exchanges[slot as usize].grpc {
            return Coding::default();
        }
        let edits = Edits(self.slots.written_at(slot, word::ANSWER_EDITS_AT).unwrap_or_default());
        let mut facts = Facts::default();
        for (name, value) in fields.clone() {
            if !edits.hides(name) {
                facts.read(plan, name, value);
            }
        }
        edits.each_beside(fields, |name, value| facts.read(plan, name, value));
        if facts.coded || facts.fixed {
            return Coding::default();
        }
        if status == 206 {
            // A part of the body as it is, for a request to which the whole might have been compressed (RFC 9110 §15.3.7).
            return Coding {
                varies: facts.takes_type == Some(true) && !facts.varies,
                ..Coding::default()
            };
        }
        if facts.part {
            return Coding::default();
        }
        let algorithm = || chosen(accepted(&self.slots, slot), &plan.algorithms);
        if status == 304 {
            // As the whole answer would have it (RFC 9110 §15.4.5), else it freshens nothing of what the client has stored; its type is often not said.
            let may_be = facts.takes_type != Some(false);
            return Coding {
                algorithm: None,
                varies: may_be && !facts.varies,
                weakens: may_be && algorithm().is_some(),
            };
        }
        let length = match body {
            AnswerBody::Length(n) => Some(n),
            AnswerBody::None if to_head => facts.length,
            AnswerBody::None => Some(0),
            AnswerBody::Chunked | AnswerBody::Close => None,
        };
        if facts.takes_type != Some(true) || length.is_some_and(|n| n == 0 || n < plan.bytes_min) {
            return Coding::default();
        }
        let algorithm = algorithm();
        Coding {
            algorithm,
            varies: !facts.varies,
            weakens: algorithm.is_some(),
        }
    }

    /// An encoder for a body; none when so many are in use as may be, or there is no memory.
    fn compressor(&mut self, plan: &Plan, algorithm: Algorithm, declared: Option<u64>) -> Option<Compressor> {
        let bytes = bytes_of(algorithm, &plan.levels, declared);
        let most = self.options.coder_bytes_max;
        let coder = with(&self.coders, |coders| {
            let coder = if coders.bytes + bytes <= most {
                coders.kept.coder(algorithm, &plan.levels, declared)
            } else {
                None
            };
            if coder.is_some() {
                coders.bytes += bytes;
            } else {
                coders.counts.busy += 1;
            }
            coder
        });
        Some(Compressor {
            coder: Some(coder?),
            algorithm,
            bytes,
            taken: 0,
            given: 0,
            shared: Arc::clone(&self.coders),
        })
    }

    /// Puts an encoder in the way of the body, if the head is to say so. What it says when there is none.
    pub(super) fn start_coding(&mut self, slot: u32, plan: &Plan, coding: Coding, body: AnswerBody) -> Coding {
        let Some(algorithm) = coding.algorithm else {
            return coding;
        };
        let declared = match body {
            // An answer to HEAD.
            AnswerBody::None => return coding,
            AnswerBody::Length(n) => Some(n),
            AnswerBody::Chunked | AnswerBody::Close => None,
        };
        match self.compressor(plan, algorithm, declared) {
            Some(compressor) => {
                self.exchanges[slot as usize].filter = Some(Box::new(compressor));
                coding
            }
            None => Coding {
                algorithm: None,
                weakens: false,
                ..coding
            },
        }
    }

    /// The same for a body of our own, all of which is here. One that is short is compressed at once.
    pub(super) fn code_own(&mut self, slot: u32, plan: &Plan, coding: Coding, body: &mut Bytes) -> Coding {
        // What is compressed on its way is held meanwhile, one copy for each client: slow ones must not take the room of bodies that stages ask for.
        let held = self.collected.saturating_add(body.len());
        if body.len() > AT_ONCE_BYTES_MAX && held > self.options.collected_bytes_max {
            return Coding {
                algorithm: None,
                weakens: false,
                ..coding
            };
        }
        let length = AnswerBody::Length(body.len() as u64);
        let coding = self.start_coding(slot, plan, coding, length);
        if body.len() > AT_ONCE_BYTES_MAX || self.filter_left == 0 {
            return coding;
        }
        let Some(mut filter) = self.exchanges[slot as usize].filter.take() else {
            return coding;
        };
        self.filter_left = self.filter_left.saturating_sub(body.len());
        let mut out = Vec::with_capacity(body.len() / 2);
        if filter.part(body, &mut out) && filter.end(&mut out) {
            *body = out.into();
            return coding;
        }
        Coding {
            algorithm: None,
            weakens: false,
            ..coding
        }
    }
}
