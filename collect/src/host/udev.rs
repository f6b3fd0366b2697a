//! Records of udev's database, `/run/udev/data/b<major>:<minor>`: lines `E:NAME=value` among others.

/// The properties of a device that the collectors ask for.
#[derive(Debug, Default)]
pub(super) struct Properties(Vec<(String, String)>);

impl Properties {
    /// From a record's text. Of a name that comes twice, the last value holds.
    pub(super) fn from_text(text: &str) -> Self {
        let mut all: Vec<(String, String)> = Vec::new();
        parse(text, |name, value| {
            all.retain(|(known, _)| known != name);
            all.push((name.to_owned(), value.to_owned()));
        });
        Self(all)
    }

    /// The value, empty when there is none.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }
}

/// Calls `each(name, value)` for every property.
pub(super) fn parse(text: &str, mut each: impl FnMut(&str, &str)) {
    for line in text.lines() {
        if let Some((name, value)) = line
            .strip_prefix("E:")
            .and_then(|property| property.split_once('='))
        {
            each(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_the_lines_with_e() {
        let p = Properties::from_text("N:sda\nE:A=1\nE:B=x=y\nE:A=2\nE:broken\n");
        assert_eq!(
            (p.get("A"), p.get("B"), p.get("broken"), p.get("N")),
            ("2", "x=y", "", "")
        );
    }
}
