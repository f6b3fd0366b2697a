//! Series of several sources as one: by labels, each once, its samples in order of time.

use model::{Labels, Samples};

use crate::block::compact::SeriesWalk;
use crate::error::{Error, io_error};
use crate::head::Head;
use crate::prometheus::Histograms;

/// Series in rising order of their labels, each with its samples of a time range that the stream was made for.
pub(crate) trait SeriesStream {
    /// The labels of the next series; `None` at the end.
    fn peek(&mut self) -> Result<Option<&Labels>, Error>;

    /// Appends the samples of the next series, times strictly rising, and goes on. There may be none.
    fn take(&mut self, out: &mut Samples) -> Result<(), Error>;

    /// Native histograms that were met and left out so far.
    fn histograms(&self) -> Histograms {
        Histograms::default()
    }
}

/// The series of one of our blocks.
#[derive(Debug)]
pub(crate) struct BlockStream {
    walk: SeriesWalk,
    range: (i64, i64),
}

impl BlockStream {
    pub(crate) fn new(walk: SeriesWalk, range: (i64, i64)) -> Self {
        Self { walk, range }
    }
}

impl SeriesStream for BlockStream {
    fn peek(&mut self) -> Result<Option<&Labels>, Error> {
        Ok(self.walk.peek()?)
    }

    fn take(&mut self, out: &mut Samples) -> Result<(), Error> {
        if let Some((_, series)) = self.walk.next()? {
            series.read(self.range.0, self.range.1, out)?;
        }
        Ok(())
    }
}

/// The series of our head.
#[derive(Debug)]
pub(crate) struct HeadStream {
    head: std::sync::Arc<Head>,
    range: (i64, i64),
    /// Last first.
    left: Vec<(Labels, u32)>,
}

impl HeadStream {
    /// The samples of the range, of which the head answers for those from `head_from_ms` on.
    pub(crate) fn new(head: std::sync::Arc<Head>, head_from_ms: i64, (from_ms, to_ms): (i64, i64)) -> Self {
        let range = (from_ms.max(head_from_ms), to_ms);
        let mut left: Vec<_> = if range.0 <= range.1 {
            let found = head.select(&[], range.0, range.1);
            found
                .into_iter()
                .map(|found| (found.labels, found.series))
                .collect()
        } else {
            Vec::new()
        };
        left.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        Self { head, range, left }
    }
}

impl SeriesStream for HeadStream {
    fn peek(&mut self) -> Result<Option<&Labels>, Error> {
        Ok(self.left.last().map(|(labels, _)| labels))
    }

    fn take(&mut self, out: &mut Samples) -> Result<(), Error> {
        let Some((labels, series)) = self.left.pop() else {
            return Ok(());
        };
        let read = self.head.read(series, self.range.0, self.range.1, out);
        read.map_err(|e| io_error("reading", format!("the head's series {labels}"))(std::io::Error::other(e)))
    }
}

/// Several streams as one; of samples at one time that of the first stream stays.
pub(crate) struct Merge {
    streams: Vec<Box<dyn SeriesStream>>,
    one: Samples,
    both: Samples,
}

impl Merge {
    pub(crate) fn new(streams: Vec<Box<dyn SeriesStream>>) -> Self {
        Self {
            streams,
            one: Samples::default(),
            both: Samples::default(),
        }
    }

    /// Puts the samples of the next series into `out` and gives its labels.
    pub(crate) fn next(&mut self, out: &mut Samples) -> Result<Option<Labels>, Error> {
        let mut lowest: Option<Labels> = None;
        for stream in &mut self.streams {
            if let Some(labels) = stream.peek()?
                && lowest.as_ref().is_none_or(|lowest| labels < lowest)
            {
                lowest = Some(labels.clone());
            }
        }
        out.clear();
        if let Some(labels) = &lowest {
            self.add(labels, out)?;
        }
        Ok(lowest)
    }

    /// Puts the samples of a series into `out`, and passes over all series before it. To be asked in rising order.
    pub(crate) fn of(&mut self, labels: &Labels, out: &mut Samples) -> Result<(), Error> {
        out.clear();
        for stream in &mut self.streams {
            while stream.peek()?.is_some_and(|next| next < labels) {
                self.one.clear();
                stream.take(&mut self.one)?;
            }
        }
        self.add(labels, out)
    }

    fn add(&mut self, labels: &Labels, out: &mut Samples) -> Result<(), Error> {
        for stream in &mut self.streams {
            if stream.peek()? == Some(labels) {
                self.one.clear();
                stream.take(&mut self.one)?;
                union(out, &self.one, &mut self.both);
            }
        }
        Ok(())
    }

    /// Native histograms that were met and left out so far.
    pub(crate) fn histograms(&self) -> Histograms {
        let all = self.streams.iter().map(|stream| stream.histograms());
        all.fold(Histograms::default(), |a, b| Histograms {
            series: a.series + b.series,
            samples: a.samples + b.samples,
        })
    }
}

/// Adds `more` to `out`; at one time the sample of `out` stays. `scratch` is memory.
fn union(out: &mut Samples, more: &Samples, scratch: &mut Samples) {
    let after = more.t_ms.first().zip(out.t_ms.last());
    if after.is_none_or(|(first, last)| first > last) {
        append(out, more);
        return;
    }
    scratch.clear();
    let mut at = 0;
    for (t_ms, value) in out.t_ms.iter().zip(&out.values) {
        while let Some(before) = more.t_ms.get(at).filter(|before| *before <= t_ms) {
            if before < t_ms {
                scratch.push(*before, more.values[at]);
            }
            at += 1;
        }
        scratch.push(*t_ms, *value);
    }
    scratch.t_ms.extend_from_slice(&more.t_ms[at..]);
    scratch.values.extend_from_slice(&more.values[at..]);
    std::mem::swap(out, scratch);
}

/// Puts one behind the other.
pub(crate) fn append(out: &mut Samples, more: &Samples) {
    out.t_ms.extend_from_slice(&more.t_ms);
    out.values.extend_from_slice(&more.values);
}

/// Puts floats in order of time; of those with one time the first stays.
pub(crate) fn sort(samples: &mut Samples) {
    let mut rows: Vec<(i64, f64)> = samples
        .t_ms
        .iter()
        .copied()
        .zip(samples.values.iter().copied())
        .collect();
    rows.sort_by_key(|(t_ms, _)| *t_ms);
    rows.dedup_by_key(|(t_ms, _)| *t_ms);
    samples.clear();
    rows.into_iter()
        .for_each(|(t_ms, value)| samples.push(t_ms, value));
}

/// Takes out of `samples` those whose time is in `known`; both rise.
pub(crate) fn subtract(samples: &mut Samples, known: &Samples) {
    if known.is_empty() {
        return;
    }
    let (mut to, mut at) = (0, 0);
    for from in 0..samples.t_ms.len() {
        let t_ms = samples.t_ms[from];
        while known.t_ms.get(at).is_some_and(|known| *known < t_ms) {
            at += 1;
        }
        if known.t_ms.get(at) != Some(&t_ms) {
            samples.t_ms[to] = t_ms;
            samples.values[to] = samples.values[from];
            to += 1;
        }
    }
    samples.t_ms.truncate(to);
    samples.values.truncate(to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rows: &[(i64, f64)]) -> Samples {
        let mut out = Samples::default();
        rows.iter().for_each(|(t_ms, value)| out.push(*t_ms, *value));
        out
    }

    #[test]
    fn a_union_keeps_the_first_of_each_time() {
        for (first, second, want) in [
            (
                &[(1, 1.0), (3, 1.0)][..],
                &[(4, 2.0)][..],
                &[(1, 1.0), (3, 1.0), (4, 2.0)][..],
            ),
            (
                &[(1, 1.0), (3, 1.0)],
                &[(0, 2.0), (3, 2.0), (9, 2.0)],
                &[(0, 2.0), (1, 1.0), (3, 1.0), (9, 2.0)],
            ),
            (&[], &[(1, 2.0)], &[(1, 2.0)]),
            (&[(5, 1.0)], &[], &[(5, 1.0)]),
        ] {
            let mut out = samples(first);
            union(&mut out, &samples(second), &mut Samples::default());
            assert_eq!(out, samples(want));
        }
    }

    #[test]
    fn what_is_known_is_taken_out() {
        let mut rows = samples(&[(1, 1.0), (2, 1.0), (5, 1.0), (9, 1.0)]);
        subtract(&mut rows, &samples(&[(0, 3.0), (2, 3.0), (9, 3.0), (10, 3.0)]));
        assert_eq!(rows, samples(&[(1, 1.0), (5, 1.0)]));
    }

    #[test]
    fn sorting_keeps_the_first_of_each_time() {
        let mut rows = samples(&[(5, 1.0), (2, 2.0), (5, 3.0), (1, 4.0)]);
        sort(&mut rows);
        assert_eq!(rows, samples(&[(1, 4.0), (2, 2.0), (5, 1.0)]));
    }
}
