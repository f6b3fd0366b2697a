//! The rate family: differences over a window, extrapolated to its ends as upstream does it.

use super::Value;
use super::duration::ms_to_seconds;
use super::window::{Scene, Window};

/// `rate`
pub(crate) fn rate(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<Value> {
    extrapolated(window, scene, true, true)
}

/// `increase`
pub(crate) fn increase(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<Value> {
    extrapolated(window, scene, true, false)
}

/// `delta`
pub(crate) fn delta(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<Value> {
    extrapolated(window, scene, false, false)
}

/// Floats alone go on; a mix is remarked on, histograms alone are not supported yet.
fn floats_only(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> bool {
    if window.histograms.is_empty() {
        return true;
    }
    if window.values.is_empty() {
        *scene.lacks_histograms |= window.histograms.len() > 1;
    } else {
        scene.notes.mixed(scene.name, scene.arg);
    }
    false
}

/// The difference of last and first sample, corrected for resets of a counter, stretched to the ends of the window where samples come
/// close to them (within 1.1 of their mean distance), else by half that distance; a counter never below zero.
fn extrapolated(
    window: &Window<'_>,
    scene: &mut Scene<'_, '_>,
    counter: bool,
    per_second: bool,
) -> Option<Value> {
    if !floats_only(window, scene) {
        return None;
    }
    let (&[first, .., last], &[first_ms, .., last_ms]) = (window.values, window.t_ms) else {
        return None;
    };
    let mut result = last - first;
    if counter {
        for reset in window.resets {
            result += window.values[reset - window.base - 1];
        }
    }
    let mut to_start = ms_to_seconds(first_ms.saturating_sub(window.start_ms));
    let mut to_end = ms_to_seconds(window.end_ms.saturating_sub(last_ms));
    let sampled = ms_to_seconds(last_ms.saturating_sub(first_ms));
    let mean_distance = sampled / count(window.values.len() - 1);
    let threshold = mean_distance * 1.1;
    if to_start >= threshold {
        to_start = mean_distance / 2.0;
    }
    if counter && result > 0.0 && first >= 0.0 {
        let to_zero = sampled * (first / result);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    if to_end >= threshold {
        to_end = mean_distance / 2.0;
    }
    let mut factor = (sampled + to_start + to_end) / sampled;
    if per_second {
        factor /= ms_to_seconds(window.end_ms.saturating_sub(window.start_ms));
    }
    Some(Value::Float(result * factor))
}

/// `irate`: from the last two samples, per second.
pub(crate) fn irate(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<Value> {
    instant_change(window, scene, true)
}

/// `idelta`: from the last two samples.
pub(crate) fn idelta(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<Value> {
    instant_change(window, scene, false)
}

fn instant_change(window: &Window<'_>, scene: &mut Scene<'_, '_>, per_second: bool) -> Option<Value> {
    if !window.histograms.is_empty() {
        return mixed_change(window, scene);
    }
    let (&[.., before, last], &[.., before_ms, last_ms]) = (window.values, window.t_ms) else {
        return None;
    };
    if last_ms == before_ms {
        return None;
    }
    // After a reset of a counter, all of the last value is new.
    let mut result = if per_second && last < before {
        last
    } else {
        last - before
    };
    if per_second {
        result /= ms_to_seconds(last_ms.saturating_sub(before_ms));
    }
    Some(Value::Float(result))
}

/// With histograms about, only the kinds of the last two samples matter.
fn mixed_change(window: &Window<'_>, scene: &mut Scene<'_, '_>) -> Option<Value> {
    if window.values.len() + window.histograms.len() < 2 {
        return None;
    }
    let last_float = window.t_ms.last().copied().unwrap_or(i64::MIN);
    let newer = window
        .histograms
        .iter()
        .rev()
        .take(2)
        .filter(|(t, _)| *t > last_float)
        .count();
    if newer == 2 {
        *scene.lacks_histograms = true;
    } else {
        scene.notes.mixed(scene.name, scene.arg);
    }
    None
}

/// A small count as a float.
#[expect(clippy::cast_precision_loss, reason = "counts of samples lie far below 2^53")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}
