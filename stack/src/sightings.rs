//! What was seen of the registered servers, and when: so that one that is out of reach has a since. Kept beside the registry, on a best
//! effort: it is a memory and no setting, so a file that cannot be read is an empty one, and one that cannot be written is left.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Server, place};

/// The form of the file that this version writes; another one is not read.
const VERSION: u32 = 1;
/// A file that is larger is none of ours.
const MAX_BYTES: u64 = 4 << 20;
/// As the registry's.
const MODE: u32 = 0o600;

/// What is known of a server from the times that it was looked at. Times are milliseconds since 1970 by this machine's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Where it was then: under another address it is another server.
    address: String,
    /// Was it reached at the last look?
    pub reached: bool,
    /// The first look since which every one came to the same.
    pub since_ms: i64,
    /// The last look at which it was reached, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reached_ms: Option<i64>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    version: u32,
    servers: BTreeMap<String, Sighting>,
}

/// The memory of past looks.
#[derive(Debug)]
pub struct Sightings {
    path: PathBuf,
    servers: BTreeMap<String, Sighting>,
}

impl Sightings {
    /// Those that belong to a registry's file.
    #[must_use]
    pub fn of(registry: &Path) -> Self {
        let path = registry.with_extension("seen.json");
        let mut text = String::new();
        let read = fs::File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
        let kept = read
            .ok()
            .and_then(|_| serde_json::from_str::<Kept>(&text).ok())
            .filter(|kept| kept.version == VERSION)
            .unwrap_or_default();
        Self {
            path,
            servers: kept.servers,
        }
    }

    /// What was known of a server.
    #[must_use]
    pub fn get(&self, server: &Server) -> Option<&Sighting> {
        let known = self.servers.get(&server.name.to_string())?;
        (known.address == server.address.to_string()).then_some(known)
    }

    /// A look at a server, at `now_ms`; what is known of it with that.
    pub fn look(&mut self, server: &Server, reached: bool, now_ms: i64) -> Sighting {
        let known = self.get(server);
        let since_ms = known
            .filter(|known| known.reached == reached)
            .map_or(now_ms, |known| known.since_ms);
        let reached_ms = match reached {
            true => Some(now_ms),
            false => known.and_then(|known| known.reached_ms),
        };
        let sighting = Sighting {
            address: server.address.to_string(),
            reached,
            since_ms,
            reached_ms,
        };
        self.servers.insert(server.name.to_string(), sighting.clone());
        sighting
    }

    /// Writes them down for the next time, without those whose servers are not `registered` any more.
    pub fn save(mut self, registered: &[Server]) {
        self.servers
            .retain(|name, _| registered.iter().any(|server| server.name.to_string() == *name));
        let kept = Kept {
            version: VERSION,
            servers: self.servers,
        };
        if let Ok(json) = serde_json::to_vec_pretty(&kept) {
            // The next look has less to tell, and that is all.
            let _best_effort = place::write_own(&self.path, &json, MODE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

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
    fn a_state_has_a_since_over_several_runs() {
        let folder = tempfile::tempdir().expect("folder");
        let registry = folder.path().join("servers.json");
        let web = server("web", "root@web");
        let look = |server: &Server, reached, now_ms| {
            let mut sightings = Sightings::of(&registry);
            let sighting = sightings.look(server, reached, now_ms);
            sightings.save(std::slice::from_ref(server));
            (sighting.since_ms, sighting.reached_ms)
        };
        for (reached, now_ms, want) in [
            (false, 1, (1, None)),
            (false, 2, (1, None)),
            (true, 3, (3, Some(3))),
            (true, 4, (3, Some(4))),
            (false, 5, (5, Some(4))),
            (false, 6, (5, Some(4))),
        ] {
            assert_eq!(look(&web, reached, now_ms), want, "at {now_ms}");
        }
        let file = registry.with_extension("seen.json");
        let mode = fs::metadata(&file).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // Under another address it is another server.
        assert_eq!(look(&server("web", "root@other"), false, 7), (7, None));
        // One that is not registered any more is forgotten.
        Sightings::of(&registry).save(&[]);
        assert_eq!(look(&server("web", "root@other"), false, 8), (8, None));
        fs::write(&file, "{").expect("damaged");
        assert_eq!(look(&web, true, 9), (9, Some(9)));
    }
}
