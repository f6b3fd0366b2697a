//! `kill -9` under load: what was acknowledged is there after the next start.
//!
//! Two writers each own ten series. A writer's n-th request holds one sample a series, of value n at n steps after the
//! base time; it sends request n+1 only after n was answered. So what must be there is 1 to n without a hole, and at
//! most one more, whose answer the kill may have cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};

use super::{now_ms, stored};
use crate::http::Connection;
use crate::remote_write::{self, Series};
use crate::server::{self, Server, TempDir};

const ROUNDS: u64 = 30;
const WRITERS: usize = 2;
const SERIES: usize = 10;
const STEP_MS: i64 = 50;

/// The case.
pub(super) fn rounds() -> Result<()> {
    many(ROUNDS)
}

/// Any number of rounds.
pub(crate) fn many(rounds: u64) -> Result<()> {
    let folder = TempDir::new("kill")?;
    let data = folder.path().join("data");
    let base_ms = now_ms()? - 3 * 3600 * 1000;
    let mut acknowledged = [0_u32; WRITERS];
    for round in 0..rounds {
        if round % 5 == 4 {
            // A kill while the log is being replayed.
            let mut command = server::masthead_command(server::free_port()?, &data, &[]);
            let mut starting = Server::spawn(&mut command, "", &data.with_extension("log"))?;
            thread::sleep(Duration::from_millis(15 + round));
            starting.kill()?;
        }
        let mut server = server::masthead(&data, &[])?;
        check(&server, base_ms, acknowledged)?;
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (address, stop) = (server.address.clone(), Arc::clone(&stop));
                let from = acknowledged.get(writer).copied().unwrap_or(0);
                thread::spawn(move || write_until_cut(&address, writer, from, base_ms, &stop))
            })
            .collect();
        // Different every round, so that the kill falls into different moments.
        thread::sleep(Duration::from_millis(100 + round * 137 % 500));
        server.kill()?;
        stop.store(true, Ordering::Relaxed);
        for (slot, writer) in acknowledged.iter_mut().zip(writers) {
            match writer.join() {
                Ok(last) => *slot = last,
                Err(_) => bail!("a writer broke down"),
            }
        }
    }
    if acknowledged.iter().any(|&count| u64::from(count) < rounds) {
        bail!("the load was too small to prove anything: {acknowledged:?} requests");
    }
    let server = server::masthead(&data, &[])?;
    check(&server, base_ms, acknowledged)?;
    println!("     {rounds} kills, {acknowledged:?} acknowledged requests of {SERIES} samples, all there");
    Ok(())
}

fn name(writer: usize, series: usize) -> String {
    format!("{writer}-{series}")
}

/// Writes until an error, and gives the number of the last request that was acknowledged.
fn write_until_cut(address: &str, writer: usize, from: u32, base_ms: i64, stop: &AtomicBool) -> u32 {
    let mut last = from;
    let Ok(mut connection) = Connection::open(address) else {
        return last;
    };
    while !stop.load(Ordering::Relaxed) {
        let next = last + 1;
        let series: Vec<Series> = (0..SERIES)
            .map(|n| {
                let mut one = Series::new("crash_total", &[("series", &name(writer, n))]);
                one.samples
                    .push((base_ms + i64::from(next) * STEP_MS, f64::from(next)));
                one
            })
            .collect();
        let sent = remote_write::compress(&remote_write::encode(&series))
            .and_then(|body| remote_write::post(&mut connection, "/api/v1/write", &body));
        if sent.is_err() {
            return last;
        }
        last = next;
        // As fast as it goes would make the check of all samples after each round the longest part.
        thread::sleep(Duration::from_micros(500));
    }
    last
}

fn check(server: &Server, base_ms: i64, acknowledged: [u32; WRITERS]) -> Result<()> {
    let stored = stored(server, "crash_total", "series", base_ms + 4 * 3600 * 1000)?;
    for (writer, count) in acknowledged.into_iter().enumerate() {
        for series in (0..SERIES).filter(|_| count > 0) {
            let name = name(writer, series);
            let samples = stored.get(&name).cloned().unwrap_or_default();
            let right = samples
                .iter()
                .zip(1_u32..)
                .all(|(sample, n)| *sample == (base_ms + i64::from(n) * STEP_MS, f64::from(n)));
            let found = u32::try_from(samples.len())?;
            if !right || found < count || found > count + 1 {
                let tail = samples.last();
                bail!(
                    "series {name}: {found} samples (the last {tail:?}) for {count} acknowledged; in order and whole: {right}\n{}",
                    server.log_tail()
                );
            }
        }
    }
    Ok(())
}
