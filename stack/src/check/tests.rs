//! Tests of the checks: what was seen, and what is found in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::*;
use crate::engine::PublishedPort;

fn seen() -> Inspected {
    Inspected {
        id: String::new(),
        image: Component::Prometheus.image().to_owned(),
        labels: BTreeMap::new(),
        state: State::Running,
        exit_code: 0,
        error: String::new(),
        oom_killed: false,
        restarts: 0,
        started_at: String::new(),
        health: Health::Healthy,
        health_command: Vec::new(),
        health_output: String::new(),
        networks: BTreeSet::new(),
        published: vec![PublishedPort {
            host_ip: "127.0.0.1".to_owned(),
            host_port: "9090".to_owned(),
            container_port: "9090/tcp".to_owned(),
        }],
    }
}

fn worst(findings: Vec<Finding>) -> Level {
    CheckReport { findings }.level()
}

#[test]
fn a_container_that_is_as_it_should_be_is_one_ok() {
    let findings = container(Component::Prometheus, Some(&seen()));
    assert_eq!(findings.len(), 1);
    assert_eq!(worst(findings), Level::Ok);
    assert_eq!(worst(container(Component::Prometheus, None)), Level::Problem);
}

#[test]
fn what_is_wrong_with_a_container_is_found() {
    type Turn = fn(&mut Inspected);
    let cases: [(Turn, Level, &str); 7] = [
        (|c| c.state = State::Exited, Level::Problem, "ended with code 0"),
        (|c| c.state = State::Restarting, Level::Problem, "again and again"),
        (|c| c.state = State::Paused, Level::Problem, "paused"),
        (|c| c.health = Health::Unhealthy, Level::Problem, "not well"),
        (|c| c.health = Health::Starting, Level::Warning, "starting"),
        (
            |c| c.image = "prom/prometheus:v2".to_owned(),
            Level::Warning,
            "prom/prometheus:v2",
        ),
        (
            |c| c.published[0].host_ip = "0.0.0.0".to_owned(),
            Level::Problem,
            "published at 0.0.0.0:9090",
        ),
    ];
    for (turn, level, want) in cases {
        let mut seen = seen();
        turn(&mut seen);
        let findings = container(Component::Prometheus, Some(&seen));
        assert!(
            findings.iter().any(|f| f.text.contains(want)),
            "{want}: {findings:?}"
        );
        assert_eq!(worst(findings), level, "{want}");
    }
}

#[test]
fn a_target_that_is_down_names_the_firewall_where_it_is_at_fault() {
    let mut options = Options::new("a".parse().expect("a name"));
    options.without.insert(Component::Cadvisor);
    let target = |job: &str, health| Target {
        job: job.to_owned(),
        instance: format!("h-{job}"),
        url: String::new(),
        health,
        error: "context deadline exceeded".to_owned(),
        last_scrape: String::new(),
    };
    let seen = [
        target("mine", TargetHealth::Down),
        target("node-exporter", TargetHealth::Down),
        target("prometheus", TargetHealth::Up),
    ];
    let block = firewall::Block {
        found: "ufw drops it".to_owned(),
        cure: "ufw allow".to_owned(),
    };
    let findings = targets(&seen, &options, Some(&block));
    let said: Vec<_> = findings.iter().map(|f| (f.level, f.cure.as_str())).collect();
    assert_eq!(said[1], (Level::Problem, "ufw allow"));
    assert_eq!(said[0].0, Level::Warning);
    assert_eq!(said[2], (Level::Ok, ""));
    // One that Prometheus does not know of is down as well.
    let findings = targets(&seen[2..], &options, None);
    assert_eq!(findings.len(), 2);
    assert_eq!(findings[1].level, Level::Problem);
}

#[test]
fn room_is_judged_by_what_is_free_and_what_may_come() {
    let space = |free, total| Space { free, total };
    let mut options = Options::new("a".parse().expect("a name"));
    let level = |space, data, options: &Options| disk(Path::new("/d"), space, data, options).level;
    assert_eq!(level(space(50 << 30, 100 << 30), 1 << 30, &options), Level::Ok);
    assert_eq!(
        level(space(4 << 30, 100 << 30), 1 << 30, &options),
        Level::Warning
    );
    assert_eq!(
        level(space(900 << 20, 2 << 30), 1 << 30, &options),
        Level::Warning
    );
    assert_eq!(
        level(space(100 << 20, 100 << 30), 1 << 30, &options),
        Level::Problem
    );
    options.retention_size = Some("80GB".parse().expect("a size"));
    assert_eq!(
        level(space(50 << 30, 100 << 30), 1 << 30, &options),
        Level::Warning
    );
    assert_eq!(level(space(50 << 30, 100 << 30), 40 << 30, &options), Level::Ok);
}

#[test]
fn a_door_that_is_open_is_a_problem() {
    assert_eq!(password(401).level, Level::Ok);
    assert_eq!(password(200).level, Level::Problem);
}

#[test]
fn what_promtool_complains_of_is_all_that_is_said() {
    let output = "Checking /etc/prometheus/prometheus.yml\n SUCCESS: 1 rule files found\n  FAILED: parsing YAML file conf.d/a.yml:\n \
                  line 1: field foo not found\n\n";
    assert_eq!(
        tool_complaint(output),
        "FAILED: parsing YAML file conf.d/a.yml: line 1: field foo not found"
    );
    let output = "Checking '/etc/alertmanager/alertmanager.yml'  FAILED: undefined receiver \"x\" used in route\n\n\
                  amtool: error: failed to validate 1 file(s)\n";
    assert_eq!(
        tool_complaint(output),
        "undefined receiver \"x\" used in route amtool: error: failed to validate 1 file(s)"
    );
}

#[test]
fn bytes_in_words() {
    for (bytes, want) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KB"),
        (1536, "1.5 KB"),
        (5 << 30, "5 GB"),
        (u64::MAX, "16777215.9 TB"),
    ] {
        assert_eq!(words(bytes), want);
    }
}
