//! A ruleset after validation: types, required keys, enums and dependencies hold; nothing is compiled yet.
//! Source of the rules: engine.md §1.1–1.3.

use std::sync::Arc;

use crate::diagnostics::Span;
use crate::json::Literal;

/// `enforce` acts, `observe` only records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A failing rule has its effect.
    Enforce,
    /// A failing rule is recorded, and has none.
    Observe,
}

impl Mode {
    /// As written in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
        }
    }
}

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SideEffect {
    /// Nothing, and it looks at nothing.
    Pure,
    /// It looks.
    Read,
    /// It changes things that can be changed back.
    Write,
    /// It changes things for good. What is not known is taken for this.
    Irreversible,
}

impl SideEffect {
    /// As written in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Read => "read",
            Self::Write => "write",
            Self::Irreversible => "irreversible",
        }
    }
}

/// An entry of `tools:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolClass {
    /// Its class.
    #[serde(default = "irreversible")]
    pub side_effect: SideEffect,
    /// Whether a second time changes nothing.
    #[serde(default)]
    pub idempotent: bool,
}

const fn irreversible() -> SideEffect {
    SideEffect::Irreversible
}

/// What happens when nobody answers an `ask` in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeoutAction {
    /// The call does not run.
    Block,
    /// It runs.
    Allow,
}

/// One document of `kind: Ruleset`.
#[derive(Clone, Debug)]
pub struct Ruleset {
    /// The document it came from: a path or a name.
    pub document: Arc<str>,
    /// SHA-256 of its raw bytes, lower-case hex.
    pub hash: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.description`
    pub description: Option<String>,
    /// `defaults.mode`
    pub mode: Mode,
    /// In file order, disabled ones included.
    pub rules: Vec<Arc<Rule>>,
    /// By exact tool name, in file order.
    pub tools: Vec<(String, ToolClass)>,
    /// The block as JSON with its defaults filled in, when present.
    pub observability: Option<Literal>,
    /// Whether the file's rules stand beside the enforced ones when composed (engine.md §12.2).
    pub observe_alongside: bool,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Unique in its file.
    pub id: String,
    /// False: validated and then dropped.
    pub enabled: bool,
    /// Its own `mode`; none: the file's default.
    pub mode: Option<Mode>,
    /// The document, for diagnostics of later steps.
    pub document: Arc<str>,
    /// Where its `id` stands.
    pub span: Span,
    /// What it does.
    pub body: RuleBody,
}

/// The four types.
#[derive(Clone, Debug)]
pub enum RuleBody {
    /// Checked before the tool runs.
    Pre(PreRule),
    /// Checked after it ran.
    Post(PostRule),
    /// Limits of a session.
    Session(SessionRule),
    /// What a tool may touch.
    Sandbox(SandboxRule),
}

/// `then` without its action.
#[derive(Clone, Debug)]
pub struct Then {
    /// Template of 1..=500 code points (engine.md §9).
    pub message: String,
    /// Where the message stands.
    pub message_span: Span,
    /// In order, duplicates kept.
    pub tags: Vec<String>,
    /// A map, when present.
    pub metadata: Option<Literal>,
}

/// `timeout` and `timeout_action` of an `ask`.
#[derive(Clone, Copy, Debug)]
pub struct Approval {
    /// Seconds, at least 1.
    pub timeout: u64,
    /// What a timeout means.
    pub timeout_action: TimeoutAction,
}

/// Effect of a failing precondition or sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreAction {
    /// The call does not run.
    Block,
    /// A person decides.
    Ask,
}

impl PreAction {
    /// As written in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Ask => "ask",
        }
    }
}

/// Effect of a failing postcondition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostAction {
    /// The agent is told.
    Warn,
    /// What matched is replaced.
    Redact,
    /// The output is suppressed.
    Block,
}

impl PostAction {
    /// As written in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// `type: pre`
#[derive(Clone, Debug)]
pub struct PreRule {
    /// Glob (engine.md §5).
    pub tool: String,
    /// Fires when true, or when it cannot be evaluated.
    pub when: Expression,
    /// Effect.
    pub action: PreAction,
    /// Message, tags, metadata.
    pub then: Then,
    /// For `ask`.
    pub approval: Approval,
}

/// `type: post`
#[derive(Clone, Debug)]
pub struct PostRule {
    /// Glob.
    pub tool: String,
    /// Fires when true, or when it cannot be evaluated.
    pub when: Expression,
    /// Effect.
    pub action: PostAction,
    /// Message, tags, metadata.
    pub then: Then,
}

/// `type: session`
#[derive(Clone, Debug)]
pub struct SessionRule {
    /// At least one is set.
    pub limits: SessionLimits,
    /// Message (never expanded), tags, metadata.
    pub then: Then,
}

/// Limits of a session rule or of the options. All at least 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionLimits {
    /// Successful or failed executions.
    pub max_tool_calls: Option<u64>,
    /// Attempts, blocked ones included.
    pub max_attempts: Option<u64>,
    /// By exact tool name.
    pub max_calls_per_tool: std::collections::BTreeMap<String, u64>,
}

/// `type: sandbox`
#[derive(Clone, Debug)]
pub struct SandboxRule {
    /// Globs; any of them.
    pub tools: Vec<String>,
    /// Paths a call must stay in; empty: not restricted.
    pub within: Vec<Spanned<String>>,
    /// Paths it must stay out of.
    pub not_within: Vec<Spanned<String>>,
    /// First words (or word prefixes) of permitted commands; none: not restricted.
    pub allowed_commands: Option<Vec<Spanned<String>>>,
    /// Globs of permitted hosts; none: not restricted.
    pub allowed_domains: Option<Vec<Spanned<String>>>,
    /// Globs of forbidden hosts.
    pub blocked_domains: Vec<Spanned<String>>,
    /// Effect of a call outside.
    pub outside: PreAction,
    /// Template.
    pub message: String,
    /// Where the message stands.
    pub message_span: Span,
    /// For `outside: ask`.
    pub approval: Approval,
}

/// Something and where it stands.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The thing.
    pub value: T,
    /// The place.
    pub span: Span,
}

/// `when` (engine.md §1.3).
#[derive(Clone, Debug)]
pub enum Expression {
    /// Left to right, stops at the first false.
    All(Vec<Expression>),
    /// Left to right, stops at the first true.
    Any(Vec<Expression>),
    /// Negation; an error stays an error.
    Not(Box<Expression>),
    /// `selector: {operator: operand}`
    Leaf(Leaf),
}

/// One comparison.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// As written.
    pub selector: Spanned<String>,
    /// As written; may be a custom one.
    pub operator: Spanned<String>,
    /// Its type fits the operator, when that is a built-in one.
    pub operand: Spanned<Literal>,
}
