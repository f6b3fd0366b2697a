//! Whole numbers under pco, in the narrowest type that holds them.
//!
//! ```text
//!   width: u8 (0 = 16 bits, 1 = 32 bits, 2 = 64 bits) | pco chunk metadata | pco page
//! ```
//!
//! pco spells the lower bound of each of its bins out in the type of the numbers, so a column of 2,880
//! samples whose numbers fit 16 bits is noticeably smaller than the same column in 64 bits. The number of rows is
//! known from outside.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, FULL_BATCH_N};

use super::bytes::{Damage, Taken};

const WIDTH_16: u8 = 0;
const WIDTH_32: u8 = 1;
const WIDTH_64: u8 = 2;

/// How hard pco tries. On container data level 12 gains 0.1 % over this one for twice the time, and level 6 loses 0.5 %.
const LEVEL: usize = 8;

/// pco's settings for a column.
fn config(delta: DeltaSpec) -> ChunkConfig {
    ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_delta_spec(delta)
}

/// Appends numbers under pco. pco only refuses settings and chunks of no or over 16 million numbers, none of which
/// happen here; should it refuse all the same, nothing is appended and the caller takes another encoding.
pub(super) fn pack<T: Number>(numbers: &[T], delta: DeltaSpec, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let packed = FileCompressor::default()
        .chunk_compressor(numbers, &config(delta))
        .and_then(|mut chunk| {
            chunk.write_meta(&mut *out)?;
            chunk.write_page(0, &mut *out)?;
            Ok(())
        });
    if packed.is_err() {
        out.truncate(start);
    }
    packed.is_ok()
}

/// Fills `numbers` with the first rows of a column of `rows`; more than asked for when the batches of pco want it, so
/// `numbers` is as long as what was decoded.
pub(super) fn unpack<T: Number>(
    pco: &FileDecompressor,
    bytes: &[u8],
    rows: usize,
    wanted: usize,
    numbers: &mut Vec<T>,
) -> Taken<()> {
    let damage = |_| Damage {
        at: 0,
        reason: "the compressed numbers do not decode",
    };
    let len = wanted.next_multiple_of(FULL_BATCH_N).min(rows);
    numbers.clear();
    numbers.resize(len, T::default());
    let (mut chunk, rest) = pco.chunk_decompressor::<T, _>(bytes).map_err(damage)?;
    let mut page = chunk.page_decompressor(rest, rows).map_err(damage)?;
    let progress = page.read(numbers).map_err(damage)?;
    if progress.n_processed != len {
        return Err(Damage {
            at: 0,
            reason: "fewer compressed numbers than rows",
        });
    }
    Ok(())
}

/// Appends whole numbers in the narrowest type that holds the largest.
pub(super) fn pack_narrow(numbers: &[u64], delta: &DeltaSpec, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let max = numbers.iter().copied().max().unwrap_or(0);
    let packed = if max <= u64::from(u16::MAX) {
        out.push(WIDTH_16);
        let narrow: Vec<u16> = numbers.iter().filter_map(|&n| u16::try_from(n).ok()).collect();
        pack(&narrow, delta.clone(), out)
    } else if max <= u64::from(u32::MAX) {
        out.push(WIDTH_32);
        let narrow: Vec<u32> = numbers.iter().filter_map(|&n| u32::try_from(n).ok()).collect();
        pack(&narrow, delta.clone(), out)
    } else {
        out.push(WIDTH_64);
        pack(numbers, delta.clone(), out)
    };
    if !packed {
        out.truncate(start);
    }
    packed
}

/// Calls `each` with the first rows, at least `wanted` of `rows`.
pub(super) fn unpack_narrow(
    pco: &FileDecompressor,
    bytes: &[u8],
    rows: usize,
    wanted: usize,
    mut each: impl FnMut(u64),
) -> Taken<()> {
    let Some((&width, bytes)) = bytes.split_first() else {
        return Err(Damage {
            at: 0,
            reason: "cut short",
        });
    };
    match width {
        WIDTH_16 => {
            let mut numbers = Vec::<u16>::new();
            unpack(pco, bytes, rows, wanted, &mut numbers)?;
            numbers.iter().for_each(|&n| each(u64::from(n)));
        }
        WIDTH_32 => {
            let mut numbers = Vec::<u32>::new();
            unpack(pco, bytes, rows, wanted, &mut numbers)?;
            numbers.iter().for_each(|&n| each(u64::from(n)));
        }
        WIDTH_64 => {
            let mut numbers = Vec::<u64>::new();
            unpack(pco, bytes, rows, wanted, &mut numbers)?;
            numbers.iter().for_each(|&n| each(n));
        }
        _ => {
            return Err(Damage {
                at: 0,
                reason: "unknown width of numbers",
            });
        }
    }
    Ok(())
}
