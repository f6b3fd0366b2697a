//! `masthead agent`: flags to checked options, and what is printed at the start.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::api::agent::Shown;
use crate::app::agent::{self, AgentOptions};
use crate::cli::{out, serving};

/// The words of `--metrics`.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Metrics {
    /// The host, as node_exporter's
    Host,
    /// The containers, as cAdvisor's; /healthz then answers without a password, as cAdvisor's does
    Containers,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead agent                                     on 127.0.0.1:9100, as node_exporter
  masthead agent --listen 10.0.0.5:9100 --web-config web.yml
  masthead agent --metrics containers --listen 127.0.0.1:8080        as cAdvisor

A Prometheus scrapes it with
  scrape_configs:
    - job_name: node-exporter
      static_configs: [{ targets: ['127.0.0.1:9100'] }]
    - job_name: cadvisor
      metrics_path: /metrics/containers
      static_configs: [{ targets: ['127.0.0.1:9100'] }]")]
pub(super) struct AgentArgs {
    /// Address of the metrics
    #[arg(long, default_value = "127.0.0.1:9100", value_name = "HOST:PORT")]
    listen: String,
    /// What /metrics shows; both are always at /metrics/node and /metrics/containers
    #[arg(long, value_enum, default_value_t = Metrics::Host, value_name = "WHAT")]
    metrics: Metrics,
    /// Configuration; of it an agent heeds the key `masthead:` alone
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Users and TLS, in the format of Prometheus' web.yml
    #[arg(long, value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// Listen beyond loopback without a password
    #[arg(long)]
    insecure: bool,
    /// Without users, answer to this name too: the one under which a reverse proxy asks; `*` for any
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// What is logged: error, warn, info, debug
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log_level: tracing::Level,
}

pub(super) fn run(args: &AgentArgs) -> anyhow::Result<()> {
    serving::init_logging(args.log_level);
    crate::install_tls_provider();
    let options = AgentOptions {
        listen: serving::listen_address(&args.listen)?,
        config: serving::config(args.config.as_ref())?,
        shown: match args.metrics {
            Metrics::Host => Shown::Host,
            Metrics::Containers => Shown::Containers,
        },
        web_config: serving::web_config(args.web_config.as_deref())?,
        insecure: args.insecure,
        allow_hosts: args.allow_host.clone(),
    };
    serving::run(|stop| {
        agent::run(options, stop, |address, https| {
            // A closed standard output must not stop the monitoring.
            let _ = out::line(&greeting(address, https));
        })
    })
}

fn greeting(address: SocketAddr, https: bool) -> String {
    let scheme = if https { "https" } else { "http" };
    format!(
        "Masthead {} agent; nothing is stored\n  this machine  {scheme}://{address}/metrics/node\n  containers    {scheme}://{address}/metrics/containers",
        env!("CARGO_PKG_VERSION"),
    )
}
