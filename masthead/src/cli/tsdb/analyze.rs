//! `masthead tsdb analyze`: what the store is full of.

use std::path::PathBuf;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use model::Cancel;
use serde_json::json;
use tsdb::Analysis;

use super::{bytes, data_dir, number, say, time};
use crate::blocks;
use crate::cli::out;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead tsdb analyze
  masthead tsdb analyze --limit 50 --json

Reads only, also beside a Masthead that is running.")]
pub(crate) struct AnalyzeArgs {
    /// The data folder of `up`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Rows of each list
    #[arg(long, default_value_t = 15, value_name = "ROWS")]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &AnalyzeArgs) -> anyhow::Result<()> {
    let data_dir = data_dir(args.data_dir.as_ref())?;
    let (db, warnings) = blocks::open_read_only(&data_dir)?;
    warnings
        .iter()
        .for_each(|warning| say(&format!("warning: {warning}")));
    let analysis = db.analyze(args.limit, &Cancel::new())?;
    if args.json {
        out::line(&serde_json::to_string_pretty(&render_json(
            &analysis, args.limit,
        ))?)
    } else {
        out::line(&render(&analysis, args.limit))
    }
}

fn render_json(analysis: &Analysis, limit: usize) -> serde_json::Value {
    let pairs = |list: &[(String, u64)], key: &str| -> Vec<_> {
        let rows = list.iter().take(limit);
        rows.map(|(name, count)| json!({ "name": name, key: count }))
            .collect()
    };
    let metrics = analysis.metrics.iter().take(limit).map(|used| {
        json!({ "metric": used.metric, "series": used.series, "samples": used.samples, "bytes": used.bytes })
    });
    let blocks = analysis.blocks.iter().map(|block| {
        json!({
            "name": block.name, "minTime": block.min_ms, "maxTime": block.max_ms, "series": block.series,
            "samples": block.samples, "bytes": block.bytes, "level": block.level,
        })
    });
    json!({
        "series": analysis.series,
        "samples": analysis.samples,
        "blockBytes": analysis.block_bytes,
        "walBytes": analysis.wal_bytes,
        "headSeries": analysis.head.0,
        "headSamples": analysis.head.1,
        "minTime": analysis.range_ms.map(|range| range.0),
        "maxTime": analysis.range_ms.map(|range| range.1),
        "metricsCount": analysis.metrics.len(),
        "metrics": metrics.collect::<Vec<_>>(),
        "labels": pairs(&analysis.values_by_label, "values"),
        "pairs": pairs(&analysis.series_by_pair, "series"),
        "blocks": blocks.collect::<Vec<_>>(),
    })
}

/// A table whose first column is text and the others numbers.
fn table<const N: usize>(header: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header);
    rows.for_each(|row| {
        table.add_row(row);
    });
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

fn render(analysis: &Analysis, limit: usize) -> String {
    let range = analysis
        .range_ms
        .map_or("no samples".to_owned(), |(min_ms, max_ms)| {
            format!("{} to {}", time(min_ms), time(max_ms))
        });
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let each = analysis.block_bytes as f64 / (analysis.samples.saturating_sub(analysis.head.1)).max(1) as f64;
    let summary = format!(
        "{range}\n{} series, {} samples; blocks {} ({each:.2} bytes a sample), log {} with {} samples of {} series",
        number(analysis.series),
        number(analysis.samples),
        bytes(analysis.block_bytes),
        bytes(analysis.wal_bytes),
        number(analysis.head.1),
        number(analysis.head.0)
    );
    let blocks = analysis.blocks.iter().map(|block| {
        let from_to = format!("{} to {}", time(block.min_ms), time(block.max_ms));
        let level = block.level.to_string();
        [
            block.name.clone(),
            from_to,
            number(block.series),
            number(block.samples),
            bytes(block.bytes),
            level,
        ]
    });
    let metrics = analysis.metrics.iter().take(limit).map(|used| {
        [
            used.metric.clone(),
            number(used.series),
            number(used.samples),
            bytes(used.bytes),
        ]
    });
    let pairs = |list: &[(String, u64)]| -> Vec<[String; 2]> {
        let rows = list.iter().take(limit);
        rows.map(|(name, count)| [name.clone(), number(*count)]).collect()
    };
    [
        summary,
        table(["block", "time", "series", "samples", "size", "level"], blocks),
        table(["metric", "series", "samples", "values"], metrics),
        table(["label", "values"], pairs(&analysis.values_by_label).into_iter()),
        table(
            ["label pair", "series"],
            pairs(&analysis.series_by_pair).into_iter(),
        ),
    ]
    .join("\n\n")
}
