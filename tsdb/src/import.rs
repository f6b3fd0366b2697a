//! Taking a data folder of Prometheus' into the store, as blocks.
//!
//! History does not come in by [`Db::commit`]: the head refuses what is before its range, and everything would pass through the log.
//! Instead, for each range of 18 hours (what compaction makes of blocks of two hours anyway), the series of all blocks and logs are
//! merged, samples that the store has already are taken out, and what is left becomes a block.
//!
//! - Import is safe to repeat and to stop: a second one finds that all samples are there; one that was killed left whole blocks,
//!   and the next goes on from them. Of two values at one time the one in the store stays.
//! - A start takes everything before the end of the last block from blocks and not from the log. So before a block gets its name, what
//!   the head holds of its time and before is cut.
//! - Samples later than now are committed: a block of them would close the present.

use std::sync::Arc;

use model::{Batch, Cancel, Samples};

use crate::block::{Block, BlockWriter};
use crate::db::Db;
use crate::error::{Error, io_error};
use crate::head::lock;
use crate::maintain::{BLOCKS, Maintenance, Upkeep, block_name, check, discard, sort};
use crate::merge::{HeadStream, Merge, subtract};
use crate::prometheus::{Histograms, Source};
use crate::querier::View;
use crate::read_only::block_streams;

/// Length of the ranges that become a block each: nine of the default block range, the longest that compaction makes with the default
/// retention.
pub const IMPORT_RANGE_MS: i64 = 18 * 3_600_000;

/// Samples that are committed at once.
const BATCH_SAMPLES: usize = 50_000;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Blocks that were written.
    pub blocks: u64,
    /// Samples that the store did not have.
    pub samples: u64,
    /// Samples that the store had already.
    pub known: u64,
    /// Series with new samples, counted in each block.
    pub series: u64,
    /// Bytes of the new blocks.
    pub bytes: u64,
    /// Time of the first and last sample that is new.
    pub range_ms: Option<(i64, i64)>,
    /// Native histograms, which are left out.
    pub histograms: Histograms,
    /// Samples later than now that were not taken: further ahead than the store believes any clock to be.
    pub ahead: u64,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportStep {
    /// Ranges done.
    pub done: usize,
    /// Ranges in all.
    pub of: usize,
    /// First time of the range that was just done.
    pub from_ms: i64,
    /// New samples so far.
    pub samples: u64,
}

impl Db {
    /// Takes everything from a data folder of Prometheus' that the store does not have. Commits and queries may go on meanwhile,
    /// maintenance waits; samples before the last one that was imported are refused from then on.
    ///
    /// # Errors
    /// [`Error`]. What was taken until then stays, and the next import goes on from there.
    pub fn import(
        &self,
        source: &mut Source,
        now_ms: i64,
        cancel: &Cancel,
        progress: &mut dyn FnMut(ImportStep),
    ) -> Result<Imported, Error> {
        let mut upkeep = lock(&self.upkeep);
        let mut done = Imported {
            histograms: source.head_histograms(),
            ..Imported::default()
        };
        let slots = source.slots();
        let of = slots.len();
        for (number, slot) in slots.into_iter().enumerate() {
            let from_ms = slot.saturating_mul(source.slot_ms());
            let to_ms = from_ms.saturating_add(source.slot_ms() - 1);
            if from_ms <= now_ms {
                upkeep.import_range(
                    self,
                    source,
                    slot,
                    (from_ms, to_ms.min(now_ms)),
                    cancel,
                    &mut done,
                )?;
            }
            if to_ms > now_ms {
                self.import_ahead(source, slot, (from_ms.max(now_ms + 1), to_ms), cancel, &mut done)?;
            }
            progress(ImportStep {
                done: number + 1,
                of,
                from_ms,
                samples: done.samples,
            });
        }
        let mut swept = Maintenance::default();
        upkeep.drop_chunks(self, &mut swept)?;
        if upkeep.checkpoint_due {
            upkeep.checkpoint(self, cancel, &mut swept)?;
        }
        Ok(done)
    }

    /// What the store has of a range.
    fn known(&self, range: (i64, i64)) -> Merge {
        let view = self.view();
        let mut streams = block_streams(&view.blocks, range);
        streams.push(Box::new(HeadStream::new(
            Arc::clone(self.head()),
            view.head_from_ms,
            range,
        )));
        Merge::new(streams)
    }

    /// Commits samples that are later than now.
    fn import_ahead(
        &self,
        source: &mut Source,
        slot: i64,
        range: (i64, i64),
        cancel: &Cancel,
        done: &mut Imported,
    ) -> Result<(), Error> {
        let mut news = News::new(self, source, slot, range)?;
        let (mut samples, mut batch) = (Samples::default(), Batch::new());
        loop {
            let labels = news.next(&mut samples, cancel)?;
            if let Some(labels) = &labels {
                batch.series(labels);
                samples
                    .t_ms
                    .iter()
                    .zip(&samples.values)
                    .for_each(|(t, v)| batch.push(*t, *v));
                done.widen(&samples);
            }
            if batch.samples_len() >= BATCH_SAMPLES || labels.is_none() && !batch.is_empty() {
                let committed = self.commit(&batch);
                let committed = committed.map_err(|e| {
                    io_error("committing", "samples of the import".to_owned())(std::io::Error::other(e))
                })?;
                done.samples += committed.appended as u64;
                done.ahead += committed.rejected.len() as u64;
                batch.clear();
            }
            if labels.is_none() {
                break;
            }
        }
        done.count(&news);
        self.sync()
    }
}

impl Imported {
    fn widen(&mut self, samples: &Samples) {
        if let (Some(&first), Some(&last)) = (samples.t_ms.first(), samples.t_ms.last()) {
            let (min_ms, max_ms) = self.range_ms.unwrap_or((first, last));
            self.range_ms = Some((min_ms.min(first), max_ms.max(last)));
        }
    }

    fn count(&mut self, news: &News) {
        let histograms = news.source.histograms();
        self.histograms.series += histograms.series;
        self.histograms.samples += histograms.samples;
        self.known += news.known_samples;
    }
}

/// The series of a source with those samples that the store does not have.
struct News {
    source: Merge,
    known: Merge,
    there: Samples,
    known_samples: u64,
}

impl News {
    fn new(db: &Db, source: &mut Source, slot: i64, range: (i64, i64)) -> Result<Self, Error> {
        Ok(Self {
            source: Merge::new(source.streams(slot, range)?),
            known: db.known(range),
            there: Samples::default(),
            known_samples: 0,
        })
    }

    /// The next series that has any; they are in `samples`.
    fn next(&mut self, samples: &mut Samples, cancel: &Cancel) -> Result<Option<model::Labels>, Error> {
        while let Some(labels) = self.source.next(samples)? {
            check(cancel)?;
            self.known.of(&labels, &mut self.there)?;
            let before = samples.len();
            subtract(samples, &self.there);
            self.known_samples += (before - samples.len()) as u64;
            if !samples.is_empty() {
                return Ok(Some(labels));
            }
        }
        Ok(None)
    }
}

impl Upkeep {
    /// Writes a block of what is new in a range.
    fn import_range(
        &mut self,
        db: &Db,
        source: &mut Source,
        slot: i64,
        range: (i64, i64),
        cancel: &Cancel,
        done: &mut Imported,
    ) -> Result<(), Error> {
        let mut news = News::new(db, source, slot, range)?;
        let mut samples = Samples::default();
        let mut writer: Option<BlockWriter> = None;
        let mut name = String::new();
        let mut last_ms = i64::MIN;
        while let Some(labels) = news.next(&mut samples, cancel)? {
            let mut open = match writer.take() {
                Some(writer) => writer,
                None => {
                    name = block_name(self.next_block);
                    self.next_block += 1;
                    BlockWriter::create(Arc::clone(&db.dir), BLOCKS, &name, 1)?
                }
            };
            open.add(&labels, &samples)?;
            done.widen(&samples);
            last_ms = last_ms.max(samples.t_ms.last().copied().unwrap_or(i64::MIN));
            writer = Some(open);
        }
        done.count(&news);
        drop(news);
        let Some(writer) = writer else { return Ok(()) };
        self.cut_until(db, last_ms, cancel)?;
        let meta = writer.finish().inspect_err(|_| discard(db.dir.as_ref(), &name))?;
        let block = Block::open(db.dir.as_ref(), BLOCKS, &meta.name)?;
        let view = db.view();
        let mut blocks = view.blocks.clone();
        blocks.push(block);
        sort(&mut blocks);
        let head_from_ms = view.head_from_ms;
        drop(view);
        db.set_view(View { blocks, head_from_ms });
        done.blocks += 1;
        done.samples += meta.samples;
        done.series += meta.series;
        done.bytes += meta.bytes;
        Ok(())
    }

    /// Puts everything that the head holds up to a time into blocks, along the grid where there is a whole range, and lets no more come
    /// in before it.
    fn cut_until(&mut self, db: &Db, last_ms: i64, cancel: &Cancel) -> Result<(), Error> {
        let end_ms = last_ms.saturating_add(1);
        lock(&db.appender).raise_floor(end_ms);
        let range_ms = db.options.block_range_ms.max(1);
        loop {
            let min_ms = db.head().min_ms().max(db.view().head_from_ms);
            if min_ms >= end_ms || db.head().max_ms() < min_ms {
                return Ok(());
            }
            let grid_ms = min_ms
                .div_euclid(range_ms)
                .saturating_add(1)
                .saturating_mul(range_ms);
            self.cut(db, grid_ms.min(end_ms), cancel, &mut Maintenance::default())?;
        }
    }
}
