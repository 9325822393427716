//! An entry of the outbox, and its form on the wire (wire.md §9.1).

use edictum_engine::json::Tape;
use edictum_engine::json::write::Object;
use edictum_engine::record::event::SCHEMA_VERSION;
use edictum_engine::redaction::event::cap_event;

use crate::endpoint::Endpoint;

/// Longest member of an event that is sent in its short form, in bytes.
const MAX_SHORT: usize = 256;

/// An entry of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Given by the outbox, one more each time.
    pub sequence: u64,
    /// What it is.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// An event in wire form, as the engine made it.
    Event(String),
    /// What a full outbox had to give up.
    Gap(Gap),
}

/// Events that are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// How many.
    pub count: u64,
    /// Sequence of the first of them.
    pub first_sequence: u64,
    /// Sequence of the last of them.
    pub last_sequence: u64,
}

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Without `event_id` and `sequence`, for servers that refuse what they do not know.
    pub bare: bool,
    /// Without everything long: the server found it too large.
    pub short: bool,
}

impl Pending {
    /// The event on the wire; none: it is no JSON object, and no server would take it (T42).
    #[must_use]
    pub fn wire(&self, endpoint: &Endpoint, form: Form, now: u64) -> Option<String> {
        let event = match &self.content {
            Content::Event(event) => cap_event(event.clone()),
            Content::Gap(gap) => gap.record(endpoint, form.bare, now),
        };
        let tape = Tape::read(&event).ok()?;
        let map = tape.root().as_map()?;
        let mut out = String::with_capacity(event.len() + 32);
        Object::write(&mut out, |object| {
            if !form.bare {
                object.number("sequence", self.sequence);
            }
            for (name, json) in map.raw_entries() {
                let own =
                    name == "sequence" || (form.bare && name == "event_id") || (form.short && name == "_truncated");
                if !own && (!form.short || json.len() <= MAX_SHORT) {
                    object.raw(name, json);
                }
            }
            if form.short {
                object.bool("_truncated", true);
            }
        });
        Some(out)
    }
}

impl Gap {
    /// The record of a gap: an event like any other, every member there.
    fn record(self, endpoint: &Endpoint, bare: bool, now: u64) -> String {
        let Self { count, first_sequence: first, last_sequence: last } = self;
        let id = format!("gap-{first}-{last}");
        let mut out = String::new();
        Object::write(&mut out, |event| {
            event.string("schema_version", SCHEMA_VERSION);
            event.string("event_id", &id);
            event.string("call_id", &id);
            event.string("agent_id", endpoint.agent_id());
            event.string("tool_name", "decision_log");
            event.raw("tool_args", "{}");
            event.string("side_effect", "pure");
            event.string("environment", endpoint.env());
            event.raw("principal", "null");
            event.string("action", "decision_log_gap");
            event.string("decision_source", "decision_log");
            event.raw("decision_name", "null");
            event.string("reason", &format!("{count} events were given up, with sequences from {first} to {last}"));
            event.raw("hooks_evaluated", "[]");
            event.raw("rules_evaluated", "[]");
            event.string("mode", "enforce");
            event.raw("policy_version", "null");
            event.string("timestamp", &edictum_engine::record::time::iso8601(now));
            for member in ["run_id", "call_index", "parent_call_id", "tool_success", "postconditions_passed"] {
                event.raw(member, "null");
            }
            event.number("duration_ms", 0);
            for member in ["error", "result_summary", "session_attempt_count", "session_execution_count"] {
                event.raw(member, "null");
            }
            event.bool("policy_error", true);
            for member in ["session_id", "parent_session_id", "workflow"] {
                event.raw(member, "null");
            }
            if !bare {
                event.object("gap", |gap| {
                    gap.number("count", count);
                    gap.number("first_sequence", first);
                    gap.number("last_sequence", last);
                });
            }
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::endpoint;

    const WHOLE: Form = Form { bare: false, short: false };

    fn wire(event: &str, form: Form) -> Option<String> {
        Pending { sequence: 7, content: Content::Event(event.to_owned()) }.wire(&endpoint(), form, 0)
    }

    #[test]
    fn an_event_gets_its_sequence_and_stays_as_it_was() {
        let event = r#"{"event_id":"c-0","n":1e400,"sequence":1,"tool_args":{"a": 1.0}}"#;
        assert_eq!(wire(event, WHOLE).unwrap(), r#"{"sequence":7,"event_id":"c-0","n":1e400,"tool_args":{"a": 1.0}}"#);
        assert_eq!(wire(event, Form { bare: true, ..WHOLE }).unwrap(), r#"{"n":1e400,"tool_args":{"a": 1.0}}"#);
        let long = format!(r#"{{"event_id":"c-0","reason":"{}","_truncated":false}}"#, "x".repeat(MAX_SHORT));
        assert_eq!(
            wire(&long, Form { short: true, ..WHOLE }).unwrap(),
            r#"{"sequence":7,"event_id":"c-0","_truncated":true}"#
        );
    }

    #[test]
    fn t42_what_is_no_event_is_none() {
        for bad in ["", "NaN", r#"{"a":NaN}"#, r#"{"a":"\ud800"}"#, "[]", "null", "{", r#"{"a":1,"a":2}"#] {
            assert_eq!(wire(bad, WHOLE), None, "{bad}");
        }
        assert!(wire(&format!(r#"{{"a":"{}"}}"#, "x".repeat(100_000)), WHOLE).unwrap().len() < 33_000);
    }

    #[test]
    fn t47_a_gap_is_a_record_of_its_own() {
        let gap = Gap { count: 3, first_sequence: 5, last_sequence: 9 };
        let pending = Pending { sequence: 10, content: Content::Gap(gap) };
        let record = pending.wire(&endpoint(), WHOLE, 0).unwrap();
        for part in [
            r#""sequence":10"#,
            r#""event_id":"gap-5-9""#,
            r#""gap":{"count":3,"first_sequence":5,"last_sequence":9}"#,
            "3 events",
        ] {
            assert!(record.contains(part), "{record}");
        }
        let bare = pending.wire(&endpoint(), Form { bare: true, ..WHOLE }, 0).unwrap();
        assert!(!bare.contains("event_id") && !bare.contains("\"gap\":"));
    }
}
