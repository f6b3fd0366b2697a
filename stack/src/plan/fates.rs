//! What may happen to a host between two plans.

use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::tests::{ALL, BASE};
use super::world::{Container, World};
use crate::Component;
use crate::desired::Access;
use crate::observed::{ObservedEntry, Owner, State};
use crate::spec::{NETWORK, NETWORKS, OPTIONS_FILE, OVERLAY, PENDING_FILE, SERVICES, known_files};

/// Something that happens to a host beside us, or that an earlier run left.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    FileGone(Index),
    FileChanged(Index),
    FileChmod(Index),
    FolderChmod(Index),
    FolderInTheWay(Index),
    MarkGone,
    UsersFile(&'static str),
    Pending(&'static str),
    ContainerGone(Component),
    ContainerIs(Component, State),
    ContainerForeign(Component, bool),
    ContainerOfOther(Component),
    ContainerChanged(Component),
    ContainerHasReadOld(Component, bool),
    Stranger,
    StrangerOfOurs,
    Disconnected(Component),
    NetworkGone(&'static str),
    NetworkForeign(&'static str),
    NetworkOther(&'static str),
    Guest,
    ImagesGone,
    ServiceGone(&'static str),
    ServiceStopped(&'static str),
    ServiceChanged(&'static str),
    ServiceIsOf(&'static str, Owner),
    OverlayIsOf(Owner),
    OverlayOther,
    GuestOfOverlay,
    SecretOfBefore,
}

fn pick<'a, T>(index: &Index, items: &'a [T]) -> Option<&'a T> {
    (!items.is_empty()).then(|| index.get(items))
}

impl Fate {
    pub(super) fn befall(&self, world: &mut World) {
        let files: Vec<PathBuf> = known_files()
            .into_iter()
            .filter(|path| path.as_os_str() != PENDING_FILE)
            .filter(|path| {
                world
                    .entries
                    .get(path)
                    .is_some_and(|entry| entry.content.is_some())
            })
            .collect();
        let folders: Vec<PathBuf> = world
            .entries
            .iter()
            .filter(|(_, entry)| entry.content.is_none())
            .map(|(path, _)| path.clone())
            .collect();
        match self {
            Self::FileGone(_) | Self::FileChanged(_) | Self::FileChmod(_) | Self::FolderInTheWay(_) => {
                let (Self::FileGone(index)
                | Self::FileChanged(index)
                | Self::FileChmod(index)
                | Self::FolderInTheWay(index)) = self
                else {
                    return;
                };
                let Some(path) = pick(index, &files) else { return };
                self.befall_file(path, world);
            }
            Self::FolderChmod(index) => {
                if let Some(path) = pick(index, &folders) {
                    world.entries.get_mut(path).unwrap().access.uid = 1000;
                }
            }
            Self::MarkGone => {
                world.entries.remove(&PathBuf::from(OPTIONS_FILE));
            }
            Self::UsersFile(path) => write(world, path, "the user's"),
            // Beside what an earlier run noted: a note that somebody takes away cannot be known of.
            Self::Pending(text) => {
                let before = String::from_utf8_lossy(world.content(PENDING_FILE).unwrap_or_default());
                let text = format!("{before}\n{text}");
                write(world, PENDING_FILE, &text);
            }
            Self::ImagesGone => world.images.clear(),
            Self::NetworkGone(name) | Self::NetworkForeign(name) | Self::NetworkOther(name) => {
                self.befall_network(name, world);
            }
            Self::Guest => {
                world.containers.insert("shop".to_owned(), foreign(world, true));
            }
            Self::Stranger => {
                world.containers.insert("shop".to_owned(), foreign(world, false));
            }
            Self::StrangerOfOurs => {
                let other = Container {
                    ours: true,
                    base_dir: BASE.to_owned(),
                    ..foreign(world, false)
                };
                world.containers.insert("masthead-other".to_owned(), other);
            }
            Self::ServiceGone(_)
            | Self::ServiceStopped(_)
            | Self::ServiceChanged(_)
            | Self::ServiceIsOf(..)
            | Self::OverlayIsOf(_)
            | Self::OverlayOther
            | Self::GuestOfOverlay
            | Self::SecretOfBefore => self.befall_swarm(world),
            _ => self.befall_container(world),
        }
    }

    fn befall_swarm(&self, world: &mut World) {
        match self {
            Self::SecretOfBefore => {
                let name = "masthead-cadvisor-users-0".to_owned();
                world.swarm.secrets.insert(name, Owner::This);
            }
            Self::OverlayIsOf(owner) => {
                if let Some(overlay) = &mut world.swarm.overlay {
                    overlay.owner = owner.clone();
                }
            }
            Self::OverlayOther => {
                if let Some(overlay) = &mut world.swarm.overlay {
                    overlay.encrypted ^= true;
                }
            }
            Self::GuestOfOverlay => {
                if let Some(overlay) = &world.swarm.overlay {
                    let networks = [(OVERLAY.to_owned(), overlay.id)].into();
                    let guest = Container {
                        networks,
                        ..foreign(world, false)
                    };
                    world.containers.insert("shop-2".to_owned(), guest);
                }
            }
            Self::ServiceGone(name)
            | Self::ServiceStopped(name)
            | Self::ServiceChanged(name)
            | Self::ServiceIsOf(name, _) => {
                let Some(there) = world.swarm.services.get_mut(*name) else {
                    return;
                };
                match self {
                    Self::ServiceStopped(_) => there.is_stopped = true,
                    Self::ServiceChanged(_) => there.fingerprint = "older".to_owned(),
                    Self::ServiceIsOf(_, owner) => {
                        there.owner = owner.clone();
                        // Others have files of their own.
                        there.secrets.clear();
                    }
                    _ => {
                        world.swarm.services.remove(*name);
                    }
                }
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn befall_network(&self, name: &str, world: &mut World) {
        let Some(network) = world.networks.get_mut(name) else {
            return;
        };
        match self {
            Self::NetworkForeign(_) => network.ours = false,
            Self::NetworkOther(_) => network.bridge = "br-1".to_owned(),
            _ => {
                world.networks.remove(name);
            }
        }
    }

    fn befall_file(&self, path: &PathBuf, world: &mut World) {
        let entry = world.entries.get_mut(path).unwrap();
        match self {
            Self::FileChanged(_) => entry.content = Some(b"edited".to_vec()),
            Self::FileChmod(_) => world.chmod(path, 0o666),
            Self::FolderInTheWay(_) => entry.content = None,
            _ => {
                world.entries.remove(path);
            }
        }
    }

    fn befall_container(&self, world: &mut World) {
        let (Self::ContainerGone(component)
        | Self::ContainerIs(component, _)
        | Self::ContainerForeign(component, _)
        | Self::ContainerOfOther(component)
        | Self::ContainerChanged(component)
        | Self::ContainerHasReadOld(component, _)
        | Self::Disconnected(component)) = self
        else {
            return;
        };
        let name = component.container();
        if let Self::ContainerForeign(_, in_network) = self {
            let there = foreign(world, *in_network);
            world.containers.insert(name.to_owned(), there);
            return;
        }
        let Some(there) = world.containers.get_mut(name) else {
            return;
        };
        match self {
            Self::ContainerIs(_, state) => there.state = *state,
            Self::ContainerOfOther(_) => there.base_dir = "/srv/other".to_owned(),
            Self::ContainerChanged(_) => there.fingerprint = "older".to_owned(),
            Self::Disconnected(_) => {
                there.networks.pop_first();
            }
            // A run was cut off after it wrote a file and before the program read it.
            Self::ContainerHasReadOld(_, restart) => {
                there.read.clear();
                let word = if *restart || *component != Component::Prometheus {
                    "restart"
                } else {
                    "reload"
                };
                let before = String::from_utf8_lossy(world.content(PENDING_FILE).unwrap_or_default());
                let text = format!("{before}\n{word} {component}\n");
                write(world, PENDING_FILE, &text);
            }
            _ => {
                world.containers.remove(name);
            }
        }
    }
}

fn foreign(world: &World, in_network: bool) -> Container {
    let network = world.networks.get(NETWORK).filter(|_| in_network);
    Container {
        ours: false,
        base_dir: String::new(),
        fingerprint: String::new(),
        state: State::Running,
        networks: network
            .map(|network| (NETWORK.to_owned(), network.id))
            .into_iter()
            .collect(),
        read: [].into(),
    }
}

pub(super) fn write(world: &mut World, path: &str, text: &str) {
    // Parents that a fate took away are not made again.
    let path = PathBuf::from(path);
    if path
        .parent()
        .is_some_and(|parent| world.entries.contains_key(parent))
    {
        let access = Access {
            mode: 0o640,
            uid: 1000,
            gid: 1000,
        };
        let content = Some(text.as_bytes().to_vec());
        world.entries.insert(path, ObservedEntry { content, access });
    }
}

pub(super) const USERS_FILES: [&str; 6] = [
    "conf.d/own.yml",
    "alertmanager/alertmanager.yml",
    "alertmanager/secrets/mail",
    "rules/own.yml",
    "notes.txt",
    "prometheus.yml.old",
];

/// Others than ourselves.
fn owners() -> Vec<Owner> {
    let other = |node: &str, base_dir: &str| Owner::Other {
        node: node.to_owned(),
        base_dir: base_dir.to_owned(),
    };
    vec![Owner::Stranger, other("n2", BASE), other("n1", "/srv/other")]
}

pub(super) fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let component = || select(ALL.to_vec());
    let network = || select(NETWORKS.to_vec());
    let index = any::<Index>;
    let service = || select(SERVICES.to_vec());
    let states = vec![
        State::Created,
        State::Exited,
        State::Paused,
        State::Restarting,
        State::Dead,
    ];
    let common = prop_oneof![
        index().prop_map(Fate::FileGone),
        index().prop_map(Fate::FileChanged),
        index().prop_map(Fate::FileChmod),
        index().prop_map(Fate::FolderChmod),
        select(USERS_FILES.to_vec()).prop_map(Fate::UsersFile),
        select(vec!["reload prometheus\n", "nonsense\nrestart grafana", ""]).prop_map(Fate::Pending),
        component().prop_map(Fate::ContainerGone),
        (component(), select(states)).prop_map(|(component, state)| Fate::ContainerIs(component, state)),
        component().prop_map(Fate::ContainerChanged),
        (component(), any::<bool>())
            .prop_map(|(component, restart)| Fate::ContainerHasReadOld(component, restart)),
        component().prop_map(Fate::Disconnected),
        Just(Fate::Stranger),
        Just(Fate::StrangerOfOurs),
        network().prop_map(Fate::NetworkGone),
        network().prop_map(Fate::NetworkOther),
        Just(Fate::ImagesGone),
        service().prop_map(Fate::ServiceGone),
        service().prop_map(Fate::ServiceStopped),
        service().prop_map(Fate::ServiceChanged),
        Just(Fate::OverlayOther),
        Just(Fate::SecretOfBefore),
    ];
    let rare = prop_oneof![
        index().prop_map(Fate::FolderInTheWay),
        Just(Fate::MarkGone),
        (component(), any::<bool>())
            .prop_map(|(component, within)| Fate::ContainerForeign(component, within)),
        component().prop_map(Fate::ContainerOfOther),
        network().prop_map(Fate::NetworkForeign),
        Just(Fate::Guest),
        (service(), select(owners())).prop_map(|(name, owner)| Fate::ServiceIsOf(name, owner)),
        select(owners()).prop_map(Fate::OverlayIsOf),
        Just(Fate::GuestOfOverlay),
    ];
    prop::collection::vec(prop_oneof![8 => common, 2 => rare], 0..7)
}
