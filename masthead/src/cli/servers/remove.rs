//! `masthead server remove`: takes it out of the file, and says what goes on there.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use stack::{HostKeys, Link, Registry, ServerName, StackError};

use crate::cli::stack::{EXIT_CODES, Outcome, Progress, run_to_end};

/// A server that hangs can be removed too.
const ASK_LIMIT: Duration = Duration::from_secs(40);

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct RemoveArgs {
    /// Which
    name: ServerName,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &RemoveArgs) -> anyhow::Result<()> {
    run_to_end(args.json, &Progress::new(), async {
        let path = Registry::default_path();
        let registry = Registry::load(&path)?;
        let name = args.name.to_string();
        let server = registry.server(&name)?;
        // Only to say it: a server that is gone for good has to be removable.
        let asked = async {
            let link = Link::connect(server, HostKeys::Known).await?;
            let base_dir = stack::base_dir_over(&link, None).await?;
            stack::access_over(&link, &base_dir).await.map(|_| base_dir)
        };
        let stack = tokio::time::timeout(ASK_LIMIT, asked).await;
        Registry::remove(&path, &args.name)?;
        let (what, still_there) = match stack {
            Ok(Ok(base_dir)) => (
                format!(
                    "its stack goes on there, with its files under {}; register it again and run `masthead remove --server {name}` to end it",
                    base_dir.display()
                ),
                Some(true),
            ),
            Ok(Err(StackError::NotSetUp { .. })) => ("no stack is set up there".to_owned(), Some(false)),
            Ok(Err(StackError::Ssh { reason, .. })) => (unknown(&reason), None),
            Ok(Err(error)) => (unknown(&error.to_string()), None),
            Err(_) => (unknown("it does not answer"), None),
        };
        Ok(Outcome::done(
            format!("{name} is not registered any more; {what}"),
            json!({ "removed": name, "stack_goes_on": still_there }),
        ))
    })
}

fn unknown(why: &str) -> String {
    format!("it could not be asked whether a stack goes on there: {why}")
}
