//! Where the engine's socket is, when nobody says it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The socket to open: what the configuration says, else `DOCKER_HOST` when it is a unix socket, else the first of the usual
/// places that is there, Docker's before Podman's, the machine's before the user's; Docker's when none is.
pub(super) fn choose(configured: Option<&Path>) -> PathBuf {
    choose_from(configured, |name| std::env::var_os(name), Path::exists)
}

fn choose_from(
    configured: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
    is_there: impl Fn(&Path) -> bool,
) -> PathBuf {
    if let Some(path) = configured {
        return path.to_owned();
    }
    let host = variable("DOCKER_HOST").and_then(|v| v.into_string().ok());
    if let Some(path) = host
        .as_deref()
        .and_then(|host| host.strip_prefix("unix://"))
        .filter(|path| path.starts_with('/'))
    {
        return PathBuf::from(path);
    }
    let mut places = vec![
        PathBuf::from("/var/run/docker.sock"),
        PathBuf::from("/run/podman/podman.sock"),
    ];
    if let Some(runtime) = variable("XDG_RUNTIME_DIR").filter(|v| !v.is_empty()) {
        let runtime = PathBuf::from(runtime);
        places.push(runtime.join("docker.sock"));
        places.push(runtime.join("podman/podman.sock"));
    }
    let found = places.iter().position(|place| is_there(place)).unwrap_or(0);
    places.swap_remove(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_places_are_looked_at_in_order() {
        let docker = "/var/run/docker.sock";
        let podman = "/run/podman/podman.sock";
        let mine = "/run/user/1000/podman/podman.sock";
        for (configured, host, there, want) in [
            (Some("/x.sock"), Some("unix:///y.sock"), &[docker][..], "/x.sock"),
            (None, Some("unix:///y.sock"), &[docker], "/y.sock"),
            (None, Some("tcp://10.0.0.1:2375"), &[podman], podman),
            (None, Some("unix://relative"), &[], docker),
            (None, None, &[podman, docker], docker),
            (None, None, &[mine, podman], podman),
            (None, None, &[mine], mine),
            (None, None, &[], docker),
        ] {
            let variable = |name: &str| match name {
                "DOCKER_HOST" => host.map(OsString::from),
                "XDG_RUNTIME_DIR" => Some(OsString::from("/run/user/1000")),
                _ => None,
            };
            let got = choose_from(configured.map(Path::new), variable, |place| {
                there.iter().any(|t| Path::new(t) == place)
            });
            assert_eq!(got, Path::new(want), "{configured:?} {host:?} {there:?}");
        }
    }
}
