//! Finds the watched clients by an address or a user. Whoever looks takes no lock, and a change copies a part of the index alone.

use std::array;
use std::borrow::Borrow;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

/// Parts of an index: with 256 clients each has four on average.
const PARTS: usize = 64;

/// Entries of type `T` by their keys. An entry may have several keys, and a key several entries.
///
/// Changes are made by one thread at a time.
#[derive(Debug)]
pub(super) struct WatchIndex<K, T> {
    hasher: RandomState,
    parts: [ArcSwap<Part<K, T>>; PARTS],
}

type Part<K, T> = Vec<(K, Arc<T>)>;

/// The part of an index that has the entries of one key.
pub(super) struct Found<K, T>(Guard<Arc<Part<K, T>>>);

impl<K, T> Default for WatchIndex<K, T> {
    fn default() -> Self {
        Self { hasher: RandomState::new(), parts: array::from_fn(|_| ArcSwap::default()) }
    }
}

impl<K: Hash + Eq + Clone, T> WatchIndex<K, T> {
    pub(super) fn add(&self, key: K, entry: Arc<T>) {
        let part = self.part(&key);
        let mut entries = Vec::clone(&part.load());
        entries.push((key, entry));
        part.store(Arc::new(entries));
    }

    pub(super) fn remove(&self, key: &K, entry: &Arc<T>) {
        let part = self.part(key);
        let mut entries = Vec::clone(&part.load());
        entries.retain(|(other, of)| other != key || !Arc::ptr_eq(of, entry));
        part.store(Arc::new(entries));
    }

    pub(super) fn find<Q: Hash + ?Sized>(&self, key: &Q) -> Found<K, T>
    where
        K: Borrow<Q>,
    {
        Found(self.part(key).load())
    }

    fn part<Q: Hash + ?Sized>(&self, key: &Q) -> &ArcSwap<Part<K, T>>
    where
        K: Borrow<Q>,
    {
        // The remainder is below `PARTS`.
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.load().len()).sum()
    }
}

impl<K, T> Found<K, T> {
    pub(super) fn of<'a, Q: Eq + ?Sized>(&'a self, key: &'a Q) -> impl Iterator<Item = &'a Arc<T>> + Clone
    where
        K: Borrow<Q>,
    {
        self.0.iter().filter(move |(other, _)| other.borrow() == key).map(|(_, entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_leads_to_its_entries_alone() {
        let index = WatchIndex::default();
        let entries: Vec<_> = (0..200).map(Arc::new).collect();
        for (key, entry) in entries.iter().enumerate() {
            index.add(key, Arc::clone(entry));
            index.add(key / 2 * 2, Arc::clone(entry));
        }
        let found = |key: usize| index.find(&key).of(&key).map(|entry| **entry).collect::<Vec<usize>>();
        assert_eq!((found(4), found(5), found(200)), (vec![4, 4, 5], vec![5], vec![]));
        index.remove(&4, &entries[4]);
        assert_eq!((found(4), found(5)), (vec![5], vec![5]));
        assert_eq!(index.len(), 398);
    }
}
