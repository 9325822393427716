//! Reads the members of a call (engine.md §2.1–2.3, 2.5, 2.6). The first defect names the block, and what is whole in a
//! defective call is still there for the decision log.

use std::borrow::Cow;

use super::registry::SHELL_TOOL;
use super::{Call, InvalidCall, MAX_CALL_BYTES, MAX_NAME, Principal, ToolRegistry};
use crate::documents::ruleset::SideEffect;
use crate::json::{Map, ReadError, Tape, Value, members};

/// Agent of a call that names none (wire.md §2.4).
const DEFAULT_AGENT: &str = "default";

/// Tools whose `file_path` is looked at.
const FILE_TOOLS: [&str; 5] = ["Read", "Glob", "Grep", "Write", "Edit"];

/// Where they have it; the first non-empty string counts.
const FILE_KEYS: [&str; 3] = ["file_path", "filePath", "path"];

/// Members of a principal that are strings or null.
const PRINCIPAL_FIELDS: [&str; 5] = ["user_id", "service_id", "org_id", "role", "ticket_ref"];

/// What a call is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is to be run: it must have a session and an id.
    Execute,
    /// It is only judged; session and id may be absent, and an empty environment or principal is none.
    DryRun,
}

/// A call that cannot be judged.
#[derive(Clone, Debug)]
pub struct Refused<'t> {
    /// Why.
    pub invalid: InvalidCall,
    /// What of it is whole; for the decision log. What is not valid is empty or absent here, but for the tool name, which
    /// is as it came, cut to [`MAX_NAME`].
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

/// What a call text says of whose call it is, when it cannot be read: the members that are the host's, and no others. So each
/// event about it has its own id, its agent and its session. It never is a whole call: it has no tool.
#[must_use]
pub fn rest_of_text(text: &str) -> Option<Tape<'static>> {
    let known = members::strings(text, &["call_id", "session_id", "parent_session_id", "agent_id"]);
    let rest: Vec<String> = known.iter().map(|(name, raw)| format!("\"{name}\":{raw}")).collect();
    Tape::read_owned(format!("{{{}}}", rest.join(","))).ok()
}

/// Why a text is not a call, as a block.
#[must_use]
pub fn text_error(error: ReadError) -> InvalidCall {
    match error {
        ReadError::DuplicateKey { .. } => invalid("duplicate_key", "the call has a map with the same key twice"),
        ReadError::LoneSurrogate { .. } => invalid("lone_surrogate", "the call has a string that is not Unicode"),
        ReadError::TooDeep { .. } => invalid("call_too_deep", "the call is nested too deeply"),
        ReadError::TooLong => invalid("call_too_large", "the call is too large"),
        ReadError::Syntax { .. } => invalid("invalid_json", "the call is not JSON"),
    }
}

/// A principal, from a call or from a resolver: null is nobody. Members that it does not know are left alone.
///
/// # Errors
/// `invalid_principal`: not a map, a field that is not a string, claims that are not a map.
pub fn principal(value: Value<'_>) -> Result<Option<Map<'_>>, InvalidCall> {
    let map = match value {
        Value::Null => return Ok(None),
        Value::Map(map) => map,
        _ => return Err(invalid("invalid_principal", "the principal is not a map")),
    };
    for (key, value) in map.iter() {
        let whole = match value {
            Value::Null => true,
            Value::String(_) => key != "claims",
            Value::Map(_) => !PRINCIPAL_FIELDS.contains(&key),
            _ => key != "claims" && !PRINCIPAL_FIELDS.contains(&key),
        };
        if !whole {
            return Err(invalid("invalid_principal", "a field of the principal has the wrong type"));
        }
    }
    Ok(Some(map))
}

/// Whether a session id may name a session: it becomes part of storage keys.
///
/// # Errors
/// `invalid_session_id`: empty, control characters, `/`, `\`, `:`, longer than [`MAX_NAME`].
pub fn check_session_id(id: &str) -> Result<(), InvalidCall> {
    let separators = |byte: u8| matches!(byte, 0..=0x1f | 0x7f | b'/' | b'\\' | b':');
    if id.is_empty() {
        Err(invalid("invalid_session_id", "the session id is empty"))
    } else if id.bytes().any(separators) {
        Err(invalid("invalid_session_id", "the session id has a control character, a slash or a colon"))
    } else if too_long(id) {
        Err(invalid("invalid_session_id", "the session id is too long"))
    } else {
        Ok(())
    }
}

impl<'t> Call<'t> {
    /// Reads a call. Members that it does not know are left alone.
    ///
    /// # Errors
    /// The first defect, with what of the call is whole.
    pub fn read(tape: &'t Tape<'t>, registry: &ToolRegistry, purpose: Purpose) -> Result<Self, Refused<'t>> {
        let Value::Map(root) = tape.root() else {
            let invalid = invalid("invalid_call", "the call is not a map");
            return Err(Refused { invalid, call: Box::new(Self::unreadable()), rules_may_explain: false });
        };
        let members = Members::of(root);
        let mut defects = Defects::default();
        let mut call = members.call(purpose, &mut defects);
        let class = registry.class(call.tool, call.bash_command);
        (call.side_effect, call.idempotent) = (class.side_effect, class.idempotent);
        let separator = defects.separator.map(|reason| invalid("invalid_tool_name", reason));
        // The tool name is the first thing to be looked at, so its defect is the one to name.
        let rules_may_explain = separator.is_some() && defects.first.is_none();
        match separator.or(defects.first) {
            None => Ok(call),
            Some(invalid) => Err(Refused { invalid, call: Box::new(call), rules_may_explain }),
        }
    }

    /// What is known of a call whose text cannot be read at all.
    #[must_use]
    pub fn unreadable() -> Self {
        Self {
            tool: "",
            args: Map::empty(),
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

/// What is wrong with a call.
#[derive(Default)]
struct Defects {
    /// The first one.
    first: Option<InvalidCall>,
    /// The tool name has a path separator and no other defect.
    separator: Option<&'static str>,
}

impl Defects {
    fn note(&mut self, name: &'static str, reason: &'static str) {
        self.first.get_or_insert(invalid(name, reason));
    }

    /// The value of a check, or nothing and a note.
    fn keep<T>(&mut self, result: Result<T, InvalidCall>) -> Option<T> {
        result.map_err(|invalid| self.first.get_or_insert(invalid)).ok()
    }
}

/// The members of a call text; none where a member is absent.
#[derive(Default)]
struct Members<'t> {
    tool: Option<Value<'t>>,
    args: Option<Value<'t>>,
    session_id: Option<Value<'t>>,
    call_id: Option<Value<'t>>,
    agent_id: Option<Value<'t>>,
    environment: Option<Value<'t>>,
    parent_session_id: Option<Value<'t>>,
    parent_call_id: Option<Value<'t>>,
    tool_use_id: Option<Value<'t>>,
    call_index: Option<Value<'t>>,
    metadata: Option<Value<'t>>,
    principal: Option<Value<'t>>,
    static_principal: Option<Value<'t>>,
}

impl<'t> Members<'t> {
    fn of(root: Map<'t>) -> Self {
        let mut members = Self::default();
        for (key, value) in root.iter() {
            // Byte for byte, which becomes a tree of comparisons instead of a row of them.
            let member = match key.as_bytes() {
                b"tool" => &mut members.tool,
                b"args" => &mut members.args,
                b"session_id" => &mut members.session_id,
                b"call_id" => &mut members.call_id,
                b"agent_id" => &mut members.agent_id,
                b"environment" => &mut members.environment,
                b"parent_session_id" => &mut members.parent_session_id,
                b"parent_call_id" => &mut members.parent_call_id,
                b"tool_use_id" => &mut members.tool_use_id,
                b"call_index" => &mut members.call_index,
                b"metadata" => &mut members.metadata,
                b"principal" => &mut members.principal,
                b"static_principal" => &mut members.static_principal,
                _ => continue,
            };
            *member = Some(value);
        }
        members
    }

    /// The call, with defaults for what is absent or defective. The order of the checks is that of importance: the
    /// first defect is the one the agent is told.
    fn call(&self, purpose: Purpose, defects: &mut Defects) -> Call<'t> {
        let tool = tool_name(self.tool, defects);
        let session_id = self.session_id(purpose, defects);
        let call_id = self.call_id(purpose, defects);
        let args = map(self.args, "invalid_arguments", "the arguments are not a map", defects);
        let args = args.unwrap_or(Map::empty());
        if matches!(self.args, Some(Value::Null)) {
            defects.note("invalid_arguments", "the arguments are not a map");
        }
        let metadata = map(self.metadata, "invalid_metadata", "the metadata is not a map", defects);
        let environment = string(self.environment, "invalid_environment", "the environment is not a string", defects)
            .filter(|environment| purpose == Purpose::Execute || !environment.is_empty());
        Call {
            tool,
            args,
            metadata,
            call_id,
            session_id,
            agent_id: string(self.agent_id, "invalid_agent_id", "the agent id is not a string", defects)
                .filter(|id| !id.is_empty())
                .unwrap_or(DEFAULT_AGENT),
            environment,
            parent_call_id: string(
                self.parent_call_id,
                "invalid_parent_call_id",
                "the parent call id is not a string",
                defects,
            ),
            parent_session_id: self.parent_session_id(metadata, defects),
            tool_use_id: string(self.tool_use_id, "invalid_tool_use_id", "the tool use id is not a string", defects),
            call_index: self.call_index(defects),
            principal: self.principal(purpose, defects),
            bash_command: bash_command(tool, args, defects),
            file_path: file_path(tool, args),
            side_effect: SideEffect::Irreversible,
            idempotent: false,
        }
    }

    fn session_id(&self, purpose: Purpose, defects: &mut Defects) -> &'t str {
        let id = string(self.session_id, "invalid_session_id", "the session id is not a string", defects);
        match id {
            None | Some("") if purpose == Purpose::DryRun => "",
            None => {
                defects.note("invalid_session_id", "the call has no session id");
                ""
            }
            Some(id) => defects.keep(check_session_id(id)).map_or("", |()| id),
        }
    }

    fn call_id(&self, purpose: Purpose, defects: &mut Defects) -> &'t str {
        let id = string(self.call_id, "invalid_call_id", "the call id is not a string", defects).unwrap_or("");
        if id.is_empty() && purpose == Purpose::Execute {
            defects.note("invalid_call_id", "the call has no id");
        } else if !is_printable_ascii(id) && id.chars().any(char::is_control) {
            defects.note("invalid_call_id", "the call id has a control character");
            return "";
        }
        id
    }

    /// The member, else the one that the metadata names; an id that cannot be one is none.
    fn parent_session_id(&self, metadata: Option<Map<'t>>, defects: &mut Defects) -> Option<&'t str> {
        let (name, reason) = ("invalid_parent_session_id", "the parent session id is not a string");
        let own = string(self.parent_session_id, name, reason, defects);
        own.or_else(|| metadata?.get("parent_session_id")?.as_str()).filter(|id| check_session_id(id).is_ok())
    }

    fn call_index(&self, defects: &mut Defects) -> u64 {
        match self.call_index {
            None | Some(Value::Null) => 0,
            Some(value) => value.as_u64().unwrap_or_else(|| {
                defects.note("invalid_call_index", "the call index is not a non-negative integer");
                0
            }),
        }
    }

    fn principal(&self, purpose: Purpose, defects: &mut Defects) -> Principal<'t> {
        let somebody = |map: &Map<'t>| purpose == Purpose::Execute || !map.is_empty();
        let mut read = |value: Value<'t>| defects.keep(principal(value)).flatten().filter(somebody);
        match (self.principal, self.static_principal) {
            (Some(explicit), guards) => {
                let explicit = read(explicit);
                // It has no effect here, and is no less wrong for that.
                guards.map(read);
                Principal::Explicit(explicit)
            }
            (None, guards) => Principal::Static(guards.and_then(read)),
        }
    }
}

const fn invalid(name: &'static str, reason: &'static str) -> InvalidCall {
    InvalidCall { name, reason: Cow::Borrowed(reason) }
}

/// What most ids and names are, and what needs no look at characters.
fn is_printable_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// More than [`MAX_NAME`] code points.
fn too_long(text: &str) -> bool {
    text.len() > MAX_NAME && text.chars().nth(MAX_NAME).is_some()
}

/// A string; null is none, and so is one that is too long or no string, with a note.
fn string<'t>(
    value: Option<Value<'t>>,
    name: &'static str,
    reason: &'static str,
    defects: &mut Defects,
) -> Option<&'t str> {
    match value? {
        Value::Null => None,
        Value::String(text) if !too_long(text) => Some(text),
        Value::String(_) => {
            defects.note(name, "an id or name of the call is too long");
            None
        }
        _ => {
            defects.note(name, reason);
            None
        }
    }
}

fn map<'t>(
    value: Option<Value<'t>>,
    name: &'static str,
    reason: &'static str,
    defects: &mut Defects,
) -> Option<Map<'t>> {
    match value? {
        Value::Null => None,
        Value::Map(map) => Some(map),
        _ => {
            defects.note(name, reason);
            None
        }
    }
}

/// The union of what the published SDKs refuse, and a length (engine.md §2.1).
fn tool_name<'t>(value: Option<Value<'t>>, defects: &mut Defects) -> &'t str {
    let name = match value {
        Some(Value::String(name)) => name,
        None => {
            defects.note("invalid_tool_name", "the call names no tool");
            return "";
        }
        Some(_) => {
            defects.note("invalid_tool_name", "the tool name is not a string");
            return "";
        }
    };
    if name.is_empty() {
        defects.note("invalid_tool_name", "the tool name is empty");
    } else if !is_printable_ascii(name)
        && name.chars().any(|char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}'))
    {
        defects.note("invalid_tool_name", "the tool name has a control character or a line separator");
    } else if too_long(name) {
        defects.note("invalid_tool_name", "the tool name is too long");
    } else if name.bytes().any(|byte| matches!(byte, b'/' | b'\\')) {
        defects.separator = Some("the tool name has a path separator");
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    name.char_indices().nth(MAX_NAME).map_or(name, |(end, _)| name.get(..end).unwrap_or_default())
}

fn bash_command<'t>(tool: &str, args: Map<'t>, defects: &mut Defects) -> &'t str {
    if tool != SHELL_TOOL {
        return "";
    }
    match args.get("command") {
        None => "",
        Some(Value::String(command)) => command,
        Some(_) => {
            defects.note("invalid_command", "the command is not a string");
            ""
        }
    }
}

fn file_path<'t>(tool: &str, args: Map<'t>) -> Option<&'t str> {
    if !FILE_TOOLS.contains(&tool) {
        return None;
    }
    FILE_KEYS.iter().find_map(|key| args.get(key)?.as_str().filter(|path| !path.is_empty()))
}

#[cfg(test)]
mod tests;
