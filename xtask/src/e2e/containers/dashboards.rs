//! Dashboards that people import for cAdvisor: every query of every panel returns data, or the table in `docs/metrics.md` says why not.
//!
//! The dashboards are read at `../shared/dashboards` and are no part of this project. The case also holds the table against
//! the document; with `MASTHEAD_UPDATE_DOCS=1` it writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Outcome, Rig, with_rig};
use crate::{docs, shell};

/// File and title.
const DASHBOARDS: &[(&str, &str)] = &[
    ("cadvisor-exporter-14282.json", "14282, Cadvisor exporter"),
    ("docker-and-system-893.json", "893, Docker and system monitoring"),
];

/// Queries that stay empty: the dashboard's file, the panel, what the query has in it, and why.
const EMPTY: &[(&str, &str, &str, &str)] = &[];

/// Queries of our own, of the kinds that dashboards ask: these are there without the folder too.
const OWN: &[&str] = &[
    "sum by (name) (rate(container_cpu_usage_seconds_total{name!=\"\"}[30s]))",
    "sum by (app) (container_memory_working_set_bytes{app!=\"\"})",
    "topk(3, sum by (app, project) (rate(container_cpu_usage_seconds_total{image!=\"\"}[30s])))",
    "sum(rate(container_network_receive_bytes_total{id=\"/\"}[30s]))",
    "sum by (name) (rate(container_network_transmit_bytes_total{name=~\".+\",interface=\"eth0\"}[30s]))",
    "container_memory_usage_bytes{name=~\".+\"} / on (id) (container_spec_memory_limit_bytes > 0)",
    "time() - container_start_time_seconds{name=~\".+\"}",
    "count(container_last_seen{image!=\"\"})",
    "sum(container_memory_rss{id=\"/\"}) / sum(machine_memory_bytes)",
    "sum by (app) (masthead_container_state{state=\"running\"})",
    "increase(masthead_container_events_total{event=\"deploy\"}[1m]) >= 0",
    "changes(container_start_time_seconds{name=~\".+\"}[30s])",
];

/// One panel: title, and its queries.
struct Panel {
    title: String,
    queries: Vec<String>,
}

/// The case.
pub(in super::super) fn fill() -> Result<Outcome> {
    with_rig(&[], |rig| {
        rig.docker.burn("receiver", &[], &["serve=7000", "share=0.05"])?;
        let to = format!(
            "drip={}:7000,100k",
            rig.docker.inspect("receiver", ".NetworkSettings.IPAddress")?
        );
        rig.docker
            .burn("sender", &["--memory=256m"], &["memory=50m", &to])?;
        rig.wait_for("count_over_time(container_memory_rss{name=\"sender\"}[1m]) > 5")?;
        let mut wrong = Vec::new();
        for promql in OWN {
            if rig.query(promql)?.is_empty() {
                wrong.push(format!("own query without data: {promql}"));
            }
        }
        let folder = shell::root().join("../shared/dashboards");
        if folder.is_dir() {
            let table = table(rig, &mut wrong)?;
            if wrong.is_empty() {
                docs::check_section("metrics.md", "panels", &table)?;
            }
        } else {
            println!(
                "     {} is not there: only our own queries were asked",
                folder.display()
            );
        }
        if wrong.is_empty() {
            return Ok(());
        }
        bail!("{}", wrong.join("\n       "))
    })
}

/// Asks everything, and gives the table of what came.
fn table(rig: &Rig, wrong: &mut Vec<String>) -> Result<String> {
    let variables = variables(rig)?;
    let mut text = String::from("| dashboard | panel | queries | |\n|---|---|---|---|\n");
    for (file, title) in DASHBOARDS {
        let path = shell::root().join("../shared/dashboards").join(file);
        let json = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let dashboard: Value = serde_json::from_str(&json)?;
        let mut panels = Vec::new();
        collect_panels(&dashboard["panels"], &mut panels);
        for panel in panels {
            let mut reasons = Vec::new();
            for query in &panel.queries {
                let promql = fill_in(query, &variables);
                let points = rig.query(&promql).with_context(|| panel.title.clone())?;
                let known = EMPTY
                    .iter()
                    .find(|(of, at, part, _)| of == file && *at == panel.title && query.contains(part));
                match (points.is_empty(), known) {
                    (true, Some((_, _, _, why))) => reasons.push((*why).to_string()),
                    (true, None) => wrong.push(format!("{title}: {}: no data: {promql}", panel.title)),
                    (false, Some(_)) => wrong.push(format!(
                        "{title}: {}: has data, though it is listed as empty: {promql}",
                        panel.title
                    )),
                    (false, None) => {}
                }
            }
            let state = if reasons.is_empty() {
                "filled".to_string()
            } else {
                format!("{} empty: {}", reasons.len(), reasons.join("; "))
            };
            writeln!(
                text,
                "| {title} | {} | {} | {state} |",
                panel.title,
                panel.queries.len()
            )?;
        }
    }
    Ok(text)
}

/// The panels with queries, also those within rows.
fn collect_panels(list: &Value, panels: &mut Vec<Panel>) {
    for panel in list.as_array().into_iter().flatten() {
        let queries: Vec<String> = panel["targets"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|target| target["expr"].as_str())
            .filter(|expr| !expr.trim().is_empty())
            .map(str::to_string)
            .collect();
        if !queries.is_empty() {
            let title = panel["title"].as_str().unwrap_or_default().to_string();
            panels.push(Panel { title, queries });
        }
        collect_panels(&panel["panels"], panels);
    }
}

/// What Grafana would put in: the dashboards' variables, asked as they ask.
fn variables(rig: &Rig) -> Result<BTreeMap<&'static str, String>> {
    let labels = |promql: &str, label: &str| -> Result<Vec<String>> {
        let mut values: Vec<String> = rig
            .query(promql)?
            .iter()
            .map(|point| point.label(label).to_string())
            .filter(|value| !value.is_empty())
            .collect();
        values.sort();
        values.dedup();
        Ok(values)
    };
    let hosts = labels("count by (instance) ({__name__=~\"container.*\"})", "instance")?;
    let containers = labels("count by (name) ({__name__=~\"container.*\"})", "name")?;
    let servers = labels("node_boot_time_seconds", "instance")?;
    let server = servers
        .first()
        .and_then(|instance| instance.split(':').next())
        .context("no instance of the host")?;
    Ok(BTreeMap::from([
        ("host", hosts.join("|")),
        ("container", containers.join("|")),
        ("interval", "30s".to_string()),
        ("server", server.to_string()),
    ]))
}

/// A query with its variables filled in, in both of Grafana's spellings.
fn fill_in(query: &str, variables: &BTreeMap<&str, String>) -> String {
    let mut text = query.to_string();
    for (name, value) in variables {
        text = text
            .replace(&format!("${{{name}}}"), value)
            .replace(&format!("[[{name}]]"), value);
    }
    // The longest first, so that `$host` does not spoil `$hostname`.
    let mut names: Vec<_> = variables.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, value) in names {
        text = text.replace(&format!("${name}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_in_both_spellings() {
        let variables = BTreeMap::from([("host", "a|b".to_string()), ("hostname", "c".to_string())]);
        assert_eq!(
            fill_in("x{i=~\"$host\",h=\"$hostname\",y=\"${host}\"}", &variables),
            "x{i=~\"a|b\",h=\"c\",y=\"a|b\"}"
        );
    }

    #[test]
    fn panels_within_rows_are_found() {
        let json = serde_json::json!([{"title": "row", "panels": [{"title": "in", "targets": [{"expr": "up"}, {"expr": ""}]}]}]);
        let mut panels = Vec::new();
        collect_panels(&json, &mut panels);
        assert_eq!(panels.len(), 1);
        assert!(
            panels
                .iter()
                .all(|panel| panel.title == "in" && panel.queries == ["up"])
        );
    }
}
