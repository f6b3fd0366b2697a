//! The command line: what can be typed, and which function does it.
//!
//! Arguments are parsed in two steps: clap gives the raw words (this file), each command's file turns them into values that cannot be wrong.

pub mod out;

mod agent;
mod config_check;
mod doctor;
mod health;
mod history;
mod metrics;
mod plot;
mod promql_test;
mod query;
mod server;
mod servers;
mod service;
mod serving;
mod stack;
mod summary;
mod top;
mod tsdb;
mod tunnel;
mod ui;
mod up;
mod upstream;
mod words;

use clap::{CommandFactory, Parser, Subcommand};

pub use up::UpArgs;

const EXAMPLES: &str = "\
Examples:
  masthead up                                        watch this machine; page and API on 127.0.0.1:9090
  masthead up --listen 0.0.0.0:9090 --web-config web.yml
  masthead agent                                     collectors only, for a Prometheus elsewhere; on 127.0.0.1:9100
  masthead query 'node_load1'                        the value now
  masthead query 'rate(node_cpu_seconds_total[5m])' --range 1h --step 15s
  masthead metrics app shop-web                      CPU, memory, network of an app now
  masthead top                                       the apps, live in the terminal
  masthead doctor                                    what keeps it from seeing this machine
  masthead setup                                     the real Prometheus, node_exporter and cAdvisor as containers
  masthead server add web-2 root@203.0.113.7         then: masthead setup --server web-2
  masthead tsdb import /var/lib/prometheus           take over the history of a stopped Prometheus
  masthead service install                           run it at each start, by systemd
  masthead config check masthead.yml
  masthead completion bash > /etc/bash_completion.d/masthead";

/// Prometheus monitoring for Docker hosts, in one binary.
#[derive(Debug, Parser)]
#[command(name = "masthead", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch this machine: collect, scrape, store, and serve the page and the API
    Up(Box<UpArgs>),
    /// Serve this machine's metrics to a Prometheus elsewhere, and keep nothing
    Agent(agent::AgentArgs),
    /// Ask a running Masthead or Prometheus, and see a table or a plot
    Query(query::QueryArgs),
    /// Find out what keeps Masthead from seeing this machine, with the cures
    Doctor(doctor::DoctorArgs),
    /// A host, an app or a container now, from any Prometheus
    Metrics(metrics::MetricsArgs),
    /// Watch the apps in the terminal, live
    Top(top::TopArgs),
    #[command(flatten)]
    Stack(stack::StackCommand),
    /// The servers that are reached over SSH, for --server and --all
    #[command(subcommand)]
    Server(servers::ServerCommand),
    /// Open the page of a registered server here, through a tunnel
    Ui(ui::UiArgs),
    /// Work with stored data: take it from a Prometheus, write it for one, look at it, check it
    #[command(subcommand)]
    Tsdb(tsdb::TsdbCommand),
    /// Work with masthead.yml
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work with PromQL
    #[command(subcommand)]
    Promql(PromqlCommand),
    /// Run it at each start of the machine, by systemd
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Is the Masthead of this machine ready? For health checks
    Health(health::HealthArgs),
    /// Print the completion script of a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder
        folder: std::path::PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read a configuration file and say what is wrong with it
    Check {
        /// The file
        #[arg(default_value = "masthead.yml")]
        file: std::path::PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum PromqlCommand {
    /// Run PromQL test scripts (Prometheus' format) against this engine
    #[command(after_help = "Example:\n  masthead promql test my-rules.test more/*.test")]
    Test {
        /// The scripts
        #[arg(required = true)]
        files: Vec<std::path::PathBuf>,
        /// Print only the totals
        #[arg(long)]
        quiet: bool,
    },
    /// Print a query laid out over several lines
    Fmt {
        /// The query
        expr: String,
    },
}

/// `1.5 MiB`
pub(crate) fn bytes_text(bytes: f64) -> String {
    words::bytes(Some(bytes))
}

/// An error with its causes, each said once: some texts hold their cause already.
#[must_use]
pub fn error_text(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// The exit code for an error, and whether the command has printed it already.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> (u8, bool) {
    stack::exit_code(error)
}

/// Does what the command line says.
///
/// # Errors
/// What the command could not do; the text is for the person who typed it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Up(args) => up::run(*args),
        Command::Agent(args) => agent::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Metrics(args) => metrics::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Stack(command) => stack::run(&command),
        Command::Server(command) => servers::run(&command),
        Command::Ui(args) => ui::run(&args),
        Command::Tsdb(command) => tsdb::run(&command),
        Command::Config(ConfigCommand::Check { file }) => config_check::run(&file),
        Command::Promql(PromqlCommand::Test { files, quiet }) => promql_test::run(&files, quiet),
        Command::Promql(PromqlCommand::Fmt { expr }) => {
            let parsed = promql::parser::parse(&expr)?;
            out::line(&promql::printer::pretty(&parsed))
        }
        Command::Service(command) => service::run(command),
        Command::Health(args) => health::run(&args),
        Command::Man { folder } => man(&folder),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "masthead", &mut script);
            out::bytes(&script)
        }
    }
}

/// A page for each command, `masthead.1` and `masthead-service-install.1` and so on.
fn man(folder: &std::path::Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder))
        .map_err(|e| anyhow::anyhow!("writing the manual pages into {}: {e}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_cause_is_said_once() {
        let twice = anyhow::anyhow!("no such file").context("reading a: no such file");
        assert_eq!(error_text(&twice), "reading a: no such file");
        let once = anyhow::anyhow!("no such file").context("reading a");
        assert_eq!(error_text(&once), "reading a: no such file");
    }
}
