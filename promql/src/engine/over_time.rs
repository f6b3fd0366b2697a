//! What is computed over a window without extrapolation: `*_over_time`, `changes`, `resets`, regression, smoothing.

use super::Value;
use super::duration::ms_to_seconds;
use super::kahan::{Kahan, Mean};
use super::rate::count;
use super::window::{Scene, Window};

type Out = Option<Value>;

fn float(value: f64) -> Out {
    Some(Value::Float(value))
}

/// Floats are there; histograms beside them are remarked on and ignored.
fn floats(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> bool {
    if window.values.is_empty() {
        return false;
    }
    if !window.histograms.is_empty() {
        scene.notes.ignored_in_range(scene.name, scene.arg);
    }
    true
}

/// Floats only; a mix drops the element, histograms alone are not supported yet.
fn unmixed(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> bool {
    if window.histograms.is_empty() {
        return true;
    }
    if window.values.is_empty() {
        *scene.lacks_histograms = true;
    } else {
        scene.notes.mixed(scene.name, scene.arg);
    }
    false
}

/// `sum_over_time`
pub(crate) fn sum(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    if !unmixed(window, scene) {
        return None;
    }
    let mut sum = Kahan::default();
    for value in window.values {
        sum.add(*value);
    }
    float(if sum.sum.is_infinite() {
        sum.sum
    } else {
        sum.total()
    })
}

/// `avg_over_time`
pub(crate) fn avg(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    if !unmixed(window, scene) {
        return None;
    }
    let mut sum = Kahan::default();
    for value in window.values {
        sum.add(*value);
    }
    // A finite sum never overflowed on its way, so the plain mean is the one that `Mean` would give.
    if sum.sum.is_finite() {
        let n = count(window.values.len());
        return float(sum.sum / n + sum.lost / n);
    }
    let mut mean = Mean::default();
    for value in window.values {
        mean.add(*value);
    }
    float(mean.mean())
}

/// `count_over_time`
pub(crate) fn count_samples(window: &Window<'_>, _: &mut Scene<'_, '_>) -> Out {
    float(count(window.values.len() + window.histograms.len()))
}

/// `present_over_time`
pub(crate) fn present(_: &Window<'_>, _: &mut Scene<'_, '_>) -> Out {
    float(1.0)
}

/// `first_over_time`
pub(crate) fn first(window: &Window<'_>, _: &mut Scene<'_, '_>) -> Out {
    match (
        window.t_ms.first(),
        window.values.first(),
        window.histograms.first(),
    ) {
        (Some(t), Some(value), Some((other, _))) if t < other => float(*value),
        (_, _, Some((_, histogram))) => Some(Value::Histogram(histogram.clone())),
        (_, value, None) => value.copied().and_then(float),
    }
}

/// `last_over_time`
pub(crate) fn last(window: &Window<'_>, _: &mut Scene<'_, '_>) -> Out {
    match (window.t_ms.last(), window.values.last(), window.histograms.last()) {
        (Some(t), Some(value), Some((other, _))) if t > other => float(*value),
        (_, _, Some((_, histogram))) => Some(Value::Histogram(histogram.clone())),
        (_, value, None) => value.copied().and_then(float),
    }
}

/// `ts_of_first_over_time`
pub(crate) fn ts_of_first(window: &Window<'_>, _: &mut Scene<'_, '_>) -> Out {
    let (t, h) = (window.t_ms.first(), window.histograms.first().map(|(t, _)| t));
    t.into_iter()
        .chain(h)
        .min()
        .copied()
        .and_then(|t| float(ms_to_seconds(t)))
}

/// `ts_of_last_over_time`
pub(crate) fn ts_of_last(window: &Window<'_>, _: &mut Scene<'_, '_>) -> Out {
    let (t, h) = (window.t_ms.last(), window.histograms.last().map(|(t, _)| t));
    t.into_iter()
        .chain(h)
        .max()
        .copied()
        .and_then(|t| float(ms_to_seconds(t)))
}

/// Index of the sample that wins every comparison; NaN loses to anything.
fn winner(window: &Window<'_>, scene: &mut Scene<'_, '_>, wins: impl Fn(f64, f64) -> bool) -> Option<usize> {
    if !floats(window, scene) {
        return None;
    }
    let mut best = 0;
    for (at, value) in window.values.iter().enumerate() {
        if wins(*value, window.values[best]) || window.values[best].is_nan() {
            best = at;
        }
    }
    Some(best)
}

/// `max_over_time`
pub(crate) fn max(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    winner(window, scene, |a, b| a > b).and_then(|at| float(window.values[at]))
}

/// `min_over_time`
pub(crate) fn min(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    winner(window, scene, |a, b| a < b).and_then(|at| float(window.values[at]))
}

/// `ts_of_max_over_time`: the last of equals.
pub(crate) fn ts_of_max(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    winner(window, scene, |a, b| a >= b).and_then(|at| float(ms_to_seconds(window.t_ms[at])))
}

/// `ts_of_min_over_time`: the last of equals.
pub(crate) fn ts_of_min(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    winner(window, scene, |a, b| a <= b).and_then(|at| float(ms_to_seconds(window.t_ms[at])))
}

/// The quantile of values, which are sorted by this; NaN counts as smallest.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    values.sort_unstable_by(|a, b| nan_first(*a, *b));
    let rank = q * count(values.len() - 1);
    let lower = index(rank.floor().max(0.0)).min(values.len() - 1);
    let upper = (lower + 1).min(values.len() - 1);
    let weight = rank - rank.floor();
    values[lower] * (1.0 - weight) + values[upper] * weight
}

/// Ascending with NaN before all else.
pub(crate) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    b.is_nan()
        .cmp(&a.is_nan())
        .then(a.partial_cmp(&b).unwrap_or(std::cmp::Ordering::Equal))
}

/// A float that is a small whole number as an index.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and callers clamp to a length"
)]
pub(crate) fn index(value: f64) -> usize {
    value as usize
}

/// `quantile_over_time`
pub(crate) fn quantile_over(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    if window.values.is_empty() {
        return None;
    }
    scene.notes.check_quantile(window.params[0], scene.first_arg);
    if !window.histograms.is_empty() {
        scene.notes.ignored_in_range(scene.name, scene.first_arg);
    }
    scene.scratch.clear();
    scene.scratch.extend_from_slice(window.values);
    float(quantile(window.params[0], scene.scratch))
}

/// `mad_over_time`: the median distance from the median; NaN when any value is (since 3.6; before, NaN counted as smallest).
pub(crate) fn mad(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    if !floats(window, scene) {
        return None;
    }
    scene.scratch.clear();
    scene.scratch.extend_from_slice(window.values);
    if scene.scratch.iter().any(|v| v.is_nan()) {
        return float(f64::NAN);
    }
    let median = quantile(0.5, scene.scratch);
    scene.scratch.clear();
    scene
        .scratch
        .extend(window.values.iter().map(|v| (v - median).abs()));
    float(quantile(0.5, scene.scratch))
}

/// `stdvar_over_time`
pub(crate) fn stdvar(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    variance(window, scene).and_then(float)
}

/// `stddev_over_time`
pub(crate) fn stddev(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    variance(window, scene).and_then(|v| float(v.sqrt()))
}

fn variance(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<f64> {
    if !floats(window, scene) {
        return None;
    }
    let (mut n, mut mean, mut squares) = (0.0, Kahan::default(), Kahan::default());
    for value in window.values {
        n += 1.0;
        let delta = value - mean.total();
        mean.add(delta / n);
        squares.add(delta * (value - mean.total()));
    }
    Some(squares.total() / n)
}

/// `changes`
pub(crate) fn changes(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    pairs(window, scene, |before, after| {
        before != after && !(before.is_nan() && after.is_nan())
    })
}

/// `resets`
pub(crate) fn resets(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    pairs(window, scene, |before, after| after < before)
}

fn pairs(window: &Window<'_>, scene: &mut Scene<'_, '_>, counts: impl Fn(f64, f64) -> bool) -> Out {
    if window.histograms.len() + window.values.len() > 1 && !window.histograms.is_empty() {
        *scene.lacks_histograms = true;
        return None;
    }
    float(count(
        window
            .values
            .windows(2)
            .filter(|pair| counts(pair[0], pair[1]))
            .count(),
    ))
}

/// Two floats are there; histograms are remarked on and ignored.
fn two_floats(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> bool {
    if !window.values.is_empty() && !window.histograms.is_empty() {
        scene.notes.ignored_in_range(scene.name, scene.arg);
    }
    window.values.len() >= 2
}

/// `deriv`
pub(crate) fn deriv(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    if !two_floats(window, scene) {
        return None;
    }
    float(regression(window, window.t_ms[0]).0)
}

/// `predict_linear`
pub(crate) fn predict_linear(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    if !two_floats(window, scene) {
        return None;
    }
    let (slope, intercept) = regression(window, window.step_ms);
    float(slope * window.params[0] + intercept)
}

/// Least squares: slope per second, and the value of the line at `origin_ms`.
fn regression(window: &Window<'_>, origin_ms: i64) -> (f64, f64) {
    let first = window.values[0];
    if window.values.iter().all(|v| *v == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) = (
        Kahan::default(),
        Kahan::default(),
        Kahan::default(),
        Kahan::default(),
    );
    for (t, y) in window.t_ms.iter().zip(window.values) {
        let x = ms_to_seconds(t.saturating_sub(origin_ms));
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let n = count(window.values.len());
    let (x, y) = (x_sum.total(), y_sum.total());
    let covariance = xy_sum.total() - x * y / n;
    let variance = xx_sum.total() - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// `double_exponential_smoothing` (Holt): a smoothed value and a smoothed trend.
pub(crate) fn smoothing(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Out {
    let [smooth, trend] = window.params;
    for (what, factor, name) in [("smoothing", smooth, "sf"), ("trend", trend, "tf")] {
        if factor <= 0.0 || factor >= 1.0 {
            let text = format!("invalid {what} factor. Expected: 0 < {name} < 1, got: {factor:.6}");
            scene.fault.get_or_insert(text);
            return None;
        }
    }
    if !two_floats(window, scene) {
        return None;
    }
    let (mut before, mut level) = (0.0, window.values[0]);
    let mut slope = window.values[1] - window.values[0];
    for (at, value) in window.values.iter().enumerate().skip(1) {
        if at > 1 {
            slope = trend * (level - before) + (1.0 - trend) * slope;
        }
        let next = smooth * value + (1.0 - smooth) * (level + slope);
        (before, level) = (level, next);
    }
    float(level)
}
