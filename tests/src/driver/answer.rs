//! What a driver answers, as the text it came in. Members can be had as raw text, because `1.0` and `1` are not the same.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// One answered line.
#[derive(Clone, Debug)]
pub struct Answer {
    line: String,
    outcome: Result<Box<RawValue>, Box<Refusal>>,
}

/// `error` of an answer that is not `ok`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub struct Refusal {
    /// Stable.
    pub code: String,
    /// For people.
    pub message: String,
    /// Of the first finding.
    pub line: Option<u64>,
    /// Of the first finding.
    pub column: Option<u64>,
    /// What to do about it.
    pub help: Option<String>,
    /// All findings.
    pub diagnostics: Vec<Value>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)?;
        self.diagnostics.iter().skip(1).try_for_each(|finding| write!(formatter, "\n  also: {finding}"))
    }
}

#[derive(Deserialize)]
struct Envelope<'l> {
    #[serde(borrow)]
    id: Option<&'l RawValue>,
    ok: bool,
    #[serde(borrow)]
    result: Option<&'l RawValue>,
    error: Option<Box<Refusal>>,
}

/// JSON text without what does not matter: an id may be spaced or escaped otherwise and still be the same.
#[must_use]
pub fn canonical(json: &str) -> String {
    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_owned(), |value| value.to_string())
}

impl Answer {
    /// Reads a line: the id as [`canonical`] text (none: absent or null), and the answer.
    ///
    /// # Errors
    /// What is wrong with the line, when it is no answer at all.
    pub fn read(line: String) -> Result<(Option<String>, Self), String> {
        let envelope: Envelope<'_> = serde_json::from_str(&line).map_err(|error| error.to_string())?;
        let id = envelope.id.map(|id| canonical(id.get())).filter(|id| id != "null");
        let outcome = match (envelope.ok, envelope.result, envelope.error) {
            (true, Some(result), None) => Ok(result.to_owned()),
            (false, None, Some(error)) => Err(error),
            (true, ..) => return Err("`ok` is true, and there is not exactly a `result`".to_owned()),
            (false, ..) => return Err("`ok` is false, and there is not exactly an `error`".to_owned()),
        };
        Ok((id, Self { line, outcome }))
    }

    /// The whole line.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.line
    }

    /// `result`, or why there is none.
    ///
    /// # Errors
    /// The refusal.
    pub fn result(&self) -> Result<Value, Box<Refusal>> {
        let raw = self.outcome.as_deref().map_err(Clone::clone)?;
        Ok(as_value(raw.get()))
    }

    /// `error`, when the answer is one.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        self.outcome.as_ref().err().map(AsRef::as_ref)
    }

    /// `result` as it came.
    #[must_use]
    pub fn raw(&self) -> Option<&str> {
        self.outcome.as_deref().ok().map(RawValue::get)
    }

    /// A member of `result` as it came, found by its path.
    #[must_use]
    pub fn raw_member(&self, path: &[&str]) -> Option<String> {
        path.iter().try_fold(self.raw()?.to_owned(), |text, name| {
            let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).ok()?;
            members.get(*name).map(|member| member.get().to_owned())
        })
    }
}

/// JSON text as a value. A number beyond every float becomes its text: all the rest of the answer can still be compared.
pub fn as_value(json: &str) -> Value {
    if let Ok(value) = serde_json::from_str(json) {
        return value;
    }
    if let Ok(members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(json) {
        return members.into_iter().map(|(name, member)| (name, as_value(member.get()))).collect();
    }
    match serde_json::from_str::<Vec<Box<RawValue>>>(json) {
        Ok(items) => items.iter().map(|item| as_value(item.get())).collect(),
        Err(_) => Value::String(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_the_text_they_came_in() {
        let line = r#"{"id": 7, "ok": true, "result": {"result": {"n": 1.0, "big": 123456789012345678901234567890}}}"#;
        let (id, answer) = Answer::read(line.to_owned()).unwrap();
        assert_eq!(id.as_deref(), Some("7"));
        assert_eq!(answer.raw_member(&["result", "n"]).as_deref(), Some("1.0"));
        assert_eq!(answer.raw_member(&["result", "big"]).as_deref(), Some("123456789012345678901234567890"));
        assert_eq!(answer.raw_member(&["result", "none"]), None);
    }

    #[test]
    fn a_number_beyond_every_float_hides_nothing_else() {
        let line = r#"{"id":1,"ok":true,"result":{"a":[1,1e400],"b":{"c":true}}}"#;
        let (_, answer) = Answer::read(line.to_owned()).unwrap();
        assert_eq!(answer.result().unwrap(), serde_json::json!({ "a": [1, "1e400"], "b": { "c": true } }));
    }

    #[test]
    fn ids_are_the_same_however_they_are_written() {
        for (sent, came) in [("{\"a\":1}", "{ \"a\" : 1 }"), ("\"é\"", "\"\\u00e9\""), ("1.0", "1.0")] {
            let (id, _) = Answer::read(format!("{{\"id\":{came},\"ok\":true,\"result\":{{}}}}")).unwrap();
            assert_eq!(id, Some(canonical(sent)));
        }
    }

    #[test]
    fn lines_that_are_no_answers_are_told_from_refusals() {
        let (id, answer) =
            Answer::read(r#"{"id":null,"ok":false,"error":{"code":"bad-request","message":"m"}}"#.to_owned()).unwrap();
        assert_eq!(id, None);
        assert_eq!(answer.refusal().unwrap().code, "bad-request");
        for line in
            ["", "log output", "[]", r#"{"id":1}"#, r#"{"id":1,"ok":true}"#, r#"{"id":1,"ok":false,"result":1}"#]
        {
            assert!(Answer::read(line.to_owned()).is_err(), "{line}");
        }
    }
}
