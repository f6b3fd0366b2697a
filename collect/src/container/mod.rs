//! Container metrics with cAdvisor's names, labels, types and help, read from cgroups and `/proc`.
//!
//! Which containers there are, and what they are called, comes from outside ([`ContainerCollector::set_running`]): this module
//! knows no Docker. Where a container's cgroup is, is read from `/proc/<pid>/cgroup` of its first process, so that it does not
//! matter which driver named the folder, nor which hierarchy (v1, v2, both) holds the controller.

use model::Family;

use crate::options::Paths;

/// A running container, as its runtime describes it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Container {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its first process in the host's numbering.
    pub pid: u32,
    /// Labels of all its series but `id`, sorted by name: `app`, `container_label_...`, `image`, `name`, `project`.
    /// A pair with an empty value is left out before it comes here.
    pub labels: Vec<(String, String)>,
    /// It has a network namespace of its own, neither the host's nor another container's.
    pub own_network: bool,
    /// Seconds since the epoch.
    pub created_s: f64,
    /// Seconds since the epoch; 0 when the runtime did not say.
    pub started_s: f64,
    /// What its health check says; `None` without one.
    pub healthy: Option<bool>,
    /// OOM kills that the runtime has told of since Masthead knows the container. A cgroup that died with its process can no
    /// longer be asked, so `container_oom_events_total` is the larger one of this and what the cgroup counted.
    pub oom_kills: u64,
}

/// Which cgroups that belong to no container are read too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Groups {
    /// None but the machine itself, `id="/"`.
    None,
    /// Those right below the root (`/system.slice`, `/user.slice`, `/docker`).
    #[default]
    Top,
    /// All, as cAdvisor does.
    All,
}

/// What is read.
#[derive(Debug, Clone, Default)]
pub struct ContainerOptions {
    /// Where `/proc` and `/sys` are; cgroups are below `sysfs/fs/cgroup` (or where `/proc/self/mountinfo` says).
    pub paths: Paths,
    /// One CPU series a processor instead of one in all (`cpu="total"`).
    pub per_cpu: bool,
    /// Cgroups of no container.
    pub groups: Groups,
}

/// One round.
#[derive(Debug, Default)]
pub struct ContainerCollection {
    /// Sorted by name, as an exporter prints them.
    pub families: Vec<Family>,
    /// What could not be read that should have been; a container that ended in between is none of these.
    pub warnings: Vec<String>,
}

/// The present state of one container (or of the machine, with an empty `id`), for live pages: counters since it started and gauges.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// As in [`Container::id`].
    pub id: String,
    /// CPU seconds used.
    pub cpu_s: f64,
    /// Bytes in use that cannot be given back at once (cAdvisor's working set).
    pub memory_working_set_bytes: f64,
    /// Bytes; `None` when there is no limit below the machine's memory.
    pub memory_limit_bytes: Option<f64>,
    /// Bytes received by its own network namespace, loopback left out.
    pub receive_bytes: f64,
    /// Bytes sent.
    pub transmit_bytes: f64,
    /// Bytes read from block devices.
    pub read_bytes: f64,
    /// Bytes written to block devices.
    pub write_bytes: f64,
    /// Processes.
    pub processes: f64,
}

/// Reads all containers. Make one and keep it: it holds files open and knows what it saw.
#[derive(Debug)]
pub struct ContainerCollector {
    options: ContainerOptions,
    running: Vec<Container>,
}

impl ContainerCollector {
    /// A collector for these options. Nothing is read yet.
    #[must_use]
    pub fn new(options: &ContainerOptions) -> Self {
        Self {
            options: options.clone(),
            running: Vec::new(),
        }
    }

    /// The containers that run now. Files of those that are gone are closed; a container whose `pid` changed is found again.
    pub fn set_running(&mut self, running: Vec<Container>) {
        self.running = running;
    }

    /// Reads everything once.
    pub fn collect(&mut self, now_ms: i64) -> ContainerCollection {
        let _ = (now_ms, &self.options);
        ContainerCollection::default()
    }

    /// The few figures that live pages show, of all containers and of the machine.
    pub fn read_live(&mut self) -> Vec<Reading> {
        Vec::new()
    }

    /// The processes of a container in the host's numbering; none when it is not known or gone.
    pub fn pids(&mut self, id: &str) -> Vec<u32> {
        let _ = id;
        Vec::new()
    }

    /// Most files that may be held open at once. The shell sets it from the process limit.
    pub fn set_files_max(&mut self, files: usize) {
        let _ = files;
    }
}
