//! Metrics of our own about containers: their state, whether they run or not, and what happened to them.
//!
//! Upstream's names end where a container does: cAdvisor shows running ones alone. These say why one is not running.

use std::borrow::Cow;
use std::collections::BTreeSet;

use model::{Family, MetricType};

use super::inventory::{Engine, Known};
use super::marks::Marks;

type Pairs = Vec<(Cow<'static, str>, Cow<'static, str>)>;

fn labels(known: &Known, state: &str) -> Pairs {
    [
        ("app", known.app.as_str()),
        ("id", &known.id),
        ("image", &known.image),
        ("name", &known.name),
        ("project", &known.project),
        ("state", state),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
    .map(|(name, value)| (Cow::from(name), Cow::from(value.to_owned())))
    .collect()
}

/// Counts and codes are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
fn float(count: u64) -> f64 {
    count as f64
}

/// State, restarts and exit code of every container.
pub(super) fn state(known: &[&Known]) -> [Family; 3] {
    let mut states = Family::new(
        "masthead_container_state",
        "State of a container, running or not: 1 for the one it is in.",
        MetricType::Gauge,
    );
    let mut restarts = Family::new(
        "masthead_container_restarts_total",
        "Times the engine restarted the container by its restart policy.",
        MetricType::Counter,
    );
    let mut codes = Family::new(
        "masthead_container_exit_code",
        "Exit code of the container's last end.",
        MetricType::Gauge,
    );
    for known in known {
        states.push(labels(known, &known.state), 1.0);
        restarts.push(labels(known, ""), float(known.restarts));
        if let Some(code) = known.exit_code {
            #[expect(clippy::cast_precision_loss, reason = "exit codes are small")]
            codes.push(labels(known, ""), code as f64);
        }
    }
    [states, restarts, codes]
}

/// What happened since Masthead started, by application.
pub(super) fn events(marks: &Marks, known: &[Known], now_ms: i64) -> Family {
    let apps: BTreeSet<&str> = known.iter().map(|known| known.app.as_str()).collect();
    let apps: Vec<&str> = apps.into_iter().collect();
    let mut family = Family::new(
        "masthead_container_events_total",
        "Events of an application's containers: deploy, start, stop, exit, oom_kill, unhealthy, healthy, pause, unpause, rename.",
        MetricType::Counter,
    );
    for (app, event, count) in marks.counts(&apps, now_ms) {
        let pairs = vec![("app".into(), Cow::from(app)), ("event".into(), event.into())];
        family.push(pairs, float(count));
    }
    family
}

/// How the watching goes.
pub(super) fn own(
    engine: &Engine,
    containers: usize,
    events: u64,
    connections: u64,
    lag_ms: i64,
) -> Vec<Family> {
    let connected = matches!(engine, Engine::Connected { .. });
    vec![
        Family::gauge(
            "masthead_engine_connected",
            "1 while the container engine's events are read.",
            f64::from(u8::from(connected)),
        ),
        Family::gauge(
            "masthead_engine_containers",
            "Containers known, running or not.",
            float(containers as u64),
        ),
        Family::counter(
            "masthead_engine_events_total",
            "Events read from the container engine.",
            float(events),
        ),
        Family::counter(
            "masthead_engine_connections_total",
            "Times the container engine was connected to.",
            float(connections),
        ),
        Family::gauge(
            "masthead_engine_event_lag_seconds",
            "From the newest event to the list of containers that shows it.",
            super::known::seconds(lag_ms),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_do_not_run_have_a_state_too() {
        let ended = Known {
            id: "1f".to_owned(),
            name: "job".to_owned(),
            app: "job".to_owned(),
            image: "busybox".to_owned(),
            state: "exited".to_owned(),
            exit_code: Some(3),
            restarts: 2,
            ..Known::default()
        };
        let runs = Known {
            id: "2f".to_owned(),
            name: "web".to_owned(),
            app: "shop-web".to_owned(),
            project: "shop".to_owned(),
            state: "running".to_owned(),
            ..Known::default()
        };
        let mut text = String::new();
        model::encode_families(&state(&[&ended, &runs]), &mut text);
        for line in [
            "masthead_container_state{app=\"job\",id=\"1f\",image=\"busybox\",name=\"job\",state=\"exited\"} 1",
            "masthead_container_state{app=\"shop-web\",id=\"2f\",name=\"web\",project=\"shop\",state=\"running\"} 1",
            "masthead_container_restarts_total{app=\"job\",id=\"1f\",image=\"busybox\",name=\"job\"} 2",
            "masthead_container_exit_code{app=\"job\",id=\"1f\",image=\"busybox\",name=\"job\"} 3",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert_eq!(text.matches("masthead_container_exit_code{").count(), 1, "{text}");
        let events = events(&Marks::default(), &[runs], 0);
        assert_eq!(events.metrics.len(), 6);
    }
}
