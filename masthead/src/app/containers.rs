//! The containers as a local source: how they are set up, and one round of them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use collect::{ContainerCollection, ContainerOptions};
use model::Family;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::Config;
use crate::docker::Containers;
use crate::docker::known::AllowList;
use crate::docker::marks::Marks;

/// The marks' file in the data folder.
pub(crate) const MARKS_FILE: &str = "container-events.jsonl";
/// Files that are left to the store, the listener and the scrapes when few may be open.
const OTHER_FILES: u64 = 256;
/// More open files than this are of no use.
const MOST_FILES: u64 = 1 << 20;
/// Different warnings that are logged once each; past that they are debugging output.
const MAX_WARNINGS: usize = 100;

/// The marks that are kept in the data folder.
pub(super) fn marks(data_dir: &Path, retention_ms: i64) -> Marks {
    let oldest_ms = clock::now_ms().saturating_sub(retention_ms);
    Marks::open(&data_dir.join(MARKS_FILE), oldest_ms)
}

/// The containers, as the configuration wants them, and the task that watches them until `stop`; `None` when they are turned off.
pub(super) fn set_up(config: &Config, marks: Marks, stop: &CancellationToken) -> Option<Arc<Containers>> {
    let wanted = &config.masthead.containers;
    if !wanted.enabled {
        return None;
    }
    let options = ContainerOptions {
        paths: super::host::collect_options(config).paths,
        per_cpu: wanted.per_cpu,
        groups: wanted.cgroups,
    };
    let containers = Arc::new(Containers::new(
        &options,
        AllowList::new(wanted.labels.clone()),
        marks,
    ));
    let files_max = files_for_containers(raise_file_limit());
    containers.with_collector(|collector| collector.set_files_max(files_max));
    containers.watch(wanted.docker.clone(), stop.clone());
    Some(containers)
}

/// A third of what may be open, less when that is little: the store and the listener need their files first.
fn files_for_containers(limit: u64) -> usize {
    let third = limit.min(MOST_FILES).saturating_sub(OTHER_FILES) / 3;
    usize::try_from(third).unwrap_or(usize::MAX)
}

/// Raises the soft limit of open files to the hard one, as each container keeps some open; gives the limit then in force.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX).min(MOST_FILES);
    let soft = limit.current.unwrap_or(u64::MAX);
    if soft >= most {
        return soft;
    }
    let raised = Rlimit {
        current: Some(most),
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => most,
        Err(e) => {
            tracing::debug!("raising the limit of open files from {soft} to {most}: {e}");
            soft
        }
    }
}

/// Reads the containers on the tick.
#[derive(Debug)]
pub(super) struct ContainerReader {
    containers: Arc<Containers>,
    retention_ms: i64,
    warned: HashSet<String>,
}

impl ContainerReader {
    pub(super) fn new(containers: Arc<Containers>, retention_ms: i64) -> Self {
        Self {
            containers,
            retention_ms,
            warned: HashSet::new(),
        }
    }

    /// One round; what cannot be read is logged once.
    pub(super) fn read(&mut self, t_ms: i64) -> ContainerCollection {
        self.containers.marks.cut(t_ms.saturating_sub(self.retention_ms));
        let mut collection = self.containers.collect(t_ms);
        for warning in std::mem::take(&mut collection.warnings) {
            if self.warned.len() < MAX_WARNINGS && self.warned.insert(warning.clone()) {
                tracing::warn!("containers: {warning}");
            } else {
                tracing::debug!("containers: {warning}");
            }
        }
        collection
    }

    /// What was read is stored: its labels serve the next round.
    pub(super) fn recycle(&self, families: Vec<Family>, round: u64) {
        self.containers.recycle(families, round);
    }

    pub(super) fn own_families(&self) -> Vec<Family> {
        self.containers.own_families()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_left_to_the_store() {
        for (limit, want) in [
            (0, 0),
            (256, 0),
            (1_024, 256),
            (65_536, 21_760),
            (u64::MAX, 349_440),
        ] {
            assert_eq!(files_for_containers(limit), want, "{limit}");
        }
    }

    #[test]
    fn the_limit_of_files_is_raised_as_far_as_it_may_be() {
        let raised = raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), raised);
        assert!(raised >= limit.maximum.unwrap_or(u64::MAX).min(MOST_FILES));
    }
}
