//! The registered servers: one file of the user's own, mode 0600, that names servers and refers to keys.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::{Server, ServerName, StackError, place};

/// Names another file than the usual one.
pub const SERVERS_VARIABLE: &str = "MASTHEAD_SERVERS";
/// The form of the file that this version writes.
const VERSION: u32 = 1;
/// A file that is larger is none of ours.
const MAX_BYTES: u64 = 4 << 20;
/// Others must not even see which servers there are.
const MODE: u32 = 0o600;

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    version: u32,
    servers: Vec<Server>,
}

/// The registered servers, as they were when the file was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    path: PathBuf,
    servers: Vec<Server>,
}

impl Registry {
    /// `MASTHEAD_SERVERS`; else `/etc/masthead/servers.json` for root, and `masthead/servers.json` in the user's configuration folder
    /// for others.
    #[must_use]
    pub fn default_path() -> PathBuf {
        let named = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
        if let Some(path) = named(SERVERS_VARIABLE) {
            return PathBuf::from(path);
        }
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/etc/masthead/servers.json");
        }
        let config = named("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            // By its own rules, one that is not absolute does not count.
            .filter(|folder| folder.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        // Not what lies under the folder that one happens to be in.
        config
            .unwrap_or(PathBuf::from("/etc"))
            .join("masthead/servers.json")
    }

    /// Reads a file; one that is not there has no servers.
    ///
    /// # Errors
    /// It cannot be read, or is not of a form that this version knows.
    pub fn load(path: &Path) -> Result<Self, StackError> {
        let mut registry = Self {
            path: path.to_owned(),
            servers: Vec::new(),
        };
        let mut text = String::new();
        match fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(registry),
            Err(error) => return Err(StackError::file("reading the servers in", path, error)),
        }
        let damaged = |reason: String| StackError::Registry {
            path: path.to_owned(),
            reason,
        };
        let kept: Kept = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if kept.version != VERSION {
            return Err(damaged(format!(
                "it is of version {}, and this Masthead knows version {VERSION}: use the Masthead that wrote it",
                kept.version
            )));
        }
        for server in &kept.servers {
            fit(server).map_err(&damaged)?;
        }
        registry.servers = kept.servers;
        if let Some(name) = registry.duplicate() {
            return Err(damaged(format!("it has two servers of the name {name}")));
        }
        Ok(registry)
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sorted by name.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server of a name.
    ///
    /// # Errors
    /// There is none; the text names those that there are.
    pub fn server(&self, name: &str) -> Result<&Server, StackError> {
        self.servers
            .iter()
            .find(|server| server.name.to_string() == name)
            .ok_or_else(|| {
                let names: Vec<String> = self
                    .servers
                    .iter()
                    .map(|server| server.name.to_string())
                    .collect();
                let there = match names.is_empty() {
                    true => "none is".to_owned(),
                    false => format!("registered are {}", names.join(", ")),
                };
                StackError::Invalid(format!(
                    "no server {name} is registered ({there}); `masthead server add {name} USER@HOST` adds it"
                ))
            })
    }

    /// Adds a server, and writes the file.
    ///
    /// # Errors
    /// There is one of this name already, a part of it cannot be right, or the file cannot be written.
    pub fn add(path: &Path, server: Server) -> Result<(), StackError> {
        fit(&server).map_err(StackError::Invalid)?;
        Self::change(path, |servers| {
            if let Some(known) = servers.iter().find(|known| known.name == server.name) {
                return Err(StackError::Invalid(format!(
                    "server {} is registered already, as {}; `masthead server remove {}` first, or choose another name",
                    server.name, known.address, server.name
                )));
            }
            servers.push(server);
            Ok(())
        })
    }

    /// Removes a server, and writes the file.
    ///
    /// # Errors
    /// There is none of this name, or the file cannot be written.
    pub fn remove(path: &Path, name: &ServerName) -> Result<(), StackError> {
        Self::load(path)?.server(&name.to_string())?;
        Self::change(path, |servers| {
            servers.retain(|server| server.name != *name);
            Ok(())
        })
    }

    /// Reads, changes and writes the file, with nobody else in between.
    fn change(
        path: &Path,
        change: impl FnOnce(&mut Vec<Server>) -> Result<(), StackError>,
    ) -> Result<(), StackError> {
        // A link to where the user keeps such files stays one.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let failed = |error: io::Error| StackError::file("writing the servers in", path, error);
        let folder = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(MODE)
            .open(path.with_extension("lock"))
            .map_err(failed)?;
        rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let mut servers = Self::load(path)?.servers;
        change(&mut servers)?;
        servers.sort_by_key(|server| server.name.to_string());
        let kept = Kept {
            version: VERSION,
            servers,
        };
        let mut json = serde_json::to_vec_pretty(&kept).map_err(|error| failed(error.into()))?;
        json.push(b'\n');
        place::write_own(path, &json, MODE)
    }

    /// Makes the file readable for its owner alone where it is not; was it?
    ///
    /// # Errors
    /// The mode cannot be changed.
    pub fn close(&self) -> Result<bool, StackError> {
        let failed = |error| StackError::file("setting the mode of", &self.path, error);
        let known = match fs::metadata(&self.path) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(failed(error)),
        };
        if known.permissions().mode() & 0o077 == 0 {
            return Ok(true);
        }
        fs::set_permissions(&self.path, Permissions::from_mode(MODE)).map_err(failed)?;
        Ok(false)
    }

    fn duplicate(&self) -> Option<&ServerName> {
        self.servers.iter().enumerate().find_map(|(at, server)| {
            let is_again = self
                .servers
                .iter()
                .skip(at + 1)
                .any(|other| other.name == server.name);
            is_again.then_some(&server.name)
        })
    }
}

/// What a name or a path must be, so that it can be typed and means the same from every folder.
fn fit(server: &Server) -> Result<(), String> {
    let name = server.name.to_string();
    if name.starts_with('-') || name.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(format!(
            "{name:?} is no name for a server: it is typed after --server, so it has no blanks and no /, and does not begin with -; \
             write it as web-1 or db.example.org"
        ));
    }
    for (what, path) in [
        ("key", &server.identity),
        ("base directory", &server.base_dir),
        ("Docker socket", &server.docker_socket),
    ] {
        let Some(path) = path else { continue };
        if !path.is_absolute() {
            return Err(format!(
                "the {what} of server {name}, {}, has to be a whole path, such as /srv/masthead",
                path.display()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, address: &str) -> Server {
        Server {
            name: name.parse().expect("a name"),
            address: address.parse().expect("an address"),
            identity: None,
            base_dir: None,
            docker_socket: None,
        }
    }

    #[test]
    fn servers_are_kept_sorted_in_a_file_of_their_owners() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a/servers.json");
        assert_eq!(Registry::load(&path).expect("none yet").servers(), []);
        let mut web = server("web", "root@[2001:db8::7]:22");
        web.identity = Some("/k/id".into());
        Registry::add(&path, web.clone()).expect("added");
        Registry::add(&path, server("db", "db")).expect("added");
        let error = Registry::add(&path, server("db", "other"))
            .expect_err("twice")
            .to_string();
        assert!(error.contains("registered already, as db"), "{error}");
        let registry = Registry::load(&path).expect("read");
        assert_eq!(registry.servers(), [server("db", "db"), web.clone()]);
        assert_eq!(registry.server("web").expect("there"), &web);
        let error = registry.server("wep").expect_err("not there").to_string();
        assert!(
            error.contains("db, web") && error.contains("server add wep"),
            "{error}"
        );
        let mode = || fs::metadata(&path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        assert!(registry.close().expect("closed already"));
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("opened");
        assert!(!registry.close().expect("was open"));
        assert_eq!(mode(), 0o600);
        Registry::remove(&path, &"db".parse().expect("a name")).expect("removed");
        Registry::remove(&path, &"db".parse().expect("a name")).expect_err("gone");
        assert_eq!(Registry::load(&path).expect("read").servers(), [web]);
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_and_left() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("servers.json");
        for (text, words) in [
            ("{", "line 1"),
            ("{\"version\":2,\"servers\":[]}", "version 2"),
            (
                "{\"version\":1,\"servers\":[{\"name\":\"a\",\"address\":\"-oProxyCommand=x\"}]}",
                "begins with -",
            ),
            (
                "{\"version\":1,\"servers\":[{\"name\":\"a\",\"address\":\"h\"},{\"name\":\"a\",\"address\":\"i\"}]}",
                "two servers of the name a",
            ),
            (
                "{\"version\":1,\"servers\":[{\"name\":\"a b\",\"address\":\"h\"}]}",
                "no blanks",
            ),
            (
                "{\"version\":1,\"servers\":[{\"name\":\"a\",\"address\":\"h\",\"base-dir\":\"b\"}]}",
                "a whole path",
            ),
        ] {
            fs::write(&path, text).expect("written");
            let error = Registry::load(&path).expect_err(words).to_string();
            assert!(error.contains(words) && error.contains("servers.json"), "{error}");
            Registry::add(&path, server("b", "b")).expect_err("not over it");
            assert_eq!(fs::read_to_string(&path).expect("read"), text);
        }
    }

    #[test]
    fn what_cannot_be_typed_or_means_something_else_elsewhere_is_not_added() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("servers.json");
        for name in ["-x", "a b", "a\u{2003}b", "../a"] {
            let error = Registry::add(&path, server(name, "h"))
                .expect_err(name)
                .to_string();
            assert!(error.contains("--server"), "{error}");
        }
        let mut relative = server("a", "h");
        relative.docker_socket = Some("docker.sock".into());
        let error = Registry::add(&path, relative).expect_err("relative").to_string();
        assert!(error.contains("Docker socket of server a"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn a_link_to_the_file_stays_a_link() {
        let folder = tempfile::tempdir().expect("folder");
        let (kept, link) = (
            folder.path().join("kept.json"),
            folder.path().join("servers.json"),
        );
        Registry::add(&kept, server("a", "h")).expect("added");
        std::os::unix::fs::symlink(&kept, &link).expect("linked");
        Registry::add(&link, server("b", "h")).expect("added");
        assert!(link.is_symlink());
        assert_eq!(Registry::load(&kept).expect("read").servers().len(), 2);
    }

    #[test]
    fn many_at_once_lose_nobody() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("servers.json");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let path = &path;
                scope.spawn(move || Registry::add(path, server(&format!("s{number}"), "h")).expect("added"));
            }
        });
        assert_eq!(Registry::load(&path).expect("read").servers().len(), 16);
    }
}
