//! Time that never goes back, made of times that may (T56, T100). A clock that is set back costs the time of that one
//! moment and nothing else; one that is set forward makes everything due.

/// The caller's clock, without its steps back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steady {
    seen: Option<u64>,
    steady: u64,
}

impl Steady {
    /// Takes the caller's time, and gives the steady one: the same, until the caller's goes back for the first time.
    pub fn tick(&mut self, now: u64) -> u64 {
        let passed = self.seen.map_or(now, |seen| now.saturating_sub(seen));
        self.seen = Some(now);
        self.steady = self.steady.saturating_add(passed);
        self.steady
    }

    /// A steady time as one of the caller's clock, as it goes now.
    #[must_use]
    pub fn to_caller(&self, steady: u64) -> u64 {
        let seen = self.seen.unwrap_or(0);
        if steady >= self.steady {
            seen.saturating_add(steady - self.steady)
        } else {
            seen.saturating_sub(self.steady - steady)
        }
    }

    /// A time of the caller's clock, as it goes now, as a steady one.
    #[must_use]
    pub fn from_caller(&self, at: u64) -> u64 {
        let seen = self.seen.unwrap_or(0);
        if at >= seen { self.steady.saturating_add(at - seen) } else { self.steady.saturating_sub(seen - at) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_set_back_an_hour_loses_nothing_but_a_moment() {
        let mut clock = Steady::default();
        assert_eq!(clock.tick(10_000_000), 10_000_000);
        assert_eq!(clock.tick(10_001_000), 10_001_000);
        assert_eq!(clock.tick(6_401_000), 10_001_000);
        assert_eq!(clock.tick(6_403_000), 10_003_000);
        assert_eq!(clock.to_caller(10_005_000), 6_405_000);
        assert_eq!(clock.to_caller(10_002_000), 6_402_000);
        assert_eq!((clock.from_caller(6_405_000), clock.from_caller(6_402_000)), (10_005_000, 10_002_000));
        assert_eq!(clock.tick(20_000_000), 23_600_000);
    }
}
