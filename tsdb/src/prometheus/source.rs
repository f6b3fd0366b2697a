//! A data folder of Prometheus', looked through and ready to be read range by range.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Cancel;

use crate::dir::Dir;
use crate::error::{Error, io_error};
use crate::maintain::check;
use crate::merge::SeriesStream;

use super::block::SourceBlock;
use super::head::SourceHead;
use super::wal::TornLog;
use super::{Histograms, Survey};

/// What `meta.json` says about a block, as far as it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMeta {
    /// The block's folder, a ULID.
    pub name: String,
    /// `maxTime`: all samples are before.
    pub max_ms: i64,
    /// The block was cut from samples in order, so that those of the log before `max_ms` are in it.
    pub in_order: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Source {
    dir: Arc<dyn Dir>,
    /// By name: in which slots the block has samples.
    blocks: BTreeMap<String, BTreeSet<i64>>,
    /// Blocks of the slot at hand.
    open: BTreeMap<String, Arc<SourceBlock>>,
    head: Arc<SourceHead>,
    head_slots: BTreeSet<i64>,
    slot_ms: i64,
    /// Bytes of the blocks' chunks.
    bytes: u64,
}

impl Source {
    /// Reads the indexes of all blocks and the logs, and checks them; nothing is written. `slot_ms` is the length of the ranges that
    /// are asked for later.
    ///
    /// # Errors
    /// [`Error::Block`] for damage, with file and offset.
    pub fn open(
        dir: Arc<dyn Dir>,
        metas: &[SourceMeta],
        slot_ms: i64,
        cancel: &Cancel,
    ) -> Result<Self, Error> {
        let mut source = Self {
            dir,
            blocks: BTreeMap::new(),
            open: BTreeMap::new(),
            head: Arc::default(),
            head_slots: BTreeSet::new(),
            slot_ms: slot_ms.max(1),
            bytes: 0,
        };
        for meta in metas {
            check(cancel)?;
            let block = SourceBlock::open(source.dir.as_ref(), &meta.name)?;
            let mut survey = Survey::default();
            block.survey(source.slot_ms, &mut survey)?;
            source.bytes += survey.bytes;
            source.blocks.insert(meta.name.clone(), survey.slots);
        }
        let in_order = metas.iter().filter(|meta| meta.in_order);
        let min_valid_ms = in_order.map(|meta| meta.max_ms).max().unwrap_or(i64::MIN);
        let head = SourceHead::read(source.dir.as_ref(), min_valid_ms)?;
        let mut survey = Survey::default();
        head.survey(source.slot_ms, &mut survey)?;
        source.head = Arc::new(head);
        source.head_slots = survey.slots;
        Ok(source)
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks_len(&self) -> usize {
        self.blocks.len()
    }

    /// Bytes of the blocks' chunks.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends of logs that are not whole: a write was cut short, and what comes after is lost for Prometheus too.
    #[must_use]
    pub fn torn(&self) -> &[TornLog] {
        &self.head.torn
    }

    /// Samples of the logs whose series nothing names; Prometheus leaves them out too.
    #[must_use]
    pub fn orphans(&self) -> u64 {
        self.head.orphans
    }

    /// Native histograms in the logs.
    pub(crate) fn head_histograms(&self) -> Histograms {
        self.head.histograms()
    }

    pub(crate) fn slot_ms(&self) -> i64 {
        self.slot_ms
    }

    /// The slots with samples, rising.
    pub(crate) fn slots(&self) -> BTreeSet<i64> {
        self.blocks
            .values()
            .chain([&self.head_slots])
            .flatten()
            .copied()
            .collect()
    }

    /// The series of blocks and log with their samples of a slot, between two times, both inclusive.
    pub(crate) fn streams(
        &mut self,
        slot: i64,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<Vec<Box<dyn SeriesStream>>, Error> {
        let here: Vec<&String> = self
            .blocks
            .iter()
            .filter_map(|(name, slots)| slots.contains(&slot).then_some(name))
            .collect();
        // The next slot is often in the same block: then its label texts are there already.
        self.open.retain(|name, _| here.contains(&name));
        let mut streams: Vec<Box<dyn SeriesStream>> = Vec::new();
        for name in here {
            let block = match self.open.get(name) {
                Some(block) => Arc::clone(block),
                None => SourceBlock::open(self.dir.as_ref(), name)?,
            };
            streams.push(Box::new(block.walk(from_ms, to_ms)));
            self.open.insert(name.clone(), block);
        }
        if self.head_slots.contains(&slot) {
            streams.push(Box::new(self.head.walk(from_ms, to_ms)));
        }
        Ok(streams)
    }
}

/// The folders of a data folder that may be blocks: those with a ULID's name.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be listed.
pub fn block_folders(dir: &dyn Dir) -> Result<Vec<String>, Error> {
    let folders = dir.folders("").map_err(io_error("listing", dir.display("")))?;
    Ok(folders.into_iter().filter(|name| is_ulid(name)).collect())
}

/// 26 letters of Crockford's base 32, the first at most 7.
fn is_ulid(name: &str) -> bool {
    let letter = |byte: u8| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&byte);
    name.len() == 26
        && name.bytes().all(letter)
        && name.as_bytes().first().is_some_and(|first| *first <= b'7')
}
