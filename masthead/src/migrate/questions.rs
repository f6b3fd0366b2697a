//! Queries that are asked before and after a migration, and have to answer alike.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use model::{Cancel, Querier};
use promql::engine::{self, Grid};
use serde_json::Value;

use crate::api::json;

/// A server that does not answer within this is not going to.
const TIMEOUT: Duration = Duration::from_secs(120);
/// Two values that differ by less are the same: sums are made in another order.
const TOLERANCE: f64 = 1e-9;
/// Differences that are told one by one.
const TOLD: usize = 10;

/// What is asked over the last of the data.
enum Span {
    /// At its end.
    Instant,
    /// So long before its end until then, in steps.
    Last { ms: i64, step_ms: i64 },
    /// From its beginning to its end, in a hundred steps.
    All,
}

const HOUR_MS: i64 = 3_600_000;

/// What is asked: what there is at all, what people look at first, and sums over everything.
const QUESTIONS: &[(&str, Span)] = &[
    ("count({__name__!=\"\"})", Span::Instant),
    ("count by (__name__) ({__name__!=\"\"})", Span::Instant),
    ("count by (job, instance) ({job!=\"\"})", Span::Instant),
    ("up", Span::Instant),
    (
        "sum by (job) (count_over_time(scrape_samples_scraped[1d]))",
        Span::Instant,
    ),
    (
        "sum by (job) (sum_over_time(scrape_samples_post_metric_relabeling[1d]))",
        Span::Instant,
    ),
    ("sum_over_time(up[1h])", Span::Instant),
    ("count_over_time(up[1d])", Span::Instant),
    ("node_load1", Span::Instant),
    (
        "node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
        Span::Instant,
    ),
    ("sum by (mode) (rate(node_cpu_seconds_total[5m]))", Span::Instant),
    ("node_filesystem_avail_bytes", Span::Instant),
    ("max_over_time(node_load1[1h])", Span::Instant),
    ("sum by (app) (container_memory_working_set_bytes)", Span::Instant),
    (
        "sum by (app) (rate(container_cpu_usage_seconds_total[5m]))",
        Span::Instant,
    ),
    (
        "sum by (app) (increase(container_network_receive_bytes_total[30m]))",
        Span::Instant,
    ),
    ("quantile_over_time(0.9, node_load1[1h])", Span::Instant),
    (
        "avg(node_load1)",
        Span::Last {
            ms: 6 * HOUR_MS,
            step_ms: 60_000,
        },
    ),
    (
        "sum by (device) (rate(node_network_receive_bytes_total[5m]))",
        Span::Last {
            ms: 6 * HOUR_MS,
            step_ms: 60_000,
        },
    ),
    (
        "sum by (app) (container_memory_rss)",
        Span::Last {
            ms: 24 * HOUR_MS,
            step_ms: 300_000,
        },
    ),
    (
        "count by (job) ({job!=\"\"})",
        Span::Last {
            ms: 24 * HOUR_MS,
            step_ms: 600_000,
        },
    ),
    ("sum by (job) (up)", Span::All),
    ("count({__name__!=\"\"})", Span::All),
    ("avg(node_load1)", Span::All),
];

/// Points of each series, by its labels.
type Series = BTreeMap<String, Vec<(f64, f64)>>;

/// All answers, in the order of the questions.
#[derive(Debug)]
pub struct Answers(Vec<Result<Series, String>>);

/// The time that everything is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Of the first sample.
    pub first_ms: i64,
    /// All samples up to here are there.
    pub last_ms: i64,
}

impl Moment {
    fn grid(self, span: &Span) -> (Grid, bool) {
        let end_ms = self.last_ms;
        let over = |ms: i64, step_ms: i64| Grid {
            start_ms: end_ms - ms / step_ms * step_ms,
            end_ms,
            step_ms,
        };
        match span {
            Span::Instant => (over(0, 1), true),
            Span::Last { ms, step_ms } => (over(*ms, *step_ms), false),
            Span::All => {
                let step_ms = ((end_ms - self.first_ms) / 100_000 * 1000).max(1000);
                (over((end_ms - self.first_ms).max(0), step_ms), false)
            }
        }
    }
}

/// Number of questions.
#[must_use]
pub fn count() -> usize {
    QUESTIONS.len()
}

/// Asks a store.
#[must_use]
pub fn ask_store(querier: &dyn Querier, moment: Moment, cancel: &Cancel) -> Answers {
    let answers = QUESTIONS.iter().map(|(query, span)| {
        let expr = promql::parser::parse(query).map_err(|error| error.to_string())?;
        let (grid, instant) = moment.grid(span);
        let options = engine::Options::default();
        let answer = engine::eval_text(&expr, query, grid, instant, querier, &options, cancel)
            .map_err(|error| error.to_string())?;
        let mut text = json::HEAD.to_owned();
        json::push_result(&mut text, &answer.value, None);
        json::finish(&mut text, &answer.annotations);
        let json = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        series(&json)
    });
    Answers(answers.collect())
}

/// Asks a Prometheus.
///
/// # Errors
/// It does not answer at all.
pub async fn ask_server(access: &stack::Access, moment: Moment) -> anyhow::Result<Answers> {
    crate::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let mut answers = Vec::new();
    for (query, span) in QUESTIONS {
        let (grid, instant) = moment.grid(span);
        let time = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        let (path, form) = match instant {
            true => (
                "query",
                vec![("query", (*query).to_owned()), ("time", time(grid.end_ms))],
            ),
            false => (
                "query_range",
                vec![
                    ("query", (*query).to_owned()),
                    ("start", time(grid.start_ms)),
                    ("end", time(grid.end_ms)),
                    ("step", time(grid.step_ms)),
                ],
            ),
        };
        let json: Value = client
            .post(format!("{}/api/v1/{path}", access.url))
            .basic_auth(&access.user, Some(&access.password))
            .form(&form)
            .send()
            .await
            .with_context(|| format!("asking Prometheus {query}"))?
            // What cannot be answered is an answer too, and says why; that nobody is let in is not.
            .json()
            .await
            .with_context(|| format!("asking Prometheus {query}"))?;
        answers.push(series(&json));
    }
    Ok(Answers(answers))
}

/// Time of Prometheus' first sample in its data folder, as its blocks and head have it.
///
/// # Errors
/// It does not answer.
pub async fn first_sample(access: &stack::Access) -> anyhow::Result<i64> {
    crate::install_tls_provider();
    let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let text = client
        .get(format!("{}/metrics", access.url))
        .basic_auth(&access.user, Some(&access.password))
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .context("asking Prometheus for its own metrics")?
        .text()
        .await?;
    let seconds = text
        .lines()
        .find_map(|line| line.strip_prefix("prometheus_tsdb_lowest_timestamp_seconds "))
        .and_then(|value| value.trim().parse::<f64>().ok())
        .filter(|seconds| seconds.is_finite())
        .context(
            "Prometheus does not say when its first sample is of (prometheus_tsdb_lowest_timestamp_seconds)",
        )?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a time of this century in milliseconds"
    )]
    Ok((seconds * 1000.0) as i64)
}

fn series(json: &Value) -> Result<Series, String> {
    if json["status"] != "success" {
        return Err(json["error"].as_str().unwrap_or("no answer").to_owned());
    }
    let list = json["data"]["result"]
        .as_array()
        .ok_or("an answer of another form")?;
    let mut all = Series::new();
    for one in list {
        let points = match (&one["values"], &one["value"]) {
            (Value::Array(points), _) => points.iter().collect(),
            (_, point @ Value::Array(_)) => vec![point],
            _ => Vec::new(),
        };
        let points = points.into_iter().filter_map(|point| {
            let value = point[1].as_str()?.parse().ok()?;
            Some((point[0].as_f64()?, value))
        });
        let labels: BTreeMap<String, &Value> = one["metric"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value))
            .collect();
        let labels = serde_json::to_string(&labels).map_err(|error| error.to_string())?;
        all.insert(labels, points.collect());
    }
    Ok(all)
}

/// What is not alike, a line each; nothing when all is.
#[must_use]
pub fn differences(before: &Answers, after: &Answers) -> Vec<String> {
    let mut said = Vec::new();
    for (((query, _), before), after) in QUESTIONS.iter().zip(&before.0).zip(&after.0) {
        match (before, after) {
            (Ok(before), Ok(after)) => {
                said.extend(difference(before, after).map(|what| format!("{query}: {what}")))
            }
            // A question that cannot be answered before says nothing.
            (Err(_), _) => {}
            (Ok(_), Err(error)) => said.push(format!("{query}: {error}")),
        }
    }
    let more = said.len().saturating_sub(TOLD);
    said.truncate(TOLD);
    if more > 0 {
        said.push(format!("{more} more"));
    }
    said
}

fn difference(before: &Series, after: &Series) -> Option<String> {
    if let Some((labels, _)) = before.iter().find(|(labels, _)| !after.contains_key(*labels)) {
        return Some(format!("{labels} is missing after it"));
    }
    if let Some((labels, _)) = after.iter().find(|(labels, _)| !before.contains_key(*labels)) {
        return Some(format!("{labels} was not there before it"));
    }
    before.iter().find_map(|(labels, points)| {
        let now = after.get(labels)?;
        if points.len() != now.len() {
            return Some(format!(
                "{labels} had {} points and has {}",
                points.len(),
                now.len()
            ));
        }
        let other = points.iter().zip(now).find(|(a, b)| !is_alike(**a, **b))?;
        Some(format!(
            "{labels} was {} at {} and is {}",
            other.0.1, other.0.0, other.1.1
        ))
    })
}

fn is_alike(a: (f64, f64), b: (f64, f64)) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * a.abs().max(b.abs());
    near(a.0, b.0)
        && (near(a.1, b.1) || a.1.to_bits() == b.1.to_bits() || (a.1.is_nan() && b.1.is_nan()) || a.1 == b.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(labels: &str, points: &[(f64, f64)]) -> Series {
        Series::from([(labels.to_owned(), points.to_vec())])
    }

    #[test]
    fn every_question_is_one() {
        for (query, _) in QUESTIONS {
            promql::parser::parse(query).unwrap();
        }
    }

    #[test]
    fn what_is_not_alike_is_told() {
        let before = one("{a}", &[(1.0, 2.0), (2.0, f64::NAN), (3.0, f64::INFINITY)]);
        let nearly = one(
            "{a}",
            &[(1.0, 2.0 + 1e-12), (2.0, -f64::NAN), (3.0, f64::INFINITY)],
        );
        assert_eq!(difference(&before, &nearly), None);
        for (after, want) in [
            (Series::new(), "is missing after it"),
            (one("{a}", &[(1.0, 2.0)]), "had 3 points and has 1"),
            (
                one("{a}", &[(1.0, 2.1), (2.0, f64::NAN), (3.0, f64::INFINITY)]),
                "was 2 at 1 and is 2.1",
            ),
            (
                one("{a}", &[(1.0, 2.0), (2.5, f64::NAN), (3.0, f64::INFINITY)]),
                "was NaN at 2",
            ),
        ] {
            let said = difference(&before, &after).unwrap();
            assert!(said.contains(want), "{said}");
        }
        assert!(
            difference(&Series::new(), &before)
                .unwrap()
                .contains("was not there before")
        );
        let all = |series: &Series| Answers(vec![Ok(series.clone()); QUESTIONS.len()]);
        assert_eq!(differences(&all(&before), &all(&Series::new())).len(), TOLD + 1);
        let failed = Answers(vec![Err("x".to_owned()); QUESTIONS.len()]);
        assert!(differences(&failed, &all(&before)).is_empty());
        assert!(differences(&all(&before), &failed)[0].ends_with(": x"));
    }

    #[test]
    fn ranges_end_at_the_moment() {
        let moment = Moment {
            first_ms: 0,
            last_ms: 7_200_500,
        };
        for (_, span) in QUESTIONS {
            let (grid, instant) = moment.grid(span);
            assert_eq!(grid.end_ms, 7_200_500);
            assert!(grid.start_ms <= grid.end_ms && grid.step_ms > 0);
            assert_eq!((grid.end_ms - grid.start_ms) % grid.step_ms, 0);
            assert_eq!(instant, grid.start_ms == grid.end_ms && grid.step_ms == 1);
        }
    }
}
