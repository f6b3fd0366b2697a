//! `masthead server list`: a table of them, with what asking each of them came to.

use clap::Args;
use comfy_table::{Table, presets};
use futures_util::future::join_all;
use serde_json::json;
use stack::{HostKeys, Registry, Server, Survey, survey};

use crate::cli::out;
use crate::cli::stack::{EXIT_CODES, FOUND, Outcome, Progress, run_to_end};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct ListArgs {
    /// Do not connect to them
    #[arg(long)]
    no_test: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    run_to_end(args.json, &Progress::new(), async {
        let registry = Registry::load(&Registry::default_path())?;
        if !registry.close()? {
            out::note(&format!(
                "{} was readable for others; it is not any more",
                registry.path().display()
            ));
        }
        let servers = registry.servers();
        if servers.is_empty() {
            return Ok(Outcome::done(
                "no server is registered; `masthead server add NAME USER@HOST` adds one",
                json!({ "servers": [] }),
            ));
        }
        let states: Vec<Option<Survey>> = match args.no_test {
            true => servers.iter().map(|_| None).collect(),
            false => {
                let asked = servers
                    .iter()
                    .map(|server| survey(server, HostKeys::Known, &clock::now_ms));
                join_all(asked).await.into_iter().map(Some).collect()
            }
        };
        let is_out_of_reach =
            |state: &Option<Survey>| state.as_ref().is_some_and(|s| s.connected_ms.is_none());
        Ok(Outcome {
            code: if states.iter().any(is_out_of_reach) {
                FOUND
            } else {
                0
            },
            text: table(servers, &states),
            fields: json!({ "servers": servers.iter().zip(&states).map(|(s, state)| object(s, state.as_ref())).collect::<Vec<_>>() }),
        })
    })
}

fn finding(survey: &Survey, name: &str) -> String {
    let found = survey.findings.iter().find(|finding| finding.name == name);
    found.map(|finding| finding.text.clone()).unwrap_or_default()
}

fn table(servers: &[Server], states: &[Option<Survey>]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["SERVER", "ADDRESS", "STATE", "DOCKER", "STACK"]);
    for (server, state) in servers.iter().zip(states) {
        let state = match state {
            None => [String::new(), String::new(), String::new()],
            Some(survey) => [
                match survey.connected_ms {
                    Some(ms) => format!("reached in {ms} ms"),
                    None => format!("OUT OF REACH: {}", finding(survey, "ssh")),
                },
                finding(survey, "docker"),
                finding(survey, "stack"),
            ],
        };
        let [reach, docker, stack] = state;
        table.add_row([
            server.name.to_string(),
            server.address.to_string(),
            reach,
            docker,
            stack,
        ]);
    }
    let rows: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    rows.join("\n")
}

fn object(server: &Server, state: Option<&Survey>) -> serde_json::Value {
    let mut object = json!(server);
    if let Some(survey) = state {
        object["reached"] = survey.connected_ms.is_some().into();
        object["connected_ms"] = json!(survey.connected_ms);
        object["findings"] = json!(survey.findings);
    }
    object
}
