//! `pressure`: how long processes had to wait for a resource, from `/proc/pressure` (Linux 4.20; `irq` since 6.1).
//!
//! ```text
//!   some avg10=0.18 avg60=0.34 avg300=0.10 total=159886802      some processes waited (microseconds)
//!   full avg10=0.18 avg60=0.34 avg300=0.10 total=159229614      no process went on
//! ```

use rustix::io::Errno;

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source};
use crate::options::Options;
use crate::output::Output;

/// One family: name, help.
type Shown = Option<(&'static str, &'static str)>;

/// Resource, what `some` is shown as, what `full` is shown as. `full` means nothing for processors as a whole, and
/// `irq` has no `some`.
const RESOURCES: [(&str, Shown, Shown); 4] = [
    (
        "cpu",
        Some((
            "node_pressure_cpu_waiting_seconds_total",
            "Total time in seconds that processes have waited for CPU time",
        )),
        None,
    ),
    (
        "io",
        Some((
            "node_pressure_io_waiting_seconds_total",
            "Total time in seconds that processes have waited due to IO congestion",
        )),
        Some((
            "node_pressure_io_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IO congestion",
        )),
    ),
    (
        "memory",
        Some((
            "node_pressure_memory_waiting_seconds_total",
            "Total time in seconds that processes have waited for memory",
        )),
        Some((
            "node_pressure_memory_stalled_seconds_total",
            "Total time in seconds no process could make progress due to memory congestion",
        )),
    ),
    (
        "irq",
        None,
        Some((
            "node_pressure_irq_stalled_seconds_total",
            "Total time in seconds no process could make progress due to IRQ congestion",
        )),
    ),
];

/// Microseconds of `some` and of `full`, where they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stalls {
    pub(super) some_us: Option<u64>,
    pub(super) full_us: Option<u64>,
}

/// One resource's file.
pub(super) fn parse(text: &str) -> Result<Stalls, Fault> {
    let mut stalls = Stalls::default();
    for (index, line) in text.lines().enumerate() {
        let mut words = line.split_ascii_whitespace();
        let slot = match words.next() {
            Some("some") => &mut stalls.some_us,
            Some("full") => &mut stalls.full_us,
            // Later kernels may say more.
            Some(_) | None => continue,
        };
        let total = words
            .find_map(|word| word.strip_prefix("total="))
            .and_then(|total| total.parse().ok());
        *slot = Some(total.ok_or_else(|| Fault::new(index, "total= and microseconds", line))?);
    }
    Ok(stalls)
}

/// The collector.
#[derive(Debug)]
pub(super) struct Pressure {
    files: [Source; RESOURCES.len()],
}

impl Pressure {
    pub(super) fn new(options: &Options) -> Self {
        let directory = options.paths.procfs.join("pressure");
        Self {
            files: RESOURCES.map(|(resource, _, _)| Source::new(directory.join(resource))),
        }
    }
}

impl Collector for Pressure {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let mut found = false;
        for ((resource, some, full), file) in RESOURCES.into_iter().zip(&mut self.files) {
            let text = match input.source(file) {
                Ok(text) => text,
                Err(error) if error.is_not_found() => continue,
                Err(CollectError::Read { source, .. })
                    if source.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) =>
                {
                    let cure = "pressure is switched off: start the kernel with psi=1 to have it";
                    return Err(CollectError::NoData(cure.to_owned()));
                }
                Err(error) => return Err(error),
            };
            let stalls = parse(text).map_err(|fault| fault.at(file.path()))?;
            for (shown, total_us, what) in [(some, stalls.some_us, "some"), (full, stalls.full_us, "full")] {
                let Some((name, help)) = shown else { continue };
                let Some(total_us) = total_us else {
                    return Err(CollectError::NoData(format!(
                        "pressure of {resource} has no line {what:?}"
                    )));
                };
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "samples are floats: upstream rounds the same way"
                )]
                out.counter(name, help, total_us as f64 / 1000.0 / 1000.0);
            }
            found = true;
        }
        if found {
            return Ok(());
        }
        Err(CollectError::NoData(
            "pressure needs Linux 4.20 with CONFIG_PSI".to_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_may_be_missing() {
        for (text, some_us, full_us) in [
            (
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=14\nfull avg10=0.00 total=3\n",
                Some(14),
                Some(3),
            ),
            (
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=14\n",
                Some(14),
                None,
            ),
            (
                "full avg10=0.00 avg60=0.00 avg300=0.00 total=8494",
                None,
                Some(8494),
            ),
            ("later total=1\n", None, None),
        ] {
            assert_eq!(parse(text), Ok(Stalls { some_us, full_us }), "{text:?}");
        }
        for bad in ["some", "some total=x", "\nfull total="] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_kernel_without_pressure_is_no_data() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.paths.procfs = dir.path().to_path_buf();
        let round = || {
            let mut out = Output::default();
            let result = Pressure::new(&options).collect(0, &mut Input::default(), &mut out);
            (result, out.finish().len())
        };
        assert!(matches!(round(), (Err(CollectError::NoData(_)), 0)));
        std::fs::create_dir(dir.path().join("pressure")).unwrap();
        std::fs::write(dir.path().join("pressure/cpu"), "some avg10=0 total=14036781\n").unwrap();
        assert!(matches!(round(), (Ok(()), 1)));
        std::fs::write(dir.path().join("pressure/io"), "some avg10=0 total=1\n").unwrap();
        assert!(matches!(round(), (Err(CollectError::NoData(_)), 2)));
    }
}
