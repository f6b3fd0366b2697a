//! Processes, on demand: what each uses and to which container it belongs.
//!
//! ```text
//!   list(...) -> Vec<Stat>   a pause   list(...) -> Vec<Stat>   rank(before, after, seconds, ...) -> the few that are shown
//!                                                               detail(...) of each of those
//! ```
//!
//! `/proc/<pid>/stat` alone is read of all processes; the rest is read of those that are shown. A process that ends in between is left
//! out. Parsers take any bytes without a panic.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// The kernel's ticks in `/proc/<pid>/stat`, 100 a second for programs whatever it counts in itself.
const TICKS_PER_S: f64 = 100.0;
/// Plain words of a command line that are shown after the program.
const WORDS_MAX: usize = 3;
/// A word longer than this is no name.
const WORD_CHARS_MAX: usize = 80;
/// A word of so many letters and digits mixed may be a key.
const KEY_CHARS: usize = 20;
/// Digits of a container's id.
const ID_DIGITS: usize = 64;

/// What `/proc/<pid>/stat` says of a process.
#[derive(Debug, Clone, PartialEq)]
pub struct Stat {
    /// In the host's numbering.
    pub pid: u32,
    /// The kernel's name of it, at most 15 bytes.
    pub name: String,
    /// `running`, `sleeping`, `uninterruptible`, `idle`, `stopped`, `traced`, `zombie`, `dead` or `unknown`.
    pub state: &'static str,
    /// CPU seconds used, its own and not its children's.
    pub cpu_s: f64,
    /// Threads.
    pub threads: u64,
    /// Seconds from the start of the machine to its start.
    pub started_after_boot_s: f64,
    /// Pages in memory.
    pub resident_pages: u64,
}

/// One process with what it used between two readings.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// As it was at the second one.
    pub stat: Stat,
    /// CPU seconds a second.
    pub cpu_cores: f64,
}

/// What the list is sorted by, the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum By {
    /// CPU seconds a second.
    #[default]
    Cpu,
    /// Bytes in memory.
    Memory,
}

/// What is read of the processes that are shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Detail {
    /// The program and plain words; options and what follows them are left out, since they may hold secrets.
    pub command: String,
    /// Effective user, if the kernel said.
    pub uid: Option<u32>,
    /// Ids of the containers around it, the outermost first.
    pub containers: Vec<String>,
}

/// All processes, or those with these numbers.
#[must_use]
pub fn list(procfs: &Path, pids: Option<&[u32]>) -> Vec<Stat> {
    let read = |pid: u32| {
        let bytes = fs::read(procfs.join(pid.to_string()).join("stat")).ok()?;
        parse_stat(&bytes).filter(|stat| stat.pid == pid)
    };
    match pids {
        Some(pids) => pids.iter().filter_map(|pid| read(*pid)).collect(),
        None => fs::read_dir(procfs)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(read)
            .collect(),
    }
}

/// The largest users between two readings that are so many seconds apart.
#[must_use]
pub fn rank(before: &[Stat], after: Vec<Stat>, seconds: f64, by: By, limit: usize) -> Vec<Usage> {
    let earlier: HashMap<u32, &Stat> = before.iter().map(|stat| (stat.pid, stat)).collect();
    let mut all: Vec<Usage> = after
        .into_iter()
        .map(|stat| {
            // The number of a process that ended may be another's now. One that began in between used all it used in between.
            let used_before = earlier
                .get(&stat.pid)
                .filter(|old| old.started_after_boot_s.to_bits() == stat.started_after_boot_s.to_bits())
                .map_or(0.0, |old| old.cpu_s);
            let cpu_cores = if seconds > 0.0 {
                ((stat.cpu_s - used_before) / seconds).max(0.0)
            } else {
                0.0
            };
            Usage { stat, cpu_cores }
        })
        .collect();
    all.sort_by(|a, b| {
        let cpu = b.cpu_cores.total_cmp(&a.cpu_cores);
        let memory = b.stat.resident_pages.cmp(&a.stat.resident_pages);
        let first = match by {
            By::Cpu => cpu.then(memory),
            By::Memory => memory.then(cpu),
        };
        first.then(a.stat.pid.cmp(&b.stat.pid))
    });
    all.truncate(limit);
    all
}

/// What the other files of a process say; what cannot be read is left empty.
#[must_use]
pub fn detail(procfs: &Path, stat: &Stat) -> Detail {
    let folder = procfs.join(stat.pid.to_string());
    let read = |name: &str| fs::read(folder.join(name)).unwrap_or_default();
    let command = command(&read("cmdline"));
    Detail {
        // A thread of the kernel has no command line; `ps` writes its name in brackets too.
        command: if command.is_empty() {
            format!("[{}]", stat.name)
        } else {
            command
        },
        uid: parse_uid(&read("status")),
        containers: container_ids(&read("cgroup")),
    }
}

/// The names of the host's users.
#[must_use]
pub fn users(rootfs: &Path) -> HashMap<u32, String> {
    parse_passwd(&fs::read(rootfs.join("etc/passwd")).unwrap_or_default())
}

/// When the machine started, in seconds since the epoch, from `/proc/stat`.
#[must_use]
pub fn boot_time_s(procfs: &Path) -> Option<f64> {
    let text = fs::read_to_string(procfs.join("stat")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|number| number.trim().parse().ok())
}

/// `pid (name) state ...`; the name may hold blanks and brackets.
pub(crate) fn parse_stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let (pid, rest) = text.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // proc(5) counts from 1 and has the number and the name first.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    #[expect(clippy::cast_precision_loss, reason = "ticks of a process are far below 2^53")]
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_S;
    Some(Stat {
        pid: pid.trim().parse().ok()?,
        name: printable(name),
        state: state(fields.first()?),
        cpu_s: seconds(field(14)?.saturating_add(field(15)?)),
        threads: field(20)?,
        started_after_boot_s: seconds(field(22)?),
        // Signed in the file's description, never below zero in fact.
        resident_pages: field(24).unwrap_or(0),
    })
}

fn state(letter: &str) -> &'static str {
    match letter {
        "R" => "running",
        "S" => "sleeping",
        "D" => "uninterruptible",
        "I" => "idle",
        "T" => "stopped",
        "t" => "traced",
        "Z" => "zombie",
        "X" | "x" => "dead",
        _ => "unknown",
    }
}

/// The effective user of `/proc/<pid>/status`. The owner of the folder would do but for processes that may not be dumped.
pub(crate) fn parse_uid(bytes: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Every run of exactly 64 hexadecimal digits in the paths of `/proc/<pid>/cgroup`, each once.
pub(crate) fn container_ids(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let mut ids: Vec<String> = Vec::new();
    for line in text.lines() {
        // Names of controllers have no such runs, but the path begins after the second colon.
        let path = line.splitn(3, ':').nth(2).unwrap_or("");
        for run in path.split(|c: char| !c.is_ascii_hexdigit()) {
            if run.len() == ID_DIGITS && !ids.iter().any(|id| id == run) {
                ids.push(run.to_owned());
            }
        }
    }
    ids
}

/// User numbers and names of `/etc/passwd`; the first name of a number counts.
pub(crate) fn parse_passwd(bytes: &[u8]) -> HashMap<u32, String> {
    let text = String::from_utf8_lossy(bytes);
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1).and_then(|uid| uid.parse().ok())) else {
            continue;
        };
        if !name.is_empty() {
            names.entry(uid).or_insert_with(|| printable(name));
        }
    }
    names
}

/// The program's name and the plain words behind it, up to the first option or anything that could be a secret.
pub(crate) fn command(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    // A program that gives itself a title puts it all into the first word.
    let mut words = text
        .split(|c: char| c == '\0' || c.is_whitespace())
        .filter(|word| !word.is_empty());
    let Some(first) = words.next() else {
        return String::new();
    };
    let program = first
        .rsplit('/')
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or(first);
    let mut shown: String = printable(program).chars().take(WORD_CHARS_MAX).collect();
    let mut named_next = false;
    for word in words.take(WORDS_MAX) {
        // What Java and Python run stands behind these, and is what one wants to know.
        let names_program = matches!(word, "-jar" | "-m");
        if !names_program && (!is_plain(word) || (!named_next && hints_at_secret(&shown))) {
            break;
        }
        shown.push(' ');
        shown.push_str(&printable(word));
        named_next = names_program;
    }
    shown
}

/// A name or a path: no option, no assignment, no address with a password, nothing that looks like a key.
fn is_plain(word: &str) -> bool {
    let fits = |c: char| c.is_alphanumeric() || "._/:+,-*".contains(c);
    let looks_like_key = word.len() >= KEY_CHARS
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-_".contains(c))
        && word.bytes().any(|b| b.is_ascii_digit());
    !word.starts_with('-')
        && word.chars().count() <= WORD_CHARS_MAX
        && word.chars().all(fits)
        && !word.contains("://")
        && !looks_like_key
}

/// Does a secret often follow these words?
fn hints_at_secret(shown: &str) -> bool {
    let lower = shown.to_ascii_lowercase();
    ["pass", "secret", "token", "login", "auth", "key", "credential"]
        .iter()
        .any(|hint| lower.contains(hint))
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a b) (c)) S 1 42 42 0 -1 4194560 1 0 0 0 150 50 9 9 20 0 7 0 12345 1000000 250 18446744073709551615 1";

    #[test]
    fn a_stat_is_read_whatever_the_name() {
        let stat = parse_stat(STAT.as_bytes()).unwrap();
        assert_eq!(
            (stat.pid, stat.name.as_str(), stat.state),
            (42, "a b) (c)", "sleeping")
        );
        assert_eq!((stat.cpu_s, stat.threads, stat.resident_pages), (2.0, 7, 250));
        assert_eq!(stat.started_after_boot_s, 123.45);
        for bad in [
            "",
            "42",
            "42 (x",
            "42 (x) ",
            "42 (x) S 1 2",
            "x (y) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        ] {
            assert_eq!(parse_stat(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_command_shows_no_secrets() {
        for (line, want) in [
            ("/usr/bin/node\0server.js\0--token=abc\0", "node server.js"),
            ("mysqld\0--user\0root\0", "mysqld"),
            ("java\0-Xmx1g\0-jar\0app.jar\0", "java"),
            (
                "java\0-jar\0/opt/app.jar\0--password\0x\0",
                "java -jar /opt/app.jar",
            ),
            ("python3\0-m\0http.server\08000\0", "python3 -m http.server 8000"),
            (
                "nginx: master process nginx -g daemon off;",
                "nginx: master process nginx",
            ),
            ("postgres: app db 10.0.0.3(5432) idle", "postgres: app db"),
            ("redis-server *:6379", "redis-server *:6379"),
            ("env\0PASSWORD=x\0prog\0", "env"),
            ("curl\0https://ann:x@host/\0", "curl"),
            ("mysqladmin\0password\0new\0", "mysqladmin password"),
            ("tool\0ghp16C7e42F292c6912E7710c838347Ae178B4a\0", "tool"),
            ("-bash\0", "-bash"),
            ("a\0b\0c\0d\0e\0f\0", "a b c d"),
            ("x\u{1b}[31m\0", "x[31m"),
            ("", ""),
            ("\0\0", ""),
        ] {
            assert_eq!(command(line.as_bytes()), want, "{line:?}");
        }
    }

    #[test]
    fn containers_are_found_in_every_driver_s_path() {
        let (a, b) = ("a".repeat(64), "0123456789abcdef".repeat(4));
        for (text, want) in [
            (
                format!("12:memory:/docker/{a}\n11:cpu:/docker/{a}\n"),
                vec![a.clone()],
            ),
            (format!("0::/system.slice/docker-{a}.scope\n"), vec![a.clone()]),
            (format!("0::/docker/{a}/docker/{b}\n"), vec![a.clone(), b.clone()]),
            (format!("0::/../{b}\n"), vec![b.clone()]),
            (format!("0::/x/{a}f\n"), vec![]),
            ("0::/user.slice\n".to_owned(), vec![]),
            (String::new(), vec![]),
        ] {
            assert_eq!(container_ids(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn users_have_their_first_name() {
        let names =
            parse_passwd(b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/:/\nann:x:1000:1::/:/\nbad\n:x:7:\n");
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&1000).map(String::as_str), Some("ann"));
        assert_eq!(names.len(), 2);
        assert_eq!(parse_uid(b"Name:\tx\nUid:\t0\t33\t0\t0\n"), Some(33));
        assert_eq!(parse_uid(b"Uid:\n"), None);
    }

    fn stat(pid: u32, cpu_s: f64, pages: u64, started: f64) -> Stat {
        Stat {
            pid,
            name: String::new(),
            state: "running",
            cpu_s,
            threads: 1,
            started_after_boot_s: started,
            resident_pages: pages,
        }
    }

    #[test]
    fn the_largest_users_come_first() {
        let before = [
            stat(1, 10.0, 5, 1.0),
            stat(2, 100.0, 1, 1.0),
            stat(3, 50.0, 1, 1.0),
        ];
        let after = vec![
            stat(1, 10.5, 5, 1.0),
            stat(2, 100.0, 9, 1.0),
            // The number was given again, to a process that began in between.
            stat(3, 0.25, 1, 99.0),
            stat(4, 1.0, 2, 99.0),
        ];
        let pids = |by, limit| -> Vec<(u32, f64)> {
            rank(&before, after.clone(), 0.5, by, limit)
                .iter()
                .map(|u| (u.stat.pid, u.cpu_cores))
                .collect()
        };
        assert_eq!(pids(By::Cpu, 9), [(4, 2.0), (1, 1.0), (3, 0.5), (2, 0.0)]);
        assert_eq!(pids(By::Memory, 2), [(2, 0.0), (1, 1.0)]);
        assert!(
            rank(&[], after.clone(), 0.0, By::Cpu, 9)
                .iter()
                .all(|u| u.cpu_cores == 0.0)
        );
    }

    #[test]
    fn this_process_is_listed_with_its_detail() {
        let procfs = Path::new("/proc");
        let own = std::process::id();
        let all = list(procfs, None);
        assert!(all.iter().any(|stat| stat.pid == own));
        let one = list(procfs, Some(&[own, u32::MAX]));
        assert_eq!(one.len(), 1);
        let detail = detail(procfs, &one[0]);
        assert!(!detail.command.is_empty() && detail.uid.is_some(), "{detail:?}");
        assert!(boot_time_s(procfs).unwrap() > 1e9);
        assert!(one[0].resident_pages > 0);
    }
}
