//! What happened to containers, kept as marks for charts and as counters.
//!
//! Marks lie in memory, sorted by time, and as JSON lines in a file of the data folder:
//!
//! ```text
//!   {"t":1795341600123,"app":"shop-web","container":"shop-web-1","id":"3f..","event":"exit","exit":1}
//! ```
//!
//! A mark is appended when it is made. A last line that a crash tore is left out when the file is read, and ended by the next
//! mark. When more of the file is old than new it is written anew beside itself and renamed. A mark is kept once: the
//! engine may tell an event again after a restart.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// Marks kept. Past that the application with the most of them loses its oldest: a crash loop does not push out other
/// applications' deploys.
const MAX_MARKS: usize = 20_000;
/// So many go at once then.
const MAX_MARKS_STEP: usize = 1_000;
/// Lines of the file that are not kept any more before it is written anew.
const MAX_OLD_LINES: usize = 5_000;
/// A file larger than this was not written by us; the rest of it is not read.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Applications that are counted.
const MAX_APPS: usize = 1_000;
/// Where the others are counted.
const OTHER_APPS: &str = "(other)";
/// An application without containers is counted for so long after its last event.
const APP_GONE_MS: i64 = 3_600_000;

/// All words that [`Mark::event`] can be.
pub const EVENTS: [&str; 10] = [
    "deploy",
    "start",
    "stop",
    "exit",
    "oom_kill",
    "unhealthy",
    "healthy",
    "pause",
    "unpause",
    "rename",
];
/// Those that every application is counted for from the beginning, so that the first one shows in `increase()`.
const COUNTED: [&str; 6] = ["deploy", "start", "stop", "exit", "oom_kill", "unhealthy"];

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// When, in milliseconds since the epoch.
    pub t_ms: i64,
    /// The application.
    pub app: String,
    /// Its project, or empty.
    pub project: String,
    /// The container's name.
    pub container: String,
    /// The container.
    pub id: String,
    /// `deploy`, `start`, `stop`, `exit`, `oom_kill`, `unhealthy`, `healthy`, `pause`, `unpause`, `rename`.
    pub event: &'static str,
    /// The image, for a deploy.
    pub image: String,
    /// For `stop` and `exit`.
    pub exit_code: Option<i64>,
}

/// A mark as a line of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    t: i64,
    app: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    project: String,
    container: String,
    id: String,
    event: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    image: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i64>,
}

impl Mark {
    fn line(&self) -> String {
        let line = Line {
            t: self.t_ms,
            app: self.app.clone(),
            project: self.project.clone(),
            container: self.container.clone(),
            id: self.id.clone(),
            event: self.event.to_owned(),
            image: self.image.clone(),
            exit: self.exit_code,
        };
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        text
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let line: Line = serde_json::from_slice(bytes).ok()?;
        let event = EVENTS.into_iter().find(|event| *event == line.event)?;
        (!line.id.is_empty()).then_some(Self {
            t_ms: line.t,
            app: line.app,
            project: line.project,
            container: line.container,
            id: line.id,
            event,
            image: line.image,
            exit_code: line.exit,
        })
    }
}

#[derive(Debug)]
struct MarkFile {
    path: PathBuf,
    file: File,
    lines: usize,
    /// The last line has no end.
    torn: bool,
    /// The last write failed, and it was said.
    failed: bool,
}

impl MarkFile {
    fn open(path: &Path, lines: usize, torn: bool) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: File::options().create(true).append(true).open(path)?,
            lines,
            torn,
            failed: false,
        })
    }

    fn append(&mut self, mark: &Mark) -> io::Result<()> {
        let line = mark.line();
        let text = if self.torn { format!("\n{line}") } else { line };
        // In one write, so that a crash leaves a whole line or a torn last one.
        self.torn = true;
        self.file.write_all(text.as_bytes())?;
        self.torn = false;
        self.lines += 1;
        Ok(())
    }

    fn rewrite(&mut self, marks: &VecDeque<Mark>) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        let text: String = marks.iter().map(Mark::line).collect();
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        *self = Self::open(&self.path, marks.len(), false)?;
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Inner {
    marks: VecDeque<Mark>,
    file: Option<MarkFile>,
    counts: BTreeMap<String, Counts>,
    added: u64,
}

#[derive(Debug, Default)]
struct Counts {
    events: BTreeMap<&'static str, u64>,
    last_ms: i64,
}

/// The marks that are kept.
#[derive(Debug, Default)]
pub struct Marks {
    inner: Mutex<Inner>,
}

/// What a reader gets.
#[derive(Debug, Default, PartialEq)]
pub struct Selected {
    /// Rising in time.
    pub marks: Vec<Mark>,
    /// There were more, older ones.
    pub truncated: bool,
}

impl Marks {
    /// Marks that are kept in a file. What an earlier process wrote there is read, as far as it is not older than `oldest_ms`.
    /// When the file cannot be used the marks live in memory alone, and the log says so.
    #[must_use]
    pub fn open(path: &Path, oldest_ms: i64) -> Self {
        let mut inner = Inner::default();
        let opened = read(path).and_then(|bytes| {
            let torn = bytes.last().is_some_and(|b| *b != b'\n');
            let mut lines = 0;
            for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                lines += 1;
                inner.marks.extend(Mark::read(line));
            }
            MarkFile::open(path, lines, torn)
        });
        match opened {
            Ok(file) => inner.file = Some(file),
            Err(e) => tracing::warn!(
                "the events of containers cannot be kept in {}: {e}; they will be gone at the next start",
                path.display()
            ),
        }
        inner.marks.make_contiguous().sort_by_key(|mark| mark.t_ms);
        inner.bound(oldest_ms);
        Self {
            inner: Mutex::new(inner),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a mark and counts it; `false` when it is there already.
    pub fn add(&self, mark: Mark) -> bool {
        let mut inner = self.lock();
        let end = inner.marks.partition_point(|other| other.t_ms <= mark.t_ms);
        let known = inner
            .marks
            .range(..end)
            .rev()
            .take_while(|other| other.t_ms == mark.t_ms)
            .any(|other| kind(other.event) == kind(mark.event) && other.id == mark.id);
        if known {
            return false;
        }
        inner.count(&mark);
        inner.write(&mark);
        inner.marks.insert(end, mark);
        inner.bound(i64::MIN);
        true
    }

    /// Marks counted since the start of the process: [`Marks::counts`] changes with it, and with time.
    #[must_use]
    pub fn added(&self) -> u64 {
        self.lock().added
    }

    /// Forgets what is older.
    pub fn cut(&self, oldest_ms: i64) {
        self.lock().bound(oldest_ms);
    }

    /// The marks of a time range, both ends included; of more than `limit` the newest.
    #[must_use]
    pub fn select(&self, start_ms: i64, end_ms: i64, app: Option<&str>, limit: usize) -> Selected {
        let inner = self.lock();
        let from = inner.marks.partition_point(|mark| mark.t_ms < start_ms);
        let to = inner.marks.partition_point(|mark| mark.t_ms <= end_ms).max(from);
        let mut found = inner
            .marks
            .range(from..to)
            .rev()
            .filter(|mark| app.is_none_or(|app| mark.app == app));
        let mut marks: Vec<Mark> = found.by_ref().take(limit).cloned().collect();
        let truncated = found.next().is_some();
        marks.reverse();
        Selected { marks, truncated }
    }

    /// The time of the newest mark that is not after `now_ms`.
    #[must_use]
    pub fn last_ms(&self, now_ms: i64) -> Option<i64> {
        let inner = self.lock();
        inner
            .marks
            .iter()
            .rev()
            .map(|mark| mark.t_ms)
            .find(|t_ms| *t_ms <= now_ms)
    }

    /// Events since the start of the process as `(app, event, count)`, sorted. `apps` are those that have containers: they are there
    /// from the beginning with zeros; an application without containers goes an hour after its last event.
    #[must_use]
    pub fn counts(&self, apps: &[&str], now_ms: i64) -> Vec<(String, &'static str, u64)> {
        let mut inner = self.lock();
        for app in apps {
            if inner.counts.len() >= MAX_APPS {
                break;
            }
            let counts = inner.counts.entry((*app).to_owned()).or_default();
            for event in COUNTED {
                counts.events.entry(event).or_default();
            }
        }
        inner.counts.retain(|app, counts| {
            counts.last_ms.saturating_add(APP_GONE_MS) > now_ms || apps.contains(&app.as_str())
        });
        let rows = inner.counts.iter().flat_map(|(app, counts)| {
            counts
                .events
                .iter()
                .map(|(event, count)| (app.clone(), *event, *count))
        });
        rows.collect()
    }
}

/// A start told again may look like a later one, and an end like one that nobody asked for: what was told before it is missing.
fn kind(event: &'static str) -> &'static str {
    match event {
        "start" => "deploy",
        "exit" => "stop",
        other => other,
    }
}

/// The file, or nothing when there is none yet.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map(|_| bytes),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(bytes),
        Err(e) => Err(e),
    }
}

impl Inner {
    fn count(&mut self, mark: &Mark) {
        self.added += 1;
        let full = self.counts.len() >= MAX_APPS && !self.counts.contains_key(&mark.app);
        let app = if full { OTHER_APPS } else { &mark.app };
        let counts = self.counts.entry(app.to_owned()).or_default();
        counts.last_ms = counts.last_ms.max(mark.t_ms);
        *counts.events.entry(mark.event).or_default() += 1;
    }

    /// A disk that is full costs the marks nothing but their place in the file.
    fn write(&mut self, mark: &Mark) {
        let Some(file) = &mut self.file else { return };
        match file.append(mark) {
            Ok(()) => file.failed = false,
            Err(e) if !file.failed => {
                file.failed = true;
                tracing::warn!(
                    "writing an event of a container to {}: {e}; it is kept in memory alone",
                    file.path.display()
                );
            }
            Err(_) => {}
        }
    }

    fn bound(&mut self, oldest_ms: i64) {
        while self.marks.front().is_some_and(|mark| mark.t_ms < oldest_ms) {
            self.marks.pop_front();
        }
        if self.marks.len() > MAX_MARKS {
            self.thin();
        }
        let Some(file) = &mut self.file else { return };
        let old = file.lines > self.marks.len() + MAX_OLD_LINES && !file.failed;
        if old && let Err(e) = file.rewrite(&self.marks) {
            file.failed = true;
            tracing::warn!(
                "writing the events of containers anew to {}: {e}",
                file.path.display()
            );
        }
    }

    /// Takes marks from the application that has the most.
    fn thin(&mut self) {
        let mut per_app: HashMap<&str, usize> = HashMap::new();
        for mark in &self.marks {
            *per_app.entry(&mark.app).or_default() += 1;
        }
        let most = per_app.into_iter().max_by_key(|(_, count)| *count);
        let Some(app) = most.map(|(app, _)| app.to_owned()) else {
            return;
        };
        let mut left = MAX_MARKS_STEP;
        self.marks.retain(|mark| {
            let goes = left > 0 && mark.app == app;
            left -= usize::from(goes);
            !goes
        });
        while self.marks.len() > MAX_MARKS {
            self.marks.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "marks_tests.rs"]
mod tests;
