//! A file of Prometheus', read by offset through a buffer: neighbours are asked for one after the other.

use std::sync::Arc;

use crate::block::BlockError;
use crate::block::bytes::Damage;
use crate::block::reader::Checksums;
use crate::dir::{Dir, ReadFile};

use super::crc32c;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct SourceFile {
    file: Arc<dyn ReadFile>,
    path: String,
    len: u64,
    checksums: Checksums,
    /// So much is read at once at least.
    ahead: u64,
    /// What `bytes` starts at.
    at: u64,
    bytes: Vec<u8>,
}

impl SourceFile {
    /// Opens a file; `ahead` bytes are read at once at least.
    pub(crate) fn open(dir: &dyn Dir, name: &str, ahead: u64) -> Result<Self, BlockError> {
        let path = dir.display(name);
        match dir.open(name) {
            Ok(file) => Self::over(file, path, ahead, Checksums::Compared),
            Err(source) => Err(BlockError::Io {
                action: "opening",
                path,
                source,
            }),
        }
    }

    /// As [`SourceFile::open`], over a file that is open.
    pub(crate) fn over(
        file: Arc<dyn ReadFile>,
        path: String,
        ahead: u64,
        checksums: Checksums,
    ) -> Result<Self, BlockError> {
        let len = file.len().map_err(|source| BlockError::Io {
            action: "reading",
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            file,
            path,
            len,
            checksums,
            ahead,
            at: 0,
            bytes: Vec::new(),
        })
    }

    /// Another reader of the same file, with a buffer of its own.
    pub(crate) fn again(&self) -> Self {
        Self {
            file: Arc::clone(&self.file),
            path: self.path.clone(),
            bytes: Vec::new(),
            ..*self
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// `len` bytes at `offset`; the file must hold them.
    pub(crate) fn get(&mut self, offset: u64, len: u64) -> Result<&[u8], BlockError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        let end = end.ok_or_else(|| self.corrupt(offset, "the file ends before what should be here"))?;
        if offset < self.at || end > self.at + self.bytes.len() as u64 {
            let wanted = len.max(self.ahead).min(self.len - offset);
            self.bytes.clear();
            self.bytes.resize(usize::try_from(wanted).unwrap_or(0), 0);
            self.at = offset;
            let read = self.file.read_exact_at(&mut self.bytes, offset);
            if let Err(source) = read {
                self.bytes.clear();
                return Err(BlockError::Io {
                    action: "reading",
                    path: self.path.clone(),
                    source,
                });
            }
        }
        let start = usize::try_from(offset - self.at).unwrap_or(usize::MAX);
        let part = self
            .bytes
            .get(start..start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)));
        part.ok_or_else(|| self.corrupt(offset, "the file ends before what should be here"))
    }

    /// Up to `len` bytes at `offset`, fewer at the file's end.
    pub(crate) fn up_to(&mut self, offset: u64, len: u64) -> Result<&[u8], BlockError> {
        let len = len.min(self.len.saturating_sub(offset));
        self.get(offset, len)
    }

    /// Compares a checksum that lies at `offset` with the bytes that it stands for.
    pub(crate) fn check(&self, offset: u64, bytes: &[u8], crc: [u8; 4]) -> Result<(), BlockError> {
        check(self.checksums, bytes, crc).map_err(|reason| self.corrupt(offset, reason))
    }

    pub(crate) fn checksums(&self) -> Checksums {
        self.checksums
    }

    pub(crate) fn corrupt(&self, offset: u64, reason: &str) -> BlockError {
        BlockError::Corrupt {
            path: self.path.clone(),
            offset,
            reason: reason.to_owned(),
        }
    }

    /// Turns a complaint about bytes that lie at `base` into an error about the file.
    pub(crate) fn damaged(&self, base: u64) -> impl Fn(Damage) -> BlockError + '_ {
        move |damage| self.corrupt(base + damage.at as u64, damage.reason)
    }
}

/// Compares a big-endian CRC-32C.
pub(crate) fn check(checksums: Checksums, bytes: &[u8], crc: [u8; 4]) -> Result<(), &'static str> {
    if checksums == Checksums::Forged || crc32c::checksum(bytes) == u32::from_be_bytes(crc) {
        Ok(())
    } else {
        Err("checksum does not match")
    }
}
