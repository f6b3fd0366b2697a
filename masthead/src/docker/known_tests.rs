//! Answers of engines, right and wrong, and what is kept of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(answer: Value) -> Option<Known> {
    known(serde_json::from_value(answer).unwrap_or_default())
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

/// As Docker 20.10 answers, cut to what matters and a little more.
fn docker_answer() -> Value {
    json!({
        "Id": "a".repeat(64), "Name": "/shop-web-1", "Created": "2026-11-22T10:00:00.123456789Z", "RestartCount": 3,
        "Image": "sha256:123", "Platform": "linux",
        "State": { "Status": "running", "Running": true, "OOMKilled": false, "Pid": 4242, "ExitCode": 0,
            "StartedAt": "2026-11-22T10:00:01Z", "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": { "Status": "healthy", "FailingStreak": 0, "Log": [] } },
        "Config": { "Image": "nginx:1.27", "Labels": {
            "com.docker.compose.project": "shop", "com.docker.compose.service": "web", "com.docker.compose.config-hash": "x" } },
        "HostConfig": { "NetworkMode": "shop_default", "Memory": 0 },
    })
}

#[test]
fn an_answer_of_docker() {
    let known = read(docker_answer()).unwrap();
    assert_eq!(
        (known.name.as_str(), known.app.as_str(), known.project.as_str()),
        ("shop-web-1", "shop-web", "shop")
    );
    assert_eq!(
        (known.state.as_str(), known.health.as_str(), known.pid),
        ("running", "healthy", 4242)
    );
    assert_eq!((known.restarts, known.exit_code, known.finished_ms), (3, None, 0));
    assert_eq!(
        (known.created_ms, known.started_ms),
        (1_795_341_600_123, 1_795_341_601_000)
    );
    assert!(known.own_network);
}

#[test]
fn an_answer_of_podman() {
    let known = read(json!({
        "Id": "b".repeat(64), "Name": "db", "Created": "2026-11-22T11:00:00.5+01:00",
        "State": { "Status": "stopped", "Pid": 0, "ExitCode": 137, "OOMKilled": true, "FinishedAt": "2026-11-22T11:00:02+01:00",
            "StartedAt": "2026-11-22T11:00:01+01:00", "Health": null, "Healthcheck": { "Status": "unhealthy" } },
        "Config": { "Image": "docker.io/library/postgres:17", "Labels": null, "Entrypoint": "sh -c x" },
        "HostConfig": { "NetworkMode": "container:0123", "Binds": 7 }, "Mounts": "none",
    }))
    .unwrap();
    assert_eq!(
        (known.state.as_str(), known.health.as_str()),
        ("exited", "unhealthy")
    );
    assert_eq!(
        (known.exit_code, known.created_ms),
        (Some(137), 1_795_341_600_500)
    );
    assert!(!known.own_network);
    assert_eq!(
        (known.app.as_str(), known.project.as_str(), known.labels.len()),
        ("db", "", 0)
    );
}

#[test]
fn states_are_dockers_words() {
    for (status, pid, want) in [
        ("paused", 5, "paused"),
        ("restarting", 0, "restarting"),
        ("configured", 0, "created"),
        ("initialized", 7, "created"),
        ("stopping", 7, "running"),
        ("levitating", 7, "running"),
        ("levitating", 0, "exited"),
    ] {
        let answer = json!({ "Id": "c1", "State": { "Status": status, "Pid": pid } });
        assert_eq!(read(answer).unwrap().state, want, "{status}");
    }
}

#[test]
fn an_app_keeps_its_name_over_redeploys() {
    let compose = [
        ("com.docker.compose.project", "shop"),
        ("com.docker.compose.service", "web"),
    ];
    let swarm = [
        ("com.docker.swarm.service.name", "shop_web"),
        ("com.docker.stack.namespace", "shop"),
    ];
    for (name, pairs, want) in [
        ("lonely", &[][..], ("lonely", "")),
        ("shop-web-1", &compose[..], ("shop-web", "shop")),
        ("shop_web.1.r65u", &swarm[..], ("shop_web", "shop")),
        ("api.1.x", &swarm[..1], ("shop_web", "")),
        ("x", &compose[..1], ("x", "shop")),
        ("x", &compose[1..], ("web", "")),
        ("x", &[("com.docker.swarm.service.name", "")][..], ("x", "")),
    ] {
        let (app, project) = app_and_project(name, &labels(pairs));
        assert_eq!((app.as_str(), project.as_str()), want, "{name}");
    }
}

#[test]
fn labels_are_named_as_cadvisor_names_them() {
    for (name, want) in [
        (
            "com.docker.compose.project",
            "container_label_com_docker_compose_project",
        ),
        ("a-b/c d", "container_label_a_b_c_d"),
        ("Ärger", "container_label__rger"),
        ("", "container_label_"),
    ] {
        assert_eq!(label_name(name), want);
    }
}

#[test]
fn the_allow_list_takes_names_and_beginnings() {
    let list = AllowList::new(vec!["traefik.*".to_owned(), "team".to_owned()]);
    for (name, want) in [
        ("traefik.enable", true),
        ("traefik", false),
        ("team", true),
        ("teams", false),
    ] {
        assert_eq!(list.allows(name), want, "{name}");
    }
    let standard = AllowList::default();
    assert!(standard.allows("com.docker.compose.service"));
    assert!(!standard.allows("com.docker.compose.config-hash"));
    assert!(!AllowList::new(Vec::new()).allows("team"));
    assert!(AllowList::new(vec!["*".to_owned()]).allows("anything"));
}

#[test]
fn series_get_sorted_bounded_labels_without_empty_ones() {
    let mut known = read(docker_answer()).unwrap();
    known.project = String::new();
    known.labels = vec![
        ("a.b".to_owned(), "first".to_owned()),
        ("a_b".to_owned(), "second".to_owned()),
        ("empty".to_owned(), String::new()),
        ("long".to_owned(), "ü".repeat(1000)),
    ];
    let container = container(&known, &AllowList::new(vec!["*".to_owned()]));
    let names: Vec<&str> = container.labels.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(
        names,
        [
            "app",
            "container_label_a_b",
            "container_label_long",
            "image",
            "name"
        ]
    );
    assert_eq!(container.labels[1].1, "first");
    assert_eq!(container.labels[2].1.len(), 1024);
    assert_eq!(container.healthy, Some(true));
}

/// Any JSON at all, with the keys that are read among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "Id",
            "Name",
            "State",
            "Status",
            "Pid",
            "Config",
            "Labels",
            "HostConfig",
            "Health",
            "Created",
            "RestartCount",
            "ExitCode",
            "FinishedAt",
            "Image",
            "NetworkMode",
            "Actor",
            "Attributes",
            "Action",
            "Type",
            "timeNano",
            "ID",
            "name",
            "image",
            "signal",
        ])
        .prop_map(str::to_owned),
        ".{0,8}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "start",
            "die",
            "oom",
            "kill",
            "container",
            "abc123",
            "running",
            "health_status: healthy",
            "2026-01-01T00:00:00Z"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 80, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key.clone(), inner, 0..10)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_answer_is_taken_without_a_panic(mut answer in any_json(), event in any_json()) {
        if let Value::Object(map) = &mut answer {
            map.insert("Id".to_owned(), "abc".into());
        }
        if let Some(known) = read(answer) {
            let container = container(&known, &AllowList::new(vec!["*".to_owned()]));
            for pair in container.labels.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0);
            }
            for (name, value) in &container.labels {
                let word = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                prop_assert!(word && !value.is_empty() && value.len() <= 1024);
            }
        }
        let line: super::super::answer::EventLine = serde_json::from_value(event).unwrap_or_default();
        if let Some(event) = super::super::event::Event::read(line) {
            let mut memory = super::super::event::Memory::default();
            let _ = super::super::event::mark_for(&mut memory, &event);
        }
    }

    #[test]
    fn a_text_is_cut_between_characters(text in ".{0,40}", most in 0usize..50) {
        let cut = bounded(&text, most);
        prop_assert!(cut.len() <= most && text.starts_with(&cut));
        prop_assert!(cut.len() + 4 > most.min(text.len()));
    }
}

#[test]
fn the_upstream_stack_shows_the_same_labels() {
    assert_eq!(super::DEFAULT_LABELS, stack::spec::CONTAINER_LABELS);
}
