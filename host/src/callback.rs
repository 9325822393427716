//! What a program may answer for itself: operators, selectors, hooks, whether a tool succeeded, whose call it is, and what
//! a person says to an `ask`. A callback runs on the host's own threads, with a deadline; one that fails, panics or takes
//! too long has not answered, and the call is blocked.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub use crate::bindings::decide::{ApprovalOutcome, ApprovalVerdict, HookCall, OperatorCall, Phase, Verdict};

/// What a callback gives: an answer, or why there is none (for the decision log, never for the agent).
pub type Answered<T> = Result<T, String>;

type Pending<T> = Pin<Box<dyn Future<Output = Answered<T>> + Send>>;
type Blocking<A, T> = dyn Fn(A) -> Answered<T> + Send + Sync;
type Async<A, T> = dyn Fn(A) -> Pending<T> + Send + Sync;

/// A function of the program's: ordinary, or async.
pub struct Callback<A, T>(Kind<A, T>);

enum Kind<A, T> {
    Blocking(Arc<Blocking<A, T>>),
    Async(Arc<Async<A, T>>),
}

impl<A: Send + 'static, T: Send + 'static> Callback<A, T> {
    /// An ordinary function. It may block: it has a thread of its own.
    pub fn new(function: impl Fn(A) -> Answered<T> + Send + Sync + 'static) -> Self {
        Self(Kind::Blocking(Arc::new(function)))
    }

    /// An async function. It runs in a tokio runtime.
    pub fn from_async<F>(function: impl Fn(A) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answered<T>> + Send + 'static,
    {
        Self(Kind::Async(Arc::new(move |argument| Box::pin(function(argument)))))
    }

    /// Starts it. It goes on by itself; who drops the handle does not stop it.
    pub(crate) fn start(&self, runtime: &Handle, deadline: Option<Duration>, argument: A) -> JoinHandle<Answered<T>> {
        let answer: Pending<T> = match &self.0 {
            Kind::Async(function) => {
                let function = Arc::clone(function);
                Box::pin(async move { function(argument).await })
            }
            Kind::Blocking(function) => {
                let function = Arc::clone(function);
                let answer = runtime.spawn_blocking(move || function(argument));
                Box::pin(async move { answer.await.unwrap_or_else(|_| Err(PANICKED.to_owned())) })
            }
        };
        runtime.spawn(async move {
            match deadline {
                Some(deadline) => {
                    timeout(deadline, answer).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
                }
                None => answer.await,
            }
        })
    }
}

/// The answer of a callback that was started.
pub(crate) async fn answered<T>(started: JoinHandle<Answered<T>>) -> Answered<T> {
    started.await.unwrap_or_else(|_| Err(PANICKED.to_owned()))
}

const PANICKED: &str = "the callback panicked";

impl<A, T> Clone for Callback<A, T> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::Blocking(function) => Kind::Blocking(Arc::clone(function)),
            Kind::Async(function) => Kind::Async(Arc::clone(function)),
        })
    }
}

impl<A, T> fmt::Debug for Callback<A, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Callback")
    }
}

/// What a custom selector is asked: the map that `prefix` stands for in this call.
#[derive(Clone)]
pub struct SelectorCall {
    /// Its prefix.
    pub prefix: String,
    /// The call as the engine sees it, JSON.
    pub call: String,
}

/// What an approver is asked.
#[derive(Clone)]
pub struct ApprovalRequest {
    /// The call that waits.
    pub call_id: String,
    /// What is to be approved, JSON, redacted: `message`, `timeout`, `timeout_action`, `deadline_ms`, `tool_name`,
    /// `tool_args`, `principal`, `session_id`, …
    pub approval: String,
}

/// An outcome that nobody has given a reason for.
pub(crate) fn nobody_says(verdict: ApprovalVerdict) -> ApprovalOutcome {
    ApprovalOutcome { verdict, approval_id: None, approver: None, reason: None, decided_at: None, decided_via: None }
}

/// Something that went wrong beside decisions: with the server, the store, or the decision log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Stable.
    pub code: String,
    /// For people; redacted.
    pub message: String,
}

/// A function of the program's that is told of something, in the middle of a step: it should be quick. A panic in it
/// changes nothing.
pub struct Observer<T>(Arc<dyn Fn(&T) + Send + Sync>);

impl<T> Observer<T> {
    /// Told with a reference.
    pub fn new(function: impl Fn(&T) + Send + Sync + 'static) -> Self {
        Self(Arc::new(function))
    }

    pub(crate) fn tell(&self, what: &T) {
        told(|| (self.0)(what));
    }
}

/// Tells a function of the program's. A panic in it changes nothing.
pub(crate) fn told(tell: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(tell)).is_err() {
        tracing::error!("a callback that was told of something panicked");
    }
}

impl<T> Clone for Observer<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> fmt::Debug for Observer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Observer")
    }
}

/// Everything that a program answers for one guard.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callbacks {
    pub operators: BTreeMap<String, Callback<OperatorCall, bool>>,
    pub selectors: BTreeMap<String, Callback<SelectorCall, String>>,
    pub hooks: BTreeMap<String, Callback<HookCall, Verdict>>,
    pub success_check: Option<Callback<HookCall, bool>>,
    pub principal_resolver: Option<Callback<String, Option<String>>>,
    pub approver: Option<Callback<ApprovalRequest, ApprovalOutcome>>,
    pub on_error: Option<Observer<Trouble>>,
}
