//! A running `masthead up`: what is started in which order, and stopped in the reverse one.
//!
//! ```text
//!   config, web config --> data folder + lock --> listener --> store (replay) --> targets
//!        engine watch --> containers
//!        host thread (ticks) ---\
//!        scrape tasks, servers --+--> store <--- upkeep thread (sync, cut, compact, retention)
//!        remote write (api) ----/       \--> api, page
//! ```
//!
//! Everything that can be wrong with the start is looked at before the store is opened, so that an error comes at once.

pub mod agent;
pub mod containers;
pub mod data_dir;
pub mod host;
pub mod metrics;
mod store;
pub mod upkeep;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use model::Querier;
use promql::engine;
use tokio_util::sync::CancellationToken;

use crate::api::runner::{Limits, Runner};
use crate::api::{self, About, Access, Api};
use crate::backup::exchange::Exchange;
use crate::clock;
use crate::config::Config;
use crate::ingest::Sink;
use crate::live::Live;
use crate::remote_write::Receiver;
use crate::scrape::{self, Targets};
use crate::servers::Servers;
use crate::web::listener;
use crate::web_config::WebConfig;

/// Everything `up` needs to know, checked.
#[derive(Debug)]
pub struct UpOptions {
    /// Where the page and the API are.
    pub listen: SocketAddr,
    /// Where the data lives.
    pub data_dir: PathBuf,
    /// `masthead.yml`, or its defaults.
    pub config: Config,
    /// Users and TLS, when they are configured.
    pub web_config: Option<Arc<WebConfig>>,
    /// Listen beyond loopback without users.
    pub insecure: bool,
    /// Names beside this machine's own that are answered to without users.
    pub allow_hosts: Vec<String>,
    /// Samples older than this are dropped.
    pub retention_ms: i64,
    /// The data folder is kept below this; `None` is 5 % of the disk, at least 1 GB.
    pub retention_bytes: Option<u64>,
    /// The log is synced at the latest after so many milliseconds.
    pub wal_sync_ms: u64,
    /// Limits of queries.
    pub limits: Limits,
    /// Flags by name, for the status page.
    pub flags: Vec<(String, String)>,
}

/// A started Masthead.
#[derive(Debug)]
struct Running {
    api: Arc<Api>,
    host: host::HostThread,
    upkeep: upkeep::Upkeep,
    scrapes: scrape::Manager,
    servers: Servers,
    /// Ends the task that watches the container engine.
    watching: CancellationToken,
}

/// Runs until `stop`; `started` is called once everything is up, with what to tell the person who started it.
///
/// # Errors
/// What could not be started, why, and what to do.
pub async fn run(
    options: UpOptions,
    stop: CancellationToken,
    started: impl FnOnce(&Started),
) -> anyhow::Result<()> {
    check_listen(options.listen, options.web_config.as_deref(), options.insecure)?;
    let mut lock = data_dir::Lock::take(&options.data_dir)?;
    if Exchange::new(&options.data_dir).recover()? {
        tracing::warn!("a restore into the data folder was cut off; what was there before it is there again");
    }
    let socket = listener::bind(options.listen).await?;
    let address = socket.local_addr().context("reading the listener's address")?;
    let web_config = options.web_config.clone();
    let tls = web_config.as_ref().and_then(|web| web.tls_acceptor());
    let retention_bytes = match options.retention_bytes {
        Some(bytes) => bytes,
        None => data_dir::default_retention_bytes(&options.data_dir)?,
    };
    let running = start(&options, address, retention_bytes, &stop)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    lock.say_address(&format!("{scheme}://{address}"));
    started(&Started {
        address,
        https: tls.is_some(),
        hostname: running.api.about.hostname.clone(),
        data_dir: options.data_dir.clone(),
        retention: running.api.about.retention.clone(),
        interval_ms: running.api.about.interval_ms,
    });
    let access = Access::new(
        web_config,
        options.insecure,
        &running.api.about.hostname,
        &options.allow_hosts,
    );
    let router = api::router(Arc::clone(&running.api), access);
    listener::serve(socket, router, tls, stop).await;
    let stopped = shut_down(running).await;
    drop(lock);
    stopped
}

/// What a person is told when everything is up.
#[derive(Debug)]
pub struct Started {
    /// Where the page is.
    pub address: SocketAddr,
    /// With TLS.
    pub https: bool,
    /// This machine.
    pub hostname: String,
    /// Where the data lives.
    pub data_dir: PathBuf,
    /// How long it is kept, in words.
    pub retention: String,
    /// How often this machine is read.
    pub interval_ms: i64,
}

/// Beyond loopback a listener needs a password, unless the person says that it shall not.
pub(crate) fn check_listen(
    listen: SocketAddr,
    web_config: Option<&WebConfig>,
    insecure: bool,
) -> anyhow::Result<()> {
    if listen.ip().is_loopback() || web_config.is_some_and(WebConfig::has_users) || insecure {
        return Ok(());
    }
    anyhow::bail!(
        "--listen {listen} can be reached by other machines, and no users are configured: anyone could read this machine's \
         metrics. Give --web-config with basic_auth_users, or listen on 127.0.0.1 and use `ssh -L`, or say --insecure \
         when something else protects the port"
    )
}

fn start(
    options: &UpOptions,
    address: SocketAddr,
    retention_bytes: u64,
    stop: &CancellationToken,
) -> anyhow::Result<Running> {
    let now_ms = clock::now_ms();
    let (db, damaged_files) = open_store(options, retention_bytes, now_ms)?;
    let sink: Arc<dyn Sink> = Arc::clone(&db) as Arc<dyn Sink>;
    let targets = Arc::new(Targets::default());
    let metrics = Arc::new(metrics::Metrics::new(now_ms));
    let hostname = hostname();
    let host_options = host::collect_options(&options.config);
    let interval_ms = i64::try_from(options.config.masthead.collect.interval.as_millis())?;
    let scrapes = scrape::Manager::start(&options.config, &sink, &targets)?;
    let servers = Servers::start(&options.config.masthead, &sink, &targets);
    let watching = CancellationToken::new();
    let marks = containers::marks(&options.data_dir, options.retention_ms);
    let containers = containers::set_up(&options.config, marks, &watching);
    let host = host::HostThread::start(
        host::Sources {
            containers: containers.clone(),
            container_instance: options.config.masthead.containers.instance.clone(),
            retention_ms: options.retention_ms,
            collector: options
                .config
                .masthead
                .collect
                .enabled
                .then(|| collect::HostCollector::new(&host_options)),
            instance: options.config.masthead.collect.instance.clone(),
            metrics: Arc::clone(&metrics),
            db: Arc::clone(&db),
            hostname: hostname.clone(),
            address,
            https: options
                .web_config
                .as_ref()
                .is_some_and(|web| web.tls_acceptor().is_some()),
        },
        interval_ms,
        &targets,
        Arc::clone(&sink),
    )?;
    let upkeep = upkeep::Upkeep::start(Arc::clone(&db), Arc::clone(&metrics), options.wal_sync_ms)?;
    let about = about(options, retention_bytes, now_ms, hostname, damaged_files)?;
    let querier: Arc<dyn Querier> = Arc::clone(&db) as Arc<dyn Querier>;
    let api = Arc::new(Api {
        runner: Runner::new(querier, options.limits),
        receiver: Arc::new(Receiver::new(sink)),
        db,
        targets,
        metrics,
        host: Mutex::new(collect::HostCollector::new(&host_options)),
        live: Arc::new(Live::new(
            host_options.paths.clone(),
            containers.clone(),
            stop.clone(),
        )),
        containers,
        servers: Arc::clone(servers.states()),
        about,
    });
    Ok(Running {
        api,
        host,
        upkeep,
        scrapes,
        servers,
        watching,
    })
}

/// What the status pages say.
fn about(
    options: &UpOptions,
    retention_bytes: u64,
    now_ms: i64,
    hostname: String,
    damaged_files: usize,
) -> anyhow::Result<About> {
    Ok(About {
        start_ms: now_ms,
        hostname,
        config_yaml: options.config.to_yaml(),
        flags: options.flags.clone(),
        retention: data_dir::retention_text(options.retention_ms, retention_bytes),
        cwd: std::env::current_dir()
            .map(|p| p.display().to_string())
            .unwrap_or_default(),
        interval_ms: i64::try_from(options.config.masthead.collect.interval.as_millis())?,
        damaged_files,
    })
}

/// The collectors write the present while somebody may load hours of history by remote write; a sender that pauses between
/// two requests pauses less.
const CUT_QUIET_MS: i64 = 15_000;

/// The store and the number of damaged files that were gone around.
fn open_store(
    options: &UpOptions,
    retention_bytes: u64,
    now_ms: i64,
) -> anyhow::Result<(Arc<tsdb::Db>, usize)> {
    let folder = &options.data_dir;
    let dir = tsdb::dir::RealDir::new(folder.clone())
        .with_context(|| format!("opening the data folder {}", folder.display()))?;
    let store = tsdb::Options {
        retention_ms: options.retention_ms,
        retention_bytes,
        cut_quiet_ms: CUT_QUIET_MS,
        ..tsdb::Options::default()
    };
    let (db, warnings) = tsdb::Db::open(Arc::new(dir), store, now_ms)
        .with_context(|| format!("opening the store in {}", folder.display()))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    Ok((Arc::new(db), warnings.len()))
}

/// Stops what writes, then closes the store, so that all that was taken is on disk.
async fn shut_down(running: Running) -> anyhow::Result<()> {
    let Running {
        api,
        host,
        upkeep,
        scrapes,
        servers,
        watching,
    } = running;
    watching.cancel();
    tokio::join!(scrapes.stop(), servers.stop());
    let db = Arc::clone(&api.db);
    tokio::task::spawn_blocking(move || {
        host.stop();
        upkeep.stop();
        db.close(clock::now_ms()).context("closing the store")
    })
    .await
    .context("the task that closes the store ended early")?
}

/// The name of this machine, `localhost` where it has none.
pub(crate) fn hostname() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        "localhost".to_owned()
    } else {
        name
    }
}

/// The limits of queries, as the flags set them.
#[must_use]
pub fn limits(max_concurrency: usize, timeout_ms: u64, max_samples: usize, lookback_ms: i64) -> Limits {
    let engine = engine::Options {
        max_samples,
        lookback_ms,
        ..engine::Options::default()
    };
    Limits {
        max_concurrency,
        timeout: std::time::Duration::from_millis(timeout_ms),
        engine,
    }
}
