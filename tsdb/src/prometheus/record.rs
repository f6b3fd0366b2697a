//! Records of Prometheus' write-ahead log.
//!
//! ```text
//!   1      series       (number: u64 BE | labels: varint | (length: varint, text)* )*
//!   2      samples      number, ms of the first: u64 BE each | (number, ms as differences to those: zigzag | value: u64 BE)*
//!   11     samples      as 2, with start times: number, ms, start: zigzag | value, then differences (see `samples_v2`)
//!   3      tombstones   (number: u64 BE | first, last ms: zigzag)*
//!   7..10, 12, 13       native histograms: counted, not stored
//!   14     time         ms before which the log holds nothing of use: u64 BE
//!   others (exemplars, metadata, markers of mapped chunks, newer kinds) hold no samples
//! ```

use crate::block::bytes::{Cursor, Taken};

/// The schema of histograms with bounds of their own.
const CUSTOM_BOUNDS: i64 = -53;

/// What records tell.
pub(crate) trait Records {
    /// A series has a number from now on; labels in the canonical encoding of [`model::Labels`]. False when they are not.
    fn series(&mut self, number: u64, encoded: &str) -> bool;
    /// A float.
    fn sample(&mut self, number: u64, t_ms: i64, value: f64);
    /// Samples of a series were deleted, both ends included.
    fn tombstone(&mut self, number: u64, first_ms: i64, last_ms: i64);
    /// A native histogram.
    fn histogram(&mut self, number: u64, t_ms: i64);
    /// Samples before this lie in blocks.
    fn min_valid_time(&mut self, t_ms: i64);
}

/// Tells what a record holds.
pub(crate) fn decode(record: &[u8], to: &mut dyn Records) -> Taken<()> {
    let mut cursor = Cursor::new(record);
    if cursor.is_done() {
        return Ok(());
    }
    match cursor.u8()? {
        1 => series(&mut cursor, to),
        2 => samples(&mut cursor, to),
        3 => tombstones(&mut cursor, to),
        7 | 9 => histograms(&mut cursor, to, false),
        8 | 10 => histograms(&mut cursor, to, true),
        11 => samples_v2(&mut cursor, to),
        12 => histograms_v2(&mut cursor, to, false),
        13 => histograms_v2(&mut cursor, to, true),
        14 => {
            to.min_valid_time(be_i64(&mut cursor)?);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn be_u64(cursor: &mut Cursor<'_>) -> Taken<u64> {
    Ok(u64::from_be_bytes(cursor.array()?))
}

fn be_i64(cursor: &mut Cursor<'_>) -> Taken<i64> {
    Ok(be_u64(cursor)?.cast_signed())
}

fn series(cursor: &mut Cursor<'_>, to: &mut dyn Records) -> Taken<()> {
    let mut encoded = String::new();
    while !cursor.is_done() {
        let number = be_u64(cursor)?;
        encoded.clear();
        for _ in 0..cursor.count()? {
            super::put_part(&mut encoded, cursor.str()?);
            super::put_part(&mut encoded, cursor.str()?);
        }
        if !to.series(number, &encoded) {
            return Err(cursor.damage("the labels of a series are unsorted, or one is empty"));
        }
    }
    Ok(())
}

fn samples(cursor: &mut Cursor<'_>, to: &mut dyn Records) -> Taken<()> {
    if cursor.is_done() {
        return Ok(());
    }
    let (number, t_ms) = (be_u64(cursor)?, be_i64(cursor)?);
    while !cursor.is_done() {
        let number = number.wrapping_add(cursor.i64()?.cast_unsigned());
        let t_ms = t_ms.wrapping_add(cursor.i64()?);
        to.sample(number, t_ms, f64::from_bits(be_u64(cursor)?));
    }
    Ok(())
}

/// Number, time and start of samples with start times: the first whole, of the others the number as a difference to the one
/// before, the time as one to the first, and the start as 0 (none), 1 (that of the one before) or 2 and a difference to the first.
#[derive(Default)]
struct Starts {
    first_ms: Option<i64>,
    number: u64,
}

impl Starts {
    fn next(&mut self, cursor: &mut Cursor<'_>) -> Taken<(u64, i64)> {
        self.number = self.number.wrapping_add(cursor.i64()?.cast_unsigned());
        let t_ms = cursor.i64()?;
        let Some(first_ms) = self.first_ms else {
            cursor.i64()?;
            self.first_ms = Some(t_ms);
            return Ok((self.number, t_ms));
        };
        if cursor.u8()? > 1 {
            cursor.i64()?;
        }
        Ok((self.number, first_ms.wrapping_add(t_ms)))
    }
}

fn samples_v2(cursor: &mut Cursor<'_>, to: &mut dyn Records) -> Taken<()> {
    let mut starts = Starts::default();
    while !cursor.is_done() {
        let (number, t_ms) = starts.next(cursor)?;
        to.sample(number, t_ms, f64::from_bits(be_u64(cursor)?));
    }
    Ok(())
}

fn tombstones(cursor: &mut Cursor<'_>, to: &mut dyn Records) -> Taken<()> {
    while !cursor.is_done() {
        let number = be_u64(cursor)?;
        to.tombstone(number, cursor.i64()?, cursor.i64()?);
    }
    Ok(())
}

fn histograms(cursor: &mut Cursor<'_>, to: &mut dyn Records, floats: bool) -> Taken<()> {
    if cursor.is_done() {
        return Ok(());
    }
    let (number, t_ms) = (be_u64(cursor)?, be_i64(cursor)?);
    while !cursor.is_done() {
        let number = number.wrapping_add(cursor.i64()?.cast_unsigned());
        let t_ms = t_ms.wrapping_add(cursor.i64()?);
        skip_histogram(cursor, floats)?;
        to.histogram(number, t_ms);
    }
    Ok(())
}

fn histograms_v2(cursor: &mut Cursor<'_>, to: &mut dyn Records, floats: bool) -> Taken<()> {
    let mut starts = Starts::default();
    while !cursor.is_done() {
        let (number, t_ms) = starts.next(cursor)?;
        skip_histogram(cursor, floats)?;
        to.histogram(number, t_ms);
    }
    Ok(())
}

/// Steps over a histogram; `floats` says that its counts are floats.
fn skip_histogram(cursor: &mut Cursor<'_>, floats: bool) -> Taken<()> {
    let skip_count = |cursor: &mut Cursor<'_>| {
        if floats {
            cursor.take(8).map(drop)
        } else {
            cursor.u64().map(drop)
        }
    };
    cursor.u8()?;
    let schema = cursor.i64()?;
    cursor.take(8)?;
    // The zero bucket and all.
    skip_count(cursor)?;
    skip_count(cursor)?;
    cursor.take(8)?;
    for _ in 0..2 {
        for _ in 0..cursor.count()? {
            cursor.i64()?;
            cursor.u64()?;
        }
    }
    for _ in 0..2 {
        for _ in 0..cursor.count()? {
            skip_count(cursor)?;
        }
    }
    if schema == CUSTOM_BOUNDS {
        for _ in 0..cursor.count()? {
            cursor.take(8)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::bytes::{put_i64, put_str, put_u64};

    #[derive(Default, Debug, PartialEq)]
    struct Seen(Vec<String>);

    impl Records for Seen {
        fn series(&mut self, number: u64, encoded: &str) -> bool {
            let Ok(labels) = model::Labels::from_encoded(encoded) else {
                return false;
            };
            self.0.push(format!("{number} {labels}"));
            true
        }
        fn sample(&mut self, number: u64, t_ms: i64, value: f64) {
            self.0.push(format!("{number} {t_ms} {value}"));
        }
        fn tombstone(&mut self, number: u64, first_ms: i64, last_ms: i64) {
            self.0.push(format!("{number} -{first_ms}..{last_ms}"));
        }
        fn histogram(&mut self, number: u64, t_ms: i64) {
            self.0.push(format!("{number} {t_ms} histogram"));
        }
        fn min_valid_time(&mut self, t_ms: i64) {
            self.0.push(format!("from {t_ms}"));
        }
    }

    #[track_caller]
    fn check(record: &[u8], want: &[&str]) {
        let mut seen = Seen::default();
        decode(record, &mut seen).unwrap();
        assert_eq!(seen.0, want);
        for len in 1..record.len() {
            // Cut at the end of an entry it is a shorter record, which is fine; it must not be more than there was.
            let mut less = Seen::default();
            let _ = decode(&record[..len], &mut less);
            assert!(less.0.len() <= seen.0.len());
        }
    }

    /// A record from numbers: `b` a byte, `f` eight bytes, `i` zigzag, `u` varint.
    fn record(parts: &[(char, i64)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (kind, value) in parts {
            match kind {
                'b' => out.push(value.to_le_bytes()[0]),
                'f' => out.extend_from_slice(&value.to_be_bytes()),
                'i' => put_i64(&mut out, *value),
                _ => put_u64(&mut out, value.cast_unsigned()),
            }
        }
        out
    }

    #[test]
    fn series_and_samples() {
        let mut bytes = record(&[('b', 1), ('f', 7), ('u', 2)]);
        ["__name__", "up", "job", "a"]
            .iter()
            .for_each(|text| put_str(&mut bytes, text));
        check(&bytes, &["7 up{job=\"a\"}"]);
        let one = 1f64.to_bits().cast_signed();
        check(
            &record(&[
                ('b', 2),
                ('f', 7),
                ('f', 1000),
                ('i', 0),
                ('i', 0),
                ('f', one),
                ('i', -3),
                ('i', 5),
                ('f', 0),
            ]),
            &["7 1000 1", "4 1005 0"],
        );
        check(&[2], &[]);
        check(&record(&[('b', 3), ('f', 7), ('i', -5), ('i', 9)]), &["7 --5..9"]);
        check(&record(&[('b', 14), ('f', 99)]), &["from 99"]);
        check(&[5, 1, 2, 3], &[]);
    }

    #[test]
    fn samples_with_start_times() {
        let one = 1f64.to_bits().cast_signed();
        let first = [('b', 11), ('i', 7), ('i', 1000), ('i', 900), ('f', one)];
        let rest = [
            ('i', 1),
            ('i', 5),
            ('b', 0),
            ('f', one),
            ('i', 1),
            ('i', 6),
            ('b', 1),
            ('f', one),
        ];
        let last = [('i', -2), ('i', 7), ('b', 2), ('i', 50), ('f', one)];
        check(
            &record(&[&first[..], &rest, &last].concat()),
            &["7 1000 1", "8 1005 1", "9 1006 1", "7 1007 1"],
        );
    }

    #[test]
    fn histograms_are_stepped_over_and_counted() {
        let ints = |schema| {
            let spans = [('u', 2), ('i', 0), ('u', 1), ('i', 3), ('u', 2), ('u', 0)];
            let head = [('b', 0), ('i', schema), ('f', 0), ('u', 3), ('u', 300), ('f', 0)];
            [
                &head[..],
                &spans,
                &[('u', 3), ('i', 1), ('i', -1), ('i', 4), ('u', 0)],
            ]
            .concat()
        };
        let floats = [
            ('b', 0),
            ('i', 2),
            ('f', 0),
            ('f', 3),
            ('f', 300),
            ('f', 0),
            ('u', 1),
            ('i', 0),
            ('u', 1),
            ('u', 0),
            ('u', 1),
            ('f', 7),
            ('u', 0),
        ];
        let head = |kind| vec![('b', kind), ('f', 7), ('f', 1000)];
        let at = |number, t| [('i', number), ('i', t)];
        let want = ["7 1000 histogram", "8 1005 histogram"];
        check(
            &record(&[&head(7)[..], &at(0, 0), &ints(3), &at(1, 5), &ints(3)].concat()),
            &want,
        );
        let custom = [&ints(-53)[..], &[('u', 2), ('f', 1), ('f', 2)]].concat();
        check(
            &record(&[&head(9)[..], &at(0, 0), &custom, &at(1, 5), &custom].concat()),
            &want,
        );
        check(
            &record(&[&head(8)[..], &at(0, 0), &floats, &at(1, 5), &floats].concat()),
            &want,
        );
        let starts = [&[('b', 12), ('i', 7), ('i', 1000), ('i', 0)][..], &ints(3)].concat();
        check(
            &record(&[&starts[..], &[('i', 1), ('i', 5), ('b', 2), ('i', 3)], &ints(3)].concat()),
            &want,
        );
    }
}
