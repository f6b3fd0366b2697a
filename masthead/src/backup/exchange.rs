//! What lies in a data folder, exchanged for something else so that it can be undone at any time.
//!
//! ```text
//! DIR/.masthead-incoming/    what is to come: filled while everything else goes on
//! DIR/.masthead-former/      what was there, once all of it is there
//! DIR/.masthead-restoring    as long as this is there, and nobody has it locked, the exchange has to be undone; names the files of configuration to bring back
//! ```
//!
//! Only what a backup can hold is exchanged: blocks, log and marks. What is of other names stays.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

use crate::app::containers::MARKS_FILE;

/// What is exchanged.
const NAMES: [&str; 3] = ["blocks", "wal", MARKS_FILE];

/// In the mark: a file of configuration that has to come back, and one that was not there.
const BACK: &str = "back";
const GONE: &str = "gone";

/// An exchange that somebody looks after.
#[derive(Debug)]
pub(super) struct AtWork {
    _mark: File,
}

/// See the module's text.
#[derive(Debug)]
pub struct Exchange {
    folder: PathBuf,
}

impl Exchange {
    /// Of a data folder.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.to_owned(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".masthead-{name}"))
    }

    /// An empty folder for what is to come.
    pub(super) fn make_incoming(&self) -> anyhow::Result<PathBuf> {
        let path = self.at("incoming");
        remove(&path)?;
        fs::create_dir_all(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(path)
    }

    /// Puts what came in in the place of what is there. As long as the value is held, whoever starts on the folder leaves it so.
    pub(super) fn exchange(&self) -> anyhow::Result<AtWork> {
        let mark = self.at("restoring");
        let wrote = || format!("writing {}", mark.display());
        let file = File::create(&mark).with_context(wrote)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).with_context(wrote)?;
        let (former, incoming) = (self.at("former"), self.at("incoming").join("data"));
        fs::create_dir_all(&former).with_context(|| format!("making {}", former.display()))?;
        for name in NAMES {
            move_if_there(&self.folder.join(name), &former.join(name))?;
        }
        // From here on, what is in the folder came in.
        let whole = former.join("whole");
        fs::write(&whole, "").with_context(|| format!("writing {}", whole.display()))?;
        for name in NAMES {
            move_if_there(&incoming.join(name), &self.folder.join(name))?;
        }
        Ok(AtWork { _mark: file })
    }

    /// Puts a file of configuration that came in in its place; the one that was there is kept beside it.
    pub(super) fn replace(&self, name: &str, path: &Path) -> anyhow::Result<()> {
        let incoming = self.at("incoming").join(name);
        if !incoming.is_file() {
            return Ok(());
        }
        // Of an earlier restore: it would be taken for this one's.
        remove(&kept(path))?;
        // How it is undone stands in the mark before it is done.
        let mark = self.at("restoring");
        let word = if path.exists() { BACK } else { GONE };
        let line = format!("{word} {}\n", path.display());
        OpenOptions::new()
            .append(true)
            .open(&mark)
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("writing {}", mark.display()))?;
        move_if_there(path, &kept(path))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        }
        // It may be on another disk.
        fs::copy(&incoming, path)
            .map(drop)
            .with_context(|| format!("writing {}", path.display()))
    }

    /// Brings the files of configuration back.
    fn undo_configuration(&self) -> anyhow::Result<()> {
        let mark = self.at("restoring");
        let text = fs::read_to_string(&mark).unwrap_or_default();
        for (word, path) in text.lines().filter_map(|line| line.split_once(' ')) {
            let path = Path::new(path);
            match word {
                GONE => remove(path)?,
                _ => move_if_there(&kept(path), path)?,
            }
        }
        Ok(())
    }

    /// Brings what was there back. It can be cut off and begun again.
    pub(super) fn undo(&self) -> anyhow::Result<()> {
        self.undo_configuration()?;
        self.undo_data()
    }

    fn undo_data(&self) -> anyhow::Result<()> {
        let former = self.at("former");
        if former.join("whole").exists() {
            for name in NAMES {
                remove(&self.folder.join(name))?;
            }
            remove(&former.join("whole"))?;
        }
        for name in NAMES {
            move_if_there(&former.join(name), &self.folder.join(name))?;
        }
        self.keep()
    }

    /// What came in stays.
    pub(super) fn keep(&self) -> anyhow::Result<()> {
        remove(&self.at("restoring"))?;
        self.clear()
    }

    /// Removes what an exchange that is over has left.
    pub(super) fn clear(&self) -> anyhow::Result<()> {
        if self.at("restoring").exists() {
            return Ok(());
        }
        remove(&self.at("incoming"))?;
        remove(&self.at("former"))
    }

    /// Undoes an exchange that was cut off, and says so; called by whoever has the folder's lock, before the store is opened. One that is
    /// at work, and waits for the start of what it has put in place, is left alone.
    ///
    /// # Errors
    /// Files cannot be moved.
    pub fn recover(&self) -> anyhow::Result<bool> {
        let mark = self.at("restoring");
        let file = match File::open(&mark) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.clear()?;
                return Ok(false);
            }
            Err(error) => return Err(error).with_context(|| format!("opening {}", mark.display())),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(error) => return Err(error).with_context(|| format!("locking {}", mark.display())),
        }
        // A service sees `/etc` without being able to write there, and has to start all the same.
        if let Err(error) = self.undo_configuration() {
            tracing::warn!(
                "a restore was cut off, and its configuration could not be taken back: {error:#}; do it by hand"
            );
        }
        self.undo_data()?;
        Ok(true)
    }
}

/// Where a file of configuration is kept that was replaced.
fn kept(path: &Path) -> PathBuf {
    let mut kept = path.as_os_str().to_owned();
    kept.push(".before-restore");
    PathBuf::from(kept)
}

fn move_if_there(from: &Path, to: &Path) -> anyhow::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("moving {} to {}", from.display(), to.display()))
        }
        _ => Ok(()),
    }
}

fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(known) if known.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}
