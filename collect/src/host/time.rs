//! `time`: the host's time and zone, which the caller knows, and the kernel's clock sources from
//! `/sys/devices/system/clocksource`.

use std::path::PathBuf;

use model::{Family, MetricType};

use super::Collector;
use crate::error::CollectError;
use crate::input::{Input, numbered_entries};
use crate::options::{Options, Zone};
use crate::output::{Output, label};

const PREFIX: &str = "clocksource";

/// The collector.
#[derive(Debug)]
pub(super) struct Time {
    directory: PathBuf,
    zone: Zone,
    /// Number and folder of each clock source device; they are there from boot on. `None` before the first look.
    devices: Option<Vec<(String, PathBuf)>>,
}

impl Time {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            directory: options.paths.sysfs.join("devices/system/clocksource"),
            zone: options.zone.clone(),
            devices: None,
        }
    }
}

impl Collector for Time {
    fn collect(&mut self, now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 are exact in a float"
        )]
        out.gauge(
            "node_time_seconds",
            "System time in seconds since epoch (1970).",
            now_ms as f64 / 1000.0,
        );
        let mut zone = Family::new(
            "node_time_zone_offset_seconds",
            "System time zone offset in seconds.",
            MetricType::Gauge,
        );
        zone.push(
            vec![label("time_zone", self.zone.name.clone())],
            f64::from(self.zone.offset_s),
        );
        out.add(zone);

        let mut available = Family::new(
            "node_time_clocksource_available_info",
            "Available clocksources read from '/sys/devices/system/clocksource'.",
            MetricType::Gauge,
        );
        let mut current = Family::new(
            "node_time_clocksource_current_info",
            "Current clocksource read from '/sys/devices/system/clocksource'.",
            MetricType::Gauge,
        );
        let devices = self.devices.get_or_insert_with(|| {
            let named = |name: String| (name[PREFIX.len()..].to_owned(), self.directory.join(name));
            numbered_entries(&self.directory, PREFIX)
                .into_iter()
                .map(named)
                .collect()
        });
        for (device, path) in devices {
            let labels = |source: &str| {
                vec![
                    label("clocksource", source.to_owned()),
                    label("device", device.clone()),
                ]
            };
            for source in input
                .read(&path.join("available_clocksource"))?
                .split_ascii_whitespace()
            {
                available.push(labels(source), 1.0);
            }
            current.push(labels(input.read(&path.join("current_clocksource"))?.trim()), 1.0);
        }
        out.add(available);
        out.add(current);
        Ok(())
    }

    fn set_zone(&mut self, zone: &Zone) {
        self.zone = zone.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_zone_are_the_callers() {
        let mut options = Options::default();
        options.paths.sysfs = "/nowhere".into();
        let mut time = Time::new(&options);
        time.set_zone(&Zone {
            name: "CEST".to_owned(),
            offset_s: 7200,
        });
        let mut out = Output::default();
        time.collect(1_418_183_276_500, &mut Input::default(), &mut out)
            .unwrap();
        let mut text = String::new();
        model::encode_families(&out.finish(), &mut text);
        assert!(text.contains("node_time_seconds 1.4181832765e+09\n"), "{text}");
        assert!(
            text.contains("node_time_zone_offset_seconds{time_zone=\"CEST\"} 7200\n"),
            "{text}"
        );
    }
}
