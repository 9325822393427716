//! A recorded session: one JSON object a line, `{"call", "result"?, "answer"?, "approver"?, "reason"?}`. `answer` is what a
//! person said (`approved`, `rejected`, `timed_out`), should the rules ask.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A line.
#[derive(serde::Deserialize)]
pub struct Recorded<'s> {
    /// As `edictum-host check` takes it.
    #[serde(borrow)]
    pub call: &'s RawValue,
    #[serde(borrow)]
    pub result: Option<&'s RawValue>,
    pub answer: Option<String>,
    pub approver: Option<String>,
    pub reason: Option<String>,
}

/// All lines of a session.
pub fn recorded(session: &str) -> Result<Vec<Recorded<'_>>, serde_json::Error> {
    session.lines().filter(|line| !line.trim().is_empty()).map(serde_json::from_str).collect()
}

/// The members of a call that are shown.
#[derive(serde::Deserialize)]
struct Call {
    tool: String,
    #[serde(default)]
    args: Arguments,
    principal: Option<Principal>,
}

/// Whose call it is.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Principal {
    pub user_id: Option<String>,
    pub role: Option<String>,
}

impl Recorded<'_> {
    fn shown(&self) -> Option<Call> {
        serde_json::from_str(self.call.get()).ok()
    }

    pub fn tool(&self) -> String {
        self.shown().map(|call| call.tool).unwrap_or_default()
    }

    pub fn principal(&self) -> Option<Principal> {
        self.shown()?.principal
    }

    /// Its arguments in one line, in their order: the first as it is, the others with their names.
    pub fn arguments(&self) -> String {
        let Arguments(arguments) = self.shown().map(|call| call.args).unwrap_or_default();
        let mut shown = String::new();
        for (name, value) in arguments {
            let value = value.as_str().map_or_else(|| value.to_string(), |text| one_line(text));
            if shown.is_empty() {
                shown = value;
            } else {
                shown.push_str(&format!("  {name}: {value}"));
            }
        }
        shown
    }
}

/// Line ends and other controls as one sees them in a program.
pub fn one_line(text: &str) -> String {
    text.chars()
        .flat_map(|c| c.is_control().then(|| c.escape_default()).map_or_else(|| vec![c], Iterator::collect))
        .collect()
}

/// Members of an object in the order of the text.
#[derive(Default)]
struct Arguments(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Arguments;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arguments, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Arguments(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_shown_in_their_order_and_in_one_line() {
        let line = r#"{"call": {"tool": "t", "args": {"sql": "SELECT\n1", "limit": 10, "area": "\u001b[31m"}}, "result": 1.0}"#;
        let calls = recorded(line).unwrap();
        assert_eq!(calls[0].arguments(), r"SELECT\n1  limit: 10  area: \u{1b}[31m");
        assert_eq!(calls[0].result.map(RawValue::get), Some("1.0"));
    }
}
