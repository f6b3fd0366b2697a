//! Where the rows of a round go: one list a family, whose label sets are taken over from the round before.
//!
//! A label set costs an allocation a label, seventy times a container. The same containers give the same rows in the
//! same order nearly always, so a collection that the caller hands back ([`Sheet::recycle`]) is written over: a row
//! whose base and further labels are the same keeps its labels.

use std::borrow::Cow;

use model::{Family, Metric, MetricValue};

use super::families::{EMITTED, Name};
use crate::output::{Label, label};

/// The labels that all series of one cgroup have, sorted by name, with a number that no other label set has.
#[derive(Debug)]
pub(super) struct Base {
    labels: Vec<Label>,
    number: u64,
}

impl Base {
    /// A base of these pairs and `id`. Of a name that comes twice, the first one counts.
    pub(super) fn new(id: &str, pairs: &[(String, String)], number: u64) -> Self {
        let mut labels: Vec<Label> = pairs
            .iter()
            .filter(|(name, value)| name != "id" && !value.is_empty())
            .map(|(name, value)| (name_of(name), Cow::Owned(value.clone())))
            .collect();
        labels.push(label("id", id.to_owned()));
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|b, a| a.0 == b.0);
        Self { labels, number }
    }

    /// A base of these pairs alone, for families that are of no cgroup.
    pub(super) fn without_id(pairs: &[(String, String)], number: u64) -> Self {
        let mut base = Self::new("", pairs, number);
        base.labels.retain(|(name, _)| name != "id");
        base
    }

    /// No labels at all, for the families of the exporter itself.
    pub(super) fn none() -> Self {
        Self {
            labels: Vec::new(),
            number: 0,
        }
    }
}

/// The names that every container has need no memory of their own.
fn name_of(name: &str) -> Cow<'static, str> {
    match name {
        "app" => Cow::Borrowed("app"),
        "image" => Cow::Borrowed("image"),
        "name" => Cow::Borrowed("name"),
        "project" => Cow::Borrowed("project"),
        other => Cow::Owned(other.to_owned()),
    }
}

/// Rows of one family.
#[derive(Debug, Default)]
struct Rows {
    metrics: Vec<Metric>,
    /// The base of each row.
    bases: Vec<u64>,
    old: Vec<Metric>,
    old_bases: Vec<u64>,
}

/// The rows of a round in the making.
#[derive(Debug)]
pub(super) struct Sheet {
    rows: Vec<Rows>,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            rows: EMITTED.iter().map(|_| Rows::default()).collect(),
        }
    }
}

impl Sheet {
    /// Adds a row with the base's labels alone.
    pub(super) fn push(&mut self, name: Name, base: &Base, value: f64) {
        self.push_with(name, base, &[], value);
    }

    /// Adds a row with further labels, which are sorted by name.
    pub(super) fn push_with(&mut self, name: Name, base: &Base, more: &[(&'static str, &str)], value: f64) {
        let Some(rows) = self.rows.get_mut(name as usize) else {
            return;
        };
        let at = rows.metrics.len();
        let value = MetricValue::Float(value);
        let kept = match rows.old.get_mut(at) {
            Some(old)
                if rows.old_bases.get(at) == Some(&base.number)
                    && old.labels.len() == base.labels.len() + more.len()
                    && more
                        .iter()
                        .all(|(name, value)| old.labels.iter().any(|(n, v)| n == name && v == value)) =>
            {
                Some(std::mem::take(&mut old.labels))
            }
            _ => None,
        };
        let labels = kept.unwrap_or_else(|| merge(&base.labels, more));
        rows.metrics.push(Metric { labels, value });
        rows.bases.push(base.number);
    }

    /// Hands the families over, sorted by name; those without a row are left out.
    pub(super) fn finish(&mut self) -> Vec<Family> {
        let mut families = Vec::with_capacity(EMITTED.len());
        for (rows, family) in self.rows.iter_mut().zip(EMITTED) {
            rows.old = Vec::new();
            std::mem::swap(&mut rows.bases, &mut rows.old_bases);
            rows.bases.clear();
            let metrics = std::mem::take(&mut rows.metrics);
            if metrics.is_empty() {
                continue;
            }
            let mut made = Family::new(family.name, family.help, family.kind);
            made.metrics = metrics;
            families.push(made);
        }
        families
    }

    /// Takes the families of the last round back, which must be as they were given.
    pub(super) fn recycle(&mut self, families: Vec<Family>) {
        for family in families {
            let Ok(at) = EMITTED.binary_search_by(|known| known.name.cmp(&family.name)) else {
                continue;
            };
            if let Some(rows) = self.rows.get_mut(at)
                && rows.old_bases.len() == family.metrics.len()
            {
                rows.metrics.reserve(family.metrics.len());
                rows.old = family.metrics;
            }
        }
    }
}

/// Both lists in the order of their names.
fn merge(base: &[Label], more: &[(&'static str, &str)]) -> Vec<Label> {
    let mut labels = Vec::with_capacity(base.len() + more.len());
    let mut rest = more.iter().peekable();
    for pair in base {
        while let Some((name, value)) = rest.next_if(|(name, _)| *name < &*pair.0) {
            labels.push(label(name, (*value).to_owned()));
        }
        labels.push(pair.clone());
    }
    labels.extend(rest.map(|(name, value)| label(name, (*value).to_owned())));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(families: &[Family]) -> String {
        let mut out = String::new();
        model::encode_families(families, &mut out);
        out.lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    fn base(id: &str, number: u64) -> Base {
        Base::new(
            id,
            &[
                ("app".to_owned(), "a".to_owned()),
                ("name".to_owned(), "n".to_owned()),
            ],
            number,
        )
    }

    #[test]
    fn labels_are_merged_in_order_and_survive_a_round() {
        let (one, two) = (base("/1", 1), base("/2", 2));
        let mut sheet = Sheet::default();
        let round = |sheet: &mut Sheet, bases: &[&Base], device: &str| {
            for base in bases {
                sheet.push_with(Name::FsReadsBytesTotal, base, &[("device", device)], 1.0);
                sheet.push(Name::LastSeen, base, 2.0);
            }
            sheet.finish()
        };
        let first = round(&mut sheet, &[&one, &two], "/dev/sda");
        let want = "container_fs_reads_bytes_total{app=\"a\",device=\"/dev/sda\",id=\"/1\",name=\"n\"} 1\n\
                    container_fs_reads_bytes_total{app=\"a\",device=\"/dev/sda\",id=\"/2\",name=\"n\"} 1\n\
                    container_last_seen{app=\"a\",id=\"/1\",name=\"n\"} 2\ncontainer_last_seen{app=\"a\",id=\"/2\",name=\"n\"} 2\n";
        assert_eq!(text(&first), want);
        sheet.recycle(first);
        let second = round(&mut sheet, &[&one, &two], "/dev/sda");
        assert_eq!(text(&second), want);
        sheet.recycle(second);
        let third = round(&mut sheet, &[&two], "/dev/sdb");
        assert_eq!(
            text(&third),
            "container_fs_reads_bytes_total{app=\"a\",device=\"/dev/sdb\",id=\"/2\",name=\"n\"} 1\n\
             container_last_seen{app=\"a\",id=\"/2\",name=\"n\"} 2\n"
        );
    }

    #[test]
    fn families_of_others_are_not_taken_for_ours() {
        let mut sheet = Sheet::default();
        sheet.recycle(vec![Family::gauge("other", "O.", 1.0)]);
        let one = base("/1", 1);
        sheet.push(Name::LastSeen, &one, 1.0);
        let mut families = sheet.finish();
        families[0].metrics.clear();
        sheet.recycle(families);
        sheet.push(Name::LastSeen, &one, 3.0);
        assert_eq!(
            text(&sheet.finish()),
            "container_last_seen{app=\"a\",id=\"/1\",name=\"n\"} 3\n"
        );
    }

    #[test]
    fn an_id_among_the_labels_and_empty_values_are_dropped() {
        let pairs = [("id", "x"), ("image", ""), ("zone", "z")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let base = Base::new("/1", &pairs, 1);
        let names: Vec<_> = base.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(names, [("id", "/1"), ("zone", "z")]);
    }
}
