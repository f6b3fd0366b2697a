//! Plans and removals on a model of a host: as a property from any state, and step by step where one thing has changed.

use std::collections::BTreeSet;
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::fates::{Fate, USERS_FILES, fates, write};
use super::world::{Container, World};
use super::{Foreign, Refusal, kept_path, plan, removal};
use crate::desired::FileKind;
use crate::observed::{ObservedEntry, Owner, State};
use crate::options::Pull;
use crate::spec::{
    NETWORK, OPTIONS_FILE, PENDING_FILE, desired, is_as_made, kind_of, known_files, password_file,
};
use crate::{Component, Facts, Need, Options, Range, Run, Secret, Step, Swarm};

pub(super) const BASE: &str = "/etc/masthead/prometheus";
pub(super) const ALL: [Component; 7] = Component::ALL;

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
