//! `cargo xtask soak dist`: the release on Debian 11, 12 and 13. `tests/systemd-root.sh` boots the systemd of each in namespaces and runs
//! `masthead service` through its life there; the transcript becomes `docs/soak-dist.md`.
//! `cargo xtask soak service` does the same on a whole machine, which qemu emulates, beside a real engine.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::debian::Suite;
use crate::{dist, shell};

/// Where the transcript goes, from the root of the repository.
const DOCUMENT: &str = "docs/soak-dist.md";
/// The oldest that is supported, the present ones.
const SUITES: &[&str] = &["bullseye", "bookworm", "trixie"];

/// Builds and packs the release, and runs it on each; gives the line with the totals.
pub(super) fn run() -> Result<String> {
    shell::obtain(&["debootstrap"], "debootstrap")?;
    let (binary, release) = dist::build()?;
    let folder = shell::target_dir().join("dist").join("roots");
    let mut transcript = format!("{}\n", dist::wants(&binary)?);
    let mut totals = Vec::new();
    let mut failed = Vec::new();
    for suite in SUITES {
        println!("==> {suite}");
        let mirror = Suite::open(
            suite,
            &shell::target_dir().join("dist").join("suites").join(suite),
        )?;
        let mut command = Command::new(shell::root().join("tests/systemd-root.sh"));
        command.args([suite, mirror.mirror()]).arg(&folder).arg(&binary);
        let streamed = shell::stream(&mut command, |_| true)?;
        let total = total(&streamed.text)
            .with_context(|| format!("the run on {suite} did not come to its end; see what it printed"))?;
        if !streamed.success {
            failed.push(*suite);
        }
        totals.push(format!("{suite}: {total}"));
        transcript.push_str(&streamed.text);
    }
    write_document(&totals, &transcript, &release)?;
    let totals = totals.join("; ");
    if !failed.is_empty() {
        bail!("{totals}: see {DOCUMENT}");
    }
    Ok(format!("{totals}: `{DOCUMENT}`"))
}

/// The binary at hand, on a booted Debian 12 with Docker; gives the line with the total.
pub(super) fn in_machine() -> Result<String> {
    let mut command = Command::new(shell::root().join("tests/qemu-cgroup-v2.sh"));
    command.arg("service").arg(shell::release_binary());
    let streamed = shell::stream(&mut command, |_| true)?;
    let total = total(&streamed.text).context("the run did not come to its end; see what it printed")?;
    if !streamed.success {
        bail!("{total}");
    }
    Ok(total)
}

/// What the last line of a whole run says.
fn total(text: &str) -> Option<String> {
    text.lines()
        .rev()
        .find_map(|line| line.split_once("===== ").map(|(_, total)| total.to_string()))
}

fn write_document(totals: &[String], transcript: &str, release: &dist::Release) -> Result<()> {
    let date = shell::output(Command::new("date").args(["-u", "+%F"]))?;
    let commit = shell::output(
        Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .current_dir(shell::root()),
    )?;
    let size = |path: &std::path::Path| -> Result<String> {
        // Less than a terabyte, so nothing is lost.
        let mb = u32::try_from(fs::metadata(path)?.len() / 1000).map(|kb| f64::from(kb) / 1000.0)?;
        Ok(format!("{mb:.1} MB"))
    };
    let path = shell::root().join(DOCUMENT);
    let text = format!(
        "# The release on Debian 11, 12 and 13\n\n\
         `cargo xtask soak dist` on {}, commit {}. Tarball {}, image {} (both compressed).\n\n{}\n\n\
         The release binary as a service of each suite's own systemd, which is booted in namespaces of its own (`tests/systemd-root.sh`; no\n\
         emulated machine, no controllers of cgroup v2, no container engine). Each line is one check of `tests/service/check.sh`.\n\n\
         ```text\n{}\n```\n",
        date.trim(),
        commit.trim(),
        size(&release.tarball)?,
        size(&release.image)?,
        totals
            .iter()
            .map(|total| format!("- {total}"))
            .collect::<Vec<_>>()
            .join("\n"),
        transcript.trim_end()
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}
