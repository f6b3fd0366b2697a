//! What `ssh`'s complaints mean, with the cure.

use std::io;
use std::time::Duration;

use crate::{Server, StackError};

/// What to do about a key that is not known.
const UNKNOWN_KEY: &str = "compare its fingerprint with the server's own (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there), then \
                           connect once with ssh, or take it with --accept-new-host-key";
/// What to do about a key that has changed, before the command that removes the old one.
const CHANGED_KEY: &str = "somebody may be listening in, or the server was made anew: only when you know that it was, remove the old key with";

/// Is it that the server's key is not among the known ones?
pub(super) fn is_unknown_key(error: &openssh::Error) -> bool {
    let text = words(error);
    text.contains("Host key verification failed") && !is_changed(&text)
}

fn is_changed(text: &str) -> bool {
    text.contains("IDENTIFICATION HAS CHANGED")
        || text.contains("has changed and you have requested strict checking")
}

/// A connection that did not come about.
pub(super) fn connecting(server: &Server, error: &openssh::Error) -> StackError {
    if let openssh::Error::Connect(error) = error
        && error.kind() == io::ErrorKind::NotFound
    {
        return no_ssh(server, error);
    }
    let text = words(error);
    let (reason, cure) = explained(server, &text);
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason,
        cure,
    }
}

/// The reason in a line, and what to do.
fn explained(server: &Server, text: &str) -> (String, String) {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let said = last_line(text);
    if is_changed(text) {
        let cure = format!("{CHANGED_KEY} `{}` and connect again", forgetting(server, text));
        ("its host key has CHANGED".to_owned(), cure)
    } else if has(&["Host key verification failed"]) {
        ("its host key is not known".to_owned(), UNKNOWN_KEY.to_owned())
    } else if has(&["Identity file", "no such identity"]) && has(&["not accessible", "No such file"]) {
        (said, "name the key with --identity".to_owned())
    } else if has(&["UNPROTECTED PRIVATE KEY"]) {
        (
            "ssh does not use a key that others can read".to_owned(),
            "chmod 600 the key".to_owned(),
        )
    } else if has(&["Permission denied", "Too many authentication failures"]) {
        (
            said,
            "is the public key in ~/.ssh/authorized_keys there, and the user right? `ssh-copy-id` puts it in place; name another key \
             with --identity, or add it to the agent (a key with a passphrase works only through the agent)"
                .to_owned(),
        )
    } else if has(&["Could not resolve"]) {
        (said, "check the name, or write its address".to_owned())
    } else if has(&["Connection refused"]) {
        (
            said,
            "nothing listens there: is sshd running, and is this its port? (USER@HOST:PORT)".to_owned(),
        )
    } else if has(&["timed out", "Timeout"]) {
        (
            said,
            "the server does not answer: is it on, and does a firewall let ssh through?".to_owned(),
        )
    } else if has(&["No route to host", "Network is unreachable"]) {
        (
            said,
            "there is no way to it from here: check network and VPN".to_owned(),
        )
    } else {
        (said, "see what `ssh -v` says about it".to_owned())
    }
}

/// The command that removes a key that has changed: as `ssh` says it where it does, since it alone knows the name and the file.
fn forgetting(server: &Server, text: &str) -> String {
    let lines = || text.lines().map(str::trim);
    let said = lines().find_map(|line| line.strip_prefix("ssh-keygen ")?.split_once(" -R "));
    if let Some((file, name)) = said {
        return format!("ssh-keygen -R {name} {file}");
    }
    let host = &server.address.host;
    let name = match server.address.port {
        None | Some(22) => host.clone(),
        Some(port) => format!("[{host}]:{port}"),
    };
    // `Offending ED25519 key in /root/.ssh/known_hosts:3`
    let file = lines().find_map(|line| {
        let (_, place) = line.strip_prefix("Offending ")?.split_once(" key in ")?;
        place.rsplit_once(':').map(|(file, _)| file)
    });
    match file {
        Some(file) => format!("ssh-keygen -R '{name}' -f '{file}'"),
        None => format!("ssh-keygen -R '{name}'"),
    }
}

/// There is no program `ssh`, or it cannot be started.
pub(super) fn no_ssh(server: &Server, error: &io::Error) -> StackError {
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason: format!("starting ssh: {error}"),
        cure: "install the SSH client (openssh-client)".to_owned(),
    }
}

/// There is a connection, but commands do not run.
pub(super) fn no_shell(server: &Server, said: &str, complaint: &str) -> StackError {
    let said = match complaint.trim() {
        "" => said,
        complaint => complaint,
    };
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason: format!("it lets us in, but runs no commands: {}", last_line(said)),
        cure: "does this key or user have a forced command, or a shell such as nologin?".to_owned(),
    }
}

/// There is a connection, and a command does not come to its end.
pub(super) fn stuck_shell(server: &Server, limit: Duration) -> StackError {
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason: format!("it lets us in, and no command is run within {} s", limit.as_secs()),
        cure: "does the user's shell there start? Its start-up file (.bashrc or such) may wait for something, or the machine is overloaded"
            .to_owned(),
    }
}

/// Commands run, and what they print is not theirs alone.
pub(super) fn noisy_shell(server: &Server, said: &str) -> StackError {
    let first = said.lines().map(str::trim).find(|line| !line.is_empty());
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason: format!(
            "the user's shell there prints something of its own before each command's output ({:?})",
            first.unwrap_or_default()
        ),
        cure: "have its start-up file (.bashrc or such) print nothing where there is no terminal: `[ -t 1 ] || return` at its top"
            .to_owned(),
    }
}

/// Something could not be forwarded.
pub(super) fn forwarding(server: &Server, there: &str, error: &openssh::Error) -> StackError {
    let text = words(error);
    let cure = match text.contains("administratively prohibited") || text.contains("forwarding disabled") {
        true => "allow it in its sshd_config: AllowTcpForwarding and AllowStreamLocalForwarding".to_owned(),
        false => "run it again".to_owned(),
    };
    StackError::Ssh {
        server: server.name.to_string(),
        address: server.address.to_string(),
        reason: format!("forwarding {there}: {}", last_line(&text)),
        cure,
    }
}

/// A command could not be run.
pub(super) fn running(server: &Server, program: &str, error: &openssh::Error) -> StackError {
    match error {
        openssh::Error::Ssh(error) if error.kind() == io::ErrorKind::NotFound => no_ssh(server, error),
        _ => dropped(server, program),
    }
}

/// The connection is gone.
pub(super) fn dropped(server: &Server, attempt: &str) -> StackError {
    StackError::Dropped {
        server: server.name.to_string(),
        attempt: attempt.to_owned(),
    }
}

fn words(error: &openssh::Error) -> String {
    use std::error::Error as _;
    // Its own words say no more than that there was no connection.
    if let openssh::Error::Connect(error) = error {
        return error.to_string();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `ssh` says what matters last, after banners and warnings.
fn last_line(text: &str) -> String {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty());
    line.unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_key_is_removed_by_the_name_and_from_the_file_that_ssh_means() {
        let server = Server {
            name: "web".parse().expect("a name"),
            address: "root@web.example.com:2222".parse().expect("an address"),
            identity: None,
            base_dir: None,
            docker_socket: None,
        };
        let changed = "@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @";
        for (said, want) in [
            (
                "Offending ED25519 key in /a/known_hosts:3\n  remove with:\n  ssh-keygen -f \"/a/known_hosts\" -R \"[10.0.0.7]:22\"",
                "`ssh-keygen -R \"[10.0.0.7]:22\" -f \"/a/known_hosts\"`",
            ),
            (
                "Offending ED25519 key in /a b/known_hosts:3",
                "`ssh-keygen -R '[web.example.com]:2222' -f '/a b/known_hosts'`",
            ),
            ("", "`ssh-keygen -R '[web.example.com]:2222'`"),
        ] {
            let (reason, cure) = explained(&server, &format!("{changed}\n{said}"));
            assert!(reason.contains("CHANGED") && cure.contains(want), "{cure}");
        }
    }
}
