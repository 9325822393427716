//! Redacts values: maps by their keys, strings by what they hold, lists as the command they may be (engine.md §10.1).

use std::borrow::Cow;

use super::argv::Argv;
use super::scan::{self, Look};
use super::{MARK, MAX_STRING, Redactor, cut, families};
use crate::json::{List, Map, Value, write};

/// A cut may make a secret of what was none before (`eyJ…` and the dots of the cut), so that a cut text is looked at
/// again; what is new can only be at the end, so that this soon comes to rest.
const MAX_LOOKS: usize = 8;

impl Redactor {
    /// Appends a value as JSON: sensitive keys' values, secrets and what commands give away are replaced, long strings
    /// cut to [`MAX_STRING`]. Numbers in maps and lists keep their text.
    pub fn value(&self, out: &mut String, value: Value<'_>) {
        match value {
            Value::String(text) => self.string(out, text, None),
            Value::List(list) => self.list(out, list),
            Value::Map(map) => self.map(out, map),
            Value::Null | Value::Bool(_) | Value::Number(_) => write::value(out, value),
        }
    }

    /// Appends a principal with its claims, as [`Redactor::value`] does.
    pub fn principal(&self, out: &mut String, principal: Map<'_>) {
        self.map(out, principal);
    }

    fn map(&self, out: &mut String, map: Map<'_>) {
        out.push('{');
        for (place, (key, value, raw)) in map.members().enumerate() {
            if place > 0 {
                out.push(',');
            }
            self.key(out, key, place);
            out.push(':');
            if self.is_sensitive_key(key) {
                write::string(out, MARK);
            } else {
                self.member(out, value, raw);
            }
        }
        out.push('}');
    }

    /// A key that holds a secret becomes the mark and its place in the map: two such keys must stay two. So does one that
    /// looks like it.
    fn key(&self, out: &mut String, key: &str, place: usize) {
        if key.starts_with(MARK) || matches!(self.secrets(key), Cow::Owned(_)) {
            write::string(out, &format!("{MARK}#{place}"));
        } else {
            write::string(out, key);
        }
    }

    fn list(&self, out: &mut String, list: List<'_>) {
        let mut argv = Argv::default();
        out.push('[');
        for (place, (value, raw)) in list.members().enumerate() {
            if place > 0 {
                out.push(',');
            }
            let given_away = match value {
                Value::String(word) if self.detect => argv.word(&self.keys, word).and_then(|at| word.get(..at)),
                _ => {
                    argv.other();
                    None
                }
            };
            match given_away {
                Some(kept) => write::string(out, &[&self.shortened(kept), MARK].concat()),
                None => self.member(out, value, raw),
            }
        }
        out.push(']');
    }

    fn member(&self, out: &mut String, value: Value<'_>, raw: &str) {
        match value {
            Value::String(text) => self.string(out, text, Some(raw)),
            Value::List(list) => self.list(out, list),
            Value::Map(map) => self.map(out, map),
            Value::Null | Value::Bool(_) | Value::Number(_) => out.push_str(raw),
        }
    }

    fn string(&self, out: &mut String, text: &str, raw: Option<&str>) {
        if self.detect && families::begin(text) {
            return write::string(out, MARK);
        }
        match (self.shortened(text), raw) {
            (Cow::Borrowed(_), Some(raw)) => out.push_str(raw),
            (text, _) => write::string(out, &text),
        }
    }

    /// A string without secrets, cut.
    fn shortened<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let first =
            if self.detect { self.replace(text, Look::Everything, Some(MAX_STRING)) } else { Cow::Borrowed(text) };
        let Cow::Owned(mut last) = cut(&first, MAX_STRING) else { return first };
        for _ in 0..MAX_LOOKS {
            if !self.detect {
                break;
            }
            let Cow::Owned(next) = scan::replace(&last, &self.keys, Look::Everything, None) else { break };
            last = cut(&next, MAX_STRING).into_owned();
        }
        Cow::Owned(last)
    }
}
