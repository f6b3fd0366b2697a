//! `masthead query`: asks a Prometheus API and shows a table, a plot in the terminal, or JSON.

use clap::Args;
use client::{Data, Histogram, Range, Series};
use comfy_table::{CellAlignment, Table, presets};

use crate::cli::server::{ServerArgs, flag_ms};
use crate::cli::{out, plot, tunnel};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead query 'node_memory_MemAvailable_bytes'
  masthead query 'sum by (mode) (rate(node_cpu_seconds_total[1m]))' --range 1h --step 15s
  masthead query up --upstream
  masthead query up --server web-2                   a registered server, through a tunnel
  masthead query up --json --url https://10.0.0.5:9090 --ca-file ca.pem --user ann --password-file ann.txt")]
pub(super) struct QueryArgs {
    /// The PromQL expression
    expr: String,
    /// Plot the time from so long ago until now, such as 1h or 7d
    #[arg(long, value_name = "DURATION")]
    range: Option<String>,
    /// Distance of the points, such as 15s; without it as many as the terminal has room for
    #[arg(long, value_name = "DURATION", requires = "range")]
    step: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &QueryArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (client, tunnel) = runtime.block_on(args.server.client())?;
    let range = args.range()?;
    let asked = runtime.block_on(tunnel::ask(tunnel.as_ref(), async || match &range {
        Some(range) => client.query_range(&args.expr, range).await,
        None => client.query(&args.expr).await,
    }))?;
    let answer = asked.map_err(|error| args.server.explain(error))?;
    for text in answer.warnings.iter().chain(&answer.infos) {
        out::note(text);
    }
    if args.json {
        return out::line(&json(answer.data));
    }
    match (answer.data, range) {
        (Data::String(_, text), _) => out::line(&text),
        (data, None) => out::line(&table(&data.into_series())),
        (data, Some(range)) => {
            let series = data.into_series();
            if series.is_empty() {
                return out::line(NOTHING);
            }
            let (start_s, end_s) = (range.start_ms() / 1000, range.end_ms() / 1000);
            out::line(&plot::plot(&series, start_s, end_s, out::width()))
        }
    }
}

impl QueryArgs {
    /// The range that is asked for, until now.
    fn range(&self) -> anyhow::Result<Option<Range>> {
        let Some(text) = &self.range else {
            return Ok(None);
        };
        let range_ms = flag_ms("range", text)?;
        let step_ms = match &self.step {
            Some(step) => flag_ms("step", step)?,
            // One point a column of the plot, never finer than a second.
            None => (range_ms / i64::try_from(out::width())?).max(1000) / 1000 * 1000,
        };
        let end_ms = clock::now_ms() / 1000 * 1000;
        Range::new(end_ms - range_ms, end_ms, step_ms)
            .map(Some)
            .map_err(|error| self.server.explain(error))
    }
}

const NOTHING: &str = "no data: no series matched, or it has no samples in this time. `masthead query '{__name__=~\".+\"}'` lists what there is";

/// A list of series, each with its values as strings; a string is one without labels.
fn json(data: Data) -> String {
    if let Data::String(time_s, text) = data {
        return serde_json::json!([{ "metric": {}, "values": [[time_s, text]] }]).to_string();
    }
    let list: Vec<_> = data
        .into_series()
        .iter()
        .map(|one| {
            let labels: serde_json::Map<_, _> = one
                .labels
                .iter()
                .map(|(n, v)| (n.clone(), v.as_str().into()))
                .collect();
            let points: Vec<_> = one
                .points
                .iter()
                .map(|(t, v)| serde_json::json!([t, model::fmt_value(*v)]))
                .collect();
            let mut series = serde_json::json!({ "metric": labels, "values": points });
            if !one.histograms.is_empty() {
                series["histograms"] = one.histograms.iter().map(histogram_json).collect();
            }
            series
        })
        .collect();
    serde_json::Value::Array(list).to_string()
}

/// As the API writes it.
fn histogram_json((time_s, histogram): &(f64, Histogram)) -> serde_json::Value {
    let text = |value: f64| model::fmt_value(value).to_string();
    let buckets: Vec<_> = histogram
        .buckets
        .iter()
        .map(|one| serde_json::json!([one.boundaries, text(one.lower), text(one.upper), text(one.count)]))
        .collect();
    serde_json::json!([
        time_s,
        { "count": text(histogram.count), "sum": text(histogram.sum), "buckets": buckets }
    ])
}

/// A series' labels as PromQL writes them.
pub(super) fn name(series: &Series) -> String {
    model::Labels::from_pairs(series.labels.iter().map(|(n, v)| (n, v))).to_string()
}

fn table(series: &[Series]) -> String {
    if series.is_empty() {
        return NOTHING.to_owned();
    }
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["SERIES", "VALUE"]);
    for one in series {
        table.add_row([name(one), value(one)]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// The newest value; of a native histogram what sums it up.
fn value(series: &Series) -> String {
    match (series.points.last(), series.histograms.last()) {
        (Some((_, value)), _) => value.to_string(),
        (None, Some((_, histogram))) => format!("count {}, sum {}", histogram.count, histogram.sum),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_a_series() {
        let series = Series {
            labels: vec![("job".to_owned(), "a".to_owned())],
            points: vec![(1.0, 2.5)],
            ..Series::default()
        };
        let histogram = Series {
            histograms: vec![(
                1.0,
                Histogram {
                    count: 3.0,
                    sum: 4.5,
                    ..Histogram::default()
                },
            )],
            ..Series::default()
        };
        let text = table(&[series, histogram.clone()]);
        assert!(text.contains("{job=\"a\"}") && text.contains("2.5"), "{text}");
        assert!(text.contains("count 3, sum 4.5"), "{text}");
        assert_eq!(
            json(Data::Vector(vec![histogram])),
            r#"[{"histograms":[[1.0,{"buckets":[],"count":"3","sum":"4.5"}]],"metric":{},"values":[]}]"#
        );
        assert_eq!(
            json(Data::String(1.5, "a \"b\"".to_owned())),
            r#"[{"metric":{},"values":[[1.5,"a \"b\""]]}]"#
        );
        assert!(table(&[]).starts_with("no data"));
    }

    #[test]
    fn flags_say_how_a_duration_is_written() {
        assert_eq!(flag_ms("range", "1h").unwrap(), 3_600_000);
        assert!(
            flag_ms("range", "soon")
                .unwrap_err()
                .to_string()
                .contains("--range soon")
        );
    }
}
