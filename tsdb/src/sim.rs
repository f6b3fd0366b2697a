//! A folder in memory for tests: it tells what was written from what was synced, and fails at the n-th operation.
//!
//! Operations that change something are counted: create, append, sync, truncate, rename, remove, making and syncing folders. With
//! [`SimDir::fail_at`] one of them fails: with an error, with a full disk after half the bytes, or as a crash, after which all fail until
//! [`SimDir::restart`]. A restart after a killed process keeps all that was written; one after a power cut keeps what was synced, under
//! the names that were synced.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::dir::{Dir, ReadFile, WriteFile};
use crate::head::lock;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// With an error, and nothing happened.
    Error,
    /// An append writes half of its bytes and says that the disk is full; another operation just says that.
    ShortWrite,
    /// An append writes half of its bytes, and truncating fails as well, this once.
    StuckWrite,
    /// As `ShortWrite`, and everything after it fails until a restart.
    Crash,
}

/// What a restart finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// The process was killed: all that was written.
    Killed,
    /// The power went: only what was synced.
    PowerCut,
}

#[derive(Debug, Default)]
struct FileState {
    data: Vec<u8>,
    synced: Vec<u8>,
}

type File = Arc<Mutex<FileState>>;

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, File>,
    synced_names: BTreeMap<String, File>,
    folders: BTreeSet<String>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    /// The next truncate fails.
    stuck: bool,
    /// Bytes of all files above which appends fail, 0 for none.
    capacity: u64,
}

/// See the module's text. Clones share one folder.
#[derive(Debug, Clone, Default)]
pub struct SimDir {
    state: Arc<Mutex<State>>,
}

/// What to do in place of the operation.
enum Outcome {
    Go,
    Fail(io::Error),
    /// Write so much of an append, then fail.
    Short(io::Error),
}

impl State {
    fn step(&mut self) -> Outcome {
        if self.crashed {
            return Outcome::Fail(io::Error::other("crashed"));
        }
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == self.operations => match fault {
                Fault::Error => Outcome::Fail(io::Error::other("simulated fault")),
                Fault::ShortWrite => Outcome::Short(io::ErrorKind::StorageFull.into()),
                Fault::StuckWrite => {
                    self.stuck = true;
                    Outcome::Short(io::ErrorKind::StorageFull.into())
                }
                Fault::Crash => {
                    self.crashed = true;
                    Outcome::Short(io::Error::other("crashed"))
                }
            },
            _ => Outcome::Go,
        }
    }

    fn plain_step(&mut self) -> io::Result<()> {
        match self.step() {
            Outcome::Go => Ok(()),
            Outcome::Fail(error) | Outcome::Short(error) => Err(error),
        }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| lock(file).data.len() as u64).sum()
    }

    /// Gives a folder another name, at once for good: the files in it were synced or not as before.
    fn rename_folder(&mut self, from: &str, to: &str) -> io::Result<()> {
        let renamed = |path: &str| {
            let rest = path.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        };
        let mut found = false;
        for names in [&mut self.names, &mut self.synced_names] {
            let moved: Vec<String> = names
                .keys()
                .filter(|path| renamed(path).is_some())
                .cloned()
                .collect();
            for path in moved {
                if let (Some(file), Some(name)) = (names.remove(&path), renamed(&path)) {
                    names.insert(name, file);
                    found = true;
                }
            }
        }
        let folders = std::mem::take(&mut self.folders);
        self.folders = folders
            .into_iter()
            .map(|path| renamed(&path).unwrap_or(path))
            .collect();
        if found {
            Ok(())
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

impl SimDir {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Operations so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// The operation with this number (the first is 1) fails.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().fault = Some((operation, fault));
    }

    /// All files together hold at most so many bytes; 0 for no limit.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity = bytes;
    }

    /// True after [`Fault::Crash`] struck.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        self.lock().crashed
    }

    /// The folder as the next process finds it. Handles of the one before go on writing into files nobody sees.
    pub fn restart(&self, how: Restart) {
        let mut state = self.lock();
        let names = match how {
            Restart::Killed => &state.names,
            Restart::PowerCut => &state.synced_names,
        };
        let fresh = |file: &File| {
            let file = lock(file);
            let data = match how {
                Restart::Killed => file.data.clone(),
                Restart::PowerCut => file.synced.clone(),
            };
            // What a killed process wrote is not on the device yet.
            Arc::new(Mutex::new(FileState {
                data,
                synced: file.synced.clone(),
            }))
        };
        let names: BTreeMap<String, File> = names
            .iter()
            .map(|(name, file)| (name.clone(), fresh(file)))
            .collect();
        let synced_names = match how {
            Restart::PowerCut => names.clone(),
            Restart::Killed => {
                let known = |(name, file): (&String, &File)| {
                    let same = state.names.get(name).is_some_and(|now| Arc::ptr_eq(now, file));
                    (
                        name.clone(),
                        if same {
                            Arc::clone(&names[name])
                        } else {
                            Arc::clone(file)
                        },
                    )
                };
                state.synced_names.iter().map(known).collect()
            }
        };
        state.names = names;
        state.synced_names = synced_names;
        state.crashed = false;
        state.fault = None;
        state.stuck = false;
    }

    /// Changes the bytes of a file, as a failing disk would.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(file) = self.lock().names.get(name) {
            let mut file = lock(file);
            change(&mut file.data);
            file.synced = file.data.clone();
        }
    }

    /// The names of all files.
    #[must_use]
    pub fn files(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.lock().names.get(name).map(|file| lock(file).data.clone())
    }
}

#[derive(Debug)]
struct SimWriter {
    dir: SimDir,
    file: File,
}

impl WriteFile for SimWriter {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.dir.lock();
        let full = state.capacity > 0 && state.used() + bytes.len() as u64 > state.capacity;
        let outcome = match state.step() {
            Outcome::Go if full => Outcome::Short(io::ErrorKind::StorageFull.into()),
            outcome => outcome,
        };
        let mut file = lock(&self.file);
        match outcome {
            Outcome::Go => {
                file.data.extend_from_slice(bytes);
                Ok(())
            }
            Outcome::Fail(error) => Err(error),
            Outcome::Short(error) => {
                file.data.extend_from_slice(&bytes[..bytes.len() / 2]);
                Err(error)
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.dir.lock().plain_step()?;
        let mut file = lock(&self.file);
        file.synced = file.data.clone();
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        let mut state = self.dir.lock();
        state.plain_step()?;
        if std::mem::take(&mut state.stuck) {
            return Err(io::Error::other("simulated fault of the truncate"));
        }
        lock(&self.file)
            .data
            .truncate(usize::try_from(len).unwrap_or(usize::MAX));
        Ok(())
    }
}

#[derive(Debug)]
struct SimReader(File);

impl ReadFile for SimReader {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let file = lock(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let from = start
            .checked_add(buf.len())
            .and_then(|end| file.data.get(start..end));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.0).data.len() as u64)
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Dir for SimDir {
    fn create(&self, name: &str) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.lock();
        state.plain_step()?;
        let file = state.names.entry(name.to_owned()).or_default();
        lock(file).data.clear();
        Ok(Box::new(SimWriter {
            dir: self.clone(),
            file: Arc::clone(file),
        }))
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn WriteFile>> {
        let file = self
            .lock()
            .names
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimWriter {
            dir: self.clone(),
            file,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn ReadFile>> {
        let file = self
            .lock()
            .names
            .get(name)
            .cloned()
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimReader(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_step()?;
        if let Some(file) = state.names.remove(from) {
            state.names.insert(to.to_owned(), file);
            return Ok(());
        }
        state.rename_folder(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_step()?;
        state
            .names
            .remove(name)
            .map(drop)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_step()?;
        state.folders.insert(name.to_owned());
        Ok(())
    }

    fn remove_folder(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_step()?;
        let kept =
            |path: &str| path != name && !path.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
        state.names.retain(|path, _| kept(path));
        state.folders.retain(|path| kept(path));
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let within = state.names.keys().filter(|path| folder_of(path) == name);
        Ok(within
            .map(|path| path.rsplit('/').next().unwrap_or(path).to_owned())
            .collect())
    }

    fn folders(&self, name: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let within = |path: &str| {
            let rest = match name {
                "" => path,
                _ => path.strip_prefix(name)?.strip_prefix('/')?,
            };
            Some(rest.split_once('/')?.0.to_owned())
        };
        let files = state.names.keys().filter_map(|path| within(path));
        // A slash behind, so that a folder counts that nothing is in.
        let empty = state
            .folders
            .iter()
            .filter_map(|path| within(&format!("{path}/")));
        Ok(files.chain(empty).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        let mut state = self.lock();
        state.plain_step()?;
        let within = |path: &String| folder_of(path) == name;
        let State {
            names, synced_names, ..
        } = &mut *state;
        synced_names.retain(|path, _| !within(path));
        let now = names.iter().filter(|(path, _)| within(path));
        synced_names.extend(now.map(|(path, file)| (path.clone(), Arc::clone(file))));
        Ok(())
    }

    fn display(&self, name: &str) -> String {
        format!("sim:{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_cut_keeps_what_was_synced_and_a_kill_keeps_all() {
        let run = |how| {
            let dir = SimDir::new();
            let mut file = dir.create("a/x").unwrap();
            file.append(b"one").unwrap();
            file.sync().unwrap();
            dir.sync_dir("a").unwrap();
            file.append(b"two").unwrap();
            dir.create("a/y").unwrap().append(b"new").unwrap();
            dir.restart(how);
            (dir.bytes("a/x"), dir.bytes("a/y"))
        };
        assert_eq!(
            run(Restart::Killed),
            (Some(b"onetwo".to_vec()), Some(b"new".to_vec()))
        );
        assert_eq!(run(Restart::PowerCut), (Some(b"one".to_vec()), None));
    }

    #[test]
    fn the_nth_operation_fails_as_told() {
        let dir = SimDir::new();
        let mut file = dir.create("x").unwrap();
        dir.fail_at(2, Fault::ShortWrite);
        assert_eq!(
            file.append(b"abcd").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(dir.bytes("x").unwrap(), b"ab");
        file.truncate(0).unwrap();
        dir.fail_at(4, Fault::Crash);
        assert!(file.append(b"abcd").is_err());
        assert!(dir.is_crashed() && file.sync().is_err());
        dir.restart(Restart::Killed);
        assert!(dir.append("x").unwrap().append(b"z").is_ok());
    }
}
