//! What a server is like before anything is put there: SSH, rights, Docker, clock, room, programs; each a finding with its cure.

use std::path::Path;

use crate::check::words;
use crate::link::Link;
use crate::place::Place;
use crate::stack::{base_dir_over, engine_of};
use crate::{Finding, HostKeys, Level, Server, StackError, observe};

/// Programs that the stack's commands run there.
const PROGRAMS: [&str; 11] = [
    "stat", "head", "find", "df", "du", "flock", "timeout", "dd", "sync", "chown", "grep",
];
/// From here on, queries over two servers are visibly apart.
const DRIFT_WARNING_MS: i64 = 2_000;
/// From here on, samples are refused or land in another block.
const DRIFT_PROBLEM_MS: i64 = 60_000;
/// Less than this the stack does not start with.
const ROOM_BYTES: u64 = 2 << 30;
/// What is printed: system, release, machine, user, the file system of the cgroups, then the programs that are missing.
const LOOK: &str = r#"uname -srm
id -un
stat -fc %T /sys/fs/cgroup 2>/dev/null || echo unknown
for program in "$@"; do command -v "$program" > /dev/null || echo "$program"; done"#;

/// What was found, and what connecting took.
#[derive(Debug)]
pub struct Survey {
    /// Sorted as they were looked at; the first is about SSH.
    pub findings: Vec<Finding>,
    /// Milliseconds that connecting took; `None` when there was no connection.
    pub connected_ms: Option<i64>,
}

/// Looks at a server. `now_ms` is this machine's clock, in milliseconds since 1970.
pub async fn survey(server: &Server, keys: HostKeys, now_ms: &(dyn Fn() -> i64 + Sync)) -> Survey {
    let began = now_ms();
    let link = match Link::connect(server, keys).await {
        Ok(link) => link,
        Err(error) => {
            let (text, cure) = match &error {
                StackError::Ssh { reason, cure, .. } => (reason.clone(), cure.clone()),
                other => (other.to_string(), String::new()),
            };
            return Survey {
                findings: vec![Finding::problem("ssh", text, cure)],
                connected_ms: None,
            };
        }
    };
    let took = now_ms() - began;
    let mut findings = Vec::new();
    if let Err(error) = look(&link, took, now_ms, &mut findings).await {
        findings.push(Finding::problem("ssh", error.to_string(), "run it again"));
    }
    Survey {
        findings,
        connected_ms: Some(took),
    }
}

async fn look(
    link: &Link,
    took: i64,
    now_ms: &(dyn Fn() -> i64 + Sync),
    findings: &mut Vec<Finding>,
) -> Result<(), StackError> {
    let words: Vec<&str> = ["-c", LOOK, "masthead"].into_iter().chain(PROGRAMS).collect();
    let said = link.output_as_user("sh", &words).await?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = said.lines();
    let mut line = || lines.next().unwrap_or("unknown").to_owned();
    let (system, user, cgroup) = (line(), line(), line());
    let missing: Vec<&str> = lines.collect();
    findings.push(Finding::ok(
        "ssh",
        format!(
            "{} as {user}, connected in {took} ms; {system}",
            link.server().address
        ),
    ));
    findings.push(rights(link, &user));
    findings.push(programs(&missing));
    findings.push(cgroups(&cgroup));
    findings.push(clock(link, now_ms).await?);
    let engine = engine_of(link).await;
    let mut folders = Vec::new();
    match &engine {
        Ok(engine) => {
            let about = engine.about();
            findings.push(Finding::ok(
                "docker",
                format!("Docker {} for {}", about.version, about.architecture),
            ));
            folders.push((about.root.clone(), "Docker's folder"));
        }
        Err(StackError::NoEngine { reason, cure, .. }) => {
            findings.push(Finding::problem("docker", reason.clone(), *cure));
        }
        Err(error) => findings.push(Finding::problem("docker", error.to_string(), "")),
    }
    let base_dir = base_dir_over(link, None).await?;
    let place = Place::over(link).await?;
    folders.push((base_dir.clone(), "the stack's folder"));
    for (folder, what) in folders {
        findings.push(room(&place, &folder, what).await);
    }
    findings.push(match observe::kept_options(&place, &base_dir).await {
        Ok(Some(_)) => Finding::ok("stack", format!("set up under {}", base_dir.display())),
        Ok(None) => Finding::ok("stack", "none is set up yet"),
        Err(error) => warning(
            "stack",
            error.to_string(),
            "connect as root, or with a user that has sudo",
        ),
    });
    Ok(())
}

fn rights(link: &Link, user: &str) -> Finding {
    match (link.is_root(), user) {
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

fn programs(missing: &[&str]) -> Finding {
    match missing {
        [] => Finding::ok("programs", "all that is needed are there"),
        missing => Finding::problem(
            "programs",
            format!("missing: {}", missing.join(", ")),
            "install them there (packages coreutils, findutils and util-linux, or busybox)",
        ),
    }
}

fn cgroups(kind: &str) -> Finding {
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

/// How far its clock is from ours, as far as the way there and back lets it be known.
async fn clock(link: &Link, now_ms: &(dyn Fn() -> i64 + Sync)) -> Result<Finding, StackError> {
    let before = now_ms();
    // Not every `date` knows nanoseconds; the others print the letter.
    let said = link.output_as_user("date", &["+%s %N"]).await?;
    let after = now_ms();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let Some((there_ms, precision_ms)) = parse_date(&said) else {
        return Ok(warning(
            "clock",
            format!("`date` there said {:?}", said.trim()),
            "compare the clocks by hand",
        ));
    };
    let drift = there_ms - (before + after) / 2;
    let doubt = (after - before) / 2 + precision_ms;
    Ok(drifted(drift, doubt))
}

/// Milliseconds since 1970, and how exact they are.
fn parse_date(said: &str) -> Option<(i64, i64)> {
    let (seconds, rest) = said.trim().split_once(' ')?;
    let seconds = seconds.parse::<i64>().ok()?.checked_mul(1000)?;
    match rest.parse::<i64>() {
        Ok(nanos) if rest.len() == 9 => Some((seconds + nanos / 1_000_000, 1)),
        // Half a second on, half a second off.
        _ => Some((seconds + 500, 500)),
    }
}

fn drifted(drift_ms: i64, doubt_ms: i64) -> Finding {
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

fn warning(name: &str, text: impl Into<String>, cure: &str) -> Finding {
    Finding::new(name, Level::Warning, text, cure)
}

async fn room(place: &Place, folder: &Path, what: &str) -> Finding {
    let space = match place.space(folder).await {
        Ok(space) => space,
        Err(error) => return warning("disk", error.to_string(), ""),
    };
    let (free, total) = (words(space.free), words(space.total));
    let text = format!("{free} free of {total} for {what}, {}", folder.display());
    match space.free >= ROOM_BYTES {
        true => Finding::ok("disk", text),
        false => warning(
            "disk",
            text,
            "free some space there (`docker system df` shows what images take)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::sshd_tests::Sshd;

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

    #[tokio::test]
    async fn a_server_is_looked_at_and_one_out_of_reach_says_why() {
        let Some(mut sshd) = Sshd::start("a_server_is_looked_at_and_one_out_of_reach_says_why") else {
            return;
        };
        let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
        let mut findings = Vec::new();
        look(&link, 5, &|| 0, &mut findings).await.expect("looked");
        let level = |name: &str| findings.iter().find(|f| f.name == name).map(|f| f.level);
        assert_eq!(level("ssh"), Some(Level::Ok), "{findings:?}");
        assert_eq!(level("rights"), Some(Level::Ok), "{findings:?}");
        assert_eq!(level("programs"), Some(Level::Ok), "{findings:?}");
        // By a clock that stands at 1970, every server is far ahead.
        assert_eq!(level("clock"), Some(Level::Problem), "{findings:?}");
        assert!(level("docker").is_some() && level("disk").is_some());
        sshd.stop();
        let survey = survey(&sshd.server("user"), HostKeys::Known, &|| 0).await;
        assert_eq!(survey.connected_ms, None);
        let [finding] = survey.findings.as_slice() else {
            panic!("{:?}", survey.findings)
        };
        assert!(
            finding.text.contains("Connection refused") && !finding.cure.is_empty(),
            "{finding:?}"
        );
    }
}
