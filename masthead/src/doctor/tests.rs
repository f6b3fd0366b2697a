//! Every check over a root made for it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;

fn silent(_: &str, _: &[&str]) -> Option<String> {
    None
}

fn place(root: &Path) -> Place {
    Place {
        root: root.to_owned(),
        procfs: root.join("proc"),
        sysfs: root.join("sys"),
        rootfs: PathBuf::from("/"),
        data_dir: root.join("data"),
        listen: "127.0.0.1:0".parse().unwrap(),
        docker: Some(root.join("docker.sock")),
        retention_bytes: Some(1 << 20),
        ask: silent,
        is_root: false,
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn namespaces(root: &Path, process: &str, pid: &str, net: &str) {
    let folder = root.join("proc").join(process).join("ns");
    fs::create_dir_all(&folder).unwrap();
    symlink(pid, folder.join("pid")).unwrap();
    symlink(net, folder.join("net")).unwrap();
}

/// Files of the root, and what the check with this name says.
fn check(name: &str, files: &[(&str, &str)], want: State, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(dir.path(), path, text);
    }
    expect(&place(dir.path()), name, want, words);
}

fn expect(place: &Place, name: &str, want: State, words: &str) {
    let all = examine(place);
    let (_, finding) = all.iter().find(|(check, _)| *check == name).unwrap();
    assert_eq!(finding.state, want, "{name}: {finding:?}");
    let text = format!("{} {}", finding.found, finding.cure);
    assert!(text.contains(words), "{name}: {words:?} in {text:?}");
    assert_eq!(finding.cure.is_empty(), finding.state == State::Ok, "{finding:?}");
}

const FIRST: &str = "pid:[4026531836]";

#[test]
fn a_namespace_of_its_own_is_told() {
    for (pid, net, in_docker, processes, network) in [
        (FIRST, "net:[1]", false, State::Ok, State::Ok),
        (FIRST, "net:[2]", true, State::Ok, State::Fail),
        ("pid:[9]", "net:[1]", true, State::Fail, State::Warn),
    ] {
        let dir = tempfile::tempdir().unwrap();
        namespaces(dir.path(), "self", pid, net);
        namespaces(dir.path(), "1", pid, "net:[1]");
        write(dir.path(), "proc/1/comm", "init\n");
        if in_docker {
            write(dir.path(), ".dockerenv", "");
        }
        let place = place(dir.path());
        expect(&place, "processes of the host", processes, "");
        expect(&place, "network of the host", network, "");
    }
    // The host's /proc, mounted into a container.
    let dir = tempfile::tempdir().unwrap();
    namespaces(dir.path(), "self", "pid:[9]", "net:[2]");
    write(dir.path(), "host/proc/1/comm", "systemd\n");
    let mut place = place(dir.path());
    place.procfs = dir.path().join("host/proc");
    expect(&place, "processes of the host", State::Ok, "systemd");
}

#[test]
fn a_container_needs_the_host_s_root() {
    let name = "file systems of the host";
    check(name, &[], State::Ok, "not in a container");
    check(name, &[(".dockerenv", "")], State::Fail, "rootfs: /host");
    check(name, &[("run/.containerenv", "")], State::Fail, "rootfs: /host");
    // A machine made from a container's image: its first process has the same root.
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), ".dockerenv", "");
    namespaces(dir.path(), "self", FIRST, "net:[1]");
    fs::create_dir_all(dir.path().join("proc/1")).unwrap();
    symlink(dir.path(), dir.path().join("proc/1/root")).unwrap();
    expect(&place(dir.path()), name, State::Ok, "not in a container");

    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), ".dockerenv", "");
    let mut place = place(dir.path());
    place.rootfs = dir.path().join("host");
    expect(&place, name, State::Fail, "no root file system");
    write(dir.path(), "host/etc/passwd", "");
    expect(&place, name, State::Ok, "host");
}

#[test]
fn memory_must_be_accounted() {
    let name = "memory of containers";
    let controllers = "sys/fs/cgroup/cgroup.controllers";
    check(name, &[(controllers, "cpu io memory pids\n")], State::Ok, "v2");
    check(
        name,
        &[(controllers, "cpu io pids\n")],
        State::Fail,
        "cgroup_enable=memory swapaccount=1",
    );
    check(
        name,
        &[("proc/cgroups", "memory\t0\t1\t0\n")],
        State::Fail,
        "cgroup_enable=memory",
    );
    check(name, &[("sys/fs/cgroup/memory/memory.stat", "")], State::Ok, "v1");
    check(
        name,
        &[("sys/fs/cgroup/cpu/tasks", "")],
        State::Fail,
        "no memory controller",
    );
    check(name, &[], State::Unknown, "/sys");
}

#[test]
fn hidden_processes_matter_to_those_who_are_not_root() {
    let name = "other users' processes";
    let file = |options: &str| format!("22 28 0:21 / /proc rw - proc proc rw{options}\n");
    check(
        name,
        &[("proc/self/mountinfo", &file(""))],
        State::Ok,
        "without hidepid",
    );
    check(
        name,
        &[("proc/self/mountinfo", &file(",hidepid=2"))],
        State::Warn,
        "as root",
    );
    check(name, &[], State::Unknown, "mountinfo");
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "proc/self/mountinfo", &file(",hidepid=2"));
    let mut place = place(dir.path());
    place.is_root = true;
    expect(&place, name, State::Ok, "root");
}

#[test]
fn the_engine_s_socket_is_opened() {
    check("Docker", &[], State::Warn, "containers: enabled: false");
    let dir = tempfile::tempdir().unwrap();
    let mut place = place(dir.path());
    let listener = std::os::unix::net::UnixListener::bind(dir.path().join("docker.sock")).unwrap();
    expect(&place, "Docker", State::Ok, "can be opened");
    drop(listener);
    expect(&place, "Docker", State::Fail, "systemctl status docker");
    place.docker = None;
    expect(&place, "Docker", State::Ok, "turned off");
}

#[test]
fn the_clock_is_what_its_keeper_says() {
    check("clock", &[], State::Unknown, "timedatectl");
    check(
        "clock",
        &[("run/systemd/timesync/synchronized", "")],
        State::Ok,
        "timesyncd",
    );
    let dir = tempfile::tempdir().unwrap();
    let mut place = place(dir.path());
    for (ask, want) in [
        (
            (|program, _| (program == "timedatectl").then(|| "no\n".to_owned())) as Ask,
            State::Warn,
        ),
        (
            |program, _| (program == "timedatectl").then(|| "yes\n".to_owned()),
            State::Ok,
        ),
        (
            |program, _| (program == "chronyc").then(|| "A,a,2,1,0.001,0".to_owned()),
            State::Ok,
        ),
        (
            |program, _| (program == "chronyc").then(|| "A,a,2,1,-7.5,0".to_owned()),
            State::Fail,
        ),
    ] {
        place.ask = ask;
        expect(&place, "clock", want, "");
    }
}

#[test]
fn small_limits_are_told() {
    let (watches, instances) = (
        "proc/sys/fs/inotify/max_user_watches",
        "proc/sys/fs/inotify/max_user_instances",
    );
    check(
        "inotify limits",
        &[(watches, "524288\n"), (instances, "512\n")],
        State::Ok,
        "524288",
    );
    check(
        "inotify limits",
        &[(watches, "100\n"), (instances, "512\n")],
        State::Warn,
        "sysctl",
    );
    check("inotify limits", &[], State::Unknown, "inotify");
    let limits =
        |hard: &str| format!("Max open files            1024                 {hard}                files\n");
    check(
        "open files",
        &[("proc/self/limits", &limits("1024"))],
        State::Warn,
        "LimitNOFILE",
    );
    check(
        "open files",
        &[("proc/self/limits", &limits("1048576"))],
        State::Ok,
        "1048576",
    );
    check("open files", &[], State::Unknown, "ulimit");
}

#[test]
fn the_data_needs_a_folder_and_room() {
    check("data folder", &[], State::Ok, "can be made");
    check("data folder", &[("data/lock", "")], State::Ok, "can be written");
    check("data folder", &[("data", "a file")], State::Fail, "--data-dir");
    let gb = 1 << 30;
    for (free, used, wanted, want) in [
        (10 * gb, 0, gb, State::Ok),
        (gb / 2, 0, gb, State::Warn),
        (gb / 2, gb / 2, gb, State::Ok),
        (gb / 20, 0, gb, State::Fail),
        (50 << 20, gb, gb, State::Fail),
    ] {
        assert_eq!(
            room::space(free, used, wanted).state,
            want,
            "{free} {used} {wanted}"
        );
    }
}

#[test]
fn a_port_in_use_is_told_but_not_when_it_is_ours() {
    use std::io::{Read as _, Write as _};
    check("port", &[], State::Ok, "free");
    let dir = tempfile::tempdir().unwrap();
    let mut place = place(dir.path());
    for (answer, want) in [("Masthead is Healthy.", State::Ok), ("hello", State::Fail)] {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        place.listen = listener.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        expect(&place, "port", want, "127.0.0.1");
        answering.join().unwrap();
    }
}
