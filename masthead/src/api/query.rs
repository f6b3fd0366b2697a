//! `/api/v1/query`, `query_range`, `format_query` and the exemplars that we do not keep.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use promql::ast::{Expr, ValueType};
use promql::engine::{Annotations, Answer, Grid, QueryValue};

use crate::api::error::{ApiError, ErrorType};
use crate::api::params::Params;
use crate::api::{Api, json, json_response};
use crate::clock;

/// More steps than this are refused, as upstream does: no screen shows them.
const MAX_STEPS: i64 = 11_000;

fn text(params: &Params) -> &str {
    params.get("query").unwrap_or("")
}

fn parse(params: &Params) -> Result<Expr, ApiError> {
    promql::parser::parse(text(params)).map_err(|e| ApiError::parameter("query", e))
}

/// The request's `timeout` and `lookback_delta`.
fn limits(params: &Params) -> Result<(Option<Duration>, Option<i64>), ApiError> {
    let timeout = params
        .duration_ms("timeout")?
        .map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
    let lookback_ms = params.duration_ms("lookback_delta")?;
    if lookback_ms.is_some_and(|ms| ms <= 0) {
        return Err(ApiError::parameter(
            "lookback_delta",
            "the lookback must be positive",
        ));
    }
    Ok((timeout, lookback_ms))
}

/// `GET|POST /api/v1/query`: one instant.
pub(super) async fn instant(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let t_ms = params.time_ms("time", clock::now_ms())?;
    let limit = params.limit("limit")?;
    let (timeout, lookback_ms) = limits(&params)?;
    let expr = parse(&params)?;
    let started = clock::instant();
    let answer = api
        .runner
        .eval(
            expr,
            text(&params).to_owned(),
            Grid::instant(t_ms),
            true,
            timeout,
            lookback_ms,
        )
        .await?;
    respond(&api, answer, limit, &params, started.elapsed()).await
}

/// `GET|POST /api/v1/query_range`: a grid.
pub(super) async fn range(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let required = |name| {
        let text = params.get(name);
        text.ok_or_else(|| ApiError::parameter(name, "cannot parse \"\" to a valid timestamp"))
            .map(|_| ())
    };
    required("start")?;
    let start_ms = params.time_ms("start", 0)?;
    required("end")?;
    let end_ms = params.time_ms("end", 0)?;
    if end_ms < start_ms {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    let step_ms = params
        .duration_ms("step")?
        .ok_or_else(|| ApiError::parameter("step", "cannot parse \"\" to a valid duration"))?;
    if step_ms <= 0 {
        let text = "zero or negative query resolution step widths are not accepted. Try a positive integer";
        return Err(ApiError::parameter("step", text));
    }
    if end_ms.saturating_sub(start_ms) / step_ms > MAX_STEPS {
        let text = "exceeded maximum resolution of 11,000 points per timeseries. \
                    Try decreasing the query resolution (?step=XX)";
        return Err(ApiError::new(ErrorType::BadData, text));
    }
    let limit = params.limit("limit")?;
    let (timeout, lookback_ms) = limits(&params)?;
    let expr = parse(&params)?;
    if !matches!(expr.value_type(), ValueType::Scalar | ValueType::Vector) {
        let kind = expr.value_type().documented();
        let text =
            format!("invalid expression type \"{kind}\" for range query, must be Scalar or instant Vector");
        return Err(ApiError::parameter("query", text));
    }
    let started = clock::instant();
    let grid = Grid {
        start_ms,
        end_ms,
        step_ms,
    };
    let answer = api
        .runner
        .eval(expr, text(&params).to_owned(), grid, false, timeout, lookback_ms)
        .await?;
    respond(&api, answer, limit, &params, started.elapsed()).await
}

async fn respond(
    api: &Api,
    answer: Answer,
    limit: usize,
    params: &Params,
    took: Duration,
) -> Result<Response<Body>, ApiError> {
    api.metrics.query(took, answer.stats.samples_read);
    let with_stats = params.get("stats").is_some();
    let write = move || text_of(answer, limit, with_stats.then_some(took));
    // Millions of points take seconds to print: not on the threads that serve everybody.
    let text = tokio::task::spawn_blocking(write)
        .await
        .map_err(|e| ApiError::new(ErrorType::Internal, format!("writing the answer: {e}")))?;
    Ok(json_response(text))
}

/// The answer as JSON, cut at the limit; with statistics when there is a time to say.
fn text_of(mut answer: Answer, limit: usize, took: Option<Duration>) -> String {
    if let QueryValue::Vector(series) | QueryValue::Matrix(series) = &mut answer.value
        && limit > 0
        && series.len() > limit
    {
        series.truncate(limit);
        answer
            .annotations
            .warnings
            .push("results truncated due to limit".to_owned());
    }
    let mut out = String::with_capacity(1024);
    out.push_str(json::HEAD);
    let stats = took.map(|took| (&answer.stats, took.as_secs_f64()));
    json::push_result(&mut out, &answer.value, stats);
    json::finish(&mut out, &answer.annotations);
    out
}

/// `GET|POST /api/v1/format_query`: the query, laid out.
pub(super) async fn format(_: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let expr = parse(&params)?;
    let mut out = json::HEAD.to_owned();
    json::push_string(&mut out, &promql::printer::pretty(&expr));
    json::finish(&mut out, &Annotations::default());
    Ok(json_response(out))
}

/// `GET|POST /api/v1/query_exemplars`: none are kept; the query is still checked, as clients probe with it.
pub(super) async fn exemplars(_: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let start_ms = params.time_ms("start", 0)?;
    if params.time_ms("end", i64::MAX)? < start_ms {
        return Err(ApiError::new(
            ErrorType::BadData,
            "end timestamp must not be before start timestamp",
        ));
    }
    parse(&params)?;
    Ok(json_response(format!("{}[]}}", json::HEAD)))
}
