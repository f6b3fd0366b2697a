//! `masthead server add|list|test|remove`: the servers that commands with --server and --all are about.

mod add;
mod list;
mod remove;
mod seen;
mod test;

use std::io::IsTerminal;

use clap::Subcommand;
use stack::Event;

use crate::cli::stack::Progress;

#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// Register a server, once it was reached
    Add(add::AddArgs),
    /// The registered servers, and whether they can be reached
    List(list::ListArgs),
    /// Find out whether servers are fit for a stack, with the cures
    Test(test::TestArgs),
    /// Forget a server; what runs there is left alone
    Remove(remove::RemoveArgs),
}

/// Says on a terminal whom an answer is waited for; one that is silent may take half a minute.
fn waiting(progress: &Progress, servers: usize) {
    if std::io::stderr().is_terminal() && servers > 0 {
        let what = match servers {
            1 => "the server".to_owned(),
            servers => format!("{servers} servers"),
        };
        progress.hear(Event::Waiting { what });
    }
}

pub(super) fn run(command: &ServerCommand) -> anyhow::Result<()> {
    match command {
        ServerCommand::Add(args) => add::run(args),
        ServerCommand::List(args) => list::run(args),
        ServerCommand::Test(args) => test::run(args),
        ServerCommand::Remove(args) => remove::run(args),
    }
}
