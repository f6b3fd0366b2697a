//! The records of the log, as bytes.
//!
//! ```text
//!   series    (ref  varint of the zigzag distance from the ref before, at first 0;  length varint;  labels as Labels::encoded)*
//!   samples   base_ms i64, then (head u8, [ref distance], [time distance], value)*
//!               head  bits 0-1  ref: 0 the next number, 1 the same, 2 zigzag varint distance follows
//!                     bit  2    time: 0 as the sample before (at first base_ms), 1 zigzag varint distance follows
//!                     bits 3-6  bytes of the value that follow, 0 to 8, highest first: zeros at the end are left out
//!   chunk     (ref varint, count varint, min_ms i64, max_ms i64, length varint, code as in chunk.rs)*   only in checkpoints
//! ```

use super::{MAX_RECORD_BYTES, RECORD_HEAD};

/// New series with their labels.
pub(crate) const KIND_SERIES: u8 = 1;
/// Samples of one commit.
pub(crate) const KIND_SAMPLES: u8 = 2;
/// Chunks of the head, in a checkpoint.
pub(crate) const KIND_CHUNK: u8 = 3;
// 4 is kept for deletions, 5 for native histograms, 6 for metadata, 7 for exemplars.

/// Frames records at the end of a buffer.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    start: usize,
}

impl RecordWriter {
    /// Starts a record; the payload is then appended to `out`.
    pub(crate) fn begin(out: &mut Vec<u8>, kind: u8) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; RECORD_HEAD - 1]);
        out.push(kind);
        Self { start }
    }

    /// Fills in length and checksum. `None` when the record is larger than [`MAX_RECORD_BYTES`].
    pub(crate) fn end(self, out: &mut [u8]) -> Option<()> {
        let body = out.get(self.start + RECORD_HEAD - 1..)?;
        if body.len() > MAX_RECORD_BYTES {
            return None;
        }
        let len = u32::try_from(body.len()).ok()?;
        let crc = crc32fast::hash(body);
        let head = out.get_mut(self.start..self.start + 8)?;
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..].copy_from_slice(&crc.to_le_bytes());
        Some(())
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[expect(clippy::cast_possible_truncation, reason = "callers give at the most 8")]
fn low_byte(value: u32) -> u8 {
    value as u8
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Writes the payload of a series record.
#[derive(Debug, Default)]
pub(crate) struct SeriesEncoder {
    last: i64,
}

impl SeriesEncoder {
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, series: u32, labels: &str) {
        put_varint(out, zigzag(i64::from(series) - self.last));
        self.last = i64::from(series);
        put_varint(out, labels.len() as u64);
        out.extend_from_slice(labels.as_bytes());
    }
}

/// Writes the payload of a samples record.
#[derive(Debug)]
pub(crate) struct SamplesEncoder {
    last: u32,
    t_ms: i64,
}

impl SamplesEncoder {
    /// `base_ms` is best the first sample's time.
    pub(crate) fn begin(out: &mut Vec<u8>, base_ms: i64) -> Self {
        out.extend_from_slice(&base_ms.to_le_bytes());
        Self {
            last: 0,
            t_ms: base_ms,
        }
    }

    pub(crate) fn push(&mut self, out: &mut Vec<u8>, series: u32, t_ms: i64, value: f64) {
        let bits = value.to_bits();
        let len = 8 - low_byte(bits.trailing_zeros() / 8);
        let near = series == self.last.wrapping_add(1);
        let head = if near {
            0
        } else if series == self.last {
            1
        } else {
            2
        };
        let moved = t_ms != self.t_ms;
        out.push(head | u8::from(moved) << 2 | len << 3);
        if head == 2 {
            put_varint(out, zigzag(i64::from(series) - i64::from(self.last)));
        }
        if moved {
            put_varint(out, zigzag(t_ms.wrapping_sub(self.t_ms)));
        }
        out.extend_from_slice(&bits.to_be_bytes()[..usize::from(len)]);
        self.last = series;
        self.t_ms = t_ms;
    }
}

/// Appends one chunk to the payload of a chunk record.
pub(crate) fn encode_chunk(
    out: &mut Vec<u8>,
    series: u32,
    count: u16,
    min_ms: i64,
    max_ms: i64,
    code: &[u8],
) {
    put_varint(out, u64::from(series));
    put_varint(out, u64::from(count));
    out.extend_from_slice(&min_ms.to_le_bytes());
    out.extend_from_slice(&max_ms.to_le_bytes());
    put_varint(out, code.len() as u64);
    out.extend_from_slice(code);
}

/// Walks a payload; every step is `None` past its end.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(head)
    }

    fn i64(&mut self) -> Option<i64> {
        let (head, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(i64::from_le_bytes(*head))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn len(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }
}

/// Calls `each(ref, labels)` for every series of the payload. `None` when the payload is not one.
pub(crate) fn decode_series<'a>(payload: &'a [u8], mut each: impl FnMut(u32, &'a str)) -> Option<()> {
    let mut cursor = Cursor { rest: payload };
    let mut last = 0i64;
    while !cursor.rest.is_empty() {
        last = last.checked_add(unzigzag(cursor.varint()?))?;
        let len = cursor.len()?;
        let labels = std::str::from_utf8(cursor.bytes(len)?).ok()?;
        each(u32::try_from(last).ok()?, labels);
    }
    Some(())
}

/// Calls `each(ref, t_ms, value)` for every sample of the payload. `None` when the payload is not one; the samples
/// before the fault have been given then.
pub(crate) fn decode_samples(payload: &[u8], mut each: impl FnMut(u32, i64, f64)) -> Option<()> {
    let mut cursor = Cursor { rest: payload };
    let mut t_ms = cursor.i64()?;
    let mut last = 0u32;
    while let Some((&head, rest)) = cursor.rest.split_first() {
        cursor.rest = rest;
        match head & 3 {
            0 => last = last.wrapping_add(1),
            1 => {}
            2 => last = u32::try_from(i64::from(last).checked_add(unzigzag(cursor.varint()?))?).ok()?,
            _ => return None,
        }
        if head & 4 != 0 {
            t_ms = t_ms.wrapping_add(unzigzag(cursor.varint()?));
        }
        let len = usize::from(head >> 3);
        let bits = match (len, cursor.rest.first_chunk::<8>()) {
            (0, _) => 0,
            // The common case reads eight bytes and forgets those that belong to what follows.
            (1..=8, Some(eight)) => u64::from_be_bytes(*eight) & u64::MAX << (64 - 8 * len),
            (1..=8, None) => {
                let mut eight = [0; 8];
                eight.get_mut(..len)?.copy_from_slice(cursor.rest.get(..len)?);
                u64::from_be_bytes(eight)
            }
            _ => return None,
        };
        cursor.rest = cursor.rest.get(len..)?;
        each(last, t_ms, f64::from_bits(bits));
    }
    Some(())
}

/// A chunk as a checkpoint holds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkRecord<'a> {
    pub(crate) series: u32,
    pub(crate) count: u16,
    pub(crate) min_ms: i64,
    pub(crate) max_ms: i64,
    pub(crate) code: &'a [u8],
}

/// Calls `each` for every chunk of the payload. `None` when the payload is not one.
pub(crate) fn decode_chunks<'a>(payload: &'a [u8], mut each: impl FnMut(ChunkRecord<'a>)) -> Option<()> {
    let mut cursor = Cursor { rest: payload };
    while !cursor.rest.is_empty() {
        let series = u32::try_from(cursor.varint()?).ok()?;
        let count = u16::try_from(cursor.varint()?).ok()?;
        let min_ms = cursor.i64()?;
        let max_ms = cursor.i64()?;
        let len = cursor.len()?;
        each(ChunkRecord {
            series,
            count,
            min_ms,
            max_ms,
            code: cursor.bytes(len)?,
        });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_survive(samples in proptest::collection::vec(
            (prop_oneof![0u32..20, any::<u32>()], prop_oneof![Just(5i64), any::<i64>()],
             prop_oneof![any::<u64>(), (0i64..100_000).prop_map(|i| (i as f64).to_bits())]), 0..60))
        {
            let mut out = Vec::new();
            let mut encoder = SamplesEncoder::begin(&mut out, 5);
            for &(series, t_ms, bits) in &samples {
                encoder.push(&mut out, series, t_ms, f64::from_bits(bits));
            }
            let mut got = Vec::new();
            decode_samples(&out, |series, t_ms, value| got.push((series, t_ms, value.to_bits()))).unwrap();
            prop_assert_eq!(got, samples);
        }

        #[test]
        fn series_survive(series in proptest::collection::vec((any::<u32>(), ".{0,80}"), 0..20)) {
            let mut out = Vec::new();
            let mut encoder = SeriesEncoder::default();
            for (number, labels) in &series {
                encoder.push(&mut out, *number, labels);
            }
            let mut got = Vec::new();
            decode_series(&out, |number, labels| got.push((number, labels.to_owned()))).unwrap();
            prop_assert_eq!(got, series);
        }

        #[test]
        fn arbitrary_payloads_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_samples(&payload, |_, _, _| {});
            let _ = decode_series(&payload, |_, _| {});
            let _ = decode_chunks(&payload, |_| {});
        }
    }
}
