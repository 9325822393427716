//! Sets and lists of small numbers, as the index keeps them.

/// Numbers below this need no allocation.
const SMALL: usize = 4 * 64;

/// A set of numbers below a bound that is given when it is made.
#[derive(Clone, Debug)]
pub(super) struct Bits {
    small: [u64; SMALL / 64],
    /// Used instead when the bound is larger.
    large: Vec<u64>,
}

impl Bits {
    /// The empty set of numbers below `bound`.
    pub(super) fn empty(bound: usize) -> Self {
        let large = if bound <= SMALL { Vec::new() } else { vec![0; bound.div_ceil(64)] };
        Self { small: [0; SMALL / 64], large }
    }

    fn words(&self) -> &[u64] {
        if self.large.is_empty() { &self.small } else { &self.large }
    }

    /// Adds a number. True when it was not there.
    #[inline]
    pub(super) fn insert(&mut self, number: u32) -> bool {
        let words = if self.large.is_empty() { self.small.as_mut_slice() } else { &mut self.large };
        let Some(word) = words.get_mut(number as usize / 64) else { return false };
        let bit = 1 << (number % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    pub(super) fn insert_all(&mut self, numbers: &[u32]) {
        numbers.iter().for_each(|number| {
            self.insert(*number);
        });
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        self.words().get(number as usize / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    /// The least number of the set that is not below `from`.
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let words = self.words();
        let mut place = from / 64;
        let mut word = words.get(place)? & (u64::MAX << (from % 64));
        while word == 0 {
            place += 1;
            word = *words.get(place)?;
        }
        Some(place * 64 + word.trailing_zeros() as usize)
    }
}

/// Lists of numbers, one after the other in one allocation.
#[derive(Clone, Debug, Default)]
pub(super) struct Lists {
    /// Where each list ends.
    ends: Box<[u32]>,
    numbers: Box<[u32]>,
}

impl Lists {
    pub(super) fn new<L: AsRef<[u32]>>(lists: impl IntoIterator<Item = L>) -> Self {
        let mut ends = Vec::new();
        let mut numbers = Vec::new();
        for list in lists {
            numbers.extend_from_slice(list.as_ref());
            ends.push(numbers.len() as u32);
        }
        Self { ends: ends.into(), numbers: numbers.into() }
    }

    /// A list; the empty one when there is no such.
    #[inline]
    pub(super) fn get(&self, place: usize) -> &[u32] {
        let start = place.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = self.ends.get(place).copied().unwrap_or(start);
        self.numbers.get(start as usize..end as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_a_set(numbers in prop::collection::vec(0u32..700, 0..40), bound in prop::sample::select(vec![200usize, 256, 257, 700])) {
            let mut bits = Bits::empty(bound);
            let mut expected = BTreeSet::new();
            for number in numbers.into_iter().filter(|number| (*number as usize) < bound) {
                prop_assert_eq!(bits.insert(number), expected.insert(number));
            }
            let mut found = Vec::new();
            let mut from = 0;
            while let Some(number) = bits.next(from) {
                found.push(number as u32);
                from = number + 1;
            }
            prop_assert_eq!(found, expected.iter().copied().collect::<Vec<_>>());
            prop_assert!((0..bound as u32).all(|number| bits.contains(number) == expected.contains(&number)));
        }

        #[test]
        fn lists_come_back(lists in prop::collection::vec(prop::collection::vec(0u32..9, 0..4), 0..9)) {
            let kept = Lists::new(&lists);
            for (place, list) in lists.iter().enumerate() {
                prop_assert_eq!(kept.get(place), list.as_slice());
            }
            prop_assert!(kept.get(lists.len()).is_empty());
        }
    }
}
