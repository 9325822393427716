//! A request for approval as the engine gives it (`wit/schemas/approval.schema.json`, redacted already), and its form on
//! the wire (wire.md §8.1).

use edictum_engine::json::write::Object;
use edictum_engine::json::{Tape, Value};
use edictum_engine::redaction::cut;

use crate::endpoint::{Endpoint, Generation};
use crate::path::is_name;

/// Longest message, in code points.
const MAX_MESSAGE: usize = 4096;

/// Longer arguments, in bytes, do not fit into what a person looks at.
const MAX_ARGUMENTS: usize = 256 * 1024;

/// Stands in place of such arguments.
const REPLACED: &str = r#"{"_redacted":"payload exceeded 256KB"}"#;

/// Bounds of the time that a server grants, in seconds.
const TIMEOUT_S: (u64, u64) = (1, 86_400);

/// What a person is asked.
#[derive(Debug)]
pub struct Approval {
    tape: Tape<'static>,
    /// When the time is over, on the caller's clock.
    pub deadline_ms: u64,
}

impl Approval {
    /// Reads one; none: it is no request for approval.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let tape = Tape::read_owned(text.to_owned()).ok()?;
        let deadline_ms = tape.root().as_map()?.get("deadline_ms")?.as_u64()?;
        tape.root().as_map()?.get("message")?.as_str()?;
        Some(Self { tape, deadline_ms })
    }

    fn get(&self, member: &str) -> Option<(Value<'_>, &str)> {
        let map = self.tape.root().as_map()?;
        Some((map.get(member).filter(|value| !value.is_null())?, map.raw(member)?))
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.get(member)?.0.as_str()
    }

    /// Whose call it is, where that can be the value of a header.
    #[must_use]
    pub fn agent_id(&self) -> Option<&str> {
        self.text("agent_id").filter(|id| is_name(id))
    }

    /// The body of the request that creates it, with so many milliseconds left: the server's time ends with ours.
    #[must_use]
    pub fn body(&self, endpoint: &Endpoint, left_ms: u64) -> String {
        let allows = self.text("timeout_action") == Some("allow");
        let arguments = self.get("tool_args").filter(|(value, _)| value.as_map().is_some());
        let arguments = match arguments {
            Some((_, json)) if json.len() <= MAX_ARGUMENTS => json,
            Some(_) => REPLACED,
            None => "{}",
        };
        let mut out = String::new();
        Object::write(&mut out, |body| {
            body.string("agent_id", self.agent_id().unwrap_or_else(|| endpoint.agent_id()));
            body.string("tool_name", self.text("tool_name").unwrap_or_default());
            body.raw("tool_args", arguments);
            body.string("message", &cut(self.text("message").unwrap_or_default(), MAX_MESSAGE));
            body.number("timeout", left_ms.div_ceil(1000).clamp(TIMEOUT_S.0, TIMEOUT_S.1));
            body.string("timeout_action", if allows { "allow" } else { "block" });
            match endpoint.generation() {
                Generation::Console => {
                    body.string("timeout_effect", if allows { "allow" } else { "deny" });
                    for (from, to) in [("decision_source", "decision_source"), ("decision_name", "contract_name")] {
                        self.text(from).into_iter().for_each(|text| body.string(to, &cut(text, 255)));
                    }
                }
                Generation::V1 => {
                    self.text("session_id").into_iter().for_each(|session| body.string("session_id", session));
                    for member in ["principal", "metadata"] {
                        let map = self.get(member).filter(|(value, _)| value.as_map().is_some());
                        map.into_iter().for_each(|(_, json)| body.raw(member, json));
                    }
                }
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::{console, endpoint};

    const TEXT: &str = r#"{"message":"deploy?","timeout":300,"timeout_action":"allow","deadline_ms":1300,"tool_name":"Bash",
        "tool_args":{"n":1e400},"agent_id":"dev","session_id":"s-1","principal":null,"decision_name":"r1","environment":"x"}"#;

    #[test]
    fn the_body_is_the_canonical_one_and_numbers_stay_as_they_are() {
        let approval = Approval::read(TEXT).unwrap();
        assert_eq!(
            approval.body(&endpoint(), 299_001),
            r#"{"agent_id":"dev","tool_name":"Bash","tool_args":{"n":1e400},"message":"deploy?","timeout":300,"timeout_action":"allow","session_id":"s-1"}"#
        );
        assert_eq!(
            approval.body(&console(), 1),
            r#"{"agent_id":"dev","tool_name":"Bash","tool_args":{"n":1e400},"message":"deploy?","timeout":1,"timeout_action":"allow","timeout_effect":"allow","contract_name":"r1"}"#
        );
    }

    #[test]
    fn what_is_no_request_is_none_and_what_is_too_long_is_cut() {
        for bad in ["", "[]", "{}", r#"{"deadline_ms":1}"#, r#"{"message":"m"}"#, r#"{"message":"m","deadline_ms":-1}"#]
        {
            assert!(Approval::read(bad).is_none(), "{bad}");
        }
        let long = format!(
            r#"{{"message":"{}","deadline_ms":1,"tool_args":{{"a":"{}"}},"agent_id":"a\nb"}}"#,
            "m".repeat(9000),
            "x".repeat(MAX_ARGUMENTS)
        );
        let approval = Approval::read(&long).unwrap();
        let body = approval.body(&endpoint(), u64::MAX);
        assert!(body.len() < 5000 && body.contains(REPLACED) && body.contains(r#""timeout":86400"#));
        assert!(body.contains(r#""agent_id":"agent-1""#) && body.contains(r#""timeout_action":"block""#));
    }
}
