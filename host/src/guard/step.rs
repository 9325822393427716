//! One step of a call: ask the engine, answer its questions, ask again, until it has an end. Any decider does any part of
//! it; the policy is the same from the first to the last.

use std::sync::Arc;

use wasmtime::component::ResourceAny;

use super::Shared;
use crate::answers::Respondent;
use crate::bindings::decide::{
    Answer, BeginStep, Conclusion, Decision, EvaluateStep, FinishStep, Inquiry, OperateStep, Operated,
};
use crate::bindings::types::Failure;
use crate::decider::{Abnormal, Decider};
use crate::policy::Policy;

/// Most inquiries of one step. The engine needs a handful; conflicts in the store cost one each.
const MAX_ROUNDS: u32 = 256;

/// What a step is about.
#[derive(Clone, Copy)]
pub(super) struct Scene<'s> {
    pub policy: &'s Arc<Policy>,
    pub session: &'s str,
    pub call: Option<&'s Arc<String>>,
    /// Bytes of text that the engine reads.
    pub weight: usize,
}

/// A step with an end, or with questions.
pub(super) enum Next<T> {
    Done(T),
    Ask(Inquiry),
}

/// A step that ended abnormally, and the last ticket that the engine gave.
pub(super) struct Failed {
    pub abnormal: Abnormal,
    pub ticket: Option<Arc<String>>,
}

impl Shared {
    pub(super) async fn drive<T: Send + 'static>(
        &self,
        scene: Scene<'_>,
        ticket: Option<Arc<String>>,
        first: impl FnOnce(&mut Decider, ResourceAny) -> Result<Next<T>, Abnormal> + Send + 'static,
        resume: impl Fn(&mut Decider, ResourceAny, &String, &[Answer]) -> Result<Next<T>, Abnormal> + Clone + Send + 'static,
    ) -> Result<T, Failed> {
        let mut ticket = ticket;
        let mut next = self.host.decide(scene.policy, scene.weight, first).await;
        for _ in 0..MAX_ROUNDS {
            let inquiry = match next {
                Ok(Next::Done(end)) => return Ok(end),
                Ok(Next::Ask(inquiry)) => inquiry,
                Err(abnormal) => return Err(self.failed(abnormal, ticket)),
            };
            let answers = self.respondent(&scene).answer(inquiry.questions).await;
            let given = Arc::new(inquiry.ticket);
            ticket = Some(Arc::clone(&given));
            let resume = resume.clone();
            let weight = scene.weight + given.len();
            next = self
                .host
                .decide(scene.policy, weight, move |decider, policy| resume(decider, policy, &given, &answers))
                .await;
        }
        Err(self.failed(Abnormal::host("a step without end"), ticket))
    }

    fn failed(&self, abnormal: Abnormal, ticket: Option<Arc<String>>) -> Failed {
        tracing::error!(guard = %self.name, fault = abnormal.fault_name(), reason = abnormal.reason, "a step failed");
        Failed { abnormal, ticket }
    }

    fn respondent<'r>(&'r self, scene: &Scene<'r>) -> Respondent<'r> {
        Respondent {
            runtime: self.host.runtime(),
            callbacks: &self.callbacks,
            deadline: self.host.inner.callback_deadline,
            store: &self.store,
            sessions: self.connected.as_ref().and_then(|connected| connected.sessions.as_ref()),
            credentials: &self.host.inner.connections,
            session: scene.session,
            session_ttl_ms: scene.policy.settings.session_ttl_ms(),
            now: self.now(),
            call: scene.call,
            cwd: scene.policy.settings.cwd.as_deref(),
        }
    }
}

macro_rules! steps {
    ($($step:ident => $end:ty,)*) => {
        $(impl From<$step> for Next<$end> {
            fn from(step: $step) -> Self {
                match step {
                    $step::Done(end) => Self::Done(end),
                    $step::AskHost(inquiry) => Self::Ask(inquiry),
                }
            }
        })*
    };
}

steps! {
    EvaluateStep => String,
    BeginStep => Decision,
    FinishStep => Conclusion,
    OperateStep => Result<Operated, Failure>,
}
