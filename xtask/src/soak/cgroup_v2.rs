//! `cargo xtask soak cgroup-v2`: the release binary on a Debian system with cgroup v2, booted under qemu. The script
//! `tests/qemu-cgroup-v2.sh` does it and judges; its transcript becomes `docs/soak-cgroup-v2.md`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Where the transcript goes, from the root of the repository.
const DOCUMENT: &str = "docs/soak-cgroup-v2.md";

/// Runs it; gives the line with the total.
pub(super) fn run() -> Result<String> {
    let script = shell::root().join("tests/qemu-cgroup-v2.sh");
    let mut command = Command::new(&script);
    command.arg("check").arg(shell::release_binary());
    let streamed = shell::stream(&mut command, |_| true)?;
    let lines = transcript(&streamed.text);
    let Some(total) = lines.iter().rev().find_map(|line| total(line)) else {
        bail!("the run did not come to its end; see what it printed");
    };
    let date = shell::output(Command::new("date").args(["-u", "+%F"]))?;
    let commit = shell::output(
        Command::new("git")
            .args(["rev-parse", "--short", "HEAD"])
            .current_dir(shell::root()),
    )?;
    let path = shell::root().join(DOCUMENT);
    fs::write(&path, document(date.trim(), commit.trim(), total, &lines))
        .with_context(|| format!("cannot write {}", path.display()))?;
    if !streamed.success {
        bail!("{total}: see {DOCUMENT}");
    }
    Ok(format!("{total}: `{DOCUMENT}`"))
}

/// The lines of the guest: what the firmware prints before is left out.
fn transcript(text: &str) -> Vec<&str> {
    text.lines()
        .skip_while(|line| !line.starts_with("====="))
        .map(str::trim_end)
        .collect()
}

/// What the last line of a whole run says.
fn total(line: &str) -> Option<&str> {
    line.strip_prefix("===== ")
        .filter(|rest| rest.contains(" checks held"))
}

fn document(date: &str, commit: &str, total: &str, lines: &[&str]) -> String {
    format!(
        "# Masthead on cgroup v2\n\n\
         `cargo xtask soak cgroup-v2` on {date}, commit {commit}: {total}.\n\n\
         Debian 12 with its cloud kernel, systemd and Docker, booted under qemu with two processors and 1 GiB; both cgroup drivers in\n\
         turn. Each check holds what PromQL says against the amount that a container used up, or against what the engine or the kernel\n\
         says. In front of a line: seconds since boot. Without KVM the processor is emulated, so that times say nothing.\n\n\
         ```text\n{}\n```\n",
        lines.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transcript_begins_with_the_first_driver() {
        let text = "firmware\nBooting\n===== cgroup v2, driver systemd\n[1] pass: x\n===== 7 checks held, 0 failed\n";
        let lines = transcript(text);
        assert_eq!(lines.first(), Some(&"===== cgroup v2, driver systemd"));
        assert_eq!(
            lines.iter().find_map(|line| total(line)),
            Some("7 checks held, 0 failed")
        );
        assert_eq!(total("===== cgroup v2, driver systemd"), None);
        let document = document("2026-01-01", "abc", "7 checks held, 0 failed", &lines);
        assert!(
            document.contains("commit abc: 7 checks held, 0 failed."),
            "{document}"
        );
    }
}
