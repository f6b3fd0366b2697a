//! `masthead server test`: findings about servers, with their cures.

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Map, json};
use stack::{Level, Registry, Server, survey};

use crate::cli::stack::check::text;
use crate::cli::stack::{EXIT_CODES, FOUND, Outcome, Progress, Usage, host_keys, run_to_end};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead server test web-2
  masthead server test --all --json

Looks at SSH and the host key, rights, Docker and its permission, programs, cgroups, clock and room. Nothing is changed there.

{EXIT_CODES}"))]
pub(in crate::cli) struct TestArgs {
    /// Which
    #[arg(value_name = "NAME")]
    servers: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "servers")]
    all: bool,
    /// Take and remember a host key that is not known yet
    #[arg(long)]
    accept_new_host_key: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &TestArgs) -> anyhow::Result<()> {
    run_to_end(args.json, &Progress::new(), async {
        let registry = Registry::load(&Registry::default_path())?;
        let servers: Vec<&Server> = match (args.all, args.servers.as_slice()) {
            (true, _) => registry.servers().iter().collect(),
            (false, []) => return Err(Usage("name servers to test, or say --all").into()),
            (false, names) => names
                .iter()
                .map(|name| registry.server(name))
                .collect::<Result<_, _>>()?,
        };
        let keys = host_keys(args.accept_new_host_key, servers.len() == 1);
        let asked = servers.iter().map(|server| survey(server, keys, &clock::now_ms));
        let surveys = join_all(asked).await;
        let mut texts = Vec::new();
        let mut fields = Map::new();
        let mut code = 0;
        for (server, survey) in servers.iter().zip(surveys) {
            let is_wrong = survey
                .findings
                .iter()
                .any(|finding| finding.level == Level::Problem);
            code = code.max(match (survey.connected_ms, is_wrong) {
                (None, _) => 7,
                (Some(_), true) => FOUND,
                (Some(_), false) => 0,
            });
            let found = text(&survey.findings);
            texts.push(match servers.len() {
                1 => found,
                _ => format!("{}:\n  {}", server.name, found.replace('\n', "\n  ")),
            });
            fields.insert(
                server.name.to_string(),
                json!({ "reached": survey.connected_ms.is_some(), "connected_ms": survey.connected_ms, "findings": survey.findings }),
            );
        }
        Ok(Outcome {
            text: texts.join("\n\n"),
            fields: json!({ "servers": fields }),
            code,
        })
    })
}
