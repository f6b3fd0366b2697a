//! A block of Prometheus', read series by series.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Labels, Samples};

use crate::block::BlockError;
use crate::dir::Dir;
use crate::merge::SeriesStream;

use super::chunks::{ChunkFiles, Encoding};
use super::file::SourceFile;
use super::index::{ChunkMeta, Index, SeriesEntries, SeriesEntry};
use super::tombstones::{Tombstones, delete};
use super::{Histograms, Survey, xor};

/// Series lie one after the other.
const INDEX_AHEAD_BYTES: u64 = 64 << 10;

/// An open block.
#[derive(Debug)]
pub(crate) struct SourceBlock {
    index: Index,
    chunks: ChunkFiles,
    tombstones: Tombstones,
}

impl SourceBlock {
    /// Opens the block in `folder`.
    pub(crate) fn open(dir: &dyn Dir, folder: &str) -> Result<Arc<Self>, BlockError> {
        let index = SourceFile::open(dir, &format!("{folder}/index"), INDEX_AHEAD_BYTES)?;
        Ok(Arc::new(Self {
            index: Index::read(index)?,
            chunks: ChunkFiles::open(dir, folder)?,
            tombstones: Tombstones::read(dir, folder)?,
        }))
    }

    /// Reads the whole index and says what is there; `slot_ms` is the length of a slot.
    pub(crate) fn survey(&self, slot_ms: i64, survey: &mut Survey) -> Result<(), BlockError> {
        let mut entries = self.index.series();
        let mut chunks = self.chunks.again();
        let mut entry = SeriesEntry::default();
        survey.bytes += self.chunks.bytes();
        survey.tombstones += self.tombstones.len();
        while entries.next(&mut entry)? {
            survey.series += 1;
            for chunk in &entry.chunks {
                self.slots_of(chunk, &mut chunks, &entry, slot_ms, &mut survey.slots)?;
            }
        }
        Ok(())
    }

    /// The slots that a chunk has samples in.
    fn slots_of(
        &self,
        chunk: &ChunkMeta,
        chunks: &mut ChunkFiles,
        entry: &SeriesEntry,
        slot_ms: i64,
        slots: &mut BTreeSet<i64>,
    ) -> Result<(), BlockError> {
        let (first, last) = (chunk.min_ms.div_euclid(slot_ms), chunk.max_ms.div_euclid(slot_ms));
        slots.insert(first);
        slots.insert(last);
        if last > first.saturating_add(1) {
            // A chunk of a series with long holes: only its samples tell.
            let read = chunks.read(chunk, |encoding, data| match encoding {
                Encoding::Xor => xor::decode(data, |t_ms, _| {
                    slots.insert(t_ms.div_euclid(slot_ms));
                }),
                Encoding::Histogram => Ok(()),
            })?;
            read.ok_or_else(|| {
                self.index
                    .corrupt(entry.at, "a series names a file of chunks that is not there")
            })?;
        }
        Ok(())
    }

    /// The series with their samples from `from_ms` to `to_ms`, both inclusive.
    pub(crate) fn walk(self: &Arc<Self>, from_ms: i64, to_ms: i64) -> SourceWalk {
        SourceWalk {
            entries: self.index.series(),
            chunks: self.chunks.again(),
            block: Arc::clone(self),
            range: (from_ms, to_ms),
            entry: SeriesEntry::default(),
            labels: None,
            ended: false,
            encoded: String::new(),
            one: Samples::default(),
            histograms: Histograms::default(),
        }
    }
}

/// See [`SourceBlock::walk`].
#[derive(Debug)]
pub(crate) struct SourceWalk {
    block: Arc<SourceBlock>,
    entries: SeriesEntries,
    chunks: ChunkFiles,
    range: (i64, i64),
    entry: SeriesEntry,
    /// Of `entry`, when it is the next.
    labels: Option<Labels>,
    ended: bool,
    encoded: String,
    one: Samples,
    histograms: Histograms,
}

impl SourceWalk {
    fn advance(&mut self) -> Result<(), BlockError> {
        let (from_ms, to_ms) = self.range;
        while self.labels.is_none() && !self.ended {
            if !self.entries.next(&mut self.entry)? {
                self.ended = true;
                return Ok(());
            }
            // Series without a sample in the range are not worth their labels.
            let within = |chunk: &ChunkMeta| chunk.min_ms <= to_ms && chunk.max_ms >= from_ms;
            if self.entry.chunks.iter().any(within) {
                self.labels = Some(self.block.index.labels(&self.entry, &mut self.encoded)?);
            }
        }
        Ok(())
    }

    fn read(&mut self, out: &mut Samples) -> Result<(), BlockError> {
        let (from_ms, to_ms) = self.range;
        self.one.clear();
        let mut sorted = true;
        let mut had_histograms = false;
        for chunk in &self.entry.chunks {
            if chunk.min_ms > to_ms || chunk.max_ms < from_ms {
                continue;
            }
            let one = &mut self.one;
            // Of a chunk in two ranges the histograms are counted once.
            let begins_here = chunk.min_ms >= from_ms;
            let mut histograms = None;
            let read = self.chunks.read(chunk, |encoding, data| match encoding {
                Encoding::Xor => xor::decode(data, |t_ms, value| {
                    if (from_ms..=to_ms).contains(&t_ms) {
                        sorted &= one.t_ms.last().is_none_or(|last| *last < t_ms);
                        one.push(t_ms, value);
                    }
                }),
                Encoding::Histogram => {
                    histograms = Some(xor::count(data)?);
                    Ok(())
                }
            })?;
            if read.is_none() {
                let reason = "a series names a file of chunks that is not there";
                return Err(self.block.index.corrupt(self.entry.at, reason));
            }
            if let Some(count) = histograms.filter(|_| begins_here) {
                self.histograms.samples += u64::from(count);
                had_histograms = true;
            }
        }
        self.histograms.series += u64::from(had_histograms);
        delete(self.block.tombstones.of(self.entry.number), &mut self.one);
        if !sorted {
            crate::merge::sort(&mut self.one);
        }
        crate::merge::append(out, &self.one);
        Ok(())
    }
}

impl SeriesStream for SourceWalk {
    fn peek(&mut self) -> Result<Option<&Labels>, crate::Error> {
        self.advance()?;
        Ok(self.labels.as_ref())
    }

    fn take(&mut self, out: &mut Samples) -> Result<(), crate::Error> {
        self.advance()?;
        if self.labels.take().is_some() {
            self.read(out)?;
        }
        Ok(())
    }

    fn histograms(&self) -> Histograms {
        self.histograms
    }
}
