//! Writes a call for those who are asked about it: custom selectors, hooks, the principal resolver, the success check.
//! Not redacted: they decide, and need what the tool will get.

use super::Call;
use crate::json::Map;
use crate::json::write::Object;

impl Call<'_> {
    /// Appends the call as one JSON object, with principal, environment and side effect as the engine sees them.
    /// Arguments, metadata and principal are the text they came in.
    pub fn describe(&self, out: &mut String, principal: Option<Map<'_>>, environment: &str) {
        out.reserve(self.args.text().len() + 512);
        Object::write(out, |object| {
            object.string("tool", self.tool);
            object.raw("args", self.args.text());
            object.string("session_id", self.session_id);
            object.string("call_id", self.call_id);
            object.string("agent_id", self.agent_id);
            object.string("environment", environment);
            object.string("side_effect", self.side_effect.as_str());
            object.bool("idempotent", self.idempotent);
            object.raw("principal", principal.map_or("null", Map::text));
            object.raw("metadata", self.metadata.map_or("{}", Map::text));
            object.optional_string("parent_session_id", self.parent_session_id);
            object.optional_string("parent_call_id", self.parent_call_id);
            object.optional_string("tool_use_id", self.tool_use_id);
            object.number("call_index", self.call_index);
            object.optional_string("bash_command", self.is_shell().then_some(self.bash_command));
            object.optional_string("file_path", self.file_path);
        });
    }

    /// Whether the tool is `Bash`, the one whose command is looked at.
    #[must_use]
    pub fn is_shell(&self) -> bool {
        self.tool == super::registry::SHELL_TOOL
    }
}
