//! What is going on: targets, metadata, the status pages, and our own metrics.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::api::error::{ApiError, ErrorType};
use crate::api::params::Params;
use crate::api::series::selectors;
use crate::api::{Api, json, json_response};
use crate::clock;
use crate::config::format_duration;

/// A good answer with this data.
pub(super) fn success(data: &Value) -> Response<Body> {
    json_response(format!("{}{data}}}", json::HEAD))
}

/// RFC 3339 in UTC, as Go prints a `time.Time`.
fn rfc3339(t_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(t_ms)
        .map_or_else(|_| "0001-01-01T00:00:00Z".to_owned(), |t| t.to_string())
}

/// `GET /api/v1/metadata?metric=&limit=`
pub(super) async fn metadata(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let limit = params.metadata_limit("limit")?;
    let per_metric = params
        .metadata_limit("limit_per_metric")?
        .filter(|most| *most > 0)
        .unwrap_or(usize::MAX);
    let wanted = params.get("metric");
    let mut data = serde_json::Map::new();
    for (metric, entries) in api.targets.metadata() {
        if wanted.is_some_and(|w| w != metric) {
            continue;
        }
        if limit.is_some_and(|limit| data.len() >= limit) {
            break;
        }
        let entries: Vec<Value> = entries
            .iter()
            .take(per_metric)
            .map(|m| json!({ "type": m.kind, "help": m.help, "unit": m.unit }))
            .collect();
        data.insert(metric, Value::Array(entries));
    }
    Ok(success(&Value::Object(data)))
}

/// `GET /api/v1/targets?state=active|dropped|any&scrapePool=`
pub(super) async fn targets(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let pool = params.get("scrapePool");
    let state = params.get("state").unwrap_or("any").to_lowercase();
    let active: Vec<Value> = if state == "dropped" {
        Vec::new()
    } else {
        let snapshot = api.targets.snapshot();
        snapshot
            .iter()
            .filter(|t| pool.is_none_or(|p| p == t.info.job))
            .map(target_json)
            .collect()
    };
    Ok(success(
        &json!({ "activeTargets": active, "droppedTargets": [], "droppedTargetCounts": {} }),
    ))
}

fn labels_json(labels: &model::Labels) -> Value {
    Value::Object(
        labels
            .iter()
            .map(|(n, v)| (n.to_owned(), Value::from(v)))
            .collect(),
    )
}

/// Before the first scrape Go's zero time stands there.
fn last_scrape(t_ms: i64) -> String {
    if t_ms == 0 {
        "0001-01-01T00:00:00Z".to_owned()
    } else {
        rfc3339(t_ms)
    }
}

fn target_json(target: &crate::scrape::TargetStatus) -> Value {
    json!({
        "discoveredLabels": labels_json(&target.info.discovered_labels),
        "labels": labels_json(&target.info.labels),
        "scrapePool": target.info.job,
        "scrapeUrl": target.info.scrape_url,
        "globalUrl": target.info.global_url,
        "lastError": target.last_error,
        "lastScrape": last_scrape(target.last_scrape_ms),
        "lastScrapeDuration": target.last_duration_s,
        "lastSamplesScraped": target.last_samples,
        "health": target.health.as_str(),
        "scrapeInterval": format_duration(target.info.scrape_interval),
        "scrapeTimeout": format_duration(target.info.scrape_timeout),
    })
}

/// `GET /api/v1/targets/metadata?match_target=&metric=&limit=`: metadata by target. As upstream, no more targets are looked at
/// once the limit is reached, and nothing found is a 404.
pub(super) async fn targets_metadata(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let wanted = params.get("metric");
    let limit = params.metadata_limit("limit")?;
    let of_targets = selectors(&params, "match_target")?;
    let fits = |labels: &model::Labels| {
        let value = |name| labels.get(name).unwrap_or("");
        of_targets
            .iter()
            .flatten()
            .all(|matcher| matcher.matches(value(matcher.name())))
    };
    let mut data = Vec::new();
    for (labels, families) in api.targets.metadata_by_target() {
        if limit.is_some_and(|limit| data.len() >= limit) {
            break;
        }
        if !fits(&labels) {
            continue;
        }
        for (metric, m) in families
            .iter()
            .filter(|(metric, _)| wanted.is_none_or(|w| w == *metric))
        {
            let mut row = json!({
                "target": labels_json(&labels), "type": m.kind, "help": m.help, "unit": m.unit,
            });
            if wanted.is_none() {
                row["metric"] = Value::from(metric.as_str());
            }
            data.push(row);
        }
    }
    if data.is_empty() {
        return Err(ApiError::new(ErrorType::NotFound, "specified metadata not found"));
    }
    Ok(success(&Value::Array(data)))
}

/// `GET /api/v1/rules`: none yet.
pub(super) async fn rules(_: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let kind = params.get("type").unwrap_or("").to_lowercase();
    if !matches!(kind.as_str(), "" | "alert" | "record") {
        return Err(ApiError::parameter(
            "type",
            format!("not supported value \"{kind}\""),
        ));
    }
    Ok(success(&json!({ "groups": [] })))
}

/// `GET /api/v1/alerts`: none yet.
pub(super) async fn alerts(_: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    Ok(success(&json!({ "alerts": [] })))
}

/// `GET /api/v1/alertmanagers`: none yet.
pub(super) async fn alertmanagers(_: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    Ok(success(
        &json!({ "activeAlertmanagers": [], "droppedAlertmanagers": [] }),
    ))
}

/// `GET /api/v1/status/buildinfo`. `version` is the Prometheus version whose API this is: clients decide by it what
/// they may ask for.
pub(super) async fn buildinfo(_: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    Ok(success(&json!({
        "version": "3.14.0",
        "revision": "",
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "application": "masthead",
        "mastheadVersion": env!("CARGO_PKG_VERSION"),
    })))
}

/// `GET /api/v1/status/runtimeinfo`
pub(super) async fn runtimeinfo(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    Ok(success(&json!({
        "startTime": rfc3339(api.about.start_ms),
        "CWD": api.about.cwd,
        "hostname": api.about.hostname,
        "serverTime": rfc3339(clock::now_ms()),
        "reloadConfigSuccess": true,
        "lastConfigTime": rfc3339(api.about.start_ms),
        "corruptionCount": api.about.damaged_files,
        "goroutineCount": 0,
        "GOMAXPROCS": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": api.about.retention,
        "collectionIntervalMs": api.about.interval_ms,
    })))
}

/// `GET /api/v1/status/flags`
pub(super) async fn flags(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    let flags = api
        .about
        .flags
        .iter()
        .map(|(n, v)| (n.clone(), Value::from(v.as_str())))
        .collect();
    Ok(success(&Value::Object(flags)))
}

/// `GET /api/v1/status/config`: the YAML in force, secrets hidden.
pub(super) async fn config(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    Ok(success(&json!({ "yaml": api.about.config_yaml })))
}

/// `GET /api/v1/status/tsdb?limit=`
pub(super) async fn tsdb(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let limit = match params.limit("limit")? {
        0 => 10,
        limit => limit.min(10_000),
    };
    let db = Arc::clone(&api.db);
    let (stats, top) = tokio::task::spawn_blocking(move || (db.stats(), db.head_cardinality(limit)))
        .await
        .map_err(|e| ApiError::new(ErrorType::Internal, format!("reading the head's statistics: {e}")))?;
    let list = |rows: &[(String, u64)]| -> Vec<Value> {
        rows.iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect()
    };
    Ok(success(&json!({
        "headStats": {
            "numSeries": stats.head_series,
            "numLabelPairs": top.label_pairs,
            "chunkCount": stats.head_chunks,
            "minTime": stats.head_min_ms.unwrap_or(i64::MAX),
            "maxTime": stats.head_max_ms.unwrap_or(i64::MIN),
        },
        "seriesCountByMetricName": list(&top.series_by_metric),
        "labelValueCountByLabelName": list(&top.values_by_label),
        "memoryInBytesByLabelName": list(&top.bytes_by_label),
        "seriesCountByLabelValuePair": list(&top.series_by_pair),
        "blocks": stats.blocks.iter().map(|b| json!({
            "name": b.name, "minTime": b.min_ms, "maxTime": b.max_ms,
            "numSeries": b.series, "numSamples": b.samples, "bytes": b.bytes, "level": b.level,
        })).collect::<Vec<_>>(),
        "walBytes": stats.wal_bytes,
    })))
}

/// `GET /api/v1/status/walreplay`: the listener opens after the replay, so whoever can ask sees it done.
pub(super) async fn walreplay(api: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    let segments = api.db.stats().wal_segments;
    Ok(success(
        &json!({ "min": 0, "max": segments, "current": segments, "state": "done" }),
    ))
}

/// `GET /api/v1/notifications`: none.
pub(super) async fn notifications(_: Arc<Api>, _: Params) -> Result<Response<Body>, ApiError> {
    Ok(success(&json!([])))
}

pub(super) fn text_response(text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `GET /metrics`: Masthead itself.
pub(super) async fn own_metrics(State(api): State<Arc<Api>>) -> Response<Body> {
    let mut families = api.metrics.families(&api.db.stats());
    families.extend(api.containers.iter().flat_map(|c| c.own_families()));
    families.sort_by(|a, b| a.name.cmp(&b.name));
    let mut text = String::new();
    model::encode_families(&families, &mut text);
    text_response(text)
}

/// `GET /metrics/node`: the host, read now.
pub(super) async fn node_metrics(State(api): State<Arc<Api>>) -> Result<Response<Body>, ApiError> {
    read_metrics(move || host_text(&api.host)).await
}

/// Metrics that are read for this request, which may take a while.
pub(super) async fn read_metrics(
    read: impl FnOnce() -> String + Send + 'static,
) -> Result<Response<Body>, ApiError> {
    let text = tokio::task::spawn_blocking(read)
        .await
        .map_err(|e| ApiError::new(ErrorType::Internal, format!("collecting the metrics: {e}")))?;
    Ok(text_response(text))
}

/// One round of the host's collectors as text; what failed is said in comments.
pub(super) fn host_text(host: &Mutex<collect::HostCollector>) -> String {
    let mut collector = host.lock().unwrap_or_else(PoisonError::into_inner);
    let collection = crate::app::host::collect_timed(&mut collector, clock::now_ms());
    let mut text = String::new();
    model::encode_families(&collection.families, &mut text);
    for outcome in collection.outcomes.iter().filter(|o| !o.success) {
        if let Some(error) = &outcome.error {
            let _ = writeln!(
                text,
                "# collector {} failed: {}",
                outcome.collector,
                error.to_string().replace('\n', " ")
            );
        }
    }
    text
}
