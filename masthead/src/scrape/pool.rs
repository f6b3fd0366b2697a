//! The scrape loops: a task a target, each on its own beat.
//!
//! Beats are fixed to the clock: a target is scraped at the times `k * interval + offset`, its offset made from a hash of its name,
//! so that targets are spread over the interval and keep their place over restarts. Samples get the beat's time as long as the
//! loop is hardly late, so that timestamps of a series form a regular grid, which costs next to nothing in a block.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::sync::Arc;
use std::time::Duration;

use model::Labels;
use reqwest::Url;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::exposition::{self, Format, Metadata, Sample};
use super::fetch::{ClientKey, Fetcher};
use super::targets::{MetadataCache, TargetHandle, TargetInfo, Targets};
use super::tracker::{Report, Round, Rules, SourceTracker};
use super::tunnel::{Source, Tunnel};
use crate::clock;
use crate::config::{Config, ScrapeConfig, StaticConfig, format_duration};
use crate::ingest::Sink;

/// The first scrape comes at once, unless the first beat is this near.
const NEAR: Duration = Duration::from_secs(1);
/// A body buffer larger than this is given back after the scrape.
const KEPT_BODY_BYTES: usize = 1 << 20;

/// A scrape job that cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up the scrape job {job:?}: {reason}")]
pub struct SetupError {
    /// The job.
    pub job: String,
    /// What is in the way.
    pub reason: String,
}

/// Runs the scrape loops of a configuration.
#[derive(Debug)]
pub struct Manager {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Manager {
    /// Starts a loop for each target of the configuration; needs a tokio runtime, and a TLS provider installed.
    ///
    /// # Errors
    /// [`SetupError`] when a job's TLS settings cannot be used; nothing runs then.
    pub fn start(config: &Config, sink: &Arc<dyn Sink>, targets: &Targets) -> Result<Self, SetupError> {
        let mut clients: Vec<(ClientKey, reqwest::Client)> = Vec::new();
        let mut loops = Vec::new();
        for job in &config.scrape_configs {
            let fail = |reason: String| SetupError {
                job: job.job_name.clone(),
                reason,
            };
            let key = ClientKey::of(job);
            let client = match clients.iter().find(|(known, _)| *known == key) {
                Some((_, client)) => client.clone(),
                None => {
                    let client = key.build().map_err(fail)?;
                    clients.push((key, client.clone()));
                    client
                }
            };
            let mut seen = HashSet::new();
            for group in &job.static_configs {
                for address in &group.targets {
                    let (info, url) = target_info(job, group, address).map_err(fail)?;
                    // The same target twice is scraped once, as in Prometheus.
                    if seen.insert((info.scrape_url.clone(), info.labels.clone())) {
                        loops.push(ScrapeLoop::new(
                            job,
                            info,
                            url,
                            client.clone(),
                            sink.clone(),
                            targets,
                        ));
                    }
                }
            }
        }
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for scrape_loop in loops {
            tasks.spawn(scrape_loop.run(stop.clone()));
        }
        Ok(Self { stop, tasks })
    }

    /// Stops all loops. Scrapes under way are given up; every series gets its staleness marker before this returns.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Labels and URL of a target, as Prometheus makes them without relabelling.
pub(super) fn target_info(
    job: &ScrapeConfig,
    group: &StaticConfig,
    address: &str,
) -> Result<(TargetInfo, Url), String> {
    let mut url = Url::parse(&format!(
        "{}://{address}{}",
        job.scheme.as_str(),
        job.metrics_path
    ))
    .map_err(|error| format!("the target {address:?} makes no URL: {error}"))?;
    if !job.params.is_empty() {
        let mut query = url.query_pairs_mut();
        for (name, values) in &job.params {
            for value in values {
                query.append_pair(name, value);
            }
        }
    }
    let with_defaults = |pairs: &[(&str, &str)]| {
        let own = group.labels.iter();
        Labels::from_pairs(pairs.iter().copied().chain(own))
    };
    let (interval, timeout) = (
        format_duration(job.scrape_interval),
        format_duration(job.scrape_timeout),
    );
    let info = TargetInfo {
        job: job.job_name.clone(),
        labels: with_defaults(&[("job", &job.job_name), ("instance", address)]),
        discovered_labels: with_defaults(&[
            ("__address__", address),
            ("__metrics_path__", &job.metrics_path),
            ("__scheme__", job.scheme.as_str()),
            ("__scrape_interval__", &interval),
            ("__scrape_timeout__", &timeout),
            ("job", &job.job_name),
        ]),
        scrape_url: url.to_string(),
        global_url: url.to_string(),
        scrape_interval: job.scrape_interval,
        scrape_timeout: job.scrape_timeout,
    };
    Ok((info, url))
}

/// When a target is scraped.
#[derive(Debug, Clone, Copy)]
struct Beat {
    interval_ms: i64,
    offset_ms: i64,
}

impl Beat {
    fn new(interval: Duration, name: &str) -> Self {
        let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        // Not the map's hasher: the place must be the same in every run.
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write(name.as_bytes());
        let hash = i64::try_from(hasher.finish() >> 1).unwrap_or(0);
        Self {
            interval_ms,
            offset_ms: hash % interval_ms,
        }
    }

    /// The first beat after a time.
    fn after(self, t_ms: i64) -> i64 {
        let since = (t_ms - self.offset_ms).rem_euclid(self.interval_ms);
        t_ms - since + self.interval_ms
    }

    /// The beat that follows one: never the same again, and never further away than an interval, as a clock that was set
    /// back by a day must not stop the scrapes for a day.
    fn next(self, due_ms: i64, now_ms: i64) -> i64 {
        let next = self.after(now_ms.max(due_ms));
        if next - now_ms > 2 * self.interval_ms {
            self.after(now_ms)
        } else {
            next
        }
    }

    /// The stamp of a scrape that was due and begins now: the beat when it is at most a hundredth of the interval late.
    fn stamp(self, due_ms: i64, now_ms: i64) -> i64 {
        let tolerance = (self.interval_ms / 100).max(2);
        if (0..=tolerance).contains(&(now_ms - due_ms)) {
            due_ms
        } else {
            now_ms
        }
    }
}

/// What a scrape needs and a blocking thread may take along.
struct Work {
    tracker: SourceTracker,
    body: Vec<u8>,
}

/// One target and its beat.
pub(crate) struct ScrapeLoop {
    handle: Arc<TargetHandle>,
    name: String,
    fetcher: Fetcher,
    sink: Arc<dyn Sink>,
    beat: Beat,
    labels: Labels,
    rules: Rules,
    tunnel: Option<Tunnel>,
}

/// What loops have beside their target.
#[derive(Clone, Copy)]
pub(crate) struct Beside<'a> {
    /// Where samples go.
    pub(crate) sink: &'a Arc<dyn Sink>,
    /// Where the state of targets stands.
    pub(crate) targets: &'a Targets,
}

impl ScrapeLoop {
    /// A target behind a tunnel: its way is asked for at each beat.
    ///
    /// # Errors
    /// The target makes no URL, or there can be no HTTP client.
    pub(crate) fn tunnelled(source: &Source, tunnel: Tunnel, beside: Beside<'_>) -> Result<Self, String> {
        let job = source.job();
        let (info, url) = target_info(&job, &source.group(), &source.host())?;
        let client = ClientKey::of(&job).build()?;
        let mut made = Self::new(&job, info, url, client, Arc::clone(beside.sink), beside.targets);
        made.rules.track_timestamps_staleness = true;
        made.rules.fixed_label = Some(super::tunnel::SERVER_LABEL);
        made.tunnel = Some(tunnel);
        Ok(made)
    }

    fn new(
        job: &ScrapeConfig,
        info: TargetInfo,
        url: Url,
        client: reqwest::Client,
        sink: Arc<dyn Sink>,
        targets: &Targets,
    ) -> Self {
        let name = format!("{}{}", info.scrape_url, info.labels);
        let rules = Rules {
            honor_labels: job.honor_labels,
            honor_timestamps: job.honor_timestamps,
            limits: job.limits,
            ..Rules::default()
        };
        Self {
            beat: Beat::new(job.scrape_interval, &name),
            fetcher: Fetcher::new(client, url, job),
            labels: info.labels.clone(),
            handle: Arc::new(targets.register(info)),
            name,
            sink,
            rules,
            tunnel: None,
        }
    }

    /// Scrapes until `stop`, and ends all series then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut work = self.fresh();
        let now = clock::now_ms();
        let first = self.beat.after(now);
        let near = i64::try_from(NEAR.as_millis()).unwrap_or(0);
        let mut due = if first - now <= near { first } else { now };
        loop {
            let wait = u64::try_from(due - clock::now_ms()).unwrap_or(0);
            let opened = async {
                match &mut self.tunnel {
                    Some(tunnel) => tunnel.opened().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                () = opened => due = clock::now_ms(),
            }
            let t_ms = self.beat.stamp(due, clock::now_ms());
            let started = clock::instant();
            let fetched = tokio::select! {
                () = stop.cancelled() => break,
                fetched = self.fetch(&mut work.body) => fetched,
            };
            work = self.store(work, t_ms, started, fetched).await;
            // After a scrape longer than the interval, or a sleep of the machine, beats are left out, not made up for.
            due = self.beat.next(due, clock::now_ms());
        }
        let sink = self.sink.clone();
        let now = clock::now_ms();
        let ended = tokio::task::spawn_blocking(move || work.tracker.end(&*sink, now)).await;
        if let Err(error) = ended {
            tracing::error!(target = %self.name, %error, "ending a target's series failed");
        }
    }

    async fn fetch(&self, body: &mut Vec<u8>) -> Result<Format, String> {
        match &self.tunnel {
            Some(tunnel) => tunnel.fetch(&self.fetcher, body).await,
            None => self.fetcher.fetch(body).await,
        }
    }

    fn fresh(&self) -> Work {
        Work {
            tracker: SourceTracker::new(self.labels.clone(), self.rules),
            body: Vec::new(),
        }
    }

    /// Parses and commits on a thread that may block; gives the memory back for the next round.
    async fn store(
        &self,
        mut work: Work,
        t_ms: i64,
        started: std::time::Instant,
        fetched: Result<Format, String>,
    ) -> Work {
        let (sink, handle) = (self.sink.clone(), self.handle.clone());
        let with_metadata = self.tunnel.as_ref().is_none_or(|tunnel| tunnel.has_metadata);
        let joined = tokio::task::spawn_blocking(move || {
            let round = Fetched {
                t_ms,
                started,
                body: fetched,
                with_metadata,
            };
            let report = ingest(&mut work, &*sink, &handle, &round);
            handle.update(t_ms, &report);
            if work.body.capacity() > KEPT_BODY_BYTES {
                work.body = Vec::new();
            }
            (work, report)
        })
        .await;
        match joined {
            Ok((work, report)) => {
                self.log(&report);
                if let Some(tunnel) = &self.tunnel {
                    tunnel.tell(&report);
                }
                work
            }
            Err(error) => {
                tracing::error!(target = %self.name, %error, "a scrape was given up");
                self.fresh()
            }
        }
    }

    fn log(&self, report: &Report) {
        if let Some(error) = &report.store_error {
            tracing::error!(target = %self.name, %error, "cannot store a scrape");
        }
        if let Some(error) = &report.error {
            tracing::debug!(target = %self.name, %error, "scrape failed");
        }
        if let Some(reason) = &report.first_rejected {
            tracing::warn!(target = %self.name, dropped = report.rejected, %reason, "samples of a scrape were refused");
        }
    }
}

/// Takes the parser's findings to the round and to the metadata.
struct Feed<'a, 'b> {
    round: &'a mut Round<'b>,
    /// None where the target knows none of its own.
    metadata: Option<&'a mut MetadataCache>,
}

impl exposition::Sink for Feed<'_, '_> {
    fn sample(&mut self, sample: Sample<'_>) -> Result<(), String> {
        self.round
            .add(sample.series, sample.value, sample.timestamp_ms, |out| {
                for pair in sample.pairs() {
                    out.push(pair?);
                }
                Ok(())
            })
    }

    fn metadata(&mut self, metadata: Metadata<'_>) {
        if let Some(known) = &mut self.metadata {
            known.set(&metadata);
        }
    }
}

/// What a fetch came to.
struct Fetched {
    t_ms: i64,
    started: std::time::Instant,
    body: Result<Format, String>,
    with_metadata: bool,
}

fn ingest(work: &mut Work, sink: &dyn Sink, handle: &TargetHandle, fetched: &Fetched) -> Report {
    let Work { tracker, body } = work;
    let mut metadata = handle.metadata();
    metadata.start_round();
    tracker.round(sink, fetched.t_ms, fetched.started, |round| match &fetched.body {
        Ok(format) => exposition::parse(
            body,
            *format,
            &mut Feed {
                round,
                metadata: fetched.with_metadata.then_some(&mut *metadata),
            },
        )
        .map_err(|error| format!("cannot read the target's {format}: {error}")),
        Err(error) => Err(error.clone()),
    })
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
