//! The slots' memory ([`crate::layout`]). JavaScript reads and writes it between two calls of the engine, on the same thread; so the engine
//! holds no reference into it across calls, and reads every integer that decisions wrote as something to check.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::layout::{CHUNK_SLOTS, EDITS_AT, EDITS_BYTES, EVENT_WORDS, EVENTS_MAX, HEAD_AT, HEAD_BYTES_MAX, SLOT_BYTES};

const PAGE: usize = 4096;
/// What is aligned to more than this is zeroed by writing to all of it; like this it is mapped, and pages that nobody touches cost nothing.
const ALIGN: usize = 16;

/// Zeroed pages. Shared, since JavaScript's views of them may outlive the engine by some turns: whoever shows them keeps a clone.
pub struct Pages {
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: only who holds the engine writes through it, on one thread; the allocation itself belongs to no thread.
unsafe impl Send for Pages {}
// SAFETY: as for Send.
unsafe impl Sync for Pages {}

impl Pages {
    fn zeroed(bytes: usize) -> Arc<Self> {
        // SAFETY: the size is not zero and the alignment is a power of two.
        let at = unsafe { alloc_zeroed(layout_of(bytes)) };
        let Some(at) = NonNull::new(at) else {
            handle_alloc_error(layout_of(bytes))
        };
        Arc::new(Self { at, bytes })
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
        // SAFETY: allocated with the same layout; nobody holds it any more.
        unsafe { dealloc(self.at.as_ptr(), layout_of(self.bytes)) };
    }
}

fn layout_of(bytes: usize) -> Layout {
    Layout::from_size_align(bytes, ALIGN).unwrap_or_else(|_| unreachable!("sizes are constants"))
}

/// All slots of one engine, and the list of events.
pub struct Slots {
    chunks: Vec<Arc<Pages>>,
    events: Arc<Pages>,
}

impl Slots {
    pub fn new() -> Self {
        Self {
            chunks: Vec::new(),
            events: Pages::zeroed((EVENTS_MAX * EVENT_WORDS * 4).next_multiple_of(PAGE)),
        }
    }

    /// Maps one more chunk; returns its number.
    pub fn grow(&mut self) -> usize {
        self.chunks.push(Pages::zeroed(SLOT_BYTES * CHUNK_SLOTS));
        self.chunks.len() - 1
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

    /// What decisions wrote: offset and length are checked here, whatever they are.
    pub fn written(&self, slot: u32, at: i32, len: i32) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        let len = usize::try_from(len).ok()?;
        if at.checked_add(len)? > EDITS_BYTES {
            return None;
        }
        // SAFETY: within the edits of the slot, as just checked; as in `record`.
        Some(unsafe { std::slice::from_raw_parts(self.base(slot).add(EDITS_AT + at), len) })
    }

    /// A pair of words that name what decisions wrote.
    pub fn written_at(&self, slot: u32, word: usize) -> Option<&[u8]> {
        self.written(slot, self.word(slot, word), self.word(slot, word + 1))
    }
}
