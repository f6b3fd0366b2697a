//! The machine's clock and limits.

use std::fs;
use std::path::Path;

use crate::doctor::{Finding, Place};

/// Seconds off that samples of several machines can bear.
const DRIFT_MAX_S: f64 = 1.0;
/// What file watchers of editors, web servers and container engines need together.
const WATCHES_MIN: u64 = 8192;
const INSTANCES_MIN: u64 = 128;
/// Each container takes some files, each connection one.
const FILES_MIN: u64 = 4096;

/// Nothing here asks the network: what the machine's own time keeper says is all that is known.
pub(super) fn clock(place: &Place) -> Finding {
    const CURE: &str = "turn time synchronisation on: `timedatectl set-ntp true`, or install chrony";
    if let Some(offset_s) =
        (place.ask)("chronyc", &["-c", "tracking"]).and_then(|text| chrony_offset_s(&text))
    {
        return if offset_s.abs() > DRIFT_MAX_S {
            Finding::fail(format!("chrony says the clock is {offset_s:.1} s off"), CURE)
        } else {
            Finding::ok(format!("chrony keeps it, {:.1} ms off", offset_s * 1000.0))
        };
    }
    if place.root.join("run/systemd/timesync/synchronized").exists() {
        return Finding::ok(
            "systemd-timesyncd has synchronised it since the start; how far off it is now is not known",
        );
    }
    match (place.ask)("timedatectl", &["show", "--property=NTPSynchronized", "--value"])
        .as_deref()
        .map(str::trim)
    {
        Some("yes") => Finding::ok("the kernel says it is synchronised; how far off it is is not known"),
        Some("no") => Finding::warn(
            "the kernel says it is not synchronised; how far off it is is not known",
            CURE,
        ),
        _ => Finding::unknown(
            "nothing on this machine says whether the clock is kept (chronyc, timesyncd, timedatectl)",
            CURE,
        ),
    }
}

/// The fifth column is how many seconds the system's clock is off; without a source the third, the stratum, is 0.
fn chrony_offset_s(text: &str) -> Option<f64> {
    let columns: Vec<&str> = text.trim().split(',').collect();
    if *columns.get(2)? == "0" {
        return None;
    }
    columns.get(4)?.parse().ok()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

pub(super) fn inotify(place: &Place) -> Finding {
    let folder = place.procfs.join("sys/fs/inotify");
    let (Some(watches), Some(instances)) = (
        number(&folder.join("max_user_watches")),
        number(&folder.join("max_user_instances")),
    ) else {
        return Finding::unknown(format!("{} cannot be read", folder.display()), "mount /proc");
    };
    let found = format!("{watches} watches, {instances} instances a user");
    if watches < WATCHES_MIN || instances < INSTANCES_MIN {
        Finding::warn(
            found,
            "Masthead needs none, but containers that watch files fail early: `sysctl fs.inotify.max_user_watches=524288 \
             fs.inotify.max_user_instances=512`, and the same in /etc/sysctl.d/",
        )
    } else {
        Finding::ok(found)
    }
}

pub(super) fn open_files(place: &Place) -> Finding {
    let limits = fs::read_to_string(place.own_procfs().join("self/limits")).unwrap_or_default();
    let Some(hard) = hard_files(&limits) else {
        return Finding::unknown("/proc/self/limits does not say", "see `ulimit -Hn`");
    };
    if hard < FILES_MIN {
        Finding::warn(
            format!("at most {hard}: with many containers some files are opened anew at each collection"),
            "raise it: LimitNOFILE=65536 in the systemd unit, --ulimit nofile=65536 for a container, or `ulimit -Hn`",
        )
    } else {
        Finding::ok(format!("up to {hard}"))
    }
}

/// `Max open files   soft   hard   files`
fn hard_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chrony_says_how_far_off_it_is() {
        let line = "C0A80001,192.168.0.1,2,1700000000.1,-0.000123,0.0,0.0,1,1,1,0.01,0.01,64.0,Normal\n";
        assert_eq!(chrony_offset_s(line), Some(-0.000_123));
        assert_eq!(chrony_offset_s("7F7F0101,,0,0,0.0,0"), None, "it has no source");
        assert_eq!(chrony_offset_s("506 Cannot talk to daemon"), None);
    }

    #[test]
    fn the_hard_limit_of_files_counts() {
        assert_eq!(
            hard_files("Max open files            1024                 4096                 files\n"),
            Some(4096)
        );
        assert_eq!(
            hard_files("Max open files   1024 unlimited files"),
            Some(u64::MAX)
        );
        assert_eq!(hard_files("Max processes 1 2\n"), None);
    }
}
