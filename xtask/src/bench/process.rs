//! What a process and a folder cost, read from `/proc` and from the files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Clock ticks a second in `/proc/PID/stat`: fixed at 100 by the kernel's interface on all machines that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The cost of a process so far.
#[derive(Debug, PartialEq)]
pub(super) struct Usage {
    /// User and system time.
    pub(super) cpu_s: f64,
    /// Resident now.
    pub(super) rss_mb: f64,
    /// The most that was ever resident.
    pub(super) max_rss_mb: f64,
}

impl Usage {
    /// Reads a process' cost.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
        Self::parse(&stat, &status).context("/proc is not as expected")
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The name in parentheses may hold blanks; fields are counted after it: utime is the 14th of all.
        let (_, after) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        let kilobytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Some(Self {
            cpu_s: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND,
            rss_mb: kilobytes("VmRSS:")? * 1024.0 / 1e6,
            max_rss_mb: kilobytes("VmHWM:")? * 1024.0 / 1e6,
        })
    }
}

/// Bytes that the files below a folder hold.
pub(super) fn disk_bytes(folder: &Path) -> f64 {
    let mut total = 0.0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            total += disk_bytes(&path);
        } else if let Ok(meta) = entry.metadata() {
            total += u32::try_from(meta.len() / 1024).map_or(0.0, f64::from) * 1024.0;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_past_a_name_with_blanks() {
        let stat = "7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0";
        let status = "Name:\ta\nVmHWM:\t   2000 kB\nVmRSS:\t 1000 kB\n";
        let want = Usage {
            cpu_s: 2.0,
            rss_mb: 1.024,
            max_rss_mb: 2.048,
        };
        assert_eq!(Usage::parse(stat, status), Some(want));
        assert_eq!(Usage::parse("", ""), None);
        assert!(Usage::of(std::process::id()).is_ok());
    }
}
