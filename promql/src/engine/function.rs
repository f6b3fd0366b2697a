//! The functions: one table row each, from the name to what computes it.
//!
//! Rows of `signature.rs` that have no row here are listed in [`UNSUPPORTED`]; a test holds the two tables together.

use super::column::Row;
use super::evaluator::{Data, Evaluator, Fallible, unsupported};
use super::window::{Over, WindowFn};
use super::{
    Grid, absent, classic_histogram, info, label, math, native_histogram, over_time, rate, sort, time,
};
use crate::ast::{Call, Span};

/// A function that looks at its arguments itself.
pub(crate) type SpecialFn = fn(&mut Evaluator<'_>, &Call, Span, &Grid) -> Fallible<Data>;

/// How a function is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Implementation {
    /// Float to float on every sample.
    Map(fn(f64) -> f64),
    /// A part of a time: of the sample's value, or of the step without an argument.
    Date(fn(i64) -> f64),
    /// Over the window of a range vector.
    Window(Over),
    /// Anything else.
    Special(SpecialFn),
}

use Implementation::{Date, Map, Special, Window};

const fn over(apply: WindowFn) -> Implementation {
    Window(Over {
        apply,
        keeps_name: false,
        counter: false,
        remark: false,
    })
}

const fn keeps(apply: WindowFn) -> Implementation {
    Window(Over {
        apply,
        keeps_name: true,
        counter: false,
        remark: false,
    })
}

const fn counter(apply: WindowFn) -> Implementation {
    Window(Over {
        apply,
        keeps_name: false,
        counter: true,
        remark: true,
    })
}

/// Parsed, and refused by the engine: `EvalError::Unsupported`.
#[cfg(test)]
pub(crate) const UNSUPPORTED: [&str; 0] = [];

/// All that is implemented, sorted by name.
static TABLE: &[(&str, Implementation)] = &[
    ("abs", Map(f64::abs)),
    ("absent", Special(absent::absent)),
    ("absent_over_time", Special(absent::absent_over_time)),
    ("acos", Map(f64::acos)),
    ("acosh", Map(f64::acosh)),
    ("asin", Map(f64::asin)),
    ("asinh", Map(f64::asinh)),
    ("atan", Map(f64::atan)),
    ("atanh", Map(f64::atanh)),
    ("avg_over_time", over(over_time::avg)),
    ("ceil", Map(f64::ceil)),
    ("changes", over(over_time::changes)),
    ("clamp", Special(math::clamp)),
    ("clamp_max", Special(math::clamp_max)),
    ("clamp_min", Special(math::clamp_min)),
    ("cos", Map(f64::cos)),
    ("cosh", Map(f64::cosh)),
    ("count_over_time", over(over_time::count_samples)),
    ("day_of_month", Date(time::day_of_month)),
    ("day_of_week", Date(time::day_of_week)),
    ("day_of_year", Date(time::day_of_year)),
    ("days_in_month", Date(time::days_in_month)),
    ("deg", Map(f64::to_degrees)),
    ("delta", over(rate::delta)),
    ("deriv", over(over_time::deriv)),
    ("double_exponential_smoothing", over(over_time::smoothing)),
    ("end", Special(time::end)),
    ("exp", Map(f64::exp)),
    ("first_over_time", keeps(over_time::first)),
    ("floor", Map(f64::floor)),
    ("histogram_avg", Special(native_histogram::avg)),
    ("histogram_count", Special(native_histogram::count)),
    ("histogram_fraction", Special(classic_histogram::fraction)),
    ("histogram_quantile", Special(classic_histogram::quantile)),
    ("histogram_quantiles", Special(classic_histogram::quantiles)),
    ("histogram_stddev", Special(native_histogram::stddev)),
    ("histogram_stdvar", Special(native_histogram::stdvar)),
    ("histogram_sum", Special(native_histogram::sum)),
    ("hour", Date(time::hour)),
    ("idelta", over(rate::idelta)),
    ("increase", counter(rate::increase)),
    ("info", Special(info::info)),
    ("irate", over(rate::irate)),
    ("label_join", Special(label::join)),
    ("label_replace", Special(label::replace)),
    ("last_over_time", keeps(over_time::last)),
    ("ln", Map(f64::ln)),
    ("log10", Map(f64::log10)),
    ("log2", Map(f64::log2)),
    ("mad_over_time", over(over_time::mad)),
    ("max_of", Special(math::max_of)),
    ("max_over_time", over(over_time::max)),
    ("min_of", Special(math::min_of)),
    ("min_over_time", over(over_time::min)),
    ("minute", Date(time::minute)),
    ("month", Date(time::month)),
    ("pi", Special(math::pi)),
    ("predict_linear", over(over_time::predict_linear)),
    ("present_over_time", over(over_time::present)),
    ("quantile_over_time", over(over_time::quantile_over)),
    ("rad", Map(f64::to_radians)),
    ("range", Special(time::range)),
    ("rate", counter(rate::rate)),
    ("resets", over(over_time::resets)),
    ("round", Special(math::round)),
    ("scalar", Special(math::scalar)),
    ("sgn", Map(math::sign)),
    ("sin", Map(f64::sin)),
    ("sinh", Map(f64::sinh)),
    ("sort", Special(sort::ascending)),
    ("sort_by_label", Special(sort::by_label)),
    ("sort_by_label_desc", Special(sort::by_label_desc)),
    ("sort_desc", Special(sort::descending)),
    ("sqrt", Map(f64::sqrt)),
    ("start", Special(time::start)),
    ("stddev_over_time", over(over_time::stddev)),
    ("stdvar_over_time", over(over_time::stdvar)),
    ("step", Special(time::step)),
    ("sum_over_time", over(over_time::sum)),
    ("tan", Map(f64::tan)),
    ("tanh", Map(f64::tanh)),
    ("time", Special(time::time)),
    ("timestamp", Special(time::timestamp)),
    ("ts_of_first_over_time", over(over_time::ts_of_first)),
    ("ts_of_last_over_time", over(over_time::ts_of_last)),
    ("ts_of_max_over_time", over(over_time::ts_of_max)),
    ("ts_of_min_over_time", over(over_time::ts_of_min)),
    ("vector", Special(math::vector)),
    ("year", Date(time::year)),
];

/// How a function is computed, if it is.
pub(crate) fn implementation(name: &str) -> Option<Implementation> {
    let at = TABLE.binary_search_by(|(row, _)| (*row).cmp(name)).ok()?;
    TABLE.get(at).map(|(_, implementation)| *implementation)
}

/// Evaluates a call.
pub(crate) fn eval_call(ev: &mut Evaluator<'_>, call: &Call, span: Span, grid: &Grid) -> Fallible<Data> {
    match implementation(call.func.name) {
        Some(Map(f)) => {
            let mut rows = argument(ev, call, grid)?;
            for row in &mut rows {
                row.map_floats(f);
                row.drop_name = true;
            }
            rows.retain(Row::any);
            Ok(Data::Vector(rows))
        }
        Some(Date(f)) => time::date(ev, call, grid, f),
        Some(Window(over)) => {
            let mut rows = Vec::new();
            ev.each_windowed(call, over, grid, &mut |row| {
                rows.push(std::mem::take(row));
                Ok(())
            })?;
            Ok(Data::Vector(rows))
        }
        Some(Special(f)) => f(ev, call, span, grid),
        None => unsupported(span, format!("function {}", call.func.name)),
    }
}

/// The first argument as a vector.
pub(crate) fn argument(ev: &mut Evaluator<'_>, call: &Call, grid: &Grid) -> Fallible<Vec<Row>> {
    match call.args.first() {
        Some(arg) => ev.vector(arg, grid),
        None => Ok(Vec::new()),
    }
}

/// The n-th argument as a scalar column; `default` when it was left out.
pub(crate) fn scalar_argument(
    ev: &mut Evaluator<'_>,
    call: &Call,
    at: usize,
    default: f64,
    grid: &Grid,
) -> Fallible<Vec<f64>> {
    match call.args.get(at) {
        Some(arg) => ev.scalar(arg, grid),
        None => Ok(vec![default; grid.steps()]),
    }
}

/// The n-th argument as a string.
pub(crate) fn string_argument(
    ev: &mut Evaluator<'_>,
    call: &Call,
    at: usize,
    grid: &Grid,
) -> Fallible<String> {
    match call.args.get(at) {
        Some(arg) => match ev.eval(arg, grid)? {
            Data::String(text) => Ok(text),
            Data::Scalar(_) | Data::Vector(_) => super::evaluator::fail(arg.span, "expected a string"),
        },
        None => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::FUNCTIONS;

    #[test]
    fn every_signature_is_implemented_or_listed_as_unsupported() {
        for row in FUNCTIONS {
            assert_ne!(
                implementation(row.name).is_some(),
                UNSUPPORTED.contains(&row.name),
                "{} must be in exactly one of the two",
                row.name
            );
        }
        assert_eq!(TABLE.len() + UNSUPPORTED.len(), FUNCTIONS.len());
    }
}
