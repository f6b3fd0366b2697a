//! `masthead up`: flags to checked options, signals, and what is printed at the start.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::app::{self, Started, UpOptions, data_dir};
use crate::cli::out;
use crate::cli::serving::{self, listen_address, positive_ms};
use crate::config::parse_size;

/// Flags of `up`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead up                                   no configuration needed
  masthead up --config masthead.yml             scrape other exporters too
  masthead up --retention-time 90d --retention-size 20GB
  masthead up --listen 0.0.0.0:9090 --web-config web.yml")]
pub struct UpArgs {
    /// Address of the page and the API
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    listen: String,
    /// Folder of the data [default: /var/lib/masthead for root, else the XDG data folder]
    #[arg(long, value_name = "DIR", env = "MASTHEAD_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// Configuration; without it this machine is watched with the defaults
    #[arg(long, value_name = "FILE", env = "MASTHEAD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Keep samples so long
    #[arg(long, default_value = "15d", value_name = "DURATION")]
    retention_time: String,
    /// Keep at most so much [default: 5 % of the disk, at least 1GB]
    #[arg(long, value_name = "SIZE")]
    retention_size: Option<String>,
    /// Users and TLS, in the format of Prometheus' web.yml
    #[arg(long, value_name = "FILE")]
    web_config: Option<PathBuf>,
    /// Listen beyond loopback without a password
    #[arg(long)]
    insecure: bool,
    /// Without users, answer to this name too: the one under which a reverse proxy asks; `*` for any
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// Sync the write-ahead log at the latest after so long
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    wal_sync: String,
    /// End a query after so long
    #[arg(long, default_value = "2m", value_name = "DURATION")]
    query_timeout: String,
    /// Run so many queries at the same time
    #[arg(long, default_value_t = 20, value_name = "N")]
    query_max_concurrency: usize,
    /// A query may hold so many samples at once
    #[arg(long, default_value_t = 50_000_000, value_name = "N")]
    query_max_samples: usize,
    /// An instant selector sees samples up to so old
    #[arg(long, default_value = "5m", value_name = "DURATION")]
    query_lookback_delta: String,
    /// What is logged: error, warn, info, debug
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log_level: tracing::Level,
}

impl UpArgs {
    fn check(&self) -> anyhow::Result<UpOptions> {
        let retention_size = self.retention_size.as_deref().map(|text| {
            let bytes = parse_size(text).map_err(|e| anyhow::anyhow!("--retention-size {text}: {e}"))?;
            anyhow::ensure!(
                bytes > 0,
                "--retention-size {text}: nothing could be kept; write it as 500MB, 20GB or 1TB"
            );
            Ok(bytes)
        });
        let data_dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => data_dir::default_path()?,
        };
        let config = serving::config(self.config.as_ref())?;
        let web_config = serving::web_config(self.web_config.as_deref())?;
        let timeout_ms = u64::try_from(positive_ms("query-timeout", &self.query_timeout)?)?;
        let lookback_ms = positive_ms("query-lookback-delta", &self.query_lookback_delta)?;
        anyhow::ensure!(
            self.query_max_concurrency > 0,
            "--query-max-concurrency 0: at least one query must be able to run"
        );
        anyhow::ensure!(
            self.query_max_samples > 0,
            "--query-max-samples 0: a query must be able to hold samples"
        );
        Ok(UpOptions {
            listen: listen_address(&self.listen)?,
            retention_ms: positive_ms("retention-time", &self.retention_time)?,
            retention_bytes: retention_size.transpose()?,
            insecure: self.insecure,
            allow_hosts: self.allow_host.clone(),
            wal_sync_ms: u64::try_from(positive_ms("wal-sync", &self.wal_sync)?)?,
            limits: app::limits(
                self.query_max_concurrency,
                timeout_ms,
                self.query_max_samples,
                lookback_ms,
            ),
            flags: self.flags(&data_dir),
            data_dir,
            config,
            web_config,
        })
    }

    /// The flags as the status page shows them.
    fn flags(&self, data_dir: &Path) -> Vec<(String, String)> {
        let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        [
            ("listen", self.listen.clone()),
            ("data-dir", data_dir.display().to_string()),
            ("config", path(&self.config)),
            ("retention-time", self.retention_time.clone()),
            ("retention-size", self.retention_size.clone().unwrap_or_default()),
            ("web-config", path(&self.web_config)),
            ("insecure", self.insecure.to_string()),
            ("allow-host", self.allow_host.join(",")),
            ("wal-sync", self.wal_sync.clone()),
            ("query-timeout", self.query_timeout.clone()),
            ("query-max-concurrency", self.query_max_concurrency.to_string()),
            ("query-max-samples", self.query_max_samples.to_string()),
            ("query-lookback-delta", self.query_lookback_delta.clone()),
            ("log-level", self.log_level.to_string().to_lowercase()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Checks the words of a command line `... up FLAGS` as [`run`] would, and gives the address that is listened on.
pub(super) fn check_words(words: &[String]) -> anyhow::Result<SocketAddr> {
    #[derive(Debug, clap::Parser)]
    struct Words {
        up: String,
        #[command(flatten)]
        args: UpArgs,
    }
    let options = <Words as clap::Parser>::try_parse_from(words)?.args.check()?;
    app::check_listen(options.listen, options.web_config.as_deref(), options.insecure)?;
    Ok(options.listen)
}

pub(super) fn run(args: UpArgs) -> anyhow::Result<()> {
    serving::init_logging(args.log_level);
    crate::install_tls_provider();
    let options = args.check()?;
    drop(args);
    serving::run(|stop| {
        app::run(options, stop, |started| {
            // A closed standard output must not stop the monitoring.
            let _ = out::line(&greeting(started));
            crate::service::notify::ready();
        })
    })
}

/// Where to look, and how to get there from one's own computer when this is an SSH session.
fn greeting(started: &Started) -> String {
    let scheme = if started.https { "https" } else { "http" };
    let address = started.address;
    let shown = if address.ip().is_unspecified() {
        format!(
            "{scheme}://{}:{}/  (on every address of this machine)",
            started.hostname,
            address.port()
        )
    } else {
        format!("{scheme}://{address}/")
    };
    let mut text = format!(
        "Masthead {} watches {}, every {} s\n  page   {shown}\n  data   {} (kept {})",
        env!("CARGO_PKG_VERSION"),
        started.hostname,
        started.interval_ms / 1000,
        started.data_dir.display(),
        started.retention,
    );
    let ssh = std::env::var("SSH_CONNECTION").ok();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    if let Some(line) = ssh.and_then(|connection| ssh_line(&connection, &user, started.address)) {
        let port = started.address.port();
        let _ = write!(
            text,
            "\n  to see the page in your own browser, run there\n      {line}\n  and open {scheme}://localhost:{port}/"
        );
    }
    text
}

/// The `ssh -L` line, from `SSH_CONNECTION` (`client port server port`); not needed beyond loopback.
fn ssh_line(connection: &str, user: &str, address: SocketAddr) -> Option<String> {
    if !address.ip().is_loopback() {
        return None;
    }
    let fields: Vec<&str> = connection.split_whitespace().collect();
    let [_, _, server, ssh_port] = fields.as_slice() else {
        return None;
    };
    let port = address.port();
    let option = if *ssh_port == "22" {
        String::new()
    } else {
        format!(" -p {ssh_port}")
    };
    Some(format!("ssh -N -L {port}:{address}{option} {user}@{server}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_session_gets_its_tunnel() {
        let address = "127.0.0.1:9090".parse().unwrap();
        let line = |connection| ssh_line(connection, "ann", address);
        assert_eq!(
            line("198.51.100.7 50000 203.0.113.9 22").unwrap(),
            "ssh -N -L 9090:127.0.0.1:9090 ann@203.0.113.9"
        );
        assert_eq!(
            line("198.51.100.7 50000 203.0.113.9 2222").unwrap(),
            "ssh -N -L 9090:127.0.0.1:9090 -p 2222 ann@203.0.113.9"
        );
        assert_eq!(line("garbage"), None);
        assert_eq!(ssh_line("a 1 b 22", "ann", "0.0.0.0:9090".parse().unwrap()), None);
    }
}
