//! Numbers of rooms, by which an operator names them. PURE.
//!
//! Owner: the rooms of a gateway. Invariants: a room keeps its number as long as it lives, whatever its name; no number is given twice,
//! also not after the rooms began anew ([`Numbers::continued_from`]).

#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

use std::collections::BTreeMap;
use std::ops::Bound;

/// The names of rooms by their numbers, in the order in which the rooms were opened.
#[derive(Debug)]
pub struct Numbers<N> {
    names: BTreeMap<u64, N>,
    last: u64,
}

impl<N> Default for Numbers<N> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), last: 0 }
    }
}

impl<N> Numbers<N> {
    /// Without rooms; numbers go on after those of `before`.
    #[must_use]
    pub const fn continued_from(before: &Self) -> Self {
        Self { names: BTreeMap::new(), last: before.last }
    }

    /// Numbers a room that opens.
    pub fn add(&mut self, name: N) -> u64 {
        self.last += 1;
        self.names.insert(self.last, name);
        self.last
    }

    /// A room has another name.
    pub fn rename(&mut self, number: u64, name: N) {
        self.names.insert(number, name);
    }

    /// A room has ended.
    pub fn remove(&mut self, number: u64) {
        self.names.remove(&number);
    }

    #[must_use]
    pub fn name(&self, number: u64) -> Option<&N> {
        self.names.get(&number)
    }

    /// The rooms that were opened after the one with this number.
    pub fn after(&self, number: u64) -> impl Iterator<Item = (u64, &N)> {
        self.names.range((Bound::Excluded(number), Bound::Unbounded)).map(|(number, name)| (*number, name))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        let mut numbers = Numbers::default();
        assert_eq!([numbers.add("a"), numbers.add("b"), numbers.add("c")], [1, 2, 3]);
        numbers.remove(3);
        numbers.rename(1, "new");
        assert_eq!(numbers.after(0).collect::<Vec<_>>(), [(1, &"new"), (2, &"b")]);
        assert_eq!((numbers.after(1).count(), numbers.name(3), numbers.len()), (1, None, 2));
        let mut anew = Numbers::continued_from(&numbers);
        assert!(anew.is_empty());
        assert_eq!(anew.add("d"), 4);
    }
}
