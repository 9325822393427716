//! The front door: documents in, a policy out, decisions from it. What the component exports, in plain Rust.
//!
//! ```
//! use edictum_engine::documents::Document;
//! use edictum_engine::inquiry::Step;
//! use edictum_engine::policy::{Preparation, Progress};
//!
//! let ruleset = Document {
//!     name: "rules.yaml".to_owned(),
//!     text: "\
//! apiVersion: edictum/v1
//! kind: Ruleset
//! metadata: {name: demo}
//! defaults: {mode: enforce}
//! rules:
//!   - id: no-force-push
//!     type: pre
//!     tool: Bash
//!     when: {args.command: {contains: push --force}}
//!     then: {action: block, message: 'Not with force: {args.command}'}
//! "
//!     .to_owned(),
//! };
//! let mut preparation = Preparation::new(vec![ruleset], None, "{}".to_owned());
//! let policy = loop {
//!     match preparation.advance(100).expect("the ruleset loads") {
//!         Progress::More => {}
//!         Progress::Ask(_) => unreachable!("no sandbox, no links"),
//!         Progress::Ready(policy) => break policy,
//!     }
//! };
//! let call = r#"{"tool":"Bash","args":{"command":"git push --force"}}"#;
//! let Step::Done(result) = policy.evaluate(call, None) else { unreachable!("nothing to ask") };
//! assert!(result.contains(r#""decision":"block""#));
//! ```

mod explain;
mod preparation;
mod summary;

use std::sync::Arc;

pub use explain::{check, compose, describe, templates};
pub use preparation::{Preparation, Progress};

use crate::diagnostics::Failure;
use crate::inquiry::{Answer, ApprovalOutcome, Conclusion, Decision, Fault, Operated, Step, ToolOutcome};
use crate::json::Json;
use crate::pipeline::{begin, evaluate, fault, finish, operate, settle};
use crate::rules::Rules;

/// Compiled rules and options. Immutable, cheap to clone: a reload is a new policy, made beside the old one.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Arc<Rules>,
}

impl Policy {
    /// SHA-256 hex as in the decision log.
    #[must_use]
    pub fn revision(&self) -> &str {
        self.rules.revision()
    }

    /// Name, mode, rules, composition report, options with their defaults (no values of `env`), and `needs`: the
    /// questions it may ask.
    #[must_use]
    pub fn summary(&self) -> Json {
        summary::write(&self.rules)
    }

    /// Dry run: counts nothing, asks only `read-links`, `selectors` and `operators`.
    #[must_use]
    pub fn evaluate(&self, call: &str, output: Option<&str>) -> Step<Json> {
        evaluate::evaluate(&self.rules, call, output)
    }

    /// Answers the questions of [`Policy::evaluate`].
    #[must_use]
    pub fn resume_evaluate(&self, call: &str, output: Option<&str>, ticket: &str, answers: Vec<Answer>) -> Step<Json> {
        evaluate::resume(&self.rules, call, output, ticket, answers)
    }

    /// Before a tool runs: counts the attempt, then decides. `now`: milliseconds since 1970.
    #[must_use]
    pub fn begin(&self, call: &str, now: u64) -> Step<Decision> {
        begin::begin(&self.rules, call, now)
    }

    /// Answers the questions of [`Policy::begin`] or [`Policy::settle`].
    #[must_use]
    pub fn resume_begin(&self, call: &str, ticket: &str, answers: Vec<Answer>, now: u64) -> Step<Decision> {
        begin::resume(&self.rules, call, ticket, answers, now)
    }

    /// Somebody, or a deadline, has answered an `ask`.
    #[must_use]
    pub fn settle(&self, call: &str, ticket: &str, approval: ApprovalOutcome, now: u64) -> Step<Decision> {
        settle::settle(&self.rules, call, ticket, approval, now)
    }

    /// After the tool ran.
    #[must_use]
    pub fn finish(&self, call: &str, ticket: &str, outcome: &ToolOutcome, now: u64) -> Step<Conclusion> {
        finish::finish(&self.rules, call, ticket, outcome, now)
    }

    /// Answers the questions of [`Policy::finish`].
    #[must_use]
    pub fn resume_finish(
        &self,
        call: &str,
        ticket: &str,
        outcome: &ToolOutcome,
        answers: Vec<Answer>,
        now: u64,
    ) -> Step<Conclusion> {
        finish::resume(&self.rules, call, ticket, outcome, answers, now)
    }

    /// The block (or, in observe mode, the observed allow) for a call whose instance, store or deadline failed.
    #[must_use]
    pub fn fault(&self, call: &str, ticket: Option<&str>, fault: Fault, now: u64) -> Decision {
        fault::fault(&self.rules, call, ticket, fault, now)
    }

    /// The same for a call that was let through and cannot be finished, or never was.
    #[must_use]
    pub fn fault_finish(&self, call: &str, ticket: &str, fault: Fault, now: u64) -> Conclusion {
        fault::fault_finish(&self.rules, call, ticket, fault, now)
    }

    /// Reads or changes the counters of a session, or where it stands in its workflow.
    #[must_use]
    pub fn operate(&self, session_id: &str, command: &str, now: u64) -> Step<Result<Operated, Failure>> {
        // Nothing happens before the state is read, so that nothing here needs the time.
        let _ = now;
        operate::operate(&self.rules, session_id, command)
    }

    /// Answers the questions of [`Policy::operate`].
    #[must_use]
    pub fn resume_operate(&self, ticket: &str, answers: Vec<Answer>, now: u64) -> Step<Result<Operated, Failure>> {
        operate::resume(&self.rules, ticket, answers, now)
    }
}
