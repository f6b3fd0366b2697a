//! What stands on the pages of the index: one thing after the other, each relative to the one before on its page.
//!
//! ```text
//!   times    offset: u64 LE | length: u32 LE | rows: u32 LE | first ms: i64 LE | last ms: i64 LE      32 bytes each
//!   symbols  length | bytes, both as in the canonical encoding of labels
//!   series   pairs shared with the series before | more pairs: varints | (name, value: varints) per pair
//!            | chunks: varint, then per chunk
//!              | times * 2 + part: varint
//!              | with part 1: rows skipped | rows | ms after the first | ms before the last: varints
//!              | bytes between the value chunk before and this one: varint (the first on a page: offset)
//!              | length of the value chunk: varint
//!   pairs    same name as before: u8 | name, when it is not | shared bytes | value's other bytes
//!            | series: varint | length * 2 + elsewhere: varint | list, or offset: varint and crc32: u32 LE
//!   list     distance to the series number before (the first: the number): varint, per series
//! ```

use super::bytes::{Cursor, Damage, Taken, put_len, put_str, put_u64};

/// At the most so many samples lie in one chunk; readers refuse more, which bounds every allocation.
pub(super) const MAX_ROWS: usize = 2880;
/// Bytes of one entry of `times`.
pub(super) const TIMES_ENTRY: usize = 32;
/// Lists of at least this many bytes lie in the postings section, so that a look at another value does not read them.
pub(super) const INLINE_LIST: usize = 256;

/// Where a timestamp chunk lies and what it spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimesEntry {
    pub(super) offset: u64,
    /// With the checksum.
    pub(super) len: u32,
    pub(super) rows: u32,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
}

impl TimesEntry {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.len.to_le_bytes());
        out.extend_from_slice(&self.rows.to_le_bytes());
        out.extend_from_slice(&self.first_ms.to_le_bytes());
        out.extend_from_slice(&self.last_ms.to_le_bytes());
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Taken<Self> {
        let entry = Self {
            offset: u64::from_le_bytes(cursor.array()?),
            len: u32::from_le_bytes(cursor.array()?),
            rows: u32::from_le_bytes(cursor.array()?),
            first_ms: i64::from_le_bytes(cursor.array()?),
            last_ms: i64::from_le_bytes(cursor.array()?),
        };
        let rows = usize::try_from(entry.rows).unwrap_or(usize::MAX);
        if rows == 0 || rows > MAX_ROWS || entry.first_ms > entry.last_ms {
            return Err(cursor.damage("a timestamp chunk with impossible rows or times"));
        }
        Ok(entry)
    }
}

/// The rows of a timestamp chunk that a value chunk uses, when it is not all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) skip: u32,
    pub(super) rows: u32,
    pub(super) after_first: u64,
    pub(super) before_last: u64,
}

/// One value chunk as the series entry spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkEntry {
    /// Number of the timestamp chunk.
    pub(super) times: u32,
    pub(super) part: Option<Part>,
    /// From the start of the file.
    pub(super) offset: u64,
    /// With the checksum.
    pub(super) len: u32,
}

/// Writes series entries of one page.
#[derive(Debug, Default)]
pub(super) struct SeriesEncoder {
    pairs: Vec<(u32, u32)>,
    end: u64,
}

impl SeriesEncoder {
    /// Forgets what is before: a page starts.
    pub(super) fn reset(&mut self) {
        self.pairs.clear();
        self.end = 0;
    }

    pub(super) fn encode(&mut self, pairs: &[(u32, u32)], chunks: &[ChunkEntry], out: &mut Vec<u8>) {
        let shared = self.pairs.iter().zip(pairs).take_while(|(a, b)| a == b).count();
        put_len(out, shared);
        put_len(out, pairs.len() - shared);
        for &(name, value) in &pairs[shared..] {
            put_u64(out, u64::from(name));
            put_u64(out, u64::from(value));
        }
        self.pairs.clear();
        self.pairs.extend_from_slice(pairs);
        put_len(out, chunks.len());
        for chunk in chunks {
            put_u64(out, u64::from(chunk.times) * 2 + u64::from(chunk.part.is_some()));
            if let Some(part) = chunk.part {
                put_u64(out, u64::from(part.skip));
                put_u64(out, u64::from(part.rows));
                put_u64(out, part.after_first);
                put_u64(out, part.before_last);
            }
            put_u64(out, chunk.offset - self.end);
            put_u64(out, u64::from(chunk.len));
            self.end = chunk.offset + u64::from(chunk.len);
        }
    }
}

/// Reads series entries of one page, one after the other.
#[derive(Debug)]
pub(super) struct SeriesDecoder<'a> {
    pub(super) cursor: Cursor<'a>,
    /// Symbol numbers of the entry read last.
    pub(super) pairs: Vec<(u32, u32)>,
    /// Its chunks.
    pub(super) chunks: Vec<ChunkEntry>,
    end: u64,
}

impl<'a> SeriesDecoder<'a> {
    pub(super) fn new(page: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(page),
            pairs: Vec::new(),
            chunks: Vec::new(),
            end: 0,
        }
    }

    /// Reads the next entry into `pairs` and `chunks`.
    pub(super) fn step(&mut self) -> Taken<()> {
        let cursor = &mut self.cursor;
        let shared = cursor.len()?;
        if shared > self.pairs.len() {
            return Err(cursor.damage("a series shares more labels than there are"));
        }
        self.pairs.truncate(shared);
        for _ in 0..cursor.count()? {
            self.pairs.push((cursor.u32()?, cursor.u32()?));
        }
        self.chunks.clear();
        let count = cursor.count()?;
        for _ in 0..count {
            let head = cursor.u64()?;
            let times = u32::try_from(head >> 1).map_err(|_| cursor.damage("no such timestamp chunk"))?;
            let part = if head & 1 == 1 {
                Some(Part {
                    skip: cursor.u32()?,
                    rows: cursor.u32()?,
                    after_first: cursor.u64()?,
                    before_last: cursor.u64()?,
                })
            } else {
                None
            };
            let gap = cursor.u64()?;
            let len = cursor.u32()?;
            let too_far = Damage {
                at: cursor.at(),
                reason: "a value chunk lies outside the file",
            };
            let offset = self.end.checked_add(gap).ok_or(too_far)?;
            self.end = offset.checked_add(u64::from(len)).ok_or(too_far)?;
            self.chunks.push(ChunkEntry {
                times,
                part,
                offset,
                len,
            });
        }
        if count == 0 {
            return Err(cursor.damage("a series without a chunk"));
        }
        Ok(())
    }
}

/// Where the series numbers of a label pair are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListPlace<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// In the postings section.
    Elsewhere {
        /// From the start of the section.
        offset: u64,
        len: u32,
        crc: u32,
    },
}

/// Writes label pairs of one page.
#[derive(Debug, Default)]
pub(super) struct PairEncoder {
    name: String,
    value: String,
}

impl PairEncoder {
    pub(super) fn reset(&mut self) {
        self.name.clear();
        self.value.clear();
    }

    pub(super) fn encode(
        &mut self,
        name: &str,
        value: &str,
        count: u32,
        list: ListPlace<'_>,
        out: &mut Vec<u8>,
    ) {
        // No label has an empty name, so the first of a page always spells its own.
        let same = self.name == name;
        out.push(u8::from(same));
        if !same {
            put_str(out, name);
            name.clone_into(&mut self.name);
            self.value.clear();
        }
        let shared = self
            .value
            .bytes()
            .zip(value.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        put_len(out, shared);
        put_len(out, value.len() - shared);
        out.extend_from_slice(&value.as_bytes()[shared..]);
        value.clone_into(&mut self.value);
        put_u64(out, u64::from(count));
        match list {
            ListPlace::Inline(bytes) => {
                put_len(out, bytes.len() * 2);
                out.extend_from_slice(bytes);
            }
            ListPlace::Elsewhere { offset, len, crc } => {
                put_u64(out, u64::from(len) * 2 + 1);
                put_u64(out, offset);
                out.extend_from_slice(&crc.to_le_bytes());
            }
        }
    }
}

/// Reads label pairs of one page.
#[derive(Debug)]
pub(super) struct PairDecoder<'a> {
    pub(super) cursor: Cursor<'a>,
    name: &'a str,
    value: Vec<u8>,
}

/// One label pair with its list.
#[derive(Debug)]
pub(super) struct Pair<'a, 'b> {
    pub(super) name: &'a str,
    pub(super) value: &'b str,
    pub(super) count: u32,
    pub(super) list: ListPlace<'a>,
}

impl<'a> PairDecoder<'a> {
    pub(super) fn new(page: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(page),
            name: "",
            value: Vec::new(),
        }
    }

    pub(super) fn step(&mut self) -> Taken<Pair<'a, '_>> {
        let cursor = &mut self.cursor;
        if cursor.u8()? == 0 {
            self.name = cursor.str()?;
            self.value.clear();
        }
        let shared = cursor.len()?;
        if shared > self.value.len() {
            return Err(cursor.damage("a value shares more bytes than there are"));
        }
        self.value.truncate(shared);
        let rest = cursor.len()?;
        self.value.extend_from_slice(cursor.take(rest)?);
        let count = cursor.u32()?;
        let head = cursor.u64()?;
        let len = u32::try_from(head >> 1).map_err(|_| cursor.damage("a list is too long"))?;
        let list = if head & 1 == 0 {
            ListPlace::Inline(cursor.take(usize::try_from(len).unwrap_or(usize::MAX))?)
        } else {
            ListPlace::Elsewhere {
                offset: cursor.u64()?,
                len,
                crc: u32::from_le_bytes(cursor.array()?),
            }
        };
        let value = std::str::from_utf8(&self.value).map_err(|_| Damage {
            at: 0,
            reason: "a value is not UTF-8",
        })?;
        Ok(Pair {
            name: self.name,
            value,
            count,
            list,
        })
    }
}

/// Appends the series numbers of a list; they rise and stay below `series`.
pub(super) fn decode_list(bytes: &[u8], count: u32, series: u64, out: &mut Vec<u32>) -> Taken<()> {
    let mut cursor = Cursor::new(bytes);
    let mut last: Option<u64> = None;
    for _ in 0..count {
        let step = cursor.u64()?;
        let number = match last {
            None => Some(step),
            Some(last) if step > 0 => last.checked_add(step),
            Some(_) => None,
        };
        let fits = number.filter(|&n| n < series).and_then(|n| u32::try_from(n).ok());
        out.push(fits.ok_or_else(|| cursor.damage("a list of series does not rise or leaves the block"))?);
        last = number;
    }
    if !cursor.is_done() {
        return Err(cursor.damage("a list of series is longer than it says"));
    }
    Ok(())
}
