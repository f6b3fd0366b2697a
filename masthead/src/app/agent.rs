//! A running `masthead agent`: the collectors behind a listener, read when somebody asks. No store, no data folder.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use collect::HostCollector;
use tokio_util::sync::CancellationToken;

use crate::api::Access;
use crate::api::agent::{AgentApi, Shown, router};
use crate::app::{check_listen, containers, host};
use crate::config::Config;
use crate::docker::marks::Marks;
use crate::web::listener;
use crate::web_config::WebConfig;

/// Everything `agent` needs to know, checked.
#[derive(Debug)]
pub struct AgentOptions {
    /// Where the metrics are.
    pub listen: SocketAddr,
    /// `masthead.yml`, or its defaults.
    pub config: Config,
    /// What `/metrics` shows.
    pub shown: Shown,
    /// Users and TLS, when they are configured.
    pub web_config: Option<Arc<WebConfig>>,
    /// Listen beyond loopback without users.
    pub insecure: bool,
    /// Names beside this machine's own that are answered to without users.
    pub allow_hosts: Vec<String>,
}

/// Runs until `stop`; `started` is told the address, and whether it speaks TLS.
///
/// # Errors
/// What could not be started, why, and what to do.
pub async fn run(
    options: AgentOptions,
    stop: CancellationToken,
    started: impl FnOnce(SocketAddr, bool),
) -> anyhow::Result<()> {
    check_listen(options.listen, options.web_config.as_deref(), options.insecure)?;
    warn_of_unused(&options.config);
    if options.shown == Shown::Containers && !options.config.masthead.containers.enabled {
        anyhow::bail!(
            "--metrics containers, and `containers: enabled: false` in the configuration: /metrics would show nothing; leave out one of them"
        );
    }
    let socket = listener::bind(options.listen).await?;
    let address = socket.local_addr().context("reading the listener's address")?;
    let tls = options.web_config.as_ref().and_then(|web| web.tls_acceptor());
    let collect_options = host::collect_options(&options.config);
    let watched = containers::set_up(&options.config, Marks::default(), &stop);
    let api = Arc::new(AgentApi {
        host: Mutex::new(HostCollector::new(&collect_options)),
        containers: watched,
    });
    let access = Access::new(
        options.web_config,
        options.insecure,
        &super::hostname(),
        &options.allow_hosts,
    );
    started(address, tls.is_some());
    listener::serve(socket, router(api, access, options.shown), tls, stop).await;
    Ok(())
}

/// What stands in the configuration and means nothing here.
fn warn_of_unused(config: &Config) {
    if !config.scrape_configs.is_empty() {
        tracing::warn!("an agent scrapes nothing: scrape_configs is not heeded; `masthead up` does that");
    }
    if !config.masthead.collect.enabled {
        tracing::warn!("an agent is there to read this machine: `collect: enabled: false` is not heeded");
    }
}
