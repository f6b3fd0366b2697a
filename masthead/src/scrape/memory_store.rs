//! A store in memory for the tests of this module: keeps everything, forgets references on demand.

use std::collections::BTreeMap;
use std::sync::Mutex;

use model::{Batch, Labels, SeriesKey, SeriesRef, is_stale};

use crate::ingest::{CommitError, CommitOutcome, RejectKind, Sink};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore(pub(crate) Mutex<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    names: Vec<String>,
    pub(crate) data: BTreeMap<String, Vec<(i64, f64)>>,
    /// References below this number are forgotten.
    pub(crate) first_ref: u64,
    /// Rows that came with labels.
    pub(crate) label_rows: usize,
    pub(crate) failing: bool,
}

impl MemoryStore {
    /// `series: t=value t=value`, a staleness marker as `stale`, one line a series; durations are printed as `_`.
    pub(crate) fn dump(&self) -> String {
        let state = self.0.lock().unwrap();
        let mut out = String::new();
        for (name, points) in &state.data {
            out.push_str(name);
            out.push(':');
            for (t_ms, value) in points {
                let value = if is_stale(*value) {
                    "stale".to_owned()
                } else if name.starts_with("scrape_duration_seconds") {
                    "_".to_owned()
                } else {
                    value.to_string()
                };
                out.push_str(&format!(" {t_ms}={value}"));
            }
            out.push('\n');
        }
        out
    }

    /// The lines of [`MemoryStore::dump`] that are not about the scrape itself.
    pub(crate) fn dump_samples(&self) -> String {
        self.dump()
            .lines()
            .filter(|line| !line.starts_with("scrape_"))
            .fold(String::new(), |out, line| out + line + "\n")
    }

    /// The newest value of a series, by its printed name.
    pub(crate) fn last(&self, name: &str) -> Option<f64> {
        self.0
            .lock()
            .unwrap()
            .data
            .get(name)
            .and_then(|points| points.last())
            .map(|(_, value)| *value)
    }
}

impl Sink for MemoryStore {
    fn commit(&self, batch: &Batch) -> Result<CommitOutcome, CommitError> {
        let state = &mut *self.0.lock().unwrap();
        if state.failing {
            return Err(CommitError::Failed("the disk is full".into()));
        }
        let first = state.first_ref;
        if batch
            .rows()
            .any(|row| matches!(row.key, SeriesKey::Ref(r) if r.0 < first))
        {
            return Err(CommitError::UnknownRef);
        }
        let mut outcome = CommitOutcome::default();
        for (number, row) in batch.rows().enumerate() {
            let at = match row.key {
                SeriesKey::Ref(series) => usize::try_from(series.0 - first).unwrap(),
                SeriesKey::Labels(encoded) => {
                    state.label_rows += 1;
                    let name = Labels::from_encoded(encoded).unwrap().to_string();
                    state.names.iter().position(|n| *n == name).unwrap_or_else(|| {
                        state.names.push(name);
                        state.names.len() - 1
                    })
                }
            };
            outcome.refs.push(SeriesRef(at as u64 + first));
            let data = state.data.entry(state.names[at].clone()).or_default();
            for point in row.points {
                if data.last().is_some_and(|(t, _)| *t >= point.t_ms) {
                    outcome.rejected.push((
                        number,
                        point.t_ms,
                        "out of order".into(),
                        RejectKind::OutOfOrder,
                    ));
                } else {
                    data.push((point.t_ms, point.value));
                    outcome.appended += 1;
                }
            }
        }
        Ok(outcome)
    }
}
