//! Numbers and durations as text: `0x1f`, `1_000.5e3`, `1h30m`.

use super::quote::quote;

/// Units of durations, largest first, with their milliseconds. A month has no fixed length and is not there.
const UNITS: [(&str, i64); 7] = [
    ("y", 365 * 24 * 3_600_000),
    ("w", 7 * 24 * 3_600_000),
    ("d", 24 * 3_600_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration such as `1h30m`, in milliseconds: whole numbers with units that shrink from left to right, or `0`.
///
/// # Errors
/// Prometheus' sentence on what is wrong with it.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("not a valid duration string: {}", quote(text));
    match text {
        "" => return Err("empty duration string".to_owned()),
        "0" => return Ok(0),
        _ => {}
    }
    let mut total = 0i64;
    let mut units = UNITS.as_slice();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(letters);
        if number.is_empty() || unit.is_empty() {
            return Err(invalid());
        }
        if UNITS.iter().all(|(name, _)| *name != unit) {
            return Err(format!(
                "unknown unit {} in duration {}",
                quote(unit),
                quote(text)
            ));
        }
        let at = units
            .iter()
            .position(|(name, _)| *name == unit)
            .ok_or_else(invalid)?;
        let too_long = || "duration out of range".to_owned();
        let part = number
            .parse::<i64>()
            .ok()
            .and_then(|n| n.checked_mul(units[at].1))
            .ok_or_else(too_long)?;
        total = total.checked_add(part).ok_or_else(too_long)?;
        // Upstream counts nanoseconds in 63 bits: about 292 years.
        if total > i64::MAX / 1_000_000 {
            return Err(too_long());
        }
        units = &units[at + 1..];
        rest = tail;
    }
    Ok(total)
}

/// A duration of whole milliseconds as Prometheus writes it: `1h30m`, `0s`. The sign of `ms` is left out.
pub(crate) fn format_duration_ms(ms: i64) -> String {
    let mut rest = ms.unsigned_abs();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (name, unit) in UNITS {
        let unit = unit.unsigned_abs();
        // Years and weeks are only written when nothing is left over: 400 days stay days.
        let exact = matches!(name, "y" | "w");
        if rest < unit || (exact && !rest.is_multiple_of(unit)) {
            continue;
        }
        out.push_str(&(rest / unit).to_string());
        out.push_str(name);
        rest %= unit;
    }
    out
}

/// The value of a number token.
///
/// # Errors
/// Prometheus' sentence on what is wrong with it.
pub(super) fn parse_number(text: &str) -> Result<f64, String> {
    let fail = |why: &str| {
        format!(
            "error parsing number: strconv.ParseFloat: parsing {}: {why}",
            quote(text)
        )
    };
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    if let Some(hex) = plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        let value = i64::from_str_radix(hex, 16).map_err(|_| fail("invalid syntax"))?;
        return Ok(integer(value));
    }
    // As in Go, a leading zero makes an octal number, unless a digit says otherwise.
    if plain.len() > 1
        && plain.starts_with('0')
        && let Ok(value) = i64::from_str_radix(&plain, 8)
    {
        return Ok(integer(value));
    }
    let infinite = plain.eq_ignore_ascii_case("inf");
    let value: f64 = plain.parse().map_err(|_| fail("invalid syntax"))?;
    if value.is_infinite() && !infinite {
        Err(fail("value out of range"))
    } else {
        Ok(value)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a float is what the language has; Go converts the same way"
)]
fn integer(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let check = |text: &str, ms: i64, canonical: &str| {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
            assert_eq!(format_duration_ms(ms), canonical);
        };
        check("5m", 300_000, "5m");
        check("1h30m", 5_400_000, "1h30m");
        check("90m", 5_400_000, "1h30m");
        check("1y2w3d4h5m6s7ms", 33_019_506_007, "382d4h5m6s7ms");
        check("2y", 63_072_000_000, "2y");
        check("0", 0, "0s");
        check("14d", 1_209_600_000, "2w");
        check("1500ms", 1500, "1s500ms");
    }

    #[test]
    fn bad_durations_are_refused() {
        let check = |text: &str, want: &str| assert_eq!(parse_duration(text).unwrap_err(), want);
        check("", "empty duration string");
        check("5", "not a valid duration string: \"5\"");
        check("5m1h", "not a valid duration string: \"5m1h\"");
        check("m", "not a valid duration string: \"m\"");
        check("5y1hs", "unknown unit \"hs\" in duration \"5y1hs\"");
        check("1h-5m", "not a valid duration string: \"1h-5m\"");
        check("294y", "duration out of range");
        check("99999999999999999999y", "duration out of range");
    }

    #[test]
    fn numbers_follow_go() {
        let check = |text: &str, want: f64| assert_eq!(parse_number(text), Ok(want), "{text}");
        check("0x1f", 31.0);
        check("0755", 493.0);
        check("08", 8.0);
        check("1_000.5", 1000.5);
        check("5.", 5.0);
        check(".5e-1", 0.05);
        check("Inf", f64::INFINITY);
        assert!(parse_number("NaN").unwrap().is_nan());
        assert!(parse_number("1e").unwrap_err().ends_with("invalid syntax"));
        assert!(parse_number("1e999").unwrap_err().ends_with("value out of range"));
    }
}
