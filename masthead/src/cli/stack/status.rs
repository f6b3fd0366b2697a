//! `masthead status`: the components in a table.

use clap::Args;
use comfy_table::{Table, presets};
use stack::Status;

use super::outcome::FOUND;
use super::{Common, EXIT_CODES, Manner, Outcome};

#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(in crate::cli) struct StatusArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &StatusArgs) -> anyhow::Result<()> {
    args.common.run(&Manner::default(), &async |stack, _| {
        let status = stack.status().await?;
        Ok(Outcome {
            text: text(&status),
            fields: serde_json::to_value(&status)?,
            code: if status.is_well() { 0 } else { FOUND },
        })
    })
}

fn text(status: &Status) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "COMPONENT",
        "STATE",
        "HEALTH",
        "RESTARTS",
        "STARTED",
        "IMAGE",
    ]);
    for row in &status.components {
        let started = row.started_at.split('.').next().unwrap_or_default();
        let started = if row.state == "running" { started } else { "" };
        table.add_row([
            row.component.name(),
            &row.state,
            &row.health,
            &row.restarts.to_string(),
            started,
            &row.image,
        ]);
    }
    let table: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    format!(
        "Prometheus at {}, files in {}\n\n{}",
        status.url,
        status.base_dir.display(),
        table.join("\n")
    )
}
