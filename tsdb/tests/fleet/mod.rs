//! Made-up samples of a container fleet, close to what cAdvisor and node_exporter give: for tests and benchmarks.
//!
//! Deterministic: the same seed gives the same samples.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up numbers, far from the limits of their types"
)]

use model::{Labels, STALE_NAN, Samples};

/// A small, fast generator of numbers that look random (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Any 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// In 0..1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, mean 0, deviation 1.
    pub(crate) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// One kind of series: its metric, how many a container has, and how its values come about.
pub(crate) struct Kind {
    /// The metric's name.
    pub(crate) metric: &'static str,
    /// Series of this kind a container.
    pub(crate) series: usize,
    /// Values of `rows` scrapes.
    pub(crate) values: fn(&mut Dice, usize) -> Vec<f64>,
}

/// What cAdvisor and node_exporter give, by how the values move. The numbers of series are those of a plain container.
pub(crate) const KINDS: [Kind; 14] = [
    Kind {
        metric: "container_network_receive_bytes_total",
        series: 4,
        values: network_bytes,
    },
    Kind {
        metric: "container_network_receive_packets_total",
        series: 4,
        values: packets,
    },
    Kind {
        metric: "container_cpu_usage_seconds_total",
        series: 2,
        values: cpu_busy,
    },
    Kind {
        metric: "container_cpu_system_seconds_total",
        series: 2,
        values: cpu_idle,
    },
    Kind {
        metric: "node_cpu_seconds_total",
        series: 3,
        values: cpu_ticks,
    },
    Kind {
        metric: "container_memory_working_set_bytes",
        series: 4,
        values: memory,
    },
    Kind {
        metric: "container_memory_cache",
        series: 3,
        values: memory_steady,
    },
    Kind {
        metric: "container_spec_memory_limit_bytes",
        series: 12,
        values: constant,
    },
    Kind {
        metric: "container_fs_usage_bytes",
        series: 2,
        values: disk_usage,
    },
    Kind {
        metric: "container_processes",
        series: 2,
        values: small_gauge,
    },
    Kind {
        metric: "node_load1",
        series: 1,
        values: load,
    },
    Kind {
        metric: "container_fs_writes_bytes_total",
        series: 4,
        values: disk_bursts,
    },
    Kind {
        metric: "container_network_receive_errors_total",
        series: 14,
        values: never,
    },
    Kind {
        metric: "scrape_duration_seconds",
        series: 1,
        values: duration,
    },
];

fn counter(dice: &mut Dice, rows: usize, mut step: impl FnMut(&mut Dice, usize) -> u64) -> Vec<f64> {
    let mut sum = dice.below(1 << 33);
    (0..rows)
        .map(|row| {
            sum += step(dice, row);
            sum as f64
        })
        .collect()
}

/// Switches between idle and busy stretches of some minutes.
fn stretches(dice: &mut Dice, busy: &mut bool) -> bool {
    if dice.below(60) == 0 {
        *busy = !*busy;
    }
    *busy
}

fn network_bytes(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut busy = true;
    counter(dice, rows, |dice, _| {
        if !stretches(dice, &mut busy) {
            return if dice.below(8) == 0 {
                42 * (1 + dice.below(4))
            } else {
                0
            };
        }
        (0..dice.below(12)).map(|_| 66 + dice.below(1400)).sum()
    })
}

fn packets(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut busy = true;
    counter(dice, rows, |dice, _| {
        if stretches(dice, &mut busy) {
            dice.below(40)
        } else {
            0
        }
    })
}

fn cpu_busy(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut nanos = dice.below(1 << 46);
    (0..rows)
        .map(|_| {
            nanos += (300e6 * (dice.normal() * 0.3).exp()) as u64;
            nanos as f64 / 1e9
        })
        .collect()
}

fn cpu_idle(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut micros = dice.below(1 << 36);
    (0..rows)
        .map(|_| {
            if dice.below(4) == 0 {
                micros += 200 + dice.below(3000);
            }
            micros as f64 / 1e6
        })
        .collect()
}

fn cpu_ticks(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut ticks = dice.below(1 << 30);
    (0..rows)
        .map(|_| {
            ticks += (1400.0 + dice.normal() * 30.0) as u64;
            ticks as f64 / 100.0
        })
        .collect()
}

fn memory(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut pages = 20_000.0 + dice.unit() * 200_000.0;
    (0..rows)
        .map(|_| {
            if dice.below(3) > 0 {
                pages = (pages + dice.normal() * 40.0).max(100.0);
            }
            pages.round() * 4096.0
        })
        .collect()
}

fn memory_steady(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut pages = dice.below(50_000);
    (0..rows)
        .map(|_| {
            if dice.below(40) == 0 {
                pages += dice.below(30);
            }
            (pages * 4096) as f64
        })
        .collect()
}

fn constant(dice: &mut Dice, rows: usize) -> Vec<f64> {
    vec![(dice.below(64) << 20) as f64; rows]
}

fn never(_: &mut Dice, rows: usize) -> Vec<f64> {
    vec![0.0; rows]
}

fn disk_usage(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut blocks = dice.below(1 << 20);
    (0..rows)
        .map(|_| {
            if dice.below(10) == 0 {
                blocks += dice.below(16);
            }
            (blocks * 4096) as f64
        })
        .collect()
}

fn small_gauge(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut count = 12i64;
    (0..rows)
        .map(|_| {
            if dice.below(12) == 0 {
                count = (count + 1 - dice.below(3) as i64).max(1);
            }
            count as f64
        })
        .collect()
}

fn load(dice: &mut Dice, rows: usize) -> Vec<f64> {
    let mut load = 1.0;
    (0..rows)
        .map(|_| {
            load += (dice.unit() * 2.0 - load) * 0.2;
            (load * 100.0_f64).round() / 100.0
        })
        .collect()
}

fn disk_bursts(dice: &mut Dice, rows: usize) -> Vec<f64> {
    counter(dice, rows, |dice, _| {
        if dice.below(20) == 0 {
            4096 * (1 + dice.below(200))
        } else {
            0
        }
    })
}

fn duration(dice: &mut Dice, rows: usize) -> Vec<f64> {
    (0..rows)
        .map(|_| ((4e6 + dice.unit() * 3e6) as u64) as f64 / 1e9)
        .collect()
}

/// Scrape times every `step_ms` with up to `jitter_ms` milliseconds of lateness; now and then a scrape is missing.
pub(crate) fn times(dice: &mut Dice, rows: usize, step_ms: i64, jitter_ms: u64) -> Vec<i64> {
    let mut slot = 0;
    (0..rows)
        .map(|_| {
            slot += 1 + i64::from(jitter_ms > 0 && dice.below(500) == 0);
            1_760_000_000_000 + slot * step_ms + dice.below(jitter_ms + 1) as i64
        })
        .collect()
}

/// A fleet: `containers` times all kinds, `rows` scrapes every 15 s, sorted by labels. All share one scrape's times; every
/// tenth container was replaced halfway and ends with a staleness marker.
pub(crate) fn fleet(containers: usize, rows: usize, jitter_ms: u64) -> Vec<(Labels, Samples)> {
    let mut dice = Dice(7);
    let scrapes = times(&mut dice, rows, 15_000, jitter_ms);
    let mut series = Vec::new();
    for container in 0..containers {
        let id = format!(
            "/system.slice/docker-{:016x}{:016x}.scope",
            dice.next(),
            dice.next()
        );
        for kind in &KINDS {
            for number in 0..kind.series {
                let labels = Labels::from_pairs([
                    ("__name__", kind.metric),
                    ("app", &format!("shop-web{}", container / 3)),
                    ("id", &id),
                    ("image", "ghcr.io/example/shop-web:1.4.2"),
                    ("instance", "host-a:8080"),
                    ("interface", &format!("eth{number}")),
                    ("job", "cadvisor"),
                    ("name", &format!("shop-web{container}.1.abcdefghijklmnop")),
                ]);
                let ends = if container % 10 == 9 { rows / 2 } else { rows };
                let mut values = (kind.values)(&mut dice, ends);
                if ends < rows
                    && let Some(last) = values.last_mut()
                {
                    *last = f64::from_bits(STALE_NAN);
                }
                series.push((
                    labels,
                    Samples {
                        t_ms: scrapes[..ends].to_vec(),
                        values,
                        histograms: Vec::new(),
                    },
                ));
            }
        }
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}
