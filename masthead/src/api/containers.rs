//! Masthead's own API about containers: who is there, what happened to them, and their metrics as text.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::api::error::ApiError;
use crate::api::params::Params;
use crate::api::status::{read_metrics, success, text_response};
use collect::ContainerCollection;

use crate::clock;
use crate::docker::Containers;
use crate::docker::inventory::{Engine, Known};
use crate::docker::known::AllowList;
use crate::docker::marks::Mark;

/// Without `start` the events of one day are given.
const DEFAULT_RANGE_MS: i64 = 86_400_000;
/// Without `limit` so many events are given.
const DEFAULT_EVENTS: usize = 1_000;

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds since 1970 fit a float exactly for 285,000 years"
)]
pub(super) fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// A time, or `null` where there was none.
fn time(ms: i64) -> Value {
    if ms > 0 { seconds(ms).into() } else { Value::Null }
}

/// `GET /api/masthead/v1/containers`
pub(super) async fn containers(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    let Some(containers) = &api.containers else {
        return Ok(success(
            &json!({ "engine": engine_json(&Engine::Off), "containers": [] }),
        ));
    };
    let (engine, known) = containers.inventory.get();
    let rows: Vec<Value> = known
        .iter()
        .map(|known| known_json(known, &containers.labels))
        .collect();
    Ok(success(
        &json!({ "engine": engine_json(&engine), "containers": rows }),
    ))
}

fn engine_json(engine: &Engine) -> Value {
    match engine {
        Engine::Off => json!({ "state": "off",
            "message": "containers are turned off (masthead: containers: enabled: false)" }),
        Engine::Connected { version } => json!({ "state": "connected", "version": version }),
        Engine::Away { why } => json!({ "state": "away", "message": why }),
    }
}

/// Labels that are not on the allow-list may hold secrets.
fn known_json(known: &Known, allowed: &AllowList) -> Value {
    let labels: Map<String, Value> = known
        .labels
        .iter()
        .filter(|(name, _)| allowed.allows(name))
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    json!({
        "id": known.id,
        "name": known.name,
        "image": known.image,
        "app": known.app,
        "project": known.project,
        "state": known.state,
        "health": known.health,
        "exitCode": known.exit_code,
        "restarts": known.restarts,
        "oomKills": known.oom_kills,
        "createdAt": time(known.created_ms),
        "startedAt": time(known.started_ms),
        "finishedAt": time(known.finished_ms),
        "labels": labels,
    })
}

/// `GET /api/masthead/v1/events?start=&end=&app=&limit=`
pub(super) async fn events(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let end_ms = params.time_ms("end", clock::now_ms())?;
    let start_ms = params.time_ms("start", end_ms.saturating_sub(DEFAULT_RANGE_MS))?;
    if end_ms < start_ms {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let limit = match params.limit("limit")? {
        0 => DEFAULT_EVENTS,
        limit => limit,
    };
    let selected = api
        .containers
        .as_ref()
        .map(|containers| {
            containers
                .marks
                .select(start_ms, end_ms, params.get("app"), limit)
        })
        .unwrap_or_default();
    let rows: Vec<Value> = selected.marks.iter().map(mark_json).collect();
    Ok(success(
        &json!({ "events": rows, "truncated": selected.truncated }),
    ))
}

fn mark_json(mark: &Mark) -> Value {
    let mut row = json!({
        "time": seconds(mark.t_ms),
        "app": mark.app,
        "project": mark.project,
        "container": mark.container,
        "id": mark.id,
        "event": mark.event,
    });
    if !mark.image.is_empty() {
        row["image"] = Value::from(mark.image.as_str());
    }
    if let Some(code) = mark.exit_code {
        row["exitCode"] = code.into();
    }
    row
}

/// `GET /metrics/containers`: the containers, read now.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response<Body>, ApiError> {
    metrics_of(api.containers.clone()).await
}

/// The containers' metrics as text; what could not be read is said in comments.
pub(super) async fn metrics_of(containers: Option<Arc<Containers>>) -> Result<Response<Body>, ApiError> {
    let Some(containers) = containers else {
        return Ok(text_response(
            "# containers are turned off (masthead: containers: enabled: false)\n".to_owned(),
        ));
    };
    read_metrics(move || {
        let ContainerCollection {
            families,
            warnings,
            round,
        } = containers.collect(clock::now_ms());
        let mut text = String::new();
        model::encode_families(&families, &mut text);
        containers.recycle(families, round);
        for warning in warnings {
            let _ = writeln!(text, "# {}", warning.replace('\n', " "));
        }
        text
    })
    .await
}
