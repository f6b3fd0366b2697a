//! Functions on numbers that take more than the number.

use model::Labels;

use super::Grid;
use super::column::{ABSENT, Row, is_float};
use super::evaluator::{Data, Evaluator, Fallible};
use super::function::{argument, scalar_argument};
use crate::ast::{Call, Span};

/// `sgn`: NaN and zeros stay what they are.
pub(crate) fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// `pi`
pub(crate) fn pi(_: &mut Evaluator<'_>, _: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    Ok(Data::Scalar(vec![std::f64::consts::PI; grid.steps()]))
}

/// `vector`
pub(crate) fn vector(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let values = scalar_argument(ev, call, 0, f64::NAN, grid)?;
    Ok(Data::Vector(vec![Row {
        labels: Labels::empty(),
        values,
        ..Row::default()
    }]))
}

/// `scalar`: the only float of a step, else NaN.
pub(crate) fn scalar(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let rows = argument(ev, call, grid)?;
    let only = |step: usize| {
        let mut floats = rows
            .iter()
            .filter_map(|row| row.values.get(step).copied().filter(|v| is_float(*v)));
        match (floats.next(), floats.next()) {
            (Some(value), None) => value,
            _ => f64::NAN,
        }
    };
    Ok(Data::Scalar((0..grid.steps()).map(only).collect()))
}

fn with_columns(
    ev: &mut Evaluator<'_>,
    call: &Call,
    grid: &Grid,
    columns: [&[f64]; 2],
    f: impl Fn(f64, f64, f64) -> f64,
) -> Fallible<Data> {
    let mut rows = argument(ev, call, grid)?;
    for row in &mut rows {
        let [a, b] = columns;
        for ((value, a), b) in row.values.iter_mut().zip(a).zip(b) {
            *value = if is_float(*value) {
                f(*value, *a, *b)
            } else {
                ABSENT
            };
        }
        row.histograms.clear();
        row.drop_name = true;
    }
    rows.retain(Row::any);
    Ok(Data::Vector(rows))
}

/// Go's `math.Max`: an infinity wins over NaN, and NaN over all else; 0 is above -0.
fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        a + b
    } else {
        a.max(b)
    }
}

/// Go's `math.Min`, the mirror of [`go_max`].
fn go_min(a: f64, b: f64) -> f64 {
    -go_max(-a, -b)
}

fn clamped(value: f64, least: f64, most: f64) -> f64 {
    if most < least {
        ABSENT
    } else {
        go_max(least, go_min(most, value))
    }
}

/// `clamp`
pub(crate) fn clamp(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let least = scalar_argument(ev, call, 1, f64::NAN, grid)?;
    let most = scalar_argument(ev, call, 2, f64::NAN, grid)?;
    with_columns(ev, call, grid, [&least, &most], clamped)
}

/// `clamp_max`
pub(crate) fn clamp_max(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let most = scalar_argument(ev, call, 1, f64::NAN, grid)?;
    with_columns(ev, call, grid, [&most, &most], |v, most, _| go_min(most, v))
}

/// `clamp_min`
pub(crate) fn clamp_min(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let least = scalar_argument(ev, call, 1, f64::NAN, grid)?;
    with_columns(ev, call, grid, [&least, &least], |v, least, _| go_max(least, v))
}

/// `round`: to a multiple, halves up; by the inverse, as upstream does it for accuracy.
pub(crate) fn round(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let nearest = scalar_argument(ev, call, 1, 1.0, grid)?;
    with_columns(ev, call, grid, [&nearest, &nearest], |v, nearest, _| {
        let inverse = 1.0 / nearest;
        (v * inverse + 0.5).floor() / inverse
    })
}

fn pick(ev: &mut Evaluator<'_>, call: &Call, grid: &Grid, f: fn(f64, f64) -> f64) -> Fallible<Data> {
    let a = scalar_argument(ev, call, 0, f64::NAN, grid)?;
    let b = scalar_argument(ev, call, 1, f64::NAN, grid)?;
    Ok(Data::Scalar(a.iter().zip(&b).map(|(a, b)| f(*a, *b)).collect()))
}

/// `max_of`
pub(crate) fn max_of(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    pick(ev, call, grid, go_max)
}

/// `min_of`
pub(crate) fn min_of(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    pick(ev, call, grid, go_min)
}
