//! Which blocks go, and which are merged: pure functions over what the blocks say about themselves.

use crate::block::BlockMeta;

/// The blocks to delete, oldest first, as indexes into `metas` (sorted by time).
///
/// Age counts from `newest_ms`, the time of the newest sample and not the clock: a clock that jumps must not cost the history.
/// `other_bytes` is what else lies in the data folder (the log). A limit of 0 is none.
pub(crate) fn expired(
    metas: &[BlockMeta],
    newest_ms: i64,
    retention_ms: i64,
    retention_bytes: u64,
    other_bytes: u64,
) -> Vec<usize> {
    let oldest_ms = if retention_ms > 0 {
        newest_ms.saturating_sub(retention_ms)
    } else {
        i64::MIN
    };
    let mut bytes = other_bytes + metas.iter().map(|meta| meta.bytes).sum::<u64>();
    let mut gone = Vec::new();
    for (index, meta) in metas.iter().enumerate() {
        let too_large = retention_bytes > 0 && bytes > retention_bytes;
        if meta.max_ms < oldest_ms || too_large {
            gone.push(index);
            bytes -= meta.bytes;
        }
    }
    gone
}

/// The longest block that compaction makes: a tenth of the retention, so that deleting whole blocks stays close to it, and at most
/// 31 days, as in Prometheus.
fn longest_ms(range_ms: i64, retention_ms: i64) -> i64 {
    const MONTH_MS: i64 = 31 * 24 * 3_600_000;
    let tenth = if retention_ms > 0 {
        retention_ms / 10
    } else {
        MONTH_MS
    };
    tenth.min(MONTH_MS).max(range_ms)
}

/// The next blocks to merge, as a range of indexes into `metas` (sorted by time); `None` when all is well.
///
/// Overlapping blocks come first. Then, for ranges of 1, 3, 9, ... times `range_ms`: the oldest aligned range that holds two or
/// more blocks and is over (`head_from_ms` lies behind it).
pub(crate) fn mergeable(
    metas: &[BlockMeta],
    head_from_ms: i64,
    range_ms: i64,
    retention_ms: i64,
) -> Option<std::ops::Range<usize>> {
    overlapping(metas).or_else(|| {
        let longest = longest_ms(range_ms, retention_ms);
        let mut range = range_ms.max(1);
        while range <= longest {
            if let Some(found) = within(metas, head_from_ms, range) {
                return Some(found);
            }
            range = range.checked_mul(3)?;
        }
        None
    })
}

fn overlapping(metas: &[BlockMeta]) -> Option<std::ops::Range<usize>> {
    let mut start = 0;
    let mut max_ms = metas.first()?.max_ms;
    for (index, meta) in metas.iter().enumerate().skip(1) {
        if meta.min_ms > max_ms {
            if index - start > 1 {
                return Some(start..index);
            }
            start = index;
        }
        max_ms = max_ms.max(meta.max_ms);
    }
    (metas.len() - start > 1).then_some(start..metas.len())
}

fn within(metas: &[BlockMeta], head_from_ms: i64, range: i64) -> Option<std::ops::Range<usize>> {
    let slot = |meta: &BlockMeta| {
        let slot = meta.min_ms.div_euclid(range);
        let over = slot
            .checked_add(1)
            .and_then(|next| next.checked_mul(range))
            .is_some_and(|end| end <= head_from_ms);
        (over && meta.max_ms.div_euclid(range) == slot).then_some(slot)
    };
    let mut start = 0;
    while start < metas.len() {
        let first = slot(&metas[start]);
        let len = metas[start..]
            .iter()
            .take_while(|meta| first.is_some() && slot(meta) == first)
            .count();
        if len > 1 {
            return Some(start..start + len);
        }
        start += len.max(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metas(spans: &[(i64, i64)]) -> Vec<BlockMeta> {
        let meta = |(i, (min_ms, max_ms)): (usize, &(i64, i64))| BlockMeta {
            name: i.to_string(),
            min_ms: *min_ms,
            max_ms: *max_ms,
            series: 1,
            samples: 1,
            bytes: 100,
            level: 1,
            sources: Vec::new(),
        };
        spans.iter().enumerate().map(meta).collect()
    }

    #[test]
    fn blocks_expire_by_age_and_by_size_oldest_first() {
        let blocks = metas(&[(0, 9), (10, 19), (20, 29)]);
        for (newest, retention_ms, retention_bytes, other, want) in [
            (29, 0, 0, 0, &[][..]),
            (29, 20, 0, 0, &[]),
            (30, 20, 0, 0, &[0]),
            (1000, 20, 0, 0, &[0, 1, 2]),
            (29, 0, 300, 0, &[]),
            (29, 0, 300, 1, &[0]),
            (29, 0, 150, 0, &[0, 1]),
            (29, 0, 50, 60, &[0, 1, 2]),
        ] {
            assert_eq!(
                expired(&blocks, newest, retention_ms, retention_bytes, other),
                want
            );
        }
    }

    #[test]
    fn merging_follows_aligned_ranges_and_leaves_the_last_alone() {
        for (spans, head_from, retention, want) in [
            // Ranges of 10, then 30, then 90.
            (&[(0, 9), (10, 19), (20, 29)][..], 30, 0, Some(0..3)),
            (&[(0, 9), (10, 19), (20, 29)], 29, 0, None),
            (&[(0, 9), (20, 29)], 30, 0, Some(0..2)),
            (&[(0, 29), (30, 39), (40, 49)], 50, 0, None),
            (&[(0, 29), (30, 39), (40, 49)], 60, 0, Some(1..3)),
            (&[(0, 29), (30, 59), (60, 89)], 90, 0, Some(0..3)),
            (&[(0, 29), (30, 59), (60, 89)], 90, 300, None),
            (&[(0, 4), (5, 9)], 10, 0, Some(0..2)),
            (&[(0, 9), (30, 45), (40, 49)], 50, 0, Some(1..3)),
            (&[(0, 100), (5, 9), (20, 30)], 0, 0, Some(0..3)),
            (&[(-30, -21), (-20, -11), (-10, -1)], 0, 0, Some(0..3)),
            (&[], 0, 0, None),
        ] {
            assert_eq!(
                mergeable(&metas(spans), head_from, 10, retention),
                want,
                "{spans:?} {head_from} {retention}"
            );
        }
    }
}
