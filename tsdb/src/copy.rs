//! The files of a store as they are at one moment, for a copy of it beside a Masthead that goes on writing.
//!
//! Blocks never change, and an open file can be read to its end though its name is gone. So the files are opened first and read at
//! leisure. That the list of blocks is the same before and after the log was opened proves that no cut moved samples from one to the
//! other in between. The last segment counts up to its last whole record.

use std::io;
use std::sync::Arc;

use model::Cancel;

use crate::dir::{Dir, ReadFile};
use crate::error::{Error, io_error};
use crate::maintain::{BLOCKS, check};
use crate::read_only::{ATTEMPTS, block_names, log_files};
use crate::wal::scan;

/// A file of a store.
#[derive(Debug, Clone)]
pub struct StoreFile {
    /// Below the data folder, with `/`.
    pub name: String,
    /// Open.
    pub file: Arc<dyn ReadFile>,
    /// As many of its bytes count.
    pub bytes: u64,
}

/// Opens all files of the store in `dir` as of one moment.
///
/// # Errors
/// [`Error::Io`] for what cannot be read, or changes each time it is looked at.
pub fn store_files(dir: &dyn Dir, cancel: &Cancel) -> Result<Vec<StoreFile>, Error> {
    for _ in 0..ATTEMPTS {
        check(cancel)?;
        let names = block_names(dir)?;
        let blocks = names.iter().map(|name| format!("{BLOCKS}/{name}"));
        let Some(mut files) = open_all(dir, blocks)? else {
            continue;
        };
        let Some(mut log) = open_all(dir, log_files(dir)?.into_iter())? else {
            continue;
        };
        if let Some(last) = log.last_mut() {
            last.bytes = whole_records(last).map_err(io_error("reading", dir.display(&last.name)))?;
        }
        if block_names(dir)? == names {
            files.append(&mut log);
            return Ok(files);
        }
    }
    let busy = io::Error::other("its files changed each time they were opened; try again");
    Err(io_error("reading", dir.display(BLOCKS))(busy))
}

/// `None` when one has gone meanwhile.
fn open_all(dir: &dyn Dir, names: impl Iterator<Item = String>) -> Result<Option<Vec<StoreFile>>, Error> {
    let mut files = Vec::new();
    for name in names {
        let opened = dir.open(&name).and_then(|file| Ok((file.len()?, file)));
        match opened {
            Ok((bytes, file)) => files.push(StoreFile { name, file, bytes }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("opening", dir.display(&name))(error)),
        }
    }
    Ok(Some(files))
}

/// The length of a segment without a record that is only half there. Of damage nothing is cut off.
fn whole_records(segment: &StoreFile) -> io::Result<u64> {
    let mut bytes = vec![0; usize::try_from(segment.bytes).map_err(io::Error::other)?];
    segment.file.read_exact_at(&mut bytes, 0)?;
    let end = scan(&bytes, |_, _| true);
    Ok(match end.tail {
        Some(_) => end.good_len as u64,
        None => segment.bytes,
    })
}
