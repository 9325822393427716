//! The text of a call: the members that the caller gave, as they came, and the host's own beside them. Nothing is parsed
//! and printed again: `1.0` stays `1.0`, and 12345678901234567890 stays itself.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Error;

/// Members that are the host's: what a caller writes there is left out.
pub const HOST_MEMBERS: [&str; 5] = ["session_id", "call_id", "parent_session_id", "agent_id", "static_principal"];

/// One call to be judged.
#[derive(Clone, Copy, Default)]
pub struct CallRequest<'c> {
    /// A JSON object (call.schema.json): `tool`, `args`, and where known `principal`, `environment`, `metadata`, …
    pub call: &'c str,
    /// None: the guard's own session.
    pub session_id: Option<&'c str>,
    /// None: a new one. Unique in the guard.
    pub call_id: Option<&'c str>,
    /// The session that started this one.
    pub parent_session_id: Option<&'c str>,
}

impl<'c> CallRequest<'c> {
    /// A call in the guard's own session.
    #[must_use]
    pub fn new(call: &'c str) -> Self {
        Self { call, ..Self::default() }
    }

    /// The same call in this session.
    #[must_use]
    pub fn session(self, session_id: &'c str) -> Self {
        Self { session_id: Some(session_id), ..self }
    }

    /// The same call under this id.
    #[must_use]
    pub fn call_id(self, call_id: &'c str) -> Self {
        Self { call_id: Some(call_id), ..self }
    }
}

/// Without the call: its arguments may hold secrets.
impl fmt::Debug for CallRequest<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { session_id, call_id, parent_session_id, .. } = self;
        let mut debug = formatter.debug_struct("CallRequest");
        debug.field("session_id", session_id).field("call_id", call_id).field("parent_session_id", parent_session_id);
        debug.finish_non_exhaustive()
    }
}

impl<'c> From<&'c str> for CallRequest<'c> {
    fn from(call: &'c str) -> Self {
        Self::new(call)
    }
}

/// A member of the host's.
pub(crate) enum Member<'m> {
    /// A string, to be written as JSON.
    Text(&'m str),
    /// JSON.
    Json(&'m str),
}

/// The call's text for the engine: the caller's members without those of [`HOST_MEMBERS`], and then these.
pub(crate) fn splice(call: &str, own: &[(&str, Option<Member<'_>>)]) -> Result<String, Error> {
    let Members(members) = serde_json::from_str(call).map_err(|error| not_an_object("call", &error))?;
    let mut text = String::with_capacity(call.len() + 256);
    let mut next = '{';
    let theirs = members.iter().filter(|(key, _)| !HOST_MEMBERS.contains(&decoded(key.get()).as_ref()));
    for (key, value) in theirs {
        text.push(next);
        text.push_str(key.get());
        text.push(':');
        text.push_str(value.get());
        next = ',';
    }
    for (key, value) in own {
        let Some(value) = value else { continue };
        text.push(next);
        text.push('"');
        text.push_str(key);
        text.push_str("\":");
        match value {
            Member::Text(value) => text.push_str(&quoted(value)),
            Member::Json(value) => text.push_str(value),
        }
        next = ',';
    }
    if next == '{' {
        text.push('{');
    }
    text.push('}');
    Ok(text)
}

/// The same call without arguments, metadata and principal: enough for the log to name it, and small whatever it was.
pub(crate) fn bare(call: &str) -> Result<String, Error> {
    const KEPT: [&str; 8] = [
        "tool",
        "session_id",
        "call_id",
        "agent_id",
        "environment",
        "parent_session_id",
        "parent_call_id",
        "tool_use_id",
    ];
    const LONGEST: usize = 64 * 1024;
    let Members(members) = serde_json::from_str(call).map_err(|error| not_an_object("call", &error))?;
    let mut text = r#"{"args":{}"#.to_owned();
    for (key, value) in members {
        if KEPT.contains(&decoded(key.get()).as_ref()) && value.get().len() <= LONGEST {
            text.push(',');
            text.push_str(key.get());
            text.push(':');
            text.push_str(value.get());
        }
    }
    text.push('}');
    Ok(text)
}

/// The member of an object, as its text. Of several with this name the last.
pub(crate) fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let Members(members) = serde_json::from_str(object).ok()?;
    members.iter().rev().find(|(key, _)| decoded(key.get()) == name).map(|(_, value)| value.get())
}

/// A string as JSON.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn not_an_object(what: &str, error: &serde_json::Error) -> Error {
    // The parser's words may quote the text: only the place is given.
    Error::Argument(format!("`{what}` must be a JSON object (line {}, column {})", error.line(), error.column()))
}

/// A key as it is meant; one that cannot be decoded is nobody's.
fn decoded(key: &str) -> Cow<'_, str> {
    let plain = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if plain.contains('\\') { serde_json::from_str(key).map_or(Cow::Borrowed(key), Cow::Owned) } else { plain.into() }
}

/// The members of an object in their order, as they came, also those that come twice.
struct Members<'t>(Vec<(&'t RawValue, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spliced(call: &str) -> String {
        let own = [
            ("call_id", Some(Member::Text("c\"1"))),
            ("agent_id", None),
            ("static_principal", Some(Member::Json(r#"{"n":1.0}"#))),
        ];
        splice(call, &own).unwrap()
    }

    #[test]
    fn numbers_escapes_and_order_stay_as_they_came() {
        let call = r#"{ "tool" : "t", "args": {"a": 1.0, "b":12345678901234567890, "c": 1e400, "d":"\ud800\u0041"} }"#;
        let expected = concat!(
            r#"{"tool":"t","args":{"a": 1.0, "b":12345678901234567890, "c": 1e400, "d":"\ud800\u0041"},"#,
            r#""call_id":"c\"1","static_principal":{"n":1.0}}"#
        );
        assert_eq!(spliced(call), expected);
    }

    #[test]
    fn a_caller_cannot_write_the_hosts_members() {
        let call = r#"{"session_id":"other","\u0063all_id":"x","tool":"t","static_principal":null,"agent_id":1,"parent_session_id":"p"}"#;
        assert_eq!(spliced(call), r#"{"tool":"t","call_id":"c\"1","static_principal":{"n":1.0}}"#);
    }

    #[test]
    fn a_member_that_comes_twice_is_left_to_the_engine() {
        let call = r#"{"tool":"a","tool":"b","principal":null}"#;
        assert!(spliced(call).starts_with(r#"{"tool":"a","tool":"b","principal":null,"#));
        assert_eq!(member(call, "tool"), Some(r#""b""#));
        assert_eq!(member(call, "principal"), Some("null"));
        assert_eq!(member(call, "args"), None);
    }

    #[test]
    fn depth_beyond_any_parser_passes_through() {
        let deep = format!(r#"{{"tool":"t","args":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(spliced(&deep).len() > deep.len());
    }

    #[test]
    fn a_bare_call_names_the_call_and_nothing_else() {
        let call = format!(
            r#"{{"tool":"t","args":{{"secret":1}},"metadata":{{}},"principal":{{"role":"r"}},"call_id":"c","environment":"{}"}}"#,
            "x".repeat(100_000)
        );
        assert_eq!(bare(&call).unwrap(), r#"{"args":{},"tool":"t","call_id":"c"}"#);
        assert_eq!(bare("{}").unwrap(), r#"{"args":{}}"#);
    }

    #[test]
    fn what_is_no_object_is_refused_without_being_quoted() {
        for call in ["", "[]", "null", "1", r#"{"tool":"secret""#, r#"{"a":NaN}"#, "{} {}", "{'a':1}"] {
            let error = splice(call, &[]).unwrap_err();
            assert_eq!(error.code(), "bad-request", "{call}");
            assert!(!error.to_string().contains("secret"));
        }
        assert_eq!(splice("{}", &[]).unwrap(), "{}");
        assert_eq!(splice(" {} ", &[("call_id", Some(Member::Text("c")))]).unwrap(), r#"{"call_id":"c"}"#);
    }
}
