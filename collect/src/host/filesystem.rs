//! `filesystem`: space and inodes of mounted file systems, from the mounts of process 1 and `statfs`.
//!
//! The mounts of process 1 are the host's, also when we run in a mount namespace of our own; where they cannot be had
//! (no such process, or not our business), our own mounts stand in.

use model::{Family, MetricType};
use std::borrow::Cow;

use super::Collector;
use super::mountinfo::{self, Mount};
use super::statfs::{self, Guard, Sizes, StatfsError};
use crate::error::CollectError;
use crate::input::{Input, Source};
use crate::options::{Filter, Options};
use crate::output::{Output, label};

/// Name and help of the families of sizes, in the order of [`values`].
const SIZES: [(&str, &str); 6] = [
    ("node_filesystem_size_bytes", "Filesystem size in bytes."),
    ("node_filesystem_free_bytes", "Filesystem free space in bytes."),
    (
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
    ),
    ("node_filesystem_files", "Filesystem total file nodes."),
    ("node_filesystem_files_free", "Filesystem total free file nodes."),
    (
        "node_filesystem_purgeable_bytes",
        "Filesystem space available including purgeable space (MacOS specific).",
    ),
];

fn values(sizes: &Sizes) -> [f64; SIZES.len()] {
    [
        sizes.size,
        sizes.free,
        sizes.avail,
        sizes.files,
        sizes.files_free,
        0.0,
    ]
}

/// The list of mounts is read again after so long even when the kernel tells of no change: that a file system went read-only by
/// itself, after an error, is no change of the list to it.
const MOUNTS_AGE_MS: i64 = 60_000;

/// The list of mounts as it was read. On a machine with a hundred containers it has hundreds of lines with long options, which
/// the kernel writes anew for each reader.
#[derive(Debug)]
struct Kept {
    text: String,
    of_init: bool,
    read_ms: i64,
}

/// The collector.
#[derive(Debug)]
pub(super) struct Filesystem {
    mounts_of_init: Source,
    mounts_of_self: Source,
    kept: Option<Kept>,
    rootfs: String,
    mount_points: Filter,
    types: Filter,
    ask: statfs::Ask,
    guard: Guard,
}

impl Filesystem {
    pub(super) fn new(options: &Options) -> Self {
        Self::asking(options, statfs::system)
    }

    fn asking(options: &Options, ask: statfs::Ask) -> Self {
        Self {
            mounts_of_init: Source::new(options.paths.procfs.join("1/mountinfo")),
            mounts_of_self: Source::new(options.paths.procfs.join("self/mountinfo")),
            kept: None,
            rootfs: options
                .paths
                .rootfs
                .to_string_lossy()
                .trim_end_matches('/')
                .to_owned(),
            mount_points: options.filters.filesystem_mount_points.clone(),
            types: options.filters.filesystem_types.clone(),
            ask,
            guard: Guard::new(ask, options.mount_timeout),
        }
    }

    /// The list of mounts, read again when it may have changed.
    fn mounts(&mut self, now_ms: i64, input: &mut Input) -> Result<Kept, CollectError> {
        if let Some(kept) = self.kept.take() {
            let file = if kept.of_init {
                &self.mounts_of_init
            } else {
                &self.mounts_of_self
            };
            let age_ms = now_ms.saturating_sub(kept.read_ms);
            if (0..MOUNTS_AGE_MS).contains(&age_ms) && file.is_unchanged() {
                return Ok(kept);
            }
        }
        let text = input.source(&mut self.mounts_of_init).map(str::to_owned);
        let of_init = text.is_ok();
        let text = match text {
            Ok(text) => text,
            Err(_) => input.source(&mut self.mounts_of_self)?.to_owned(),
        };
        Ok(Kept {
            text,
            of_init,
            read_ms: now_ms,
        })
    }

    /// The mounts to show, each once. Where one mount covers another, the covering one: it is the one that answers.
    fn select<'a>(&self, mounts: Vec<Mount<'a>>) -> Vec<Mount<'a>> {
        let mut chosen: Vec<Mount<'a>> = Vec::new();
        for mut mount in mounts {
            if !self.rootfs.is_empty() {
                let stripped = mount.mount_point.strip_prefix(&self.rootfs);
                match stripped.filter(|rest| rest.is_empty() || rest.starts_with('/')) {
                    Some("") => mount.mount_point = Cow::Borrowed("/"),
                    Some(rest) => mount.mount_point = Cow::Owned(rest.to_owned()),
                    None => {}
                }
            }
            if self.mount_points.ignores(&mount.mount_point) || self.types.ignores(mount.fs_type) {
                continue;
            }
            let same = chosen.iter_mut().find(|known| {
                known.mount_point == mount.mount_point
                    && known.device == mount.device
                    && known.fs_type == mount.fs_type
            });
            match same {
                Some(known) => *known = mount,
                None => chosen.push(mount),
            }
        }
        chosen
    }

    fn path_of(&self, mount: &Mount<'_>) -> String {
        format!("{}{}", self.rootfs, mount.mount_point)
    }

    /// Sizes in the order of the mounts.
    fn sizes(&mut self, mounts: &[Mount<'_>]) -> Vec<Result<Sizes, StatfsError>> {
        let guarded: Vec<String> = mounts
            .iter()
            .filter(|m| statfs::may_hang(m.fs_type))
            .map(|m| self.path_of(m))
            .collect();
        let mut guarded = self.guard.ask(&guarded).into_iter();
        let mut sizes = Vec::with_capacity(mounts.len());
        for mount in mounts {
            sizes.push(if statfs::may_hang(mount.fs_type) {
                guarded.next().unwrap_or(Err(StatfsError::Thread))
            } else {
                (self.ask)(&self.path_of(mount)).map_err(StatfsError::Errno)
            });
        }
        sizes
    }
}

/// Adds the families of these mounts.
fn add(mounts: &[Mount<'_>], sizes: &[Result<Sizes, StatfsError>], out: &mut Output) {
    let gauge = |(name, help)| Family::new(name, help, MetricType::Gauge);
    let mut families = SIZES.map(gauge);
    let mut read_only = gauge(("node_filesystem_readonly", "Filesystem read-only status."));
    let mut info = gauge(("node_filesystem_mount_info", "Filesystem mount information."));
    let mut error = gauge((
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
    ));
    for (mount, sizes) in mounts.iter().zip(sizes) {
        let reason = sizes
            .as_ref()
            .err()
            .map(|error| statfs::device_error(*error))
            .unwrap_or_default();
        let labels = vec![
            label("device", mount.device.to_owned()),
            label("device_error", reason),
            label("fstype", mount.fs_type.to_owned()),
            label("mountpoint", mount.mount_point.clone().into_owned()),
        ];
        error.push(labels.clone(), f64::from(u8::from(sizes.is_err())));
        read_only.push(labels.clone(), f64::from(u8::from(mount.read_only)));
        let Ok(sizes) = sizes else { continue };
        for (family, value) in families.iter_mut().zip(values(sizes)) {
            family.push(labels.clone(), value);
        }
        info.push(
            vec![
                label("device", mount.device.to_owned()),
                label("major", mount.major.to_string()),
                label("minor", mount.minor.to_string()),
                label("mountpoint", mount.mount_point.clone().into_owned()),
            ],
            1.0,
        );
    }
    families
        .into_iter()
        .chain([read_only, info, error])
        .for_each(|family| out.add(family));
}

impl Collector for Filesystem {
    fn collect(&mut self, now_ms: i64, input: &mut Input, out: &mut Output) -> Result<(), CollectError> {
        let kept = self.mounts(now_ms, input)?;
        let file = if kept.of_init {
            &self.mounts_of_init
        } else {
            &self.mounts_of_self
        };
        let mounts = self.select(mountinfo::parse(&kept.text).map_err(|fault| fault.at(file.path()))?);
        let sizes = self.sizes(&mounts);
        add(&mounts, &sizes, out);
        self.kept = Some(kept);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use rustix::io::Errno;

    use super::*;

    fn ask(path: &str) -> Result<Sizes, Errno> {
        match path {
            "/host/data" | "/data" => Err(Errno::ACCESS),
            "/nfs" => {
                std::thread::sleep(Duration::from_secs(2));
                Err(Errno::IO)
            }
            _ => Ok(Sizes {
                size: 100.0,
                free: 50.0,
                avail: 40.0,
                files: 9.0,
                files_free: 8.0,
            }),
        }
    }

    /// The collector's text for these mounts.
    fn text_of(proc: &[(&str, &str)], rootfs: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        for (process, mounts) in proc {
            std::fs::create_dir_all(dir.path().join(process)).unwrap();
            std::fs::write(dir.path().join(process).join("mountinfo"), mounts).unwrap();
        }
        let mut options = Options::default();
        options.paths.procfs = dir.path().to_path_buf();
        options.paths.rootfs = Path::new(rootfs).to_path_buf();
        options.mount_timeout = Duration::from_millis(50);
        let mut out = Output::default();
        Filesystem::asking(&options, ask)
            .collect(0, &mut Input::default(), &mut out)
            .unwrap();
        let mut text = String::new();
        model::encode_families(&out.finish(), &mut text);
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    #[test]
    fn errors_and_stuck_mounts_are_shown_without_sizes() {
        let text = text_of(
            &[(
                "1",
                "1 1 8:1 / /data rw - ext4 /dev/sda1 rw\n2 1 0:50 / /nfs ro - nfs4 nas:/x ro\n",
            )],
            "/",
        );
        let want = "\
            node_filesystem_device_error{device=\"/dev/sda1\",device_error=\"permission denied\",fstype=\"ext4\",mountpoint=\"/data\"} 1\n\
            node_filesystem_device_error{device=\"nas:/x\",device_error=\"mountpoint timeout\",fstype=\"nfs4\",mountpoint=\"/nfs\"} 1\n\
            node_filesystem_readonly{device=\"/dev/sda1\",device_error=\"permission denied\",fstype=\"ext4\",mountpoint=\"/data\"} 0\n\
            node_filesystem_readonly{device=\"nas:/x\",device_error=\"mountpoint timeout\",fstype=\"nfs4\",mountpoint=\"/nfs\"} 1\n";
        assert_eq!(text, want);
    }

    #[test]
    fn a_mount_is_shown_once_and_the_top_one_counts() {
        let text = text_of(
            &[(
                "1",
                "1 1 0:5 / /tmp rw - tmpfs tmpfs rw\n2 1 0:6 / /tmp rw - tmpfs tmpfs rw\n3 1 0:7 / /proc rw - proc proc rw\n",
            )],
            "/",
        );
        assert_eq!(text.matches("node_filesystem_size_bytes").count(), 1, "{text}");
        assert!(
            text.contains(
                "node_filesystem_mount_info{device=\"tmpfs\",major=\"0\",minor=\"6\",mountpoint=\"/tmp\"} 1"
            ),
            "{text}"
        );
        assert!(!text.contains("/proc"), "{text}");
    }

    #[test]
    fn the_root_is_stripped_from_labels_and_put_before_paths() {
        let mounts = "1 1 8:1 / /host rw - ext4 /dev/sda1 rw\n2 1 8:2 / /host/data rw - ext4 /dev/sda2 rw\n\
            3 1 8:3 / /hostile rw - ext4 /dev/sda3 rw\n";
        let text = text_of(&[("1", mounts)], "/host");
        assert!(
            text.contains(
                "size_bytes{device=\"/dev/sda1\",device_error=\"\",fstype=\"ext4\",mountpoint=\"/\"} 100"
            ),
            "{text}"
        );
        assert!(
            text.contains("device_error=\"permission denied\",fstype=\"ext4\",mountpoint=\"/data\"} 1"),
            "{text}"
        );
        assert!(text.contains("mountpoint=\"/hostile\""), "{text}");
    }

    #[test]
    fn our_own_mounts_stand_in_for_those_of_process_1() {
        let text = text_of(&[("self", "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n")], "/");
        assert!(text.contains("node_filesystem_avail_bytes"), "{text}");
    }
}
