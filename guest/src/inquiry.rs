//! What `decide` asks, hears and says, turned from the WIT's types into the engine's and back.

use edictum_engine::inquiry as engine;

use crate::bindings::exports::edictum::guard::decide as wit;

/// Every item by its own conversion.
pub fn all<One, Other: From<One>>(list: Vec<One>) -> Vec<Other> {
    list.into_iter().map(Other::from).collect()
}

impl From<engine::Inquiry> for wit::Inquiry {
    fn from(engine::Inquiry { ticket, questions }: engine::Inquiry) -> Self {
        Self { ticket, questions: all(questions) }
    }
}

impl From<engine::Question> for wit::Question {
    fn from(question: engine::Question) -> Self {
        match question {
            engine::Question::Session(operations) => Self::Session(all(operations)),
            engine::Question::Principal => Self::Principal,
            engine::Question::ReadLinks(paths) => Self::ReadLinks(paths),
            engine::Question::Selectors(engine::SelectorQuery { prefixes, call }) => {
                Self::Selectors(wit::SelectorQuery { prefixes, call })
            }
            engine::Question::Operators(calls) => Self::Operators(all(calls)),
            engine::Question::Hooks(calls) => Self::Hooks(all(calls)),
            engine::Question::Command(line) => Self::Command(line.into()),
        }
    }
}

impl From<engine::OperatorCall> for wit::OperatorCall {
    fn from(engine::OperatorCall { name, value, operand }: engine::OperatorCall) -> Self {
        Self { name, value, operand }
    }
}

impl From<engine::HookCall> for wit::HookCall {
    fn from(engine::HookCall { name, phase, call, output }: engine::HookCall) -> Self {
        let phase = match phase {
            engine::Phase::Before => wit::Phase::Before,
            engine::Phase::After => wit::Phase::After,
            engine::Phase::SuccessCheck => wit::Phase::SuccessCheck,
        };
        Self { name, phase, call, output }
    }
}

impl From<engine::CommandLine> for wit::CommandLine {
    fn from(engine::CommandLine { argv, environment, timeout_ms, output_cap }: engine::CommandLine) -> Self {
        Self { argv, environment, timeout_ms, output_cap }
    }
}

impl From<wit::Answer> for engine::Answer {
    fn from(answer: wit::Answer) -> Self {
        match answer {
            wit::Answer::Session(outcomes) => Self::Session(all(outcomes)),
            wit::Answer::Principal(who) => Self::Principal(who),
            wit::Answer::ReadLinks(links) => Self::ReadLinks(all(links)),
            wit::Answer::Selectors(maps) => Self::Selectors(maps),
            wit::Answer::Operators(verdicts) => Self::Operators(verdicts),
            wit::Answer::Hooks(verdicts) => {
                Self::Hooks(verdicts.into_iter().map(|verdict| verdict.map(Into::into)).collect())
            }
            wit::Answer::Command(end) => Self::Command(end.map(Into::into)),
            wit::Answer::Failed(why) => Self::Failed(why),
        }
    }
}

impl From<wit::Link> for engine::Link {
    fn from(link: wit::Link) -> Self {
        match link {
            wit::Link::Missing => Self::Missing,
            wit::Link::Plain => Self::Plain,
            wit::Link::Target(path) => Self::Target(path),
            wit::Link::Unreadable => Self::Unreadable,
        }
    }
}

impl From<wit::Verdict> for engine::Verdict {
    fn from(verdict: wit::Verdict) -> Self {
        match verdict {
            wit::Verdict::Pass => Self::Pass,
            wit::Verdict::Skip => Self::Skip,
            wit::Verdict::Refuse(why) => Self::Refuse(why),
        }
    }
}

impl From<wit::CommandResult> for engine::CommandResult {
    fn from(wit::CommandResult { exit_code, output }: wit::CommandResult) -> Self {
        Self { exit_code, output }
    }
}

impl From<engine::Decision> for wit::Decision {
    fn from(decision: engine::Decision) -> Self {
        let engine::Decision { action, observed, policy_error, reason, name, detail, events, ticket, approval } =
            decision;
        let action = match action {
            engine::Action::Allow => wit::Action::Allow,
            engine::Action::Block => wit::Action::Block,
            engine::Action::Ask => wit::Action::Ask,
        };
        Self { action, observed, policy_error, reason, name, detail, events, ticket, approval }
    }
}

impl From<wit::ApprovalOutcome> for engine::ApprovalOutcome {
    fn from(outcome: wit::ApprovalOutcome) -> Self {
        let wit::ApprovalOutcome { verdict, approval_id, approver, reason, decided_at, decided_via } = outcome;
        let verdict = match verdict {
            wit::ApprovalVerdict::Approved => engine::ApprovalVerdict::Approved,
            wit::ApprovalVerdict::Rejected => engine::ApprovalVerdict::Rejected,
            wit::ApprovalVerdict::TimedOut => engine::ApprovalVerdict::TimedOut,
            wit::ApprovalVerdict::Unreachable => engine::ApprovalVerdict::Unreachable,
        };
        Self { verdict, approval_id, approver, reason, decided_at, decided_via }
    }
}

impl From<wit::ToolOutcome> for engine::ToolOutcome {
    fn from(wit::ToolOutcome { output, success }: wit::ToolOutcome) -> Self {
        Self { output, success }
    }
}

impl From<engine::Conclusion> for wit::Conclusion {
    fn from(conclusion: engine::Conclusion) -> Self {
        let engine::Conclusion { success, passed, replacement, warnings, detail, events } = conclusion;
        Self { success, passed, replacement, warnings, detail, events }
    }
}

impl From<engine::Operated> for wit::Operated {
    fn from(engine::Operated { state, events }: engine::Operated) -> Self {
        Self { state, events }
    }
}

impl From<wit::Fault> for engine::Fault {
    fn from(fault: wit::Fault) -> Self {
        match fault {
            wit::Fault::Trap => Self::Trap,
            wit::Fault::Deadline => Self::Deadline,
            wit::Fault::OutOfMemory => Self::OutOfMemory,
            wit::Fault::Store => Self::Store,
            wit::Fault::DecisionLog => Self::DecisionLog,
            wit::Fault::Host => Self::Host,
            wit::Fault::Abandoned => Self::Abandoned,
        }
    }
}
