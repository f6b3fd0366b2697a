//! The upstream stack on servers: what `masthead --server NAME` does over SSH, as somebody types it on another machine.

pub(in super::super) mod both;
pub(in super::super) mod faults;
pub(in super::super) mod life;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{CONTAINERS, Outcome, Ran, ran};
use crate::docker;
use crate::remote::{Host, Operator};
use crate::shell;

/// An operator and servers; the first is `one`.
struct Remote {
    operator: Operator,
    hosts: Vec<Host>,
}

/// Names of hosts and the numbers of their networks.
const HOSTS: [(&str, u8); 2] = [("one", 1), ("two", 2)];

/// A command that sets up with images that are there, and a scrape each second.
const QUICK: [&str; 4] = ["--pull", "never", "--scrape-interval", "1s"];

/// Runs a case with so many hosts; what cannot be had here is something missing, all else a failure.
fn with_hosts(count: usize, case: impl FnOnce(&mut Remote) -> Result<()>) -> Result<Outcome> {
    match Remote::new(count) {
        Ok(mut remote) => case(&mut remote).map(|()| Outcome::Passed),
        Err(why) => Ok(Outcome::Missing(why)),
    }
}

impl Remote {
    fn new(count: usize) -> Result<Self> {
        let operator = Operator::new()?;
        let mut hosts = Vec::new();
        for (name, number) in HOSTS.into_iter().take(count) {
            let host = Host::start(&operator, name, number)?;
            docker::stack::load(&host.docker)?;
            hosts.push(host);
        }
        Ok(Self { operator, hosts })
    }

    /// The first host.
    fn one(&self) -> Result<&Host> {
        self.hosts.first().context("a rig without hosts")
    }

    /// The same, to be changed.
    fn one_mut(&mut self) -> Result<&mut Host> {
        self.hosts.first_mut().context("a rig without hosts")
    }

    /// `masthead ARGS` on the operator's machine.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.operator.command(shell::release_binary());
        command.args(args);
        command
    }

    /// Runs it to its end.
    fn run(&self, args: &[&str]) -> Result<Ran> {
        ran(&mut self.command(args))
    }

    /// The same, which must do; gives what it printed.
    fn done(&self, args: &[&str]) -> Result<String> {
        let ran = self.run(args)?;
        ran.expect(0, &[]).with_context(|| format!("masthead {args:?}"))?;
        Ok(ran.out)
    }

    /// The same, with the object that it printed.
    fn json(&self, args: &[&str]) -> Result<Value> {
        let text = self.done(&[args, &["--json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("masthead {args:?}: no JSON: {text}"))
    }

    /// The words after `server add` for a host, under a name and as a user of it.
    fn words_of(&self, host: &Host, name: &str, user: &str, key: &str) -> Vec<String> {
        let path = |path: PathBuf| path.display().to_string();
        [
            name.to_owned(),
            format!("{user}@{}", host.address()),
            "--identity".to_owned(),
            path(self.operator.path(key)),
            "--base-dir".to_owned(),
            path(host.base()),
            "--docker-socket".to_owned(),
            path(host.docker.socket()),
        ]
        .into()
    }

    /// Registers a host, as root of it.
    fn add(&self, host: &Host, name: &str, args: &[&str]) -> Result<Ran> {
        self.add_as(host, name, "root", "key", args)
    }

    /// Registers a host with any user and key.
    fn add_as(&self, host: &Host, name: &str, user: &str, key: &str, args: &[&str]) -> Result<Ran> {
        let words = self.words_of(host, name, user, key);
        let words = words.iter().map(String::as_str);
        let all: Vec<&str> = ["server", "add"]
            .into_iter()
            .chain(words)
            .chain(args.iter().copied())
            .collect();
        self.run(&all)
    }

    /// The one value of a query to a server.
    fn value(&self, server: &str, promql: &str) -> Result<f64> {
        let json = self.json(&["query", "--server", server, promql])?;
        let value = match json.as_array().map(Vec::as_slice) {
            Some([one]) => one["values"][0][1].as_str().and_then(|text| text.parse().ok()),
            _ => None,
        };
        value.with_context(|| format!("{promql} on {server}: one value is wanted: {json}"))
    }

    /// Fails unless every container of the stack runs on a host, and a next setup of it would do nothing.
    fn is_settled(&self, host: &Host, server: &str) -> Result<()> {
        for name in CONTAINERS {
            let state = host.docker.inspect(name, ".State.Status")?;
            if state != "running" {
                bail!("{name} is {state} on {server}");
            }
        }
        let plan = self.json(&["setup", "--dry-run", "--server", server])?;
        match plan["steps"].as_array().map(Vec::as_slice) {
            Some([]) => Ok(()),
            _ => bail!("a second setup of {server} would still do something: {plan}"),
        }
    }
}
