//! What the engine asks its host for, and what comes back. The shapes of `edictum:guard/decide` and `/session`.
//!
//! Questions of one inquiry may all be answered at the same time; answers come in the order of the questions.

use crate::json::Json;

/// One step on one key of a session's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reads.
    Get(String),
    /// Adds to a counter, atomically, and answers with the sum.
    Increment {
        /// The counter.
        key: String,
        /// At least 1.
        amount: u32,
    },
    /// Writes.
    Put {
        /// Where.
        key: String,
        /// What.
        value: String,
        /// The version the value was read with; none: whatever is there.
        expected: Option<String>,
    },
    /// Removes.
    Delete(String),
    /// All keys that begin so, with their values. Only asked by `operate`.
    Scan(String),
}

/// The value after a step (none: no such key), and its version where the store has versions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// As stored; a counter as decimal text.
    pub value: Option<String>,
    /// Opaque.
    pub version: Option<String>,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done(Entry),
    /// A put was refused; this is what is there now.
    Conflict(Entry),
    /// What a scan found.
    Found(Vec<(String, String)>),
    /// The store could not be asked, or its answer was nonsense.
    Failed(String),
}

/// Something the engine must know.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Carry out on the session's store; one outcome each.
    Session(Vec<Operation>),
    /// Whose call it is.
    Principal,
    /// What each path is, links not followed.
    ReadLinks(Vec<String>),
    /// What custom prefixes stand for.
    Selectors(SelectorQuery),
    /// What custom operators say.
    Operators(Vec<OperatorCall>),
    /// What hooks say.
    Hooks(Vec<HookCall>),
    /// What a command does.
    Command(CommandLine),
}

/// Prefixes of custom selectors, asked about one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorQuery {
    /// Each once.
    pub prefixes: Vec<String>,
    /// The call with principal, environment and side effect as the engine sees them.
    pub call: Json,
}

/// A custom operator applied to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorCall {
    /// Its name.
    pub name: String,
    /// What the selector gave; never missing or null.
    pub value: Json,
    /// What the rule says.
    pub operand: Json,
}

/// A hook asked or told about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCall {
    /// Its name; of the success check: empty.
    pub name: String,
    /// When.
    pub phase: Phase,
    /// As in [`SelectorQuery::call`].
    pub call: Json,
    /// What the tool returned.
    pub output: Option<Json>,
}

/// When a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the tool runs.
    Before,
    /// After it ran.
    After,
    /// Whether it succeeded: `pass` or `refuse`.
    SuccessCheck,
}

/// A command of a workflow's `exec(...)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Run without a shell.
    pub argv: Vec<String>,
    /// Names of the variables the process gets.
    pub environment: Vec<String>,
    /// Then it is killed.
    pub timeout_ms: u32,
    /// Bytes of output kept.
    pub output_cap: u32,
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// One outcome for each operation.
    Session(Vec<Outcome>),
    /// Nobody, somebody, or why it is not known.
    Principal(Result<Option<Json>, String>),
    /// One for each path.
    ReadLinks(Vec<Link>),
    /// One map for each prefix.
    Selectors(Vec<Result<Json, String>>),
    /// One for each call.
    Operators(Vec<Result<bool, String>>),
    /// One for each hook.
    Hooks(Vec<Result<Verdict, String>>),
    /// The command's end.
    Command(Result<CommandResult, String>),
    /// The whole question could not be answered: deadline, trap, refusal. The call is blocked.
    Failed(String),
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Nothing is there.
    Missing,
    /// A file, a directory, anything but a link.
    Plain,
    /// A symbolic link with this target, as stored.
    Target(String),
    /// It cannot be known.
    Unreadable,
}

/// What a hook says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing against it.
    Pass,
    /// Its own condition did not hold; it leaves no record.
    Skip,
    /// Not so, and why.
    Refuse(String),
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CommandResult {
    /// −N after signal N.
    pub exit_code: i32,
    /// Standard output and error, merged and capped.
    pub output: String,
}

/// Questions, and what must be given back with their answers, unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Inquiry {
    /// All that the engine knows of the call so far.
    pub ticket: Json,
    /// To be answered at the same time.
    pub questions: Vec<Question>,
}

/// A step of a call: finished, or waiting for its host.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<T> {
    /// Finished.
    Done(T),
    /// The host must answer first.
    Ask(Inquiry),
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It may run.
    Allow,
    /// It must not run.
    Block,
    /// A person decides.
    Ask,
}

impl Action {
    /// As on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block => "block",
            Self::Ask => "ask",
        }
    }
}

/// A decision (`decide.decision` of the WIT).
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What happens.
    pub action: Action,
    /// Allowed only because rules, or the guard, merely observe.
    pub observed: bool,
    /// Comes from a broken evaluation, not from a genuine match.
    pub policy_error: bool,
    /// What to tell the agent. Empty on a plain allow.
    pub reason: String,
    /// Rule id, limit, hook or stage. Empty on a plain allow.
    pub name: String,
    /// `decision_source`, records, hooks, counts, workflow.
    pub detail: Json,
    /// The decision log of this step, in order.
    pub events: Vec<Json>,
    /// To be kept with the call.
    pub ticket: Json,
    /// With [`Action::Ask`].
    pub approval: Option<Json>,
}

/// What became of an `ask`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApprovalVerdict {
    /// Granted.
    Approved,
    /// Refused.
    Rejected,
    /// Nobody answered in time.
    TimedOut,
    /// Nobody could be asked.
    Unreachable,
}

/// The answer to an `ask`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalOutcome {
    /// What.
    pub verdict: ApprovalVerdict,
    /// The server's id.
    pub approval_id: Option<String>,
    /// Who.
    pub approver: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When, as the server gave it.
    pub decided_at: Option<String>,
    /// Through what, as the server gave it.
    pub decided_via: Option<String>,
}

/// What a tool returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolOutcome {
    /// As JSON text.
    pub output: Json,
    /// None: the success heuristic, or the success check, decides.
    pub success: Option<bool>,
}

/// The end of a call (`decide.conclusion` of the WIT).
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// Whether the tool succeeded.
    pub success: bool,
    /// Whether every enforced postcondition held.
    pub passed: bool,
    /// What to hand to the agent, when it is not what the tool returned.
    pub replacement: Option<Json>,
    /// For the agent.
    pub warnings: Vec<String>,
    /// `redacted`, `suppressed`, `policy_error`, records, findings, counts.
    pub detail: Json,
    /// The decision log of this step.
    pub events: Vec<Json>,
}

/// The end of an operation on a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Operated {
    /// The workflow state or the counters.
    pub state: Json,
    /// The decision log of this step.
    pub events: Vec<Json>,
}

/// What went wrong around the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An instance trapped.
    Trap,
    /// An instance took too long.
    Deadline,
    /// An instance needed too much.
    OutOfMemory,
    /// The store failed.
    Store,
    /// Events cannot be kept, and the options demand it.
    DecisionLog,
    /// The host itself.
    Host,
    /// Let through, never finished.
    Abandoned,
}
