//! Warnings: what loads and most likely does not do what its author meant.

use std::collections::BTreeSet;

use super::check::{Check, Field};
use super::path::Path;
use super::ruleset::{Expression, Leaf, RuleBody};
use super::vocabulary::OperandKind;
use crate::diagnostics::{Code, Span};
use crate::yaml::{Node, Value, shown};

/// Operands that YAML or the operator reads as something else than they look like (engine.md §1.7).
pub(super) fn operand(
    operator: &str,
    kind: Option<OperandKind>,
    field: Field<'_>,
    path: &Path<'_>,
    check: &mut Check<'_>,
) {
    let items = match &field.node.value {
        Value::Sequence(list) => list.as_slice(),
        _ => std::slice::from_ref(field.node),
    };
    if matches!(kind, Some(OperandKind::Pattern | OperandKind::Patterns)) {
        for item in items {
            doubled_backslash(item, path, check);
        }
        return;
    }
    if kind == Some(OperandKind::Bool) {
        return;
    }
    for item in items {
        scalar(operator, field.item(item), path, check);
    }
}

fn scalar(operator: &str, field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) {
    let span = field.blame();
    match &field.node.value {
        Value::Bool(flag) if field.node.disguised => {
            check
                .warning(Code::LintOperand, span, path, &format!("YAML reads this word as the boolean {flag}"))
                .help("quote it when the word is meant, or write `true` or `false`");
        }
        Value::Int(decimal) if field.node.disguised => {
            check
                .warning(Code::LintOperand, span, path, &format!("YAML reads this as the number {}", shown(decimal)))
                .help("quote it when the text is meant, or write the number in decimal");
        }
        Value::Float(float) if field.node.disguised => {
            check
                .warning(Code::LintOperand, span, path, &format!("YAML reads this as the number {float}"))
                .help("quote it when the text is meant");
        }
        Value::Float(float) if float.is_nan() => {
            check.warning(Code::LintOperand, span, path, "`.nan` equals nothing, not even itself");
        }
        Value::Date(text) => {
            let what = format!("the date {} is compared as a text", shown(text));
            check.warning(Code::LintOperand, span, path, &what).help("quote it, so that other readers do the same");
        }
        Value::Null if matches!(operator, "equals" | "not_equals" | "in" | "not_in") => {
            check
                .warning(Code::LintOperand, span, path, "null is the same as a missing field, which equals nothing")
                .help("use `exists: false` or `exists: true`");
        }
        _ => {}
    }
}

/// `'\\bword'`: in single quotes both backslashes are kept, and the pattern looks for one.
pub(super) fn doubled_backslash(item: &Node, path: &Path<'_>, check: &mut Check<'_>) {
    let Some(pattern) = item.as_str() else { return };
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let run = rest.get(at..).unwrap_or("");
        let after = run.trim_start_matches('\\');
        // Four of them are two backslashes that somebody meant, as before the name of a Windows server.
        if run.len() - after.len() == 2 && after.starts_with(['b', 'd', 's', 'w', 'B', 'D', 'S', 'W']) {
            let what = format!("the pattern {} looks for a backslash", shown(pattern));
            check
                .warning(Code::LintBackslash, item.span, path, &what)
                .help("write one backslash in single quotes or without quotes, two in double quotes");
            return;
        }
        rest = after;
    }
}

/// What only a whole rule shows.
pub(super) fn rule(body: &RuleBody, path: &Path<'_>, check: &mut Check<'_>) {
    let when = match body {
        RuleBody::Pre(rule) => &rule.when,
        RuleBody::Post(rule) => &rule.when,
        RuleBody::Session(_) | RuleBody::Sandbox(_) => return,
    };
    let mut asked = BTreeSet::new();
    walk(when, true, &mut |leaf, _| {
        if leaf.operator.value == "exists" {
            asked.insert(leaf.selector.value.as_str());
        }
    });
    // Under `not` a missing field makes the rule fire: nothing is let through.
    walk(when, true, &mut |leaf, plain| {
        let (selector, operator) = (leaf.selector.value.as_str(), leaf.operator.value.as_str());
        let always_there = matches!(selector, "environment" | "tool.name");
        if plain && matches!(operator, "not_in" | "not_equals") && !always_there && !asked.contains(selector) {
            let what = format!(
                "`{operator}` is false when {} is missing or null, and the rule does not fire",
                shown(selector)
            );
            let companion = if selector.len() < 60 { selector } else { "…" };
            check
                .warning(Code::LintMissingField, leaf.operator.span, &path.key("when"), &what)
                .help(format!("combine it in an `any` with `{companion}: {{exists: false}}`"));
        }
    });
}

fn walk<'e>(expression: &'e Expression, plain: bool, visit: &mut impl FnMut(&'e Leaf, bool)) {
    match expression {
        Expression::All(list) | Expression::Any(list) => list.iter().for_each(|item| walk(item, plain, visit)),
        Expression::Not(inner) => walk(inner, !plain, visit),
        Expression::Leaf(leaf) => visit(leaf, plain),
    }
}

/// A glob of tool names (engine.md §5) that looks like another language.
pub(super) fn tool_glob(glob: &str, span: Span, path: &Path<'_>, check: &mut Check<'_>) {
    let what = if glob.contains('{') && glob.contains(',') && glob.contains('}') {
        "braces are no alternatives here, but characters of the name"
    } else if glob.contains("[^") {
        "`[^…]` is no negation here; `[!…]` is"
    } else if glob.contains('|') {
        "`|` is no alternative here, but a character of the name"
    } else {
        return;
    };
    check.warning(Code::LintGlob, span, path, what).help("write one rule for each name, or a glob with `*` and `?`");
}

/// Names that are compared exactly, and look like globs.
pub(super) fn exact_name(name: &str, span: Span, path: &Path<'_>, check: &mut Check<'_>) {
    if name.contains(['*', '?', '[']) {
        let what = format!("{} is compared as it stands, not as a glob", shown(name));
        check.warning(Code::LintGlob, span, path, &what).help("name each tool");
    }
}

/// `*a.com` is also the host `xa.com`.
pub(super) fn domain_glob(glob: &str, span: Span, path: &Path<'_>, check: &mut Check<'_>) {
    if let Some(rest) = glob.strip_prefix('*')
        && rest.starts_with(|first: char| first.is_alphanumeric())
    {
        let what = format!("{} also matches hosts such as {}", shown(glob), shown(&format!("x{rest}")));
        let help = if rest.len() < 60 {
            format!("write `{rest}` and `*.{rest}`")
        } else {
            "write a dot after the `*`".to_owned()
        };
        check.warning(Code::LintGlob, span, path, &what).help(help);
    }
}
