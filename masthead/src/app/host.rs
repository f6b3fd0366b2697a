//! The local sources: this machine, its containers and Masthead itself, read on one tick and stored with the tick's time.
//!
//! The first tick is at the start, the next ones are at multiples of the interval, so that the stamps of all local sources
//! form one regular grid, which the store keeps for next to nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use collect::{Collection, HostCollector};
use model::{Family, Labels};

use crate::app::containers::ContainerReader;
use crate::app::metrics::Metrics;
use crate::clock;
use crate::config::Config;
use crate::docker::Containers;
use crate::ingest::Sink;
use crate::scrape::{Rules, SourceTracker, TargetHandle, Targets};

/// Upstream's ports: dashboards expect one behind the host's name.
const NODE_EXPORTER_PORT: u16 = 9100;
const CADVISOR_PORT: u16 = 8080;

/// The options of the host's collectors, from the configuration.
#[must_use]
pub fn collect_options(config: &Config) -> collect::Options {
    let wanted = &config.masthead.collect;
    let mut options = collect::Options::default();
    options.paths.procfs.clone_from(&wanted.procfs);
    options.paths.sysfs.clone_from(&wanted.sysfs);
    options.paths.rootfs.clone_from(&wanted.rootfs);
    options
}

/// One round of all collectors, each timed.
pub fn collect_timed(collector: &mut HostCollector, now_ms: i64) -> Collection {
    collector.set_zone(&zone(now_ms));
    let seconds: Vec<f64> = (0..HostCollector::collectors().len())
        .map(|number| {
            let started = clock::instant();
            collector.collect_one(number, now_ms);
            started.elapsed().as_secs_f64()
        })
        .collect();
    collector.finish(&seconds)
}

/// The system's time zone at a time: it changes twice a year.
fn zone(now_ms: i64) -> collect::Zone {
    let zone = jiff::tz::TimeZone::system();
    let now = jiff::Timestamp::from_millisecond(now_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let info = zone.to_offset_info(now);
    collect::Zone {
        name: info.abbreviation().to_owned(),
        offset_s: info.offset().seconds(),
    }
}

/// What the thread reads.
#[derive(Debug)]
pub struct Sources {
    /// The host; `None` when the configuration turns it off.
    pub collector: Option<HostCollector>,
    /// Masthead's own metrics.
    pub metrics: Arc<Metrics>,
    /// For the store's figures among them.
    pub db: Arc<tsdb::Db>,
    /// For `instance`.
    pub hostname: String,
    /// Where the same can be read as text.
    pub address: SocketAddr,
    /// With TLS there.
    pub https: bool,
    /// `instance` of the host's metrics, when the configuration sets one.
    pub instance: Option<String>,
    /// The containers; `None` when the configuration turns them off.
    pub containers: Option<Arc<Containers>>,
    /// `instance` of the containers' metrics, when the configuration sets one.
    pub container_instance: Option<String>,
    /// What happened longer ago is forgotten.
    pub retention_ms: i64,
}

/// One local source: its families go to the store under its labels.
#[derive(Debug)]
struct Source {
    tracker: SourceTracker,
    handle: TargetHandle,
    /// What the store said last, so that a full disk is logged once and not every tick.
    store_error: Option<String>,
}

impl Source {
    fn new(targets: &Targets, job: &str, instance: &str, url: &str, interval: Duration) -> Self {
        let labels = Labels::from_pairs([("job", job), ("instance", instance)]);
        let handle = targets.register_local(job, instance, url, interval);
        Self {
            tracker: SourceTracker::new(labels, Rules::default()),
            handle,
            store_error: None,
        }
    }

    /// Reads, stores and reports one round; gives back what was read.
    fn round(&mut self, sink: &dyn Sink, t_ms: i64, read: impl FnOnce() -> Vec<Family>) -> Vec<Family> {
        let started = clock::instant();
        let families = read();
        {
            let mut metadata = self.handle.metadata();
            metadata.start_round();
            metadata.set_families(&families);
        }
        let report = self
            .tracker
            .round(sink, t_ms, started, |round| round.add_families(&families));
        if report.store_error != self.store_error {
            match &report.store_error {
                Some(error) => tracing::error!("storing this machine's metrics: {error}"),
                None => tracing::info!("this machine's metrics are stored again"),
            }
            self.store_error.clone_from(&report.store_error);
        }
        self.handle.update(t_ms, &report);
        families
    }
}

/// The running thread.
#[derive(Debug)]
pub struct HostThread {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl HostThread {
    /// Starts the thread and its first tick.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        sources: Sources,
        interval_ms: i64,
        targets: &Targets,
        sink: Arc<dyn Sink>,
    ) -> anyhow::Result<Self> {
        let interval = Duration::from_millis(u64::try_from(interval_ms).unwrap_or(15_000));
        let base = base_url(sources.https, sources.address, &sources.hostname);
        let instance = sources
            .instance
            .clone()
            .unwrap_or_else(|| format!("{}:{NODE_EXPORTER_PORT}", sources.hostname));
        let host = sources.collector.map(|collector| {
            let url = format!("{base}/metrics/node");
            (
                collector,
                Source::new(targets, "node-exporter", &instance, &url, interval),
            )
        });
        let containers = sources.containers.map(|containers| {
            let instance = sources
                .container_instance
                .clone()
                .unwrap_or_else(|| format!("{}:{CADVISOR_PORT}", sources.hostname));
            let url = format!("{base}/metrics/containers");
            let source = Source::new(targets, "cadvisor", &instance, &url, interval);
            (ContainerReader::new(containers, sources.retention_ms), source)
        });
        let own_instance = format!("{}:{}", sources.hostname, sources.address.port());
        let own = Source::new(
            targets,
            "masthead",
            &own_instance,
            &format!("{base}/metrics"),
            interval,
        );
        let mut ticker = Ticker {
            host,
            containers,
            own,
            metrics: sources.metrics,
            db: sources.db,
            sink,
        };
        let (stop, stopped) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("host".to_owned())
            .spawn(move || {
                let mut t_ms = clock::now_ms();
                loop {
                    ticker.tick(t_ms);
                    match wait_for_tick(&stopped, t_ms, interval_ms) {
                        Some(next_ms) => t_ms = next_ms,
                        None => return,
                    }
                }
            })
            .context("starting the thread that reads this machine")?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread after the tick under way.
    pub fn stop(self) {
        // A thread that has already ended needs no word and has nothing left to do.
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

/// Where the local sources can be read: an address that means "all of them" is no address to go to.
fn base_url(https: bool, address: SocketAddr, hostname: &str) -> String {
    let scheme = if https { "https" } else { "http" };
    if address.ip().is_unspecified() {
        format!("{scheme}://{hostname}:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

/// Sleeps until the next tick and gives its time; `None` when the thread is to end.
///
/// A machine that was suspended wakes up behind its tick: what is read then says nothing about that time, so the tick is left out.
fn wait_for_tick(stopped: &mpsc::Receiver<()>, done_ms: i64, interval_ms: i64) -> Option<i64> {
    loop {
        let now_ms = clock::now_ms();
        let t_ms = next_tick_ms(now_ms, done_ms, interval_ms);
        let wait = u64::try_from(t_ms - now_ms).unwrap_or(0);
        if stopped.recv_timeout(Duration::from_millis(wait)) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
        if clock::now_ms().saturating_sub(t_ms) < interval_ms.max(1) {
            return Some(t_ms);
        }
    }
}

/// The multiple of the interval that comes next after `now_ms`, but never the tick that was just done again: the wall
/// clock may have been set back a little.
fn next_tick_ms(now_ms: i64, done_ms: i64, interval_ms: i64) -> i64 {
    let interval_ms = interval_ms.max(1);
    let next = now_ms
        .div_euclid(interval_ms)
        .saturating_add(1)
        .saturating_mul(interval_ms);
    if next == done_ms {
        next.saturating_add(interval_ms)
    } else {
        next
    }
}

struct Ticker {
    host: Option<(HostCollector, Source)>,
    containers: Option<(ContainerReader, Source)>,
    own: Source,
    metrics: Arc<Metrics>,
    db: Arc<tsdb::Db>,
    sink: Arc<dyn Sink>,
}

impl Ticker {
    fn tick(&mut self, t_ms: i64) {
        if let Some((collector, source)) = &mut self.host {
            source.round(&*self.sink, t_ms, || {
                let collection = collect_timed(collector, t_ms);
                for outcome in &collection.outcomes {
                    if let Some(error) = &outcome.error {
                        tracing::debug!("collector {}: {error}", outcome.collector);
                    }
                }
                collection.families
            });
        }
        if let Some((reader, source)) = &mut self.containers {
            let mut round = 0;
            let families = source.round(&*self.sink, t_ms, || {
                let collection = reader.read(t_ms);
                round = collection.round;
                collection.families
            });
            reader.recycle(families, round);
        }
        let (metrics, db, containers) = (&self.metrics, &self.db, &self.containers);
        self.own.round(&*self.sink, t_ms, || {
            let mut families = metrics.families(&db.stats());
            families.extend(containers.iter().flat_map(|(reader, _)| reader.own_families()));
            families
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_multiples_of_the_interval() {
        for (now_ms, done_ms, want) in [
            (7_000, 7_000, 15_000),
            (15_003, 15_000, 30_000),
            // The clock was set back to just before the tick that is done.
            (14_990, 15_000, 30_000),
            (15_000, 0, 30_000),
        ] {
            assert_eq!(next_tick_ms(now_ms, done_ms, 15_000), want, "{now_ms}");
        }
    }

    #[test]
    fn sources_have_an_address_that_can_be_asked() {
        for (https, address, want) in [
            (false, "127.0.0.1:9090", "http://127.0.0.1:9090"),
            (true, "0.0.0.0:9090", "https://web1:9090"),
            (false, "[::]:80", "http://web1:80"),
        ] {
            assert_eq!(base_url(https, address.parse().unwrap(), "web1"), want);
        }
    }

    #[test]
    fn a_tick_is_waited_for_until_the_end_is_asked() {
        let (stop, stopped) = mpsc::channel();
        let t_ms = wait_for_tick(&stopped, 0, 20).unwrap();
        assert_eq!(t_ms % 20, 0);
        stop.send(()).unwrap();
        assert_eq!(wait_for_tick(&stopped, t_ms, 60_000), None);
    }

    #[test]
    fn the_zone_has_a_name() {
        assert!(!zone(1_700_000_000_000).name.is_empty());
    }
}
