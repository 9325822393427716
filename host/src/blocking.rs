//! A guard for code that is not async. Each call waits on its own thread, and may be made anywhere, also inside a runtime.

use std::future::ready;

use crate::call::CallRequest;
use crate::callback::ApprovalOutcome;
use crate::decision::{Conclusion, Decision, ToolOutcome};
use crate::error::Error;
use crate::guard::{Guard, Ran, Ruleset};

/// The calls of a [`Guard`], waited for.
#[derive(Clone, Copy, Debug)]
pub struct Blocking<'g> {
    guard: &'g Guard,
}

impl<'g> Blocking<'g> {
    pub(crate) fn new(guard: &'g Guard) -> Self {
        Self { guard }
    }

    fn wait<F: Future>(self, future: F) -> F::Output {
        self.guard.host().block_on(future)
    }

    /// See [`Guard::evaluate`].
    ///
    /// # Errors
    /// As there.
    pub fn evaluate(self, call: &str, output: Option<&str>) -> Result<String, Error> {
        self.wait(self.guard.evaluate(call, output))
    }

    /// See [`Guard::begin`].
    ///
    /// # Errors
    /// As there.
    pub fn begin<'c>(self, request: impl Into<CallRequest<'c>>) -> Result<Decision, Error> {
        self.wait(self.guard.begin(request.into()))
    }

    /// See [`Guard::settle`].
    ///
    /// # Errors
    /// As there.
    pub fn settle(self, call_id: &str, outcome: ApprovalOutcome) -> Result<Decision, Error> {
        self.wait(self.guard.settle(call_id, outcome))
    }

    /// See [`Guard::settled`].
    ///
    /// # Errors
    /// As there.
    pub fn settled(self, call_id: &str) -> Result<Decision, Error> {
        self.wait(self.guard.settled(call_id))
    }

    /// See [`Guard::finish`].
    ///
    /// # Errors
    /// As there.
    pub fn finish(self, call_id: &str, outcome: ToolOutcome) -> Result<Conclusion, Error> {
        self.wait(self.guard.finish(call_id, outcome))
    }

    /// See [`Guard::run`].
    ///
    /// # Errors
    /// As there.
    pub fn run<'c>(
        self,
        request: impl Into<CallRequest<'c>>,
        tool: impl FnOnce(String) -> ToolOutcome,
    ) -> Result<Ran, Error> {
        self.wait(self.guard.run(request.into(), |arguments| ready(tool(arguments))))
    }

    /// See [`Guard::operate`].
    ///
    /// # Errors
    /// As there.
    pub fn operate(self, session_id: &str, command: &str) -> Result<String, Error> {
        self.wait(self.guard.operate(session_id, command))
    }

    /// See [`Guard::reload`].
    ///
    /// # Errors
    /// As there.
    pub fn reload(self, rulesets: Vec<Ruleset>) -> Result<String, Error> {
        self.wait(self.guard.reload(rulesets))
    }

    /// See [`Guard::close`].
    pub fn close(self) -> u64 {
        self.wait(self.guard.close())
    }
}
