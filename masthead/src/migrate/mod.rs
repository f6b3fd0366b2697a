//! `masthead migrate`: data and configuration from the stack of containers to `masthead up` on the same host, and back.
//!
//! ```text
//! upstream -> embedded   questions asked of Prometheus -> snapshot imported -> stopped -> the rest imported -> asked again -> service
//! embedded -> upstream   stopped -> questions asked of the store -> exported -> set up -> asked again of Prometheus
//! ```
//!
//! `questions` is what has to answer alike, `carry` the configuration. The order of the steps, and the way back where the answers differ,
//! is the command's (`cli/stack/migrate.rs`). The source is stopped at most, until all of it has succeeded.

pub mod carry;
pub mod questions;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use rustix::fs::statvfs;
use tsdb::dir::RealDir;
use tsdb::{Db, Options};

/// In the target's data folder, until the migration has succeeded: what is there is half of one, and may be gone on with.
const MARK: &str = ".masthead-migrating";

/// Marks a folder as one that a migration fills.
///
/// # Errors
/// It cannot be made.
pub fn mark(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(MARK);
    std::fs::write(&path, "").with_context(|| format!("writing {}", path.display()))
}

/// Is it one that a migration, which did not come to its end, has filled?
#[must_use]
pub fn is_marked(folder: &Path) -> bool {
    folder.join(MARK).exists()
}

/// It succeeded.
///
/// # Errors
/// The mark cannot be removed.
pub fn unmark(folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(MARK);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Opens a store that nobody uses, so that it can be asked; nothing of it is deleted.
///
/// # Errors
/// It cannot be read.
pub fn open(data_dir: &Path, now_ms: i64) -> anyhow::Result<Arc<Db>> {
    let options = Options {
        retention_ms: 0,
        ..Options::default()
    };
    let dir = RealDir::existing(data_dir).with_context(|| format!("reading {}", data_dir.display()))?;
    let (db, _) = Db::open(Arc::new(dir), options, now_ms)
        .with_context(|| format!("opening the store in {}", data_dir.display()))?;
    Ok(Arc::new(db))
}

/// Bytes of all files in a folder, as far as they can be read.
#[must_use]
pub fn size(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(known) = entry.metadata() else { continue };
            match known.is_dir() {
                true => folders.push(entry.path()),
                false => bytes = bytes.saturating_add(known.len()),
            }
        }
    }
    bytes
}

/// Fails where a folder's disk has less room than this.
///
/// # Errors
/// With what is free and what is needed.
pub fn has_room(folder: &Path, needed: u64) -> anyhow::Result<()> {
    let mut there: PathBuf = folder.to_owned();
    while !there.exists() && there.pop() {}
    let disk = statvfs(&there).with_context(|| format!("asking for room at {}", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let words = |bytes: u64| crate::cli::bytes_text(bytes as f64);
    anyhow::ensure!(
        free >= needed,
        "{} has {} free, and the migrated data may need {}; free some space on that disk",
        folder.display(),
        words(free),
        words(needed)
    );
    Ok(())
}
