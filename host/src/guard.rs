//! A guard: an identity, a policy, a store and somebody to answer for it. It asks the engine about calls, keeps them while
//! they are open, and closes what nobody came back for.
//!
//! | file | what |
//! |---|---|
//! | [`builder`] | how one is made, and its rulesets exchanged |
//! | [`step`] | the loop: step, answer what is asked, step again |
//! | [`begin`] | before a tool runs: `begin`, and `settle` after an `ask` |
//! | [`finish`] | after it ran |
//! | [`due`] | deadlines of open calls |
//! | [`run`] | all of that around one function |

mod begin;
mod builder;
mod due;
mod finish;
mod run;
mod step;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::builder::{GuardBuilder, HookPlace, Ruleset};
pub(crate) use self::builder::{Recipe, after, load};
pub use self::run::Ran;
use self::step::{Next, Scene};
use crate::bindings::decide;
use crate::call::{CallRequest, Member, splice};
use crate::callback::{Callbacks, told};
use crate::clock::Timestamp;
use crate::connect::Connected;
use crate::decision::Decision;
use crate::error::Error;
use crate::events::EventSink;
use crate::host::Host;
use crate::plugin::Delivery;
use crate::policy::{Policy, PolicyCell};
use crate::store::{OpenCall, Store, StoreError};

/// Longer than a store waits for other processes.
const STORE_DEADLINE: Duration = Duration::from_secs(30);

/// How long a step waits for its events to be kept.
const KEEP_DEADLINE: Duration = Duration::from_secs(30);

/// How long a guard that is closed may take to get its decision log out.
const LAST_FLUSH: Duration = Duration::from_secs(5);

/// Longest id of a call, in bytes.
pub const MAX_CALL_ID: usize = 1024;

/// Judges tool calls. Cheap to clone; all clones are the same guard.
#[derive(Clone)]
pub struct Guard {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    host: Host,
    name: Arc<str>,
    agent_id: Option<String>,
    /// JSON.
    principal: RwLock<Option<Arc<str>>>,
    session_id: String,
    store: Arc<dyn Store>,
    callbacks: Callbacks,
    sink: Option<Arc<dyn EventSink>>,
    /// Ways of the decision log that end with the guard.
    deliveries: Vec<Arc<Delivery>>,
    listener: Option<Arc<Listener>>,
    recipe: Recipe,
    policy: Arc<PolicyCell>,
    /// What a server does for it.
    connected: Option<Connected>,
    closed: AtomicBool,
    /// People have been told of the engine's notices.
    noticed: AtomicBool,
    /// Copies of open calls, for when the store is lost after the tool has run.
    copies: Mutex<HashMap<Arc<str>, Copy>>,
    /// Who waits for a person's answer, by call.
    waiters: Mutex<HashMap<String, Vec<oneshot::Sender<Decision>>>>,
    due: due::Due,
}

/// Is told of a call's text and of each decision about it.
pub type Listener = dyn Fn(&str, &Decision) + Send + Sync;

/// See [`Shared::copies`].
struct Copy {
    open: OpenCall,
    /// It never was in the store: the store failed, and the guard only observes.
    stranded: bool,
}

impl Guard {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The session of calls that name none.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.shared.session_id
    }

    /// The revision of the rules in force: SHA-256, hex, as in the decision log.
    #[must_use]
    pub fn policy_version(&self) -> String {
        self.shared.policy().revision.clone()
    }

    /// Name, mode, rules, composition report and options of the rules in force (JSON).
    #[must_use]
    pub fn summary(&self) -> String {
        self.shared.policy().summary.clone()
    }

    /// Whose calls they are when neither the call nor a resolver says so (JSON, or nobody). For later calls.
    ///
    /// # Errors
    /// It is not a JSON object.
    pub fn set_principal(&self, principal: Option<&str>) -> Result<(), Error> {
        let principal = principal.map(builder::checked_principal).transpose()?;
        *self.shared.principal.write().unwrap_or_else(PoisonError::into_inner) = principal;
        Ok(())
    }

    /// What would happen to a call (and to its output): a dry run that counts nothing. Gives the result as JSON.
    ///
    /// # Errors
    /// The call is not a JSON object, or the guard is closed.
    pub async fn evaluate(&self, call: &str, output: Option<&str>) -> Result<String, Error> {
        let shared = &self.shared;
        shared.check_open()?;
        let call = Arc::new(shared.call_text(CallRequest::new(call), None, None)?);
        let output = output.map(|output| Arc::new(output.to_owned()));
        let policy = shared.policy();
        let weight = call.len() + output.as_ref().map_or(0, |output| output.len());
        let scene = Scene { policy: &policy, session: "", call: Some(&call), weight };
        let first = {
            let (call, output) = (Arc::clone(&call), output.clone());
            move |decider: &mut crate::decider::Decider, policy| {
                decider.evaluate(policy, &call, output.as_deref()).map(Next::from)
            }
        };
        let resume = {
            let call = Arc::clone(&call);
            move |decider: &mut crate::decider::Decider, policy, ticket: &String, answers: &[decide::Answer]| {
                decider.resume_evaluate(policy, &call, output.as_deref(), ticket, answers).map(Next::from)
            }
        };
        Ok(shared.drive(scene, None, first, resume).await.unwrap_or_else(|_| FAILED_EVALUATION.to_owned()))
    }

    /// Reads or changes the counters of a session, or its workflow: `{"do": "counters", "set"?: {…}}`, … (JSON, as in the
    /// driver protocol). Gives the state after it.
    ///
    /// # Errors
    /// The engine refuses the command, or the store failed.
    pub async fn operate(&self, session_id: &str, command: &str) -> Result<String, Error> {
        let shared = &self.shared;
        shared.check_open()?;
        let id = uuid::Uuid::new_v4().to_string();
        let command = splice(command, &[("id", Some(Member::Text(&id)))])?;
        let policy = shared.policy();
        let _turn = shared.turn(session_id).await;
        let now = shared.now();
        let scene = Scene { policy: &policy, session: session_id, call: None, weight: command.len() };
        let session = session_id.to_owned();
        let first = move |decider: &mut crate::decider::Decider, policy| {
            decider.operate(policy, &session, &command, now).map(Next::from)
        };
        let resume =
            move |decider: &mut crate::decider::Decider, policy, ticket: &String, answers: &[decide::Answer]| {
                decider.resume_operate(policy, ticket, answers, now).map(Next::from)
            };
        let operated = shared.drive(scene, None, first, resume).await;
        let operated = operated
            .map_err(|failed| Error::Abnormal(failed.abnormal.fault_name().to_owned()))?
            .map_err(Error::Refused)?;
        shared.emit_or_log(&policy, &operated.events).await;
        Ok(operated.state)
    }

    /// Open calls, those that end first at the front.
    ///
    /// # Errors
    /// The store failed.
    pub async fn open_calls(&self, limit: usize) -> Result<Vec<OpenCall>, Error> {
        let name = Arc::clone(&self.shared.name);
        Ok(self.shared.in_store(move |store| store.list(Some(&name), limit)).await?)
    }

    /// Does what is due now, instead of when its timer gets to it.
    pub async fn run_due(&self) {
        self.shared.run_due().await;
    }

    /// Ends the guard. Open calls stay in the store; who waits for a person is told that the guard is closed. A decision log
    /// that goes to a server has a few seconds to get there; gives the number of events that are left in the outbox.
    pub async fn close(&self) -> u64 {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.waiters().clear();
        self.shared.host.inner.pool.tidy();
        for delivery in &self.shared.deliveries {
            delivery.close(&self.shared.host).await;
        }
        self.flush(LAST_FLUSH).await
    }

    /// The same calls for code that is not async.
    #[must_use]
    pub fn blocking(&self) -> crate::blocking::Blocking<'_> {
        crate::blocking::Blocking::new(self)
    }

    /// The host it runs in.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.shared.host
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guard").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

/// What a dry run answers when its instance failed.
const FAILED_EVALUATION: &str = concat!(
    r#"{"decision":"block","rules":[],"block_reasons":["The call could not be judged and was blocked."],"#,
    r#""warn_reasons":[],"rules_evaluated":0,"policy_error":true}"#
);

impl Shared {
    fn check_open(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) { Err(Error::Closed) } else { Ok(()) }
    }

    pub(crate) fn connected(&self) -> Option<&Connected> {
        self.connected.as_ref()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where its sessions are, as a number: guards with the same sessions take turns.
    fn sessions_address(&self) -> usize {
        match self.connected.as_ref().and_then(|connected| connected.sessions.as_ref()) {
            Some(sessions) => Arc::as_ptr(sessions).addr(),
            None => Arc::as_ptr(&self.store).addr(),
        }
    }

    fn policy(&self) -> Arc<Policy> {
        self.policy.get()
    }

    /// Tells people, once, what the engine wants them to know; see `notices` in `wit/schemas/decision.schema.json`.
    fn notice(&self, detail: &str) {
        #[derive(serde::Deserialize)]
        struct Notices {
            notices: Vec<Notice>,
        }
        #[derive(serde::Deserialize)]
        struct Notice {
            code: String,
            message: String,
        }
        if !detail.contains(r#""notices":["#) || self.noticed.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(Notices { notices }) = serde_json::from_str(detail)
            && !self.noticed.swap(true, Ordering::Relaxed)
        {
            for Notice { code, message } in notices {
                tracing::warn!(guard = %self.name, code, "{message}");
            }
        }
    }

    /// Tells the program of a decision, also of one that a deadline has made.
    fn tell(&self, call: &str, decision: &Decision) {
        if let Some(listener) = &self.listener {
            told(|| listener(call, decision));
        }
    }

    fn now(&self) -> Timestamp {
        self.host.clock().now()
    }

    async fn turn(&self, session: &str) -> crate::turns::Turn {
        self.host.inner.turns.take(self.sessions_address(), session).await
    }

    /// The text that the engine gets.
    fn call_text(
        &self,
        request: CallRequest<'_>,
        session_id: Option<&str>,
        call_id: Option<&str>,
    ) -> Result<String, Error> {
        let principal = self.principal.read().unwrap_or_else(PoisonError::into_inner).clone();
        splice(
            request.call,
            &[
                ("session_id", session_id.map(Member::Text)),
                ("call_id", call_id.map(Member::Text)),
                ("parent_session_id", request.parent_session_id.map(Member::Text)),
                ("agent_id", self.agent_id.as_deref().map(Member::Text)),
                ("static_principal", principal.as_deref().map(Member::Json)),
            ],
        )
    }

    /// One thing in the store, on a thread where it may block.
    async fn in_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.store.blocks() {
            return work(self.store.as_ref());
        }
        let store = Arc::clone(&self.store);
        let work = self.host.runtime().spawn_blocking(move || work(store.as_ref()));
        match self.host.within(STORE_DEADLINE, work).await {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::new("a thread of the store panicked")),
            None => Err(StoreError::new("no answer in time")),
        }
    }

    /// Hands events to the sink. With the option `durable` they are kept when this is done, and no thread waits for it.
    async fn emit(&self, policy: &Policy, events: &[String]) -> Result<(), String> {
        let Some(sink) = self.sink.as_ref().filter(|_| !events.is_empty()) else { return Ok(()) };
        if !policy.settings.durable() {
            return sink.emit(events);
        }
        let kept = self.host.within(KEEP_DEADLINE, sink.keep(events)).await;
        kept.unwrap_or_else(|| Err("no answer in time".to_owned()))
    }

    /// The same where it is too late to block anything.
    async fn emit_or_log(&self, policy: &Policy, events: &[String]) {
        if let Err(reason) = self.emit(policy, events).await {
            tracing::error!(guard = %self.name, reason, events = events.len(), "events cannot be kept");
        }
    }

    fn copies(&self) -> MutexGuard<'_, HashMap<Arc<str>, Copy>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<String, Vec<oneshot::Sender<Decision>>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
