//! Masthead's own metrics: what `/metrics` of `up` says, and what is stored with job `masthead`.
//!
//! Names follow the client libraries where they have one (`process_*`); the rest is `masthead_*`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use model::{Family, Metric, MetricType, MetricValue};

/// Upper bounds of the duration histograms, in seconds.
const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

#[derive(Debug, Default, Clone)]
struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: f64,
}

impl Histogram {
    fn observe(&mut self, value: f64) {
        let at = BOUNDS
            .iter()
            .position(|bound| value <= *bound)
            .unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get_mut(at) {
            *count += 1;
        }
        self.sum += value;
    }

    fn value(&self) -> MetricValue {
        let mut total = 0;
        let bounds = BOUNDS.iter().copied().chain([f64::INFINITY]);
        let buckets = bounds.zip(self.counts).map(|(bound, count)| {
            total += count;
            (bound, float(total))
        });
        MetricValue::Histogram {
            buckets: buckets.collect(),
            sum: self.sum,
        }
    }
}

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<(String, u16), u64>,
    durations: BTreeMap<String, Histogram>,
    queries: Histogram,
    query_samples: u64,
    maintenance: Histogram,
    maintenance_failures: u64,
}

/// Counters that the layers fill; cheap enough for every request.
#[derive(Debug)]
pub struct Metrics {
    start_ms: i64,
    inner: Mutex<Inner>,
}

impl Metrics {
    /// Counters of a process that started at `start_ms`.
    #[must_use]
    pub fn new(start_ms: i64) -> Self {
        Self {
            start_ms,
            inner: Mutex::default(),
        }
    }

    fn with(&self, change: impl FnOnce(&mut Inner)) {
        change(
            &mut self
                .inner
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        );
    }

    /// A request was answered.
    pub fn request(&self, route: &str, code: u16, took: Duration) {
        self.with(|inner| {
            *inner.requests.entry((route.to_owned(), code)).or_default() += 1;
            inner
                .durations
                .entry(route.to_owned())
                .or_default()
                .observe(took.as_secs_f64());
        });
    }

    /// A query was evaluated.
    pub fn query(&self, took: Duration, samples: u64) {
        self.with(|inner| {
            inner.queries.observe(took.as_secs_f64());
            inner.query_samples += samples;
        });
    }

    /// The store's upkeep ran.
    pub fn maintenance(&self, took: Duration, failed: bool) {
        self.with(|inner| {
            inner.maintenance.observe(took.as_secs_f64());
            inner.maintenance_failures += u64::from(failed);
        });
    }

    /// Everything as families, sorted by name.
    #[must_use]
    pub fn families(&self, store: &tsdb::Stats) -> Vec<Family> {
        let mut families = process_families(self.start_ms);
        families.extend(store_families(store));
        self.with(|inner| families.extend(request_families(inner)));
        families.push(build_info());
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }
}

/// Counts are far below 2^53; above it a float counter would lose ones anyway, as in every client library.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: u64) -> f64 {
    count as f64
}

fn request_families(inner: &Inner) -> Vec<Family> {
    let mut requests = Family::new(
        "masthead_http_requests_total",
        "HTTP requests answered, by route and code.",
        MetricType::Counter,
    );
    for ((route, code), count) in &inner.requests {
        let labels = vec![
            ("code".into(), Cow::from(code.to_string())),
            ("handler".into(), Cow::from(route.clone())),
        ];
        requests.push(labels, float(*count));
    }
    let mut durations = Family::new(
        "masthead_http_request_duration_seconds",
        "Time to answer, by route.",
        MetricType::Histogram,
    );
    for (route, histogram) in &inner.durations {
        let labels = vec![("handler".into(), Cow::from(route.clone()))];
        durations.metrics.push(Metric {
            labels,
            value: histogram.value(),
            number: None,
        });
    }
    let plain = |name, help, histogram: &Histogram| {
        let mut family = Family::new(name, help, MetricType::Histogram);
        family.metrics.push(Metric {
            labels: Vec::new(),
            value: histogram.value(),
            number: None,
        });
        family
    };
    vec![
        requests,
        durations,
        plain(
            "masthead_query_duration_seconds",
            "Time to evaluate a query.",
            &inner.queries,
        ),
        Family::counter(
            "masthead_query_samples_total",
            "Samples read by queries.",
            float(inner.query_samples),
        ),
        plain(
            "masthead_tsdb_maintenance_duration_seconds",
            "Time of one round of cut, compaction and retention.",
            &inner.maintenance,
        ),
        Family::counter(
            "masthead_tsdb_maintenance_failures_total",
            "Rounds of upkeep that failed.",
            float(inner.maintenance_failures),
        ),
    ]
}

/// Name, help and value.
type Row = (&'static str, &'static str, u64);

fn store_families(stats: &tsdb::Stats) -> Vec<Family> {
    let mut rejected = Family::new(
        "masthead_tsdb_samples_rejected_total",
        "Samples not stored, by reason.",
        MetricType::Counter,
    );
    for (reason, count) in &stats.rejected {
        rejected.push(vec![("reason".into(), Cow::from(reason.as_str()))], float(*count));
    }
    let gauges = store_gauges(stats)
        .into_iter()
        .map(|(name, help, value)| Family::gauge(name, help, float(value)));
    let counters = store_counters(stats)
        .into_iter()
        .map(|(name, help, value)| Family::counter(name, help, float(value)));
    gauges.chain(counters).chain([rejected]).collect()
}

fn store_gauges(stats: &tsdb::Stats) -> [Row; 6] {
    let blocks = &stats.blocks;
    [
        (
            "masthead_tsdb_head_series",
            "Series in the head.",
            stats.head_series,
        ),
        (
            "masthead_tsdb_head_chunks",
            "Chunks in the head.",
            stats.head_chunks,
        ),
        (
            "masthead_tsdb_wal_bytes",
            "Size of the write-ahead log.",
            stats.wal_bytes,
        ),
        ("masthead_tsdb_blocks", "Blocks on disk.", blocks.len() as u64),
        (
            "masthead_tsdb_blocks_bytes",
            "Size of all blocks.",
            blocks.iter().map(|b| b.bytes).sum(),
        ),
        (
            "masthead_tsdb_blocks_samples",
            "Samples in blocks.",
            blocks.iter().map(|b| b.samples).sum(),
        ),
    ]
}

fn store_counters(stats: &tsdb::Stats) -> [Row; 6] {
    [
        (
            "masthead_tsdb_samples_appended_total",
            "Samples stored.",
            stats.appended,
        ),
        (
            "masthead_tsdb_wal_fsyncs_total",
            "Syncs of the write-ahead log.",
            stats.wal_syncs,
        ),
        (
            "masthead_tsdb_head_series_created_total",
            "Series made.",
            stats.series_created,
        ),
        (
            "masthead_tsdb_head_series_removed_total",
            "Series forgotten.",
            stats.series_removed,
        ),
        (
            "masthead_tsdb_compactions_total",
            "Blocks made by compaction.",
            stats.compactions,
        ),
        (
            "masthead_tsdb_blocks_deleted_total",
            "Blocks deleted by retention.",
            stats.blocks_deleted,
        ),
    ]
}

fn build_info() -> Family {
    let mut family = Family::new(
        "masthead_build_info",
        "A constant 1 with the version.",
        MetricType::Gauge,
    );
    family.push(vec![("version".into(), env!("CARGO_PKG_VERSION").into())], 1.0);
    family
}

/// The client libraries' process metrics, from `/proc/self`. What cannot be read is left out.
fn process_families(start_ms: i64) -> Vec<Family> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds since 1970 fit a float exactly for 285,000 years"
    )]
    let start_s = start_ms as f64 / 1000.0;
    let mut out = vec![Family::gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        start_s,
    )];
    if let Some((cpu_s, resident, virtual_bytes)) = read_stat() {
        out.push(Family::counter(
            "process_cpu_seconds_total",
            "Total user and system CPU time spent in seconds.",
            cpu_s,
        ));
        out.push(Family::gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident,
        ));
        out.push(Family::gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            virtual_bytes,
        ));
    }
    if let Some(files) = open_files() {
        out.push(Family::gauge(
            "process_open_fds",
            "Number of open file descriptors.",
            float(files),
        ));
    }
    if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        out.push(Family::gauge(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            float(limit),
        ));
    }
    out
}

/// Number of open files of this process. Since Linux 6.2 it stands as the folder's size; to list a thousand of them costs as much as
/// to read ten containers.
fn open_files() -> Option<u64> {
    let folder = "/proc/self/fd";
    match std::fs::metadata(folder).ok()?.len() {
        0 => Some(std::fs::read_dir(folder).ok()?.count() as u64),
        files => Some(files),
    }
}

/// `(cpu seconds, resident bytes, virtual bytes)` of this process.
fn read_stat() -> Option<(f64, f64, f64)> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The command's name may hold spaces; fields are counted from behind its parenthesis.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<f64>().ok();
    let ticks = float(rustix::param::clock_ticks_per_second());
    let page = float(rustix::param::page_size() as u64);
    Some((
        (number(11)? + number(12)?) / ticks,
        number(21)? * page,
        number(20)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_out_as_families() {
        let metrics = Metrics::new(1_500);
        metrics.request("/api/v1/query", 200, Duration::from_millis(3));
        metrics.request("/api/v1/query", 200, Duration::from_secs(60));
        let mut text = String::new();
        let mut families = Vec::new();
        metrics.with(|inner| families = request_families(inner));
        model::encode_families(&families, &mut text);
        for line in [
            "masthead_http_requests_total{code=\"200\",handler=\"/api/v1/query\"} 2",
            "masthead_http_request_duration_seconds_bucket{handler=\"/api/v1/query\",le=\"0.005\"} 1",
            "masthead_http_request_duration_seconds_bucket{handler=\"/api/v1/query\",le=\"+Inf\"} 2",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn the_process_sees_itself() {
        let names: Vec<_> = process_families(0).into_iter().map(|f| f.name).collect();
        assert!(
            names.contains(&Cow::from("process_resident_memory_bytes")),
            "{names:?}"
        );
    }
}
