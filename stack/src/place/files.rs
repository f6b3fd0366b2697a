//! Files and folders of this machine, with owner and mode.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown, lchown};
use std::path::Path;

use super::Space;
use crate::desired::{Access, FolderKind};
use crate::{ObservedEntry, StackError};

/// Files of the stack are small; what is larger is none of ours, and is not read whole.
const MAX_FILE_BYTES: u64 = 16 << 20;

pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, StackError> {
    let failed = |error| StackError::file("reading", path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut content = Vec::new();
    file.take(MAX_FILE_BYTES)
        .read_to_end(&mut content)
        .map_err(failed)?;
    Ok(Some(content))
}

pub(super) fn entry(path: &Path) -> Result<Option<ObservedEntry>, StackError> {
    let known = match fs::metadata(path) {
        Ok(known) => known,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StackError::file("looking at", path, error)),
    };
    let content = match known.is_dir() {
        true => None,
        false => read(path)?,
    };
    Ok(Some(ObservedEntry {
        content,
        access: Access {
            mode: known.mode() & 0o7777,
            uid: known.uid(),
            gid: known.gid(),
        },
    }))
}

pub(super) fn list(folder: &Path) -> Result<Option<Vec<String>>, StackError> {
    let failed = |error| StackError::file("listing", folder, error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(Some(names))
}

pub(super) fn make_folder(path: &Path, access: Access, kind: FolderKind) -> Result<(), StackError> {
    let failed = |error| StackError::file("making the folder", path, error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let known = fs::metadata(path).map_err(failed)?;
            if !known.is_dir() {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
            match kind {
                FolderKind::Ours => {}
                FolderKind::Users => return Ok(()),
                FolderKind::Data if known.uid() == access.uid => {}
                FolderKind::Data => own_content(path, access)?,
            }
        }
        Err(error) => return Err(failed(error)),
    }
    // Owner first: a change of it clears bits of the mode.
    chown(path, Some(access.uid), Some(access.gid)).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(access.mode)).map_err(failed)
}

/// Gives everything in a folder to an owner; links themselves, and not what they lead to.
fn own_content(folder: &Path, access: Access) -> Result<(), StackError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |error| StackError::file("changing the owner of what is in", &folder, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            lchown(entry.path(), Some(access.uid), Some(access.gid)).map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(())
}

pub(super) fn write(path: &Path, content: &[u8], access: Access) -> Result<(), StackError> {
    let failed = |error| StackError::file("writing", path, error);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    if path.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    let mut new = OsString::from(".");
    new.push(name);
    new.push(".masthead-new");
    let new = folder.join(new);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        // A run that was killed may have left it.
        _ => {}
    }
    let written = write_new(&new, content, access).and_then(|()| fs::rename(&new, path));
    if let Err(error) = written {
        let _absent = fs::remove_file(&new);
        return Err(failed(error));
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

fn write_new(path: &Path, content: &[u8], access: Access) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    fchown(&file, Some(access.uid), Some(access.gid))?;
    file.set_permissions(Permissions::from_mode(access.mode))?;
    file.sync_all()
}

pub(super) fn remove(path: &Path) -> Result<(), StackError> {
    let gone = match fs::symlink_metadata(path) {
        Ok(known) if known.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match gone {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StackError::file("removing", path, error))
        }
        _ => Ok(()),
    }
}

pub(super) fn rename(from: &Path, to: &Path) -> Result<(), StackError> {
    fs::rename(from, to).map_err(|error| StackError::file("moving", from, error))
}

pub(super) fn remove_if_empty(path: &Path) -> Result<(), StackError> {
    match fs::remove_dir(path) {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(StackError::file("removing", path, error))
        }
        _ => Ok(()),
    }
}

pub(super) fn space(path: &Path) -> Result<Space, StackError> {
    let mut there = path;
    while !there.exists() {
        let Some(parent) = there.parent() else { break };
        there = parent;
    }
    let known = rustix::fs::statvfs(there)
        .map_err(|error| StackError::file("asking for room at", path, error.into()))?;
    Ok(Space {
        free: known.f_bavail.saturating_mul(known.f_frsize),
        total: known.f_blocks.saturating_mul(known.f_frsize),
    })
}

/// Links are not followed; what cannot be read counts as nothing.
pub(super) fn size(folder: &Path) -> u64 {
    let mut folders = vec![folder.to_owned()];
    let mut bytes = 0_u64;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(known) = entry.metadata() else { continue };
            if known.is_dir() {
                folders.push(entry.path());
            }
            bytes = bytes.saturating_add(known.blocks().saturating_mul(512));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mine(mode: u32) -> Access {
        Access {
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    #[test]
    fn a_file_is_written_whole_with_its_mode_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("secret");
        assert_eq!(entry(&path).expect("entry"), None);
        // What a run that was killed has left is no obstacle.
        fs::write(folder.path().join(".secret.masthead-new"), "half").expect("write");
        for (content, mode) in [("one", 0o600), ("two", 0o400), ("three", 0o644)] {
            write(&path, content.as_bytes(), mine(mode)).expect("write");
            let there = entry(&path).expect("entry").expect("there");
            assert_eq!(there.content.as_deref(), Some(content.as_bytes()));
            assert_eq!(there.access, mine(mode));
        }
        assert_eq!(
            list(folder.path()).expect("list"),
            Some(vec!["secret".to_owned()])
        );
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("folder");
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).expect("folder");
        let error = write(&taken, b"x", mine(0o600)).expect_err("a folder is there");
        assert!(error.to_string().contains("move it away"), "{error}");
        let error = write(&folder.path().join("no/such/file"), b"x", mine(0o600)).expect_err("no folder");
        assert!(error.to_string().starts_with("writing "), "{error}");
        assert_eq!(list(folder.path()).expect("list"), Some(vec!["taken".to_owned()]));
    }

    #[test]
    fn folders_are_made_with_their_parents_and_set_right() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a/b");
        make_folder(&path, mine(0o700), FolderKind::Ours).expect("made");
        make_folder(&path, mine(0o755), FolderKind::Ours).expect("set");
        let there = entry(&path).expect("entry").expect("there");
        assert_eq!((there.content, there.access), (None, mine(0o755)));
        make_folder(&path, mine(0o700), FolderKind::Users).expect("left alone");
        assert_eq!(entry(&path).expect("entry").expect("there").access, mine(0o755));
        fs::write(folder.path().join("file"), "x").expect("write");
        make_folder(&folder.path().join("file"), mine(0o755), FolderKind::Ours).expect_err("a file is there");
        assert_eq!(
            entry(&folder.path().join("file"))
                .expect("entry")
                .expect("there")
                .content,
            Some(b"x".to_vec())
        );
        remove_if_empty(&folder.path().join("a")).expect("not empty is no failure");
        assert!(path.exists());
        remove_if_empty(&path).expect("empty");
        remove_if_empty(&path).expect("gone already");
        assert!(!path.exists());
        remove(&folder.path().join("a")).expect("removed");
        remove(&folder.path().join("a")).expect("gone already");
        assert_eq!(list(&path).expect("list"), None);
    }

    #[test]
    fn data_of_another_owner_changes_hands_whole_and_links_are_not_followed() {
        if !rustix::process::geteuid().is_root() {
            // Only root can give files away; the pipeline runs as root.
            return;
        }
        let folder = tempfile::tempdir().expect("folder");
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("wal")).expect("folder");
        fs::write(data.join("wal/00000000"), "x").expect("write");
        fs::write(folder.path().join("outside"), "x").expect("write");
        std::os::unix::fs::symlink(folder.path().join("outside"), data.join("link")).expect("link");
        let nobody = Access {
            mode: 0o700,
            uid: 65534,
            gid: 65534,
        };
        make_folder(&data, nobody, FolderKind::Data).expect("handed over");
        let owner = |path: &Path| fs::symlink_metadata(path).expect("there").uid();
        for path in ["", "wal", "wal/00000000", "link"] {
            assert_eq!(owner(&data.join(path)), 65534, "{path}");
        }
        assert_eq!(owner(&folder.path().join("outside")), 0);
    }

    #[test]
    fn a_link_is_removed_and_not_what_it_leads_to() {
        let folder = tempfile::tempdir().expect("folder");
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).expect("folder");
        fs::write(kept.join("file"), "x").expect("write");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&kept, &link).expect("link");
        remove(&link).expect("removed");
        assert!(kept.join("file").exists());
    }

    #[test]
    fn room_and_size_are_the_systems() {
        let folder = tempfile::tempdir().expect("folder");
        let there = space(folder.path()).expect("space");
        let not_yet = space(&folder.path().join("not/yet")).expect("space");
        assert_eq!(there.total, not_yet.total);
        assert!(there.total > 0);
        fs::write(folder.path().join("file"), vec![1_u8; 100_000]).expect("write");
        File::open(folder.path().join("file"))
            .and_then(|f| f.sync_all())
            .expect("sync");
        assert!(size(folder.path()) >= 100_000);
    }
}
