//! `masthead upgrade`: from the versions that run to those that this masthead pins.

use clap::Args;
use serde_json::json;
use stack::{Event, Upgrade};

use super::setup::PullArg;
use super::{Common, EXIT_CODES, Manner, Outcome};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead upgrade --dry-run                         what it would change
  masthead upgrade

`setup` leaves versions as they are. An upgrade begins with a stack that is well and fetches all images first. Each component is exchanged
alone, Prometheus last and after a snapshot of its data; the next one has to wait until it is healthy and its target up. One that is not
goes back to the version it had.

{EXIT_CODES}"))]
pub(in crate::cli) struct UpgradeArgs {
    #[command(flatten)]
    common: Common,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Whether images are fetched
    #[arg(long, value_enum, default_value_t = PullArg::Missing)]
    pull: PullArg,
    /// Wait where another run works on the stack
    #[arg(long)]
    wait: bool,
}

pub(super) fn run(args: &UpgradeArgs) -> anyhow::Result<()> {
    let manner = Manner {
        pull: args.pull.into(),
        wait: args.wait,
        ..Manner::default()
    };
    args.common.run(&manner, &async |stack, progress| {
        if args.dry_run {
            let upgrades = stack.plan_upgrade().await?;
            let text = match upgrades.is_empty() {
                true => "nothing to do".to_owned(),
                false => list(&upgrades),
            };
            return Ok(Outcome::done(
                text,
                json!({ "dry_run": true, "upgrades": upgrades }),
            ));
        }
        let report = stack.upgrade(&|event: Event| progress.hear(event)).await?;
        let text = match report.upgrades.is_empty() {
            true => "Nothing to do; every component has the version of this masthead.".to_owned(),
            false => format!("Upgraded; every target is up.\n{}", list(&report.upgrades)),
        };
        Ok(Outcome::done(text, serde_json::to_value(&report)?))
    })
}

fn list(upgrades: &[Upgrade]) -> String {
    let lines: Vec<String> = upgrades.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
