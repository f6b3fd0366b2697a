//! Waits until what was deployed is well: containers run and are healthy, targets are up.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::engine::{Engine, Health, Inspected};
use crate::prometheus::{Prometheus, Target, TargetHealth};
use crate::{Component, Event, OnEvent, Options, StackError, State, spec};

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
                    // The engine asks for the first time after an interval, half a minute: that can be had sooner.
                    // And what it says of one that was paused is old for as long.
                    Verdict::Wait | Verdict::Bad(_)
                        if may_be_well(&container, restarts)
                            && engine.is_healthy(component.container(), &container).await => {}
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
        // Of a container that runs the engine keeps no exit code.
        State::Running if failed_again => {
            Verdict::Bad("ends right after its start, again and again".to_owned())
        }
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

/// It runs, and the engine has not found it well: it has not asked yet, or not since it was paused.
fn may_be_well(container: &Inspected, restarts: i64) -> bool {
    container.state == State::Running
        && container.restarts == restarts
        && matches!(container.health, Health::Starting | Health::Unhealthy)
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

/// The target of a component, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    component: Component,
    at: At,
}

/// What a target is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    /// `host:port` in its URL.
    Address(String),
    /// Its label `instance`: the address is known only to whoever found it.
    Instance(String),
}

impl Wanted {
    /// An exporter of a swarm's node.
    pub(crate) fn of_node(component: Component, hostname: &str) -> Self {
        Self {
            component,
            at: At::Instance(format!("{hostname}:{}", component.port())),
        }
    }
}

/// The targets that the configuration has for these options.
pub(crate) fn wanted(options: &Options, gateway: Ipv4Addr) -> Vec<Wanted> {
    options
        .containers()
        .filter(|component| component.is_scraped())
        .map(|component| Wanted {
            component,
            at: At::Address(spec::scrape_address(component, options, gateway)),
        })
        .collect()
}

/// Waits until every wanted target is up; with `anew`, by a scrape that begins after this call: what Prometheus says of the time before
/// is of a container that was replaced meanwhile. Gives the targets that are not up, but are not ours to mend: the user's own, and
/// ours that are due only later. An error are ours that are down.
pub(crate) async fn targets(
    prometheus: &Prometheus,
    wanted: &[Wanted],
    scrape_interval_ms: u64,
    anew: bool,
    events: OnEvent<'_>,
) -> Result<Vec<Target>, Vec<Target>> {
    let limit = Duration::from_millis((scrape_interval_ms * 2 + 20_000).clamp(40_000, SCRAPE_LIMIT_MS));
    let mut first: Option<Vec<Target>> = None;
    let mut last: Vec<Target> = Vec::new();
    let mut said = false;
    let up = async {
        loop {
            // One that does not answer yet is starting: it was healthy a moment ago.
            if let Ok(targets) = prometheus.targets().await {
                let before = first.get_or_insert_with(|| targets.clone());
                let before: &[Target] = if anew { before } else { &[] };
                last = targets;
                if wanted.iter().all(|wanted| is_up(wanted, &last, before)) {
                    return;
                }
            }
            if !said {
                said = true;
                events(Event::Waiting {
                    what: "a scrape of every target".to_owned(),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    let in_time = tokio::time::timeout(limit, up).await.is_ok();
    let down: Vec<Target> = wanted
        .iter()
        .filter_map(|wanted| match target_of(wanted, &last) {
            None => Some(wanted.absent()),
            Some(target) => (target.health == TargetHealth::Down).then(|| target.clone()),
        })
        .collect();
    if !in_time && !down.is_empty() {
        return Err(down);
    }
    Ok(last
        .into_iter()
        .filter(|target| target.health != TargetHealth::Up)
        .collect())
}

impl Wanted {
    fn absent(&self) -> Target {
        let target = absent(self.component);
        match &self.at {
            At::Address(_) => target,
            At::Instance(instance) => Target {
                instance: instance.clone(),
                ..target
            },
        }
    }
}

/// Is it up, by a scrape later than those before?
fn is_up(wanted: &Wanted, targets: &[Target], before: &[Target]) -> bool {
    let Some(target) = target_of(wanted, targets) else {
        return false;
    };
    let is_later = target_of(wanted, before).is_none_or(|before| before.last_scrape != target.last_scrape);
    target.health == TargetHealth::Up && is_later
}

/// The target that the configuration has, at its very address: after a reload the one of the former configuration is listed for some
/// seconds more.
fn target_of<'a>(wanted: &Wanted, targets: &'a [Target]) -> Option<&'a Target> {
    let is_it = |target: &&Target| match &wanted.at {
        At::Address(address) => target.url.contains(&format!("//{address}/")),
        At::Instance(instance) => target.instance == *instance,
    };
    let mut of_job = targets
        .iter()
        .filter(|target| target.job == wanted.component.name());
    of_job.find(is_it)
}

/// The components of which Prometheus has no target.
pub(crate) fn without_target(targets: &[Target], options: &Options) -> Vec<Target> {
    options
        .components()
        .filter(|component| component.is_scraped())
        .filter(|component| !targets.iter().any(|target| target.job == component.name()))
        .map(absent)
        .collect()
}

fn absent(component: Component) -> Target {
    Target {
        job: component.name().to_owned(),
        instance: String::new(),
        url: String::new(),
        health: TargetHealth::Down,
        error: "Prometheus has no such target".to_owned(),
        last_scrape: String::new(),
    }
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
            health_command: Vec::new(),
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
            (|c| c.restarts = 5, "ends right after its start, again and again"),
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
            assert_eq!(
                may_be_well(&container, 4),
                want == "wait" && container.state == State::Running || want.starts_with("runs but")
            );
            let got = match judge(&container, 4) {
                Verdict::Well => "well".to_owned(),
                Verdict::Wait => "wait".to_owned(),
                Verdict::Bad(what) => what,
            };
            assert_eq!(got, want);
        }
    }

    fn target(component: Component, address: &str, health: TargetHealth, last_scrape: &str) -> Target {
        Target {
            job: component.name().to_owned(),
            instance: String::new(),
            url: format!("http://{address}/metrics"),
            health,
            error: String::new(),
            last_scrape: last_scrape.to_owned(),
        }
    }

    #[test]
    fn components_without_a_target_are_named() {
        let mut options = Options::new("a".parse().expect("a name"));
        options.without.insert(Component::Cadvisor);
        let up = target(Component::Prometheus, "127.0.0.1:9090", TargetHealth::Up, "");
        let absent: Vec<String> = without_target(&[up], &options)
            .into_iter()
            .map(|target| target.job)
            .collect();
        assert_eq!(absent, ["node-exporter"]);
    }

    #[test]
    fn of_several_nodes_each_has_its_own_target() {
        let wanted = |hostname: &str| Wanted::of_node(Component::NodeExporter, hostname);
        let of = |hostname: &str, health| Target {
            instance: format!("{hostname}:9100"),
            ..target(Component::NodeExporter, "10.0.1.7:9100", health, "t1")
        };
        let targets = [of("web-1", TargetHealth::Up), of("web-2", TargetHealth::Down)];
        assert!(is_up(&wanted("web-1"), &targets, &[]));
        assert!(!is_up(&wanted("web-2"), &targets, &[]));
        assert!(!is_up(&wanted("web-3"), &targets, &[]));
        assert_eq!(wanted("web-3").absent().instance, "web-3:9100");
    }

    #[test]
    fn only_a_later_scrape_of_the_very_address_counts() {
        let mut options = Options::new("a".parse().expect("a name"));
        options.ports.insert(Component::NodeExporter, 9101);
        let wanted = wanted(&options, Ipv4Addr::new(172, 29, 241, 1));
        let node = wanted
            .iter()
            .find(|wanted| wanted.component == Component::NodeExporter)
            .expect("wanted");
        let at = |port: u16, health, last| {
            let address = format!("172.29.241.1:{port}");
            [target(Component::NodeExporter, &address, health, last)]
        };
        use TargetHealth::{Down, Unknown, Up};
        assert!(is_up(node, &at(9101, Up, "t1"), &[]));
        assert!(is_up(node, &at(9101, Up, "t2"), &at(9101, Up, "t1")));
        // It was only at another address before.
        assert!(is_up(node, &at(9101, Up, "t1"), &at(9100, Up, "t1")));
        assert!(!is_up(node, &at(9101, Up, "t1"), &at(9101, Up, "t1")));
        assert!(!is_up(node, &at(9100, Up, "t1"), &[]));
        assert!(!is_up(node, &at(9101, Down, "t1"), &[]));
        assert!(!is_up(node, &at(9101, Unknown, "t0"), &[]));
        assert!(!is_up(node, &[], &[]));
    }
}
