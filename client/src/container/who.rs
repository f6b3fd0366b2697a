//! Who a series is of: the container, its app and project, told from whatever labels there are.

use std::collections::BTreeSet;

use crate::Series;
use crate::expr::{Selector, escape_regex};

/// cAdvisor's own labels of a container whose Prometheus has no `app`.
const SWARM_SERVICE: &str = "container_label_com_docker_swarm_service_name";
const COMPOSE_PROJECT: &str = "container_label_com_docker_compose_project";
const COMPOSE_SERVICE: &str = "container_label_com_docker_compose_service";
/// The engine's count of restarts, which cAdvisor writes as a label.
const RESTART_COUNT: &str = "container_label_restartcount";

/// The labels that tell who a series is of.
pub(super) const LABELS: &[&str] = &[
    "id",
    "name",
    "app",
    "project",
    "image",
    "instance",
    SWARM_SERVICE,
    COMPOSE_PROJECT,
    COMPOSE_SERVICE,
    RESTART_COUNT,
];

/// A container, as its labels have it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Who {
    /// Its name.
    pub(super) name: String,
    /// The path of its cgroup, or its number.
    pub(super) id: String,
    /// The app that it belongs to; its name where nothing says more.
    pub(super) app: String,
    /// The project; may be empty.
    pub(super) project: String,
    /// Its image.
    pub(super) image: String,
    /// The target that told of it.
    pub(super) instance: String,
    /// The engine's count of restarts, where a label has it.
    pub(super) restarts: Option<f64>,
    /// When its newest sample was taken, seconds since the epoch.
    pub(super) seen_s: f64,
    /// What finds the app's series.
    app_by: Matchers,
}

/// Labels that must have these values; a name may be that of any task of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Matchers {
    /// Exactly these.
    Labels(Vec<(&'static str, String)>),
    /// Tasks of this service, by their names.
    Tasks(String),
    #[default]
    None,
}

impl Matchers {
    fn label(name: &'static str, value: &str) -> Self {
        Self::Labels(vec![(name, value.to_owned())])
    }

    fn narrow(&self, selector: Selector) -> Selector {
        match self {
            Self::Labels(labels) => labels
                .iter()
                .fold(selector, |selector, (name, value)| selector.label(name, value)),
            Self::Tasks(service) => selector.like(
                "name",
                &format!(r"{}\.[0-9a-zA-Z]+\.[^.]+", escape_regex(service)),
            ),
            Self::None => selector.label("name", ""),
        }
    }
}

/// What finds the series of an app or a container at any time, also of containers that are gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whose(BTreeSet<Matchers>);

impl Whose {
    /// The series of the app that these containers belong to.
    pub(super) fn app(containers: &[Who]) -> Self {
        Self(containers.iter().map(|one| one.app_by.clone()).collect())
    }

    /// The series of containers with these names.
    pub(super) fn names(containers: &[Who]) -> Self {
        let by_name = |one: &Who| Matchers::label("name", &one.name);
        Self(containers.iter().map(by_name).collect())
    }

    /// An expression over each of the app's selectors of a metric.
    pub(super) fn each(&self, metric: &str, expr: impl Fn(&Selector) -> String) -> String {
        let selectors = self.0.iter().map(|matchers| {
            let selector = Selector::metric(metric).not_label("name", "");
            expr(&matchers.narrow(selector))
        });
        let parts: Vec<String> = selectors.collect();
        match parts.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", parts.join(" or ")),
        }
    }
}

/// The container's own number in a label `id`: cAdvisor's series have the path of its cgroup there, which holds it, those of its
/// state the number alone.
pub(super) fn number(id: &str) -> &str {
    const DIGITS: usize = 64;
    let bytes = id.as_bytes();
    let starts = 0..(bytes.len() + 1).saturating_sub(DIGITS);
    starts
        .rev()
        .find(|&start| bytes[start..start + DIGITS].iter().all(u8::is_ascii_hexdigit))
        .and_then(|start| id.get(start..start + DIGITS))
        .unwrap_or(id)
}

/// Who a series is of. Where there is no `app`, cAdvisor's labels make it as Masthead does, and at last the name.
pub(super) fn who(series: &Series) -> Who {
    let label = |name| series.label(name).to_owned();
    let (project, service) = (series.label(COMPOSE_PROJECT), series.label(COMPOSE_SERVICE));
    let name = series.label("name");
    let (app, app_by) = if !series.label("app").is_empty() {
        (label("app"), Matchers::label("app", series.label("app")))
    } else if !series.label(SWARM_SERVICE).is_empty() {
        let service = series.label(SWARM_SERVICE);
        (service.to_owned(), Matchers::label(SWARM_SERVICE, service))
    } else if !project.is_empty() && !service.is_empty() {
        let labels = vec![
            (COMPOSE_PROJECT, project.to_owned()),
            (COMPOSE_SERVICE, service.to_owned()),
        ];
        (format!("{project}-{service}"), Matchers::Labels(labels))
    } else if let Some(service) = service_of(name) {
        (service.to_owned(), Matchers::Tasks(service.to_owned()))
    } else {
        (name.to_owned(), Matchers::label("name", name))
    };
    Who {
        name: name.to_owned(),
        id: label("id"),
        app,
        project: if series.label("project").is_empty() {
            project.to_owned()
        } else {
            label("project")
        },
        image: label("image"),
        instance: label("instance"),
        restarts: series.label(RESTART_COUNT).parse().ok(),
        seen_s: series.last().unwrap_or(0.0),
        app_by,
    }
}

/// Containers of an answer, each once, sorted by name.
pub(super) fn all(answer: &[Series]) -> Vec<Who> {
    let mut all: Vec<Who> = Vec::new();
    for one in answer.iter().map(who) {
        match all
            .iter_mut()
            .find(|known| number(&known.id) == number(&one.id) && known.name == one.name)
        {
            Some(known) => merge(known, one),
            None => all.push(one),
        }
    }
    all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    all
}

/// Puts together what two series say of one container: the state's series has fewer labels than the others.
fn merge(known: &mut Who, other: Who) {
    if other.id.len() > known.id.len() {
        known.id = other.id;
        known.instance = other.instance;
    }
    if known.app == known.name {
        known.app = other.app;
        known.app_by = other.app_by;
    }
    for (mine, theirs) in [
        (&mut known.project, other.project),
        (&mut known.image, other.image),
    ] {
        if mine.is_empty() {
            *mine = theirs;
        }
    }
    known.restarts = known.restarts.into_iter().chain(other.restarts).reduce(f64::max);
    known.seen_s = known.seen_s.max(other.seen_s);
}

/// Leaves out containers that are gone, though their last samples are still found: those that were not seen for so long while
/// others of the same target were.
pub(super) fn retain_present(containers: &mut Vec<Who>) {
    const GONE_AFTER_S: f64 = 90.0;
    let newest = |instance: &str| {
        let same = containers.iter().filter(|one| one.instance == instance);
        same.map(|one| one.seen_s).fold(0.0, f64::max)
    };
    let present: Vec<bool> = containers
        .iter()
        .map(|one| one.seen_s >= newest(&one.instance) - GONE_AFTER_S)
        .collect();
    let mut present = present.into_iter();
    containers.retain(|_| present.next().unwrap_or(true));
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

/// The service, when this is a name such as swarm gives to tasks: `service.1.<task>` or `service.<node>.<task>`, where ids have 25
/// digits and letters.
fn service_of(name: &str) -> Option<&str> {
    const ID_CHARS: usize = 25;
    let is_id = |text: &str| {
        text.len() == ID_CHARS && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    let (rest, task) = name.rsplit_once('.')?;
    let (service, slot) = rest.rsplit_once('.')?;
    let is_slot = !slot.is_empty() && slot.bytes().all(|b| b.is_ascii_digit());
    (!service.is_empty() && is_id(task) && (is_slot || is_id(slot))).then_some(service)
}

/// Those with this name, else the tasks of the service with this name, else those of the app with this name.
pub(super) fn named(known: &[Who], name: &str) -> Vec<Who> {
    let by =
        |fits: &dyn Fn(&Who) -> bool| -> Vec<Who> { known.iter().filter(|one| fits(one)).cloned().collect() };
    let exact = by(&|one| one.name == name);
    let tasks = || by(&|one| is_task_of(&one.name, name));
    let app = || by(&|one| one.app == name);
    [exact]
        .into_iter()
        .chain(std::iter::once_with(tasks))
        .chain(std::iter::once_with(app))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

/// Those of the app with this name and what finds their series, else those that are named so themselves.
pub(super) fn of_app(known: &[Who], name: &str) -> (Vec<Who>, Whose) {
    let found: Vec<Who> = known.iter().filter(|one| one.app == name).cloned().collect();
    if !found.is_empty() {
        let whose = Whose::app(&found);
        return (found, whose);
    }
    let found = named(known, name);
    let is_tasks = !found.is_empty() && found.iter().all(|one| one.name != name);
    let whose = if is_tasks {
        Whose(BTreeSet::from([Matchers::Tasks(name.to_owned())]))
    } else {
        Whose::names(&found)
    };
    (found, whose)
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
            ..Series::default()
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
    fn a_service_is_told_from_the_name_of_its_task() {
        let id = "r65uabcdefghijklmnopqrst1";
        for (name, want) in [
            (format!("web.1.{id}"), Some("web")),
            (format!("my.web.12.{id}"), Some("my.web")),
            (format!("agent.{id}.{id}"), Some("agent")),
            ("web.1.short".to_owned(), None),
            (format!("web.one.{id}"), None),
            (format!(".1.{id}"), None),
            ("web".to_owned(), None),
        ] {
            assert_eq!(service_of(&name), want, "{name}");
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
        let all = all(&[
            series(&[("name", "web"), ("id", &hex), ("app", "web")], 7.0),
            series(
                &[
                    ("name", "web"),
                    ("id", &path),
                    ("app", "shop-web"),
                    ("project", "shop"),
                    ("image", "web:1"),
                    (RESTART_COUNT, "2"),
                ],
                5.0,
            ),
        ]);
        let [one] = all.as_slice() else {
            panic!("one container: {all:?}")
        };
        assert_eq!(
            (
                one.id.as_str(),
                one.app.as_str(),
                one.project.as_str(),
                one.image.as_str()
            ),
            (path.as_str(), "shop-web", "shop", "web:1")
        );
        assert_eq!((one.restarts, one.seen_s), (Some(2.0), 7.0));
    }

    /// Which app, and what finds its series.
    #[track_caller]
    fn check_app(labels: &[(&str, &str)], app: &str, selector: &str) {
        let one = who(&series(labels, 1.0));
        assert_eq!(one.app, app);
        let found = Whose::app(&[one]).each("m", ToString::to_string);
        assert_eq!(found, selector);
    }

    #[test]
    fn an_app_is_found_with_and_without_our_label() {
        check_app(
            &[("app", "shop-web"), ("name", "x")],
            "shop-web",
            r#"m{name!="",app="shop-web"}"#,
        );
        check_app(
            &[(SWARM_SERVICE, "web"), ("name", "web.1.x")],
            "web",
            r#"m{name!="",container_label_com_docker_swarm_service_name="web"}"#,
        );
        check_app(
            &[
                (COMPOSE_PROJECT, "shop"),
                (COMPOSE_SERVICE, "web"),
                ("name", "shop-web-1"),
            ],
            "shop-web",
            r#"m{name!="",container_label_com_docker_compose_project="shop",container_label_com_docker_compose_service="web"}"#,
        );
        check_app(
            &[("name", "a+b.1.r65uabcdefghijklmnopqrst1")],
            "a+b",
            r#"m{name!="",name=~"a\\+b\\.[0-9a-zA-Z]+\\.[^.]+"}"#,
        );
        check_app(&[("name", "plain")], "plain", r#"m{name!="",name="plain"}"#);
    }

    #[test]
    fn a_name_is_a_containers_a_services_or_an_apps() {
        let known = all(&[
            series(&[("name", "web"), ("id", "1"), ("app", "shop-web")], 1.0),
            series(&[("name", "api.1.x"), ("id", "2")], 1.0),
            series(&[("name", "api.2.y"), ("id", "3")], 1.0),
        ]);
        let names = |found: Vec<Who>| -> Vec<String> { found.into_iter().map(|one| one.name).collect() };
        assert_eq!(names(named(&known, "web")), ["web"]);
        assert_eq!(names(named(&known, "shop-web")), ["web"]);
        assert_eq!(names(named(&known, "api")), ["api.1.x", "api.2.y"]);
        assert_eq!(names(named(&known, "ap")), [""; 0]);
        let (found, whose) = of_app(&known, "api");
        assert_eq!(found.len(), 2);
        assert_eq!(
            whose.each("m", ToString::to_string),
            r#"m{name!="",name=~"api\\.[0-9a-zA-Z]+\\.[^.]+"}"#
        );
        let (_, whose) = of_app(&known, "web");
        assert_eq!(whose.each("m", ToString::to_string), r#"m{name!="",name="web"}"#);
    }

    #[test]
    fn containers_that_are_gone_are_left_out_beside_others_of_their_target() {
        let seen = |name: &str, instance: &str, at| {
            series(&[("name", name), ("id", name), ("instance", instance)], at)
        };
        let mut all = all(&[
            seen("old", "a:8080", 900.0),
            seen("slow", "a:8080", 950.0),
            seen("new", "a:8080", 1000.0),
            seen("far", "b:8080", 500.0),
        ]);
        retain_present(&mut all);
        let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["far", "new", "slow"]);
    }
}
