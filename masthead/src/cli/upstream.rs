//! How the upstream stack of `masthead setup` is reached: address, user and password, from its base directory alone: a query needs no
//! Docker, which `stack::Stack` would connect to.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use stack::spec::{OPTIONS_FILE, USER, kept_options, password_file};
use stack::{Component, Options};

/// How the stack's Prometheus is reached.
pub(super) struct Access {
    /// On this machine's loopback.
    pub(super) url: String,
    /// User and password; nothing where none are known.
    pub(super) login: Option<(String, String)>,
}

/// Reads how the stack in a base directory is reached.
pub(super) fn access(base_dir: &Path) -> anyhow::Result<Access> {
    let options = read(base_dir, Path::new(OPTIONS_FILE))?;
    let options: Options = kept_options(options.as_bytes()).map_err(|e| {
        anyhow::anyhow!(
            "{} cannot be read ({e}); `masthead setup --base-dir {}` writes it anew",
            base_dir.join(OPTIONS_FILE).display(),
            base_dir.display()
        )
    })?;
    let password = read(base_dir, &password_file(Component::Prometheus))?;
    Ok(Access {
        url: format!("http://127.0.0.1:{}", options.port(Component::Prometheus)),
        login: Some((USER.to_owned(), password.trim_end().to_owned())),
    })
}

fn read(base_dir: &Path, name: &Path) -> anyhow::Result<String> {
    let path = base_dir.join(name);
    fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "there is no upstream stack in {} ({} is missing); `masthead setup` makes one, --base-dir names another folder",
            base_dir.display(),
            name.display()
        ),
        ErrorKind::PermissionDenied => anyhow::anyhow!(
            "reading {}: {error}; the stack's password is root's: run this with sudo, or give --url, --user and --password-file",
            path.display()
        ),
        _ => anyhow::anyhow!("reading {}: {error}", path.display()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(options: &str, password: Option<&str>) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("secrets")).unwrap();
        fs::write(folder.path().join(OPTIONS_FILE), options).unwrap();
        if let Some(password) = password {
            fs::write(folder.path().join(password_file(Component::Prometheus)), password).unwrap();
        }
        folder
    }

    #[test]
    fn a_stack_is_reached_at_its_kept_port_with_its_password() {
        let mut options = Options::new("web1".parse().unwrap());
        let json = serde_json::to_string(&options).unwrap();
        let one = folder(&json, Some("hush\n"));
        let access = access(one.path()).unwrap();
        assert_eq!(
            (access.url.as_str(), access.login),
            (
                "http://127.0.0.1:9090",
                Some(("masthead".to_owned(), "hush".to_owned()))
            )
        );
        options.ports.insert(Component::Prometheus, 9091);
        let json = serde_json::to_string(&options).unwrap();
        let other = folder(&json, Some("hush"));
        assert_eq!(super::access(other.path()).unwrap().url, "http://127.0.0.1:9091");
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_makes_it() {
        let json = serde_json::to_string(&Options::new("web1".parse().unwrap())).unwrap();
        let empty = tempfile::tempdir().unwrap();
        for (folder, words) in [
            (&empty, ["no upstream stack", OPTIONS_FILE]),
            (&folder(&json, None), ["no upstream stack", "prometheus.password"]),
            (&folder("{", Some("hush")), ["cannot be read", "masthead setup"]),
        ] {
            let Err(error) = access(folder.path()) else {
                panic!("{words:?} is wanted")
            };
            for word in words {
                assert!(error.to_string().contains(word), "{word} in {error}");
            }
        }
    }
}
