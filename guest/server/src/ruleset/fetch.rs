//! When a ruleset is fetched: because somebody hinted at a change, on the safety poll, or again after a failure. One fetch
//! at a time, and hints that come too fast become one.
//!
//! Times are steady ones.

use crate::jitter::Jitter;
use crate::retry::{Trouble, ceiling};

/// Shortest time between two fetches that hints cause.
pub(super) const LEAST_GAP_MS: u64 = 1_000;

/// The safety poll.
pub(super) const POLL_MS: (u64, u64) = (240_000, 300_000);

/// Longest wait after a failure that may pass.
pub(super) const MAX_WAIT_MS: u64 = 60_000;

/// Wait after a failure that somebody must mend.
pub(super) const SLOW_WAIT_MS: (u64, u64) = (60_000, 300_000);

#[derive(Debug, Default)]
pub(super) struct Fetch {
    due: Option<u64>,
    begun: Option<u64>,
    /// When the first of the failures in a row began.
    started: u64,
    failures: u32,
    in_flight: bool,
    /// A hint came while one was on its way: its answer may be older than the hint.
    again: bool,
}

impl Fetch {
    /// There is a reason to fetch soon.
    pub(super) fn want(&mut self, now: u64) {
        if self.in_flight {
            self.again = true;
            return;
        }
        let at = self.begun.map_or(now, |begun| now.max(begun.saturating_add(LEAST_GAP_MS)));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Fetch now, whatever was before: something else is fetched from now on.
    pub(super) fn restart(&mut self, now: u64) {
        self.again |= self.in_flight;
        self.failures = 0;
        self.due = Some(now);
    }

    /// Whether to begin.
    pub(super) fn begin(&mut self, now: u64) -> bool {
        if self.in_flight || self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.in_flight = true;
        self.due = None;
        self.begun = Some(now);
        if self.failures == 0 {
            self.started = now;
        }
        true
    }

    pub(super) fn in_flight(&self) -> bool {
        self.in_flight
    }

    pub(super) fn due(&self) -> Option<u64> {
        self.due.filter(|_| !self.in_flight)
    }

    /// Failures in a row, and when the first of them began.
    pub(super) fn failures(&self) -> (u32, u64) {
        (self.failures, self.started)
    }

    /// Nothing is fetched any more.
    pub(super) fn stop(&mut self) {
        *self = Self { begun: self.begun, ..Self::default() };
    }

    /// One has come to its end, well; the next at this time, unless there is a reason before.
    pub(super) fn succeeded(&mut self, now: u64, next: Option<u64>) {
        self.failures = 0;
        self.end(now, next);
    }

    /// One has failed; the next at this time.
    pub(super) fn failed(&mut self, now: u64, next: Option<u64>) {
        self.failures = self.failures.saturating_add(1);
        self.end(now, next);
    }

    fn end(&mut self, now: u64, next: Option<u64>) {
        self.in_flight = false;
        self.due = next;
        if std::mem::take(&mut self.again) {
            self.want(now);
        }
    }

    /// When to try again after this failure.
    pub(super) fn after_failure(&self, trouble: Trouble, now: u64, jitter: &mut Jitter) -> u64 {
        let wait = match trouble {
            Trouble::Final => jitter.between(SLOW_WAIT_MS.0, SLOW_WAIT_MS.1),
            Trouble::Postponed { wait: Some(wait) } => wait + jitter.between(0, LEAST_GAP_MS),
            _ => jitter.between(LEAST_GAP_MS, ceiling(2 * LEAST_GAP_MS, MAX_WAIT_MS, self.failures)),
        };
        now.saturating_add(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_that_come_too_fast_become_one() {
        let mut fetch = Fetch::default();
        fetch.want(1000);
        fetch.want(1001);
        assert!(fetch.begin(1000) && !fetch.begin(1000));
        for now in 1001..1100 {
            fetch.want(now);
        }
        fetch.succeeded(1100, Some(301_000));
        assert_eq!(fetch.due(), Some(2000));
        assert!(!fetch.begin(1999) && fetch.begin(2000));
        fetch.succeeded(2001, Some(302_000));
        assert_eq!(fetch.due(), Some(302_000));
    }

    #[test]
    fn waits_grow_and_end() {
        let (mut fetch, mut jitter) = (Fetch::default(), Jitter::from_seed(1));
        let mut longest = 0;
        for _ in 0..40 {
            fetch.restart(0);
            fetch.failures = 40;
            let at = fetch.after_failure(Trouble::Unknown, 0, &mut jitter);
            assert!((LEAST_GAP_MS..=MAX_WAIT_MS).contains(&at));
            longest = longest.max(at);
        }
        assert!(longest > MAX_WAIT_MS / 2);
        fetch.failures = 0;
        assert!(fetch.after_failure(Trouble::NotSent, 0, &mut jitter) <= 2000);
        assert!(fetch.after_failure(Trouble::Final, 0, &mut jitter) >= SLOW_WAIT_MS.0);
        assert!((7000..=8000).contains(&fetch.after_failure(Trouble::Postponed { wait: Some(7000) }, 0, &mut jitter)));
    }
}
