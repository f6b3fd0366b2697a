//! What Grafana is given, held against what its documentation says of it: the keys of provisioning files (Provision Grafana, data sources
//! and dashboards) and the model of dashboards. Grafana itself is in no test.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::desired;
use super::files::DASHBOARDS;
use super::tests::{facts, options};
use crate::Component;
use crate::desired::Desired;

/// The keys that the documentation has for a file of data sources.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "a key that is there must be one of these, whatever its value"
)]
struct DatasourcesFile {
    api_version: u32,
    #[serde(default)]
    prune: bool,
    #[serde(default)]
    delete_datasources: Vec<BTreeMap<String, String>>,
    datasources: Vec<Datasource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "a key that is there must be one of these, whatever its value"
)]
struct Datasource {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    access: String,
    org_id: Option<u32>,
    uid: String,
    url: String,
    user: Option<String>,
    database: Option<String>,
    basic_auth: bool,
    basic_auth_user: String,
    with_credentials: Option<bool>,
    is_default: bool,
    json_data: JsonData,
    secure_json_data: BTreeMap<String, String>,
    version: Option<u32>,
    editable: bool,
}

/// Of a data source of type prometheus.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonData {
    http_method: String,
    prometheus_type: String,
    time_interval: String,
}

/// The keys of a file of dashboard providers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "a key that is there must be one of these, whatever its value"
)]
struct ProvidersFile {
    api_version: u32,
    providers: Vec<Provider>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "a key that is there must be one of these, whatever its value"
)]
struct Provider {
    name: String,
    org_id: Option<u32>,
    folder: String,
    folder_uid: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    disable_deletion: bool,
    update_interval_seconds: Option<u32>,
    allow_ui_updates: bool,
    options: ProviderOptions,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProviderOptions {
    path: String,
}

fn wanted(interval: &str) -> Desired {
    let mut options = options();
    options.scrape_interval = interval.parse().unwrap();
    options.take_in(Component::Grafana);
    desired(&options, &facts())
}

fn text(wanted: &Desired, path: &str) -> String {
    let file = wanted.files.iter().find(|file| file.path.as_os_str() == path);
    String::from_utf8(file.unwrap().content.clone()).unwrap()
}

/// The folder or file of the host that lies there in Grafana's container.
fn mounted(wanted: &Desired, target: &str) -> String {
    let spec = wanted
        .containers
        .iter()
        .find(|spec| spec.component == Component::Grafana)
        .unwrap();
    let mount = spec
        .mounts
        .iter()
        .find(|mount| mount.target.as_os_str() == target)
        .unwrap();
    assert!(mount.read_only);
    let path = mount.source.strip_prefix(facts().base_dir).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_data_source_is_the_stacks_prometheus_with_its_password() {
    for (interval, want) in [("15s", "15s"), ("1m30s", "90s"), ("1500ms", "1500ms")] {
        let wanted = wanted(interval);
        let folder = mounted(&wanted, "/etc/grafana/provisioning/datasources");
        let text = text(&wanted, &format!("{folder}/masthead.yml"));
        let file: DatasourcesFile = serde_saphyr::from_str(&text).unwrap();
        let [source] = file.datasources.as_slice() else {
            panic!("{file:?}")
        };
        assert_eq!(
            (file.api_version, source.kind.as_str(), source.access.as_str()),
            (1, "prometheus", "proxy")
        );
        assert_eq!(source.url, "http://masthead-prometheus:9090");
        assert!(source.basic_auth && source.is_default && !source.editable);
        assert_eq!(source.basic_auth_user, "masthead");
        assert_eq!(source.json_data.http_method, "POST");
        assert_eq!(source.json_data.prometheus_type, "Prometheus");
        assert_eq!(source.json_data.time_interval, want);
        // The password is in a file that is Grafana's alone, and not in this one.
        let password = source.secure_json_data["basicAuthPassword"].as_str();
        let path = password
            .strip_prefix("$__file{")
            .and_then(|path| path.strip_suffix('}'));
        let path = mounted(&wanted, path.unwrap());
        let file = wanted
            .files
            .iter()
            .find(|file| file.path.as_os_str() == path.as_str())
            .unwrap();
        assert_eq!(file.content, b"PASSWORD-OF-prometheus");
        assert_eq!((file.access.mode, file.access.uid), (0o400, 472));
    }
}

#[test]
fn the_dashboards_are_where_the_provider_looks() {
    let wanted = wanted("15s");
    let folder = mounted(&wanted, "/etc/grafana/provisioning/dashboards");
    let file: ProvidersFile =
        serde_saphyr::from_str(&text(&wanted, &format!("{folder}/masthead.yml"))).unwrap();
    let [provider] = file.providers.as_slice() else {
        panic!("{file:?}")
    };
    assert_eq!((file.api_version, provider.kind.as_str()), (1, "file"));
    assert_eq!(mounted(&wanted, &provider.options.path), folder);
    for (path, content) in DASHBOARDS {
        assert!(path.starts_with(&format!("{folder}/")) && path.ends_with(".json"));
        assert_eq!(text(&wanted, path), content);
    }
}

#[test]
fn grafana_is_told_nothing_that_its_configuration_does_not_know() {
    // Sections of defaults.ini that the settings are of: the longest that fits is meant.
    let sections = [
        "SECURITY",
        "SERVER",
        "USERS",
        "ANALYTICS",
        "NEWS",
        "PLUGINS",
        "SNAPSHOTS",
        "METRICS",
    ];
    let wanted = wanted("15s");
    let spec = wanted.containers.last().unwrap();
    assert_eq!(spec.component, Component::Grafana, "it is started last");
    for setting in &spec.env {
        let (name, value) = setting.strip_prefix("GF_").unwrap().split_once('=').unwrap();
        let known = sections.iter().any(|section| {
            name.strip_prefix(section)
                .is_some_and(|rest| rest.starts_with('_'))
        });
        assert!(known && !value.is_empty(), "{setting}");
        if let Some(target) = setting.split_once("__FILE=").map(|(_, target)| target) {
            assert_eq!(mounted(&wanted, target), "secrets/grafana.password");
        }
    }
    for off in [
        "REPORTING_ENABLED",
        "CHECK_FOR_UPDATES",
        "CHECK_FOR_PLUGIN_UPDATES",
    ] {
        assert!(spec.env.contains(&format!("GF_ANALYTICS_{off}=false")), "{off}");
    }
}

/// Names of variables in a text, as `$name`; those of Grafana's own begin with `__`.
fn variables(text: &str) -> BTreeSet<&str> {
    text.split('$')
        .skip(1)
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
        })
        .filter(|name| !name.starts_with("__"))
        .collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Panels lie beside and below each other, and never over one another.
fn check_places(title: &str, panels: &[Value]) {
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |name: &str| panel["gridPos"][name].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}: {panel}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(
                    taken.insert((x, y)),
                    "{title}: {} lies on another",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn dashboards_are_whole() {
    let mut uids = BTreeSet::new();
    for (path, content) in DASHBOARDS {
        let board: Value = serde_json::from_str(content).unwrap();
        let title = board["title"].as_str().unwrap();
        assert!(uids.insert(board["uid"].as_str().unwrap().to_owned()), "{path}");
        assert!(board["uid"].as_str().unwrap().len() <= 40 && board["id"].is_null());
        assert!(board["schemaVersion"].as_u64() >= Some(39));
        let defined: BTreeSet<&str> = list(&board["templating"]["list"])
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        let panels = list(&board["panels"]);
        check_places(title, panels);
        let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{title}: two panels of one id");
        assert!(panels.len() > 12, "{title}");
        for panel in panels.iter().filter(|panel| panel["type"] != "row") {
            let name = panel["title"].as_str().unwrap();
            assert!(
                matches!(panel["type"].as_str(), Some("stat" | "timeseries")),
                "{title}: {name}"
            );
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string() && panel["options"].is_object());
            let targets = list(&panel["targets"]);
            let refs: BTreeSet<&str> = targets
                .iter()
                .filter_map(|target| target["refId"].as_str())
                .collect();
            assert!(
                !targets.is_empty() && refs.len() == targets.len(),
                "{title}: {name}"
            );
            for target in targets {
                let expr = target["expr"].as_str().unwrap();
                assert_eq!(target["datasource"]["uid"], "masthead", "{title}: {name}");
                assert!(variables(expr).is_subset(&defined), "{title}: {name}: {expr}");
            }
        }
    }
    assert_eq!(uids.len(), 3);
}
