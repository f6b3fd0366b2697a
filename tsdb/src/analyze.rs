//! What a store is full of: samples, series and bytes by metric, and the labels that make series.
//!
//! Columns of blocks are not decoded: the index knows how many samples and bytes a series has.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use model::{Cancel, Labels, Samples};

use crate::block::compact::SeriesWalk;
use crate::block::{BlockMeta, BlockSeries};
use crate::error::{Error, io_error};
use crate::maintain::check;
use crate::read_only::DbReadOnly;

/// What one metric takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricUse {
    /// Its name.
    pub metric: String,
    /// Series, each once however many blocks it is in.
    pub series: u64,
    /// Samples in blocks and log.
    pub samples: u64,
    /// Bytes of values in blocks, and of chunks in memory for what is in the log only.
    pub bytes: u64,
}

/// See the module's text. Lists are sorted, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Series, each once.
    pub series: u64,
    /// Samples in blocks and log.
    pub samples: u64,
    /// Bytes of block files.
    pub block_bytes: u64,
    /// Bytes of the log.
    pub wal_bytes: u64,
    /// Series and samples that are in the log only.
    pub head: (u64, u64),
    /// Time of the first and last sample.
    pub range_ms: Option<(i64, i64)>,
    /// The blocks, by time.
    pub blocks: Vec<BlockMeta>,
    /// Every metric.
    pub metrics: Vec<MetricUse>,
    /// Label names with the number of their values.
    pub values_by_label: Vec<(String, u64)>,
    /// `name=value` with the number of series, of those that the most series have; without metric names.
    pub series_by_pair: Vec<(String, u64)>,
}

/// Counts while series go by.
#[derive(Debug, Default)]
struct Counts {
    metrics: HashMap<String, MetricUse, FixedState>,
    pairs: HashMap<String, HashMap<String, u64, FixedState>, FixedState>,
}

impl Counts {
    fn add(&mut self, labels: &Labels, samples: u64, bytes: u64) {
        let metric = labels.metric_name();
        if !self.metrics.contains_key(metric) {
            self.metrics.insert(metric.to_owned(), MetricUse::default());
        }
        if let Some(used) = self.metrics.get_mut(metric) {
            used.series += 1;
            used.samples += samples;
            used.bytes += bytes;
        }
        for (name, value) in labels {
            if !self.pairs.contains_key(name) {
                self.pairs.insert(name.to_owned(), HashMap::default());
            }
            let Some(values) = self.pairs.get_mut(name) else {
                continue;
            };
            match values.get_mut(value) {
                Some(series) => *series += 1,
                None => {
                    values.insert(value.to_owned(), 1);
                }
            }
        }
    }
}

impl DbReadOnly {
    /// Counts everything; of label pairs the `limit` largest are given. Memory is the label texts, once.
    ///
    /// # Errors
    /// [`Error::Block`] for a damaged index, [`Error::Cancelled`].
    pub fn analyze(&self, limit: usize, cancel: &Cancel) -> Result<Analysis, Error> {
        let mut analysis = Analysis {
            block_bytes: self.blocks().map(|meta| meta.bytes).sum(),
            wal_bytes: self.wal_bytes,
            range_ms: self.time_range(),
            blocks: self.blocks().cloned().collect(),
            ..Analysis::default()
        };
        let mut walks: Vec<SeriesWalk> = self.blocks.iter().map(SeriesWalk::new).collect();
        let found = self.head.select(&[], self.head_from_ms, i64::MAX);
        let mut head: Vec<_> = found
            .into_iter()
            .map(|found| (found.labels, found.series))
            .collect();
        head.sort_unstable_by(|a, b| b.0.cmp(&a.0));
        let mut counts = Counts::default();
        let mut read = Samples::default();
        loop {
            check(cancel)?;
            let mut lowest = head.last().map(|(labels, _)| labels.clone());
            for walk in &mut walks {
                if let Some(labels) = walk.peek()?
                    && lowest.as_ref().is_none_or(|lowest| labels < lowest)
                {
                    lowest = Some(labels.clone());
                }
            }
            let Some(labels) = lowest else { break };
            let (mut samples, mut bytes) = (0, 0);
            for walk in &mut walks {
                if walk.peek()? == Some(&labels) {
                    let series = walk.next()?.map(|(_, series)| series);
                    samples += series.as_ref().map_or(0, BlockSeries::samples_len);
                    bytes += series.as_ref().map_or(0, BlockSeries::value_bytes);
                }
            }
            if let Some((_, series)) = head.pop_if(|(next, _)| *next == labels) {
                // A chunk of the log may begin with samples that are in a block.
                read.clear();
                let range = (self.head_from_ms, i64::MAX);
                let decoded = self.head.read(series, range.0, range.1, &mut read);
                decoded.map_err(|e| {
                    io_error("reading", format!("the series {labels}"))(std::io::Error::other(e))
                })?;
                samples += read.len() as u64;
                bytes += self.head.bytes_of(series);
                analysis.head.0 += u64::from(!read.is_empty());
                analysis.head.1 += read.len() as u64;
            }
            analysis.series += 1;
            analysis.samples += samples;
            counts.add(&labels, samples, bytes);
        }
        analysis.fill(counts, limit);
        Ok(analysis)
    }
}

impl Analysis {
    fn fill(&mut self, counts: Counts, limit: usize) {
        self.metrics = counts
            .metrics
            .into_iter()
            .map(|(metric, used)| MetricUse { metric, ..used })
            .collect();
        self.metrics
            .sort_unstable_by(|a, b| b.samples.cmp(&a.samples).then_with(|| a.metric.cmp(&b.metric)));
        for (name, values) in counts.pairs {
            self.values_by_label.push((name.clone(), values.len() as u64));
            if name != model::METRIC_NAME {
                let pairs = values
                    .into_iter()
                    .map(|(value, series)| (format!("{name}={value}"), series));
                self.series_by_pair.extend(pairs);
                largest(&mut self.series_by_pair, limit);
            }
        }
        largest(&mut self.values_by_label, usize::MAX);
    }
}

fn largest(list: &mut Vec<(String, u64)>, limit: usize) {
    list.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list.truncate(limit);
}
