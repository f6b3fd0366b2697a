//! From columns to the shape of an answer.

use super::column::{Row, drop_names, is_float, is_histogram};
use super::evaluator::{Data, Evaluator, Fallible, same_labelset};
use super::{Grid, QueryValue, Series, Value};
use crate::ast::{Expr, Span, ValueType};

impl Evaluator<'_> {
    /// Evaluates the whole query.
    pub(crate) fn answer(&mut self, expr: &Expr) -> Fallible<QueryValue> {
        let grid = self.query;
        if self.instant && expr.value_type() == ValueType::Matrix {
            return self.raw(expr, &grid);
        }
        let data = self.eval(expr, &grid)?;
        let value = match data {
            Data::Scalar(column) if self.instant => {
                QueryValue::Scalar(grid.start_ms, column.first().copied().unwrap_or(f64::NAN))
            }
            Data::Scalar(values) => QueryValue::Matrix(series(
                vec![Row {
                    values,
                    ..Row::default()
                }],
                &grid,
            )),
            Data::String(text) => QueryValue::String(grid.start_ms, text),
            Data::Vector(rows) => {
                let mut series = series(finish(rows, expr.span)?, &grid);
                if self.instant {
                    QueryValue::Vector(series)
                } else {
                    series.sort_by(|a, b| a.labels.cmp(&b.labels));
                    QueryValue::Matrix(series)
                }
            }
        };
        Ok(value)
    }

    /// The samples of a range selector or subquery.
    fn raw(&mut self, expr: &Expr, grid: &Grid) -> Fallible<QueryValue> {
        let spec = self.range_spec(expr)?;
        let mut out: Vec<Series> = Vec::new();
        let mut points = 0usize;
        let limit = self.options.max_samples;
        self.each_range(expr, grid, None, &mut |range, _| {
            range.slide(grid, spec, |_, window| {
                let Some(window) = window else { return };
                let floats = window
                    .t_ms
                    .iter()
                    .zip(window.values)
                    .map(|(t, v)| (*t, Value::Float(*v)));
                let histograms = window
                    .histograms
                    .iter()
                    .map(|(t, h)| (*t, Value::Histogram(h.clone())));
                let mut all: Vec<(i64, Value)> = floats.chain(histograms).collect();
                all.sort_by_key(|(t, _)| *t);
                points += all.len();
                let labels = if range.drop_name {
                    range.labels.without(&[model::METRIC_NAME])
                } else {
                    range.labels.clone()
                };
                out.push(Series { labels, points: all });
            });
            if points > limit {
                super::evaluator::too_many_samples(limit)
            } else {
                Ok(())
            }
        })?;
        out.sort_by(|a, b| a.labels.cmp(&b.labels));
        if out.windows(2).any(|pair| pair[0].labels == pair[1].labels) {
            return same_labelset(expr.span);
        }
        Ok(QueryValue::Matrix(out))
    }
}

fn finish(rows: Vec<Row>, span: Span) -> Fallible<Vec<Row>> {
    drop_names(rows).or_else(|_| same_labelset(span))
}

fn series(rows: Vec<Row>, grid: &Grid) -> Vec<Series> {
    let mut out = Vec::with_capacity(rows.len());
    for row in rows {
        let mut histograms = row.histograms.into_iter().peekable();
        let mut points = Vec::new();
        for (step, value) in row.values.iter().enumerate() {
            if is_float(*value) {
                points.push((grid.at(step), Value::Float(*value)));
            } else if is_histogram(*value)
                && let Some((_, histogram)) = histograms.find(|(at, _)| *at == step)
            {
                points.push((grid.at(step), Value::Histogram(histogram)));
            }
        }
        if !points.is_empty() {
            out.push(Series {
                labels: row.labels,
                points,
            });
        }
    }
    out
}
