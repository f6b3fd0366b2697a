//! Making one block of several: series by series, so that only the samples of one are in memory.

use std::sync::Arc;

use model::{Cancel, Labels, Samples};

use super::reader::Block;
use super::select::Lookup;
use super::series::{BlockSeries, TimesCache};
use super::writer::BlockWriter;
use super::{BlockError, BlockMeta, go_on};
use crate::dir::Dir;

/// The series of a block in their order, a page of the index at a time.
#[derive(Debug)]
pub(crate) struct SeriesWalk {
    block: Arc<Block>,
    page: usize,
    lookup: Lookup,
    cache: Arc<TimesCache>,
    /// What is left of the page, last first.
    ready: Vec<(Labels, BlockSeries)>,
}

impl SeriesWalk {
    pub(crate) fn new(block: &Arc<Block>) -> Self {
        Self {
            block: Arc::clone(block),
            page: 0,
            lookup: Lookup::default(),
            cache: Arc::new(TimesCache::default()),
            ready: Vec::new(),
        }
    }

    /// The labels of the next series.
    pub(crate) fn peek(&mut self) -> Result<Option<&Labels>, BlockError> {
        while self.ready.is_empty() && self.page < self.block.footer.series.pages.len() {
            let all = (i64::MIN, i64::MAX);
            self.lookup.trim();
            self.block.series_on_page(
                self.page,
                None,
                all,
                &mut self.lookup,
                &self.cache,
                &mut self.ready,
            )?;
            self.ready.reverse();
            self.page += 1;
        }
        Ok(self.ready.last().map(|(labels, _)| labels))
    }

    pub(crate) fn next(&mut self) -> Result<Option<(Labels, BlockSeries)>, BlockError> {
        self.peek()?;
        Ok(self.ready.pop())
    }
}

/// Merges blocks into a new one, `folder/name`. Of samples of one series at one time the one from the later input stays.
/// The output's level is one more than the highest of the inputs, its sources are their names. The inputs are left
/// as they are: delete them after this returned.
///
/// # Errors
/// [`BlockError::Corrupt`] and [`BlockError::Io`] of an input or the output, [`BlockError::Cancelled`],
/// [`BlockError::Empty`] without inputs. The output is not there then.
pub fn compact(
    dir: &Arc<dyn Dir>,
    folder: &str,
    inputs: &[Arc<Block>],
    name: &str,
    cancel: &Cancel,
) -> Result<BlockMeta, BlockError> {
    let level = inputs
        .iter()
        .map(|block| block.meta().level)
        .max()
        .unwrap_or(0)
        .saturating_add(1);
    let mut writer = BlockWriter::create(Arc::clone(dir), folder, name, level)?;
    writer.set_sources(inputs.iter().map(|block| block.meta().name.clone()).collect());
    let mut walks: Vec<SeriesWalk> = inputs.iter().map(SeriesWalk::new).collect();
    let (mut samples, mut more, mut merged) = (Samples::default(), Samples::default(), Samples::default());
    loop {
        go_on(cancel)?;
        let mut lowest: Option<Labels> = None;
        for walk in &mut walks {
            if let Some(labels) = walk.peek()?
                && lowest.as_ref().is_none_or(|l| labels < l)
            {
                lowest = Some(labels.clone());
            }
        }
        let Some(labels) = lowest else { break };
        samples.clear();
        for walk in &mut walks {
            if walk.peek()? != Some(&labels) {
                continue;
            }
            let Some((_, series)) = walk.next()? else { continue };
            if samples.t_ms.last().is_none_or(|last| *last < series.min_ms()) {
                series.read(i64::MIN, i64::MAX, &mut samples)?;
            } else {
                more.clear();
                series.read(i64::MIN, i64::MAX, &mut more)?;
                merge(&samples, &more, &mut merged);
                std::mem::swap(&mut samples, &mut merged);
            }
        }
        writer.add(&labels, &samples)?;
    }
    writer.finish()
}

/// Both in order of time; at one time the sample of `second` stays.
fn merge(first: &Samples, second: &Samples, out: &mut Samples) {
    out.clear();
    let mut at = 0;
    for (row, &time) in second.t_ms.iter().enumerate() {
        while let Some(&before) = first.t_ms.get(at).filter(|t| **t <= time) {
            if before < time {
                out.push(before, first.values[at]);
            }
            at += 1;
        }
        out.push(time, second.values[row]);
    }
    out.t_ms.extend_from_slice(&first.t_ms[at..]);
    out.values.extend_from_slice(&first.values[at..]);
}
