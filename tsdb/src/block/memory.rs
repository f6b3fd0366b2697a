//! A block in memory: the door for fuzzing the reader.

use std::io;
use std::sync::Arc;

use model::{Cancel, Matcher, Samples};

use super::BlockError;
use super::reader::{Block, Checksums};
use super::verify::verify_open;
use crate::dir::ReadFile;

/// Bytes that are read as a file.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl ReadFile for Bytes {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let part = start.and_then(|start| self.0.get(start..start.checked_add(buf.len())?));
        buf.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// Treats any bytes as a block and reads all there is in it: the body of the fuzz target `block_read`. Gives the number of
/// samples read.
///
/// Bytes that a checksum stops are read once more as if their checksums were right, so that everything behind the checksums
/// is tried too; what comes of that is only that it must not panic.
///
/// # Errors
/// [`BlockError::Corrupt`] for everything that is not a whole block.
pub fn fuzz_read(bytes: &[u8]) -> Result<u64, BlockError> {
    let file: Arc<dyn ReadFile> = Arc::new(Bytes(bytes.to_vec()));
    let read = read_all(&file, Checksums::Compared);
    if read.is_err() {
        let _ = read_all(&file, Checksums::Forged);
    }
    read
}

fn read_all(file: &Arc<dyn ReadFile>, checksums: Checksums) -> Result<u64, BlockError> {
    let block = Block::from_file(Arc::clone(file), "memory".to_owned(), "memory", checksums)?;
    let cancel = Cancel::new();
    let all = (i64::MIN, i64::MAX);
    let mut read = 0;
    let mut samples = Samples::default();
    let mut first_error = None;
    let selected = block.select(&[], all.0, all.1, &cancel);
    for (_, series) in selected.as_deref().unwrap_or_default() {
        samples.clear();
        match series.read(all.0, all.1, &mut samples) {
            Ok(()) => read += samples.len() as u64,
            Err(e) => first_error = first_error.or(Some(e)),
        }
    }
    // Damage to one part must not hide the others from the fuzzer.
    let names = block.label_names(&[], all.0, all.1, &cancel);
    for name in names.iter().flatten() {
        if let Err(e) = block.label_values(name, &[], all.0, all.1, &cancel) {
            first_error = first_error.or(Some(e));
        }
    }
    let present = [Matcher::equal("__name__", "m"), Matcher::equal("n", "")];
    let matched = block.select(&present, all.0, all.1, &cancel);
    verify_open(&block)?;
    first_error.map_or(Ok(()), Err)?;
    selected?;
    names?;
    matched?;
    Ok(read)
}
