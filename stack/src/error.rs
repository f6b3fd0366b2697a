//! What can go wrong with the stack: each text says what was attempted, on what, why it failed and what to do.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Refusal;

/// What sort of failure it is; another program decides by it, and the command line's exit code follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Something did not work.
    Failed,
    /// Something of our names belongs to somebody else.
    NotOurs,
    /// Another run holds the lock.
    Locked,
    /// There is no Docker Engine, or it may not be used.
    NoEngine,
    /// A server cannot be reached, or the connection to it is gone.
    NoServer,
}

/// A failure.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The engine's socket cannot be used.
    #[error("opening the Docker Engine's socket {}: {reason}; {cure}", socket.display())]
    NoEngine {
        /// Its socket.
        socket: PathBuf,
        /// What the system says.
        reason: String,
        /// What to do.
        cure: &'static str,
    },
    /// A server does not let us in, or cannot be reached.
    #[error("connecting to server {server} ({address}): {reason}; {cure}")]
    Ssh {
        /// Its registered name.
        server: String,
        /// User, host and port.
        address: String,
        /// What ssh says.
        reason: String,
        /// What to do.
        cure: String,
    },
    /// The connection to a server went away.
    #[error(
        "the connection to server {server} broke off ({attempt}); check the network and run it again: it goes on from what is there"
    )]
    Dropped {
        /// Its registered name.
        server: String,
        /// What was being done.
        attempt: String,
    },
    /// The engine did not do what it was asked.
    #[error("{attempt}: {reason}{}", clause(cure))]
    Engine {
        /// What was attempted, on what.
        attempt: String,
        /// What the engine says.
        reason: String,
        /// What to do; may be empty.
        cure: String,
    },
    /// An image could not be fetched.
    #[error("pulling {image}: {reason}; {cure}")]
    Pull {
        /// With its tag.
        image: String,
        /// What the engine says.
        reason: String,
        /// What to do.
        cure: String,
    },
    /// The engine's machine, or an image, is of the wrong kind.
    #[error("{what} is for {found}, but {wanted}; {cure}")]
    Architecture {
        /// The engine or an image.
        what: String,
        /// Its architecture.
        found: String,
        /// What was expected.
        wanted: String,
        /// What to do.
        cure: String,
    },
    /// A file or folder could not be read or written.
    #[error("{attempt} {}: {source}{}", path.display(), clause(file_cure(source)))]
    File {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Work that only root can do.
    #[error(
        "{attempt} needs root: files of the stack belong to the users that its containers run as; {cure}"
    )]
    NotRoot {
        /// What.
        attempt: &'static str,
        /// What to do, here or on the server.
        cure: String,
    },
    /// The disk has too little room.
    #[error("{} has {free} free, and {what} needs {needed}; free some space (`docker system df` shows what images take)", path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
        /// What is free, in words.
        free: String,
        /// For what.
        what: String,
        /// How much, in words.
        needed: String,
    },
    /// Ports that are wanted are in use.
    #[error("nothing was started: {}", texts.join("; "))]
    PortsTaken {
        /// One a port, with the flag that moves it.
        texts: Vec<String>,
    },
    /// There is no plan: something of our names belongs to somebody else, or an image is missing that must not be fetched.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What the user wants cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The stack's own kept file cannot be read.
    #[error("reading {}: {reason}; restore it from a backup, or remove it and run setup with --adopt and the flags that you want", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file of the registered servers is damaged, or of another version.
    #[error("reading the servers in {}: {reason}; mend the file, or move it away and add the servers anew", path.display())]
    Registry {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Another run works on the same stack.
    #[error("another run works on this stack: {holder}; wait until it is done, or run with --wait")]
    Locked {
        /// Who holds the lock.
        holder: String,
    },
    /// There is no stack.
    #[error("no stack is set up under {}; run `masthead setup`, or name its folder with --base-dir", base_dir.display())]
    NotSetUp {
        /// Where it was looked for.
        base_dir: PathBuf,
    },
    /// A step of a plan failed.
    #[error(
        "step {at} of {of} ({step}): {source}{}{}",
        end_of(source),
        progress(done, left)
    )]
    Step {
        /// Counted from 1.
        at: usize,
        /// Steps in all.
        of: usize,
        /// In words.
        step: String,
        /// The steps before it.
        done: Vec<String>,
        /// The steps after it.
        left: Vec<String>,
        /// Why.
        source: Box<StackError>,
    },
    /// A container ended or is not well.
    #[error("container {container} {what}{}", log_tail(log))]
    Container {
        /// Its name.
        container: String,
        /// What is wrong with it, and what to do.
        what: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// A service does not run on a node.
    #[error("service {service} on node {node} {what}")]
    Service {
        /// Its name.
        service: String,
        /// The node's name.
        node: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// Targets did not come up.
    #[error("Prometheus runs, but {}", texts.join("; "))]
    TargetsDown {
        /// One a target, with the cure where one is known.
        texts: Vec<String>,
    },
    /// A backup cannot be written, or not be used.
    #[error("{attempt} {}: {source}", path.display())]
    Archive {
        /// What was attempted.
        attempt: &'static str,
        /// The backup.
        path: PathBuf,
        /// Why.
        source: crate::archive::ArchiveError,
    },
    /// A program of the host failed.
    #[error("running `{words}`: {reason}")]
    Program {
        /// The program and what it was given.
        words: String,
        /// What it said.
        reason: String,
    },
    /// Something failed, and what was there before is there again.
    #[error("{attempt}: {source}{}{undone}", end_of(source))]
    Undone {
        /// What was attempted.
        attempt: String,
        /// Why it failed.
        source: Box<StackError>,
        /// What is there now, as a sentence.
        undone: String,
    },
    /// Prometheus' API did not answer as it should.
    #[error("asking Prometheus ({what}): {reason}")]
    Prometheus {
        /// The request.
        what: String,
        /// Why.
        reason: String,
    },
}

impl StackError {
    /// What sort of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoEngine { .. } => ErrorKind::NoEngine,
            Self::Ssh { .. } | Self::Dropped { .. } => ErrorKind::NoServer,
            Self::Refused(Refusal::NotOurs(_)) => ErrorKind::NotOurs,
            Self::Refused(Refusal::NoImage(_)) => ErrorKind::Failed,
            Self::Locked { .. } => ErrorKind::Locked,
            Self::Step { source, .. } | Self::Undone { source, .. } => source.kind(),
            Self::Engine { .. }
            | Self::Pull { .. }
            | Self::Architecture { .. }
            | Self::File { .. }
            | Self::NotRoot { .. }
            | Self::NoSpace { .. }
            | Self::PortsTaken { .. }
            | Self::Invalid(_)
            | Self::Kept { .. }
            | Self::Registry { .. }
            | Self::NotSetUp { .. }
            | Self::Container { .. }
            | Self::Service { .. }
            | Self::TargetsDown { .. }
            | Self::Archive { .. }
            | Self::Program { .. }
            | Self::Prometheus { .. } => ErrorKind::Failed,
        }
    }

    pub(crate) fn file(attempt: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            attempt,
            path: path.to_owned(),
            source,
        }
    }
}

fn clause(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!("; {text}"),
    }
}

fn file_cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run it as root",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space and run it again",
        io::ErrorKind::ReadOnlyFilesystem => "choose a writable folder with --base-dir",
        io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory => {
            "something else lies there; move it away or choose another folder with --base-dir"
        }
        // Others say all there is to say.
        _ => "",
    }
}

/// Steps that a text names one by one.
const SAID_STEPS: usize = 4;

fn progress(done: &[String], left: &[String]) -> String {
    let said = |steps: &[String]| match steps {
        [] => "nothing".to_owned(),
        [first @ .., _, _] if first.len() >= SAID_STEPS => {
            let said = steps.get(..SAID_STEPS).unwrap_or_default().join(", ");
            format!("{said} and {} more", steps.len() - SAID_STEPS)
        }
        steps => steps.join(", "),
    };
    format!(
        "Done before it: {}. Not done: {}. The next run goes on from here",
        said(done),
        said(left)
    )
}

/// What stands between a cause, which may end with lines of a log, and the next sentence.
fn end_of(cause: &StackError) -> &'static str {
    match cause.to_string().contains('\n') {
        true => "\n",
        false => ". ",
    }
}

fn log_tail(log: &[String]) -> String {
    match log {
        [] => "; its log is empty".to_owned(),
        lines => format!("; its last lines:\n  {}", lines.join("\n  ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_says_what_was_done_and_keeps_the_kind_of_its_cause() {
        let error = StackError::Step {
            at: 2,
            of: 3,
            step: "create network masthead (172.29.241.0/24)".to_owned(),
            done: vec!["make folder data".to_owned()],
            left: vec!["start container masthead-prometheus".to_owned()],
            source: Box::new(StackError::NoEngine {
                socket: PathBuf::from("/run/docker.sock"),
                reason: "connection refused".to_owned(),
                cure: "start it",
            }),
        };
        assert_eq!(
            error.to_string(),
            "step 2 of 3 (create network masthead (172.29.241.0/24)): opening the Docker Engine's socket \
             /run/docker.sock: connection refused; start it. Done before it: make folder data. \
             Not done: start container masthead-prometheus. The next run goes on from here"
        );
        assert_eq!(error.kind(), ErrorKind::NoEngine);
    }

    #[test]
    fn files_have_their_cure() {
        let text = |kind: io::ErrorKind| {
            StackError::file("writing", Path::new("/b/prometheus.yml"), io::Error::from(kind)).to_string()
        };
        assert!(text(io::ErrorKind::PermissionDenied).ends_with("; run it as root"));
        assert!(text(io::ErrorKind::StorageFull).contains("free some space"));
        assert!(text(io::ErrorKind::NotFound).starts_with("writing /b/prometheus.yml: "));
    }
}
