//! The wanted state in full for three stacks, and what has to hold for all of them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::{OPTIONS_FILE, PENDING_FILE, desired, kept_options, known_paths};
use crate::desired::{Attachment, Desired};
use crate::{Component, Facts, Options, Range, Reach, Secret, Swarm};

pub(super) fn options() -> Options {
    Options::new("web-1".parse().unwrap())
}

pub(super) fn facts() -> Facts {
    let secret = |component: Component| Secret {
        password: format!("PASSWORD-OF-{component}"),
        hash: format!("$2y$05$HASH-OF-{component}"),
    };
    Facts {
        hostname: "web-1".to_owned(),
        memory_bytes: 2 << 30,
        cpus: 2,
        base_dir: "/etc/dokploy/prometheus".into(),
        range: Range {
            subnet: "172.29.241.0/24".to_owned(),
            gateway: Ipv4Addr::new(172, 29, 241, 1),
        },
        discovery_range: Range {
            subnet: "172.29.242.0/24".to_owned(),
            gateway: Ipv4Addr::new(172, 29, 242, 1),
        },
        platform_networks: Vec::new(),
        secrets: Component::ALL
            .map(|component| (component, secret(component)))
            .into(),
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

fn take_all_in(options: &mut Options) {
    for component in Component::ALL {
        options.take_in(component);
    }
}

/// All that can be set, set to something else.
fn moved() -> (Options, Facts) {
    let mut options = options();
    options.ports = [
        (Component::Prometheus, 9091),
        (Component::NodeExporter, 9101),
        (Component::Cadvisor, 8081),
        (Component::Alertmanager, 9094),
        (Component::Pushgateway, 9092),
        (Component::Grafana, 3001),
    ]
    .into();
    take_all_in(&mut options);
    options.retention_time = "1y".parse().unwrap();
    options.networks = ["shop_default".parse().unwrap()].into();
    options.retention_size = Some("5GB".parse().unwrap());
    options.scrape_interval = "1m30s".parse().unwrap();
    options.server = "größe $HOME \"1\" \\ {{x}}".parse().unwrap();
    let facts = Facts {
        hostname: "db.example.org".to_owned(),
        memory_bytes: 64 << 30,
        cpus: 16,
        base_dir: "/srv/the stack".into(),
        platform_networks: vec!["dokploy-network".to_owned(), "shop_default".to_owned()],
        docker_root: "/mnt/docker".into(),
        docker_socket: "/run/docker.sock".into(),
        containerd_socket: Some("/run/docker/containerd/containerd.sock".into()),
        is_swarm_manager: true,
        node_id: "n1".to_owned(),
        root_is_shared: false,
        has_kmsg: false,
        has_dev_disk: false,
        ..facts()
    };
    (options, facts)
}

/// A manager whose exporters are on every node.
pub(crate) fn of_a_swarm() -> (Options, Facts) {
    let mut options = options();
    options.swarm = Some(Swarm::default());
    let facts = Facts {
        is_swarm_manager: true,
        node_id: "n1".to_owned(),
        ..facts()
    };
    (options, facts)
}

fn show(desired: &Desired) -> String {
    let mut text = format!("{}\n", serde_json::to_string_pretty(&desired.networks).unwrap());
    for folder in &desired.folders {
        let access = folder.access;
        let _ = writeln!(
            text,
            "\n=== {}/ {:o} {}:{} {:?}",
            folder.path.display(),
            access.mode,
            access.uid,
            access.gid,
            folder.kind
        );
    }
    for file in &desired.files {
        let access = file.access;
        let secret = if file.secret { " secret" } else { "" };
        let _ = writeln!(
            text,
            "\n=== {} {:o} {}:{} {:?} {:?}{secret}",
            file.path.display(),
            access.mode,
            access.uid,
            access.gid,
            file.kind,
            file.on_change
        );
        match file.path.extension() {
            // They are files of this folder as they are.
            Some(extension) if extension == "json" && file.path.starts_with("grafana") => {
                let _ = write!(text, "({} bytes)", file.content.len());
            }
            _ => text.push_str(std::str::from_utf8(&file.content).unwrap()),
        }
    }
    for container in &desired.containers {
        let json = serde_json::to_string_pretty(container).unwrap();
        let _ = write!(text, "\n\n=== {}\n{json}", container.name);
    }
    if let Some(swarm) = &desired.swarm {
        let json = serde_json::to_string_pretty(swarm).unwrap();
        let _ = write!(text, "\n\n=== swarm\n{json}");
    }
    text
}

#[test]
fn what_is_wanted_by_default() {
    insta::assert_snapshot!(show(&desired(&options(), &facts())));
}

#[test]
fn what_is_wanted_with_every_component() {
    let mut options = options();
    take_all_in(&mut options);
    insta::assert_snapshot!(show(&desired(&options, &facts())));
}

#[test]
fn what_is_wanted_with_everything_set() {
    let (options, facts) = moved();
    insta::assert_snapshot!(show(&desired(&options, &facts)));
}

#[test]
fn what_is_wanted_of_a_swarm() {
    let (options, facts) = of_a_swarm();
    insta::assert_snapshot!(show(&desired(&options, &facts)));
}

#[test]
fn without_exporters_a_swarm_is_left_alone() {
    let (mut options, facts) = of_a_swarm();
    options.without = [Component::NodeExporter, Component::Cadvisor].into();
    assert_eq!(desired(&options, &facts).swarm, None);
}

#[test]
fn what_is_wanted_of_prometheus_alone() {
    let mut options = options();
    options.without = [Component::NodeExporter, Component::Cadvisor].into();
    insta::assert_snapshot!(show(&desired(&options, &facts())));
}

#[test]
fn every_path_is_known() {
    let known = known_paths();
    for (mut options, facts) in [(options(), facts()), moved()] {
        take_all_in(&mut options);
        let wanted = desired(&options, &facts);
        let folders = wanted.folders.iter().map(|folder| &folder.path);
        let files = wanted.files.iter().map(|file| &file.path);
        let mut paths: Vec<_> = folders.chain(files).cloned().collect();
        paths.push(PENDING_FILE.into());
        paths.sort();
        let mut known = known.clone();
        known.sort();
        assert_eq!(paths, known);
        assert_eq!(
            wanted.files[0].path.as_os_str(),
            OPTIONS_FILE,
            "the mark comes first"
        );
    }
}

#[test]
fn no_password_is_where_the_engine_shows_it_and_nothing_is_published_beyond_loopback() {
    for (options, facts) in [(options(), facts()), moved(), of_a_swarm()] {
        let wanted = desired(&options, &facts);
        for service in wanted.swarm.iter().flat_map(|swarm| &swarm.services) {
            let json = serde_json::to_string(service).unwrap();
            assert!(
                !json.contains("PASSWORD-OF") && !json.contains("HASH-OF"),
                "{json}"
            );
            assert!(service.container.publish.is_empty() && service.container.read_only);
            assert!(service.container.mounts.iter().all(|mount| mount.read_only));
        }
        for secret in wanted.swarm.iter().flat_map(|swarm| &swarm.secrets) {
            assert!(!secret.content.is_empty() && !format!("{secret:?}").contains("HASH"));
        }
        for container in &wanted.containers {
            let json = serde_json::to_string(container).unwrap();
            assert!(
                !json.contains("PASSWORD-OF") && !json.contains("HASH-OF"),
                "{json}"
            );
            assert!(
                container
                    .publish
                    .iter()
                    .all(|publish| publish.host_ip.is_loopback())
            );
            let is_published = !container.publish.is_empty();
            assert_eq!(is_published, container.component.reach() == Reach::Loopback);
            assert!(
                container.read_only
                    && container.memory_bytes > 0
                    && container.milli_cpus > 0
                    && container.pids > 0
            );
            // The engine refuses a limit beyond what the host has.
            assert!(container.milli_cpus <= i64::from(facts.cpus) * 1000);
            let writable: Vec<_> = container.mounts.iter().filter(|mount| !mount.read_only).collect();
            let writable: Vec<_> = writable
                .iter()
                .filter_map(|mount| mount.target.to_str())
                .collect();
            let data: &[&str] = match container.component {
                Component::Prometheus => &["/prometheus"],
                Component::Alertmanager => &["/alertmanager"],
                Component::Pushgateway => &["/pushgateway"],
                Component::Grafana => &["/var/lib/grafana"],
                Component::NodeExporter | Component::Cadvisor | Component::Discovery => &[],
            };
            assert_eq!(writable, data);
            let sockets = container
                .mounts
                .iter()
                .any(|mount| mount.source.extension() == Some("sock".as_ref()));
            assert_eq!(
                sockets,
                matches!(container.component, Component::Cadvisor | Component::Discovery),
                "who has the engine has the host"
            );
        }
        for file in &wanted.files {
            let text = String::from_utf8_lossy(&file.content);
            let is_secret = text.contains("PASSWORD-OF") || text.contains("HASH-OF");
            assert_eq!(file.secret, is_secret, "{}", file.path.display());
            assert!(!is_secret || file.access.mode == 0o400);
            assert!(!format!("{file:?}").contains("PASSWORD"));
        }
    }
}

#[test]
fn limits_follow_the_host() {
    for (memory_mib, cpus, prometheus, cadvisor) in [
        (0, 1, (512, 1000), (256, 500)),
        (1024, 1, (512, 1000), (256, 500)),
        (1970, 2, (512, 1000), (256, 500)),
        (3900, 2, (1024, 1000), (512, 500)),
        (7900, 4, (2048, 2000), (1024, 500)),
        (64 << 10, 32, (4096, 16_000), (1024, 500)),
    ] {
        let facts = Facts {
            memory_bytes: memory_mib << 20,
            cpus,
            ..facts()
        };
        let wanted = desired(&options(), &facts);
        let limits = |component: Component| {
            let of = wanted
                .containers
                .iter()
                .find(|spec| spec.component == component)
                .unwrap();
            (of.memory_bytes >> 20, of.milli_cpus)
        };
        assert_eq!(limits(Component::Prometheus), prometheus, "{memory_mib} MiB");
        assert_eq!(limits(Component::Cadvisor), cadvisor, "{memory_mib} MiB");
        assert_eq!(limits(Component::NodeExporter), (128, 500));
    }
}

#[test]
fn kept_options_come_back_and_wrong_ones_are_refused() {
    for (options, facts) in [(options(), facts()), moved()] {
        let kept = &desired(&options, &facts).files[0];
        assert_eq!(kept_options(&kept.content).unwrap(), options);
    }
    // An older version knew less.
    let least = r#"{"retention-time": "15d", "scrape-interval": "15s", "server": "web-1"}"#;
    let parsed = kept_options(least.as_bytes()).unwrap();
    assert_eq!(parsed.components().count(), 3);
    for (change, words) in [
        (("15d", "15"), "no unit after 15"),
        (("web-1", ""), "it is empty"),
        (
            ("\"server\"", "\"without\": [\"prometheus\"], \"server\""),
            "leave out",
        ),
        (
            ("\"server\"", "\"ports\": {\"node-exporter\": 80}, \"server\""),
            "below 1024",
        ),
        (("}", ""), "EOF"),
    ] {
        let error = kept_options(least.replacen(change.0, change.1, 1).as_bytes()).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn containers_differ_when_their_specifications_do() {
    let of = |options: &Options, facts: &Facts| -> Vec<String> {
        let wanted = desired(options, facts);
        wanted
            .containers
            .iter()
            .map(crate::desired::ContainerSpec::fingerprint)
            .collect()
    };
    let (first, again) = (of(&options(), &facts()), of(&options(), &facts()));
    assert_eq!(first, again);
    assert!(first.iter().all(|fingerprint| fingerprint.len() == 64));
    let with_network = Facts {
        platform_networks: vec!["dokploy-network".to_owned()],
        ..facts()
    };
    let other = of(&options(), &with_network);
    assert_eq!((&other[0], &other[1]), (&first[0], &first[1]));
    assert_ne!(other[2], first[2]);
    let attachment = &desired(&options(), &with_network).containers[2].attachment;
    assert_eq!(
        *attachment,
        Attachment::Networks(vec!["dokploy-network".to_owned()])
    );
}
