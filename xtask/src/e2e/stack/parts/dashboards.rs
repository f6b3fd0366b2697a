//! Our own dashboards, asked as Grafana asks: each variable has values, each query of each panel has data.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Rig, wait};
use crate::shell;

/// What Grafana puts in by itself, for a scrape each second.
const BUILT_IN: [(&str, &str); 2] = [("__rate_interval", "30s"), ("__range", "5m")];

/// Every dashboard that setup has put where Grafana looks.
pub(super) fn filled(rig: &Rig) -> Result<()> {
    // The engine's namespace has no network card: one end of a cable does for it.
    shell::obtain(&["ip"], "iproute2")?;
    let script = "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up";
    shell::output(rig.docker.inside("sh").args(["-c", script]))?;
    let folder = rig.base().join("grafana/dashboards");
    let mut asked = 0;
    let mut boards = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let board: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
        asked += check(rig, &board).with_context(|| path.display().to_string())?;
        boards += 1;
    }
    println!("     {asked} queries of {boards} dashboards");
    match (boards, asked > 50) {
        (3, true) => Ok(()),
        _ => bail!("three dashboards with more than fifty queries are wanted"),
    }
}

/// Asks all, and gives how many there were.
fn check(rig: &Rig, board: &Value) -> Result<usize> {
    let mut values: BTreeMap<String, String> = BUILT_IN
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    for variable in list(&board["templating"]["list"]) {
        let name = variable["name"].as_str().context("a variable without a name")?;
        let query = variable["query"]["query"].as_str().unwrap_or_default();
        let found = label_values(rig, &fill_in(query, &values)).with_context(|| name.to_owned())?;
        let first = found.first().with_context(|| format!("${name} has no values"))?;
        let value = variable["allValue"].as_str().unwrap_or(first);
        values.insert(name.to_owned(), value.to_owned());
    }
    let mut left: Vec<(&str, String)> = Vec::new();
    for panel in list(&board["panels"]) {
        let title = panel["title"].as_str().unwrap_or_default();
        for target in list(&panel["targets"]) {
            left.push((
                title,
                fill_in(target["expr"].as_str().unwrap_or_default(), &values),
            ));
        }
    }
    let asked = left.len();
    let filled = wait("every query has data", || {
        let mut empty = Vec::new();
        for (title, promql) in std::mem::take(&mut left) {
            let series = rig.query(&promql).with_context(|| title.to_owned())?;
            if !series.iter().any(|(_, value)| value.is_finite()) {
                empty.push((title, promql));
            }
        }
        left = empty;
        Ok(left.is_empty())
    });
    filled.with_context(|| format!("without data: {left:#?}"))?;
    Ok(asked)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The values of `label_values(SELECTOR, LABEL)`.
fn label_values(rig: &Rig, query: &str) -> Result<Vec<String>> {
    let inside = query
        .strip_prefix("label_values(")
        .and_then(|rest| rest.strip_suffix(')'));
    let (selector, label) = inside
        .and_then(|inside| inside.rsplit_once(", "))
        .with_context(|| format!("no label_values(SELECTOR, LABEL): {query}"))?;
    let series = rig.query(&format!("group by ({label}) ({selector})"))?;
    let values = series
        .iter()
        .filter_map(|(labels, _)| labels[label].as_str().map(str::to_owned));
    Ok(values.filter(|value| !value.is_empty()).collect())
}

/// The longest names first, so that `$app` does not spoil `$apples`.
fn fill_in(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut names: Vec<_> = values.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.into_iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${name}"), value)
    })
}
