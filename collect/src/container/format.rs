//! The formats of cgroup files and of the files of a process, from bytes to numbers.
//!
//! ```text
//!   memory.stat, cpu.stat, memory.events    key value                                  pairs
//!   io.stat (v2)                            8:0 rbytes=1 wbytes=2 rios=3 wios=4 ...    io_stat
//!   blkio.throttle.* (v1)                   8:0 Read 1                                 blkio
//!   *.pressure                              some avg10=0.00 ... total=12               pressure
//!   /proc/PID/cgroup                        4:memory:/docker/ID                        memberships
//!   /proc/PID/net/dev                       eth0: 1 2 3 ... (16 counters)              net_dev
//!   /proc/PID/stat                          1 (name) S ...                             process_state
//! ```
//!
//! Every function takes any bytes. A line that is not understood is skipped: a kernel that adds one must not cost the
//! lines beside it. Nothing is allocated.

/// A number as the sample that upstream makes of it.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are floats: upstream rounds the same way"
)]
pub(super) fn float(value: u64) -> f64 {
    value as f64
}

/// Decimal digits alone; `None` for anything else, or more than 64 bits.
pub(super) fn digits(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

/// The only number of a file, with the newline behind it.
pub(super) fn single(bytes: &[u8]) -> Option<u64> {
    digits(bytes.trim_ascii())
}

/// A limit: 0 when there is none (`max`, `-1`, or the largest that v1 can write), as upstream shows it.
pub(super) fn limit(bytes: &[u8]) -> Option<u64> {
    /// Upstream's bound for "unlimited"; v1 rounds its largest number down to a page.
    const UNLIMITED: u64 = 1 << 62;
    match bytes.trim_ascii() {
        b"max" | b"-1" => Some(0),
        text => digits(text).map(|value| if value > UNLIMITED { 0 } else { value }),
    }
}

/// Lines without their ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n')
}

/// Words between blanks.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
}

/// Splits at the first of these bytes.
fn split_at(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Calls `each(key, value)` for lines of a key and a number.
pub(super) fn pairs(bytes: &[u8], mut each: impl FnMut(&[u8], u64)) {
    for line in lines(bytes) {
        if let Some((key, rest)) = split_at(line, b' ')
            && let Some(value) = single(rest)
        {
            each(key, value);
        }
    }
}

/// A block device's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DeviceNumber {
    pub(super) major: u64,
    pub(super) minor: u64,
}

fn device_number(word: &[u8]) -> Option<DeviceNumber> {
    let (major, minor) = split_at(word, b':')?;
    Some(DeviceNumber {
        major: digits(major)?,
        minor: digits(minor)?,
    })
}

/// Calls `each(device, key, value)` for the pairs of `io.stat`. A device without pairs is not mentioned.
pub(super) fn io_stat(bytes: &[u8], mut each: impl FnMut(DeviceNumber, &[u8], u64)) {
    for line in lines(bytes) {
        let mut words = words(line);
        let Some(device) = words.next().and_then(device_number) else {
            continue;
        };
        for word in words {
            if let Some((key, value)) = split_at(word, b'=')
                && let Some(value) = digits(value)
            {
                each(device, key, value);
            }
        }
    }
}

/// Calls `each(device, operation, value)` for lines of v1's `blkio` files; the last line, a sum of all, has no device.
pub(super) fn blkio(bytes: &[u8], mut each: impl FnMut(DeviceNumber, &[u8], u64)) {
    for line in lines(bytes) {
        let mut words = words(line);
        if let Some(device) = words.next().and_then(device_number)
            && let Some(operation) = words.next()
            && let Some(value) = words.next().and_then(digits)
        {
            each(device, operation, value);
        }
    }
}

/// Microseconds that some tasks, and that all of them, waited.
pub(super) fn pressure(bytes: &[u8]) -> (Option<u64>, Option<u64>) {
    let mut totals = (None, None);
    for line in lines(bytes) {
        let mut words = words(line);
        let kind = words.next();
        let total = words
            .find_map(|word| word.strip_prefix(b"total="))
            .and_then(digits);
        match kind {
            Some(b"some") => totals.0 = total,
            Some(b"full") => totals.1 = total,
            _ => {}
        }
    }
    totals
}

/// Calls `each(controllers, path)` for the lines of `/proc/PID/cgroup`; v2 has no controllers there.
pub(super) fn memberships<'a>(bytes: &'a [u8], mut each: impl FnMut(&'a [u8], &'a [u8])) {
    for line in lines(bytes) {
        if let Some((_, rest)) = split_at(line, b':')
            && let Some((controllers, path)) = split_at(rest, b':')
        {
            // A process whose folder was removed is shown with this mark.
            each(controllers, path.strip_suffix(b" (deleted)").unwrap_or(path));
        }
    }
}

/// Counters of one interface, in upstream's order: bytes, packets, errors and drops, received and then sent.
pub(super) type InterfaceCounters = [u64; 8];

/// Calls `each(name, counters)` for the interfaces of `net/dev`. A name ends at the last colon, as an alias has one within.
pub(super) fn net_dev(bytes: &[u8], mut each: impl FnMut(&[u8], InterfaceCounters)) {
    for line in lines(bytes).skip(2) {
        let Some(colon) = line.iter().rposition(|byte| *byte == b':') else {
            continue;
        };
        let mut columns = [0_u64; 16];
        let mut words = words(&line[colon + 1..]);
        let well = columns
            .iter_mut()
            .all(|column| match words.next().and_then(digits) {
                Some(value) => {
                    *column = value;
                    true
                }
                None => false,
            });
        if well {
            let [rb, rp, re, rd, _, _, _, _, tb, tp, te, td, ..] = columns;
            each(line[..colon].trim_ascii(), [rb, rp, re, rd, tb, tp, te, td]);
        }
    }
}

/// The state letter of `/proc/PID/stat`. The name before it is in brackets and may hold any bytes, brackets too.
pub(super) fn process_state(bytes: &[u8]) -> Option<u8> {
    let bracket = bytes.iter().rposition(|byte| *byte == b')')?;
    words(&bytes[bracket + 1..]).next()?.first().copied()
}

/// The soft limit of `Max open files` in `/proc/PID/limits`; -1 when unlimited.
pub(super) fn open_files_limit(bytes: &[u8]) -> Option<f64> {
    let rest = lines(bytes).find_map(|line| line.strip_prefix(b"Max open files"))?;
    match words(rest).next()? {
        b"unlimited" => Some(-1.0),
        word => digits(word).map(float),
    }
}

/// The processes of `cgroup.procs`.
pub(super) fn process_ids(bytes: &[u8]) -> impl Iterator<Item = u32> {
    lines(bytes)
        .filter_map(digits)
        .filter_map(|pid| u32::try_from(pid).ok())
}

/// Calls `each(key, value)` for lines of `/proc/meminfo`, in kB as they stand.
pub(super) fn meminfo(bytes: &[u8], mut each: impl FnMut(&[u8], u64)) {
    for line in lines(bytes) {
        if let Some((key, rest)) = split_at(line, b':')
            && let Some(value) = words(rest).next().and_then(digits)
        {
            each(key, value);
        }
    }
}

/// `cpu.max`: quota and period in microseconds; a quota of 0 is none.
pub(super) fn cpu_max(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut words = words(bytes);
    let quota = limit(words.next()?)?;
    Some((quota, digits(words.next()?)?))
}

/// Nanoseconds of each processor, from `cpuacct.usage_percpu`.
pub(super) fn per_cpu(bytes: &[u8]) -> impl Iterator<Item = u64> {
    words(bytes).map_while(digits)
}

/// `btime` of `/proc/stat`: seconds since the epoch.
pub(super) fn boot_time(bytes: &[u8]) -> Option<u64> {
    lines(bytes).find_map(|line| line.strip_prefix(b"btime ").and_then(single))
}

/// Gives the bytes to every parser of this file: none may panic.
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = (single(bytes), limit(bytes), cpu_max(bytes), boot_time(bytes));
    let _ = (
        pressure(bytes),
        process_state(bytes),
        open_files_limit(bytes),
        process_ids(bytes).count(),
        per_cpu(bytes).count(),
    );
    pairs(bytes, |_, _| {});
    meminfo(bytes, |_, _| {});
    io_stat(bytes, |_, _, _| {});
    blkio(bytes, |_, _, _| {});
    memberships(bytes, |_, _| {});
    net_dev(bytes, |_, _| {});
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_numbers_and_limits_are_read() {
        for (text, number, bound) in [
            ("12\n", Some(12), Some(12)),
            ("max\n", None, Some(0)),
            ("-1\n", None, Some(0)),
            ("9223372036854771712\n", Some(9_223_372_036_854_771_712), Some(0)),
            ("18446744073709551615\n", Some(u64::MAX), Some(0)),
            ("18446744073709551616\n", None, None),
            ("", None, None),
            ("1x", None, None),
        ] {
            assert_eq!(single(text.as_bytes()), number, "{text:?}");
            assert_eq!(limit(text.as_bytes()), bound, "{text:?}");
        }
        for (text, want) in [
            ("max 100000\n", Some((0, 100_000))),
            ("50000 100000\n", Some((50_000, 100_000))),
            ("50000\n", None),
        ] {
            assert_eq!(cpu_max(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn keyed_lines_are_read_and_odd_ones_skipped() {
        let mut got = Vec::new();
        pairs(b"anon 1\nfile x\n\nkey\nfile 2\nlow -1\n", |key, value| {
            got.push((String::from_utf8_lossy(key).into_owned(), value));
        });
        assert_eq!(got, [("anon".to_owned(), 1), ("file".to_owned(), 2)]);
    }

    #[test]
    fn block_devices_of_both_versions_are_read() {
        let mut got = Vec::new();
        io_stat(
            b"8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n7:1 \n8:16 cost.usage=5 rbytes=x\nnone a=1\n",
            |device, key, value| {
                got.push((
                    device.major,
                    device.minor,
                    String::from_utf8_lossy(key).into_owned(),
                    value,
                ));
            },
        );
        assert_eq!(got.len(), 7);
        assert_eq!(got[0], (8, 0, "rbytes".to_owned(), 1));
        assert_eq!(got[6], (8, 16, "cost.usage".to_owned(), 5));
        let mut got = Vec::new();
        blkio(
            b"8:0 Read 10\n8:0 Total 30\nTotal 30\n",
            |device, operation, value| {
                got.push((
                    device.minor,
                    String::from_utf8_lossy(operation).into_owned(),
                    value,
                ));
            },
        );
        assert_eq!(got, [(0, "Read".to_owned(), 10), (0, "Total".to_owned(), 30)]);
    }

    #[test]
    fn pressure_with_and_without_full_is_read() {
        let some = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n";
        assert_eq!(pressure(some), (Some(12), None));
        let both = [
            some.as_slice(),
            b"full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        ]
        .concat();
        assert_eq!(pressure(&both), (Some(12), Some(7)));
    }

    #[test]
    fn memberships_of_all_kinds_are_read() {
        let mut got = Vec::new();
        memberships(
            b"4:memory:/docker/a\n1:name=systemd:/a:b\n0::/x (deleted)\njunk\n",
            |c, p| {
                got.push((
                    String::from_utf8_lossy(c).into_owned(),
                    String::from_utf8_lossy(p).into_owned(),
                ));
            },
        );
        let want = [("memory", "/docker/a"), ("name=systemd", "/a:b"), ("", "/x")];
        assert_eq!(got, want.map(|(c, p)| (c.to_owned(), p.to_owned())));
    }

    #[test]
    fn interfaces_are_read() {
        let text = b"Inter-|\n face |\n  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:1:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\nbad: 1\n";
        let mut got = Vec::new();
        net_dev(text, |name, counters| {
            got.push((String::from_utf8_lossy(name).into_owned(), counters));
        });
        assert_eq!(
            got,
            [
                ("lo".to_owned(), [1, 2, 3, 4, 9, 10, 11, 12]),
                ("eth0:1".to_owned(), [1, 2, 3, 4, 5, 6, 7, 8]),
            ]
        );
    }

    #[test]
    fn processes_are_read() {
        assert_eq!(process_state(b"7 (a) b) S 1 7 7 0"), Some(b'S'));
        assert_eq!(process_state(b"7 (a"), None);
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax cpu time  unlimited  unlimited  seconds\n";
        for (line, want) in [
            (
                "Max open files            16384    16384    files\n",
                Some(16384.0),
            ),
            (
                "Max open files            unlimited    16384    files\n",
                Some(-1.0),
            ),
            ("", None),
        ] {
            assert_eq!(open_files_limit(format!("{limits}{line}").as_bytes()), want);
        }
        assert_eq!(
            process_ids(b"12\n7\n\n99999999999\n").collect::<Vec<_>>(),
            [12, 7]
        );
        assert_eq!(per_cpu(b"5 6 0 \n").collect::<Vec<_>>(), [5, 6, 0]);
        assert_eq!(boot_time(b"cpu 1\nbtime 1700000000\n"), Some(1_700_000_000));
    }
}
