//! Answers to what the engine asks: all questions of an inquiry at the same time, each in its own way of waiting. What
//! cannot be answered is said so, and the engine blocks the call.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::bindings::decide::{Answer, CommandLine, HookCall, OperatorCall, Phase, Question, SelectorQuery, Verdict};
use crate::callback::{Answered, Callbacks, SelectorCall, answered};
use crate::clock::Timestamp;
use crate::connect::{Connections, ServerSessions};
use crate::links;
use crate::process;
use crate::store::{Operation, Store, Visit};

/// Longer than a store waits for other processes.
const STORE_DEADLINE: Duration = Duration::from_secs(30);

/// Whom questions of one step are for.
pub(crate) struct Respondent<'r> {
    pub runtime: &'r Handle,
    pub callbacks: &'r Callbacks,
    pub deadline: Duration,
    pub store: &'r Arc<dyn Store>,
    /// A server that has the sessions instead of the store.
    pub sessions: Option<&'r Arc<ServerSessions>>,
    /// Keys that no command may see.
    pub credentials: &'r Connections,
    pub session: &'r str,
    pub session_ttl_ms: u64,
    pub now: Timestamp,
    /// The call's text; none in an operation on a session.
    pub call: Option<&'r Arc<String>>,
    pub cwd: Option<&'r str>,
}

/// Something that was asked.
enum Asked {
    Answered(Answer),
    Waiting(JoinHandle<Answer>),
    Command(Running),
    Operators(Vec<Result<JoinHandle<Answered<bool>>, String>>),
    Selectors(Vec<Result<JoinHandle<Answered<String>>, String>>),
    Hooks(Vec<Result<Hook, String>>),
}

/// A command, which is killed when nobody waits for it any more.
struct Running(JoinHandle<Answer>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Hook {
    Verdict(JoinHandle<Answered<Verdict>>),
    Succeeded(JoinHandle<Answered<bool>>),
}

impl Respondent<'_> {
    /// One answer for each question, in their order.
    pub async fn answer(&self, questions: Vec<Question>) -> Vec<Answer> {
        // All are started before the first is waited for.
        let asked: Vec<_> = questions.into_iter().map(|question| self.ask(question)).collect();
        let mut answers = Vec::with_capacity(asked.len());
        for asked in asked {
            answers.push(asked.answer().await);
        }
        answers
    }

    fn ask(&self, question: Question) -> Asked {
        match question {
            Question::Session(operations) => self.session(operations),
            Question::Principal => self.principal(),
            Question::ReadLinks(paths) => self.blocking(self.deadline, move || Answer::ReadLinks(links::read(&paths))),
            Question::Selectors(query) => self.selectors(&query),
            Question::Operators(calls) => Asked::Operators(calls.into_iter().map(|call| self.operator(call)).collect()),
            Question::Hooks(calls) => Asked::Hooks(calls.into_iter().map(|call| self.hook(call)).collect()),
            Question::Command(command) => self.command(command),
        }
    }

    fn session(&self, operations: Vec<Operation>) -> Asked {
        if let Some(sessions) = self.sessions {
            let sessions = Arc::clone(sessions);
            let performed =
                async move { sessions.perform(operations).await.map_or_else(Answer::Failed, Answer::Session) };
            return Asked::Waiting(self.runtime.spawn(performed));
        }
        let store = Arc::clone(self.store);
        let session = self.session.to_owned();
        let (now, expires) = (self.now, self.now.saturating_add(self.session_ttl_ms));
        let perform = move || {
            let outcomes = store.perform(Visit { session: &session, now, expires }, &operations);
            outcomes.map_or_else(|error| Answer::Failed(error.to_string()), Answer::Session)
        };
        if self.store.blocks() { self.blocking(STORE_DEADLINE, perform) } else { Asked::Answered(perform()) }
    }

    fn principal(&self) -> Asked {
        let (Some(resolver), Some(call)) = (&self.callbacks.principal_resolver, self.call) else {
            return Asked::Answered(Answer::Failed("there is no principal resolver".to_owned()));
        };
        let started = resolver.start(self.runtime, Some(self.deadline), call.as_ref().clone());
        Asked::Waiting(self.runtime.spawn(async { Answer::Principal(answered(started).await) }))
    }

    fn operator(&self, call: OperatorCall) -> Result<JoinHandle<Answered<bool>>, String> {
        let operator = self.callbacks.operators.get(&call.name).ok_or("there is no such operator")?;
        Ok(operator.start(self.runtime, Some(self.deadline), call))
    }

    fn selectors(&self, query: &SelectorQuery) -> Asked {
        let selector = |prefix: &String| {
            let selector = self.callbacks.selectors.get(prefix).ok_or("there is no such selector")?;
            let call = SelectorCall { prefix: prefix.clone(), call: query.call.clone() };
            Ok(selector.start(self.runtime, Some(self.deadline), call))
        };
        Asked::Selectors(query.prefixes.iter().map(selector).collect())
    }

    fn hook(&self, call: HookCall) -> Result<Hook, String> {
        if call.phase == Phase::SuccessCheck {
            let check = self.callbacks.success_check.as_ref().ok_or("there is no success check")?;
            return Ok(Hook::Succeeded(check.start(self.runtime, Some(self.deadline), call)));
        }
        let hook = self.callbacks.hooks.get(&call.name).ok_or("there is no such hook")?;
        Ok(Hook::Verdict(hook.start(self.runtime, Some(self.deadline), call)))
    }

    fn command(&self, command: CommandLine) -> Asked {
        let running = process::run(command, self.cwd.map(str::to_owned), self.credentials.keys());
        Asked::Command(Running(self.runtime.spawn(async { Answer::Command(running.await) })))
    }

    fn blocking(&self, deadline: Duration, work: impl FnOnce() -> Answer + Send + 'static) -> Asked {
        let work = self.runtime.spawn_blocking(work);
        Asked::Waiting(self.runtime.spawn(async move {
            match timeout(deadline, work).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Answer::Failed("a thread of the host panicked".to_owned()),
                Err(_) => Answer::Failed("no answer in time".to_owned()),
            }
        }))
    }
}

impl Asked {
    async fn answer(self) -> Answer {
        match self {
            Self::Answered(answer) => answer,
            Self::Waiting(started) => {
                started.await.unwrap_or_else(|_| Answer::Failed("a task of the host panicked".to_owned()))
            }
            Self::Command(mut started) => {
                (&mut started.0).await.unwrap_or_else(|_| Answer::Failed("a task of the host panicked".to_owned()))
            }
            Self::Operators(started) => Answer::Operators(each(started).await),
            Self::Selectors(started) => Answer::Selectors(each(started).await),
            Self::Hooks(started) => {
                let mut verdicts = Vec::with_capacity(started.len());
                for hook in started {
                    verdicts.push(match hook {
                        Ok(hook) => hook.verdict().await,
                        Err(reason) => Err(reason),
                    });
                }
                Answer::Hooks(verdicts)
            }
        }
    }
}

impl Hook {
    async fn verdict(self) -> Answered<Verdict> {
        match self {
            Self::Verdict(started) => answered(started).await,
            Self::Succeeded(started) => Ok(match answered(started).await? {
                true => Verdict::Pass,
                false => Verdict::Refuse(String::new()),
            }),
        }
    }
}

async fn each<T>(started: Vec<Result<JoinHandle<Answered<T>>, String>>) -> Vec<Answered<T>> {
    let mut answers = Vec::with_capacity(started.len());
    for started in started {
        answers.push(match started {
            Ok(started) => answered(started).await,
            Err(reason) => Err(reason),
        });
    }
    answers
}
