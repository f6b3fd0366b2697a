//! `masthead setup|check|status|start|stop|restart|logs|upgrade|backup|restore|migrate|remove`: the upstream stack on this host's Docker Engine.
//!
//! Progress goes to standard error, the outcome to standard output: calm text, or with `--json` one object. Exit codes are the
//! same for all of them and part of the interface: [`EXIT_CODES`].

mod backup;
pub(super) mod check;
mod embedded;
mod life;
mod logs;
mod migrate;
mod outcome;
mod progress;
mod remove;
mod servers;
mod setup;
mod status;
mod upgrade;

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use stack::{Component, HostKeys, Link, Pull, Registry, Run, Server, Stack};

use crate::cli::out;

pub(super) use outcome::{FOUND, Outcome, Usage, exit_code, run_to_end};
pub(super) use progress::Progress;

/// What the exit codes mean, for the help.
pub(super) const EXIT_CODES: &str = "\
Exit codes: 0 done or well; 1 failed; 2 wrong usage; 3 something is wrong with the stack (check, status); 4 refused, because something \
of its names is not ours; 5 another run holds the lock; 6 no Docker Engine, or no permission to use it; 7 a server cannot be \
reached.";

#[derive(Debug, Subcommand)]
pub(super) enum StackCommand {
    /// Deploy the real Prometheus, node_exporter and cAdvisor as containers of this host, or change what was deployed
    Setup(Box<setup::SetupArgs>),
    /// Find out what is wrong with the deployed stack, with the cures
    Check(check::CheckArgs),
    /// How the deployed stack's containers are
    Status(status::StatusArgs),
    /// Start components of the deployed stack
    Start(life::LifeArgs),
    /// Stop components of the deployed stack
    Stop(life::LifeArgs),
    /// Restart components of the deployed stack
    Restart(life::LifeArgs),
    /// What components of the deployed stack have written
    Logs(logs::LogsArgs),
    /// Take the deployed stack to the versions of this masthead, one component at a time, and back where one does not do
    Upgrade(upgrade::UpgradeArgs),
    /// Write data, configuration and passwords into one file, while everything runs
    Backup(Box<backup::BackupArgs>),
    /// Put a backup in the place of what is there
    Restore(Box<backup::RestoreArgs>),
    /// Move data and configuration from the stack of containers to `masthead up` on this host, or back
    Migrate(Box<migrate::MigrateArgs>),
    /// Remove the deployed stack; its data stays unless it is purged
    Remove(remove::RemoveArgs),
}

/// What all of them take.
#[derive(Debug, Args)]
struct Common {
    /// Where the stack's files are [default: /etc/dokploy/prometheus where /etc/dokploy is, else /etc/masthead/prometheus]
    #[arg(long, value_name = "DIR")]
    base_dir: Option<PathBuf>,
    /// On this registered server, over SSH, instead of this machine (see `masthead server`)
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    server: Option<String>,
    /// On all registered servers, side by side
    #[arg(long)]
    all: bool,
    /// Take and remember a server's host key that is not known yet; one that has changed is refused in any case
    #[arg(long)]
    accept_new_host_key: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// How a command is carried out.
#[derive(Debug, Default)]
struct Manner {
    pull: Pull,
    adopt: bool,
    wait: bool,
}

impl Common {
    /// The base directory of this machine's stack.
    fn base_dir(&self) -> anyhow::Result<PathBuf> {
        match &self.base_dir {
            Some(dir) => std::path::absolute(dir)
                .map_err(|error| anyhow::anyhow!("--base-dir {}: {error}", dir.display())),
            None => Ok(stack::default_base_dir()),
        }
    }

    /// Runs a command on the stack that is meant, or on each of them, and prints what it came to.
    fn run(
        &self,
        manner: &Manner,
        act: &impl AsyncFn(&Stack, &Progress) -> anyhow::Result<Outcome>,
    ) -> anyhow::Result<()> {
        if self.all {
            return servers::run(self, manner, act);
        }
        let progress = Progress::new();
        run_to_end(self.json, &progress, async {
            let stack = self.stack(manner).await?;
            act(&stack, &progress).await
        })
    }

    /// The one stack that is meant.
    async fn stack(&self, manner: &Manner) -> anyhow::Result<Stack> {
        if self.all {
            return Err(Usage("this is done on one server at a time: name it with --server NAME").into());
        }
        if let Some(name) = &self.server {
            let registry = registered()?;
            return self.stack_of(registry.server(name)?, manner).await;
        }
        let base_dir = self.base_dir()?;
        let socket = socket(std::env::var("DOCKER_HOST").ok().as_deref())?;
        Ok(Stack::connect(socket, manner.run(base_dir))
            .await?
            .waiting(manner.wait))
    }

    /// The stack of a server.
    async fn stack_of(&self, server: &Server, manner: &Manner) -> anyhow::Result<Stack> {
        let link = Link::connect(server, host_keys(self.accept_new_host_key, !self.all)).await?;
        let base_dir = stack::base_dir_over(&link, self.base_dir.as_deref()).await?;
        Ok(Stack::over(&link, manner.run(base_dir))
            .await?
            .waiting(manner.wait))
    }
}

impl Manner {
    fn run(&self, base_dir: PathBuf) -> Run {
        Run {
            base_dir,
            pull: self.pull,
            adopt: self.adopt,
        }
    }
}

/// The registered servers. Their file is closed to others where it was open.
pub(super) fn registered() -> anyhow::Result<Registry> {
    let registry = Registry::load(&Registry::default_path())?;
    // Of a file that is somebody else's nothing can be mended, and it can be read all the same.
    if let Ok(false) = registry.close() {
        out::note(&format!(
            "{} was readable for others; it is not any more",
            registry.path().display()
        ));
    }
    Ok(registry)
}

/// What is done about an unknown host key: `ssh` asks where there is a terminal, and only one server to ask about.
pub(super) fn host_keys(accept_new: bool, may_ask: bool) -> HostKeys {
    let is_terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    match (accept_new, may_ask && is_terminal) {
        (true, _) => HostKeys::AcceptNew,
        (false, true) => HostKeys::Ask,
        (false, false) => HostKeys::Known,
    }
}

/// The engine's socket as `DOCKER_HOST` says it; `None` where it says nothing.
fn socket(docker_host: Option<&str>) -> anyhow::Result<Option<PathBuf>> {
    match docker_host {
        None | Some("") => Ok(None),
        Some(host) => match host.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
            Some(path) => Ok(Some(PathBuf::from(path))),
            // An engine elsewhere was meant; the one of this machine in its place would be a surprise.
            None => anyhow::bail!(
                "DOCKER_HOST={host} is no unix socket; the stack is set up on this machine's engine: unset DOCKER_HOST, or set \
                 it to unix:///PATH (another machine's is reached with --server NAME)"
            ),
        },
    }
}

pub(super) fn run(command: &StackCommand) -> anyhow::Result<()> {
    match command {
        StackCommand::Setup(args) => setup::run(args),
        StackCommand::Check(args) => check::run(args),
        StackCommand::Status(args) => status::run(args),
        StackCommand::Start(args) => life::start(args),
        StackCommand::Stop(args) => life::stop(args),
        StackCommand::Restart(args) => life::restart(args),
        StackCommand::Logs(args) => logs::run(args),
        StackCommand::Upgrade(args) => upgrade::run(args),
        StackCommand::Backup(args) => backup::backup(args),
        StackCommand::Restore(args) => backup::restore(args),
        StackCommand::Migrate(args) => migrate::run(args),
        StackCommand::Remove(args) => remove::run(args),
    }
}

/// A component's name, for clap.
fn component(word: &str) -> Result<Component, stack::UnknownComponent> {
    word.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_is_a_unix_socket_or_an_error() {
        assert_eq!(socket(None).expect("nothing said"), None);
        assert_eq!(socket(Some("")).expect("nothing said"), None);
        assert_eq!(
            socket(Some("unix:///run/x.sock")).expect("a socket"),
            Some(PathBuf::from("/run/x.sock"))
        );
        for elsewhere in ["tcp://10.0.0.1:2375", "ssh://host", "unix://relative"] {
            let error = socket(Some(elsewhere)).expect_err("elsewhere").to_string();
            assert!(error.contains("unset DOCKER_HOST"), "{error}");
        }
    }
}
