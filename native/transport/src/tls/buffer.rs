//! Bytes between a session and its caller. An empty buffer owns no memory: storage goes back to a small pool of the thread, so that ten thousand idle
//! sessions hold nothing and the storage in use stays warm in the cache.

use std::cell::RefCell;

/// Spare storages kept by each thread, and the largest that is kept: 2 MiB a thread at most.
const SPARE_MAX: usize = 16;
const SPARE_BYTES_MAX: usize = 128 * 1024;
/// The smallest storage: a request or a short answer with its record overhead.
const STORAGE_BYTES_MIN: usize = 4 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A queue of bytes in one piece. The storage is initialised up to its length once, and never zeroed again.
#[derive(Default)]
pub(super) struct Buffer {
    storage: Vec<u8>,
    from: usize,
    to: usize,
}

impl Buffer {
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.from..self.to]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.storage[self.from..self.to]
    }

    /// Room for `n` more bytes, which count once [`Buffer::filled`] says so.
    pub fn space(&mut self, n: usize) -> &mut [u8] {
        if self.storage.is_empty() {
            self.storage = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        }
        if self.to + n > self.storage.len() {
            // Moving what is left is worth it only while that is less than what has gone: each byte is moved a bounded number of times.
            if self.from > 0 && self.from >= self.len() {
                self.storage.copy_within(self.from..self.to, 0);
                self.to -= self.from;
                self.from = 0;
            }
            let needed = self.to + n;
            if needed > self.storage.len() {
                self.storage
                    .resize(needed.next_power_of_two().max(STORAGE_BYTES_MIN), 0);
            }
        }
        &mut self.storage[self.to..self.to + n]
    }

    pub fn filled(&mut self, n: usize) {
        self.to += n;
        debug_assert!(self.to <= self.storage.len());
        self.release_if_empty();
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.space(bytes.len()).copy_from_slice(bytes);
            self.to += bytes.len();
        }
    }

    /// The first `n` bytes are done with.
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.from += n.min(self.len());
        self.release_if_empty();
    }

    pub fn clear(&mut self) {
        self.from = self.to;
        self.release_if_empty();
    }

    fn release_if_empty(&mut self) {
        if self.from == self.to {
            self.from = 0;
            self.to = 0;
            let storage = std::mem::take(&mut self.storage);
            if !storage.is_empty() && storage.len() <= SPARE_BYTES_MAX {
                // A thread that is ending has no pool any more: the storage is freed.
                let _ = SPARE.try_with(|spare| {
                    let mut spare = spare.borrow_mut();
                    if spare.len() < SPARE_MAX {
                        spare.push(storage);
                    }
                });
            }
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_in_the_order_they_went_in() {
        let mut buffer = Buffer::default();
        let mut expected = Vec::new();
        let mut got = Vec::new();
        for i in 0..500usize {
            let piece: Vec<u8> = (0..i % 97).map(|n| (n * i) as u8).collect();
            buffer.push(&piece);
            expected.extend_from_slice(&piece);
            let n = (i * 7 % 61).min(buffer.len());
            got.extend_from_slice(&buffer.bytes()[..n]);
            buffer.consume(n);
        }
        got.extend_from_slice(buffer.bytes());
        assert_eq!(got, expected);
    }

    #[test]
    fn an_empty_buffer_owns_no_memory() {
        let mut buffer = Buffer::default();
        buffer.push(&[1; 5000]);
        buffer.consume(5000);
        assert_eq!(buffer.storage.capacity(), 0);
        buffer.space(10);
        buffer.filled(0);
        assert_eq!(buffer.storage.capacity(), 0);
    }
}
