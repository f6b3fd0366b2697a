//! `masthead server add`: tries the connection, then writes the server down.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use stack::{Address, Level, Registry, Server, ServerName, survey};

use super::seen;
use crate::cli::stack::check::text;
use crate::cli::stack::{EXIT_CODES, Outcome, Progress, host_keys, run_to_end};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead server add web-2 root@203.0.113.7
  masthead server add db deploy@db.example.com:2222 --identity ~/.ssh/db
  masthead server add office bastion-alias           an alias of ~/.ssh/config, with its jump hosts and keys

The connection is tried first; a server that cannot be reached is not registered, unless with --no-test. Keys are referred to,
never copied. The file is $MASTHEAD_SERVERS, else /etc/masthead/servers.json for root and ~/.config/masthead/servers.json for others.

{EXIT_CODES}"))]
pub(in crate::cli) struct AddArgs {
    /// What it is called here, and in the label `server`
    name: ServerName,
    /// [USER@]HOST[:PORT]; what is not said, ssh's own configuration says
    address: Address,
    /// Log in with this private key and no other
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Where the stack's files are to be there [default: as on this machine]
    #[arg(long, value_name = "DIR")]
    base_dir: Option<PathBuf>,
    /// Docker's socket there [default: /var/run/docker.sock]
    #[arg(long, value_name = "PATH")]
    docker_socket: Option<PathBuf>,
    /// Take and remember its host key, if it is not known yet
    #[arg(long)]
    accept_new_host_key: bool,
    /// Register it without trying the connection
    #[arg(long)]
    no_test: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &AddArgs) -> anyhow::Result<()> {
    run_to_end(args.json, &Progress::new(), async {
        let server = args.server()?;
        let path = Registry::default_path();
        let registry = Registry::load(&path)?;
        let name = server.name.to_string();
        let is_there = registry.servers().iter().any(|known| known.name == server.name);
        let mut surveys = Vec::new();
        // One that is registered already is refused below, in the same words.
        if !args.no_test && !is_there {
            let keys = host_keys(args.accept_new_host_key, true);
            let survey = survey(&server, keys, &clock::now_ms).await;
            if survey.connected_ms.is_none() {
                return Ok(Outcome {
                    text: format!(
                        "{}\n\n{name} was not registered; --no-test registers it all the same",
                        text(&survey.findings)
                    ),
                    fields: json!({ "registered": false, "findings": survey.findings }),
                    code: 7,
                });
            }
            surveys.push(survey);
        }
        Registry::add(&path, server.clone())?;
        if !surveys.is_empty() {
            seen::look(&Registry::load(&path)?, &[&server], &surveys);
        }
        let findings: Vec<_> = surveys.into_iter().flat_map(|survey| survey.findings).collect();
        let wrong: Vec<_> = findings
            .iter()
            .filter(|f| f.level != Level::Ok)
            .cloned()
            .collect();
        let mut lines = format!("registered {name} ({}) in {}", args.address, path.display());
        if !wrong.is_empty() {
            lines = format!("{}\n\n{lines}", text(&wrong));
        }
        Ok(Outcome::done(
            lines,
            json!({ "registered": true, "findings": findings }),
        ))
    })
}

impl AddArgs {
    fn server(&self) -> anyhow::Result<Server> {
        let identity = match &self.identity {
            None => None,
            Some(file) => {
                // Commands are run from other folders later. `--identity=~/KEY` reaches us as it stands: not every shell reads it.
                let home = file.strip_prefix("~").ok().zip(std::env::home_dir());
                let file = home.map_or_else(|| file.clone(), |(rest, home)| home.join(rest));
                let file = std::path::absolute(file)?;
                if !file.is_file() {
                    anyhow::bail!("--identity {}: there is no such file", file.display());
                }
                Some(file)
            }
        };
        Ok(Server {
            name: self.name.clone(),
            address: self.address.clone(),
            identity,
            base_dir: self.base_dir.clone(),
            docker_socket: self.docker_socket.clone(),
        })
    }
}
