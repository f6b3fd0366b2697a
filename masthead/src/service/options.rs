//! The options of `up` that a unit carries: by name, so that what is not said again can be kept.

use std::collections::BTreeMap;

/// Options that a unit may carry, in the order in which they are written. A `false` has no value.
const KNOWN: &[(&str, bool)] = &[
    ("listen", true),
    ("config", true),
    ("web-config", true),
    ("retention-time", true),
    ("retention-size", true),
    ("insecure", false),
    ("allow-host", true),
];

/// Options and their values; those that may be given several times have several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options(BTreeMap<&'static str, Vec<String>>);

impl Options {
    /// Sets an option; one that is not known is none.
    pub fn set(&mut self, name: &str, values: Vec<String>) {
        if let Some((name, _)) = KNOWN.iter().find(|(known, _)| *known == name) {
            self.0.insert(name, values);
        }
    }

    /// The value of an option.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.first().map(String::as_str)
    }

    /// As words of a command line.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, has_value) in KNOWN {
            for value in self.0.get(name).into_iter().flatten() {
                words.push(format!("--{name}"));
                if *has_value {
                    words.push(value.clone());
                }
            }
        }
        words
    }

    /// The reverse of [`Options::words`]; `None` for words that it cannot have given.
    #[must_use]
    pub fn of_words(words: &[String]) -> Option<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--")?;
            let (name, has_value) = *KNOWN.iter().find(|(known, _)| *known == name)?;
            let value = if has_value {
                words.next()?.clone()
            } else {
                String::new()
            };
            options.0.entry(name).or_default().push(value);
        }
        Some(options)
    }

    /// Takes over what is not set here; gives the words of what was taken.
    pub fn keep(&mut self, installed: &Self) -> Vec<String> {
        let mut kept = Self::default();
        for (name, values) in &installed.0 {
            if !self.0.contains_key(name) {
                kept.0.insert(name, values.clone());
            }
        }
        self.0.extend(kept.0.clone());
        kept.words()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &str) -> Options {
        Options::of_words(&words.split(' ').map(str::to_owned).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn words_come_back_as_they_went() {
        let text = "--listen [::]:80 --config /etc/a b.yml --insecure --allow-host a --allow-host b";
        let words: Vec<String> = ["--listen", "[::]:80", "--config", "/etc/a b.yml", "--insecure"]
            .into_iter()
            .chain(["--allow-host", "a", "--allow-host", "b"])
            .map(str::to_owned)
            .collect();
        let read = Options::of_words(&words).unwrap();
        assert_eq!(read.words(), words, "{text}");
        assert_eq!(read.get("listen"), Some("[::]:80"));
        for wrong in [&["--listen"][..], &["--data-dir", "/x"], &["listen", "x"]] {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            assert_eq!(Options::of_words(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_said_again_is_kept() {
        let mut new = options("--listen 127.0.0.1:1");
        let kept = new.keep(&options("--listen 127.0.0.1:2 --retention-time 90d"));
        assert_eq!(kept, ["--retention-time", "90d"]);
        assert_eq!(new, options("--listen 127.0.0.1:1 --retention-time 90d"));
    }
}
