//! The work of the benchmarks: 14,000 series of a fleet of containers, a sample every 15 s for 12 hours, 40 M samples.
//!
//! ```text
//! target/bench/requests-N   for connection N: [u32 length, little endian][snappy body] ...
//! target/bench/made         steps, and the time of the last sample in seconds; a day later it is made anew
//! ```

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::http::Connection;
use crate::remote_write;

const CONNECTIONS: u32 = 2;
/// 20 nodes of 100 apps with 7 metrics each.
const NODES: u32 = 20;
const APPS: u32 = 100;
const METRICS: u32 = 7;
const SERIES: u32 = NODES * APPS * METRICS;
/// How many samples a series has, unless the command line says otherwise.
pub(super) const STEPS: u32 = 2858;
const STEP_S: u32 = 15;
/// What Prometheus' own sender puts into a request.
const SAMPLES_PER_REQUEST: usize = 2000;
/// A connection must not run away from the other: Prometheus refuses what is an hour older than its newest.
const LEAD_STEPS: u32 = 40;

/// The prepared requests.
#[derive(Debug)]
pub(super) struct Work {
    folder: PathBuf,
    steps: u32,
    end_s: i64,
}

impl Work {
    /// Makes the requests, unless those of today are there.
    pub(super) fn prepare(folder: &Path, steps: u32) -> Result<Self> {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        let stamp = folder.join("made");
        let made = fs::read_to_string(&stamp).unwrap_or_default();
        if let Some(end_s) = made
            .strip_prefix(&format!("{steps} "))
            .and_then(|text| text.parse::<i64>().ok())
            && now - end_s < 86_400
        {
            return Ok(Self {
                folder: folder.to_path_buf(),
                steps,
                end_s,
            });
        }
        println!("making the requests in {}", folder.display());
        fs::create_dir_all(folder)?;
        let end_s = now / 60 * 60 - 60;
        for connection in 0..CONNECTIONS {
            write_requests(&path(folder, connection), connection, steps, end_s)?;
        }
        fs::write(stamp, format!("{steps} {end_s}"))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            steps,
            end_s,
        })
    }

    /// The time of the last sample.
    pub(super) fn end_seconds(&self) -> i64 {
        self.end_s
    }

    /// How many samples there are.
    pub(super) fn samples(&self) -> f64 {
        f64::from(SERIES) * f64::from(self.steps)
    }

    /// Sends everything over all connections.
    pub(super) fn send(&self, address: &str) -> Result<()> {
        let progress: [AtomicU32; CONNECTIONS as usize] = [AtomicU32::new(0), AtomicU32::new(0)];
        let failed = AtomicBool::new(false);
        thread::scope(|scope| {
            let (progress, failed) = (&progress, &failed);
            let senders: Vec<_> = (0..CONNECTIONS)
                .map(|connection| {
                    scope.spawn(move || {
                        let sent = self.send_one(address, connection, progress, failed);
                        failed.fetch_or(sent.is_err(), Ordering::Relaxed);
                        sent
                    })
                })
                .collect();
            for sender in senders {
                match sender.join() {
                    Ok(sent) => sent?,
                    Err(_) => bail!("a sender broke down"),
                }
            }
            Ok(())
        })
    }

    fn send_one(
        &self,
        address: &str,
        connection: u32,
        progress: &[AtomicU32],
        failed: &AtomicBool,
    ) -> Result<()> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(path(&self.folder, connection))?);
        let mut stream = Connection::open(address)?;
        let requests = requests_per_step();
        let mut body = Vec::new();
        for step in 0..self.steps {
            while progress
                .iter()
                .any(|other| other.load(Ordering::Relaxed) + LEAD_STEPS < step)
            {
                if failed.load(Ordering::Relaxed) {
                    bail!("the other connection failed");
                }
                thread::sleep(Duration::from_micros(200));
            }
            for _ in 0..requests {
                let mut length = [0; 4];
                file.read_exact(&mut length)?;
                body.resize(usize::try_from(u32::from_le_bytes(length))?, 0);
                file.read_exact(&mut body)?;
                remote_write::post(&mut stream, "/api/v1/write", &body)
                    .with_context(|| format!("step {step}"))?;
            }
            if let Some(mine) = usize::try_from(connection).ok().and_then(|at| progress.get(at)) {
                mine.store(step + 1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

fn path(folder: &Path, connection: u32) -> PathBuf {
    folder.join(format!("requests-{connection}"))
}

fn requests_per_step() -> usize {
    usize::try_from(SERIES / CONNECTIONS)
        .unwrap_or(0)
        .div_ceil(SAMPLES_PER_REQUEST)
}

/// A series of the fleet: its encoded labels, its metric and its state.
struct Source {
    labels: Vec<u8>,
    metric: u32,
    random: u64,
    value: f64,
}

impl Source {
    fn new(node: u32, app: u32, metric: u32) -> Self {
        let text = |name: &str, value: String| (name.to_string(), value);
        let labels = [
            text("__name__", format!("container_metric_{metric}")),
            text("app", format!("app-{app}")),
            text(
                "id",
                format!(
                    "/system.slice/docker-{:016x}.scope",
                    u64::from(node * APPS + app) * 0x9e37_79b9_7f4a
                ),
            ),
            text(
                "image",
                format!("registry.example/team/app-{app}:1.{}.0", app % 17),
            ),
            text("instance", format!("10.0.{node}.1:8080")),
            text("job", "cadvisor".to_string()),
            text("node", format!("node-{node}")),
        ];
        let random = u64::from(node) << 40 | u64::from(app) << 20 | u64::from(metric) << 1 | 1;
        Self {
            labels: remote_write::labels(&labels),
            metric,
            random,
            value: 0.0,
        }
    }

    /// The next number of xorshift.
    fn next(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        u32::try_from(self.random >> 40).unwrap_or(0)
    }

    /// The next sample: what containers' metrics look like, by metric.
    fn sample(&mut self) -> f64 {
        let noise = f64::from(self.next());
        match self.metric {
            // CPU seconds: a counter with fractions.
            0 => self.value += (noise / 1_000_000.0 * 1000.0).round() / 1_000_000.0,
            // Memory: pages come and go.
            1 => self.value = (self.value + 4096.0 * (noise % 9.0 - 4.0)).max(50.0 * 1_048_576.0),
            // Network bytes: a counter of whole numbers that rests at times.
            2 if noise % 3.0 > 0.5 => self.value += (noise % 50_000.0).floor(),
            // A small gauge.
            3 => self.value = noise % 40.0,
            // A limit: constant.
            4 => self.value = 536_870_912.0,
            // Working set: like memory, calmer.
            5 if noise % 10.0 < 2.0 => self.value = (self.value + 4096.0).max(40.0 * 1_048_576.0),
            // Requests: a busy counter.
            6 => self.value += (noise % 97.0).floor(),
            _ => {}
        }
        self.value
    }
}

fn write_requests(path: &Path, connection: u32, steps: u32, end_s: i64) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut sources: Vec<Source> = (0..SERIES)
        .filter(|n| n % CONNECTIONS == connection)
        .map(|n| Source::new(n / METRICS / APPS, n / METRICS % APPS, n % METRICS))
        .collect();
    let mut encoder = snap::raw::Encoder::new();
    for step in 0..steps {
        let timestamp_ms = (end_s - i64::from((steps - 1 - step) * STEP_S)) * 1000;
        for chunk in sources.chunks_mut(SAMPLES_PER_REQUEST) {
            let mut message = Vec::with_capacity(SAMPLES_PER_REQUEST * 256);
            for source in chunk {
                let sample = (timestamp_ms, source.sample());
                remote_write::field(
                    &mut message,
                    1,
                    &remote_write::time_series(&source.labels, &[sample]),
                );
            }
            let body = encoder.compress_vec(&message)?;
            out.write_all(&u32::try_from(body.len())?.to_le_bytes())?;
            out.write_all(&body)?;
        }
    }
    out.flush().context("cannot write the requests")
}
