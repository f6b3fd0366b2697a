//! Checking a whole block: every checksum, every sample, and that index and columns agree.

use model::{Labels, Samples};

use super::compact::SeriesWalk;
use super::footer::Section;
use super::index::{ListPlace, decode_list};
use super::reader::Block;
use super::{BlockError, BlockMeta};
use crate::dir::Dir;

/// Reads everything in `folder/name` and checks all checksums and what the parts say about each other.
///
/// # Errors
/// The first thing that does not fit, as [`BlockError::Corrupt`]; [`BlockError::Io`].
pub fn verify(dir: &dyn Dir, folder: &str, name: &str) -> Result<BlockMeta, BlockError> {
    verify_open(&Block::open(dir, folder, name)?)
}

/// As [`verify`]; opening has checked the index sections.
pub(super) fn verify_open(block: &std::sync::Arc<Block>) -> Result<BlockMeta, BlockError> {
    block.check_section(block.footer.section(Section::Columns))?;
    let footer = &block.footer;
    let index = footer.section(Section::Series).offset;
    let (mut series, mut rows, mut pairs) = (0u64, 0u64, 0u64);
    let (mut min_ms, mut max_ms) = (i64::MAX, i64::MIN);
    let mut last: Option<Labels> = None;
    let mut samples = Samples::default();
    let mut walk = SeriesWalk::new(block);
    while let Some((labels, one)) = walk.next()? {
        samples.clear();
        one.read(i64::MIN, i64::MAX, &mut samples)?;
        if last.as_ref().is_some_and(|last| *last >= labels) {
            return Err(block.corrupt(index, &format!("series {labels} is out of order")));
        }
        if !samples.t_ms.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(block.corrupt(index, &format!("the times of series {labels} do not rise")));
        }
        series += 1;
        rows += samples.len() as u64;
        pairs += labels.len() as u64;
        min_ms = min_ms.min(one.min_ms());
        max_ms = max_ms.max(one.max_ms());
        last = Some(labels);
    }
    let counted = (series, rows, min_ms, max_ms);
    if counted != (footer.series.count, footer.samples, footer.min_ms, footer.max_ms) {
        return Err(block.corrupt(index, "the footer does not describe what the block holds"));
    }
    if pairs != verify_pairs(block)? {
        return Err(block.corrupt(index, "the lists of series do not hold what the series say"));
    }
    Ok(block.meta().clone())
}

/// Checks order and lists of all pairs; gives how many entries the lists have.
fn verify_pairs(block: &Block) -> Result<u64, BlockError> {
    let section = block.footer.section(Section::Pairs);
    let mut entries = 0u64;
    let mut last: Option<(String, String)> = None;
    let mut list = Vec::new();
    for page in 0..block.footer.pairs.pages.len() {
        block.pairs_on_page(page, |pair| {
            let key = (pair.name.to_owned(), pair.value.to_owned());
            if last.as_ref().is_some_and(|last| *last >= key) {
                return Err(block.corrupt(section.offset, "label pairs are out of order"));
            }
            last = Some(key);
            list.clear();
            match pair.list {
                ListPlace::Inline(bytes) => {
                    decode_list(bytes, pair.count, block.footer.series.count, &mut list)
                        .map_err(block.damaged(section.offset))?;
                }
                ListPlace::Elsewhere { offset, len, crc } => {
                    block.far_list(offset, len, crc, pair.count, &mut list)?;
                }
            }
            entries += list.len() as u64;
            Ok(true)
        })?;
    }
    Ok(entries)
}
