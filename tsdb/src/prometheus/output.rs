//! A file that is being written, in large pieces.

use crate::dir::{Dir, WriteFile};
use crate::error::{Error, io_error};

use super::crc32c;

/// Bytes collected before the file is appended to.
const BUFFER_BYTES: usize = 256 << 10;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Output {
    file: Box<dyn WriteFile>,
    path: String,
    buffer: Vec<u8>,
    offset: u64,
}

impl Output {
    pub(crate) fn create(dir: &dyn Dir, name: &str) -> Result<Self, Error> {
        let path = dir.display(name);
        let file = dir.create(name).map_err(io_error("creating", path.clone()))?;
        Ok(Self {
            file,
            path,
            buffer: Vec::new(),
            offset: 0,
        })
    }

    /// Where the next byte goes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        self.offset += bytes.len() as u64;
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.file.append(&self.buffer);
        self.buffer.clear();
        written.map_err(io_error("writing", self.path.clone()))
    }

    /// Fills with zeros up to a multiple of `to`, 16 at the most.
    pub(crate) fn align(&mut self, to: u64) -> Result<(), Error> {
        let zeros = self.offset.next_multiple_of(to) - self.offset;
        let zeros = usize::try_from(zeros).unwrap_or(0);
        self.write([0; 16].get(..zeros).unwrap_or_default())
    }

    /// Length in four bytes, the bytes, their checksum.
    pub(crate) fn write_section(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = u32::try_from(bytes.len())
            .map_err(|_| self.error("a section of an index holds 4 GB at the most"))?;
        self.write(&len.to_be_bytes())?;
        self.write_checked(bytes)
    }

    /// The bytes and their checksum.
    pub(crate) fn write_checked(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.write(bytes)?;
        self.write(&crc32c::checksum(bytes).to_be_bytes())
    }

    /// A complaint about what would be written.
    pub(crate) fn error(&self, reason: &str) -> Error {
        io_error("writing", self.path.clone())(std::io::Error::other(reason))
    }

    /// Returns when all is on the device; gives the length.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        self.flush()?;
        self.file.sync().map_err(io_error("syncing", self.path.clone()))?;
        Ok(self.offset)
    }
}
