//! Exchanging what lies in a folder for something else, so that it can be undone at any time.
//!
//! ```text
//! AREA/.masthead-incoming/    what is to come: filled while everything else goes on
//! AREA/.masthead-former/      what was there: whole, what lies in the area now came from incoming
//! AREA/.masthead-leaving/     what was there: not whole yet (or no longer), the rest of it lies in the area
//! BASE/.masthead-restoring    as long as this is there, the exchange has to be undone, else its folders are only in the way
//! ```
//!
//! Areas are the base directory and each data folder in it, which may be a disk of its own: all moves are within one file system.

use std::path::{Path, PathBuf};

use crate::desired::{Access, FolderKind};
use crate::place::Place;
use crate::{StackError, spec};

/// What is never moved: working files.
pub(super) const WORKING: &str = ".masthead-";
const INCOMING: &str = ".masthead-incoming";
const FORMER: &str = ".masthead-former";
const LEAVING: &str = ".masthead-leaving";
/// In the base directory.
const RESTORING: &str = ".masthead-restoring";

/// The areas of a base directory.
#[derive(Debug)]
pub(super) struct Areas<'a> {
    place: &'a Place,
    base_dir: &'a Path,
}

/// Folders below the base directory that hold data of components.
pub(super) fn data_folders() -> Vec<PathBuf> {
    spec::known_folders()
        .into_iter()
        .filter(|folder| folder.kind == FolderKind::Data)
        .map(|folder| folder.path)
        .collect()
}

impl<'a> Areas<'a> {
    pub(super) fn new(place: &'a Place, base_dir: &'a Path) -> Self {
        Self { place, base_dir }
    }

    /// The data folders that are there first, the base directory last.
    async fn all(&self) -> Vec<PathBuf> {
        let mut areas = Vec::new();
        for folder in data_folders() {
            let folder = self.base_dir.join(folder);
            if self.place.exists(&folder).await {
                areas.push(folder);
            }
        }
        areas.push(self.base_dir.to_owned());
        areas
    }

    fn mark(&self) -> PathBuf {
        self.base_dir.join(RESTORING)
    }

    /// Was an exchange cut off?
    pub(super) async fn is_half_done(&self) -> bool {
        self.place.exists(&self.mark()).await
    }

    /// Makes the folders that what is to come is put into, also in data folders that are to come themselves.
    pub(super) async fn make_incoming(&self, coming: &[PathBuf]) -> Result<(), StackError> {
        for folder in coming {
            let access = Access {
                mode: 0o755,
                ..Access::ROOTS_FOLDER
            };
            let path = self.base_dir.join(folder);
            if !self.place.exists(&path).await {
                self.place.make_folder(&path, access, FolderKind::Ours).await?;
            }
        }
        for area in self.all().await {
            self.place
                .make_folder(&area.join(INCOMING), Access::ROOTS_FOLDER, FolderKind::Ours)
                .await?;
        }
        Ok(())
    }

    /// Where an entry with this path below the base directory has to be put, relative to that.
    pub(super) fn incoming(path: &str) -> String {
        let folder = data_folders().into_iter().find_map(|folder| {
            let folder = folder.to_string_lossy().into_owned();
            let rest = path.strip_prefix(&folder)?.strip_prefix('/')?.to_owned();
            Some((folder, rest))
        });
        match folder {
            Some((folder, rest)) => format!("{folder}/{INCOMING}/{rest}"),
            None => format!("{INCOMING}/{path}"),
        }
    }

    /// A file that is to come in.
    pub(super) fn incoming_path(&self, path: &str) -> PathBuf {
        self.base_dir.join(Self::incoming(path))
    }

    /// Puts what came in in the place of what is there. Everything that uses it has been stopped.
    pub(super) async fn exchange(&self) -> Result<(), StackError> {
        self.place.write(&self.mark(), b"", Access::ROOTS_FILE).await?;
        for area in self.all().await {
            let leaving = area.join(LEAVING);
            self.place
                .make_folder(&leaving, Access::ROOTS_FOLDER, FolderKind::Ours)
                .await?;
            self.move_all(&area, &leaving).await?;
            self.place.rename(&leaving, &area.join(FORMER)).await?;
            self.move_all(&area.join(INCOMING), &area).await?;
        }
        Ok(())
    }

    /// What was there before comes back. It can be cut off and begun again.
    pub(super) async fn undo(&self) -> Result<(), StackError> {
        for area in self.all().await {
            let (incoming, former, leaving) = (area.join(INCOMING), area.join(FORMER), area.join(LEAVING));
            if self.place.exists(&former).await {
                self.place
                    .make_folder(&incoming, Access::ROOTS_FOLDER, FolderKind::Ours)
                    .await?;
                self.move_all(&area, &incoming).await?;
                self.place.rename(&former, &leaving).await?;
            }
            if self.place.exists(&leaving).await {
                self.move_all(&leaving, &area).await?;
            }
        }
        self.place.remove(&self.mark()).await?;
        self.clear().await
    }

    /// What came in stays; what was there before goes.
    pub(super) async fn keep(&self) -> Result<(), StackError> {
        self.place.remove(&self.mark()).await?;
        self.clear().await
    }

    /// Removes what an exchange that is over has left.
    pub(super) async fn clear(&self) -> Result<(), StackError> {
        if self.is_half_done().await {
            return Ok(());
        }
        for area in self.all().await {
            for name in [INCOMING, FORMER, LEAVING] {
                self.place.remove(&area.join(name)).await?;
            }
        }
        Ok(())
    }

    /// Moves what lies in a folder into another, but for working files and, of the base directory, the data folders. What stands there
    /// already under the same name was moved before.
    async fn move_all(&self, from: &Path, to: &Path) -> Result<(), StackError> {
        let data = data_folders();
        for name in self.place.list(from).await?.unwrap_or_default() {
            let is_data = data.iter().any(|folder| folder == Path::new(&name));
            let is_base = from == self.base_dir || to == self.base_dir;
            if name.starts_with(WORKING) || (is_base && is_data) {
                continue;
            }
            self.place.rename(&from.join(&name), &to.join(&name)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn put(base: &Path, path: &str, text: &str) {
        let path = base.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, text).expect("written");
    }

    fn tree(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).expect("folder") {
                let path = entry.expect("entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => found.push(format!(
                        "{}={}",
                        path.strip_prefix(folder).expect("below").display(),
                        fs::read_to_string(&path).expect("text")
                    )),
                }
            }
        }
        found.sort();
        found
    }

    fn filled() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("folder");
        for (path, text) in [
            ("a", "1"),
            ("conf.d/x", "1"),
            ("data/b/1", "1"),
            ("data/wal/1", "1"),
        ] {
            put(folder.path(), path, text);
        }
        folder
    }

    async fn come_in(areas: &Areas<'_>, base: &Path) {
        areas.make_incoming(&[PathBuf::from("data")]).await.expect("made");
        for (path, text) in [("a", "2"), ("data/c/1", "2"), ("rules/y", "2")] {
            put(base, &Areas::incoming(path), text);
        }
    }

    const BEFORE: [&str; 4] = ["a=1", "conf.d/x=1", "data/b/1=1", "data/wal/1=1"];
    const AFTER: [&str; 3] = ["a=2", "data/c/1=2", "rules/y=2"];

    #[tokio::test]
    async fn what_comes_in_stays_or_goes_again() {
        if !rustix::process::geteuid().is_root() {
            // Folders are root's; the pipeline runs as root.
            return;
        }
        let place = Place::here();
        for stays in [true, false] {
            let folder = filled();
            let base = folder.path();
            let areas = Areas::new(&place, base);
            come_in(&areas, base).await;
            areas.exchange().await.expect("exchanged");
            assert!(areas.is_half_done().await);
            match stays {
                true => areas.keep().await.expect("kept"),
                false => areas.undo().await.expect("undone"),
            }
            assert!(!areas.is_half_done().await);
            assert_eq!(tree(base), if stays { AFTER.to_vec() } else { BEFORE.to_vec() });
        }
    }

    /// Each state that a cut in the middle of an exchange, or of its undoing, can leave.
    #[tokio::test]
    async fn whatever_was_half_done_is_undone() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let place = Place::here();
        let half_done: [&[(&str, &str)]; 5] = [
            // Marked, nothing moved.
            &[],
            &[("data/b", "data/.masthead-leaving/b")],
            &[
                ("data/b", "data/.masthead-former/b"),
                ("data/wal", "data/.masthead-former/wal"),
                ("data/.masthead-incoming/c", "data/c"),
                ("a", ".masthead-leaving/a"),
            ],
            &[
                ("a", ".masthead-former/a"),
                ("conf.d", ".masthead-former/conf.d"),
                (".masthead-incoming/a", "a"),
            ],
            // Undoing: all of it is leaving again, some is back.
            &[("data/wal", "data/.masthead-leaving/wal")],
        ];
        for moves in half_done {
            let folder = filled();
            let base = folder.path();
            let areas = Areas::new(&place, base);
            come_in(&areas, base).await;
            put(base, RESTORING, "");
            for (from, to) in moves {
                let to = base.join(to);
                fs::create_dir_all(to.parent().expect("a parent")).expect("folders");
                fs::rename(base.join(from), to).expect("moved");
            }
            areas.clear().await.expect("not cleared while it is half done");
            areas.undo().await.expect("undone");
            assert_eq!(tree(base), BEFORE, "{moves:?}");
        }
    }

    #[test]
    fn data_comes_in_where_its_folder_is() {
        assert_eq!(
            Areas::incoming("prometheus.yml"),
            ".masthead-incoming/prometheus.yml"
        );
        assert_eq!(
            Areas::incoming("data/01A/index"),
            "data/.masthead-incoming/01A/index"
        );
        assert_eq!(Areas::incoming("database"), ".masthead-incoming/database");
        assert_eq!(Areas::incoming("data"), ".masthead-incoming/data");
    }
}
