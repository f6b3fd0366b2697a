//! A disk that fills up: writes fail with a clear error, the process lives, and writes go on when there is room again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::{Outcome, now_ms, stored};
use crate::http::{self, Connection};
use crate::remote_write::{self, Series};
use crate::server::{self, Server, TempDir};
use crate::shell;

/// A small disk in memory, unmounted when it goes out of scope.
pub(super) struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// One of this size, as `mount` has it.
    pub(super) fn mount(at: &'a Path, size: &str) -> Result<Self> {
        fs::create_dir_all(at)?;
        shell::output(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
                .arg(at),
        )?;
        Ok(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        // Lazily: a server that is just ending may still have files open.
        let _unmounted = shell::output(Command::new("umount").arg("-l").arg(self.0));
    }
}

/// The case.
pub(super) fn full() -> Result<Outcome> {
    let folder = TempDir::new("disk")?;
    let place = folder.path().join("small");
    if !shell::is_root() {
        return Ok(Outcome::Missing(anyhow!(
            "mounting a small disk needs root: run the tests as root"
        )));
    }
    let disk = match SmallDisk::mount(&place, "100m") {
        Ok(disk) => disk,
        Err(why) => return Ok(Outcome::Missing(why.context("a tmpfs cannot be mounted here"))),
    };
    let data = disk.0.join("data");
    // The log of the server must not compete for the room.
    let log = folder.path().join("server.log");
    let mut server = start(&data, &log)?;
    let base_ms = now_ms()? - 3600 * 1000;
    let mut written = 0;
    for _ in 0..20 {
        send(&server, base_ms, written + 1).with_context(|| "before the disk was full".to_string())?;
        written += 1;
    }
    let ballast = disk.0.join("ballast");
    // `dd` ends with an error when the disk is full: that is its work here.
    let _full = shell::output(
        Command::new("dd")
            .args(["if=/dev/zero", "bs=64k"])
            .arg(format!("of={}", ballast.display())),
    );
    let words = fill_up(&server, base_ms, &mut written)?;
    if !["space", "disk", "full"]
        .iter()
        .any(|word| words.to_lowercase().contains(word))
    {
        bail!("the error of a full disk does not say so: {words}");
    }
    if !server.is_alive() {
        bail!("the process ended on a full disk:\n{}", server.log_tail());
    }
    check(&server, base_ms, written, "on the full disk")?;
    fs::remove_file(&ballast)?;
    let freed = Instant::now();
    while let Err(error) = send(&server, base_ms, written + 1) {
        if freed.elapsed() > Duration::from_secs(30) {
            return Err(error.context("writes do not work again 30 s after there was room"));
        }
        std::thread::sleep(Duration::from_millis(250));
    }
    written += 1;
    check(&server, base_ms, written, "after there was room")?;
    server.stop("INT", Duration::from_secs(10))?;
    let again = start(&data, &log)?;
    check(&again, base_ms, written, "after a restart")?;
    println!("     {written} acknowledged requests, all there; the error was: {words}");
    Ok(Outcome::Passed)
}

fn start(data: &Path, log: &Path) -> Result<Server> {
    let port = server::free_port()?;
    let mut command = server::masthead_command(port, data, &[]);
    let mut server = Server::spawn(&mut command, &format!("127.0.0.1:{port}"), log)?;
    server.wait_ready("/-/ready")?;
    Ok(server)
}

/// Sends the n-th request: 200 series, one sample each.
fn send(server: &Server, base_ms: i64, n: u32) -> Result<()> {
    let series: Vec<Series> = (0..200)
        .map(|at| {
            let mut one = Series::new("small_disk", &[("series", &format!("{at}"))]);
            one.samples
                .push((base_ms + i64::from(n) * 100, f64::from(n) + f64::from(at) / 7.0));
            one
        })
        .collect();
    let body = remote_write::compress(&remote_write::encode(&series))?;
    remote_write::post(&mut Connection::open(&server.address)?, "/api/v1/write", &body)
}

/// Writes until the server refuses with a 5xx, and gives its words. A page or two of room may be left after `dd`.
fn fill_up(server: &Server, base_ms: i64, written: &mut u32) -> Result<String> {
    for _ in 0..5_000 {
        match send(server, base_ms, *written + 1) {
            Ok(()) => *written += 1,
            Err(error) => {
                let words = format!("{error:#}");
                if !words.contains("was answered 5") {
                    bail!("a full disk was answered with: {words}");
                }
                return Ok(words);
            }
        }
    }
    bail!("5,000 requests after the disk was full, writes still work")
}

fn check(server: &Server, base_ms: i64, written: u32, when: &str) -> Result<()> {
    let healthy = http::get(&server.address, "/-/healthy")?;
    if healthy.status != 200 {
        bail!("not healthy {when}: {}", healthy.text());
    }
    let stored = stored(server, "small_disk", "series", base_ms + 2 * 3600 * 1000)?;
    for at in 0..200 {
        let samples = stored.get(&format!("{at}")).cloned().unwrap_or_default();
        for n in 1..=written {
            let want = (base_ms + i64::from(n) * 100, f64::from(n) + f64::from(at) / 7.0);
            if !samples.contains(&want) {
                bail!("series {at}: acknowledged sample {n} of {written} is not there {when}");
            }
        }
    }
    Ok(())
}
