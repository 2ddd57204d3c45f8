//! Memory that looks like a socket to h2: input is what was fed and not read yet, output what was written and not fetched yet.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Capacity that an empty buffer keeps while its connection is in use; a larger one is given back.
const KEPT_BYTES: usize = 16 * 1024;

#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    input_at: usize,
    ended: bool,
    output: Vec<u8>,
    /// Bytes that were fetched and have not left; they count against the bound.
    backlog: usize,
    output_max: usize,
    /// A write was turned down.
    blocked: bool,
}

/// The transport's end.
pub(super) struct Duplex {
    pipe: Arc<Mutex<Pipe>>,
    /// Fetched from h2, on its way to the socket.
    out: Vec<u8>,
    out_at: usize,
    /// Bytes that ever left.
    left: u64,
}

/// h2's end.
pub(super) struct Io(Arc<Mutex<Pipe>>);

fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives back the memory of an empty buffer, unless that is little.
fn trim(buffer: &mut Vec<u8>, kept: usize) {
    if buffer.is_empty() && buffer.capacity() > kept {
        *buffer = Vec::new();
    }
}

impl Duplex {
    pub fn new(output_max: usize) -> (Duplex, Io) {
        let pipe = Arc::new(Mutex::new(Pipe {
            output_max,
            ..Pipe::default()
        }));
        (
            Duplex {
                pipe: pipe.clone(),
                out: Vec::new(),
                out_at: 0,
                left: 0,
            },
            Io(pipe),
        )
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        lock(&self.pipe).input.extend_from_slice(bytes);
    }

    pub fn feed_end(&mut self) {
        lock(&self.pipe).ended = true;
    }

    /// Bytes that were fed and not read.
    pub fn unread(&self) -> usize {
        let pipe = lock(&self.pipe);
        pipe.input.len() - pipe.input_at
    }

    /// Fetches what h2 has written; true when it was not turned down.
    pub fn collect(&mut self) -> bool {
        let mut pipe = lock(&self.pipe);
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
            std::mem::swap(&mut self.out, &mut pipe.output);
        } else if !pipe.output.is_empty() {
            self.out.extend_from_slice(&pipe.output);
            pipe.output.clear();
        }
        pipe.backlog = self.out.len() - self.out_at;
        !std::mem::replace(&mut pipe.blocked, false)
    }

    pub fn output(&self) -> &[u8] {
        &self.out[self.out_at..]
    }

    pub fn sent(&mut self, n: usize) {
        let n = n.min(self.out.len() - self.out_at);
        self.out_at += n;
        self.left += n as u64;
        lock(&self.pipe).backlog = self.out.len() - self.out_at;
    }

    /// Gives back what a burst has left.
    pub fn trim(&mut self) {
        self.keep(KEPT_BYTES);
    }

    /// Gives back all memory that holds nothing.
    pub fn rest(&mut self) {
        self.keep(0);
    }

    /// Buffers that are empty keep no more than this.
    fn keep(&mut self, bytes: usize) {
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
        }
        trim(&mut self.out, bytes);
        let mut pipe = lock(&self.pipe);
        trim(&mut pipe.input, bytes);
        trim(&mut pipe.output, bytes);
    }

    /// Bytes that ever left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Bytes that ever were fetched: what h2 writes from now on begins here or later.
    pub fn fetched(&self) -> u64 {
        self.left + (self.out.len() - self.out_at) as u64
    }

    /// Appends a frame of our own. h2 writes whole frames only, so it stands between two.
    pub fn append(&mut self, frame: &[u8]) {
        self.collect();
        self.out.extend_from_slice(frame);
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = lock(&self.0);
        let pending = pipe.input.len() - pipe.input_at;
        if pending == 0 {
            return if pipe.ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let n = pending.min(into.remaining());
        let from = pipe.input_at;
        into.put_slice(&pipe.input[from..from + n]);
        pipe.input_at += n;
        if n == pending {
            pipe.input.clear();
            pipe.input_at = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    /// All or nothing, so that output always ends at the end of a frame.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = lock(&self.0);
        if pipe.backlog + pipe.output.len() >= pipe.output_max {
            pipe.blocked = true;
            return Poll::Pending;
        }
        let n = slices.iter().map(|slice| slice.len()).sum();
        pipe.output.reserve(n);
        for slice in slices {
            pipe.output.extend_from_slice(slice);
        }
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
