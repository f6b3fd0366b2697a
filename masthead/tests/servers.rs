//! `masthead server` and commands with `--all` as processes, against a real sshd on the loopback. There is no Docker behind it: what the
//! stack does over SSH is tried end to end by `cargo xtask e2e`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test that cannot go on should stop here"
)]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// It wants to be called by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

struct Rig {
    folder: TempDir,
    port: u16,
    sshd: Option<Child>,
}

struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Rig {
    /// `None`, which is said, where there is no sshd or the test is not root's.
    fn new(test: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            println!("SKIPPED {test}: there is no sshd: apt-get install openssh-server");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED {test}: sshd lets a user in only as root");
            return None;
        }
        fs::create_dir_all("/run/sshd").unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut rig = Self {
            folder: TempDir::new().unwrap(),
            port: free.local_addr().unwrap().port(),
            sshd: None,
        };
        drop(free);
        for key in ["host", "user"] {
            rig.new_key(key);
        }
        let path = |name| rig.path(name).display().to_string();
        let config = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
            rig.port,
            path("host"),
            path("user.pub"),
        );
        fs::write(path("sshd_config"), config).unwrap();
        let known = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            path("known")
        );
        fs::write(path("ssh_config"), known).unwrap();
        rig.start();
        Some(rig)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn new_key(&self, name: &str) {
        let path = self.path(name);
        let _absent = fs::remove_file(&path);
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path);
        assert!(keygen.stdin(Stdio::null()).status().unwrap().success());
    }

    fn start(&mut self) {
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-f"]).arg(self.path("sshd_config"));
        self.sshd = Some(sshd.stderr(Stdio::null()).spawn().unwrap());
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn stop(&mut self) {
        if let Some(mut sshd) = self.sshd.take() {
            let _killed = sshd.kill();
            let _reaped = sshd.wait();
        }
    }

    fn run(&self, words: &[&str]) -> Said {
        let ran = Command::new(env!("CARGO_BIN_EXE_masthead"))
            .args(words)
            .env("MASTHEAD_SERVERS", self.path("list/servers.json"))
            .env("MASTHEAD_SSH_CONFIG", self.path("ssh_config"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said {
            code: ran.status.code(),
            out: String::from_utf8(ran.stdout).unwrap(),
            errors: String::from_utf8(ran.stderr).unwrap(),
        }
    }

    /// Registers the server of this rig.
    fn add(&self, name: &str, more: &[&str]) -> Said {
        let address = format!("root@127.0.0.1:{}", self.port);
        let key = self.path("user").display().to_string();
        self.run(&[&["server", "add", name, &address, "--identity", &key], more].concat())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Said {
    fn expect(&self, code: i32, words: &[&str]) -> &Self {
        let all = format!("{}{}", self.out, self.errors);
        assert_eq!(self.code, Some(code), "{all}");
        for word in words {
            assert!(all.contains(word), "{word:?} in {all}");
        }
        self
    }

    fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "{}", self.out);
        serde_json::from_str(&self.out).unwrap()
    }
}

#[test]
fn a_server_is_registered_once_it_was_reached_and_its_state_has_a_since() {
    let Some(mut rig) = Rig::new("a_server_is_registered_once_it_was_reached_and_its_state_has_a_since")
    else {
        return;
    };
    rig.add("web", &[]).expect(
        7,
        &[
            "its host key is not known",
            "--accept-new-host-key",
            "not registered",
        ],
    );
    rig.add("web", &["--accept-new-host-key"])
        .expect(0, &["registered web"]);
    rig.add("web", &[]).expect(1, &["web is registered already"]);
    let file = rig.path("list/servers.json");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    assert!(
        !fs::read_to_string(&file).unwrap().contains("PRIVATE KEY"),
        "keys are referred to"
    );

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    rig.run(&["server", "list"])
        .expect(0, &["reached in", "was readable for others"]);
    assert_eq!(mode(), 0o600);

    let said = rig.run(&["server", "test", "web", "--json"]).json();
    let web = &said["servers"]["web"];
    assert!(web["connected_ms"].is_i64() && web["answer_ms"].is_i64(), "{web}");
    let findings = web["findings"].as_array().unwrap();
    let level = |name: &str| {
        let found = findings.iter().find(|finding| finding["name"] == name);
        found.unwrap_or_else(|| panic!("{name} in {web}"))["level"].clone()
    };
    for name in ["ssh", "rights", "forwarding", "programs", "clock"] {
        assert_eq!(level(name), "ok", "{name} in {web}");
    }
    // Whatever this machine has of these, it is said.
    for name in ["cgroups", "docker", "disk", "stack"] {
        level(name);
    }

    rig.stop();
    rig.run(&["server", "list"])
        .expect(3, &["OUT OF REACH since", "last reached", "Connection refused"]);
    let first = rig.run(&["server", "list", "--json"]).json();
    let again = rig.run(&["server", "test", "--all", "--json"]);
    let again = again.expect(7, &[]).json();
    let (first, again) = (&first["servers"][0], &again["servers"]["web"]);
    assert_eq!(
        (&first["reached"], &first["connected_ms"]),
        (&Value::Bool(false), &Value::Null)
    );
    assert!(
        first["since"].as_str() > first["last_reached"].as_str(),
        "{first}"
    );
    assert_eq!(first["since"], again["since"]);
    rig.run(&["server", "list", "--no-test"])
        .expect(0, &["was out of reach since"]);
    rig.run(&["server", "remove", "web"]).expect(
        0,
        &[
            "not registered any more",
            "could not be asked",
            "Connection refused",
        ],
    );
    rig.run(&["server", "remove", "web"])
        .expect(1, &["no server web is registered"]);
}

#[test]
fn a_changed_key_is_refused_whatever_the_flags() {
    let Some(mut rig) = Rig::new("a_changed_key_is_refused_whatever_the_flags") else {
        return;
    };
    rig.add("web", &["--accept-new-host-key"]).expect(0, &[]);
    rig.stop();
    rig.new_key("host");
    rig.start();
    let known = rig.path("known").display().to_string();
    for words in [
        &["server", "test", "web", "--accept-new-host-key"][..],
        &["status", "--server", "web", "--accept-new-host-key"],
        &["query", "up", "--server", "web", "--accept-new-host-key"],
        &["metrics", "system", "--server", "web"],
    ] {
        rig.run(words)
            .expect(7, &["has CHANGED", "ssh-keygen -R", &known]);
    }
    // The command that is named does it.
    let said = rig.run(&["server", "test", "web"]).out;
    let (_, rest) = said.split_once('`').unwrap();
    let (cure, _) = rest.split_once('`').unwrap();
    let cured = Command::new("sh").args(["-c", cure]).output().unwrap();
    assert!(cured.status.success(), "{cure}: {cured:?}");
    rig.run(&["server", "test", "web"])
        .expect(7, &["its host key is not known"]);
    let taken = rig.run(&["server", "test", "web", "--accept-new-host-key"]);
    // 3 where this machine has no engine.
    assert!(matches!(taken.code, Some(0 | 3)), "{}", taken.errors);
    assert!(taken.out.starts_with("ok    ssh "), "{}", taken.out);
}

#[test]
fn one_that_is_broken_hides_nobody_and_the_worst_is_the_exit_code() {
    let Some(rig) = Rig::new("one_that_is_broken_hides_nobody_and_the_worst_is_the_exit_code") else {
        return;
    };
    rig.run(&["status", "--all"])
        .expect(2, &["no server is registered"]);
    let nobody = rig.run(&["status", "--all", "--json"]);
    assert_eq!(nobody.expect(2, &[]).json()["error"]["kind"], "usage");
    rig.add(
        "web",
        &["--accept-new-host-key", "--docker-socket", "/nowhere/docker.sock"],
    )
    .expect(0, &["no such socket"]);
    rig.run(&["server", "add", "dead", "root@127.0.0.1:1", "--no-test"])
        .expect(0, &[]);
    rig.run(&["status", "--all"]).expect(
        7,
        &[
            "dead:",
            "out of reach",
            "web:",
            "no such socket",
            "no Docker",
            "EXIT CODE",
        ],
    );
    let all = rig.run(&["check", "--all", "--json"]);
    let all = all.expect(7, &[]).json();
    assert_eq!(all["servers"]["dead"]["error"]["kind"], "no-server");
    assert_eq!(all["servers"]["web"]["error"]["kind"], "no-engine");
    rig.run(&["logs", "--all"])
        .expect(7, &["dead: ", "Connection refused", "web: ", "no such socket"]);
    let lines = rig.run(&["logs", "--all", "--json"]);
    let lines = lines.expect(7, &[]).out.lines();
    let mut servers: Vec<String> = lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| line["server"].as_str().unwrap().to_owned())
        .collect();
    servers.sort();
    assert_eq!(servers, ["dead", "web"]);
}

#[test]
fn what_cannot_be_right_is_refused_before_anybody_is_asked() {
    let Some(rig) = Rig::new("what_cannot_be_right_is_refused_before_anybody_is_asked") else {
        return;
    };
    for (words, code, want) in [
        (&["x", "--", "-oProxyCommand=id"][..], 2, "begins with -"),
        (&["x", "root@h\nx"], 2, "a character that no name has"),
        (&["x", "root@h:0"], 2, "1 to 65535"),
        (&["--no-test", "--", "-x", "h"], 1, "does not begin with -"),
        (&["a b", "h", "--no-test"], 1, "no blanks"),
        (&["x", "h", "--no-test", "--base-dir", "y"], 1, "a whole path"),
        (
            &["x", "h", "--no-test", "--identity", "/nowhere/key"],
            1,
            "no such file",
        ),
    ] {
        rig.run(&[&["server", "add"], words].concat())
            .expect(code, &[want]);
    }
    assert!(!rig.path("list/servers.json").exists());
    for words in [
        &["status"][..],
        &["query", "up"],
        &["metrics", "system"],
        &["logs"],
    ] {
        rig.run(&[words, &["--server", "nope"]].concat())
            .expect(1, &["no server nope is registered", "masthead server add nope"]);
    }
    rig.run(&["status", "--server", "a", "--all"])
        .expect(2, &["cannot be used with"]);
}
