//! Waits until what was deployed is well: containers run and are healthy, targets are up.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::engine::{Engine, Health, Inspected};
use crate::prometheus::{Prometheus, Target, TargetHealth};
use crate::{Component, Event, OnEvent, Options, StackError, State};

/// Containers that are not well by then will not be: the longest start-up time and some questions after it.
const CONTAINERS_LIMIT: Duration = Duration::from_secs(180);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// Lines of a log that an error shows.
const LOG_LINES: usize = 10;
/// Nobody waits longer than this for a first scrape; a longer interval is only said.
const SCRAPE_LIMIT_MS: u64 = 180_000;

/// How a container is, judged by one look.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Well,
    /// Not known yet.
    Wait,
    /// What is wrong with it.
    Bad(String),
}

/// Waits until these containers run and are healthy.
pub(crate) async fn containers(
    engine: &Engine,
    components: &[Component],
    events: OnEvent<'_>,
) -> Result<(), StackError> {
    let mut first_seen: BTreeMap<Component, i64> = BTreeMap::new();
    let mut said = None;
    let settled = async {
        loop {
            let mut waiting = None;
            for component in components {
                let Some(container) = engine.container(component.container()).await? else {
                    return Err(bad(engine, *component, "is not there; run `masthead setup`").await);
                };
                let restarts = *first_seen.entry(*component).or_insert(container.restarts);
                match judge(&container, restarts) {
                    Verdict::Well => {}
                    Verdict::Wait => waiting = Some(*component),
                    Verdict::Bad(what) => return Err(bad(engine, *component, &what).await),
                }
            }
            let Some(component) = waiting else { return Ok(()) };
            if said != Some(component) {
                said = Some(component);
                events(Event::Waiting {
                    what: format!("{component} to be healthy"),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let outcome = tokio::time::timeout(CONTAINERS_LIMIT, settled).await;
    match outcome {
        Ok(settled) => settled,
        Err(_) => {
            let late = said.unwrap_or(Component::Prometheus);
            let what = format!("is not healthy after {} s", CONTAINERS_LIMIT.as_secs());
            Err(bad(engine, late, &what).await)
        }
    }
}

/// `restarts` is how often the engine had restarted it when it was first looked at.
fn judge(container: &Inspected, restarts: i64) -> Verdict {
    let failed_again = container.restarts > restarts;
    match container.state {
        State::Running if failed_again => Verdict::Bad(ending(container)),
        State::Running => match container.health {
            Health::None | Health::Healthy => Verdict::Well,
            Health::Starting => Verdict::Wait,
            Health::Unhealthy => Verdict::Bad(format!(
                "runs but is not well: {}",
                match container.health_output.as_str() {
                    "" => "its health command says nothing",
                    output => output,
                }
            )),
        },
        State::Created if container.error.is_empty() => Verdict::Wait,
        State::Created => Verdict::Bad(format!("could not be started: {}", container.error)),
        State::Restarting | State::Exited | State::Dead => Verdict::Bad(ending(container)),
        State::Paused => Verdict::Bad("is paused; `masthead setup` takes it out of its pause".to_owned()),
    }
}

/// How it ended.
pub(crate) fn ending(container: &Inspected) -> String {
    let how = match (container.oom_killed, container.exit_code) {
        (true, _) => "was ended by the kernel for want of memory".to_owned(),
        (false, 137) => "was killed".to_owned(),
        (false, code) => format!("ended with code {code}"),
    };
    match container.error.as_str() {
        "" => how,
        error => format!("{how}: {error}"),
    }
}

async fn bad(engine: &Engine, component: Component, what: &str) -> StackError {
    let container = component.container();
    StackError::Container {
        container: container.to_owned(),
        what: what.to_owned(),
        log: engine.log_tail(container, LOG_LINES).await,
    }
}

/// Waits until the target of each component is up. Gives the targets that are not, but are not ours to mend: the user's own, and ours
/// that are due only later.
pub(crate) async fn targets(
    prometheus: &Prometheus,
    options: &Options,
    events: OnEvent<'_>,
) -> Result<Vec<Target>, Vec<Target>> {
    let interval_ms = options.scrape_interval.millis();
    let limit = Duration::from_millis((interval_ms * 2 + 20_000).clamp(40_000, SCRAPE_LIMIT_MS));
    let mut last: Vec<Target> = Vec::new();
    let mut said = false;
    let up = async {
        loop {
            // One that does not answer yet is starting: it was healthy a moment ago.
            if let Ok(targets) = prometheus.targets().await {
                last = targets;
                if absent(&last, options).is_empty()
                    && ours(&last, options).all(|t| t.health == TargetHealth::Up)
                {
                    return;
                }
            }
            if !said {
                said = true;
                events(Event::Waiting {
                    what: "the first scrape of every target".to_owned(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let in_time = tokio::time::timeout(limit, up).await.is_ok();
    let down: Vec<Target> = ours(&last, options)
        .filter(|target| target.health == TargetHealth::Down)
        .cloned()
        .chain(absent(&last, options))
        .collect();
    if !in_time && !down.is_empty() {
        return Err(down);
    }
    Ok(last
        .into_iter()
        .filter(|target| target.health != TargetHealth::Up)
        .collect())
}

/// The targets that setup answers for.
fn ours<'a>(targets: &'a [Target], options: &'a Options) -> impl Iterator<Item = &'a Target> {
    targets.iter().filter(|target| {
        options
            .components()
            .any(|component| component.name() == target.job)
    })
}

/// A target for each component that Prometheus does not know of.
pub(crate) fn absent(targets: &[Target], options: &Options) -> Vec<Target> {
    options
        .components()
        .filter(|component| !targets.iter().any(|target| target.job == component.name()))
        .map(|component| Target {
            job: component.name().to_owned(),
            instance: String::new(),
            url: String::new(),
            health: TargetHealth::Down,
            error: "Prometheus has no such target".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn container() -> Inspected {
        Inspected {
            id: String::new(),
            image: String::new(),
            labels: BTreeMap::new(),
            state: State::Running,
            exit_code: 0,
            error: String::new(),
            oom_killed: false,
            restarts: 4,
            started_at: String::new(),
            health: Health::Healthy,
            health_output: String::new(),
            networks: BTreeSet::new(),
            published: Vec::new(),
        }
    }

    #[test]
    fn a_container_is_judged_by_its_state_health_and_restarts() {
        type Turn = fn(&mut Inspected);
        let cases: [(Turn, &str); 11] = [
            (|_| {}, "well"),
            (|c| c.health = Health::None, "well"),
            (|c| c.health = Health::Starting, "wait"),
            (|c| c.state = State::Created, "wait"),
            // It runs again, for the moment.
            (|c| (c.restarts, c.exit_code) = (5, 2), "ended with code 2"),
            (
                |c| (c.state, c.exit_code) = (State::Restarting, 1),
                "ended with code 1",
            ),
            (|c| (c.state, c.exit_code) = (State::Exited, 137), "was killed"),
            (
                |c| (c.state, c.exit_code, c.oom_killed) = (State::Exited, 137, true),
                "was ended by the kernel for want of memory",
            ),
            (
                |c| (c.state, c.error) = (State::Created, "no such port".to_owned()),
                "could not be started: no such port",
            ),
            (
                |c| (c.health, c.health_output) = (Health::Unhealthy, "refused".to_owned()),
                "runs but is not well: refused",
            ),
            (
                |c| c.health = Health::Unhealthy,
                "runs but is not well: its health command says nothing",
            ),
        ];
        for (turn, want) in cases {
            let mut container = container();
            turn(&mut container);
            let got = match judge(&container, 4) {
                Verdict::Well => "well".to_owned(),
                Verdict::Wait => "wait".to_owned(),
                Verdict::Bad(what) => what,
            };
            assert_eq!(got, want);
        }
    }

    #[test]
    fn components_without_a_target_are_named() {
        let mut options = Options::new("a".parse().expect("a name"));
        options.without.insert(Component::Cadvisor);
        let up = |job: &str| Target {
            job: job.to_owned(),
            instance: String::new(),
            url: String::new(),
            health: TargetHealth::Up,
            error: String::new(),
        };
        let absent: Vec<String> = absent(&[up("prometheus"), up("mine")], &options)
            .into_iter()
            .map(|target| target.job)
            .collect();
        assert_eq!(absent, ["node-exporter"]);
    }
}
