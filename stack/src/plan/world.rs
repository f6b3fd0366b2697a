//! A host to try plans on: it carries out steps as the engine and the file system would, and refuses what they would refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::KEPT_SUFFIX;
use super::swarm_world::Swarm;
use crate::desired::{ContainerSpec, Desired, FileKind, FolderKind, OnChange};
use crate::observed::{Observed, ObservedContainer, ObservedEntry, ObservedNetwork, State};
use crate::spec::{OPTIONS_FILE, OVERLAY, desired, known_paths};
use crate::{Component, Facts, Options, Step};

/// A container and what the program in it has read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Container {
    pub(super) ours: bool,
    pub(super) base_dir: String,
    pub(super) fingerprint: String,
    pub(super) state: State,
    /// Networks by name, with the id that they had when it was put into them.
    pub(super) networks: BTreeMap<String, u64>,
    /// Files as of its start, or of its last reload.
    pub(super) read: BTreeMap<PathBuf, ObservedEntry>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) id: u64,
    pub(super) ours: bool,
    pub(super) subnet: String,
    pub(super) gateway: std::net::Ipv4Addr,
    pub(super) bridge: String,
    pub(super) internal: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct World {
    /// By name.
    pub(super) networks: BTreeMap<String, Network>,
    /// Everything below the base directory, which itself is the empty path.
    pub(super) entries: BTreeMap<PathBuf, ObservedEntry>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) images: BTreeSet<String>,
    pub(super) swarm: Swarm,
    /// Networks of the platform, which nobody of us makes.
    pub(super) platform: BTreeSet<String>,
    last_id: u64,
}

impl World {
    /// A host on which a stack of these options runs.
    pub(super) fn with(options: &Options, facts: &Facts) -> Self {
        let mut world = Self {
            platform: ["dokploy-network".to_owned()].into(),
            ..Self::default()
        };
        let wanted = desired(options, facts);
        for container in &wanted.containers {
            world.images.insert(container.image.clone());
        }
        let steps: Vec<Step> = wanted
            .networks
            .iter()
            .cloned()
            .map(Step::CreateNetwork)
            .chain(wanted.folders.iter().cloned().map(Step::MakeFolder))
            .chain(wanted.files.iter().cloned().map(|file| Step::WriteFile {
                file,
                is_there: false,
            }))
            .chain(wanted.swarm.iter().flat_map(|swarm| {
                let secrets = swarm.secrets.iter().cloned().map(Step::CreateSecret);
                let services = swarm.services.iter().cloned().map(Box::new);
                secrets
                    .chain([Step::CreateOverlay(swarm.overlay.clone())])
                    .chain(services.map(Step::CreateService))
            }))
            .chain(wanted.containers.iter().flat_map(|spec| {
                let name = spec.name.clone();
                [
                    Step::CreateContainer(Box::new(spec.clone())),
                    Step::StartContainer { name },
                ]
            }))
            .collect();
        for step in &steps {
            world.apply(step);
        }
        world
    }

    pub(super) fn observe(&self) -> Observed {
        let known = known_paths();
        let is_marked = self.entries.contains_key(Path::new(OPTIONS_FILE));
        Observed {
            networks: self
                .networks
                .iter()
                .map(|(name, network)| {
                    let observed = ObservedNetwork {
                        id: network.id.to_string(),
                        ours: network.ours,
                        subnet: network.subnet.clone(),
                        gateway: Some(network.gateway),
                        bridge: network.bridge.clone(),
                        internal: network.internal,
                        guests: self.guests(name),
                    };
                    (name.clone(), observed)
                })
                .collect(),
            entries: self
                .entries
                .iter()
                .filter(|(path, _)| known.contains(path))
                .map(|(path, entry)| (path.clone(), entry.clone()))
                .collect(),
            base_dir_is_foreign: !is_marked && self.entries.keys().any(|path| !path.as_os_str().is_empty()),
            containers: self
                .containers
                .iter()
                .map(|(name, container)| {
                    let observed = ObservedContainer {
                        id: name.clone(),
                        ours: container.ours,
                        base_dir: container.base_dir.clone(),
                        image: String::new(),
                        fingerprint: container.fingerprint.clone(),
                        state: container.state,
                        networks: container.networks.keys().cloned().collect(),
                    };
                    (name.clone(), observed)
                })
                .collect(),
            images: self.images.clone(),
            swarm: self.swarm.observe(self.guests_of_overlay()),
        }
    }

    /// A number that nothing else has.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn guests(&self, network: &str) -> Vec<String> {
        let is_in = |there: &Container| !there.ours && there.networks.contains_key(network);
        let guests = self.containers.iter().filter(|(_, there)| is_in(there));
        guests.map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn apply(&mut self, step: &Step) {
        match step {
            Step::PullImage { image } => assert!(self.images.insert(image.clone()), "{image} is there"),
            Step::CreateNetwork(spec) => {
                let network = Network {
                    id: self.next_id(),
                    ours: true,
                    subnet: spec.subnet.clone(),
                    gateway: spec.gateway,
                    bridge: spec.bridge.clone(),
                    internal: spec.internal,
                };
                let before = self.networks.insert(spec.name.clone(), network);
                assert!(before.is_none(), "there is a network of this name");
            }
            Step::RemoveNetwork { name } => {
                let guests = self.guests(name);
                assert!(guests.is_empty(), "{guests:?} are in it");
                assert!(self.networks.remove(name).is_some(), "no network to remove");
                for container in self.containers.values_mut() {
                    container.networks.remove(name);
                }
            }
            Step::Connect { container, network } => {
                let id = self.network_id(network);
                let there = self.container(container);
                assert!(there.networks.insert(network.clone(), id).is_none());
            }
            Step::MakeFolder(_)
            | Step::WriteFile { .. }
            | Step::RemoveFile { .. }
            | Step::RemoveFolder { .. } => {
                self.apply_to_files(step);
            }
            Step::RemoveContainer { .. }
            | Step::CreateContainer(_)
            | Step::StartContainer { .. }
            | Step::RestartContainer { .. }
            | Step::UnpauseContainer { .. }
            | Step::Reload { .. } => self.apply_to_containers(step),
            Step::CreateOverlay(_)
            | Step::RemoveOverlay { .. }
            | Step::CreateSecret(_)
            | Step::RemoveSecret { .. }
            | Step::CreateService(_)
            | Step::UpdateService(_)
            | Step::RemoveService { .. } => self.apply_to_swarm(step),
        }
    }

    fn apply_to_files(&mut self, step: &Step) {
        match step {
            Step::MakeFolder(folder) => {
                self.assert_parent(&folder.path);
                let there = self.entries.get(&folder.path);
                assert!(
                    there.is_none_or(|there| there.content.is_none()),
                    "a file is in the way"
                );
                assert!(
                    there.is_none() || folder.kind != FolderKind::Users,
                    "the user's folder"
                );
                let access = folder.access;
                self.entries.insert(
                    folder.path.clone(),
                    ObservedEntry {
                        content: None,
                        access,
                    },
                );
            }
            Step::WriteFile { file, is_there } => {
                self.assert_parent(&file.path);
                let entry = ObservedEntry {
                    content: Some(file.content.clone()),
                    access: file.access,
                };
                let before = self.entries.insert(file.path.clone(), entry);
                // A copy of a user's file is the same whenever it is made.
                let is_copy = before.as_ref().and_then(|before| before.content.as_ref())
                    == Some(&file.content)
                    && file.path.to_string_lossy().contains(KEPT_SUFFIX);
                assert!(
                    is_copy || before.is_some() == *is_there,
                    "{}",
                    file.path.display()
                );
                assert!(
                    before.is_none_or(|before| before.content.is_some()),
                    "a folder is in the way"
                );
            }
            Step::RemoveFile { path } => {
                let before = self.entries.remove(path);
                assert!(
                    before.is_none_or(|before| before.content.is_some()),
                    "it is a folder"
                );
            }
            Step::RemoveFolder { path, with_content } => {
                let is_below = |entry: &PathBuf| entry != path && entry.starts_with(path);
                if *with_content {
                    self.entries.retain(|entry, _| !is_below(entry));
                }
                if !self.entries.keys().any(is_below) {
                    self.entries.remove(path);
                }
            }
            other => unreachable!("{other}"),
        }
    }

    fn apply_to_containers(&mut self, step: &Step) {
        match step {
            Step::RemoveContainer { name, ours, .. } => {
                let container = self.containers.remove(name).expect("a container to remove");
                assert_eq!(container.ours, *ours, "{name}");
            }
            Step::CreateContainer(spec) => self.create(spec),
            Step::StartContainer { name } => {
                let state = self.container(name).state;
                assert!(
                    matches!(state, State::Created | State::Exited),
                    "{name} is {state:?}"
                );
                self.start(name);
            }
            Step::RestartContainer { name } => {
                assert_ne!(
                    self.container(name).state,
                    State::Paused,
                    "a paused container does not stop"
                );
                self.start(name);
            }
            Step::UnpauseContainer { name } => {
                let there = self.container(name);
                assert_eq!(there.state, State::Paused);
                there.state = State::Running;
            }
            Step::Reload { component } => {
                let files = self.files();
                let there = self.container(component.container());
                assert_eq!(there.state, State::Running, "nobody hears the signal");
                there.read = files;
            }
            other => unreachable!("{other}"),
        }
    }

    fn create(&mut self, spec: &ContainerSpec) {
        assert!(self.images.contains(&spec.image), "no image {}", spec.image);
        let base = &spec.labels[crate::desired::LABEL_BASE_DIR];
        for mount in &spec.mounts {
            let below = mount.source.strip_prefix(base);
            let is_there = below.map_or(true, |path| self.entries.contains_key(path));
            assert!(is_there, "nothing to mount at {}", mount.source.display());
        }
        let networks = spec
            .attachment
            .networks(crate::spec::NETWORK)
            .into_iter()
            .map(|network| (network.to_owned(), self.network_id(network)))
            .collect();
        let container = Container {
            ours: true,
            base_dir: spec.labels[crate::desired::LABEL_BASE_DIR].clone(),
            fingerprint: spec.fingerprint(),
            state: State::Created,
            networks,
            read: BTreeMap::new(),
        };
        let before = self.containers.insert(spec.name.clone(), container);
        assert!(before.is_none(), "the name {} is taken", spec.name);
    }

    fn start(&mut self, name: &str) {
        let files = self.files();
        let networks = self.container(name).networks.clone();
        for (network, id) in &networks {
            assert_eq!(
                self.network_id(network),
                *id,
                "{name} is in a network that is gone"
            );
        }
        let there = self.container(name);
        there.state = State::Running;
        there.read = files;
    }

    fn files(&self) -> BTreeMap<PathBuf, ObservedEntry> {
        let files = self.entries.iter().filter(|(_, entry)| entry.content.is_some());
        files.map(|(path, entry)| (path.clone(), entry.clone())).collect()
    }

    /// What is in a file.
    pub(super) fn content(&self, path: &str) -> Option<&[u8]> {
        self.entries.get(Path::new(path))?.content.as_deref()
    }

    /// In place: whoever has the file mounted sees it.
    pub(super) fn chmod(&mut self, path: &Path, mode: u32) {
        for there in self.containers.values_mut() {
            if let Some(read) = there.read.get_mut(path)
                && Some(&*read) == self.entries.get(path)
            {
                read.access.mode = mode;
            }
        }
        if let Some(entry) = self.entries.get_mut(path) {
            entry.access.mode = mode;
        }
    }

    fn container(&mut self, name: &str) -> &mut Container {
        self.containers
            .get_mut(name)
            .unwrap_or_else(|| panic!("no container {name}"))
    }

    fn network_id(&self, name: &str) -> u64 {
        match self.networks.get(name) {
            Some(network) => network.id,
            None if name == OVERLAY => self.swarm.overlay.as_ref().expect("an overlay").id,
            _ if self.platform.contains(name) => 0,
            _ => panic!("no network {name}"),
        }
    }

    fn assert_parent(&self, path: &Path) {
        if let Some(parent) = path.parent() {
            assert!(
                self.entries.contains_key(parent),
                "no folder for {}",
                path.display()
            );
        }
    }

    /// Everything is as wanted, and each program has read the files that are there.
    pub(super) fn assert_is(&self, desired: &Desired, base_dir: &str) {
        for wanted in &desired.networks {
            let network = &self.networks[&wanted.name];
            assert!(network.ours);
            assert_eq!(network.subnet, wanted.subnet);
            assert_eq!(network.gateway, wanted.gateway);
            assert_eq!(network.bridge, wanted.bridge);
            assert_eq!(network.internal, wanted.internal);
        }
        for folder in &desired.folders {
            let there = &self.entries[&folder.path];
            assert_eq!(there.content, None);
            if folder.kind != FolderKind::Users {
                assert_eq!(there.access, folder.access, "{}", folder.path.display());
            }
        }
        for file in &desired.files {
            let there = &self.entries[&file.path];
            if file.kind == FileKind::Users {
                // Whatever is in it.
                continue;
            }
            assert_eq!(
                there.content.as_ref(),
                Some(&file.content),
                "{}",
                file.path.display()
            );
            assert_eq!(there.access, file.access, "{}", file.path.display());
            let read = |component: Component| self.containers[component.container()].read.get(&file.path);
            match file.on_change {
                OnChange::Nothing => {}
                OnChange::Reload(component) => {
                    let content = read(component).and_then(|read| read.content.as_ref());
                    assert_eq!(content, Some(&file.content), "{component} has not read it");
                }
                // Mounted alone: the file in the container is the one that was there at its start.
                OnChange::Restart(component) => {
                    assert_eq!(read(component), Some(there), "{component} has not read it")
                }
            }
        }
        for spec in &desired.containers {
            let there = &self.containers[&spec.name];
            assert!(there.ours && there.base_dir == base_dir);
            assert_eq!(there.state, State::Running, "{}", spec.name);
            assert_eq!(there.fingerprint, spec.fingerprint());
            for network in spec.attachment.networks(crate::spec::NETWORK) {
                assert_eq!(there.networks.get(network), Some(&self.network_id(network)));
            }
        }
        self.assert_swarm_is(desired);
        for component in Component::ALL {
            let is_wanted = desired.containers.iter().any(|spec| spec.component == component);
            let there = self.containers.get(component.container());
            let is_ours = there.is_some_and(|there| there.ours && there.base_dir == base_dir);
            assert_eq!(is_ours, is_wanted, "{component}");
        }
    }
}
