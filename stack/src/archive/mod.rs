//! A backup as one file: gzip over tar, read strictly, so that what is damaged or not ours is refused before anything is touched.
//!
//! ```text
//! masthead-backup.json   what this is: format, kind, host, time, versions       first, so that a foreign file ends at once
//! base/... or data/...   folders and files, in no order that matters            regular files and folders alone
//! manifest.json          every entry with its size and SHA-256                  last, when they are known: without it, it was cut off
//! two blocks of zeros, and the end of the file
//! ```
//!
//! The tar is plain ustar: any `tar` lists and unpacks it. [`Writer`] makes one in a single pass; [`verify`] reads one from end to end
//! and gives what is in it, [`extract`] reads it again and hands out the files, each of which it holds against what was verified.
//! Sync: bytes come in and go out. Memory is bounded whatever the bytes say.

mod file;
mod reader;
#[cfg(test)]
mod tests;
mod ustar;
mod writer;

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};

pub use file::NewFile;
pub use reader::{extract, verify};
pub(crate) use ustar::{Block, Incoming, Type};
pub use writer::{StreamWriter, Writer};

/// The first entry.
const HEADER: &str = "masthead-backup.json";
/// The last one.
const MANIFEST: &str = "manifest.json";
/// What [`Header::format`] says.
const FORMAT: &str = "masthead-backup";
/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
/// A longer header is none.
const MAX_HEADER_BYTES: u64 = 64 << 10;
/// The longest list of entries: some hundred bytes for each of [`MAX_ENTRIES`].
const MAX_MANIFEST_BYTES: u64 = 48 << 20;
/// More than a store with years of blocks has.
const MAX_ENTRIES: usize = 100_000;

/// Whose data it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The stack of containers: everything below `base/` belongs below a base directory.
    Upstream,
    /// `masthead up`: `data/` is a data folder, `config/` holds its files of configuration.
    Embedded,
}

impl Kind {
    /// Folders that its entries are below.
    fn tops(self) -> &'static [&'static str] {
        match self {
            Self::Upstream => &["base"],
            Self::Embedded => &["data", "config"],
        }
    }

    /// The word for the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Embedded => "embedded",
        }
    }
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always [`FORMAT`].
    format: String,
    /// Of the format.
    version: u32,
    /// Whose data it is.
    pub kind: Kind,
    /// The name of the host that it is of.
    pub host: String,
    /// When it was made, RFC 3339.
    pub time: String,
    /// The Masthead that made it.
    pub masthead: String,
    /// Images of the components, by component.
    #[serde(default)]
    pub versions: BTreeMap<String, String>,
}

impl Header {
    /// A header of the version that is written.
    #[must_use]
    pub fn new(kind: Kind, host: String, time: String, masthead: String) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            kind,
            host,
            time,
            masthead,
            versions: BTreeMap::new(),
        }
    }
}

/// A file or folder in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// With `/`, below one of the folders of its kind.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of a file; 0 of a folder.
    pub size: u64,
    /// Of a file's bytes, 64 hexadecimal digits; empty of a folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
}

impl Entry {
    /// Is it a folder?
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.sha256.is_empty()
    }
}

/// A backup that was read from end to end and is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub header: Header,
    /// In the order in which they stand in it.
    pub entries: Vec<Entry>,
}

impl Checked {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.size).sum()
    }
}

/// Why a file is no backup that can be used, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("it is no backup of Masthead ({0})")]
    Foreign(String),
    /// It was made by a newer Masthead.
    #[error(
        "it is a backup in format {found}, and this Masthead knows {VERSION}; use the Masthead that made it, or a newer one"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
    /// It was a backup, but is not as it was written.
    #[error("it is damaged: {0}; use another copy of it")]
    Damaged(String),
    /// Something in it must not be in a backup.
    #[error("it holds {path:?}, which {why}; nothing that Masthead writes does")]
    Unsafe {
        /// The path of it.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What was to be written does not fit the format.
    #[error("{path:?} cannot be put into a backup: {why}")]
    Unfit {
        /// The path of it.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// For fuzzing: any bytes as the tar in a backup, which a checksum would stop otherwise.
pub fn fuzz_read(tar: &[u8]) {
    use io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    // Writing to memory does not fail.
    let Ok(bytes) = gzip.write_all(tar).and_then(|()| gzip.finish()) else {
        return;
    };
    if let Ok(checked) = verify(bytes.as_slice(), &mut |_| {}) {
        // What was verified is handed out whole.
        let mut size = 0;
        let handed_out = extract(bytes.as_slice(), &checked, &mut |_, content| {
            size += io::copy(content, &mut io::sink())?;
            Ok(())
        });
        assert!(
            handed_out.is_ok() && size == checked.bytes(),
            "what was verified is handed out whole"
        );
    }
}

/// Why this path must not be in a backup of this kind.
fn path_fault(path: &str, kind: Kind) -> Option<&'static str> {
    if path.starts_with('/') {
        return Some("is an absolute path");
    }
    let mut parts = path.split('/');
    let top = parts.next().unwrap_or_default();
    if !kind.tops().contains(&top) {
        return Some("is outside of the folders that a backup has");
    }
    for part in parts {
        match part {
            ".." => return Some("leads out of its folder"),
            "" | "." => return Some("is no plain path"),
            part if part.chars().any(char::is_control) => return Some("has a control character in its name"),
            // Of a restore that is at work, or was cut off.
            part if part.starts_with(".masthead-") => return Some("is a working file"),
            _ => {}
        }
    }
    None
}

/// 64 hexadecimal digits.
fn hex(digest: &[u8]) -> String {
    use std::fmt::Write as _;
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
