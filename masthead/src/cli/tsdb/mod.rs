//! `masthead tsdb`: stored data as files.

mod analyze;
mod transfer;
mod verify;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::app::data_dir;

#[derive(Debug, Subcommand)]
pub(super) enum TsdbCommand {
    /// Take the history of a stopped Prometheus into the store
    Import(transfer::ImportArgs),
    /// Write the store as blocks of Prometheus
    Export(transfer::ExportArgs),
    /// What the store is full of: series, samples and bytes by metric, labels, blocks
    Analyze(analyze::AnalyzeArgs),
    /// Check every byte of blocks and log
    Verify(verify::VerifyArgs),
}

pub(super) fn run(command: &TsdbCommand) -> anyhow::Result<()> {
    match command {
        TsdbCommand::Import(args) => transfer::import(args),
        TsdbCommand::Export(args) => transfer::export(args),
        TsdbCommand::Analyze(args) => analyze::run(args),
        TsdbCommand::Verify(args) => verify::run(args),
    }
}

/// `--data-dir`, or the default.
fn data_dir(flag: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    flag.map_or_else(data_dir::default_path, |dir| Ok(dir.clone()))
}

/// A line beside the result: progress and warnings.
fn say(line: &str) {
    // Nothing can be done when standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A time for people: UTC, to the second.
fn time(t_ms: i64) -> String {
    let stamp = jiff::Timestamp::from_millisecond(t_ms);
    stamp.map_or_else(|_| format!("{t_ms} ms"), |stamp| format!("{stamp:.0}"))
}

/// `12,345`
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 block`, `2 blocks`.
fn blocks_of(count: u64) -> String {
    format!("{} block{}", number(count), if count == 1 { "" } else { "s" })
}

fn bytes(value: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = value as f64;
    super::words::bytes(Some(value))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_times_are_utc() {
        for (value, want) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), want);
        }
        assert_eq!(time(1_700_000_000_500), "2023-11-14T22:13:20Z");
        assert_eq!(time(i64::MAX), format!("{} ms", i64::MAX));
    }
}
