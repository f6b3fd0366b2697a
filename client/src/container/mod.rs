//! What an application or a container does, now or over a range, from cAdvisor's metrics.
//!
//! `who` finds the containers that are meant, `figures` has the table of what is asked about them; here are the types and the questions.

mod figures;
mod who;

use serde::Serialize;

use crate::expr::{Selector, max_by};
use crate::{Client, ClientError, Column, RATE_WINDOW_S, Range, Ranged, near};
use who::{Who, Whose};

/// Containers asked for in one query: a longer regular expression is of no use.
const IDS_A_QUERY: usize = 200;
/// Instants have no range; what was before them is told of so long.
const HOUR_S: u64 = 3600;
/// Every container has the first; the second one also those that do not run, where Masthead watches.
const KNOWN_BY: [&str; 2] = ["container_memory_working_set_bytes", "masthead_container_state"];

/// What a container or an app uses. What is not known is `None` (or an unknown [`Column`]). Rates are means over [`crate::RATE_WINDOW`], or
/// over the step of a range where that is longer.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage<V = Option<f64>> {
    /// CPU seconds a second.
    pub cpu_cores: V,
    /// Bytes in use that cannot be given back at once.
    pub memory_working_set_bytes: V,
    /// Bytes. Of an app the sum of the limits, unknown when one container has none.
    pub memory_limit_bytes: V,
    /// Received.
    pub receive_bytes_per_second: V,
    /// Sent.
    pub transmit_bytes_per_second: V,
    /// Read from block devices.
    pub read_bytes_per_second: V,
    /// Written to block devices.
    pub written_bytes_per_second: V,
    /// Processes; cAdvisor tells them when its `process` metrics are on.
    pub processes: V,
    /// Times the engine restarted it by its restart policy since it was made. Over a range known to Masthead alone; for one moment also
    /// from cAdvisor's label `container_label_restartcount`, which is not there before the first restart.
    pub restarts: V,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: V,
}

/// How lives of containers followed each other in a time, as far as samples show: lower bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Starts {
    /// Different containers that ran. Those beyond the replicas took others' places: deploys, or, in a swarm, ends.
    pub containers: Option<f64>,
    /// Restarts of the same container: counters of CPU time that began anew and changes of the label `container_label_restartcount`, or
    /// the growth of the engine's count, which Masthead has, where that is more.
    pub restarts: Option<f64>,
}

/// A container.
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
    /// The target that told of it: where it runs.
    pub instance: String,
    /// What it uses.
    #[serde(flatten)]
    pub usage: Usage,
    /// Seconds since the epoch of its start; of its creation where cAdvisor tells.
    pub started_at: Option<f64>,
}

/// An application: the sums over its containers.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppMetrics {
    /// Its name.
    pub name: String,
    /// The project; may be empty.
    pub project: String,
    /// Containers of which something is measured now.
    pub replicas: usize,
    /// What they use together.
    #[serde(flatten)]
    pub usage: Usage,
    /// The hour before.
    pub last_hour: Starts,
    /// Each of them, by name.
    pub containers: Vec<ContainerMetrics>,
}

/// A container over a range; when several had the name, one after the other, all of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRange {
    /// Its name.
    pub name: String,
    /// The application, or its name where no label says so.
    pub app: String,
    /// The project; may be empty.
    pub project: String,
    /// What it used.
    #[serde(flatten)]
    pub usage: Usage<Column>,
    /// Over the whole range.
    pub starts: Starts,
}

/// An application over a range: the sums over its containers at each point.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppRange {
    /// Its name.
    pub name: String,
    /// The project; may be empty.
    pub project: String,
    /// Containers that ran.
    pub replicas: Column,
    /// What they used together.
    #[serde(flatten)]
    pub usage: Usage<Column>,
    /// Over the whole range.
    pub starts: Starts,
    /// The names of all containers that it had, sorted.
    pub containers: Vec<String>,
}

impl Client {
    /// The container of this name now. The name of a swarm service or of an app will do when it has one container.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] with near names, [`ClientError::Several`], and what queries give.
    pub async fn container_metrics(&self, name: &str) -> Result<ContainerMetrics, ClientError> {
        let known = self.containers().await?;
        let found = one_name(&known, name)?;
        let mut found = newest(self.measure(&found).await?);
        // The same name in two places.
        if found.len() > 1 {
            return Err(several(
                found.iter().map(|one| format!("{} ({})", one.name, one.instance)),
            ));
        }
        Ok(found.pop().unwrap_or_default())
    }

    /// The application of this name now: its label `app`, its swarm service, its compose project and service, the `web` of tasks named
    /// `web.1.<task>`, or a container's name.
    ///
    /// # Errors
    /// [`ClientError::Unknown`] with near names, and what queries give.
    pub async fn app_metrics(&self, name: &str) -> Result<AppMetrics, ClientError> {
        let known = self.containers().await?;
        let (found, whose) = who::of_app(&known, name);
        if found.is_empty() {
            return Err(unknown("app", name, known.into_iter().map(|one| one.app)));
        }
        let containers = newest(self.measure(&found).await?);
        let last_hour = self.starts(&whose, None, HOUR_S).await?;
        Ok(figures::sum(name, last_hour, containers))
    }

    /// A container over a range, found by its name as in [`Client::container_metrics`]; it need not run any more.
    ///
    /// # Errors
    /// As [`Client::container_metrics`].
    pub async fn container_range(
        &self,
        name: &str,
        range: Range,
    ) -> Result<Ranged<ContainerRange>, ClientError> {
        let known = self.containers_between(&range).await?;
        let found = one_name(&known, name)?;
        let whose = Whose::names(&found);
        let expr = figures::over(&whose, &range);
        let answer = self.series(&expr, Some(&range)).await?;
        let starts = self.starts(&whose, Some(&range), range.length_s()).await?;
        let one = found.into_iter().next().unwrap_or_default();
        Ok(Ranged {
            of: ContainerRange {
                name: one.name,
                app: one.app,
                project: one.project,
                usage: figures::usage(&answer, Some(&range), |_| true),
                starts,
            },
            range,
        })
    }

    /// An application over a range, found as in [`Client::app_metrics`]; its containers need not run any more.
    ///
    /// # Errors
    /// As [`Client::app_metrics`].
    pub async fn app_range(&self, name: &str, range: Range) -> Result<Ranged<AppRange>, ClientError> {
        let known = self.containers_between(&range).await?;
        let (found, whose) = who::of_app(&known, name);
        if found.is_empty() {
            return Err(unknown("app", name, known.into_iter().map(|one| one.app)));
        }
        let expr = figures::over(&whose, &range);
        let answer = self.series(&expr, Some(&range)).await?;
        let starts = self.starts(&whose, Some(&range), range.length_s()).await?;
        let project = found.iter().map(|one| &one.project).find(|one| !one.is_empty());
        let mut containers: Vec<String> = found.iter().map(|one| one.name.clone()).collect();
        containers.dedup();
        Ok(Ranged {
            of: AppRange {
                name: name.to_owned(),
                project: project.cloned().unwrap_or_default(),
                replicas: figures::replicas(&answer, &range),
                usage: figures::usage(&answer, Some(&range), |_| true),
                starts,
                containers,
            },
            range,
        })
    }

    /// All containers that there are samples of now.
    async fn containers(&self) -> Result<Vec<Who>, ClientError> {
        let parts = KNOWN_BY.map(|metric| {
            let selector = Selector::metric(metric).not_label("name", "");
            max_by(who::LABELS, &format!("timestamp({selector})"))
        });
        let answer = self.series(&parts.join(" or "), None).await?;
        let mut all = who::all(&answer);
        who::retain_present(&mut all);
        Ok(all)
    }

    /// All containers that there were samples of in a range.
    async fn containers_between(&self, range: &Range) -> Result<Vec<Who>, ClientError> {
        let selectors = KNOWN_BY.map(|metric| Selector::metric(metric).not_label("name", "").to_string());
        let answer = self.label_sets(&selectors, range).await?;
        Ok(who::all(&answer))
    }

    /// What these containers use now.
    async fn measure(&self, containers: &[Who]) -> Result<Vec<ContainerMetrics>, ClientError> {
        let mut all = Vec::new();
        for chunk in containers.chunks(IDS_A_QUERY) {
            let answer = self.series(&figures::now(chunk, RATE_WINDOW_S), None).await?;
            all.extend(chunk.iter().map(|one| figures::container(one, &answer)));
        }
        Ok(all)
    }

    /// What the samples of so many seconds show of starts, before the end of a range or before now.
    async fn starts(
        &self,
        whose: &Whose,
        range: Option<&Range>,
        window_s: u64,
    ) -> Result<Starts, ClientError> {
        let expr = figures::starts(whose, window_s);
        let answer = match range {
            Some(range) => self.query_at(&expr, range.end_ms()).await?,
            None => self.query(&expr).await?,
        };
        Ok(figures::read_starts(&answer.data.into_series()))
    }
}

/// The containers that a name stands for, all of the same name.
fn one_name(known: &[Who], name: &str) -> Result<Vec<Who>, ClientError> {
    let found = who::named(known, name);
    let Some(first) = found.first() else {
        return Err(unknown(
            "container",
            name,
            known.iter().map(|one| one.name.clone()),
        ));
    };
    if found.iter().any(|one| one.name != first.name) {
        return Err(several(found.iter().map(|one| one.name.clone())));
    }
    Ok(found)
}

fn several(names: impl Iterator<Item = String>) -> ClientError {
    ClientError::Several {
        what: "containers",
        names: names.collect(),
    }
}

fn unknown(what: &'static str, name: &str, names: impl Iterator<Item = String>) -> ClientError {
    ClientError::Unknown {
        what,
        name: name.to_owned(),
        near: near::names(name, &names.collect::<Vec<_>>()),
    }
}

/// A name is one container's in each place: the one that was started last, where an old one is still told of.
fn newest(mut all: Vec<ContainerMetrics>) -> Vec<ContainerMetrics> {
    let started = |one: &ContainerMetrics| one.started_at.unwrap_or(0.0);
    all.sort_by(|a, b| {
        let place = (&a.name, &a.instance).cmp(&(&b.name, &b.instance));
        place.then(started(b).total_cmp(&started(a)))
    });
    all.dedup_by(|later, kept| (&later.name, &later.instance) == (&kept.name, &kept.instance));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_one_place_is_the_newest_container() {
        let one = |id: &str, instance: &str, started_at| ContainerMetrics {
            name: "web".to_owned(),
            id: id.to_owned(),
            instance: instance.to_owned(),
            started_at,
            ..ContainerMetrics::default()
        };
        let left = newest(vec![
            one("old", "a", Some(1.0)),
            one("new", "a", Some(2.0)),
            one("unknown", "a", None),
            one("other", "b", None),
        ]);
        let ids: Vec<&str> = left.iter().map(|one| one.id.as_str()).collect();
        assert_eq!(ids, ["new", "other"]);
    }
}
