//! Durations and sizes in Prometheus' spelling: `1m30s`, `15d`, `512MB`.
//!
//! Durations follow `model.ParseDuration` (units from years to milliseconds, each at most once, largest first), sizes
//! follow `units.Base2Bytes` (every unit a power of 1024, with or without the `i`).

use std::time::Duration;

/// Unit, milliseconds, and whether it is printed only when nothing is left over (as Prometheus does it).
const DURATION_UNITS: [(&str, u64, bool); 7] = [
    ("y", 365 * 86_400_000, true),
    ("w", 7 * 86_400_000, true),
    ("d", 86_400_000, false),
    ("h", 3_600_000, false),
    ("m", 60_000, false),
    ("s", 1000, false),
    ("ms", 1, false),
];

/// Letter and power of 1024.
const SIZE_UNITS: [(char, u32); 6] = [('K', 1), ('M', 2), ('G', 3), ('T', 4), ('P', 5), ('E', 6)];

/// Reads a duration such as `15s`, `1h30m` or `0`.
///
/// # Errors
/// What is wrong with the text, as a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let fault = || format!("{text:?} is not a duration; write it as 15s, 1m30s, 2h or 15d");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0u64;
    let mut next_unit = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, after) = after.split_at(letters);
        let at = DURATION_UNITS
            .iter()
            .position(|(name, ..)| *name == unit)
            .ok_or_else(fault)?;
        let number: u64 = number.parse().map_err(|_| fault())?;
        if at < next_unit {
            return Err(fault());
        }
        next_unit = at + 1;
        total = number
            .checked_mul(DURATION_UNITS[at].1)
            .and_then(|ms| ms.checked_add(total))
            .filter(|ms| i64::try_from(*ms).is_ok())
            .ok_or_else(|| format!("the duration {text:?} is too long"))?;
        rest = after;
    }
    if next_unit == 0 {
        Err(fault())
    } else {
        Ok(Duration::from_millis(total))
    }
}

/// Prints a duration as Prometheus does: `1m30s`, `90d`, `0s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, mult, exact) in DURATION_UNITS {
        if ms >= mult && !(exact && ms % mult != 0) {
            out.push_str(&format!("{}{unit}", ms / mult));
            ms %= mult;
        }
    }
    out
}

/// Reads a size in bytes such as `512MB`, `1GiB`, `1.5GB` or `0`; a unit is always 1024 of the one below.
///
/// # Errors
/// What is wrong with the text, as a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let fault = || format!("{text:?} is not a size; write it as 512MB, 10GB or 1GiB (1 KB is 1024 bytes)");
    if text == "0" {
        return Ok(0);
    }
    let digits = text
        .bytes()
        .take_while(|b| b.is_ascii_digit() || *b == b'.')
        .count();
    let (number, unit) = text.split_at(digits);
    let power = match unit {
        "B" => 0,
        _ => {
            let letter = unit
                .strip_suffix("iB")
                .or_else(|| unit.strip_suffix('B'))
                .ok_or_else(fault)?;
            let mut letters = letter.chars();
            let found = letters
                .next()
                .and_then(|c| SIZE_UNITS.iter().find(|(l, _)| *l == c))
                .ok_or_else(fault)?;
            if letters.next().is_some() {
                return Err(fault());
            }
            found.1
        }
    };
    let unit_bytes = 1024u64.pow(power);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| fault())?;
    let mut part = 0u64;
    if !fraction.is_empty() {
        // Nine digits say more than any size needs, and keep the product inside 64 bits for every unit but the largest.
        let kept = fraction.get(..9).unwrap_or(fraction);
        let value: u64 = kept.parse().map_err(|_| fault())?;
        let scale = 10u128.pow(u32::try_from(kept.len()).unwrap_or(9));
        part = u64::try_from(u128::from(value) * u128::from(unit_bytes) / scale).unwrap_or(0);
    } else if number.contains('.') {
        return Err(fault());
    }
    whole
        .checked_mul(unit_bytes)
        .and_then(|bytes| bytes.checked_add(part))
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| format!("the size {text:?} is too large"))
}

/// Prints a size with the largest unit that divides it: `512MiB`, `100B`.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    for (letter, power) in SIZE_UNITS.iter().rev() {
        let unit = 1024u64.pow(*power);
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{}{letter}iB", bytes / unit);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms, printed) in [
            ("15s", 15_000, "15s"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("1h", 3_600_000, "1h"),
            ("90d", 90 * 86_400_000, "90d"),
            ("14d", 14 * 86_400_000, "2w"),
            ("1y", 365 * 86_400_000, "1y"),
            ("1s500ms", 1500, "1s500ms"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(format_duration(duration), printed, "{text}");
        }
        for bad in [
            "",
            "1",
            "s",
            "15 s",
            "1s1m",
            "1m1m",
            "-1s",
            "1.5s",
            "1x",
            "99999999999999999999s",
            "999999999999y",
            "é",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, printed) in [
            ("512MB", 512 << 20, "512MiB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("1.5GB", 3 << 29, "1536MiB"),
            ("100B", 100, "100B"),
            ("1025B", 1025, "1025B"),
            ("0", 0, "0B"),
            ("4KB", 4096, "4KiB"),
        ] {
            let size = parse_size(text).unwrap();
            assert_eq!(size, bytes, "{text}");
            assert_eq!(format_size(size), printed, "{text}");
        }
        for bad in [
            "",
            "10",
            "MB",
            "1.MB",
            "1..5MB",
            "1mb",
            "1XB",
            "1MMB",
            "-1MB",
            "99999999EB",
            "1 MB",
            "1é",
        ] {
            assert!(parse_size(bad).is_err(), "{bad:?}");
        }
    }
}
