//! The data of the differential test: two hours of about 300 series in every shape that trips an engine, made by
//! arithmetic from an index, so that every run has the same values at times near its own now.

use crate::remote_write::{STALE_BITS, Series};

/// The distance of samples of a regular series.
pub(crate) const INTERVAL_MS: i64 = 15_000;

/// How much data there is.
pub(crate) const SPAN_MS: i64 = 2 * 3600 * 1000;

/// Samples of a regular series.
const STEPS: i64 = SPAN_MS / INTERVAL_MS;

/// A random number from a seed and an index (splitmix64), in 0..1 with 20 bits, so that sums of them stay exact.
fn random(seed: u64, index: i64) -> f64 {
    let mut z = seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(index.cast_unsigned().wrapping_mul(0xbf58_476d_1ce4_e5b9));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bits = u32::try_from((z ^ (z >> 31)) >> 44).unwrap_or(0);
    f64::from(bits) / f64::from(1 << 20)
}

/// A series whose value at step `i` is `f(i)`; `None` is a missing sample.
fn each(series: &mut Series, start_ms: i64, f: impl Fn(i64) -> Option<f64>) {
    series.samples = (0..STEPS)
        .filter_map(|i| Some((start_ms + i * INTERVAL_MS, f(i)?)))
        .collect();
}

/// A number of steps as a float; they are small.
fn float(i: i64) -> f64 {
    f64::from(i32::try_from(i).unwrap_or(i32::MAX))
}

/// All series, with samples from `start_ms` on.
pub(crate) fn series(start_ms: i64) -> Vec<Series> {
    let mut all = Vec::new();
    counters(&mut all, start_ms);
    gauges(&mut all, start_ms);
    histograms(&mut all, start_ms);
    broken_up(&mut all, start_ms);
    odd_values(&mut all, start_ms);
    odd_labels(&mut all, start_ms);
    all
}

/// Counters: with resets, with fractions, and one that counts down.
fn counters(all: &mut Vec<Series>, start_ms: i64) {
    let mut seed = 1;
    for instance in ["a:9100", "b:9100", "c:9100"] {
        for method in ["get", "post"] {
            for code in ["200", "404", "500"] {
                for path in ["/", "/api", "/login"] {
                    seed += 1;
                    let labels = [
                        ("job", "web"),
                        ("instance", instance),
                        ("method", method),
                        ("code", code),
                        ("path", path),
                    ];
                    let mut series = Series::new("http_requests_total", &labels);
                    // Instance b restarts every 50 minutes: its counters begin again.
                    let reset = if instance == "b:9100" { 200 } else { STEPS };
                    each(&mut series, start_ms, |i| {
                        let since = i % reset;
                        Some(
                            (0..=since)
                                .map(|k| (random(seed, i - since + k) * 20.0).floor())
                                .sum(),
                        )
                    });
                    all.push(series);
                }
            }
        }
        for cpu in ["0", "1"] {
            for mode in ["idle", "user", "system", "iowait", "steal", "softirq"] {
                seed += 1;
                let labels = [
                    ("job", "host"),
                    ("instance", instance),
                    ("cpu", cpu),
                    ("mode", mode),
                ];
                let mut series = Series::new("cpu_seconds_total", &labels);
                let share = 15.0 * random(seed, -1);
                each(&mut series, start_ms, |i| {
                    Some(1000.0 + float(i) * share + random(seed, i))
                });
                // Time must not go backwards by the noise above.
                let mut highest: f64 = 0.0;
                for sample in &mut series.samples {
                    highest = highest.max(sample.1);
                    sample.1 = highest;
                }
                all.push(series);
            }
        }
    }
    let mut down = Series::new("countdown", &[("job", "web")]);
    each(&mut down, start_ms, |i| Some(1e6 - float(i * i)));
    all.push(down);
}

/// Gauges: waves, random walks, constants, 0 and 1.
fn gauges(all: &mut Vec<Series>, start_ms: i64) {
    let mut seed = 1000;
    for instance in ["a:9100", "b:9100", "c:9100"] {
        for sensor in ["cpu", "disk", "room", "outside"] {
            seed += 1;
            let mut series = Series::new(
                "temperature_celsius",
                &[("instance", instance), ("sensor", sensor)],
            );
            each(&mut series, start_ms, |i| {
                Some(((float(i) / 40.0).sin() * 30.0 + random(seed, i)) * 8.0 / 8.0)
            });
            all.push(series);
        }
        for kind in ["total", "free", "cached", "buffers"] {
            seed += 1;
            let mut series = Series::new(
                "memory_bytes",
                &[("job", "host"), ("instance", instance), ("kind", kind)],
            );
            let size = (random(seed, -1) * 16.0).ceil() * 1_073_741_824.0;
            each(&mut series, start_ms, |i| {
                Some(if kind == "total" {
                    size
                } else {
                    (size * random(seed, i / 10)).floor()
                })
            });
            all.push(series);
        }
        let mut alive = Series::new("alive", &[("job", "host"), ("instance", instance)]);
        each(&mut alive, start_ms, |i| {
            Some(f64::from(u8::from(random(seed, i / 20) > 0.2)))
        });
        all.push(alive);
        let version = if instance == "c:9100" {
            "2.0.0-rc.1"
        } else {
            "1.9.3"
        };
        let mut info = Series::new(
            "app_build_info",
            &[("instance", instance), ("version", version), ("job", "host")],
        );
        each(&mut info, start_ms, |_| Some(1.0));
        all.push(info);
        let labels = [
            ("instance", instance),
            ("job", "host"),
            ("region", "eu"),
            ("zone", instance),
        ];
        let mut target = Series::new("target_info", &labels);
        each(&mut target, start_ms, |_| Some(1.0));
        all.push(target);
    }
    let mut clock = Series::new("epoch_seconds", &[]);
    // A day a step, so that months and leap years go by.
    each(&mut clock, start_ms, |i| {
        Some(1_700_000_000.0 + float(i) * 86_400.0)
    });
    all.push(clock);
}

/// Classic histograms: whole ones, one without `+Inf`, one whose buckets are not monotonic, one that is empty.
fn histograms(all: &mut Vec<Series>, start_ms: i64) {
    let bounds = [
        "0.005", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf",
    ];
    let mut seed = 2000;
    for instance in ["a:9100", "b:9100"] {
        for handler in ["query", "write", "no_inf", "crooked", "empty"] {
            seed += 100;
            let name = "request_duration_seconds";
            for (at, le) in (0u64..).zip(bounds) {
                if handler == "no_inf" && le == "+Inf" {
                    continue;
                }
                let labels = [("instance", instance), ("handler", handler), ("le", le)];
                let mut series = Series::new(&format!("{name}_bucket"), &labels);
                each(&mut series, start_ms, |i| {
                    let own = |bucket: u64| (float(i) * 4.0 * random(seed + bucket, -1)).floor();
                    let below: f64 = (0..=at).map(own).sum();
                    Some(match handler {
                        "empty" => 0.0,
                        "crooked" if at == 4 => below - own(4) - (own(3) / 2.0).floor(),
                        _ => below,
                    })
                });
                all.push(series);
            }
            for (part, factor) in [("sum", 1.75), ("count", 4.0)] {
                let mut series = Series::new(
                    &format!("{name}_{part}"),
                    &[("instance", instance), ("handler", handler)],
                );
                each(&mut series, start_ms, |i| {
                    Some(if handler == "empty" {
                        0.0
                    } else {
                        float(i) * factor
                    })
                });
                all.push(series);
            }
        }
    }
}

/// Series with gaps, staleness markers, other intervals, and lives shorter than the data.
fn broken_up(all: &mut Vec<Series>, start_ms: i64) {
    for (n, gap) in [("short", 12), ("lookback", 20), ("long", 100)] {
        let mut series = Series::new("gappy", &[("gap", n)]);
        each(&mut series, start_ms, |i| ((i / gap) % 2 == 0).then(|| float(i)));
        all.push(series);
    }
    for (n, every) in [("often", 7), ("seldom", 60)] {
        let mut series = Series::new("marked_stale", &[("how", n)]);
        let stale = f64::from_bits(STALE_BITS);
        each(&mut series, start_ms, |i| {
            Some(if i % every >= every - 2 { stale } else { float(i) })
        });
        all.push(series);
    }
    let mut sparse = Series::new("sparse", &[("every", "4m")]);
    each(&mut sparse, start_ms, |i| (i % 16 == 0).then(|| float(i * i)));
    all.push(sparse);
    let mut jitter = Series::new("jittered_total", &[]);
    each(&mut jitter, start_ms, |i| Some(float(i) * 3.0));
    for (i, sample) in (0..).zip(&mut jitter.samples) {
        // Milliseconds off the grid, never past the next sample.
        sample.0 += (i * 7919) % 4001;
    }
    all.push(jitter);
    let mut late = Series::new("short_life", &[("part", "second")]);
    each(&mut late, start_ms, |i| (i > STEPS / 2).then(|| float(i)));
    all.push(late);
    let mut early = Series::new("short_life", &[("part", "first")]);
    each(&mut early, start_ms, |i| (i < STEPS / 2).then(|| float(i)));
    all.push(early);
    let mut once = Series::new("single_sample", &[]);
    each(&mut once, start_ms, |i| (i == STEPS - 30).then_some(42.0));
    all.push(once);
}

/// NaN, infinities, signed zeros, numbers at the edges of what a float can hold.
fn odd_values(all: &mut Vec<Series>, start_ms: i64) {
    type Value = fn(i64) -> f64;
    let kinds: &[(&str, Value)] = &[
        ("nan", |_| f64::NAN),
        ("inf", |_| f64::INFINITY),
        ("neg_inf", |_| f64::NEG_INFINITY),
        ("sometimes_nan", |i| if i % 5 == 0 { f64::NAN } else { float(i) }),
        (
            "sometimes_inf",
            |i| if i % 9 == 0 { f64::INFINITY } else { float(i) },
        ),
        ("both_inf", |i| {
            if i % 2 == 0 {
                f64::INFINITY
            } else {
                f64::NEG_INFINITY
            }
        }),
        ("zero", |_| 0.0),
        ("neg_zero", |_| -0.0),
        ("huge", |i| 1e300 * (1.0 + float(i))),
        ("tiny", |i| 1e-300 * (1.0 + float(i))),
        ("constant", |_| 3.5),
        ("negative", |i| -float(i)),
        ("alternating", |i| if i % 2 == 0 { 1.0 } else { -1.0 }),
        ("fraction", |i| float(i) / 7.0),
    ];
    for (kind, f) in kinds {
        let mut series = Series::new("odd_value", &[("kind", kind)]);
        each(&mut series, start_ms, |i| Some(f(i)));
        all.push(series);
    }
}

/// Labels of many shapes: none, many, long, UTF-8 in names and values, differing sets under one name.
fn odd_labels(all: &mut Vec<Series>, start_ms: i64) {
    let many: Vec<(String, String)> = (0..25)
        .map(|n| (format!("label_{n:02}"), format!("value {n}")))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let long = "long ".repeat(200);
    let shapes: &[&[(&str, &str)]] = &[
        &[],
        &many,
        &[("text", &long)],
        &[("text", "Zürich, 東京 🚀")],
        &[("text", "quote \" backslash \\ newline \n tab \t")],
        &[("dotted.name", "x"), ("text", "dotted")],
        &[("größe", "m")],
        &[("a", "1"), ("b", "2")],
        &[("a", "1")],
        &[("a", "10"), ("b", "20")],
        &[("a", "9"), ("b", "100")],
    ];
    for (n, labels) in (1..).zip(shapes) {
        let mut series = Series::new("odd_labels", labels);
        each(&mut series, start_ms, |i| Some(float(i * n)));
        all.push(series);
    }
    let mut dotted = Series::new("dotted.metric.name", &[("a", "1")]);
    each(&mut dotted, start_ms, |i| Some(float(i)));
    all.push(dotted);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_the_same_every_time_and_has_every_shape() {
        let all = series(0);
        assert!((250..400).contains(&all.len()), "{} series", all.len());
        // NaN differs from itself, so bits are compared.
        let bits = |s: &Series| {
            s.samples
                .iter()
                .map(|(t, v)| (*t, v.to_bits()))
                .collect::<Vec<_>>()
        };
        for (a, b) in all.iter().zip(series(0)) {
            assert_eq!((&a.labels, bits(a)), (&b.labels, bits(&b)));
        }
        let mut names: Vec<&Vec<(String, String)>> = all.iter().map(|s| &s.labels).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all.len(), "two series have the same labels");
        for one in &all {
            assert!(
                !one.samples.is_empty() && one.samples.windows(2).all(|w| w[0].0 < w[1].0),
                "{:?}",
                one.labels
            );
        }
        assert!(
            all.iter()
                .any(|s| s.samples.iter().any(|(_, v)| v.to_bits() == STALE_BITS))
        );
    }
}
