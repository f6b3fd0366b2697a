//! `masthead server list`: a table of them, with what asking each of them came to.

use clap::Args;
use comfy_table::{Table, presets};
use futures_util::future::join_all;
use serde_json::{Value, json};
use stack::{HostKeys, Registry, Server, Sighting, Sightings, Survey, survey};

use super::{seen, waiting};
use crate::cli::stack::{EXIT_CODES, FOUND, Outcome, Progress, registered, run_to_end};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct ListArgs {
    /// Do not connect to them: what is said of their state is of the last time
    #[arg(long)]
    no_test: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is known of a server: what a look at it came to, unless none was wanted, and what former ones tell.
struct State {
    survey: Option<Survey>,
    sighting: Option<Sighting>,
}

pub(super) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let progress = Progress::new();
    run_to_end(args.json, &progress, async {
        let registry = registered()?;
        let servers: Vec<&Server> = registry.servers().iter().collect();
        if servers.is_empty() {
            return Ok(Outcome::done(
                "no server is registered; `masthead server add NAME USER@HOST` adds one",
                json!({ "servers": [] }),
            ));
        }
        let states: Vec<State> = match args.no_test {
            true => remembered(&registry),
            false => {
                waiting(&progress, servers.len());
                asked(&registry, &servers).await
            }
        };
        let is_out_of_reach = |state: &State| state.survey.as_ref().is_some_and(|s| s.connected_ms.is_none());
        let objects: Vec<_> = servers
            .iter()
            .zip(&states)
            .map(|(server, state)| state.object(server))
            .collect();
        Ok(Outcome {
            code: match states.iter().any(is_out_of_reach) {
                true => FOUND,
                false => 0,
            },
            text: table(&servers, &states),
            fields: json!({ "servers": objects }),
        })
    })
}

fn remembered(registry: &Registry) -> Vec<State> {
    let sightings = Sightings::of(registry.path());
    let state = |server| State {
        survey: None,
        sighting: sightings.get(server).cloned(),
    };
    registry.servers().iter().map(state).collect()
}

async fn asked(registry: &Registry, servers: &[&Server]) -> Vec<State> {
    let surveys = servers
        .iter()
        .map(|server| survey(server, HostKeys::Known, &clock::now_ms));
    let surveys = join_all(surveys).await;
    let seen = seen::look(registry, servers, &surveys);
    let state = |(survey, sighting)| State {
        survey: Some(survey),
        sighting: Some(sighting),
    };
    surveys.into_iter().zip(seen).map(state).collect()
}

impl State {
    fn reach(&self) -> String {
        let seen = self.sighting.as_ref().map(seen::text).unwrap_or_default();
        match (&self.survey, &self.sighting) {
            (Some(survey), _) => match survey.connected_ms {
                Some(ms) => format!("reached in {ms} ms, {seen}"),
                None => format!("OUT OF REACH {seen}: {}", self.finding("ssh")),
            },
            // Nobody was asked: what is said is of then.
            (None, Some(sighting)) if sighting.reached => format!("was reached {seen}"),
            (None, Some(_)) => format!("was out of reach {seen}"),
            (None, None) => "never asked".to_owned(),
        }
    }

    fn finding(&self, name: &str) -> String {
        let found = self.survey.as_ref().and_then(|survey| survey.finding(name));
        found.map(|finding| finding.text.clone()).unwrap_or_default()
    }

    fn object(&self, server: &Server) -> Value {
        let mut object = json!(server);
        let Value::Object(fields) = &mut object else {
            return object;
        };
        if let Some(sighting) = &self.sighting
            && let Value::Object(seen) = seen::fields(sighting)
        {
            fields.extend(seen);
        }
        match &self.survey {
            Some(survey) => {
                fields.insert("connected_ms".to_owned(), json!(survey.connected_ms));
                fields.insert("findings".to_owned(), json!(survey.findings));
            }
            // It is not known whether it can be reached.
            None => {
                fields.remove("reached");
            }
        }
        object
    }
}

fn table(servers: &[&Server], states: &[State]) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["SERVER", "ADDRESS", "STATE", "DOCKER", "STACK"]);
    for (server, state) in servers.iter().zip(states) {
        table.add_row([
            server.name.to_string(),
            server.address.to_string(),
            state.reach(),
            state.finding("docker"),
            state.finding("stack"),
        ]);
    }
    let rows: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    rows.join("\n")
}
