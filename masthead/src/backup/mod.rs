//! Backup and restore of `masthead up`: its store, its marks and its configuration in one file, while it runs.
//!
//! ```text
//! data/blocks/..., data/wal/...    as of one moment (`tsdb::store_files`)
//! data/container-events.jsonl      the marks
//! config/masthead.yml, web.yml     where they are known
//! ```
//!
//! The form of the file is `stack::archive`'s; the stack of containers is `stack`'s own business.

pub mod exchange;

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use model::Cancel;
use rustix::fs::statvfs;
use stack::archive::{self, ArchiveError, Checked, Entry, Header, Kind, NewFile, Writer};
use stack::{BackupReport, Event, OnEvent, Stamp};
use tsdb::dir::{ReadFile, RealDir};
use tsdb::{DbReadOnly, StoreFile};

use crate::app::containers::MARKS_FILE;
use crate::app::data_dir;
use crate::blocks;
use crate::service::observe::{self, Systemd};
use crate::service::plan::Step;
use crate::service::unit::{self, Found};
use crate::service::{Places, apply};
use exchange::{AtWork, Exchange};

/// What is left free beside what a backup takes.
const SPARE_BYTES: u64 = 64 << 20;

/// Is this the data folder of a `masthead up`?
#[must_use]
pub fn is_store(folder: &Path) -> bool {
    folder.join("wal").is_dir() && folder.join("blocks").is_dir()
}

/// Can this backup be restored into this runtime?
///
/// # Errors
/// It is of the other one; the text says what to do.
pub fn fits(checked: &Checked, runtime: Kind) -> anyhow::Result<()> {
    let header = &checked.header;
    match (header.kind, runtime) {
        (Kind::Upstream, Kind::Embedded) => anyhow::bail!(
            "this backup is of a stack of containers (of {}, {}), not of a `masthead up`; restore it with --runtime upstream, and \
             move the data between the two with `masthead migrate embedded`",
            header.host,
            header.time
        ),
        (Kind::Embedded, Kind::Upstream) => anyhow::bail!(
            "this backup is of a `masthead up` (of {}, {}), not of a stack of containers; restore it into a data folder with \
             --runtime embedded, and move the data between the two with `masthead migrate upstream`",
            header.host,
            header.time
        ),
        (Kind::Upstream, Kind::Upstream) | (Kind::Embedded, Kind::Embedded) => Ok(()),
    }
}

/// A `masthead up`, running or not.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Samples and marks.
    pub data_dir: PathBuf,
    /// `masthead.yml`, where it is known.
    pub config: Option<PathBuf>,
    /// `web.yml`, where it is known.
    pub web_config: Option<PathBuf>,
    /// systemd runs it.
    pub is_service: bool,
}

impl Embedded {
    /// What is known of the Masthead that uses this folder; the unit of the service names the files that nobody names here.
    ///
    /// # Errors
    /// The unit or systemd cannot be asked.
    pub fn find(
        data_dir: PathBuf,
        config: Option<PathBuf>,
        web_config: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let places = Places::default();
        let mut found = Self {
            data_dir,
            config,
            web_config,
            is_service: false,
        };
        if found.data_dir != places.data_dir {
            return Ok(found);
        }
        if let Found::Ours { options, .. } = unit::found(&places.unit)? {
            let path = |name| options.get(name).map(PathBuf::from);
            found.config = found.config.or_else(|| path("config"));
            found.web_config = found.web_config.or_else(|| path("web-config"));
            if observe::has_systemd(&places) {
                let Systemd { active, .. } = observe::systemd(&places.binary)?;
                found.is_service = ["active", "activating", "reloading"].contains(&active.as_str());
            }
        }
        Ok(found)
    }

    /// The files of its configuration with their names in a backup.
    fn configuration(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let files = [
            ("config/masthead.yml", &self.config),
            ("config/web.yml", &self.web_config),
        ];
        files
            .into_iter()
            .filter_map(|(name, path)| path.as_ref().map(|path| (name, path)))
    }

    /// Writes a backup into a new file.
    ///
    /// # Errors
    /// There is no store, or files cannot be read or written.
    pub fn backup(
        &self,
        file: &Path,
        stamp: &Stamp,
        cancel: &Cancel,
        events: OnEvent<'_>,
    ) -> anyhow::Result<BackupReport> {
        let dir = blocks::existing_store(&self.data_dir)?;
        let wrote = || format!("writing the backup {}", file.display());
        let header = Header::new(
            Kind::Embedded,
            crate::app::hostname(),
            stamp.time.clone(),
            stamp.masthead.clone(),
        );
        let new = NewFile::create(file).with_context(wrote)?;
        let mut writer = Writer::new(new, &header).with_context(wrote)?;
        for (name, path) in self.configuration() {
            let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            let entry = entry(name.to_owned(), bytes.len() as u64, 0o600);
            writer.file(entry, &mut bytes.as_slice()).with_context(wrote)?;
        }
        self.add_store(&mut writer, &dir, cancel, events)
            .with_context(wrote)?;
        let (new, entries) = writer.finish().with_context(wrote)?;
        let archive_bytes = new.keep().with_context(wrote)?;
        Ok(BackupReport {
            file: file.to_owned(),
            kind: Kind::Embedded,
            files: entries.iter().filter(|entry| !entry.is_folder()).count(),
            bytes: entries.iter().map(|entry| entry.size).sum(),
            archive_bytes,
        })
    }

    fn add_store(
        &self,
        writer: &mut Writer<NewFile>,
        dir: &RealDir,
        cancel: &Cancel,
        events: OnEvent<'_>,
    ) -> anyhow::Result<()> {
        let files = tsdb::store_files(dir, cancel)?;
        let total_bytes: u64 = files.iter().map(|file| file.bytes).sum();
        for folder in ["data/blocks", "data/wal"] {
            writer.folder(entry(folder.to_owned(), 0, 0o755))?;
        }
        let mut done_bytes = 0;
        for file in &files {
            let entry = entry(format!("data/{}", file.name), file.bytes, 0o644);
            writer.file(entry, &mut Contents::new(file, cancel))?;
            done_bytes += file.bytes;
            events(Event::Copying {
                what: "the store".to_owned(),
                done_bytes,
                total_bytes,
            });
        }
        // Lines are added to it; one that is half there costs itself alone.
        let path = self.data_dir.join(MARKS_FILE);
        match fs::read(&path) {
            Ok(bytes) => {
                let entry = entry(format!("data/{MARKS_FILE}"), bytes.len() as u64, 0o644);
                writer.file(entry, &mut bytes.as_slice())?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
        Ok(())
    }

    /// Puts a verified backup in the place of what is there; a service is stopped and started again. Gives what there is to say.
    ///
    /// # Errors
    /// The backup does not fit the disk or holds no store: then nothing was touched. A Masthead that systemd does not know uses the folder.
    /// What was put in place does not come up: then what was there is back.
    pub fn restore(
        &self,
        file: &Path,
        checked: &Checked,
        cancel: &Cancel,
        events: OnEvent<'_>,
    ) -> anyhow::Result<String> {
        fits(checked, Kind::Embedded)?;
        fs::create_dir_all(&self.data_dir)
            .with_context(|| format!("making the data folder {}", self.data_dir.display()))?;
        let exchange = Exchange::new(&self.data_dir);
        if !self.is_service {
            // Before anything is unpacked: whoever uses the folder has to be stopped by hand.
            let _lock = data_dir::Lock::take(&self.data_dir)?;
            exchange.recover()?;
        }
        self.has_room(checked)?;
        let unpacked = self.unpack(file, checked, &exchange, cancel, events);
        if let Err(error) = unpacked {
            exchange.clear()?;
            return Err(error);
        }
        let places = Places::default();
        let guard = match self.is_service {
            true => Some(apply::Guard::take()?),
            false => None,
        };
        if guard.is_some() {
            apply::step(Step::Stop, &places, "")?;
        }
        let mut at_work = None;
        let placed = self.exchange(&exchange, guard.is_some(), &mut at_work);
        if let Err(error) = placed {
            if guard.is_some() {
                apply::step(Step::Stop, &places, "")?;
            }
            exchange.undo()?;
            drop(at_work);
            if guard.is_some() {
                apply::step(Step::Start, &places, "")?;
            }
            return Err(
                error.context("restoring the backup failed, and what was there before is there again")
            );
        }
        exchange.keep()?;
        let mut said = match guard.is_some() {
            true => "Restored; masthead is ready.".to_owned(),
            false => format!(
                "Restored into {}; start it with `masthead up`.",
                self.data_dir.display()
            ),
        };
        for left in self.left_out(checked) {
            said.push('\n');
            said.push_str(&left);
        }
        Ok(said)
    }

    /// Configuration that nobody has named a place for.
    fn left_out(&self, checked: &Checked) -> Vec<String> {
        let known: Vec<&str> = self.configuration().map(|(name, _)| name).collect();
        let flag = |path: &str| match path {
            "config/masthead.yml" => "--config",
            _ => "--web-config",
        };
        checked
            .entries
            .iter()
            .map(|entry| entry.path.as_str())
            .filter(|path| path.starts_with("config/") && !known.contains(path))
            .map(|path| {
                format!(
                    "The backup also holds {path}, which was not restored: name its place with {}.",
                    flag(path)
                )
            })
            .collect()
    }

    fn has_room(&self, checked: &Checked) -> anyhow::Result<()> {
        let disk = statvfs(&self.data_dir)
            .with_context(|| format!("asking for room at {}", self.data_dir.display()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let needed = checked.bytes() + SPARE_BYTES;
        anyhow::ensure!(
            free >= needed,
            "{} has {} free, and what the backup holds needs {} beside what is there; free some space on that disk",
            self.data_dir.display(),
            words(free),
            words(needed)
        );
        Ok(())
    }

    /// Unpacks it beside what is there, and reads all of it as a store.
    fn unpack(
        &self,
        file: &Path,
        checked: &Checked,
        exchange: &Exchange,
        cancel: &Cancel,
        events: OnEvent<'_>,
    ) -> anyhow::Result<()> {
        let read = || format!("unpacking the backup {}", file.display());
        let incoming = exchange.make_incoming()?;
        let owner = fs::metadata(&self.data_dir)?;
        let source = File::open(file).with_context(read)?;
        let total_bytes = checked.bytes();
        let mut done_bytes = 0;
        archive::extract(source, checked, &mut |entry, content| {
            if cancel.reason().is_some() {
                return Err(io::Error::other("interrupted").into());
            }
            let path = incoming.join(&entry.path);
            if entry.is_folder() {
                fs::create_dir_all(&path)?;
            } else {
                place(&path, entry, content)?;
            }
            done_bytes += entry.size;
            events(Event::Copying {
                what: "the store".to_owned(),
                done_bytes,
                total_bytes,
            });
            give(&path, &owner)
        })
        .with_context(read)?;
        let store = incoming.join("data");
        anyhow::ensure!(
            is_store(&store),
            "{}: it holds no store, so it is of no use; use another backup",
            read()
        );
        DbReadOnly::open(&RealDir::existing(&store)?, cancel)
            .with_context(|| format!("{}: reading the store in it", read()))?;
        Ok(())
    }

    fn exchange(
        &self,
        exchange: &Exchange,
        is_service: bool,
        at_work: &mut Option<AtWork>,
    ) -> anyhow::Result<()> {
        {
            let _lock = data_dir::Lock::take(&self.data_dir)?;
            *at_work = Some(exchange.exchange()?);
            for (name, path) in self.configuration() {
                exchange.replace(name, path)?;
            }
        }
        if is_service {
            let places = Places::default();
            apply::step(Step::Start, &places, "")?;
            apply::step(Step::WaitReady, &places, "")?;
        }
        Ok(())
    }
}

fn entry(path: String, size: u64, mode: u32) -> Entry {
    Entry {
        path,
        mode,
        uid: 0,
        gid: 0,
        size,
        sha256: String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn words(bytes: u64) -> String {
    crate::cli::bytes_text(bytes as f64)
}

fn place(path: &Path, entry: &Entry, content: &mut dyn Read) -> Result<(), ArchiveError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(entry.mode)
        .open(path)?;
    io::copy(content, &mut file)?;
    file.sync_all()?;
    Ok(())
}

/// What root unpacks belongs to whom the data folder belongs to.
fn give(path: &Path, owner: &fs::Metadata) -> Result<(), ArchiveError> {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// A file of the store as a stream.
struct Contents<'a> {
    file: &'a dyn ReadFile,
    bytes: u64,
    at: u64,
    cancel: &'a Cancel,
}

impl<'a> Contents<'a> {
    fn new(file: &'a StoreFile, cancel: &'a Cancel) -> Self {
        Self {
            file: file.file.as_ref(),
            bytes: file.bytes,
            at: 0,
            cancel,
        }
    }
}

impl Read for Contents<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.cancel.reason().is_some() {
            return Err(io::Error::other("interrupted"));
        }
        let left = usize::try_from(self.bytes - self.at).unwrap_or(usize::MAX);
        let most = left.min(buf.len());
        let Some(buf) = buf.get_mut(..most) else {
            return Ok(0);
        };
        self.file.read_exact_at(buf, self.at)?;
        self.at += most as u64;
        Ok(most)
    }
}

#[cfg(test)]
mod tests;
