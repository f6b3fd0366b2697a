//! What an event of the engine means: a pure state machine from events to marks.
//!
//! ```text
//!   start   first one of the container -> deploy, a later one -> start
//!   kill .. die  -> stop  (somebody asked: docker stop, kill, rm -f, a service's update)
//!   die          -> exit  (it ended by itself)
//!   oom -> oom_kill   pause, unpause, rename   health_status, when it changed -> healthy, unhealthy
//! ```
//!
//! Events carry name, image and labels of their container, so that marks can be made for containers that are gone already.

use std::collections::{BTreeMap, HashMap};

use super::answer::{EventLine, Inspect};
use super::inventory::Known;
use super::known::{app_and_project, bounded, name_of};
use super::marks::Mark;

/// A signal that need not end a process (SIGHUP, SIGWINCH as an image's stop signal) counts as the wish for its end for so long.
const MILD_SIGNAL_MS: i64 = 10_000;
/// The engine notes a start a little before it tells of it.
const START_SLACK_MS: i64 = 5_000;

/// The events that are asked for: the others of containers (`exec_start` of each health check, `top`, `attach`) change nothing.
pub(super) const ACTIONS: [&str; 13] = [
    "create",
    "start",
    "restart",
    "die",
    "kill",
    "stop",
    "oom",
    "pause",
    "unpause",
    "rename",
    "update",
    "health_status",
    "destroy",
];

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Create,
    Start,
    Kill,
    Stop,
    Restart,
    Die,
    Oom,
    Pause,
    Unpause,
    Rename,
    Healthy,
    Unhealthy,
    Destroy,
    /// Something changed that makes no mark.
    Update,
}

/// An event of a container.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Event {
    pub(super) t_ns: i64,
    pub(super) id: String,
    pub(super) action: Action,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) app: String,
    pub(super) project: String,
    pub(super) exit_code: Option<i64>,
    pub(super) signal: Option<u32>,
    /// Its labels, when it was just made.
    pub(super) labels: Vec<(String, String)>,
}

impl Event {
    /// From a line of the stream; `None` when it is of no use here.
    pub(super) fn read(line: EventLine) -> Option<Self> {
        let attributes: &BTreeMap<String, String> = &line.actor.attributes;
        let attribute = |key: &str| attributes.get(key).map_or("", String::as_str);
        // Podman says `die` in its Docker-compatible answers and `died` in some versions, `remove` for `destroy`.
        let (word, health) = match line.action.split_once(':') {
            Some((word, health)) => (word, health.trim()),
            None => (line.action.as_str(), attribute("health_status")),
        };
        let action = match (word, health) {
            ("create", _) => Action::Create,
            ("start", _) => Action::Start,
            ("kill", _) => Action::Kill,
            ("stop", _) => Action::Stop,
            ("restart", _) => Action::Restart,
            ("die" | "died", _) => Action::Die,
            ("oom", _) => Action::Oom,
            ("pause", _) => Action::Pause,
            ("unpause", _) => Action::Unpause,
            ("rename", _) => Action::Rename,
            ("health_status", "healthy") => Action::Healthy,
            ("health_status", "unhealthy") => Action::Unhealthy,
            ("destroy" | "remove", _) => Action::Destroy,
            ("update" | "health_status", _) => Action::Update,
            _ => return None,
        };
        if line.kind != "container" || line.actor.id.is_empty() || line.actor.id.len() > 128 {
            return None;
        }
        let name = name_of(attribute("name"));
        let (app, project) = app_and_project(&name, attributes);
        let code = ["exitCode", "containerExitCode"]
            .into_iter()
            .find_map(|key| attribute(key).parse().ok());
        Some(Self {
            t_ns: if line.time_ns > 0 {
                line.time_ns
            } else {
                line.time_s.saturating_mul(1_000_000_000)
            },
            image: bounded(attribute("image"), 512),
            exit_code: code,
            signal: attribute("signal").parse().ok(),
            labels: match action {
                Action::Create => attributes
                    .iter()
                    .filter(|(key, _)| !["name", "image"].contains(&key.as_str()))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
                _ => Vec::new(),
            },
            id: line.actor.id,
            action,
            name,
            app,
            project,
        })
    }

    /// A container that was just made. The engine is not asked about it: while it starts a container it gives no answer about it, and a
    /// hundred that start at once would hold up the news of those that run already.
    pub(super) fn created(&self) -> Known {
        Known {
            id: self.id.clone(),
            name: self.name.clone(),
            image: self.image.clone(),
            app: self.app.clone(),
            project: self.project.clone(),
            state: "created".to_owned(),
            created_ms: self.t_ms(),
            own_network: true,
            labels: self.labels.clone(),
            ..Known::default()
        }
    }

    pub(super) fn t_ms(&self) -> i64 {
        self.t_ns.div_euclid(1_000_000)
    }

    fn mark(&self, event: &'static str) -> Mark {
        Mark {
            t_ms: self.t_ms(),
            app: self.app.clone(),
            project: self.project.clone(),
            container: self.name.clone(),
            id: self.id.clone(),
            event,
            image: String::new(),
            exit_code: None,
        }
    }
}

/// What is remembered of one container between events.
#[derive(Debug, Default, Clone)]
struct Past {
    /// It has run before, as an event or a mark says.
    started: bool,
    running: bool,
    /// What `running` says was seen, and is not only what nobody said.
    seen: bool,
    /// An end up to then was asked for.
    asked_until_ms: Option<i64>,
    /// Last word of its health check that made a mark.
    health: &'static str,
    oom_kills: u64,
    /// The engine's own notes, as far as they were read.
    noted_start_ms: i64,
    noted_finish_ms: i64,
    /// It ended, and whether for lack of memory has not been asked.
    end: Option<Box<Mark>>,
}

/// What is remembered of all containers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    past: HashMap<String, Past>,
    /// The engine is Podman: its words come in another order.
    pub(super) podman: bool,
}

impl Memory {
    /// Takes over what the kept marks say.
    pub(super) fn recall(&mut self, marks: &[Mark]) {
        for mark in marks {
            let past = self.past.entry(mark.id.clone()).or_default();
            past.started = true;
            past.oom_kills += u64::from(mark.event == "oom_kill");
        }
    }

    /// Takes over what the engine says of a container now. Its events may still be on the way.
    pub(super) fn learn(&mut self, known: &Known) {
        let past = self.past.entry(known.id.clone()).or_default();
        if !past.seen {
            past.seen = true;
            past.running = known.pid > 0;
        }
        past.noted_start_ms = known.started_ms;
        past.noted_finish_ms = known.finished_ms;
    }

    /// Takes over the state of the health check, for an engine that tells it again and again.
    pub(super) fn learn_health(&mut self, known: &Known) {
        let past = self.past.entry(known.id.clone()).or_default();
        if past.health.is_empty() {
            past.health = match known.health.as_str() {
                "healthy" => "healthy",
                "unhealthy" => "unhealthy",
                _ => "",
            };
        }
    }

    /// OOM kills told of.
    pub(super) fn oom_kills(&self, id: &str) -> u64 {
        self.past.get(id).map_or(0, |past| past.oom_kills)
    }

    /// Forgets containers that are not there any more.
    pub(super) fn retain(&mut self, there: impl Fn(&str) -> bool) {
        self.past.retain(|id, _| there(id));
    }

    /// The end of a container that nobody told of: it ended while its engine was down. Its event, should it still come, would be a second
    /// one, so this is asked only when `known` is some time old.
    pub(super) fn missed_end(&mut self, known: &Known) -> Option<Mark> {
        let past = self.past.get_mut(&known.id)?;
        if !past.running || known.pid > 0 || known.finished_ms == 0 {
            return None;
        }
        past.running = false;
        past.started = true;
        Some(Mark {
            t_ms: known.finished_ms,
            app: known.app.clone(),
            project: known.project.clone(),
            container: known.name.clone(),
            id: known.id.clone(),
            event: if past.asked_until_ms.take().is_some() {
                "stop"
            } else {
                "exit"
            },
            image: String::new(),
            exit_code: known.exit_code,
        })
    }

    /// For an engine that tells of no OOM kill (Podman): its note on the container that ended.
    pub(super) fn end_judged(&mut self, answer: &Inspect) -> Option<Mark> {
        let past = self.past.get_mut(&answer.id)?;
        let end = past.end.take()?;
        answer.state.oom_killed.then(|| {
            past.oom_kills += 1;
            Mark {
                event: "oom_kill",
                exit_code: None,
                ..*end
            }
        })
    }
}

/// Does this signal end whatever does not catch it, and is it sent to end things?
fn ends(signal: Option<u32>) -> bool {
    matches!(signal, None | Some(2 | 3 | 9 | 15))
}

/// The mark that an event makes, if any.
pub(super) fn mark_for(memory: &mut Memory, event: &Event) -> Option<Mark> {
    let t_ms = event.t_ms();
    if event.action == Action::Destroy {
        memory.past.remove(&event.id);
        return None;
    }
    let past = memory.past.entry(event.id.clone()).or_default();
    match event.action {
        Action::Start => {
            let earlier = past.started
                || (past.noted_finish_ms > 0 && past.noted_finish_ms < t_ms)
                || (past.noted_start_ms > 0 && past.noted_start_ms.saturating_add(START_SLACK_MS) < t_ms);
            past.started = true;
            past.running = true;
            past.seen = true;
            past.asked_until_ms = None;
            past.health = "";
            past.end = None;
            let mut mark = event.mark(if earlier { "start" } else { "deploy" });
            if !earlier {
                mark.image.clone_from(&event.image);
            }
            Some(mark)
        }
        Action::Kill => {
            past.asked_until_ms = if ends(event.signal) {
                Some(i64::MAX)
            } else {
                past.asked_until_ms.max(Some(t_ms.saturating_add(MILD_SIGNAL_MS)))
            };
            None
        }
        Action::Stop | Action::Restart => {
            // Podman says so before the end, Docker after it, when it may run again.
            if memory.podman && past.running {
                past.asked_until_ms = Some(i64::MAX);
            }
            None
        }
        Action::Die => {
            let asked = past.asked_until_ms.take().is_some_and(|until| t_ms <= until);
            past.started = true;
            past.running = false;
            past.seen = true;
            let mut mark = event.mark(if asked { "stop" } else { "exit" });
            mark.exit_code = event.exit_code;
            past.end = Some(Box::new(mark.clone()));
            Some(mark)
        }
        Action::Oom => {
            past.oom_kills += 1;
            Some(event.mark("oom_kill"))
        }
        Action::Pause => Some(event.mark("pause")),
        Action::Unpause => Some(event.mark("unpause")),
        Action::Rename => Some(event.mark("rename")),
        Action::Healthy | Action::Unhealthy => {
            let word = if event.action == Action::Healthy {
                "healthy"
            } else {
                "unhealthy"
            };
            let changed = past.health != word;
            past.health = word;
            changed.then(|| event.mark(word))
        }
        Action::Create | Action::Update | Action::Destroy => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(t_s: i64, action: &str, more: &[(&str, &str)]) -> Event {
        let mut attributes = json!({ "name": "web", "image": "nginx:1" });
        for (name, value) in more {
            attributes[*name] = (*value).into();
        }
        let line = json!({ "Type": "container", "Action": action, "time": t_s, "timeNano": t_s * 1_000_000_000,
            "Actor": { "ID": "c1", "Attributes": attributes } });
        Event::read(serde_json::from_value(line).unwrap()).unwrap_or_else(|| panic!("{action}"))
    }

    /// Events as `second action key=value`; marks as `second event exit-code`.
    fn check(memory: &mut Memory, events: &[&str], want: &[&str]) {
        let got: Vec<String> = events
            .iter()
            .filter_map(|text| {
                let mut words = text.split(' ');
                let t_s = words.next().unwrap().parse().unwrap();
                let action = words
                    .next()
                    .unwrap()
                    .replace('_', " ")
                    .replace("health ", "health_");
                let more: Vec<(&str, &str)> = words.map(|pair| pair.split_once('=').unwrap()).collect();
                mark_for(memory, &event(t_s, &action, &more))
            })
            .map(|mark| {
                let code = mark.exit_code.map_or(String::new(), |code| format!(" {code}"));
                format!("{} {}{code}", mark.t_ms / 1000, mark.event)
            })
            .collect();
        assert_eq!(got, want, "{events:?}");
    }

    #[test]
    fn a_first_start_is_a_deploy() {
        let events = [
            "1 create",
            "2 start",
            "5 die exitCode=1",
            "6 start",
            "7 die exitCode=0",
        ];
        check(
            &mut Memory::default(),
            &events,
            &["2 deploy", "5 exit 1", "6 start", "7 exit 0"],
        );
    }

    #[test]
    fn an_end_that_was_asked_for_is_a_stop() {
        for (events, want) in [
            (
                &["1 kill signal=15", "2 die exitCode=0", "2 stop"][..],
                &["2 stop 0"][..],
            ),
            (
                &["1 kill signal=15", "11 kill signal=9", "11 die exitCode=137"],
                &["11 stop 137"],
            ),
            // A slow goodbye.
            (&["1 kill signal=15", "290 die exitCode=143"], &["290 stop 143"]),
            // `kill -HUP` is no wish for the end; as the image's stop signal it is one.
            (&["1 kill signal=1", "60 die exitCode=2"], &["60 exit 2"]),
            (&["1 kill signal=28", "3 die exitCode=0"], &["3 stop 0"]),
            // The word after the end is not kept for the next one.
            (
                &[
                    "1 kill signal=15",
                    "2 die exitCode=0",
                    "2 stop",
                    "3 start",
                    "4 die exitCode=1",
                ],
                &["2 stop 0", "3 start", "4 exit 1"],
            ),
        ] {
            check(&mut Memory::default(), events, want);
        }
    }

    #[test]
    fn podman_says_what_it_wants_before_it_does_it() {
        for word in ["stop", "restart"] {
            let events = ["1 start", &format!("2 {word}"), "3 died containerExitCode=143"];
            let mut memory = Memory {
                podman: true,
                ..Memory::default()
            };
            check(&mut memory, &events, &["1 deploy", "3 stop 143"]);
            // Docker says it afterwards, of a container that runs again.
            check(&mut Memory::default(), &events, &["1 deploy", "3 exit 143"]);
        }
    }

    #[test]
    fn oom_pause_rename_and_health_make_marks() {
        check(
            &mut Memory::default(),
            &[
                "1 oom",
                "2 pause",
                "3 unpause",
                "4 rename oldName=/old",
                "5 update",
                "6 restart",
            ],
            &["1 oom_kill", "2 pause", "3 unpause", "4 rename"],
        );
        check(
            &mut Memory::default(),
            &[
                "1 health_status:_healthy",
                "2 health_status health_status=healthy",
                "3 health_status:_unhealthy",
                "4 health_status:_starting",
                "5 start",
                "6 health_status:_unhealthy",
            ],
            &["1 healthy", "3 unhealthy", "5 deploy", "6 unhealthy"],
        );
    }

    #[test]
    fn what_ran_before_masthead_is_no_deploy() {
        let known = |started_ms, finished_ms| Known {
            id: "c1".to_owned(),
            started_ms,
            finished_ms,
            pid: 1,
            ..Known::default()
        };
        for (known, t_s, want) in [
            // Running since long, started again now.
            (known(1_000, 0), 100, "100 start"),
            // Ended before, started again now, and asked only after that.
            (known(100_000, 50_000), 100, "100 start"),
            // The engine was asked before its word of the first start was read.
            (known(99_990, 0), 100, "100 deploy"),
            // Started for the first time and ended since.
            (known(99_990, 120_000), 100, "100 deploy"),
        ] {
            let mut memory = Memory::default();
            memory.learn(&known);
            check(&mut memory, &[&format!("{t_s} start")], &[want]);
        }
        let mut memory = Memory::default();
        let mut mark = event(1, "start", &[]).mark("deploy");
        memory.recall(&[mark.clone()]);
        mark.event = "oom_kill";
        memory.recall(&[mark]);
        check(&mut memory, &["9 start"], &["9 start"]);
        assert_eq!(memory.oom_kills("c1"), 1);
    }

    #[test]
    fn an_end_while_the_engine_was_down_is_told_once() {
        let known = |pid| Known {
            id: "c1".to_owned(),
            pid,
            finished_ms: if pid > 0 { 0 } else { 9_000 },
            exit_code: (pid == 0).then_some(137),
            ..Known::default()
        };
        let mut memory = Memory::default();
        memory.recall(&[event(1, "start", &[]).mark("deploy")]);
        memory.learn(&known(7));
        assert_eq!(memory.missed_end(&known(7)), None, "it runs");
        memory.learn(&known(0));
        let mark = memory.missed_end(&known(0)).unwrap();
        assert_eq!(
            (mark.event, mark.t_ms, mark.exit_code),
            ("exit", 9_000, Some(137))
        );
        assert_eq!(memory.missed_end(&known(0)), None, "told already");
        // What ended before Masthead knew it is not its business, nor what an event has told.
        let mut memory = Memory::default();
        memory.learn(&known(0));
        assert_eq!(memory.missed_end(&known(0)), None);
        check(
            &mut memory,
            &["1 start", "9 die exitCode=137"],
            &["1 deploy", "9 exit 137"],
        );
        assert_eq!(memory.missed_end(&known(0)), None);
    }

    #[test]
    fn an_engine_that_tells_no_oom_is_asked() {
        let mut memory = Memory::default();
        check(
            &mut memory,
            &["1 start", "2 die exitCode=137"],
            &["1 deploy", "2 exit 137"],
        );
        let answer =
            |killed| serde_json::from_value(json!({ "Id": "c1", "State": { "OOMKilled": killed } })).unwrap();
        let mark = memory.end_judged(&answer(true)).unwrap();
        assert_eq!((mark.event, mark.t_ms, mark.exit_code), ("oom_kill", 2_000, None));
        assert_eq!(memory.end_judged(&answer(true)), None);
        assert_eq!(memory.oom_kills("c1"), 1);
    }

    #[test]
    fn marks_say_whose_they_are() {
        let labels = [
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", "web"),
        ];
        let mark = mark_for(&mut Memory::default(), &event(1, "start", &labels)).unwrap();
        assert_eq!(
            (mark.app.as_str(), mark.project.as_str(), mark.container.as_str()),
            ("shop-web", "shop", "web")
        );
        assert_eq!(mark.image, "nginx:1");
    }

    #[test]
    fn what_is_not_about_containers_is_left_out() {
        for line in [
            json!({}),
            json!({ "Type": "network", "Action": "create", "Actor": { "ID": "n1" } }),
            json!({ "Type": "container", "Action": "exec_start: sh", "Actor": { "ID": "c1" } }),
            json!({ "Type": "container", "Action": "start", "Actor": { "ID": "" } }),
            json!({ "Type": "container", "Action": "top", "Actor": null }),
        ] {
            assert_eq!(
                Event::read(serde_json::from_value(line.clone()).unwrap()),
                None,
                "{line}"
            );
        }
    }
}
