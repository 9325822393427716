//! Questions to the program: a JSON text goes out, a JSON text comes back, now or later, from any thread.

use std::ffi::c_void;
use std::sync::Arc;

use edictum_host::callback::Answered;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use crate::boundary::enter;
use crate::text::Text;

/// Asked a question (JSON) on a thread of the library that may wait. The answer is given through `reply`, once, before it
/// returns or later, from any thread. The question lives until it returns.
pub type Question = Option<unsafe extern "C" fn(user_data: *mut c_void, question: Text, reply: *mut Reply)>;

/// Told something (JSON) on a thread that decides about a call: it only puts it somewhere. The text lives until it returns.
pub type Notice = Option<unsafe extern "C" fn(user_data: *mut c_void, notice: Text)>;

/// Frees what `user_data` points to. Called once, from any thread, when it will not be used any more.
pub type Release = Option<unsafe extern "C" fn(user_data: *mut c_void)>;

/// Where an answer is given. Used up by the first answer.
pub struct Reply(oneshot::Sender<Answered<String>>);

/// Answers a question with JSON. What it must be is said where the callback is set; anything else is no answer. It may come
/// too late: then it does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_reply_answer(reply: *mut Reply, answer: Text) {
    enter((), || {
        // SAFETY: the caller promises a text for the time of the call.
        let answer = unsafe { answer.need("answer") }.map(str::to_owned);
        // SAFETY: as the caller's.
        unsafe { give(reply, answer.map_err(|_| "the answer is not UTF-8".to_owned())) };
    });
}

/// Says why there is no answer: for the decision log, never for the agent. The call is blocked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn edictum_reply_fail(reply: *mut Reply, reason: Text) {
    enter((), || {
        // SAFETY: the caller promises a text for the time of the call.
        let reason = unsafe { reason.need("reason") }.map(str::to_owned);
        // SAFETY: as the caller's.
        unsafe { give(reply, Err(reason.unwrap_or_else(|_| "the callback failed".to_owned()))) };
    });
}

unsafe fn give(reply: *mut Reply, answer: Answered<String>) {
    if !reply.is_null() {
        // SAFETY: made by `Box::into_raw` in `ask`, and the caller promises to answer once.
        let Reply(sender) = *unsafe { Box::from_raw(reply) };
        // Nobody may wait for it any more.
        let _ = sender.send(answer);
    }
}

/// A pointer of the program's, and how it goes.
pub(crate) struct UserData {
    pub pointer: *mut c_void,
    pub release: Release,
}

// SAFETY: callbacks are documented to be called from any thread with their pointer, which is never looked at here.
unsafe impl Send for UserData {}
// SAFETY: the same, and at the same time.
unsafe impl Sync for UserData {}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the program's function with the program's pointer, once, after its last use.
            unsafe { release(self.pointer) };
        }
    }
}

/// A function of the program's that answers questions.
#[derive(Clone)]
pub(crate) struct Asking {
    pub function: unsafe extern "C" fn(*mut c_void, Text, *mut Reply),
    pub user_data: Arc<UserData>,
}

impl Asking {
    /// Asks, on a thread where the program may wait.
    pub async fn ask(self, question: String) -> Answered<String> {
        let (sender, receiver) = oneshot::channel();
        spawn_blocking(move || {
            let reply = Box::into_raw(Box::new(Reply(sender)));
            // SAFETY: the program's function with the program's pointer; the question outlives the call, the reply is given
            // away.
            unsafe { (self.function)(self.user_data.pointer, Text::of(&question), reply) };
        });
        receiver.await.unwrap_or_else(|_| Err("the callback gave no answer".to_owned()))
    }
}
