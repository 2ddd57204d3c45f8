//! Decisions as the first part of a path says them, written where the engine reads them.

use std::time::Instant;

use cnx_transport::engine::Filter;
use cnx_transport::layout::{ANSWER_AT, CHUNK_SLOTS, EDITS_AT, HEAD_AT, SLOT_BYTES, answer, edit, verdict, word};

use super::{Driver, WAIT};

/// Says everything twice.
struct Doubled;

impl Filter for Doubled {
    fn resizes(&self) -> bool {
        true
    }

    fn part(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        out.extend(bytes.iter().flat_map(|b| [*b, *b]));
        true
    }

    fn flush(&mut self, _: &mut Vec<u8>) -> bool {
        true
    }

    fn end(&mut self, out: &mut Vec<u8>) -> bool {
        out.push(b'!');
        true
    }
}

/// Cannot go on.
struct Broken;

impl Filter for Broken {
    fn resizes(&self) -> bool {
        true
    }

    fn part(&mut self, _: &[u8], _: &mut Vec<u8>) -> bool {
        false
    }

    fn flush(&mut self, _: &mut Vec<u8>) -> bool {
        false
    }

    fn end(&mut self, _: &mut Vec<u8>) -> bool {
        false
    }
}

impl Driver {
    pub(super) fn decide(&mut self, slot: u32, path: &str) -> bool {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let (kind, number) = first.split_at(first.len().min(1));
        let number: i32 = number.parse().unwrap_or(0);
        match kind {
            "f" => self.forward(slot, number),
            "h" | "H" => {
                self.forward(slot, 0);
                self.set(slot, word::HEDGE_MS, number);
                true
            }
            "u" => self.edited(slot),
            "t" => {
                self.forward(slot, 0);
                self.set(slot, word::ASKS, 2);
                true
            }
            "p" | "j" | "q" | "x" | "v" | "c" | "o" | "d" | "n" | "e" => self.forward(slot, 0),
            "k" | "m" => {
                self.set(slot, word::COMPRESS, 1);
                self.forward(slot, 0)
            }
            "b" => {
                let text = b"of our own, again and again; ";
                let body: Vec<u8> = text.iter().copied().cycle().take(number as usize).collect();
                self.engine.set_answer(slot, &body);
                self.answer_own(slot)
            }
            "y" => {
                let bytes = self.engine.kept_bytes(number as u32);
                if !self.engine.set_kept(slot, number as u32, 1, bytes) {
                    return self.refuse(slot, 2);
                }
                self.answer_own(slot)
            }
            "r" => self.refuse(slot, number),
            "a" => {
                self.engine.set_answer(slot, b"own");
                self.clear(slot);
                self.set(slot, word::CHOICE, if number == 0 { 200 } else { number });
                self.set(slot, word::VERDICT, verdict::ANSWER);
                true
            }
            "i" => {
                let generation = self.word(slot, word::GENERATION);
                if self.engine.inspect(slot, generation, number as u32) == 2 {
                    return false;
                }
                let body = self.engine.body(slot).to_vec();
                self.seen.lock().unwrap().bodies.push(body);
                self.forward(slot, 0)
            }
            // While events are heard, the name of endpoint 1 is found to have no address.
            "s" => {
                self.engine.set_addresses(1, &[]);
                self.refuse(slot, 2)
            }
            "w" => {
                let generation = self.word(slot, word::GENERATION);
                self.waiting.push((Instant::now() + WAIT, slot, generation));
                false
            }
            _ => false,
        }
    }

    /// Forwards to endpoint 0, with `x-user: ours` in the request and without `x-secret` in the answer.
    fn edited(&mut self, slot: u32) -> bool {
        const AT: usize = 1024;
        self.forward(slot, 0);
        let set = [&[edit::SET, 6, 4, 0][..], b"x-userours"].concat();
        let remove = [&[edit::REMOVE, 8, 0, 0][..], b"x-secret"].concat();
        self.write(slot, AT, &set);
        self.write(slot, AT + set.len(), &remove);
        for (at, value) in [
            (word::REQUEST_EDITS_AT, AT),
            (word::REQUEST_EDITS_AT + 1, set.len()),
            (word::ANSWER_EDITS_AT, AT + set.len()),
            (word::ANSWER_EDITS_AT + 1, remove.len()),
        ] {
            self.set(slot, at, value as i32);
        }
        true
    }

    /// 200 with the body of our own that was set, which plan 1 may compress.
    fn answer_own(&mut self, slot: u32) -> bool {
        self.clear(slot);
        self.write(slot, 0, b"text/plain");
        self.set(slot, word::TARGET_AT + 1, 10);
        self.set(slot, word::COMPRESS, 1);
        self.set(slot, word::CHOICE, 200);
        self.set(slot, word::VERDICT, verdict::ANSWER);
        true
    }

    pub(super) fn shown(&mut self, slot: u32, status: i32) -> bool {
        let word = |at| self.word(slot, ANSWER_AT / 4 + at);
        let head = (
            word(answer::STATUS),
            word(answer::BODY_LENGTH),
            word(answer::FIELD_COUNT),
        );
        if head.0 != status {
            self.wrong(format!("status {status} is shown as {}", head.0));
        }
        self.seen.lock().unwrap().shown.push(head);
        self.judge(slot)
    }

    pub(super) fn judge(&mut self, slot: u32) -> bool {
        let path = self.open[&slot].1.clone();
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let (kind, number) = first.split_at(1);
        let number: i32 = number.parse().unwrap_or(0);
        let generation = self.word(slot, word::GENERATION);
        match kind {
            "j" | "q" | "m" | "e" => {
                let state = self.engine.inspect_answer(slot, generation, number as u32);
                if state == 2 {
                    return false;
                }
                let body = self.engine.answer_body(slot).to_vec();
                self.seen.lock().unwrap().answers.push((state, body));
                if kind == "q" {
                    return self.refuse(slot, 2);
                }
                if kind == "e" {
                    self.engine.filter_answer(slot, Box::new(Broken));
                }
                self.pass(slot)
            }
            "x" => self.refuse(slot, number),
            // Another attempt, on endpoint 1, if what was shown is an upstream's failure.
            "n" if self.word(slot, ANSWER_AT / 4 + answer::STATUS) >= 500 => self.forward(slot, number),
            "n" => self.pass(slot),
            // After a while it is passed, or endpoint 1 is asked.
            "v" | "c" => {
                self.waiting.push((Instant::now() + WAIT, slot, generation));
                false
            }
            "o" => false,
            "d" => {
                self.engine.filter_answer(slot, Box::new(Doubled));
                self.pass(slot)
            }
            _ => self.pass(slot),
        }
    }

    pub(super) fn pass(&mut self, slot: u32) -> bool {
        self.clear(slot);
        self.set(slot, word::VERDICT, verdict::PASS);
        true
    }

    fn clear(&mut self, slot: u32) {
        for at in [
            word::TARGET_AT,
            word::AUTHORITY_AT,
            word::REQUEST_EDITS_AT,
            word::ANSWER_EDITS_AT,
        ] {
            self.set(slot, at, 0);
            self.set(slot, at + 1, 0);
        }
    }

    pub(super) fn refuse(&mut self, slot: u32, row: i32) -> bool {
        self.clear(slot);
        self.set(slot, word::CHOICE, row);
        self.set(slot, word::VERDICT, verdict::REFUSE);
        true
    }

    pub(super) fn forward(&mut self, slot: u32, endpoint: i32) -> bool {
        self.clear(slot);
        let path = self.open[&slot].1.clone();
        self.write(slot, 0, path.as_bytes());
        self.write(slot, path.len(), b"upstream");
        let max = self.plan.body_max;
        let asks = path[1..].starts_with(['H', 'p', 'j', 'q', 'x', 'v', 'o', 'd', 'n', 'm', 'e'])
            || (path.starts_with("/c") && endpoint == 0);
        for (at, value) in [
            (word::CHOICE, endpoint),
            (word::TARGET_AT + 1, path.len() as i32),
            (word::AUTHORITY_AT, path.len() as i32),
            (word::AUTHORITY_AT + 1, 8),
            (word::CONNECT_MS, self.plan.connect_ms),
            (word::HEAD_MS, self.plan.head_ms),
            (word::IDLE_MS, self.plan.idle_ms),
            (word::ASKS, i32::from(asks)),
            (word::TOTAL_MS, self.plan.total_ms),
            (word::HEDGE_MS, 0),
            (word::BODY_MAX, max as i32),
            (word::BODY_MAX + 1, (max >> 32) as i32),
            (word::VERDICT, verdict::FORWARD),
        ] {
            self.set(slot, at, value);
        }
        true
    }

    pub(super) fn path(&self, slot: u32) -> String {
        let (at, len) = (self.word(slot, word::PATH_AT), self.word(slot, word::PATH_AT + 1));
        let base = self.base(slot);
        #[allow(unsafe_code)]
        // SAFETY: within the slot; the engine does not run now.
        let bytes = unsafe { std::slice::from_raw_parts(base.add(HEAD_AT + at as usize), len as usize) };
        String::from_utf8_lossy(bytes).into_owned()
    }

    #[allow(unsafe_code)]
    fn base(&self, slot: u32) -> *mut u8 {
        let chunk = self
            .engine
            .chunk(slot as usize / CHUNK_SLOTS)
            .expect("a slot lies in a chunk");
        // SAFETY: within the chunk, which lives as long as the engine.
        unsafe { chunk.at().add(slot as usize % CHUNK_SLOTS * SLOT_BYTES) }
    }

    #[allow(unsafe_code)]
    pub(super) fn word(&self, slot: u32, at: usize) -> i32 {
        // SAFETY: within the record; the engine does not run now.
        unsafe { self.base(slot).cast::<i32>().add(at).read() }
    }

    #[allow(unsafe_code)]
    pub(super) fn set(&mut self, slot: u32, at: usize, value: i32) {
        // SAFETY: as in `word`.
        unsafe { self.base(slot).cast::<i32>().add(at).write(value) }
    }

    #[allow(unsafe_code)]
    fn write(&mut self, slot: u32, at: usize, bytes: &[u8]) {
        // SAFETY: within the edits, for paths of tests are short.
        unsafe {
            self.base(slot)
                .add(EDITS_AT + at)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }
}
