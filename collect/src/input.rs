//! Reading the kernel's small files into buffers that live as long as the collector.
//!
//! A file of `/proc` has no length: it is read until it gives no more. Those that are read every round stay open as a
//! [`Source`] and are read from their beginning again: that is how the kernel makes them anew, and it saves the way
//! along the path and, in the kernel, the buffer that it grows for each opened file (half the time for most). Text that is not UTF-8 (a mount point can be
//! any bytes) is taken with replacement characters, so that one odd name costs itself and not the whole file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::CollectError;

/// No file that is read here comes near this: `/proc/stat` of a machine with a thousand processors has half a megabyte.
const FILE_BYTES_MAX: usize = 16 << 20;

/// First size of a buffer; most files fit, so that two reads take them whole.
const BUFFER_BYTES: usize = 16 << 10;

/// One file's text.
#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    len: usize,
    lossy: Option<String>,
}

impl Text {
    fn load(&mut self, file: &File) -> io::Result<()> {
        self.lossy = None;
        self.fill(file)?;
        if std::str::from_utf8(&self.bytes[..self.len]).is_err() {
            self.lossy = Some(String::from_utf8_lossy(&self.bytes[..self.len]).into_owned());
        }
        Ok(())
    }

    fn fill(&mut self, file: &File) -> io::Result<()> {
        self.len = 0;
        loop {
            if self.len == self.bytes.len() {
                if self.len >= FILE_BYTES_MAX {
                    return Err(io::Error::new(
                        io::ErrorKind::FileTooLarge,
                        "the file has more than 16 MiB",
                    ));
                }
                self.bytes.resize((self.len * 2).max(BUFFER_BYTES), 0);
            }
            match file.read_at(&mut self.bytes[self.len..], self.len as u64) {
                Ok(0) => return Ok(()),
                Ok(count) => self.len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn as_str(&self) -> &str {
        match &self.lossy {
            Some(text) => text,
            None => std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default(),
        }
    }
}

/// A file that is read every round and stays open in between.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: Option<File>,
}

impl Source {
    /// The file at this path. It is opened when it is first read.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    /// Its path, for errors.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the kernel says that nothing has changed since the file was last read or asked about. It says so of lists of
    /// mounts alone (`poll` answers "readable", and "exceptional" after a change); any other file counts as changed.
    pub(crate) fn is_unchanged(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let Some(file) = &self.file else { return false };
        let mut asked = [PollFd::new(file, PollFlags::IN | PollFlags::OUT | PollFlags::PRI)];
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents() == PollFlags::IN
    }

    /// Reads the file whole. One that was open and no longer reads (its process or device is gone) is opened again.
    fn load(&mut self, text: &mut Text) -> Result<(), CollectError> {
        if let Some(file) = &self.file
            && text.load(file).is_ok()
        {
            return Ok(());
        }
        self.file = None;
        let opened = File::open(&self.path).and_then(|file| text.load(&file).map(|()| file));
        match opened {
            Ok(file) => self.file = Some(file),
            Err(source) => {
                return Err(CollectError::Read {
                    path: self.path.clone(),
                    source,
                });
            }
        }
        Ok(())
    }
}

/// What collectors read through.
#[derive(Debug, Default)]
pub(crate) struct Input {
    text: Text,
    stat: Text,
    stat_fresh: bool,
}

impl Input {
    /// The file's text. It stays until the next read.
    pub(crate) fn read(&mut self, path: &Path) -> Result<&str, CollectError> {
        let read = File::open(path).and_then(|file| self.text.load(&file));
        read.map_err(|source| CollectError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(self.text.as_str())
    }

    /// The same for a file that stays open.
    pub(crate) fn source(&mut self, source: &mut Source) -> Result<&str, CollectError> {
        source.load(&mut self.text)?;
        Ok(self.text.as_str())
    }

    /// The file's text without the blanks around it, or nothing when it cannot be read: for the one-value files of
    /// `/sys`, which come and go with devices and kernel versions.
    pub(crate) fn read_value(&mut self, path: &Path) -> Option<&str> {
        self.read(path).ok().map(str::trim)
    }

    /// `/proc/stat`, read anew; [`Input::stat_again`] then gives the same text once more.
    pub(crate) fn stat(&mut self, source: &mut Source) -> Result<&str, CollectError> {
        self.stat_fresh = false;
        source.load(&mut self.stat)?;
        self.stat_fresh = true;
        Ok(self.stat.as_str())
    }

    /// `/proc/stat` as the `cpu` collector of this round read it, else read anew. It is the dearest file of all (the
    /// kernel sums up every interrupt of every processor for it), so one round reads it once.
    pub(crate) fn stat_again(&mut self, source: &mut Source) -> Result<&str, CollectError> {
        if !self.stat_fresh {
            source.load(&mut self.stat)?;
        }
        self.stat_fresh = false;
        Ok(self.stat.as_str())
    }

    /// The round is over: nothing that was read in it is given out again.
    pub(crate) fn end_round(&mut self) {
        self.stat_fresh = false;
    }
}

/// A number as the kernel prints it, as the float that upstream makes of it.
pub(crate) fn number(text: &str) -> Option<f64> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "samples are floats: upstream rounds the same way"
    )]
    match text.parse::<u64>() {
        Ok(value) => Some(value as f64),
        Err(_) => text.parse::<f64>().ok(),
    }
}

/// Entries of a directory whose names are `prefix` and a digit and more, sorted by name; none when it cannot be read.
pub(crate) fn numbered_entries(directory: &Path, prefix: &str) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        })
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_longer_than_the_buffer_and_not_utf8_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut input = Input::default();
        std::fs::write(&path, "x".repeat(BUFFER_BYTES * 3 + 7)).unwrap();
        assert_eq!(input.read(&path).unwrap().len(), BUFFER_BYTES * 3 + 7);
        std::fs::write(&path, b"a\xffb\n").unwrap();
        assert_eq!(input.read(&path).unwrap(), "a\u{fffd}b\n");
        std::fs::write(&path, "short \n").unwrap();
        assert_eq!(input.read_value(&path), Some("short"));
        let error = input.read(&dir.path().join("none")).unwrap_err();
        assert!(error.is_not_found(), "{error}");
    }

    #[test]
    fn stat_is_read_once_a_round() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stat");
        let mut input = Input::default();
        let mut source = Source::new(path.clone());
        std::fs::write(&path, "1").unwrap();
        assert_eq!(input.stat(&mut source).unwrap(), "1");
        std::fs::write(&path, "2").unwrap();
        assert_eq!(input.stat_again(&mut source).unwrap(), "1");
        assert_eq!(input.stat_again(&mut source).unwrap(), "2");
    }

    #[test]
    fn an_open_file_is_read_anew_and_one_that_comes_later_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut input = Input::default();
        let mut source = Source::new(path.clone());
        assert!(input.source(&mut source).unwrap_err().is_not_found());
        std::fs::write(&path, "longer").unwrap();
        assert_eq!(input.source(&mut source).unwrap(), "longer");
        std::fs::write(&path, "less").unwrap();
        assert_eq!(input.source(&mut source).unwrap(), "less");
        let mut processes = Source::new("/proc/stat".into());
        let first = input.source(&mut processes).unwrap().len();
        assert!(first > 0 && !input.source(&mut processes).unwrap().is_empty());
    }

    #[test]
    fn only_a_list_of_mounts_says_that_nothing_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "x").unwrap();
        let mut input = Input::default();
        for (path, want) in [
            (path, false),
            ("/proc/stat".into(), false),
            ("/proc/self/mountinfo".into(), true),
        ] {
            let mut source = Source::new(path);
            assert!(!source.is_unchanged(), "{source:?} was not read yet");
            input.source(&mut source).unwrap();
            // Another test's mount may come in between, once.
            assert_eq!(source.is_unchanged() || source.is_unchanged(), want, "{source:?}");
        }
    }

    #[test]
    fn numbers_are_the_floats_that_upstream_makes() {
        for (text, want) in [
            ("0", Some(0.0)),
            ("18446744073709551615", Some(18_446_744_073_709_551_615.0)),
            ("-1", Some(-1.0)),
            ("0.21", Some(0.21)),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(number(text), want, "{text:?}");
        }
    }
}
