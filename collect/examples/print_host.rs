//! Prints what the host collectors see, as an exporter would: `cargo run -p collect --example print_host`.
//!
//! With `--bench [ROUNDS]` it prints what a round costs instead: processor time of the whole process, from the kernel.

use std::error::Error;
use std::io::Write as _;

use collect::{HostCollector, Options};
use rustix::time::{ClockId, clock_gettime};

/// The time of a clock in milliseconds.
fn millis(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a measurement that is printed with three digits"
    )]
    {
        now.tv_sec as f64 * 1e3 + now.tv_nsec as f64 / 1e6
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let mut host = HostCollector::new(&Options::default());
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().map(String::as_str) != Some("--bench") {
        let now = clock_gettime(ClockId::Realtime);
        let collection = host.collect(now.tv_sec * 1000 + now.tv_nsec / 1_000_000);
        let mut text = String::new();
        model::encode_families(&collection.families, &mut text);
        out.write_all(text.as_bytes())?;
        for error in collection
            .outcomes
            .iter()
            .filter_map(|outcome| outcome.error.as_ref())
        {
            writeln!(std::io::stderr(), "{error}")?;
        }
        return Ok(());
    }
    let rounds: u32 = arguments.get(1).map_or(Ok(2000), |text| text.parse())?;
    let first = millis(ClockId::ProcessCPUTime);
    let mut samples = host.collect(0).samples_len();
    let begin = millis(ClockId::ProcessCPUTime);
    for round in 0..rounds {
        samples = host.collect(i64::from(round) * 15_000).samples_len();
    }
    let end = millis(ClockId::ProcessCPUTime);
    writeln!(out, "first round: {:.3} ms of CPU", begin - first)?;
    let each = (end - begin) / f64::from(rounds.max(1));
    writeln!(
        out,
        "{rounds} rounds of {samples} samples: {each:.3} ms of CPU each"
    )?;
    for (number, name) in HostCollector::collectors().into_iter().enumerate() {
        let begin = millis(ClockId::ProcessCPUTime);
        for _ in 0..rounds {
            host.collect_one(number, 0);
            host.finish(&[]);
        }
        let each = (millis(ClockId::ProcessCPUTime) - begin) * 1e3 / f64::from(rounds.max(1));
        writeln!(out, "  {name:12} {each:8.1} us")?;
    }
    Ok(())
}
