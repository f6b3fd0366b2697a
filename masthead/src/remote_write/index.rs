//! Raw label bytes of a remote-write request to series reference, so that a known series costs one hash and one comparison.
//!
//! Invariants: an entry's bytes are compared whole, so a hash collision finds nothing wrong; the bytes of all keys stay
//! under a limit. A shard that is full is emptied: live series come back with their next sample, dead ones do not.

use std::hash::BuildHasher;
use std::sync::{PoisonError, RwLock};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use model::SeriesRef;

const SHARDS: usize = 16;
/// Bytes that an entry costs beside its key: the entry itself, table space, the allocator's part.
const ENTRY_BYTES: usize = 56;

/// A key with its hash, computed once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hashed<'a> {
    key: &'a [u8],
    hash: u64,
}

#[derive(Debug, Default)]
struct Shard {
    table: HashTable<(Box<[u8]>, SeriesRef)>,
    bytes: usize,
}

/// The map. Shared by all requests.
#[derive(Debug)]
pub(super) struct RawIndex {
    hasher: RandomState,
    shards: Vec<RwLock<Shard>>,
    shard_limit_bytes: usize,
}

impl RawIndex {
    /// An empty map that holds at most about `limit_bytes`.
    #[must_use]
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self {
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            shard_limit_bytes: limit_bytes / SHARDS,
        }
    }

    /// Hashes a key once, for [`RawIndex::get`] and [`RawIndex::insert`].
    #[inline]
    #[must_use]
    pub(super) fn hash<'a>(&self, key: &'a [u8]) -> Hashed<'a> {
        Hashed {
            key,
            hash: self.hasher.hash_one(key),
        }
    }

    #[inline]
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        // The table uses the low bits for its buckets and the top seven for its tags: take the shard from the middle.
        let [.., byte, _, _, _] = hash.to_le_bytes();
        &self.shards[usize::from(byte) % SHARDS]
    }

    /// The reference of a key.
    #[inline]
    #[must_use]
    pub(super) fn get(&self, hashed: Hashed<'_>) -> Option<SeriesRef> {
        let shard = self
            .shard(hashed.hash)
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        shard
            .table
            .find(hashed.hash, |(key, _)| **key == *hashed.key)
            .map(|(_, series)| *series)
    }

    /// Remembers a key, or gives a known one its new reference.
    pub(super) fn insert(&self, hashed: Hashed<'_>, series: SeriesRef) {
        let mut shard = self
            .shard(hashed.hash)
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, old)) = shard.table.find_mut(hashed.hash, |(key, _)| **key == *hashed.key) {
            *old = series;
            return;
        }
        let bytes = hashed.key.len() + ENTRY_BYTES;
        if bytes > self.shard_limit_bytes {
            return;
        }
        if shard.bytes + bytes > self.shard_limit_bytes {
            *shard = Shard::default();
        }
        shard.bytes += bytes;
        shard
            .table
            .insert_unique(hashed.hash, (hashed.key.into(), series), |(key, _)| {
                self.hasher.hash_one(&**key)
            });
    }

    /// Forgets everything: the store no longer knows some reference.
    pub(super) fn clear(&self) {
        for shard in &self.shards {
            *shard.write().unwrap_or_else(PoisonError::into_inner) = Shard::default();
        }
    }

    /// Bytes held, estimated.
    #[must_use]
    pub(super) fn bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).bytes)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_by_their_bytes() {
        let index = RawIndex::new(1 << 20);
        for n in 0..1000u64 {
            let key = n.to_le_bytes();
            assert_eq!(index.get(index.hash(&key)), None);
            index.insert(index.hash(&key), SeriesRef(n));
        }
        for n in 0..1000u64 {
            assert_eq!(index.get(index.hash(&n.to_le_bytes())), Some(SeriesRef(n)));
        }
        let used = index.bytes();
        index.insert(index.hash(&7u64.to_le_bytes()), SeriesRef(99));
        assert_eq!(index.get(index.hash(&7u64.to_le_bytes())), Some(SeriesRef(99)));
        assert_eq!(index.bytes(), used);
        index.clear();
        assert_eq!(
            (index.bytes(), index.get(index.hash(&7u64.to_le_bytes()))),
            (0, None)
        );
    }

    #[test]
    fn it_stays_under_its_limit_and_keeps_taking() {
        let limit = 64 << 10;
        let index = RawIndex::new(limit);
        for n in 0..20_000u64 {
            let key = n.to_le_bytes();
            index.insert(index.hash(&key), SeriesRef(n));
            assert_eq!(index.get(index.hash(&key)), Some(SeriesRef(n)));
            assert!(index.bytes() <= limit);
        }
        let huge = vec![1u8; limit];
        index.insert(index.hash(&huge), SeriesRef(1));
        assert_eq!(index.get(index.hash(&huge)), None);
    }
}
