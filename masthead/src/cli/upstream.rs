//! How the upstream stack of `masthead setup` is reached: address, user and password, from its base directory.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use stack::{Component, Options};

/// Where a platform keeps its files; the stack's are put beside them.
const PLATFORM: &str = "/etc/dokploy";
/// The base directory there, and where there is no such platform.
const DEFAULTS: [&str; 2] = ["/etc/dokploy/prometheus", "/etc/masthead/prometheus"];
/// The options that `masthead setup` keeps.
const OPTIONS_FILE: &str = "masthead-stack.json";
/// The password of Prometheus.
const PASSWORD_FILE: &str = "secrets/prometheus.password";
/// The user of all generated passwords.
const USER: &str = "masthead";

/// How the stack's Prometheus is reached.
pub(super) struct Access {
    /// Always on this machine's loopback.
    pub(super) url: String,
    pub(super) user: String,
    pub(super) password: String,
}

/// The base directory where none is named.
pub(super) fn default_base_dir() -> PathBuf {
    let [beside, own] = DEFAULTS;
    PathBuf::from(if Path::new(PLATFORM).is_dir() { beside } else { own })
}

/// Reads how the stack in a base directory is reached.
pub(super) fn access(base_dir: &Path) -> anyhow::Result<Access> {
    let options = read(base_dir, OPTIONS_FILE)?;
    let options: Options = serde_json::from_str(&options).map_err(|e| {
        anyhow::anyhow!(
            "{} cannot be read ({e}); `masthead setup --base-dir {}` writes it anew",
            base_dir.join(OPTIONS_FILE).display(),
            base_dir.display()
        )
    })?;
    let password = read(base_dir, PASSWORD_FILE)?;
    Ok(Access {
        url: format!("http://127.0.0.1:{}", options.port(Component::Prometheus)),
        user: USER.to_owned(),
        password: password.trim_end().to_owned(),
    })
}

fn read(base_dir: &Path, name: &str) -> anyhow::Result<String> {
    let path = base_dir.join(name);
    fs::read_to_string(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => anyhow::anyhow!(
            "there is no upstream stack in {} ({name} is missing); `masthead setup` makes one, --base-dir names another folder",
            base_dir.display()
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
            fs::write(folder.path().join(PASSWORD_FILE), password).unwrap();
        }
        folder
    }

    #[test]
    fn a_stack_is_reached_at_its_kept_port_with_its_password() {
        let mut options = Options::new("web1");
        let json = serde_json::to_string(&options).unwrap();
        let one = folder(&json, Some("hush\n"));
        let access = access(one.path()).unwrap();
        assert_eq!(
            (
                access.url.as_str(),
                access.user.as_str(),
                access.password.as_str()
            ),
            ("http://127.0.0.1:9090", "masthead", "hush")
        );
        options.ports.insert(Component::Prometheus, 9091);
        let json = serde_json::to_string(&options).unwrap();
        let other = folder(&json, Some("hush"));
        assert_eq!(super::access(other.path()).unwrap().url, "http://127.0.0.1:9091");
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_makes_it() {
        let json = serde_json::to_string(&Options::new("web1")).unwrap();
        let empty = tempfile::tempdir().unwrap();
        for (folder, words) in [
            (&empty, ["no upstream stack", OPTIONS_FILE]),
            (&folder(&json, None), ["no upstream stack", PASSWORD_FILE]),
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
