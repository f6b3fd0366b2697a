//! The file `index` of a block, as far as an import needs it: symbols and series.
//!
//! ```text
//!   magic 0xBAAAD700: u32 BE | version: u8
//!   symbols   length: u32 BE | count: u32 BE | (length: varint, text)* | crc32c
//!   series    each: 0 up to a multiple of 16 (version 2) | length: varint
//!             | labels: varint | (name, value: varints)* | chunks: varint | (times and place)* | crc32c
//!   postings and tables, not read: all that they say follows from the series
//!   contents  symbols, series, label indices, their table, postings, their table: u64 BE each, 0 for none | crc32c
//! ```
//!
//! A chunk is: first ms (zigzag), length of time, place (file number in the upper half, offset in the lower); the next ones say how
//! far after the one before they begin, their length of time, and how far after its place they lie (zigzag).
//! Labels name symbols by number in version 2, by where they lie in the file in version 1. A checksum is of what lies between the
//! length and it.

use model::Labels;

use crate::block::BlockError;
use crate::block::bytes::{Cursor, Taken};

use super::file::SourceFile;
use super::put_part;

const MAGIC: u32 = 0xbaaa_d700;
const HEADER_BYTES: u64 = 5;
const CONTENTS_BYTES: u64 = 52;
/// The longest number as a varint, with room for nothing else.
const VARINT_BYTES: u64 = 10;
const ALIGN: u64 = 16;
/// Symbols are kept in memory while a block is read.
const MOST_SYMBOL_BYTES: u64 = 1 << 30;

/// Where the sections lie, as far as they are used.
#[derive(Debug, Clone, Copy)]
struct Contents {
    symbols: u64,
    series: u64,
    series_end: u64,
}

/// Label names and values.
#[derive(Debug, Default)]
struct Symbols {
    texts: String,
    /// By number: where the text ends in `texts`, and where its length lies in the file.
    places: Vec<(usize, u64)>,
}

impl Symbols {
    fn text(&self, number: usize) -> Option<&str> {
        let start = match number.checked_sub(1) {
            Some(before) => self.places.get(before)?.0,
            None => 0,
        };
        self.texts.get(start..self.places.get(number)?.0)
    }

    /// Version 1 names a symbol by its place in the file.
    fn at(&self, place: u64) -> Option<&str> {
        let number = self
            .places
            .binary_search_by_key(&place, |(_, place)| *place)
            .ok()?;
        self.text(number)
    }
}

/// A chunk as the index describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkMeta {
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
    /// File number in the upper half, offset in the lower.
    pub(crate) place: u64,
}

/// An open index.
#[derive(Debug)]
pub(crate) struct Index {
    file: SourceFile,
    version: u8,
    contents: Contents,
    symbols: Symbols,
}

impl Index {
    /// Reads contents and symbols.
    pub(crate) fn read(mut file: SourceFile) -> Result<Self, BlockError> {
        let header = file.get(0, HEADER_BYTES)?;
        let version = header.get(4).copied().unwrap_or(0);
        if header.get(..4) != Some(&MAGIC.to_be_bytes()) {
            return Err(file.corrupt(0, "this is not the index of a Prometheus block"));
        }
        if version != 1 && version != 2 {
            return Err(file.corrupt(
                4,
                &format!("an index of version {version}, of which 1 and 2 are known"),
            ));
        }
        let contents = read_contents(&mut file)?;
        let symbols = read_symbols(&mut file, contents)?;
        Ok(Self {
            file,
            version,
            contents,
            symbols,
        })
    }

    /// The series in their order.
    pub(crate) fn series(&self) -> SeriesEntries {
        SeriesEntries {
            file: self.file.again(),
            version: self.version,
            at: self.contents.series,
            end: self.contents.series_end,
        }
    }

    /// The labels that an entry names.
    pub(crate) fn labels(&self, entry: &SeriesEntry, encoded: &mut String) -> Result<Labels, BlockError> {
        let symbol = |number: u64| {
            let text = match self.version {
                1 => self.symbols.at(number),
                _ => usize::try_from(number).ok().and_then(|n| self.symbols.text(n)),
            };
            text.ok_or_else(|| {
                self.file
                    .corrupt(entry.at, "a series names a symbol that is not there")
            })
        };
        encoded.clear();
        for (name, value) in &entry.pairs {
            put_part(encoded, symbol(*name)?);
            put_part(encoded, symbol(*value)?);
        }
        Labels::from_encoded(encoded).map_err(|e| self.file.corrupt(entry.at, &e.to_string()))
    }

    /// For messages about an entry.
    pub(crate) fn corrupt(&self, offset: u64, reason: &str) -> BlockError {
        self.file.corrupt(offset, reason)
    }
}

fn read_contents(file: &mut SourceFile) -> Result<Contents, BlockError> {
    let at = file
        .len()
        .checked_sub(CONTENTS_BYTES)
        .filter(|at| *at >= HEADER_BYTES);
    let at = at.ok_or_else(|| file.corrupt(0, "shorter than any index"))?;
    let bytes = file.get(at, CONTENTS_BYTES)?.to_vec();
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    file.check(at, body, crc.try_into().unwrap_or_default())?;
    let mut cursor = Cursor::new(body);
    let mut sections = [0u64; 6];
    for section in &mut sections {
        *section = u64::from_be_bytes(cursor.array().map_err(file.damaged(at))?);
    }
    let [symbols, series, rest @ ..] = sections;
    if sections.iter().any(|section| *section > at) {
        return Err(file.corrupt(at, "a section lies outside the file"));
    }
    // The series end where what comes next begins.
    let series_end = rest
        .into_iter()
        .filter(|section| *section >= series && *section > 0)
        .min();
    Ok(Contents {
        symbols,
        series,
        series_end: series_end.unwrap_or(at),
    })
}

fn read_symbols(file: &mut SourceFile, contents: Contents) -> Result<Symbols, BlockError> {
    let at = contents.symbols;
    if at == 0 {
        return Ok(Symbols::default());
    }
    let len = u64::from(u32::from_be_bytes(
        file.get(at, 4)?.try_into().unwrap_or_default(),
    ));
    if len > MOST_SYMBOL_BYTES {
        return Err(file.corrupt(at, "more than 1 GB of label names and values"));
    }
    let bytes = file.get(at + 4, len + 4)?.to_vec();
    let (body, crc) = bytes.split_at(bytes.len() - 4);
    file.check(at + 4, body, crc.try_into().unwrap_or_default())?;
    decode_symbols(body, at + 4).map_err(file.damaged(at + 4))
}

/// `base` is where the bytes lie in the file.
fn decode_symbols(bytes: &[u8], base: u64) -> Taken<Symbols> {
    let mut cursor = Cursor::new(bytes);
    let count = u32::from_be_bytes(cursor.array()?);
    let mut symbols = Symbols::default();
    for _ in 0..count {
        let place = base + cursor.at() as u64;
        let text = cursor.str()?;
        symbols.texts.push_str(text);
        symbols.places.push((symbols.texts.len(), place));
    }
    Ok(symbols)
}

/// One series of the index.
#[derive(Debug, Default)]
pub(crate) struct SeriesEntry {
    /// Where it lies.
    pub(crate) at: u64,
    /// What tombstones call it.
    pub(crate) number: u64,
    pairs: Vec<(u64, u64)>,
    /// In order of their first sample, as a rule.
    pub(crate) chunks: Vec<ChunkMeta>,
}

/// See [`Index::series`].
#[derive(Debug)]
pub(crate) struct SeriesEntries {
    file: SourceFile,
    version: u8,
    at: u64,
    end: u64,
}

impl SeriesEntries {
    /// Reads the next series into `entry`; false at the end.
    pub(crate) fn next(&mut self, entry: &mut SeriesEntry) -> Result<bool, BlockError> {
        if self.version == 2 {
            self.at = self.at.next_multiple_of(ALIGN);
        }
        if self.at >= self.end {
            return Ok(false);
        }
        let head = self.file.up_to(self.at, VARINT_BYTES)?.to_vec();
        let mut cursor = Cursor::new(&head);
        let len = cursor.u64().map_err(self.file.damaged(self.at))?;
        let body_at = self.at + cursor.at() as u64;
        let fits = body_at
            .checked_add(len)
            .and_then(|end| end.checked_add(4))
            .is_some_and(|end| end <= self.end);
        if !fits {
            return Err(self.file.corrupt(self.at, "a series reaches beyond its section"));
        }
        let checksums = self.file.checksums();
        let bytes = self.file.get(body_at, len + 4)?;
        let (body, crc) = bytes.split_at(bytes.len() - 4);
        let crc = crc.try_into().unwrap_or_default();
        entry.at = self.at;
        entry.number = if self.version == 2 {
            self.at / ALIGN
        } else {
            self.at
        };
        let checked = super::file::check(checksums, body, crc);
        let decoded = decode_series(body, entry);
        checked.map_err(|reason| self.file.corrupt(body_at, reason))?;
        decoded.map_err(self.file.damaged(body_at))?;
        self.at = body_at + len + 4;
        Ok(true)
    }
}

fn decode_series(bytes: &[u8], entry: &mut SeriesEntry) -> Taken<()> {
    entry.pairs.clear();
    entry.chunks.clear();
    let mut cursor = Cursor::new(bytes);
    for _ in 0..cursor.count()? {
        entry.pairs.push((cursor.u64()?, cursor.u64()?));
    }
    let chunks = cursor.count()?;
    let (mut t_ms, mut place) = (0i64, 0u64);
    for number in 0..chunks {
        // Differences wrap around as they do where they are written: chunks may overlap.
        let min_ms = match number {
            0 => cursor.i64()?,
            _ => t_ms.wrapping_add(cursor.u64()?.cast_signed()),
        };
        let max_ms = min_ms.wrapping_add(cursor.u64()?.cast_signed());
        place = match number {
            0 => cursor.u64()?,
            _ => place.wrapping_add(cursor.i64()?.cast_unsigned()),
        };
        if max_ms < min_ms {
            return Err(cursor.damage("a chunk ends before it begins"));
        }
        entry.chunks.push(ChunkMeta {
            min_ms,
            max_ms,
            place,
        });
        t_ms = max_ms;
    }
    if cursor.is_done() {
        Ok(())
    } else {
        Err(cursor.damage("a series holds more than it says"))
    }
}
