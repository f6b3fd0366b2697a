//! The file `tombstones` of a block: which samples were deleted and are still in the chunks.
//!
//! ```text
//!   magic 0x0130BA30: u32 BE | version 1: u8 | (series: varint | first, last ms: zigzag varints, both deleted)* | crc32c: u32 BE
//! ```
//!
//! The checksum is of what lies between version and checksum. A series is named as in the block's index.

use std::collections::HashMap;
use std::io;

use model::Samples;

use crate::block::BlockError;
use crate::block::bytes::{Cursor, Damage, Taken};
use crate::block::reader::Checksums;
use crate::dir::Dir;

use super::file;

const MAGIC: u32 = 0x0130_ba30;
const HEADER_BYTES: usize = 5;
/// Far above any that was ever written: millions of deletions.
const MOST_BYTES: u64 = 256 << 20;

/// Stretches of time, both ends deleted.
pub(crate) type Intervals = Vec<(i64, i64)>;

/// What was deleted of which series.
#[derive(Debug, Default)]
pub(crate) struct Tombstones(HashMap<u64, Intervals>);

impl Tombstones {
    /// Reads `folder/tombstones`; a block without has deleted nothing.
    pub(crate) fn read(dir: &dyn Dir, folder: &str) -> Result<Self, BlockError> {
        let name = format!("{folder}/tombstones");
        let file = match dir.open(&name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => {
                return Err(BlockError::Io {
                    action: "opening",
                    path: dir.display(&name),
                    source,
                });
            }
        };
        let mut file = file::SourceFile::over(file, dir.display(&name), 0, Checksums::Compared)?;
        let len = file.len();
        if len > MOST_BYTES {
            return Err(file.corrupt(0, "the file is larger than any list of tombstones"));
        }
        let bytes = file.get(0, len)?.to_vec();
        decode(&bytes, Checksums::Compared).map_err(file.damaged(0))
    }

    /// What was deleted of a series.
    pub(crate) fn of(&self, series: u64) -> &[(i64, i64)] {
        self.0.get(&series).map_or(&[], Vec::as_slice)
    }

    /// Number of stretches.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }
}

fn decode(bytes: &[u8], checksums: Checksums) -> Taken<Tombstones> {
    let mut cursor = Cursor::new(bytes);
    if u32::from_be_bytes(cursor.array()?) != MAGIC {
        return Err(Damage {
            at: 0,
            reason: "this is not a file of tombstones",
        });
    }
    if cursor.u8()? != 1 {
        return Err(Damage {
            at: 4,
            reason: "tombstones of a version that is not known",
        });
    }
    let Some((body, crc)) = cursor.rest().split_last_chunk::<4>() else {
        return Err(cursor.damage("cut short"));
    };
    file::check(checksums, body, *crc).map_err(|reason| Damage {
        at: HEADER_BYTES + body.len(),
        reason,
    })?;
    let mut tombstones = Tombstones::default();
    let mut cursor = Cursor::new(body);
    let within = |damage: Damage| Damage {
        at: damage.at + HEADER_BYTES,
        ..damage
    };
    while !cursor.is_done() {
        let series = cursor.u64().map_err(within)?;
        let interval = (cursor.i64().map_err(within)?, cursor.i64().map_err(within)?);
        tombstones.0.entry(series).or_default().push(interval);
    }
    Ok(tombstones)
}

/// Takes the samples out that lie in one of the stretches.
pub(crate) fn delete(intervals: &[(i64, i64)], samples: &mut Samples) {
    if intervals.is_empty() {
        return;
    }
    let kept = |t_ms: i64| {
        !intervals
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&t_ms))
    };
    let mut to = 0;
    for from in 0..samples.t_ms.len() {
        if kept(samples.t_ms[from]) {
            samples.t_ms[to] = samples.t_ms[from];
            samples.values[to] = samples.values[from];
            to += 1;
        }
    }
    samples.t_ms.truncate(to);
    samples.values.truncate(to);
}

/// Any bytes as a file of tombstones: the body of the fuzz target `prometheus_tombstones`. Gives the number of stretches.
#[must_use]
pub fn fuzz_tombstones(bytes: &[u8]) -> usize {
    let forged = decode(bytes, Checksums::Forged).map_or(0, |stones| stones.len());
    decode(bytes, Checksums::Compared).map_or(forged, |stones| stones.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::bytes::{put_i64, put_u64};
    use crate::prometheus::crc32c;

    fn file(stones: &[(u64, i64, i64)]) -> Vec<u8> {
        let mut body = Vec::new();
        for (series, first, last) in stones {
            put_u64(&mut body, *series);
            put_i64(&mut body, *first);
            put_i64(&mut body, *last);
        }
        let crc = crc32c::checksum(&body).to_be_bytes();
        [&[0x01, 0x30, 0xba, 0x30, 1][..], &body, &crc].concat()
    }

    #[test]
    fn stretches_are_read_and_damage_is_noticed() {
        let bytes = file(&[(7, 10, 20), (7, -5, -1), (300, i64::MIN, i64::MAX)]);
        let stones = decode(&bytes, Checksums::Compared).unwrap();
        assert_eq!(stones.of(7), [(10, 20), (-5, -1)]);
        assert_eq!((stones.of(8).len(), stones.len()), (0, 3));
        assert_eq!(decode(&file(&[]), Checksums::Compared).unwrap().len(), 0);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(decode(&bad, Checksums::Compared).is_err(), "byte {at}");
            assert!(decode(&bytes[..at], Checksums::Compared).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn both_ends_of_a_stretch_are_deleted() {
        let mut samples = Samples::default();
        (0..10).for_each(|t| samples.push(t, t as f64));
        delete(&[(2, 4), (9, 9)], &mut samples);
        assert_eq!(samples.t_ms, [0, 1, 5, 6, 7, 8]);
        assert_eq!(samples.values, [0.0, 1.0, 5.0, 6.0, 7.0, 8.0]);
    }
}
