//! Text → nodes with spans: YAML 1.1 as engine.md §1.7 has it, on the events of a YAML 1.2 parser.
//!
//! It knows nothing of rulesets. [`Reader`] reads in slices, [`read`] at once, [`write()`] writes; whatever is wrong comes
//! out as diagnostics, and what can be read after a mistake is read.
//!
//! `screen` looks at the raw text, `input` feeds the parser, `reader` drives it, `repair` helps it over mistakes, `tree`
//! builds nodes, `scalar` says what a plain scalar is, `places` where it stands.

mod convert;
mod input;
mod places;
mod reader;
mod repair;
mod scalar;
mod screen;
#[cfg(test)]
mod tests;
mod tree;
mod write;

pub use reader::Reader;
pub use write::write;

use crate::diagnostics::{Diagnostic, Span};

/// Largest ruleset or workflow in bytes (engine.md §1.4).
pub const MAX_BYTES: usize = 1_048_576;

/// Deepest nesting of lists and maps (engine.md §1.7). Levels of the expression operators `all`, `any` and `not` have
/// their own cap (§1.3) and are not counted here.
pub const MAX_DEPTH: usize = 100;

/// Deepest nesting with those levels: what recursion over nodes has to cope with.
pub const MAX_NESTING: usize = 320;

/// Nodes that anchors and aliases may stand for in one document (engine.md §1.7).
pub const MAX_EXPANDED: usize = 100_000;

/// Longest piece of a document's text that a message repeats, in code points.
const MAX_SHOWN: usize = 60;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// From its first character to the place after its last.
    pub span: Span,
    /// What it is.
    pub value: Value,
    /// A plain scalar whose text does not show what it is: `no`, `on`, `017`, `0x1F`, `1:30`.
    pub disguised: bool,
}

/// A value after YAML 1.1 resolution.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`, `~` or nothing at all.
    Null,
    /// `true`, `yes`, `on` and so on.
    Bool(bool),
    /// Decimal text of an integer of any size, without leading zeros or `+`.
    Int(String),
    /// A float, infinities and NaN included.
    Float(f64),
    /// Quoted, or plain and nothing else.
    String(String),
    /// A valid date or timestamp, as written.
    Date(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A map: keys are strings and unique, in the order of the text (merged ones first).
    Mapping(Vec<(Node, Node)>),
    /// Something with a mistake that is reported already.
    Invalid,
}

/// Reads one document of at most [`MAX_BYTES`] at once.
///
/// ```
/// let (root, findings) = edictum_engine::yaml::read("rules.yaml", "mode: on # a boolean\nname: 'on'\n");
/// assert!(findings.is_empty());
/// assert_eq!(root.unwrap().to_json(), serde_json::json!({ "mode": true, "name": "on" }));
/// ```
#[must_use]
pub fn read(document: &str, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    Reader::new(document, text).finish()
}

impl Node {
    /// A node without a place or peculiarity of its own.
    #[must_use]
    pub const fn new(span: Span, value: Value) -> Self {
        Self { span, value, disguised: false }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries()?.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The characters of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// The items of a list.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        if let Value::Sequence(list) = &self.value { Some(list) } else { None }
    }

    /// Keys and values of a map.
    #[must_use]
    pub fn entries(&self) -> Option<&[(Self, Self)]> {
        if let Value::Mapping(entries) = &self.value { Some(entries) } else { None }
    }
}

impl Value {
    /// For messages: `a string`, `a number` and so on.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::String(_) => "a string",
            Self::Date(_) => "a date",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a map",
            Self::Invalid => "invalid",
        }
    }
}

/// A piece of a document in a message: in backticks, on one line, not longer than 60 code points.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::from("`");
    for (count, character) in text.chars().enumerate() {
        if count == MAX_SHOWN {
            out.push('…');
            break;
        }
        if character.is_control() { out.extend(character.escape_default()) } else { out.push(character) }
    }
    out.push('`');
    out
}
