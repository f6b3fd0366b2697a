//! Timestamp columns: a regular grid with exceptions.
//!
//! ```text
//!   0 regular   start: zigzag | step: varint
//!   1 grid      start: zigzag | step: varint | gaps: varint | (rows since the last gap, slots left out: varints) per gap
//!               | deviations: 0 none, 1 present | lowest deviation: zigzag | whole numbers (see ints)
//!   2 pco       pco chunk metadata and page of i64
//!   3 varints   start: zigzag | distance to the one before: varint, per row
//! ```
//!
//! Row `i` of a grid is `start + step * slot(i) + deviation(i)`; a gap leaves slots out. A scrape every 15
//! seconds with a few milliseconds of jitter costs a few bits a row, an exact one nothing. The number of rows is
//! known from outside. Times rise strictly, which decoding checks.

use pco::DeltaSpec;
use pco::wrapped::FileDecompressor;

use super::bytes::{Cursor, Damage, Taken, put_i64, put_len, put_u64};
use super::ints;

const REGULAR: u8 = 0;
const GRID: u8 = 1;
const PCO: u8 = 2;
const VARINTS: u8 = 3;

/// Shorter columns are tried as plain varints too: pco's metadata would outweigh them.
const SHORT: usize = 64;

/// Appends a column of at least one, strictly rising times.
pub(super) fn encode(times: &[i64], out: &mut Vec<u8>) {
    let start = out.len();
    let on_grid = encode_grid(times, out);
    if on_grid && times.len() >= SHORT || out.get(start) == Some(&REGULAR) {
        return;
    }
    let mut other = Vec::new();
    if times.len() >= SHORT {
        other.push(PCO);
        if !ints::pack(times, DeltaSpec::Auto, &mut other) {
            other.clear();
        }
    }
    if other.is_empty() {
        encode_varints(times, &mut other);
    }
    if !on_grid || other.len() < out.len() - start {
        out.truncate(start);
        out.extend_from_slice(&other);
    }
}

fn encode_varints(times: &[i64], out: &mut Vec<u8>) {
    out.push(VARINTS);
    put_i64(out, times.first().copied().unwrap_or(0));
    for pair in times.windows(2) {
        put_u64(out, pair[1].abs_diff(pair[0]));
    }
}

/// The most frequent distance in practice: the middle one.
fn middle_step(times: &[i64]) -> Option<u64> {
    let mut steps: Vec<u64> = times.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect();
    let middle = steps.len() / 2;
    (!steps.is_empty()).then(|| *steps.select_nth_unstable(middle).1)
}

/// False, with nothing appended, when the times are too far from a grid.
fn encode_grid(times: &[i64], out: &mut Vec<u8>) -> bool {
    let (Some(&start), Some(&end), Some(step)) = (times.first(), times.last(), middle_step(times)) else {
        return false;
    };
    // Keeps all the arithmetic below within i64.
    if end.abs_diff(start) > 1 << 60 || step == 0 {
        return false;
    }
    let mut gaps: Vec<(usize, u64)> = Vec::new();
    let mut deviations: Vec<i64> = Vec::with_capacity(times.len());
    let (mut slot, mut last_gap) = (0u64, 0usize);
    for (row, &time) in times.iter().enumerate() {
        let position = time.abs_diff(start);
        let nearest = (position + step / 2) / step;
        if row > 0 {
            let next = slot + 1;
            slot = nearest.max(next);
            if slot > next {
                gaps.push((row - last_gap, slot - next));
                last_gap = row;
            }
        }
        let Some(on_grid) = slot.checked_mul(step).filter(|&at| at < 1 << 61) else {
            return false;
        };
        deviations.push(position.cast_signed() - on_grid.cast_signed());
    }
    if gaps.len() > times.len() / 4 + 1 {
        return false;
    }
    let lowest = deviations.iter().copied().min().unwrap_or(0);
    let exact = deviations.iter().all(|&d| d == 0);
    out.push(if exact && gaps.is_empty() { REGULAR } else { GRID });
    put_i64(out, start);
    put_u64(out, step);
    if exact && gaps.is_empty() {
        return true;
    }
    put_len(out, gaps.len());
    for (rows, slots) in gaps {
        put_len(out, rows);
        put_u64(out, slots);
    }
    out.push(u8::from(!exact));
    if !exact {
        put_i64(out, lowest);
        let above: Vec<u64> = deviations.iter().map(|&d| d.abs_diff(lowest)).collect();
        return ints::pack_narrow(&above, &DeltaSpec::Auto, out);
    }
    true
}

/// The times of a column of `rows`.
pub(super) fn decode(pco: &FileDecompressor, bytes: &[u8], rows: usize) -> Taken<Vec<i64>> {
    let mut cursor = Cursor::new(bytes);
    let times = match cursor.u8()? {
        REGULAR => {
            let (start, step) = (cursor.i64()?, cursor.u64()?);
            let slots = 0..u64::try_from(rows).unwrap_or(0);
            slots
                .map(|slot| at(start, step, slot, 0))
                .collect::<Option<Vec<_>>>()
        }
        GRID => decode_grid(pco, &mut cursor, rows)?,
        PCO => {
            let mut times = Vec::new();
            ints::unpack(pco, cursor.rest(), rows, rows, &mut times)?;
            Some(times)
        }
        VARINTS => {
            let mut time = cursor.i64()?;
            let mut times = Vec::with_capacity(rows);
            times.push(time);
            while times.len() < rows {
                let step = cursor.u64()?;
                time = time
                    .checked_add_unsigned(step)
                    .ok_or_else(|| cursor.damage("a time is out of range"))?;
                times.push(time);
            }
            Some(times)
        }
        _ => {
            return Err(Damage {
                at: 0,
                reason: "unknown encoding of a timestamp column",
            });
        }
    };
    let times = times.ok_or(Damage {
        at: 0,
        reason: "a time is out of range",
    })?;
    if !times.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(Damage {
            at: 0,
            reason: "times do not rise",
        });
    }
    Ok(times)
}

fn at(start: i64, step: u64, slot: u64, deviation: i64) -> Option<i64> {
    start
        .checked_add_unsigned(step.checked_mul(slot)?)?
        .checked_add(deviation)
}

fn decode_grid(pco: &FileDecompressor, cursor: &mut Cursor<'_>, rows: usize) -> Taken<Option<Vec<i64>>> {
    let (start, step) = (cursor.i64()?, cursor.u64()?);
    let mut gaps = Vec::new();
    let mut gap_row = 0usize;
    for _ in 0..cursor.count()? {
        gap_row = gap_row.saturating_add(cursor.len()?);
        gaps.push((gap_row, cursor.u64()?));
    }
    let mut deviations = Vec::new();
    if cursor.u8()? != 0 {
        let lowest = cursor.i64()?;
        deviations.reserve(rows);
        ints::unpack_narrow(pco, cursor.rest(), rows, rows, |above| {
            deviations.push(lowest.wrapping_add_unsigned(above));
        })?;
    }
    let mut gaps = gaps.into_iter().peekable();
    let mut times = Vec::with_capacity(rows);
    let mut slot = 0u64;
    for row in 0..rows {
        if let Some((_, slots)) = gaps.next_if(|&(gap_row, _)| gap_row == row) {
            slot = slot.saturating_add(slots);
        }
        let deviation = deviations.get(row).copied().unwrap_or(0);
        match at(start, step, slot, deviation) {
            Some(time) => times.push(time),
            None => return Ok(None),
        }
        slot = slot.saturating_add(1);
    }
    Ok(Some(times))
}
