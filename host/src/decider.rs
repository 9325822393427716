//! One instance of the component: its memory, its deadline, the policies it holds, and what is left of it when a call goes
//! wrong. An instance does one call at a time, and after any abnormal end it is never used again. Who shares instances
//! out is [`crate::pool`].

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use wasmtime::component::ResourceAny;
use wasmtime::{Engine, ResourceLimiter, Store, Trap};

use crate::bindings::decide::{
    Answer, ApprovalOutcome, BeginStep, Conclusion, Decision, EvaluateStep, Fault, FinishStep, OperateStep, Progress,
    ToolOutcome,
};
use crate::bindings::documents::{Diagnostic, Document};
use crate::bindings::signing::SigningError;
use crate::bindings::types::Failure;
use crate::bindings::{self, DeciderPre};
use crate::clock::Timestamp;
use crate::policy::{Links, Policy, PolicyId, Prepared, Source};

/// How often instances look whether their time is over.
pub(crate) const TICK: Duration = Duration::from_millis(20);

/// Rules that are compiled between two looks at the clock.
const SLICE: u32 = 512;

/// Above this, in bytes, an instance that has grown over what its policies need is replaced after the call.
const GROWN: usize = 32 << 20;

/// What instances may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of memory.
    pub memory: usize,
    /// Time of one step.
    pub step: Duration,
    /// Time to compile a policy.
    pub preparation: Duration,
}

/// An abnormal end. The instance is gone.
#[derive(Clone, Debug)]
pub(crate) struct Abnormal {
    pub fault: Fault,
    pub reason: String,
}

impl Abnormal {
    pub fn host(reason: impl Into<String>) -> Self {
        Self { fault: Fault::Host, reason: reason.into() }
    }

    /// As in the WIT.
    pub fn fault_name(&self) -> &'static str {
        match self.fault {
            Fault::Trap => "trap",
            Fault::Deadline => "deadline",
            Fault::OutOfMemory => "out-of-memory",
            Fault::Store => "store",
            Fault::DecisionLog => "decision-log",
            Fault::Host => "host",
            Fault::Abandoned => "abandoned",
        }
    }
}

/// Counts the memory of one instance.
#[derive(Debug)]
pub(crate) struct Limits {
    cap: usize,
    memory: usize,
    refused: bool,
}

impl Limits {
    pub const fn new(cap: usize) -> Self {
        Self { cap, memory: 0, refused: false }
    }

    /// Begins a call.
    pub const fn begin(&mut self) {
        self.refused = false;
    }

    /// Whether memory was refused since then.
    pub const fn refused(&self) -> bool {
        self.refused
    }
}

/// No table of ours is longer; it bounds what an instance can make the runtime allocate.
const MAX_TABLE: usize = 1 << 20;

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        self.refused = memory > self.cap;
        if !self.refused {
            self.memory = memory;
        }
        Ok(!self.refused)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= MAX_TABLE)
    }
}

/// An instance with the policies it has compiled.
pub(crate) struct Decider {
    store: Store<Limits>,
    instance: bindings::Decider,
    policies: HashMap<PolicyId, Held>,
    bounds: Bounds,
    /// Memory after the last policy was compiled: what it needs without any call.
    settled: usize,
}

struct Held {
    resource: ResourceAny,
    used_by: Weak<Policy>,
}

impl Decider {
    pub fn new(engine: &Engine, component: &DeciderPre<Limits>, bounds: Bounds) -> Result<Self, Abnormal> {
        let mut store = Store::new(engine, Limits::new(bounds.memory));
        store.limiter(|limits| limits);
        store.set_epoch_deadline(ticks(bounds.step));
        let instance = component.instantiate(&mut store);
        let instance = instance.map_err(|error| Abnormal::host(format!("no instance can be made: {error:#}")))?;
        let settled = store.data().memory;
        Ok(Self { store, instance, policies: HashMap::new(), bounds, settled })
    }

    pub fn holds(&self, policy: &Policy) -> bool {
        self.policies.contains_key(&policy.id)
    }

    /// Whether it holds no policy at all.
    pub fn is_fresh(&self) -> bool {
        self.policies.is_empty()
    }

    /// The policy in this instance, compiled now if it was not.
    pub fn policy(&mut self, policy: &Arc<Policy>) -> Result<ResourceAny, Abnormal> {
        if let Some(held) = self.policies.get(&policy.id) {
            return Ok(held.resource);
        }
        let mut links = Links::replay(&policy.links);
        match self.prepare(&policy.source, &mut links)? {
            Ok(prepared) => {
                self.hold(policy, prepared.resource);
                Ok(prepared.resource)
            }
            // It compiled elsewhere: this instance is not sound.
            Err(failure) => Err(Abnormal::host(format!("a policy does not load again: {}", failure.code))),
        }
    }

    /// Keeps a policy that was compiled here.
    pub fn hold(&mut self, policy: &Arc<Policy>, resource: ResourceAny) {
        self.policies.insert(policy.id, Held { resource, used_by: Arc::downgrade(policy) });
        self.settled = self.store.data().memory;
    }

    /// Compiles a policy. The inner error is the documents', the outer one this instance's.
    pub fn prepare(&mut self, source: &Source, links: &mut Links<'_>) -> Result<Result<Prepared, Failure>, Abnormal> {
        let since = Instant::now();
        let preparation = self.call(|instance, store| {
            let preparation = instance.edictum_guard_decide().preparation();
            preparation.call_constructor(store, &source.rulesets, source.workflow.as_ref(), &source.options)
        })?;
        let resource = loop {
            if since.elapsed() > self.bounds.preparation {
                return Err(Abnormal { fault: Fault::Deadline, reason: "a policy takes too long to compile".into() });
            }
            let progress = self.call(|instance, store| {
                instance.edictum_guard_decide().preparation().call_advance(store, preparation, SLICE)
            })?;
            match progress {
                Ok(Progress::More) => {}
                Ok(Progress::AskHost(questions)) => {
                    let answers = links.answer(&questions)?;
                    self.call(|instance, store| {
                        instance.edictum_guard_decide().preparation().call_answer(store, preparation, &answers)
                    })?;
                }
                Ok(Progress::Ready(policy)) => break Ok(policy),
                Err(failure) => break Err(failure),
            }
        };
        self.call(|_, store| preparation.resource_drop(store))?;
        let resource = match resource {
            Ok(resource) => resource,
            Err(failure) => return Ok(Err(failure)),
        };
        let revision =
            self.call(|instance, store| instance.edictum_guard_decide().policy().call_revision(store, resource))?;
        let summary =
            self.call(|instance, store| instance.edictum_guard_decide().policy().call_summary(store, resource))?;
        Ok(Ok(Prepared { resource, revision, summary }))
    }

    /// Lets go of policies that no guard uses any more. False: this instance should not be used again.
    pub fn tidy(&mut self) -> bool {
        let unused = |held: &Held| held.used_by.strong_count() == 0;
        if self.policies.values().any(unused) {
            let gone: Vec<_> =
                self.policies.extract_if(|_, held| unused(held)).map(|(_, held)| held.resource).collect();
            for resource in gone {
                if self.call(|_, store| resource.resource_drop(store)).is_err() {
                    return false;
                }
            }
        }
        let memory = self.store.data().memory;
        memory <= GROWN.max(self.settled * 2) && memory <= self.bounds.memory / 4 * 3
    }

    /// Every entry into the instance goes through here.
    fn call<T>(
        &mut self,
        work: impl FnOnce(&bindings::Decider, &mut Store<Limits>) -> wasmtime::Result<T>,
    ) -> Result<T, Abnormal> {
        self.store.set_epoch_deadline(ticks(self.bounds.step));
        self.store.data_mut().begin();
        work(&self.instance, &mut self.store).map_err(|error| {
            let fault = match error.downcast_ref::<Trap>() {
                _ if self.store.data().refused => Fault::OutOfMemory,
                Some(Trap::Interrupt) => Fault::Deadline,
                _ => Fault::Trap,
            };
            Abnormal { fault, reason: format!("{error:#}") }
        })
    }
}

/// One more than it takes: the running tick counts for nothing.
pub(crate) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u64::MAX).saturating_add(1)
}

/// The calls of `decide`.
impl Decider {
    pub fn evaluate(
        &mut self,
        policy: ResourceAny,
        call: &String,
        output: Option<&String>,
    ) -> Result<EvaluateStep, Abnormal> {
        self.call(|instance, store| instance.edictum_guard_decide().policy().call_evaluate(store, policy, call, output))
    }

    pub fn resume_evaluate(
        &mut self,
        policy: ResourceAny,
        call: &String,
        output: Option<&String>,
        ticket: &String,
        answers: &[Answer],
    ) -> Result<EvaluateStep, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_resume_evaluate(store, policy, call, output, ticket, answers)
        })
    }

    pub fn begin(&mut self, policy: ResourceAny, call: &String, now: Timestamp) -> Result<BeginStep, Abnormal> {
        self.call(|instance, store| instance.edictum_guard_decide().policy().call_begin(store, policy, call, now))
    }

    pub fn resume_begin(
        &mut self,
        policy: ResourceAny,
        call: &String,
        ticket: &String,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<BeginStep, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_resume_begin(store, policy, call, ticket, answers, now)
        })
    }

    pub fn settle(
        &mut self,
        policy: ResourceAny,
        call: &String,
        ticket: &String,
        approval: &ApprovalOutcome,
        now: Timestamp,
    ) -> Result<BeginStep, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_settle(store, policy, call, ticket, approval, now)
        })
    }

    pub fn finish(
        &mut self,
        policy: ResourceAny,
        call: &String,
        ticket: &String,
        outcome: &ToolOutcome,
        now: Timestamp,
    ) -> Result<FinishStep, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_finish(store, policy, call, ticket, outcome, now)
        })
    }

    pub fn resume_finish(
        &mut self,
        policy: ResourceAny,
        call: &String,
        ticket: &String,
        outcome: &ToolOutcome,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<FinishStep, Abnormal> {
        self.call(|instance, store| {
            let policies = instance.edictum_guard_decide().policy();
            policies.call_resume_finish(store, policy, call, ticket, outcome, answers, now)
        })
    }

    pub fn fault(
        &mut self,
        policy: ResourceAny,
        call: &String,
        ticket: Option<&String>,
        fault: Fault,
        now: Timestamp,
    ) -> Result<Decision, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_fault(store, policy, call, ticket, fault, now)
        })
    }

    pub fn fault_finish(
        &mut self,
        policy: ResourceAny,
        call: &String,
        ticket: &String,
        fault: Fault,
        now: Timestamp,
    ) -> Result<Conclusion, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_fault_finish(store, policy, call, ticket, fault, now)
        })
    }

    pub fn operate(
        &mut self,
        policy: ResourceAny,
        session: &str,
        command: &String,
        now: Timestamp,
    ) -> Result<OperateStep, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_operate(store, policy, session, command, now)
        })
    }

    pub fn resume_operate(
        &mut self,
        policy: ResourceAny,
        ticket: &String,
        answers: &[Answer],
        now: Timestamp,
    ) -> Result<OperateStep, Abnormal> {
        self.call(|instance, store| {
            instance.edictum_guard_decide().policy().call_resume_operate(store, policy, ticket, answers, now)
        })
    }
}

/// The calls of `documents` and `signing`, which need no policy.
impl Decider {
    pub fn check(&mut self, source: &Source) -> Result<Vec<Diagnostic>, Abnormal> {
        self.call(|instance, store| {
            let documents = instance.edictum_guard_documents();
            documents.call_check(store, &source.rulesets, source.workflow.as_ref(), &source.options)
        })
    }

    pub fn describe(&mut self, source: &Source) -> Result<Result<String, Failure>, Abnormal> {
        self.call(|instance, store| {
            let documents = instance.edictum_guard_documents();
            documents.call_describe(store, &source.rulesets, source.workflow.as_ref(), &source.options)
        })
    }

    pub fn templates(&mut self) -> Result<Vec<Document>, Abnormal> {
        self.call(|instance, store| instance.edictum_guard_documents().call_templates(store))
    }

    pub fn verify(
        &mut self,
        text: &str,
        signature: &str,
        keys: &[String],
    ) -> Result<Result<String, SigningError>, Abnormal> {
        self.call(|instance, store| instance.edictum_guard_signing().call_verify(store, text, signature, keys))
    }
}
