//! A store that is only read: all blocks and what the log holds, at one moment. Nothing in the folder is changed, and no lock is
//! needed: a Masthead that runs there goes on writing.
//!
//! Blocks never change and stay readable while they are open. So it is enough that the list of blocks is the same before and after
//! the log was read: then no cut moved samples from the log to a block in between.

use std::io;
use std::sync::Arc;

use model::{Cancel, Samples};

use crate::block::compact::SeriesWalk;
use crate::block::{Block, BlockError, BlockMeta};
use crate::dir::{Dir, ReadFile};
use crate::error::{Error, Warning, io_error};
use crate::head::Head;
use crate::head::replay::Replay;
use crate::maintain::{BLOCKS, check};
use crate::merge::{BlockStream, HeadStream, Merge, SeriesStream};
use crate::wal::{
    self, FileKind, NO_CUT, SegmentEnd, checkpoint_name, file_kind, header_cut, scan, segment_name,
};

/// How often blocks may change while the log is read. Cuts are hours apart, and compactions minutes at the least.
pub(crate) const ATTEMPTS: usize = 5;

/// See the module's text.
#[derive(Debug)]
pub struct DbReadOnly {
    pub(crate) blocks: Vec<Arc<Block>>,
    pub(crate) head: Arc<Head>,
    /// Samples before this are in blocks.
    pub(crate) head_from_ms: i64,
    /// Size of the log.
    pub(crate) wal_bytes: u64,
}

impl DbReadOnly {
    /// Reads the store in `dir`. Damage in the log is gone around and reported, as at a start.
    ///
    /// # Errors
    /// [`Error::Block`] for a damaged block, [`Error::Io`].
    pub fn open(dir: &dyn Dir, cancel: &Cancel) -> Result<(Self, Vec<Warning>), Error> {
        for _ in 0..ATTEMPTS {
            check(cancel)?;
            let names = block_names(dir)?;
            let Some(mut blocks) = open_blocks(dir, &names)? else {
                continue;
            };
            // A compaction that was not finished: its sources are still there.
            let sources: Vec<String> = blocks
                .iter()
                .flat_map(|block| block.meta().sources.clone())
                .collect();
            blocks.retain(|block| !sources.contains(&block.meta().name));
            blocks.sort_by_key(|block| (block.meta().min_ms, block.meta().max_ms));
            let last = blocks
                .iter()
                .map(|block| block.meta().max_ms.saturating_add(1))
                .max();
            let head_from_ms = last.unwrap_or(i64::MIN);
            let mut warnings = Vec::new();
            let mut replay = Replay::new(head_from_ms);
            let log = read_log(
                dir,
                cancel,
                &mut |kind, payload| replay.record(kind, payload),
                &mut warnings,
            )?;
            let Some(wal_bytes) = log.filter(|_| block_names(dir).is_ok_and(|now| now == names)) else {
                continue;
            };
            let (head, _, _) = replay.finish();
            let db = Self {
                blocks,
                head: Arc::new(head),
                head_from_ms,
                wal_bytes,
            };
            return Ok((db, warnings));
        }
        let busy = io::Error::other("its blocks changed each time they were read; try again");
        Err(io_error("reading", dir.display(BLOCKS))(busy))
    }

    /// The blocks, by time.
    pub fn blocks(&self) -> impl Iterator<Item = &BlockMeta> {
        self.blocks.iter().map(|block| block.meta())
    }

    /// Time of the first and the last sample, `None` when there is none.
    #[must_use]
    pub fn time_range(&self) -> Option<(i64, i64)> {
        let blocks = self.blocks().map(|meta| (meta.min_ms, meta.max_ms));
        let (min_ms, max_ms) = (self.head.min_ms(), self.head.max_ms());
        blocks
            .chain((min_ms <= max_ms).then_some((min_ms, max_ms)))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// All series with their samples of a time range, both ends inclusive.
    pub(crate) fn walk(&self, from_ms: i64, to_ms: i64) -> Merge {
        let range = (from_ms, to_ms);
        let mut streams = block_streams(&self.blocks, range);
        streams.push(Box::new(HeadStream::new(
            Arc::clone(&self.head),
            self.head_from_ms,
            range,
        )));
        Merge::new(streams)
    }

    /// Calls `each` with every series of a time range (both ends inclusive) and its samples, labels rising.
    ///
    /// # Errors
    /// [`Error::Block`], [`Error::Cancelled`]; what `each` gives.
    pub fn for_each_series(
        &self,
        from_ms: i64,
        to_ms: i64,
        cancel: &Cancel,
        each: &mut dyn FnMut(&model::Labels, &Samples) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut walk = self.walk(from_ms, to_ms);
        let mut samples = Samples::default();
        while let Some(labels) = walk.next(&mut samples)? {
            check(cancel)?;
            if !samples.is_empty() {
                each(&labels, &samples)?;
            }
        }
        Ok(())
    }
}

/// The series of those blocks that reach into a range.
pub(crate) fn block_streams(blocks: &[Arc<Block>], range: (i64, i64)) -> Vec<Box<dyn SeriesStream>> {
    let within = blocks
        .iter()
        .filter(|block| block.meta().min_ms <= range.1 && block.meta().max_ms >= range.0);
    within
        .map(|block| Box::new(BlockStream::new(SeriesWalk::new(block), range)) as Box<dyn SeriesStream>)
        .collect()
}

pub(crate) fn block_names(dir: &dyn Dir) -> Result<Vec<String>, Error> {
    let names = dir
        .list(BLOCKS)
        .map_err(io_error("listing", dir.display(BLOCKS)))?;
    Ok(names
        .into_iter()
        .filter(|name| name.ends_with(".block"))
        .collect())
}

/// `None` when one has gone meanwhile.
fn open_blocks(dir: &dyn Dir, names: &[String]) -> Result<Option<Vec<Arc<Block>>>, Error> {
    let mut blocks = Vec::new();
    for name in names {
        match Block::open(dir, BLOCKS, name) {
            Ok(block) => blocks.push(block),
            Err(BlockError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Some(blocks))
}

/// Gives every record of the log to `each`, which says whether it made sense; damage goes to `warnings`. Gives the bytes of the log,
/// `None` when it was truncated meanwhile.
pub(crate) fn read_log(
    dir: &dyn Dir,
    cancel: &Cancel,
    each: &mut dyn FnMut(u8, &[u8]) -> bool,
    warnings: &mut Vec<Warning>,
) -> Result<Option<u64>, Error> {
    let (files, has_checkpoint) = log_names(dir)?;
    let mut open = Vec::new();
    for path in &files {
        match dir.open(path) {
            Ok(file) => open.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("opening", dir.display(path))(error)),
        }
    }
    let mut total = 0;
    for (at, (path, file)) in files.iter().zip(&open).enumerate() {
        check(cancel)?;
        let is_checkpoint = at == 0 && has_checkpoint;
        let mut bytes = read_file(file.as_ref()).map_err(io_error("reading", dir.display(path)))?;
        // The next segment may say that this one counts only up to somewhere.
        let next = open.get(at + 1).filter(|_| !is_checkpoint).and_then(|next| {
            let mut head = [0; wal::HEADER_BYTES];
            next.read_exact_at(&mut head, 0).ok()?;
            header_cut(&head)
        });
        bytes.truncate(usize::try_from(next.unwrap_or(NO_CUT)).unwrap_or(usize::MAX));
        total += bytes.len() as u64;
        let end = scan(&bytes, &mut *each);
        // Where the log is written to, the last record may be half there.
        report(dir, path, &end, at + 1 == files.len() && !is_checkpoint, warnings);
    }
    Ok(Some(total))
}

/// The files that the log consists of now, in their order.
pub(crate) fn log_files(dir: &dyn Dir) -> Result<Vec<String>, Error> {
    log_names(dir).map(|(files, _)| files)
}

/// The same, and whether the first is a checkpoint.
fn log_names(dir: &dyn Dir) -> Result<(Vec<String>, bool), Error> {
    let names = dir
        .list(wal::FOLDER)
        .map_err(io_error("listing", dir.display(wal::FOLDER)))?;
    let kinds = names.iter().map(|name| file_kind(name));
    let checkpoint = kinds.clone().filter_map(|kind| match kind {
        FileKind::Checkpoint(number) => Some(number),
        _ => None,
    });
    let checkpoint = checkpoint.max();
    let segment = |kind| match kind {
        FileKind::Segment(number) => checkpoint.is_none_or(|from| number >= from).then_some(number),
        _ => None,
    };
    let mut segments: Vec<u64> = kinds.filter_map(segment).collect();
    segments.sort_unstable();
    let mut files: Vec<String> = checkpoint.map(checkpoint_name).into_iter().collect();
    files.extend(segments.iter().map(|number| segment_name(*number)));
    Ok((files, checkpoint.is_some()))
}

fn report(dir: &dyn Dir, path: &str, end: &SegmentEnd, last: bool, warnings: &mut Vec<Warning>) {
    let tail = end.tail.as_ref().filter(|_| !last);
    for fault in end.faults.iter().chain(tail) {
        warnings.push(Warning {
            file: dir.display(path),
            offset: Some(fault.offset as u64),
            lost: format!(
                "{} ({} bytes), the samples in it are lost",
                fault.reason, fault.bytes
            ),
            cure:
                "the rest is used; the next start of masthead keeps a copy of the file and goes on without it"
                    .to_owned(),
        });
    }
}

fn read_file(file: &dyn ReadFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}
