//! The folder `chunks` of a block: files of chunks, which the index names by file and offset.
//!
//! ```text
//!   magic 0x85BD40DD: u32 BE | version 1: u8 | 3 bytes of 0
//!   chunk   length of the data: varint | encoding: u8 | data | crc32c of encoding and data: u32 BE
//! ```

use crate::block::BlockError;
use crate::block::bytes::Cursor;
use crate::dir::Dir;

use super::file::SourceFile;
use super::index::ChunkMeta;

/// First bytes of a file of chunks.
pub(crate) const HEADER: [u8; 8] = [0x85, 0xbd, 0x40, 0xdd, 1, 0, 0, 0];

/// The chunks of one series follow each other: some fifty of them.
const AHEAD_BYTES: u64 = 16 << 10;
/// A chunk is followed by a number of at most five bytes and a checksum.
const LENGTH_BYTES: u64 = 5;

/// How the data of a chunk is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Floats.
    Xor,
    /// Native histograms, with integer or float counts.
    Histogram,
}

/// The open files of a block.
#[derive(Debug)]
pub(crate) struct ChunkFiles(Vec<SourceFile>);

impl ChunkFiles {
    /// Opens all files of `folder/chunks` and checks their headers.
    pub(crate) fn open(dir: &dyn Dir, folder: &str) -> Result<Self, BlockError> {
        let folder = format!("{folder}/chunks");
        let names = dir.list(&folder).map_err(|source| BlockError::Io {
            action: "listing",
            path: dir.display(&folder),
            source,
        })?;
        let mut files = Vec::new();
        // A file is named by its place in the list, whatever number its name has.
        for name in names
            .iter()
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let mut file = SourceFile::open(dir, &format!("{folder}/{name}"), AHEAD_BYTES)?;
            if file.up_to(0, HEADER.len() as u64)? != HEADER {
                return Err(file.corrupt(0, "this is not a file of chunks of version 1"));
            }
            files.push(file);
        }
        Ok(Self(files))
    }

    /// Other readers of the same files.
    pub(crate) fn again(&self) -> Self {
        Self(self.0.iter().map(SourceFile::again).collect())
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.iter().map(SourceFile::len).sum()
    }

    /// Gives a chunk's encoding and data to `read`, whose complaint becomes one about the file.
    pub(crate) fn read<T>(
        &mut self,
        chunk: &ChunkMeta,
        read: impl FnOnce(Encoding, &[u8]) -> crate::block::bytes::Taken<T>,
    ) -> Result<Option<T>, BlockError> {
        let (number, at) = (chunk.place >> 32, chunk.place & u64::from(u32::MAX));
        let file = usize::try_from(number)
            .ok()
            .and_then(|number| self.0.get_mut(number));
        let Some(file) = file else { return Ok(None) };
        let head = file.up_to(at, LENGTH_BYTES)?;
        let mut cursor = Cursor::new(head);
        let len = cursor.u64();
        let head_bytes = cursor.at() as u64;
        let len = len.map_err(file.damaged(at))?;
        let body_at = at + head_bytes;
        let all = len
            .checked_add(1 + 4)
            .ok_or_else(|| file.corrupt(at, "a chunk is too long"))?;
        let bytes = file.get(body_at, all)?;
        let (body, crc) = bytes.split_at(bytes.len() - 4);
        let checked = super::file::check(
            crate::block::reader::Checksums::Compared,
            body,
            crc.try_into().unwrap_or_default(),
        );
        let encoding = body.first().copied().unwrap_or(0);
        let known = match encoding {
            1 => Some(Encoding::Xor),
            2 | 3 => Some(Encoding::Histogram),
            _ => None,
        };
        let result = known.map(|encoding| read(encoding, body.get(1..).unwrap_or_default()));
        checked.map_err(|reason| file.corrupt(body_at, reason))?;
        match result {
            Some(result) => result.map(Some).map_err(file.damaged(body_at + 1)),
            None if encoding == 4 => Err(file.corrupt(
                body_at,
                "the chunk is encoded as XOR2, which this version does not read; let that Prometheus run without \
                 --enable-feature=xor2-encoding, or use a newer Masthead",
            )),
            None => Err(file.corrupt(body_at, &format!("the chunk has encoding {encoding}, which is not known"))),
        }
    }
}
