//! One series of a block: where its chunks are, and reading them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use model::Samples;

use super::index::{ChunkEntry, TimesEntry};
use super::reader::Block;
use super::{BlockError, TimesColumn, times, values};

/// Decoded timestamp chunks kept for the series of one selection.
const KEPT_TIMES: usize = 16;

/// A value chunk with the rows of its timestamp chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    times: TimesEntry,
    skip: usize,
    rows: usize,
    pub(super) min_ms: i64,
    pub(super) max_ms: i64,
    offset: u64,
    len: u32,
}

impl Chunk {
    /// `None` when the rows do not lie in the timestamp chunk.
    pub(super) fn new(entry: &ChunkEntry, times: TimesEntry) -> Option<Self> {
        let all = usize::try_from(times.rows).ok()?;
        let (skip, rows, min_ms, max_ms) = match entry.part {
            None => (0, all, times.first_ms, times.last_ms),
            Some(part) => (
                usize::try_from(part.skip).ok()?,
                usize::try_from(part.rows).ok()?,
                times.first_ms.checked_add_unsigned(part.after_first)?,
                times.last_ms.checked_sub_unsigned(part.before_last)?,
            ),
        };
        let fits = rows > 0 && skip.checked_add(rows)? <= all && min_ms <= max_ms;
        fits.then_some(Self {
            times,
            skip,
            rows,
            min_ms,
            max_ms,
            offset: entry.offset,
            len: entry.len,
        })
    }
}

/// Decoded timestamp chunks, the one used last in front. It lives as long as the selection, so that an idle block holds none.
#[derive(Default)]
pub(super) struct TimesCache(Mutex<Vec<(u64, TimesColumn)>>);

impl fmt::Debug for TimesCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TimesCache")
    }
}

impl TimesCache {
    fn get(&self, block: &Block, entry: &TimesEntry) -> Result<TimesColumn, BlockError> {
        if let Some(found) = self.find(entry.offset) {
            return Ok(found);
        }
        let mut bytes = Vec::new();
        block.chunk(entry.offset, entry.len, &mut bytes)?;
        let rows = usize::try_from(entry.rows).unwrap_or(0);
        let times = times::decode(&block.pco, &bytes, rows).map_err(block.damaged(entry.offset))?;
        if times.len() != rows
            || times.first() != Some(&entry.first_ms)
            || times.last() != Some(&entry.last_ms)
        {
            return Err(block.corrupt(
                entry.offset,
                "a timestamp chunk does not hold the times of the index",
            ));
        }
        let times = Arc::new(times);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT_TIMES - 1);
        kept.insert(0, (entry.offset, Arc::clone(&times)));
        Ok(times)
    }

    fn find(&self, offset: u64) -> Option<TimesColumn> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(o, _)| *o == offset)?;
        kept[..=at].rotate_right(1);
        kept.first().map(|(_, times)| Arc::clone(times))
    }
}

/// One series of a block. Cheap to clone; reads from several threads at once.
#[derive(Debug, Clone)]
pub struct BlockSeries {
    block: Arc<Block>,
    cache: Arc<TimesCache>,
    chunks: Arc<[Chunk]>,
}

impl BlockSeries {
    pub(super) fn new(block: Arc<Block>, cache: Arc<TimesCache>, chunks: Arc<[Chunk]>) -> Self {
        Self { block, cache, chunks }
    }

    /// Time of the first sample in the block.
    #[must_use]
    pub fn min_ms(&self) -> i64 {
        self.chunks.first().map_or(i64::MAX, |chunk| chunk.min_ms)
    }

    /// Time of the last sample in the block.
    #[must_use]
    pub fn max_ms(&self) -> i64 {
        self.chunks.last().map_or(i64::MIN, |chunk| chunk.max_ms)
    }

    /// Number of samples, by the index.
    #[must_use]
    pub fn samples_len(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows as u64).sum()
    }

    /// Bytes of its values; timestamps are shared between series and not counted.
    #[must_use]
    pub fn value_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.len)).sum()
    }

    /// Appends the samples with `start_ms <= t <= end_ms`, times rising. On an error nothing is appended.
    ///
    /// # Errors
    /// [`BlockError::Corrupt`], [`BlockError::Io`].
    pub fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), BlockError> {
        let before = out.len();
        let read = self.read_chunks(start_ms, end_ms, out);
        if read.is_err() {
            out.t_ms.truncate(before);
            out.values.truncate(before);
        }
        read
    }

    fn read_chunks(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), BlockError> {
        let block = &*self.block;
        let (mut bytes, mut decoded) = (Vec::new(), Vec::new());
        for chunk in self
            .chunks
            .iter()
            .filter(|c| c.min_ms <= end_ms && c.max_ms >= start_ms)
        {
            let times = self.cache.get(block, &chunk.times)?;
            // The index may speak of more than its column of times turns out to have.
            let end = chunk.skip.checked_add(chunk.rows);
            let times = end.and_then(|end| times.get(chunk.skip..end)).ok_or_else(|| {
                block.corrupt(chunk.offset, "the times of a chunk are fewer than the index says")
            })?;
            if times.first() != Some(&chunk.min_ms) || times.last() != Some(&chunk.max_ms) {
                return Err(block.corrupt(chunk.offset, "the times of a chunk are not those of the index"));
            }
            let from = times.partition_point(|t| *t < start_ms);
            let to = times.partition_point(|t| *t <= end_ms);
            if from >= to {
                continue;
            }
            block.chunk(chunk.offset, chunk.len, &mut bytes)?;
            values::decode(&block.pco, &bytes, chunk.rows, to, &mut decoded)
                .map_err(block.damaged(chunk.offset))?;
            out.t_ms.extend_from_slice(&times[from..to]);
            out.values.extend_from_slice(&decoded[from..to]);
        }
        Ok(())
    }
}
