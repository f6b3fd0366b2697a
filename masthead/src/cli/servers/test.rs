//! `masthead server test`: findings about servers, with their cures.

use clap::Args;
use futures_util::future::join_all;
use serde_json::{Map, json};
use stack::{HostKeys, Level, Server, survey};

use super::{seen, waiting};
use crate::cli::stack::check::text;
use crate::cli::stack::{EXIT_CODES, FOUND, Outcome, Progress, Usage, host_keys, registered, run_to_end};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead server test web-2
  masthead server test --all --json

Looks at SSH and the host key, rights, what may be forwarded, programs, cgroups, the clock, Docker and its permission, and room. Nothing is changed there.

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
    let progress = Progress::new();
    run_to_end(args.json, &progress, async {
        let registry = registered()?;
        let servers: Vec<&Server> = match (args.all, args.servers.as_slice()) {
            (true, _) => registry.servers().iter().collect(),
            (false, []) => return Err(Usage("name servers to test, or say --all").into()),
            (false, names) => names
                .iter()
                .map(|name| registry.server(name))
                .collect::<Result<_, _>>()?,
        };
        if servers.is_empty() {
            return Err(
                Usage("no server is registered; `masthead server add NAME USER@HOST` adds one").into(),
            );
        }
        let keys = host_keys(args.accept_new_host_key, servers.len() == 1);
        // ssh may ask about the host key, where a line that moves would be in the way.
        if keys != HostKeys::Ask {
            waiting(&progress, servers.len());
        }
        let asked = servers.iter().map(|server| survey(server, keys, &clock::now_ms));
        let surveys = join_all(asked).await;
        let seen = seen::look(&registry, &servers, &surveys);
        let mut texts = Vec::new();
        let mut fields = Map::new();
        let mut code = 0;
        for ((server, survey), sighting) in servers.iter().zip(surveys).zip(&seen) {
            let is_wrong = survey
                .findings
                .iter()
                .any(|finding| finding.level == Level::Problem);
            code = code.max(match (survey.connected_ms, is_wrong) {
                (None, _) => 7,
                (Some(_), true) => FOUND,
                (Some(_), false) => 0,
            });
            let mut found = text(&survey.findings);
            if !sighting.reached {
                found = format!("out of reach {}\n{found}", seen::text(sighting));
            }
            texts.push(match servers.len() {
                1 => found,
                _ => format!("{}:\n  {}", server.name, found.replace('\n', "\n  ")),
            });
            let mut object = seen::fields(sighting);
            object["connected_ms"] = json!(survey.connected_ms);
            object["answer_ms"] = json!(survey.answer_ms);
            object["findings"] = json!(survey.findings);
            fields.insert(server.name.to_string(), object);
        }
        Ok(Outcome {
            text: texts.join("\n\n"),
            fields: json!({ "servers": fields }),
            code,
        })
    })
}
