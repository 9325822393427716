//! `edictum:guard/decide`: the two resources.

use std::cell::RefCell;

use edictum_engine::inquiry::Step;
use edictum_engine::policy as engine;

use crate::Component;
use crate::bindings::exports::edictum::guard::decide::{
    Answer, ApprovalOutcome, BeginStep, Conclusion, Decision, Document, EvaluateStep, Failure, Fault, FinishStep,
    Guest, GuestPolicy, GuestPreparation, Json, OperateStep, Policy as PolicyHandle, Progress, Timestamp, ToolOutcome,
};
use crate::inquiry::all;

/// `preparation`. The cell is never borrowed twice: a component is not re-entered.
pub struct Preparation(RefCell<engine::Preparation>);

/// `policy`.
pub struct Policy(pub(crate) engine::Policy);

impl Guest for Component {
    type Preparation = Preparation;
    type Policy = Policy;
}

impl GuestPreparation for Preparation {
    fn new(rulesets: Vec<Document>, workflow: Option<Document>, options: Json) -> Self {
        Self(RefCell::new(engine::Preparation::new(all(rulesets), workflow.map(Into::into), options)))
    }

    fn advance(&self, rules: u32) -> Result<Progress, Failure> {
        match self.0.borrow_mut().advance(rules)? {
            engine::Progress::More => Ok(Progress::More),
            engine::Progress::Ask(questions) => Ok(Progress::AskHost(all(questions))),
            engine::Progress::Ready(policy) => Ok(Progress::Ready(PolicyHandle::new(Policy(policy)))),
        }
    }

    fn answer(&self, answers: Vec<Answer>) {
        self.0.borrow_mut().answer(all(answers));
    }
}

impl GuestPolicy for Policy {
    fn revision(&self) -> String {
        self.0.revision().to_owned()
    }

    fn summary(&self) -> Json {
        self.0.summary()
    }

    fn evaluate(&self, call: Json, output: Option<Json>) -> EvaluateStep {
        self.0.evaluate(&call, output.as_deref()).into()
    }

    fn resume_evaluate(&self, call: Json, output: Option<Json>, ticket: Json, answers: Vec<Answer>) -> EvaluateStep {
        self.0.resume_evaluate(&call, output.as_deref(), &ticket, all(answers)).into()
    }

    fn begin(&self, call: Json, now: Timestamp) -> BeginStep {
        self.0.begin(&call, now).into()
    }

    fn resume_begin(&self, call: Json, ticket: Json, answers: Vec<Answer>, now: Timestamp) -> BeginStep {
        self.0.resume_begin(&call, &ticket, all(answers), now).into()
    }

    fn settle(&self, call: Json, ticket: Json, approval: ApprovalOutcome, now: Timestamp) -> BeginStep {
        self.0.settle(&call, &ticket, approval.into(), now).into()
    }

    fn finish(&self, call: Json, ticket: Json, outcome: ToolOutcome, now: Timestamp) -> FinishStep {
        self.0.finish(&call, &ticket, &outcome.into(), now).into()
    }

    fn resume_finish(
        &self,
        call: Json,
        ticket: Json,
        outcome: ToolOutcome,
        answers: Vec<Answer>,
        now: Timestamp,
    ) -> FinishStep {
        self.0.resume_finish(&call, &ticket, &outcome.into(), all(answers), now).into()
    }

    fn fault(&self, call: Json, ticket: Option<Json>, fault: Fault, now: Timestamp) -> Decision {
        self.0.fault(&call, ticket.as_deref(), fault.into(), now).into()
    }

    fn fault_finish(&self, call: Json, ticket: Json, fault: Fault, now: Timestamp) -> Conclusion {
        self.0.fault_finish(&call, &ticket, fault.into(), now).into()
    }

    fn operate(&self, session_id: String, command: Json, now: Timestamp) -> OperateStep {
        self.0.operate(&session_id, &command, now).into()
    }

    fn resume_operate(&self, ticket: Json, answers: Vec<Answer>, now: Timestamp) -> OperateStep {
        self.0.resume_operate(&ticket, all(answers), now).into()
    }
}

macro_rules! steps {
    ($($wit:ident: $done:ty => $convert:expr;)*) => {$(
        impl From<Step<$done>> for $wit {
            fn from(step: Step<$done>) -> Self {
                match step {
                    Step::Done(done) => Self::Done($convert(done)),
                    Step::Ask(inquiry) => Self::AskHost(inquiry.into()),
                }
            }
        }
    )*};
}

steps! {
    EvaluateStep: edictum_engine::json::Json => |result| result;
    BeginStep: edictum_engine::inquiry::Decision => Decision::from;
    FinishStep: edictum_engine::inquiry::Conclusion => Conclusion::from;
    OperateStep: Result<edictum_engine::inquiry::Operated, edictum_engine::diagnostics::Failure> =>
        |end: Result<_, _>| end.map(Into::into).map_err(Into::into);
}
