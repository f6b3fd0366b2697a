//! `masthead doctor`: runs the checks and prints what they found.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;

use crate::app::data_dir;
use crate::cli::{out, serving};
use crate::config::parse_size;
use crate::docker;
use crate::doctor::{Finding, Place, State, examine};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead doctor
  masthead doctor --config masthead.yml --json

Give it the flags that `masthead up` gets, and run it where and as whom that runs. The exit code is 1 when a check fails.")]
pub(super) struct DoctorArgs {
    /// The configuration of `up`
    #[arg(long, value_name = "FILE", env = "MASTHEAD_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// The data folder of `up`
    #[arg(long, value_name = "DIR", env = "MASTHEAD_DATA_DIR", hide_env_values = true)]
    data_dir: Option<PathBuf>,
    /// The address of `up`
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    listen: String,
    /// What `up` may keep at most
    #[arg(long, value_name = "SIZE")]
    retention_size: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<()> {
    let config = serving::config(args.config.as_ref())?;
    let retention_bytes = args
        .retention_size
        .as_deref()
        .map(|text| parse_size(text).map_err(|e| anyhow::anyhow!("--retention-size {text}: {e}")))
        .transpose()?;
    let collect = &config.masthead.collect;
    let containers = &config.masthead.containers;
    let findings = examine(&Place {
        root: PathBuf::from("/"),
        procfs: collect.procfs.clone(),
        sysfs: collect.sysfs.clone(),
        rootfs: collect.rootfs.clone(),
        data_dir: match &args.data_dir {
            Some(dir) => dir.clone(),
            None => data_dir::default_path()?,
        },
        listen: serving::listen_address(&args.listen)?,
        docker: containers
            .enabled
            .then(|| docker::socket_path(containers.docker.as_deref())),
        retention_bytes,
        ask,
        is_root: rustix::process::geteuid().is_root(),
    });
    if args.json {
        out::line(&serde_json::to_string_pretty(&json(&findings))?)?;
    } else {
        out::line(&text(&findings))?;
    }
    let failed = findings.iter().filter(|(_, f)| f.state == State::Fail).count();
    anyhow::ensure!(failed == 0, "{failed} of {} checks failed", findings.len());
    Ok(())
}

fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn json(findings: &[(&str, Finding)]) -> serde_json::Value {
    let rows: Vec<_> = findings
        .iter()
        .map(|(check, f)| {
            serde_json::json!({ "check": check, "state": f.state, "found": f.found, "cure": f.cure })
        })
        .collect();
    serde_json::json!({ "checks": rows })
}

fn text(findings: &[(&str, Finding)]) -> String {
    let width = findings
        .iter()
        .map(|(check, _)| check.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for (check, finding) in findings {
        let word = match finding.state {
            State::Ok => "ok",
            State::Warn => "WARN",
            State::Fail => "FAIL",
            State::Unknown => "?",
        };
        let mut line = format!("{word:<4}  {check:<width$}  {}", finding.found);
        if !finding.cure.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(line, "\n      {:width$}  -> {}", "", finding.cure);
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_a_line_and_a_cure_the_next() {
        let finding = |state, cure: &str| Finding {
            state,
            found: "found".to_owned(),
            cure: cure.to_owned(),
        };
        let findings = [
            ("a", finding(State::Ok, "")),
            ("longer", finding(State::Fail, "do this")),
        ];
        assert_eq!(
            text(&findings),
            "ok    a       found\nFAIL  longer  found\n              -> do this"
        );
        assert_eq!(json(&findings)["checks"][1]["state"], "fail");
    }
}
