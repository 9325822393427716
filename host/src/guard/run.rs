//! All steps around one function: begin, ask a person where the rules say so, run the tool, judge what it returned.

use tokio::select;

use super::Guard;
use crate::bindings::decide::{Action, ApprovalVerdict};
use crate::call::{CallRequest, member};
use crate::callback::{ApprovalRequest, answered, nobody_says};
use crate::decision::{Conclusion, Decision, ToolOutcome};
use crate::error::Error;

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Ran {
    /// The tool ran.
    Finished {
        /// Why it might.
        decision: Decision,
        /// How it ended.
        conclusion: Conclusion,
        /// What the agent may see (JSON).
        output: String,
    },
    /// The tool did not run.
    Blocked(Decision),
}

impl Guard {
    /// Runs a tool, if it may. The tool is given the arguments that were judged (`args` of the call, as JSON).
    ///
    /// An `ask` goes to the approver of the guard; without one it waits until somebody calls [`Guard::settle`], or for its
    /// deadline.
    ///
    /// # Errors
    /// As [`Guard::begin`] and [`Guard::finish`].
    pub async fn run<'c, F>(
        &self,
        request: impl Into<CallRequest<'c>>,
        tool: impl FnOnce(String) -> F,
    ) -> Result<Ran, Error>
    where
        F: Future<Output = ToolOutcome>,
    {
        let request = request.into();
        let mut decision = self.begin(request).await?;
        while decision.action == Action::Ask {
            let approval = decision.approval.unwrap_or_default();
            decision = self.approval(&decision.call_id, approval).await?;
        }
        if !decision.is_allowed() {
            return Ok(Ran::Blocked(decision));
        }
        let arguments = member(request.call, "args").unwrap_or("{}");
        let outcome = tool(arguments.to_owned()).await;
        let returned = outcome.output.clone();
        let conclusion = self.finish(&decision.call_id, outcome).await?;
        let output = conclusion.replacement.clone().unwrap_or(returned);
        Ok(Ran::Finished { decision, conclusion, output })
    }

    /// Waits for the answer to an `ask` from whoever gives it first: the approver, somebody who settles the call, or its
    /// deadline. `approval`: what the decision asks. A workflow may ask again.
    ///
    /// # Errors
    /// As [`Guard::settled`].
    pub async fn approval(&self, call_id: &str, approval: String) -> Result<Decision, Error> {
        let settled = self.settled(call_id);
        let Some(approver) = &self.shared.callbacks.approver else { return settled.await };
        let request = ApprovalRequest { call_id: call_id.to_owned(), approval };
        let asked = approver.start(self.shared.host.runtime(), None, request);
        let mut settled = std::pin::pin!(settled);
        let outcome = select! {
            decision = &mut settled => return decision,
            outcome = answered(asked) => outcome,
        };
        let outcome = outcome.unwrap_or_else(|reason| {
            tracing::error!(guard = self.name(), call_id, reason, "nobody can be asked for an approval");
            nobody_says(ApprovalVerdict::Unreachable)
        });
        match self.settle(call_id, outcome).await {
            Err(Error::NotFound(_) | Error::Conflict(_)) => settled.await,
            decision => decision,
        }
    }
}
