//! Keeps an event within its size (engine.md §10.5): what is dropped, replaced and cut when it is too large, and in which
//! order. Whole events pass by their length alone.

use std::borrow::Cow;

use super::cut;
use crate::json::write::{self, Items, Object};
use crate::json::{List, Tape, Value};

/// Most bytes that an event may have, as compact UTF-8 JSON.
pub const MAX_EVENT_BYTES: usize = 32_768;

/// What stands in place of arguments, and of other maps and lists that are too large.
const REPLACED: &str = r#"{"_redacted":"payload exceeded 32KB"}"#;

/// Says that an event is not whole.
const TRUNCATED: &str = "_truncated";

/// Lists of records. They get what room the other members leave.
const RECORDS: [&str; 3] = ["rules_evaluated", "contracts_evaluated", "hooks_evaluated"];

/// The other members get so much of an event, in bytes, when they do not all fit.
const MAX_FIXED: usize = MAX_EVENT_BYTES / 2;

/// Bounds of one member, in bytes, tried one after the other.
const MEMBER_BOUNDS: [usize; 4] = [8192, 2048, 512, 128];

/// A code point has at most so many bytes as JSON, near enough (`\u0000` has six).
const BYTES_PER_CODE_POINT: usize = 8;

/// A record above so many bytes loses its metadata and long texts.
const MAX_RECORD: usize = 2048;

/// Longest text of such a record, in code points.
const MAX_RECORD_TEXT: usize = 200;

/// An event, or what is left of it at [`MAX_EVENT_BYTES`]: `_truncated` is added, `result_summary` dropped and `tool_args`
/// replaced; if that is not enough, long members are cut, then records left out, those that passed first. The answer is
/// never larger, and capping it again changes nothing.
#[must_use]
pub fn cap_event(event: String) -> String {
    if event.len() <= MAX_EVENT_BYTES {
        return event;
    }
    let capped = Tape::read(&event).ok().and_then(|tape| Some(cap(tape.root().as_map()?.members().collect())));
    // An event that is no map is no event of ours; nothing of it can be told apart.
    capped.unwrap_or_else(|| format!("{{\"{TRUNCATED}\":true}}"))
}

struct Member<'e> {
    name: &'e str,
    value: Value<'e>,
    json: Cow<'e, str>,
}

impl Member<'_> {
    /// With quotes, colon and comma.
    fn size(&self) -> usize {
        self.name.len() + self.json.len() + 4
    }

    fn is_records(&self) -> bool {
        RECORDS.contains(&self.name) && matches!(self.value, Value::List(_))
    }

    fn shrink(&mut self, bound: usize) {
        if self.json.len() <= bound || self.is_records() {
            return;
        }
        self.json = match self.value {
            Value::String(text) => {
                let mut out = String::new();
                write::string(&mut out, &cut(text, bound / BYTES_PER_CODE_POINT));
                Cow::Owned(out)
            }
            _ => Cow::Borrowed(REPLACED),
        };
    }
}

fn cap(members: Vec<(&str, Value<'_>, &str)>) -> String {
    let mut members: Vec<Member<'_>> = members
        .into_iter()
        .filter(|(name, ..)| *name != "result_summary" && *name != TRUNCATED)
        .map(|(name, value, json)| {
            let json = if name == "tool_args" { REPLACED } else { json };
            Member { name, value, json: Cow::Borrowed(json) }
        })
        .collect();
    members.push(Member { name: TRUNCATED, value: Value::Bool(true), json: Cow::Borrowed("true") });
    if size(&members) > MAX_EVENT_BYTES {
        for bound in MEMBER_BOUNDS {
            if size(members.iter().filter(|member| !member.is_records())) <= MAX_FIXED {
                break;
            }
            members.iter_mut().for_each(|member| member.shrink(bound));
        }
        leave_records_out(&mut members);
    }
    let mut out = String::with_capacity(MAX_EVENT_BYTES);
    Object::write(&mut out, |object| {
        let mut room = MAX_EVENT_BYTES - TRUNCATED.len() - 10;
        for member in &members {
            // Everything fits by now, unless somebody made an event of hundreds of members.
            if member.name == TRUNCATED || member.size() <= room {
                object.raw(member.name, &member.json);
                room = room.saturating_sub(member.size());
            }
        }
    });
    out
}

fn size<'m, 'e: 'm>(members: impl IntoIterator<Item = &'m Member<'e>>) -> usize {
    2 + members.into_iter().map(Member::size).sum::<usize>()
}

/// Shortens the lists of records to the room that is left.
fn leave_records_out(members: &mut [Member<'_>]) {
    let fixed = size(members.iter().filter(|member| !member.is_records()));
    let names: usize = members.iter().filter(|member| member.is_records()).map(|member| member.name.len() + 6).sum();
    let mut room = MAX_EVENT_BYTES.saturating_sub(fixed + names);
    for member in members.iter_mut().filter(|member| member.is_records()) {
        let Value::List(list) = member.value else { continue };
        let kept = records(list, room);
        room = room.saturating_sub(kept.len());
        member.json = Cow::Owned(kept);
    }
}

/// The records that fit, in their order: those that failed come before those that passed.
fn records(list: List<'_>, room: usize) -> String {
    let records: Vec<(bool, Cow<'_, str>)> =
        list.members().map(|(record, json)| (failed(record), shorten(record, json))).collect();
    let mut room = room;
    let mut keep = vec![false; records.len()];
    for pass in [true, false] {
        for ((failed, json), keep) in records.iter().zip(&mut keep) {
            if *failed == pass && json.len() < room {
                *keep = true;
                room -= json.len() + 1;
            }
        }
    }
    let mut out = String::new();
    Items::write(&mut out, |items| {
        records.iter().zip(&keep).filter(|(_, keep)| **keep).for_each(|((_, json), _)| items.raw(json));
    });
    out
}

fn failed(record: Value<'_>) -> bool {
    record.as_map().is_some_and(|record| {
        record.get("passed").and_then(Value::as_bool) == Some(false)
            || record.get("result").and_then(Value::as_str) == Some("block")
    })
}

fn shorten<'r>(record: Value<'r>, json: &'r str) -> Cow<'r, str> {
    let Value::Map(map) = record else { return Cow::Borrowed(json) };
    if json.len() <= MAX_RECORD {
        return Cow::Borrowed(json);
    }
    let mut out = String::new();
    Object::write(&mut out, |object| {
        for (name, value, json) in map.members() {
            match value {
                Value::String(text) => object.string(name, &cut(text, MAX_RECORD_TEXT)),
                Value::List(_) | Value::Map(_) => {}
                _ => object.raw(name, json),
            }
        }
    });
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(members: &[(&str, &str)]) -> String {
        let mut out = String::new();
        Object::write(&mut out, |object| members.iter().for_each(|(name, json)| object.raw(name, json)));
        out
    }

    fn text(length: usize) -> String {
        format!("\"{}\"", "x".repeat(length))
    }

    fn member<'t>(tape: &'t Tape<'_>, name: &str) -> Value<'t> {
        tape.root().as_map().and_then(|map| map.get(name)).unwrap_or(Value::Null)
    }

    #[test]
    fn an_event_that_fits_stays_as_it_is() {
        let around = r#"{"tool_args":""}"#.len();
        let whole = event(&[("tool_args", &text(MAX_EVENT_BYTES - around))]);
        assert_eq!(whole.len(), MAX_EVENT_BYTES);
        assert_eq!(cap_event(whole.clone()), whole);
        let larger = event(&[("tool_args", &text(MAX_EVENT_BYTES - around + 1))]);
        assert_ne!(cap_event(larger.clone()), larger);
        assert_eq!(cap_event("[]".to_owned()), "[]");
        assert_eq!(cap_event("x".repeat(MAX_EVENT_BYTES + 1)), r#"{"_truncated":true}"#);
    }

    #[test]
    fn bytes_count_and_not_characters() {
        let args = format!("\"{}\"", "é".repeat(MAX_EVENT_BYTES / 2));
        let capped = cap_event(event(&[("tool_args", &args)]));
        assert_eq!(capped, format!(r#"{{"tool_args":{REPLACED},"_truncated":true}}"#));
    }

    #[test]
    fn arguments_go_before_anything_else() {
        let rules = r#"[{"name":"a","passed":false}]"#;
        let capped = cap_event(event(&[
            ("call_id", "\"c\""),
            ("tool_args", &text(40_000)),
            ("reason", &text(3000)),
            ("rules_evaluated", rules),
            ("result_summary", "\"s\""),
        ]));
        let expected = format!(
            r#"{{"call_id":"c","tool_args":{REPLACED},"reason":{},"rules_evaluated":{rules},"_truncated":true}}"#,
            text(3000)
        );
        assert_eq!(capped, expected);
    }

    #[test]
    fn failed_records_outlive_passed_ones_and_order_stays() {
        let record =
            |name: usize| format!(r#"{{"name":"r{name}","passed":{},"message":{}}}"#, name % 10 != 7, text(300));
        let list = format!("[{}]", (0..256).map(record).collect::<Vec<_>>().join(","));
        let capped = cap_event(event(&[("call_id", "\"c\""), ("rules_evaluated", &list), ("hooks_evaluated", "[]")]));
        assert!(capped.len() <= MAX_EVENT_BYTES && capped.len() > MAX_EVENT_BYTES - 400, "{}", capped.len());
        let tape = Tape::read(&capped).unwrap();
        let names: Vec<usize> = member(&tape, "rules_evaluated")
            .as_list()
            .unwrap()
            .iter()
            .map(|record| record.path(["name"]).unwrap().as_str().unwrap()[1..].parse().unwrap())
            .collect();
        assert!(names.is_sorted());
        assert_eq!(names.iter().filter(|name| **name % 10 == 7).count(), 25, "every failed record is there");
        assert_eq!(member(&tape, "hooks_evaluated").as_list().unwrap().len(), 0);
    }

    #[test]
    fn no_member_crowds_out_the_records() {
        let claims = format!(r#"{{"claims":{{"a":{}}}}}"#, text(50_000));
        let record =
            format!(r#"{{"name":"r","passed":false,"message":{},"metadata":{{"a":{}}}}}"#, text(500), text(4000));
        let capped = cap_event(event(&[
            ("principal", &claims),
            ("reason", &text(20_000)),
            ("rules_evaluated", &format!("[{record}]")),
            ("policy_error", "false"),
        ]));
        let tape = Tape::read(&capped).unwrap();
        assert_eq!(member(&tape, "principal").as_map().unwrap().text(), REPLACED);
        assert_eq!(member(&tape, "reason").as_str().unwrap().len(), 1024);
        let list = member(&tape, "rules_evaluated").as_list().unwrap();
        let record = list.iter().next().and_then(Value::as_map).unwrap();
        assert_eq!(record.get("message").and_then(Value::as_str).unwrap().len(), MAX_RECORD_TEXT);
        assert!(record.get("metadata").is_none());
        assert_eq!(member(&tape, "policy_error").as_bool(), Some(false));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_gets_past_the_cap(
            sizes in prop::collection::vec((0_usize..40_000, 0_usize..4), 1..40), records in prop::collection::vec(0_usize..5000, 0..60),
        ) {
            let names: Vec<String> = (0..sizes.len()).map(|place| format!("member{place}")).collect();
            let mut members: Vec<(&str, String)> = names.iter().zip(&sizes).map(|(name, (size, kind))| {
                let json = match kind {
                    0 => text(*size),
                    1 => format!("[{}]", text(*size)),
                    2 => format!("\"{}\"", "\\u0001".repeat(*size / 6)),
                    _ => format!("\"{}\"", "😀".repeat(*size / 4)),
                };
                (name.as_str(), json)
            }).collect();
            let list: Vec<String> = records.iter().map(|size| format!(r#"{{"passed":{},"message":{}}}"#, size % 2 == 0, text(*size))).collect();
            members.push(("rules_evaluated", format!("[{}]", list.join(","))));
            members.push(("contracts_evaluated", format!("[{}]", list.join(","))));
            let members: Vec<(&str, &str)> = members.iter().map(|(name, json)| (*name, json.as_str())).collect();
            let capped = cap_event(event(&members));
            prop_assert!(capped.len() <= MAX_EVENT_BYTES, "{}", capped.len());
            let tape = Tape::read(&capped).unwrap();
            prop_assert_eq!(tape.root().as_map().unwrap().len() >= members.len(), true);
        }

        #[test]
        fn not_even_hundreds_of_members(count in 100_usize..3000) {
            let names: Vec<String> = (0..count).map(|place| format!("a_member_with_a_name_{place}")).collect();
            let members: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "\"0123456789\"")).collect();
            let capped = cap_event(event(&members));
            prop_assert!(capped.len() <= MAX_EVENT_BYTES);
            prop_assert!(Tape::read(&capped).is_ok());
        }
    }
}
