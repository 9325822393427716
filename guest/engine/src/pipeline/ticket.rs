//! What the engine knows of an open call, as the text that a host keeps. Read one version back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::inquiry::{Link, Verdict};
use crate::session::counters::Counters;
use crate::workflow::gate::Commands;
use crate::workflow::stored::Stored;

/// Version of the layout.
const VERSION: u8 = 1;

/// The step that a ticket is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// `resume-evaluate`
    Evaluate,
    /// `resume-begin`, before the first decision.
    Begin,
    /// `resume-begin`, after an answer of a person.
    Settle,
    /// `settle`
    Asked,
    /// `finish`
    Open,
    /// `resume-finish`
    Finish,
    /// `resume-operate`
    Operate,
    /// Nothing more: the call is over.
    Closed,
}

/// The ticket.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ticket {
    v: u8,
    /// What it is good for. `step` on the outside: the text form finds its function by it.
    pub step: Stage,
    /// Fingerprint of the call text.
    pub call: String,
    /// Questions that are open, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Asked>,
    /// What is known.
    #[serde(default)]
    pub facts: Facts,
    /// Events that the call has had.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub events: u32,
    /// The `ask` that waits, or is being settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<PendingAsk>,
    /// Ids of rules that a person has agreed to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub granted: Vec<String>,
    /// The stage that a person has agreed to leave, until the workflow's state says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_stage: Option<String>,
    /// Persons that a workflow has asked about the call.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub workflow_rounds: u32,
    /// What the workflow said when it let the call run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowWord>,
    /// The call could not be judged, and runs only because the guard observes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unjudged: bool,
    /// The call runs although it was blocked, because the guard observes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub would_block: bool,
}

/// What `finish` needs of a workflow's word.
#[derive(Debug, Serialize, Deserialize)]
pub struct WorkflowWord {
    /// The stage that let the call run; none: nothing is recorded of the call.
    pub stage: Option<String>,
    /// The state at that time, for the decision log.
    pub snapshot: Box<RawValue>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A question that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Counters.
    Counters,
    /// The principal.
    Principal,
    /// These paths.
    Links(Vec<String>),
    /// These prefixes.
    Selectors(Vec<String>),
    /// So many custom operators.
    Operators(usize),
    /// These hooks.
    Hooks(Vec<String>),
    /// Whether the tool succeeded.
    Success,
    /// After-hooks, whose answers change nothing.
    After,
    /// Counters after the tool ran.
    Executed,
    /// The same as `Counters`, and where the session stands in its workflow.
    CountersAndWorkflow,
    /// Where the session stands in its workflow.
    Workflow,
    /// Whether it is written now.
    WorkflowWrite,
    /// A command of a workflow, as written in its condition.
    Command(String),
    /// The same as `Executed`, and where the session stands in its workflow.
    ExecutedAndWorkflow,
}

/// What has been answered about a call.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Counters before the decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// What the resolver said: nobody, or a map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Resolved>,
    /// Paths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub links: BTreeMap<String, LinkFact>,
    /// Maps of custom selectors, by prefix.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<(String, Result<Box<RawValue>, String>)>,
    /// Custom operators, in the order of the calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operators: Option<Vec<Result<bool, String>>>,
    /// Before-hooks, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Vec<(String, HookFact)>>,
    /// The success check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Result<bool, String>>,
    /// Counters after the tool ran, or why they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executions: Option<Result<u64, String>>,
    /// Where the session stands in its workflow, or why that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Result<Stored, String>>,
    /// Commands of a workflow, by their text in the condition.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub commands: Commands,
    /// Something could not be asked at all; the call is blocked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<Trouble>,
}

impl Facts {
    /// Remembers when the workflow's state was judged first.
    pub const fn stamp(&mut self, now: u64) {
        if let Some(Ok(stored)) = &mut self.workflow
            && stored.at == 0
        {
            stored.at = now;
        }
    }

    /// Drops what only the decision needed.
    pub fn forget(&mut self) {
        self.operators = None;
        self.links.clear();
        self.workflow = None;
        self.commands.clear();
    }
}

/// What a resolver said.
#[derive(Debug, Serialize, Deserialize)]
pub struct Resolved(pub Option<Box<RawValue>>);

/// Something that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// `decision_source`
    pub source: String,
    /// `decision_name`
    pub name: String,
    /// In the words of whoever failed; not shown to the agent.
    pub detail: String,
}

/// What a path is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkFact {
    /// See [`Link`].
    Missing,
    /// See [`Link`].
    Plain,
    /// See [`Link`].
    Target(String),
    /// See [`Link`].
    Unreadable,
}

impl From<Link> for LinkFact {
    fn from(link: Link) -> Self {
        match link {
            Link::Missing => Self::Missing,
            Link::Plain => Self::Plain,
            Link::Target(target) => Self::Target(target),
            Link::Unreadable => Self::Unreadable,
        }
    }
}

impl From<&LinkFact> for Link {
    fn from(link: &LinkFact) -> Self {
        match link {
            LinkFact::Missing => Self::Missing,
            LinkFact::Plain => Self::Plain,
            LinkFact::Target(target) => Self::Target(target.clone()),
            LinkFact::Unreadable => Self::Unreadable,
        }
    }
}

/// What a hook said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookFact {
    /// Nothing against it.
    Pass,
    /// Not concerned.
    Skip,
    /// Not so.
    Refuse(String),
    /// It failed.
    Failed(String),
}

impl From<Result<Verdict, String>> for HookFact {
    fn from(answer: Result<Verdict, String>) -> Self {
        match answer {
            Ok(Verdict::Pass) => Self::Pass,
            Ok(Verdict::Skip) => Self::Skip,
            Ok(Verdict::Refuse(reason)) => Self::Refuse(reason),
            Err(error) => Self::Failed(error),
        }
    }
}

/// An `ask` that waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PendingAsk {
    /// Rules that ask, in order; the first one's message is shown.
    pub rules: Vec<String>,
    /// `decision_source`
    pub source: String,
    /// Shown to the person.
    pub message: String,
    /// It fired because it could not be evaluated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub policy_error: bool,
    /// Records and hooks of the decision to ask, which the events of its answer repeat.
    pub records: Box<RawValue>,
    /// See `records`.
    pub hooks: Box<RawValue>,
    /// Milliseconds since 1970; an answer after it is none.
    pub deadline_ms: u64,
    /// Whether the call runs when nobody answers.
    pub allow_on_timeout: bool,
    /// The stage that asks; none: rules do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Where the session stands in its workflow, for the events of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Box<RawValue>>,
    /// The answer being settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<SettledAsk>,
}

/// How an `ask` went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettledAsk {
    /// Nobody answered; the call runs because the rules say so then.
    pub timed_out: bool,
    /// The server's id.
    pub approval_id: Option<String>,
    /// Who.
    pub approver: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub decided_at: Option<String>,
    /// Through what.
    pub decided_via: Option<String>,
}

/// Why a ticket cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not one of ours, or of a version that is no longer read.
    #[error("the ticket cannot be read")]
    Unreadable,
    /// It belongs to another step.
    #[error("the ticket belongs to another step")]
    WrongStep,
    /// The call text is not the one it was made for.
    #[error("the call is not the one that was begun")]
    OtherCall,
}

impl Ticket {
    /// A new one.
    #[must_use]
    pub fn new(step: Stage, call_text: &str) -> Self {
        Self {
            v: VERSION,
            step,
            call: fingerprint(call_text),
            asked: Vec::new(),
            facts: Facts::default(),
            events: 0,
            ask: None,
            granted: Vec::new(),
            approved_stage: None,
            workflow_rounds: 0,
            workflow: None,
            unjudged: false,
            would_block: false,
        }
    }

    /// Reads one that is good for one of `steps` and belongs to this call.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub fn read(text: &str, call_text: &str, steps: &[Stage]) -> Result<Self, TicketError> {
        let ticket: Self = serde_json::from_str(text).map_err(|_| TicketError::Unreadable)?;
        if ticket.v != VERSION {
            return Err(TicketError::Unreadable);
        }
        if !steps.contains(&ticket.step) {
            return Err(TicketError::WrongStep);
        }
        if ticket.call != fingerprint(call_text) {
            return Err(TicketError::OtherCall);
        }
        Ok(ticket)
    }

    /// As text.
    #[must_use]
    pub fn write(&self) -> String {
        // Nothing in a ticket can fail to serialize: maps have string keys, numbers are integers.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Tells call texts apart. Hosts are trusted: it guards against mix-ups, not against forgery.
#[must_use]
pub fn fingerprint(text: &str) -> String {
    // FNV-1a over words of eight bytes: fast in wasm, the same everywhere.
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let chunks = text.as_bytes().chunks_exact(8);
    let tail = chunks.remainder();
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ text.len() as u64;
    for chunk in chunks {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        hash = (hash ^ word).wrapping_mul(PRIME);
        hash ^= hash >> 29;
    }
    for byte in tail {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
    }
    format!("{hash:016x}")
}
