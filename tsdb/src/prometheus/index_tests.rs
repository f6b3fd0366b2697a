//! Indexes of both versions, made by hand.

use std::sync::Arc;

use super::crc32c;
use super::file::SourceFile;
use super::index::{ChunkMeta, Index, SeriesEntry};
use crate::block::BlockError;
use crate::block::bytes::{put_i64, put_len, put_str, put_u64};
use crate::block::memory::Bytes;
use crate::block::reader::Checksums;

/// Length, bytes, checksum.
fn section(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&len[..], body, &crc32c::checksum(body).to_be_bytes()].concat()
}

/// An index of `m{id="1"}` and `m{id="2"}`; the second has chunks that overlap.
fn index(version: u8) -> Vec<u8> {
    let texts = ["1", "2", "__name__", "id", "m"];
    let mut symbols = u32::try_from(texts.len()).unwrap().to_be_bytes().to_vec();
    let mut places = Vec::new();
    for text in texts {
        // Behind header and length.
        places.push(5 + 4 + symbols.len() as u64);
        put_str(&mut symbols, text);
    }
    let symbol = |text: &str| {
        let number = texts.iter().position(|other| *other == text).unwrap();
        if version == 1 {
            places[number]
        } else {
            number as u64
        }
    };
    let mut out = [&[0xba, 0xaa, 0xd7, 0x00, version][..], &section(&symbols)].concat();
    let series_at = out.len() as u64;
    for (id, chunks) in [
        ("1", &[(0i64, 100i64, 8u64)][..]),
        ("2", &[(0, 100, 300), (50, 200, 250), (300, 300, 1 << 32 | 8)]),
    ] {
        let mut entry = Vec::new();
        put_len(&mut entry, 2);
        ["__name__", "m", "id", id]
            .iter()
            .for_each(|text| put_u64(&mut entry, symbol(text)));
        put_len(&mut entry, chunks.len());
        let mut before: Option<(i64, u64)> = None;
        for (min_ms, max_ms, place) in chunks {
            match before {
                None => put_i64(&mut entry, *min_ms),
                Some((last_ms, _)) => put_u64(&mut entry, min_ms.wrapping_sub(last_ms).cast_unsigned()),
            }
            put_u64(&mut entry, (max_ms - min_ms).cast_unsigned());
            match before {
                None => put_u64(&mut entry, *place),
                Some((_, last)) => put_i64(&mut entry, place.wrapping_sub(last).cast_signed()),
            }
            before = Some((*max_ms, *place));
        }
        if version == 2 {
            out.resize(out.len().next_multiple_of(16), 0);
        }
        put_len(&mut out, entry.len());
        out.extend_from_slice(&entry);
        out.extend_from_slice(&crc32c::checksum(&entry).to_be_bytes());
    }
    let end = out.len() as u64;
    // Label indices and postings are not read.
    out.extend_from_slice(&section(&[0; 8]));
    let contents = [5, series_at, end, end, end, end].map(u64::to_be_bytes).concat();
    out.extend_from_slice(&contents);
    out.extend_from_slice(&crc32c::checksum(&contents).to_be_bytes());
    out
}

/// `labels: chunks` of each series.
fn read(bytes: &[u8]) -> Result<Vec<String>, BlockError> {
    let file = SourceFile::over(
        Arc::new(Bytes(bytes.to_vec())),
        "index".to_owned(),
        64,
        Checksums::Compared,
    )?;
    let index = Index::read(file)?;
    let mut entries = index.series();
    let (mut entry, mut encoded, mut out) = (SeriesEntry::default(), String::new(), Vec::new());
    while entries.next(&mut entry)? {
        let labels = index.labels(&entry, &mut encoded)?;
        let chunk = |chunk: &ChunkMeta| format!(" {}..{}@{}", chunk.min_ms, chunk.max_ms, chunk.place);
        out.push(format!(
            "{labels}:{}",
            entry.chunks.iter().map(chunk).collect::<String>()
        ));
    }
    Ok(out)
}

#[test]
fn both_versions_are_read() {
    for version in [1, 2] {
        let want = [
            "m{id=\"1\"}: 0..100@8",
            "m{id=\"2\"}: 0..100@300 50..200@250 300..300@4294967304",
        ];
        assert_eq!(read(&index(version)).unwrap(), want, "version {version}");
    }
    let error = read(&index(4)).unwrap_err().to_string();
    assert!(error.contains("version 4"), "{error}");
}

#[test]
fn damage_is_noticed_wherever_it_matters() {
    for version in [1, 2] {
        let whole = index(version);
        let want = read(&whole).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            // Padding, and the section that is not read.
            assert!(
                read(&bad).is_err() || read(&bad).unwrap() == want,
                "version {version} byte {at}"
            );
            assert!(read(&whole[..at]).is_err(), "version {version} cut at {at}");
        }
    }
}
