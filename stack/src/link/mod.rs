//! A server over SSH: one master connection of the system's own `ssh`, and over it commands, forwarded sockets and forwarded ports.
//!
//! `ssh` reads the user's own configuration, so aliases, jump hosts, agents and known hosts are theirs. On the server nothing is opened
//! and nothing has to be installed: what is run there are a shell and the usual small programs.

mod fault;
mod forward;
#[cfg(test)]
pub(crate) mod sshd_tests;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio as StdStdio};
use std::sync::Arc;
use std::time::Duration;

use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder, Stdio};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::{Server, StackError};

use forward::Forward;

/// How long a server may take to answer at all.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How long a shell may take to start there and say who it is.
const SHELL_LIMIT: Duration = Duration::from_secs(20);
/// A server that is silent for three of these is gone.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// How often a lost connection is tried again.
const COME_BACK_ATTEMPTS: u32 = 8;
/// Between two of these attempts.
const COME_BACK_PAUSE: Duration = Duration::from_secs(4);
/// What a program that ended hard leaves behind ends by itself after this.
const PERSIST_S: NonZeroUsize = NonZeroUsize::new(600).expect("not zero");
/// Names a configuration of `ssh` other than the user's own, for connections of ours alone.
const SSH_CONFIG: &str = "MASTHEAD_SSH_CONFIG";
/// What `ssh` says when the server takes no further session on this connection (`MaxSessions`, ten by default): ended ones count until it
/// has noticed.
const NO_ROOM: &str = "Session open refused by peer";
/// How often a command that found no room is tried again.
const ROOM_ATTEMPTS: u32 = 20;
/// Between two of these attempts.
const ROOM_PAUSE: Duration = Duration::from_millis(150);
/// More than any answer of a command that is read whole.
const MAX_ANSWER_BYTES: u64 = 64 << 20;
/// What a shell says of a program that is not there.
const ABSENT: i32 = 127;
/// The exit code of a program that ended by a signal, or by one that `ssh` has for itself.
const UNKNOWN: i32 = -1;

/// What is done about a host key that is not known. One that has changed is refused in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeys {
    /// An unknown one is refused.
    #[default]
    Known,
    /// An unknown one is taken and remembered.
    AcceptNew,
    /// `ssh` asks about an unknown one on the terminal.
    Ask,
}

/// What a command on the server came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOutput {
    /// Its exit code; 127 when there is no such program, -1 when it is not known.
    pub code: i32,
    /// Bytes that it printed.
    pub stdout: Vec<u8>,
    /// What it said beside them.
    pub stderr: String,
}

/// A program that runs on the server, with its standard input and output at hand. It is disconnected when the value goes.
pub type LinkChild = openssh::Child<Held>;

/// A connection, held by whatever uses it. With the last of them the master is told to end, through its socket: so the folder of the
/// socket goes after it.
#[derive(Debug, Clone)]
pub struct Held {
    session: Arc<Session>,
    #[expect(dead_code, reason = "held")]
    folder: Arc<TempDir>,
}

impl std::ops::Deref for Held {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

/// A connection to a server. Clones share it; it is closed with the last of them.
#[derive(Debug, Clone)]
pub struct Link {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    now: Mutex<Now>,
    way: Way,
    rights: Rights,
}

/// How the server is reached.
#[derive(Debug)]
struct Way {
    server: Server,
    keys: HostKeys,
    config: Option<PathBuf>,
    /// Of this user alone: the master's socket and the forwarded ones.
    folder: Arc<TempDir>,
}

/// What a new connection replaces, and what it takes over.
#[derive(Debug)]
struct Now {
    session: Held,
    forwards: Vec<Forward>,
}

/// What the user of the connection may do on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    /// `sudo` asks for no password.
    Sudo,
    Plain,
}

impl Link {
    /// Connects to a server.
    ///
    /// # Errors
    /// There is no `ssh` here, no way to the server, or it lets nobody in with these keys; its host key is unknown or has changed.
    pub async fn connect(server: &Server, keys: HostKeys) -> Result<Self, StackError> {
        let config = std::env::var_os(SSH_CONFIG).filter(|path| !path.is_empty());
        Self::connect_with(server, keys, config.map(PathBuf::from)).await
    }

    /// The same with an `ssh` configuration other than the user's own.
    ///
    /// # Errors
    /// As [`Link::connect`].
    pub async fn connect_with(
        server: &Server,
        keys: HostKeys,
        config: Option<PathBuf>,
    ) -> Result<Self, StackError> {
        let folder = tempfile::Builder::new()
            .prefix("masthead-")
            .tempdir()
            .map_err(|error| StackError::file("making a folder in", &std::env::temp_dir(), error))?;
        let way = Way {
            server: server.clone(),
            keys,
            config,
            folder: Arc::new(folder),
        };
        let session = match way.open(keys).await {
            Err(error) if keys == HostKeys::Ask && fault::is_unknown_key(&error) => {
                way.ask().await?;
                way.open(HostKeys::Known).await
            }
            opened => opened,
        };
        let session = way.held(session.map_err(|error| fault::connecting(server, &error))?);
        let rights = rights(server, &session).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                way,
                now: Mutex::new(Now {
                    session,
                    forwards: Vec::new(),
                }),
                rights,
            }),
        })
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.inner.way.server
    }

    /// Are commands run as root there, by the user itself or through `sudo`?
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.inner.rights != Rights::Plain
    }

    /// Does the connection still stand?
    pub async fn is_alive(&self) -> bool {
        let session = self.session().await;
        session.check().await.is_ok()
    }

    /// Connects anew, as often as it takes within half a minute.
    ///
    /// # Errors
    /// As [`Link::connect`], of the last attempt.
    pub async fn come_back(&self) -> Result<(), StackError> {
        for _ in 1..COME_BACK_ATTEMPTS {
            match self.reconnect().await {
                Err(StackError::Ssh { .. }) => tokio::time::sleep(COME_BACK_PAUSE).await,
                other => return other,
            }
        }
        self.reconnect().await
    }

    /// Connects anew, and leads the forwarded sockets and ports to the new connection, under the same local names.
    ///
    /// # Errors
    /// As [`Link::connect`].
    pub async fn reconnect(&self) -> Result<(), StackError> {
        let inner = &self.inner;
        // Whoever comes second finds what the first one has made.
        let mut now = inner.now.lock().await;
        if now.session.check().await.is_ok() {
            return Ok(());
        }
        let keys = match inner.way.keys {
            HostKeys::AcceptNew => HostKeys::AcceptNew,
            HostKeys::Known | HostKeys::Ask => HostKeys::Known,
        };
        let session = inner
            .way
            .open(keys)
            .await
            .map_err(|error| fault::connecting(&inner.way.server, &error))?;
        for forward in &now.forwards {
            self.lead(&session, forward).await?;
        }
        now.session = inner.way.held(session);
        Ok(())
    }

    /// Forwards a unix socket of the server; the path of the one here.
    ///
    /// # Errors
    /// The server forbids it, or the connection is gone.
    pub async fn socket(&self, there: &Path) -> Result<PathBuf, StackError> {
        let mut now = self.inner.now.lock().await;
        if let Some(known) = now.forwards.iter().find_map(|forward| forward.socket_of(there)) {
            return Ok(known);
        }
        let name = format!("{}.sock", now.forwards.len());
        let here = self.inner.way.folder.path().join(name);
        let forward = Forward::socket(here.clone(), there);
        self.lead(&now.session, &forward).await?;
        now.forwards.push(forward);
        Ok(here)
    }

    /// Forwards a port of the server's loopback; the address here, on this machine's loopback.
    ///
    /// # Errors
    /// The server forbids it, no port is free here, or the connection is gone.
    pub async fn port(&self, there: u16) -> Result<SocketAddr, StackError> {
        let mut now = self.inner.now.lock().await;
        if let Some(known) = now.forwards.iter().find_map(|forward| forward.address_of(there)) {
            return Ok(known);
        }
        let (here, forward) = Forward::port(there)
            .map_err(|error| StackError::file("looking for a free port on", Path::new("127.0.0.1"), error))?;
        self.lead(&now.session, &forward).await?;
        now.forwards.push(forward);
        Ok(here)
    }

    async fn lead(&self, session: &Session, forward: &Forward) -> Result<(), StackError> {
        forward
            .lead(session)
            .await
            .map_err(|error| fault::forwarding(self.server(), &forward.there(), &error))
    }

    /// Runs a program there, as root where that is possible, and gives what it came to. That it failed is no error.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn output(
        &self,
        program: &str,
        words: &[&str],
        stdin: &[u8],
    ) -> Result<LinkOutput, StackError> {
        let session = self.session().await;
        let prefix = self.prefix();
        output(self.server(), session, prefix, program, words, stdin).await
    }

    /// The same as the user of the connection, without `sudo`: what may a forwarded socket open?
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn output_as_user(&self, program: &str, words: &[&str]) -> Result<LinkOutput, StackError> {
        let session = self.session().await;
        output(self.server(), session, &[], program, words, &[]).await
    }

    /// Starts a program there, as root where that is possible, with its standard input and output piped and its errors thrown away.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn spawn(&self, program: &str, words: &[&str]) -> Result<LinkChild, StackError> {
        let session = self.session().await;
        spawn(session, self.prefix(), program, words, Stdio::null())
            .await
            .map_err(|error| fault::running(self.server(), program, &error))
    }

    fn prefix(&self) -> &'static [&'static str] {
        match self.inner.rights {
            Rights::Sudo => &["sudo", "-n"],
            Rights::Root | Rights::Plain => &[],
        }
    }

    async fn session(&self) -> Held {
        self.inner.now.lock().await.session.clone()
    }
}

impl Way {
    fn held(&self, session: Session) -> Held {
        Held {
            session: Arc::new(session),
            folder: Arc::clone(&self.folder),
        }
    }

    async fn open(&self, keys: HostKeys) -> Result<Session, openssh::Error> {
        let mut builder = SessionBuilder::default();
        builder
            .control_directory(self.folder.path())
            .control_persist(ControlPersist::IdleFor(PERSIST_S))
            .connect_timeout(CONNECT_LIMIT)
            .server_alive_interval(ALIVE_INTERVAL)
            .known_hosts_check(match keys {
                HostKeys::AcceptNew => KnownHosts::Add,
                HostKeys::Known | HostKeys::Ask => KnownHosts::Strict,
            });
        let address = &self.server.address;
        if let Some(user) = &address.user {
            builder.user(user.clone());
        }
        if let Some(port) = address.port {
            builder.port(port);
        }
        if let Some(identity) = &self.server.identity {
            builder.keyfile(identity);
        }
        if let Some(config) = &self.config {
            builder.config_file(config);
        }
        builder.connect(&address.host).await
    }

    /// Lets `ssh` itself ask on the terminal whether the server's key is right.
    async fn ask(&self) -> Result<(), StackError> {
        let mut command = tokio::process::Command::new("ssh");
        command
            .args([
                "-o",
                "StrictHostKeyChecking=ask",
                "-o",
                "PasswordAuthentication=no",
            ])
            .args(["-o", "KbdInteractiveAuthentication=no"])
            .args(["-o", &format!("ConnectTimeout={}", CONNECT_LIMIT.as_secs())]);
        let address = &self.server.address;
        if let Some(user) = &address.user {
            command.args(["-l", user]);
        }
        if let Some(port) = address.port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(identity) = &self.server.identity {
            command.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(identity);
        }
        if let Some(config) = &self.config {
            command.arg("-F").arg(config);
        }
        // Whatever it comes to: the next attempt says what is wrong.
        let _status: ExitStatus = command
            .args(["--", &address.host, "true"])
            .stdout(StdStdio::null())
            .kill_on_drop(true)
            .status()
            .await
            .map_err(|error| fault::no_ssh(&self.server, &error))?;
        Ok(())
    }
}

async fn rights(server: &Server, session: &Held) -> Result<Rights, StackError> {
    let script = "if [ \"$(id -u)\" = 0 ]; then echo root; elif sudo -n true 2>/dev/null; then echo sudo; else echo plain; fi";
    let words = ["-c", script];
    let asked = output(server, session.clone(), &[], "sh", &words, &[]);
    let Ok(said) = tokio::time::timeout(SHELL_LIMIT, asked).await else {
        return Err(fault::stuck_shell(server, SHELL_LIMIT));
    };
    let said = said?;
    let text = String::from_utf8_lossy(&said.stdout);
    let is_answer = |line: &str| ["root", "sudo", "plain"].contains(&line);
    match text.trim() {
        "root" => Ok(Rights::Root),
        "sudo" => Ok(Rights::Sudo),
        "plain" => Ok(Rights::Plain),
        // All that is read there would have it too.
        other if other.lines().any(|line| is_answer(line.trim())) => Err(fault::noisy_shell(server, other)),
        other => Err(fault::no_shell(server, other, &said.stderr)),
    }
}

async fn spawn(
    session: Held,
    prefix: &[&str],
    program: &str,
    words: &[&str],
    errors: Stdio,
) -> Result<LinkChild, openssh::Error> {
    let all: Vec<&str> = prefix
        .iter()
        .copied()
        .chain([program])
        .chain(words.iter().copied())
        .collect();
    let (first, rest) = all.split_first().unwrap_or((&program, &[]));
    Session::to_command(session, (*first).to_owned())
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .await
}

/// Runs a program to its end, once there is room for it.
async fn output(
    server: &Server,
    session: Held,
    prefix: &[&str],
    program: &str,
    words: &[&str],
    stdin: &[u8],
) -> Result<LinkOutput, StackError> {
    let mut said = output_once(server, &session, prefix, program, words, stdin).await?;
    for _ in 0..ROOM_ATTEMPTS {
        // It was never begun, so it may be tried again whatever it does.
        if said.code != UNKNOWN || !said.stderr.contains(NO_ROOM) {
            break;
        }
        tokio::time::sleep(ROOM_PAUSE).await;
        said = output_once(server, &session, prefix, program, words, stdin).await?;
    }
    Ok(said)
}

async fn output_once(
    server: &Server,
    session: &Held,
    prefix: &[&str],
    program: &str,
    words: &[&str],
    stdin: &[u8],
) -> Result<LinkOutput, StackError> {
    let failed = |error: openssh::Error| fault::running(server, program, &error);
    let broken = |_: std::io::Error| fault::dropped(server, program);
    let mut child = spawn(session.clone(), prefix, program, words, Stdio::piped())
        .await
        .map_err(failed)?;
    let mut input = child.stdin().take();
    let (mut said, mut complaints) = (Vec::new(), Vec::new());
    let write = async {
        if let Some(mut input) = input.take() {
            // A program that reads nothing of it may end first, which is its business.
            let _unread = input.write_all(stdin).await;
            let _closed = input.shutdown().await;
        }
    };
    let (mut out, mut errors) = (child.stdout().take(), child.stderr().take());
    let read = async {
        match &mut out {
            Some(out) => out.take(MAX_ANSWER_BYTES).read_to_end(&mut said).await,
            None => Ok(0),
        }
    };
    let read_errors = async {
        match &mut errors {
            Some(errors) => errors.take(MAX_ANSWER_BYTES).read_to_end(&mut complaints).await,
            None => Ok(0),
        }
    };
    let ((), read, read_errors) = tokio::join!(write, read, read_errors);
    read.and(read_errors).map_err(broken)?;
    let code = match child.wait().await {
        Ok(status) => status.code().unwrap_or(UNKNOWN),
        Err(openssh::Error::Remote(error)) if error.kind() == std::io::ErrorKind::NotFound => ABSENT,
        // A code of 255 is `ssh`'s own, or the program's: the master knows.
        Err(openssh::Error::RemoteProcessTerminated) if session.check().await.is_ok() => UNKNOWN,
        Err(error) => return Err(failed(error)),
    };
    Ok(LinkOutput {
        code,
        stdout: said,
        stderr: String::from_utf8_lossy(&complaints).into_owned(),
    })
}
