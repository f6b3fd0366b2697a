//! What a server said of itself, as findings: pure, so that every case of it can be tested.

use crate::{Finding, Level};

/// From here on, queries over two servers are visibly apart.
const DRIFT_WARNING_MS: i64 = 2_000;
/// From here on, samples are refused or land in another block.
const DRIFT_PROBLEM_MS: i64 = 60_000;

pub(super) fn rights(is_root: bool, user: &str) -> Finding {
    match (is_root, user) {
        (true, "root") => Finding::ok("rights", "root"),
        (true, _) => Finding::ok("rights", "root through sudo, which asks for no password"),
        (false, _) => Finding::problem(
            "rights",
            format!(
                "{user} is not root, and sudo asks for a password: the stack's files cannot be given to their users"
            ),
            "connect as root, or let this user use sudo without a password",
        ),
    }
}

pub(super) fn programs(missing: &[&str]) -> Finding {
    match missing {
        [] => Finding::ok("programs", "all that is needed are there"),
        missing => Finding::problem(
            "programs",
            format!("missing: {}", missing.join(", ")),
            "install them there (packages coreutils, findutils and util-linux, or busybox)",
        ),
    }
}

pub(super) fn cgroups(kind: &str) -> Finding {
    match kind {
        "cgroup2fs" => Finding::ok("cgroups", "version 2"),
        "tmpfs" => Finding::ok("cgroups", "version 1, or both"),
        other => warning(
            "cgroups",
            format!("/sys/fs/cgroup is {other}"),
            "container metrics want /sys/fs/cgroup; in a container or an old kernel it may be missing",
        ),
    }
}

/// Milliseconds since 1970, and how exact they are.
pub(super) fn parse_date(said: &str) -> Option<(i64, i64)> {
    let (seconds, rest) = said.trim().split_once(' ')?;
    let seconds = seconds.parse::<i64>().ok()?.checked_mul(1000)?;
    match rest.parse::<i64>() {
        Ok(nanos) if rest.len() == 9 => Some((seconds + nanos / 1_000_000, 1)),
        // Half a second on, half a second off.
        _ => Some((seconds + 500, 500)),
    }
}

pub(super) fn drifted(drift_ms: i64, doubt_ms: i64) -> Finding {
    let certain = drift_ms.abs() - doubt_ms;
    let seconds = |ms: i64| format!("{}.{:03} s", ms / 1000, ms % 1000);
    let text = format!(
        "{} {} this machine's, give or take {}",
        seconds(drift_ms.abs()),
        if drift_ms < 0 { "behind" } else { "ahead of" },
        seconds(doubt_ms)
    );
    let cure = "have both keep time by NTP (`timedatectl set-ntp true`)";
    match certain {
        ms if ms >= DRIFT_PROBLEM_MS => Finding::problem("clock", text, cure),
        ms if ms >= DRIFT_WARNING_MS => warning("clock", text, cure),
        _ => Finding::ok("clock", text),
    }
}

pub(super) fn warning(name: &str, text: impl Into<String>, cure: &str) -> Finding {
    Finding::new(name, Level::Warning, text, cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_and_without_fractions() {
        assert_eq!(parse_date("1764241200 250000000\n"), Some((1_764_241_200_250, 1)));
        assert_eq!(parse_date("1764241200 N\n"), Some((1_764_241_200_500, 500)));
        assert_eq!(parse_date("1764241200 %N\n"), Some((1_764_241_200_500, 500)));
        assert_eq!(parse_date("odd"), None);
    }

    #[test]
    fn a_clock_is_judged_by_what_is_certain() {
        assert_eq!(drifted(300, 10).level, Level::Ok);
        assert_eq!(drifted(-2_400, 500).level, Level::Ok);
        assert_eq!(drifted(-2_600, 500).level, Level::Warning);
        let finding = drifted(-61_000, 500);
        assert_eq!(finding.level, Level::Problem);
        assert!(finding.text.starts_with("61.000 s behind"), "{}", finding.text);
        assert!(drifted(3_005, 1).text.starts_with("3.005 s ahead of"));
    }
}
