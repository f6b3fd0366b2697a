//! What an application or a container does now, from cAdvisor's metrics.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::expr::{PART, Selector, union};
use crate::{Client, ClientError, Series, near};

/// Containers asked for in one query: a longer regular expression is of no use.
const IDS_A_QUERY: usize = 200;
/// cAdvisor's own labels of a container whose Prometheus has no `app`.
const SWARM_SERVICE: &str = "container_label_com_docker_swarm_service_name";
const COMPOSE_PROJECT: &str = "container_label_com_docker_compose_project";
const COMPOSE_SERVICE: &str = "container_label_com_docker_compose_service";

/// A container. What its Prometheus does not know is `None`. Rates are means over [`crate::RATE_WINDOW`].
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerMetrics {
    /// Its name.
    pub name: String,
    /// The path of its cgroup, as in the label `id`.
    pub id: String,
    /// The application, or its name where no label says so.
    pub app: String,
    /// The project; may be empty.
    pub project: String,
    /// Its image.
    pub image: String,
    /// CPU seconds a second.
    pub cpu_cores: Option<f64>,
    /// Bytes in use that cannot be given back at once.
    pub memory_working_set_bytes: Option<f64>,
    /// Bytes; `None` without a limit.
    pub memory_limit_bytes: Option<f64>,
    /// Received.
    pub receive_bytes_per_second: Option<f64>,
    /// Sent.
    pub transmit_bytes_per_second: Option<f64>,
    /// Read from block devices.
    pub read_bytes_per_second: Option<f64>,
    /// Written to block devices.
    pub written_bytes_per_second: Option<f64>,
    /// Processes.
    pub processes: Option<f64>,
    /// Times the engine restarted it; known to Masthead alone.
    pub restarts: Option<f64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: Option<f64>,
    /// Seconds since the epoch of its start.
    pub started_at: Option<f64>,
}

/// An application: the sums over its containers. A limit is the sum of the limits, and `None` when one has none.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppMetrics {
    /// Its name.
    pub name: String,
    /// The project; may be empty.
    pub project: String,
    /// Containers of which something is measured now.
    pub replicas: usize,
    /// CPU seconds a second.
    pub cpu_cores: Option<f64>,
    /// Bytes in use that cannot be given back at once.
    pub memory_working_set_bytes: Option<f64>,
    /// Bytes.
    pub memory_limit_bytes: Option<f64>,
    /// Received.
    pub receive_bytes_per_second: Option<f64>,
    /// Sent.
    pub transmit_bytes_per_second: Option<f64>,
    /// Read from block devices.
    pub read_bytes_per_second: Option<f64>,
    /// Written to block devices.
    pub written_bytes_per_second: Option<f64>,
    /// Processes.
    pub processes: Option<f64>,
    /// Restarts of all.
    pub restarts: Option<f64>,
    /// OOM kills of all.
    pub oom_kills: Option<f64>,
    /// Each of them, by name.
    pub containers: Vec<ContainerMetrics>,
}

impl Client {
    /// The container of this name. Of a swarm service's task the service's name will do when it has one task.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] with near names, [`ClientError::Several`], and what queries give.
    pub async fn container_metrics(&self, name: &str) -> Result<ContainerMetrics, ClientError> {
        let known = self.containers().await?;
        let mut found = containers_named(&known, name);
        if found.is_empty() {
            let names: Vec<String> = known.into_iter().map(|one| one.name).collect();
            return Err(unknown("container", name, &names));
        }
        // The same name in two places, or on its way from an old container to a new one.
        if found.len() > 1 {
            return Err(ClientError::Several {
                what: "containers",
                names: found
                    .into_iter()
                    .map(|one| format!("{} ({})", one.name, one.id))
                    .collect(),
            });
        }
        self.measure(&mut found).await?;
        Ok(found.pop().unwrap_or_default())
    }

    /// The application of this name: its label `app`, its swarm service, its compose project and service, or its container's name.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] with near names, and what queries give.
    pub async fn app_metrics(&self, name: &str) -> Result<AppMetrics, ClientError> {
        let known = self.containers().await?;
        let mut found: Vec<ContainerMetrics> = known.iter().filter(|one| one.app == name).cloned().collect();
        if found.is_empty() {
            found = containers_named(&known, name);
        }
        if found.is_empty() {
            let names: Vec<String> = known.into_iter().map(|one| one.app).collect();
            return Err(unknown("app", name, &names));
        }
        self.measure(&mut found).await?;
        Ok(sum(name, found))
    }

    /// All containers that there are series of now, without figures.
    async fn containers(&self) -> Result<Vec<ContainerMetrics>, ClientError> {
        let selector = Selector::any_of(&["container_memory_working_set_bytes", "masthead_container_state"])
            .not_label("name", "");
        let labels =
            format!("id, name, app, project, image, {SWARM_SERVICE}, {COMPOSE_PROJECT}, {COMPOSE_SERVICE}");
        let series = self.query(&format!("group by ({labels}) ({selector})")).await?;
        let mut all: Vec<ContainerMetrics> = Vec::new();
        for one in series.iter().map(identity) {
            match all
                .iter_mut()
                .find(|known| number(&known.id) == number(&one.id) && known.name == one.name)
            {
                Some(known) => merge(known, one),
                None => all.push(one),
            }
        }
        all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(all)
    }

    async fn measure(&self, containers: &mut [ContainerMetrics]) -> Result<(), ClientError> {
        for chunk in containers.chunks_mut(IDS_A_QUERY) {
            let ids: BTreeSet<&str> = chunk
                .iter()
                .flat_map(|one| [one.id.as_str(), number(&one.id)])
                .collect();
            let ids: Vec<&str> = ids.into_iter().collect();
            let answer = self.query(&figures(&ids)).await?;
            chunk.iter_mut().for_each(|one| fill(one, &answer));
        }
        Ok(())
    }
}

/// The container's own number in a label `id`: cAdvisor's series have the path of its cgroup there, which holds it, those of its
/// state the number alone.
fn number(id: &str) -> &str {
    const DIGITS: usize = 64;
    let bytes = id.as_bytes();
    let starts = 0..(bytes.len() + 1).saturating_sub(DIGITS);
    starts
        .rev()
        .find(|&start| bytes[start..start + DIGITS].iter().all(u8::is_ascii_hexdigit))
        .and_then(|start| id.get(start..start + DIGITS))
        .unwrap_or(id)
}

/// Puts together what two series say of one container: the state's series has fewer labels than the others.
fn merge(known: &mut ContainerMetrics, other: ContainerMetrics) {
    if other.id.len() > known.id.len() {
        known.id = other.id;
    }
    if known.app == known.name {
        known.app = other.app;
    }
    for (mine, theirs) in [
        (&mut known.project, other.project),
        (&mut known.image, other.image),
    ] {
        if mine.is_empty() {
            *mine = theirs;
        }
    }
}

fn unknown(what: &'static str, name: &str, names: &[String]) -> ClientError {
    ClientError::Unknown {
        what,
        name: name.to_owned(),
        near: near::names(name, names),
    }
}

/// Is this `service.1.r65u...`, a task of the swarm service?
fn is_task_of(name: &str, service: &str) -> bool {
    let Some(rest) = name.strip_prefix(service).and_then(|rest| rest.strip_prefix('.')) else {
        return false;
    };
    rest.split_once('.').is_some_and(|(number, task)| {
        !number.is_empty() && number.bytes().all(|b| b.is_ascii_alphanumeric()) && !task.is_empty()
    })
}

/// Those with this name, else the tasks of the service with this name.
fn containers_named(known: &[ContainerMetrics], name: &str) -> Vec<ContainerMetrics> {
    let exact: Vec<_> = known.iter().filter(|one| one.name == name).cloned().collect();
    if exact.is_empty() {
        known
            .iter()
            .filter(|one| is_task_of(&one.name, name))
            .cloned()
            .collect()
    } else {
        exact
    }
}

/// Who a series is of. Where there is no `app`, cAdvisor's labels make it as Masthead does.
fn identity(series: &Series) -> ContainerMetrics {
    let label = |name| series.label(name).to_owned();
    let (project, service) = (series.label(COMPOSE_PROJECT), series.label(COMPOSE_SERVICE));
    let compose = if project.is_empty() || service.is_empty() {
        String::new()
    } else {
        format!("{project}-{service}")
    };
    let app = [label("app"), label(SWARM_SERVICE), compose, label("name")]
        .into_iter()
        .find(|app| !app.is_empty())
        .unwrap_or_default();
    ContainerMetrics {
        name: label("name"),
        id: label("id"),
        app,
        project: if series.label("project").is_empty() {
            project.to_owned()
        } else {
            label("project")
        },
        image: label("image"),
        ..ContainerMetrics::default()
    }
}

/// Every figure of these containers, in one query.
fn figures(ids: &[&str]) -> String {
    let of = |metric: &str| Selector::metric(metric).label_any("id", ids);
    let sum = |expr: String| format!("sum by (id) ({expr})");
    let rate = |metric: &str| sum(of(metric).rate());
    let most = |metric: &str| format!("max by (id) ({})", of(metric));
    union(&[
        ("cpu", rate("container_cpu_usage_seconds_total")),
        ("memory", most("container_memory_working_set_bytes")),
        // 0 stands for none.
        (
            "limit",
            format!("max by (id) ({}) > 0", of("container_spec_memory_limit_bytes")),
        ),
        ("receive", rate("container_network_receive_bytes_total")),
        ("transmit", rate("container_network_transmit_bytes_total")),
        ("read", rate("container_fs_reads_bytes_total")),
        ("written", rate("container_fs_writes_bytes_total")),
        ("processes", most("container_processes")),
        ("restarts", most("masthead_container_restarts_total")),
        ("oom", most("container_oom_events_total")),
        ("started", most("container_start_time_seconds")),
    ])
}

fn fill(one: &mut ContainerMetrics, answer: &[Series]) {
    let part = |part: &str| {
        answer
            .iter()
            .find(|series| series.label(PART) == part && number(series.label("id")) == number(&one.id))
            .and_then(Series::last)
    };
    one.cpu_cores = part("cpu");
    one.memory_working_set_bytes = part("memory");
    one.memory_limit_bytes = part("limit");
    one.receive_bytes_per_second = part("receive");
    one.transmit_bytes_per_second = part("transmit");
    one.read_bytes_per_second = part("read");
    one.written_bytes_per_second = part("written");
    one.processes = part("processes");
    one.restarts = part("restarts");
    one.oom_kills = part("oom");
    one.started_at = part("started");
}

fn sum(name: &str, containers: Vec<ContainerMetrics>) -> AppMetrics {
    let total = |field: fn(&ContainerMetrics) -> Option<f64>| {
        let known: Vec<f64> = containers.iter().filter_map(field).collect();
        (!known.is_empty()).then(|| known.iter().sum())
    };
    let running = || {
        containers
            .iter()
            .filter(|one| one.memory_working_set_bytes.is_some())
    };
    AppMetrics {
        name: name.to_owned(),
        project: containers
            .first()
            .map(|one| one.project.clone())
            .unwrap_or_default(),
        replicas: running().count(),
        cpu_cores: total(|one| one.cpu_cores),
        memory_working_set_bytes: total(|one| one.memory_working_set_bytes),
        memory_limit_bytes: running()
            .map(|one| one.memory_limit_bytes)
            .sum::<Option<f64>>()
            .filter(|sum| *sum > 0.0),
        receive_bytes_per_second: total(|one| one.receive_bytes_per_second),
        transmit_bytes_per_second: total(|one| one.transmit_bytes_per_second),
        read_bytes_per_second: total(|one| one.read_bytes_per_second),
        written_bytes_per_second: total(|one| one.written_bytes_per_second),
        processes: total(|one| one.processes),
        restarts: total(|one| one.restarts),
        oom_kills: total(|one| one.oom_kills),
        containers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)], value: f64) -> Series {
        Series {
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            points: vec![(0.0, value)],
        }
    }

    #[test]
    fn tasks_of_a_service_are_known_by_their_name() {
        for (name, service, want) in [
            ("web.1.r65u", "web", true),
            ("web.node1.r65u", "web", true),
            ("web.1", "web", false),
            ("website.1.x", "web", false),
            ("web", "web", false),
            ("web..x", "web", false),
        ] {
            assert_eq!(is_task_of(name, service), want, "{name}");
        }
    }

    #[test]
    fn a_containers_number_is_found_in_its_cgroups_path() {
        let hex = "0123456789abcdef".repeat(4);
        for (id, want) in [
            (hex.clone(), hex.as_str()),
            (format!("/docker/{hex}"), hex.as_str()),
            (format!("/system.slice/docker-{hex}.scope"), hex.as_str()),
            ("/plain".to_owned(), "/plain"),
            (format!("/ä{hex}ä"), hex.as_str()),
            (String::new(), ""),
        ] {
            assert_eq!(number(&id), want, "{id}");
        }
    }

    #[test]
    fn a_container_and_its_state_are_one() {
        let hex = "0123456789abcdef".repeat(4);
        let path = format!("/docker/{hex}");
        let mut one = ContainerMetrics {
            id: hex.clone(),
            name: "web".to_owned(),
            app: "web".to_owned(),
            ..ContainerMetrics::default()
        };
        let other = ContainerMetrics {
            id: path.clone(),
            name: "web".to_owned(),
            app: "shop-web".to_owned(),
            project: "shop".to_owned(),
            image: "web:1".to_owned(),
            ..ContainerMetrics::default()
        };
        merge(&mut one, other.clone());
        assert_eq!(one, other);
        let answer = [
            series(&[(PART, "restarts"), ("id", &hex)], 3.0),
            series(&[(PART, "processes"), ("id", &path)], 2.0),
        ];
        fill(&mut one, &answer);
        assert_eq!((one.restarts, one.processes), (Some(3.0), Some(2.0)));
    }

    #[test]
    fn an_app_is_found_with_and_without_our_label() {
        for (labels, want) in [
            (vec![("app", "shop-web"), ("name", "x")], "shop-web"),
            (vec![(SWARM_SERVICE, "web"), ("name", "web.1.x")], "web"),
            (
                vec![
                    (COMPOSE_PROJECT, "shop"),
                    (COMPOSE_SERVICE, "web"),
                    ("name", "shop-web-1"),
                ],
                "shop-web",
            ),
            (vec![("name", "plain")], "plain"),
        ] {
            assert_eq!(identity(&series(&labels, 1.0)).app, want);
        }
    }

    #[test]
    fn an_app_is_the_sum_of_its_containers() {
        let one = |id: &str| ContainerMetrics {
            id: id.to_owned(),
            name: id.to_owned(),
            ..ContainerMetrics::default()
        };
        let mut all = vec![one("/a"), one("/b"), one("/gone")];
        let part = |part: &str, id: &str, value| series(&[(PART, part), ("id", id)], value);
        let answer = [
            part("cpu", "/a", 0.5),
            part("cpu", "/b", 0.25),
            part("memory", "/a", 100.0),
            part("memory", "/b", 50.0),
            part("limit", "/a", 200.0),
        ];
        all.iter_mut().for_each(|one| fill(one, &answer));
        let app = sum("web", all.clone());
        assert_eq!(
            (app.replicas, app.cpu_cores, app.memory_working_set_bytes),
            (2, Some(0.75), Some(150.0))
        );
        assert_eq!(
            (app.memory_limit_bytes, app.restarts),
            (None, None),
            "/b has no limit"
        );
        let app = sum("web", vec![all[0].clone()]);
        assert_eq!(app.memory_limit_bytes, Some(200.0));
    }

    #[test]
    fn ids_are_taken_at_their_word() {
        let text = figures(&["/system.slice/docker-a.scope"]);
        assert!(
            text.contains(r#"id=~"/system\\.slice/docker-a\\.scope""#),
            "{text}"
        );
    }
}
