//! The time that guards see: the system's, or counted from a moment that a test has set. Everything that the engine or a
//! store is told about time comes from here; deadlines of single steps, callbacks and commands are real time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, watch};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Timestamp = u64;

/// The latest moment a clock can be set to: the year 9999 is over by then.
pub const LATEST: Timestamp = 253_402_300_800_000;

/// A clock of a [`crate::Host`], shared by all its guards.
#[derive(Debug, Default)]
pub struct Clock {
    offset_ms: AtomicI64,
    /// For the timers.
    changed: Notify,
    /// For everybody else.
    moved: watch::Sender<()>,
}

impl Clock {
    /// Now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        system().saturating_add_signed(self.offset_ms.load(Ordering::Relaxed))
    }

    /// From now on it is `now`, and time goes on from there. What is due by then starts at once.
    pub fn set(&self, now: Timestamp) {
        let offset = i64::try_from(now.min(LATEST)).unwrap_or(i64::MAX) - i64::try_from(system()).unwrap_or(i64::MAX);
        self.offset_ms.store(offset, Ordering::Relaxed);
        self.changed.notify_one();
        self.moved.send_replace(());
    }

    /// Waits until `deadline` (none: for ever), or until the clock is set or [`Clock::nudge`] is called. Needs a tokio
    /// context. One waiter only: the timers.
    pub(crate) async fn sleep_until(&self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else { return self.changed.notified().await };
        let wait = Duration::from_millis(deadline.saturating_sub(self.now())).min(LONGEST_SLEEP);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.changed.notified() => {}
        }
    }

    /// Waits until it is `deadline` (none: for ever), however the clock gets there, or until the clock goes back: when the
    /// deadline is then, whoever has set it must say anew. For any number of waiters. Needs a tokio context.
    pub(crate) async fn wait_until(&self, deadline: Option<Timestamp>) {
        let Some(deadline) = deadline else { return std::future::pending().await };
        let mut moved = self.moved.subscribe();
        let (mut began, mut since) = (self.now(), Instant::now());
        loop {
            let now = self.now();
            if now > began {
                (began, since) = (now, Instant::now());
            }
            let steady = began.saturating_add(u64::try_from(since.elapsed().as_millis()).unwrap_or(LATEST));
            let wait = deadline.saturating_sub(now);
            if wait == 0 || steady.saturating_sub(now) > SET_BACK {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait).min(LONGEST_SLEEP)) => {}
                // The sender is ours.
                _ = moved.changed() => {}
            }
        }
    }

    /// Wakes the waiter, so that it looks at its deadlines again.
    pub(crate) fn nudge(&self) {
        self.changed.notify_one();
    }
}

/// A clock that is so many milliseconds behind was set back, and is not only imprecise.
const SET_BACK: Timestamp = 1_000;

/// A system clock that is put right is noticed this late.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

fn system() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_told_when_the_clock_goes_back() {
        let clock = Clock::default();
        let deadline = clock.now() + 3_600_000;
        let (waited, ()) = tokio::join!(
            async {
                clock.wait_until(Some(deadline)).await;
                deadline.saturating_sub(clock.now())
            },
            async { clock.set(clock.now() - 3_600_000) },
        );
        assert!(waited > 7_000_000, "{waited}");
        clock.set(clock.now() + 1_000_000_000);
        clock.wait_until(Some(deadline)).await;
    }

    #[test]
    fn a_set_clock_goes_on_from_there() {
        let clock = Clock::default();
        let hours = clock.now() + 7_200_000;
        clock.set(hours);
        assert!((hours..hours + 5_000).contains(&clock.now()));
        clock.set(1_000);
        assert!((1_000..6_000).contains(&clock.now()), "it can be set back");
        clock.set(u64::MAX);
        assert!(clock.now() >= LATEST && clock.now() < LATEST + 5_000, "it cannot overflow");
    }
}
