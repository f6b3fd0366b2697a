//! Value columns: the smallest of a few encodings, bit for bit.
//!
//! ```text
//!   encoding: u8, bit 7 says that staleness markers follow:
//!             | markers: varint | rows since the last marker: varint, per marker (the first counts from row 0)
//!   0 constant float   bits: u64 LE
//!   1 constant whole   value: zigzag
//!   2 float runs       (rows: varint | bits: u64 LE) per run, until all rows are there
//!   3 raw              bits: u64 LE, per row
//!   4 pco floats       pco chunk metadata and page of f64
//!   5 decimals         digits: u8 | lowest: zigzag | unit: varint | whole numbers (see ints), one a row
//!   6 decimal deltas   digits: u8 | first: zigzag | lowest delta: zigzag | unit: varint | whole numbers, rows - 1
//!   7 decimal runs     digits: u8 | (rows: varint | distance to the run before: zigzag) per run
//! ```
//!
//! Most values of a fleet are whole numbers or decimals with few digits (bytes, nanoseconds divided by 10^9), so
//! `value = whole / 10^digits` holds exactly and the whole numbers, with their common divisor taken out (4096 for pages of
//! memory), are narrower than the floats. A column is only written so when every value comes back with the same bits;
//! the rest goes to pco as floats, which keeps all bits too. Staleness markers are lifted out first, since a single NaN
//! would spoil a column of whole numbers. Codes above 7 are free; native histograms will take one.

use model::{STALE_NAN, is_stale};
use pco::DeltaSpec;
use pco::wrapped::FileDecompressor;

use super::bytes::{Cursor, Damage, Taken, put_i64, put_len, put_u64};
use super::ints;

const CONST_FLOAT: u8 = 0;
const CONST_WHOLE: u8 = 1;
const FLOAT_RUNS: u8 = 2;
const RAW: u8 = 3;
const PCO: u8 = 4;
const DECIMALS: u8 = 5;
const DELTAS: u8 = 6;
const DECIMAL_RUNS: u8 = 7;
const MARKERS: u8 = 0x80;

/// Powers of ten by the number of digits; all exact as floats.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Whole numbers up to here are exact as floats.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Appends a column of at least one value.
pub(super) fn encode(values: &[f64], out: &mut Vec<u8>) {
    let start = out.len();
    let markers = values.iter().filter(|v| is_stale(**v)).count();
    if markers == 0 || markers == values.len() {
        encode_plain(values, out);
        return;
    }
    out.push(0);
    put_len(out, markers);
    let mut last = 0;
    // Any number would do in a marker's place; its neighbour's compresses best.
    let mut neighbour = values.iter().copied().find(|v| !is_stale(*v)).unwrap_or(0.0);
    let mut filled = Vec::with_capacity(values.len());
    for (row, &value) in values.iter().enumerate() {
        if is_stale(value) {
            put_len(out, row - last);
            last = row;
        } else {
            neighbour = value;
        }
        filled.push(neighbour);
    }
    let mut plain = Vec::new();
    encode_plain(&filled, &mut plain);
    if let Some((encoding, rest)) = plain.split_first() {
        out[start] = encoding | MARKERS;
        out.extend_from_slice(rest);
    }
}

fn encode_plain(values: &[f64], out: &mut Vec<u8>) {
    let first = values.first().copied().unwrap_or(0.0);
    let runs = 1 + values
        .windows(2)
        .filter(|pair| pair[0].to_bits() != pair[1].to_bits())
        .count();
    if runs == 1 {
        if let Some(whole) = whole(first, 1.0) {
            out.push(CONST_WHOLE);
            put_i64(out, whole);
        } else {
            out.push(CONST_FLOAT);
            out.extend_from_slice(&first.to_bits().to_le_bytes());
        }
        return;
    }
    let wholes = to_wholes(values);
    let mut best = Vec::with_capacity(values.len());
    let few_runs = runs <= values.len() / 8 + 4;
    if let Some((digits, wholes)) = &wholes {
        if few_runs {
            encode_decimal_runs(*digits, wholes, &mut best);
        }
        // So few runs that pco's metadata alone would be larger.
        if !(few_runs && best.len() < 24) {
            let (wander, spread) = movement(wholes);
            if wander < 2.0 * spread {
                keep_smaller(&mut best, |out| encode_deltas(*digits, wholes, out));
            }
            if wander > 0.5 * spread {
                keep_smaller(&mut best, |out| encode_decimals(*digits, wholes, out));
            }
        }
    } else {
        if few_runs {
            encode_float_runs(values, &mut best);
        }
        keep_smaller(&mut best, |out| {
            out.push(PCO);
            ints::pack(values, DeltaSpec::Auto, out)
        });
    }
    if best.is_empty() || best.len() > 8 * values.len() {
        best.clear();
        best.push(RAW);
        best.extend(values.iter().flat_map(|v| v.to_bits().to_le_bytes()));
    }
    out.extend_from_slice(&best);
}

/// Replaces `best` when `encode` succeeds in fewer bytes.
fn keep_smaller(best: &mut Vec<u8>, encode: impl FnOnce(&mut Vec<u8>) -> bool) {
    let mut candidate = Vec::new();
    if encode(&mut candidate) && (best.is_empty() || candidate.len() < best.len()) {
        *best = candidate;
    }
}

/// The values times the smallest power of ten that makes all of them whole, when dividing gives the very bits back.
fn to_wholes(values: &[f64]) -> Option<(u8, Vec<i64>)> {
    let mut digits = 0usize;
    for &value in values {
        while whole(value, *POWERS.get(digits)?).is_none() {
            digits += 1;
        }
    }
    let power = *POWERS.get(digits)?;
    // Once more from the start: an early value may be too large for the digits that a later one needs.
    let wholes = values
        .iter()
        .map(|&value| whole(value, power))
        .collect::<Option<Vec<_>>>()?;
    Some((u8::try_from(digits).ok()?, wholes))
}

fn whole(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round();
    if scaled.is_nan() || scaled.abs() >= EXACT {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number below 2^53, as checked above"
    )]
    let whole = scaled as i64;
    (to_value(whole, power).to_bits() == value.to_bits()).then_some(whole)
}

/// Both are exact and division rounds correctly, so this is the float nearest to the decimal.
#[expect(
    clippy::cast_precision_loss,
    reason = "whole numbers below 2^53 are exact; damaged ones give any number"
)]
fn to_value(whole: i64, power: f64) -> f64 {
    whole as f64 / power
}

/// Sums of the distances between neighbours and from the mean. Noise wanders 1.4 times its spread and is best written as it is;
/// what rises or drifts wanders far less and is best written as deltas. Only between the two are both tried.
#[expect(
    clippy::cast_precision_loss,
    reason = "wholes are below 2^53 and only sizes are compared"
)]
fn movement(wholes: &[i64]) -> (f64, f64) {
    let mean = wholes.iter().map(|&w| w as f64).sum::<f64>() / wholes.len() as f64;
    let wander = wholes
        .windows(2)
        .map(|pair| pair[1].abs_diff(pair[0]) as f64)
        .sum();
    let spread = wholes.iter().map(|&w| (w as f64 - mean).abs()).sum();
    (wander, spread)
}

fn encode_decimal_runs(digits: u8, wholes: &[i64], out: &mut Vec<u8>) {
    out.extend([DECIMAL_RUNS, digits]);
    let mut before = 0i64;
    for run in wholes.chunk_by(|a, b| a == b) {
        put_len(out, run.len());
        put_i64(out, run[0].wrapping_sub(before));
        before = run[0];
    }
}

fn encode_float_runs(values: &[f64], out: &mut Vec<u8>) {
    out.push(FLOAT_RUNS);
    for run in values.chunk_by(|a, b| a.to_bits() == b.to_bits()) {
        put_len(out, run.len());
        out.extend_from_slice(&run[0].to_bits().to_le_bytes());
    }
}

fn encode_decimals(digits: u8, wholes: &[i64], out: &mut Vec<u8>) -> bool {
    let lowest = wholes.iter().copied().min().unwrap_or(0);
    let (unit, numbers) = in_units(wholes, lowest);
    out.extend([DECIMALS, digits]);
    put_i64(out, lowest);
    put_u64(out, unit);
    ints::pack_narrow(&numbers, &DeltaSpec::Auto, out)
}

fn encode_deltas(digits: u8, wholes: &[i64], out: &mut Vec<u8>) -> bool {
    // Wholes are below 2^53, so no difference overflows.
    let deltas: Vec<i64> = wholes.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let lowest = deltas.iter().copied().min().unwrap_or(0);
    let (unit, numbers) = in_units(&deltas, lowest);
    out.extend([DELTAS, digits]);
    put_i64(out, wholes.first().copied().unwrap_or(0));
    put_i64(out, lowest);
    put_u64(out, unit);
    ints::pack_narrow(&numbers, &DeltaSpec::NoOp, out)
}

/// Distances from the lowest, divided by what divides them all.
fn in_units(numbers: &[i64], lowest: i64) -> (u64, Vec<u64>) {
    let mut distances: Vec<u64> = numbers.iter().map(|&n| n.abs_diff(lowest)).collect();
    let mut unit = 0u64;
    for &distance in &distances {
        unit = gcd(unit, distance);
        if unit == 1 {
            return (1, distances);
        }
    }
    let unit = unit.max(1);
    distances.iter_mut().for_each(|d| *d /= unit);
    (unit, distances)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Replaces `values` by the first rows of a column of `rows`: at least `wanted`, never more than `rows`.
pub(super) fn decode(
    pco: &FileDecompressor,
    bytes: &[u8],
    rows: usize,
    wanted: usize,
    values: &mut Vec<f64>,
) -> Taken<()> {
    values.clear();
    let mut cursor = Cursor::new(bytes);
    let encoding = cursor.u8()?;
    let mut markers = Vec::new();
    if encoding & MARKERS != 0 {
        let mut row = 0usize;
        for _ in 0..cursor.count()? {
            row = row.saturating_add(cursor.len()?);
            markers.push(row);
        }
    }
    decode_plain(pco, encoding & !MARKERS, &mut cursor, (rows, wanted), values)?;
    if values.len() < wanted || values.len() > rows {
        return Err(cursor.damage("the column does not have as many values as rows"));
    }
    for row in markers {
        if let Some(value) = values.get_mut(row) {
            *value = f64::from_bits(STALE_NAN);
        }
    }
    Ok(())
}

fn decode_plain(
    pco: &FileDecompressor,
    encoding: u8,
    cursor: &mut Cursor<'_>,
    (rows, wanted): (usize, usize),
    values: &mut Vec<f64>,
) -> Taken<()> {
    match encoding {
        CONST_FLOAT => values.resize(rows, f64::from_bits(u64::from_le_bytes(cursor.array()?))),
        CONST_WHOLE => values.resize(rows, to_value(cursor.i64()?, 1.0)),
        FLOAT_RUNS => {
            while values.len() < rows {
                let end = run_end(cursor, values.len(), rows)?;
                values.resize(end, f64::from_bits(u64::from_le_bytes(cursor.array()?)));
            }
        }
        RAW => {
            let bytes = cursor.rest();
            if bytes.len() != rows * 8 {
                return Err(cursor.damage("the column does not have as many values as rows"));
            }
            let (floats, _) = bytes.as_chunks::<8>();
            values.extend(
                floats
                    .iter()
                    .map(|bits| f64::from_bits(u64::from_le_bytes(*bits))),
            );
        }
        PCO => ints::unpack(pco, cursor.rest(), rows, wanted, values)?,
        DECIMALS => {
            let power = power(cursor)?;
            let (lowest, unit) = (cursor.i64()?, cursor.u64()?);
            values.reserve(rows);
            ints::unpack_narrow(pco, cursor.rest(), rows, wanted, |n| {
                values.push(to_value(
                    lowest.wrapping_add_unsigned(n.wrapping_mul(unit)),
                    power,
                ));
            })?;
        }
        DELTAS => {
            let power = power(cursor)?;
            let (mut whole, lowest, unit) = (cursor.i64()?, cursor.i64()?, cursor.u64()?);
            values.reserve(rows);
            values.push(to_value(whole, power));
            ints::unpack_narrow(pco, cursor.rest(), rows - 1, wanted.saturating_sub(1), |n| {
                whole = whole.wrapping_add(lowest.wrapping_add_unsigned(n.wrapping_mul(unit)));
                values.push(to_value(whole, power));
            })?;
        }
        DECIMAL_RUNS => {
            let power = power(cursor)?;
            let mut whole = 0i64;
            while values.len() < rows {
                let end = run_end(cursor, values.len(), rows)?;
                whole = whole.wrapping_add(cursor.i64()?);
                values.resize(end, to_value(whole, power));
            }
        }
        _ => {
            return Err(Damage {
                at: 0,
                reason: "unknown encoding of a value column",
            });
        }
    }
    Ok(())
}

fn power(cursor: &mut Cursor<'_>) -> Taken<f64> {
    let digits = usize::from(cursor.u8()?);
    POWERS
        .get(digits)
        .copied()
        .ok_or_else(|| cursor.damage("too many digits"))
}

/// Where a run that starts at `from` ends; a run has at least one row and does not go past the last.
fn run_end(cursor: &mut Cursor<'_>, from: usize, rows: usize) -> Taken<usize> {
    let len = cursor.len()?;
    if len == 0 || len > rows - from {
        return Err(cursor.damage("a run does not fit the rows"));
    }
    Ok(from + len)
}
