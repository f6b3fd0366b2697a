//! How long the evaluator takes for the query that dashboards ask most: a rate over many series, summed by a label.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use model::{Cancel, Labels, Matcher, Querier, QueryError, Samples, SelectHints, SeriesReader};
use promql::engine::{Grid, Options, eval};

/// 1000 series of 720 samples, 15 s apart; 3 hours.
struct Store(Vec<(Labels, Samples)>);

struct Reader<'s>(&'s Labels, &'s Samples);

impl SeriesReader for Reader<'_> {
    fn labels(&self) -> &Labels {
        self.0
    }

    fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), QueryError> {
        let from = self.1.t_ms.partition_point(|t| *t < start_ms);
        let to = self.1.t_ms.partition_point(|t| *t <= end_ms);
        out.t_ms.extend_from_slice(&self.1.t_ms[from..to]);
        out.values.extend_from_slice(&self.1.values[from..to]);
        Ok(())
    }
}

/// Owns what it lends: the trait wants readers without a lifetime.
struct Owned(std::sync::Arc<Store>, usize);

impl SeriesReader for Owned {
    fn labels(&self) -> &Labels {
        &self.0.0[self.1].0
    }

    fn read(&self, start_ms: i64, end_ms: i64, out: &mut Samples) -> Result<(), QueryError> {
        let (labels, samples) = &self.0.0[self.1];
        Reader(labels, samples).read(start_ms, end_ms, out)
    }
}

struct Shared(std::sync::Arc<Store>);

impl Querier for Shared {
    fn select(
        &self,
        _: &[Matcher],
        _: &SelectHints,
        _: &Cancel,
    ) -> Result<Vec<Box<dyn SeriesReader>>, QueryError> {
        Ok((0..self.0.0.len())
            .map(|at| Box::new(Owned(self.0.clone(), at)) as Box<dyn SeriesReader>)
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

fn store() -> Shared {
    let mut series = Vec::new();
    for at in 0..1000u32 {
        let labels = Labels::from_pairs([
            ("__name__", "m_total".to_owned()),
            ("x", (at % 10).to_string()),
            ("instance", format!("host-{at}:9100")),
            ("job", "node-exporter".to_owned()),
        ]);
        let mut samples = Samples::default();
        for n in 0..720i32 {
            samples.push(
                i64::from(n) * 15_000,
                f64::from(n * 3 % 1_000_000) + f64::from(at),
            );
        }
        series.push((labels, samples));
    }
    Shared(std::sync::Arc::new(Store(series)))
}

fn queries(c: &mut Criterion) {
    let store = store();
    let grid = Grid {
        start_ms: 45_000,
        end_ms: 45_000 + 239 * 45_000,
        step_ms: 45_000,
    };
    for query in [
        "sum by (x) (rate(m_total[5m]))",
        "m_total",
        "avg_over_time(m_total[5m])",
        "m_total / on (instance) m_total",
        "topk(5, m_total)",
    ] {
        let Ok(expr) = promql::parser::parse(query) else {
            continue;
        };
        c.bench_function(query, |b| {
            b.iter(|| {
                let answer = eval(&expr, grid, false, &store, &Options::default(), &Cancel::new());
                black_box(answer).is_ok()
            });
        });
    }
}

criterion_group!(benches, queries);
criterion_main!(benches);
