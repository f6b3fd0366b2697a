//! A start: finish what a crash interrupted, set damaged files aside, replay the log.

use std::sync::Arc;

use crate::block::{Block, BlockError};
use crate::db::{Opened, Options};
use crate::dir::Dir;
use crate::error::{Error, Warning, io_error};
use crate::head::appender::Appender;
use crate::head::replay::Replay;
use crate::maintain::{BLOCKS, Upkeep, remove_blocks, remove_log_before};
use crate::querier::View;
use crate::wal::{
    self, FileKind, Found, NO_CUT, SegmentEnd, Wal, checkpoint_name, file_kind, header_cut, scan,
    segment_name,
};

/// Opens everything. See [`crate::Db::open`].
pub(crate) fn open(
    dir: &Arc<dyn Dir>,
    options: &Options,
    warnings: &mut Vec<Warning>,
) -> Result<Opened, Error> {
    for folder in [wal::FOLDER, BLOCKS] {
        dir.create_dir(folder)
            .map_err(io_error("making the folder", dir.display(folder)))?;
    }
    dir.sync_dir("")
        .map_err(io_error("syncing the folder", dir.display("")))?;
    let (blocks, next_block) = open_blocks(dir.as_ref(), warnings)?;
    // The floor after a crash: what a block holds is not taken from the log again.
    let from_ms = blocks
        .iter()
        .map(|block| block.meta().max_ms.saturating_add(1))
        .max()
        .unwrap_or(i64::MIN);
    let mut replay = Replay::new(from_ms);
    let (found, next_segment) = replay_log(dir.as_ref(), &mut replay, warnings)?;
    replay.flush_all();
    let (orphans, unknown) = (replay.orphans, replay.unknown_records);
    if orphans > 0 {
        let lost = format!("{orphans} samples belong to series whose names are in a damaged part of the log");
        warnings.push(warning(
            dir.display(wal::FOLDER),
            None,
            lost,
            "they are left out; nothing to do",
        ));
    }
    if unknown > 0 {
        let lost = format!("{unknown} records are of a kind that this version does not know");
        warnings.push(warning(
            dir.display(wal::FOLDER),
            None,
            lost,
            "they are left out; was a newer version running here?",
        ));
    }
    let (head, table, next) = replay.finish();
    let wal = Wal::create(
        Arc::clone(dir),
        next_segment,
        found,
        options.wal_segment_bytes,
        options.wal_sync_bytes,
    )?;
    let appender = Appender::new(wal, table, next, from_ms);
    let view = View {
        blocks,
        head_from_ms: from_ms,
    };
    Ok(Opened {
        head,
        appender,
        view,
        upkeep: Upkeep::new(next_block),
    })
}

fn warning(file: String, offset: Option<u64>, lost: String, cure: &str) -> Warning {
    Warning {
        file,
        offset,
        lost,
        cure: cure.to_owned(),
    }
}

fn read_file(dir: &dyn Dir, path: &str) -> std::io::Result<Vec<u8>> {
    let file = dir.open(path)?;
    let len = usize::try_from(file.len()?).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Opens the blocks, sorted by time, and gives the number of the next one.
fn open_blocks(dir: &dyn Dir, warnings: &mut Vec<Warning>) -> Result<(Vec<Arc<Block>>, u64), Error> {
    let names = dir
        .list(BLOCKS)
        .map_err(io_error("listing", dir.display(BLOCKS)))?;
    let number = |name: &String| {
        name.split('.')
            .next()
            .and_then(|digits| digits.parse::<u64>().ok())
    };
    let next = names.iter().filter_map(number).max().map_or(1, |last| last + 1);
    for name in names.iter().filter(|name| name.ends_with(".tmp")) {
        let path = format!("{BLOCKS}/{name}");
        dir.remove(&path)
            .map_err(io_error("removing", dir.display(&path)))?;
    }
    let mut blocks = Vec::new();
    for name in names.iter().filter(|name| name.ends_with(".block")) {
        let path = format!("{BLOCKS}/{name}");
        match Block::open(dir, BLOCKS, name) {
            Ok(block) => blocks.push(block),
            Err(BlockError::Corrupt { offset, reason, .. }) => {
                let aside = format!("{path}.damaged");
                let moved = dir.rename(&path, &aside).and_then(|()| dir.sync_dir(BLOCKS));
                let cure = match moved {
                    Ok(()) => format!(
                        "it was renamed to {}; restore it from a backup, or delete it",
                        dir.display(&aside)
                    ),
                    Err(error) => format!("it could not be renamed ({error}) and is left out"),
                };
                let lost = format!("the block is damaged ({reason}), its samples are missing from answers");
                warnings.push(warning(dir.display(&path), Some(offset), lost, &cure));
            }
            Err(error) => {
                let lost =
                    format!("the block cannot be read ({error}), its samples are missing from answers");
                warnings.push(warning(
                    dir.display(&path),
                    None,
                    lost,
                    "it is left out; check the disk, then restart",
                ));
            }
        }
    }
    remove_sources(dir, &names, &mut blocks)?;
    blocks.sort_by_key(|block| (block.meta().min_ms, block.meta().max_ms));
    Ok((blocks, next))
}

/// Finishes compactions: removes the blocks from which another one was made.
fn remove_sources(dir: &dyn Dir, names: &[String], blocks: &mut Vec<Arc<Block>>) -> Result<(), Error> {
    let sources: Vec<String> = blocks
        .iter()
        .flat_map(|block| block.meta().sources.clone())
        .collect();
    let left: Vec<String> = names
        .iter()
        .filter(|name| sources.contains(name))
        .cloned()
        .collect();
    if left.is_empty() {
        return Ok(());
    }
    blocks.retain(|block| !left.contains(&block.meta().name));
    remove_blocks(dir, &left)
}

/// Replays checkpoint and segments; gives what stays of the log and the number of the next segment.
fn replay_log(
    dir: &dyn Dir,
    replay: &mut Replay,
    warnings: &mut Vec<Warning>,
) -> Result<(Found, u64), Error> {
    let names = dir
        .list(wal::FOLDER)
        .map_err(io_error("listing", dir.display(wal::FOLDER)))?;
    let kinds: Vec<FileKind> = names.iter().map(|name| file_kind(name)).collect();
    for (name, kind) in names.iter().zip(&kinds) {
        if *kind == FileKind::Temporary {
            let path = format!("{}/{name}", wal::FOLDER);
            dir.remove(&path)
                .map_err(io_error("removing", dir.display(&path)))?;
        }
    }
    let checkpoint = kinds
        .iter()
        .filter_map(|kind| {
            if let FileKind::Checkpoint(n) = kind {
                Some(*n)
            } else {
                None
            }
        })
        .max();
    let mut segments: Vec<u64> = kinds
        .iter()
        .filter_map(|kind| {
            if let FileKind::Segment(n) = kind {
                Some(*n)
            } else {
                None
            }
        })
        .filter(|n| checkpoint.is_none_or(|checkpoint| *n >= checkpoint))
        .collect();
    segments.sort_unstable();
    let mut found = Found::default();
    if let Some(number) = checkpoint {
        remove_log_before(dir, number)?;
        let path = checkpoint_name(number);
        if let Some((bytes, end)) = replay_file(dir, &path, NO_CUT, replay, warnings) {
            found.checkpoint_bytes = bytes;
            report(dir, &path, &end, false, warnings);
        }
    }
    for (index, &number) in segments.iter().enumerate() {
        let path = segment_name(number);
        let next = segments.get(index + 1).copied();
        // The next segment may say that this one counts only up to somewhere.
        let cut = next
            .and_then(|next| read_header(dir, &segment_name(next)))
            .unwrap_or(NO_CUT);
        let Some((bytes, end)) = replay_file(dir, &path, cut, replay, warnings) else {
            continue;
        };
        report(dir, &path, &end, next.is_none(), warnings);
        let mut bytes = bytes;
        if next.is_none() {
            found.cut = cut_tail(dir, &path, &end)?;
            bytes = end.good_len as u64;
        }
        found.segments.push((number, bytes));
    }
    let last = segments.last().copied().max(checkpoint).unwrap_or(0);
    Ok((found, last + 1))
}

fn read_header(dir: &dyn Dir, path: &str) -> Option<u64> {
    let mut head = [0; wal::HEADER_BYTES];
    dir.open(path).ok()?.read_exact_at(&mut head, 0).ok()?;
    header_cut(&head)
}

/// Replays one file up to `cut`. `None`, with a warning, when it cannot be read.
fn replay_file(
    dir: &dyn Dir,
    path: &str,
    cut: u64,
    replay: &mut Replay,
    warnings: &mut Vec<Warning>,
) -> Option<(u64, SegmentEnd)> {
    let mut bytes = match read_file(dir, path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let lost = format!("the file cannot be read ({error}), its samples are missing");
            warnings.push(warning(
                dir.display(path),
                None,
                lost,
                "it is left out; check the disk, then restart",
            ));
            return None;
        }
    };
    bytes.truncate(usize::try_from(cut).unwrap_or(usize::MAX));
    let end = scan(&bytes, |kind, payload| replay.record(kind, payload));
    Some((bytes.len() as u64, end))
}

/// Says what was damaged, and keeps a copy of the damaged file.
fn report(dir: &dyn Dir, path: &str, end: &SegmentEnd, last: bool, warnings: &mut Vec<Warning>) {
    if let Some(tail) = end.tail.as_ref().filter(|_| last) {
        let lost = format!(
            "the last {} bytes are not a whole record ({}): a write was cut short",
            tail.bytes, tail.reason
        );
        let cure = "no confirmed sync is affected; the bytes were cut off, nothing to do";
        warnings.push(warning(dir.display(path), Some(tail.offset as u64), lost, cure));
    }
    let damage: Vec<_> = end
        .faults
        .iter()
        .chain(end.tail.as_ref().filter(|_| !last))
        .collect();
    if damage.is_empty() {
        return;
    }
    let aside = format!("{path}.damaged");
    let cure = match copy_aside(dir, path, &aside) {
        Ok(()) => format!(
            "the rest was replayed; a copy is in {}, delete it when you are done",
            dir.display(&aside)
        ),
        Err(error) => format!("the rest was replayed; a copy could not be made ({error})"),
    };
    for fault in damage {
        let lost = format!(
            "{} ({} bytes), the samples in it are lost",
            fault.reason, fault.bytes
        );
        warnings.push(warning(dir.display(path), Some(fault.offset as u64), lost, &cure));
    }
}

fn copy_aside(dir: &dyn Dir, path: &str, aside: &str) -> std::io::Result<()> {
    if dir.open(aside).is_ok() {
        return Ok(());
    }
    let bytes = read_file(dir, path)?;
    let mut file = dir.create(aside)?;
    file.append(&bytes)?;
    file.sync()
}

/// Cuts a torn tail off the last segment and makes what was replayed last. `Some` when it could not be cut off.
fn cut_tail(dir: &dyn Dir, path: &str, end: &SegmentEnd) -> Result<Option<u64>, Error> {
    let mut file = dir.append(path).map_err(io_error("opening", dir.display(path)))?;
    let mut cut = None;
    if end.tail.is_some() && file.truncate(end.good_len as u64).is_err() {
        cut = Some(end.good_len as u64);
    }
    // Samples that were answered once must not be lost to a power cut later, although nobody synced them so far.
    file.sync().map_err(io_error("syncing", dir.display(path)))?;
    Ok(cut)
}
