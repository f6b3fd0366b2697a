//! Mounts, from `/proc/1/mountinfo`.
//!
//! ```text
//!   36 35 98:0 /root /mount/point rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue
//!   id parent major:minor root mount-point options  optional...  - type source super-options
//! ```
//!
//! The kernel writes blanks and backslashes within a field as octal numbers (`\040`).

use std::borrow::Cow;

use crate::error::Fault;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount<'a> {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) mount_point: Cow<'a, str>,
    /// What is mounted, as upstream shows it: with the kernel's octal numbers.
    pub(crate) device: &'a str,
    pub(crate) fs_type: &'a str,
    pub(crate) read_only: bool,
}

/// All mounts, in the kernel's order: of two on one mount point, the later one covers the earlier.
pub(crate) fn parse(text: &str) -> Result<Vec<Mount<'_>>, Fault> {
    let mut mounts = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
        mounts.push(parse_line(line).ok_or_else(|| Fault::new(index, "a mount", line))?);
    }
    Ok(mounts)
}

fn parse_line(line: &str) -> Option<Mount<'_>> {
    let mut words = line.split_ascii_whitespace().skip(2);
    let (major, minor) = words.next()?.split_once(':')?;
    let mount_point = words.nth(1)?;
    let options = words.next()?;
    words.find(|word| *word == "-")?;
    let fs_type = words.next()?;
    let device = words.next()?;
    // A file system without super options leaves the last field empty.
    let super_options = words.next().unwrap_or_default();
    // ext4 goes read-only by itself after an error, and says so without touching the mount's own `rw`.
    let read_only = options.split(',').any(|option| option == "ro")
        || super_options
            .split(',')
            .any(|option| matches!(option, "ro" | "emergency_ro"));
    Some(Mount {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        mount_point: unescape(mount_point),
        device,
        fs_type,
        read_only,
    })
}

/// Octal numbers back into characters. What is no such number stays as it is.
pub(crate) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let value = octal.and_then(|d| {
            u8::try_from(
                (u32::from(d[0] - b'0') << 6) | (u32::from(d[1] - b'0') << 3) | u32::from(d[2] - b'0'),
            )
            .ok()
        });
        match value {
            Some(value) => {
                out.push(value);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_with_and_without_optional_fields_are_read() {
        let text = "29 1 259:2 / / rw,relatime shared:1 master:3 - ext4 /dev/dm-2 errors=remount-ro,data=ordered\n\
            33 24 0:28 / /a\\040b\\011c\\134 ro,nosuid - tmpfs tmpfs rw,mode=755\n\
            50 24 0:29 / /x rw - cifs //nas/share\\040one ro\n60 24 0:30 / /none rw - proc proc\n\
            61 24 8:1 / /broken rw - ext4 /dev/sda1 rw,emergency_ro\n";
        let got = parse(text).unwrap();
        let rows: Vec<_> = got
            .iter()
            .map(|m| {
                (
                    m.major,
                    m.minor,
                    &*m.mount_point,
                    m.device,
                    m.fs_type,
                    m.read_only,
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                (259, 2, "/", "/dev/dm-2", "ext4", false),
                (0, 28, "/a b\tc\\", "tmpfs", "tmpfs", true),
                (0, 29, "/x", "//nas/share\\040one", "cifs", true),
                (0, 30, "/none", "proc", "proc", false),
                (8, 1, "/broken", "/dev/sda1", "ext4", true),
            ]
        );
        for bad in [
            "29 1",
            "29 1 259 / / rw - ext4 x rw",
            "29 1 a:b / / rw - ext4 x rw",
            "29 1 1:2 / / rw ext4 x rw",
        ] {
            assert_eq!(parse(bad).unwrap_err().line, 1, "{bad}");
        }
    }

    #[test]
    fn octal_numbers_become_characters() {
        for (text, want) in [
            ("/a", "/a"),
            ("/\\303\\251t\\303\\251", "/été"),
            ("\\", "\\"),
            ("\\04", "\\04"),
            ("\\777", "\\777"),
            ("\\049", "\\049"),
            ("\\é04", "\\é04"),
        ] {
            assert_eq!(unescape(text), want);
        }
    }
}
