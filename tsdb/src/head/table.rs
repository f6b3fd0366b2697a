//! From labels to the number of their series, found by the raw bytes of the canonical encoding.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use model::{Labels, LabelsError};

/// 24 bytes: the labels' string is shared with the series, and half of the hash is kept so that growing
/// and comparing seldom touch strings.
#[derive(Debug)]
struct Known {
    labels: Labels,
    series: u32,
    hash: u32,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Table {
    known: HashTable<Known>,
    state: RandomState,
}

/// The hash under which the table files an entry: all from the half that entries keep.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Table {
    fn hash(&self, encoded: &str) -> u32 {
        (self.state.hash_one(encoded.as_bytes()) >> 32) as u32
    }

    /// The number of these labels.
    #[cfg(test)]
    fn get(&self, encoded: &str) -> Option<u32> {
        let hash = self.hash(encoded);
        let same = |known: &Known| known.hash == hash && known.labels.encoded() == encoded;
        self.known.find(spread(hash), same).map(|known| known.series)
    }

    /// The number of these labels, or `number` for new ones, which are then given too.
    pub(crate) fn get_or_insert(
        &mut self,
        encoded: &str,
        number: u32,
    ) -> Result<(u32, Option<Labels>), LabelsError> {
        let hash = self.hash(encoded);
        let same = |known: &Known| known.hash == hash && known.labels.encoded() == encoded;
        match self.known.entry(spread(hash), same, |known| spread(known.hash)) {
            Entry::Occupied(entry) => Ok((entry.get().series, None)),
            Entry::Vacant(entry) => {
                let labels = Labels::from_encoded(encoded)?;
                entry.insert(Known {
                    labels: labels.clone(),
                    series: number,
                    hash,
                });
                Ok((number, Some(labels)))
            }
        }
    }

    /// Forgets labels.
    pub(crate) fn remove(&mut self, labels: &Labels) {
        let hash = self.hash(labels.encoded());
        let same = |known: &Known| known.hash == hash && known.labels == *labels;
        if let Ok(entry) = self.known.find_entry(spread(hash), same) {
            entry.remove();
        }
    }

    /// Gives memory back after many were removed.
    pub(crate) fn shrink(&mut self) {
        self.known.shrink_to_fit(|known| spread(known.hash));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_after_growth_and_gone_after_removal() {
        let labels: Vec<_> = (0..5000)
            .map(|i| Labels::from_pairs([("id", i.to_string())]))
            .collect();
        let mut table = Table::default();
        for (number, labels) in (0..).zip(&labels) {
            assert_eq!(table.get_or_insert(labels.encoded(), number).unwrap().0, number);
        }
        for (number, labels) in (0..).zip(&labels) {
            assert_eq!(table.get_or_insert(labels.encoded(), 9).unwrap(), (number, None));
        }
        labels.iter().step_by(2).for_each(|labels| table.remove(labels));
        table.shrink();
        for (number, labels) in (0..).zip(&labels) {
            assert_eq!(table.get(labels.encoded()), (number % 2 == 1).then_some(number));
        }
        assert!(table.get_or_insert("\u{5}x", 1).is_err());
    }
}
