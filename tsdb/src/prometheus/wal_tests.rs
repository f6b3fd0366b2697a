//! Logs as Prometheus writes them, made by hand: fragments, pages, compression, checkpoints, deletions, samples out of order.

use std::sync::Arc;

use model::Samples;

use super::crc32c;
use super::head::SourceHead;
use crate::block::BlockError;
use crate::block::bytes::{put_i64, put_str, put_u64};
use crate::dir::Dir;
use crate::merge::Merge;
use crate::sim::SimDir;

const PAGE: usize = 32 << 10;

/// A segment that is being written.
#[derive(Default)]
struct Segment(Vec<u8>);

impl Segment {
    fn log(&mut self, record: &[u8], flags: u8) {
        let mut rest = record;
        let mut first = true;
        loop {
            let left = PAGE - self.0.len() % PAGE;
            if left < 8 {
                self.0.resize(self.0.len() + left, 0);
                continue;
            }
            let (part, more) = rest.split_at(rest.len().min(left - 7));
            let kind = match (first, more.is_empty()) {
                (true, true) => 1,
                (true, false) => 2,
                (false, false) => 3,
                (false, true) => 4,
            };
            self.0.push(kind | flags);
            self.0
                .extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            self.0.extend_from_slice(&crc32c::checksum(part).to_be_bytes());
            self.0.extend_from_slice(part);
            if more.is_empty() {
                return;
            }
            (rest, first) = (more, false);
        }
    }

    fn with(records: &[Vec<u8>]) -> Self {
        let mut segment = Self::default();
        for record in records {
            let packed = snap::raw::Encoder::new().compress_vec(record).unwrap();
            segment.log(&packed, 8);
        }
        segment
    }

    fn put(&self, dir: &SimDir, name: &str) {
        dir.create(name).unwrap().append(&self.0).unwrap();
    }
}

fn series(number: u64, id: &str) -> Vec<u8> {
    let mut out = vec![1];
    out.extend_from_slice(&number.to_be_bytes());
    put_u64(&mut out, 2);
    ["__name__", "m", "id", id]
        .iter()
        .for_each(|text| put_str(&mut out, text));
    out
}

fn samples(rows: &[(u64, i64, f64)]) -> Vec<u8> {
    let mut out = vec![2];
    let (number, t_ms, _) = rows[0];
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(&t_ms.to_be_bytes());
    for (other, at, value) in rows {
        put_i64(&mut out, other.wrapping_sub(number).cast_signed());
        put_i64(&mut out, at - t_ms);
        out.extend_from_slice(&value.to_bits().to_be_bytes());
    }
    out
}

fn tombstone(number: u64, first_ms: i64, last_ms: i64) -> Vec<u8> {
    let mut out = vec![3];
    out.extend_from_slice(&number.to_be_bytes());
    put_i64(&mut out, first_ms);
    put_i64(&mut out, last_ms);
    out
}

/// `id: time=value ...` of each series.
fn read(dir: &SimDir, min_valid_ms: i64) -> Result<(Vec<String>, SourceHead), BlockError> {
    let head = Arc::new(SourceHead::read(dir, min_valid_ms)?);
    let mut merge = Merge::new(vec![Box::new(head.walk(i64::MIN, i64::MAX))]);
    let (mut out, mut one) = (Vec::new(), Samples::default());
    while let Some(labels) = merge.next(&mut one).unwrap() {
        let points = one.t_ms.iter().zip(&one.values).map(|(t, v)| format!(" {t}={v}"));
        out.push(format!(
            "{}:{}",
            labels.get("id").unwrap(),
            points.collect::<String>()
        ));
    }
    drop(merge);
    Ok((out, Arc::into_inner(head).unwrap()))
}

#[track_caller]
fn check(dir: &SimDir, min_valid_ms: i64, want: &[&str]) -> SourceHead {
    let (got, head) = read(dir, min_valid_ms).unwrap();
    assert_eq!(got, want);
    head
}

#[test]
fn a_record_over_several_pages_is_one() {
    let dir = SimDir::new();
    let mut bits = 1u64;
    let rows: Vec<(u64, i64, f64)> = (0..10_000)
        .map(|i| {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (7, i * 15_000, f64::from_bits(bits >> 2))
        })
        .collect();
    for flags in [0, 8] {
        let mut segment = Segment::default();
        segment.log(&series(7, "a"), 0);
        let record = samples(&rows);
        let packed = snap::raw::Encoder::new().compress_vec(&record).unwrap();
        segment.log(if flags == 8 { &packed } else { &record }, flags);
        assert!(segment.0.len() > 3 * PAGE);
        // The last page is filled up, as at the end of a segment.
        segment.0.resize(segment.0.len().next_multiple_of(PAGE), 0);
        segment.put(&dir, "wal/00000000");
        let head = Arc::new(SourceHead::read(&dir, i64::MIN).unwrap());
        let mut out = Samples::default();
        Merge::new(vec![Box::new(head.walk(i64::MIN, i64::MAX))])
            .next(&mut out)
            .unwrap();
        let want: Vec<_> = rows.iter().map(|(_, t, v)| (*t, v.to_bits())).collect();
        let got: Vec<_> = out
            .t_ms
            .iter()
            .copied()
            .zip(out.values.iter().map(|v| v.to_bits()))
            .collect();
        assert_eq!(got, want);
    }
}

#[test]
fn a_checkpoint_stands_for_the_segments_up_to_its_number() {
    let dir = SimDir::new();
    Segment::with(&[series(1, "a"), samples(&[(1, 10, 1.0)])]).put(&dir, "wal/checkpoint.00000004/00000000");
    Segment::with(&[samples(&[(1, 20, 2.0)])]).put(&dir, "wal/checkpoint.00000004/00000001");
    Segment::with(&[samples(&[(1, 5, 9.0)])]).put(&dir, "wal/00000004");
    // One that was being made.
    Segment::with(&[samples(&[(1, 6, 9.0)])]).put(&dir, "wal/checkpoint.00000005.tmp/00000000");
    Segment::with(&[samples(&[(1, 30, 3.0)]), series(2, "b")]).put(&dir, "wal/00000005");
    Segment::with(&[samples(&[(2, 30, 4.0), (3, 30, 5.0)])]).put(&dir, "wal/00000006");
    let head = check(&dir, i64::MIN, &["a: 10=1 20=2 30=3", "b: 30=4"]);
    assert_eq!((head.orphans, head.torn.len()), (1, 0));
    // What is in blocks already is left out.
    check(&dir, 20, &["a: 20=2 30=3", "b: 30=4"]);
    dir.create("wal/min-valid-time").unwrap().append(b"30\n").unwrap();
    check(&dir, 20, &["a: 30=3", "b: 30=4"]);
    dir.remove("wal/00000005").unwrap();
    let error = read(&dir, i64::MIN).unwrap_err().to_string();
    assert!(
        error.contains("wal/00000006") && error.contains("segment 5 is missing"),
        "{error}"
    );
}

#[test]
fn samples_out_of_order_come_from_either_log() {
    let dir = SimDir::new();
    Segment::with(&[
        series(1, "a"),
        samples(&[(1, 100, 1.0), (1, 200, 2.0)]),
        // Twice, and again with another value, which was refused.
        samples(&[(1, 200, 2.0), (1, 200, 7.0)]),
        samples(&[(1, 150, 3.0)]),
    ])
    .put(&dir, "wal/00000000");
    Segment::with(&[
        samples(&[(1, 150, 3.0), (1, 50, 4.0), (1, 100, 8.0)]),
        vec![5, 1, 2, 3],
    ])
    .put(&dir, "wbl/00000000");
    // Out of order samples may be older than the blocks.
    check(&dir, 100, &["a: 50=4 100=1 150=3 200=2"]);
}

#[test]
fn a_series_keeps_its_samples_under_a_new_number_and_loses_what_was_deleted() {
    let dir = SimDir::new();
    Segment::with(&[
        series(1, "a"),
        samples(&[(1, 10, 1.0), (1, 20, 2.0), (1, 30, 3.0)]),
        tombstone(1, 20, 25),
        series(9, "a"),
        samples(&[(9, 40, 4.0)]),
        tombstone(9, 35, 39),
        // A series that ended is given up: its samples are in a block. Later it comes back.
        series(2, "b"),
        samples(&[(2, 10, 1.0)]),
        tombstone(2, i64::MIN, i64::MAX),
        series(3, "b"),
        samples(&[(3, 50, 5.0)]),
        tombstone(77, 0, 100),
    ])
    .put(&dir, "wal/00000000");
    check(&dir, i64::MIN, &["a: 10=1 30=3 40=4", "b: 50=5"]);
}

#[test]
fn the_end_of_the_last_segment_may_be_torn_and_nothing_else() {
    let dir = SimDir::new();
    let whole = Segment::with(&[series(1, "a"), samples(&[(1, 10, 1.0)]), samples(&[(1, 20, 2.0)])]);
    let last = Segment::with(&[samples(&[(1, 20, 2.0)])]).0.len();
    for cut in 1..=last {
        let mut torn = Segment(whole.0.clone());
        torn.0.truncate(whole.0.len() - cut);
        torn.put(&dir, "wal/00000000");
        let head = check(&dir, i64::MIN, &["a: 10=1"]);
        let want = (whole.0.len() - last) as u64;
        let offsets: Vec<u64> = head.torn.iter().map(|torn| torn.offset).collect();
        assert_eq!(offsets, if cut == last { vec![] } else { vec![want] });
        // In the middle of the log it is damage.
        Segment::default().put(&dir, "wal/00000001");
        if cut < last {
            let error = read(&dir, i64::MIN).unwrap_err().to_string();
            assert!(error.contains("sim:wal/00000000 is damaged at byte"), "{error}");
        }
        dir.remove("wal/00000001").unwrap();
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    let dir = SimDir::new();
    let whole = Segment::with(&[series(1, "a"), samples(&[(1, 10, 1.0)]), samples(&[(1, 20, 2.0)])]);
    Segment::default().put(&dir, "wal/00000001");
    for at in 0..whole.0.len() {
        for bit in 0..8 {
            let mut bad = Segment(whole.0.clone());
            bad.0[at] ^= 1 << bit;
            bad.put(&dir, "wal/00000000");
            // The kind of a fragment is under no checksum. A record that lost its mark of compression looks like one of a kind that
            // is not known, and those are stepped over.
            if bit == 3 && bad.0[at] == 1 {
                continue;
            }
            let fits = read(&dir, i64::MIN).is_ok_and(|(got, _)| got != ["a: 10=1 20=2"]);
            assert!(!fits, "byte {at} bit {bit}");
        }
    }
}

#[test]
fn zstd_is_named_with_a_way_out() {
    let dir = SimDir::new();
    let mut segment = Segment::default();
    segment.log(&[0x28, 0xb5, 0x2f, 0xfd], 16);
    segment.put(&dir, "wal/00000000");
    let error = read(&dir, i64::MIN).unwrap_err().to_string();
    assert!(
        error.contains("zstd") && error.contains("snapshot") && error.contains("wal/00000000"),
        "{error}"
    );
}

#[test]
fn labels_that_are_no_labels_are_damage() {
    let dir = SimDir::new();
    let mut record = vec![1];
    record.extend_from_slice(&1u64.to_be_bytes());
    put_u64(&mut record, 2);
    ["b", "1", "a", "2"]
        .iter()
        .for_each(|text| put_str(&mut record, text));
    Segment::with(&[record]).put(&dir, "wal/00000000");
    Segment::default().put(&dir, "wal/00000001");
    let error = read(&dir, i64::MIN).unwrap_err().to_string();
    assert!(error.contains("unsorted"), "{error}");
}
