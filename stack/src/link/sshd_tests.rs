//! A real sshd on this machine's loopback, with a host key and a user's key of its own, for tests.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Address, HostKeys, Link, Server, StackError};

/// Where sshd is; it wants to be called by its whole path.
const SSHD: &str = "/usr/sbin/sshd";
/// The folder that it wants to find empty.
const PRIVSEP: &str = "/run/sshd";

pub(crate) struct Sshd {
    pub(crate) folder: TempDir,
    port: u16,
    daemon: Option<Child>,
}

impl Sshd {
    /// `None`, which is said, where there is no sshd or the test is not root's.
    pub(crate) fn start(test: &str) -> Option<Self> {
        if !Path::new(SSHD).exists() {
            println!("SKIPPED {test}: there is no sshd: apt-get install openssh-server");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED {test}: sshd lets a user in only as root");
            return None;
        }
        fs::create_dir_all(PRIVSEP).expect("root's");
        let folder = tempfile::tempdir().expect("folder");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a free port")
            .port();
        let mut sshd = Self {
            folder,
            port,
            daemon: None,
        };
        for name in ["host", "user", "stranger"] {
            sshd.new_key(name);
        }
        let path = |name: &str| sshd.folder.path().join(name).display().to_string();
        fs::copy(path("user.pub"), path("authorized_keys")).expect("copied");
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\nStrictModes no\nUsePAM no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n# more\n",
            path("host"),
            path("authorized_keys"),
            path("pid"),
        );
        fs::write(path("config"), config).expect("written");
        let known = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\n",
            path("known_hosts")
        );
        fs::write(path("ssh_config"), known).expect("written");
        sshd.run();
        Some(sshd)
    }

    pub(crate) fn new_key(&self, name: &str) {
        let path = self.folder.path().join(name);
        let _absent = fs::remove_file(&path);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&path)
            .stdin(Stdio::null())
            .status()
            .expect("ssh-keygen");
        assert!(made.success());
    }

    pub(crate) fn run(&mut self) {
        let daemon = Command::new(SSHD)
            .args(["-D", "-f"])
            .arg(self.folder.path().join("config"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd");
        self.daemon = Some(daemon);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "sshd does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has it one more line of configuration in the place of former ones, and runs it.
    pub(crate) fn configure(&mut self, line: &str) {
        let path = self.folder.path().join("config");
        let text = fs::read_to_string(&path).expect("read");
        let (plain, _) = text.split_once("# more\n").expect("the mark");
        fs::write(&path, format!("{plain}# more\n{line}\n")).expect("written");
        self.run();
    }

    /// Has it a connection?
    pub(crate) fn is_connected(&self) -> bool {
        let id = self.daemon.as_ref().map(Child::id).unwrap_or_default();
        let children = Command::new("pgrep").args(["-P", &id.to_string()]).output();
        !children.expect("pgrep").stdout.is_empty()
    }

    /// Ends it, and the connections that it has: they are its children's.
    pub(crate) fn stop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        let _ended = Command::new("pkill")
            .args(["-KILL", "-P", &daemon.id().to_string()])
            .status();
        let _killed = daemon.kill();
        let _reaped = daemon.wait();
    }

    /// Connects with one of the keys, and known hosts of the test's own.
    pub(crate) async fn link(&self, key: &str, keys: HostKeys) -> Result<Link, StackError> {
        Link::connect_with(
            &self.server(key),
            keys,
            Some(self.folder.path().join("ssh_config")),
        )
        .await
    }

    /// The server as it would be registered.
    pub(crate) fn server(&self, key: &str) -> Server {
        Server {
            name: "rig".parse().expect("a name"),
            address: Address {
                user: Some("root".to_owned()),
                host: "127.0.0.1".to_owned(),
                port: Some(self.port),
            },
            identity: Some(self.folder.path().join(key)),
            base_dir: None,
            docker_socket: None,
        }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}
