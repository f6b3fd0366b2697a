//! Two readings of counters to one line of JSON with rates.

use std::collections::HashMap;
use std::time::Instant;

use collect::{PulseReading, Reading};
use serde_json::{Value, json};

use crate::docker::inventory::Known;

/// Digits of an id that stand for a container whose name is not known.
const SHORT_ID: usize = 12;

/// What was read last.
#[derive(Debug, Default)]
pub struct Rates {
    before: Option<(Instant, PulseReading, HashMap<String, Reading>)>,
}

/// How much a counter rose a second; nothing when it went back, which it does when its container starts anew.
#[derive(Debug, Clone, Copy)]
struct PerSecond(f64);

impl PerSecond {
    fn of(self, before: f64, after: f64) -> Option<f64> {
        let rise = (after - before) / self.0;
        (self.0 > 0.0 && rise.is_finite() && rise >= 0.0).then_some(rise)
    }
}

impl Rates {
    /// The next reading in the shape of the live API. `at` is the monotonic time of `host` and `containers`.
    pub fn next(
        &mut self,
        now_ms: i64,
        at: Instant,
        host: PulseReading,
        containers: Vec<Reading>,
        known: &[Known],
    ) -> String {
        let per_second = PerSecond(self.before.as_ref().map_or(0.0, |(then, ..)| {
            at.saturating_duration_since(*then).as_secs_f64()
        }));
        let before = self.before.as_ref();
        let named: HashMap<&str, &Known> = known.iter().map(|k| (k.id.as_str(), k)).collect();
        let mut rows: Vec<Row<'_>> = containers
            .iter()
            // The one without an id is the machine.
            .filter(|reading| !reading.id.is_empty())
            .map(|now| Row {
                now,
                before: before.and_then(|(_, _, all)| all.get(&now.id)),
                known: named.get(now.id.as_str()).copied(),
            })
            .collect();
        rows.sort_by_cached_key(|row| row.name().to_owned());
        #[expect(clippy::cast_precision_loss, reason = "milliseconds are far below 2^53")]
        let time = now_ms as f64 / 1000.0;
        let text = json!({
            "time": time,
            "host": host_json(per_second, before.map(|(_, host, _)| host), &host),
            "containers": rows.iter().map(|row| row.json(per_second)).collect::<Vec<_>>(),
        })
        .to_string();
        drop(rows);
        let kept = containers.into_iter().map(|r| (r.id.clone(), r)).collect();
        self.before = Some((at, host, kept));
        text
    }
}

/// A container now and before, and what it is called.
struct Row<'a> {
    now: &'a Reading,
    before: Option<&'a Reading>,
    known: Option<&'a Known>,
}

impl Row<'_> {
    fn name(&self) -> &str {
        match self.known {
            Some(known) => &known.name,
            None => self.now.id.get(..SHORT_ID).unwrap_or(&self.now.id),
        }
    }

    fn json(&self, per_second: PerSecond) -> Value {
        let rate = |field: fn(&Reading) -> f64| {
            let before = field(self.before?);
            per_second.of(before, field(self.now))
        };
        json!({
            "id": self.now.id,
            "name": self.name(),
            "app": self.known.map_or(self.name(), |known| known.app.as_str()),
            "project": self.known.map_or("", |known| known.project.as_str()),
            "cpuCores": fine(rate(|r| r.cpu_s)),
            "memoryWorkingSetBytes": whole(Some(self.now.memory_working_set_bytes)),
            "memoryLimitBytes": whole(self.now.memory_limit_bytes),
            "receiveBytesPerSecond": whole(rate(|r| r.receive_bytes)),
            "transmitBytesPerSecond": whole(rate(|r| r.transmit_bytes)),
            "readBytesPerSecond": whole(rate(|r| r.read_bytes)),
            "writtenBytesPerSecond": whole(rate(|r| r.write_bytes)),
            "processes": whole(Some(self.now.processes)),
        })
    }
}

fn host_json(per_second: PerSecond, before: Option<&PulseReading>, now: &PulseReading) -> Value {
    let rise = |field: fn(&PulseReading) -> Option<f64>| Some((field(before?)?, field(now)?));
    let rate = |field| rise(field).and_then(|(before, now)| per_second.of(before, now));
    // Of its own two counters and not of the clock: both are ticks of the same moment.
    let cpu = rise(|r| r.cpu_busy_s)
        .zip(rise(|r| r.cpu_total_s))
        .map(|((busy_before, busy), (total_before, total))| (busy - busy_before) / (total - total_before))
        // The kernel's time of waiting for disks may go back a little, and then more was busy than there was time.
        .filter(|ratio| *ratio >= 0.0 && ratio.is_finite())
        .map(|ratio| ratio.min(1.0));
    json!({
        "cpuRatio": fine(cpu),
        "load1": now.load1,
        "memoryUsedBytes": whole(now.memory_used_bytes),
        "memoryTotalBytes": whole(now.memory_total_bytes),
        "swapUsedBytes": whole(now.swap_used_bytes),
        "receiveBytesPerSecond": whole(rate(|r| r.receive_bytes)),
        "transmitBytesPerSecond": whole(rate(|r| r.transmit_bytes)),
        "readBytesPerSecond": whole(rate(|r| r.read_bytes)),
        "writtenBytesPerSecond": whole(rate(|r| r.write_bytes)),
    })
}

/// Six decimals: a millionth of a core is more than anybody sees, and the line stays short.
fn fine(value: Option<f64>) -> Value {
    number(value.map(|value| (value * 1e6).round() / 1e6))
}

/// A whole number, written as one.
fn whole(value: Option<f64>) -> Value {
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return Value::Null;
    };
    if (0.0..9e15).contains(&value) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked before"
        )]
        return Value::from(value.round() as u64);
    }
    number(Some(value))
}

fn number(value: Option<f64>) -> Value {
    // Not a number has no JSON.
    value
        .and_then(serde_json::Number::from_f64)
        .map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn reading(id: &str, cpu_s: f64, receive: f64) -> Reading {
        Reading {
            id: id.to_owned(),
            cpu_s,
            memory_working_set_bytes: 1024.0,
            receive_bytes: receive,
            processes: 2.0,
            ..Reading::default()
        }
    }

    fn host(busy: f64, total: f64, receive: f64) -> PulseReading {
        PulseReading {
            cpu_busy_s: Some(busy),
            cpu_total_s: Some(total),
            receive_bytes: Some(receive),
            memory_total_bytes: Some(4096.0),
            ..PulseReading::default()
        }
    }

    fn parse(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn rates_are_over_the_time_between_two_readings() {
        let known = [Known {
            id: "b".repeat(64),
            name: "web.1.x".to_owned(),
            app: "web".to_owned(),
            project: "shop".to_owned(),
            ..Known::default()
        }];
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let start = crate::clock::instant();
        let mut rates = Rates::default();
        let first = parse(&rates.next(
            1500,
            start,
            host(1.0, 10.0, 100.0),
            vec![
                reading("", 0.0, 0.0),
                reading(&b, 1.0, 10.0),
                reading(&a, 5.0, 10.0),
            ],
            &known,
        ));
        assert_eq!(first["time"], 1.5);
        assert_eq!(
            first["containers"].as_array().unwrap().len(),
            2,
            "the machine is no container"
        );
        assert!(first["containers"][0]["cpuCores"].is_null());
        let second = parse(&rates.next(
            3500,
            start + Duration::from_secs(2),
            host(2.0, 14.0, 50.0),
            vec![
                reading(&a, 4.0, 30.0),
                reading(&b, 2.0, 30.0),
                reading(&"c".repeat(64), 1.0, 1.0),
            ],
            &known,
        ));
        assert_eq!(second["host"]["cpuRatio"], 0.25);
        assert!(
            second["host"]["receiveBytesPerSecond"].is_null(),
            "the counter went back"
        );
        assert!(second["host"]["load1"].is_null());
        let [a_row, c_row, b_row] = second["containers"].as_array().unwrap().as_slice() else {
            panic!("{second}");
        };
        assert_eq!(
            (&a_row["name"], &a_row["app"]),
            (&json!("aaaaaaaaaaaa"), &json!("aaaaaaaaaaaa"))
        );
        assert!(a_row["cpuCores"].is_null(), "it was started anew");
        assert_eq!(a_row["receiveBytesPerSecond"], 10);
        assert!(c_row["cpuCores"].is_null(), "it is new");
        assert_eq!(
            b_row,
            &json!({
                "id": b, "name": "web.1.x", "app": "web", "project": "shop", "cpuCores": 0.5,
                "memoryWorkingSetBytes": 1024, "memoryLimitBytes": null, "receiveBytesPerSecond": 10,
                "transmitBytesPerSecond": 0, "readBytesPerSecond": 0, "writtenBytesPerSecond": 0, "processes": 2,
            })
        );
    }

    #[test]
    fn a_counter_that_went_back_costs_one_reading() {
        let a = "a".repeat(64);
        let start = crate::clock::instant();
        let mut rates = Rates::default();
        let mut cores = |second: u64, cpu_s: f64| {
            let at = start + Duration::from_secs(second);
            let text = rates.next(0, at, PulseReading::default(), vec![reading(&a, cpu_s, 0.0)], &[]);
            parse(&text)["containers"][0]["cpuCores"].as_f64()
        };
        let seen = [cores(0, 5.0), cores(1, 5.5), cores(2, 0.25), cores(3, 1.0)];
        assert_eq!(seen, [None, Some(0.5), None, Some(0.75)]);
    }

    #[test]
    fn odd_values_are_still_json() {
        for (value, want) in [
            (Some(f64::NAN), Value::Null),
            (Some(f64::INFINITY), Value::Null),
            (None, Value::Null),
            (Some(-1.5), json!(-1.5)),
            (Some(1e18), json!(1e18)),
            (Some(2.4), json!(2)),
        ] {
            assert_eq!(whole(value), want);
        }
    }
}
