//! A moment of Prometheus' data as blocks, made by itself beside its work, and removed again whatever happens.
//!
//! Prometheus chooses the name of a snapshot's folder, and goes on making it when nobody waits for the answer any more. So what was
//! there before is noted first: the next run knows what an earlier one has left.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Stack;
use crate::desired::Access;
use crate::{OnEvent, StackError};

/// Below Prometheus' data folder.
const FOLDER: &str = "snapshots";
/// In the base directory, while there is a snapshot of ours.
const NOTE: &str = ".masthead-snapshot";
/// In the base directory: copies of what is copied twice.
pub(super) const STAGING: &str = ".masthead-staging";

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// Snapshots that are somebody else's.
    before: Vec<String>,
    /// Ours, once it is made.
    name: Option<String>,
}

impl Stack {
    fn snapshots(&self) -> PathBuf {
        self.data_dir().join(FOLDER)
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.run.base_dir.join("data")
    }

    async fn note(&self, path: &Path, note: &Note) -> Result<(), StackError> {
        let json = serde_json::to_vec(note).map_err(|error| StackError::Invalid(error.to_string()))?;
        self.place.write(path, &json, Access::ROOTS_FILE).await
    }

    /// Has Prometheus make one; gives its folder.
    pub(super) async fn take_snapshot(&self) -> Result<PathBuf, StackError> {
        let prometheus = self.prometheus_of(&self.access().await?).await?;
        let path = self.run.base_dir.join(NOTE);
        let before = self.place.list(&self.snapshots()).await?.unwrap_or_default();
        self.note(
            &path,
            &Note {
                before: before.clone(),
                name: None,
            },
        )
        .await?;
        let name = prometheus.snapshot().await?;
        let folder = self.snapshots().join(&name);
        self.note(
            &path,
            &Note {
                before,
                name: Some(name),
            },
        )
        .await?;
        Ok(folder)
    }

    /// Takes the snapshot that was just made out of the care of [`Stack::clear_snapshot`].
    pub(super) async fn adopt_snapshot(&self) -> Result<(), StackError> {
        self.place.remove(&self.run.base_dir.join(NOTE)).await
    }

    /// Removes the snapshot that this run, or an earlier one that was cut off, has made.
    pub(super) async fn clear_snapshot(&self) -> Result<(), StackError> {
        self.place.remove(&self.run.base_dir.join(STAGING)).await?;
        let path = self.run.base_dir.join(NOTE);
        let Some(text) = self.place.read(&path).await? else {
            return Ok(());
        };
        // One that was written half is none: then there is no snapshot yet.
        if let Ok(note) = serde_json::from_slice::<Note>(&text) {
            let there = self.place.list(&self.snapshots()).await?.unwrap_or_default();
            let ours = there.into_iter().filter(|name| match &note.name {
                Some(ours) => name == ours,
                None => !note.before.contains(name),
            });
            for name in ours {
                self.remove_snapshot(&name).await?;
            }
        }
        self.place.remove(&path).await
    }

    /// Removes a snapshot by its name.
    pub(super) async fn remove_snapshot(&self, name: &str) -> Result<(), StackError> {
        self.place.remove(&self.snapshots().join(name)).await?;
        self.place.remove_if_empty(&self.snapshots()).await
    }

    /// Brings what an earlier run of these commands has left half done to an end: called under the lock, before anything else.
    pub(super) async fn recover(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        self.clear_snapshot().await?;
        self.recover_restore(events).await
    }
}
