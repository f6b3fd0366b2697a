//! Files that root made in somebody else's folder are given to that user, or the service that owns the folder could not go on.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, lchown};
use std::path::Path;

/// Gives everything in a folder that root owns to the owner of the folder. Nothing is done for others than root.
///
/// # Errors
/// Names the file that cannot be given.
pub(super) fn give_to_owner(folder: &Path) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(folder)?;
    if owner.uid() == 0 {
        return Ok(());
    }
    walk(folder, &|path, uid| {
        if uid == 0 {
            lchown(path, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    })
    .map_err(|e| {
        anyhow::anyhow!(
            "giving the new files in {} to the owner of the folder: {e}; do it with chown -R --reference",
            folder.display()
        )
    })
}

/// Calls `each` with everything below a folder and its owner. Links are not followed.
fn walk(folder: &Path, each: &dyn Fn(&Path, u32) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        each(&path, metadata.uid())?;
        if metadata.is_dir() {
            walk(&path, each)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_made_belongs_to_the_folders_owner() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED what_root_made_belongs_to_the_folders_owner: only root can give files away");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir_all(data.join("wal")).unwrap();
        fs::write(data.join("wal/1"), "x").unwrap();
        fs::write(folder.path().join("other"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path().join("other"), data.join("link")).unwrap();
        let uid = |name: &str| fs::symlink_metadata(folder.path().join(name)).unwrap().uid();
        give_to_owner(&data).unwrap();
        assert_eq!(uid("data/wal/1"), 0);
        lchown(&data, Some(4242), Some(4242)).unwrap();
        give_to_owner(&data).unwrap();
        let uids = ["data/wal", "data/wal/1", "data/link", "other"].map(uid);
        assert_eq!(uids, [4242, 4242, 4242, 0]);
    }
}
