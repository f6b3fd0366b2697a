//! `restore`: what a backup holds in the place of what is there, or everything as it was.
//!
//! ```text
//! verify the file -> unpack beside what is there -> stop -> exchange -> set up -> targets up -> remove what was there
//!                                                   \------ a failure, or a cut: the exchange is undone, set up again
//! ```
//!
//! Until the stack is stopped nothing of it is touched, so most of the time it goes on.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::area::{Areas, data_folders};
use super::{Stack, work};
use crate::archive::{self, ArchiveError, Checked, Header, Kind, StreamWriter};
use crate::desired::{Access, FolderKind};
use crate::{Change, Component, Event, ObservedContainer, OnEvent, StackError, observe, plan, spec, stream};

/// What is left free beside what a backup takes.
const SPARE_BYTES: u64 = 64 << 20;

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// What the backup says of itself.
    pub backup: Header,
    /// Files in it.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Where Prometheus answers.
    pub url: Option<String>,
}

/// Reads a backup from end to end and says what is in it; nothing is changed.
///
/// # Errors
/// It cannot be read, is none, or is damaged.
pub async fn read_backup(file: &Path, events: OnEvent<'_>) -> Result<Checked, StackError> {
    let failed = |source| StackError::Archive {
        attempt: "reading the backup",
        path: file.to_owned(),
        source,
    };
    let (source, bytes) = open(file).map_err(|error| failed(error.into()))?;
    work::reading(source, bytes, "the backup, to verify it", events, |source| {
        archive::verify(source, &mut |_| {})
    })
    .await?
    .map_err(failed)
}

fn open(file: &Path) -> std::io::Result<(File, u64)> {
    let source = File::open(file)?;
    let known = source.metadata()?;
    match known.is_file() {
        true => Ok((source, known.len())),
        false => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "this is no file",
        )),
    }
}

impl Stack {
    /// Puts a backup in the place of what is there, and waits until every target is up. When that fails, what was there comes back.
    ///
    /// # Errors
    /// The file is no backup of such a stack, is damaged, or does not fit the disk: then nothing was touched. Another run holds the lock.
    /// [`StackError::Undone`]: the stack of the backup does not do here.
    pub async fn restore(&self, file: &Path, events: OnEvent<'_>) -> Result<RestoreReport, StackError> {
        let _lock = self.lock("restore", events).await?;
        self.recover(events).await?;
        let checked = read_backup(file, events).await?;
        self.is_for_here(&checked).await?;
        let areas = Areas::new(&self.place, &self.run.base_dir);
        let had_stack = observe::kept_options(&self.place, &self.run.base_dir)
            .await
            .ok()
            .flatten()
            .is_some();
        let had_folder = self.place.exists(&self.run.base_dir).await;
        let unpacked = match self.unpack(file, &checked, &areas, events).await {
            Ok(()) => self.has_options(&areas).await,
            Err(error) => Err(error),
        };
        if let Err(error) = unpacked {
            areas.clear().await?;
            if !had_folder {
                self.leave_nothing().await?;
            }
            return Err(error);
        }
        let report = RestoreReport {
            backup: checked.header.clone(),
            files: checked.entries.iter().filter(|entry| !entry.is_folder()).count(),
            bytes: checked.bytes(),
            url: None,
        };
        match self.put_in_place(&areas, events).await {
            Ok(url) => {
                areas.keep().await?;
                Ok(RestoreReport { url, ..report })
            }
            Err(error) => Err(self.take_back(&areas, had_stack, error, events).await),
        }
    }

    /// Removes the folders that unpacking makes, where they hold nothing.
    async fn leave_nothing(&self) -> Result<(), StackError> {
        for folder in data_folders() {
            self.place
                .remove_if_empty(&self.run.base_dir.join(folder))
                .await?;
        }
        self.place.remove_if_empty(&self.run.base_dir).await
    }

    /// Is the backup one of an upstream stack, and can this base directory hold it?
    async fn is_for_here(&self, checked: &Checked) -> Result<(), StackError> {
        if checked.header.kind != Kind::Upstream {
            return Err(StackError::Invalid(format!(
                "this backup is of a `masthead up` (of {}, {}), not of a stack of containers; restore it into a data folder with \
                 --runtime embedded, and move the data between the two with `masthead migrate upstream`",
                checked.header.host, checked.header.time
            )));
        }
        let base_dir = &self.run.base_dir;
        if observe::is_foreign(&self.place, base_dir).await? {
            return Err(StackError::Invalid(format!(
                "{} holds files that are not of a stack; move them away, or choose another folder with --base-dir",
                base_dir.display()
            )));
        }
        let mut needed: Vec<(PathBuf, u64)> = vec![(base_dir.clone(), 0)];
        needed.extend(
            data_folders()
                .into_iter()
                .map(|folder| (base_dir.join(folder), 0)),
        );
        for entry in &checked.entries {
            let path = base_dir.join(entry.path.trim_start_matches("base/"));
            let area = needed.iter_mut().rev().find(|(area, _)| path.starts_with(area));
            if let Some((_, bytes)) = area {
                // As a disk counts it.
                *bytes += entry.size.next_multiple_of(4096);
            }
        }
        for (area, bytes) in needed {
            self.has_room(&area, "what the backup holds", bytes + SPARE_BYTES)
                .await?;
        }
        Ok(())
    }

    /// Unpacks it beside what is there.
    async fn unpack(
        &self,
        file: &Path,
        checked: &Checked,
        areas: &Areas<'_>,
        events: OnEvent<'_>,
    ) -> Result<(), StackError> {
        let failed = |source| StackError::Archive {
            attempt: "unpacking the backup",
            path: file.to_owned(),
            source,
        };
        self.make_base_dir().await?;
        let coming: Vec<PathBuf> = data_folders()
            .into_iter()
            .filter(|folder| {
                let folder = Path::new("base").join(folder);
                checked
                    .entries
                    .iter()
                    .any(|entry| Path::new(&entry.path).starts_with(&folder))
            })
            .collect();
        areas.make_incoming(&coming).await?;
        let base = self.run.base_dir.to_string_lossy();
        let words = ["-C", &*base, "--numeric-owner", "-xpf", "-"];
        let mut pipe = self.place.pipe("tar", &words).await?;
        let input = pipe.input.take();
        let (writer, chunks) = stream::outward();
        let (source, bytes) = open(file).map_err(|error| failed(error.into()))?;
        let checked = checked.clone();
        let reading = work::reading(source, bytes, "the backup, to unpack it", events, move |source| {
            let mut tar = StreamWriter::new(writer);
            archive::extract(source, &checked, &mut |entry, content| {
                let path = entry.path.trim_start_matches("base/");
                // The data folders themselves are there, and stay.
                if entry.is_folder() && data_folders().iter().any(|folder| folder == Path::new(path)) {
                    return Ok(());
                }
                tar.add(&Areas::incoming(path), entry, content)
            })?;
            tar.finish().map(drop)
        });
        let (read, fed, ended) = tokio::join!(reading, drain(chunks, input), pipe.finish(&[0]));
        // Where `tar` ended over an error, the others fail for want of it.
        match (read?, ended) {
            (Err(error @ ArchiveError::Damaged(_)), _) => Err(failed(error)),
            (_, Err(error)) => Err(error),
            (Err(error), Ok(_)) => Err(failed(error)),
            (Ok(()), Ok(_)) => fed.map_err(|error| failed(error.into())),
        }
    }

    /// Does what was unpacked hold options that this Masthead can use?
    async fn has_options(&self, areas: &Areas<'_>) -> Result<(), StackError> {
        let path = areas.incoming_path(spec::OPTIONS_FILE);
        let wrong = |reason: String| {
            StackError::Invalid(format!(
                "the backup has no {} that can be used: {reason}; use another backup",
                spec::OPTIONS_FILE
            ))
        };
        let Some(content) = self.place.read(&path).await? else {
            return Err(wrong("there is none".to_owned()));
        };
        let options = spec::kept_options(&content).map_err(|error| wrong(error.to_string()))?;
        self.manages_swarm(&options)
    }

    async fn put_in_place(
        &self,
        areas: &Areas<'_>,
        events: OnEvent<'_>,
    ) -> Result<Option<String>, StackError> {
        self.stop_all(events).await?;
        areas.exchange().await?;
        Ok(self.set_up(&Change::default(), events).await?.url)
    }

    /// Undoes an exchange that did not do.
    async fn take_back(
        &self,
        areas: &Areas<'_>,
        had_stack: bool,
        error: StackError,
        events: OnEvent<'_>,
    ) -> StackError {
        events(Event::Warning {
            text: format!("the stack of the backup does not do, what was there before comes back: {error}"),
        });
        let back = async {
            match had_stack {
                true => self.stop_all(events).await?,
                false => self.remove_all(events).await?,
            }
            areas.undo().await?;
            if had_stack {
                self.set_up(&Change::default(), events).await?;
            }
            Ok::<_, StackError>(())
        };
        let undone = match back.await {
            Ok(()) if had_stack => "What was there before is there again, and every target is up".to_owned(),
            Ok(()) => "Nothing of it is left".to_owned(),
            Err(further) => format!(
                "And what was there before could not be brought back whole: {further}; `masthead setup` goes on with that"
            ),
        };
        StackError::Undone {
            attempt: "restoring the backup".to_owned(),
            source: Box::new(error),
            undone,
        }
    }

    /// Undoes an exchange that was cut off.
    pub(super) async fn recover_restore(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        let areas = Areas::new(&self.place, &self.run.base_dir);
        if !areas.is_half_done().await {
            return areas.clear().await;
        }
        events(Event::Warning {
            text: "a restore was cut off; what was there before it comes back first".to_owned(),
        });
        self.stop_all(events).await?;
        areas.undo().await
    }

    /// Stops all containers of this stack, Prometheus first.
    pub(super) async fn stop_all(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        let observed = observe::observe(&self.engine, &self.place, &self.run.base_dir).await?;
        let is_ours = |container: &ObservedContainer| self.is_of_this_stack(container);
        let mut names: Vec<&String> = observed
            .containers
            .iter()
            .filter(|(_, container)| is_ours(container))
            .map(|(name, _)| name)
            .collect();
        names.sort_by_key(|name| *name != Component::Prometheus.container());
        for name in names {
            events(Event::Waiting {
                what: format!("container {name} to end"),
            });
            self.engine.stop(name).await?;
        }
        Ok(())
    }

    /// Removes what a set up of a backup has made where nothing was before.
    async fn remove_all(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        let observed = observe::observe(&self.engine, &self.place, &self.run.base_dir).await?;
        let steps = plan::removal(&observed, &self.run.base_dir, false);
        self.carry_out(&steps, events).await
    }

    /// Makes the base directory, so that there is one to unpack into.
    pub(super) async fn make_base_dir(&self) -> Result<(), StackError> {
        let access = Access {
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        self.place
            .make_folder(&self.run.base_dir, access, FolderKind::Ours)
            .await
    }
}

/// Gives a program what a thread makes for it.
async fn drain(
    mut chunks: mpsc::Receiver<Vec<u8>>,
    input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
) -> std::io::Result<()> {
    let Some(mut input) = input else { return Ok(()) };
    while let Some(chunk) = chunks.recv().await {
        input.write_all(&chunk).await?;
    }
    input.shutdown().await
}
