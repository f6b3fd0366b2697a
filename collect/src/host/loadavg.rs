//! `loadavg`: the load averages of `/proc/loadavg`.

use super::Collector;
use crate::error::{CollectError, Fault};
use crate::input::{Input, Source, number};
use crate::options::Options;
use crate::output::Output;

/// The averages over 1, 5 and 15 minutes.
pub(super) fn parse(text: &str) -> Result<[f64; 3], Fault> {
    let mut words = text.split_ascii_whitespace();
    let mut loads = [0.0; 3];
    for load in &mut loads {
        let value = words.next().and_then(number);
        *load = value.ok_or_else(|| Fault::new(0, "three load averages", text.trim()))?;
    }
    Ok(loads)
}

/// The collector.
#[derive(Debug)]
pub(super) struct LoadAvg {
    file: Source,
}

impl LoadAvg {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            file: Source::new(options.paths.procfs.join("loadavg")),
        }
    }
}

impl Collector for LoadAvg {
    fn collect(&mut self, _now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let [one, five, fifteen] =
            parse(input.source(&mut self.file)?).map_err(|fault| fault.at(self.file.path()))?;
        out.gauge("node_load1", "1m load average.", one);
        out.gauge("node_load5", "5m load average.", five);
        out.gauge("node_load15", "15m load average.", fifteen);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_needed() {
        assert_eq!(parse("0.21 0.37 10.39 1/719 19737\n"), Ok([0.21, 0.37, 10.39]));
        for bad in ["", "0.1 0.2", "0.1 x 0.3"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
