//! Provisional front door: the shape that the component skin and the text form are written against.

use std::sync::Arc;

use crate::diagnostics::{Diagnostic, Failure};
use crate::documents::Document;
use crate::inquiry::{
    Action, Answer, ApprovalOutcome, Conclusion, Decision, Fault, Inquiry, Operated, Operation, Question, Step,
    ToolOutcome,
};
use crate::json::Json;

/// A policy being compiled.
#[derive(Debug)]
pub struct Preparation {
    revision: String,
}

/// How far a [`Preparation`] is.
#[derive(Debug)]
pub enum Progress {
    /// Call `advance` again.
    More,
    /// Answer, then call `advance` again.
    Ask(Vec<Question>),
    /// Done.
    Ready(Policy),
}

/// Compiled rules, workflow and options.
#[derive(Clone, Debug)]
pub struct Policy {
    revision: Arc<str>,
}

impl Preparation {
    /// Takes the documents; no work is done here yet.
    #[must_use]
    pub fn new(rulesets: Vec<Document>, _workflow: Option<Document>, _options: String) -> Self {
        use sha2::Digest as _;
        let revision = rulesets.first().map(|document| hex::encode(sha2::Sha256::digest(document.text.as_bytes())));
        Self { revision: revision.unwrap_or_default() }
    }

    /// Compiles.
    ///
    /// # Errors
    /// Documents that do not load.
    pub fn advance(&mut self, _rules: u32) -> Result<Progress, Failure> {
        Ok(Progress::Ready(Policy { revision: Arc::from(self.revision.as_str()) }))
    }

    /// Takes answers.
    pub fn answer(&mut self, _answers: Vec<Answer>) {}
}

impl Policy {
    /// SHA-256 as in the decision log.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// What was loaded.
    #[must_use]
    pub fn summary(&self) -> Json {
        format!(r#"{{"policy_version":"{}","rules":[],"needs":["session"]}}"#, self.revision)
    }

    /// Dry run.
    #[must_use]
    pub fn evaluate(&self, _call: &str, _output: Option<&str>) -> Step<Json> {
        Step::Done(
            r#"{"decision":"allow","rules":[],"block_reasons":[],"warn_reasons":[],"rules_evaluated":0,"policy_error":false}"#
                .to_owned(),
        )
    }

    /// Goes on.
    #[must_use]
    pub fn resume_evaluate(
        &self,
        call: &str,
        output: Option<&str>,
        _ticket: &str,
        _answers: Vec<Answer>,
    ) -> Step<Json> {
        self.evaluate(call, output)
    }

    /// Before a tool runs.
    #[must_use]
    pub fn begin(&self, _call: &str, _now: u64) -> Step<Decision> {
        Step::Ask(Inquiry {
            ticket: r#"{"v":1,"step":"begin"}"#.to_owned(),
            questions: vec![Question::Session(vec![Operation::Increment {
                key: "s:x:attempts".to_owned(),
                amount: 1,
            }])],
        })
    }

    /// Goes on.
    #[must_use]
    pub fn resume_begin(&self, _call: &str, _ticket: &str, _answers: Vec<Answer>, _now: u64) -> Step<Decision> {
        Step::Done(decision(Action::Allow))
    }

    /// An `ask` was answered.
    #[must_use]
    pub fn settle(&self, _call: &str, _ticket: &str, _approval: ApprovalOutcome, _now: u64) -> Step<Decision> {
        Step::Done(decision(Action::Allow))
    }

    /// After the tool ran.
    #[must_use]
    pub fn finish(&self, _call: &str, _ticket: &str, _outcome: ToolOutcome, _now: u64) -> Step<Conclusion> {
        Step::Done(conclusion())
    }

    /// Goes on.
    #[must_use]
    pub fn resume_finish(
        &self,
        _call: &str,
        _ticket: &str,
        _outcome: ToolOutcome,
        _answers: Vec<Answer>,
        _now: u64,
    ) -> Step<Conclusion> {
        Step::Done(conclusion())
    }

    /// The answer when something around the engine failed.
    #[must_use]
    pub fn fault(&self, _call: &str, _ticket: Option<&str>, _fault: Fault, _now: u64) -> Decision {
        Decision { policy_error: true, reason: "policy error".to_owned(), ..decision(Action::Block) }
    }

    /// The same after the tool ran.
    #[must_use]
    pub fn fault_finish(&self, _call: &str, _ticket: &str, _fault: Fault, _now: u64) -> Conclusion {
        conclusion()
    }

    /// Reads or changes a session.
    #[must_use]
    pub fn operate(&self, _session_id: &str, _command: &str, _now: u64) -> Step<Result<Operated, Failure>> {
        Step::Done(Ok(Operated { state: "{}".to_owned(), events: Vec::new() }))
    }

    /// Goes on.
    #[must_use]
    pub fn resume_operate(&self, _ticket: &str, _answers: Vec<Answer>, _now: u64) -> Step<Result<Operated, Failure>> {
        Step::Done(Ok(Operated { state: "{}".to_owned(), events: Vec::new() }))
    }
}

fn decision(action: Action) -> Decision {
    Decision {
        action,
        observed: false,
        policy_error: false,
        reason: String::new(),
        name: String::new(),
        detail: r#"{"decision_source":null,"rules_evaluated":[]}"#.to_owned(),
        events: vec![event("call_allowed")],
        ticket: r#"{"v":1,"step":"open"}"#.to_owned(),
        approval: None,
    }
}

fn conclusion() -> Conclusion {
    Conclusion {
        success: true,
        passed: true,
        replacement: None,
        warnings: Vec::new(),
        detail: r#"{"redacted":false,"suppressed":false,"policy_error":false,"rules_evaluated":[],"findings":[]}"#
            .to_owned(),
        events: vec![event("call_executed")],
    }
}

fn event(action: &str) -> Json {
    format!(
        r#"{{"schema_version":"0.3.0","timestamp":"2026-01-01T00:00:00+00:00","mode":"enforce","action":"{action}"}}"#
    )
}

/// All findings.
#[must_use]
pub fn check(_rulesets: &[Document], _workflow: Option<&Document>, _options: &str) -> Vec<Diagnostic> {
    Vec::new()
}

/// What documents hold.
///
/// # Errors
/// Documents that do not load.
pub fn describe(_rulesets: &[Document], _workflow: Option<&Document>, _options: &str) -> Result<Json, Failure> {
    Ok("{}".to_owned())
}

/// One ruleset of several.
///
/// # Errors
/// Documents that do not load.
pub fn compose(_rulesets: &[Document], _options: &str) -> Result<Json, Failure> {
    Ok("{}".to_owned())
}

/// Built-in rulesets.
#[must_use]
pub fn templates() -> Vec<Document> {
    Vec::new()
}
