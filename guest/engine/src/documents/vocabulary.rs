//! The words of expressions: selectors (engine.md §3.2) and operators (§1.3) that exist without any option.

use super::check::Dialect;
use crate::diagnostics::{Code, Findings, Span, nearest};
use crate::yaml::shown;

/// What kind of operand an operator takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperandKind {
    /// `true` or `false`.
    Bool,
    /// Anything.
    Any,
    /// A list of anything.
    List,
    /// A string.
    String,
    /// A list of strings.
    Strings,
    /// A regular expression.
    Pattern,
    /// A list of regular expressions.
    Patterns,
    /// A number, not a bool, not NaN.
    Number,
}

/// The fifteen operators.
pub const OPERATORS: &[(&str, OperandKind)] = &[
    ("exists", OperandKind::Bool),
    ("equals", OperandKind::Any),
    ("not_equals", OperandKind::Any),
    ("in", OperandKind::List),
    ("not_in", OperandKind::List),
    ("contains", OperandKind::String),
    ("contains_any", OperandKind::Strings),
    ("starts_with", OperandKind::String),
    ("ends_with", OperandKind::String),
    ("matches", OperandKind::Pattern),
    ("matches_any", OperandKind::Patterns),
    ("gt", OperandKind::Number),
    ("gte", OperandKind::Number),
    ("lt", OperandKind::Number),
    ("lte", OperandKind::Number),
];

/// Selectors that are complete.
pub const SELECTORS: &[&str] = &[
    "environment",
    "tool.name",
    "principal.user_id",
    "principal.service_id",
    "principal.org_id",
    "principal.role",
    "principal.ticket_ref",
    "output.text",
];

/// Selectors that go on with a path (or, after `env.`, a name).
pub const PREFIXES: &[&str] = &["args.", "principal.claims.", "env.", "metadata.", "result."];

/// The operators of an expression that are no selectors.
pub const CONNECTIVES: &[&str] = &["all", "any", "not"];

/// First words of selectors that custom ones cannot have (engine.md §3.2).
pub const RESERVED_PREFIXES: &[&str] =
    &["environment", "tool", "args", "principal", "output", "env", "metadata", "result", "session", "workflow"];

/// Why the options' custom names cannot be used: an operator or prefix must not be one that exists, and a prefix ends
/// at its dot.
pub(super) fn refuse_names(dialect: &Dialect, findings: &mut Findings) {
    for name in &dialect.operators {
        let what = match operand_kind(name) {
            Some(_) => "exists already",
            None if name.is_empty() => "has no name",
            None => continue,
        };
        findings.error(Code::Option, Span::default(), format!("operators: the operator {} {what}", shown(name)));
    }
    for prefix in &dialect.selectors {
        let what = if RESERVED_PREFIXES.contains(&prefix.as_str()) || CONNECTIVES.contains(&prefix.as_str()) {
            "is reserved"
        } else if prefix.is_empty() {
            "has no name"
        } else if prefix.contains('.') {
            "must not have a dot"
        } else {
            continue;
        };
        findings.error(Code::Option, Span::default(), format!("selectors: the prefix {} {what}", shown(prefix)));
    }
}

/// What a built-in operator takes.
#[must_use]
pub fn operand_kind(operator: &str) -> Option<OperandKind> {
    OPERATORS.iter().find(|(name, _)| *name == operator).map(|(_, kind)| *kind)
}

/// Whether a selector looks at what a tool returned.
#[must_use]
pub fn is_output(selector: &str) -> bool {
    selector == "output.text" || selector.starts_with("result.")
}

pub(super) fn is_selector(selector: &str, dialect: &Dialect) -> bool {
    if SELECTORS.contains(&selector) {
        return true;
    }
    if selector == "env." {
        return false;
    }
    let custom = |(prefix, _): (&str, &str)| dialect.selectors.iter().any(|known| known == prefix);
    PREFIXES.iter().any(|prefix| selector.starts_with(prefix)) || selector.split_once('.').is_some_and(custom)
}

/// The selector or connective that was most likely meant.
pub(super) fn meant_selector(written: &str, dialect: &Dialect) -> Option<String> {
    let whole = SELECTORS.iter().chain(CONNECTIVES).copied();
    if let Some(near) = nearest(written, whole) {
        return Some(near.to_owned());
    }
    // `arg.command` and `principal.claim.x`: the beginning is misspelt, the rest is kept.
    let custom = dialect.selectors.iter().map(|prefix| format!("{prefix}."));
    let prefixes: Vec<String> = PREFIXES.iter().map(|prefix| (*prefix).to_owned()).chain(custom).collect();
    for (at, _) in written.match_indices('.').take(2) {
        let (begin, rest) = written.split_at(at + 1);
        if let Some(near) = nearest(begin, prefixes.iter().map(String::as_str)) {
            return Some(format!("{near}{rest}"));
        }
    }
    match written {
        "tool" | "tool_name" => Some("tool.name".to_owned()),
        "output" | "result" => Some("output.text".to_owned()),
        "role" | "user_id" | "service_id" | "org_id" | "ticket_ref" => Some(format!("principal.{written}")),
        _ if !written.contains('.') => Some(format!("args.{written}")),
        _ => None,
    }
}

pub(super) fn meant_operator<'d>(written: &str, dialect: &'d Dialect) -> Option<&'d str> {
    let names = OPERATORS.iter().map(|(name, _)| *name).chain(dialect.operators.iter().map(String::as_str));
    nearest(written, names).or(match written {
        "eq" | "is" | "==" | "equal" => Some("equals"),
        "ne" | "neq" | "!=" => Some("not_equals"),
        "regex" | "match" | "like" => Some("matches"),
        "includes" | "has" => Some("contains"),
        "prefix" | "startswith" | "startsWith" => Some("starts_with"),
        "suffix" | "endswith" | "endsWith" => Some("ends_with"),
        "ge" | ">=" => Some("gte"),
        "le" | "<=" => Some("lte"),
        ">" => Some("gt"),
        "<" => Some("lt"),
        _ => None,
    })
}
