//! Backups damaged in every way, foreign files, and paths that lead out.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::ustar::{Block, Type};
use super::*;

fn header() -> Header {
    let mut header = Header::new(
        Kind::Upstream,
        "web-1".to_owned(),
        "2026-11-27T12:00:00Z".to_owned(),
        "0.1.0".to_owned(),
    );
    header
        .versions
        .insert("prometheus".to_owned(), "prom/prometheus:v3.14.0".to_owned());
    header
}

fn entry(path: &str, size: usize) -> Entry {
    Entry {
        path: path.to_owned(),
        mode: 0o640,
        uid: 65534,
        gid: 65534,
        size: size as u64,
        sha256: String::new(),
    }
}

fn files() -> Vec<(String, Vec<u8>)> {
    let long = format!("base/data/{}/{}", "a".repeat(90), "b".repeat(90));
    vec![
        ("base/masthead-stack.json".to_owned(), b"{}".to_vec()),
        ("base/secrets/prometheus.password".to_owned(), Vec::new()),
        (
            "base/data/01ARYZ6S410000000000000000/chunks/000001".to_owned(),
            vec![7; 1500],
        ),
        (long, vec![1; 512]),
    ]
}

fn backup() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    writer.folder(entry("base/conf.d", 0)).unwrap();
    for (path, content) in files() {
        writer
            .file(entry(&path, content.len()), &mut content.as_slice())
            .unwrap();
    }
    writer.finish().unwrap().0
}

/// What a backup consists of, with something else at one place of the tar.
fn with_block(block: &Block, content: &[u8]) -> Vec<u8> {
    let mut tar = unzipped(&backup());
    // Behind the header: its block and its padded content.
    let at = 512
        + serde_json::to_vec_pretty(&header())
            .unwrap()
            .len()
            .next_multiple_of(512);
    let mut bytes = block.encode().unwrap().to_vec();
    // As others could have written it: a letter that we never write.
    if let Type::Other(letter) = block.kind {
        bytes[156] = letter;
        let sum: u32 = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| {
                if (148..156).contains(&at) {
                    32
                } else {
                    u32::from(*byte)
                }
            })
            .sum();
        bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    tar.splice(at..at, bytes);
    zipped(&tar)
}

fn unzipped(bytes: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut tar).unwrap();
    tar
}

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(tar).unwrap();
    gzip.finish().unwrap()
}

fn check(bytes: &[u8]) -> Result<Checked, ArchiveError> {
    verify(bytes, &mut |_| {})
}

#[test]
fn what_was_written_is_read_and_handed_out() {
    let bytes = backup();
    let mut progress = 0;
    let checked = verify(bytes.as_slice(), &mut |read| progress = read).unwrap();
    assert_eq!(checked.header, header());
    assert_eq!((checked.bytes(), progress), (2014, 2014));
    let mut got = Vec::new();
    extract(bytes.as_slice(), &checked, &mut |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        assert_eq!((entry.mode, entry.uid), (0o640, 65534));
        if !entry.is_folder() {
            got.push((entry.path.clone(), bytes));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(got, files());
    // One that reads nothing of a file is held against its sum all the same.
    extract(bytes.as_slice(), &checked, &mut |_, _| Ok(())).unwrap();
}

#[test]
fn the_tar_of_the_system_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("b.tar.gz");
    std::fs::write(&file, backup()).unwrap();
    let listed = std::process::Command::new("tar")
        .arg("-tzf")
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.status.success() && listed.stderr.is_empty(), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[6]), (7, HEADER, MANIFEST), "{text}");
}

#[test]
fn every_byte_that_is_flipped_and_every_place_it_is_cut_at_is_noticed() {
    let whole = backup();
    let checked = check(&whole).unwrap();
    let tar = unzipped(&whole);
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= bit;
            match check(&bytes) {
                // Gzip's own header, and codes that say the same with other bits, change nothing of what is in it.
                Ok(other) => assert!(other == checked && unzipped(&bytes) == tar, "byte {at}"),
                Err(ArchiveError::Io(error)) => panic!("byte {at}: {error}"),
                Err(_) => {}
            }
        }
        let error = check(&whole[..at]).expect_err("cut off");
        assert!(
            matches!(error, ArchiveError::Damaged(_) | ArchiveError::Foreign(_)),
            "cut at {at}: {error}"
        );
    }
    for more in [&b"x"[..], &whole] {
        let mut bytes = whole.clone();
        bytes.extend(more);
        assert!(check(&bytes).unwrap_err().to_string().contains("does not end"));
    }
}

#[test]
fn what_is_foreign_is_named() {
    let mut header_of_another = header();
    header_of_another.format = "other".to_owned();
    let another = Writer::new(Vec::new(), &header_of_another)
        .unwrap()
        .finish()
        .unwrap()
        .0;
    let mut newer = header();
    newer.version = 2;
    let newer = Writer::new(Vec::new(), &newer).unwrap().finish().unwrap().0;
    let mut tar = Block {
        path: "etc/passwd".to_owned(),
        kind: Type::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 0,
    }
    .encode()
    .unwrap()
    .to_vec();
    tar.extend([0; 1024]);
    for (bytes, want) in [
        (Vec::new(), "no gzip over a tar"),
        (b"PK\x03\x04 a zip".to_vec(), "no gzip over a tar"),
        (tar.clone(), "no gzip over a tar"),
        (zipped(b"hello"), "no gzip over a tar"),
        (zipped(&[0; 1024]), "an empty tar"),
        (zipped(&tar), "begins with \"etc/passwd\""),
        (another, "its format is \"other\""),
        (newer, "format 2, and this Masthead knows 1"),
    ] {
        let error = check(&bytes).expect_err("foreign").to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn paths_that_lead_out_links_and_what_stands_twice_are_refused() {
    for (path, kind, want) in [
        ("/etc/passwd", Type::File, "is an absolute path"),
        ("base/../../etc/passwd", Type::File, "leads out of its folder"),
        ("base/..", Type::Folder, "leads out of its folder"),
        ("../base/a", Type::File, "outside of the folders"),
        ("base/./a", Type::File, "no plain path"),
        ("base//a", Type::File, "no plain path"),
        ("etc/a", Type::File, "outside of the folders"),
        ("data/a", Type::File, "outside of the folders"),
        ("masthead-backup.json", Type::File, "outside of the folders"),
        ("base/a\nb", Type::File, "control character"),
        ("base/.masthead-former/a", Type::File, "a working file"),
        ("base/link", Type::Other(b'2'), "is a link"),
        ("base/link", Type::Other(b'1'), "is a link"),
        ("base/null", Type::Other(b'3'), "neither a file nor a folder"),
        ("base/long", Type::Other(b'L'), "neither a file nor a folder"),
        ("base/long", Type::Other(b'x'), "neither a file nor a folder"),
    ] {
        let block = Block {
            path: path.to_owned(),
            kind,
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
        };
        let error = check(&with_block(&block, b"")).expect_err(path).to_string();
        assert!(error.contains(want), "{path}: {error}");
    }
    for (first, second, want) in [
        ("base/a", "base/a", "twice"),
        ("base/a", "base/a/b", "a file with something below it"),
    ] {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        for path in [first, second] {
            writer.file(entry(path, 1), &mut &b"x"[..]).unwrap();
        }
        let error = check(&writer.finish().unwrap().0).expect_err(second).to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[test]
fn a_file_that_the_list_does_not_have_is_noticed() {
    let block = Block {
        path: "base/more".to_owned(),
        kind: Type::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 3,
    };
    let error = check(&with_block(&block, b"abc"))
        .expect_err("not listed")
        .to_string();
    assert!(error.contains("where the list at its end has"), "{error}");
}

#[test]
fn a_size_that_nothing_is_behind_takes_no_memory() {
    let block = Block {
        path: "base/huge".to_owned(),
        kind: Type::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: (1 << 33) - 1,
    };
    let error = check(&with_block(&block, b"")).expect_err("cut off").to_string();
    assert!(error.contains("ends in the middle"), "{error}");
    for (path, size) in [(HEADER, MAX_HEADER_BYTES + 1), (MANIFEST, MAX_MANIFEST_BYTES + 1)] {
        let block = Block {
            path: path.to_owned(),
            size,
            ..block.clone()
        };
        check(&with_block(&block, b"")).expect_err("too long");
    }
}

#[test]
fn what_does_not_fit_is_not_written() {
    let mut writer = Writer::new(Vec::new(), &header()).unwrap();
    for (path, size) in [
        ("base/../x", 0),
        ("elsewhere/x", 0),
        (&*format!("base/{}", "x".repeat(300)), 0),
        ("base/short", 5),
    ] {
        let error = writer.file(entry(path, size), &mut &b""[..]).expect_err(path);
        assert!(matches!(error, ArchiveError::Unfit { .. }), "{error}");
    }
}

#[test]
fn the_corpus_of_the_fuzz_target_is_read_or_refused() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/backup_read");
    let files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let tar = std::fs::read(&file).unwrap();
        fuzz_read(&tar);
        let is_whole = file.ends_with("whole");
        assert_eq!(check(&zipped(&tar)).is_ok(), is_whole, "{}", file.display());
    }
}

proptest! {
    #[test]
    fn any_tar_is_read_or_refused(tar in proptest::collection::vec(any::<u8>(), 0..3000), at in 0..4000usize) {
        // Whatever bytes at any place of an otherwise good one.
        let mut good = unzipped(&backup());
        let at = at.min(good.len());
        let end = (at + tar.len()).min(good.len());
        good.splice(at..end, tar.iter().copied());
        let _ = check(&zipped(&good));
        let _ = check(&zipped(&tar));
        let _ = check(&tar);
    }

    #[test]
    fn contents_of_any_size_come_back(sizes in proptest::collection::vec(0..2000usize, 0..12)) {
        let mut writer = Writer::new(Vec::new(), &header()).unwrap();
        for (number, size) in sizes.iter().enumerate() {
            let content = vec![u8::try_from(number).unwrap(); *size];
            writer.file(entry(&format!("base/{number}"), *size), &mut content.as_slice()).unwrap();
        }
        let (bytes, entries) = writer.finish().unwrap();
        let checked = check(&bytes).unwrap();
        prop_assert_eq!(&checked.entries, &entries);
        let mut got = Vec::new();
        extract(bytes.as_slice(), &checked, &mut |_, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            got.push(bytes.len());
            Ok(())
        }).unwrap();
        prop_assert_eq!(got, sizes);
    }
}
