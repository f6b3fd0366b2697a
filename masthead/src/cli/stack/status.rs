//! `masthead status`: the components in a table.

use clap::Args;
use comfy_table::{Table, presets};
use stack::{NodeStatus, Status};

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
    let mut text = format!(
        "Prometheus at {}, files in {}\n\n{}",
        status.url,
        status.base_dir.display(),
        lines(&table)
    );
    if !status.nodes.is_empty() {
        text.push_str("\n\n");
        text.push_str(&nodes(&status.nodes));
    }
    for warning in &status.warnings {
        text.push_str("\n\nwarning: ");
        text.push_str(warning);
    }
    if let Some(fault) = &status.swarm_fault {
        text.push_str("\n\nThe swarm cannot be asked: ");
        text.push_str(fault);
    }
    text
}

/// The nodes of a swarm in a table, and below it what is wrong on them.
fn nodes(nodes: &[NodeStatus]) -> String {
    let exporters = nodes.first().map_or(&[][..], |node| &node.exporters);
    let services = exporters.iter().map(|exporter| exporter.service.to_uppercase());
    let mut table = Table::new();
    let header = ["NODE", "ROLE", "STATE", "AVAILABILITY"].map(str::to_owned);
    table
        .load_preset(presets::NOTHING)
        .set_header(header.into_iter().chain(services));
    let mut wrong = Vec::new();
    for node in nodes {
        let known = [&node.hostname, &node.role, &node.state, &node.availability];
        let states = node.exporters.iter().map(|exporter| &exporter.state);
        table.add_row(known.into_iter().chain(states));
        for exporter in node
            .exporters
            .iter()
            .filter(|exporter| !exporter.error.is_empty())
        {
            wrong.push(format!(
                "{} on {}: {}",
                exporter.service, node.hostname, exporter.error
            ));
        }
    }
    let mut text = lines(&table);
    if !wrong.is_empty() {
        text.push_str("\n\n");
        text.push_str(&wrong.join("\n"));
    }
    text
}

fn lines(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use stack::{Component, ExporterStatus};

    use super::*;

    #[test]
    fn nodes_are_a_table_with_what_is_wrong_below_it() {
        let node = |hostname: &str, state: &str, error: &str| NodeStatus {
            hostname: hostname.to_owned(),
            role: "worker".to_owned(),
            state: "ready".to_owned(),
            availability: "active".to_owned(),
            exporters: vec![ExporterStatus {
                component: Component::Cadvisor,
                service: "masthead-cadvisor".to_owned(),
                state: state.to_owned(),
                error: error.to_owned(),
            }],
            well: error.is_empty(),
        };
        let text = nodes(&[
            node("web-1", "running", ""),
            node("web-2", "rejected", "No such image"),
        ]);
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["NODE", "ROLE", "STATE", "AVAILABILITY", "MASTHEAD-CADVISOR"],
                vec!["web-1", "worker", "ready", "active", "running"],
                vec!["web-2", "worker", "ready", "active", "rejected"],
                vec![],
                vec!["masthead-cadvisor", "on", "web-2:", "No", "such", "image"],
            ]
        );
    }
}
