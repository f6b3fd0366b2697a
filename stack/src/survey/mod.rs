//! What a server is like before anything is put there: SSH, rights, Docker, clock, room, programs; each a finding with its cure.

mod forwarding;
mod judged;

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::check::words;
use crate::link::Link;
use crate::place::Place;
use crate::stack::{base_dir_over, engine_of};
use crate::{Finding, HostKeys, Server, StackError, observe};

use judged::warning;

/// Programs that the stack's commands run there.
const PROGRAMS: [&str; 11] = [
    "stat", "head", "find", "df", "du", "flock", "timeout", "dd", "sync", "chown", "grep",
];
/// Less than this the stack does not start with.
const ROOM_BYTES: u64 = 2 << 30;
/// A connection that takes longer is none, unless somebody is asked about the host key.
const CONNECT_LIMIT: Duration = Duration::from_secs(40);
/// Looking at a server takes a second; one that hangs must not hold up the others.
const LOOK_LIMIT: Duration = Duration::from_secs(45);
/// An engine that is asked who it is answers at once, or is stuck.
const ENGINE_LIMIT: Duration = Duration::from_secs(15);
/// What is printed, a line each: system, release, machine; user; the file system of the cgroups; both ends of the connection; does its sshd
/// listen on the loopback? Then the programs that are missing.
const LOOK: &str = r#"uname -srm
id -un
stat -fc %T /sys/fs/cgroup 2>/dev/null || echo unknown
echo "$SSH_CONNECTION"
port=$(printf %04X "${SSH_CONNECTION##* }" 2>/dev/null)
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
grep -qE "^ *[0-9]+: (0{8}|0{32}|0100007F|7F000001):$port [0-9A-F:]+ 0A " && echo listens || echo elsewhere
for program in "$@"; do command -v "$program" > /dev/null || echo "$program"; done"#;

/// What was found, and how long it took.
#[derive(Debug)]
pub struct Survey {
    /// Sorted as they were looked at; the first is about SSH.
    pub findings: Vec<Finding>,
    /// Milliseconds that connecting took; `None` when there was no connection, or it broke off.
    pub connected_ms: Option<i64>,
    /// Milliseconds that a command there and back takes once it is connected.
    pub answer_ms: Option<i64>,
}

impl Survey {
    /// The finding of a name, if it was looked at.
    #[must_use]
    pub fn finding(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.name == name)
    }
}

/// What is found out bit by bit; what there is when the time is up stays.
#[derive(Debug, Default)]
struct Seen {
    findings: Vec<Finding>,
    answer_ms: Option<i64>,
}

/// Looks at a server. `now_ms` is this machine's clock, in milliseconds since 1970.
pub async fn survey(server: &Server, keys: HostKeys, now_ms: &(dyn Fn() -> i64 + Sync)) -> Survey {
    let began = now_ms();
    let connect = Link::connect(server, keys);
    let link = match keys {
        // Whoever is asked may take their time.
        HostKeys::Ask => connect.await,
        HostKeys::Known | HostKeys::AcceptNew => timeout(CONNECT_LIMIT, connect)
            .await
            .unwrap_or_else(|_| Err(too_slow(server))),
    };
    match link {
        Ok(link) => of(&link, now_ms() - began, now_ms).await,
        Err(error) => out_of_reach(Seen::default(), &error),
    }
}

async fn of(link: &Link, connected_ms: i64, now_ms: &(dyn Fn() -> i64 + Sync)) -> Survey {
    let mut seen = Seen::default();
    match timeout(LOOK_LIMIT, look(link, connected_ms, now_ms, &mut seen)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return out_of_reach(seen, &error),
        Err(_) => seen.findings.push(Finding::problem(
            "time",
            format!(
                "it did not come to an end of this within {} s; what was found by then stands above",
                LOOK_LIMIT.as_secs()
            ),
            "is the machine overloaded, or a disk of it gone?",
        )),
    }
    Survey {
        findings: seen.findings,
        connected_ms: Some(connected_ms),
        answer_ms: seen.answer_ms,
    }
}

/// What there is to say of a server that is not, or no longer, connected.
fn out_of_reach(mut seen: Seen, error: &StackError) -> Survey {
    let (text, cure) = match error {
        StackError::Ssh { reason, cure, .. } => (reason.clone(), cure.clone()),
        StackError::Dropped { attempt, .. } => (
            format!("the connection broke off ({attempt})"),
            "check the network and run it again".to_owned(),
        ),
        other => (other.to_string(), String::new()),
    };
    seen.findings.retain(|finding| finding.name != "ssh");
    seen.findings.insert(0, Finding::problem("ssh", text, cure));
    Survey {
        findings: seen.findings,
        connected_ms: None,
        answer_ms: None,
    }
}

fn too_slow(server: &Server) -> StackError {
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason: format!("there was no connection within {} s", CONNECT_LIMIT.as_secs()),
        cure: "does logging in take long there (names that do not resolve, an overloaded machine)? See what `ssh -v` waits for"
            .to_owned(),
    }
}

async fn look(
    link: &Link,
    connected_ms: i64,
    now_ms: &(dyn Fn() -> i64 + Sync),
    seen: &mut Seen,
) -> Result<(), StackError> {
    let words: Vec<&str> = ["-c", LOOK, "masthead"].into_iter().chain(PROGRAMS).collect();
    let said = link.output_as_user("sh", &words).await?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = said.lines();
    let mut line = || lines.next().unwrap_or("unknown").to_owned();
    let (system, user, cgroup, ends, listens) = (line(), line(), line(), line(), line());
    let missing: Vec<&str> = lines.collect();
    let (clock, answer_ms) = clock(link, now_ms).await?;
    seen.answer_ms = Some(answer_ms);
    seen.findings.push(Finding::ok(
        "ssh",
        format!(
            "{} as {user}, connected in {connected_ms} ms, answers in {answer_ms} ms; {system}",
            link.server().address
        ),
    ));
    seen.findings.push(judged::rights(link.is_root(), &user));
    seen.findings
        .push(forwarding::look(link, &ends, listens == "listens").await?);
    seen.findings.push(judged::programs(&missing));
    seen.findings.push(judged::cgroups(&cgroup));
    seen.findings.push(clock);
    let mut folders = Vec::new();
    let (docker, root) = docker(link).await?;
    seen.findings.push(docker);
    folders.extend(root.map(|root| (root, "Docker's folder")));
    let base_dir = base_dir_over(link, None).await?;
    let place = Place::over(link).await?;
    folders.push((base_dir.clone(), "the stack's folder"));
    for (folder, what) in folders {
        seen.findings.push(room(&place, &folder, what).await);
    }
    seen.findings
        .push(match observe::kept_options(&place, &base_dir).await {
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

/// The engine there, and its folder.
async fn docker(link: &Link) -> Result<(Finding, Option<std::path::PathBuf>), StackError> {
    let Ok(engine) = timeout(ENGINE_LIMIT, engine_of(link)).await else {
        let text = format!(
            "it takes connections and says nothing within {} s",
            ENGINE_LIMIT.as_secs()
        );
        let cure = "see what it is doing (`journalctl -u docker` there), and restart it";
        return Ok((Finding::problem("docker", text, cure), None));
    };
    match engine {
        Ok(engine) => {
            let about = engine.about();
            let text = format!("Docker {} for {}", about.version, about.architecture);
            Ok((Finding::ok("docker", text), Some(about.root.clone())))
        }
        Err(StackError::NoEngine { reason, cure, .. }) => {
            Ok((Finding::problem("docker", reason, cure), None))
        }
        Err(error @ StackError::Dropped { .. }) => Err(error),
        Err(error) => Ok((Finding::problem("docker", error.to_string(), ""), None)),
    }
}

/// How far its clock is from ours, as far as the way there and back lets it be known, and how long that way took.
async fn clock(link: &Link, now_ms: &(dyn Fn() -> i64 + Sync)) -> Result<(Finding, i64), StackError> {
    let before = now_ms();
    // Not every `date` knows nanoseconds; the others print the letter.
    let said = link.output_as_user("date", &["+%s %N"]).await?;
    let after = now_ms();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let finding = match judged::parse_date(&said) {
        Some((there_ms, precision_ms)) => {
            let drift = there_ms - (before + after) / 2;
            judged::drifted(drift, (after - before) / 2 + precision_ms)
        }
        None => warning(
            "clock",
            format!("`date` there said {:?}", said.trim()),
            "compare the clocks by hand",
        ),
    };
    Ok((finding, after - before))
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
    use crate::Level;
    use crate::link::sshd_tests::Sshd;

    #[tokio::test]
    async fn a_server_is_looked_at_and_one_out_of_reach_says_why() {
        let Some(mut sshd) = Sshd::start("a_server_is_looked_at_and_one_out_of_reach_says_why") else {
            return;
        };
        let link = sshd.link("user", HostKeys::AcceptNew).await.expect("let in");
        let findings = of(&link, 5, &|| 0).await.findings;
        let level = |name: &str| findings.iter().find(|f| f.name == name).map(|f| f.level);
        assert_eq!(level("ssh"), Some(Level::Ok), "{findings:?}");
        assert_eq!(level("rights"), Some(Level::Ok), "{findings:?}");
        let ports = findings.iter().find(|f| f.name == "forwarding").expect("tried");
        assert!(ports.text.contains("SSH-2.0-OpenSSH"), "{findings:?}");
        assert_eq!(level("programs"), Some(Level::Ok), "{findings:?}");
        // By a clock that stands at 1970, every server is far ahead.
        assert_eq!(level("clock"), Some(Level::Problem), "{findings:?}");
        assert!(level("docker").is_some() && level("disk").is_some());
        drop(link);
        sshd.stop();
        sshd.configure("AllowTcpForwarding no");
        let link = sshd.link("user", HostKeys::Known).await.expect("let in");
        let closed = of(&link, 5, &|| 0).await;
        let ports = closed.finding("forwarding").expect("tried");
        assert_eq!(ports.level, Level::Problem, "{ports:?}");
        assert!(closed.finding("disk").is_some());
        sshd.stop();
        // What a connection that is lost on the way comes to.
        let lost = of(&link, 5, &|| 0).await;
        assert_eq!((lost.connected_ms, lost.findings.len()), (None, 1), "{lost:?}");
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
