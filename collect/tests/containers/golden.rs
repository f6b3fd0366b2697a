//! Names, types, help and labels as cAdvisor's own golden exposition has them.
//!
//! It is not part of this project: it lies beside it, and where it does not, these tests say that they were skipped.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use collect::{ContainerCollector, container_families};

use crate::tree::{ID, System, Tree, container};

/// Labels of a container, ours and those of upstream's made-up one.
fn is_of_the_container(label: &str) -> bool {
    ["app", "id", "image", "name", "project", "zone_name"].contains(&label)
        || label.starts_with("container_env_")
        || label.starts_with("container_label_")
}

fn shared(file: &str) -> Option<String> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        eprintln!("SKIPPED: ../shared/{file} is not there");
    }
    text
}

#[derive(Debug, Default, PartialEq)]
struct Golden {
    help: String,
    kind: String,
    labels: BTreeSet<String>,
}

fn parse(text: &str) -> BTreeMap<String, Golden> {
    let mut families: BTreeMap<String, Golden> = BTreeMap::new();
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next()) {
            (Some("#"), Some(what)) => {
                let family = families.entry(words.next().unwrap().to_owned()).or_default();
                let rest = words.next().unwrap_or_default().to_owned();
                if what == "HELP" {
                    family.help = rest;
                } else {
                    family.kind = rest;
                }
            }
            _ => {
                let name = line.split(['{', ' ']).next().unwrap();
                let labels = line.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
                for pair in labels
                    .map_or("", |(labels, _)| labels)
                    .split("\",")
                    .filter(|p| !p.is_empty())
                {
                    let label = pair.split('=').next().unwrap();
                    families.get_mut(name).unwrap().labels.insert(label.to_owned());
                }
            }
        }
    }
    families
}

/// The families of all systems: their labels, without the container's.
fn collected() -> BTreeMap<String, Golden> {
    let mut families: BTreeMap<String, Golden> = BTreeMap::new();
    for system in [System::V1, System::Hybrid, System::V2] {
        let tree = Tree::new(system);
        tree.container(&format!("/docker/{ID}"));
        tree.write("sys/class/dmi/id/product_uuid", "u-u-i-d\n");
        let mut options = tree.options();
        options.per_cpu = true;
        let mut collector = ContainerCollector::new(&options);
        collector.set_running(vec![container()]);
        for family in collector.collect(0).families {
            let entry = families.entry(family.name.to_string()).or_default();
            entry.help = family.help.to_string();
            entry.kind = family.kind.as_str().to_owned();
            let names = family.metrics.iter().flat_map(|metric| &metric.labels);
            entry.labels.extend(
                names
                    .map(|(name, _)| name.to_string())
                    .filter(|name| !is_of_the_container(name)),
            );
        }
    }
    families
}

#[test]
fn families_agree_with_the_golden_exposition() {
    let Some(text) = shared("conformance/cadvisor/golden.prom") else {
        return;
    };
    let golden = parse(&text);
    let mut compared = 0;
    for (name, ours) in collected() {
        let Some(theirs) = golden.get(&name) else {
            continue;
        };
        compared += 1;
        let labels: BTreeSet<_> = theirs
            .labels
            .iter()
            .filter(|label| !is_of_the_container(label))
            .cloned()
            .collect();
        assert_eq!((&ours.help, &ours.kind), (&theirs.help, &theirs.kind), "{name}");
        assert_eq!(ours.labels, labels, "{name}");
    }
    // Families of `machine_*` and of `spec_memory_*` are not in that file.
    assert!(compared >= 66, "only {compared} families compared");
}

#[test]
fn what_is_listed_is_what_is_collected() {
    let listed: BTreeSet<String> = container_families()
        .iter()
        .filter(|family| family.left_out.is_none())
        .map(|family| family.name.to_owned())
        .collect();
    let collected: BTreeSet<String> = collected().into_keys().collect();
    assert_eq!(listed, collected);
}

#[test]
fn every_family_of_upstream_is_listed_once() {
    let (Some(golden), Some(facts)) = (
        shared("conformance/cadvisor/golden.prom"),
        shared("facts/cadvisor_metrics.tsv"),
    ) else {
        return;
    };
    let listed: BTreeSet<&str> = container_families().iter().map(|family| family.name).collect();
    assert_eq!(listed.len(), container_families().len());
    let golden = parse(&golden);
    let theirs = golden
        .keys()
        .map(String::as_str)
        .chain(facts.lines().filter_map(|line| line.split('\t').next()));
    let missing: Vec<_> = theirs
        .filter(|name| !name.is_empty() && !listed.contains(name))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}
