//! `when`: shape, selectors, operators and operand types (engine.md §1.3). Nothing is compiled here.

use super::check::{Check, Field, has_nan};
use super::path::Path;
use super::ruleset::{Expression, Leaf, Spanned};
use super::vocabulary::{OperandKind, is_output, is_selector, meant_operator, meant_selector, operand_kind};
use super::{lint, vocabulary};
use crate::diagnostics::Code;
use crate::json::{Literal, Value as JsonValue};
use crate::options::UnknownSelectors;
use crate::yaml::{Node, Value, shown};

/// Deepest nesting of `all`, `any` and `not` (engine.md §1.3).
pub const MAX_NESTING: usize = 100;

/// What an expression is checked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'r> {
    /// Of the rule, for messages.
    pub(super) rule: &'r str,
    /// Before the tool runs there is no output.
    pub(super) before: bool,
}

/// Checks an expression with everything in it. None when a part of it could not be read; the error is reported.
pub(super) fn expression(
    field: Field<'_>,
    path: &Path<'_>,
    place: Place<'_>,
    check: &mut Check<'_>,
) -> Option<Expression> {
    nested(field, path, place, 0, check)
}

fn nested(
    field: Field<'_>,
    path: &Path<'_>,
    place: Place<'_>,
    depth: usize,
    check: &mut Check<'_>,
) -> Option<Expression> {
    if depth > MAX_NESTING {
        let what = format!("`all`, `any` and `not` are nested deeper than {MAX_NESTING} levels");
        check.error(Code::ExprDepth, field.blame(), path, &what);
        return None;
    }
    let Some(entries) = field.node.entries() else {
        check.wrong_type(field, path, "a map with one key: `all`, `any`, `not` or a selector");
        return None;
    };
    if let [(key, value)] = entries {
        return entry(key, value, path, place, depth, check);
    }
    let span = entries.get(1).map_or(field.blame(), |(key, _)| key.span);
    let what = format!("must have exactly one key, not {}", entries.len());
    check.error(Code::ExprShape, span, path, &what).help(if entries.is_empty() {
        "write `all:`, `any:`, `not:` or a selector"
    } else {
        "put the conditions into a list below `all:` or `any:`"
    });
    // What is there is checked all the same.
    for (key, value) in entries {
        entry(key, value, path, place, depth, check);
    }
    None
}

/// One key of an expression and what is below it.
fn entry(
    key: &Node,
    value: &Node,
    path: &Path<'_>,
    place: Place<'_>,
    depth: usize,
    check: &mut Check<'_>,
) -> Option<Expression> {
    let name = key.as_str().unwrap_or("");
    let below = Field { key: key.span, node: value, document: None };
    let path = path.key(name);
    match name {
        "all" | "any" => {
            let mut operands = Vec::new();
            for (index, node) in check.list(below, &path, 1).iter().enumerate() {
                operands.extend(nested(below.item(node), &path.item(index), place, depth + 1, check));
            }
            Some(if name == "all" { Expression::All(operands) } else { Expression::Any(operands) })
        }
        "not" => Some(Expression::Not(Box::new(nested(below, &path, place, depth + 1, check)?))),
        _ => leaf(key, below, &path, place, check),
    }
}

fn leaf(
    selector: &Node,
    field: Field<'_>,
    path: &Path<'_>,
    place: Place<'_>,
    check: &mut Check<'_>,
) -> Option<Expression> {
    let name = selector.as_str().unwrap_or("");
    check_selector(name, field, path, place, check);
    let Some(entries) = field.node.entries() else {
        check.wrong_type(field, path, "a map with one operator, as in `{equals: …}`");
        return None;
    };
    let [(key, value)] = entries else {
        let span = entries.get(1).map_or(field.blame(), |(key, _)| key.span);
        let what = format!("must have exactly one operator, not {}", entries.len());
        check.error(Code::ExprShape, span, path, &what).help("write each comparison as an item of `all:`");
        for (key, value) in entries {
            operand(key, value, path, place, check);
        }
        return None;
    };
    let literal = operand(key, value, path, place, check)?;
    Some(Expression::Leaf(Leaf {
        selector: Spanned { value: name.to_owned(), span: selector.span },
        operator: Spanned { value: key.as_str().unwrap_or("").to_owned(), span: key.span },
        operand: Spanned { value: literal, span: Field { key: key.span, node: value, document: None }.blame() },
    }))
}

fn check_selector(name: &str, field: Field<'_>, path: &Path<'_>, place: Place<'_>, check: &mut Check<'_>) {
    if place.before && (is_output(name) || matches!(name, "output" | "result")) {
        let what = format!(
            "the rule {} runs before its tool, and {} is only there afterwards",
            shown(place.rule),
            shown(name)
        );
        check.error(Code::PreOutputSelector, field.key, path, &what).help("make it a rule of `type: post`");
    } else if !is_selector(name, check.dialect) {
        let meant = meant_selector(name, check.dialect);
        let what = format!("there is no selector {}", shown(name));
        let finding = match check.dialect.unknown_selectors {
            UnknownSelectors::Error => check.error(Code::UnknownSelector, field.key, path, &what),
            UnknownSelectors::Warn => check.warning(Code::UnknownSelector, field.key, path, &what),
        };
        let known = vocabulary::SELECTORS.iter().chain(vocabulary::PREFIXES).copied().collect::<Vec<_>>().join(", ");
        finding.help(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("selectors are {known}, and the prefixes that the options name"),
        });
    }
}

/// Checks an operator and its operand.
fn operand(key: &Node, value: &Node, path: &Path<'_>, place: Place<'_>, check: &mut Check<'_>) -> Option<Literal> {
    let operator = key.as_str().unwrap_or("");
    let field = Field { key: key.span, node: value, document: None };
    let path = &path.key(operator);
    let before = check.errors();
    let kind = operand_kind(operator);
    match kind {
        Some(OperandKind::Bool) => {
            check.boolean(field, path);
        }
        Some(OperandKind::List) => {
            check.list(field, path, 1);
        }
        Some(OperandKind::String | OperandKind::Pattern) => {
            check.full_string(field, path);
        }
        Some(OperandKind::Strings | OperandKind::Patterns) => {
            check.strings(field, path, 1);
        }
        Some(OperandKind::Number) => number(field, path, check),
        Some(OperandKind::Any) => {}
        None if check.dialect.operators.iter().any(|known| known == operator) => {}
        None => {
            let what = format!("there is no operator {} (rule {})", shown(operator), shown(place.rule));
            let known = || vocabulary::OPERATORS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            let help = match meant_operator(operator, check.dialect) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("operators are {}", known()),
            };
            check.error(Code::UnknownOperator, key.span, path, &what).help(help);
        }
    }
    // A custom operator is asked through JSON; for the built-in ones NaN is a number that equals nothing.
    let literal = check.literal(field, path, kind.is_some());
    if check.errors() > before {
        return None;
    }
    lint::operand(operator, kind, field, path, check);
    if matches!(kind, Some(OperandKind::Pattern | OperandKind::Patterns)) {
        let root = literal.root();
        let several = root.as_list().into_iter().flat_map(|list| list.iter());
        for pattern in several.filter_map(JsonValue::as_str).chain(root.as_str()) {
            check.met_pattern(pattern, field.blame());
        }
    }
    Some(literal)
}

fn number(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) {
    if has_nan(field.node) {
        check.error(Code::Type, field.blame(), path, "must be a number, and `.nan` compares with nothing");
    } else if !matches!(field.node.value, Value::Int(_) | Value::Float(_)) {
        check.wrong_type(field, path, "a number");
    }
}
