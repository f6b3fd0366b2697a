//! `masthead check`: findings with their cures.

use clap::Args;
use serde_json::json;
use stack::{Finding, Level};

use super::outcome::FOUND;
use super::{Common, EXIT_CODES, Manner, Outcome};

#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  masthead check
  masthead check --json

Looks at containers, targets, configuration, disk, versions, what is published, the password, and at the host's firewall where it keeps Prometheus
from node_exporter. Run it as root: others cannot read the password. Warnings alone leave the exit code 0.

{EXIT_CODES}"))]
pub(in crate::cli) struct CheckArgs {
    #[command(flatten)]
    common: Common,
}

pub(super) fn run(args: &CheckArgs) -> anyhow::Result<()> {
    args.common.run(&Manner::default(), &async |stack, _| {
        let report = stack.check().await?;
        Ok(Outcome {
            text: text(&report.findings),
            fields: json!({ "level": report.level(), "findings": report.findings }),
            code: if report.level() == Level::Problem {
                FOUND
            } else {
                0
            },
        })
    })
}

/// A line a finding, and one more with its cure.
pub(in crate::cli) fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|f| f.name.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for finding in findings {
        let word = match finding.level {
            Level::Ok => "ok",
            Level::Warning => "WARN",
            Level::Problem => "FAIL",
        };
        lines.push(format!("{word:<4}  {:<width$}  {}", finding.name, finding.text));
        if !finding.cure.is_empty() {
            lines.push(format!("      {:width$}  -> {}", "", finding.cure));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_a_line_and_a_cure_the_next() {
        let finding = |name: &str, level, cure: &str| Finding {
            name: name.to_owned(),
            level,
            text: "found".to_owned(),
            cure: cure.to_owned(),
        };
        let findings = [
            finding("a", Level::Ok, ""),
            finding("longer", Level::Problem, "do this"),
        ];
        assert_eq!(
            text(&findings),
            "ok    a       found\nFAIL  longer  found\n              -> do this"
        );
    }
}
