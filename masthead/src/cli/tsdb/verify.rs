//! `masthead tsdb verify`: is every byte of the store what was written?

use std::path::PathBuf;

use clap::Args;
use model::Cancel;
use serde_json::json;

use super::{blocks_of, bytes, data_dir, number, say, text};
use crate::blocks;
use crate::cli::out;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  masthead tsdb verify
  masthead tsdb verify --data-dir /var/lib/masthead --json

Reads only, also beside a Masthead that is running. The exit code is 1 when something is damaged.")]
pub(crate) struct VerifyArgs {
    /// The data folder of `up`
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<()> {
    let data_dir = data_dir(args.data_dir.as_ref())?;
    let dir = blocks::existing_store(&data_dir)?;
    let verified = tsdb::verify(&dir, &Cancel::new(), &mut |_| {})?;
    verified.set_aside.iter().for_each(|path| {
        say(&format!(
            "note: {path} was set aside by a start, for it is damaged; it is not part of the store"
        ));
    });
    let samples = verified.blocks.iter().map(|block| block.samples).sum::<u64>();
    if args.json {
        out::line(&serde_json::to_string_pretty(&json!({
            "dataDir": text(&data_dir),
            "blocks": verified.blocks.len(),
            "blockSamples": samples,
            "walBytes": verified.wal_bytes,
            "walRecords": verified.wal_records,
            "walSamples": verified.wal_samples,
            "setAside": verified.set_aside,
            "faults": verified.faults,
        }))?)?;
    } else {
        let size = verified.blocks.iter().map(|block| block.bytes).sum();
        out::line(&format!(
            "whole: {} of {} with {} samples; log of {} with {} records and {} samples",
            blocks_of(verified.blocks.len() as u64),
            bytes(size),
            number(samples),
            bytes(verified.wal_bytes),
            number(verified.wal_records),
            number(verified.wal_samples)
        ))?;
        for fault in &verified.faults {
            out::line(&format!("DAMAGED: {fault}"))?;
        }
    }
    anyhow::ensure!(
        verified.faults.is_empty(),
        "{} places in {} are damaged; the next start of `masthead up` goes on without them, restore those files from a backup",
        verified.faults.len(),
        data_dir.display()
    );
    Ok(())
}
