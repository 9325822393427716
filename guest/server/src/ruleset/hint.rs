//! What an event of the stream says (wire.md §5.3). Nothing of it is used but names, and a name is checked: an event never
//! brings rules, an address or a path with it (T67).

use edictum_engine::json::{Map, Value};

use crate::endpoint::Endpoint;
use crate::outcome::read_json;
use crate::path::is_name;
use crate::stream::sse::Event;

/// A reason to do something, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A ruleset has changed.
    Changed(Changed),
    /// This agent gets this ruleset from now on.
    Assigned(String),
    /// Nothing is assigned to this agent any more.
    Unassigned,
    /// This approval was decided, or its time is over.
    Decided(String),
    /// For somebody else, or of a kind that says nothing here.
    None,
    /// It is not what its kind should be; why.
    Malformed(&'static str),
}

/// Which ruleset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its name; none: the one that the stream is about.
    pub name: Option<String>,
    /// SHA-256 of its text, lower-case hex.
    pub revision: Option<String>,
    /// The event is of the older kind, which assigns too: while nothing is assigned, it names what is.
    pub assigns: bool,
}

impl Hint {
    /// Reads an event.
    #[must_use]
    pub fn read(endpoint: &Endpoint, event: &Event) -> Self {
        let relevant = matches!(
            event.name.as_str(),
            "ruleset_updated" | "contract_update" | "assignment_changed" | "approval_decided" | "approval_timeout"
        );
        if !relevant {
            return Self::None;
        }
        let Ok(tape) = read_json(&event.data) else { return Self::Malformed("its data is not JSON") };
        let Some(map) = tape.root().as_map() else { return Self::Malformed("its data is not a JSON object") };
        let hint = match event.name.as_str() {
            "ruleset_updated" => updated(map),
            "contract_update" => contract(endpoint, map),
            "assignment_changed" => assigned(endpoint, map),
            _ => name(map, "approval_id").and_then(|id| id.ok_or("it names no approval")).map(Self::Decided),
        };
        hint.unwrap_or_else(Self::Malformed)
    }
}

fn updated(map: Map<'_>) -> Result<Hint, &'static str> {
    let name = name(map, "name")?.ok_or("it names no ruleset")?;
    if map.get("version").is_some_and(|version| !version.is_null() && version.as_u64().is_none_or(|number| number == 0))
    {
        return Err("its version is not a positive integer");
    }
    Ok(Hint::Changed(Changed { name: Some(name), revision: revision(map), assigns: false }))
}

fn contract(endpoint: &Endpoint, map: Map<'_>) -> Result<Hint, &'static str> {
    let name = name(map, "bundle_name")?;
    if !is_ours(map, "env", endpoint.env()) {
        return Ok(Hint::None);
    }
    match map.get("_assignment_changed") {
        None | Some(Value::Null | Value::Bool(false)) => {
            Ok(Hint::Changed(Changed { name, revision: revision(map), assigns: true }))
        }
        Some(Value::Bool(true)) if is_ours(map, "agent_id", endpoint.agent_id()) => {
            Ok(name.map_or(Hint::Unassigned, Hint::Assigned))
        }
        Some(Value::Bool(true)) => Ok(Hint::None),
        Some(_) => Err("`_assignment_changed` is not a boolean"),
    }
}

fn assigned(endpoint: &Endpoint, map: Map<'_>) -> Result<Hint, &'static str> {
    let name = name(map, "bundle_name")?;
    let ours = is_ours(map, "agent_id", endpoint.agent_id()) && is_ours(map, "env", endpoint.env());
    Ok(if ours { name.map_or(Hint::Unassigned, Hint::Assigned) } else { Hint::None })
}

fn name(map: Map<'_>, member: &str) -> Result<Option<String>, &'static str> {
    match map.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if is_name(name) => Ok(Some(name.to_owned())),
        Some(_) => Err("a name in it is none"),
    }
}

/// Whether a member is missing, or says what is ours.
fn is_ours(map: Map<'_>, member: &str, ours: &str) -> bool {
    map.get(member).is_none_or(|value| value.is_null() || value.as_str() == Some(ours))
}

fn revision(map: Map<'_>) -> Option<String> {
    let hash = map.get("revision_hash")?.as_str()?;
    let hex = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex.then(|| hash.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::endpoint;

    fn hint(name: &str, data: &str) -> Hint {
        Hint::read(&endpoint(), &Event { name: name.to_owned(), data: data.to_owned() })
    }

    fn changed(name: Option<&str>, assigns: bool) -> Hint {
        Hint::Changed(Changed { name: name.map(str::to_owned), revision: None, assigns })
    }

    #[test]
    fn t63_both_vocabularies_are_understood() {
        assert_eq!(hint("ruleset_updated", r#"{"name":"t","version":2}"#), changed(Some("t"), false));
        assert_eq!(hint("ruleset_updated", r#"{"name":"t"}"#), changed(Some("t"), false));
        assert_eq!(
            hint("contract_update", r#"{"bundle_name":"t","yaml_bytes":"x","env":"production"}"#),
            changed(Some("t"), true)
        );
        assert_eq!(hint("contract_update", "{}"), changed(None, true));
        assert_eq!(
            hint("assignment_changed", r#"{"bundle_name":"n","agent_id":"agent-1"}"#),
            Hint::Assigned("n".into())
        );
        assert_eq!(
            hint("contract_update", r#"{"_assignment_changed":true,"bundle_name":"n"}"#),
            Hint::Assigned("n".into())
        );
        assert_eq!(
            hint("approval_decided", r#"{"approval_id":"a-1","status":"approved"}"#),
            Hint::Decided("a-1".into())
        );
        assert_eq!(hint("approval_timeout", r#"{"approval_id":"a-1"}"#), Hint::Decided("a-1".into()));
        let hash = "AB".repeat(32);
        let with_hash = hint("ruleset_updated", &format!(r#"{{"name":"t","revision_hash":"{hash}"}}"#));
        assert!(matches!(with_hash, Hint::Changed(changed) if changed.revision == Some("ab".repeat(32))));
    }

    #[test]
    fn t65_what_is_for_somebody_else_says_nothing() {
        for (name, data) in [
            ("contract_update", r#"{"bundle_name":"t","env":"staging"}"#),
            ("contract_update", r#"{"_assignment_changed":true,"bundle_name":"t","agent_id":"other"}"#),
            ("assignment_changed", r#"{"bundle_name":"t","agent_id":"other"}"#),
            ("assignment_changed", r#"{"bundle_name":"t","env":"staging"}"#),
            ("decision", r#"{"action":"call_blocked"}"#),
            ("bundle_uploaded", "not JSON"),
            ("message", "{}"),
        ] {
            assert_eq!(hint(name, data), Hint::None, "{name} {data}");
        }
    }

    #[test]
    fn t67_t68_no_event_brings_a_path_with_it() {
        for name in ["../../admin/secret?x=", "n2\\n", "a/b", "", "%2e%2e", ".", "a b", &"n".repeat(129)] {
            for (event, data) in [
                ("contract_update", format!(r#"{{"_assignment_changed":true,"bundle_name":"{name}"}}"#)),
                ("contract_update", format!(r#"{{"bundle_name":"{name}"}}"#)),
                ("assignment_changed", format!(r#"{{"bundle_name":"{name}"}}"#)),
                ("ruleset_updated", format!(r#"{{"name":"{name}"}}"#)),
                ("approval_decided", format!(r#"{{"approval_id":"{name}"}}"#)),
            ] {
                assert!(matches!(hint(event, &data), Hint::Malformed(_)), "{event} {data}");
            }
        }
        assert_eq!(hint("assignment_changed", r#"{"bundle_name":null}"#), Hint::Unassigned);
        assert_eq!(hint("contract_update", r#"{"_assignment_changed":true}"#), Hint::Unassigned);
    }

    #[test]
    fn t70_t71_what_is_no_json_object_is_skipped() {
        let deep = "[".repeat(200_000);
        for data in ["", "{", "[1]", "null", "7", "\u{fffd}", "{\"name\":\"t\",\"name\":\"u\"}", &deep] {
            assert!(matches!(hint("ruleset_updated", data), Hint::Malformed(_)), "{}", data.len());
        }
        for data in
            [r#"{"name":7}"#, r#"{"version":2}"#, r#"{"name":"t","version":0}"#, r#"{"name":"t","version":"2"}"#]
        {
            assert!(matches!(hint("ruleset_updated", data), Hint::Malformed(_)), "{data}");
        }
        assert!(matches!(
            hint("contract_update", r#"{"_assignment_changed":1,"bundle_name":"t"}"#),
            Hint::Malformed(_)
        ));
    }
}
