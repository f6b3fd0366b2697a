//! Reading head and blocks as one: each sample exactly once, also while a cut or a compaction goes on.
//!
//! A [`View`] says which blocks there are and from what time on the head answers; it changes in one step. A query holds
//! its view, and chunks that a cut has put into a block leave the head only when no view from before that cut is
//! held any more. So a reader can read when it likes, and copies nothing beforehand.

use std::sync::Arc;

use model::{Cancel, Labels, Matcher, Querier, QueryError, Samples, SelectHints, SeriesReader};

use crate::block::{Block, BlockSeries};
use crate::db::Db;
use crate::head::Head;

/// What is stored where, at one moment.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// Sorted by time.
    pub(crate) blocks: Vec<Arc<Block>>,
    /// Samples before this are in blocks, samples from here on in the head.
    pub(crate) head_from_ms: i64,
}

/// One part of a series.
enum Part {
    Block(BlockSeries),
    Head(u32),
}

struct Reader {
    labels: Labels,
    /// In order of time, as the blocks are.
    blocks: Vec<BlockSeries>,
    head: Option<u32>,
    store: Arc<Store>,
}

/// What all readers of a selection share.
struct Store {
    head: Arc<Head>,
    view: Arc<View>,
}

pub(crate) fn storage_error(what: &str, reason: &impl ToString) -> QueryError {
    QueryError::Storage {
        what: what.to_owned(),
        reason: reason.to_string(),
    }
}

fn check(cancel: &Cancel) -> Result<(), QueryError> {
    cancel
        .reason()
        .map_or(Ok(()), |reason| Err(QueryError::Cancelled(reason)))
}

impl SeriesReader for Reader {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), QueryError> {
        let base = out.len();
        let mut sorted = true;
        for block in &self.blocks {
            let before = out.len();
            block.read(start_ms, end_ms, out)?;
            sorted &= goes_on(out, base, before);
        }
        if let Some(series) = self.head {
            let before = out.len();
            let from_ms = start_ms.max(self.store.view.head_from_ms);
            self.store
                .head
                .read(series, from_ms, end_ms, out)
                .map_err(|e| storage_error("the head", &e))?;
            sorted &= goes_on(out, base, before);
        }
        if !sorted {
            merge(out, base);
        }
        Ok(())
    }
}

/// Do the rows from `before` on lie after those from `base` on?
fn goes_on(out: &Samples, base: usize, before: usize) -> bool {
    before == base
        || out
            .t_ms
            .get(before)
            .is_none_or(|first| *first > out.t_ms[before - 1])
}

/// Puts rows from `base` on in order and keeps the first of those with one time. Only overlapping blocks need it.
fn merge(out: &mut Samples, base: usize) {
    let mut rows: Vec<_> = (base..out.len()).map(|row| (out.t_ms[row], row)).collect();
    rows.sort_by_key(|(t_ms, _)| *t_ms);
    rows.dedup_by_key(|(t_ms, _)| *t_ms);
    let picked: Vec<_> = rows
        .iter()
        .map(|(t_ms, row)| (*t_ms, out.values[*row], out.histogram_at(*row).cloned()))
        .collect();
    out.t_ms.truncate(base);
    out.values.truncate(base);
    out.histograms.retain(|(row, _)| *row < base);
    for (t_ms, value, histogram) in picked {
        match histogram {
            None => out.push(t_ms, value),
            Some(histogram) => out.push_histogram(t_ms, histogram),
        }
    }
}

impl Db {
    /// The blocks of a view that may hold samples of the range.
    fn blocks_within(view: &View, start_ms: i64, end_ms: i64) -> impl Iterator<Item = &Arc<Block>> {
        view.blocks
            .iter()
            .filter(move |block| block.meta().min_ms <= end_ms && block.meta().max_ms >= start_ms)
    }

    fn parts(
        &self,
        view: &View,
        matchers: &[Matcher],
        hints: &SelectHints,
        cancel: &Cancel,
    ) -> Result<Vec<(Labels, Part)>, QueryError> {
        let (start_ms, end_ms) = (hints.start_ms, hints.end_ms);
        let mut parts = Vec::new();
        for block in Self::blocks_within(view, start_ms, end_ms) {
            check(cancel)?;
            let found = block.select(matchers, start_ms, end_ms, cancel)?;
            parts.extend(
                found
                    .into_iter()
                    .map(|(labels, series)| (labels, Part::Block(series))),
            );
        }
        check(cancel)?;
        if end_ms >= view.head_from_ms {
            let found = self
                .head()
                .select(matchers, start_ms.max(view.head_from_ms), end_ms);
            let sorted_from = parts.len();
            parts.extend(
                found
                    .into_iter()
                    .map(|found| (found.labels, Part::Head(found.series))),
            );
            if let Some(head) = parts.get_mut(sorted_from..) {
                head.sort_unstable_by(|a, b| a.0.cmp(&b.0));
            }
        }
        // A stable sort takes sorted runs as they are, and keeps the parts of a series in order of time.
        parts.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(parts)
    }
}

impl Querier for Db {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
        cancel: &Cancel,
    ) -> Result<Vec<Box<dyn SeriesReader>>, QueryError> {
        let view = self.view();
        let parts = self.parts(&view, matchers, hints, cancel)?;
        let store = Arc::new(Store {
            head: Arc::clone(self.head()),
            view,
        });
        let mut out: Vec<Box<dyn SeriesReader>> = Vec::new();
        let mut parts = parts.into_iter().peekable();
        while let Some((labels, part)) = parts.next() {
            if hints.limit > 0 && out.len() == hints.limit {
                break;
            }
            if out.len() & 1023 == 0 {
                check(cancel)?;
            }
            let mut reader = Reader {
                labels,
                blocks: Vec::new(),
                head: None,
                store: Arc::clone(&store),
            };
            let mut next = Some(part);
            while let Some(part) = next {
                match part {
                    Part::Block(series) => reader.blocks.push(series),
                    Part::Head(series) => reader.head = Some(series),
                }
                next = parts
                    .next_if(|(labels, _)| *labels == reader.labels)
                    .map(|(_, part)| part);
            }
            out.push(Box::new(reader));
        }
        Ok(out)
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, QueryError> {
        let view = self.view();
        let mut names: Vec<String> = Vec::new();
        for block in Self::blocks_within(&view, start_ms, end_ms) {
            check(cancel)?;
            let found = block.label_names(matchers, start_ms, end_ms, cancel);
            names.extend(found?);
        }
        check(cancel)?;
        if self.head_within(&view, start_ms, end_ms) {
            if matchers.is_empty() {
                names.extend(self.head().postings().names().map(str::to_owned));
            } else {
                let found = self
                    .head()
                    .select(matchers, start_ms.max(view.head_from_ms), end_ms);
                let mut seen = std::collections::BTreeSet::new();
                for series in &found {
                    for (name, _) in &series.labels {
                        if !seen.contains(name) {
                            seen.insert(name.to_owned());
                        }
                    }
                }
                names.extend(seen);
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        start_ms: i64,
        end_ms: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, QueryError> {
        let view = self.view();
        let mut values: Vec<String> = Vec::new();
        for block in Self::blocks_within(&view, start_ms, end_ms) {
            check(cancel)?;
            let found = block.label_values(name, matchers, start_ms, end_ms, cancel);
            values.extend(found?);
        }
        check(cancel)?;
        if self.head_within(&view, start_ms, end_ms) {
            if matchers.is_empty() {
                values.extend(
                    self.head()
                        .postings()
                        .values(name)
                        .map(|(value, _)| value.to_owned()),
                );
            } else {
                let found = self
                    .head()
                    .select(matchers, start_ms.max(view.head_from_ms), end_ms);
                values.extend(
                    found
                        .iter()
                        .filter_map(|series| series.labels.get(name))
                        .map(str::to_owned),
                );
            }
        }
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }
}

impl Db {
    fn head_within(&self, view: &View, start_ms: i64, end_ms: i64) -> bool {
        end_ms >= view.head_from_ms.max(self.head().min_ms()) && start_ms <= self.head().max_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_parts_merge_and_the_first_wins() {
        let mut out = Samples::default();
        for (t_ms, value) in [(1, 0.0), (5, 1.0), (9, 2.0), (4, 3.0), (5, 4.0), (12, 5.0)] {
            out.push(t_ms, value);
        }
        merge(&mut out, 1);
        assert_eq!(out.t_ms, [1, 4, 5, 9, 12]);
        assert_eq!(out.values, [0.0, 3.0, 1.0, 2.0, 5.0]);
    }
}
