//! `/api/v1/series`, `labels`, `label/<name>/values`: what there is.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use model::{Labels, Matcher, SelectHints};
use promql::ast::ExprKind;
use promql::engine::Annotations;

use crate::api::error::{ApiError, ErrorType};
use crate::api::params::{EARLIEST_MS, LATEST_MS, Params};
use crate::api::{Api, json, json_response};

/// The selectors of a parameter that may stand several times (`match[]`).
pub(super) fn selectors(params: &Params, name: &str) -> Result<Vec<Vec<Matcher>>, ApiError> {
    let mut out = Vec::new();
    for text in params.all(name) {
        let expr = promql::parser::parse(text).map_err(|e| ApiError::parameter(name, e))?;
        let ExprKind::Selector(selector) = &expr.without_parens().kind else {
            return Err(ApiError::parameter(
                name,
                format!("{text} is not a series selector such as up{{job=\"x\"}}"),
            ));
        };
        out.push(selector.matchers.clone());
    }
    Ok(out)
}

struct Window {
    start_ms: i64,
    end_ms: i64,
    limit: usize,
}

fn window(params: &Params) -> Result<Window, ApiError> {
    let start_ms = params.time_ms("start", EARLIEST_MS)?;
    let end_ms = params.time_ms("end", LATEST_MS)?;
    if end_ms < start_ms {
        return Err(ApiError::parameter(
            "end",
            "end timestamp must not be before start time",
        ));
    }
    Ok(Window {
        start_ms,
        end_ms,
        limit: params.limit("limit")?,
    })
}

/// Cuts a list at the limit, with upstream's warning.
fn truncate<T>(list: &mut Vec<T>, limit: usize, annotations: &mut Annotations) {
    if limit > 0 && list.len() > limit {
        list.truncate(limit);
        annotations
            .warnings
            .push("results truncated due to limit".to_owned());
    }
}

/// `GET|POST /api/v1/series`: label sets of the series that match.
pub(super) async fn series(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    let selectors = selectors(&params, "match[]")?;
    if selectors.is_empty() {
        return Err(ApiError::new(ErrorType::BadData, "no match[] parameter provided"));
    }
    let window = window(&params)?;
    let text = api
        .runner
        .blocking(None, move |querier, cancel| {
            let hints = SelectHints {
                start_ms: window.start_ms,
                end_ms: window.end_ms,
                func: Some("series"),
                // One more than is shown tells that there are more.
                limit: if window.limit == 0 {
                    0
                } else {
                    window.limit.saturating_add(1)
                },
                ..SelectHints::default()
            };
            let mut found = BTreeSet::new();
            for matchers in &selectors {
                for series in querier.select(matchers, &hints, cancel)? {
                    found.insert(series.labels().clone());
                }
            }
            Ok(series_json(found.into_iter().collect(), window.limit))
        })
        .await?;
    Ok(json_response(text))
}

fn series_json(mut found: Vec<Labels>, limit: usize) -> String {
    let mut annotations = Annotations::default();
    truncate(&mut found, limit, &mut annotations);
    let mut out = json::HEAD.to_owned();
    out.push('[');
    for (at, labels) in found.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        json::push_labels(&mut out, labels);
    }
    out.push(']');
    json::finish(&mut out, &annotations);
    out
}

/// `GET|POST /api/v1/labels`: label names.
pub(super) async fn names(api: Arc<Api>, params: Params) -> Result<Response<Body>, ApiError> {
    strings(&api, &params, None).await
}

/// `GET /api/v1/label/<name>/values`. A name escaped as `U__...` (Grafana does that for UTF-8 names) is unescaped.
pub(super) async fn values(api: Arc<Api>, name: String, params: Params) -> Result<Response<Body>, ApiError> {
    let name = unescape_label(&name);
    if name.is_empty() {
        return Err(ApiError::new(ErrorType::BadData, "invalid label name: \"\""));
    }
    strings(&api, &params, Some(name)).await
}

/// Names (`None`) or the values of one label, over the union of the selectors.
async fn strings(api: &Api, params: &Params, label: Option<String>) -> Result<Response<Body>, ApiError> {
    let mut selectors = selectors(params, "match[]")?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let window = window(params)?;
    let (start_ms, end_ms) = (window.start_ms, window.end_ms);
    let text = api
        .runner
        .blocking(None, move |querier, cancel| {
            let mut found = BTreeSet::new();
            for matchers in &selectors {
                found.extend(match &label {
                    Some(name) => querier.label_values(name, matchers, start_ms, end_ms, cancel)?,
                    None => querier.label_names(matchers, start_ms, end_ms, cancel)?,
                });
            }
            let mut found: Vec<String> = found.into_iter().collect();
            let mut annotations = Annotations::default();
            truncate(&mut found, window.limit, &mut annotations);
            let mut out = json::HEAD.to_owned();
            json::push_strings(&mut out, &found);
            json::finish(&mut out, &annotations);
            Ok(out)
        })
        .await?;
    Ok(json_response(text))
}

/// Undoes upstream's value-encoding escape: `U__` in front, `_xx_` a code point in hexadecimal, `__` an underscore.
/// Anything that does not fit is left as it came.
fn unescape_label(name: &str) -> String {
    let Some(escaped) = name.strip_prefix("U__") else {
        return name.to_owned();
    };
    let mut out = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = rest.find('_') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('_') {
            out.push('_');
            rest = after;
            continue;
        }
        let Some((code, after)) = rest.split_once('_') else {
            return name.to_owned();
        };
        let Some(c) = u32::from_str_radix(code, 16).ok().and_then(char::from_u32) else {
            return name.to_owned();
        };
        out.push(c);
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_label_names_are_unescaped() {
        for (escaped, want) in [
            ("job", "job"),
            ("U__my_2e_label", "my.label"),
            ("U__a__b", "a_b"),
            ("U__broken_zz", "U__broken_zz"),
            ("U__", ""),
        ] {
            assert_eq!(unescape_label(escaped), want, "{escaped}");
        }
    }
}
