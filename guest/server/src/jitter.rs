//! Jitter: spreads clients that would otherwise do the same thing at the same moment. The randomness itself is the
//! caller's: a seed, once, from which every waiting time follows.

/// A sequence of numbers that looks random, from a seed (splitmix64). Not for secrets.
#[derive(Clone, Debug)]
pub struct Jitter {
    state: u64,
}

impl Jitter {
    /// The sequence of a seed. Clients that start at the same time must have different ones.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of `low..=high`; `low` when the range is empty.
    pub const fn between(&mut self, low: u64, high: u64) -> u64 {
        low + below(self.next(), high.saturating_sub(low))
    }
}

/// Maps 64 random bits to `0..=most`, evenly.
#[must_use]
pub const fn below(random: u64, most: u64) -> u64 {
    ((random as u128 * (most as u128 + 1)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_value_of_a_range_occurs() {
        let mut jitter = Jitter::from_seed(0);
        let mut seen = [0; 10];
        for _ in 0..10_000 {
            seen[jitter.between(5, 14) as usize - 5] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }

    proptest! {
        #[test]
        fn stays_in_its_range(seed: u64, low in 0..u64::MAX / 2, width: u32) {
            let number = Jitter::from_seed(seed).between(low, low + u64::from(width));
            prop_assert!((low..=low + u64::from(width)).contains(&number));
            prop_assert_eq!(Jitter::from_seed(seed).between(low, low.saturating_sub(1)), low);
        }
    }
}
