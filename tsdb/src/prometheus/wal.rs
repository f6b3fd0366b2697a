//! Prometheus' write-ahead log: segments of pages of fragments of records.
//!
//! ```text
//!   wal/00000007               a segment: pages of 32 KiB, the last of the last segment may be shorter
//!   wal/checkpoint.00000006    a folder of segments that stand for all up to number 6
//!   wbl/00000000               the same for samples that came out of order
//!
//!   page       fragment* | 0 up to the end
//!   fragment   1 whole, 2 first, 3 middle, 4 last; + 8 snappy, + 16 zstd: u8 | length: u16 BE | crc32c: u32 BE | data
//! ```
//!
//! A record is compressed as a whole and lies in one segment. From the checkpoint on the log holds every sample of the head: chunks
//! that Prometheus keeps under `chunks_head` make its start faster and add nothing.

use crate::block::BlockError;
use crate::block::bytes::Damage;
use crate::dir::Dir;

use super::file::SourceFile;
use super::record::{Records, decode};

const PAGE_BYTES: u64 = 32 << 10;
const HEADER_BYTES: usize = 7;
const SNAPPY: u8 = 8;
const ZSTD: u8 = 16;
/// Prometheus writes records of megabytes at the most.
const MOST_RECORD_BYTES: usize = 256 << 20;

/// The end of a log that is not whole: a write was cut short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornLog {
    /// The segment.
    pub path: String,
    /// From where on nothing was read.
    pub offset: u64,
    /// What does not fit.
    pub reason: String,
}

/// Reads the log in `folder` and tells `to` what it holds. Damage is an error, but for the end of the last segment.
pub(crate) fn read(dir: &dyn Dir, folder: &str, to: &mut dyn Records) -> Result<Option<TornLog>, BlockError> {
    let list = |source| BlockError::Io {
        action: "listing",
        path: dir.display(folder),
        source,
    };
    let checkpoints = dir.folders(folder).map_err(list)?;
    let checkpoint = checkpoints
        .iter()
        .filter_map(|name| Some((name, name.strip_prefix("checkpoint.").and_then(number)?)))
        .max_by_key(|(_, number)| *number);
    if let Some((name, _)) = checkpoint {
        let folder = format!("{folder}/{name}");
        for (path, _) in segments(dir, &folder, None)? {
            read_segment(&mut SourceFile::open(dir, &path, PAGE_BYTES)?, to)?;
        }
    }
    let segments = segments(dir, folder, checkpoint.map(|(_, number)| number))?;
    for (at, (path, _)) in segments.iter().enumerate() {
        match read_segment(&mut SourceFile::open(dir, path, PAGE_BYTES)?, to) {
            Err(BlockError::Corrupt { path, offset, reason }) if at + 1 == segments.len() => {
                return Ok(Some(TornLog { path, offset, reason }));
            }
            result => result?,
        }
    }
    Ok(None)
}

/// The number of a segment or checkpoint.
fn number(text: &str) -> Option<u64> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

/// The segments after number `after`, which must follow each other.
fn segments(dir: &dyn Dir, folder: &str, after: Option<u64>) -> Result<Vec<(String, u64)>, BlockError> {
    let names = dir.list(folder).map_err(|source| BlockError::Io {
        action: "listing",
        path: dir.display(folder),
        source,
    })?;
    let mut found: Vec<(String, u64)> = names
        .iter()
        .filter_map(|name| Some((format!("{folder}/{name}"), number(name)?)))
        .filter(|(_, number)| after.is_none_or(|after| *number > after))
        .collect();
    found.sort_by_key(|(_, number)| *number);
    let first = after
        .map(|after| after + 1)
        .or(found.first().map(|(_, number)| *number));
    for ((path, number), want) in found.iter().zip(first.unwrap_or(0)..) {
        if *number != want {
            return Err(BlockError::Corrupt {
                path: dir.display(path),
                offset: 0,
                reason: format!(
                    "segment {want} is missing before it; start that Prometheus once, so that it mends its log"
                ),
            });
        }
    }
    Ok(found)
}

/// A record that is being put together.
#[derive(Default)]
struct Pending {
    data: Vec<u8>,
    compression: u8,
    /// Where it began.
    at: u64,
    open: bool,
}

fn read_segment(file: &mut SourceFile, to: &mut dyn Records) -> Result<(), BlockError> {
    let mut pending = Pending::default();
    let mut page_at = 0;
    let mut page = Vec::new();
    while page_at < file.len() {
        page.clear();
        page.extend_from_slice(file.up_to(page_at, PAGE_BYTES)?);
        let mut at = 0;
        while let Some(&kind) = page.get(at) {
            if kind & 7 == 0 {
                if page
                    .get(at..)
                    .is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
                {
                    return Err(file.corrupt(page_at + at as u64, "the rest of a page is not empty"));
                }
                break;
            }
            at += fragment(file, page_at, &page, at, &mut pending, to)?;
        }
        page_at += PAGE_BYTES;
    }
    if pending.open {
        return Err(file.corrupt(pending.at, "a record is cut short"));
    }
    Ok(())
}

/// Takes the fragment at `at` of a page; gives its length.
fn fragment(
    file: &SourceFile,
    page_at: u64,
    page: &[u8],
    at: usize,
    pending: &mut Pending,
    to: &mut dyn Records,
) -> Result<usize, BlockError> {
    let here = page_at + at as u64;
    let corrupt = |reason: &str| file.corrupt(here, reason);
    let head = page.get(at..).and_then(|rest| rest.first_chunk::<HEADER_BYTES>());
    let [kind, len @ .., crc_0, crc_1, crc_2, crc_3] =
        *head.ok_or_else(|| corrupt("a record is cut short"))?;
    let len = usize::from(u16::from_be_bytes(len));
    let start = at + HEADER_BYTES;
    let data = page
        .get(start..start + len)
        .ok_or_else(|| corrupt("a record is cut short"))?;
    file.check(here, data, [crc_0, crc_1, crc_2, crc_3])?;
    match (kind & 7, pending.open) {
        (1 | 2, false) => {
            pending.data.clear();
            pending.compression = kind & (SNAPPY | ZSTD);
            pending.at = here;
            pending.open = true;
        }
        (3 | 4, true) => {}
        _ => return Err(corrupt("a part of a record does not follow the part before")),
    }
    pending.data.extend_from_slice(data);
    if pending.data.len() > MOST_RECORD_BYTES {
        return Err(corrupt("a record is larger than 256 MB"));
    }
    if matches!(kind & 7, 1 | 4) {
        pending.open = false;
        // Offsets within a record mean nothing to who reads the message, as it may be compressed.
        let complain = |damage: Damage| file.corrupt(pending.at, damage.reason);
        match pending.compression {
            _ if pending.data.is_empty() => {}
            0 => decode(&pending.data, to).map_err(complain)?,
            SNAPPY => {
                let record = unpack(&pending.data).map_err(|reason| file.corrupt(pending.at, reason))?;
                decode(&record, to).map_err(complain)?;
            }
            _ => {
                return Err(BlockError::Unsupported {
                    path: file.path().to_owned(),
                    what: "the log is compressed with zstd (--storage.tsdb.wal-compression-type=zstd)"
                        .to_owned(),
                    cure:
                        "take a snapshot of the running Prometheus (POST /api/v1/admin/tsdb/snapshot, with \
                           --web.enable-admin-api) and import that: it holds the log's samples as a block"
                            .to_owned(),
                });
            }
        }
    }
    Ok(HEADER_BYTES + len)
}

fn unpack(data: &[u8]) -> Result<Vec<u8>, &'static str> {
    match snap::raw::decompress_len(data) {
        Ok(len) if len <= MOST_RECORD_BYTES => {}
        Ok(_) => return Err("a record is larger than 256 MB"),
        Err(_) => return Err("a record's compression is damaged"),
    }
    snap::raw::Decoder::new()
        .decompress_vec(data)
        .map_err(|_| "a record's compression is damaged")
}

/// For [`super::fuzz_wal`].
pub(super) fn read_one(mut file: SourceFile, to: &mut dyn Records) -> Result<(), BlockError> {
    read_segment(&mut file, to)
}
