//! Files of cgroups, kept open between rounds as long as there is room.
//!
//! A kept file is read at 0 again, which is how the kernel makes its text anew; opening it costs about as much as
//! reading it. There is a budget of files that may be open. When it is used up, and when the process or the system
//! runs out of files, a file is opened, read and closed: slower, and nothing is lost. One spare file is held for
//! that case, so that there always is a number to be had.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

/// First size of the buffer; no file of a cgroup that is read here comes near it.
const BUFFER_BYTES: usize = 16 << 10;
/// Half of the smallest page: the kernel stops early only where the next record would not fit, and none is that long.
const RECORDS_BYTES: usize = 2048;
/// Where reading stops: a list of processes of this size has a million of them.
const FILE_BYTES_MAX: usize = 8 << 20;
/// Files held open until the shell says how many there may be.
const FILES_MAX: usize = 512;

/// How a file's text comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In one piece: a read that is shorter than the buffer has it all.
    Whole,
    /// Record by record, as many as fit into a page of the kernel's: a read of less than half a page has it all.
    Records,
}

/// One file of one cgroup.
#[derive(Debug)]
pub(super) struct Slot {
    path: PathBuf,
    shape: Shape,
    file: Option<File>,
    /// It was not there when it was first looked for: this kernel does not have it, and nobody looks again.
    absent: bool,
}

impl Slot {
    pub(super) fn new(path: PathBuf, shape: Shape) -> Self {
        Self {
            path,
            shape,
            file: None,
            absent: false,
        }
    }
}

/// Reads slots and paths into one buffer.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Vec<u8>,
    open: usize,
    max: usize,
    spare: Option<File>,
    starved: bool,
    denied: Option<PathBuf>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            buffer: vec![0; BUFFER_BYTES],
            open: 0,
            max: FILES_MAX,
            spare: File::open("/").ok(),
            starved: false,
            denied: None,
        }
    }
}

impl Reader {
    /// The text of a file that stays open if there is room; `None` when it cannot be read.
    pub(super) fn read(&mut self, slot: &mut Slot) -> Option<&[u8]> {
        if slot.absent {
            return None;
        }
        if let Some(file) = &slot.file {
            match fill(&mut self.buffer, file, slot.shape) {
                Ok(len) => return Some(&self.buffer[..len]),
                // Its cgroup is gone, or is another one under the same name.
                Err(_) => self.close(slot),
            }
        }
        let file = match self.open(&slot.path) {
            Ok(file) => file,
            Err(error) => {
                slot.absent = error.kind() == io::ErrorKind::NotFound;
                if error.kind() == io::ErrorKind::PermissionDenied && self.denied.is_none() {
                    self.denied = Some(slot.path.clone());
                }
                return None;
            }
        };
        let len = fill(&mut self.buffer, &file, slot.shape).ok()?;
        // Once the system has had no file to give, each one is given back at once.
        if self.open < self.max && !self.starved {
            self.open += 1;
            slot.file = Some(file);
        }
        Some(&self.buffer[..len])
    }

    /// The text of a file in a folder that stays open if there is room, while the file is opened for this read alone.
    pub(super) fn read_below(&mut self, folder: &mut Slot, name: &str) -> Option<&[u8]> {
        if folder.file.is_none() && self.open < self.max && !self.starved {
            folder.file = Some(self.open(&folder.path).ok()?);
            self.open += 1;
        }
        let Some(held) = &folder.file else {
            let path = folder.path.join(name);
            return self.read_path(&path);
        };
        let file = match openat(held, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::MFILE | Errno::NFILE) => {
                self.starved = true;
                self.close(folder);
                let path = folder.path.join(name);
                return self.read_path(&path);
            }
            Err(_) => {
                self.close(folder);
                return None;
            }
        };
        let len = fill(&mut self.buffer, &file, Shape::Records).ok()?;
        Some(&self.buffer[..len])
    }

    /// The text of a file that is opened for this read alone.
    pub(super) fn read_path(&mut self, path: &Path) -> Option<&[u8]> {
        let file = self.open(path).ok()?;
        let len = fill(&mut self.buffer, &file, Shape::Records).ok()?;
        Some(&self.buffer[..len])
    }

    /// Closes a slot's file, if it is open.
    pub(super) fn close(&mut self, slot: &mut Slot) {
        if slot.file.take().is_some() {
            self.open = self.open.saturating_sub(1);
        }
    }

    /// Most files that may be open from now on. Those too many are closed by who holds them ([`Reader::excess`]).
    pub(super) fn set_max(&mut self, files: usize) {
        self.max = files;
    }

    /// How many open files are too many.
    pub(super) fn excess(&self) -> usize {
        self.open.saturating_sub(self.max)
    }

    /// Files held open.
    #[cfg(test)]
    pub(super) fn open_len(&self) -> usize {
        self.open
    }

    /// Ends a round: after one in which the system had no file to give, half of the held ones are given up. Returns
    /// a file that permission was denied for, the first one of the round.
    pub(super) fn end_round(&mut self) -> Option<PathBuf> {
        if std::mem::take(&mut self.starved) {
            self.max = self.open / 2;
        }
        if self.spare.is_none() {
            self.spare = File::open("/").ok();
        }
        self.denied.take()
    }

    fn open(&mut self, path: &Path) -> io::Result<File> {
        let mut opened = File::open(path);
        if let Err(error) = &opened
            && matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
        {
            self.starved = true;
            if self.spare.take().is_some() {
                opened = File::open(path);
            }
        }
        opened
    }
}

/// Reads a file from its beginning; how many bytes.
fn fill(buffer: &mut Vec<u8>, file: &File, shape: Shape) -> io::Result<usize> {
    let mut len = 0;
    loop {
        if len == buffer.len() {
            if len >= FILE_BYTES_MAX {
                return Ok(len);
            }
            buffer.resize(len * 2, 0);
        }
        match file.read_at(&mut buffer[len..], len as u64) {
            Ok(0) => return Ok(len),
            Ok(count) => {
                len += count;
                let is_all = match shape {
                    Shape::Whole => len < buffer.len(),
                    Shape::Records => count < RECORDS_BYTES && len < buffer.len(),
                };
                if is_all {
                    return Ok(len);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_open_within_the_budget_and_are_read_without_it_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut reader = Reader::default();
        reader.set_max(1);
        let mut slots: Vec<Slot> = ["a", "b"]
            .iter()
            .map(|name| {
                std::fs::write(dir.path().join(name), format!("{name} 1\n")).unwrap();
                Slot::new(dir.path().join(name), Shape::Whole)
            })
            .collect();
        for _ in 0..2 {
            assert_eq!(reader.read(&mut slots[0]), Some(b"a 1\n".as_slice()));
            assert_eq!(reader.read(&mut slots[1]), Some(b"b 1\n".as_slice()));
            assert_eq!(reader.open_len(), 1);
        }
        reader.set_max(0);
        assert_eq!(reader.excess(), 1);
        reader.close(&mut slots[0]);
        assert_eq!((reader.excess(), reader.open_len()), (0, 0));
        assert_eq!(reader.read(&mut slots[0]), Some(b"a 1\n".as_slice()));
        assert_eq!(reader.open_len(), 0);
    }

    #[test]
    fn a_folder_stays_open_and_its_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "1").unwrap();
        let mut reader = Reader::default();
        let mut folder = Slot::new(dir.path().to_path_buf(), Shape::Records);
        for max in [1, 0] {
            reader.set_max(max);
            assert_eq!(reader.read_below(&mut folder, "a"), Some(b"1".as_slice()));
            assert_eq!(reader.open_len(), max);
            assert_eq!(reader.read_below(&mut folder, "b"), None);
            assert_eq!(
                reader.open_len(),
                0,
                "what does not read is looked for along its path again"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_not_looked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("late");
        let mut reader = Reader::default();
        let mut slot = Slot::new(path.clone(), Shape::Whole);
        assert_eq!(reader.read(&mut slot), None);
        std::fs::write(&path, "1").unwrap();
        assert_eq!(reader.read(&mut slot), None);
        assert_eq!(reader.read_path(&path), Some(b"1".as_slice()));
    }

    #[test]
    fn long_files_are_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("long");
        std::fs::write(&path, "x".repeat(BUFFER_BYTES * 2)).unwrap();
        let mut reader = Reader::default();
        for shape in [Shape::Whole, Shape::Records] {
            let mut slot = Slot::new(path.clone(), shape);
            assert_eq!(reader.read(&mut slot).map(<[u8]>::len), Some(BUFFER_BYTES * 2));
        }
    }
}
