//! From what should be there and what is there to the steps between the two. Pure.
//!
//! ```text
//! setup:    images -> folders -> files -> unwanted containers -> networks -> secrets, overlay, services -> containers -> reloads, restarts
//!           -> unwanted networks, services, overlay, secrets, files
//! removal:  containers -> services, overlay, secrets -> networks -> files -> folders -> the mark of the base directory -> the base directory
//! ```
//!
//! Images come first: when one cannot be had, nothing has changed. A container is replaced only when its own specification or its
//! network did. The steps can be cut off after any of them, and a new plan from there leads to the same end: what a changed file asks
//! of a running container is written down ([`PENDING_FILE`]) before the file, and struck out after it was done.
//!
//! Never touched: what is in the user's folders; containers, networks and files that do not carry our mark, unless the user adopts
//! them; a network with somebody else's containers in it. Of an adopted base directory each file that is replaced is kept beside
//! the new one.

mod pending;
mod refusal;
mod swarm;

pub(crate) use swarm::service_guest;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub use refusal::{Foreign, Refusal};
use sha2::{Digest, Sha256};

use crate::desired::{ContainerSpec, Desired, FileKind, FileSpec, FolderKind, NetworkSpec, OnChange};
use crate::observed::{ObservedContainer, ObservedNetwork, State};
use crate::options::Pull;
use crate::spec::{NETWORK, OPTIONS_FILE, PENDING_FILE, is_as_made, kind_of, known_files, known_folders};
use crate::{Component, Observed, Run, Step};
use pending::Pending;

/// What a replaced file of an adopted base directory is kept as: its name with this and the beginning of the SHA-256 of its content
/// behind it. So no copy is ever written over another one.
pub const KEPT_SUFFIX: &str = ".before-masthead-";

/// The steps from what is there to what should be there; none when it is there.
///
/// # Errors
/// [`Refusal`]: something that is not ours is in the way, or an image is missing that must not be fetched.
pub fn plan(desired: &Desired, observed: &Observed, run: &Run) -> Result<Vec<Step>, Refusal> {
    let anew = refusal::check(desired, observed, run)?;
    let fates: Vec<(&ContainerSpec, Fate)> = desired
        .containers
        .iter()
        .map(|spec| (spec, fate(spec, observed, run, &anew)))
        .collect();
    let mut steps = pulls(&fates, observed, run)?;
    steps.extend(folder_steps(desired, observed));

    let changed = changed_files(desired, observed);
    let fate_of = |component| {
        let of = fates.iter().find(|(spec, _)| spec.component == component);
        of.map(|(_, fate)| fate)
    };
    // A container that is made anew reads its files then. One that is only started does so too, but not if somebody else starts it
    // before the files are there and this run ends there.
    let pending = Pending::read(observed)
        .with(&changed)
        .only(|component| fate_of(component).is_some_and(|fate| !fate.creates()));
    let unwanted_files = unwanted_files(desired, observed);
    steps.extend(file_steps(&changed, &unwanted_files, &pending, observed));

    steps.extend(unwanted(desired, observed, run).map(|name| remove(name, "no longer wanted", true)));
    if !anew.is_empty() {
        let replaced = fates
            .iter()
            .filter_map(|(spec, fate)| fate.removal(spec, observed));
        steps.extend(replaced);
        steps.extend(network_steps(desired, observed, &anew));
    }
    steps.extend(swarm::before(desired, &observed.swarm, &anew));
    for (spec, fate) in &fates {
        if anew.is_empty() {
            steps.extend(fate.removal(spec, observed));
        }
        steps.extend(container_steps(spec, fate, observed));
    }
    let is_left = |fate: &Fate| matches!(fate, Fate::Keep | Fate::Unpause);
    let left = pending
        .clone()
        .only(|component| fate_of(component).is_some_and(is_left));
    steps.extend(left.steps());
    if observed.entries.contains_key(Path::new(PENDING_FILE)) || !pending.is_empty() {
        steps.push(Step::RemoveFile {
            path: PathBuf::from(PENDING_FILE),
        });
    }
    steps.extend(unwanted_networks(desired, observed, run));
    steps.extend(swarm::after(desired, &observed.swarm, &anew, run));
    // Last: until then a container may still need them.
    steps.extend(unwanted_files.into_iter().map(|path| Step::RemoveFile { path }));
    Ok(steps)
}

/// The steps that remove the stack of this base directory.
///
/// Without `purge_data` its data, the user's folders and the kept options stay: the next setup goes on with the same data under the
/// same options (another retention would delete some of it), and with new passwords. With `purge_data` they go too; but of the
/// user's folders and of the base directory only those in which nothing is left, as what is in them then is the user's.
///
/// The network stays while somebody else's containers are in it.
#[must_use]
pub fn removal(observed: &Observed, base_dir: &Path, purge_data: bool) -> Vec<Step> {
    let base_dir = base_dir.display().to_string();
    let is_ours = |container: &ObservedContainer| container.ours && container.base_dir == base_dir;
    let mut names: Vec<&str> = observed
        .containers
        .iter()
        .filter(|(_, container)| is_ours(container))
        .map(|(name, _)| name.as_str())
        .collect();
    // What scrapes goes before what is scraped: no target is seen to go down.
    names.sort_by_key(|name| {
        let at = Component::ALL
            .iter()
            .position(|component| component.container() == *name);
        std::cmp::Reverse(at)
    });
    let mut steps: Vec<Step> = names
        .into_iter()
        .map(|name| remove(name, "the stack is removed", true))
        .collect();
    steps.extend(swarm::removal(&observed.swarm));
    let others = observed
        .containers
        .values()
        .any(|container| container.ours && !is_ours(container));
    let unused = observed
        .networks
        .iter()
        .filter(|(_, network)| network.ours && network.guests.is_empty() && !others);
    steps.extend(unused.map(|(name, _)| Step::RemoveNetwork { name: name.clone() }));
    // Without the mark, what is there is not ours.
    if is_file(observed, Path::new(OPTIONS_FILE)) {
        steps.extend(file_removal(observed, purge_data));
    }
    steps
}

fn file_removal(observed: &Observed, purge_data: bool) -> Vec<Step> {
    let mark = PathBuf::from(OPTIONS_FILE);
    let goes = |path: &PathBuf| match kind_of(path) {
        FileKind::Ours => true,
        FileKind::Data => purge_data,
        FileKind::Users => purge_data && content(observed, path).is_some_and(|there| is_as_made(path, there)),
    };
    let mut steps: Vec<Step> = known_files()
        .into_iter()
        .filter(|path| is_file(observed, path) && *path != mark && goes(path))
        .map(|path| Step::RemoveFile { path })
        .collect();
    let base = PathBuf::new();
    // What is in a folder before the folder.
    for folder in known_folders()
        .into_iter()
        .rev()
        .filter(|folder| observed.entries.contains_key(&folder.path) && folder.path != base)
    {
        let (goes, with_content) = match folder.kind {
            FolderKind::Ours => (true, false),
            FolderKind::Data => (purge_data, true),
            FolderKind::Users => (purge_data, false),
        };
        if goes {
            steps.push(Step::RemoveFolder {
                path: folder.path,
                with_content,
            });
        }
    }
    if purge_data {
        // Last: until then a removal that was cut off finds that the folder is ours.
        steps.push(Step::RemoveFile { path: mark });
        steps.push(Step::RemoveFolder {
            path: base,
            with_content: false,
        });
    }
    steps
}

/// What becomes of a wanted container.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// It runs and stays.
    Keep,
    /// It is not there.
    Create,
    /// It has to go and comes again.
    Replace(String),
    /// It ended, or was never started.
    Start,
    /// Somebody paused it.
    Unpause,
    /// The engine waits before it starts it once more; it may be well now.
    Restart,
}

impl Fate {
    fn creates(&self) -> bool {
        matches!(self, Self::Create | Self::Replace(_))
    }

    fn removal(&self, spec: &ContainerSpec, observed: &Observed) -> Option<Step> {
        let Self::Replace(why) = self else { return None };
        let ours = observed
            .containers
            .get(&spec.name)
            .is_some_and(|there| there.ours);
        Some(remove(&spec.name, why, ours))
    }
}

fn fate(spec: &ContainerSpec, observed: &Observed, run: &Run, anew: &BTreeSet<String>) -> Fate {
    let Some(there) = observed.containers.get(&spec.name) else {
        return Fate::Create;
    };
    let replace = |why: &str| Fate::Replace(why.to_owned());
    if !there.ours {
        return replace("adopted");
    }
    if there.base_dir != run.base_dir.display().to_string() {
        return replace(&format!("adopted from the stack of {}", there.base_dir));
    }
    if there.fingerprint != spec.fingerprint() {
        return replace("its specification changed");
    }
    // A container keeps the id of its network: it cannot start in a new one of the same name.
    let networks = spec.attachment.networks(NETWORK);
    if networks.iter().any(|network| anew.contains(*network)) {
        return replace("its network is made anew");
    }
    match there.state {
        State::Running => Fate::Keep,
        State::Created | State::Exited => Fate::Start,
        State::Paused => Fate::Unpause,
        State::Restarting => Fate::Restart,
        State::Dead => replace("the engine could not remove it whole"),
    }
}

fn remove(name: &str, why: &str, ours: bool) -> Step {
    Step::RemoveContainer {
        name: name.to_owned(),
        why: why.to_owned(),
        ours,
    }
}

/// Is the network that is there the one that is wanted?
fn network_fits(wanted: &NetworkSpec, there: &ObservedNetwork) -> bool {
    there.ours
        && there.internal == wanted.internal
        && there.subnet == wanted.subnet
        && there.gateway == Some(wanted.gateway)
        && there.bridge == wanted.bridge
}

/// Networks that are made (anew).
fn network_steps(desired: &Desired, observed: &Observed, anew: &BTreeSet<String>) -> Vec<Step> {
    let made: Vec<&NetworkSpec> = desired
        .networks
        .iter()
        .filter(|network| anew.contains(&network.name))
        .collect();
    let there = made
        .iter()
        .filter(|network| observed.networks.contains_key(&network.name));
    let removals = there.map(|network| Step::RemoveNetwork {
        name: network.name.clone(),
    });
    let creations = made.iter().map(|network| Step::CreateNetwork((*network).clone()));
    removals.chain(creations).collect()
}

/// Removals of networks of ours that are not wanted, and that nobody else is in.
fn unwanted_networks(desired: &Desired, observed: &Observed, run: &Run) -> Vec<Step> {
    let base_dir = run.base_dir.display().to_string();
    // Those of wanted names are ours by then.
    let others = observed.containers.iter().any(|(name, there)| {
        let is_wanted = desired.containers.iter().any(|spec| spec.name == *name);
        there.ours && there.base_dir != base_dir && !is_wanted
    });
    observed
        .networks
        .iter()
        .filter(|(name, there)| {
            let is_wanted = desired.networks.iter().any(|network| network.name == **name);
            !is_wanted && there.ours && there.guests.is_empty() && !others
        })
        .map(|(name, _)| Step::RemoveNetwork { name: name.clone() })
        .collect()
}

/// Names of containers of this stack that are not wanted.
fn unwanted<'a>(desired: &'a Desired, observed: &'a Observed, run: &Run) -> impl Iterator<Item = &'a str> {
    let base_dir = run.base_dir.display().to_string();
    observed
        .containers
        .iter()
        .filter(move |(name, there)| {
            there.ours
                && there.base_dir == base_dir
                && !desired.containers.iter().any(|spec| spec.name == **name)
        })
        .map(|(name, _)| name.as_str())
}

/// Images of containers that have to be made.
fn pulls(fates: &[(&ContainerSpec, Fate)], observed: &Observed, run: &Run) -> Result<Vec<Step>, Refusal> {
    let missing: BTreeSet<&String> = fates
        .iter()
        .filter(|(spec, fate)| fate.creates() && !observed.images.contains(&spec.image))
        .map(|(spec, _)| &spec.image)
        .collect();
    match run.pull {
        Pull::Never if !missing.is_empty() => Err(Refusal::NoImage(missing.into_iter().cloned().collect())),
        Pull::Never | Pull::Missing => Ok(missing
            .into_iter()
            .map(|image| Step::PullImage { image: image.clone() })
            .collect()),
    }
}

fn folder_steps(desired: &Desired, observed: &Observed) -> Vec<Step> {
    desired
        .folders
        .iter()
        .filter(|folder| match (observed.entries.get(&folder.path), folder.kind) {
            (None, _) => true,
            (Some(_), FolderKind::Users) => false,
            (Some(there), FolderKind::Ours | FolderKind::Data) => there.access != folder.access,
        })
        .cloned()
        .map(Step::MakeFolder)
        .collect()
}

/// A file to be written.
struct Changed<'a> {
    file: &'a FileSpec,
    is_there: bool,
    /// Its bytes are others, not only its owner or mode.
    other_content: bool,
}

impl Changed<'_> {
    /// What it asks of a container that runs.
    fn asks(&self) -> OnChange {
        match self.file.on_change {
            // The file is the same for whoever has read it.
            OnChange::Reload(_) if !self.other_content => OnChange::Nothing,
            // A container in which the file is mounted alone does not see the new one, whatever is new in it.
            OnChange::Nothing | OnChange::Reload(_) | OnChange::Restart(_) => self.file.on_change,
        }
    }
}

fn changed_files<'a>(desired: &'a Desired, observed: &Observed) -> Vec<Changed<'a>> {
    desired
        .files
        .iter()
        .filter_map(|file| {
            let there = observed.entries.get(&file.path);
            if file.kind == FileKind::Users && there.is_some() {
                return None;
            }
            let other_content = there.and_then(|there| there.content.as_ref()) != Some(&file.content);
            let other_access = there.is_some_and(|there| there.access != file.access);
            (other_content || other_access).then_some(Changed {
                file,
                is_there: there.is_some(),
                other_content,
            })
        })
        .collect()
}

fn file_steps(
    changed: &[Changed],
    unwanted: &[PathBuf],
    pending: &Pending,
    observed: &Observed,
) -> Vec<Step> {
    let replaced = changed
        .iter()
        .filter(|changed| changed.other_content)
        .map(|changed| &changed.file.path);
    let kept = replaced
        .chain(unwanted)
        .filter(|_| observed.base_dir_is_foreign)
        .filter_map(|path| kept_copy(path, observed))
        .map(|file| Step::WriteFile {
            file,
            is_there: false,
        });
    let writes = changed.iter().map(|changed| Step::WriteFile {
        file: changed.file.clone(),
        is_there: changed.is_there,
    });
    kept.chain(pending.write(observed)).chain(writes).collect()
}

/// The user's file that ours replaces, under another name.
fn kept_copy(path: &Path, observed: &Observed) -> Option<FileSpec> {
    let there = observed.entries.get(path)?;
    let content = there.content.clone()?;
    Some(FileSpec {
        path: kept_path(path, &content),
        content,
        access: there.access,
        kind: FileKind::Users,
        on_change: OnChange::Nothing,
        // Whatever is in it.
        secret: true,
    })
}

fn kept_path(path: &Path, content: &[u8]) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(KEPT_SUFFIX);
    for byte in Sha256::digest(content).iter().take(4) {
        name.push(format!("{byte:02x}"));
    }
    PathBuf::from(name)
}

fn container_steps(spec: &ContainerSpec, fate: &Fate, observed: &Observed) -> Vec<Step> {
    let name = spec.name.clone();
    let mut steps = connections(spec, fate, observed);
    match fate {
        Fate::Keep => {}
        Fate::Create | Fate::Replace(_) => {
            steps.push(Step::CreateContainer(Box::new(spec.clone())));
            steps.push(Step::StartContainer { name });
        }
        Fate::Start => steps.push(Step::StartContainer { name }),
        Fate::Unpause => steps.push(Step::UnpauseContainer { name }),
        Fate::Restart => steps.push(Step::RestartContainer { name }),
    }
    steps
}

/// Networks that a container which stays was taken out of.
fn connections(spec: &ContainerSpec, fate: &Fate, observed: &Observed) -> Vec<Step> {
    let (Some(there), false) = (observed.containers.get(&spec.name), fate.creates()) else {
        return Vec::new();
    };
    spec.attachment
        .networks(NETWORK)
        .into_iter()
        .filter(|network| !there.networks.contains(*network))
        .map(|network| Step::Connect {
            container: spec.name.clone(),
            network: network.to_owned(),
        })
        .collect()
}

/// Files that some stack has, but not the wanted one.
fn unwanted_files(desired: &Desired, observed: &Observed) -> Vec<PathBuf> {
    known_files()
        .into_iter()
        .filter(|path| path.as_os_str() != PENDING_FILE && is_file(observed, path))
        .filter(|path| kind_of(path) == FileKind::Ours)
        .filter(|path| !desired.files.iter().any(|file| file.path == *path))
        .collect()
}

fn content<'a>(observed: &'a Observed, path: &Path) -> Option<&'a [u8]> {
    observed.entries.get(path)?.content.as_deref()
}

fn is_file(observed: &Observed, path: &Path) -> bool {
    observed
        .entries
        .get(path)
        .is_some_and(|entry| entry.content.is_some())
}

#[cfg(test)]
#[path = "plan/fates.rs"]
mod fates;
#[cfg(test)]
#[path = "plan/swarm_world.rs"]
mod swarm_world;
#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
#[cfg(test)]
#[path = "plan/world.rs"]
mod world;
