//! Memory that a thread and its JavaScript both see: packed requests and verdicts, and the heads that a transport lays out.

use std::cell::UnsafeCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use cnx_waf::wire::FieldTable;
use napi::bindgen_prelude::Uint8Array;

/// Bytes that a thread shares with its JavaScript: packed requests go in, verdicts come out, and a call names neither.
pub struct Shared(pub Box<[UnsafeCell<u8>]>);

// SAFETY: made, read and written by one thread alone; only the finaliser of a view may drop the last reference elsewhere.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// So many zero bytes.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self((0..bytes).map(|_| UnsafeCell::new(0)).collect()))
    }

    /// For JavaScript; the bytes live as long as the view.
    pub fn view(self: &Arc<Self>) -> Uint8Array {
        let held = Arc::clone(self);
        let (data, length) = (held.0.as_ptr().cast_mut().cast::<u8>(), held.0.len());
        // SAFETY: so many bytes live as long as `held`, which the finaliser drops.
        unsafe { Uint8Array::with_external_data(data, length, move |_, _| drop(held)) }
    }
}

/// Memory in which a transport lays out request heads, one after another at equal distances.
pub struct HeadMemory {
    /// Keeps the memory from being collected. Never dropped: by the end of the thread there is nobody left to tell.
    pub memory: ManuallyDrop<Uint8Array>,
    pub stride: usize,
    pub count_at: usize,
    pub fields_at: usize,
    pub head_at: usize,
}

impl HeadMemory {
    /// The fields of the head at a place; None when the memory does not hold what it says.
    pub fn fields(&self, place: usize) -> Option<FieldTable<'_>> {
        let from = place.checked_mul(self.stride)?;
        let slot = self.memory.get(from..from.checked_add(self.stride)?)?;
        let count = slot.get(self.count_at..self.count_at + 4)?.first_chunk::<4>()?;
        let count = u32::from_ne_bytes(*count) as usize;
        let table = slot.get(self.fields_at..self.head_at)?.as_chunks::<8>().0;
        Some(FieldTable {
            words: table.get(..count)?,
            bytes: slot.get(self.head_at..)?,
        })
    }
}
