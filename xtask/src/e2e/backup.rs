//! `masthead up` is backed up while samples come in, and restored.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{now_ms, stored, write};
use crate::remote_write::Series;
use crate::server::{self, Server, TempDir};
use crate::shell;

/// Longer than a stop takes.
const LIMIT: Duration = Duration::from_secs(20);
/// Series of each write.
const SERIES: usize = 20;

/// The case.
pub(super) fn while_it_runs() -> Result<()> {
    let folder = TempDir::new("backup")?;
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let mut masthead = server::masthead(&data, &[])?;
    history(&masthead)?;
    let (stop, last) = (AtomicBool::new(false), AtomicI64::new(0));
    let backups = std::thread::scope(|scope| -> Result<Vec<(String, i64)>> {
        let writer = scope.spawn(|| load(&masthead, &stop, &last));
        let made = (0..5)
            .map(|number| {
                std::thread::sleep(Duration::from_millis(700));
                let before = last.load(Ordering::SeqCst);
                let file = format!("{number}.tar.gz");
                run(
                    &folder,
                    &["backup", &file, "--data-dir", "data"],
                    0,
                    "holds passwords",
                )?;
                Ok((file, before))
            })
            .collect();
        stop.store(true, Ordering::SeqCst);
        match writer.join() {
            Ok(written) => written?,
            Err(_) => bail!("the writer panicked"),
        }
        made
    })?;
    let mode = fs::metadata(folder.path().join("0.tar.gz"))?.permissions().mode() & 0o777;
    if mode != 0o600 {
        bail!("a backup has mode {mode:o}");
    }
    // In use, and of the other way to run.
    let restore = |file: &str, to: &str, code, said| {
        run(&folder, &["restore", file, "--yes", "--data-dir", to], code, said)
    };
    restore("0.tar.gz", "data", 1, "in use by another masthead")?;
    let at_ms = now_ms()?;
    let all = stored(&masthead, "loaded", "series", at_ms)?;
    masthead.stop("TERM", LIMIT)?;
    for (file, before) in &backups {
        restore(file, "other", 0, "Restored")?;
        let mut restored = server::masthead(&other, &[])?;
        let got = stored(&restored, "loaded", "series", at_ms)?;
        for (series, samples) in &all {
            let want: Vec<_> = samples.iter().filter(|(t_ms, _)| t_ms <= before).collect();
            let have: Vec<_> = got
                .get(series)
                .into_iter()
                .flatten()
                .filter(|(t_ms, _)| t_ms <= before)
                .collect();
            if want != have || want.is_empty() {
                bail!(
                    "{file}: {series} had {} samples before it, and has {}",
                    want.len(),
                    have.len()
                );
            }
        }
        let history = stored(&restored, "history", "series", at_ms)?;
        if history.get("a").map(Vec::len) != Some(1200) {
            bail!(
                "{file}: the block is missing: {:?}",
                history.get("a").map(Vec::len)
            );
        }
        restored.stop("TERM", LIMIT)?;
    }
    damaged(&folder, &other)
}

/// Makes a block.
fn history(masthead: &Server) -> Result<()> {
    let now = now_ms()?;
    let mut series = Series::new("history", &[("series", "a")]);
    series.samples = (0..1200).map(|n| (now - (1200 - n) * 15_000, 1.5)).collect();
    write(masthead, &[series])
}

/// Writes until it is told to stop; `last` is a time up to which everything is acknowledged.
fn load(masthead: &Server, stop: &AtomicBool, last: &AtomicI64) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        let t_ms = now_ms()?;
        let series: Vec<Series> = (0..SERIES)
            .map(|number| {
                let mut one = Series::new("loaded", &[("series", &number.to_string())]);
                one.samples = vec![(t_ms, 1.0)];
                one
            })
            .collect();
        write(masthead, &series)?;
        last.store(t_ms, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// A damaged backup changes nothing.
fn damaged(folder: &TempDir, there: &Path) -> Result<()> {
    let mut bytes = fs::read(folder.path().join("0.tar.gz"))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(folder.path().join("odd.tar.gz"), bytes)?;
    let names = || -> Result<Vec<_>> {
        let entries = fs::read_dir(there.join("blocks"))?.chain(fs::read_dir(there.join("wal"))?);
        entries.map(|entry| Ok(entry?.path())).collect()
    };
    let before = names()?;
    run(
        folder,
        &["restore", "odd.tar.gz", "--yes", "--data-dir", "other"],
        1,
        "damaged",
    )?;
    run(folder, &["restore", "odd.tar.gz", "--dry-run"], 1, "damaged")?;
    if before != names()? {
        bail!("a damaged backup changed something");
    }
    run(
        folder,
        &["restore", "1.tar.gz", "--dry-run"],
        0,
        "whole: a `masthead up`",
    )
}

/// Runs `masthead` in a folder; it has to end with this code and say this.
fn run(folder: &TempDir, args: &[&str], code: i32, said: &str) -> Result<()> {
    let mut command = Command::new(shell::release_binary());
    let output = command
        .args(args)
        .current_dir(folder.path())
        .output()
        .context("cannot start masthead")?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.code() != Some(code) || !text.contains(said) {
        bail!(
            "masthead {args:?}: code {code} and {said:?} are wanted: {}: {text}",
            output.status
        );
    }
    Ok(())
}
