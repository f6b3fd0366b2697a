//! Bytes between async code, which talks to the host, and threads that compress and check them.
//!
//! A channel in each direction, bounded: neither side runs ahead of the other. When the async side goes away, the thread's next read or
//! write fails, and it ends.

use std::io::{self, Read, Write};

use tokio::sync::mpsc;

/// Chunks that wait at most.
const DEPTH: usize = 8;
/// Size of a chunk.
pub(crate) const CHUNK_BYTES: usize = 128 << 10;

/// Async to thread.
pub(crate) fn inward() -> (mpsc::Sender<Vec<u8>>, ChunkReader) {
    let (sender, chunks) = mpsc::channel(DEPTH);
    let reader = ChunkReader {
        chunks,
        chunk: Vec::new(),
        at: 0,
    };
    (sender, reader)
}

/// Thread to async.
pub(crate) fn outward() -> (ChunkWriter, mpsc::Receiver<Vec<u8>>) {
    let (sender, receiver) = mpsc::channel(DEPTH);
    let writer = ChunkWriter {
        sender,
        chunk: Vec::with_capacity(CHUNK_BYTES),
    };
    (writer, receiver)
}

/// What the thread reads.
#[derive(Debug)]
pub(crate) struct ChunkReader {
    chunks: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for ChunkReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.at == self.chunk.len() {
            match self.chunks.blocking_recv() {
                Some(chunk) => (self.chunk, self.at) = (chunk, 0),
                None => return Ok(0),
            }
        }
        let mut rest = self.chunk.get(self.at..).unwrap_or_default();
        let read = rest.read(buf)?;
        self.at += read;
        Ok(read)
    }
}

/// What the thread writes to.
#[derive(Debug)]
pub(crate) struct ChunkWriter {
    sender: mpsc::Sender<Vec<u8>>,
    chunk: Vec<u8>,
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::take(&mut self.chunk);
        if chunk.is_empty() {
            return Ok(());
        }
        self.sender
            .blocking_send(chunk)
            .map_err(|_| io::Error::other("nobody takes it any more"))
    }
}
