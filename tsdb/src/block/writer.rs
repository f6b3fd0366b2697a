//! Writing a block: columns go out as series come, the index is kept until the end.
//!
//! Memory is the index (some 60 bytes a series, label texts once) plus a few columns of recent times.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use model::{Labels, Samples};

use super::bytes::put_u64;
use super::footer::{
    END_MAGIC, Footer, HEADER_LEN, MAGIC, SECTIONS, Section, SectionPlace, TRAILER_LEN, VERSION,
};
use super::index::{
    ChunkEntry, INLINE_LIST, ListPlace, MAX_ROWS, PairEncoder, Part, SeriesEncoder, TimesEntry,
};
use super::pages::PageWriter;
use super::reader::footer_checksum;
use super::{BlockError, BlockMeta, join, times, values};
use crate::dir::{Dir, WriteFile};

/// Bytes collected before the file is appended to.
const BUFFER: usize = 256 << 10;
/// Timestamp chunks kept to compare with: one a scrape group and stretch of time is enough.
const RECENT_TIMES: usize = 64;
/// Sharing the end of a timestamp chunk is worth cutting a series there when so many rows are gained.
const MIN_SHARED: usize = 720;

/// Appends to the file in large pieces and keeps the checksum of the section at hand.
#[derive(Debug)]
struct Output {
    file: Box<dyn WriteFile>,
    buffer: Vec<u8>,
    offset: u64,
    section_start: u64,
    crc: crc32fast::Hasher,
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.buffer.extend_from_slice(bytes);
        self.offset += u64::try_from(bytes.len()).unwrap_or(0);
        if self.buffer.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.append(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes bytes with their checksum behind; gives place and length.
    fn write_checked(&mut self, bytes: &mut Vec<u8>) -> io::Result<(u64, u32)> {
        bytes.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        let at = self.offset;
        self.write(bytes)?;
        Ok((at, u32::try_from(bytes.len()).unwrap_or(u32::MAX)))
    }

    fn end_section(&mut self) -> SectionPlace {
        let crc = std::mem::take(&mut self.crc).finalize();
        let place = SectionPlace {
            offset: self.section_start,
            len: self.offset - self.section_start,
            crc,
        };
        self.section_start = self.offset;
        place
    }
}

/// Label texts by number, each once.
#[derive(Debug, Default)]
struct Symbols {
    /// Where each text lies in `texts`.
    ranges: Vec<(usize, usize)>,
    texts: String,
    numbers: HashTable<u32>,
}

impl Symbols {
    /// The number of a text, and whether it is new.
    fn number(&mut self, text: &str) -> (u32, bool) {
        let hasher = FixedState::default();
        let hash = hasher.hash_one(text);
        let found = self.numbers.find(hash, |&n| self.text(n) == text);
        if let Some(&number) = found {
            return (number, false);
        }
        let number = u32::try_from(self.ranges.len()).unwrap_or(u32::MAX);
        let start = self.texts.len();
        self.texts.push_str(text);
        self.ranges.push((start, self.texts.len()));
        let (ranges, texts) = (&self.ranges, &self.texts);
        self.numbers
            .insert_unique(hash, number, |&n| hasher.hash_one(text_at(ranges, texts, n)));
        (number, true)
    }

    fn text(&self, number: u32) -> &str {
        text_at(&self.ranges, &self.texts, number)
    }
}

fn text_at<'a>(ranges: &[(usize, usize)], texts: &'a str, number: u32) -> &'a str {
    let range = usize::try_from(number).ok().and_then(|n| ranges.get(n));
    range
        .and_then(|&(start, end)| texts.get(start..end))
        .unwrap_or("")
}

/// The series numbers of one label pair, growing.
#[derive(Debug, Default)]
struct List {
    bytes: Vec<u8>,
    count: u32,
    last: u64,
}

impl List {
    fn push(&mut self, series: u64) {
        put_u64(&mut self.bytes, series - self.last);
        self.last = series;
        self.count += 1;
    }
}

/// A timestamp chunk that further series may share.
#[derive(Debug)]
struct RecentTimes {
    number: u32,
    times: Vec<i64>,
}

/// Writes one block: series in rising order of their labels. Nothing stands under the final name before
/// [`BlockWriter::finish`] has synced it; a writer that is dropped before removes what it wrote.
#[derive(Debug)]
pub struct BlockWriter {
    dir: Arc<dyn Dir>,
    folder: String,
    name: String,
    /// `None` once the file is closed.
    output: Option<Output>,
    /// A write failed, so nobody knows what the file holds.
    failed: bool,
    footer: Footer,
    last: Option<Labels>,
    symbols: Symbols,
    lists: HashMap<(u32, u32), List, FixedState>,
    recent: VecDeque<RecentTimes>,
    times_pages: PageWriter,
    symbol_pages: PageWriter,
    series_pages: PageWriter,
    series_encoder: SeriesEncoder,
    /// Buffers for one series.
    pairs: Vec<(u32, u32)>,
    chunks: Vec<ChunkEntry>,
    chunk: Vec<u8>,
}

impl BlockWriter {
    /// Starts a block that will be called `folder/name`; it is written under `folder/name.tmp`. `level` is 1 for a block
    /// cut from the head.
    ///
    /// # Errors
    /// [`BlockError::Io`].
    pub fn create(dir: Arc<dyn Dir>, folder: &str, name: &str, level: u8) -> Result<Self, BlockError> {
        let tmp = join(folder, &format!("{name}.tmp"));
        let io = |source| BlockError::Io {
            action: "writing",
            path: dir.display(&tmp),
            source,
        };
        let file = dir.create(&tmp).map_err(io)?;
        let mut output = Output {
            file,
            buffer: Vec::with_capacity(BUFFER + (64 << 10)),
            offset: 0,
            section_start: 0,
            crc: crc32fast::Hasher::new(),
        };
        let header = header();
        output.write(&header).map_err(io)?;
        output.end_section();
        Ok(Self {
            dir,
            folder: folder.to_owned(),
            name: name.to_owned(),
            output: Some(output),
            failed: false,
            footer: Footer {
                level,
                min_ms: i64::MAX,
                max_ms: i64::MIN,
                ..Footer::default()
            },
            last: None,
            symbols: Symbols::default(),
            lists: HashMap::with_hasher(FixedState::default()),
            recent: VecDeque::new(),
            times_pages: PageWriter::default(),
            symbol_pages: PageWriter::default(),
            series_pages: PageWriter::default(),
            series_encoder: SeriesEncoder::default(),
            pairs: Vec::new(),
            chunks: Vec::new(),
            chunk: Vec::new(),
        })
    }

    /// Says which blocks this one is compacted from; they are named in [`BlockMeta::sources`].
    pub fn set_sources(&mut self, names: Vec<String>) {
        self.footer.sources = names;
    }

    /// Adds a series with all its samples (staleness markers kept bit for bit).
    ///
    /// # Errors
    /// [`BlockError::Order`], [`BlockError::Histograms`], [`BlockError::Io`]. After the last the writer refuses to go on.
    pub fn add(&mut self, labels: &Labels, samples: &Samples) -> Result<(), BlockError> {
        let times = &samples.t_ms;
        let rising = self.last.as_ref().is_none_or(|last| last < labels)
            && times.windows(2).all(|pair| pair[0] < pair[1])
            && times.len() == samples.values.len();
        let (Some(&first), Some(&last), true) = (times.first(), times.last(), rising) else {
            return Err(BlockError::Order {
                labels: labels.clone(),
            });
        };
        if !samples.histograms.is_empty() {
            return Err(BlockError::Histograms {
                labels: labels.clone(),
            });
        }
        self.chunks.clear();
        let mut at = 0;
        while at < times.len() {
            let (times_number, part, rows) = self.times_chunk(&times[at..])?;
            self.chunk.clear();
            values::encode(&samples.values[at..at + rows], &mut self.chunk);
            let (offset, len) = self.write_chunk()?;
            self.chunks.push(ChunkEntry {
                times: times_number,
                part,
                offset,
                len,
            });
            at += rows;
        }
        self.add_to_index(labels);
        self.footer.min_ms = self.footer.min_ms.min(first);
        self.footer.max_ms = self.footer.max_ms.max(last);
        self.footer.samples += u64::try_from(times.len()).unwrap_or(0);
        self.last = Some(labels.clone());
        Ok(())
    }

    fn write_chunk(&mut self) -> Result<(u64, u32), BlockError> {
        let output = self.output.as_mut().filter(|_| !self.failed);
        let written = output.map_or_else(|| Err(closed()), |output| output.write_checked(&mut self.chunk));
        self.failed |= written.is_err();
        written.map_err(|source| self.io("writing", source))
    }

    /// A timestamp chunk whose rows are the first ones of `times`: its number, which rows, how many.
    fn times_chunk(&mut self, times: &[i64]) -> Result<(u32, Option<Part>, usize), BlockError> {
        let first = times.first().copied().unwrap_or(0);
        let shared = self.recent.iter().enumerate().find_map(|(at, recent)| {
            let skip = recent.times.binary_search(&first).ok()?;
            let rows = times.len().min(recent.times.len() - skip);
            let worth = rows == times.len() || rows >= MIN_SHARED;
            (worth && recent.times[skip..skip + rows] == times[..rows]).then_some((at, skip, rows))
        });
        if let Some((at, skip, rows)) = shared {
            // To the front, where it is found first by the next series of the group.
            if let Some(recent) = self.recent.remove(at) {
                let part = part_of(&recent.times, skip, rows);
                let number = recent.number;
                self.recent.push_front(recent);
                return Ok((number, part, rows));
            }
        }
        // Even parts: a short rest would compress badly.
        let rows = times.len().div_ceil(times.len().div_ceil(MAX_ROWS));
        let own = &times[..rows];
        self.chunk.clear();
        times::encode(own, &mut self.chunk);
        let (offset, len) = self.write_chunk()?;
        let number = u32::try_from(self.times_pages.count()).unwrap_or(u32::MAX);
        let entry = TimesEntry {
            offset,
            len,
            rows: u32::try_from(rows).unwrap_or(u32::MAX),
            first_ms: first,
            last_ms: own.last().copied().unwrap_or(first),
        };
        entry.encode(&mut self.times_pages.bytes);
        self.times_pages.entry_done();
        let mut kept = Vec::new();
        if self.recent.len() >= RECENT_TIMES {
            kept = self
                .recent
                .pop_back()
                .map(|recent| recent.times)
                .unwrap_or_default();
        }
        kept.clear();
        kept.extend_from_slice(own);
        self.recent.push_front(RecentTimes { number, times: kept });
        Ok((number, None, rows))
    }

    fn add_to_index(&mut self, labels: &Labels) {
        let number = self.series_pages.count();
        self.pairs.clear();
        for (name, value) in labels {
            let pair = (self.symbol(name), self.symbol(value));
            self.lists.entry(pair).or_default().push(number);
            self.pairs.push(pair);
        }
        if self.series_pages.is_page_start() {
            self.series_encoder.reset();
        }
        self.series_encoder
            .encode(&self.pairs, &self.chunks, &mut self.series_pages.bytes);
        self.series_pages.entry_done();
    }

    fn symbol(&mut self, text: &str) -> u32 {
        let (number, is_new) = self.symbols.number(text);
        if is_new {
            put_symbol(&mut self.symbol_pages.bytes, text);
            self.symbol_pages.entry_done();
        }
        number
    }

    /// Writes index and footer, syncs, renames to the final name, syncs the folder.
    ///
    /// # Errors
    /// [`BlockError::Io`], [`BlockError::Empty`]; nothing is left then. Only when syncing the folder fails does the complete block
    /// stand under its name already, and a crash may take the name back.
    pub fn finish(mut self) -> Result<BlockMeta, BlockError> {
        let path = join(&self.folder, &self.name);
        if self.series_pages.count() == 0 {
            return Err(BlockError::Empty {
                path: self.dir.display(&path),
            });
        }
        if self.failed {
            return Err(self.io("writing", closed()));
        }
        let Some(mut output) = self.output.take() else {
            return Err(self.io("writing", closed()));
        };
        let written = self.write_index(&mut output).and_then(|()| output.flush());
        let synced = written.map_err(|e| ("writing", e)).and_then(|()| {
            output.file.sync().map_err(|e| ("syncing", e))?;
            self.dir.rename(&self.tmp(), &path).map_err(|e| ("renaming", e))
        });
        let bytes = output.offset;
        if let Err((action, source)) = synced {
            // Closed first, removed when `self` goes.
            self.output = Some(output);
            return Err(self.io(action, source));
        }
        self.dir.sync_dir(&self.folder).map_err(|source| BlockError::Io {
            action: "syncing",
            path: self.dir.display(&self.folder),
            source,
        })?;
        Ok(BlockMeta {
            name: self.name.clone(),
            min_ms: self.footer.min_ms,
            max_ms: self.footer.max_ms,
            series: self.footer.series.count,
            samples: self.footer.samples,
            bytes,
            level: self.footer.level,
            sources: self.footer.sources.clone(),
        })
    }

    /// Gives up and removes what was written.
    pub fn abort(self) {
        drop(self);
    }

    fn write_index(&mut self, output: &mut Output) -> io::Result<()> {
        let mut sections = [SectionPlace::default(); SECTIONS];
        sections[Section::Columns as usize] = output.end_section();
        let mut pages = |pages: &mut PageWriter, output: &mut Output, section: Section| {
            pages.close();
            let directory = pages.directory(output.offset);
            output.write(&pages.bytes)?;
            sections[section as usize] = output.end_section();
            io::Result::Ok(directory)
        };
        self.footer.times = pages(&mut self.times_pages, output, Section::Times)?;
        self.footer.symbols = pages(&mut self.symbol_pages, output, Section::Symbols)?;
        self.footer.series = pages(&mut self.series_pages, output, Section::Series)?;
        let mut pair_pages = self.write_postings(output)?;
        // The closure borrows the table of sections, so the postings' place is known only now.
        let postings = output.end_section();
        self.footer.pairs = pages(&mut pair_pages, output, Section::Pairs)?;
        sections[Section::Postings as usize] = postings;
        self.footer.sections = sections;
        let footer = self.footer.encode();
        let mut trailer = Vec::with_capacity(TRAILER_LEN);
        trailer.extend_from_slice(&u64::try_from(footer.len()).unwrap_or(0).to_le_bytes());
        trailer.extend_from_slice(&footer_checksum(&header(), &footer).to_le_bytes());
        output.write(&footer)?;
        let file_len = output.offset + u64::try_from(TRAILER_LEN).unwrap_or(0);
        trailer.extend_from_slice(&file_len.to_le_bytes());
        trailer.extend_from_slice(&END_MAGIC);
        output.write(&trailer)
    }

    /// Writes the long lists and gives the pages of label pairs.
    fn write_postings(&mut self, output: &mut Output) -> io::Result<PageWriter> {
        let symbols = &self.symbols;
        let mut pairs: Vec<(&str, &str, &List)> = self
            .lists
            .iter()
            .map(|(&(n, v), list)| (symbols.text(n), symbols.text(v), list))
            .collect();
        pairs.sort_unstable_by_key(|&(name, value, _)| (name, value));
        let mut pages = PageWriter::default();
        let mut encoder = PairEncoder::default();
        let start = output.offset;
        for (name, value, list) in pairs {
            let place = if list.bytes.len() < INLINE_LIST {
                ListPlace::Inline(&list.bytes)
            } else {
                let offset = output.offset - start;
                output.write(&list.bytes)?;
                let len = u32::try_from(list.bytes.len()).unwrap_or(u32::MAX);
                ListPlace::Elsewhere {
                    offset,
                    len,
                    crc: crc32fast::hash(&list.bytes),
                }
            };
            if pages.is_page_start() {
                encoder.reset();
                self.footer.pair_keys.push((name.to_owned(), value.to_owned()));
            }
            encoder.encode(name, value, list.count, place, &mut pages.bytes);
            pages.entry_done();
        }
        Ok(pages)
    }

    fn tmp(&self) -> String {
        join(&self.folder, &format!("{}.tmp", self.name))
    }

    fn io(&self, action: &'static str, source: io::Error) -> BlockError {
        BlockError::Io {
            action,
            path: self.dir.display(&self.tmp()),
            source,
        }
    }
}

impl Drop for BlockWriter {
    fn drop(&mut self) {
        if self.output.take().is_some() {
            // Nothing can be done about a failure here; what ends in .tmp is removed when the store is opened.
            let _ = self.dir.remove(&self.tmp());
        }
    }
}

/// Why a writer goes no further.
fn closed() -> io::Error {
    io::Error::other("an earlier write of this block failed")
}

/// The first bytes of every block.
fn header() -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_LEN);
    header.extend_from_slice(&MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    // pco writes two bytes; writing to a vector cannot fail.
    let _ = pco::wrapped::FileCompressor::default().write_header(&mut header);
    header.resize(HEADER_LEN, 0);
    header
}

/// A text as the canonical encoding of labels spells it, so that labels are put together by copying.
fn put_symbol(out: &mut Vec<u8>, text: &str) {
    let mut len = text.len();
    loop {
        let low = len.to_le_bytes()[0] & 0x3f;
        len >>= 6;
        if len == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x40);
    }
    out.extend_from_slice(text.as_bytes());
}

/// `None` for the whole chunk.
fn part_of(times: &[i64], skip: usize, rows: usize) -> Option<Part> {
    let (first, last) = (times.first()?, times.last()?);
    let (start, end) = (times.get(skip)?, times.get(skip + rows - 1)?);
    (rows < times.len()).then(|| Part {
        skip: u32::try_from(skip).unwrap_or(u32::MAX),
        rows: u32::try_from(rows).unwrap_or(u32::MAX),
        after_first: start.abs_diff(*first),
        before_last: last.abs_diff(*end),
    })
}
