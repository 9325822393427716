//! Nodes as JSON: exact texts for the engine, `serde_json` values for tests and tools.

use super::{Node, Value};
use crate::json::{Builder, Literal};

impl Node {
    /// As an operand, metadata or JSON text: integers of any size stay exact, dates are what was written, infinities are
    /// kept (as texts they are `1e999`), [`Value::Invalid`] is null.
    ///
    /// NaN has no JSON text; a caller that needs the text must refuse it first.
    #[must_use]
    pub fn to_literal(&self) -> Literal {
        let mut builder = Builder::new();
        write(self, &mut builder);
        builder.finish()
    }

    /// As a `serde_json` value, which holds integers of 64 bits exactly, larger ones as floats, and neither infinities nor
    /// NaN (null). [`Node::to_literal`] loses nothing.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Invalid => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Int(decimal) => integer(decimal),
            Value::Float(float) => (*float).into(),
            Value::String(text) | Value::Date(text) => text.as_str().into(),
            Value::Sequence(list) => list.iter().map(Self::to_json).collect(),
            Value::Mapping(entries) => serde_json::Value::Object(
                entries.iter().map(|(key, value)| (key.as_str().unwrap_or("").to_owned(), value.to_json())).collect(),
            ),
        }
    }
}

fn integer(decimal: &str) -> serde_json::Value {
    if let Ok(small) = decimal.parse::<i64>() {
        return small.into();
    }
    if let Ok(large) = decimal.parse::<u64>() {
        return large.into();
    }
    decimal.parse::<f64>().map_or(serde_json::Value::Null, Into::into)
}

fn write(node: &Node, out: &mut Builder) {
    match &node.value {
        Value::Null | Value::Invalid => out.null(),
        Value::Bool(flag) => out.bool(*flag),
        Value::Int(decimal) => out.integer(decimal),
        Value::Float(float) => out.float(*float),
        Value::String(text) | Value::Date(text) => out.string(text),
        Value::Sequence(list) => {
            out.list();
            list.iter().for_each(|item| write(item, out));
            out.end();
        }
        Value::Mapping(entries) => {
            out.map();
            for (key, value) in entries {
                out.key(key.as_str().unwrap_or(""));
                write(value, out);
            }
            out.end();
        }
    }
}
