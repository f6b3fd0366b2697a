//! Appends to the log. After an error the log ends where it ended before, or the store is poisoned.

use std::sync::Arc;

use crate::dir::{Dir, WriteFile};
use crate::error::{AppendError, Error, io_error};

use super::{FOLDER, HEADER_BYTES, NO_CUT, header, segment_name};

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: Arc<dyn Dir>,
    number: u64,
    file: Box<dyn WriteFile>,
    /// Up to here the segment holds whole records.
    len: u64,
    unsynced_bytes: u64,
    segment_bytes: u64,
    sync_bytes: u64,
    /// A failed write could not be cut off: nothing more goes into this segment.
    torn: bool,
    poisoned: Option<String>,
    /// `(number, bytes)` of the segments before this one.
    older: Vec<(u64, u64)>,
    checkpoint_bytes: u64,
    syncs: u64,
}

/// Figures about the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct WalState {
    pub(crate) bytes: u64,
    pub(crate) segments: u64,
    pub(crate) syncs: u64,
}

/// What a start found in the folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// `(number, bytes)` of the segments that stay.
    pub(crate) segments: Vec<(u64, u64)>,
    /// Bytes of the checkpoint.
    pub(crate) checkpoint_bytes: u64,
    /// Length up to which the last segment counts, when what follows could not be cut off.
    pub(crate) cut: Option<u64>,
}

impl Wal {
    /// Starts a new segment after those that were found.
    pub(crate) fn create(
        dir: Arc<dyn Dir>,
        number: u64,
        found: Found,
        segment_bytes: u64,
        sync_bytes: u64,
    ) -> Result<Self, Error> {
        let file = new_segment(dir.as_ref(), number, found.cut.unwrap_or(NO_CUT))?;
        Ok(Self {
            dir,
            number,
            file,
            len: HEADER_BYTES as u64,
            unsynced_bytes: 0,
            segment_bytes,
            sync_bytes,
            torn: false,
            poisoned: None,
            older: found.segments,
            checkpoint_bytes: found.checkpoint_bytes,
            syncs: 1,
        })
    }

    /// Why the store takes no more writes, when it does not.
    pub(crate) fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    /// True when the segment ends in bytes that could not be cut off, which a crash would leave to the next start.
    pub(crate) fn is_torn(&self) -> bool {
        self.torn
    }

    /// Writes records in one go. On an error nothing of them counts.
    pub(crate) fn append(&mut self, records: &[u8]) -> Result<(), AppendError> {
        if let Some(reason) = &self.poisoned {
            return Err(AppendError::Poisoned {
                reason: reason.clone(),
            });
        }
        if self.torn && self.file.truncate(self.len).is_ok() {
            self.torn = false;
        }
        let full = self.len + records.len() as u64 > self.segment_bytes && self.len > HEADER_BYTES as u64;
        if self.torn || full {
            let rotated = self.rotate();
            if let Some(reason) = &self.poisoned {
                return Err(AppendError::Poisoned {
                    reason: reason.clone(),
                });
            }
            // A segment that is merely full can grow on when the next one cannot be made.
            if let (true, Err(Error::Io { path, source, .. })) = (self.torn, rotated) {
                return Err(AppendError::Wal { path, source });
            }
        }
        if let Err(source) = self.file.append(records) {
            let path = self.dir.display(&segment_name(self.number));
            if self.file.truncate(self.len).is_err() {
                self.torn = true;
            }
            return Err(AppendError::Wal { path, source });
        }
        self.len += records.len() as u64;
        self.unsynced_bytes += records.len() as u64;
        Ok(())
    }

    /// True when enough was written since the last sync that another is due.
    pub(crate) fn wants_sync(&self) -> bool {
        self.unsynced_bytes >= self.sync_bytes
    }

    /// Returns when everything appended is on the device. After a failure the store is poisoned.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        if let Some(reason) = &self.poisoned {
            return Err(Error::Poisoned {
                reason: reason.clone(),
            });
        }
        if self.unsynced_bytes == 0 {
            return Ok(());
        }
        self.sync_file()
    }

    fn sync_file(&mut self) -> Result<(), Error> {
        self.syncs += 1;
        if let Err(source) = self.file.sync() {
            let path = self.dir.display(&segment_name(self.number));
            let reason = format!("syncing the log {path} failed: {source}");
            self.poisoned = Some(reason.clone());
            return Err(Error::Poisoned { reason });
        }
        self.unsynced_bytes = 0;
        Ok(())
    }

    /// Syncs this segment and starts the next; gives its number.
    pub(crate) fn rotate(&mut self) -> Result<u64, Error> {
        if let Some(reason) = &self.poisoned {
            return Err(Error::Poisoned {
                reason: reason.clone(),
            });
        }
        if self.unsynced_bytes > 0 {
            self.sync_file()?;
        }
        let cut = if self.torn { self.len } else { NO_CUT };
        let file = new_segment(self.dir.as_ref(), self.number + 1, cut)?;
        self.older.push((self.number, self.len));
        self.number += 1;
        self.file = file;
        self.len = HEADER_BYTES as u64;
        self.torn = false;
        Ok(self.number)
    }

    /// A checkpoint with this number and size stands: the segments before it are no more.
    pub(crate) fn checkpointed(&mut self, number: u64, bytes: u64) {
        self.older.retain(|(n, _)| *n >= number);
        self.checkpoint_bytes = bytes;
    }

    pub(crate) fn state(&self) -> WalState {
        let older: u64 = self.older.iter().map(|(_, bytes)| bytes).sum();
        WalState {
            bytes: older + self.len + self.checkpoint_bytes,
            segments: self.older.len() as u64 + 1,
            syncs: self.syncs,
        }
    }
}

/// Makes a segment whose header and name are on the device.
fn new_segment(dir: &dyn Dir, number: u64, cut: u64) -> Result<Box<dyn WriteFile>, Error> {
    let name = segment_name(number);
    let mut file = dir
        .create(&name)
        .map_err(io_error("creating", dir.display(&name)))?;
    file.append(&header(cut))
        .map_err(io_error("writing", dir.display(&name)))?;
    file.sync().map_err(io_error("syncing", dir.display(&name)))?;
    dir.sync_dir(FOLDER)
        .map_err(io_error("syncing the folder", dir.display(FOLDER)))?;
    Ok(file)
}
