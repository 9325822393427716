//! Numbers that look random and are always the same for a seed (SplitMix64). Cases must come out alike on every machine
//! and after every update of a dependency.

/// A generator.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of a part of the work of a seed: parts can be done in any order.
    #[must_use]
    pub fn part(seed: u64, index: u64) -> Self {
        let mut random = Self(seed ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93));
        random.next();
        random
    }

    /// 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it is no iterator: it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// Less than `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    /// True so many times in a thousand.
    pub fn permille(&mut self, times: usize) -> bool {
        self.below(1_000) < times
    }

    /// One of them.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::expect_used, reason = "an empty table is a defect of the generator")]
    pub fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        of.get(self.below(of.len())).expect("at least one to choose from")
    }

    /// One of the texts.
    ///
    /// # Panics
    /// When there is none.
    pub fn word(&mut self, of: &[&'static str]) -> &'static str {
        let word: &&'static str = self.one(of);
        word
    }

    /// One of them, as often as its weight says.
    ///
    /// # Panics
    /// When there is none.
    #[expect(clippy::expect_used, reason = "an empty table is a defect of the generator")]
    pub fn weighted<'a, T>(&mut self, of: &'a [(usize, T)]) -> &'a T {
        let mut rest = self.below(of.iter().map(|(weight, _)| weight).sum());
        let chosen = of.iter().find(|(weight, _)| {
            let here = rest < *weight;
            rest = rest.saturating_sub(*weight);
            here
        });
        &chosen.expect("at least one to choose from").1
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        let mut random = Random::new(1_234_567);
        // The published vector of SplitMix64.
        assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }

    #[test]
    fn weights_count() {
        let mut random = Random::new(1);
        let often = (0..1_000).filter(|_| *random.weighted(&[(9, true), (1, false)])).count();
        assert!((850..950).contains(&often), "{often}");
    }
}
