//! A store of a few series for the engine's tests, and short ways to fill it and to ask it.

use std::collections::BTreeMap;

use model::{Cancel, Labels, Matcher, Querier, QueryError, Samples, SelectHints, SeriesReader};
use promql::ast::ExprKind;
use promql::engine::{Answer, EvalError, Grid, Options, QueryValue, Series, Value, eval_text};

/// Series in memory.
#[derive(Debug, Default)]
pub(crate) struct Store(pub(crate) BTreeMap<Labels, Samples>);

struct Reader(Labels, Samples);

impl SeriesReader for Reader {
    fn labels(&self) -> &Labels {
        &self.0
    }

    fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), QueryError> {
        for (t, value) in self.1.t_ms.iter().zip(&self.1.values) {
            if (start_ms..=end_ms).contains(t) {
                out.push(*t, *value);
            }
        }
        Ok(())
    }
}

impl Querier for Store {
    fn select(
        &self,
        matchers: &[Matcher],
        _: &SelectHints,
        _: &Cancel,
    ) -> Result<Vec<Box<dyn SeriesReader>>, QueryError> {
        let hit = |labels: &Labels| {
            matchers
                .iter()
                .all(|m| m.matches(labels.get(m.name()).unwrap_or("")))
        };
        let found = self.0.iter().filter(|(labels, _)| hit(labels));
        Ok(found
            .map(|(l, s)| Box::new(Reader(l.clone(), s.clone())) as Box<dyn SeriesReader>)
            .collect())
    }

    fn label_names(&self, _: &[Matcher], _: i64, _: i64, _: &Cancel) -> Result<Vec<String>, QueryError> {
        Ok(Vec::new())
    }

    fn label_values(
        &self,
        _: &str,
        _: &[Matcher],
        _: i64,
        _: i64,
        _: &Cancel,
    ) -> Result<Vec<String>, QueryError> {
        Ok(Vec::new())
    }
}

impl Store {
    /// Adds `selector` with samples of `(t_ms, value)`.
    pub(crate) fn add(&mut self, selector: &str, samples: impl IntoIterator<Item = (i64, f64)>) {
        let expr = promql::parser::parse(selector).unwrap_or_else(|e| panic!("{selector}: {e}"));
        let ExprKind::Selector(selector) = expr.kind else {
            panic!("{selector} is not a selector")
        };
        let labels = Labels::from_pairs(
            selector
                .matchers
                .iter()
                .map(|m| (m.name().to_owned(), m.value().to_owned())),
        );
        let column = self.0.entry(labels).or_default();
        for (t, value) in samples {
            column.push(t, value);
        }
    }

    /// Evaluates a query.
    pub(crate) fn ask(&self, query: &str, grid: Grid, instant: bool) -> Result<Answer, EvalError> {
        let expr = promql::parser::parse(query).unwrap_or_else(|e| panic!("{query}: {e}"));
        eval_text(
            &expr,
            query,
            grid,
            instant,
            self,
            &Options::default(),
            &Cancel::new(),
        )
    }
}

/// The series of a value; a scalar is one without labels.
pub(crate) fn series(value: QueryValue) -> Vec<Series> {
    match value {
        QueryValue::Scalar(t, v) => vec![Series {
            labels: Labels::empty(),
            points: vec![(t, Value::Float(v))],
        }],
        QueryValue::String(t, _) => panic!("a string at {t}"),
        QueryValue::Vector(series) | QueryValue::Matrix(series) => series,
    }
}
