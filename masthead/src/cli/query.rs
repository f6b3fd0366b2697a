//! `masthead query`: asks a Prometheus API and shows a table, a plot in the terminal, or JSON.

use std::time::Duration;

use clap::Args;
use client::{Client, Series};
use comfy_table::{CellAlignment, Table, presets};

use crate::api::params::duration_ms;
use crate::cli::{out, plot};
use crate::clock;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead query 'node_memory_MemAvailable_bytes'
  masthead query 'sum by (mode) (rate(node_cpu_seconds_total[1m]))' --range 1h --step 15s
  masthead query up --json --url http://user:password@10.0.0.5:9090")]
pub(super) struct QueryArgs {
    /// The PromQL expression
    expr: String,
    /// Plot the time from so long ago until now, such as 1h or 7d
    #[arg(long, value_name = "DURATION")]
    range: Option<String>,
    /// Distance of the points, such as 15s; without it as many as the terminal has room for
    #[arg(long, value_name = "DURATION", requires = "range")]
    step: Option<String>,
    /// The API to ask
    #[arg(
        long,
        default_value = "http://127.0.0.1:9090",
        env = "MASTHEAD_URL",
        hide_env_values = true
    )]
    url: String,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
    /// Give up after so long
    #[arg(long, default_value = "30s", value_name = "DURATION")]
    timeout: String,
}

/// A positive duration of a flag.
fn flag_ms(flag: &str, text: &str) -> anyhow::Result<i64> {
    duration_ms(text)
        .filter(|ms| *ms > 0)
        .ok_or_else(|| anyhow::anyhow!("--{flag} {text}: not a duration; write it as 15s, 5m, 1h30m or 7d"))
}

pub(super) fn run(args: &QueryArgs) -> anyhow::Result<()> {
    crate::install_tls_provider();
    let timeout = Duration::from_millis(u64::try_from(flag_ms("timeout", &args.timeout)?)?);
    let url = client::full_url(&args.url);
    let client = Client::new(&url, timeout)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let Some(range) = &args.range else {
        let series = runtime.block_on(client.query(&args.expr))?;
        return if args.json {
            out::line(&json(&series))
        } else {
            out::line(&table(&series))
        };
    };
    let range_ms = flag_ms("range", range)?;
    let width = out::width();
    let step_ms = match &args.step {
        Some(step) => flag_ms("step", step)?,
        // One point a column of the plot, never finer than a second.
        None => (range_ms / i64::try_from(width)?).max(1000) / 1000 * 1000,
    };
    let end_s = clock::now_ms() / 1000;
    let start_s = end_s - range_ms / 1000;
    #[expect(clippy::cast_precision_loss, reason = "a step is far below 2^53 ms")]
    let step_s = step_ms as f64 / 1000.0;
    let series = runtime.block_on(client.query_range(&args.expr, start_s, end_s, step_s))?;
    if args.json {
        return out::line(&json(&series));
    }
    if series.is_empty() {
        return out::line(NOTHING);
    }
    out::line(&plot::plot(&series, start_s, end_s, width))
}

const NOTHING: &str = "no data: no series matched, or it has no samples in this time. `masthead query '{__name__=~\".+\"}'` lists what there is";

fn json(series: &[Series]) -> String {
    let list: Vec<_> = series
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
            serde_json::json!({ "metric": labels, "values": points })
        })
        .collect();
    serde_json::Value::Array(list).to_string()
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
        let value = one
            .points
            .last()
            .map_or_else(|| "-".to_owned(), |(_, v)| v.to_string());
        table.add_row([name(one), value]);
    }
    if let Some(column) = table.column_mut(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_row_a_series() {
        let series = Series {
            labels: vec![("job".to_owned(), "a".to_owned())],
            points: vec![(1.0, 2.5)],
        };
        let text = table(&[series]);
        assert!(text.contains("{job=\"a\"}") && text.contains("2.5"), "{text}");
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
