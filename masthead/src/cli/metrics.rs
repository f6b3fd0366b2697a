//! `masthead metrics`: a host, an app or a container, now or over a range, in plain words or as JSON, from any Prometheus.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use client::{Client, ClientError, Health, Range, TargetHealth};
use serde::Serialize;

use crate::cli::server::{ServerArgs, flag_ms};
use crate::cli::{history, out, summary, tunnel, words};
use crate::clock;

/// Points of a range without --step.
const POINTS: i64 = 120;
/// Finer than the usual scrape interval nothing new is to be seen.
const LEAST_STEP_MS: i64 = 15_000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead metrics system
  masthead metrics app shop-web
  masthead metrics container db --json
  masthead metrics app shop-web --range 24h          smallest, mean, largest, newest, and the course
  masthead metrics system --upstream                 from the stack of `masthead setup`
  masthead metrics system --server web-2             from a registered server, through a tunnel
  masthead metrics health --url https://prometheus:9090 --user ann --password-file ann.txt

Any Prometheus will do that has node_exporter and cAdvisor among its targets. Rates are means over
5 minutes, or over the step where that is longer.")]
pub(super) struct MetricsArgs {
    #[command(subcommand)]
    of: Of,
    #[command(flatten)]
    server: ServerArgs,
    /// Over the time from so long ago until now, such as 1h or 7d
    #[arg(long, value_name = "DURATION", global = true)]
    range: Option<String>,
    /// Distance of the points of --range, such as 15s; without it 120 points, and at least 15 s
    #[arg(long, value_name = "DURATION", global = true)]
    step: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Of {
    /// A host: CPU, memory, disks, network
    System {
        /// Which, where there are several: its `instance`, with or without the port
        #[arg(long)]
        host: Option<String>,
    },
    /// An app with its containers: by swarm service, compose project-service, or container name
    App {
        /// Its name
        name: String,
    },
    /// A container
    Container {
        /// Its name
        name: String,
    },
    /// The server itself: its version, and which of its targets are down; an error when it does not answer (yet)
    Health,
}

pub(super) fn run(args: &MetricsArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (client, tunnel) = runtime.block_on(args.server.client())?;
    let range = args.range()?;
    let asked = runtime.block_on(tunnel::ask(tunnel.as_ref(), async || match range {
        Some(range) => over(args, &client, range).await,
        None => now(args, &client).await,
    }))?;
    out::line(&asked.map_err(|error| args.server.explain(error))??)
}

async fn now(args: &MetricsArgs, client: &Client) -> Result<anyhow::Result<String>, ClientError> {
    Ok(match &args.of {
        Of::System { host } => show(
            args.json,
            &client.system_metrics(host.as_deref()).await?,
            summary::system,
        ),
        Of::App { name } => show(args.json, &client.app_metrics(name).await?, summary::app),
        Of::Container { name } => show(
            args.json,
            &client.container_metrics(name).await?,
            summary::container,
        ),
        Of::Health => health(args.json, client.url(), &client.health().await?),
    })
}

async fn over(
    args: &MetricsArgs,
    client: &Client,
    range: Range,
) -> Result<anyhow::Result<String>, ClientError> {
    Ok(match &args.of {
        Of::System { host } => show(
            args.json,
            &client.system_range(host.as_deref(), range).await?,
            history::system,
        ),
        Of::App { name } => show(args.json, &client.app_range(name, range).await?, history::app),
        Of::Container { name } => show(
            args.json,
            &client.container_range(name, range).await?,
            history::container,
        ),
        Of::Health => Err(anyhow::anyhow!(
            "metrics health tells of this moment: leave --range out"
        )),
    })
}

impl MetricsArgs {
    /// The range that is asked for, until now.
    fn range(&self) -> anyhow::Result<Option<Range>> {
        let Some(text) = &self.range else {
            anyhow::ensure!(
                self.step.is_none(),
                "--step wants --range: the time that it divides"
            );
            return Ok(None);
        };
        let range_ms = flag_ms("range", text)?;
        let step_ms = match &self.step {
            Some(step) => flag_ms("step", step)?,
            None => (range_ms / POINTS / 1000 * 1000).max(LEAST_STEP_MS),
        };
        let end_ms = clock::now_ms() / 1000 * 1000;
        Range::new(end_ms - range_ms, end_ms, step_ms)
            .map(Some)
            .map_err(|error| self.server.explain(error))
    }
}

/// A server that does not answer yet is an error for who asks whether it does.
fn health(json: bool, url: &str, health: &Health) -> anyhow::Result<String> {
    if let Some(reason) = health.reason.as_ref().filter(|_| !health.ready && !json) {
        anyhow::bail!("{url} does not answer queries yet: {}", words::printable(reason));
    }
    show(json, health, |health| {
        let version = health.version.as_ref().map_or(String::new(), |version| {
            format!(", version {}", words::printable(version))
        });
        let down: Vec<&TargetHealth> = health.targets.iter().filter(|target| !target.up).collect();
        let up = health.targets.len() - down.len();
        let mut text = format!("answers{version}; {up} of {} targets up", health.targets.len());
        for target in down {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "\n  down: {} of job {}",
                words::printable(&target.instance),
                words::printable(&target.job)
            );
        }
        text
    })
}

fn show<T: Serialize>(json: bool, value: &T, text: fn(&T) -> String) -> anyhow::Result<String> {
    if json {
        Ok(serde_json::to_string_pretty(value)?)
    } else {
        Ok(text(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_reads_with_what_is_down() {
        let target = |instance: &str, up| TargetHealth {
            job: "node".to_owned(),
            instance: instance.to_owned(),
            up,
        };
        let mut one = Health {
            ready: true,
            version: Some("3.5.0".to_owned()),
            targets: vec![target("a:9100", true), target("b:9100", false)],
            ..Health::default()
        };
        assert_eq!(
            health(false, "http://h", &one).unwrap(),
            "answers, version 3.5.0; 1 of 2 targets up\n  down: b:9100 of job node"
        );
        one.ready = false;
        one.reason = Some("starting".to_owned());
        let error = health(false, "http://h", &one).unwrap_err().to_string();
        assert!(
            error.contains("http://h") && error.contains("starting"),
            "{error}"
        );
        assert!(
            health(true, "http://h", &one)
                .unwrap()
                .contains("\"ready\": false")
        );
    }
}
