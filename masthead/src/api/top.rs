//! `GET /api/masthead/v1/top?container=&app=&by=&limit=`: what single processes use, measured over half a second when asked.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use collect::process::{self, By, Detail, Stat, Usage};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::api::Api;
use crate::api::error::{ApiError, ErrorType};
use crate::api::params::Params;
use crate::api::status::success;
use crate::clock;
use crate::docker::Containers;
use crate::docker::inventory::Known;

/// The time between the two readings.
const PAUSE: Duration = Duration::from_millis(500);
const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 1000;
/// Digits of an id that stand for a container whose name is not known.
const SHORT_ID: usize = 12;

/// Whose processes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Host,
    /// The containers with these ids.
    Containers(Vec<String>),
}

/// A question, checked.
#[derive(Debug)]
struct Question {
    of: Of,
    by: By,
    limit: usize,
}

impl Question {
    fn new(params: &Params, known: &[Known]) -> Result<Self, ApiError> {
        let of = match (params.get("container"), params.get("app")) {
            (None, None) => Of::Host,
            (Some(name), None) => Of::Containers(vec![find(known, name)?.id.clone()]),
            (None, Some(app)) => Of::Containers(of_app(known, app)?),
            (Some(_), Some(_)) => {
                return Err(ApiError::parameter("app", "give either container or app"));
            }
        };
        let by = match params.get("by").unwrap_or("cpu") {
            "cpu" => By::Cpu,
            "memory" => By::Memory,
            other => {
                return Err(ApiError::parameter(
                    "by",
                    format!("\"{other}\" is neither cpu nor memory"),
                ));
            }
        };
        let limit = match params.limit("limit")? {
            0 => LIMIT_DEFAULT,
            limit => limit.min(LIMIT_MAX),
        };
        Ok(Self { of, by, limit })
    }
}

/// By name, else by id, else by the beginning of one id alone.
fn find<'a>(known: &'a [Known], name: &str) -> Result<&'a Known, ApiError> {
    let exact = known.iter().find(|k| k.name == name || k.id == name);
    if let Some(found) = exact {
        return Ok(found);
    }
    let mut fitting = known.iter().filter(|k| k.id.starts_with(name));
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(ApiError::parameter(
            "container",
            format!("more than one container's id begins with \"{name}\"; give more digits, or its name"),
        )),
        (None, _) => Err(ApiError::new(
            ErrorType::NotFound,
            format!("there is no container \"{name}\"; /api/masthead/v1/containers lists those there are"),
        )),
    }
}

fn of_app(known: &[Known], app: &str) -> Result<Vec<String>, ApiError> {
    let ids: Vec<String> = known
        .iter()
        .filter(|k| k.app == app)
        .map(|k| k.id.clone())
        .collect();
    if ids.is_empty() {
        let text =
            format!("no container belongs to an app \"{app}\"; /api/masthead/v1/containers lists the apps");
        return Err(ApiError::new(ErrorType::NotFound, text));
    }
    Ok(ids)
}

/// Measures and answers.
pub(super) async fn top(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let containers = api.containers.clone();
    let known = match &containers {
        Some(containers) => containers.inventory.get().1,
        None => Arc::default(),
    };
    let question = Question::new(&params, &known)?;
    let Ok(_place) = api.live.measuring().try_acquire() else {
        return Err(ApiError::new(
            ErrorType::Unavailable,
            "processes are being measured for others already; try again in a second",
        ));
    };
    let paths = api.live.paths().clone();
    let procfs = paths.procfs.clone();
    let of = question.of.clone();
    let first = containers.clone();
    let (before, started) =
        blocking(move || (list(&procfs, &of, first.as_deref()), clock::instant())).await?;
    tokio::time::sleep(PAUSE).await;
    let data = blocking(move || {
        let after = list(&paths.procfs, &question.of, containers.as_deref());
        let seconds = started.elapsed().as_secs_f64();
        let total = after.len();
        let shown = process::rank(&before, after, seconds, question.by, question.limit);
        let names = Names {
            users: process::users(&paths.rootfs),
            known: known.iter().map(|k| (k.id.as_str(), k)).collect(),
            boot_s: process::boot_time_s(&paths.procfs),
            page_bytes: rustix::param::page_size(),
        };
        let rows: Vec<Value> = shown
            .iter()
            .map(|usage| names.row(usage, &process::detail(&paths.procfs, &usage.stat)))
            .collect();
        json!({ "processes": rows, "total": total, "seconds": round(seconds, 1e3) })
    })
    .await?;
    Ok(success(&data))
}

async fn blocking<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    spawn_blocking(read)
        .await
        .map_err(|e| ApiError::new(ErrorType::Internal, format!("measuring the processes: {e}")))
}

fn list(procfs: &Path, of: &Of, containers: Option<&Containers>) -> Vec<Stat> {
    let Of::Containers(ids) = of else {
        return process::list(procfs, None);
    };
    let pids: Vec<u32> = containers.map_or_else(Vec::new, |containers| {
        // One that started since the last tick is asked for too.
        containers.with_collector(|collector| ids.iter().flat_map(|id| collector.pids(id)).collect())
    });
    process::list(procfs, Some(&pids))
}

/// What turns numbers into what people call them.
struct Names<'a> {
    users: HashMap<u32, String>,
    known: HashMap<&'a str, &'a Known>,
    boot_s: Option<f64>,
    page_bytes: usize,
}

impl Names<'_> {
    fn row(&self, usage: &Usage, detail: &Detail) -> Value {
        let stat = &usage.stat;
        let user = detail
            .uid
            .map(|uid| self.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()));
        let page_bytes = u64::try_from(self.page_bytes).unwrap_or(0);
        let (container, app) = self.container(&detail.containers);
        json!({
            "pid": stat.pid,
            "name": stat.name,
            "command": detail.command,
            "user": user.unwrap_or_default(),
            "state": stat.state,
            "cpuCores": round(usage.cpu_cores, 1e4),
            "memoryBytes": stat.resident_pages.saturating_mul(page_bytes),
            "threads": stat.threads,
            "container": container,
            "app": app,
            "startedAt": self.boot_s.map(|boot| round(boot + stat.started_after_boot_s, 1e2)),
        })
    }

    /// Of the containers around a process the one that the engine knows; in a container within one, the inner is not ours.
    fn container<'b>(&'b self, ids: &'b [String]) -> (Option<&'b str>, Option<&'b str>) {
        match ids.iter().find_map(|id| self.known.get(id.as_str())) {
            Some(known) => (Some(&known.name), Some(&known.app)),
            None => (ids.first().and_then(|id| id.get(..SHORT_ID)), None),
        }
    }
}

fn round(value: f64, digits: f64) -> f64 {
    (value * digits).round() / digits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        [
            ("web.1.x", "web", "ab12"),
            ("web.2.y", "web", "ab34"),
            ("db", "db", "cd"),
        ]
        .map(|(name, app, id)| Known {
            id: format!("{id:0<64}"),
            name: name.to_owned(),
            app: app.to_owned(),
            ..Known::default()
        })
        .into()
    }

    fn ask(query: &str) -> Result<Question, ApiError> {
        Question::new(&Params::new(Some(query), None), &known())
    }

    #[test]
    fn a_container_has_a_name_an_id_and_its_beginning() {
        let db = Of::Containers(vec![format!("{:0<64}", "cd")]);
        for query in [
            "container=db",
            "container=cd",
            "container=cd0",
            &format!("container={:0<64}", "cd"),
        ] {
            assert_eq!(ask(query).unwrap().of, db, "{query}");
        }
        let Of::Containers(web) = ask("app=web").unwrap().of else {
            panic!("an app has containers");
        };
        assert_eq!(web.len(), 2);
        assert_eq!(ask("").unwrap().of, Of::Host);
    }

    #[test]
    fn wrong_questions_say_what_is_wrong() {
        for (query, kind, words) in [
            ("container=no", ErrorType::NotFound, "no container \"no\""),
            ("container=ab", ErrorType::BadData, "more than one"),
            ("app=no", ErrorType::NotFound, "app \"no\""),
            ("app=web&container=db", ErrorType::BadData, "either"),
            ("by=disk", ErrorType::BadData, "neither cpu nor memory"),
            ("limit=x", ErrorType::BadData, "limit"),
        ] {
            let error = ask(query).unwrap_err();
            assert_eq!(error.kind, kind, "{query}");
            assert!(error.message.contains(words), "{query}: {}", error.message);
        }
        assert_eq!(ask("limit=999999").unwrap().limit, LIMIT_MAX);
        assert_eq!(ask("by=memory&limit=0").unwrap().limit, LIMIT_DEFAULT);
    }

    #[test]
    fn the_container_that_the_engine_knows_is_named() {
        let known = known();
        let names = Names {
            users: HashMap::new(),
            known: known.iter().map(|k| (k.id.as_str(), k)).collect(),
            boot_s: Some(1000.0),
            page_bytes: 4096,
        };
        let (inner, outer) = ("e".repeat(64), format!("{:0<64}", "cd"));
        assert_eq!(names.container(&[outer, inner.clone()]), (Some("db"), Some("db")));
        assert_eq!(names.container(&[inner]), (Some("eeeeeeeeeeee"), None));
        assert_eq!(names.container(&[]), (None, None));
    }
}
