//! Tests of the column codecs alone: sizes, and damage that no checksum has stopped.

use pco::wrapped::FileDecompressor;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{times, values};

fn pco() -> FileDecompressor {
    let mut header = Vec::new();
    pco::wrapped::FileCompressor::default()
        .write_header(&mut header)
        .unwrap();
    FileDecompressor::new(header.as_slice()).unwrap().0
}

fn times_len(times: &[i64]) -> usize {
    let mut out = Vec::new();
    times::encode(times, &mut out);
    assert_eq!(times::decode(&pco(), &out, times.len()).unwrap(), times);
    out.len()
}

fn values_len(values: &[f64]) -> usize {
    let (mut out, mut again) = (Vec::new(), Vec::new());
    values::encode(values, &mut out);
    values::decode(&pco(), &out, values.len(), values.len(), &mut again).unwrap();
    let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&again), bits(values));
    out.len()
}

#[test]
fn a_steady_scrape_costs_next_to_nothing() {
    let grid = |jitter: fn(i64) -> i64| {
        (0..2880)
            .map(|r| 1_760_000_000_000 + r * 15_000 + jitter(r))
            .collect::<Vec<_>>()
    };
    for (name, column, most) in [
        ("exact", grid(|_| 0), 12),
        ("three gaps", grid(|r| r / 800 * 15_000), 24),
        (
            "up to 3 ms late",
            grid(|r| (r * 7919 % 1009) % 4),
            2880 * 2 / 8 + 60,
        ),
        (
            "up to 15 ms late",
            grid(|r| (r * 7919 % 1009) % 16),
            2880 * 4 / 8 + 90,
        ),
        ("drifting 1 ms in ten", grid(|r| r / 10), 2880 / 8),
    ] {
        let len = times_len(&column);
        assert!(len <= most, "{name}: {len} bytes");
    }
}

#[test]
fn plain_values_take_few_bytes() {
    let column = |value: fn(u32) -> f64| (0..2880).map(value).collect::<Vec<_>>();
    for (name, column, most) in [
        ("zero", column(|_| 0.0), 2),
        ("a tenth", column(|_| 0.1), 9),
        ("two steps", column(|row| f64::from(row / 1000 * 4096)), 20),
        ("rising by one", column(f64::from), 40),
        ("nanoseconds", column(|row| f64::from(row) * 250.0 / 1e9), 60),
        (
            "stale once",
            column(|row| {
                if row == 9 {
                    f64::from_bits(model::STALE_NAN)
                } else {
                    5.0
                }
            }),
            5,
        ),
    ] {
        let len = values_len(&column);
        assert!(len <= most, "{name}: {len} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// A checksum guards each chunk, so only a forged one comes here; still no panic.
    #[test]
    fn damaged_columns_do_not_panic(
        bits in vec(prop_oneof![any::<u64>(), (0u64..5).prop_map(|n| (n as f64).to_bits())], 1..500),
        whole in vec(0u32..100_000, 1..500),
        steps in vec(1i64..2000, 1..500),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let floats: Vec<f64> = bits.iter().map(|b| f64::from_bits(*b)).collect();
        let wholes: Vec<f64> = whole.iter().map(|w| f64::from(*w) / 100.0).collect();
        let times: Vec<i64> = steps.iter().scan(0, |t, step| { *t += step; Some(*t) }).collect();
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        values::encode(&floats, &mut a);
        values::encode(&wholes, &mut b);
        times::encode(&times, &mut c);
        let (pco, mut out) = (pco(), Vec::new());
        for (bytes, rows) in [(&mut a, floats.len()), (&mut b, wholes.len()), (&mut c, times.len())] {
            for (at, value) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
                if values::decode(&pco, bytes, rows, rows, &mut out).is_ok() {
                    prop_assert_eq!(out.len(), rows);
                }
                if let Ok(times) = times::decode(&pco, bytes, rows) {
                    prop_assert_eq!(times.len(), rows);
                }
            }
        }
    }
}
