//! How often approvals are polled: young ones more often than old ones, and all of a source together within a budget.
//! What the stream announces and the last look at a deadline are outside of it.
//!
//! Times are steady ones.

use crate::jitter::Jitter;

/// Age at which an approval is polled as seldom as it ever will be, while there is room.
const OLD_MS: u64 = 60_000;

/// The pace of a source.
#[derive(Clone, Debug)]
pub struct Pace {
    /// Milliseconds between two looks at a young approval, and at an old one.
    between: (u64, u64),
    /// Looks a second, of all together.
    per_second: u64,
    /// Thousandths of looks that are left.
    left: u64,
    refilled: Option<u64>,
    /// The server asked for patience.
    paused: u64,
}

impl Pace {
    /// Of a source.
    #[must_use]
    pub const fn new(between: (u64, u64), per_second: u64) -> Self {
        Self { between, per_second, left: per_second * 1000, refilled: None, paused: 0 }
    }

    /// Milliseconds until the next look at an approval of this age, one of `waiting`. With many they are longer, in the same
    /// proportion for all, so that young ones keep their precedence.
    #[must_use]
    pub fn interval(&self, age: u64, waiting: usize, jitter: &mut Jitter) -> u64 {
        let (young, old) = self.between;
        let base = young + (old - young) * age.min(OLD_MS) / OLD_MS;
        let room = (self.per_second * old).max(1);
        let demand = waiting as u64 * 1000;
        let stretched = if demand > room { base.saturating_mul(demand) / room } else { base };
        let stretched = stretched.max(base);
        jitter.between(stretched * 3 / 4, stretched * 5 / 4).max(young)
    }

    /// Whether there may be a look now; takes it from the budget.
    pub fn take(&mut self, now: u64) -> bool {
        self.refill(now);
        if self.paused > now || self.left < 1000 {
            return false;
        }
        self.left -= 1000;
        true
    }

    /// When there may be a look at the earliest.
    #[must_use]
    pub fn earliest(&self, now: u64) -> u64 {
        let missing = 1000_u64.saturating_sub(self.left);
        let refilled = self.refilled.unwrap_or(now);
        refilled.saturating_add(missing.div_ceil(self.per_second.max(1))).max(self.paused)
    }

    /// The server asked for patience.
    pub fn pause(&mut self, until: u64) {
        self.paused = self.paused.max(until);
    }

    fn refill(&mut self, now: u64) {
        let passed = now.saturating_sub(self.refilled.replace(now).unwrap_or(now));
        // Looks a second are thousandths a millisecond. No more than a second's worth is saved.
        self.left = self.left.saturating_add(passed.saturating_mul(self.per_second)).min(self.per_second * 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_of_five_a_second_is_five_a_second() {
        let mut pace = Pace::new((1000, 5000), 5);
        let (mut now, mut taken) = (1_000_000, 0);
        while now < 1_000_000 + 60_000 {
            while pace.take(now) {
                taken += 1;
            }
            assert!(pace.earliest(now) > now && pace.earliest(now) <= now + 200);
            now += 7;
        }
        assert!((300..=306).contains(&taken), "{taken}");
        pace.pause(now + 7000);
        assert!(!pace.take(now + 6999) && pace.earliest(now + 6999) == now + 7000 && pace.take(now + 7000));
    }

    #[test]
    fn looks_become_rarer_with_age_and_with_company_and_young_ones_come_first() {
        let (pace, mut jitter) = (Pace::new((1000, 5000), 5), Jitter::from_seed(1));
        for _ in 0..100 {
            let mut of = |age, waiting| pace.interval(age, waiting, &mut jitter);
            assert!((1000..=1250).contains(&of(0, 1)));
            assert!((3750..=6250).contains(&of(600_000, 25)));
            assert!((300_000..=500_000).contains(&of(0, 10_000)));
            assert!((1_500_000..=2_500_000).contains(&of(600_000, 10_000)));
        }
    }
}
