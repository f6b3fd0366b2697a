//! `masthead start|stop|restart`: components by name, all without one.

use clap::Args;
use stack::{Component, Event, Report, Stack, StackError};

use super::{Common, EXIT_CODES, Manner, Outcome, Progress, component};

#[derive(Debug, Args)]
#[command(after_help = format!("Needs root. What is started is waited for until it is well; what is stopped stays stopped over a restart of the machine.\n\n{EXIT_CODES}"))]
pub(in crate::cli) struct LifeArgs {
    #[command(flatten)]
    common: Common,
    /// Which: prometheus, node-exporter, cadvisor; all without one
    #[arg(value_name = "COMPONENT", value_parser = component)]
    components: Vec<Component>,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
}

pub(super) fn start(args: &LifeArgs) -> anyhow::Result<()> {
    run(args, "started", &async |stack, components, progress| {
        stack
            .start(components, &|event: Event| progress.hear(event))
            .await
    })
}

pub(super) fn stop(args: &LifeArgs) -> anyhow::Result<()> {
    run(args, "stopped", &async |stack, components, progress| {
        stack.stop(components, &|event: Event| progress.hear(event)).await
    })
}

pub(super) fn restart(args: &LifeArgs) -> anyhow::Result<()> {
    run(args, "restarted", &async |stack, components, progress| {
        stack
            .restart(components, &|event: Event| progress.hear(event))
            .await
    })
}

fn run(
    args: &LifeArgs,
    word: &str,
    act: &impl AsyncFn(&Stack, &[Component], &Progress) -> Result<Report, StackError>,
) -> anyhow::Result<()> {
    let manner = Manner {
        wait: args.wait,
        ..Manner::default()
    };
    args.common.run(&manner, &async |stack, progress| {
        let report = act(stack, &args.components, progress).await?;
        let count = report.steps.len();
        let text = format!(
            "{count} {} {word}",
            if count == 1 { "container" } else { "containers" }
        );
        Ok(Outcome::done(text, serde_json::to_value(&report)?))
    })
}
