//! One tool call as the engine sees it: an immutable view of the text a host handed in.
//! Schema: `wit/schemas/call.schema.json`; source of the rules: engine.md §2.
//!
//! [`read`] reads and checks the members, [`registry`] says what a tool does, [`classify`] what a shell command does,
//! [`describe`] writes a call for those who are asked about it, [`sensitive`] is the built-in rule of engine.md §14.6.
//! No rule is judged here.

pub mod classify;
mod describe;
mod read;
pub mod registry;
pub mod sensitive;

use std::borrow::Cow;

pub use read::{Purpose, Refused, check_session_id, principal, read_text, text_error};
pub use registry::ToolRegistry;

use crate::documents::ruleset::SideEffect;
use crate::json::{Map, Value};

/// A call is at most so many bytes of text; above it is blocked (`call_too_large`).
pub const MAX_CALL_BYTES: usize = 16 * 1024 * 1024;

/// Longest tool name and session id, in code points.
pub const MAX_NAME: usize = 10_000;

/// A tool call. Borrowed from the tape of its text.
#[derive(Clone, Debug)]
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

/// Whose call it is, as far as the call itself says.
#[derive(Clone, Copy, Debug)]
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

/// What rules see of a call: everything that selectors can reach.
#[derive(Clone, Copy, Debug)]
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

/// What a tool returned, in the two forms that rules look at (engine.md §8.8).
#[derive(Clone, Copy, Debug)]
pub struct Output<'c> {
    /// As it came.
    pub value: Value<'c>,
    /// `output.text`; none when the result is null.
    pub text: Option<&'c str>,
}
