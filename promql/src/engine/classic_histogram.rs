//! Quantiles and fractions of classic histograms: series with a label `le` that differ in nothing else.
//!
//! The buckets of each histogram are found and sorted once; then every step walks its row of counts.

use hashbrown::HashMap;
use model::Labels;

use super::Grid;
use super::annotation::{Notes, for_metric, go_float};
use super::column::{Row, is_float};
use super::evaluator::{Data, Evaluator, Fallible, unsupported};
use super::function::{scalar_argument, string_argument};
use crate::ast::{Call, Expr, Span};

/// The label with a bucket's upper bound.
const LE: &str = "le";

/// Counts this close, relative to their sum, are taken as equal.
const TOLERANCE: f64 = 1e-12;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    upper: f64,
    count: f64,
}

/// One histogram: its labels without `le`, and its rows by rising bound.
#[derive(Debug)]
struct Classic {
    labels: Labels,
    drop_name: bool,
    buckets: Vec<(f64, usize)>,
}

impl Classic {
    /// The buckets of a step, those of one bound put together.
    fn at(&self, rows: &[Row], step: usize, out: &mut Vec<Bucket>) {
        out.clear();
        for (upper, row) in &self.buckets {
            let count = rows[*row].values[step];
            if !is_float(count) {
                continue;
            }
            match out.last_mut() {
                Some(last) if last.upper == *upper => last.count += count,
                _ => out.push(Bucket { upper: *upper, count }),
            }
        }
    }
}

fn histograms(ev: &mut Evaluator<'_>, arg: &Expr, grid: &Grid) -> Fallible<(Vec<Row>, Vec<Classic>)> {
    let rows = ev.vector(arg, grid)?;
    let mut found: HashMap<Labels, usize> = HashMap::new();
    let mut out: Vec<Classic> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if !row.histograms.is_empty() {
            return unsupported(arg.span, "quantiles and fractions of native histograms");
        }
        let le = row.labels.get(LE).unwrap_or("");
        let Ok(upper) = le.parse::<f64>() else {
            let name = for_metric(row.labels.metric_name());
            ev.notes.warn(
                arg.span,
                &format!("bucket label \"le\" is missing or has a malformed value of {le:?}{name}"),
            );
            continue;
        };
        let labels = row.labels.without(&[LE]);
        let group = *found.entry(labels.clone()).or_insert_with(|| {
            out.push(Classic {
                labels,
                drop_name: true,
                buckets: Vec::new(),
            });
            out.len() - 1
        });
        out[group].buckets.push((upper, at));
    }
    for classic in &mut out {
        classic.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Ok((rows, out))
}

/// `histogram_quantile(q, v)`
pub(crate) fn quantile(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let q = scalar_argument(ev, call, 0, f64::NAN, grid)?;
    let [q_arg, arg] = &call.args[..] else {
        return Ok(Data::Vector(Vec::new()));
    };
    for q in &q {
        ev.notes.check_quantile(*q, q_arg.span);
    }
    let (rows, classics) = histograms(ev, arg, grid)?;
    let out = classics
        .iter()
        .map(|classic| quantile_row(&mut ev.notes, arg.span, &rows, classic, &q));
    let mut out: Vec<Row> = out.collect();
    out.retain(Row::any);
    Ok(Data::Vector(out))
}

/// `histogram_quantiles(v, label, q...)`: one series a quantile.
pub(crate) fn quantiles(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let label = string_argument(ev, call, 1, grid)?;
    let Some(arg) = call.args.first() else {
        return Ok(Data::Vector(Vec::new()));
    };
    let mut columns = Vec::new();
    for (at, q_arg) in call.args.iter().enumerate().skip(2) {
        let column = scalar_argument(ev, call, at, f64::NAN, grid)?;
        for q in &column {
            ev.notes.check_quantile(*q, q_arg.span);
        }
        columns.push(column);
    }
    let (rows, classics) = histograms(ev, arg, grid)?;
    let mut out: Vec<Row> = Vec::new();
    for column in &columns {
        for classic in &classics {
            let row = quantile_row(&mut ev.notes, arg.span, &rows, classic, column);
            // The quantile may differ by step, and so does the label then.
            let mut made: Vec<(u64, Row)> = Vec::new();
            for (step, (q, value)) in column.iter().zip(&row.values).enumerate() {
                let at = made
                    .iter()
                    .position(|(bits, _)| *bits == q.to_bits())
                    .unwrap_or_else(|| {
                        let labels = row.labels.with(&label, &open_metrics_float(*q));
                        made.push((q.to_bits(), Row::absent(labels, true, grid.steps())));
                        made.len() - 1
                    });
                made[at].1.values[step] = *value;
            }
            out.extend(made.into_iter().map(|(_, row)| row));
        }
    }
    out.retain(Row::any);
    Ok(Data::Vector(out))
}

/// A float as OpenMetrics writes it: whole numbers with `.0`.
fn open_metrics_float(value: f64) -> String {
    let text = go_float(value, 21);
    if value.is_finite() && !text.contains(['.', 'e']) {
        format!("{text}.0")
    } else {
        text
    }
}

/// `histogram_fraction(lower, upper, v)`
pub(crate) fn fraction(ev: &mut Evaluator<'_>, call: &Call, _: Span, grid: &Grid) -> Fallible<Data> {
    let lower = scalar_argument(ev, call, 0, f64::NAN, grid)?;
    let upper = scalar_argument(ev, call, 1, f64::NAN, grid)?;
    let Some(arg) = call.args.get(2) else {
        return Ok(Data::Vector(Vec::new()));
    };
    let (rows, classics) = histograms(ev, arg, grid)?;
    let mut out = Vec::new();
    let mut buckets = Vec::new();
    for classic in &classics {
        let mut row = Row::absent(classic.labels.clone(), classic.drop_name, grid.steps());
        for (step, (value, (lower, upper))) in row.values.iter_mut().zip(lower.iter().zip(&upper)).enumerate()
        {
            classic.at(&rows, step, &mut buckets);
            if !buckets.is_empty() {
                *value = bucket_fraction(*lower, *upper, &buckets);
            }
        }
        out.push(row);
    }
    out.retain(Row::any);
    Ok(Data::Vector(out))
}

fn quantile_row(notes: &mut Notes<'_>, span: Span, rows: &[Row], classic: &Classic, q: &[f64]) -> Row {
    let mut row = Row::absent(classic.labels.clone(), classic.drop_name, q.len());
    let mut buckets = Vec::new();
    let mut forced = false;
    for (step, (value, q)) in row.values.iter_mut().zip(q).enumerate() {
        classic.at(rows, step, &mut buckets);
        if !buckets.is_empty() {
            *value = bucket_quantile(*q, &mut buckets, &mut forced);
        }
    }
    if forced {
        let name = for_metric(classic.labels.metric_name());
        notes.info(
            span,
            &format!(
                "input to histogram_quantile needed to be fixed for monotonicity \
                 (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){name}"
            ),
        );
    }
    row
}

/// The quantile of sorted cumulative buckets, linear within a bucket; the lowest begins at 0 when its bound is above 0, and in the
/// highest (+Inf) the bound below it is the answer.
fn bucket_quantile(q: f64, buckets: &mut [Bucket], forced: &mut bool) -> f64 {
    if q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    *forced |= make_monotonic(buckets);
    let [.., below_last, last] = &*buckets else {
        return f64::NAN;
    };
    if last.count == 0.0 {
        return f64::NAN;
    }
    let mut rank = q * last.count;
    let finite = &buckets[..buckets.len() - 1];
    let at = finite.partition_point(|b| b.count.partial_cmp(&rank).is_none_or(std::cmp::Ordering::is_lt));
    let Some(bucket) = finite.get(at) else {
        return below_last.upper;
    };
    if at == 0 && bucket.upper <= 0.0 {
        return bucket.upper;
    }
    let (mut start, mut count) = (0.0, bucket.count);
    if let Some(before) = at.checked_sub(1).and_then(|before| finite.get(before)) {
        start = before.upper;
        count -= before.count;
        rank -= before.count;
    }
    start + (bucket.upper - start) * (rank / count)
}

/// Removes decreases. True when one was more than rounding.
fn make_monotonic(buckets: &mut [Bucket]) -> bool {
    let mut forced = false;
    let Some((first, rest)) = buckets.split_first_mut() else {
        return false;
    };
    let mut before = first.count;
    for bucket in rest {
        if bucket.count == before {
            continue;
        }
        if almost_equal(before, bucket.count) {
            bucket.count = before;
        } else if bucket.count < before {
            bucket.count = before;
            forced = true;
        } else {
            before = bucket.count;
        }
    }
    forced
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() {
        return true;
    }
    let (sum, distance) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return distance < TOLERANCE * f64::MIN_POSITIVE;
    }
    distance / sum.min(f64::MAX) < TOLERANCE
}

/// The share of observations between two values, linear within a bucket.
fn bucket_fraction(lower: f64, upper: f64, buckets: &[Bucket]) -> f64 {
    let Some(last) = buckets.last().filter(|b| b.upper == f64::INFINITY) else {
        return f64::NAN;
    };
    if last.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_of = |value: f64| {
        // With a lowest bound above 0, nothing is taken to lie below 0.
        let lowest = if buckets.first().is_some_and(|b| b.upper > 0.0) {
            0.0
        } else {
            f64::NEG_INFINITY
        };
        let (mut rank, mut start) = (0.0, lowest);
        for bucket in buckets {
            if start >= value {
                return rank;
            }
            if bucket.upper > value {
                // Within a bucket without a lower end nothing can be said: it counts as below, as upstream has it.
                if start == f64::NEG_INFINITY {
                    return bucket.count;
                }
                return rank + (bucket.count - rank) * (value - start) / (bucket.upper - start);
            }
            (rank, start) = (bucket.count, bucket.upper);
        }
        last.count
    };
    let cap = |rank: f64| if rank > last.count { last.count } else { rank };
    (cap(rank_of(upper)) - cap(rank_of(lower))) / last.count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: &[(f64, f64)]) -> Vec<Bucket> {
        counts
            .iter()
            .map(|(upper, count)| Bucket {
                upper: *upper,
                count: *count,
            })
            .collect()
    }

    #[test]
    fn quantiles_and_repairs() {
        let inf = f64::INFINITY;
        for (q, counts, want, want_forced) in [
            (0.5, vec![(1.0, 10.0), (2.0, 20.0), (inf, 20.0)], 1.0, false),
            (0.75, vec![(1.0, 10.0), (2.0, 20.0), (inf, 20.0)], 1.5, false),
            (0.99, vec![(1.0, 10.0), (2.0, 12.0), (inf, 20.0)], 2.0, false),
            (0.25, vec![(-1.0, 10.0), (inf, 20.0)], -1.0, false),
            (0.5, vec![(1.0, 10.0), (2.0, 8.0), (inf, 20.0)], 1.0, true),
            (0.5, vec![(1.0, 10.0), (2.0, 20.0)], f64::NAN, false),
            (2.0, vec![(1.0, 10.0), (inf, 20.0)], inf, false),
            (f64::NAN, vec![(1.0, 10.0), (inf, 20.0)], f64::NAN, false),
        ] {
            let mut forced = false;
            let got = bucket_quantile(q, &mut buckets(&counts), &mut forced);
            assert!(
                got == want || (got.is_nan() && want.is_nan()),
                "{q} {counts:?}: {got}"
            );
            assert_eq!(forced, want_forced, "{q} {counts:?}");
        }
    }

    #[test]
    fn fractions() {
        let b = buckets(&[(1.0, 10.0), (2.0, 20.0), (f64::INFINITY, 40.0)]);
        for (lower, upper, want) in [
            (0.0, 1.0, 0.25),
            (0.0, 1.5, 0.375),
            (f64::NEG_INFINITY, f64::INFINITY, 1.0),
            (2.0, f64::INFINITY, 0.5),
            (2.0, 1.0, 0.0),
            (-10.0, -5.0, 0.0),
            (-10.0, 0.5, 0.125),
        ] {
            assert_eq!(bucket_fraction(lower, upper, &b), want, "{lower} {upper}");
        }
    }
}
