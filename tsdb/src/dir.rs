//! All that the store does to a file system, behind one trait: the real one, or a simulated one whose n-th operation fails.
//!
//! Names are relative, with `/` between folders (`wal/00000003`, `blocks/01J...`). Reading is by offset
//! (`read_at`); nothing is mapped. A write is on disk after [`Dir::create`]d file's `sync` returned, a new or
//! renamed name after [`Dir::sync_dir`] of its folder returned.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// A file open for appending.
pub trait WriteFile: Send + Sync + Debug {
    /// Writes all bytes at the end. On an error some of them may have been written.
    ///
    /// # Errors
    /// What the operating system says.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when all appended bytes are on the device.
    ///
    /// # Errors
    /// What the operating system says; after one nothing is known about what reached the device.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file back to `len` bytes; later appends go there.
    ///
    /// # Errors
    /// What the operating system says.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}

/// A file open for reading at offsets, by several threads at once. It stays readable after its name was removed.
#[expect(
    clippy::len_without_is_empty,
    reason = "a file is asked for its length to read it, nobody asks whether it is empty"
)]
pub trait ReadFile: Send + Sync + Debug {
    /// Fills `buf` from `offset`; a file that ends before is `UnexpectedEof`.
    ///
    /// # Errors
    /// What the operating system says.
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()>;

    /// Length in bytes.
    ///
    /// # Errors
    /// What the operating system says.
    fn len(&self) -> io::Result<u64>;
}

/// A folder with everything in it.
pub trait Dir: Send + Sync + Debug {
    /// Makes a new, empty file; one of that name is emptied.
    ///
    /// # Errors
    /// What the operating system says.
    fn create(&self, name: &str) -> io::Result<Box<dyn WriteFile>>;

    /// Opens an existing file for appending at its end.
    ///
    /// # Errors
    /// What the operating system says.
    fn append(&self, name: &str) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    /// What the operating system says.
    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>>;

    /// Gives a file another name; one of that name is replaced.
    ///
    /// # Errors
    /// What the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes a folder and those above it; one that exists is fine.
    ///
    /// # Errors
    /// What the operating system says.
    fn create_dir(&self, name: &str) -> io::Result<()>;

    /// Removes a folder with everything in it.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_folder(&self, name: &str) -> io::Result<()>;

    /// The names of the files (not folders) in a folder, sorted; a folder that is not there has none.
    ///
    /// # Errors
    /// What the operating system says.
    fn list(&self, name: &str) -> io::Result<Vec<String>>;

    /// The names of the folders in a folder, sorted; a folder that is not there has none.
    ///
    /// # Errors
    /// What the operating system says.
    fn folders(&self, name: &str) -> io::Result<Vec<String>>;

    /// Returns when the names in a folder are on the device.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync_dir(&self, name: &str) -> io::Result<()>;

    /// Where this is, for error messages.
    fn display(&self, name: &str) -> String;
}

/// A folder of the real file system.
#[derive(Debug, Clone)]
pub struct RealDir {
    root: PathBuf,
}

impl RealDir {
    /// The folder at `root`, which is made when it is missing.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(&root)?;
        Ok(Self { root })
    }

    /// The folder at `root`, which must be there.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn existing(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::read_dir(&root)?;
        Ok(Self { root })
    }

    /// The names of one kind in a folder, sorted.
    fn names(&self, name: &str, wanted: impl Fn(fs::FileType) -> bool) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(name)) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if wanted(entry.file_type()?) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }
}

#[derive(Debug)]
struct RealFile(File);

impl WriteFile for RealFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut self.0, bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}

impl ReadFile for RealFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(&self.0, buf, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

impl Dir for RealDir {
    fn create(&self, name: &str) -> io::Result<Box<dyn WriteFile>> {
        // Append mode: after a truncate the next write goes to the new end.
        let path = self.root.join(name);
        File::create(&path)?;
        self.append(name)
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().append(true).open(self.root.join(name))?;
        Ok(Box::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        Ok(Arc::new(RealFile(File::open(self.root.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.root.join(name))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(name))
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        fs::remove_dir_all(self.root.join(name))
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.names(name, |kind| kind.is_file())
    }

    fn folders(&self, name: &str) -> io::Result<Vec<String>> {
        self.names(name, |kind| kind.is_dir())
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        File::open(self.root.join(name))?.sync_all()
    }

    fn display(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }
}
