//! Values that a user writes and Prometheus reads: durations, sizes, the server's name. Parsed at the edge, never wrong afterwards.

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

/// A positive duration in Prometheus' form (`15d`, `1h30m`), written as it was given. Two are equal when their text is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration {
    text: String,
    millis: u64,
}

impl Duration {
    /// Whole seconds.
    #[must_use]
    pub fn from_secs(seconds: u32) -> Self {
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
        Ok(Self {
            text: text.to_owned(),
            millis: 0,
        })
    }
}

/// A size in Prometheus' form (`5GB`, powers of 1024), written as it was given.
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
        Ok(Self {
            text: text.to_owned(),
            bytes: 0,
        })
    }
}

/// The value of the external label `server`: 1 to 128 printable characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName {
    text: String,
}

impl FromStr for ServerName {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        Ok(Self {
            text: text.to_owned(),
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

text_of!(Duration, Size, ServerName);
