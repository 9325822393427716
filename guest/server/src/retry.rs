//! When a request is made again: a pure function of what went wrong, how often, since when, and random bits
//! (wire.md §2.5). Nothing here waits; a time comes out.

use crate::jitter;

/// The first ceiling of the waiting time; it doubles with each attempt.
pub const BASE_MS: u64 = 500;

/// The last ceiling.
pub const CAP_MS: u64 = 8_000;

/// So often a request is made, the first time included.
pub const MAX_ATTEMPTS: u32 = 3;

/// Whether a request may be made again when it is not known whether it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Doing it twice is doing it once: reads, writes, removals, batches of the decision log.
    Repeatable,
    /// Doing it twice is doing something else: increments, approvals.
    Once,
}

/// What went wrong, as far as it matters for another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It never reached the server.
    NotSent,
    /// The server refused to look at it for now: 429, or 503 with a time. It did nothing.
    Postponed {
        /// Milliseconds, where the server said how many.
        wait: Option<u64>,
    },
    /// It may or may not have been carried out.
    Unknown,
    /// Any further attempt would end the same.
    Final,
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When the first attempt began.
    pub started: u64,
    /// Attempts before this one.
    pub attempt: u32,
}

/// Bounds of all attempts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Attempts, the first one included.
    pub attempts: u32,
    /// Milliseconds from the first attempt to the end of the last one.
    pub total_ms: u64,
}

impl Budget {
    /// Three attempts within twice the time of one.
    #[must_use]
    pub const fn for_timeout(timeout_ms: u64) -> Self {
        Self { attempts: MAX_ATTEMPTS, total_ms: timeout_ms.saturating_mul(2) }
    }

    /// When to try again; none: never.
    #[must_use]
    pub fn next(self, progress: Progress, trouble: Trouble, safety: Safety, now: u64, random: u64) -> Option<u64> {
        if progress.attempt.saturating_add(1) >= self.attempts || !may_repeat(trouble, safety) {
            return None;
        }
        let at = now.saturating_add(wait(progress.attempt, trouble, random));
        (at.saturating_sub(progress.started) < self.total_ms).then_some(at)
    }
}

/// Whether a request may be made again at all.
#[must_use]
pub const fn may_repeat(trouble: Trouble, safety: Safety) -> bool {
    match trouble {
        Trouble::NotSent | Trouble::Postponed { .. } => true,
        Trouble::Unknown => matches!(safety, Safety::Repeatable),
        Trouble::Final => false,
    }
}

/// Milliseconds until the next attempt: anything up to a ceiling that doubles (full jitter), but not before the server's own time.
#[must_use]
pub fn wait(attempt: u32, trouble: Trouble, random: u64) -> u64 {
    let jittered = jitter::below(random, ceiling(BASE_MS, CAP_MS, attempt));
    match trouble {
        Trouble::Postponed { wait: Some(wait) } => wait.max(jittered),
        _ => jittered,
    }
}

/// `base` doubled `times` times, at most `cap`.
#[must_use]
pub const fn ceiling(base: u64, cap: u64, times: u32) -> u64 {
    let factor = if times > 32 { 1 << 32 } else { 1_u64 << times };
    let grown = base.saturating_mul(factor);
    if grown < cap { grown } else { cap }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: Budget = Budget::for_timeout(30_000);
    const START: u64 = 1_000_000;

    fn next(attempt: u32, trouble: Trouble, safety: Safety, random: u64) -> Option<u64> {
        BUDGET.next(Progress { started: START, attempt }, trouble, safety, START, random).map(|at| at - START)
    }

    #[test]
    fn t01_t02_three_attempts_with_growing_full_jitter() {
        for (attempt, most) in [(0, Some(500)), (1, Some(1000)), (2, None), (3, None), (u32::MAX, None)] {
            assert_eq!(next(attempt, Trouble::Unknown, Safety::Repeatable, u64::MAX), most, "attempt {attempt}");
            assert_eq!(next(attempt, Trouble::Unknown, Safety::Repeatable, 0), most.map(|_| 0), "attempt {attempt}");
        }
    }

    #[test]
    fn t05_t06_what_may_have_been_done_is_not_done_again() {
        assert_eq!(next(0, Trouble::Unknown, Safety::Once, 0), None);
        assert_eq!(next(0, Trouble::Final, Safety::Repeatable, 0), None);
    }

    #[test]
    fn t07_what_was_never_sent_is_tried_again_even_when_it_counts() {
        assert_eq!(next(0, Trouble::NotSent, Safety::Once, u64::MAX), Some(500));
        assert_eq!(next(0, Trouble::Postponed { wait: Some(7000) }, Safety::Once, 0), Some(7000));
    }

    #[test]
    fn t03_the_servers_time_is_kept_and_the_total_is_not_exceeded() {
        assert_eq!(next(0, Trouble::Postponed { wait: Some(7000) }, Safety::Repeatable, u64::MAX), Some(7000));
        assert_eq!(next(0, Trouble::Postponed { wait: Some(60_000) }, Safety::Repeatable, 0), None);
        assert_eq!(next(0, Trouble::Postponed { wait: Some(0) }, Safety::Repeatable, u64::MAX), Some(500));
    }

    #[test]
    fn a_clock_that_went_back_ends_nothing() {
        let progress = Progress { started: START, attempt: 0 };
        assert!(BUDGET.next(progress, Trouble::NotSent, Safety::Once, START - 500_000, 1).is_some());
    }

    proptest! {
        #[test]
        fn no_schedule_leaves_its_bounds(
            random: [u64; 8], waits in prop::collection::vec(prop::option::of(0_u64..70_000), 8),
            lasts in prop::collection::vec(0_u64..40_000, 8), timeout in 100_u64..120_000,
        ) {
            let budget = Budget::for_timeout(timeout);
            let (mut now, mut attempts) = (START, 0);
            for ((random, wait), lasted) in random.into_iter().zip(waits).zip(lasts) {
                now += lasted;
                let progress = Progress { started: START, attempt: attempts };
                attempts += 1;
                let Some(at) = budget.next(progress, Trouble::Postponed { wait }, Safety::Once, now, random) else { break };
                prop_assert!(at >= now + wait.unwrap_or(0));
                prop_assert!(at <= now + wait.unwrap_or(0).max(CAP_MS));
                prop_assert!(at - START < 2 * timeout);
                now = at;
            }
            prop_assert!(attempts <= MAX_ATTEMPTS);
        }
    }
}
