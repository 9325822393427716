//! What every part of validation works with: findings that are counted, closed maps, typed values.
//!
//! A check that fails reports and gives a harmless value back, so that the next one can go on; whoever builds something
//! compares [`Check::errors`] before and after, and drops what has a mistake.

use std::sync::Arc;

use super::path::Path;
use crate::diagnostics::{Code, Findings, Span, nearest};
use crate::json::Literal;
use crate::options::{Options, UnknownSelectors};
use crate::yaml::{MAX_DEPTH, Node, Value, shown};

/// The first character, for findings about a document as a whole.
pub(super) const START: Span = Span { line: 1, column: 1, end_line: 1, end_column: 1 };

/// What a guard's options add to the language of its rulesets.
#[derive(Clone, Debug)]
pub(super) struct Dialect {
    /// Names of custom operators.
    pub(super) operators: Vec<String>,
    /// Prefixes of custom selectors.
    pub(super) selectors: Vec<String>,
    /// What a selector is that nobody knows.
    pub(super) unknown_selectors: UnknownSelectors,
    /// Layering as in the reference.
    pub(super) reference: bool,
    /// It is a workflow that is read, which has words of its own.
    pub(super) workflow: bool,
}

impl Dialect {
    pub(super) fn of(options: &Options) -> Self {
        Self {
            operators: options.operators.clone(),
            selectors: options.selectors.clone(),
            unknown_selectors: options.unknown_selectors,
            reference: options.reference(),
            workflow: false,
        }
    }

    /// That of workflows.
    pub(super) fn workflow() -> Self {
        Self { workflow: true, ..Self::of(&Options::default()) }
    }
}

/// A validation under way.
#[derive(Debug)]
pub(super) struct Check<'c> {
    pub(super) dialect: &'c Dialect,
    findings: &'c mut Findings,
    errors: usize,
    /// Regular expressions that were met, and where.
    patterns: Vec<(String, Span)>,
}

/// A value and whom to blame when it has no text of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field<'n> {
    /// Its key; of an item, the key of the list.
    pub(super) key: Span,
    pub(super) node: &'n Node,
    /// The document it stands in, when that is not the one being checked.
    pub(super) document: Option<&'n Arc<str>>,
}

impl<'n> Field<'n> {
    /// The offending text.
    pub(super) fn blame(&self) -> Span {
        let span = self.node.span;
        if (span.line, span.column) == (span.end_line, span.end_column) { self.key } else { span }
    }

    /// An item of this list.
    pub(super) fn item(&self, node: &'n Node) -> Self {
        Self { node, ..*self }
    }

    /// Whether its mistake is reported already.
    pub(super) fn is_invalid(&self) -> bool {
        matches!(self.node.value, Value::Invalid)
    }
}

impl<'c> Check<'c> {
    pub(super) fn new(dialect: &'c Dialect, findings: &'c mut Findings) -> Self {
        Self { dialect, findings, errors: 0, patterns: Vec::new() }
    }

    /// Errors so far; what was built while the number grew is not to be used.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// Whether further findings are only counted, so that help for them would be work for nothing.
    pub(super) fn is_full(&self) -> bool {
        self.findings.is_full()
    }

    /// Remembers a regular expression.
    pub(super) fn met_pattern(&mut self, pattern: &str, span: Span) {
        self.patterns.push((pattern.to_owned(), span));
    }

    /// The regular expressions that were met.
    pub(super) fn into_patterns(self) -> Vec<(String, Span)> {
        self.patterns
    }

    pub(super) fn enter(&mut self, document: &str) {
        self.findings.enter(document);
    }

    /// `{path}: {what}`
    pub(super) fn error(&mut self, code: Code, span: Span, path: &Path<'_>, what: &str) -> &mut Findings {
        self.errors += 1;
        self.findings.error(code, span, format!("{path}: {what}"))
    }

    pub(super) fn warning(&mut self, code: Code, span: Span, path: &Path<'_>, what: &str) -> &mut Findings {
        self.findings.warning(code, span, format!("{path}: {what}"))
    }

    /// A value of the wrong type; what is invalid is not reported twice.
    pub(super) fn wrong_type(&mut self, field: Field<'_>, path: &Path<'_>, expected: &str) {
        self.errors += 1;
        let kind = match &field.node.value {
            Value::Invalid => return,
            other => other.kind(),
        };
        let finding = self.findings.error(Code::Type, field.blame(), format!("{path}: must be {expected}, not {kind}"));
        match field.node.value {
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Date(_) if expected.contains("string") => {
                finding.help("quote it");
            }
            Value::Null => {
                finding.help("give it a value, or remove the key");
            }
            _ => {}
        }
    }

    /// A string, "" after an error.
    pub(super) fn string<'n>(&mut self, field: Field<'n>, path: &Path<'_>) -> &'n str {
        match field.node.as_str() {
            Some(text) => text,
            None => {
                self.wrong_type(field, path, "a string");
                ""
            }
        }
    }

    /// A string of at least one character.
    pub(super) fn full_string<'n>(&mut self, field: Field<'n>, path: &Path<'_>) -> &'n str {
        if field.node.as_str() == Some("") {
            self.empty(field, path);
        }
        self.string(field, path)
    }

    pub(super) fn empty(&mut self, field: Field<'_>, path: &Path<'_>) {
        self.error(Code::Empty, field.blame(), path, "must not be empty");
    }

    pub(super) fn boolean(&mut self, field: Field<'_>, path: &Path<'_>) -> bool {
        match field.node.value {
            Value::Bool(flag) => flag,
            _ => {
                self.wrong_type(field, path, "a boolean");
                false
            }
        }
    }

    /// An integer of at least 1. A float without a fraction is one (engine.md §1.2); what does not fit is as large as can be.
    pub(super) fn positive(&mut self, field: Field<'_>, path: &Path<'_>) -> u64 {
        let number = match &field.node.value {
            Value::Int(decimal) if decimal.starts_with('-') => 0,
            Value::Int(decimal) => decimal.parse().unwrap_or(u64::MAX),
            // The cast saturates.
            Value::Float(float) if float.is_finite() && float.fract() == 0.0 => *float as u64,
            _ => {
                self.wrong_type(field, path, "an integer");
                return 1;
            }
        };
        if number == 0 {
            self.error(Code::Range, field.blame(), path, "must be at least 1");
        }
        number.max(1)
    }

    /// One of some words.
    pub(super) fn one_of<T: Copy>(&mut self, field: Field<'_>, path: &Path<'_>, choices: &[(&str, T)]) -> Option<T> {
        let words = || choices.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let Some(text) = field.node.as_str() else {
            let expected = format!("one of {}, as a string", words().join(", "));
            self.wrong_type(field, path, &expected);
            return None;
        };
        let choice = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
        if choice.is_none() {
            let what = format!("must be one of {}, not {}", words().join(", "), shown(text));
            let near = nearest(text, words()).or_else(|| retired(text).filter(|word| words().contains(word)));
            let finding = self.error(Code::Enum, field.blame(), path, &what);
            if let Some(near) = near {
                finding.help(format!("did you mean `{near}`?"));
            }
        }
        choice
    }

    /// The items of a list with at least so many.
    pub(super) fn list<'n>(&mut self, field: Field<'n>, path: &Path<'_>, least: usize) -> &'n [Node] {
        match field.node.items() {
            Some(items) => {
                if items.len() < least {
                    self.empty(field, path);
                }
                items
            }
            None => {
                self.wrong_type(field, path, "a list");
                &[]
            }
        }
    }

    /// A list of strings, none of them empty.
    pub(super) fn strings(&mut self, field: Field<'_>, path: &Path<'_>, least: usize) -> Vec<(String, Span)> {
        let items = self.list(field, path, least);
        let string = |(index, node): (usize, &Node)| {
            let text = self.full_string(field.item(node), &path.item(index));
            (text.to_owned(), node.span)
        };
        items.iter().enumerate().map(string).collect()
    }

    /// Any value, not nested deeper than calls can be.
    pub(super) fn literal(&mut self, field: Field<'_>, path: &Path<'_>, nan: bool) -> Literal {
        if height(field.node) > MAX_DEPTH {
            self.error(Code::YamlDepth, field.blame(), path, &format!("nested deeper than {MAX_DEPTH} levels"));
        } else if !nan && has_nan(field.node) {
            self.error(Code::Type, field.blame(), path, "must not be or hold `.nan`, which JSON cannot write");
        }
        if has_invalid(field.node) {
            self.errors += 1;
        }
        field.node.to_literal()
    }
}

/// Words of earlier versions, and what they are called now.
fn retired(word: &str) -> Option<&'static str> {
    Some(match word {
        "deny" | "denied" => "block",
        "approve" | "require_approval" => "ask",
        "log" | "shadow" | "report" => "observe",
        "effect" => "action",
        "contracts" => "rules",
        "reason" => "message",
        "timeout_effect" => "timeout_action",
        _ => return None,
    })
}

fn height(node: &Node) -> usize {
    let below = match &node.value {
        Value::Sequence(list) => list.iter().map(height).max(),
        Value::Mapping(entries) => entries.iter().map(|(_, value)| height(value)).max(),
        _ => return 0,
    };
    1 + below.unwrap_or(0)
}

fn holds(node: &Node, what: &impl Fn(&Value) -> bool) -> bool {
    what(&node.value)
        || match &node.value {
            Value::Sequence(list) => list.iter().any(|item| holds(item, what)),
            Value::Mapping(entries) => entries.iter().any(|(_, value)| holds(value, what)),
            _ => false,
        }
}

pub(super) fn has_nan(node: &Node) -> bool {
    holds(node, &|value| matches!(value, Value::Float(float) if float.is_nan()))
}

fn has_invalid(node: &Node) -> bool {
    holds(node, &|value| matches!(value, Value::Invalid))
}

/// A closed map being read.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    entries: &'n [(Node, Node)],
    /// The documents of the entries, when they come from several.
    documents: &'n [Arc<str>],
    /// Whom to blame for what is missing.
    place: Span,
    /// Misspelt keys that stand for one that is not there: reported once, and read as what they were meant to be.
    meant: Vec<(&'n str, &'static str)>,
}

impl<'n> Fields<'n> {
    /// Opens a map that may have these keys and no others. None when it is no map.
    pub(super) fn open(
        field: Field<'n>,
        path: &Path<'_>,
        known: &[&'static str],
        check: &mut Check<'_>,
    ) -> Option<Self> {
        let Some(entries) = field.node.entries() else {
            check.wrong_type(field, path, "a map");
            return None;
        };
        // An item of a list has no key of its own: its first one is where it begins.
        let place = entries.first().map_or(field.key, |(key, _)| key.span);
        let place = if matches!(path, Path::Key(..)) { field.key } else { place };
        let mut fields = Self { entries, documents: &[], place, meant: Vec::new() };
        fields.refuse_unknown(path, known, check);
        Some(fields)
    }

    /// Opens the root of a document whose entries come from several.
    pub(super) fn root(
        entries: &'n [(Node, Node)],
        documents: &'n [Arc<str>],
        known: &[&'static str],
        check: &mut Check<'_>,
    ) -> Self {
        let place = entries.first().map_or(START, |(key, _)| key.span);
        let mut fields = Self { entries, documents, place, meant: Vec::new() };
        fields.refuse_unknown(&Path::Root, known, check);
        fields
    }

    fn refuse_unknown(&mut self, path: &Path<'_>, known: &[&'static str], check: &mut Check<'_>) {
        let name = |key: &'n Node| key.as_str().unwrap_or("");
        let present = |word: &str| self.entries.iter().any(|(key, _)| name(key) == word);
        let mut free: Vec<&'static str> = known.iter().copied().filter(|word| !present(word)).collect();
        for (at, (key, _)) in self.entries.iter().enumerate() {
            let name = name(key);
            if known.contains(&name) {
                continue;
            }
            if let Some(document) = self.documents.get(at) {
                check.enter(document);
            }
            let meant = nearest(name, free.iter().copied())
                .or_else(|| retired(name).filter(|word| free.contains(word)))
                .and_then(|meant| free.iter().position(|word| *word == meant));
            let meant = meant.map(|at| free.swap_remove(at));
            let help = match meant.or_else(|| nearest(name, known.iter().copied())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => advice(path, name, check.dialect)
                    .map_or_else(|| format!("known here: {}", known.join(", ")), str::to_owned),
            };
            check.error(Code::UnknownField, key.span, &path.key(name), "unknown field").help(help);
            self.meant.extend(meant.map(|meant| (name, meant)));
        }
    }

    fn entry(&self, name: &str) -> Option<usize> {
        let written = self.meant.iter().find(|(_, meant)| *meant == name).map_or(name, |(written, _)| written);
        self.entries.iter().position(|(key, _)| key.as_str() == Some(written))
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<Field<'n>> {
        let at = self.entry(name)?;
        let (key, node) = self.entries.get(at)?;
        Some(Field { key: key.span, node, document: self.documents.get(at) })
    }

    /// The value of a key that must be there.
    pub(super) fn require(&self, name: &str, path: &Path<'_>, check: &mut Check<'_>) -> Option<Field<'n>> {
        let field = self.get(name);
        if field.is_none() {
            self.missing(name, path, check);
        }
        field
    }

    fn missing(&self, name: &str, path: &Path<'_>, check: &mut Check<'_>) {
        let help = match name {
            "apiVersion" => "add `apiVersion: edictum/v1`",
            "kind" if check.dialect.workflow => "add `kind: Workflow`",
            "kind" => "add `kind: Ruleset`",
            "mode" => "add `mode: enforce` or `mode: observe`",
            "type" => "add `type: pre`, `post`, `session` or `sandbox`",
            _ => "",
        };
        let finding = check.error(Code::MissingField, self.place, &path.key(name), "is required");
        if !help.is_empty() {
            finding.help(help);
        }
    }

    /// Whom to blame for what is missing.
    pub(super) fn place(&self) -> Span {
        self.place
    }

    /// Every entry, for maps whose keys are free.
    pub(super) fn entries(&self) -> &'n [(Node, Node)] {
        self.entries
    }
}

/// Where a key that is known elsewhere belongs.
fn advice(path: &Path<'_>, name: &str, dialect: &Dialect) -> Option<&'static str> {
    if dialect.workflow {
        return workflow_advice(path, name);
    }
    Some(match (path, name) {
        (Path::Root, "limits") => "limits belong into a rule of `type: session`",
        (Path::Root, "name" | "description") => "it belongs into `metadata`",
        (Path::Root, "mode") => "it belongs into `defaults`",
        (Path::Key(_, "defaults"), "environment") => "the environment is an option of the guard",
        (Path::Item(..), "action" | "message" | "tags" | "metadata" | "timeout" | "timeout_action") => {
            "it belongs into `then`"
        }
        (Path::Item(..), "domains" | "commands") => "it belongs into `allows`",
        (Path::Key(_, "then"), "mode" | "enabled") => "it belongs into the rule, beside `then`",
        _ => return None,
    })
}

fn workflow_advice(path: &Path<'_>, name: &str) -> Option<&'static str> {
    Some(match (path, name) {
        (Path::Root, "name" | "version" | "description") => "it belongs into `metadata`",
        (Path::Root, "rules" | "defaults" | "contracts") => {
            "a workflow has stages; rules belong into a ruleset, a file of its own"
        }
        (Path::Item(Path::Key(Path::Root, "stages"), _), "condition") => "it belongs into an item of `entry` or `exit`",
        (Path::Item(Path::Key(Path::Root, "stages"), _), "command_matches" | "command_not_matches") => {
            "it belongs into an item of `checks`"
        }
        (Path::Item(Path::Key(Path::Root, "stages"), _), "message") => "it belongs into a gate, a check or `approval`",
        (Path::Item(Path::Key(Path::Root, "stages"), _), "name") => "the name of a stage is its `id`",
        _ => return None,
    })
}
