//! The slots' memory ([`crate::layout`]). JavaScript reads and writes it between two calls of the engine, on the same thread; so the engine
//! holds no reference into it across calls, and reads every integer that decisions wrote as something to check.
#![allow(unsafe_code)]

use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::layout::{
    ANSWER_AT, ANSWER_HEAD_AT, CHUNK_SLOTS, EDITS_AT, EVENT_WORDS, EVENTS_MAX, HEAD_AT, HEAD_BYTES_MAX, LONG_EDITS_AT,
    SLOT_BYTES, word,
};

const PAGE: usize = 4096;
/// Of a longer head than this the memory is given back at its end, so that a burst of long heads costs nothing for ever.
const HEAD_BYTES_KEPT: usize = 2 * PAGE;
/// Words that say where decisions have written.
const WRITTEN: [usize; 4] = [
    word::TARGET_AT,
    word::AUTHORITY_AT,
    word::REQUEST_EDITS_AT,
    word::ANSWER_EDITS_AT,
];

/// Zeroed pages, mapped, so that those that nobody touches cost nothing. Shared, since JavaScript's views of them may outlive the engine by some turns: whoever shows
/// them keeps a clone.
pub struct Pages {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: only who holds the engine writes through it, on one thread; the allocation itself belongs to no thread.
unsafe impl Send for Pages {}
// SAFETY: as for Send.
unsafe impl Sync for Pages {}

impl Pages {
    fn zeroed(bytes: usize) -> io::Result<Arc<Self>> {
        // SAFETY: a new mapping of its own, at no address in particular.
        let at = unsafe {
            mmap_anonymous(
                null_mut(),
                bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )?
        };
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Arc::new(Self { at, bytes }))
    }

    /// Where they begin.
    pub fn at(&self) -> *mut u8 {
        self.at.as_ptr()
    }

    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped with this size; nobody holds it any more.
        let unmapped = unsafe { munmap(self.at.as_ptr().cast(), self.bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

/// All slots of one engine, and the list of events.
pub struct Slots {
    chunks: Vec<Arc<Pages>>,
    events: Arc<Pages>,
}

impl Slots {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            chunks: Vec::new(),
            events: Pages::zeroed((EVENTS_MAX * EVENT_WORDS * 4).next_multiple_of(PAGE))?,
        })
    }

    /// Maps one more chunk; returns its number.
    pub fn grow(&mut self) -> io::Result<usize> {
        self.chunks.push(Pages::zeroed(SLOT_BYTES * CHUNK_SLOTS)?);
        Ok(self.chunks.len() - 1)
    }

    /// Gives back what a use of a slot that is over took beyond the ordinary.
    pub fn trim(&mut self, slot: u32, head_bytes: usize) {
        let long = (LONG_EDITS_AT - EDITS_AT) as i32;
        let long_edits = WRITTEN.iter().any(|at| self.word(slot, *at) >= long);
        if head_bytes <= HEAD_BYTES_KEPT && !long_edits {
            return;
        }
        // A later use may not write all of them.
        for at in WRITTEN {
            self.set_word(slot, at, 0);
            self.set_word(slot, at + 1, 0);
        }
        let from = HEAD_AT + HEAD_BYTES_KEPT;
        // SAFETY: within the slot and behind all that a record names; whoever reads these bytes next finds zeros, and writes before it reads.
        let given = unsafe {
            madvise(
                self.base(slot).add(from).cast(),
                SLOT_BYTES - from,
                Advice::LinuxDontNeed,
            )
        };
        // Where pages are larger than those of x86 the place is none that can be given back, and stays.
        debug_assert!(given.is_ok() || cfg!(not(target_arch = "x86_64")), "{given:?}");
    }

    /// Memory of a chunk, for JavaScript.
    pub fn chunk(&self, number: usize) -> Option<Arc<Pages>> {
        self.chunks.get(number).map(Arc::clone)
    }

    /// Memory of the list of events.
    pub fn events(&self) -> &Arc<Pages> {
        &self.events
    }

    pub fn write_event(&mut self, place: usize, event: &[i32; EVENT_WORDS]) {
        assert!(place < EVENTS_MAX);
        // SAFETY: within the memory of the list, as just checked; JavaScript does not run now.
        unsafe {
            let at = self.events.at.as_ptr().cast::<i32>().add(place * EVENT_WORDS);
            at.copy_from_nonoverlapping(event.as_ptr(), EVENT_WORDS);
        }
    }

    pub fn read_event(&self, place: usize) -> [i32; EVENT_WORDS] {
        assert!(place < EVENTS_MAX);
        // SAFETY: as in `write_event`.
        unsafe { self.events.at.as_ptr().cast::<[i32; EVENT_WORDS]>().add(place).read() }
    }

    fn base(&self, slot: u32) -> *mut u8 {
        let slot = slot as usize;
        let chunk = &self.chunks[slot / CHUNK_SLOTS];
        // SAFETY: the remainder keeps it within the chunk.
        unsafe { chunk.at.as_ptr().add((slot % CHUNK_SLOTS) * SLOT_BYTES) }
    }

    pub fn word(&self, slot: u32, word: usize) -> i32 {
        assert!(word < EDITS_AT / 4);
        // SAFETY: within the slot's record; JavaScript does not run now.
        unsafe { self.base(slot).cast::<i32>().add(word).read() }
    }

    pub fn set_word(&mut self, slot: u32, word: usize, value: i32) {
        assert!(word < EDITS_AT / 4);
        // SAFETY: as in `word`.
        unsafe { self.base(slot).cast::<i32>().add(word).write(value) }
    }

    /// The record's words and the table of fields: all below the edits.
    pub fn record(&mut self, slot: u32) -> &mut [i32] {
        // SAFETY: within the slot, aligned to 16 bytes; JavaScript does not run while the borrow of `self` lasts.
        unsafe { std::slice::from_raw_parts_mut(self.base(slot).cast(), EDITS_AT / 4) }
    }

    /// The bytes of the head.
    pub fn head(&mut self, slot: u32) -> &mut [u8] {
        // SAFETY: within the slot; as in `record`.
        unsafe { std::slice::from_raw_parts_mut(self.base(slot).add(HEAD_AT), HEAD_BYTES_MAX) }
    }

    pub fn head_ref(&self, slot: u32) -> &[u8] {
        // SAFETY: as in `head`.
        unsafe { std::slice::from_raw_parts(self.base(slot).add(HEAD_AT), HEAD_BYTES_MAX) }
    }

    /// Words and table of fields of the answer's head.
    pub fn answer_record(&mut self, slot: u32) -> &mut [i32] {
        const WORDS: usize = (ANSWER_HEAD_AT - ANSWER_AT) / 4;
        // SAFETY: within the slot; as in `record`.
        unsafe { std::slice::from_raw_parts_mut(self.base(slot).add(ANSWER_AT).cast(), WORDS) }
    }

    /// The bytes of the answer's head.
    pub fn answer_head(&mut self, slot: u32) -> &mut [u8] {
        // SAFETY: within the slot; as in `record`.
        unsafe { std::slice::from_raw_parts_mut(self.base(slot).add(ANSWER_HEAD_AT), SLOT_BYTES - ANSWER_HEAD_AT) }
    }

    /// What decisions wrote, or point at in the head: offset and length are checked here, whatever they are.
    pub fn written(&self, slot: u32, at: i32, len: i32) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        let len = usize::try_from(len).ok()?;
        if at.checked_add(len)? > ANSWER_AT - EDITS_AT {
            return None;
        }
        // SAFETY: within the slot, as just checked; as in `record`.
        Some(unsafe { std::slice::from_raw_parts(self.base(slot).add(EDITS_AT + at), len) })
    }

    /// A pair of words that name what decisions wrote.
    pub fn written_at(&self, slot: u32, word: usize) -> Option<&[u8]> {
        self.written(slot, self.word(slot, word), self.word(slot, word + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_long_head_or_long_edits_took_is_given_back_and_nothing_else() {
        let mut slots = Slots::new().unwrap();
        assert_eq!(slots.grow().unwrap(), 0);
        let fill = |slots: &mut Slots| {
            for slot in [6, 7, 8] {
                slots.head(slot).fill(1);
                slots.record(slot).fill(0);
                slots.set_word(slot, word::GENERATION, 5);
            }
        };
        let kept = |slots: &Slots, slot| slots.head_ref(slot).iter().filter(|b| **b == 1).count();
        fill(&mut slots);
        slots.trim(7, HEAD_BYTES_KEPT);
        assert_eq!(kept(&slots, 7), HEAD_BYTES_MAX);
        slots.trim(7, HEAD_BYTES_KEPT + 1);
        assert_eq!(
            [6, 7, 8].map(|s| kept(&slots, s)),
            [HEAD_BYTES_MAX, HEAD_BYTES_KEPT, HEAD_BYTES_MAX]
        );
        assert_eq!([6, 7, 8].map(|s| slots.word(s, word::GENERATION)), [5, 5, 5]);
        fill(&mut slots);
        for at in WRITTEN {
            // A place in the head is none that anything was written to.
            slots.set_word(7, at, (LONG_EDITS_AT - EDITS_AT - 1) as i32);
            slots.trim(7, 0);
            assert_eq!(kept(&slots, 7), HEAD_BYTES_MAX);
            slots.set_word(7, at, (LONG_EDITS_AT - EDITS_AT) as i32);
            slots.trim(7, 0);
            assert_eq!(kept(&slots, 7), HEAD_BYTES_KEPT);
            // The next use is not taken for a long one.
            slots.head(7).fill(1);
            slots.trim(7, 0);
            assert_eq!(kept(&slots, 7), HEAD_BYTES_MAX);
        }
    }
}
