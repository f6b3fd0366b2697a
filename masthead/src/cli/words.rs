//! Numbers as people say them, as the page does: bytes in powers of 1024, three digits that mean something.

/// The larger the unit, the later.
const BYTE_UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];
/// What stands where nothing is known.
pub(super) const UNKNOWN: &str = "-";

/// Three significant digits without an exponent: `1.23`, `12.3`, `123`, `0.012`.
pub(super) fn digits(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    let decimals = match size {
        _ if size >= 99.95 => 0,
        _ if size >= 9.995 => 1,
        _ if size >= 0.1 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// The unit that fits a number of bytes, and its size.
fn byte_unit(bytes: f64) -> (&'static str, f64) {
    let mut factor = 1.0;
    for unit in BYTE_UNITS {
        // What would be shown as 1024 belongs to the next unit.
        if bytes.abs() < factor * 1023.5 {
            return (unit, factor);
        }
        factor *= 1024.0;
    }
    ("PB", factor / 1024.0)
}

/// `1.2 GB`
pub(super) fn bytes(value: Option<f64>) -> String {
    let Some(value) = value.filter(|v| v.is_finite()) else {
        return UNKNOWN.to_owned();
    };
    let (unit, factor) = byte_unit(value);
    format!("{} {unit}", digits(value / factor))
}

/// `1.2 of 2 GB`, both in the unit of the whole; `1.2 GB` where there is no whole.
pub(super) fn bytes_of(used: Option<f64>, whole: Option<f64>) -> String {
    let (Some(used), Some(whole)) = (used, whole.filter(|w| w.is_finite() && *w > 0.0)) else {
        return bytes(used);
    };
    let (unit, factor) = byte_unit(whole);
    // Little of much would be "0 of 2 GB".
    if used / factor < 0.005 && used > 0.0 {
        return format!("{} of {} {unit}", bytes(Some(used)), digits(whole / factor));
    }
    format!("{} of {} {unit}", digits(used / factor), digits(whole / factor))
}

/// `1.2 MB/s`
pub(super) fn rate(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{}/s", bytes(Some(value))),
        _ => UNKNOWN.to_owned(),
    }
}

/// `12.5 %` of a ratio.
pub(super) fn percent(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio.is_finite() => format!("{} %", digits((ratio * 1e4).round() / 1e2)),
        _ => UNKNOWN.to_owned(),
    }
}

/// A plain number.
pub(super) fn count(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => digits(value),
        _ => UNKNOWN.to_owned(),
    }
}

/// `3 d 4 h`: the two largest units of a time.
pub(super) fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|s| s.is_finite() && *s >= 0.0) else {
        return UNKNOWN.to_owned();
    };
    let units = [("d", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)];
    let mut left = seconds.floor();
    let mut parts = Vec::new();
    for (name, size) in units {
        let count = (left / size).floor();
        left -= count * size;
        if count > 0.0 {
            parts.push(format!("{count} {name}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        "0 s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// Text from outside on one line, without what steers a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// `web (project shop)`
pub(super) fn title(name: &str, project: &str) -> String {
    if project.is_empty() {
        printable(name)
    } else {
        format!("{} (project {})", printable(name), printable(project))
    }
}

/// `3 containers ran, 1 restart`
pub(super) fn starts(starts: client::Starts) -> Option<String> {
    let some = |value: f64, one: &str| {
        let many = if (value - 1.0).abs() < 0.5 { "" } else { "s" };
        format!("{} {one}{many}", count(Some(value)))
    };
    let ran = starts.containers.map(|n| format!("{} ran", some(n, "container")));
    let restarts = starts.restarts.map(|n| some(n, "restart"));
    let parts: Vec<String> = ran.into_iter().chain(restarts).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_as_people_say_them() {
        let gb = 1024.0 * 1024.0 * 1024.0;
        assert_eq!(bytes(Some(0.0)), "0 B");
        assert_eq!(bytes(Some(1023.9)), "1 KB");
        assert_eq!(bytes(Some(1.2 * gb)), "1.2 GB");
        assert_eq!(bytes(Some(f64::MAX)).split(' ').next_back(), Some("PB"));
        assert_eq!(bytes(None), "-");
        assert_eq!(bytes(Some(f64::NAN)), "-");
        assert_eq!(bytes_of(Some(1.2 * gb), Some(2.0 * gb)), "1.2 of 2 GB");
        assert_eq!(bytes_of(Some(2048.0), Some(2.0 * gb)), "2 KB of 2 GB");
        assert_eq!(bytes_of(Some(2048.0), None), "2 KB");
        assert_eq!(rate(Some(1536.0)), "1.5 KB/s");
        assert_eq!(rate(None), "-");
    }

    #[test]
    fn ratios_and_times_too() {
        assert_eq!(percent(Some(0.1257)), "12.6 %");
        assert_eq!(percent(Some(0.00004)), "0 %");
        assert_eq!(percent(Some(1.0)), "100 %");
        for (seconds, want) in [
            (0.4, "0 s"),
            (59.9, "59 s"),
            (61.0, "1 min 1 s"),
            (3600.0, "1 h"),
            (90_061.0, "1 d 1 h"),
            (86_460.0, "1 d"),
        ] {
            assert_eq!(duration(Some(seconds)), want, "{seconds}");
        }
        for (value, want) in [
            (123.4, "123"),
            (12.34, "12.3"),
            (1.234, "1.23"),
            (0.0123, "0.012"),
            (-1.5, "-1.5"),
        ] {
            assert_eq!(digits(value), want);
        }
    }
}
