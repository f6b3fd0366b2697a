//! A block in memory: the door for fuzzing the reader.

use std::io;
use std::sync::Arc;

use model::{Cancel, Samples};

use super::BlockError;
use super::reader::Block;
use super::verify::verify_open;
use crate::dir::ReadFile;

/// Bytes that are read as a file.
#[derive(Debug)]
struct Bytes(Vec<u8>);

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
/// # Errors
/// [`BlockError::Corrupt`] for everything that is not a whole block.
pub fn fuzz_read(bytes: &[u8]) -> Result<u64, BlockError> {
    let block = Block::from_file(Arc::new(Bytes(bytes.to_vec())), "memory".to_owned(), "memory")?;
    let cancel = Cancel::new();
    let mut read = 0;
    let mut samples = Samples::default();
    for (_, series) in block.select(&[], i64::MIN, i64::MAX, &cancel)? {
        samples.clear();
        series.read(i64::MIN, i64::MAX, &mut samples)?;
        read += samples.len() as u64;
    }
    for name in block.label_names(&[], i64::MIN, i64::MAX, &cancel)? {
        block.label_values(&name, &[], i64::MIN, i64::MAX, &cancel)?;
    }
    verify_open(&block)?;
    Ok(read)
}
