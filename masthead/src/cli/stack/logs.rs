//! `masthead logs`: what components have written, each line with its component.

use clap::Args;
use futures_util::StreamExt;
use serde_json::json;
use stack::Component;

use super::outcome::Interrupted;
use super::{Common, EXIT_CODES, Manner, Outcome, Progress, component, run_to_end};
use crate::cli::out;

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead logs
  masthead logs prometheus --follow --tail 20

With --json each line is an object of its own: {{\"component\":\"prometheus\",\"text\":\"...\"}}

{EXIT_CODES}"))]
pub(in crate::cli) struct LogsArgs {
    #[command(flatten)]
    common: Common,
    /// Which: prometheus, node-exporter, cadvisor; all without one
    #[arg(value_name = "COMPONENT", value_parser = component)]
    component: Option<Component>,
    /// Go on with lines as they come, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// The last so many lines of each
    #[arg(long, value_name = "LINES", default_value_t = 100)]
    tail: usize,
}

pub(super) fn run(args: &LogsArgs) -> anyhow::Result<()> {
    let progress = Progress::new();
    // The lines are the outcome; with --json there is no object after them but that of an error.
    let ended = run_to_end(false, &progress, async {
        let stack = args.common.stack(&Manner::default()).await?;
        let mut lines = stack.logs(args.component, args.follow, Some(args.tail)).await?;
        let width = match args.component {
            Some(component) => component.name().len(),
            None => Component::ALL.iter().map(|c| c.name().len()).max().unwrap_or(0),
        };
        while let Some(line) = lines.next().await {
            let line = line?;
            match args.common.json {
                true => out::line(&serde_json::to_string(&line)?)?,
                false => out::line(&format!("{:<width$} | {}", line.component.name(), line.text))?,
            }
        }
        Ok(Outcome::done("", json!({})))
    });
    match ended {
        // That is how one stops following.
        Err(error) if error.is::<Interrupted>() => Ok(()),
        ended => ended,
    }
}
