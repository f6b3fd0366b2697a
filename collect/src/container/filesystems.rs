//! File systems of the machine, shown at `id="/"` alone: those on block devices, one row a device.
//!
//! What a container uses of its own layers is not told by any file; upstream walks the storage driver's folders for it, which is
//! what people complain of most. Network file systems, whose server could keep us waiting, are left to `node_filesystem_*`.

use std::path::{Path, PathBuf};

use super::families::Name;
use super::files::Reader;
use super::sheet::{Base, Sheet};
use crate::host::{mountinfo, statfs};

/// Rounds for which the list of mounts is kept: it has a line and more for every container.
const MOUNTS_KEPT_ROUNDS: u64 = 8;

/// Devices and where they are mounted.
#[derive(Debug, Default)]
pub(super) struct Filesystems {
    /// Device and a path in it, sorted by device.
    mounts: Vec<(String, String)>,
}

/// The types that upstream shows and that lie on a device.
fn is_shown(fs_type: &str, device: &str) -> bool {
    device.starts_with("/dev/") && (fs_type.starts_with("ext") || ["xfs", "btrfs", "zfs"].contains(&fs_type))
}

impl Filesystems {
    /// Reads the mounts now and then: those of the first process are the host's.
    pub(super) fn begin_round(&mut self, round: u64, procfs: &Path, rootfs: &Path, reader: &mut Reader) {
        if !round.is_multiple_of(MOUNTS_KEPT_ROUNDS) {
            return;
        }
        let of = |who: &str| -> PathBuf { procfs.join(who).join("mountinfo") };
        self.mounts.clear();
        let text = match reader.read_path(&of("1")) {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => reader
                .read_path(&of("self"))
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default(),
        };
        let root = rootfs.to_string_lossy();
        let root = root.trim_end_matches('/');
        for mount in mountinfo::parse(&text).unwrap_or_default() {
            let known = self.mounts.iter().any(|(device, _)| device == mount.device);
            if is_shown(mount.fs_type, mount.device) && !known {
                let path = format!("{root}{}", mount.mount_point);
                self.mounts.push((mount.device.to_owned(), path));
            }
        }
        self.mounts.sort_unstable();
    }

    /// Adds the rows of all devices.
    pub(super) fn add(&self, sheet: &mut Sheet, base: &Base) {
        for (device, path) in &self.mounts {
            let Ok(sizes) = statfs::system(path) else {
                continue;
            };
            for (name, value) in [
                (Name::FsInodesFree, sizes.files_free),
                (Name::FsInodesTotal, sizes.files),
                (Name::FsLimitBytes, sizes.size),
                (Name::FsUsageBytes, sizes.size - sizes.free),
            ] {
                sheet.push_with(name, base, &[("device", device)], value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_on_devices_are_shown() {
        for (fs_type, device, want) in [
            ("ext4", "/dev/sda1", true),
            ("xfs", "/dev/mapper/root", true),
            ("squashfs", "/dev/loop1", false),
            ("tmpfs", "tmpfs", false),
            ("nfs4", "server:/x", false),
            ("overlay", "overlay", false),
        ] {
            assert_eq!(is_shown(fs_type, device), want, "{fs_type} on {device}");
        }
    }
}
