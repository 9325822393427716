//! An operation to its end. Most end at once, on the caller's thread. One that has to wait is waited for, when the caller
//! has no `done`; else it goes on by itself, and `done` is told.

use std::ffi::c_void;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, Waker};

use edictum_host::Host;
use tokio::select;
use tokio::sync::Notify;

use crate::answer::{Answer, Outcome, Problem, Status};
use crate::boundary::enter;

/// Told, once, how an operation ended: on a thread of the library, possibly before the function that started it returns. It
/// must not wait for anything. The answer lives until it returns; a guard in it is the callee's.
pub type Done = Option<unsafe extern "C" fn(user_data: *mut c_void, answer: *const Answer)>;

/// How far an operation is.
pub(crate) enum Progress {
    /// It has ended.
    Ended(Outcome),
    /// What is left is to wait, and can be given up without harm.
    Waiting(Wait),
}

pub(crate) type Wait = Pin<Box<dyn Future<Output = Outcome> + Send>>;

type Steps = Pin<Box<dyn Future<Output = Progress> + Send>>;

/// Whom to tell.
pub(crate) struct Caller {
    pub done: Done,
    pub user_data: *mut c_void,
    pub pending: *mut *mut Pending,
}

/// An operation that is under way. Belongs to the caller, who frees it once, whenever that may be.
pub struct Pending(Arc<Course>);

/// Who is first: the end or the caller.
struct Course {
    state: AtomicU8,
    cancelled: Notify,
}

const UNDER_WAY: u8 = 0;
const TOLD: u8 = 1;
const CANCELLED: u8 = 2;

/// The pointer is the caller's; what it may be used for on other threads is the caller's promise.
struct Telling {
    done: unsafe extern "C" fn(*mut c_void, *const Answer),
    user_data: *mut c_void,
}

// SAFETY: `done` is documented to be called from any thread with this pointer, which is never looked at here.
unsafe impl Send for Telling {}

/// Does `steps`. `unwanted` gets a result that comes after the caller has cancelled.
pub(crate) unsafe fn perform(
    host: &Host,
    steps: impl Future<Output = Progress> + Send + 'static,
    unwanted: impl FnOnce(Outcome) + Send + 'static,
    caller: Caller,
    answer: *mut Answer,
) -> Status {
    // SAFETY: as the caller's.
    let begun = enter(None, || Some(unsafe { begin(host, steps, unwanted, caller, answer) }));
    // SAFETY: as the caller's.
    begun.unwrap_or_else(|| unsafe { Answer::new(Err(panicked())).put(answer) })
}

unsafe fn begin(
    host: &Host,
    steps: impl Future<Output = Progress> + Send + 'static,
    unwanted: impl FnOnce(Outcome) + Send + 'static,
    caller: Caller,
    answer: *mut Answer,
) -> Status {
    let _context = host.runtime().enter();
    let mut steps: Steps = Box::pin(steps);
    let Some(done) = caller.done else {
        let outcome = enter(Err(panicked()), || {
            pollster::block_on(async {
                match steps.await {
                    Progress::Ended(outcome) => outcome,
                    Progress::Waiting(wait) => wait.await,
                }
            })
        });
        // SAFETY: as the caller's.
        return unsafe { Answer::new(outcome).put(answer) };
    };
    // Who waits for it later looks again.
    let first = enter(Poll::Ready(Progress::Ended(Err(panicked()))), || {
        steps.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    });
    let rest = match first {
        // SAFETY: as the caller's.
        Poll::Ready(Progress::Ended(outcome)) => return unsafe { Answer::new(outcome).put(answer) },
        Poll::Ready(Progress::Waiting(wait)) => Rest::Wait(wait),
        Poll::Pending => Rest::Steps(steps),
    };
    let course = Arc::new(Course { state: AtomicU8::new(UNDER_WAY), cancelled: Notify::new() });
    if !caller.pending.is_null() {
        let pending = Box::into_raw(Box::new(Pending(Arc::clone(&course))));
        // SAFETY: not NULL, and the caller promises room for a pointer. Written before `done` can be called.
        unsafe { caller.pending.write(pending) };
    }
    // SAFETY: as the caller's. Written before `done` can be called, too: the caller may free the place there.
    let status = unsafe { Answer::pending().put(answer) };
    let telling = Telling { done, user_data: caller.user_data };
    host.runtime().spawn(async move { course.run(rest, unwanted, telling).await });
    status
}

enum Rest {
    Steps(Steps),
    Wait(Wait),
}

impl Course {
    async fn run(&self, rest: Rest, unwanted: impl FnOnce(Outcome) + Send, telling: Telling) {
        let wait = match rest {
            Rest::Wait(wait) => wait,
            Rest::Steps(mut steps) => match guarded(steps.as_mut(), || Progress::Ended(Err(panicked()))).await {
                Progress::Ended(outcome) => return self.end(outcome, unwanted, &telling),
                Progress::Waiting(wait) => wait,
            },
        };
        let mut wait = wait;
        let outcome = select! {
            outcome = guarded(wait.as_mut(), || Err(panicked())) => outcome,
            () = self.cancelled.notified() => return,
        };
        self.end(outcome, unwanted, &telling);
    }

    fn end(&self, outcome: Outcome, unwanted: impl FnOnce(Outcome), telling: &Telling) {
        if !self.first(TOLD) {
            return unwanted(outcome);
        }
        let mut answer = Answer::new(outcome);
        // SAFETY: the caller's function with the caller's pointer; the answer outlives the call.
        unsafe { (telling.done)(telling.user_data, &raw const answer) };
        answer.free();
    }

    fn first(&self, state: u8) -> bool {
        self.state.compare_exchange(UNDER_WAY, state, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A future whose panic is a result like any other.
async fn guarded<T>(mut future: Pin<&mut (dyn Future<Output = T> + Send)>, otherwise: impl Fn() -> T) -> T {
    poll_fn(|context| enter(None, || Some(future.as_mut().poll(context))).unwrap_or_else(|| Poll::Ready(otherwise())))
        .await
}

fn panicked() -> Problem {
    Problem::internal("the library panicked")
}

/// Whether the operation was still under way: then `done` will not be called. What has begun goes on to its end all the
/// same, unseen; a call that is allowed after all is finished as failed. Who waits for a person stops to wait.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_pending_cancel(pending: *const Pending) -> bool {
    enter(false, || {
        // SAFETY: the caller promises what `pending` of an operation was set to, not yet freed, or NULL.
        let Some(Pending(course)) = (unsafe { pending.as_ref() }) else { return false };
        let cancelled = course.first(CANCELLED);
        if cancelled {
            course.cancelled.notify_one();
        }
        cancelled
    })
}

/// Frees it; the operation goes on. NULL is nothing to do.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_pending_free(pending: *mut Pending) {
    enter((), || {
        if !pending.is_null() {
            // SAFETY: made by `Box::into_raw` in `perform`, and the caller promises to free it once.
            drop(unsafe { Box::from_raw(pending) });
        }
    });
}
