//! Does Masthead see the host, or only the container it runs in?

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::doctor::{Finding, Place};

/// The inode of the first PID namespace is fixed in the kernel.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

fn namespace(procfs: &Path, process: &str, kind: &str) -> Option<String> {
    let link = fs::read_link(procfs.join(process).join("ns").join(kind)).ok()?;
    Some(link.to_string_lossy().into_owned())
}

/// What the runtimes leave in a container. Some machines are made from an image of a container and have it too: where the first process
/// of the machine has the same root, this is none.
fn in_container(place: &Place) -> bool {
    let hinted = [".dockerenv", "run/.containerenv"]
        .iter()
        .any(|hint| place.root.join(hint).exists());
    hinted && !shares_first_root(place)
}

fn sees_every_process(place: &Place) -> bool {
    namespace(&place.own_procfs(), "self", "pid").as_deref() == Some(FIRST_PID_NAMESPACE)
}

/// Is our root that of the machine's first process? Only root may look; who may not is not told so.
fn shares_first_root(place: &Place) -> bool {
    let at = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    let own = at(&place.root);
    sees_every_process(place) && own.is_some() && own == at(&place.own_procfs().join("1/root"))
}

/// Another `/proc` than our own is read: the host's, mounted into a container.
fn reads_other_proc(place: &Place) -> bool {
    place.procfs != place.own_procfs()
}

pub(super) fn pid_namespace(place: &Place) -> Finding {
    const CURE: &str = "run the container with --pid host (compose: `pid: host`), or mount the host's /proc and name it under \
                        masthead: collect: procfs:";
    if reads_other_proc(place) {
        return match fs::read_to_string(place.procfs.join("1/comm")) {
            Ok(comm) => Finding::ok(format!(
                "{} is read; its first process is {}",
                place.procfs.display(),
                comm.trim()
            )),
            Err(e) => Finding::fail(format!("{} is no /proc: {e}", place.procfs.display()), CURE),
        };
    }
    match namespace(&place.own_procfs(), "self", "pid").as_deref() {
        Some(FIRST_PID_NAMESPACE) => Finding::ok("seen: this is the machine's own PID namespace"),
        Some(_) => {
            let first = fs::read_to_string(place.procfs.join("1/comm")).unwrap_or_default();
            Finding::fail(
                format!(
                    "this is a PID namespace of its own (first process: {}): others are not seen",
                    first.trim()
                ),
                CURE,
            )
        }
        None => Finding::unknown("/proc/self/ns/pid cannot be read", "mount /proc"),
    }
}

pub(super) fn network_namespace(place: &Place) -> Finding {
    const CURE: &str = "run the container with --network host (compose: `network_mode: host`)";
    let own = namespace(&place.own_procfs(), "self", "net");
    let first = namespace(&place.procfs, "1", "net");
    let sees_host = reads_other_proc(place) || sees_every_process(place);
    match (own, first) {
        (Some(own), Some(first)) if own != first => Finding::fail(
            "this is a network namespace of its own: the traffic of the host is not seen",
            CURE,
        ),
        (Some(_), Some(_)) if sees_host => {
            Finding::ok("seen: the same network namespace as the machine's first process")
        }
        (Some(_), _) if in_container(place) => Finding::warn(
            "in a container, where it cannot be told whether this is the host's network",
            CURE,
        ),
        (Some(_), None) => Finding::unknown(
            "only root may look at the first process' network namespace",
            "run this as root",
        ),
        _ => Finding::unknown(
            "the namespaces cannot be compared",
            "run this where Masthead runs, as root",
        ),
    }
}

pub(super) fn root_fs(place: &Place) -> Finding {
    const CURE: &str =
        "mount the host's root (-v /:/host:ro,rslave) and name it under masthead: collect: rootfs: /host";
    let given = place.rootfs != Path::new("/") && place.rootfs != place.root;
    if given {
        return if place.rootfs.join("etc").is_dir() {
            Finding::ok(format!("read below {}", place.rootfs.display()))
        } else {
            Finding::fail(
                format!("{} holds no root file system", place.rootfs.display()),
                CURE,
            )
        };
    }
    if in_container(place) && sees_every_process(place) && !place.own_procfs().join("1/root").exists() {
        return Finding::warn(
            "this looks like a container, and whose file systems these are cannot be told",
            CURE,
        );
    }
    if in_container(place) {
        return Finding::fail(
            "in a container without the host's root: the container's file systems are shown",
            CURE,
        );
    }
    Finding::ok("not in a container: the machine's own")
}

/// `hidepid` of the `/proc` that is read, from `mountinfo`.
fn hidepid_option(mountinfo: &str, procfs: &Path) -> Option<String> {
    let mut found = None;
    for line in mountinfo.lines() {
        let (Some((front, back)), Some(at)) = (line.split_once(" - "), line.split(' ').nth(4)) else {
            continue;
        };
        if !back.starts_with("proc ") || Path::new(at) != procfs {
            continue;
        }
        let options = front
            .split(' ')
            .chain(back.split(' '))
            .flat_map(|word| word.split(','));
        // The last mount on a place is the one that is seen.
        found = options
            .filter_map(|option| option.strip_prefix("hidepid="))
            .next_back()
            .map(str::to_owned);
    }
    found.filter(|value| value != "0" && value != "off")
}

pub(super) fn hidepid(place: &Place) -> Finding {
    let Ok(mountinfo) = fs::read_to_string(place.own_procfs().join("self/mountinfo")) else {
        return Finding::unknown("/proc/self/mountinfo cannot be read", "mount /proc");
    };
    let mounted_at = place
        .procfs
        .strip_prefix(&place.root)
        .map_or_else(|_| place.procfs.clone(), |path| Path::new("/").join(path));
    match hidepid_option(&mountinfo, &mounted_at) {
        None => Finding::ok("seen: /proc is mounted without hidepid"),
        Some(value) if place.is_root => {
            Finding::ok(format!("hidepid={value}, which does not hide from root"))
        }
        Some(value) => Finding::warn(
            format!(
                "/proc is mounted with hidepid={value}: processes and containers of others are hidden from this user"
            ),
            "run Masthead as root, or mount /proc with gid=GROUP and put its user into that group",
        ),
    }
}

pub(super) fn memory_accounting(place: &Place) -> Finding {
    const CURE: &str = "add cgroup_enable=memory swapaccount=1 to the kernel's command line (on a Raspberry Pi in \
                        /boot/firmware/cmdline.txt, else in /etc/default/grub and `update-grub`) and reboot";
    let tree = place.sysfs.join("fs/cgroup");
    if let Ok(controllers) = fs::read_to_string(tree.join("cgroup.controllers")) {
        return if controllers.split_whitespace().any(|name| name == "memory") {
            Finding::ok("cgroup v2, memory is accounted")
        } else {
            Finding::fail(
                "cgroup v2 without the memory controller: memory of containers is not known",
                CURE,
            )
        };
    }
    let enabled = fs::read_to_string(place.procfs.join("cgroups"))
        .ok()
        .and_then(|text| memory_enabled(&text));
    match (
        enabled,
        tree.join("memory/memory.usage_in_bytes").exists() || tree.join("memory/memory.stat").exists(),
    ) {
        (Some(false), _) => Finding::fail(
            "cgroup v1 with the memory controller off: memory of containers is not known",
            CURE,
        ),
        (_, true) => Finding::ok("cgroup v1, memory is accounted"),
        (_, false) if tree.is_dir() => Finding::fail(
            format!("no memory controller is mounted below {}", tree.display()),
            "in a container mount the host's /sys (-v /sys:/sys:ro); else see `mount -t cgroup`",
        ),
        (_, false) => Finding::unknown(format!("{} is not there", tree.display()), "mount /sys"),
    }
}

/// The last column of the memory line of `/proc/cgroups`.
fn memory_enabled(text: &str) -> Option<bool> {
    let line = text
        .lines()
        .find(|line| line.starts_with("memory\t") || line.starts_with("memory "))?;
    line.split_whitespace().nth(3).map(|enabled| enabled != "0")
}

pub(super) fn docker(place: &Place) -> Finding {
    let Some(socket) = &place.docker else {
        return Finding::ok("turned off by the configuration");
    };
    let shown = socket.display();
    match UnixStream::connect(socket) {
        Ok(_) => Finding::ok(format!("{shown} can be opened")),
        Err(e) => match e.kind() {
            io::ErrorKind::PermissionDenied => Finding::fail(
                format!("{shown} may not be opened by this user"),
                "run Masthead as root, or put its user into the group of the socket (`usermod -aG docker USER`), which is as \
                 powerful as root",
            ),
            io::ErrorKind::NotFound => Finding::warn(
                format!("there is no {shown}"),
                "start the engine, mount its socket into the container, or name it under masthead: containers: docker:; \
                 without containers say masthead: containers: enabled: false",
            ),
            _ => Finding::fail(
                format!("{shown}: {e}"),
                "the engine does not answer there; see `systemctl status docker`",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidepid_is_found_in_either_column_of_the_last_mount() {
        let line =
            |options: &str| format!("22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw{options}\n");
        for (text, want) in [
            (line(""), None),
            (line(",hidepid=2"), Some("2")),
            (line(",hidepid=invisible,gid=3"), Some("invisible")),
            (line(",hidepid=0"), None),
            (line(",hidepid=2") + &line(""), None),
            ("garbage\n".to_owned(), None),
        ] {
            assert_eq!(
                hidepid_option(&text, Path::new("/proc")).as_deref(),
                want,
                "{text}"
            );
        }
        assert_eq!(hidepid_option(&line(",hidepid=2"), Path::new("/host/proc")), None);
    }

    #[test]
    fn the_memory_controller_of_v1_can_be_off() {
        let head = "#subsys_name\thierarchy\tnum_cgroups\tenabled\n";
        assert_eq!(memory_enabled(&format!("{head}memory\t0\t90\t0\n")), Some(false));
        assert_eq!(memory_enabled(&format!("{head}memory\t4\t90\t1\n")), Some(true));
        assert_eq!(memory_enabled(head), None);
    }
}
