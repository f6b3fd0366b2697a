//! The series of a source's last round, in the order in which they came: Prometheus' scrape cache.
//!
//! A source gives the same series in the same order nearly always. So a sample is first compared with the series that is expected
//! next, which lies beside the last one in memory; only one that comes out of turn is looked up.
//!
//! ```text
//!   entries   | a | b | c | d |      in the order of the last round; new ones are put at the end
//!                   ^ cursor         what is expected next
//!   index     key -> place           for what is not expected
//! ```
//!
//! After a round in which series came, went or changed their places, entries are put into that round's order.

use std::hash::BuildHasher;
use std::num::NonZeroU64;

use hashbrown::{DefaultHashBuilder, HashTable};
use model::SeriesRef;

/// What stands for a series within its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    /// The number that the source gave it, see [`model::Metric::number`].
    Number(NonZeroU64),
    /// A text that is the same in every round.
    Text(&'a str),
}

#[derive(Debug)]
enum OwnKey {
    Number(NonZeroU64),
    Text(Box<str>),
}

impl OwnKey {
    fn get(&self) -> Key<'_> {
        match self {
            Self::Number(number) => Key::Number(*number),
            Self::Text(text) => Key::Text(text),
        }
    }
}

/// One series.
#[derive(Debug)]
pub(super) struct Entry {
    key: OwnKey,
    /// `None` until a commit has told it, and after the store has forgotten it.
    pub(super) series: Option<SeriesRef>,
    /// Gets a staleness marker when it vanishes; not so when the target stamps it, unless the rules say so.
    pub(super) tracked: bool,
    /// Its last sample had a timestamp of the target's.
    pub(super) stamped: bool,
    /// The round it was last seen in, and its place in that.
    round: u64,
    place: u32,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct SeriesCache {
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    cursor: usize,
    round: u64,
    /// Entries seen in this round.
    seen: usize,
    /// Entries are not in the order of this round.
    disordered: bool,
}

impl SeriesCache {
    /// Begins a round, or gives up what the one under way has seen: nothing is seen.
    pub(super) fn begin_round(&mut self) {
        self.round += 1;
        self.cursor = 0;
        self.seen = 0;
    }

    /// The place of a series that is seen now; `None` for one that is not known.
    pub(super) fn see(&mut self, key: Key<'_>) -> Option<usize> {
        let expected = self.entries.get(self.cursor);
        let at = match expected.is_some_and(|entry| entry.key.get() == key) {
            true => self.cursor,
            false => self.find(key)?,
        };
        let entry = self.entries.get_mut(at)?;
        if entry.round == self.round {
            // Twice in a round: the first one counts for the order.
            return Some(at);
        }
        entry.round = self.round;
        entry.place = u32::try_from(self.seen).unwrap_or(u32::MAX);
        self.disordered |= at != self.cursor;
        self.seen += 1;
        self.cursor = at + 1;
        Some(at)
    }

    /// Adds a series that is not known and is seen now; gives its place.
    pub(super) fn insert(&mut self, key: Key<'_>) -> usize {
        let at = self.entries.len();
        self.entries.push(Entry {
            key: match key {
                Key::Number(number) => OwnKey::Number(number),
                Key::Text(text) => OwnKey::Text(text.into()),
            },
            series: None,
            tracked: true,
            stamped: false,
            round: self.round,
            place: u32::try_from(self.seen).unwrap_or(u32::MAX),
        });
        self.seen += 1;
        if self.cursor == at {
            self.cursor += 1;
        } else {
            self.disordered = true;
        }
        let (entries, hasher) = (&self.entries, &self.hasher);
        if let Ok(place) = u32::try_from(at) {
            self.index.insert_unique(hasher.hash_one(key), place, |place| {
                entries
                    .get(*place as usize)
                    .map_or(0, |entry| hasher.hash_one(entry.key.get()))
            });
        }
        at
    }

    /// The entry at this place.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Entry> {
        self.entries.get_mut(at)
    }

    /// Series that were not seen in this round.
    pub(super) fn unseen(&self) -> impl Iterator<Item = &Entry> {
        let all_seen = self.seen == self.entries.len();
        let entries = if all_seen { &[] } else { self.entries.as_slice() };
        entries.iter().filter(|entry| entry.round != self.round)
    }

    /// The round is stored: forgets what was not seen, and takes over its order.
    pub(super) fn end_round(&mut self) {
        if self.seen == self.entries.len() && !self.disordered {
            return;
        }
        let round = self.round;
        self.entries.retain(|entry| entry.round == round);
        self.entries.sort_unstable_by_key(|entry| entry.place);
        self.disordered = false;
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.clear();
        for (place, entry) in (0_u32..).zip(entries) {
            self.index
                .insert_unique(hasher.hash_one(entry.key.get()), place, |place| {
                    entries
                        .get(*place as usize)
                        .map_or(0, |entry| hasher.hash_one(entry.key.get()))
                });
        }
        if self.entries.capacity() > 4 * self.entries.len() + 1024 {
            self.entries.shrink_to_fit();
            let (entries, hasher) = (&self.entries, &self.hasher);
            self.index.shrink_to_fit(|place| {
                entries
                    .get(*place as usize)
                    .map_or(0, |entry| hasher.hash_one(entry.key.get()))
            });
        }
    }

    /// The store has forgotten the references.
    pub(super) fn forget_refs(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.series = None);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.entries = Vec::new();
        self.index = HashTable::new();
        self.begin_round();
    }

    fn find(&self, key: Key<'_>) -> Option<usize> {
        let same = |place: &u32| {
            let entry = self.entries.get(*place as usize);
            entry.is_some_and(|entry| entry.key.get() == key)
        };
        let place = self.index.find(self.hasher.hash_one(key), same)?;
        usize::try_from(*place).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A round of these keys: which of them were known, which known ones were missing.
    fn round(cache: &mut SeriesCache, keys: &[&str]) -> (String, String) {
        cache.begin_round();
        let mut known = String::new();
        for key in keys {
            match cache.see(Key::Text(key)) {
                Some(at) => {
                    assert_eq!(cache.entries[at].key.get(), Key::Text(key));
                    known.push_str(key);
                }
                None => drop(cache.insert(Key::Text(key))),
            }
        }
        let unseen = cache.unseen().map(|entry| match entry.key.get() {
            Key::Text(text) => text.to_owned(),
            Key::Number(number) => number.to_string(),
        });
        let unseen = unseen.collect();
        cache.end_round();
        (known, unseen)
    }

    #[test]
    fn series_come_go_and_change_their_places() {
        let mut cache = SeriesCache::default();
        for (keys, known, unseen) in [
            (&["a", "b", "c"][..], "", ""),
            (&["a", "b", "c"], "abc", ""),
            (&["a", "x", "b", "c", "y"], "abc", ""),
            (&["a", "x", "b", "c", "y"], "axbcy", ""),
            (&["c", "y", "a"], "cya", "xb"),
            (&["x", "c", "y", "a"], "cya", ""),
            (&["x", "x", "c", "c", "y", "a", "a"], "xxccyaa", ""),
            (&[], "", "xcya"),
            (&["a"], "", ""),
        ] {
            let got = round(&mut cache, keys);
            assert_eq!((got.0.as_str(), got.1.as_str()), (known, unseen), "{keys:?}");
            assert!(!cache.disordered);
            let order: Vec<_> = cache.entries.iter().map(|entry| entry.key.get()).collect();
            let mut once = keys.to_vec();
            once.dedup();
            assert_eq!(order, once.iter().map(|key| Key::Text(key)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_number_is_no_text() {
        let mut cache = SeriesCache::default();
        cache.begin_round();
        cache.insert(Key::Text("1"));
        assert_eq!(cache.see(Key::Number(NonZeroU64::MIN)), None);
        cache.insert(Key::Number(NonZeroU64::MIN));
        cache.end_round();
        cache.begin_round();
        assert_eq!(cache.see(Key::Number(NonZeroU64::MIN)), Some(1));
        assert_eq!(cache.see(Key::Text("1")), Some(0));
    }

    #[test]
    fn what_a_round_saw_before_it_was_given_up_is_not_seen() {
        let mut cache = SeriesCache::default();
        round(&mut cache, &["a", "b"]);
        cache.begin_round();
        cache.see(Key::Text("a"));
        cache.begin_round();
        assert_eq!(cache.unseen().count(), 2);
    }
}
