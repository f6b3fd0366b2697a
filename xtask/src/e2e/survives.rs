//! What the process must live through, and what it must say.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::{now_ms, stored, write};
use crate::http;
use crate::remote_write::Series;
use crate::server::{self, Server, TempDir};

/// Some series with a sample every 15 s from a start time on; the value is the index.
fn steady(count: usize, start_ms: i64, steps: u32) -> Vec<Series> {
    (0..count)
        .map(|n| {
            let mut one = Series::new("steady", &[("series", &format!("{n}"))]);
            one.samples = (0..steps)
                .map(|i| (start_ms + i64::from(i) * 15_000, f64::from(i)))
                .collect();
            one
        })
        .collect()
}

/// Are all samples of [`steady`] there?
fn check_steady(server: &Server, count: usize, start_ms: i64, steps: u32) -> Result<()> {
    let found = stored(server, "steady", "series", start_ms + i64::from(steps) * 15_000)?;
    for series in steady(count, start_ms, steps) {
        let name = &series
            .labels
            .iter()
            .find(|(name, _)| name == "series")
            .context("the label")?
            .1;
        let got = found.get(name).cloned().unwrap_or_default();
        if got != series.samples {
            bail!("series {name}: {} samples of {}", got.len(), series.samples.len());
        }
    }
    Ok(())
}

/// The host is collected at once.
pub(super) fn first_samples() -> Result<()> {
    let folder = TempDir::new("first")?;
    let began = Instant::now();
    let server = server::masthead(&folder.path().join("data"), &[])?;
    loop {
        let answer = http::post_form(&server.address, "/api/v1/query", &[("query", "node_load1")])?.json()?;
        if answer["data"]["result"]
            .as_array()
            .is_some_and(|series| !series.is_empty())
        {
            println!("     {:.2} s", began.elapsed().as_secs_f64());
            return Ok(());
        }
        // The budget is 1 s; a busy machine must not make the test lie, so it gives up later.
        if began.elapsed() > Duration::from_secs(10) {
            bail!(
                "no sample of the host 10 s after the start:\n{}",
                server.log_tail()
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// SIGINT.
pub(super) fn interrupt() -> Result<()> {
    let folder = TempDir::new("interrupt")?;
    let data = folder.path().join("data");
    let start_ms = now_ms()? - 3600 * 1000;
    let mut server = server::masthead(&data, &[])?;
    write(&server, &steady(50, start_ms, 200))?;
    // An idle client that keeps its connection must not delay the end.
    let _idle = TcpStream::connect(&server.address)?;
    let (took, status) = server.stop("INT", Duration::from_secs(2))?;
    if !status.success() {
        bail!("it ended with {status}:\n{}", server.log_tail());
    }
    let again = server::masthead(&data, &[])?;
    check_steady(&again, 50, start_ms, 200)?;
    println!("     stopped in {:.2} s", took.as_secs_f64());
    Ok(())
}

/// All files below a folder with their sizes.
fn files_below(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else if let Ok(meta) = entry.metadata() {
            found.push((path, meta.len()));
        }
    }
    found
}

/// The largest file below a folder whose path has a word in it.
fn largest(data: &Path, wanted: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let inside = |path: &Path| {
        path.strip_prefix(data)
            .map(|p| p.to_string_lossy().to_lowercase())
            .unwrap_or_default()
    };
    let mut files: Vec<_> = files_below(data)
        .into_iter()
        .filter(|(path, _)| wanted(&inside(path)))
        .collect();
    files.sort_by_key(|(_, size)| *size);
    files.pop().map(|(path, _)| path)
}

/// Turns over the bits of some bytes at a share of a file.
fn damage(file: &Path, share_percent: usize) -> Result<()> {
    let mut bytes = fs::read(file)?;
    let at = bytes.len() * share_percent / 100;
    let hit = bytes.iter_mut().skip(at).take(16);
    if hit.len() == 0 {
        bail!("{} is empty, nothing to damage", file.display());
    }
    bytes.iter_mut().skip(at).take(16).for_each(|byte| *byte = !*byte);
    fs::write(file, bytes).with_context(|| format!("cannot damage {}", file.display()))
}

/// Does the server's log name the damage?
fn says_damage(server: &Server, since: usize, file: &Path) -> Result<()> {
    let text = server.log_text();
    let new = text.get(since..).unwrap_or_default().to_lowercase();
    let named = ["corrupt", "damage", "checksum"]
        .iter()
        .any(|word| new.contains(word));
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let folder = file
        .parent()
        .and_then(Path::file_name)
        .map(|n| n.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    if !named || !(new.contains(&name) || new.contains(&folder)) {
        bail!("the log does not say that {} is damaged:\n{new}", file.display());
    }
    Ok(())
}

/// A log with bytes turned over in its middle.
pub(super) fn damaged_log() -> Result<()> {
    let folder = TempDir::new("damaged-log")?;
    let data = folder.path().join("data");
    let start_ms = now_ms()? - 3600 * 1000;
    let mut server = server::masthead(&data, &[])?;
    for from in 0..10 {
        write(&server, &steady(50, start_ms + from * 300_000, 20))?;
    }
    server.kill()?;
    let log = largest(&data, |path| path.contains("wal")).context("there is no file of the log")?;
    damage(&log, 60)?;
    let since = server.log_text().len();
    let again = server::masthead(&data, &[])?;
    says_damage(&again, since, &log)?;
    let found = stored(&again, "steady", "series", start_ms + 3600 * 1000)?;
    let samples: usize = found.values().map(Vec::len).sum();
    if samples < 50 * 20 {
        bail!("only {samples} samples are left from before the damage");
    }
    write(&again, &steady(50, start_ms + 3000 * 1000, 20)).context("writes after a damaged log")
}

/// A block with bytes turned over. Six hours of data are more than a head holds, so that there is one.
pub(super) fn damaged_block() -> Result<()> {
    let folder = TempDir::new("damaged-block")?;
    let data = folder.path().join("data");
    let start_ms = now_ms()? - 5 * 3600 * 1000 - 1800 * 1000;
    let mut server = server::masthead(&data, &[])?;
    for from in 0..22 {
        write(&server, &steady(100, start_ms + from * 900_000, 60))?;
    }
    let is_block = |path: &str| path.ends_with(".block");
    let began = Instant::now();
    let is_whole = |file: PathBuf| fs::metadata(file).is_ok_and(|meta| meta.len() > 1000);
    while !largest(&data, is_block).is_some_and(is_whole) {
        if began.elapsed() > Duration::from_secs(90) {
            bail!(
                "no block was cut within 90 s of 5.5 hours of samples: {:?}",
                files_below(&data)
            );
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    // The file may be in the making, and a compaction may take its place: what is there after the end is looked at.
    std::thread::sleep(Duration::from_secs(2));
    server.stop("INT", Duration::from_secs(5))?;
    let block = largest(&data, is_block).context("the block is gone")?;
    damage(&block, 50)?;
    let since = server.log_text().len();
    let again = server::masthead(&data, &[])?;
    let end_ms = start_ms + 22 * 900_000;
    match stored(&again, "steady", "series", end_ms) {
        // The damage was met at the start, and the file is set aside.
        Ok(_) => says_damage(&again, since, &block)?,
        // It is in a column: what needs that column fails, names the file and says what to do.
        Err(error) => names_cure(&format!("{error:#}"), &block)?,
    }
    if stored(&again, "node_load1", "instance", now_ms()?)?.is_empty() {
        bail!("with a damaged block even what is not in it cannot be asked");
    }
    let (_, status) = { again }.stop("INT", Duration::from_secs(5))?;
    if !status.success() {
        bail!("with a damaged block it ended with {status}");
    }
    // The cure that the error names.
    if block.is_file() {
        fs::rename(&block, folder.path().join("away"))?;
    }
    let cured = server::masthead(&data, &[])?;
    let newest = stored(&cured, "steady", "series", end_ms)?;
    if newest.len() != 100 {
        bail!("{} of 100 series are left", newest.len());
    }
    Ok(())
}

/// Does an error name the file and the way out?
fn names_cure(error: &str, file: &Path) -> Result<()> {
    let name = file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if !(error.contains(&name) && error.contains("damaged at byte") && error.contains("move the file away")) {
        bail!("the error does not say what is damaged and what to do: {error}");
    }
    Ok(())
}

/// Clients that open a connection and say half of what they want.
pub(super) fn slow_clients() -> Result<()> {
    let folder = TempDir::new("slow")?;
    let server = server::masthead(&folder.path().join("data"), &[])?;
    let mut held = Vec::new();
    let halves: [&[u8]; 3] = [
        b"",
        b"GET /api/v1/que",
        b"POST /api/v1/write HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Encoding: snappy\r\nContent-Length: 1000\r\n\r\nabc",
    ];
    for half in halves.iter().cycle().take(150) {
        let mut stream = TcpStream::connect(&server.address)?;
        stream.write_all(half)?;
        held.push(stream);
    }
    for path in ["/-/ready", "/api/v1/query?query=1", "/metrics"] {
        let began = Instant::now();
        let response = http::get(&server.address, path)?;
        if response.status != 200 || began.elapsed() > Duration::from_secs(2) {
            bail!(
                "{path} was answered {} after {:?} beside {} slow clients",
                response.status,
                began.elapsed(),
                held.len()
            );
        }
    }
    Ok(())
}
