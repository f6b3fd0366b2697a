//! Prints what the container collector sees: `cargo run -p collect --example print_containers`.
//!
//! Containers are the cgroups with 64 hexadecimal digits in their names, below `/sys` or what `--sysfs` says (and `--procfs`).
//! `--ids ID,ID` takes these alone.
//! With `--bench [ROUNDS]` it prints what a round costs instead: processor time of the whole process, from the kernel.

use std::collections::BTreeSet;
use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use collect::{Container, ContainerCollector, ContainerOptions};
use rustix::time::{ClockId, clock_gettime};

/// The time of a clock in microseconds.
fn micros(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a measurement that is printed with three digits"
    )]
    {
        now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
    }
}

/// Ids in the names of folders.
fn ids(folder: &Path, depth: usize, found: &mut BTreeSet<(String, u32)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        if depth == 0 || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let id = name
            .split(|c: char| !c.is_ascii_hexdigit())
            .find(|part| part.len() == 64);
        match id {
            None => ids(&entry.path(), depth - 1, found),
            Some(id) => {
                let procs = std::fs::read_to_string(entry.path().join("cgroup.procs")).unwrap_or_default();
                let pid = procs.lines().next().and_then(|line| line.parse().ok());
                found.retain(|(other, pid)| other != id || *pid != 0);
                if !found.iter().any(|(other, _)| other == id) {
                    found.insert((id.to_owned(), pid.unwrap_or(0)));
                }
            }
        }
    }
}

/// Prints what rounds and live readings cost.
fn print_costs(
    collector: &mut ContainerCollector,
    containers: usize,
    rounds: u32,
    out: &mut impl std::io::Write,
) -> Result<(), Box<dyn Error>> {
    let mut collection = collector.collect(0);
    for recycled in [false, true] {
        let begin = micros(ClockId::ProcessCPUTime);
        for round in 0..rounds {
            if recycled {
                collector.recycle(std::mem::take(&mut collection.families), collection.round);
            }
            collection = collector.collect(i64::from(round) * 15_000);
        }
        let each = (micros(ClockId::ProcessCPUTime) - begin) / f64::from(rounds.max(1));
        let samples: usize = collection
            .families
            .iter()
            .map(|family| family.metrics.len())
            .sum();
        let count = u32::try_from(containers.max(1))?;
        writeln!(
            out,
            "{containers} containers, {samples} samples, recycled {recycled}: {each:.0} us a round, {:.1} us a container",
            each / f64::from(count)
        )?;
    }
    let begin = micros(ClockId::ProcessCPUTime);
    for _ in 0..rounds {
        collector.read_live();
    }
    let each = (micros(ClockId::ProcessCPUTime) - begin) / f64::from(rounds.max(1));
    writeln!(out, "live: {each:.0} us a round")?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let mut options = ContainerOptions::default();
    let mut bench: Option<u32> = None;
    let mut only: Option<String> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--procfs" => options.paths.procfs = arguments.next().ok_or("--procfs wants a path")?.into(),
            "--sysfs" => options.paths.sysfs = arguments.next().ok_or("--sysfs wants a path")?.into(),
            "--ids" => only = Some(arguments.next().ok_or("--ids wants ids with commas in between")?),
            "--bench" => bench = Some(arguments.next().map_or(Ok(1000), |text| text.parse())?),
            other => return Err(format!("{other} is not known: --procfs, --sysfs, --ids, --bench").into()),
        }
    }
    let mut found = BTreeSet::new();
    ids(&options.paths.sysfs.join("fs/cgroup"), 6, &mut found);
    let running: Vec<Container> = found
        .into_iter()
        .filter(|(id, _)| only.as_ref().is_none_or(|only| only.contains(id)))
        .map(|(id, pid)| Container {
            labels: [
                ("app", &id[..6]),
                ("image", "image:1"),
                ("name", &id[..12]),
                ("project", "p"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            id,
            pid,
            own_network: true,
            ..Container::default()
        })
        .collect();
    let containers = running.len();
    let mut collector = ContainerCollector::new(&options);
    collector.set_files_max(4096);
    collector.set_running(running);
    let now = clock_gettime(ClockId::Realtime);
    let collection = collector.collect(now.tv_sec * 1000);
    let Some(rounds) = bench else {
        let mut text = String::new();
        model::encode_families(&collection.families, &mut text);
        out.write_all(text.as_bytes())?;
        for warning in &collection.warnings {
            writeln!(std::io::stderr(), "{warning}")?;
        }
        writeln!(std::io::stderr(), "{:#?}", collector.read_live())?;
        return Ok(());
    };
    print_costs(&mut collector, containers, rounds, &mut out)
}
