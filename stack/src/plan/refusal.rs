//! Why there is no plan.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use super::{KEPT_SUFFIX, network_fits, swarm};
use crate::desired::{Desired, NetworkSpec};
use crate::spec::PENDING_FILE;
use crate::{Observed, Run};

/// Something that is in our way and not ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// A container of our name without our label.
    Container {
        /// Its name.
        name: String,
    },
    /// A container of our name that belongs to a stack with another base directory.
    OtherStack {
        /// Its name.
        name: String,
        /// The other stack's base directory.
        base_dir: String,
    },
    /// A network of our name without our label.
    Network {
        /// Its name.
        name: String,
    },
    /// The network has to be made anew, but containers that are not ours are in it. `--adopt` does not help.
    NetworkInUse {
        /// Its name.
        name: String,
        /// Who is in it.
        guests: Vec<String>,
    },
    /// A network or service of our name in the swarm without our label.
    Swarm {
        /// `network` or `service`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// One that belongs to a stack of another node of the swarm, or of another base directory.
    OtherNode {
        /// `network` or `service`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The id of the other stack's node.
        node: String,
        /// Its base directory there.
        base_dir: String,
    },
    /// The base directory holds something, and nothing says that it is ours.
    BaseDir {
        /// Absolute.
        path: PathBuf,
    },
    /// A folder where a file has to be, or a file where a folder has to be. `--adopt` does not help.
    Path {
        /// Absolute.
        path: PathBuf,
        /// A folder has to be there.
        folder_wanted: bool,
    },
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { name } => write!(
                f,
                "container {name} is not of this stack: rename it (`docker rename {name} NAME`) or remove it, or let setup replace it with `--adopt`"
            ),
            Self::OtherStack { name, base_dir } => write!(
                f,
                "container {name} belongs to the stack of {base_dir}: change that one with `--base-dir {base_dir}`, or let setup replace it with `--adopt`"
            ),
            Self::Network { name } => write!(
                f,
                "network {name} is not of this stack: remove it (`docker network rm {name}`), or let setup make it anew with `--adopt`"
            ),
            Self::NetworkInUse { name, guests } => write!(
                f,
                "network {name} has to be made anew, but {} in it, not of this stack: `{}`, then try again",
                are_in(guests),
                leaving(name, guests.first().map_or("NAME", String::as_str))
            ),
            Self::Swarm { what, name } => write!(
                f,
                "{what} {name} is not of this stack: remove it (`docker {what} rm {name}`), or let setup make it anew with `--adopt`"
            ),
            Self::OtherNode {
                what,
                name,
                node,
                base_dir,
            } => write!(
                f,
                "{what} {name} belongs to the stack of {base_dir} on the swarm's node {node} (`docker node ls`): change that one there, or let setup \
                 take over with `--adopt`"
            ),
            Self::BaseDir { path } => write!(
                f,
                "{} holds something that is not of this stack: choose another folder with `--base-dir`, or take it over with `--adopt` (a file that is replaced stays as NAME{KEPT_SUFFIX}HASH)",
                path.display()
            ),
            Self::Path { path, folder_wanted } => {
                let (is, wanted) = match folder_wanted {
                    true => ("a file", "a folder"),
                    false => ("a folder", "a file"),
                };
                write!(
                    f,
                    "{} is {is}, but {wanted} has to be there: move it away",
                    path.display()
                )
            }
        }
    }
}

/// How a guest leaves a network.
fn leaving(network: &str, guest: &str) -> String {
    match guest.strip_prefix(swarm::SERVICE_GUEST) {
        Some(service) => format!("docker service update --network-rm {network} {service}"),
        None => format!("docker network disconnect {network} {guest}"),
    }
}

fn are_in(guests: &[String]) -> String {
    let verb = if guests.len() == 1 { "is" } else { "are" };
    format!("{} {verb}", guests.join(", "))
}

/// Why there is no plan. Its text names everything that is in the way, and for each what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Names of ours belong to somebody else; never empty.
    NotOurs(Vec<Foreign>),
    /// Images that are not there must not be fetched; never empty.
    NoImage(Vec<String>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs(foreign) => {
                let lines: Vec<_> = foreign.iter().map(ToString::to_string).collect();
                write!(f, "nothing was changed: {}", lines.join("; "))
            }
            Self::NoImage(images) => write!(
                f,
                "nothing was changed: the engine has no image {}, and `--pull never` forbids to fetch it: bring it with `docker pull` or `docker load`, or leave `--pull never` out",
                images.join(", ")
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// Is something in the way? If not: which networks have to be made (anew)?
pub(super) fn check(desired: &Desired, observed: &Observed, run: &Run) -> Result<BTreeSet<String>, Refusal> {
    let mut foreign = Vec::new();
    if observed.base_dir_is_foreign && !run.adopt {
        foreign.push(Foreign::BaseDir {
            path: run.base_dir.clone(),
        });
    }
    foreign.extend(paths(desired, observed, run));
    if !run.adopt {
        foreign.extend(containers(desired, observed, run));
    }
    foreign.extend(
        desired
            .networks
            .iter()
            .filter_map(|wanted| network(wanted, desired, observed, run)),
    );
    foreign.extend(swarm::foreign(desired, &observed.swarm, run));
    if !foreign.is_empty() {
        return Err(Refusal::NotOurs(foreign));
    }
    let fits = |wanted: &NetworkSpec| {
        let there = observed.networks.get(&wanted.name);
        there.is_some_and(|there| network_fits(wanted, there))
    };
    let anew = desired.networks.iter().filter(|wanted| !fits(wanted));
    let overlay = desired
        .swarm
        .as_ref()
        .map(|swarm| &swarm.overlay)
        .filter(|wanted| {
            let there = observed.swarm.overlay.as_ref();
            !there.is_some_and(|there| swarm::overlay_fits(wanted, there))
        });
    Ok(anew
        .map(|wanted| wanted.name.clone())
        .chain(overlay.map(|wanted| wanted.name.clone()))
        .collect())
}

fn paths(desired: &Desired, observed: &Observed, run: &Run) -> Vec<Foreign> {
    let folders = desired.folders.iter().map(|folder| (folder.path.clone(), true));
    let files = desired.files.iter().map(|file| (file.path.clone(), false));
    folders
        .chain(files)
        .chain([(PathBuf::from(PENDING_FILE), false)])
        .filter(|(path, folder_wanted)| {
            observed
                .entries
                .get(path)
                .is_some_and(|there| there.content.is_some() == *folder_wanted)
        })
        .map(|(path, folder_wanted)| Foreign::Path {
            // Joined with an empty path it would end in a slash.
            path: match path.as_os_str().is_empty() {
                true => run.base_dir.clone(),
                false => run.base_dir.join(path),
            },
            folder_wanted,
        })
        .collect()
}

fn containers(desired: &Desired, observed: &Observed, run: &Run) -> Vec<Foreign> {
    let base_dir = run.base_dir.display().to_string();
    let there = desired.containers.iter().filter_map(|spec| {
        let there = observed.containers.get(&spec.name)?;
        Some((spec.name.clone(), there))
    });
    there
        .filter_map(|(name, there)| match there.ours {
            false => Some(Foreign::Container { name }),
            true if there.base_dir != base_dir => Some(Foreign::OtherStack {
                name,
                base_dir: there.base_dir.clone(),
            }),
            true => None,
        })
        .collect()
}

fn network(wanted: &NetworkSpec, desired: &Desired, observed: &Observed, run: &Run) -> Option<Foreign> {
    let name = wanted.name.clone();
    let there = observed.networks.get(&name)?;
    if network_fits(wanted, there) {
        return None;
    }
    if !there.ours && !run.adopt {
        return Some(Foreign::Network { name });
    }
    // Those of our names are adopted, so they are gone by then.
    let is_wanted = |guest: &str| desired.containers.iter().any(|spec| spec.name == guest);
    let base_dir = run.base_dir.display().to_string();
    // A container of another base directory's stack would be cut off just as a stranger's.
    let of_other_stacks = observed.containers.iter().filter(|(_, container)| {
        container.ours && container.base_dir != base_dir && container.networks.contains(&name)
    });
    let guests: Vec<String> = there
        .guests
        .iter()
        .chain(of_other_stacks.map(|(guest, _)| guest))
        .filter(|guest| !(run.adopt && is_wanted(guest)))
        .cloned()
        .collect();
    (!guests.is_empty()).then_some(Foreign::NetworkInUse { name, guests })
}
