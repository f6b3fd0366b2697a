//! `load_with_nhcb`: classic histograms once more as native histograms with custom boundaries.
//!
//! The series `x_bucket{le=...}`, `x_sum` and `x_count` of equal other labels become one native series `x`.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Bounds, CounterReset, Histogram, Labels, METRIC_NAME};

use super::histogram::{Buckets, spans};
use super::series::Item;
use super::syntax::Load;
use crate::engine::Value;

/// A classic histogram at one time. Bounds are kept by an integer key that sorts like them.
#[derive(Default)]
struct Classic {
    buckets: BTreeMap<i64, (f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// One series to load.
pub(super) type Converted = (Labels, Vec<(i64, Value)>);

/// The native series for a load's classic ones.
pub(super) fn convert(load: &Load) -> Result<Vec<Converted>, String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Classic>> = BTreeMap::new();
    for line in &load.series {
        let name = line.labels.metric_name();
        let Some((base, part)) = ["_bucket", "_count", "_sum"].iter().find_map(|part| {
            name.strip_suffix(part)
                .filter(|base| !base.is_empty())
                .map(|base| (base, *part))
        }) else {
            continue;
        };
        let bound = line.labels.get("le").map(str::parse::<f64>);
        let bound = match (part, bound) {
            ("_bucket", Some(Ok(bound))) if !bound.is_nan() => bound,
            ("_bucket", _) => continue,
            _ => 0.0,
        };
        let labels = line.labels.without(&["le"]).with(METRIC_NAME, base);
        let times = found.entry(labels).or_default();
        for (at, item) in line.items.iter().enumerate() {
            let Item::Float(value) = item else { continue };
            let t = i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(load.step_ms);
            let classic = times.entry(t).or_default();
            match part {
                "_bucket" => {
                    classic.buckets.insert(sortable(bound), (bound, *value));
                }
                "_count" => classic.count = Some(*value),
                _ => classic.sum = *value,
            }
        }
    }
    found
        .into_iter()
        .map(|(labels, times)| series(labels, times))
        .collect()
}

/// A key that orders as the float does.
fn sortable(value: f64) -> i64 {
    let bits = value.to_bits().cast_signed();
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn series(labels: Labels, times: BTreeMap<i64, Classic>) -> Result<Converted, String> {
    let mut samples = Vec::with_capacity(times.len());
    for (t, classic) in times {
        let histogram = native(&classic).map_err(|e| format!("converting {labels} at {t} ms: {e}"))?;
        samples.push((t, Value::Histogram(Arc::new(histogram))));
    }
    Ok((labels, samples))
}

fn native(classic: &Classic) -> Result<Histogram, String> {
    let infinite = classic
        .buckets
        .values()
        .find(|(bound, _)| *bound == f64::INFINITY)
        .map(|(_, count)| *count);
    let last = classic.buckets.values().next_back().map(|(_, count)| *count);
    let count = classic.count.or(infinite).or(last).unwrap_or(0.0);
    let bounds: Vec<f64> = classic
        .buckets
        .values()
        .map(|(bound, _)| *bound)
        .filter(|b| b.is_finite())
        .collect();
    let cumulative = classic
        .buckets
        .values()
        .filter(|(bound, _)| *bound != f64::INFINITY)
        .map(|(_, count)| *count);
    let mut buckets = Buckets::new();
    let mut before = 0.0;
    for (index, upto) in cumulative.chain([count]).enumerate() {
        let here = upto - before;
        if here < 0.0 {
            return Err(format!(
                "bucket {index} counts {upto}, less than the {before} of the bucket before"
            ));
        }
        if here != 0.0 {
            buckets.insert(i32::try_from(index).map_err(|e| e.to_string())?, here);
        }
        before = upto;
    }
    let (positive_spans, positive_buckets) = spans(&buckets);
    Ok(Histogram {
        counter_reset: CounterReset::Unknown,
        bounds: Bounds::Custom(bounds),
        zero_threshold: 0.0,
        zero_count: 0.0,
        count,
        sum: classic.sum,
        positive_spans,
        positive_buckets,
        negative_spans: Vec::new(),
        negative_buckets: Vec::new(),
    })
}
