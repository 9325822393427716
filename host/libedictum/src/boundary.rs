//! No panic goes through the boundary: it would be undefined behaviour on the other side, or the end of the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::answer::{Answer, Outcome, Problem, Status};

/// Does `work`; gives `otherwise` when it panics.
pub(crate) fn enter<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    // What is left behind by a panic is only reached through locks that can be poisoned, or not at all.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// Does `work` and puts what came of it into `answer`; a panic is `INTERNAL`.
pub(crate) unsafe fn answering(answer: *mut Answer, work: impl FnOnce() -> Outcome) -> Status {
    let outcome = enter(Err(Problem::internal("the library panicked")), work);
    // SAFETY: as the caller's.
    unsafe { Answer::new(outcome).put(answer) }
}
