//! `masthead tsdb import` and `export`: data from a Prometheus and for one.

use std::path::PathBuf;

use clap::Args;
use model::Cancel;
use serde_json::json;
use tsdb::prometheus::WrittenBlock;

use super::{blocks_of, bytes, data_dir, number, say, text, time};
use crate::api::params::parse_time_ms;
use crate::blocks;
use crate::cli::out;
use crate::clock;

/// What `up` keeps when it is not told otherwise.
const DEFAULT_RETENTION_MS: i64 = 15 * 24 * 3_600_000;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead tsdb import /var/lib/prometheus
  masthead tsdb import ./data/snapshots/20260102T030405Z-1a2b3c --data-dir /var/lib/masthead

Stop the Prometheus and the Masthead first. A running Prometheus can make a snapshot of itself (POST /api/v1/admin/tsdb/snapshot),
which is imported like a data folder. Importing twice adds nothing; an import that was interrupted is repeated.")]
pub(crate) struct ImportArgs {
    /// The data folder of a stopped Prometheus, or a snapshot
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The data folder of `up`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let data_dir = data_dir(args.data_dir.as_ref())?;
    let now_ms = clock::now_ms();
    let report = blocks::import(&args.dir, &data_dir, now_ms, &Cancel::new(), &mut |step| {
        say(&format!(
            "{} of {}: from {} on; {} new samples so far",
            step.done,
            step.of,
            time(step.from_ms),
            number(step.samples)
        ));
    })?;
    let mut warnings = report.warnings;
    let imported = report.imported;
    if let Some((min_ms, _)) = imported.range_ms
        && min_ms < now_ms - DEFAULT_RETENTION_MS
    {
        warnings.push(format!(
            "the oldest sample is of {}: `masthead up` deletes what is older than --retention-time, which is 15d unless set",
            time(min_ms)
        ));
    }
    warnings
        .iter()
        .for_each(|warning| say(&format!("warning: {warning}")));
    if args.json {
        return out::line(&serde_json::to_string_pretty(&json!({
            "source": text(&args.dir),
            "dataDir": text(&data_dir),
            "sourceBlocks": report.source_blocks,
            "blocks": imported.blocks,
            "samples": imported.samples,
            "samplesKnown": imported.known,
            "bytes": imported.bytes,
            "minTime": imported.range_ms.map(|range| range.0),
            "maxTime": imported.range_ms.map(|range| range.1),
            "histogramsLeftOut": imported.histograms.samples,
            "histogramSeriesLeftOut": imported.histograms.series,
            "samplesTooFarAhead": imported.ahead,
            "warnings": warnings,
        }))?);
    }
    let range = imported.range_ms.map_or(String::new(), |(min_ms, max_ms)| {
        format!(", from {} to {}", time(min_ms), time(max_ms))
    });
    out::line(&format!(
        "imported {} samples ({} were there already) into {} of {}{range}",
        number(imported.samples),
        number(imported.known),
        blocks_of(imported.blocks),
        bytes(imported.bytes)
    ))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead tsdb export ./prometheus-data
  masthead tsdb export ./january --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z

Works beside a Masthead that is running, as of this moment. Start a Prometheus on the folder with --storage.tsdb.path.")]
pub(crate) struct ExportArgs {
    /// The folder to write blocks into; made when it is not there
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The data folder of `up`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// First time, as RFC 3339 or in seconds since 1970
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Last time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Print the blocks as JSON
    #[arg(long)]
    json: bool,
}

fn flag_time(flag: &str, value: Option<&String>, default_ms: i64) -> anyhow::Result<i64> {
    value.map_or(Ok(default_ms), |value| {
        parse_time_ms(value).map_err(|_| {
            anyhow::anyhow!(
                "--{flag} {value}: not a time; write it as 2026-01-02T03:04:05Z or in seconds since 1970"
            )
        })
    })
}

pub(super) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let range = (
        flag_time("from", args.from.as_ref(), i64::MIN)?,
        flag_time("to", args.to.as_ref(), i64::MAX)?,
    );
    anyhow::ensure!(
        range.0 <= range.1,
        "--from is later than --to: nothing lies in between"
    );
    let data_dir = data_dir(args.data_dir.as_ref())?;
    let (db, warnings) = blocks::open_read_only(&data_dir)?;
    warnings
        .iter()
        .for_each(|warning| say(&format!("warning: {warning}")));
    let written = blocks::export(
        &db,
        &args.dir,
        range,
        clock::now_ms(),
        &Cancel::new(),
        &mut |block| say(&line(block)),
    )?;
    if args.json {
        return out::line(&serde_json::to_string_pretty(&json!({
            "dataDir": text(&data_dir),
            "target": text(&args.dir),
            "blocks": written.iter().map(block_json).collect::<Vec<_>>(),
            "warnings": warnings.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }))?);
    }
    let samples = written.iter().map(|block| block.samples).sum();
    let size = written.iter().map(|block| block.bytes).sum();
    out::line(&format!(
        "exported {} samples into {} of {} in {}",
        number(samples),
        blocks_of(written.len() as u64),
        bytes(size),
        args.dir.display()
    ))
}

fn line(block: &WrittenBlock) -> String {
    format!(
        "{}: from {} to {}; {} series, {} samples",
        block.name,
        time(block.min_ms),
        time(block.max_ms),
        number(block.series),
        number(block.samples)
    )
}

fn block_json(block: &WrittenBlock) -> serde_json::Value {
    json!({
        "ulid": block.name,
        "minTime": block.min_ms,
        "maxTime": block.max_ms,
        "series": block.series,
        "samples": block.samples,
        "chunks": block.chunks,
        "bytes": block.bytes,
    })
}
