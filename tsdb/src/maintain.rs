//! Maintenance: cut blocks from the head, truncate the log, merge blocks, delete what is too old or too much.
//!
//! Every step is safe to be stopped at, by a crash or by a full disk, and is done again by the next call:
//!
//! - *Cut.* A range that is still written to waits (see [`Writes`]). First the floor rises, so that no commit adds to the range; then the block is written and synced under its final name;
//!   then the view changes in one step; when no query holds an older view, the chunks leave the head. A crash before the last
//!   write leaves a `.tmp`; one after it leaves samples in log and block, and a start drops those of the log by time.
//! - *Checkpoint.* The log goes on in segment N; what the head holds is written as `checkpoint.N.tmp`, synced, renamed; then the segments
//!   before N go. Samples committed meanwhile may be in both, which replay tolerates.
//! - *Compaction.* The output names its inputs; a start that finds it whole removes those that are still there. A failed attempt is
//!   removed, with its final name too.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use model::{Cancel, Samples};

use crate::block::{self, Block, BlockMeta, BlockWriter};
use crate::db::Db;
use crate::dir::Dir;
use crate::error::{Error, io_error};
use crate::head::{lock, read_lock};
use crate::querier::View;
use crate::retention::{expired, mergeable};
use crate::wal::{
    self, FileKind, KIND_CHUNK, KIND_SERIES, NO_CUT, RecordWriter, SeriesEncoder, checkpoint_name,
    encode_chunk, file_kind, header, segment_name,
};

/// The folder of the blocks.
pub(crate) const BLOCKS: &str = "blocks";

/// Records of a checkpoint grow to about this size.
const CHECKPOINT_RECORD_BYTES: usize = 1 << 20;

/// A cut waits for a quiet range so long at the most, and while the log is below so much.
const CUT_WAIT_MS: i64 = 3_600_000;
const CUT_WAIT_WAL_BYTES: u64 = 384 << 20;

/// What one call of [`Db::maintain`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Maintenance {
    /// Blocks cut from the head.
    pub cut: Vec<BlockMeta>,
    /// Blocks that compaction made.
    pub compacted: Vec<BlockMeta>,
    /// Names of blocks deleted by retention.
    pub deleted: Vec<String>,
    /// Series that the head forgot.
    pub series_removed: usize,
    /// The log was truncated.
    pub checkpoint: bool,
}

/// How far back samples came in the last seconds. Once a range is cut nothing more is taken for it, so history that is being
/// loaded beside the present must be let through first.
#[derive(Debug, Default)]
struct Writes {
    /// When maintenance looked, and the time of the earliest sample since it looked before.
    seen: VecDeque<(i64, i64)>,
    /// Since when a cut has waited.
    waiting_since_ms: Option<i64>,
}

impl Writes {
    /// Remembers what was written, and forgets what is older than `quiet_ms`.
    fn note(&mut self, now_ms: i64, written_ms: i64, quiet_ms: i64) {
        self.seen.push_back((now_ms, written_ms));
        // A clock that was set back leaves entries from the future: they tell nothing.
        self.seen
            .retain(|(at_ms, _)| (0..quiet_ms).contains(&now_ms.saturating_sub(*at_ms)));
    }

    /// May everything before `end_ms` be cut? `full` says that the log has grown too large to wait.
    fn allow(&mut self, now_ms: i64, end_ms: i64, full: bool) -> bool {
        let quiet = self.seen.iter().all(|(_, written_ms)| *written_ms >= end_ms);
        let since_ms = *self.waiting_since_ms.get_or_insert(now_ms);
        if quiet || full || now_ms.saturating_sub(since_ms) >= CUT_WAIT_MS {
            self.waiting_since_ms = None;
            return true;
        }
        false
    }
}

/// What maintenance remembers between calls.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    /// Number of the next block.
    pub(crate) next_block: u64,
    /// Views from before a cut whose chunks are still in the head.
    old_views: Vec<Weak<View>>,
    /// Chunks before the head's range wait to be dropped.
    drop_due: bool,
    /// A cut was made since the last checkpoint.
    pub(crate) checkpoint_due: bool,
    writes: Writes,
}

/// File name of a block, without folder.
pub(crate) fn block_name(number: u64) -> String {
    format!("{number:08}.block")
}

pub(crate) fn check(cancel: &Cancel) -> Result<(), Error> {
    cancel
        .reason()
        .map_or(Ok(()), |reason| Err(Error::Cancelled(reason)))
}

/// The end of the block to be cut, when the head spans more than one and a half ranges.
fn cut_end(min_ms: i64, max_ms: i64, range_ms: i64) -> Option<i64> {
    if min_ms > max_ms
        || range_ms <= 0
        || max_ms.checked_sub(min_ms)? <= range_ms.saturating_add(range_ms / 2)
    {
        return None;
    }
    min_ms.div_euclid(range_ms).checked_add(1)?.checked_mul(range_ms)
}

impl Upkeep {
    pub(crate) fn new(next_block: u64) -> Self {
        Self {
            next_block,
            ..Self::default()
        }
    }

    /// Does all that is due; goes on after a failure with what does not depend on it, and gives the first.
    pub(crate) fn run(&mut self, db: &Db, now_ms: i64, cancel: &Cancel) -> Result<Maintenance, Error> {
        let mut done = Maintenance::default();
        self.writes
            .note(now_ms, db.head().take_written(), db.options.cut_quiet_ms);
        let cut = self.cut_all(db, now_ms, cancel, &mut done);
        let dropped = self.drop_chunks(db, &mut done);
        let checkpoint = if self.checkpoint_due {
            self.checkpoint(db, cancel, &mut done)
        } else {
            Ok(())
        };
        let retained = self.retain(db, &mut done);
        let compacted = self.compact_all(db, cancel, &mut done);
        cut.and(dropped).and(checkpoint).and(retained).and(compacted)?;
        Ok(done)
    }

    fn cut_all(
        &mut self,
        db: &Db,
        now_ms: i64,
        cancel: &Cancel,
        done: &mut Maintenance,
    ) -> Result<(), Error> {
        let range_ms = db.options.block_range_ms;
        while let Some(end_ms) = cut_end(
            db.head().min_ms().max(db.view().head_from_ms),
            db.head().max_ms(),
            range_ms,
        ) {
            check(cancel)?;
            let wal_bytes = lock(&db.appender).wal.state().bytes;
            let most = match db.options.retention_bytes {
                0 => CUT_WAIT_WAL_BYTES,
                bytes => CUT_WAIT_WAL_BYTES.min(bytes / 4),
            };
            if !self.writes.allow(now_ms, end_ms, wal_bytes > most) {
                break;
            }
            self.cut(db, end_ms, cancel, done)?;
        }
        Ok(())
    }

    /// Puts everything in the head before `end_ms` into a block.
    pub(crate) fn cut(
        &mut self,
        db: &Db,
        end_ms: i64,
        cancel: &Cancel,
        done: &mut Maintenance,
    ) -> Result<(), Error> {
        {
            let mut appender = lock(&db.appender);
            if let Some(reason) = appender.wal.poisoned() {
                return Err(Error::Poisoned {
                    reason: reason.to_owned(),
                });
            }
            appender.raise_floor(end_ms);
        }
        let view = db.view();
        let meta = self.write_cut(db, view.head_from_ms, end_ms, cancel)?;
        let mut blocks = view.blocks.clone();
        if let Some(meta) = meta {
            blocks.push(Block::open(db.dir.as_ref(), BLOCKS, &meta.name)?);
            sort(&mut blocks);
            db.counters.cuts.fetch_add(1, Ordering::Relaxed);
            done.cut.push(meta);
        }
        drop(view);
        let old = db.set_view(View {
            blocks,
            head_from_ms: end_ms,
        });
        self.old_views.push(Arc::downgrade(&old));
        drop(old);
        self.drop_due = true;
        self.checkpoint_due = true;
        lock(&db.appender).narrow(db.head(), end_ms);
        Ok(())
    }

    /// `None` when no series has a sample in the range.
    fn write_cut(
        &mut self,
        db: &Db,
        from_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Option<BlockMeta>, Error> {
        let last_ms = end_ms.saturating_sub(1);
        let mut found = db.head().select(&[], from_ms, last_ms);
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let name = block_name(self.next_block);
        self.next_block += 1;
        let mut writer = BlockWriter::create(Arc::clone(&db.dir), BLOCKS, &name, 1)?;
        let mut samples = Samples::default();
        let mut series = 0u64;
        for entry in &found {
            samples.clear();
            let read = db.head().read(entry.series, from_ms, last_ms, &mut samples);
            read.map_err(|e| {
                io_error("reading", format!("the head's series {}", entry.labels))(std::io::Error::other(e))
            })?;
            if samples.is_empty() {
                continue;
            }
            series += 1;
            check(cancel)?;
            writer.add(&entry.labels, &samples)?;
        }
        if series == 0 {
            writer.abort();
            return Ok(None);
        }
        writer.finish().map(Some).map_err(|error| {
            discard(db.dir.as_ref(), &name);
            error.into()
        })
    }

    /// Drops chunks that are in blocks, once no query can want them from the head.
    pub(crate) fn drop_chunks(&mut self, db: &Db, done: &mut Maintenance) -> Result<(), Error> {
        self.old_views.retain(|view| view.strong_count() > 0);
        if !self.drop_due || !self.old_views.is_empty() {
            return Ok(());
        }
        self.drop_due = false;
        let empty = db.head().drop_before(db.view().head_from_ms);
        done.series_removed += lock(&db.appender).forget(db.head(), &empty);
        db.counters
            .removed
            .fetch_add(done.series_removed as u64, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn checkpoint(
        &mut self,
        db: &Db,
        cancel: &Cancel,
        done: &mut Maintenance,
    ) -> Result<(), Error> {
        let number = lock(&db.appender).wal.rotate()?;
        let name = checkpoint_name(number);
        let temporary = format!("{name}.tmp");
        let bytes = match self.write_checkpoint(db, &temporary, cancel) {
            Ok(bytes) => bytes,
            Err(error) => {
                let _ = db.dir.remove(&temporary);
                return Err(error);
            }
        };
        let dir = db.dir.as_ref();
        dir.rename(&temporary, &name)
            .map_err(io_error("renaming", dir.display(&temporary)))?;
        dir.sync_dir(wal::FOLDER)
            .map_err(io_error("syncing the folder", dir.display(wal::FOLDER)))?;
        self.checkpoint_due = false;
        done.checkpoint = true;
        lock(&db.appender).wal.checkpointed(number, bytes);
        remove_log_before(dir, number)
    }

    fn write_checkpoint(&self, db: &Db, name: &str, cancel: &Cancel) -> Result<u64, Error> {
        let dir = db.dir.as_ref();
        let from_ms = db.view().head_from_ms;
        let mut file = dir
            .create(name)
            .map_err(io_error("creating", dir.display(name)))?;
        let mut out = header(NO_CUT).to_vec();
        let mut bytes = 0u64;
        for (page_number, page) in db.head().pages().iter().enumerate() {
            check(cancel)?;
            write_page(&mut out, page_number, page, from_ms);
            if out.len() >= CHECKPOINT_RECORD_BYTES {
                file.append(&out)
                    .map_err(io_error("writing", dir.display(name)))?;
                bytes += out.len() as u64;
                out.clear();
            }
        }
        file.append(&out)
            .map_err(io_error("writing", dir.display(name)))?;
        bytes += out.len() as u64;
        file.sync().map_err(io_error("syncing", dir.display(name)))?;
        Ok(bytes)
    }

    fn retain(&mut self, db: &Db, done: &mut Maintenance) -> Result<(), Error> {
        let view = db.view();
        let metas: Vec<BlockMeta> = view.blocks.iter().map(|block| block.meta().clone()).collect();
        let newest_ms = metas
            .iter()
            .map(|meta| meta.max_ms)
            .fold(db.head().max_ms(), i64::max);
        let wal_bytes = lock(&db.appender).wal.state().bytes;
        let options = &db.options;
        let gone = expired(
            &metas,
            newest_ms,
            options.retention_ms,
            options.retention_bytes,
            wal_bytes,
        );
        if gone.is_empty() {
            return Ok(());
        }
        let kept = view
            .blocks
            .iter()
            .enumerate()
            .filter(|(index, _)| !gone.contains(index));
        let blocks = kept.map(|(_, block)| Arc::clone(block)).collect();
        let head_from_ms = view.head_from_ms;
        drop(view);
        db.set_view(View { blocks, head_from_ms });
        db.counters
            .deleted
            .fetch_add(gone.len() as u64, Ordering::Relaxed);
        done.deleted = gone
            .iter()
            .filter_map(|index| metas.get(*index))
            .map(|meta| meta.name.clone())
            .collect();
        remove_blocks(db.dir.as_ref(), &done.deleted)
    }

    fn compact_all(&mut self, db: &Db, cancel: &Cancel, done: &mut Maintenance) -> Result<(), Error> {
        loop {
            check(cancel)?;
            let view = db.view();
            let metas: Vec<BlockMeta> = view.blocks.iter().map(|block| block.meta().clone()).collect();
            let options = &db.options;
            let range = mergeable(
                &metas,
                view.head_from_ms,
                options.block_range_ms,
                options.retention_ms,
            );
            let Some(inputs) = range.and_then(|range| view.blocks.get(range)) else {
                return Ok(());
            };
            let meta = self.compact(db, inputs, cancel)?;
            done.compacted.push(meta);
        }
    }

    fn compact(&mut self, db: &Db, inputs: &[Arc<Block>], cancel: &Cancel) -> Result<BlockMeta, Error> {
        let dir = db.dir.as_ref();
        let name = block_name(self.next_block);
        self.next_block += 1;
        let names: Vec<String> = inputs.iter().map(|block| block.meta().name.clone()).collect();
        let meta = block::compact(&db.dir, BLOCKS, inputs, &name, cancel).map_err(|error| {
            discard(dir, &name);
            check(cancel).err().unwrap_or(Error::Block(error))
        })?;
        let output = Block::open(dir, BLOCKS, &meta.name)?;
        let view = db.view();
        let mut blocks: Vec<_> = view
            .blocks
            .iter()
            .filter(|block| !names.contains(&block.meta().name))
            .cloned()
            .collect();
        blocks.push(output);
        sort(&mut blocks);
        let head_from_ms = view.head_from_ms;
        drop(view);
        db.set_view(View { blocks, head_from_ms });
        db.counters.compactions.fetch_add(1, Ordering::Relaxed);
        remove_blocks(dir, &names)?;
        Ok(meta)
    }
}

pub(crate) fn sort(blocks: &mut [Arc<Block>]) {
    blocks.sort_by_key(|block| (block.meta().min_ms, block.meta().max_ms));
}

/// The records of one page: its series, then their chunks.
fn write_page(out: &mut Vec<u8>, page_number: usize, page: &crate::head::Page, from_ms: i64) {
    let slots = read_lock(&page.slots);
    let number = |slot: usize| u32::try_from(page_number * crate::head::PAGE_SERIES + slot).ok();
    let entries = || {
        slots
            .iter()
            .enumerate()
            .filter_map(|(slot, entry)| Some((number(slot)?, entry.as_ref()?)))
    };
    if entries().next().is_none() {
        return;
    }
    // A page of 256 series stays far below the largest record, so these cannot fail.
    let record = RecordWriter::begin(out, KIND_SERIES);
    let mut encoder = SeriesEncoder::default();
    entries().for_each(|(series, entry)| encoder.push(out, series, entry.labels().encoded()));
    let _ = record.end(out);
    let record = RecordWriter::begin(out, KIND_CHUNK);
    for (series, entry) in entries() {
        entry.chunks_from(from_ms, |count, min_ms, max_ms, code| {
            encode_chunk(out, series, count, min_ms, max_ms, code);
        });
    }
    let _ = record.end(out);
}

/// Removes segments and checkpoints that checkpoint `number` stands for, oldest first.
pub(crate) fn remove_log_before(dir: &dyn Dir, number: u64) -> Result<(), Error> {
    let names = dir
        .list(wal::FOLDER)
        .map_err(io_error("listing", dir.display(wal::FOLDER)))?;
    for name in names {
        let path = match file_kind(&name) {
            FileKind::Segment(n) if n < number => segment_name(n),
            FileKind::Checkpoint(n) if n < number => checkpoint_name(n),
            _ => continue,
        };
        dir.remove(&path)
            .map_err(io_error("removing", dir.display(&path)))?;
    }
    Ok(())
}

/// Removes what a failed write may have left under its final name: the folder's sync is the last step, and the first that can fail
/// after the rename. Should this fail too, the next start has one block twice, which reads and compaction make one again.
pub(crate) fn discard(dir: &dyn Dir, name: &str) {
    let _ = dir.remove(&format!("{BLOCKS}/{name}"));
}

/// Removes blocks and makes that last.
pub(crate) fn remove_blocks(dir: &dyn Dir, names: &[String]) -> Result<(), Error> {
    for name in names {
        let path = format!("{BLOCKS}/{name}");
        match dir.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io_error("removing", dir.display(&path))(error));
            }
            _ => {}
        }
    }
    dir.sync_dir(BLOCKS)
        .map_err(io_error("syncing the folder", dir.display(BLOCKS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_waits_for_one_and_a_half_ranges_and_ends_on_the_grid() {
        for (min_ms, max_ms, want) in [
            (0, 150, None),
            (0, 151, Some(100)),
            (99, 250, Some(100)),
            (-1, 150, Some(0)),
            (i64::MAX, i64::MIN, None),
            (1000, 5000, Some(1100)),
        ] {
            assert_eq!(cut_end(min_ms, max_ms, 100), want, "{min_ms}..{max_ms}");
        }
    }
}
