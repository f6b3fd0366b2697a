//! `check`: what is wrong with a deployed stack, with the cures. A check is a function from what was seen to findings; what has to be
//! asked of the host is asked in `Stack::check`.

pub(crate) mod firewall;

use serde::Serialize;

use crate::engine::{Health, Inspected};
use crate::place::Space;
use crate::prometheus::{Target, TargetHealth};
use crate::settle::ending;
use crate::{Component, Options, State, nodes, spec};

/// Room that is left for data, below which Prometheus is about to stop.
const FREE_PROBLEM_BYTES: u64 = 256 << 20;
/// Room below which somebody should look.
const FREE_WARNING_BYTES: u64 = 1 << 30;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, but somebody should look.
    Warning,
    /// It does not work.
    Problem,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked.
    pub name: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do; empty when there is nothing to do.
    pub cure: String,
}

impl Finding {
    pub(crate) fn new(name: &str, level: Level, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            level,
            text: text.into(),
            cure: cure.into(),
        }
    }

    pub(crate) fn ok(name: &str, text: impl Into<String>) -> Self {
        Self::new(name, Level::Ok, text, "")
    }

    pub(crate) fn problem(name: &str, text: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(name, Level::Problem, text, cure)
    }
}

/// All that the checks found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// In the order of the checks.
    pub findings: Vec<Finding>,
}

impl CheckReport {
    /// The worst of them.
    #[must_use]
    pub fn level(&self) -> Level {
        self.findings
            .iter()
            .map(|finding| finding.level)
            .max()
            .unwrap_or(Level::Ok)
    }
}

/// A container: there, running, well, of the pinned version, published on loopback alone.
pub(crate) fn container(component: Component, seen: Option<&Inspected>) -> Vec<Finding> {
    let name = component.name();
    let Some(seen) = seen else {
        return vec![Finding::problem(
            name,
            "its container is not there",
            "masthead setup",
        )];
    };
    let mut findings = vec![state(name, seen)];
    if seen.image != component.image() {
        findings.push(Finding::new(
            name,
            Level::Warning,
            format!(
                "it runs {}, and this Masthead is made for {}",
                seen.image,
                component.image()
            ),
            "masthead setup",
        ));
    }
    for port in &seen.published {
        let is_loopback = port
            .host_ip
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
        if !is_loopback {
            findings.push(Finding::problem(
                name,
                format!(
                    "its port {} is published at {}:{}, where others reach it",
                    port.container_port,
                    match port.host_ip.as_str() {
                        "" => "every address",
                        address => address,
                    },
                    port.host_port
                ),
                "masthead setup",
            ));
        }
    }
    findings
}

fn state(name: &str, seen: &Inspected) -> Finding {
    let start = format!("masthead start {name}; masthead logs {name}");
    match seen.state {
        State::Running => match seen.health {
            Health::Healthy => Finding::ok(name, format!("{} runs and is healthy", seen.image)),
            Health::None => Finding::ok(name, format!("{} runs", seen.image)),
            Health::Starting => {
                let text = match seen.restarts {
                    0 => "it is starting".to_owned(),
                    times => format!("it is starting; the engine has restarted it {times} times"),
                };
                Finding::new(
                    name,
                    Level::Warning,
                    text,
                    format!("look again in a moment; masthead logs {name}"),
                )
            }
            Health::Unhealthy => Finding::problem(
                name,
                format!("it runs but is not well: {}", seen.health_output),
                format!("masthead logs {name}"),
            ),
        },
        State::Restarting => Finding::problem(
            name,
            format!("it {}, and the engine starts it again and again", ending(seen)),
            format!("masthead logs {name}"),
        ),
        State::Created => Finding::problem(name, "its container was never started", start),
        State::Exited | State::Dead => Finding::problem(name, format!("it {}", ending(seen)), start),
        State::Paused => Finding::problem(name, "it is paused", "masthead setup"),
    }
}

/// The targets: those of the components, and the user's own.
pub(crate) fn targets(
    targets: &[Target],
    options: &Options,
    block: Option<&firewall::Block>,
) -> Vec<Finding> {
    let absent = crate::settle::without_target(targets, options);
    targets
        .iter()
        .chain(&absent)
        .map(|target| judge(target, options, block))
        .collect()
}

fn judge(target: &Target, options: &Options, block: Option<&firewall::Block>) -> Finding {
    let component = options
        .components()
        .find(|component| component.name() == target.job);
    let name = format!("target {}", target.job);
    let who = match target.instance.as_str() {
        "" => target.job.clone(),
        instance => instance.to_owned(),
    };
    match (target.health, component) {
        (TargetHealth::Up, _) => Finding::ok(&name, format!("{who} is up")),
        (TargetHealth::Unknown, _) => Finding::new(
            &name,
            Level::Warning,
            format!("{who} was not scraped yet"),
            "look again after a scrape interval",
        ),
        (TargetHealth::Down, Some(component)) => {
            let (found, cure) = match options.is_service(component) {
                true => (String::new(), nodes::target_cure(component, target, options)),
                false => down(component, block),
            };
            Finding::problem(&name, format!("{who} is down: {}{found}", target.error), cure)
        }
        (TargetHealth::Down, None) if target.job == spec::APPS_JOB => Finding::new(
            &name,
            Level::Warning,
            format!("{who} asks to be scraped and is down: {}", target.error),
            "see that it serves its metrics there, and bring Prometheus into a network of its (docker inspect shows them): masthead setup \
             --network NAME",
        ),
        (TargetHealth::Down, None) => Finding::new(
            &name,
            Level::Warning,
            format!("{who}, one of conf.d, is down: {}", target.error),
            "see that it runs and can be reached from Prometheus' container",
        ),
    }
}

/// What is known about a component's target that is down, and the cure.
pub(crate) fn down(component: Component, block: Option<&firewall::Block>) -> (String, String) {
    match block.filter(|_| component == Component::NodeExporter) {
        Some(block) => (format!(" ({})", block.found), block.cure.clone()),
        None => (
            String::new(),
            format!("masthead logs {component}; masthead setup"),
        ),
    }
}

/// Room for the data.
pub(crate) fn disk(data: &std::path::Path, space: Space, data_bytes: u64, options: &Options) -> Finding {
    let name = "disk";
    let text = format!(
        "data takes {}, {} are free at {}",
        words(data_bytes),
        words(space.free),
        data.display()
    );
    let cure = "free some space, or keep less: masthead setup --retention-size 5GB";
    if space.free < FREE_PROBLEM_BYTES {
        return Finding::problem(name, text, cure);
    }
    let wanted = options.retention_size.as_ref().map_or(0, crate::Size::bytes);
    if wanted.saturating_sub(data_bytes) > space.free {
        let text = format!("{text}, and up to {} may be kept", words(wanted));
        return Finding::new(name, Level::Warning, text, cure);
    }
    if space.free < FREE_WARNING_BYTES || space.free < space.total / 20 {
        return Finding::new(name, Level::Warning, text, cure);
    }
    Finding::ok(name, text)
}

/// Is a password asked for? `status` is that of an answer to somebody without one.
pub(crate) fn password(status: u16) -> Finding {
    match status {
        401 => Finding::ok("password", "Prometheus asks for it"),
        status => Finding::problem(
            "password",
            format!("Prometheus answers {status} to somebody without a password"),
            "masthead setup",
        ),
    }
}

/// What promtool or amtool complains of, without what it is content with.
pub(crate) fn tool_complaint(output: &str) -> String {
    let lines: Vec<&str> = output
        .lines()
        .map(str::trim)
        // amtool says on the same line what is wrong.
        .map(|line| match line.strip_prefix("Checking ") {
            Some(rest) => rest.split_once("FAILED: ").map_or("", |(_, complaint)| complaint),
            None => line,
        })
        .filter(|line| !line.is_empty() && !line.starts_with("SUCCESS"))
        .collect();
    lines.join(" ")
}

/// Bytes as people say them.
pub(crate) fn words(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10 * 1024 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or("B");
    match (unit, tenths % 10) {
        (0, _) | (_, 0) => format!("{} {name}", tenths / 10),
        (_, tenth) => format!("{}.{tenth} {name}", tenths / 10),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
