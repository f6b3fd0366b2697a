//! Our own families about containers, kept from round to round: they change when the list or a count does, which is seldom.
//!
//! A series keeps its number ([`model::Metric::number`]) as long as it is there, so that storing it again needs no look at its labels.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use model::{Family, Metric};

use super::inventory::Known;

/// The numbers of these series begin here; the collector's, which are of the same source, begin at 1.
const FIRST_NUMBER: NonZeroU64 = NonZeroU64::MIN.saturating_add(1 << 63);
/// Counts of an application that is gone end after some time: nothing is kept for longer than this.
const KEPT_MS: i64 = 60_000;

/// What rows were made of.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// The list of containers.
    pub(super) list: Arc<Vec<Known>>,
    /// [`super::marks::Marks::added`].
    pub(super) marks: u64,
    /// When.
    pub(super) t_ms: i64,
}

impl Made {
    /// Rows made of `self` serve at the time of `now` too.
    fn serves(&self, now: &Self) -> bool {
        Arc::ptr_eq(&self.list, &now.list)
            && self.marks == now.marks
            && (self.t_ms..self.t_ms.saturating_add(KEPT_MS)).contains(&now.t_ms)
    }
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct OwnRows {
    made: Option<Made>,
    /// Empty while the caller has them.
    families: Vec<Family>,
    /// Numbers of the last rows that were made, by family and labels.
    numbers: HashMap<String, NonZeroU64>,
    next: NonZeroU64,
}

impl Default for OwnRows {
    fn default() -> Self {
        Self {
            made: None,
            families: Vec::new(),
            numbers: HashMap::new(),
            next: FIRST_NUMBER,
        }
    }
}

impl OwnRows {
    /// The rows of a round: those of the last one, if they serve and came back, else what `make` gives.
    pub(super) fn take(&mut self, now: Made, make: impl FnOnce() -> Vec<Family>) -> Vec<Family> {
        let families = std::mem::take(&mut self.families);
        if !families.is_empty() && self.made.as_ref().is_some_and(|made| made.serves(&now)) {
            return families;
        }
        self.made = Some(now);
        let mut families = make();
        let mut old = std::mem::take(&mut self.numbers);
        for family in &mut families {
            for metric in &mut family.metrics {
                let key = key_of(&family.name, metric);
                let number = old.remove(&key).unwrap_or_else(|| {
                    let number = self.next;
                    self.next = self.next.saturating_add(1);
                    number
                });
                metric.number = Some(number);
                self.numbers.insert(key, number);
            }
        }
        families
    }

    /// Takes the rows of a round out of its families, when they are no longer needed.
    pub(super) fn recycle(&mut self, families: &mut Vec<Family>) {
        let ours = |family: &mut Family| {
            family
                .metrics
                .first()
                .is_some_and(|metric| metric.number >= Some(FIRST_NUMBER))
        };
        self.families = families.extract_if(.., ours).collect();
    }
}

fn key_of(name: &str, metric: &Metric) -> String {
    let mut key = name.to_owned();
    for (label, value) in &metric.labels {
        key.push('\u{0}');
        key.push_str(label);
        key.push('\u{0}');
        key.push_str(value);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(apps: &[&'static str]) -> Vec<Family> {
        let mut family = Family::new("f", "F.", model::MetricType::Gauge);
        for app in apps {
            family.push(vec![("app".into(), (*app).into())], 1.0);
        }
        vec![family]
    }

    #[test]
    fn rows_are_made_when_something_changed_and_series_keep_their_numbers() {
        let mut rows = OwnRows::default();
        let list = Arc::new(vec![Known::default()]);
        let made = |marks, t_ms| Made {
            list: Arc::clone(&list),
            marks,
            t_ms,
        };
        let first = |families: &[Family]| families[0].metrics[0].number;
        let mut families = rows.take(made(0, 0), || family(&["a", "b"]));
        let a = first(&families);
        assert!(a >= Some(FIRST_NUMBER));
        families.push(Family::gauge("other", "O.", 1.0));
        rows.recycle(&mut families);
        assert_eq!(families.len(), 1, "those of others stay");
        let same = rows.take(made(0, 15_000), || unreachable!("nothing changed"));
        assert_eq!(first(&same), a);
        // Not given back: made anew, with the old numbers.
        let mut again = rows.take(made(0, 30_000), || family(&["a", "b"]));
        assert_eq!(first(&again), a);
        rows.recycle(&mut again);
        let changed = rows.take(made(1, 30_000), || family(&["c", "a"]));
        assert_eq!(changed[0].metrics[1].number, a);
        assert!(first(&changed) > a);
        // A series that was gone is a new one.
        let b = |families: &[Family]| families[0].metrics.last().and_then(|metric| metric.number);
        assert!(b(&rows.take(made(2, 30_000), || family(&["a", "b"]))) > first(&changed));
    }

    #[test]
    fn rows_are_made_anew_after_a_minute_and_for_another_list() {
        let mut rows = OwnRows::default();
        let list = Arc::new(Vec::new());
        let other = Arc::new(Vec::new());
        for (list, t_ms, want) in [
            (&list, 0, true),
            (&list, 59_999, false),
            (&list, 60_000, true),
            (&list, 59_000, true),
            (&other, 59_000, true),
        ] {
            let mut asked = false;
            let now = Made {
                list: Arc::clone(list),
                marks: 0,
                t_ms,
            };
            let mut families = rows.take(now, || {
                asked = true;
                family(&["a"])
            });
            assert_eq!(asked, want, "{t_ms}");
            rows.recycle(&mut families);
        }
    }
}
