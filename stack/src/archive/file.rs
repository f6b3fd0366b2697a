//! The file that a backup becomes: under another name until it is whole, and for its owner alone, since it holds passwords.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is being written. Dropped before [`NewFile::keep`], it is removed.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    is_kept: bool,
}

impl NewFile {
    /// Begins one; what a run that was killed has left of it goes.
    ///
    /// # Errors
    /// There is something of that name, or the folder cannot be written to.
    pub fn create(path: &Path) -> io::Result<Self> {
        if fs::symlink_metadata(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is such a file already; remove it, or choose another name",
            ));
        }
        let name = path
            .file_name()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is no name of a file"))?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(".masthead-new");
        let temporary = path.with_file_name(temporary);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        Ok(Self {
            path: path.to_owned(),
            temporary,
            file,
            is_kept: false,
        })
    }

    /// It is whole: gives it its name, and says how large it is.
    ///
    /// # Errors
    /// It could not be brought to the disk, or its name was taken meanwhile.
    pub fn keep(mut self) -> io::Result<u64> {
        self.file.sync_all()?;
        let bytes = self.file.metadata()?.len();
        // Unlike a rename this does not replace what somebody else has put there meanwhile.
        fs::hard_link(&self.temporary, &self.path).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Err(error),
            // A file system without hard links.
            _ => fs::rename(&self.temporary, &self.path),
        })?;
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        File::open(folder)?.sync_all()?;
        // The second name goes with the value.
        self.is_kept = true;
        let _gone = fs::remove_file(&self.temporary);
        Ok(bytes)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // Half a backup is of no use; the next run removes what is left here.
            let _gone = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_has_its_name_when_it_is_whole_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.gz");
        let names = || {
            let entries = fs::read_dir(folder.path()).unwrap();
            entries
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>()
        };
        fs::write(
            folder.path().join(".b.tar.gz.masthead-new"),
            "of a run that was killed",
        )
        .unwrap();
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert!(names().is_empty());
        let mut file = NewFile::create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        assert_eq!(
            (names().as_slice(), file.keep().unwrap()),
            (&[".b.tar.gz.masthead-new".to_owned()][..], 5)
        );
        assert_eq!(names(), ["b.tar.gz"]);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = NewFile::create(&path).unwrap_err().to_string();
        assert!(error.contains("choose another name"), "{error}");
    }
}
