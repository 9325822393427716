//! One decider by itself, without pool, guard and store: what `cargo xtask bench` measures. Not part of the interface that
//! programs build on; those use [`crate::Guard`].

use wasmtime::Engine;
use wasmtime::component::ResourceAny;

use crate::bindings::DeciderPre;
use crate::bindings::decide::{Action, Answer, BeginStep, EvaluateStep, FinishStep, Question, ToolOutcome};
use crate::bindings::session::{Entry, Operation, Outcome};
use crate::bindings::types::Document;
use crate::component::{self, ComponentSource};
use crate::decider::{Abnormal, Bounds, Decider, Limits};
use crate::error::Error;
use crate::host::HostBuilder;
use crate::policy::{Links, Source};
use crate::pool;

/// What a counter says that was increased; what is only read is not there.
pub const COUNT: &str = "7";

/// The component, compiled, with its clock running as in a host.
pub struct Component {
    engine: Engine,
    component: DeciderPre<Limits>,
    bounds: Bounds,
}

impl Component {
    /// The component of this build.
    ///
    /// # Errors
    /// There is none, or it cannot be compiled.
    pub fn load() -> Result<Self, Error> {
        let engine = component::engine()?;
        let component = component::load(&engine, &ComponentSource::find()?)?;
        pool::tick(&engine)?;
        Ok(Self { engine, component, bounds: HostBuilder::default().bounds })
    }

    /// A further instance, without a policy.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn instantiate(&self) -> Result<Instance, String> {
        let decider = Decider::new(&self.engine, &self.component, self.bounds).map_err(reason)?;
        Ok(Instance { decider, policy: None })
    }
}

/// A decider with one policy.
pub struct Instance {
    decider: Decider,
    policy: Option<ResourceAny>,
}

impl Instance {
    /// Compiles rulesets without sandboxes, which are the policy from then on.
    ///
    /// # Errors
    /// They do not load.
    pub fn prepare(&mut self, rulesets: &[String], options: &str) -> Result<(), String> {
        let document = |text: &String| Document { name: "rules.yaml".to_owned(), text: text.clone() };
        let rulesets = rulesets.iter().map(document).collect();
        let source = Source { rulesets, workflow: None, options: options.to_owned() };
        let prepared = self.decider.prepare(&source, &mut Links::replay(&[])).map_err(reason)?;
        self.policy = Some(prepared.map_err(|failure| failure.message)?.resource);
        Ok(())
    }

    /// The dry run.
    ///
    /// # Errors
    /// There is no policy, the instance fails, or the policy asks.
    pub fn evaluate(&mut self, call: &String) -> Result<String, String> {
        match self.decider.evaluate(self.policy()?, call, None).map_err(reason)? {
            EvaluateStep::Done(result) => Ok(result),
            EvaluateStep::AskHost(_) => Err("the policy asks".to_owned()),
        }
    }

    /// A whole call: `begin`, and `finish` if the tool may run. Counters are answered with [`COUNT`].
    ///
    /// # Errors
    /// There is no policy, the instance fails, or the policy asks for more than counters.
    pub fn run(&mut self, call: &String, output: &str, now: u64) -> Result<bool, String> {
        let policy = self.policy()?;
        let mut step = self.decider.begin(policy, call, now).map_err(reason)?;
        let decision = loop {
            match step {
                BeginStep::Done(decision) => break decision,
                BeginStep::AskHost(inquiry) => {
                    let answers = answers(&inquiry.questions)?;
                    let resumed = self.decider.resume_begin(policy, call, &inquiry.ticket, &answers, now);
                    step = resumed.map_err(reason)?;
                }
            }
        };
        if decision.action != Action::Allow {
            return Ok(false);
        }
        let outcome = ToolOutcome { output: output.to_owned(), success: None };
        let mut step = self.decider.finish(policy, call, &decision.ticket, &outcome, now).map_err(reason)?;
        loop {
            match step {
                FinishStep::Done(conclusion) => return Ok(conclusion.passed),
                FinishStep::AskHost(inquiry) => {
                    let answers = answers(&inquiry.questions)?;
                    let resumed = self.decider.resume_finish(policy, call, &inquiry.ticket, &outcome, &answers, now);
                    step = resumed.map_err(reason)?;
                }
            }
        }
    }

    fn policy(&self) -> Result<ResourceAny, String> {
        self.policy.ok_or_else(|| "no policy was prepared".to_owned())
    }
}

fn answers(questions: &[Question]) -> Result<Vec<Answer>, String> {
    let answer = |question: &Question| match question {
        Question::Session(operations) => {
            let value = |operation: &Operation| matches!(operation, Operation::Increment(_)).then(|| COUNT.to_owned());
            let outcome = |operation| Outcome::Done(Entry { value: value(operation), version: None });
            Ok(Answer::Session(operations.iter().map(outcome).collect()))
        }
        _ => Err("the policy asks for more than counters".to_owned()),
    };
    questions.iter().map(answer).collect()
}

fn reason(abnormal: Abnormal) -> String {
    abnormal.reason
}
