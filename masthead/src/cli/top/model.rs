//! What `masthead top` shows and what keys do to it; knows neither terminal nor network.

use std::collections::{HashMap, VecDeque};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde::Deserialize;

/// Readings kept for the sparklines.
pub(super) const HISTORY: usize = 60;
/// Rows that a page up or down goes.
const PAGE: usize = 10;

/// One reading of the live API.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
pub(super) struct Reading {
    #[serde(default)]
    pub(super) host: HostNow,
    #[serde(default)]
    pub(super) containers: Vec<ContainerNow>,
}

/// The host's part of it.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct HostNow {
    pub(super) cpu_ratio: Option<f64>,
    pub(super) load1: Option<f64>,
    pub(super) memory_used_bytes: Option<f64>,
    pub(super) memory_total_bytes: Option<f64>,
    pub(super) swap_used_bytes: Option<f64>,
    pub(super) receive_bytes_per_second: Option<f64>,
    pub(super) transmit_bytes_per_second: Option<f64>,
    pub(super) read_bytes_per_second: Option<f64>,
    pub(super) written_bytes_per_second: Option<f64>,
}

/// A container's part of it.
#[derive(Debug, Clone, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerNow {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) app: String,
    pub(super) project: String,
    pub(super) cpu_cores: Option<f64>,
    pub(super) memory_working_set_bytes: Option<f64>,
    pub(super) memory_limit_bytes: Option<f64>,
    pub(super) receive_bytes_per_second: Option<f64>,
    pub(super) transmit_bytes_per_second: Option<f64>,
    pub(super) read_bytes_per_second: Option<f64>,
    pub(super) written_bytes_per_second: Option<f64>,
    pub(super) processes: Option<f64>,
}

/// A line of the table: an app with all its containers, or one container.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) replicas: usize,
    pub(super) cpu_cores: Option<f64>,
    pub(super) memory_bytes: Option<f64>,
    /// `None` when one of them has none.
    pub(super) memory_limit_bytes: Option<f64>,
    pub(super) receive: Option<f64>,
    pub(super) transmit: Option<f64>,
    pub(super) read: Option<f64>,
    pub(super) written: Option<f64>,
    pub(super) processes: Option<f64>,
    /// CPU cores of the last readings, the newest last.
    pub(super) history: Vec<f64>,
}

/// What the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Lines {
    #[default]
    Apps,
    Containers,
}

/// What they are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sort {
    Name,
    #[default]
    Cpu,
    Memory,
    Network,
    Io,
}

/// How the feed fares.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Connection {
    #[default]
    Waiting,
    Live,
    /// With the reason; it is tried again.
    Lost(String),
}

/// Everything that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) reading: Reading,
    pub(super) connection: Connection,
    pub(super) lines: Lines,
    pub(super) sort: Sort,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// Keys go to the filter.
    pub(super) editing: bool,
    pub(super) selected: usize,
    pub(super) quit: bool,
    /// By name of the app, and by id of the container.
    history: HashMap<(Lines, String), VecDeque<f64>>,
}

impl std::hash::Hash for Lines {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        core::mem::discriminant(self).hash(state);
    }
}

/// A sum of which a part may not be known: the sum of the rest, nothing when none is.
fn add(sum: &mut Option<f64>, part: Option<f64>) {
    if let Some(part) = part {
        *sum = Some(sum.unwrap_or(0.0) + part);
    }
}

fn printable(text: &mut String) {
    text.retain(|c| !c.is_control());
}

impl Row {
    fn of(name: &str, containers: &[&ContainerNow]) -> Self {
        let mut row = Self {
            name: name.to_owned(),
            replicas: containers.len(),
            ..Self::default()
        };
        for one in containers {
            add(&mut row.cpu_cores, one.cpu_cores);
            add(&mut row.memory_bytes, one.memory_working_set_bytes);
            add(&mut row.receive, one.receive_bytes_per_second);
            add(&mut row.transmit, one.transmit_bytes_per_second);
            add(&mut row.read, one.read_bytes_per_second);
            add(&mut row.written, one.written_bytes_per_second);
            add(&mut row.processes, one.processes);
        }
        // A limit of some is no limit of all.
        row.memory_limit_bytes = containers.iter().map(|one| one.memory_limit_bytes).sum();
        row
    }

    fn sort_value(&self, sort: Sort) -> f64 {
        let sum = |a: Option<f64>, b: Option<f64>| a.unwrap_or(0.0) + b.unwrap_or(0.0);
        match sort {
            Sort::Name => 0.0,
            Sort::Cpu => self.cpu_cores.unwrap_or(0.0),
            Sort::Memory => self.memory_bytes.unwrap_or(0.0),
            Sort::Network => sum(self.receive, self.transmit),
            Sort::Io => sum(self.read, self.written),
        }
    }
}

impl Model {
    /// Takes a reading.
    pub(super) fn take(&mut self, mut reading: Reading) {
        for one in &mut reading.containers {
            for text in [&mut one.name, &mut one.app, &mut one.project] {
                printable(text);
            }
        }
        self.reading = reading;
        self.connection = Connection::Live;
        let mut cores: HashMap<(Lines, String), Option<f64>> = HashMap::new();
        for one in &self.reading.containers {
            for key in [
                (Lines::Apps, one.app.clone()),
                (Lines::Containers, one.id.clone()),
            ] {
                add(cores.entry(key).or_default(), one.cpu_cores);
            }
        }
        // What is gone is forgotten.
        self.history.retain(|key, _| cores.contains_key(key));
        for (key, value) in cores {
            let past = self.history.entry(key).or_default();
            if let Some(value) = value {
                past.push_back(value);
            }
            if past.len() > HISTORY {
                past.pop_front();
            }
        }
    }

    /// The lines, filtered and sorted.
    pub(super) fn rows(&self) -> Vec<Row> {
        let wanted = self.filter.to_lowercase();
        let fits = |one: &&ContainerNow| {
            wanted.is_empty()
                || [&one.name, &one.app, &one.project]
                    .iter()
                    .any(|text| text.to_lowercase().contains(&wanted))
        };
        let mut groups: Vec<(String, String, Vec<&ContainerNow>)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for one in self.reading.containers.iter().filter(fits) {
            let (key, name) = match self.lines {
                Lines::Apps => (&one.app, &one.app),
                Lines::Containers => (&one.id, &one.name),
            };
            let place = *places.entry(key).or_insert(groups.len());
            match groups.get_mut(place) {
                Some((.., members)) => members.push(one),
                None => groups.push((key.clone(), name.clone(), vec![one])),
            }
        }
        let mut rows: Vec<Row> = groups
            .into_iter()
            .map(|(key, name, members)| {
                let past = self.history.get(&(self.lines, key));
                Row {
                    history: past.into_iter().flatten().copied().collect(),
                    ..Row::of(&name, &members)
                }
            })
            .collect();
        rows.sort_by(|a, b| {
            // Numbers begin with the largest, names with the first; equal ones never change places.
            let by_value = b.sort_value(self.sort).total_cmp(&a.sort_value(self.sort));
            let by_name = a.name.cmp(&b.name);
            match (self.sort, self.reversed) {
                (Sort::Name, true) => by_name.reverse(),
                (_, true) => by_value.reverse().then(by_name),
                (_, false) => by_value.then(by_name),
            }
        });
        rows
    }

    /// What a key does.
    pub(super) fn key(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            self.quit |= matches!(key.code, KeyCode::Char('c' | 'd'));
            return;
        }
        if self.editing {
            self.edit(key.code);
            return;
        }
        match key.code {
            KeyCode::Char('q') => self.quit = true,
            KeyCode::Char('/') => self.editing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Tab => {
                self.lines = match self.lines {
                    Lines::Apps => Lines::Containers,
                    Lines::Containers => Lines::Apps,
                };
                self.selected = 0;
            }
            KeyCode::Char('a') => self.sort_by(Sort::Name),
            KeyCode::Char('c') => self.sort_by(Sort::Cpu),
            KeyCode::Char('m') => self.sort_by(Sort::Memory),
            KeyCode::Char('n') => self.sort_by(Sort::Network),
            KeyCode::Char('i') => self.sort_by(Sort::Io),
            code => self.go(code),
        }
    }

    fn edit(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.editing = false,
            KeyCode::Esc => {
                self.editing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) if !c.is_control() => self.filter.push(c),
            code => self.go(code),
        }
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
    }

    fn go(&mut self, code: KeyCode) {
        let last = self.rows().len().saturating_sub(1);
        let to = match code {
            KeyCode::Down | KeyCode::Char('j') => self.selected.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.selected.saturating_sub(1),
            KeyCode::PageDown => self.selected.saturating_add(PAGE),
            KeyCode::PageUp => self.selected.saturating_sub(PAGE),
            KeyCode::Home => 0,
            KeyCode::End => last,
            _ => return,
        };
        self.selected = to.min(last);
    }

    /// The same key again turns the order round.
    fn sort_by(&mut self, sort: Sort) {
        self.reversed = self.sort == sort && !self.reversed;
        self.sort = sort;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::top) fn container(
        id: &str,
        app: &str,
        cpu: f64,
        memory: f64,
        limit: Option<f64>,
    ) -> ContainerNow {
        ContainerNow {
            id: id.to_owned(),
            name: format!("{app}.{id}"),
            app: app.to_owned(),
            project: "shop".to_owned(),
            cpu_cores: Some(cpu),
            memory_working_set_bytes: Some(memory),
            memory_limit_bytes: limit,
            receive_bytes_per_second: Some(memory),
            transmit_bytes_per_second: Some(0.0),
            read_bytes_per_second: None,
            written_bytes_per_second: None,
            processes: Some(2.0),
        }
    }

    pub(in crate::cli::top) fn model() -> Model {
        let mut model = Model::default();
        model.take(Reading {
            host: HostNow {
                cpu_ratio: Some(0.125),
                load1: Some(0.5),
                memory_used_bytes: Some(1.2 * 1073741824.0),
                memory_total_bytes: Some(2.0 * 1073741824.0),
                ..HostNow::default()
            },
            containers: vec![
                container("1", "web", 0.25, 100.0, Some(400.0)),
                container("2", "db", 0.4, 50.0, Some(100.0)),
                container("3", "web", 0.25, 100.0, None),
                container("4", "cache", 0.1, 900.0, Some(1000.0)),
            ],
        });
        model
    }

    fn names(model: &Model) -> Vec<String> {
        model.rows().into_iter().map(|row| row.name).collect()
    }

    fn press(model: &mut Model, keys: &str) {
        for c in keys.chars() {
            let code = match c {
                '\t' => KeyCode::Tab,
                '\n' => KeyCode::Enter,
                '<' => KeyCode::Backspace,
                '!' => KeyCode::Esc,
                'v' => KeyCode::Down,
                c => KeyCode::Char(c),
            };
            model.key(KeyEvent::new(code, KeyModifiers::NONE));
        }
    }

    #[test]
    fn keys_sort_filter_and_switch() {
        for (keys, want) in [
            ("", &["web", "db", "cache"][..]),
            ("c", &["cache", "db", "web"]),
            ("m", &["cache", "web", "db"]),
            ("mm", &["db", "web", "cache"]),
            ("n", &["cache", "web", "db"]),
            ("i", &["cache", "db", "web"]),
            ("a", &["cache", "db", "web"]),
            ("aa", &["web", "db", "cache"]),
            ("/WE\n", &["web"]),
            ("/wex<\n", &["web"]),
            ("/shop", &["web", "db", "cache"]),
            ("/zzz", &[]),
            ("/zzz!", &["web", "db", "cache"]),
            ("/db\n!", &["web", "db", "cache"]),
            ("\t", &["db.2", "web.1", "web.3", "cache.4"]),
            ("\t\t", &["web", "db", "cache"]),
            // Keys that sort are letters while the filter is written.
            ("/ca", &["cache"]),
        ] {
            let mut model = model();
            press(&mut model, keys);
            assert_eq!(names(&model), want, "{keys:?}");
        }
    }

    #[test]
    fn an_app_sums_its_replicas() {
        let rows = model().rows();
        let web = &rows[0];
        assert_eq!(
            (web.replicas, web.cpu_cores, web.memory_bytes),
            (2, Some(0.5), Some(200.0))
        );
        assert_eq!(web.memory_limit_bytes, None, "one of them has no limit");
        assert_eq!(rows[1].memory_limit_bytes, Some(100.0));
        assert_eq!(web.read, None);
        assert_eq!(web.history, [0.5]);
    }

    #[test]
    fn history_is_bounded_and_of_the_living() {
        let mut model = model();
        let reading = model.reading.clone();
        for _ in 0..100 {
            model.take(reading.clone());
        }
        assert_eq!(model.rows()[0].history.len(), HISTORY);
        model.take(Reading::default());
        assert!(model.history.is_empty() && model.rows().is_empty());
    }

    #[test]
    fn the_selection_stays_within_the_rows() {
        let mut model = model();
        press(&mut model, "vvvvvv");
        assert_eq!(model.selected, 2);
        press(&mut model, "/web");
        assert_eq!(model.selected, 0);
        for (code, want) in [(KeyCode::End, 0), (KeyCode::PageDown, 0), (KeyCode::Up, 0)] {
            model.key(KeyEvent::new(code, KeyModifiers::NONE));
            assert_eq!(model.selected, want);
        }
    }

    #[test]
    fn q_and_control_c_quit_but_q_in_a_filter_does_not() {
        let mut model = model();
        press(&mut model, "/q");
        assert!(!model.quit);
        model.key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(model.quit);
        let mut model = self::model();
        press(&mut model, "q");
        assert!(model.quit);
    }

    #[test]
    fn a_reading_of_another_version_is_taken_as_far_as_it_is_known() {
        let text = r#"{"time":1,"new":{},"host":{"cpuRatio":null,"load1":2},"containers":[{"id":"x","name":"a\u001bb","cpuCores":1.5}]}"#;
        let mut model = Model::default();
        model.take(serde_json::from_str(text).unwrap());
        assert_eq!(model.reading.host.load1, Some(2.0));
        press(&mut model, "\t");
        assert_eq!(names(&model), ["ab"], "a name cannot steer the terminal");
    }
}
