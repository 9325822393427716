//! One per process: the pool of deciders, the policies in use, the clock, and the threads that callbacks and timers run on.
//! Who decides about calls is a [`crate::Guard`], and there may be any number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Runtime};
use wasmtime::component::ResourceAny;

use crate::bindings::decide::Link;
use crate::bindings::documents::{Diagnostic, Document};
use crate::bindings::signing::SigningError;
use crate::clock::Clock;
use crate::component::ComponentSource;
use crate::connect::Connections;
use crate::decider::{Abnormal, Bounds, Decider};
use crate::error::Error;
use crate::guard::GuardBuilder;
use crate::lanes::Lanes;
use crate::links;
use crate::outbox::Outbox;
use crate::policy::{LinkReader, Links, Policy, PolicyId, Source, unchanged};
use crate::pool::{LONGEST_WAIT, Pool, Seat};
use crate::store::{MemoryStore, Store};
use crate::timers::Timers;
use crate::turns::Turns;

/// Calls with more text than this, in bytes, are decided on a thread of their own: they hold up nobody.
const INLINE: usize = 128 * 1024;

/// Runs the component. Cheap to clone; a process needs one.
#[derive(Clone)]
pub struct Host {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub pool: Arc<Pool>,
    pub clock: Arc<Clock>,
    pub turns: Arc<Turns>,
    pub timers: Arc<Timers>,
    pub callback_deadline: Duration,
    pub connections: Connections,
    /// For guards with a server and no store of their own.
    memory: OnceLock<Arc<dyn Store>>,
    /// For guards with a server and no outbox of their own.
    outbox: Mutex<Option<Outbox>>,
    lanes: Lanes,
    policies: Mutex<HashMap<PolicyId, Vec<Weak<Policy>>>>,
    handle: Handle,
    runtime: Option<Runtime>,
}

/// What a host may use, before it starts.
#[derive(Clone, Debug)]
pub struct HostBuilder {
    component: Option<ComponentSource>,
    guard_component: Option<ComponentSource>,
    deciders: usize,
    callback_deadline: Duration,
    pub(crate) bounds: Bounds,
}

impl Default for HostBuilder {
    fn default() -> Self {
        Self {
            component: None,
            guard_component: None,
            deciders: std::thread::available_parallelism().map_or(1, Into::into),
            callback_deadline: Duration::from_secs(30),
            bounds: Bounds { memory: 256 << 20, step: Duration::from_secs(10), preparation: Duration::from_secs(120) },
        }
    }
}

impl HostBuilder {
    /// Another component than the one of this build.
    #[must_use]
    pub fn component(mut self, component: ComponentSource) -> Self {
        self.component = Some(component);
        self
    }

    /// Another component for [`Host::lanes`] than the one of this build.
    #[must_use]
    pub fn guard_component(mut self, component: ComponentSource) -> Self {
        self.guard_component = Some(component);
        self
    }

    /// How many calls are decided at the same time; default: the number of cores.
    #[must_use]
    pub fn deciders(mut self, deciders: usize) -> Self {
        self.deciders = deciders;
        self
    }

    /// Bytes of memory for each of them; default 256 MiB.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.bounds.memory = bytes;
        self
    }

    /// Time for one step of a call inside the component; default 10 s.
    #[must_use]
    pub fn step_deadline(mut self, deadline: Duration) -> Self {
        self.bounds.step = deadline;
        self
    }

    /// Time for a callback or a look at the file system; default 30 s.
    #[must_use]
    pub fn callback_deadline(mut self, deadline: Duration) -> Self {
        self.callback_deadline = deadline;
        self
    }

    /// Loads the component: from the cache in a fraction of a millisecond, or else compiled in a second or two.
    ///
    /// # Errors
    /// There is no component, or it does not run here.
    pub fn build(self) -> Result<Host, Error> {
        let source = self.component.map_or_else(ComponentSource::find, Ok)?;
        let clock = Arc::new(Clock::default());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("edictum-host")
            .enable_all()
            .build()
            .map_err(|error| Error::Component(format!("no threads can be started: {error}")))?;
        let pool = Arc::new(Pool::new(&source, self.bounds, self.deciders)?);
        let handle = runtime.handle().clone();
        let inner = Inner {
            lanes: Lanes::new(pool.engine().clone(), self.guard_component, self.bounds, handle),
            pool,
            turns: Arc::default(),
            timers: Arc::new(Timers::new(Arc::clone(&clock), runtime.handle().clone())),
            clock,
            callback_deadline: self.callback_deadline,
            connections: Connections::default(),
            memory: OnceLock::new(),
            outbox: Mutex::default(),
            policies: Mutex::default(),
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        };
        Ok(Host { inner: Arc::new(inner) })
    }
}

impl Host {
    /// With the defaults.
    ///
    /// # Errors
    /// See [`HostBuilder::build`].
    pub fn new() -> Result<Self, Error> {
        Self::builder().build()
    }

    /// To choose otherwise.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// A guard that is to be made. Its name is what open calls in a store belong to: a guard of the same name goes on with
    /// them.
    pub fn guard(&self, name: impl Into<String>) -> GuardBuilder {
        GuardBuilder::new(self.clone(), name.into())
    }

    /// The clock of all its guards.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// All findings about documents; empty when they load. `options`: an options document.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn check(
        &self,
        rulesets: Vec<Document>,
        workflow: Option<Document>,
        options: &str,
    ) -> Result<Vec<Diagnostic>, Error> {
        let source = Source { rulesets, workflow, options: options.to_owned() };
        self.ask(move |decider| decider.check(&source)).await
    }

    /// What documents say: rules, tools, limits, `needs`, and the names of the variables that `env` has to hold (JSON).
    ///
    /// # Errors
    /// The documents do not load, or the engine failed.
    pub async fn describe(
        &self,
        rulesets: Vec<Document>,
        workflow: Option<Document>,
        options: &str,
    ) -> Result<String, Error> {
        let source = Source { rulesets, workflow, options: options.to_owned() };
        self.ask(move |decider| decider.describe(&source)).await?.map_err(Error::Refused)
    }

    /// Which of these keys (64 hex digits each) signed this text. `signature`: base64 or hex.
    ///
    /// # Errors
    /// [`Error::Unauthorized`]: none of them did; [`Error::Argument`]: signature or keys are none.
    pub async fn verify(&self, text: &str, signature: &str, keys: &[String]) -> Result<String, Error> {
        let (text, signature, keys) = (text.to_owned(), signature.to_owned(), keys.to_vec());
        let verified = self.ask(move |decider| decider.verify(&text, &signature, &keys)).await?;
        verified.map_err(|error| match error {
            SigningError::Mismatch => Error::Unauthorized("no trusted key made this signature of this text".to_owned()),
            SigningError::MissingSignature | SigningError::MalformedSignature => {
                Error::Argument("the signature is not 64 bytes of base64 or hex".to_owned())
            }
            SigningError::MalformedKey | SigningError::NoTrustedKey => {
                Error::Argument("a public key is not an Ed25519 key of 64 hex digits".to_owned())
            }
        })
    }

    /// The rulesets that come with the engine.
    ///
    /// # Errors
    /// The engine failed.
    pub async fn templates(&self) -> Result<Vec<Document>, Error> {
        self.ask(Decider::templates).await
    }

    /// edictum-api: what its parts have in common. Costs nothing until one of them is opened.
    #[must_use]
    pub fn lanes(&self) -> &Lanes {
        &self.inner.lanes
    }

    /// Waits for a future on this thread, in or out of any runtime.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        pollster::block_on(future)
    }

    /// A store in memory that guards of this host share: where they are many, one each costs.
    pub(crate) fn memory(&self) -> Arc<dyn Store> {
        Arc::clone(self.inner.memory.get_or_init(|| Arc::new(MemoryStore::new())))
    }

    /// An outbox in memory, of the whole host.
    pub(crate) fn outbox(&self) -> Result<Outbox, Error> {
        let mut outbox = self.inner.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        match &*outbox {
            Some(outbox) => Ok(outbox.clone()),
            None => {
                let made = Outbox::in_memory().map_err(|error| Error::Component(error.to_string()))?;
                Ok(outbox.insert(made).clone())
            }
        }
    }

    /// The threads that callbacks and timers run on.
    #[must_use]
    pub fn runtime(&self) -> &Handle {
        &self.inner.handle
    }

    /// The policy that these texts make. Guards with the same texts get the same one, as long as the file system still says
    /// the same about its boundaries.
    pub(crate) async fn policy(&self, source: Source) -> Result<Arc<Policy>, Error> {
        let key = source.key();
        let reader = self.link_reader();
        let known = self.inner.known(&key);
        let seat = self.seat().await.map_err(abnormal)?;
        let work = move || -> Result<Result<Arc<Policy>, Error>, Abnormal> {
            if let Some(policy) = known.into_iter().find(|policy| unchanged(&policy.links, &reader)) {
                return Ok(Ok(policy));
            }
            let decider = seat.take(None);
            seat.work(decider, |decider| prepare(decider, source, &reader))
        };
        let policy =
            self.runtime().spawn_blocking(work).await.unwrap_or_else(|_| Err(panicked())).map_err(abnormal)??;
        self.inner.remember(key, &policy);
        Ok(policy)
    }

    /// One thing in a decider that holds this policy. `weight`: bytes of text it has to read.
    pub(crate) async fn decide<T: Send + 'static>(
        &self,
        policy: &Arc<Policy>,
        weight: usize,
        work: impl FnOnce(&mut Decider, ResourceAny) -> Result<T, Abnormal> + Send + 'static,
    ) -> Result<T, Abnormal> {
        let seat = self.seat().await?;
        let decider = seat.take(Some(policy));
        if weight <= INLINE && decider.as_ref().is_some_and(|decider| decider.holds(policy)) {
            return seat.decide(decider, policy, work);
        }
        let policy = Arc::clone(policy);
        let work = self.runtime().spawn_blocking(move || seat.decide(decider, &policy, work));
        work.await.unwrap_or_else(|_| Err(panicked()))
    }

    /// Compiles a policy in every decider that has nothing to do, one after the other, before it is needed.
    pub(crate) async fn prepare_everywhere(&self, policy: &Arc<Policy>) {
        for _ in 0..self.inner.pool.size() {
            let Ok(seat) = self.seat().await else { return };
            let Some(decider) = seat.take_without(policy) else { return };
            let policy = Arc::clone(policy);
            let work = self.runtime().spawn_blocking(move || seat.decide(Some(decider), &policy, |_, _| Ok(())));
            if !matches!(work.await, Ok(Ok(()))) {
                tracing::warn!("a decider could not compile a new policy; the next call makes another one");
            }
        }
    }

    /// One thing in any decider.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Decider) -> Result<T, Abnormal> + Send + 'static,
    ) -> Result<T, Error> {
        let seat = self.seat().await.map_err(abnormal)?;
        let decider = seat.take(None);
        let work = self.runtime().spawn_blocking(move || seat.work(decider, work));
        work.await.unwrap_or_else(|_| Err(panicked())).map_err(abnormal)
    }

    async fn seat(&self) -> Result<Seat, Abnormal> {
        if let Some(seat) = self.inner.pool.try_seat() {
            return Ok(seat);
        }
        let seat = self.within(LONGEST_WAIT, self.inner.pool.seat()).await;
        seat.unwrap_or_else(|| Err(Abnormal::host("every decider is busy")))
    }

    /// None: it took longer. Works without a runtime of the caller's.
    pub(crate) async fn within<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        let timeout = {
            let _context = self.runtime().enter();
            tokio::time::timeout(time, future)
        };
        timeout.await.ok()
    }

    /// Reads links on another thread, so that a file system that hangs does not hang a decider.
    fn link_reader(&self) -> impl Fn(Vec<String>) -> Result<Vec<Link>, String> + Send + use<> {
        let (runtime, deadline) = (self.runtime().clone(), self.inner.callback_deadline);
        move |paths| {
            let (sender, receiver) = std::sync::mpsc::channel();
            drop(runtime.spawn_blocking(move || sender.send(links::read(&paths))));
            receiver.recv_timeout(deadline).map_err(|_| "the file system does not answer".to_owned())
        }
    }
}

fn prepare(
    decider: &mut Decider,
    source: Source,
    reader: &LinkReader<'_>,
) -> Result<Result<Arc<Policy>, Error>, Abnormal> {
    let mut links = Links::read(reader);
    let prepared = match decider.prepare(&source, &mut links)? {
        Ok(prepared) => prepared,
        Err(failure) => return Ok(Err(Error::Refused(failure))),
    };
    let policy = Arc::new(Policy::new(source, links.into_seen(), &prepared)?);
    decider.hold(&policy, prepared.resource);
    Ok(Ok(policy))
}

fn abnormal(abnormal: Abnormal) -> Error {
    Error::Abnormal(format!("{}: {}", abnormal.fault_name(), abnormal.reason))
}

fn panicked() -> Abnormal {
    Abnormal::host("a thread of the host panicked")
}

impl Inner {
    fn known(&self, key: &PolicyId) -> Vec<Arc<Policy>> {
        self.policies().get(key).into_iter().flatten().filter_map(Weak::upgrade).collect()
    }

    /// Another guard may have made the same policy meanwhile: then both are kept, and die with their guards.
    fn remember(&self, key: PolicyId, policy: &Arc<Policy>) {
        let mut policies = self.policies();
        policies.retain(|_, of_texts| of_texts.iter().any(|known| known.strong_count() > 0));
        let of_texts = policies.entry(key).or_default();
        of_texts.retain(|known| known.strong_count() > 0);
        if !of_texts.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(policy))) {
            of_texts.push(Arc::downgrade(policy));
        }
    }

    fn policies(&self) -> MutexGuard<'_, HashMap<PolicyId, Vec<Weak<Policy>>>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A runtime may not be dropped where it would wait for its threads; they end by themselves.
impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: box}
defaults: {mode: enforce}
rules:
  - {id: inside, type: sandbox, tool: read, within: [BOUNDARY], message: outside}
";

    fn policy(host: &Host, rules: &str) -> Arc<Policy> {
        let rulesets = vec![Document { name: "r".to_owned(), text: rules.to_owned() }];
        pollster::block_on(host.policy(Source { rulesets, workflow: None, options: "{}".to_owned() })).unwrap()
    }

    #[test]
    fn guards_with_the_same_rules_share_one_policy_and_the_last_one_takes_it_along() {
        let host = Host::new().unwrap();
        let rules = RULES.replace("BOUNDARY", "/");
        let (one, two) = (policy(&host, &rules), policy(&host, &rules));
        assert!(Arc::ptr_eq(&one, &two));
        assert!(!Arc::ptr_eq(&one, &policy(&host, &RULES.replace("BOUNDARY", "/tmp"))));
        drop((one, two));
        let third = policy(&host, &rules);
        assert_eq!(Arc::strong_count(&third), 1);
        assert_eq!(host.inner.policies().len(), 1, "what nobody uses is forgotten");
    }

    #[cfg(unix)]
    #[test]
    fn a_boundary_that_moved_makes_another_policy_and_leaves_the_old_one_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let (inside, elsewhere, link) = (root.join("inside"), root.join("elsewhere"), root.join("link"));
        for folder in [&inside, &elsewhere] {
            std::fs::create_dir(folder).unwrap();
        }
        std::os::unix::fs::symlink(&inside, &link).unwrap();
        let rules = RULES.replace("BOUNDARY", link.to_str().unwrap());
        let host = Host::builder().deciders(1).build().unwrap();
        let old = policy(&host, &rules);
        assert!(Arc::ptr_eq(&old, &policy(&host, &rules)));

        std::fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
        let new = policy(&host, &rules);
        assert!(!Arc::ptr_eq(&old, &new));
        let decision = |policy: &Arc<Policy>, path: &std::path::Path| {
            let call = format!(r#"{{"tool":"read","args":{{"path":"{}"}}}}"#, path.display());
            pollster::block_on(host.decide(policy, 0, move |decider, policy| {
                let mut step = decider.evaluate(policy, &call, None)?;
                loop {
                    match step {
                        crate::bindings::decide::EvaluateStep::Done(result) => {
                            return Ok(result.contains(r#""decision":"allow""#));
                        }
                        crate::bindings::decide::EvaluateStep::AskHost(inquiry) => {
                            let answers = inquiry.questions.iter().map(|question| match question {
                                crate::bindings::decide::Question::ReadLinks(paths) => {
                                    crate::bindings::decide::Answer::ReadLinks(links::read(paths))
                                }
                                other => panic!("{other:?}"),
                            });
                            let answers: Vec<_> = answers.collect();
                            step = decider.resume_evaluate(policy, &call, None, &inquiry.ticket, &answers)?;
                        }
                    }
                }
            }))
            .unwrap()
        };
        for _ in 0..2 {
            assert!(decision(&old, &inside) && !decision(&old, &elsewhere));
            assert!(decision(&new, &elsewhere) && !decision(&new, &inside));
            // The next round compiles both again, in a new decider: from the answers of then.
            drop(host.inner.pool.try_seat().unwrap().take(None));
        }
    }
}
