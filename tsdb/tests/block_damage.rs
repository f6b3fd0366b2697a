//! Damaged blocks: every byte of a small block flipped, every length cut, arbitrary bytes. Never a panic, never other data.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its made-up numbers are small"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::{Cancel, Labels, MatchOp, Matcher, STALE_NAN, Samples};
use proptest::prelude::*;
use tsdb::block::{Block, BlockError, BlockWriter, fuzz_read, verify};
use tsdb::dir::{Dir, RealDir};

/// Writes `good`: every encoding of times and values, and `many` series that share a timestamp chunk (with 256 or more, a
/// list of series that lies in the postings section).
fn write_block(dir: &Arc<dyn Dir>, many: usize) {
    let mut series: Vec<(Labels, Samples)> = Vec::new();
    let values: [fn(i64) -> f64; 9] = [
        |_| 0.1,
        |_| 3.0,
        |row| if row < 40 { 0.123_456_789_012_345 } else { 1e300 },
        |row| f64::from_bits((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        |row| (row as f64).sqrt(),
        |row| ((row * 7919) % 101) as f64 / 10.0,
        |row| (row * row) as f64,
        |row| (row / 30) as f64,
        |row| {
            if row == 17 {
                f64::from_bits(STALE_NAN)
            } else {
                row as f64
            }
        },
    ];
    for (number, value) in values.iter().enumerate() {
        let mut samples = Samples::default();
        for row in 0..90 {
            let time = match number % 4 {
                0 => row * 1000,
                1 => row * 1000 + (row * row) % 17,
                2 => row * row * row,
                _ => (row + row / 70) * 1000,
            };
            samples.push(time, value(row));
        }
        series.push((
            Labels::from_pairs([("__name__", "shape"), ("n", &format!("{number}"))]),
            samples,
        ));
    }
    for number in 0..many {
        let mut samples = Samples::default();
        samples.push(5, 1.0);
        series.push((
            Labels::from_pairs([("many", "yes"), ("n", &format!("{number:03}"))]),
            samples,
        ));
    }
    series.sort_by(|a, b| a.0.cmp(&b.0));
    let mut writer = BlockWriter::create(Arc::clone(dir), "", "good", 1).unwrap();
    for (labels, samples) in &series {
        writer.add(labels, samples).unwrap();
    }
    writer.finish().unwrap();
    verify(dir.as_ref(), "", "good").unwrap();
}

/// A series as bits.
type Plain = (Labels, Vec<i64>, Vec<u64>);

/// Everything that queries give; an error of any series is an error of all.
fn read_all(block: &Arc<Block>) -> Result<Vec<Plain>, BlockError> {
    let cancel = Cancel::new();
    let mut all = Vec::new();
    let many = [
        Matcher::equal("many", "yes"),
        Matcher::new("n", MatchOp::Regex, "00.").unwrap(),
    ];
    for matchers in [&[][..], &many] {
        for (labels, series) in block.select(matchers, i64::MIN, i64::MAX, &cancel)? {
            let mut samples = Samples::default();
            series.read(i64::MIN, i64::MAX, &mut samples)?;
            let bits = samples.values.iter().map(|v| v.to_bits()).collect();
            all.push((labels, samples.t_ms, bits));
        }
    }
    for name in block.label_names(&[], i64::MIN, i64::MAX, &cancel)? {
        let values = block.label_values(&name, &[], i64::MIN, i64::MAX, &cancel)?;
        all.push((
            Labels::from_pairs([(name, values.join(" "))]),
            Vec::new(),
            Vec::new(),
        ));
    }
    Ok(all)
}

fn folder() -> (tempfile::TempDir, Arc<dyn Dir>) {
    let folder = tempfile::tempdir().unwrap();
    let dir: Arc<dyn Dir> = Arc::new(RealDir::new(folder.path()).unwrap());
    (folder, dir)
}

/// Flips a bit in every `step`th byte: verification must notice, and what is read is right or an error.
fn check_flips(many: usize, step: usize) {
    let (folder, dir) = folder();
    write_block(&dir, many);
    let good = fs::read(folder.path().join("good")).unwrap();
    let want = read_all(&Block::open(dir.as_ref(), "", "good").unwrap()).unwrap();
    let bad = folder.path().join("bad");
    for at in (0..good.len()).step_by(step) {
        let mut bytes = good.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&bad, &bytes).unwrap();
        let checked = verify(dir.as_ref(), "", "bad");
        assert!(
            matches!(checked, Err(BlockError::Corrupt { .. })),
            "byte {at}: {checked:?}"
        );
        if let Ok(got) = Block::open(dir.as_ref(), "", "bad").and_then(|block| read_all(&block)) {
            assert!(got == want, "byte {at} changed what is read");
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_is_noticed_and_never_gives_other_data() {
    check_flips(3, 1);
}

#[test]
fn so_is_one_in_a_block_with_long_lists() {
    check_flips(300, 29);
}

#[test]
fn a_block_cut_anywhere_does_not_open() {
    let (folder, dir) = folder();
    write_block(&dir, 20);
    let good = fs::read(folder.path().join("good")).unwrap();
    for len in 0..good.len() {
        let cut = fuzz_read(&good[..len]);
        assert!(
            matches!(cut, Err(BlockError::Corrupt { .. })),
            "{len} bytes: {cut:?}"
        );
    }
    assert_eq!(fuzz_read(&good).unwrap(), 9 * 90 + 20);
    let mut longer = good;
    longer.push(0);
    assert!(fuzz_read(&longer).is_err());
}

#[test]
fn an_error_names_file_and_place() {
    let (folder, dir) = folder();
    write_block(&dir, 20);
    let mut bytes = fs::read(folder.path().join("good")).unwrap();
    bytes[20] ^= 1;
    fs::write(folder.path().join("bad"), &bytes).unwrap();
    let message = verify(dir.as_ref(), "", "bad").unwrap_err().to_string();
    assert!(message.contains("bad is damaged at byte 16: "), "{message}");
    let missing = Block::open(dir.as_ref(), "", "nope").unwrap_err().to_string();
    assert!(
        missing.starts_with("opening ") && missing.contains("nope"),
        "{missing}"
    );
}

/// The fuzz target's corpus, as plain cases.
#[test]
fn the_corpus_is_read_without_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/block_read");
    let mut files: Vec<PathBuf> = fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{} has too few files", corpus.display());
    for file in files {
        let read = fuzz_read(&fs::read(&file).unwrap());
        let whole = file.file_name().unwrap().to_string_lossy().starts_with("whole");
        assert_eq!(read.is_ok(), whole, "{}: {read:?}", file.display());
    }
}

/// Files of the corpus by name.
fn corpus(name: &str) -> Vec<u8> {
    fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus/block_read")
            .join(name),
    )
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// `fuzz_read` also reads what its checksums would stop, so this reaches all decoders.
    #[test]
    fn forged_blocks_do_not_panic(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        name in prop_oneof![Just("whole_columns"), Just("whole_one_sample")],
    ) {
        let mut bytes = corpus(name);
        let good = bytes.clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert_eq!(fuzz_read(&bytes).is_ok(), bytes == good);
    }

    #[test]
    fn arbitrary_bytes_are_not_a_block(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(fuzz_read(&bytes).is_err());
    }
}
