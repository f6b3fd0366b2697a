//! Where the rows of a round go: one list a family, whose label sets are taken over from the round before.
//!
//! A label set costs an allocation a label, seventy times a container. The same containers give the same rows in the
//! same order nearly always, so a collection that the caller hands back ([`Sheet::recycle`]) is written over: a row
//! whose base and further labels are the same keeps its labels, and the number that stands for them ([`Metric::number`]).
//!
//! ```text
//!   one family   keys     (base, extra) (base, extra) ...     which labels: two numbers, compared row by row
//!                values    1.0           2.0          ...
//!                metrics   labels        labels       ...     touched when a row is new, and once at the end
//! ```

use std::borrow::Cow;
use std::collections::HashMap;
use std::num::NonZeroU64;

use model::{Family, Metric, MetricValue};

use super::families::{EMITTED, Name};
use crate::output::{Label, label};

/// Lists of further labels after which they are all forgotten: interfaces and devices have had so many names meanwhile.
const EXTRAS_MAX: usize = 16_384;

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

/// What a row is of: the number of its base, and that of its further labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RowKey {
    base: u64,
    extra: u32,
}

/// Rows of one family.
#[derive(Debug, Default)]
struct Rows {
    keys: Vec<RowKey>,
    values: Vec<f64>,
    /// One a key, but while the caller has them. Their values are written at the end of a round.
    metrics: Vec<Metric>,
    /// Rows of this round so far; those behind are of the last one.
    len: usize,
}

impl Rows {
    /// The row of this key comes next: rows of the last round that stand before it are of what is gone. False when it has none yet.
    fn advance(&mut self, key: RowKey) -> bool {
        let rest = self.keys.get(self.len..).unwrap_or_default();
        let Some(ahead) = rest.iter().position(|other| *other == key) else {
            return false;
        };
        let gone = self.len..self.len + ahead;
        self.keys.drain(gone.clone());
        self.values.drain(gone.clone());
        self.metrics.drain(gone);
        true
    }

    /// Makes room for a row at the present place.
    fn insert(&mut self, key: RowKey, metric: Metric) {
        self.keys.insert(self.len, key);
        self.values.insert(self.len, 0.0);
        self.metrics.insert(self.len, metric);
    }

    fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
        self.metrics.clear();
    }
}

/// Lists of further labels. There are few: states, devices, interfaces.
#[derive(Debug)]
struct Extras {
    /// The first one is empty.
    lists: Vec<Vec<Label>>,
    numbers: HashMap<Vec<Label>, u32>,
}

impl Default for Extras {
    fn default() -> Self {
        Self {
            lists: vec![Vec::new()],
            numbers: HashMap::from([(Vec::new(), 0)]),
        }
    }
}

impl Extras {
    fn is(&self, number: u32, more: &[(&'static str, &str)]) -> bool {
        let list = self.get(number);
        list.len() == more.len()
            && list
                .iter()
                .zip(more)
                .all(|((n, v), (name, value))| n == name && v == value)
    }

    fn get(&self, number: u32) -> &[Label] {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.lists.get(at).map_or(&[], Vec::as_slice)
    }

    fn number(&mut self, more: &[(&'static str, &str)]) -> u32 {
        let list: Vec<Label> = more
            .iter()
            .map(|(name, value)| label(name, (*value).to_owned()))
            .collect();
        if let Some(number) = self.numbers.get(&list) {
            return *number;
        }
        let number = u32::try_from(self.lists.len()).unwrap_or(u32::MAX);
        self.lists.push(list.clone());
        self.numbers.insert(list, number);
        number
    }
}

/// The rows of a round in the making.
#[derive(Debug)]
pub(super) struct Sheet {
    rows: Vec<Rows>,
    extras: Extras,
    /// The number that the next new series gets.
    next: NonZeroU64,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            rows: EMITTED.iter().map(|_| Rows::default()).collect(),
            extras: Extras::default(),
            next: NonZeroU64::MIN,
        }
    }
}

impl Sheet {
    /// Begins a round. What the last one gave and did not get back is made anew.
    pub(super) fn begin_round(&mut self) {
        let too_many = self.extras.lists.len() > EXTRAS_MAX;
        if too_many {
            self.extras = Extras::default();
        }
        for rows in &mut self.rows {
            if too_many || rows.metrics.len() != rows.keys.len() {
                rows.clear();
            }
            rows.len = 0;
        }
    }

    /// Adds a row with the base's labels alone.
    pub(super) fn push(&mut self, name: Name, base: &Base, value: f64) {
        self.push_with(name, base, &[], value);
    }

    /// Adds a row with further labels, which are sorted by name.
    pub(super) fn push_with(&mut self, name: Name, base: &Base, more: &[(&'static str, &str)], value: f64) {
        let Some(rows) = self.rows.get_mut(name as usize) else {
            return;
        };
        let is_next = rows
            .keys
            .get(rows.len)
            .is_some_and(|key| key.base == base.number && self.extras.is(key.extra, more));
        if !is_next {
            let key = RowKey {
                base: base.number,
                extra: self.extras.number(more),
            };
            if !rows.advance(key) {
                let metric = Metric {
                    number: Some(self.next),
                    ..Metric::float(merge(&base.labels, self.extras.get(key.extra)), value)
                };
                self.next = self.next.saturating_add(1);
                rows.insert(key, metric);
            }
        }
        if let Some(place) = rows.values.get_mut(rows.len) {
            *place = value;
            rows.len += 1;
        }
    }

    /// Hands the families over, sorted by name; those without a row are left out.
    pub(super) fn finish(&mut self) -> Vec<Family> {
        let mut families = Vec::with_capacity(EMITTED.len());
        for (rows, family) in self.rows.iter_mut().zip(EMITTED) {
            rows.keys.truncate(rows.len);
            rows.values.truncate(rows.len);
            rows.metrics.truncate(rows.len);
            if rows.len == 0 {
                continue;
            }
            for (metric, value) in rows.metrics.iter_mut().zip(&rows.values) {
                metric.value = MetricValue::Float(*value);
            }
            let mut made = Family::new(family.name, family.help, family.kind);
            made.metrics = std::mem::take(&mut rows.metrics);
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
                && rows.keys.len() == family.metrics.len()
            {
                rows.metrics = family.metrics;
            }
        }
    }
}

/// Both lists in the order of their names.
fn merge(base: &[Label], more: &[Label]) -> Vec<Label> {
    let mut labels = Vec::with_capacity(base.len() + more.len());
    let mut rest = more.iter().peekable();
    for pair in base {
        while let Some(other) = rest.next_if(|(name, _)| *name < pair.0) {
            labels.push(other.clone());
        }
        labels.push(pair.clone());
    }
    labels.extend(rest.cloned());
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
            sheet.begin_round();
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
        sheet.begin_round();
        sheet.push(Name::LastSeen, &one, 1.0);
        let mut families = sheet.finish();
        families[0].metrics.clear();
        sheet.recycle(families);
        sheet.begin_round();
        sheet.push(Name::LastSeen, &one, 3.0);
        assert_eq!(
            text(&sheet.finish()),
            "container_last_seen{app=\"a\",id=\"/1\",name=\"n\"} 3\n"
        );
    }

    /// Rounds of `container_last_seen` over these bases, each `(id, number)`: the numbers of the series that come out.
    fn numbers(sheet: &mut Sheet, bases: &[(&str, u64)], recycled: bool) -> Vec<u64> {
        sheet.begin_round();
        for (id, number) in bases {
            sheet.push(Name::LastSeen, &base(id, *number), 1.0);
        }
        let families = sheet.finish();
        let metrics = families.first().map_or(&[][..], |family| &family.metrics);
        for (metric, (id, _)) in metrics.iter().zip(bases) {
            assert_eq!(metric.labels[1].1, *id, "values stand beside their labels");
        }
        let numbers = metrics
            .iter()
            .map(|metric| metric.number.unwrap().get())
            .collect();
        if recycled {
            sheet.recycle(families);
        }
        numbers
    }

    #[test]
    fn a_series_keeps_its_number_and_gives_it_to_nobody() {
        let mut sheet = Sheet::default();
        let [a, b, c] = [("/a", 1), ("/b", 2), ("/c", 3)];
        for (bases, recycled, want) in [
            (&[a, b][..], true, &[1, 2][..]),
            (&[a, c, b], true, &[1, 3, 2]),
            (&[c, b], true, &[3, 2]),
            // Another container at the place of one that is gone, and the same one under other labels.
            (&[("/d", 4), b], true, &[4, 2]),
            (&[("/d", 5), b], true, &[5, 2]),
            (&[], true, &[]),
            (&[b], false, &[6]),
            (&[b], true, &[7]),
        ] {
            assert_eq!(numbers(&mut sheet, bases, recycled), want, "{bases:?}");
        }
    }

    #[test]
    fn an_id_among_the_labels_and_empty_values_are_dropped() {
        let pairs = [("id", "x"), ("image", ""), ("zone", "z")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let base = Base::new("/1", &pairs, 1);
        let names: Vec<_> = base.labels.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(names, [("id", "/1"), ("zone", "z")]);
    }
}
