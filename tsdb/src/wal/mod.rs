//! The write-ahead log: what a commit wrote here survives the end of the process; what a sync confirmed survives a power cut.
//!
//! ```text
//!   wal/00000007               a segment: header, then records
//!   wal/00000008
//!   wal/checkpoint.00000008    what the head held when segment 8 began: it stands for all segments before 8
//!
//!   header   "MHWL"  version u32  cut u64  crc32 u32  0 u32         24 bytes, little endian
//!   record   length u32  crc32 u32  kind u8  payload                length and crc32 are of kind and payload
//! ```
//!
//! `cut` is `u64::MAX`, or, when a failed write could not be cut off the segment before, the length up to which that one
//! counts. A commit is one write of one or two records (new series, samples), and its samples are one
//! record: a torn write loses the commit whole. A segment is synced before the next one begins, so only the last can be torn.
//!
//! Replay reads the newest checkpoint, then the segments from its number on. Samples may come twice (in the
//! checkpoint and in a segment, or in a block): the head keeps the first and the rest is dropped by time.
//!
//! A follower of the log's tail reads a segment up to its last whole record, and goes on to the next number once that exists
//! and the segment gives nothing more. Segments are removed only after a checkpoint with a higher number stands; an open file
//! can be read to its end all the same. Record kinds that a reader does not know are skipped.

mod reader;
mod record;
mod writer;

pub use reader::fuzz_read;
pub(crate) use reader::{SegmentEnd, header_cut, scan};
pub(crate) use record::ChunkRecord;
pub(crate) use record::{
    KIND_CHUNK, KIND_SAMPLES, KIND_SERIES, RecordWriter, SamplesEncoder, SeriesEncoder, decode_chunks,
    decode_samples, decode_series, encode_chunk,
};
pub(crate) use writer::{Found, Wal};

/// The folder of the log.
pub(crate) const FOLDER: &str = "wal";

/// Bytes of a segment's header.
pub(crate) const HEADER_BYTES: usize = 24;

const MAGIC: &[u8; 4] = b"MHWL";
const VERSION: u32 = 1;

/// Bytes before a record's payload: length, checksum, kind.
const RECORD_HEAD: usize = 9;

/// `cut` of a header that cuts nothing.
pub(crate) const NO_CUT: u64 = u64::MAX;

/// The largest record; a longer length is damage.
pub(crate) const MAX_RECORD_BYTES: usize = 256 << 20;

/// File name of a segment, with its folder.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{FOLDER}/{number:08}")
}

/// File name of a checkpoint, with its folder.
pub(crate) fn checkpoint_name(number: u64) -> String {
    format!("{FOLDER}/checkpoint.{number:08}")
}

/// What a file of the folder is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// A segment with its number.
    Segment(u64),
    /// A checkpoint with its number.
    Checkpoint(u64),
    /// Something unfinished that may go.
    Temporary,
    /// Not ours.
    Other,
}

/// Tells files apart by name (without folder).
pub(crate) fn file_kind(name: &str) -> FileKind {
    if name.ends_with(".tmp") {
        return FileKind::Temporary;
    }
    let digits = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| text.parse().ok())
            .flatten()
    };
    if let Some(number) = name.strip_prefix("checkpoint.").and_then(digits) {
        return FileKind::Checkpoint(number);
    }
    digits(name).map_or(FileKind::Other, FileKind::Segment)
}

/// A header with its checksum.
pub(crate) fn header(cut: u64) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    out[..4].copy_from_slice(MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&cut.to_le_bytes());
    let crc = crc32fast::hash(&out[..16]);
    out[16..20].copy_from_slice(&crc.to_le_bytes());
    out
}
