//! Plans and removals on a model of a host: as a property from any state, and step by step where one thing has changed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use super::world::{Container, World};
use super::{Foreign, Refusal, kept_path, plan, removal};
use crate::desired::{Access, FileKind};
use crate::observed::{ObservedEntry, Owner, State};
use crate::options::Pull;
use crate::spec::{
    NETWORK, NETWORKS, OPTIONS_FILE, OVERLAY, PENDING_FILE, SERVICES, desired, is_as_made, kind_of,
    known_files, password_file,
};
use crate::{Component, Facts, Need, Options, Range, Run, Secret, Step, Swarm};

pub(super) const BASE: &str = "/etc/masthead/prometheus";
const ALL: [Component; 7] = Component::ALL;

fn options() -> Options {
    Options::new("web-1".parse().unwrap())
}

/// The second round of passwords is another one.
fn facts(round: u8) -> Facts {
    let secret = |component: Component| Secret {
        password: format!("password-{round}-of-{component}"),
        hash: format!("hash-{round}-of-{component}"),
    };
    Facts {
        hostname: "web-1".to_owned(),
        memory_bytes: 2 << 30,
        cpus: 2,
        base_dir: BASE.into(),
        range: Range {
            subnet: "172.29.241.0/24".to_owned(),
            gateway: [172, 29, 241, 1].into(),
        },
        discovery_range: Range {
            subnet: "172.29.242.0/24".to_owned(),
            gateway: [172, 29, 242, 1].into(),
        },
        platform_networks: Vec::new(),
        secrets: ALL.map(|component| (component, secret(component))).into(),
        docker_root: "/var/lib/docker".into(),
        docker_socket: "/var/run/docker.sock".into(),
        containerd_socket: None,
        is_swarm_manager: false,
        node_id: String::new(),
        root_is_shared: true,
        has_kmsg: true,
        has_dev_disk: true,
    }
}

fn run() -> Run {
    Run {
        base_dir: BASE.into(),
        pull: Pull::Missing,
        adopt: false,
    }
}

/// Something that happens to a host beside us, or that an earlier run left.
#[derive(Debug, Clone)]
enum Fate {
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
    fn befall(&self, world: &mut World) {
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

fn write(world: &mut World, path: &str, text: &str) {
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

const USERS_FILES: [&str; 6] = [
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

fn fates() -> impl Strategy<Value = Vec<Fate>> {
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

fn some_options() -> impl Strategy<Value = (Options, Facts)> {
    let of = |need: Need| -> Vec<Component> {
        ALL.into_iter()
            .filter(|component| component.need() == need)
            .collect()
    };
    let without = subsequence(of(Need::Default), 0..=2);
    let with = subsequence(of(Need::Optional), 0..=4);
    let intervals = select(vec!["15s", "30s"]);
    let swarm = select(vec![None, None, Some(false), Some(true)]);
    (
        without,
        with,
        intervals,
        any::<bool>(),
        any::<bool>(),
        1..3_u8,
        swarm,
    )
        .prop_map(|(without, with, interval, moved, platform, round, swarm)| {
            let mut options = options();
            options.swarm = swarm.map(|encrypt| Swarm { encrypt });
            options.without = without.into_iter().collect();
            options.with = with.into_iter().collect();
            options.scrape_interval = interval.parse().unwrap();
            if moved {
                options.ports.insert(Component::Prometheus, 9099);
                options.ports.insert(Component::Grafana, 3001);
            }
            let mut facts = facts(round);
            if platform {
                facts.platform_networks.push("dokploy-network".to_owned());
            }
            (options, facts)
        })
}

const DATA: [&str; 4] = ["data", "alertmanager-data", "pushgateway-data", "grafana-data"];
const USERS_FOLDERS: [&str; 4] = [
    "conf.d",
    "rules",
    "alertmanager/secrets",
    "alertmanager/templates",
];

/// Files and folders that no plan may touch, and no removal.
fn users_files(world: &World, purge: bool) -> impl Iterator<Item = (&PathBuf, &ObservedEntry)> {
    let known: BTreeSet<PathBuf> = known_files().into_iter().collect();
    world.entries.iter().filter(move |(path, entry)| {
        let is_below = |other: &PathBuf| other != *path && other.starts_with(path);
        match entry.content {
            // What was made for the user is theirs once they changed it.
            Some(ref content) if kind_of(path) == FileKind::Users => !(purge && is_as_made(path, content)),
            Some(_) => !known.contains(*path) && !DATA.iter().any(|data| path.starts_with(data)),
            // An empty folder of the user's goes when everything goes.
            None if purge && !world.entries.keys().any(is_below) => false,
            None => USERS_FOLDERS.iter().any(|folder| path.starts_with(folder)),
        }
    })
}

/// Containers that no plan may touch, and no removal.
fn others_containers(world: &World, adopt: bool) -> impl Iterator<Item = (&String, &Container)> {
    world.containers.iter().filter(move |(name, there)| {
        let of_our_name = ALL.iter().any(|component| component.container() == *name);
        let is_ours = there.ours && there.base_dir == BASE;
        !(is_ours || (adopt && of_our_name))
    })
}

fn assert_untouched(before: &World, after: &World, adopt: bool, purge: bool) {
    for (path, entry) in users_files(before, purge) {
        assert_eq!(after.entries.get(path), Some(entry), "{}", path.display());
    }
    for (name, there) in others_containers(before, adopt) {
        assert_eq!(after.containers.get(name), Some(there), "{name}");
    }
    for (name, there) in &before.swarm.services {
        if there.owner != Owner::This && !adopt {
            assert_eq!(after.swarm.services.get(name), Some(there), "{name}");
        }
    }
    // What is replaced of somebody else's folder stays beside the new file.
    if before.observe().base_dir_is_foreign {
        for (path, entry) in &before.entries {
            let copy = kept_path(path, entry.content.as_deref().unwrap_or_default());
            let copy = after.entries.get(&copy);
            let is_lost = entry.content.is_some()
                && after.entries.get(path).map(|now| &now.content) != Some(&entry.content);
            if is_lost && path.as_os_str() != PENDING_FILE {
                assert_eq!(
                    copy.map(|copy| &copy.content),
                    Some(&entry.content),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

fn assert_justified(refusal: &Refusal, world: &World, run: &Run) {
    let Refusal::NotOurs(foreign) = refusal else {
        return assert_eq!(run.pull, Pull::Never, "{refusal}");
    };
    assert!(!foreign.is_empty());
    for foreign in foreign {
        let text = foreign.to_string();
        match foreign {
            Foreign::Container { name } => assert!(!run.adopt && !world.containers[name].ours),
            Foreign::OtherStack { name, base_dir } => {
                assert!(!run.adopt && world.containers[name].base_dir == *base_dir);
            }
            Foreign::Network { name } => assert!(!run.adopt && !world.networks[name].ours),
            Foreign::NetworkInUse { guests, .. } => {
                assert!(!guests.is_empty() && guests.iter().all(|guest| text.contains(guest)));
            }
            Foreign::Swarm { .. } | Foreign::OtherNode { .. } => {
                let swarm = &world.swarm;
                let others = swarm.services.values().any(|there| there.owner != Owner::This);
                let overlay = swarm
                    .overlay
                    .as_ref()
                    .is_some_and(|there| there.owner != Owner::This);
                assert!(!run.adopt && (others || overlay));
            }
            Foreign::BaseDir { .. } => assert!(!run.adopt),
            Foreign::Path { path, .. } => {
                assert!(path.starts_with(BASE) && !path.to_string_lossy().ends_with('/'))
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// From any state, cut off after any step, the end is the wanted state; then there is nothing left to do.
    #[test]
    fn a_plan_leads_to_what_is_wanted_wherever_it_was_cut_off(
        (old, old_facts) in some_options(),
        (new, new_facts) in some_options(),
        fates in fates(),
        adopt in any::<bool>(),
        never in prop::bool::weighted(0.1),
    ) {
        let mut world = World::with(&old, &old_facts);
        for fate in &fates {
            fate.befall(&mut world);
        }
        let run = Run { adopt, pull: if never { Pull::Never } else { Pull::Missing }, ..run() };
        let wanted = desired(&new, &new_facts);
        let steps = match plan(&wanted, &world.observe(), &run) {
            Ok(steps) => steps,
            Err(refusal) => {
                assert_justified(&refusal, &world, &run);
                return Ok(());
            }
        };
        for cut in 0..=steps.len() {
            let mut host = world.clone();
            for step in &steps[..cut] {
                host.apply(step);
            }
            let rest = plan(&wanted, &host.observe(), &run).unwrap();
            prop_assert!(cut < steps.len() || rest.is_empty(), "left: {:?}", rest.iter().map(ToString::to_string).collect::<Vec<_>>());
            for step in &rest {
                host.apply(step);
            }
            host.assert_is(&wanted, BASE);
            assert_untouched(&world, &host, adopt, false);
            prop_assert_eq!(plan(&wanted, &host.observe(), &run).unwrap(), []);
        }
    }

    /// A removal, cut off anywhere and done again, takes what is ours and nothing else; without purging, setup goes on from there.
    #[test]
    fn a_removal_takes_what_is_ours_and_setup_goes_on_with_the_data(
        (old, old_facts) in some_options(),
        (new, new_facts) in some_options(),
        fates in fates(),
        purge in any::<bool>(),
    ) {
        let mut world = World::with(&old, &old_facts);
        for fate in &fates {
            fate.befall(&mut world);
        }
        for data in DATA {
            write(&mut world, &format!("{data}/00000001"), "samples");
        }
        let was_marked = world.content(OPTIONS_FILE).is_some();
        let base = PathBuf::from(BASE);
        let steps = removal(&world.observe(), &base, purge);
        for cut in 0..=steps.len() {
            let mut host = world.clone();
            for step in &steps[..cut] {
                host.apply(step);
            }
            for step in removal(&host.observe(), &base, purge) {
                host.apply(&step);
            }
            assert_untouched(&world, &host, false, purge);
            let is_ours = |there: &Container| there.ours && there.base_dir == BASE;
            prop_assert!(!host.containers.values().any(is_ours));
            let mut owners = host.swarm.services.values().map(|there| &there.owner).chain(host.swarm.secrets.values());
            prop_assert!(owners.all(|owner| *owner != Owner::This));
            let overlay = host.swarm.overlay.as_ref().filter(|there| there.owner == Owner::This);
            prop_assert!(overlay.is_none() || !host.observe().swarm.overlay.expect("one").guests.is_empty());
            for network in host.observe().networks.values() {
                let others = host.containers.values().any(|there| there.ours);
                prop_assert!(!network.ours || !network.guests.is_empty() || others);
            }
            for folder in DATA {
                let sample = format!("{folder}/00000001");
                let before = world.content(&sample).is_some();
                prop_assert_eq!(host.content(&sample).is_some(), before && !(purge && was_marked), "{}", folder);
            }
            let data = host.content("data/00000001").is_some();
            // Grafana keeps the password of its first start in its data: who keeps that, keeps this.
            let password = password_file(Component::Grafana);
            if !(purge && was_marked) {
                prop_assert_eq!(host.entries.get(&password), world.entries.get(&password));
            }
            if purge && was_marked {
                // What is left is the user's, and folders on the way to it.
                for (path, entry) in &host.entries {
                    let users = USERS_FILES.iter().any(|own| PathBuf::from(own).starts_with(path));
                    // Or it stands where a file of ours would be, and is none.
                    prop_assert!(users || entry.content.is_none() && world.entries[path] == *entry, "{}", path.display());
                }
            }
            let left = removal(&host.observe(), &base, purge);
            let is_try = |step: &Step| matches!(step, Step::RemoveFolder { with_content: false, .. });
            prop_assert!(left.iter().all(is_try), "a second removal: {:?}", left);

            // Setup, with the data still there.
            let wanted = desired(&new, &new_facts);
            match plan(&wanted, &host.observe(), &run()) {
                Ok(steps) => {
                    steps.iter().for_each(|step| host.apply(step));
                    host.assert_is(&wanted, BASE);
                    prop_assert_eq!(host.content("data/00000001").is_some(), data);
                }
                Err(refusal) => assert_justified(&refusal, &host, &run()),
            }
        }
    }
}

/// What is done when this alone has changed.
fn check(change: impl FnOnce(&mut World, &mut Options, &mut Facts), expected: &[&str]) {
    let (mut options, mut facts) = (options(), facts(1));
    let mut world = World::with(&options, &facts);
    change(&mut world, &mut options, &mut facts);
    let steps = plan(&desired(&options, &facts), &world.observe(), &run()).unwrap();
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    assert_eq!(steps, expected);
}

#[test]
fn a_changed_option_changes_only_what_it_must() {
    const OPTIONS: &str = "update masthead-stack.json";
    check(|_, _, _| {}, &[]);
    check(
        |_, options, _| options.scrape_interval = "30s".parse().unwrap(),
        &[
            "write masthead-stack.pending",
            OPTIONS,
            "update prometheus.yml",
            "remove container masthead-cadvisor (its specification changed)",
            "create container masthead-cadvisor from ghcr.io/google/cadvisor:v0.60.5",
            "start container masthead-cadvisor",
            "reload prometheus",
            "remove masthead-stack.pending",
        ],
    );
    check(
        |_, options, _| options.server = "web-2".parse().unwrap(),
        &[
            "write masthead-stack.pending",
            OPTIONS,
            "update prometheus.yml",
            "reload prometheus",
            "remove masthead-stack.pending",
        ],
    );
    let prometheus_anew = [
        OPTIONS,
        "remove container masthead-prometheus (its specification changed)",
        "create container masthead-prometheus from prom/prometheus:v3.14.0",
        "start container masthead-prometheus",
    ];
    check(
        |_, options, _| options.retention_time = "30d".parse().unwrap(),
        &prometheus_anew,
    );
    check(
        |_, options, _| options.ports = [(Component::Prometheus, 9091)].into(),
        &prometheus_anew,
    );
    check(
        |_, options, _| options.without = [Component::Cadvisor].into(),
        &[
            "write masthead-stack.pending",
            OPTIONS,
            "update prometheus.yml",
            "remove container masthead-cadvisor (no longer wanted)",
            "reload prometheus",
            "remove masthead-stack.pending",
            "remove secrets/cadvisor.password",
            "remove cadvisor.htpasswd",
        ],
    );
    check(
        |_, _, other| other.secrets = facts(2).secrets,
        &[
            "write masthead-stack.pending",
            "update secrets/node-exporter.password",
            "update node-exporter-web.yml",
            "update secrets/cadvisor.password",
            "update cadvisor.htpasswd",
            "update secrets/prometheus.password",
            "update web.yml",
            "restart container masthead-node-exporter",
            "restart container masthead-cadvisor",
            "remove masthead-stack.pending",
        ],
    );
}

#[test]
fn optional_components_come_go_and_come_back() {
    let (plain, facts) = (options(), facts(1));
    let mut whole = plain.clone();
    ALL.into_iter().for_each(|component| whole.take_in(component));
    let mut world = World::with(&plain, &facts);
    let mut turn = |options: &Options| {
        let wanted = desired(options, &facts);
        let steps = plan(&wanted, &world.observe(), &run()).unwrap();
        steps.iter().for_each(|step| world.apply(step));
        assert_eq!(plan(&wanted, &world.observe(), &run()).unwrap(), []);
        let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
        steps.join("\n")
    };
    insta::assert_snapshot!("optional_in", turn(&whole));
    insta::assert_snapshot!("optional_out", turn(&plain));
    insta::assert_snapshot!("optional_again", turn(&whole));
}

#[test]
fn a_setup_on_an_empty_host_does_everything_once() {
    let steps = plan(
        &desired(&options(), &facts(1)),
        &World::default().observe(),
        &run(),
    )
    .unwrap();
    let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(steps.join("\n"));
}

#[test]
fn what_happened_to_the_host_is_mended() {
    let prometheus = || Component::Prometheus.container().to_owned();
    check(
        |world, _, _| world.containers.get_mut(&prometheus()).unwrap().state = State::Exited,
        &["start container masthead-prometheus"],
    );
    check(
        |world, _, _| world.containers.get_mut(&prometheus()).unwrap().networks.clear(),
        &["connect masthead-prometheus to network masthead"],
    );
    check(
        |world, _, _| {
            world.networks.clear();
            world.images.clear();
        },
        &[
            "pull ghcr.io/google/cadvisor:v0.60.5",
            "pull prom/prometheus:v3.14.0",
            "remove container masthead-cadvisor (its network is made anew)",
            "remove container masthead-prometheus (its network is made anew)",
            "create network masthead (172.29.241.0/24)",
            "create container masthead-cadvisor from ghcr.io/google/cadvisor:v0.60.5",
            "start container masthead-cadvisor",
            "create container masthead-prometheus from prom/prometheus:v3.14.0",
            "start container masthead-prometheus",
        ],
    );
    // Only who owns it: the program has read the same text.
    check(
        |world, _, _| world.chmod(&PathBuf::from("prometheus.yml"), 0o600),
        &["update prometheus.yml"],
    );
    // Unless the file is mounted alone: then the container still has the other one.
    check(
        |world, _, _| world.chmod(&PathBuf::from("node-exporter-web.yml"), 0o666),
        &[
            "write masthead-stack.pending",
            "update node-exporter-web.yml",
            "restart container masthead-node-exporter",
            "remove masthead-stack.pending",
        ],
    );
    check(
        |world, _, _| world.entries.get_mut(&PathBuf::from("data")).unwrap().access.uid = 0,
        &["make folder data (750, owner 65534)"],
    );
}

#[test]
fn a_removal_says_what_it_does() {
    for purge in [false, true] {
        let world = World::with(&options(), &facts(1));
        let steps = removal(&world.observe(), &PathBuf::from(BASE), purge);
        let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(format!("removal_purge_{purge}"), steps.join("\n"));
    }
}

#[test]
fn a_refusal_names_all_that_is_in_the_way_and_what_to_do() {
    let mut world = World::with(&options(), &facts(1));
    for fate in [
        Fate::MarkGone,
        Fate::ContainerForeign(Component::Prometheus, true),
        Fate::ContainerOfOther(Component::Cadvisor),
        Fate::NetworkForeign(NETWORK),
        Fate::Guest,
    ] {
        fate.befall(&mut world);
    }
    let web = PathBuf::from("web.yml");
    world.entries.get_mut(&web).unwrap().content = None;
    let wanted = desired(&options(), &facts(1));
    let refusal = plan(&wanted, &world.observe(), &run()).unwrap_err();
    insta::assert_snapshot!("refusal", refusal.to_string().replace("; ", ";\n"));

    // Adopting does not help where somebody else would lose something.
    let refusal = plan(&wanted, &world.observe(), &Run { adopt: true, ..run() }).unwrap_err();
    insta::assert_snapshot!("refusal_adopting", refusal.to_string().replace("; ", ";\n"));

    let empty = World::default();
    let refusal = plan(
        &wanted,
        &empty.observe(),
        &Run {
            pull: Pull::Never,
            ..run()
        },
    )
    .unwrap_err();
    insta::assert_snapshot!("refusal_no_image", refusal.to_string());
}
