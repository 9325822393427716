//! The time of a test: the system's, and what the test has let pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

/// Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct TestClock(Arc<AtomicI64>);

impl TestClock {
    /// Milliseconds since 1970.
    ///
    /// # Panics
    /// When the system's time is none.
    #[must_use]
    pub fn now(&self) -> u64 {
        let since = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
        let now = u64::try_from(since.as_millis()).expect("a time that fits");
        now.saturating_add_signed(self.0.load(Ordering::SeqCst))
    }

    /// Moves it, also back.
    pub fn pass(&self, milliseconds: i64) {
        self.0.fetch_add(milliseconds, Ordering::SeqCst);
    }
}
