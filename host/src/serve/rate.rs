//! How often which endpoints may be called: buckets that fill up steadily. What is in them is forgotten at a restart.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::problem::Problem;
use super::settings::{Rate, RateSettings};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Requests with events.
    Events,
    /// New approvals.
    Approvals,
    /// Session operations.
    Sessions,
    /// Ruleset fetches.
    Rulesets,
}

/// What sums of fractions are off by: nobody waits a second for it.
const ROUNDING: f64 = 1e-6;

/// All buckets.
pub struct Rates {
    settings: RateSettings,
    buckets: Mutex<HashMap<(Class, String), Bucket>>,
}

struct Bucket {
    tokens: f64,
    since: Instant,
}

impl Rates {
    /// All full.
    pub fn new(settings: &RateSettings) -> Self {
        Self { settings: settings.clone(), buckets: Mutex::default() }
    }

    /// Takes one from the bucket of `who`.
    pub fn take(&self, class: Class, who: &str) -> Result<(), Problem> {
        self.take_at(class, who, Instant::now()).map_err(Problem::too_often)
    }

    fn take_at(&self, class: Class, who: &str, now: Instant) -> Result<(), u64> {
        let Some(rate) = self.rate(class) else { return Ok(()) };
        let full = f64::from(rate.count);
        let per_second = full / f64::from(rate.seconds.max(1));
        let mut buckets = self.buckets();
        let bucket = buckets.entry((class, who.to_owned())).or_insert(Bucket { tokens: full, since: now });
        bucket.fill(full, per_second, now);
        if bucket.tokens < 1.0 - ROUNDING {
            let wait = ((1.0 - bucket.tokens) / per_second.max(f64::MIN_POSITIVE) - ROUNDING).ceil();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
            return Err(wait.clamp(1.0, 86_400.0) as u64);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// Full buckets need not be kept.
    pub fn forget_idle(&self) {
        let now = Instant::now();
        self.buckets().retain(|(class, _), bucket| {
            let idle = |rate: Rate| now.duration_since(bucket.since).as_secs() > u64::from(rate.seconds);
            !self.rate(*class).is_none_or(idle)
        });
    }

    fn rate(&self, class: Class) -> Option<Rate> {
        match class {
            Class::Events => self.settings.events,
            Class::Approvals => self.settings.approvals,
            Class::Sessions => self.settings.sessions,
            Class::Rulesets => self.settings.rulesets,
        }
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<(Class, String), Bucket>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    fn fill(&mut self, full: f64, per_second: f64, now: Instant) {
        let gained = now.duration_since(self.since).as_secs_f64() * per_second;
        self.tokens = (self.tokens + gained).min(full);
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_calls_too_often_is_told_when_to_come_back() {
        let settings = RateSettings { approvals: Some(Rate { count: 10, seconds: 60 }), ..RateSettings::default() };
        let rates = Rates::new(&settings);
        let start = Instant::now();
        let take = |who: &str, seconds: u64| rates.take_at(Class::Approvals, who, start + Duration::from_secs(seconds));
        for _ in 0..10 {
            assert_eq!(take("a", 0), Ok(()));
        }
        assert_eq!(take("a", 0), Err(6));
        assert_eq!(take("a", 2), Err(4));
        assert_eq!(take("b", 2), Ok(()), "another one's bucket");
        assert_eq!(take("a", 6), Ok(()));
        assert_eq!(take("a", 6), Err(6));
        for _ in 0..100_000 {
            assert_eq!(rates.take_at(Class::Sessions, "a", start), Ok(()), "no limit");
        }
    }
}
