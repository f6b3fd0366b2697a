//! What a migration needs of a stack beside its commands: a snapshot to read, and a place to write blocks into before Prometheus starts.

use std::path::{Path, PathBuf};

use super::Stack;
use crate::{Change, Event, OnEvent, StackError, Step};

impl Stack {
    /// Where its files are.
    #[must_use]
    pub fn base_dir(&self) -> &Path {
        &self.run.base_dir
    }

    /// Is it on this machine?
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.place.link().is_none()
    }

    /// Has Prometheus make a snapshot of its data and gives its folder. [`Stack::drop_snapshot`] removes it, and so does the next command.
    ///
    /// # Errors
    /// No stack is set up, another run holds the lock, or Prometheus does not do it.
    pub async fn snapshot(&self, events: OnEvent<'_>) -> Result<PathBuf, StackError> {
        let _lock = self.lock("migrate", events).await?;
        self.recover(events).await?;
        events(Event::Waiting {
            what: "Prometheus' snapshot of its data".to_owned(),
        });
        self.take_snapshot().await
    }

    /// Removes the snapshot.
    ///
    /// # Errors
    /// Another run holds the lock, or it cannot be removed.
    pub async fn drop_snapshot(&self, events: OnEvent<'_>) -> Result<(), StackError> {
        let _lock = self.lock("migrate", events).await?;
        self.clear_snapshot().await
    }

    /// Makes the base directory with its folders and files, and nothing that runs; gives Prometheus' data folder. `setup` does the rest.
    ///
    /// # Errors
    /// As [`Stack::setup`], as far as it goes.
    pub async fn lay_out(&self, change: &Change, events: OnEvent<'_>) -> Result<PathBuf, StackError> {
        let _lock = self.lock("migrate", events).await?;
        self.recover(events).await?;
        let mut view = self.look(change).await?;
        self.preflight(&view).await?;
        view.steps
            .retain(|step| matches!(step, Step::MakeFolder(_) | Step::WriteFile { .. }));
        self.carry_out(&view.steps, events).await?;
        Ok(self.data_dir())
    }
}
