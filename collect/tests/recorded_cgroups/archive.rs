//! A recorded machine: the text archive that `tests/cgroup-v2/record.sh` writes, unpacked into a folder.
//!
//! ```text
//!   what was recorded, in a sentence
//!   == /proc/stat                    a file and its lines
//!   cpu  1 2 3
//!   => /proc/7/fd/0 /dev/null        a symbolic link
//!   == /docker/burner/stats          no file: what the engine said of the container, `key value` a line
//!   pids_stats.current 1
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use collect::{Container, ContainerCollector, ContainerOptions, Groups, Paths};
use model::{Family, MetricValue};
use tempfile::TempDir;

/// What the engine said of one container.
type Facts = BTreeMap<String, String>;

/// The unpacked machine.
pub(crate) struct Recorded {
    folder: TempDir,
    files: BTreeMap<String, String>,
    /// By container and kind: `inspect`, `stats`.
    facts: BTreeMap<(String, String), Facts>,
}

impl Recorded {
    /// `tests/fixtures/NAME.txt`, unpacked into a folder of its own: tests run beside each other, each in its process.
    pub(crate) fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.txt"));
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut recorded = Self {
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            files: BTreeMap::new(),
            facts: BTreeMap::new(),
        };
        let mut path = None;
        for line in text.lines().skip(1) {
            if let Some(name) = line.strip_prefix("== ") {
                path = Some(name.to_owned());
                recorded.files.entry(name.to_owned()).or_default();
            } else if let Some(link) = line.strip_prefix("=> ") {
                let (name, target) = link.split_once(' ').expect("a link has a target");
                let name = recorded.at(name);
                fs::create_dir_all(name.parent().unwrap()).unwrap();
                symlink(target, name).unwrap();
            } else {
                let file = path.as_ref().expect("lines stand below a path");
                let file = recorded.files.get_mut(file).unwrap();
                file.push_str(line);
                file.push('\n');
            }
        }
        for (name, text) in &recorded.files {
            if let Some(of) = name.strip_prefix("/docker/") {
                let (container, kind) = of.split_once('/').unwrap_or(("", of));
                let facts = text
                    .lines()
                    .filter_map(|line| line.split_once(' '))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect();
                recorded
                    .facts
                    .insert((container.to_owned(), kind.to_owned()), facts);
            } else {
                let at = recorded.at(name);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                fs::write(at, text).unwrap();
            }
        }
        recorded
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }

    /// A recorded file.
    pub(crate) fn file(&self, path: &str) -> &str {
        self.files
            .get(path)
            .unwrap_or_else(|| panic!("{path} was not recorded"))
    }

    /// What the engine said: `kind` is `inspect` or `stats`. `None` when it did not.
    pub(crate) fn fact(&self, container: &str, kind: &str, key: &str) -> Option<&str> {
        let facts = self.facts.get(&(container.to_owned(), kind.to_owned()))?;
        facts.get(key).map(String::as_str)
    }

    /// The sum of a number that the engine gives by device, of one operation.
    pub(crate) fn block_bytes(&self, container: &str, operation: &str) -> f64 {
        let stats = &self.facts[&(container.to_owned(), "stats".to_owned())];
        let prefix = "blkio_stats.io_service_bytes_recursive.";
        let is_it = |key: &str| {
            key.strip_prefix(prefix)
                .and_then(|rest| rest.strip_suffix(".op"))
                .map(str::to_owned)
        };
        stats
            .iter()
            .filter(|(_, value)| value.eq_ignore_ascii_case(operation))
            .filter_map(|(key, _)| is_it(key))
            .map(|at| number(&stats[&format!("{prefix}{at}.value")]))
            .sum()
    }

    /// The 64 digits of a container.
    pub(crate) fn id(&self, container: &str) -> &str {
        self.fact(container, "inspect", "id")
            .expect("the container was recorded")
    }

    /// Names of the containers that ran, sorted.
    pub(crate) fn running(&self) -> Vec<&str> {
        self.facts
            .keys()
            .filter(|(_, kind)| kind == "stats")
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// A collector for this machine that knows the containers that ran, as the engine's side of Masthead tells it.
    pub(crate) fn collector(&self, groups: Groups) -> ContainerCollector {
        let options = ContainerOptions {
            paths: Paths {
                procfs: self.at("/proc"),
                sysfs: self.at("/sys"),
                rootfs: self.folder.path().to_owned(),
                udev: self.at("/run/udev/data"),
            },
            groups,
            ..ContainerOptions::default()
        };
        let mut collector = ContainerCollector::new(&options);
        collector.set_running(
            self.running()
                .iter()
                .map(|name| Container {
                    id: self.id(name).to_owned(),
                    pid: self.fact(name, "inspect", "pid").unwrap().parse().unwrap(),
                    labels: vec![("name".to_owned(), (*name).to_owned())],
                    own_network: self.fact(name, "inspect", "network") != Some("host"),
                    created_s: 1_000.0,
                    started_s: 1_001.0,
                    ..Container::default()
                })
                .collect(),
        );
        collector
    }
}

/// A number as the engine or the kernel writes it.
pub(crate) fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

/// What was collected, to be asked.
pub(crate) struct Series(Vec<Family>);

impl Series {
    /// Families as they came.
    pub(crate) fn new(families: Vec<Family>) -> Self {
        Self(families)
    }

    /// Every series of a family: labels and value.
    pub(crate) fn of(&self, family: &str) -> Vec<(BTreeMap<&str, &str>, f64)> {
        self.0
            .iter()
            .filter(|f| f.name == family)
            .flat_map(|f| &f.metrics)
            .map(|metric| {
                let labels = metric
                    .labels
                    .iter()
                    .map(|(name, value)| (&**name, &**value))
                    .collect();
                let MetricValue::Float(value) = metric.value else {
                    panic!("{family} is of plain numbers");
                };
                (labels, value)
            })
            .collect()
    }

    /// The sum over the series of a family that have these labels, and how many there are.
    pub(crate) fn sum(&self, family: &str, wanted: &[(&str, &str)]) -> (usize, f64) {
        let values: Vec<f64> = self
            .of(family)
            .into_iter()
            .filter(|(labels, _)| wanted.iter().all(|(name, value)| labels.get(name) == Some(value)))
            .map(|(_, value)| value)
            .collect();
        (values.len(), values.iter().sum())
    }
}
