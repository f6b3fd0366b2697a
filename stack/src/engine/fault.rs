//! What the engine's errors mean: bollard's error to [`StackError`], with the cure.

use std::error::Error as _;
use std::io;
use std::path::Path;

use bollard::errors::Error;

use crate::StackError;

/// The cure for an engine that is not there.
const START: &str =
    "install or start Docker (`systemctl start docker`), or name another socket in DOCKER_HOST=unix:///PATH";
/// The cure for a socket that may not be opened.
const PERMISSION: &str =
    "run it as root, or let this user use Docker (`sudo usermod -aG docker USER`, then log in again)";
/// The cure for an engine that does not answer.
const STUCK: &str = "see what the engine is doing (`journalctl -u docker`), restart it, and run this again";

/// An error of the system while the socket was used.
pub(super) fn socket(path: &Path, error: &io::Error) -> StackError {
    let cure = match error.kind() {
        io::ErrorKind::PermissionDenied => PERMISSION,
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => START,
        // Broken off in the middle: the engine went away.
        _ => STUCK,
    };
    StackError::NoEngine {
        socket: path.to_owned(),
        reason: error.to_string(),
        cure,
    }
}

/// Any other error of a request.
pub(super) fn of(path: &Path, attempt: &str, error: &Error) -> StackError {
    match error {
        Error::DockerResponseServerError { status_code, message } => StackError::Engine {
            attempt: attempt.to_owned(),
            reason: message.trim().to_owned(),
            cure: cure(*status_code, message).to_owned(),
        },
        Error::SocketNotFoundError(_) => socket(path, &io::ErrorKind::NotFound.into()),
        Error::RequestTimeoutError => StackError::NoEngine {
            socket: path.to_owned(),
            reason: format!("the engine did not answer in time ({attempt})"),
            cure: STUCK,
        },
        Error::IOError { err } => socket(path, err),
        other => match system_error(other) {
            Some(error) => socket(path, error),
            None if is_broken_off(other) => StackError::NoEngine {
                socket: path.to_owned(),
                reason: format!("the engine broke the connection off ({attempt})"),
                cure: STUCK,
            },
            None => StackError::Engine {
                attempt: attempt.to_owned(),
                reason: other.to_string(),
                cure: String::new(),
            },
        },
    }
}

/// An error of a pull.
pub(super) fn pull(path: &Path, image: &str, error: &Error) -> StackError {
    let reason = match error {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::DockerStreamError { error } => error.trim().to_owned(),
        other => return of(path, &format!("pulling {image}"), other),
    };
    StackError::Pull {
        image: image.to_owned(),
        cure: pull_cure(image, &reason),
        reason,
    }
}

fn pull_cure(image: &str, reason: &str) -> String {
    let text = reason.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let registry = registry(image);
    if has(&["no space left"]) {
        "free some space on the engine's disk (`docker system df`) and run it again".to_owned()
    } else if has(&["toomanyrequests", "rate limit"]) {
        format!(
            "{registry} limits how much may be fetched: wait, or `docker login` and `docker pull {image}`, then run it again"
        )
    } else if has(&["unauthorized", "denied", "authentication required"]) {
        format!(
            "{registry} wants a login: `docker login`, then `docker pull {image}`, then run it again with --pull never"
        )
    } else if has(&["no matching manifest", "no match for platform"]) {
        "this image is not made for the engine's architecture; leave the component out with --without"
            .to_owned()
    } else if has(&["not found", "manifest unknown"]) {
        format!("{registry} does not have it; is a mirror in the engine's settings (daemon.json) at fault?")
    } else {
        format!(
            "can this host reach {registry}? Check its network, DNS and proxy; without one, bring the image with \
             `docker save` and `docker load` and run it with --pull never"
        )
    }
}

/// The host that an image comes from.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) => host,
        _ => "docker.io",
    }
}

fn cure(status_code: u16, message: &str) -> &'static str {
    let text = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["port is already allocated", "address already in use"]) {
        "another program has this port; move ours with --port COMPONENT=PORT"
    } else if has(&["no space left"]) {
        "free some space on the engine's disk (`docker system df`) and run it again"
    } else if has(&["pool overlaps"]) {
        "its range is in use since; run it again, and another one is chosen"
    } else if has(&["bind source path does not exist"]) {
        "a folder that has to be mounted is not on the engine's machine; is the engine on this very machine?"
    } else if has(&["is already in use by container"]) {
        "somebody made a container of this name meanwhile; run it again"
    } else if has(&["exec format error"]) {
        "the image is made for another architecture than the engine's"
    } else if has(&["is not a shared or slave mount", "not a shared mount"]) {
        "make the host's root shared (`mount --make-rshared /`) and run it again"
    } else if status_code == 403 {
        "the engine's authorization plugin forbids it"
    } else {
        ""
    }
}

/// The system's error somewhere below.
fn system_error(error: &Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref::<io::Error>() {
            return Some(found);
        }
        cause = this.source();
    }
    None
}

fn is_broken_off(error: &Error) -> bool {
    matches!(
        error,
        Error::HyperResponseError { .. } | Error::HyperLegacyError { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn refused(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        }
    }

    #[test]
    fn what_a_pull_says_has_its_cure() {
        for (image, said, want) in [
            (
                "prom/prometheus:v3",
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host",
                "can this host reach docker.io?",
            ),
            (
                "ghcr.io/google/cadvisor:v0",
                "Get \"https://ghcr.io/v2/\": dial tcp 140.82.121.34:443: connect: connection refused",
                "can this host reach ghcr.io?",
            ),
            (
                "prom/prometheus:v3",
                "toomanyrequests: You have reached your pull rate limit.",
                "docker.io limits",
            ),
            ("ghcr.io/google/cadvisor:v0", "denied", "wants a login"),
            (
                "prom/prometheus:v9",
                "manifest for prom/prometheus:v9 not found: manifest unknown: manifest unknown",
                "docker.io does not have it",
            ),
            (
                "prom/prometheus:v3",
                "no matching manifest for linux/s390x in the manifest list entries",
                "not made for the engine's architecture",
            ),
            (
                "prom/prometheus:v3",
                "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
                "free some space",
            ),
        ] {
            let error = pull(Path::new("/s"), image, &refused(500, said));
            let text = error.to_string();
            assert!(text.contains(want), "{text}");
            assert!(
                text.starts_with(&format!("pulling {image}: {}", said.trim())),
                "{text}"
            );
            let stream = Error::DockerStreamError {
                error: said.to_owned(),
            };
            assert_eq!(pull(Path::new("/s"), image, &stream).to_string(), text);
        }
    }

    #[test]
    fn what_the_engine_refuses_has_its_cure() {
        for (code, said, want) in [
            (
                500,
                "driver failed programming external connectivity on endpoint masthead-prometheus: Bind for 127.0.0.1:9090 failed: port is already allocated",
                "--port",
            ),
            (
                500,
                "failed to bind port 127.0.0.1:9090/tcp: listen tcp4 127.0.0.1:9090: bind: address already in use",
                "--port",
            ),
            (
                403,
                "Pool overlaps with other one on this address space",
                "another one is chosen",
            ),
            (
                400,
                "invalid mount config for type \"bind\": bind source path does not exist: /dev/disk",
                "on this very machine",
            ),
            (
                500,
                "path / is mounted on / but it is not a shared or slave mount",
                "make-rshared",
            ),
            (403, "authorization denied by plugin opa", "plugin"),
        ] {
            let text = of(Path::new("/s"), "starting it", &refused(code, said)).to_string();
            assert!(text.starts_with(&format!("starting it: {said}; ")), "{text}");
            assert!(text.contains(want), "{text}");
        }
        let plain = of(Path::new("/s"), "starting it", &refused(500, "no reason"));
        assert_eq!(plain.to_string(), "starting it: no reason");
    }

    #[test]
    fn an_engine_that_is_away_is_no_engine() {
        for (kind, want) in [
            (io::ErrorKind::NotFound, "install or start Docker"),
            (io::ErrorKind::ConnectionRefused, "install or start Docker"),
            (io::ErrorKind::PermissionDenied, "usermod -aG docker"),
            (io::ErrorKind::ConnectionReset, "journalctl -u docker"),
        ] {
            let error = of(
                Path::new("/run/x.sock"),
                "listing",
                &Error::IOError { err: kind.into() },
            );
            assert_eq!(error.kind(), ErrorKind::NoEngine);
            let text = error.to_string();
            assert!(text.contains(want) && text.contains("/run/x.sock"), "{text}");
        }
        let slow = of(Path::new("/s"), "listing", &Error::RequestTimeoutError);
        assert_eq!(slow.kind(), ErrorKind::NoEngine);
    }
}
