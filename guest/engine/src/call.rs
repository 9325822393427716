//! One tool call as the engine sees it: an immutable view of the text a host handed in.
//! Schema: `wit/schemas/call.schema.json`; source of the rules: engine.md §2.
//!
//! `read` reads and checks the members, [`registry`] says what a tool does, [`classify`] what a shell command does,
//! `describe` writes a call for those who are asked about it, [`sensitive`] is the built-in rule of engine.md §14.6.
//! No rule is judged here.

pub mod classify;
mod describe;
mod read;
pub mod registry;
pub mod sensitive;

use std::borrow::Cow;
use std::fmt;

pub use read::{Purpose, Refused, check_session_id, principal, read_text, rest_of_text, text_error};
pub use registry::ToolRegistry;

use crate::documents::ruleset::SideEffect;
use crate::json::{Map, Value};

/// A call is at most so many bytes of text; above it is blocked (`call_too_large`).
pub const MAX_CALL_BYTES: usize = 16 * 1024 * 1024;

/// Longest tool name and session id, in code points.
pub const MAX_NAME: usize = 10_000;

/// A tool call. Borrowed from the tape of its text. `Debug` shows names and ids, and nothing that may hold a secret.
#[derive(Clone)]
pub struct Call<'t> {
    /// The tool's name, compared code point by code point.
    pub tool: &'t str,
    /// Its arguments.
    pub args: Map<'t>,
    /// Call metadata.
    pub metadata: Option<Map<'t>>,
    /// The host's own, unique id; empty in a dry run that gives none.
    pub call_id: &'t str,
    /// The session; empty in a dry run that gives none.
    pub session_id: &'t str,
    /// The agent.
    pub agent_id: &'t str,
    /// What the call itself says; the guard's value applies when there is none.
    pub environment: Option<&'t str>,
    /// A call that this one belongs to.
    pub parent_call_id: Option<&'t str>,
    /// The session that started this one, when it is a valid id.
    pub parent_session_id: Option<&'t str>,
    /// The model's own id of the call.
    pub tool_use_id: Option<&'t str>,
    /// Position in the run.
    pub call_index: u64,
    /// Whose call it is.
    pub principal: Principal<'t>,
    /// Command of the tool `Bash` (engine.md §2.3); empty when there is none.
    pub bash_command: &'t str,
    /// File of the tools `Read`, `Glob`, `Grep`, `Write`, `Edit`.
    pub file_path: Option<&'t str>,
    /// What the tool does.
    pub side_effect: SideEffect,
    /// Whether a second time changes nothing.
    pub idempotent: bool,
}

/// Whose call it is, as far as the call itself says. `Debug` does not show who.
#[derive(Clone, Copy)]
pub enum Principal<'t> {
    /// `principal` is in the call: a map, or null for nobody.
    Explicit(Option<Map<'t>>),
    /// Only the guard's `static_principal`, which a resolver replaces.
    Static(Option<Map<'t>>),
}

/// Why a call cannot be judged. It is a block with `policy_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidCall {
    /// `decision_name`, as in `invalid_tool_name` or `call_too_large`.
    pub name: &'static str,
    /// For the agent; holds nothing of the call but its tool name.
    pub reason: Cow<'static, str>,
}

/// What rules see of a call: everything that selectors can reach. `Debug` is that of the call.
#[derive(Clone, Copy)]
pub struct Subject<'c> {
    /// The call.
    pub call: &'c Call<'c>,
    /// After the resolver: nobody, or a map with `user_id`, `role`, `claims` and so on.
    pub principal: Option<Map<'c>>,
    /// After the guard's default.
    pub environment: &'c str,
    /// What the tool returned; none before it ran. `Value::Null` is a null result.
    pub output: Option<Output<'c>>,
    /// Maps of custom selectors, by prefix.
    pub custom: &'c [(String, Result<crate::json::Literal, String>)],
}

/// What a tool returned, in the two forms that rules look at (engine.md §8.8). `Debug` shows nothing of it.
#[derive(Clone, Copy)]
pub struct Output<'c> {
    /// As it came.
    pub value: Value<'c>,
    /// `output.text`; none when the result is null.
    pub text: Option<&'c str>,
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("tool", &self.tool)
            .field("call_id", &self.call_id)
            .field("session_id", &self.session_id)
            .field("side_effect", &self.side_effect)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Principal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, principal) = match self {
            Self::Explicit(principal) => ("Explicit", principal),
            Self::Static(principal) => ("Static", principal),
        };
        formatter.debug_tuple(kind).field(&principal.map(|_| "somebody")).finish()
    }
}

impl fmt::Debug for Subject<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subject = formatter.debug_struct("Subject");
        subject.field("call", self.call).field("environment", &self.environment).finish_non_exhaustive()
    }
}

impl fmt::Debug for Output<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Output").finish_non_exhaustive()
    }
}
