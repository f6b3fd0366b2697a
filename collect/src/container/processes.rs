//! Details of a cgroup's processes: open files, sockets, states, read in rotation.
//!
//! Every process costs several files, and every open file of it a link. So a round has an allowance of effort, about a
//! microsecond each; cgroups take turns, one at most every eighth round, and what they gave is repeated in between. A scan
//! that the allowance does not cover goes on in the next round, at the process where it stopped. One with very many open
//! files can exceed it; the debt is paid by the rounds that follow.

use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat};

use super::families::Name;
use super::files::Reader;
use super::format::{self, float};
use super::sheet::{Base, Sheet};

/// Rounds between two scans of one cgroup.
const ROUNDS_BETWEEN: u64 = 8;
/// Effort a cgroup and round.
const EFFORT_EACH: i64 = 8;
/// Effort a round at least.
const EFFORT_MIN: i64 = 500;
/// Effort of reading a process's state and opening its folder of files.
const EFFORT_PROCESS: i64 = 20;
/// Links of a process that are looked at: of one with more open files, the sockets beyond are not counted.
const LINKS_MAX: usize = 8192;

/// The states that are counted. Upstream's `iowaiting` needs the kernel's delay accounting.
const STATES: [&str; 4] = ["running", "sleeping", "stopped", "uninterruptible"];

fn state_number(letter: u8) -> Option<usize> {
    match letter {
        b'R' => Some(0),
        b'S' | b'I' => Some(1),
        b'T' | b't' => Some(2),
        b'D' => Some(3),
        _ => None,
    }
}

/// What a scan counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counts {
    files: u64,
    sockets: u64,
    /// False when nobody let us see the open files of any process.
    files_seen: bool,
    /// Processes of cgroups below this one.
    below: u64,
    states: [u64; STATES.len()],
}

/// A scan under way.
#[derive(Debug)]
struct Scan {
    pids: Vec<u32>,
    next: usize,
    counts: Counts,
}

/// The details of one cgroup.
#[derive(Debug, Default)]
pub(super) struct Details {
    last: Option<Counts>,
    scan: Option<Scan>,
    /// The round that the last scan began in.
    begun_round: u64,
}

impl Details {
    fn is_due(&self, round: u64) -> bool {
        self.scan.is_some() || self.last.is_none() || round >= self.begun_round + ROUNDS_BETWEEN
    }

    /// Goes on with the scan, or begins one with these processes, until it is through or the allowance is used up.
    fn step(
        &mut self,
        procfs: &Path,
        reader: &mut Reader,
        round: u64,
        allowance: &mut i64,
        pids: impl FnOnce(&mut Reader) -> Pids,
    ) {
        let scan = match &mut self.scan {
            Some(scan) => scan,
            None => {
                self.begun_round = round;
                let pids = pids(reader);
                self.scan.insert(Scan {
                    next: 0,
                    counts: Counts {
                        below: pids.all.len().saturating_sub(pids.own_len) as u64,
                        ..Counts::default()
                    },
                    pids: pids.all,
                })
            }
        };
        while *allowance > 0
            && let Some(pid) = scan.pids.get(scan.next)
        {
            *allowance -= count_process(&procfs.join(pid.to_string()), reader, &mut scan.counts);
            scan.next += 1;
        }
        if scan.next >= scan.pids.len() {
            self.last = Some(scan.counts);
            self.scan = None;
        }
    }

    /// Processes of cgroups below this one, when last counted.
    pub(super) fn processes_below(&self) -> u64 {
        self.last.map_or(0, |counts| counts.below)
    }

    /// Adds the rows of the last scan.
    pub(super) fn add(&self, sheet: &mut Sheet, base: &Base) {
        let Some(counts) = self.last else {
            return;
        };
        if counts.files_seen {
            sheet.push(Name::FileDescriptors, base, float(counts.files));
            sheet.push(Name::Sockets, base, float(counts.sockets));
        }
        for (state, count) in STATES.into_iter().zip(counts.states) {
            sheet.push_with(Name::TasksState, base, &[("state", state)], float(count));
        }
    }
}

/// Counts one process; returns the effort. A process that ended in between counts nothing.
fn count_process(folder: &Path, reader: &mut Reader, counts: &mut Counts) -> i64 {
    let state = reader
        .read_path(&folder.join("stat"))
        .and_then(format::process_state)
        .and_then(state_number);
    if let Some(count) = state.and_then(|at| counts.states.get_mut(at)) {
        *count += 1;
    }
    let (links, sockets, all) = open_files(&folder.join("fd")).unwrap_or_default();
    counts.files_seen |= all > 0;
    counts.files += all;
    counts.sockets += sockets;
    EFFORT_PROCESS + i64::try_from(links).unwrap_or(i64::MAX / 4)
}

/// Links looked at, sockets among them, and open files in all.
fn open_files(folder: &Path) -> Option<(u64, u64, u64)> {
    let opened = openat(
        CWD,
        folder,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()?;
    let (mut links, mut sockets) = (0_u64, 0_u64);
    let mut target = Vec::new();
    let entries = Dir::read_from(&opened).ok()?;
    for entry in entries.take(LINKS_MAX).map_while(Result::ok) {
        let name = entry.file_name();
        if name.to_bytes().first() == Some(&b'.') {
            continue;
        }
        links += 1;
        if let Ok(link) = readlinkat(&opened, name, std::mem::take(&mut target)) {
            target = link.into_bytes();
            sockets += u64::from(target.starts_with(b"socket:"));
        }
    }
    let all = if links + 2 < LINKS_MAX as u64 {
        links
    } else {
        // Since Linux 6.2 the folder's size is the number of open files.
        std::fs::metadata(folder).map_or(links, |found| links.max(found.len()))
    };
    Some((links, sockets, all))
}

/// Whose turn it is, and how much may be done.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    next: usize,
    allowance: i64,
}

impl Rotation {
    /// Goes through the cgroups, from the one where the last round stopped; `pids` gives the processes of the one with this number.
    pub(super) fn run(
        &mut self,
        procfs: &Path,
        reader: &mut Reader,
        round: u64,
        all: &mut [&mut Details],
        mut pids: impl FnMut(usize, &mut Reader) -> Pids,
    ) {
        let len = all.len();
        let fresh = (EFFORT_EACH * i64::try_from(len).unwrap_or(0)).max(EFFORT_MIN);
        self.allowance = (self.allowance + fresh).min(fresh);
        // Spread over the rounds even when there is effort to spare.
        let turns_max = len.div_ceil(usize::try_from(ROUNDS_BETWEEN).unwrap_or(1));
        let mut turns = 0;
        for step in 0..len {
            let at = (self.next + step) % len;
            let Some(details) = all.get_mut(at) else {
                continue;
            };
            if self.allowance <= 0 {
                self.next = at;
                return;
            }
            let first = details.last.is_none();
            if !details.is_due(round) || (turns >= turns_max && !first) {
                continue;
            }
            turns += usize::from(!first);
            details.step(procfs, reader, round, &mut self.allowance, |reader| {
                pids(at, reader)
            });
        }
    }
}

/// Processes of a cgroup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pids {
    /// Those of the cgroup itself and of all below it, sorted.
    pub(super) all: Vec<u32>,
    /// How many are the cgroup's own.
    pub(super) own_len: usize,
}

/// Puts processes of a cgroup and, when its folder is given, of those below it together.
pub(super) fn pids_of(own: Vec<u32>, folder: Option<&Path>, reader: &mut Reader) -> Pids {
    /// Folders that are looked into: a container rarely makes cgroups of its own.
    const FOLDERS_MAX: usize = 512;
    let mut pids = Pids {
        // A process that is not of our namespace is shown as 0.
        own_len: own.iter().filter(|pid| **pid != 0).count(),
        all: own,
    };
    let mut rest: Vec<PathBuf> = folder.map(folders_below).unwrap_or_default();
    let mut seen = 1;
    while let Some(folder) = rest.pop() {
        if seen >= FOLDERS_MAX {
            break;
        }
        seen += 1;
        if let Some(bytes) = reader.read_path(&folder.join("cgroup.procs")) {
            pids.all.extend(format::process_ids(bytes));
        }
        rest.extend(folders_below(&folder));
    }
    pids.all.retain(|pid| *pid != 0);
    pids.all.sort_unstable();
    pids.all.dedup();
    pids
}

/// Folders in a folder. One without any has two links, itself and its name; where links are not counted there is one.
fn folders_below(folder: &Path) -> Vec<PathBuf> {
    if rustix::fs::stat(folder).is_ok_and(|found| found.st_nlink == 2) {
        return Vec::new();
    }
    let names = super::hierarchy::folders_in(folder).into_iter();
    names.map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(procfs: &Path, pid: u32, state: char, links: &[&str]) {
        let folder = procfs.join(pid.to_string());
        std::fs::create_dir_all(folder.join("fd")).unwrap();
        std::fs::write(folder.join("stat"), format!("{pid} (x y) {state} 1 1")).unwrap();
        for (number, link) in links.iter().enumerate() {
            std::os::unix::fs::symlink(link, folder.join(format!("fd/{number}"))).unwrap();
        }
    }

    fn pids(all: Vec<u32>) -> Pids {
        Pids {
            own_len: all.len(),
            all,
        }
    }

    #[test]
    fn processes_are_counted_in_turn_and_values_repeated_in_between() {
        let dir = tempfile::tempdir().unwrap();
        process(dir.path(), 1, 'S', &["/dev/null", "socket:[1]"]);
        process(dir.path(), 2, 'R', &["socket:[2]"]);
        process(dir.path(), 3, 'Z', &[]);
        let mut reader = Reader::default();
        let mut rotation = Rotation::default();
        let mut details = Details::default();
        let mut asked = 0;
        for round in 0..17 {
            rotation.run(dir.path(), &mut reader, round, &mut [&mut details], |_, _| {
                asked += 1;
                pids(vec![1, 2, 3, 99])
            });
        }
        assert_eq!(asked, 3, "rounds 0, 8 and 16");
        assert_eq!(
            details.last,
            Some(Counts {
                files: 3,
                sockets: 2,
                files_seen: true,
                below: 0,
                states: [1, 1, 0, 0]
            })
        );
    }

    #[test]
    fn many_processes_are_spread_over_rounds() {
        let dir = tempfile::tempdir().unwrap();
        for pid in 1..=100 {
            process(dir.path(), pid, 'S', &["/dev/null"]);
        }
        let mut reader = Reader::default();
        let mut rotation = Rotation::default();
        let mut details = Details::default();
        let mut rounds = 0;
        while details.last.is_none() {
            rotation.run(dir.path(), &mut reader, rounds, &mut [&mut details], |_, _| {
                pids((1..=100).collect())
            });
            rounds += 1;
            assert!(rounds < 50, "it ends");
        }
        assert!(rounds > 2, "{rounds} rounds");
        assert_eq!(details.last.unwrap().files, 100);
    }
}
