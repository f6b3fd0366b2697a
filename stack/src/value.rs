//! Values that a user writes and Prometheus reads: durations, sizes, the server's name. Parsed at the edge, never wrong afterwards.
//!
//! What Prometheus takes is taken, but for what it takes and nobody can want (a scrape interval of a millisecond, a retention of
//! nothing). The text stays as it was given, so that generated files and kept options say what the user said.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a value does not do, with the forms that fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {why}; {forms}")]
pub struct ValueError {
    /// As given.
    pub text: String,
    /// What it should have been.
    pub what: &'static str,
    /// What is wrong.
    pub why: String,
    /// What fits, with examples.
    pub forms: &'static str,
}

/// Units of a duration in the order that Prometheus wants, in milliseconds.
const DURATION_UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
/// Prometheus holds durations in 64-bit nanoseconds.
const MAX_DURATION_MILLIS: u64 = i64::MAX as u64 / 1_000_000;
/// Units of a size; `KB` and `KiB` are the same, but one value keeps to one spelling.
const SIZE_PREFIXES: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
const MAX_NAME_CHARS: usize = 128;

/// A duration of a second or more in Prometheus' form (`15d`, `1h30m`). Two are equal when their text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    text: String,
    millis: u64,
}

impl Duration {
    /// Whole days; none count as one.
    #[must_use]
    pub fn from_days(days: u16) -> Self {
        let days = days.max(1);
        Self {
            text: format!("{days}d"),
            millis: u64::from(days) * 86_400_000,
        }
    }

    /// Whole seconds; none count as one.
    #[must_use]
    pub fn from_secs(seconds: u32) -> Self {
        let seconds = seconds.max(1);
        Self {
            text: format!("{seconds}s"),
            millis: u64::from(seconds) * 1000,
        }
    }

    /// In milliseconds.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.millis
    }
}

impl FromStr for Duration {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match duration_millis(text) {
            Ok(millis) if millis >= 1000 => Ok(Self {
                text: text.to_owned(),
                millis,
            }),
            Ok(_) => Err("it is shorter than a second".to_owned()),
            Err(why) => Err(why),
        }
        .map_err(|why| ValueError {
            text: text.to_owned(),
            what: "duration",
            why,
            forms: "write numbers with the units y, w, d, h, m, s, ms, the longest first, each once, such as 15s, 15d, 1h30m",
        })
    }
}

/// As `model.ParseDuration` reads it.
fn duration_millis(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut rest = text;
    let mut units = DURATION_UNITS.iter();
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
        let (word, after) = split_while(after, |c| !c.is_ascii_digit());
        if digits.is_empty() {
            return Err(format!("there is no number before {word:?}"));
        }
        if word.is_empty() {
            return Err(format!("there is no unit after {digits}"));
        }
        if !DURATION_UNITS.iter().any(|(unit, _)| *unit == word) {
            return Err(format!("{word:?} is no unit"));
        }
        let Some((_, unit_millis)) = units.find(|(unit, _)| *unit == word) else {
            return Err(format!("the unit {word} stands after a shorter one, or twice"));
        };
        millis = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*unit_millis))
            .and_then(|part| part.checked_add(millis))
            .filter(|sum| *sum <= MAX_DURATION_MILLIS)
            .ok_or_else(|| "it is longer than 292 years".to_owned())?;
        rest = after;
    }
    Ok(millis)
}

fn split_while(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !fits(c)).unwrap_or(text.len()))
}

/// A size in Prometheus' form (`5GB`, powers of 1024). Two are equal when their text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Size {
    text: String,
    bytes: u64,
}

impl Size {
    /// In bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        size_bytes(text)
            .map(|bytes| Self {
                text: text.to_owned(),
                bytes,
            })
            .map_err(|why| ValueError {
                text: text.to_owned(),
                what: "size",
                why,
                forms: "write a number with one of the units B, KB, MB, GB, TB, PB, EB (powers of 1024), such as 512MB, 5GB, 1.5TB",
            })
    }
}

/// As `units.ParseBase2Bytes` reads it, but for signs.
fn size_bytes(text: &str) -> Result<u64, String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let mut sum = 0_f64;
    let mut spelling = None;
    let mut rest = text;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (digits, after) = split_while(rest, is_number);
        let (word, after) = split_while(after, |c| !is_number(c));
        let number: f64 = digits
            .parse()
            .map_err(|_| format!("there is no number before {word:?}"))?;
        let (factor, binary) = size_unit(word)?;
        // Bytes go with both spellings.
        if word != "B" && *spelling.get_or_insert(binary) != binary {
            return Err("it mixes units such as KB with such as KiB".to_owned());
        }
        sum += number * factor;
        rest = after;
    }
    if sum < 1.0 {
        return Err("it is less than a byte".to_owned());
    }
    if sum >= 9_223_372_036_854_775_808.0 {
        return Err("it is more than 8EB".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 1 and 2^63; the fraction of a byte is dropped, as Prometheus does"
    )]
    Ok(sum as u64)
}

/// Bytes of a unit, and is it spelled with an `i`?
fn size_unit(word: &str) -> Result<(f64, bool), String> {
    let mut factor = 1.0;
    for prefix in SIZE_PREFIXES {
        let Some(suffix) = word
            .strip_prefix(prefix)
            .filter(|suffix| ["B", "iB"].contains(suffix))
        else {
            factor *= 1024.0;
            continue;
        };
        // "iB" alone is no unit.
        if prefix.is_empty() && suffix == "iB" {
            break;
        }
        return Ok((factor, suffix == "iB"));
    }
    match word {
        "" => Err("it has no unit".to_owned()),
        _ => Err(format!("{word:?} is no unit")),
    }
}

/// The value of the external label `server`: 1 to 128 printable characters, none of them a space at the ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName {
    text: String,
}

impl FromStr for ServerName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let why = if text.is_empty() {
            "it is empty"
        } else if text.chars().count() > MAX_NAME_CHARS {
            "it is longer than 128 characters"
        } else if text.chars().any(char::is_control) {
            "it holds a control character"
        } else if text.trim() != text {
            "it begins or ends with a space"
        } else {
            return Ok(Self {
                text: text.to_owned(),
            });
        };
        Err(ValueError {
            text: text.to_owned(),
            what: "name of a server",
            why: why.to_owned(),
            forms: "write 1 to 128 printable characters, such as web-1 or db.example.org",
        })
    }
}

/// The name of a Docker network that containers can be brought into.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkName {
    text: String,
}

impl FromStr for NetworkName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_name_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let why = if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(is_name_char)
        {
            "it has to be of letters, digits, _, . and -, and to begin with a letter or digit"
        } else if matches!(text, "host" | "none") {
            "it is no network that a container shares with others"
        } else if text == "bridge" {
            "containers have no names in the default network; make one of your own (`docker network create NAME`)"
        } else if crate::spec::NETWORKS.contains(&text) {
            "it is the stack's own"
        } else {
            return Ok(Self {
                text: text.to_owned(),
            });
        };
        Err(ValueError {
            text: text.to_owned(),
            what: "network for Prometheus to join",
            why: why.to_owned(),
            forms: "write the name of a network as `docker network ls` shows it, such as shop_default",
        })
    }
}

macro_rules! text_of {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.text
            }
        }

        impl TryFrom<String> for $name {
            type Error = ValueError;

            fn try_from(text: String) -> Result<Self, ValueError> {
                text.parse()
            }
        }
    )*};
}

text_of!(Duration, Size, ServerName, NetworkName);

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
