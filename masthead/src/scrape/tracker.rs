//! From the samples of one source to the store, round by round: labels, limits, staleness, and the series about the scrape itself.
//!
//! Scrapes of targets and the collectors inside this process share this code, so `up`, `scrape_duration_seconds` and
//! their like mean the same for both. One round is one commit:
//!
//! ```text
//!   | samples, by reference when the source's text was seen before | staleness markers | up, scrape_* |
//! ```
//!
//! Invariants: all samples of a round have one timestamp, but for those whose target gave one; a series that was there in the round
//! before and is not any more gets a staleness marker; a failed round stores none of its samples and ends all series. The
//! cache holds what the last good round brought, nothing older.

use std::borrow::Cow;
use std::time::Instant;

use model::{Batch, Family, Labels, LabelsBuilder, METRIC_NAME, MetricValue, STALE_NAN, SeriesRef};

use super::cache::{Key, SeriesCache};
use crate::clock;
use crate::config::Limits;
use crate::ingest::{CommitError, CommitOutcome, Sink};

/// The series about a scrape, in the order of [`Report::values`].
pub const REPORT_NAMES: [&str; 5] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
];

/// Settings of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The source's own labels win over the target's; else they become `exported_...`.
    pub honor_labels: bool,
    /// Timestamps of the source are used; else ours.
    pub honor_timestamps: bool,
    /// Series with timestamps of the source get staleness markers too.
    pub track_timestamps_staleness: bool,
    /// A label of the target that wins even where the source's labels are honored.
    pub fixed_label: Option<&'static str>,
    /// What a round may bring; the body's size is not looked at here.
    pub limits: Limits,
}

impl Default for Rules {
    /// Prometheus' defaults.
    fn default() -> Self {
        Self {
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            fixed_label: None,
            limits: Limits::default(),
        }
    }
}

/// What became of a round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The source was read whole and within its limits.
    pub up: bool,
    /// Why not.
    pub error: Option<String>,
    /// From the start of the round to the commit.
    pub duration_s: f64,
    /// Samples the source gave.
    pub scraped: usize,
    /// Of these, within limits.
    pub added: usize,
    /// Series not seen in the round before.
    pub series_added: usize,
    /// Samples that the store refused, and the first reason.
    pub rejected: usize,
    /// The first refused sample's reason.
    pub first_rejected: Option<String>,
    /// The store could not write: nothing of the round was kept.
    pub store_error: Option<String>,
}

impl Report {
    /// The values of [`REPORT_NAMES`].
    #[must_use]
    pub fn values(&self) -> [f64; 5] {
        #[expect(clippy::cast_precision_loss, reason = "no scrape has 2^53 samples")]
        let count = |n: usize| n as f64;
        [
            f64::from(u8::from(self.up)),
            self.duration_s,
            count(self.scraped),
            count(self.added),
            count(self.series_added),
        ]
    }
}

/// A series of the batch whose reference the commit will tell: its row, its place in the cache.
#[derive(Debug)]
struct New {
    row: usize,
    at: usize,
}

/// The newest timestamp that the source gave, and the round in which it did: the two clocks may differ.
#[derive(Debug, Clone, Copy)]
struct OwnTime {
    newest_ms: i64,
    round_ms: i64,
}

impl OwnTime {
    /// A time of ours by the source's clock, so that a marker stands behind the source's samples and before those that it gives
    /// when it is back.
    fn of_source(self, t_ms: i64) -> i64 {
        self.newest_ms
            .saturating_add(t_ms.saturating_sub(self.round_ms).max(1))
    }
}

/// The memory of one source. See the module's text.
#[derive(Debug)]
pub struct SourceTracker {
    labels: Labels,
    rules: Rules,
    cache: SeriesCache,
    reports: [Option<SeriesRef>; 5],
    last_t_ms: i64,
    newest_own: Option<OwnTime>,
    batch: Batch,
    new: Vec<New>,
    builder: LabelsBuilder,
    key: String,
}

/// A round being filled.
#[derive(Debug)]
pub struct Round<'a> {
    tracker: &'a mut SourceTracker,
    t_ms: i64,
    scraped: usize,
    added: usize,
    series_added: usize,
    newest_own_ms: i64,
}

/// A label as a source gives it.
pub type SourceLabel<'a> = (Cow<'a, str>, Cow<'a, str>);

impl Round<'_> {
    /// Adds a sample. `key` names the series within this source, the same in every round; `labels` (with `__name__`) is asked
    /// only when the key is new.
    ///
    /// # Errors
    /// A limit is passed, or the labels are wrong; the round has failed then.
    pub fn add<'l>(
        &mut self,
        key: &str,
        value: f64,
        timestamp_ms: Option<i64>,
        labels: impl FnOnce(&mut Vec<SourceLabel<'l>>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.add_keyed(Key::Text(key), value, timestamp_ms, labels)
    }

    fn add_keyed<'l>(
        &mut self,
        key: Key<'_>,
        value: f64,
        timestamp_ms: Option<i64>,
        labels: impl FnOnce(&mut Vec<SourceLabel<'l>>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.scraped += 1;
        let tracker = &mut *self.tracker;
        let limit = tracker.rules.limits.samples;
        if limit > 0 && self.added as u64 >= limit {
            return Err(format!(
                "sample limit exceeded: the target has more than {limit} samples"
            ));
        }
        let own_time = timestamp_ms.filter(|_| tracker.rules.honor_timestamps);
        let tracked = own_time.is_none() || tracker.rules.track_timestamps_staleness;
        let known = tracker.cache.see(key);
        let series = known.and_then(|at| tracker.cache.get_mut(at)).and_then(|entry| {
            entry.tracked = tracked;
            entry.stamped = own_time.is_some();
            entry.series
        });
        match series {
            Some(series) => tracker.batch.series_ref(series),
            None => {
                let mut pairs = Vec::with_capacity(12);
                labels(&mut pairs)?;
                tracker.compose(&pairs)?;
                let at = known.unwrap_or_else(|| tracker.cache.insert(key));
                if let Some(entry) = tracker.cache.get_mut(at) {
                    entry.tracked = tracked;
                    entry.stamped = own_time.is_some();
                }
                let row = tracker.batch.rows_len();
                tracker.new.push(New { row, at });
                tracker.batch.series_from(&mut tracker.builder);
                self.series_added += usize::from(known.is_none());
            }
        }
        if let Some(own_ms) = own_time {
            self.newest_own_ms = self.newest_own_ms.max(own_ms);
        }
        tracker.batch.push(own_time.unwrap_or(self.t_ms), value);
        self.added += 1;
        Ok(())
    }

    /// Adds every sample of families, as the collectors inside this process make them. Of a float with a number that was there in the
    /// round before, no label is looked at.
    ///
    /// # Errors
    /// As [`Round::add`].
    pub fn add_families(&mut self, families: &[Family]) -> Result<(), String> {
        let mut text = std::mem::take(&mut self.tracker.key);
        let mut result = Ok(());
        for (family, metric) in families
            .iter()
            .flat_map(|family| family.metrics.iter().map(move |metric| (family, metric)))
        {
            let number = metric
                .number
                .filter(|_| matches!(metric.value, MetricValue::Float(_)));
            metric.for_each_sample(&family.name, |name, extra, labels, value| {
                if result.is_err() {
                    return;
                }
                let pairs = labels
                    .iter()
                    .map(|(name, value)| (name.as_ref(), value.as_ref()))
                    .chain(extra);
                let key = match number {
                    Some(number) => Key::Number(number),
                    None => {
                        text.clear();
                        push_part(&mut text, name);
                        for (label, value) in pairs.clone() {
                            push_part(&mut text, label);
                            push_part(&mut text, value);
                        }
                        Key::Text(&text)
                    }
                };
                result = self.add_keyed(key, value, None, |out| {
                    out.push((METRIC_NAME.into(), name.to_owned().into()));
                    out.extend(pairs.map(|(label, text)| (label.to_owned().into(), text.to_owned().into())));
                    Ok(())
                });
            });
        }
        self.tracker.key = text;
        result
    }
}

/// Appends a text with its length before it, so that no two lists of texts give the same key.
fn push_part(key: &mut String, text: &str) {
    let mut len = text.len();
    loop {
        let low = u8::try_from(len & 0x3f).unwrap_or(0);
        len >>= 6;
        key.push(char::from(if len == 0 { low } else { low | 0x40 }));
        if len == 0 {
            break;
        }
    }
    key.push_str(text);
}

impl SourceTracker {
    /// A source with the labels of its target (`job`, `instance`, ...).
    #[must_use]
    pub fn new(labels: Labels, rules: Rules) -> Self {
        Self {
            labels,
            rules,
            cache: SeriesCache::default(),
            reports: [None; 5],
            last_t_ms: i64::MIN,
            newest_own: None,
            batch: Batch::new(),
            new: Vec::new(),
            builder: LabelsBuilder::new(),
            key: String::new(),
        }
    }

    /// Runs one round: `fill` gives the samples, or says why there are none. It is called a second time when the store has
    /// forgotten references meanwhile. `started` is when the round began (`clock::instant()`).
    pub fn round(
        &mut self,
        sink: &dyn Sink,
        t_ms: i64,
        started: Instant,
        mut fill: impl FnMut(&mut Round<'_>) -> Result<(), String>,
    ) -> Report {
        self.last_t_ms = t_ms;
        let mut report = self.attempt(t_ms, started, &mut fill);
        let mut outcome = self.commit(sink);
        if matches!(outcome, Err(CommitError::UnknownRef)) {
            self.forget_refs();
            let series_added = report.series_added;
            report = self.attempt(t_ms, started, &mut fill);
            report.series_added = series_added;
            outcome = self.commit(sink);
        }
        match outcome {
            Ok(outcome) => self.settle(&outcome, &mut report),
            Err(error) => report.store_error = Some(error.to_string()),
        }
        report
    }

    /// Ends all series of the source, those about the scrape too: it is gone, or the process stops.
    pub fn end(&mut self, sink: &dyn Sink, t_ms: i64) {
        let t_ms = t_ms.max(self.last_t_ms.saturating_add(1));
        self.batch.clear();
        self.new.clear();
        self.cache.begin_round();
        self.mark_stale(t_ms);
        for series in self.reports.into_iter().flatten() {
            self.batch.series_ref(series);
            self.batch.push(t_ms, f64::from_bits(STALE_NAN));
        }
        if let Err(error) = self.commit(sink) {
            tracing::warn!(labels = %self.labels, %error, "cannot write the end of a target's series");
        }
        self.cache.clear();
        self.reports = [None; 5];
    }

    /// Builds the batch of a round; what `fill` says decides between its samples and the end of all series.
    fn attempt(
        &mut self,
        t_ms: i64,
        started: Instant,
        fill: &mut impl FnMut(&mut Round<'_>) -> Result<(), String>,
    ) -> Report {
        self.batch.clear();
        self.new.clear();
        self.cache.begin_round();
        let mut round = Round {
            tracker: self,
            t_ms,
            scraped: 0,
            added: 0,
            series_added: 0,
            newest_own_ms: i64::MIN,
        };
        let result = fill(&mut round);
        let Round {
            scraped,
            added,
            series_added,
            newest_own_ms,
            ..
        } = round;
        if result.is_err() {
            self.batch.clear();
            self.new.clear();
            // Nothing of this round counts: nothing in the cache is seen.
            self.cache.begin_round();
        }
        // By what was known before this round, whose newest may be of a clock that was set.
        self.mark_stale(t_ms);
        if result.is_ok() && newest_own_ms > i64::MIN {
            self.newest_own = Some(OwnTime {
                newest_ms: newest_own_ms,
                round_ms: t_ms,
            });
        }
        let report = Report {
            up: result.is_ok(),
            error: result.err(),
            duration_s: clock::instant().saturating_duration_since(started).as_secs_f64(),
            scraped,
            added,
            series_added,
            ..Report::default()
        };
        self.add_report(t_ms, &report);
        report
    }

    /// Rows that end what was not seen in this round.
    fn mark_stale(&mut self, t_ms: i64) {
        let ended = self.cache.unseen().filter(|entry| entry.tracked);
        let own_ms = self.newest_own.map_or(t_ms, |own| own.of_source(t_ms));
        for (series, stamped) in ended.filter_map(|entry| Some((entry.series?, entry.stamped))) {
            let at_ms = if stamped { own_ms } else { t_ms };
            self.batch.series_ref(series);
            self.batch.push(at_ms, f64::from_bits(STALE_NAN));
        }
    }

    fn add_report(&mut self, t_ms: i64, report: &Report) {
        for (at, value) in report.values().into_iter().enumerate() {
            match self.reports[at] {
                Some(series) => self.batch.series_ref(series),
                None => {
                    self.builder.clear();
                    self.builder.extend(&self.labels);
                    self.builder.set(METRIC_NAME, REPORT_NAMES[at]);
                    self.batch.series_from(&mut self.builder);
                }
            }
            self.batch.push(t_ms, value);
        }
    }

    fn commit(&self, sink: &dyn Sink) -> Result<CommitOutcome, CommitError> {
        if self.batch.is_empty() {
            Ok(CommitOutcome::default())
        } else {
            sink.commit(&self.batch)
        }
    }

    fn forget_refs(&mut self) {
        self.reports = [None; 5];
        self.cache.forget_refs();
    }

    /// Learns the references of a commit and drops what has ended.
    fn settle(&mut self, outcome: &CommitOutcome, report: &mut Report) {
        for New { row, at } in self.new.drain(..) {
            if let (Some(entry), Some(series)) = (self.cache.get_mut(at), outcome.refs.get(row)) {
                entry.series = Some(*series);
            }
        }
        let first_report = self.batch.rows_len().saturating_sub(REPORT_NAMES.len());
        for (at, slot) in self.reports.iter_mut().enumerate() {
            *slot = outcome.refs.get(first_report + at).copied();
        }
        self.cache.end_round();
        // A marker may be refused when the same series came back under another text: that is as it should be.
        let samples = if report.up { report.added } else { 0 };
        let mut refused = outcome.rejected.iter().filter(|(row, ..)| *row < samples);
        report.first_rejected = refused.next().map(|(_, _, reason, _)| reason.clone());
        report.rejected = usize::from(report.first_rejected.is_some()) + refused.count();
    }

    /// Puts the source's labels and the target's together in the builder, as Prometheus does it, and checks the limits.
    fn compose(&mut self, exposed: &[SourceLabel<'_>]) -> Result<(), String> {
        let builder = &mut self.builder;
        builder.clear();
        for (at, (name, value)) in exposed.iter().enumerate() {
            if exposed[..at].iter().any(|(other, _)| other == name) {
                return Err(format!("label name {name:?} is not unique"));
            }
            builder.set(name, value);
        }
        if self.rules.honor_labels {
            // An empty label of the source counts too: so it can do without the target's.
            for (name, value) in &self.labels {
                let is_fixed = self.rules.fixed_label == Some(name);
                if is_fixed || !exposed.iter().any(|(other, _)| other == name) {
                    builder.set(name, value);
                }
            }
        } else {
            let mut clashing: Vec<(&str, &str)> = Vec::new();
            for (name, value) in &self.labels {
                clashing.extend(
                    exposed
                        .iter()
                        .filter(|(other, text)| other == name && !text.is_empty())
                        .map(|(_, text)| (name, text.as_ref())),
                );
                builder.set(name, value);
            }
            clashing.sort_by_key(|(name, _)| name.len());
            for (name, value) in clashing {
                let mut renamed = format!("exported_{name}");
                while builder.get(&renamed).is_some() {
                    renamed.insert_str(0, "exported_");
                }
                builder.set(&renamed, value);
            }
        }
        check_limits(self.rules.limits, builder)
    }
}

fn check_limits(limits: Limits, builder: &mut LabelsBuilder) -> Result<(), String> {
    let Limits {
        labels,
        label_name_length,
        label_value_length,
        ..
    } = limits;
    if labels == 0 && label_name_length == 0 && label_value_length == 0 {
        return Ok(());
    }
    let built = builder.build();
    let over = |count: usize, limit: u64| limit > 0 && count as u64 > limit;
    if over(built.len(), labels) {
        return Err(format!(
            "label_limit exceeded: {built} has {} labels, the limit is {labels}",
            built.len()
        ));
    }
    for (name, value) in &built {
        if over(name.len(), label_name_length) {
            return Err(format!(
                "label_name_length_limit exceeded: {name:?} is longer than {label_name_length}"
            ));
        }
        if over(value.len(), label_value_length) {
            return Err(format!(
                "label_value_length_limit exceeded: the value of {name:?} is longer than {label_value_length}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
