//! The head's inverted index: for every label pair the series that carry it.
//!
//! Series are numbers that only grow, so a list stays sorted by appending at its end. Sets are sorted slices
//! of numbers; [`Postings::select`] evaluates matchers with Prometheus' rule that a label which is not there has the
//! empty value.

use std::collections::BTreeMap;

use model::{Labels, Matcher};

/// Sorted numbers of series. A pair that only one series carries (an id, an address) costs no allocation.
#[derive(Debug, Clone)]
enum List {
    One(u32),
    Many(Vec<u32>),
}

impl List {
    fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(list) => list,
        }
    }

    fn add(&mut self, series: u32) {
        match self {
            Self::One(only) => *self = Self::Many(vec![*only, series]),
            Self::Many(list) => list.push(series),
        }
    }

    /// Removes numbers; true when none is left.
    fn remove(&mut self, dead: &[u32]) -> bool {
        match self {
            Self::One(only) => dead.binary_search(only).is_ok(),
            Self::Many(list) => {
                list.retain(|series| dead.binary_search(series).is_err());
                list.shrink_to_fit();
                list.is_empty()
            }
        }
    }
}

type Values = BTreeMap<Box<str>, List>;

/// Label pairs to series.
#[derive(Debug, Default)]
pub(crate) struct Postings {
    names: BTreeMap<Box<str>, Values>,
    all: Vec<u32>,
}

impl Postings {
    /// Adds a series; its number is larger than all before.
    pub(crate) fn add(&mut self, series: u32, labels: &Labels) {
        self.all.push(series);
        for (name, value) in labels {
            let values = match self.names.get_mut(name) {
                Some(values) => values,
                None => self.names.entry(Box::from(name)).or_default(),
            };
            match values.get_mut(value) {
                Some(list) => list.add(series),
                None => {
                    values.insert(Box::from(value), List::One(series));
                }
            }
        }
    }

    /// Gives memory back after many series were added.
    pub(crate) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        for list in self.names.values_mut().flat_map(BTreeMap::values_mut) {
            if let List::Many(list) = list {
                list.shrink_to_fit();
            }
        }
    }

    /// Removes series, given sorted by number.
    pub(crate) fn remove(&mut self, dead: &[(u32, Labels)]) {
        let numbers: Vec<u32> = dead.iter().map(|(series, _)| *series).collect();
        self.all.retain(|series| numbers.binary_search(series).is_err());
        let mut pairs: Vec<(&str, &str)> = dead.iter().flat_map(|(_, labels)| labels.iter()).collect();
        pairs.sort_unstable();
        pairs.dedup();
        for (name, value) in pairs {
            let Some(values) = self.names.get_mut(name) else {
                continue;
            };
            if values.get_mut(value).is_some_and(|list| list.remove(&numbers)) {
                values.remove(value);
            }
            if values.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// The series that fulfil all matchers, rising. `labels_of` gives the labels of a series, so that a costly matcher is
    /// asked about the few series left and not about every value of its label.
    pub(crate) fn select(&self, matchers: &[Matcher], labels_of: impl Fn(u32) -> Option<Labels>) -> Vec<u32> {
        let mut wanted: Vec<&Matcher> = matchers.iter().filter(|m| !m.matches_empty()).collect();
        // Cheap and narrow ones first: fixed values, then scans.
        wanted.sort_by_key(|m| {
            m.set_matches()
                .map_or(usize::MAX, |set| self.size_of(m.name(), &set))
        });
        let mut found: Option<Vec<u32>> = None;
        for matcher in wanted {
            found = Some(match found {
                None => self.carriers(matcher, true),
                Some(found) if found.is_empty() => return found,
                Some(found) if self.is_cheaper_by_labels(matcher, found.len()) => {
                    keep(found, matcher, &labels_of)
                }
                Some(found) => intersect(&found, &self.carriers(matcher, true)),
            });
        }
        let mut found = found.unwrap_or_else(|| self.all.clone());
        for matcher in matchers.iter().filter(|m| m.matches_empty()) {
            if found.is_empty() {
                break;
            }
            found = if self.is_cheaper_by_labels(matcher, found.len()) {
                keep(found, matcher, &labels_of)
            } else {
                subtract(&found, &self.carriers(matcher, false))
            };
        }
        found
    }

    /// All label names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(AsRef::as_ref)
    }

    /// All values of a label with the number of series that carry each, sorted.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = (&str, usize)> {
        self.names.get(name).into_iter().flat_map(|values| {
            values
                .iter()
                .map(|(value, list)| (value.as_ref(), list.as_slice().len()))
        })
    }

    fn size_of(&self, name: &str, values: &[&str]) -> usize {
        let Some(index) = self.names.get(name) else {
            return 0;
        };
        values
            .iter()
            .filter_map(|value| index.get(*value))
            .map(|list| list.as_slice().len())
            .sum()
    }

    /// The series that carry the label with a value that matches (or, for `want` false, does not match).
    fn carriers(&self, matcher: &Matcher, want: bool) -> Vec<u32> {
        let Some(index) = self.names.get(matcher.name()) else {
            return Vec::new();
        };
        let lists: Vec<&[u32]> = match matcher.set_matches() {
            Some(set) if want => {
                let mut set = set;
                set.sort_unstable();
                set.dedup();
                set.iter()
                    .filter_map(|value| index.get(*value))
                    .map(List::as_slice)
                    .collect()
            }
            _ => index
                .iter()
                .filter(|(value, _)| matcher.matches(value) == want)
                .map(|(_, l)| l.as_slice())
                .collect(),
        };
        union(&lists)
    }

    fn is_cheaper_by_labels(&self, matcher: &Matcher, found: usize) -> bool {
        matcher.set_matches().is_none()
            && self
                .names
                .get(matcher.name())
                .is_some_and(|values| values.len() > found)
    }
}

fn keep(mut found: Vec<u32>, matcher: &Matcher, labels_of: &impl Fn(u32) -> Option<Labels>) -> Vec<u32> {
    found.retain(|series| {
        labels_of(*series).is_some_and(|labels| matcher.matches(labels.get(matcher.name()).unwrap_or("")))
    });
    found
}

/// Numbers in any of the sorted lists. Each series carries one value of a label, so the lists share none.
fn union(lists: &[&[u32]]) -> Vec<u32> {
    let mut out = Vec::with_capacity(lists.iter().map(|list| list.len()).sum());
    for list in lists {
        out.extend_from_slice(list);
    }
    if lists.len() > 1 {
        // A stable sort merges runs that are sorted already.
        out.sort();
        out.dedup();
    }
    out
}

/// Numbers in both.
fn intersect(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (small, mut large) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    let mut out = Vec::with_capacity(small.len());
    for &series in small {
        large = &large[gallop(large, series)..];
        if large.first() == Some(&series) {
            out.push(series);
        }
    }
    out
}

/// Numbers of `a` that are not in `b`.
fn subtract(a: &[u32], mut b: &[u32]) -> Vec<u32> {
    let mut out = Vec::with_capacity(a.len());
    for &series in a {
        b = &b[gallop(b, series)..];
        if b.first() != Some(&series) {
            out.push(series);
        }
    }
    out
}

/// Where in a sorted list the first number not below `want` stands, looking in growing leaps.
fn gallop(list: &[u32], want: u32) -> usize {
    let mut high = 1;
    while high < list.len() && list[high] < want {
        high *= 2;
    }
    let low = high / 2;
    let high = list.len().min(high + 1);
    low + list[low.min(high)..high].partition_point(|&series| series < want)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::MatchOp;
    use proptest::prelude::*;

    #[test]
    fn matchers_follow_the_rule_of_the_empty_value() {
        let series: Vec<Labels> = [
            &[("__name__", "up"), ("job", "a")][..],
            &[("__name__", "up"), ("job", "b"), ("dev", "x")],
            &[("__name__", "up"), ("dev", "y")],
            &[("__name__", "down"), ("job", "a"), ("dev", "x")],
        ]
        .iter()
        .map(|pairs| Labels::from_pairs(pairs.iter().copied()))
        .collect();
        let mut postings = Postings::default();
        for (number, labels) in (0u32..).zip(&series) {
            postings.add(number, labels);
        }
        let check = |matchers: &[(&str, MatchOp, &str)], want: &[u32]| {
            let matchers: Vec<_> = matchers
                .iter()
                .map(|(n, op, v)| Matcher::new(*n, *op, *v).unwrap())
                .collect();
            let got = postings.select(&matchers, |n| series.get(n as usize).cloned());
            assert_eq!(got, want, "{matchers:?}");
        };
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        check(&[], &[0, 1, 2, 3]);
        check(&[("__name__", Equal, "up")], &[0, 1, 2]);
        check(&[("job", Equal, "")], &[2]);
        check(&[("job", NotEqual, "")], &[0, 1, 3]);
        check(&[("job", NotEqual, "a")], &[1, 2]);
        check(&[("job", Regex, "a|b"), ("dev", Regex, "x.*")], &[1, 3]);
        check(&[("job", Regex, ".*"), ("dev", NotRegex, "x|y")], &[0]);
        check(&[("job", Regex, "|b")], &[1, 2]);
        check(&[("nope", Equal, "x")], &[]);
        check(&[("nope", NotEqual, "x"), ("__name__", Equal, "down")], &[3]);
    }

    #[test]
    fn removed_series_are_gone_with_their_pairs() {
        let a = Labels::from_pairs([("__name__", "m"), ("id", "1")]);
        let b = Labels::from_pairs([("__name__", "m"), ("id", "2")]);
        let mut postings = Postings::default();
        postings.add(1, &a);
        postings.add(2, &b);
        postings.remove(&[(1, a)]);
        assert_eq!(postings.values("id").collect::<Vec<_>>(), [("2", 1)]);
        assert_eq!(postings.select(&[], |_| None), [2]);
        postings.remove(&[(2, b)]);
        assert_eq!(postings.names().count(), 0);
    }

    proptest! {
        #[test]
        fn set_operations_equal_those_of_sets(
            a in proptest::collection::btree_set(0u32..200, 0..80),
            b in proptest::collection::btree_set(0u32..200, 0..80),
        ) {
            let (va, vb): (Vec<u32>, Vec<u32>) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(intersect(&va, &vb), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(subtract(&va, &vb), a.difference(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(union(&[&va, &vb]), a.union(&b).copied().collect::<Vec<_>>());
        }
    }
}
