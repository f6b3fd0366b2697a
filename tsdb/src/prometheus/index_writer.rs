//! Writing the index of a block, in version 2. `index.rs` draws it; beside what stands there:
//!
//! ```text
//!   postings   one for each label pair, and one for all series:
//!              0 up to a multiple of 4 | length: u32 BE | count: u32 BE | (number of a series: u32 BE)* | crc32c
//!   table      length: u32 BE | count: u32 BE | (2: u8 | length, name, length, value | offset: varint)* | crc32c      rising
//! ```
//!
//! The number of a series is its offset divided by 16. The list of all series has an empty name and value.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::FixedState;
use model::Labels;

use crate::block::bytes::{put_i64, put_len, put_str, put_u64};
use crate::dir::Dir;
use crate::error::Error;

use super::index::ChunkMeta;
use super::output::Output;

const HEADER: [u8; 5] = [0xba, 0xaa, 0xd7, 0x00, 2];
const SERIES_ALIGN: u64 = 16;
const POSTINGS_ALIGN: u64 = 4;

/// See the module's text. Memory is the label texts, once, and four bytes a label of a series.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    output: Output,
    symbols_at: u64,
    series_at: u64,
    /// By number, rising.
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32, FixedState>,
    /// Numbers of series by name and value. Numbers of texts rise as the texts do.
    postings: BTreeMap<(u32, u32), Vec<u32>>,
    all: Vec<u32>,
    entry: Vec<u8>,
}

impl IndexWriter {
    /// Starts an index with all label names and values that its series will have.
    pub(crate) fn create(dir: &dyn Dir, name: &str, texts: BTreeSet<Arc<str>>) -> Result<Self, Error> {
        let mut output = Output::create(dir, name)?;
        output.write(&HEADER)?;
        let symbols_at = output.offset();
        let count =
            u32::try_from(texts.len()).map_err(|_| output.error("too many label names and values"))?;
        let mut section = count.to_be_bytes().to_vec();
        texts.iter().for_each(|text| put_str(&mut section, text));
        output.write_section(&section)?;
        let series_at = output.offset();
        let texts: Vec<Arc<str>> = texts.into_iter().collect();
        let numbers = texts.iter().cloned().zip(0..count).collect();
        Ok(Self {
            output,
            symbols_at,
            series_at,
            texts,
            numbers,
            postings: BTreeMap::new(),
            all: Vec::new(),
            entry: Vec::new(),
        })
    }

    /// Adds a series, labels rising from call to call.
    pub(crate) fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), Error> {
        self.output.align(SERIES_ALIGN)?;
        let number = u32::try_from(self.output.offset() / SERIES_ALIGN)
            .map_err(|_| self.output.error("an index holds 64 GB at the most"))?;
        self.all.push(number);
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        put_len(&mut entry, labels.len());
        for (name, value) in labels {
            let pair = (self.number(name)?, self.number(value)?);
            put_u64(&mut entry, u64::from(pair.0));
            put_u64(&mut entry, u64::from(pair.1));
            self.postings.entry(pair).or_default().push(number);
        }
        put_len(&mut entry, chunks.len());
        let mut before: Option<&ChunkMeta> = None;
        for chunk in chunks {
            match before {
                None => put_i64(&mut entry, chunk.min_ms),
                Some(before) => put_u64(
                    &mut entry,
                    chunk.min_ms.wrapping_sub(before.max_ms).cast_unsigned(),
                ),
            }
            put_u64(
                &mut entry,
                chunk.max_ms.wrapping_sub(chunk.min_ms).cast_unsigned(),
            );
            match before {
                None => put_u64(&mut entry, chunk.place),
                Some(before) => put_i64(&mut entry, chunk.place.wrapping_sub(before.place).cast_signed()),
            }
            before = Some(chunk);
        }
        let mut len = Vec::new();
        put_len(&mut len, entry.len());
        self.output.write(&len)?;
        self.output.write_checked(&entry)?;
        self.entry = entry;
        Ok(())
    }

    fn number(&self, text: &str) -> Result<u32, Error> {
        let number = self.numbers.get(text).copied();
        number.ok_or_else(|| {
            self.output
                .error(&format!("`{text}` is not among the label texts given before"))
        })
    }

    /// Writes lists and tables; gives the length of the file.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        let series_end = self.output.offset();
        let count = u32::try_from(self.postings.len() + 1).unwrap_or(u32::MAX);
        let mut table = count.to_be_bytes().to_vec();
        let all = std::mem::take(&mut self.all);
        self.write_list("", "", &all, &mut table)?;
        let texts = std::mem::take(&mut self.texts);
        let text = |number: u32| {
            usize::try_from(number)
                .ok()
                .and_then(|n| texts.get(n))
                .map_or("", |text| text)
        };
        for ((name, value), list) in std::mem::take(&mut self.postings) {
            self.write_list(text(name), text(value), &list, &mut table)?;
        }
        let table_at = self.output.offset();
        self.output.write_section(&table)?;
        // Label indices are not written any more; their places are those of an empty section.
        let contents = [
            self.symbols_at,
            self.series_at,
            series_end,
            table_at,
            series_end,
            table_at,
        ];
        self.output
            .write_checked(&contents.map(u64::to_be_bytes).concat())?;
        self.output.finish()
    }

    fn write_list(
        &mut self,
        name: &str,
        value: &str,
        list: &[u32],
        table: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.output.align(POSTINGS_ALIGN)?;
        table.push(2);
        put_str(table, name);
        put_str(table, value);
        put_u64(table, self.output.offset());
        let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let numbers = std::iter::once(count).chain(list.iter().copied());
        self.output
            .write_section(&numbers.flat_map(u32::to_be_bytes).collect::<Vec<u8>>())
    }
}
