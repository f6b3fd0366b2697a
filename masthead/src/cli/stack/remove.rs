//! `masthead remove`: shows what it removes, asks, and removes it.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::json;

use super::outcome::Usage;
use super::{Common, EXIT_CODES, Manner, Outcome};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead remove                                    asks first; data, conf.d and rules stay
  masthead remove --purge-data --yes                 all of it

{EXIT_CODES}"))]
pub(in crate::cli) struct RemoveArgs {
    #[command(flatten)]
    common: Common,
    /// Remove the stored samples too
    #[arg(long)]
    purge_data: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
}

pub(super) fn run(args: &RemoveArgs) -> anyhow::Result<()> {
    let manner = Manner {
        wait: args.wait,
        ..Manner::default()
    };
    if args.common.all && !args.yes {
        return Err(Usage("remove on all servers asks nobody: say --yes, or name one with --server").into());
    }
    args.common.run(&manner, &async |stack, progress| {
        if !args.yes {
            let steps = stack.plan_removal(args.purge_data).await?;
            if steps.is_empty() {
                return Ok(Outcome::done("nothing to remove", json!({ "steps": steps })));
            }
            if !std::io::stdin().is_terminal() || args.common.json {
                return Err(Usage("remove asks first, and there is no terminal to ask on; say --yes").into());
            }
            if !is_wanted(&steps, args.purge_data)? {
                return Ok(Outcome::done("nothing was removed", json!({ "steps": [] })));
            }
        }
        let report = stack
            .remove(args.purge_data, &|event| progress.hear(event))
            .await?;
        let text = match report.steps.is_empty() {
            true => "nothing to remove",
            false => "removed",
        };
        Ok(Outcome::done(text, serde_json::to_value(&report)?))
    })
}

fn is_wanted(steps: &[String], purges: bool) -> anyhow::Result<bool> {
    let question = match purges {
        true => "Do this? The stored samples go too and do not come back.",
        false => "Do this?",
    };
    say(&format!("{}\n{question} [y/N] ", steps.join("\n")))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(is_yes(&answer))
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes())?;
    stderr.flush()?;
    Ok(())
}

pub(super) fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_is_yes() {
        assert!(is_yes("y\n") && is_yes("Yes\n"));
        assert!(!is_yes("\n") && !is_yes("n\n") && !is_yes("yo\n") && !is_yes(""));
    }
}
