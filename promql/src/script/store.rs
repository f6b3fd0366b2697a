//! Series in memory, for scripts and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::{
    Cancel, CounterReset, Histogram, Labels, Matcher, Querier, QueryError, Samples, SelectHints, SeriesReader,
};

use super::ScriptStore;
use super::histogram::buckets;
use crate::engine::Value;

/// Series in memory, sorted by labels.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    series: BTreeMap<Labels, Arc<Samples>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn matching<'a>(
        &'a self,
        matchers: &'a [Matcher],
    ) -> impl Iterator<Item = (&'a Labels, &'a Arc<Samples>)> {
        self.series.iter().filter(move |(labels, _)| {
            // A label that is not there has the empty value.
            matchers
                .iter()
                .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
        })
    }
}

impl ScriptStore for MemoryStore {
    fn clear(&mut self) {
        self.series.clear();
    }

    fn load(&mut self, labels: &Labels, samples: &[(i64, Value)]) -> Result<(), QueryError> {
        let old = self.series.remove(labels).unwrap_or_default();
        let mut all: BTreeMap<i64, Value> = BTreeMap::new();
        for (row, t) in old.t_ms.iter().enumerate() {
            let value = match old.histogram_at(row) {
                Some(histogram) => Value::Histogram(Arc::clone(histogram)),
                None => Value::Float(old.values[row]),
            };
            all.insert(*t, value);
        }
        all.extend(samples.iter().cloned());
        self.series.insert(labels.clone(), Arc::new(columns(all)));
        Ok(())
    }

    fn querier(&self) -> &dyn Querier {
        self
    }
}

/// Samples as columns. A store of chunks knows of a counter histogram that follows another one in its chunk
/// that there was no reset between them, and says so when it is read; the same is noted here.
fn columns(samples: BTreeMap<i64, Value>) -> Samples {
    let mut columns = Samples::default();
    let mut before: Option<Arc<Histogram>> = None;
    for (t, value) in samples {
        match value {
            Value::Float(value) => {
                columns.push(t, value);
                before = None;
            }
            Value::Histogram(histogram) => {
                let mut known = Histogram::clone(&histogram);
                if !matches!(known.counter_reset, CounterReset::Gauge | CounterReset::Reset) {
                    let goes_on = before
                        .as_ref()
                        .is_some_and(|before| continues(before, &histogram));
                    known.counter_reset = if goes_on {
                        CounterReset::NotReset
                    } else {
                        CounterReset::Unknown
                    };
                }
                let known = Arc::new(known);
                columns.push_histogram(t, Arc::clone(&known));
                before = Some(known);
            }
        }
    }
    columns
}

/// Would a store put this histogram into the chunk of the one before?
fn continues(before: &Histogram, histogram: &Histogram) -> bool {
    let grows = |spans: fn(&Histogram) -> (&[model::Span], &[f64])| {
        let (old, new) = (spans(before), spans(histogram));
        let new = buckets(new.0, new.1);
        buckets(old.0, old.1)
            .iter()
            .all(|(index, count)| new.get(index).is_some_and(|now| now >= count))
    };
    before.counter_reset != CounterReset::Gauge
        && before.bounds == histogram.bounds
        && before.zero_threshold.to_bits() == histogram.zero_threshold.to_bits()
        && histogram.count >= before.count
        && histogram.zero_count >= before.zero_count
        && grows(|h| (&h.positive_spans, &h.positive_buckets))
        && grows(|h| (&h.negative_spans, &h.negative_buckets))
}

struct Reader {
    labels: Labels,
    samples: Arc<Samples>,
}

impl SeriesReader for Reader {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), QueryError> {
        let from = self.samples.t_ms.partition_point(|t| *t < start_ms);
        let to = self.samples.t_ms.partition_point(|t| *t <= end_ms);
        for row in from..to {
            let t = self.samples.t_ms[row];
            match self.samples.histogram_at(row) {
                Some(histogram) => out.push_histogram(t, Arc::clone(histogram)),
                None => out.push(t, self.samples.values[row]),
            }
        }
        Ok(())
    }
}

fn check(cancel: &Cancel) -> Result<(), QueryError> {
    cancel
        .reason()
        .map_or(Ok(()), |reason| Err(QueryError::Cancelled(reason)))
}

impl Querier for MemoryStore {
    fn select(
        &self,
        matchers: &[Matcher],
        _: &SelectHints,
        cancel: &Cancel,
    ) -> Result<Vec<Box<dyn SeriesReader>>, QueryError> {
        check(cancel)?;
        let readers = self.matching(matchers).map(|(labels, samples)| {
            let reader: Box<dyn SeriesReader> = Box::new(Reader {
                labels: labels.clone(),
                samples: Arc::clone(samples),
            });
            reader
        });
        Ok(readers.collect())
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        _: i64,
        _: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, QueryError> {
        check(cancel)?;
        let names: BTreeSet<&str> = self
            .matching(matchers)
            .flat_map(|(labels, _)| labels.iter().map(|(name, _)| name))
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _: i64,
        _: i64,
        cancel: &Cancel,
    ) -> Result<Vec<String>, QueryError> {
        check(cancel)?;
        let values: BTreeSet<&str> = self
            .matching(matchers)
            .filter_map(|(labels, _)| labels.get(name))
            .collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}
