//! Every figure of containers with its PromQL, and the answer put into the types.

use std::collections::BTreeSet;

use super::who::{Who, Whose, number};
use super::{AppMetrics, ContainerMetrics, Starts, Usage};
use crate::expr::{PART, Selector, max_by, sum_by, union};
use crate::range::Figure;
use crate::{Column, Range, Series};

/// A figure: its part of the answer, its metric, and how series become it.
type Row = (&'static str, &'static str, Kind);

/// How the series of one container become a figure.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The sum of the rates of a counter's series.
    Rate,
    /// The value.
    Value,
    /// The value, where 0 (and, on cgroup v1, what no memory can hold) stands for none.
    Limit,
}

/// The table.
const FIGURES: &[Row] = &[
    ("cpu", "container_cpu_usage_seconds_total", Kind::Rate),
    ("memory", "container_memory_working_set_bytes", Kind::Value),
    ("limit", "container_spec_memory_limit_bytes", Kind::Limit),
    ("receive", "container_network_receive_bytes_total", Kind::Rate),
    ("transmit", "container_network_transmit_bytes_total", Kind::Rate),
    ("read", "container_fs_reads_bytes_total", Kind::Rate),
    ("written", "container_fs_writes_bytes_total", Kind::Rate),
    ("processes", "container_processes", Kind::Value),
    ("restarts", "masthead_container_restarts_total", Kind::Value),
    ("oom", "container_oom_events_total", Kind::Value),
];

impl Kind {
    /// What to do with a selector of the metric.
    fn inner(self, selector: &Selector, window_s: u64) -> String {
        match self {
            Self::Rate => format!("rate({})", selector.over(window_s)),
            Self::Value | Self::Limit => selector.to_string(),
        }
    }

    /// What to do with the series of one container.
    fn of_one(self, expr: &str) -> String {
        match self {
            // Two targets may tell of the same container, as cAdvisor and Masthead beside each other do.
            Self::Rate => max_by(&["id"], &sum_by(&["id", "job", "instance"], expr)),
            Self::Value => max_by(&["id"], expr),
            Self::Limit => format!("({} > 0 < 9e18)", max_by(&["id"], expr)),
        }
    }
}

/// Every figure of each of these containers, in one query.
pub(super) fn now(containers: &[Who], window_s: u64) -> String {
    let ids: BTreeSet<&str> = containers
        .iter()
        .flat_map(|one| [one.id.as_str(), number(&one.id)])
        .collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let of = |metric: &str| Selector::metric(metric).label_any("id", &ids);
    let mut parts: Vec<(&str, String)> = FIGURES
        .iter()
        .map(|(part, metric, kind)| (*part, kind.of_one(&kind.inner(&of(metric), window_s))))
        .collect();
    let started = of("container_start_time_seconds").to_string();
    parts.push(("started", max_by(&["id"], &started)));
    union(&parts)
}

/// Every figure of all these containers together, in one query over a range.
pub(super) fn over(whose: &Whose, range: &Range) -> String {
    let window_s = range.rate_window_s();
    let each = |metric: &str, kind: Kind| {
        kind.of_one(&whose.each(metric, |selector| kind.inner(selector, window_s)))
    };
    let memory = each("container_memory_working_set_bytes", Kind::Value);
    let mut parts: Vec<(&str, String)> = FIGURES
        .iter()
        .map(|(part, metric, kind)| {
            let ones = each(metric, *kind);
            let sum = match kind {
                // Together they have a limit when each has.
                Kind::Limit => format!("(sum({ones}) and count({ones}) == count({memory}))"),
                Kind::Rate | Kind::Value => format!("sum({ones})"),
            };
            (*part, sum)
        })
        .collect();
    parts.push(("replicas", format!("count({memory})")));
    union(&parts)
}

/// What the answer says of one container, or of all of them together.
pub(super) fn usage<V: Figure>(
    answer: &[Series],
    range: Option<&Range>,
    is_its: impl Fn(&Series) -> bool,
) -> Usage<V> {
    let part = |part: &str| -> V {
        answer
            .iter()
            .find(|one| one.label(PART) == part && is_its(one))
            .map(|one| V::read(one, range))
            .unwrap_or_default()
    };
    Usage {
        cpu_cores: part("cpu"),
        memory_working_set_bytes: part("memory"),
        memory_limit_bytes: part("limit"),
        receive_bytes_per_second: part("receive"),
        transmit_bytes_per_second: part("transmit"),
        read_bytes_per_second: part("read"),
        written_bytes_per_second: part("written"),
        processes: part("processes"),
        restarts: part("restarts"),
        oom_kills: part("oom"),
    }
}

/// How many ran at each point.
pub(super) fn replicas(answer: &[Series], range: &Range) -> Column {
    answer
        .iter()
        .find(|one| one.label(PART) == "replicas")
        .map(|one| Column::read(one, Some(range)))
        .unwrap_or_default()
}

/// A container with its figures.
pub(super) fn container(one: &Who, answer: &[Series]) -> ContainerMetrics {
    let is_its = |series: &Series| number(series.label("id")) == number(&one.id);
    let mut usage: Usage = usage(answer, None, is_its);
    usage.restarts = usage.restarts.or(one.restarts);
    let started = answer
        .iter()
        .find(|series| series.label(PART) == "started" && is_its(series));
    ContainerMetrics {
        name: one.name.clone(),
        id: one.id.clone(),
        app: one.app.clone(),
        project: one.project.clone(),
        image: one.image.clone(),
        instance: one.instance.clone(),
        usage,
        started_at: started.and_then(Series::last),
    }
}

/// An app as the sum of its containers.
pub(super) fn sum(name: &str, last_hour: Starts, containers: Vec<ContainerMetrics>) -> AppMetrics {
    let total = |field: fn(&Usage) -> Option<f64>| {
        let known: Vec<f64> = containers.iter().filter_map(|one| field(&one.usage)).collect();
        (!known.is_empty()).then(|| known.iter().sum())
    };
    let running = || {
        let measured = |one: &&ContainerMetrics| one.usage.memory_working_set_bytes.is_some();
        containers.iter().filter(measured)
    };
    let limits = running().map(|one| one.usage.memory_limit_bytes);
    let usage = Usage {
        cpu_cores: total(|one| one.cpu_cores),
        memory_working_set_bytes: total(|one| one.memory_working_set_bytes),
        memory_limit_bytes: limits.sum::<Option<f64>>().filter(|sum| *sum > 0.0),
        receive_bytes_per_second: total(|one| one.receive_bytes_per_second),
        transmit_bytes_per_second: total(|one| one.transmit_bytes_per_second),
        read_bytes_per_second: total(|one| one.read_bytes_per_second),
        written_bytes_per_second: total(|one| one.written_bytes_per_second),
        processes: total(|one| one.processes),
        restarts: total(|one| one.restarts),
        oom_kills: total(|one| one.oom_kills),
    };
    let project = containers
        .iter()
        .map(|one| &one.project)
        .find(|one| !one.is_empty());
    AppMetrics {
        name: name.to_owned(),
        project: project.cloned().unwrap_or_default(),
        replicas: running().count(),
        usage,
        last_hour,
        containers,
    }
}

/// What samples of so many seconds show of starts; both parts are numbers without labels.
pub(super) fn starts(whose: &Whose, window_s: u64) -> String {
    let each = |function: &str, metric: &str| {
        whose.each(metric, |selector| {
            format!("{function}({})", selector.over(window_s))
        })
    };
    let seen = each("last_over_time", "container_memory_working_set_bytes");
    let counter = "masthead_container_restarts_total";
    let (most, least) = (each("max_over_time", counter), each("min_over_time", counter));
    // A restart that the engine counts changes the label, one by hand does not: these are different ones.
    let labels = format!("sum(count by (id) (count by (id, container_label_restartcount) ({seen})) - 1)");
    let resets = max_by(&["id"], &each("resets", "container_cpu_usage_seconds_total"));
    // The engine's count misses restarts by hand, the samples those that follow each other fast: the larger one is nearer.
    let restarts = union(&[
        (
            "counted",
            format!("sum({} - min by (id) ({least}))", max_by(&["id"], &most)),
        ),
        ("seen", format!("({labels} + sum({resets}))")),
    ]);
    union(&[
        ("containers", format!("count(group by (id) ({seen}))")),
        ("restarts", max_by(&[], &restarts)),
    ])
}

/// The answer to [`starts`].
pub(super) fn read_starts(answer: &[Series]) -> Starts {
    let part = |part: &str| {
        let found = answer.iter().find(|one| one.label(PART) == part);
        found.and_then(Series::last)
    };
    Starts {
        containers: part("containers"),
        restarts: part("restarts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::who;

    fn series(labels: &[(&str, &str)], value: f64) -> Series {
        Series {
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            points: vec![(0.0, value)],
            ..Series::default()
        }
    }

    fn known(ids: &[&str]) -> Vec<Who> {
        let labelled: Vec<Series> = ids
            .iter()
            .map(|id| series(&[("id", id), ("name", id)], 1.0))
            .collect();
        who::all(&labelled)
    }

    #[test]
    fn an_app_is_the_sum_of_its_containers() {
        let part = |part: &str, id: &str, value| series(&[(PART, part), ("id", id)], value);
        let answer = [
            part("cpu", "/a", 0.5),
            part("cpu", "/b", 0.25),
            part("memory", "/a", 100.0),
            part("memory", "/b", 50.0),
            part("limit", "/a", 200.0),
            part("started", "/a", 7.0),
        ];
        let all: Vec<ContainerMetrics> = known(&["/a", "/b", "/gone"])
            .iter()
            .map(|one| container(one, &answer))
            .collect();
        assert_eq!(all[0].started_at, Some(7.0));
        let app = sum("web", Starts::default(), all.clone());
        assert_eq!(
            (
                app.replicas,
                app.usage.cpu_cores,
                app.usage.memory_working_set_bytes
            ),
            (2, Some(0.75), Some(150.0))
        );
        assert_eq!(
            (app.usage.memory_limit_bytes, app.usage.restarts),
            (None, None),
            "/b has no limit"
        );
        let app = sum("web", Starts::default(), vec![all[0].clone()]);
        assert_eq!(app.usage.memory_limit_bytes, Some(200.0));
    }

    #[test]
    fn restarts_are_the_metric_or_the_label() {
        let hex = "0123456789abcdef".repeat(4);
        let path = format!("/docker/{hex}");
        let labels = [
            ("id", path.as_str()),
            ("name", "web"),
            ("container_label_restartcount", "4"),
        ];
        let one = who::who(&series(&labels, 1.0));
        assert_eq!(container(&one, &[]).usage.restarts, Some(4.0));
        let answer = [series(&[(PART, "restarts"), ("id", &hex)], 3.0)];
        assert_eq!(container(&one, &answer).usage.restarts, Some(3.0));
    }

    #[test]
    fn ids_are_taken_at_their_word() {
        let text = now(&known(&["/system.slice/docker-a.scope"]), 300);
        assert!(
            text.contains(r#"id=~"/system\\.slice/docker-a\\.scope""#),
            "{text}"
        );
    }
}
