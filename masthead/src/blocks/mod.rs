//! Prometheus' data folders, in and out: what the store's own code cannot know of them, which is JSON, locks, chance and the clock.
//!
//! [`import`] takes the blocks and the log of a stopped Prometheus (or of a snapshot) into our store, [`export`] writes our store as
//! blocks. Both are safe to stop and to repeat.

mod meta;
mod owner;
mod ulid;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use model::Cancel;
use rustix::fs::{FlockOperation, flock};
use tsdb::dir::{Dir, RealDir};
use tsdb::prometheus::{Source, SourceMeta, WrittenBlock, block_folders};
use tsdb::{Db, DbReadOnly, Export, IMPORT_RANGE_MS, ImportStep, Imported, Warning};

use crate::app::data_dir;
use meta::BlockMeta;
use ulid::Ulids;

/// What was found in a Prometheus' folder and taken from it.
#[derive(Debug)]
pub struct ImportReport {
    /// Blocks of Prometheus'.
    pub source_blocks: usize,
    /// What became of them.
    pub imported: Imported,
    /// What was left out, and why, beside what `imported` counts; each a sentence.
    pub warnings: Vec<String>,
}

/// Takes everything from the data folder `from` of a stopped Prometheus that the store in `data_dir` does not have.
///
/// # Errors
/// When one of the two is in use, when a file of Prometheus' is damaged (nothing was written then, but for a chunk: what was written
/// before stays), or when our store cannot be written. The text says what to do.
pub fn import(
    from: &Path,
    data_dir: &Path,
    now_ms: i64,
    cancel: &Cancel,
    progress: &mut dyn FnMut(ImportStep),
) -> anyhow::Result<ImportReport> {
    let dir: Arc<dyn Dir> = Arc::new(
        RealDir::existing(from)
            .with_context(|| format!("reading Prometheus' data folder {}", from.display()))?,
    );
    let _prometheus = PrometheusLock::take(from)?;
    let metas = read_metas(dir.as_ref(), from)?;
    let log = dir
        .folders("")
        .is_ok_and(|folders| folders.iter().any(|name| name == "wal"));
    anyhow::ensure!(
        log || !metas.is_empty(),
        "{} holds neither blocks nor a log of Prometheus; name the folder that --storage.tsdb.path names, or a snapshot in it",
        from.display()
    );
    let sources: Vec<SourceMeta> = metas.iter().map(BlockMeta::source).collect();
    let mut source = Source::open(dir, &sources, IMPORT_RANGE_MS, cancel).with_context(|| {
        format!(
            "reading Prometheus' data folder {}; to go on without a damaged block, move its folder away",
            from.display()
        )
    })?;
    let mut warnings: Vec<String> = source
        .torn()
        .iter()
        .map(|torn| {
            format!(
                "{} ends at byte {} in the middle of a write ({}); what comes after is lost for Prometheus too",
                torn.path, torn.offset, torn.reason
            )
        })
        .collect();
    if source.orphans() > 0 {
        warnings.push(format!(
            "{} samples of the log belong to series that it does not name; Prometheus leaves them out too",
            source.orphans()
        ));
    }
    let lock = data_dir::Lock::take(data_dir)?;
    let imported = open_store(data_dir, now_ms, &mut warnings).and_then(|db| {
        let imported = db.import(&mut source, now_ms, cancel, progress);
        db.close(now_ms)?;
        imported.with_context(|| {
            format!(
                "importing into {}; what was taken so far stays: repeat the command to go on, or move the folder of a damaged \
                 block away first",
                data_dir.display()
            )
        })
    });
    owner::give_to_owner(data_dir)?;
    drop(lock);
    let imported = imported?;
    warnings.extend(left_out(&imported));
    Ok(ImportReport {
        source_blocks: metas.len(),
        imported,
        warnings,
    })
}

/// Says what an import counted and did not store.
fn left_out(imported: &Imported) -> Vec<String> {
    let mut out = Vec::new();
    let histograms = imported.histograms;
    if histograms.samples > 0 {
        out.push(format!(
            "{} native histograms of {} series were left out: they are not stored yet; keep the folder and import it again when they are",
            histograms.samples, histograms.series
        ));
    }
    if imported.ahead > 0 {
        out.push(format!(
            "{} samples lie too far in the future and were left out; a clock was wrong when they were made",
            imported.ahead
        ));
    }
    out
}

fn open_store(data_dir: &Path, now_ms: i64, warnings: &mut Vec<String>) -> anyhow::Result<Db> {
    let dir =
        RealDir::new(data_dir).with_context(|| format!("opening the data folder {}", data_dir.display()))?;
    // Retention is the business of `up`, which knows its flags.
    let options = tsdb::Options {
        retention_ms: 0,
        ..tsdb::Options::default()
    };
    let (db, found) = Db::open(Arc::new(dir), options, now_ms)
        .with_context(|| format!("opening the store in {}", data_dir.display()))?;
    warnings.extend(found.iter().map(Warning::to_string));
    Ok(db)
}

fn read_metas(dir: &dyn Dir, from: &Path) -> anyhow::Result<Vec<BlockMeta>> {
    block_folders(dir)?
        .into_iter()
        .map(|name| {
            let path = from.join(&name).join("meta.json");
            let text = std::fs::read_to_string(&path).map_err(|e| {
                anyhow::anyhow!(
                    "reading {}: {e}; a block without it was not finished, move its folder away to go on without it",
                    path.display()
                )
            })?;
            BlockMeta::parse(&name, &text).map_err(|reason| anyhow::anyhow!("{}: {reason}", path.display()))
        })
        .collect()
}

/// Opens the store in `data_dir` for reading, beside a Masthead that runs there.
///
/// # Errors
/// When there is no store, or a block is damaged.
pub fn open_read_only(data_dir: &Path) -> anyhow::Result<(DbReadOnly, Vec<Warning>)> {
    let dir = existing_store(data_dir)?;
    DbReadOnly::open(&dir, &Cancel::new())
        .with_context(|| format!("reading the store in {}", data_dir.display()))
}

/// The folder of a store that is there.
///
/// # Errors
/// When it is not.
pub fn existing_store(data_dir: &Path) -> anyhow::Result<RealDir> {
    let dir = RealDir::existing(data_dir).with_context(|| {
        format!(
            "reading the data folder {}; name the one that `masthead up` uses with --data-dir",
            data_dir.display()
        )
    })?;
    anyhow::ensure!(
        data_dir.join("wal").is_dir() && data_dir.join("blocks").is_dir(),
        "{} is not the data folder of a masthead; name the one that `masthead up` uses with --data-dir",
        data_dir.display()
    );
    Ok(dir)
}

/// Writes the samples of a store between two times, both inclusive, as blocks into the folder `to`.
///
/// # Errors
/// When blocks of that time are there already, a Prometheus runs there, or files cannot be read or written.
pub fn export(
    db: &DbReadOnly,
    to: &Path,
    (from_ms, to_ms): (i64, i64),
    now_ms: i64,
    cancel: &Cancel,
    progress: &mut dyn FnMut(&WrittenBlock),
) -> anyhow::Result<Vec<WrittenBlock>> {
    let target: Arc<dyn Dir> =
        Arc::new(RealDir::new(to).with_context(|| format!("making the folder {}", to.display()))?);
    let _prometheus = PrometheusLock::take(to)?;
    let Some((min_ms, max_ms)) = db.time_range() else {
        return Ok(Vec::new());
    };
    let (first_ms, last_ms) = (min_ms.max(from_ms), max_ms.min(to_ms));
    for there in read_metas(target.as_ref(), to)? {
        anyhow::ensure!(
            there.max_ms <= first_ms || there.min_ms > last_ms,
            "{} holds the block {} of the same time already; choose an empty folder, or another time with --from and --to",
            to.display(),
            there.name
        );
    }
    // Empty, but `promtool tsdb dump` wants it.
    target
        .create_dir("wal")
        .with_context(|| format!("making the folder {}", to.join("wal").display()))?;
    let mut ulids = Ulids::new(now_ms)?;
    let mut export = Export {
        from_ms,
        to_ms,
        name: &mut || ulids.next(),
        meta: &meta::render,
        progress,
    };
    let written = tsdb::export(db, &target, &mut export, cancel);
    owner::give_to_owner(to)?;
    written.with_context(|| format!("writing blocks into {}", to.display()))
}

/// Keeps Prometheus from starting on a folder while it is worked on, and finds one that runs.
#[derive(Debug)]
struct PrometheusLock {
    _file: Option<File>,
}

impl PrometheusLock {
    fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            // Never run there, or told not to lock.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self { _file: None }),
            Err(e) => {
                return Err(anyhow::anyhow!(
                    "opening Prometheus' lock {}: {e}",
                    path.display()
                ));
            }
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!(
                "a Prometheus is running on {}; stop it first, or take a snapshot of it (POST /api/v1/admin/tsdb/snapshot) and \
                 use that",
                folder.display()
            ),
            Err(e) => Err(anyhow::anyhow!("locking {}: {e}", path.display())),
        }
    }
}
