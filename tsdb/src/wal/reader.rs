//! Walks the records of a segment, also of one that is damaged.
//!
//! A record whose checksum is wrong is stepped over when a good one follows where its length says. When none does, nothing
//! more can be trusted: the rest of the segment is given up, which at the end of the last segment is the usual torn
//! write.

use super::{HEADER_BYTES, MAGIC, MAX_RECORD_BYTES, NO_CUT, RECORD_HEAD, VERSION};
use super::{KIND_CHUNK, KIND_SAMPLES, KIND_SERIES, decode_chunks, decode_samples, decode_series};

/// A stretch of a segment that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where it begins.
    pub(crate) offset: usize,
    /// How long it is.
    pub(crate) bytes: usize,
    /// What does not fit.
    pub(crate) reason: &'static str,
}

/// How the walk over a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// Everything before is whole records or faults that were stepped over.
    pub(crate) good_len: usize,
    /// Damage in the middle.
    pub(crate) faults: Vec<Fault>,
    /// What comes after `good_len` and is not a record: a torn write, or damage after which nothing could be made out.
    pub(crate) tail: Option<Fault>,
}

/// The `cut` of a segment's header, `None` when these bytes are not a header.
pub(crate) fn header_cut(bytes: &[u8]) -> Option<u64> {
    let head = bytes.get(..HEADER_BYTES)?;
    let crc = u32::from_le_bytes(*head.get(16..)?.first_chunk()?);
    let version = u32::from_le_bytes(*head.get(4..)?.first_chunk()?);
    if head.get(..4)? != MAGIC || version != VERSION || crc32fast::hash(head.get(..16)?) != crc {
        return None;
    }
    Some(u64::from_le_bytes(*head.get(8..)?.first_chunk()?))
}

/// Length of the body and whether its checksum fits; `None` when no record of a possible length stands there.
fn record_at(bytes: &[u8], at: usize) -> Option<(usize, bool)> {
    let head = bytes.get(at..)?;
    let len = usize::try_from(u32::from_le_bytes(*head.first_chunk()?)).ok()?;
    if len == 0 || len > MAX_RECORD_BYTES {
        return None;
    }
    let body = head.get(8..)?.get(..len)?;
    let crc = u32::from_le_bytes(*head.get(4..)?.first_chunk()?);
    Some((len, crc32fast::hash(body) == crc))
}

/// Calls `each(kind, payload)` for every good record of a segment; `each` says whether the payload made sense. With a damaged
/// header the records are read all the same.
pub(crate) fn scan<'a>(bytes: &'a [u8], mut each: impl FnMut(u8, &'a [u8]) -> bool) -> SegmentEnd {
    let mut end = SegmentEnd {
        good_len: HEADER_BYTES.min(bytes.len()),
        faults: Vec::new(),
        tail: None,
    };
    if header_cut(bytes).is_none() {
        let fault = Fault {
            offset: 0,
            bytes: end.good_len,
            reason: "the header is damaged",
        };
        if bytes.len() < HEADER_BYTES {
            end.good_len = 0;
            end.tail = (!bytes.is_empty()).then_some(fault);
            return end;
        }
        end.faults.push(fault);
    }
    let mut at = end.good_len;
    while at < bytes.len() {
        match record_at(bytes, at) {
            Some((len, true)) => {
                let kind = bytes.get(at + RECORD_HEAD - 1).copied().unwrap_or(0);
                let payload = bytes
                    .get(at + RECORD_HEAD..at + RECORD_HEAD - 1 + len)
                    .unwrap_or(&[]);
                if !each(kind, payload) {
                    let reason = "a record's checksum is right and its content is not";
                    end.faults.push(Fault {
                        offset: at,
                        bytes: len + RECORD_HEAD - 1,
                        reason,
                    });
                }
                at += RECORD_HEAD - 1 + len;
            }
            Some((len, false)) if matches!(record_at(bytes, at + RECORD_HEAD - 1 + len), Some((_, true))) => {
                let size = len + RECORD_HEAD - 1;
                end.faults.push(Fault {
                    offset: at,
                    bytes: size,
                    reason: "a record's checksum is wrong",
                });
                at += size;
            }
            found => {
                let reason = match found {
                    Some(_) => "a record's checksum is wrong",
                    None => "a record is cut short or has a length that cannot be",
                };
                end.tail = Some(Fault {
                    offset: at,
                    bytes: bytes.len() - at,
                    reason,
                });
                break;
            }
        }
        end.good_len = at;
    }
    end
}

/// Reads arbitrary bytes as a segment and says how many `(series, samples, chunks)` it holds. Never panics; for fuzzing.
#[must_use]
pub fn fuzz_read(bytes: &[u8]) -> (usize, usize, usize) {
    let (mut series, mut samples, mut chunks) = (0, 0, 0);
    let _ = header_cut(bytes).unwrap_or(NO_CUT);
    scan(bytes, |kind, payload| {
        match kind {
            KIND_SERIES => decode_series(payload, |_, labels| {
                series += usize::from(model::Labels::from_encoded(labels).is_ok());
            }),
            KIND_SAMPLES => decode_samples(payload, |_, _, _| samples += 1),
            KIND_CHUNK => decode_chunks(payload, |chunk| {
                let mut out = model::Samples::default();
                let (from, to) = (i64::MIN, i64::MAX);
                let read = crate::chunk::decode(chunk.code, chunk.min_ms, chunk.count, from, to, &mut out);
                chunks += usize::from(read.is_ok());
            }),
            _ => Some(()),
        }
        .is_some()
    });
    (series, samples, chunks)
}

#[cfg(test)]
mod tests {
    use super::super::{RecordWriter, SamplesEncoder, SeriesEncoder, header};
    use super::*;

    /// A segment with one series and then `n` records of one sample each, and where each of these begins.
    fn segment(n: i64) -> (Vec<u8>, Vec<usize>) {
        let mut out = header(NO_CUT).to_vec();
        let record = RecordWriter::begin(&mut out, KIND_SERIES);
        SeriesEncoder::default().push(&mut out, 1, model::Labels::from_pairs([("a", "b")]).encoded());
        record.end(&mut out).unwrap();
        let mut starts = Vec::new();
        for i in 0..n {
            starts.push(out.len());
            let record = RecordWriter::begin(&mut out, KIND_SAMPLES);
            SamplesEncoder::begin(&mut out, i).push(&mut out, 1, i, 0.1);
            record.end(&mut out).unwrap();
        }
        (out, starts)
    }

    #[test]
    fn a_whole_segment_reads_whole() {
        let (bytes, _) = segment(5);
        assert_eq!(fuzz_read(&bytes), (1, 5, 0));
        let end = scan(&bytes, |_, _| true);
        assert_eq!(
            end,
            SegmentEnd {
                good_len: bytes.len(),
                faults: vec![],
                tail: None
            }
        );
    }

    #[test]
    fn a_torn_tail_is_found_wherever_it_is_torn() {
        let (bytes, starts) = segment(5);
        for len in HEADER_BYTES..bytes.len() {
            let end = scan(&bytes[..len], |_, _| true);
            assert_eq!(end.good_len + end.tail.as_ref().map_or(0, |t| t.bytes), len);
            let whole = starts.iter().skip(1).filter(|s| **s <= len).count();
            assert_eq!(fuzz_read(&bytes[..len]).1, whole, "cut at {len}");
        }
    }

    #[test]
    fn one_damaged_byte_costs_at_most_the_rest_and_usually_one_record() {
        let (bytes, starts) = segment(9);
        let mut bad = bytes.clone();
        bad[starts[3] + 10] ^= 1;
        assert_eq!(fuzz_read(&bad).1, 8);
        assert_eq!(scan(&bad, |_, _| true).faults.len(), 1);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x55;
            let end = scan(&bad, |_, _| true);
            assert!(
                !end.faults.is_empty() || end.tail.is_some() || (20..24).contains(&at),
                "byte {at}"
            );
        }
    }
}
