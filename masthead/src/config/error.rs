//! What can be wrong with a configuration file, said with its place and the cure.

use std::io;
use std::path::{Path, PathBuf};

use super::raw::KNOWN_KEYS;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file says something that is wrong.
    #[error("{}:{line}:{column}: {message}", path.display())]
    At {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: u64,
        /// Column, from 1.
        column: u64,
        /// What is wrong, and what would be right.
        message: String,
    },
}

/// A fault found before the file's name is at hand.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn at(location: serde_saphyr::Location, message: impl Into<String>) -> Self {
        Self {
            line: location.line().max(1),
            column: location.column().max(1),
            message: message.into(),
        }
    }

    pub(crate) fn in_file(self, path: &Path) -> ConfigError {
        ConfigError::At {
            path: path.to_owned(),
            line: self.line,
            column: self.column,
            message: self.message,
        }
    }
}

/// Puts a parser's error into our words; an unknown key gets the keys that fit.
pub(crate) fn from_yaml(error: &serde_saphyr::Error) -> Fault {
    let error = error.without_snippet();
    let location = error.location().unwrap_or(serde_saphyr::Location::UNKNOWN);
    let message = match error {
        serde_saphyr::Error::AliasError { error, .. } => return from_yaml(error),
        serde_saphyr::Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected),
        other => {
            // The crate's text ends with its own form of the place, which stands at the front of ours.
            let text = other.to_string();
            // It may also name a setting of the parser, which is of no use to the reader.
            let ends = [" at line ", "\n", ", set DuplicateKeyPolicy"];
            let cut = ends
                .iter()
                .filter_map(|end| text.find(end))
                .min()
                .unwrap_or(text.len());
            text.get(..cut).unwrap_or(&text).to_owned()
        }
    };
    Fault::at(location, message)
}

fn unknown_key(field: &str, expected: &[&'static str]) -> String {
    let place = KNOWN_KEYS.iter().find(|place| expected.contains(&place.marker));
    let name = place.map_or("here", |place| place.name);
    if place.is_some_and(|place| place.known.contains(&field)) {
        return format!(
            "{field:?} {name} is a key that Prometheus knows, but this version of Masthead does not support it yet; \
             remove it or comment it out"
        );
    }
    let mut fitting: Vec<&str> = expected.to_vec();
    fitting.sort_unstable();
    let hint = closest(field, &fitting).map_or(String::new(), |best| format!("; did you mean {best:?}?"));
    format!(
        "unknown key {field:?} {name}{hint} (keys that fit: {})",
        fitting.join(", ")
    )
}

/// The candidate nearest to a mistyped word, if one is near: at most a third of its letters differ.
pub(crate) fn closest<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    candidates
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance over bytes; keys are ASCII, and a wrong key may be anything but is cut at 64 bytes.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let a = a.get(..64).unwrap_or(a);
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
