//! `backup`: everything of the stack in one file, while it runs.
//!
//! Prometheus makes a snapshot of its data (the present as a block too). Its data folder as it lies is taken only where it does not
//! run. Data of other components, which is small, is copied until two looks at it are the same. The programs that read it are the
//! host's own `tar`, `cp` and `diff`, so that it goes the same way from another machine.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::area::{WORKING, data_folders};
use super::snapshot::STAGING;
use super::{Stack, work};
use crate::archive::{self, ArchiveError, Block, Entry, Header, Incoming, Kind, NewFile, Type};
use crate::desired::{Access, FolderKind};
use crate::{Component, Event, OnEvent, Options, StackError, State, stream};

/// Of a folder that lies still two copies in a row are the same; one that does not in so many tries never will be.
const COPIES: usize = 5;
/// Between them.
const COPY_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

type Writer = archive::Writer<NewFile>;

/// What is said of a backup that this crate cannot know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// Now, RFC 3339.
    pub time: String,
    /// The version of the program.
    pub masthead: String,
}

/// What was backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackupReport {
    /// The backup.
    pub file: PathBuf,
    /// Whose data it is.
    pub kind: Kind,
    /// Files in it.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes of the backup.
    pub archive_bytes: u64,
}

/// A folder of the host that goes into a backup.
struct Part {
    /// In words.
    what: String,
    folder: PathBuf,
    /// What it is called in the backup.
    prefix: String,
    /// Patterns of `tar`.
    without: Vec<String>,
}

impl Stack {
    /// Writes everything of the stack into a new file: data, configuration, the user's own files, passwords. It goes on running.
    ///
    /// # Errors
    /// No stack is set up, another run holds the lock, the file is there already or cannot be written, or something cannot be read.
    pub async fn backup(
        &self,
        file: &Path,
        stamp: &Stamp,
        events: OnEvent<'_>,
    ) -> Result<BackupReport, StackError> {
        let _lock = self.lock("backup", events).await?;
        self.recover(events).await?;
        let options = self.kept().await?;
        let failed = |source| StackError::Archive {
            attempt: "writing the backup",
            path: file.to_owned(),
            source,
        };
        let header = self.backup_header(&options, stamp).await?;
        let new = NewFile::create(file).map_err(|error| failed(error.into()))?;
        let writer = Writer::new(new, &header).map_err(failed)?;
        let written = self.write_parts(writer, &failed, events).await;
        let cleared = self.clear_snapshot().await;
        let writer = written?;
        cleared?;
        let (archive_bytes, entries) = work::blocking(move || {
            let (new, entries) = writer.finish()?;
            Ok::<_, ArchiveError>((new.keep()?, entries))
        })
        .await?
        .map_err(failed)?;
        Ok(BackupReport {
            file: file.to_owned(),
            kind: Kind::Upstream,
            files: entries.iter().filter(|entry| !entry.is_folder()).count(),
            bytes: entries.iter().map(|entry| entry.size).sum(),
            archive_bytes,
        })
    }

    async fn backup_header(&self, options: &Options, stamp: &Stamp) -> Result<Header, StackError> {
        let mut header = Header::new(
            Kind::Upstream,
            self.place.hostname(),
            stamp.time.clone(),
            stamp.masthead.clone(),
        );
        for component in options.components() {
            if let Some(seen) = self.engine.container(component.container()).await? {
                header.versions.insert(component.to_string(), seen.image);
            }
        }
        Ok(header)
    }

    async fn write_parts(
        &self,
        mut writer: Writer,
        failed: &dyn Fn(ArchiveError) -> StackError,
        events: OnEvent<'_>,
    ) -> Result<Writer, StackError> {
        writer = self.add(writer, &self.configuration(), failed, events).await?;
        let prometheus = self.engine.container(Component::Prometheus.container()).await?;
        let runs = prometheus.is_some_and(|seen| seen.state == State::Running);
        let folder = match runs {
            true => {
                events(Event::Waiting {
                    what: "Prometheus' snapshot of its data".to_owned(),
                });
                self.take_snapshot().await?
            }
            false => {
                events(Event::Warning {
                    text: "Prometheus does not run; its data folder is taken as it lies".to_owned(),
                });
                self.data_dir()
            }
        };
        let data = Part {
            what: "Prometheus' data".to_owned(),
            folder,
            prefix: "base/data".to_owned(),
            without: ["./snapshots", "./lock", "./queries.active", "./.masthead-*"]
                .map(str::to_owned)
                .into(),
        };
        writer = self.add(writer, &data, failed, events).await?;
        for folder in data_folders() {
            let there = self.run.base_dir.join(&folder);
            if there == self.data_dir() || !self.place.exists(&there).await {
                continue;
            }
            let part = Part {
                what: folder.display().to_string(),
                folder: self.staged_copy(&there, events).await?,
                prefix: format!("base/{}", folder.display()),
                without: vec![format!("./{WORKING}*")],
            };
            writer = self.add(writer, &part, failed, events).await?;
        }
        Ok(writer)
    }

    /// All of the base directory but data and working files.
    fn configuration(&self) -> Part {
        let mut without: Vec<String> = data_folders()
            .iter()
            .map(|folder| format!("./{}", folder.display()))
            .collect();
        without.push(format!("./{WORKING}*"));
        without.push("*.masthead-new".to_owned());
        Part {
            what: "configuration".to_owned(),
            folder: self.run.base_dir.clone(),
            prefix: "base".to_owned(),
            without,
        }
    }

    /// A copy for a backup alone.
    async fn staged_copy(&self, folder: &Path, events: OnEvent<'_>) -> Result<PathBuf, StackError> {
        let staging = self.run.base_dir.join(STAGING);
        self.place
            .make_folder(&staging, Access::ROOTS_FOLDER, FolderKind::Ours)
            .await?;
        let to = staging.join("copy");
        self.still_copy(folder, &to, events).await?;
        Ok(to)
    }

    /// Copies a folder in which programs write, as it was at one moment.
    pub(super) async fn still_copy(
        &self,
        folder: &Path,
        to: &Path,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        let (from, there) = (folder.to_string_lossy(), to.to_string_lossy());
        for _ in 0..COPIES {
            self.place.remove(to).await?;
            // A file that went meanwhile is a failure of `cp`, and a difference.
            let copied = self
                .place
                .finish("cp", &["-a", "--", &from, &there], &[0, 1])
                .await?;
            let words = ["-rq", "--no-dereference", "--", &from, &there];
            if copied == 0 && self.place.finish("diff", &words, &[0, 1, 2]).await? == 0 {
                return Ok(());
            }
            tokio::time::sleep(COPY_PAUSE).await;
        }
        events(Event::Warning {
            text: format!(
                "{} changed each time it was copied; the copy of it may not be of one moment",
                folder.display()
            ),
        });
        Ok(())
    }

    async fn add(
        &self,
        writer: Writer,
        part: &Part,
        failed: &dyn Fn(ArchiveError) -> StackError,
        events: OnEvent<'_>,
    ) -> Result<Writer, StackError> {
        let folder = part.folder.to_string_lossy();
        let without: Vec<String> = part
            .without
            .iter()
            .map(|one| format!("--exclude={one}"))
            .collect();
        let mut words = vec![
            "-C",
            &folder,
            "--format=ustar",
            "--hard-dereference",
            "--numeric-owner",
        ];
        words.extend(without.iter().map(String::as_str));
        words.extend(["-cf", "-", "."]);
        let total = self.place.size(&part.folder).await?;
        let mut pipe = self.place.pipe("tar", &words).await?;
        let output = pipe.output.take();
        let (sender, reader) = stream::inward();
        let prefix = part.prefix.clone();
        let packing = work::blocking(move || pack(writer, reader, &prefix));
        let feeding = feed(output, sender, &part.what, total, events);
        // 1: a file changed while it was read, which a configuration may.
        let (fed, ended, packed) = tokio::join!(feeding, pipe.finish(&[0, 1]), packing);
        let packed = packed?;
        // Of a failure in a thread the others are only the consequence.
        let (writer, left_out) = match (packed, ended) {
            (Ok(done), Ok(_)) => done,
            (Err(error @ ArchiveError::Damaged(_)), Err(cause)) => {
                return Err(match cause {
                    StackError::Program { words, reason } => StackError::Program { words, reason },
                    _ => failed(error),
                });
            }
            (Err(error), _) => return Err(failed(error)),
            (Ok(_), Err(error)) => return Err(error),
        };
        fed.map_err(|error| failed(error.into()))?;
        if !left_out.is_empty() {
            events(Event::Warning {
                text: format!(
                    "left out of the backup, as only files and folders are in it: {}",
                    left_out.join(", ")
                ),
            });
        }
        Ok(writer)
    }
}

/// Hands on what a program writes, and tells how far it is.
async fn feed(
    output: Option<Box<dyn AsyncRead + Send + Unpin>>,
    sender: mpsc::Sender<Vec<u8>>,
    what: &str,
    total_bytes: u64,
    events: OnEvent<'_>,
) -> std::io::Result<()> {
    let Some(mut output) = output else { return Ok(()) };
    let mut done_bytes = 0;
    loop {
        let mut chunk = Vec::with_capacity(stream::CHUNK_BYTES);
        if output.read_buf(&mut chunk).await? == 0 {
            return Ok(());
        }
        done_bytes += chunk.len() as u64;
        // The thread ended over an error, which it says itself.
        if sender.send(chunk).await.is_err() {
            return Ok(());
        }
        events(Event::Copying {
            what: what.to_owned(),
            done_bytes,
            total_bytes: total_bytes.max(done_bytes),
        });
    }
}

/// Takes a tar of a folder into a backup; gives the paths of what cannot be in one.
fn pack(mut writer: Writer, source: impl Read, prefix: &str) -> Result<(Writer, Vec<String>), ArchiveError> {
    let mut tar = Incoming::new(source);
    let mut left_out = Vec::new();
    while let Some(block) = tar.next()? {
        let path = block.path.trim_start_matches("./").trim_matches('/');
        let path = match path {
            "" | "." => prefix.to_owned(),
            path => format!("{prefix}/{path}"),
        };
        // It is there when a backup is restored.
        if path == "base" {
            continue;
        }
        let entry = entry(&block, path);
        match block.kind {
            Type::Folder => writer.folder(entry)?,
            Type::File => writer.file(entry, &mut tar)?,
            Type::Other(_) => left_out.push(entry.path),
        }
    }
    // `tar` fills the last of its records up with zeros.
    std::io::copy(&mut tar.into_inner(), &mut std::io::sink())?;
    Ok((writer, left_out))
}

fn entry(block: &Block, path: String) -> Entry {
    Entry {
        path,
        mode: block.mode,
        uid: block.uid,
        gid: block.gid,
        size: block.size,
        sha256: String::new(),
    }
}
