//! An open block: its footer in memory, everything else read by offset and checked before use.

use std::sync::Arc;

use pco::wrapped::FileDecompressor;

use super::bytes::{Cursor, Damage};
use super::footer::{
    END_MAGIC, Footer, HEADER_LEN, MAGIC, Page, Section, SectionPlace, TRAILER_LEN, VERSION,
};
use super::{BlockError, BlockMeta, join};
use crate::dir::{Dir, ReadFile};

/// Bytes read at once when only a checksum is wanted.
const STREAM: u64 = 64 << 10;
/// No chunk of 2,880 rows comes near this.
const MAX_CHUNK_BYTES: u32 = 128 << 10;

/// An open block. Only the footer stays in memory; index and columns are read by offset. The file stays readable after
/// it was removed from its folder.
#[derive(Debug)]
pub struct Block {
    file: Arc<dyn ReadFile>,
    path: String,
    meta: BlockMeta,
    pub(super) footer: Footer,
    pub(super) pco: FileDecompressor,
    checksums: Checksums,
}

/// Whether checksums are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// Always, outside of fuzzing.
    Compared,
    /// Damage goes through to the code behind, as if somebody had forged the checksums.
    Forged,
}

impl Checksums {
    fn fit(self, bytes: &[u8], crc: u32) -> bool {
        self == Self::Forged || crc32fast::hash(bytes) == crc
    }
}

impl Block {
    /// Opens `folder/name` and checks its footer and index checksums; columns are checked when they are read.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`], [`BlockError::Io`].
    pub fn open(dir: &dyn Dir, folder: &str, name: &str) -> Result<Arc<Self>, BlockError> {
        let relative = join(folder, name);
        let path = dir.display(&relative);
        match dir.open(&relative) {
            Ok(file) => Self::from_file(file, path, name, Checksums::Compared),
            Err(source) => Err(BlockError::Io {
                action: "opening",
                path,
                source,
            }),
        }
    }

    /// As [`Block::open`], over a file that is open.
    pub(super) fn from_file(
        file: Arc<dyn ReadFile>,
        path: String,
        name: &str,
        checksums: Checksums,
    ) -> Result<Arc<Self>, BlockError> {
        let corrupt = |offset, reason: &str| BlockError::Corrupt {
            path: path.clone(),
            offset,
            reason: reason.to_owned(),
        };
        let io = |source| BlockError::Io {
            action: "reading",
            path: path.clone(),
            source,
        };
        let len = file.len().map_err(io)?;
        let trailer_at = len
            .checked_sub(TRAILER_LEN as u64)
            .filter(|at| *at >= HEADER_LEN as u64);
        let trailer_at = trailer_at.ok_or_else(|| corrupt(0, "shorter than any block"))?;
        let mut header = [0u8; HEADER_LEN];
        file.read_exact_at(&mut header, 0).map_err(io)?;
        let pco = check_header(&header).map_err(|d| corrupt(d.at as u64, d.reason))?;
        let mut trailer = [0u8; TRAILER_LEN];
        file.read_exact_at(&mut trailer, trailer_at).map_err(io)?;
        let (footer_len, footer_crc) =
            check_trailer(&trailer, len).map_err(|d| corrupt(trailer_at + d.at as u64, d.reason))?;
        let footer_at = trailer_at
            .checked_sub(footer_len)
            .filter(|at| *at >= HEADER_LEN as u64);
        let (Some(footer_at), Ok(footer_size)) = (footer_at, usize::try_from(footer_len)) else {
            return Err(corrupt(trailer_at, "the footer is longer than the file"));
        };
        let mut bytes = vec![0; footer_size];
        file.read_exact_at(&mut bytes, footer_at).map_err(io)?;
        if checksums == Checksums::Compared && footer_checksum(&header, &bytes) != footer_crc {
            return Err(corrupt(footer_at, "the footer's checksum does not match"));
        }
        let footer =
            Footer::decode(&bytes, footer_at).map_err(|d| corrupt(footer_at + d.at as u64, d.reason))?;
        let meta = BlockMeta {
            name: name.to_owned(),
            min_ms: footer.min_ms,
            max_ms: footer.max_ms,
            series: footer.series.count,
            samples: footer.samples,
            bytes: len,
            level: footer.level,
            sources: footer.sources.clone(),
        };
        let block = Self {
            file,
            path,
            meta,
            footer,
            pco,
            checksums,
        };
        for section in [
            Section::Times,
            Section::Symbols,
            Section::Series,
            Section::Postings,
            Section::Pairs,
        ] {
            block.check_section(block.footer.section(section))?;
        }
        Ok(Arc::new(block))
    }

    /// What the block holds.
    #[must_use]
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// The file, for messages.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Reads a section through once and compares its checksum.
    pub(super) fn check_section(&self, section: SectionPlace) -> Result<(), BlockError> {
        let mut hasher = crc32fast::Hasher::new();
        let mut at = section.offset;
        let end = section.offset + section.len;
        let mut buffer = Vec::new();
        while at < end {
            let step = STREAM.min(end - at);
            buffer.resize(usize::try_from(step).unwrap_or(0), 0);
            self.read(&mut buffer, at)?;
            hasher.update(&buffer);
            at += step;
        }
        if self.checksums == Checksums::Forged || hasher.finalize() == section.crc {
            Ok(())
        } else {
            Err(self.corrupt(section.offset, "a section's checksum does not match"))
        }
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), BlockError> {
        let read = self.file.read_exact_at(buffer, offset);
        read.map_err(|source| BlockError::Io {
            action: "reading",
            path: self.path.clone(),
            source,
        })
    }

    pub(super) fn corrupt(&self, offset: u64, reason: &str) -> BlockError {
        BlockError::Corrupt {
            path: self.path.clone(),
            offset,
            reason: reason.to_owned(),
        }
    }

    /// Turns a complaint about bytes that lie at `base` into an error about the file.
    pub(super) fn damaged(&self, base: u64) -> impl Fn(Damage) -> BlockError + '_ {
        move |damage| self.corrupt(base + damage.at as u64, damage.reason)
    }

    /// A page without its checksum.
    pub(super) fn page(&self, page: Page) -> Result<Vec<u8>, BlockError> {
        let mut bytes = Vec::new();
        self.checked(page.offset, page.len, &mut bytes)?;
        Ok(bytes)
    }

    /// A chunk of the columns without its checksum, in `buffer`.
    pub(super) fn chunk(&self, offset: u64, len: u32, buffer: &mut Vec<u8>) -> Result<(), BlockError> {
        let columns = self.footer.section(Section::Columns);
        let end = offset.checked_add(u64::from(len));
        let inside = offset >= columns.offset && end.is_some_and(|end| end <= columns.offset + columns.len);
        if !inside || len <= 4 || len > MAX_CHUNK_BYTES {
            return Err(self.corrupt(offset, "a chunk does not lie in the columns"));
        }
        self.checked(offset, len, buffer)
    }

    /// Does a checksum that lies apart from its bytes fit them?
    pub(super) fn fits(&self, bytes: &[u8], crc: u32) -> bool {
        self.checksums.fit(bytes, crc)
    }

    /// Reads bytes that end with their checksum and cuts it off. The caller has checked that they lie in the file.
    fn checked(&self, offset: u64, len: u32, buffer: &mut Vec<u8>) -> Result<(), BlockError> {
        buffer.clear();
        buffer.resize(usize::try_from(len).unwrap_or(0), 0);
        self.read(buffer, offset)?;
        let Some((body, crc)) = buffer.split_last_chunk::<4>() else {
            return Err(self.corrupt(offset, "too short for a checksum"));
        };
        if !self.checksums.fit(body, u32::from_le_bytes(*crc)) {
            return Err(self.corrupt(offset, "checksum does not match"));
        }
        buffer.truncate(buffer.len() - 4);
        Ok(())
    }
}

/// The footer's checksum covers the header too, so that no byte of the file is without one.
pub(super) fn footer_checksum(header: &[u8], footer: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(footer);
    hasher.finalize()
}

fn check_header(header: &[u8; HEADER_LEN]) -> Result<FileDecompressor, Damage> {
    let mut cursor = Cursor::new(header);
    if cursor.array::<8>()? != MAGIC {
        return Err(Damage {
            at: 0,
            reason: "this is not a block",
        });
    }
    if u16::from_le_bytes(cursor.array()?) != VERSION {
        return Err(Damage {
            at: 8,
            reason: "written in a format that this version does not know",
        });
    }
    // Blocks are written by this very pco; another version is damage or a newer Masthead.
    let ours = pco::metadata::FormatVersion::default();
    let unknown = Damage {
        at: 10,
        reason: "compressed in a format that this version does not know",
    };
    let (pco, rest) = FileDecompressor::new(&header[10..]).map_err(|_| unknown)?;
    if *pco.format_version() > ours || rest.iter().any(|&b| b != 0) || rest.len() != 4 {
        return Err(unknown);
    }
    Ok(pco)
}

/// Length and checksum of the footer.
fn check_trailer(trailer: &[u8; TRAILER_LEN], file_len: u64) -> Result<(u64, u32), Damage> {
    let mut cursor = Cursor::new(trailer);
    let len = u64::from_le_bytes(cursor.array()?);
    let crc = u32::from_le_bytes(cursor.array()?);
    if u64::from_le_bytes(cursor.array()?) != file_len {
        return Err(Damage {
            at: 12,
            reason: "the file does not have the length that it was written with",
        });
    }
    if cursor.array::<8>()? != END_MAGIC {
        return Err(Damage {
            at: 20,
            reason: "the file does not end as a block does; it was cut short",
        });
    }
    Ok((len, crc))
}
