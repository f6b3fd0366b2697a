//! `masthead setup`: what is wanted from the flags, the plan, and its execution.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stack::{Change, Component, Duration, NetworkName, Pull, Report, ServerName, Size};

use super::outcome::Usage;
use super::{Common, EXIT_CODES, Manner, Outcome, component, embedded};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead setup --dry-run                           what it would do
  masthead setup                                     Prometheus on 127.0.0.1:9090, with a password
  masthead setup --port prometheus=9091 --retention-time 30d --retention-size 20GB
  masthead setup --without cadvisor
  masthead setup --server web-2                      on a registered server, over SSH
  masthead setup --all                               on all of them, side by side
  masthead setup --runtime embedded --server web-2   this program as its service, instead of containers
  masthead setup --with alertmanager,grafana         and more; docs/upstream-stack.md says what each gives
  masthead setup --swarm                             on a manager: the exporters on every node; docs/swarm.md
  masthead setup                                     again: nothing to do, flags of earlier runs are kept

Needs root: files of the stack belong to the users that its containers run as. The engine is that of DOCKER_HOST (unix:///PATH), else Docker's.
The stack's folder holds prometheus.yml (made by setup), conf.d/ and rules/ (yours), data/ and secrets/.

{EXIT_CODES}"))]
pub(in crate::cli) struct SetupArgs {
    #[command(flatten)]
    common: Common,
    /// What watches: the real Prometheus in containers, or this program as a service of a registered server (with --server)
    #[arg(long, value_enum, default_value_t = Runtime::Upstream)]
    runtime: Runtime,
    /// With --runtime embedded: the program to copy there, where this one is for another architecture
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Leave a component out: node-exporter, cadvisor, or one that was asked for
    #[arg(long, value_name = "COMPONENT", value_parser = component, value_delimiter = ',')]
    without: Vec<Component>,
    /// Have a component that is not there by default (alertmanager, pushgateway, grafana, discovery), or one that was left out
    #[arg(long, value_name = "COMPONENT", value_parser = component, value_delimiter = ',')]
    with: Vec<Component>,
    /// Move a port: prometheus=9091, alertmanager=, pushgateway=, grafana=3001 (on this host's loopback), node-exporter=9101 (on the
    /// stack's bridge), cadvisor=8081 (in its container)
    #[arg(long, value_name = "COMPONENT=PORT", value_parser = port)]
    port: Vec<(Component, u16)>,
    /// Have Prometheus join a network of applications, so that it reaches them by their containers' names
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    network: Vec<NetworkName>,
    /// Have it leave one that it joined
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    without_network: Vec<NetworkName>,
    /// Have node_exporter and cAdvisor on every node of the swarm that this engine manages, nodes that join later too
    #[arg(long, conflicts_with = "without_swarm")]
    swarm: bool,
    /// Have them on this host alone again
    #[arg(long, conflicts_with = "swarm_encrypt")]
    without_swarm: bool,
    /// Encrypt what crosses between the nodes (IPsec; their firewalls have to let ESP through)
    #[arg(long, conflicts_with = "without_swarm_encrypt")]
    swarm_encrypt: bool,
    /// Do not encrypt it any more
    #[arg(long)]
    without_swarm_encrypt: bool,
    /// How long samples are kept, such as 30d [default: 15d]
    #[arg(long, value_name = "DURATION")]
    retention_time: Option<Duration>,
    /// How much is kept at most, such as 20GB; none takes the limit away
    #[arg(long, value_name = "SIZE", value_parser = retention_size)]
    retention_size: Option<RetentionSize>,
    /// Between two scrapes, such as 30s [default: 15s]
    #[arg(long, value_name = "DURATION")]
    scrape_interval: Option<Duration>,
    /// The external label `server` [default: the registered name with --server, else this host's name]
    #[arg(long, value_name = "NAME")]
    server_label: Option<ServerName>,
    /// Whether images are fetched
    #[arg(long, value_enum, default_value_t = PullArg::Missing)]
    pull: PullArg,
    /// Take over containers, networks and files of these names that somebody else made
    #[arg(long)]
    adopt: bool,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Runtime {
    /// Containers of Prometheus and its exporters
    Upstream,
    /// Masthead itself
    Embedded,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum PullArg {
    /// When the engine does not have them
    Missing,
    /// Never: a missing image is an error
    Never,
}

impl From<PullArg> for Pull {
    fn from(arg: PullArg) -> Self {
        match arg {
            PullArg::Missing => Self::Missing,
            PullArg::Never => Self::Never,
        }
    }
}

/// A limit, or none.
#[derive(Debug, Clone)]
struct RetentionSize(Option<Size>);

fn retention_size(text: &str) -> Result<RetentionSize, stack::ValueError> {
    match text {
        "none" => Ok(RetentionSize(None)),
        text => text.parse().map(|size| RetentionSize(Some(size))),
    }
}

fn port(text: &str) -> Result<(Component, u16), String> {
    let forms = "write it as prometheus=9091";
    let (name, number) = text.split_once('=').ok_or(forms)?;
    let component = component(name).map_err(|error| error.to_string())?;
    let port = number
        .parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| format!("{number:?} is no port from 1 to 65535; {forms}"))?;
    Ok((component, port))
}

/// What two flags say that turn one thing on and off.
fn on_or_off(on: bool, off: bool) -> Option<bool> {
    (on || off).then_some(on)
}

impl SetupArgs {
    fn change(&self) -> Change {
        Change {
            without: self.without.iter().copied().collect(),
            with: self.with.iter().copied().collect(),
            join: self.network.iter().cloned().collect(),
            leave: self.without_network.iter().cloned().collect(),
            swarm: on_or_off(self.swarm, self.without_swarm),
            swarm_encrypt: on_or_off(self.swarm_encrypt, self.without_swarm_encrypt),
            ports: self.port.iter().copied().collect(),
            retention_time: self.retention_time.clone(),
            retention_size: self.retention_size.clone().map(|RetentionSize(size)| size),
            scrape_interval: self.scrape_interval.clone(),
            server: self.server_label.clone(),
        }
    }
}

impl SetupArgs {
    /// Flags to what `masthead service install` takes on the server.
    fn embedded(&self) -> anyhow::Result<embedded::Wanted<'_>> {
        let Some(server) = &self.common.server else {
            return Err(Usage(
                "--runtime embedded is for one registered server: name it with --server; on this machine `masthead service install` does it",
            )
            .into());
        };
        let change = self.change();
        let others = self
            .port
            .iter()
            .any(|(component, _)| *component != Component::Prometheus);
        let limits = matches!(self.retention_size, Some(RetentionSize(None)));
        embedded::refuse(
            others
                || limits
                || !(change.with.is_empty() && change.without.is_empty())
                || !(change.join.is_empty() && change.leave.is_empty())
                || change.swarm.is_some()
                || change.swarm_encrypt.is_some()
                || change.server.is_some()
                || change.scrape_interval.is_some()
                || self.common.base_dir.is_some(),
        )?;
        let mut options = Vec::new();
        if let Some((_, port)) = self.port.first() {
            options.push(format!("--listen=127.0.0.1:{port}"));
        }
        if let Some(time) = &self.retention_time {
            options.push(format!("--retention-time={time}"));
        }
        if let Some(RetentionSize(Some(size))) = &self.retention_size {
            options.push(format!("--retention-size={size}"));
        }
        if self.adopt {
            options.push("--adopt".to_owned());
        }
        Ok(embedded::Wanted {
            server,
            binary: self.binary.as_deref(),
            options,
            accept_new_host_key: self.common.accept_new_host_key,
            dry_run: self.dry_run,
            json: self.common.json,
        })
    }
}

pub(super) fn run(args: &SetupArgs) -> anyhow::Result<()> {
    match args.runtime {
        Runtime::Embedded => return embedded::run(&args.embedded()?),
        Runtime::Upstream if args.binary.is_some() => {
            return Err(Usage("--binary goes with --runtime embedded").into());
        }
        Runtime::Upstream => {}
    }
    let manner = Manner {
        pull: args.pull.into(),
        adopt: args.adopt,
        wait: args.wait,
    };
    args.common.run(&manner, &async |stack, progress| {
        let change = args.change();
        if args.dry_run {
            let planned = stack.plan(&change).await?;
            let steps: Vec<String> = planned.steps.iter().map(ToString::to_string).collect();
            let fields = json!({ "dry_run": true, "steps": steps, "options": planned.options });
            return Ok(Outcome::done(list(&steps), fields));
        }
        let report = stack.setup(&change, &|event| progress.hear(event)).await?;
        Ok(Outcome::done(text(&report), serde_json::to_value(&report)?))
    })
}

fn list(steps: &[String]) -> String {
    match steps.is_empty() {
        true => "nothing to do".to_owned(),
        false => steps.join("\n"),
    }
}

fn text(report: &Report) -> String {
    let done = match report.steps.len() {
        0 => "Nothing to do; every target is up.".to_owned(),
        1 => "1 step done; every target is up.".to_owned(),
        steps => format!("{steps} steps done; every target is up."),
    };
    let (Some(url), Some(user), Some(file)) = (&report.url, &report.user, &report.password_file) else {
        return done;
    };
    let mut text = format!(
        "{done}\nPrometheus answers at {url}; user {user}, password in {}",
        file.display()
    );
    for page in &report.pages {
        text.push_str(&format!(
            "\n{} answers at {}; user {}, password in {}",
            page.component,
            page.url,
            page.user,
            page.password_file.display()
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_sizes_are_read() {
        assert_eq!(port("prometheus=9091"), Ok((Component::Prometheus, 9091)));
        for (text, want) in [
            ("9091", "write it as"),
            ("loki=3100", "loki"),
            ("prometheus=0", "1 to 65535"),
            ("prometheus=99999", "1 to 65535"),
        ] {
            let error = port(text).expect_err("wrong");
            assert!(error.contains(want), "{error}");
        }
        assert!(retention_size("none").expect("none").0.is_none());
        assert!(retention_size("5GB").expect("a size").0.is_some());
        retention_size("5 apples").expect_err("no size");
    }

    #[test]
    fn what_was_done_is_said_shortly() {
        let mut report = Report::default();
        assert_eq!(text(&report), "Nothing to do; every target is up.");
        report.steps = vec!["a".to_owned(), "b".to_owned()];
        report.url = Some("http://127.0.0.1:9090".to_owned());
        report.user = Some("masthead".to_owned());
        report.password_file = Some("/b/secrets/prometheus.password".into());
        assert_eq!(
            text(&report),
            "2 steps done; every target is up.\nPrometheus answers at http://127.0.0.1:9090; user masthead, password in \
             /b/secrets/prometheus.password"
        );
        report.pages.push(stack::Page {
            component: Component::Grafana,
            url: "http://127.0.0.1:3000".to_owned(),
            user: "masthead".to_owned(),
            password_file: "/b/secrets/grafana.password".into(),
        });
        assert!(text(&report).ends_with(
            "\ngrafana answers at http://127.0.0.1:3000; user masthead, password in /b/secrets/grafana.password"
        ));
        assert_eq!(list(&[]), "nothing to do");
    }
}
