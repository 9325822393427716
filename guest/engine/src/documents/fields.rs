//! Reading closed maps: every key that is unknown, missing or of the wrong type is a finding with its path, place and
//! help, and reading goes on.

use crate::diagnostics::{Code, Findings, Span, did_you_mean};
use crate::yaml::{Node, Value, shown};

/// A map of a document whose keys are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'n> {
    /// Where it stands: `rules[0].then`; empty for the root.
    path: &'n str,
    span: Span,
    entries: &'n [(Node, Node)],
}

impl<'n> Fields<'n> {
    /// Takes a node as a map with these keys; reports it when it is none, and every other key.
    pub(super) fn closed(node: &'n Node, path: &'n str, known: &[&str], findings: &mut Findings) -> Option<Self> {
        let fields = Self::open(node, path, findings)?;
        for (key, _) in fields.entries {
            let Some(name) = key.as_str() else { continue };
            if !known.contains(&name) {
                let message = format!("{}unknown field {}", prefix(path), shown(name));
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("known fields: {}", known.join(", ")));
                findings.error(Code::UnknownField, key.span, message).help(help);
            }
        }
        Some(fields)
    }

    /// Takes a node as a map with any keys.
    pub(super) fn open(node: &'n Node, path: &'n str, findings: &mut Findings) -> Option<Self> {
        match &node.value {
            Value::Mapping(entries) => Some(Self { path, span: node.span, entries }),
            Value::Invalid => None,
            other => {
                wrong_type(findings, node.span, path, "a mapping", other);
                None
            }
        }
    }

    pub(super) fn entries(&self) -> &'n [(Node, Node)] {
        self.entries
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, key: &str, findings: &mut Findings) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            let message = format!("{}missing required field `{key}`", prefix(self.path));
            findings.error(Code::MissingField, self.first_place(), message).help(format!("add `{key}:`"));
        }
        found
    }

    /// The whole map is too much to point at: its first key stands for it.
    pub(super) fn first_place(&self) -> Span {
        self.entries.first().map_or(self.span, |(key, _)| key.span)
    }

    /// A required string that is not empty.
    pub(super) fn text(&self, key: &str, findings: &mut Findings) -> Option<String> {
        let node = self.require(key, findings)?;
        filled(node, &self.path_of(key), findings)
    }

    /// An optional string.
    pub(super) fn optional_string(&self, key: &str, findings: &mut Findings) -> Option<String> {
        string(self.get(key)?, &self.path_of(key), findings)
    }

    /// An optional boolean.
    pub(super) fn flag(&self, key: &str, default: bool, findings: &mut Findings) -> bool {
        let Some(node) = self.get(key) else { return default };
        match &node.value {
            Value::Bool(flag) => *flag,
            other => {
                wrong_type(findings, node.span, &self.path_of(key), "a boolean", other);
                default
            }
        }
    }

    /// An optional integer of at least 1; a float without a fraction is one (JSON Schema).
    pub(super) fn count(&self, key: &str, findings: &mut Findings) -> Option<u64> {
        count(self.get(key)?, &self.path_of(key), findings)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        word(self.get(key)?, &self.path_of(key), words, findings)
    }

    /// One of a few words, required.
    pub(super) fn required_word<T: Copy>(&self, key: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
        word(self.require(key, findings)?, &self.path_of(key), words, findings)
    }
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("{path}: ") }
}

pub(super) fn wrong_type(findings: &mut Findings, span: Span, path: &str, expected: &str, found: &Value) {
    if matches!(found, Value::Invalid) {
        return;
    }
    let finding = findings.error(Code::Type, span, format!("{}must be {expected}, not {}", prefix(path), found.kind()));
    if expected == "a string" && !matches!(found, Value::Sequence(_) | Value::Mapping(_) | Value::Null) {
        finding.help("quote this value");
    }
}

pub(super) fn string(node: &Node, path: &str, findings: &mut Findings) -> Option<String> {
    match &node.value {
        Value::String(text) => Some(text.clone()),
        other => {
            wrong_type(findings, node.span, path, "a string", other);
            None
        }
    }
}

/// A string that is not empty.
pub(super) fn filled(node: &Node, path: &str, findings: &mut Findings) -> Option<String> {
    let text = string(node, path, findings)?;
    if text.is_empty() {
        findings.error(Code::Empty, node.span, format!("{}must not be empty", prefix(path)));
        return None;
    }
    Some(text)
}

/// A list that is not empty.
pub(super) fn items<'n>(node: &'n Node, path: &str, findings: &mut Findings) -> Option<&'n [Node]> {
    let items = list(node, path, findings)?;
    if items.is_empty() {
        findings.error(Code::Empty, node.span, format!("{}must not be empty", prefix(path)));
        return None;
    }
    Some(items)
}

pub(super) fn list<'n>(node: &'n Node, path: &str, findings: &mut Findings) -> Option<&'n [Node]> {
    match &node.value {
        Value::Sequence(items) => Some(items),
        other => {
            wrong_type(findings, node.span, path, "a list", other);
            None
        }
    }
}

pub(super) fn count(node: &Node, path: &str, findings: &mut Findings) -> Option<u64> {
    let whole = match &node.value {
        Value::Int(decimal) if decimal.starts_with('-') => Some(0),
        // More than 64 bits hold is as good as no limit.
        Value::Int(decimal) => Some(decimal.parse().unwrap_or(u64::MAX)),
        Value::Float(float) if float.fract() == 0.0 && *float < 1.0 => Some(0),
        Value::Float(float) if float.fract() == 0.0 && float.is_finite() => Some(*float as u64),
        _ => None,
    };
    match whole {
        None => {
            wrong_type(findings, node.span, path, "an integer", &node.value);
            None
        }
        Some(0) => {
            findings.error(Code::Range, node.span, format!("{}must be at least 1", prefix(path)));
            None
        }
        count => count,
    }
}

pub(super) fn word<T: Copy>(node: &Node, path: &str, words: &[(&str, T)], findings: &mut Findings) -> Option<T> {
    let names = || words.iter().map(|(name, _)| *name);
    let Some(text) = node.as_str() else {
        if !matches!(node.value, Value::Invalid) {
            let list = names().collect::<Vec<_>>().join(", ");
            findings
                .error(Code::Enum, node.span, format!("{}must be one of {list}", prefix(path)))
                .help("quote this value");
        }
        return None;
    };
    let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    if found.is_none() {
        let list = names().collect::<Vec<_>>().join(", ");
        let finding = findings.error(
            Code::Enum,
            node.span,
            format!("{}must be one of {list}, not {}", prefix(path), shown(text)),
        );
        if let Some(help) = did_you_mean(text, names()) {
            finding.help(help);
        }
    }
    found
}

/// Lower-case letters and digits first, then also those of `extra` (engine.md §1.1, §1.2): full match.
pub(super) fn identifier(text: &str, extra: &[char]) -> bool {
    let plain = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    text.chars().next().is_some_and(plain)
        && text.chars().all(|character| plain(character) || extra.contains(&character))
}
