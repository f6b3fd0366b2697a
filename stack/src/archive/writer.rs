//! Writes a backup in one pass, or the plain tar that a `tar -x` unpacks.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::ustar::{BLOCK, Block, Type, padding};
use super::{ArchiveError, Entry, HEADER, Header, Kind, MANIFEST, MAX_ENTRIES, hex, path_fault};

/// Blocks are compressed already; what of them can be made smaller is so at the lowest level too.
const LEVEL: u32 = 1;

/// Writes a backup.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: GzEncoder<W>,
    kind: Kind,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Manifest<'a> {
    entries: &'a [Entry],
}

impl<W: Write> Writer<W> {
    /// Begins one.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(out: W, header: &Header) -> Result<Self, ArchiveError> {
        let mut writer = Self {
            out: GzEncoder::new(out, Compression::new(LEVEL)),
            kind: header.kind,
            entries: Vec::new(),
        };
        writer.json(HEADER, &header)?;
        Ok(writer)
    }

    /// Adds a folder; `entry`'s size and sum do not matter.
    ///
    /// # Errors
    /// Its path does not fit, or it cannot be written.
    pub fn folder(&mut self, entry: Entry) -> Result<(), ArchiveError> {
        let entry = Entry {
            size: 0,
            sha256: String::new(),
            ..entry
        };
        self.begin(&entry)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Adds a file of `entry.size` bytes; its sum is found here.
    ///
    /// # Errors
    /// Its path or size does not fit, it ends before that size, or it cannot be written.
    pub fn file(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), ArchiveError> {
        // Its size says that it is a file until the sum does.
        let mut entry = Entry {
            sha256: "-".to_owned(),
            ..entry
        };
        self.begin(&entry)?;
        let mut hashing = Hashing {
            out: &mut self.out,
            sum: Sha256::new(),
        };
        let copied = io::copy(&mut content.take(entry.size), &mut hashing)?;
        if copied != entry.size {
            return Err(ArchiveError::Unfit {
                path: entry.path,
                why: "it became shorter while it was read",
            });
        }
        entry.sha256 = hex(&hashing.sum.finalize());
        pad(&mut self.out, entry.size)?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the list of all entries and the end; gives what was written to, and the list.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<(W, Vec<Entry>), ArchiveError> {
        let entries = std::mem::take(&mut self.entries);
        self.json(MANIFEST, &Manifest { entries: &entries })?;
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok((self.out.finish()?, entries))
    }

    fn begin(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let unfit = |why| ArchiveError::Unfit {
            path: entry.path.clone(),
            why,
        };
        if let Some(why) = path_fault(&entry.path, self.kind) {
            return Err(unfit(why));
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(unfit("a backup holds at most 100000 files and folders"));
        }
        self.out.write_all(&block_of(entry).encode()?)?;
        Ok(())
    }

    fn json(&mut self, name: &str, value: &impl Serialize) -> Result<(), ArchiveError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::from)?;
        let entry = Entry {
            path: name.to_owned(),
            mode: 0o600,
            uid: 0,
            gid: 0,
            size: bytes.len() as u64,
            sha256: "-".to_owned(),
        };
        self.out.write_all(&block_of(&entry).encode()?)?;
        self.out.write_all(&bytes)?;
        pad(&mut self.out, entry.size)?;
        Ok(())
    }
}

/// Writes a plain tar.
#[derive(Debug)]
pub struct StreamWriter<W: Write> {
    out: W,
}

impl<W: Write> StreamWriter<W> {
    /// Begins one.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Adds an entry under another path.
    ///
    /// # Errors
    /// It cannot be written, or its content not be read.
    pub fn add(&mut self, path: &str, entry: &Entry, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let entry = Entry {
            path: path.to_owned(),
            ..entry.clone()
        };
        self.out.write_all(&block_of(&entry).encode()?)?;
        io::copy(content, &mut self.out)?;
        pad(&mut self.out, entry.size)?;
        Ok(())
    }

    /// Writes the end.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn block_of(entry: &Entry) -> Block {
    Block {
        path: entry.path.clone(),
        kind: match entry.is_folder() {
            true => Type::Folder,
            false => Type::File,
        },
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: entry.size,
    }
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    out.write_all([0; BLOCK].get(..padding(size)).unwrap_or_default())
}

/// Passes bytes on and adds them to a sum.
struct Hashing<'a, W: Write> {
    out: &'a mut W,
    sum: Sha256,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
