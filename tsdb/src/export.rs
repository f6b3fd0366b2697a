//! Writing the store as blocks of Prometheus'.
//!
//! Blocks span up to 18 hours, aligned to the epoch as Prometheus' compaction has it (2, 6, 18 hours): with its default retention it
//! would make the same of smaller ones. A block says the exact times of its first and last sample, so that a Prometheus that is started on
//! them takes samples from the last one on.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Cancel, Samples};

use crate::dir::Dir;
use crate::error::Error;
use crate::import::IMPORT_RANGE_MS;
use crate::maintain::check;
use crate::prometheus::{PromBlockWriter, WrittenBlock};
use crate::read_only::DbReadOnly;

/// What to write, and what the caller brings along: the core knows neither clock nor chance nor JSON.
pub struct Export<'a> {
    /// First time, inclusive.
    pub from_ms: i64,
    /// Last time, inclusive.
    pub to_ms: i64,
    /// Makes a ULID for a block.
    pub name: &'a mut dyn FnMut() -> String,
    /// Makes a block's `meta.json`.
    pub meta: &'a dyn Fn(&WrittenBlock) -> Vec<u8>,
    /// Is told each block that is done.
    pub progress: &'a mut dyn FnMut(&WrittenBlock),
}

impl std::fmt::Debug for Export<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Export({}..={})", self.from_ms, self.to_ms)
    }
}

/// Writes the samples of a store as blocks into `target`.
///
/// # Errors
/// [`Error`]; the blocks before stay, of the one at hand nothing is left.
pub fn export(
    db: &DbReadOnly,
    target: &Arc<dyn Dir>,
    export: &mut Export<'_>,
    cancel: &Cancel,
) -> Result<Vec<WrittenBlock>, Error> {
    let mut written = Vec::new();
    let Some((min_ms, max_ms)) = db.time_range() else {
        return Ok(written);
    };
    let (first_ms, last_ms) = (min_ms.max(export.from_ms), max_ms.min(export.to_ms));
    let mut from_ms = first_ms;
    while from_ms <= last_ms {
        check(cancel)?;
        let slot = from_ms.div_euclid(IMPORT_RANGE_MS);
        let next_ms = slot.saturating_add(1).saturating_mul(IMPORT_RANGE_MS);
        let to_ms = next_ms.saturating_sub(1).min(last_ms);
        if db.may_have(from_ms, to_ms)
            && let Some(block) = export_range(db, target, (from_ms, to_ms), export, cancel)?
        {
            (export.progress)(&block);
            written.push(block);
        }
        if next_ms <= from_ms {
            break;
        }
        from_ms = next_ms;
    }
    Ok(written)
}

fn export_range(
    db: &DbReadOnly,
    target: &Arc<dyn Dir>,
    (from_ms, to_ms): (i64, i64),
    export: &mut Export<'_>,
    cancel: &Cancel,
) -> Result<Option<WrittenBlock>, Error> {
    // An index begins with its label texts, sorted; so the series are walked twice.
    let mut texts: BTreeSet<Arc<str>> = BTreeSet::new();
    db.for_each_series(from_ms, to_ms, cancel, &mut |labels, _| {
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            if !texts.contains(text) {
                texts.insert(Arc::from(text));
            }
        }
        Ok(())
    })?;
    let mut writer = PromBlockWriter::create(Arc::clone(target), &(export.name)(), texts)?;
    let mut add = |labels: &model::Labels, samples: &Samples| writer.add(labels, samples);
    db.for_each_series(from_ms, to_ms, cancel, &mut add)?;
    writer.finish(export.meta)
}

impl DbReadOnly {
    /// May there be samples in the range?
    fn may_have(&self, from_ms: i64, to_ms: i64) -> bool {
        let block = self
            .blocks()
            .any(|meta| meta.min_ms <= to_ms && meta.max_ms >= from_ms);
        block || (self.head.min_ms() <= to_ms && self.head.max_ms() >= from_ms)
    }
}
