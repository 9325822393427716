//! `when`: the shape of expressions, operand types, selectors, and what most likely is not meant (engine.md §1.3, §1.7).

use crate::diagnostics::{Code, Findings, did_you_mean};
use crate::documents::fields::{items, wrong_type};
use crate::documents::ruleset::{Expression, Leaf, Spanned};
use crate::options::{OPERATORS, Options, UnknownSelectors};
use crate::yaml::{Node, Value, shown};

/// Deepest nesting of `all`, `any` and `not`.
const MAX_DEPTH: usize = 100;

/// Selectors that are one word, and those that begin so.
const WHOLE: [&str; 8] = [
    "environment",
    "tool.name",
    "output.text",
    "principal.user_id",
    "principal.service_id",
    "principal.org_id",
    "principal.role",
    "principal.ticket_ref",
];
const PREFIXES: [&str; 5] = ["args.", "principal.claims.", "env.", "metadata.", "result."];

/// Which rules an expression stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before the tool runs: there is no output.
    Pre,
    /// After it ran.
    Post,
}

struct Reader<'r> {
    rule: &'r str,
    place: Place,
    options: &'r Options,
    findings: &'r mut Findings,
}

/// Reads an expression. None: it has an error.
pub(super) fn read(
    node: &Node,
    path: &str,
    rule: &str,
    place: Place,
    options: &Options,
    findings: &mut Findings,
) -> Option<Expression> {
    let mut reader = Reader { rule, place, options, findings };
    let expression = reader.expression(node, path, 0)?;
    lint_missing(&expression, rule, findings);
    Some(expression)
}

impl Reader<'_> {
    fn expression(&mut self, node: &Node, path: &str, depth: usize) -> Option<Expression> {
        if depth > MAX_DEPTH {
            self.findings.error(Code::ExprDepth, node.span, format!("{path}: nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        let (key, value) = self.single(node, path, "an expression")?;
        let name = key.as_str()?;
        let path = format!("{path}.{name}");
        match name {
            "all" => self.list(value, &path, depth).map(Expression::All),
            "any" => self.list(value, &path, depth).map(Expression::Any),
            "not" => self.expression(value, &path, depth + 1).map(|inner| Expression::Not(Box::new(inner))),
            _ => self.leaf(key, value, &path).map(Expression::Leaf),
        }
    }

    fn list(&mut self, node: &Node, path: &str, depth: usize) -> Option<Vec<Expression>> {
        let nodes = items(node, path, self.findings)?;
        let read: Vec<Option<Expression>> = nodes
            .iter()
            .enumerate()
            .map(|(index, node)| self.expression(node, &format!("{path}[{index}]"), depth + 1))
            .collect();
        read.into_iter().collect()
    }

    /// A map with exactly one key.
    fn single<'n>(&mut self, node: &'n Node, path: &str, what: &str) -> Option<(&'n Node, &'n Node)> {
        match &node.value {
            Value::Mapping(entries) => match entries.as_slice() {
                [(key, value)] => Some((key, value)),
                [] => {
                    self.findings.error(Code::ExprShape, node.span, format!("{path}: {what} must not be empty"));
                    None
                }
                [_, (second, _), ..] => {
                    let message = format!("{path}: {what} has exactly one key, not {}", entries.len());
                    self.findings.error(Code::ExprShape, second.span, message).help(if what == "an expression" {
                        "combine several with `all: [...]` or `any: [...]`"
                    } else {
                        "write one operator, and combine several leaves with `all: [...]`"
                    });
                    None
                }
            },
            Value::Invalid => None,
            other => {
                let message = format!("{path}: {what} must be a mapping with one key, not {}", other.kind());
                self.findings.error(Code::ExprShape, node.span, message);
                None
            }
        }
    }

    fn leaf(&mut self, key: &Node, value: &Node, path: &str) -> Option<Leaf> {
        let selector = key.as_str()?;
        let known = self.selector(key, selector, path);
        let (operator, operand) = self.single(value, path, "an operator")?;
        let name = operator.as_str()?;
        let path = format!("{path}.{name}");
        if !OPERATORS.contains(&name) && !self.options.operators.iter().any(|own| own == name) {
            let message = format!("{path}: unknown operator {} in rule `{}`", shown(name), self.rule);
            let own = self.options.operators.iter().map(String::as_str);
            let help = did_you_mean(name, OPERATORS.into_iter().chain(own))
                .unwrap_or_else(|| format!("operators: {}", OPERATORS.join(", ")));
            self.findings.error(Code::UnknownOperator, operator.span, message).help(help);
            return None;
        }
        let fits = self.operand(name, operand, &path);
        (known && fits).then(|| Leaf {
            selector: Spanned { value: selector.to_owned(), span: key.span },
            operator: Spanned { value: name.to_owned(), span: operator.span },
            operand: Spanned { value: operand.to_literal(), span: operand.span },
        })
    }

    /// Whether a selector may stand here.
    fn selector(&mut self, key: &Node, selector: &str, path: &str) -> bool {
        if self.place == Place::Pre && (selector == "output.text" || selector.starts_with("result.")) {
            let message =
                format!("{path}: rule `{}` runs before the tool and cannot see {}", self.rule, shown(selector));
            self.findings.error(Code::PreOutputSelector, key.span, message).help("make it a rule of `type: post`");
            return false;
        }
        let first = selector.split_once('.').map(|(first, _)| first);
        let known = WHOLE.contains(&selector)
            || PREFIXES.iter().any(|prefix| selector.starts_with(prefix))
            || first.is_some_and(|first| self.options.selectors.iter().any(|own| own == first));
        if known {
            return true;
        }
        let message = format!("{path}: unknown selector {} in rule `{}`", shown(selector), self.rule);
        let help = selector_help(selector, &self.options.selectors);
        if self.options.unknown_selectors == UnknownSelectors::Warn {
            self.findings.warning(Code::UnknownSelector, key.span, message).help(help);
            return true;
        }
        self.findings.error(Code::UnknownSelector, key.span, message).help(help);
        false
    }

    /// Whether an operand is of the operator's type.
    fn operand(&mut self, operator: &str, node: &Node, path: &str) -> bool {
        if matches!(node.value, Value::Invalid) {
            return false;
        }
        match operator {
            "exists" => self.is(node, path, "a boolean", matches!(node.value, Value::Bool(_))),
            "equals" | "not_equals" => {
                self.lint_operand(node, path);
                !self.has_nan(node, path)
            }
            "in" | "not_in" => {
                let Some(nodes) = items(node, path, self.findings) else { return false };
                for (index, node) in nodes.iter().enumerate() {
                    self.lint_operand(node, &format!("{path}[{index}]"));
                }
                !self.has_nan(node, path)
            }
            "contains" | "starts_with" | "ends_with" => self.text(node, path, "always true for strings"),
            "matches" => self.text(node, path, "matches everything") && self.lint_pattern(node, path),
            "contains_any" | "matches_any" => {
                let Some(nodes) = items(node, path, self.findings) else { return false };
                let mut fits = true;
                for (index, node) in nodes.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    fits &= self.text(node, &path, "always true for strings");
                    if operator == "matches_any" {
                        self.lint_pattern(node, &path);
                    }
                }
                fits
            }
            "gt" | "gte" | "lt" | "lte" => {
                let nan = matches!(node.value, Value::Float(float) if float.is_nan());
                if nan {
                    self.findings.error(Code::Type, node.span, format!("{path}: nothing compares with NaN"));
                    return false;
                }
                self.is(node, path, "a number", matches!(node.value, Value::Int(_) | Value::Float(_)))
            }
            // A custom operator takes what it likes.
            _ => !self.has_nan(node, path),
        }
    }

    fn is(&mut self, node: &Node, path: &str, expected: &str, fits: bool) -> bool {
        if !fits {
            wrong_type(self.findings, node.span, path, expected, &node.value);
        }
        fits
    }

    fn text(&mut self, node: &Node, path: &str, empty: &str) -> bool {
        match &node.value {
            Value::String(text) if text.is_empty() => {
                self.findings
                    .error(Code::Empty, node.span, format!("{path}: must not be empty"))
                    .help(format!("an empty operand is {empty}"));
                false
            }
            Value::String(_) => true,
            other => {
                wrong_type(self.findings, node.span, path, "a string", other);
                false
            }
        }
    }

    /// NaN has no JSON text, and equals nothing.
    fn has_nan(&mut self, node: &Node, path: &str) -> bool {
        let found = match &node.value {
            Value::Float(float) if float.is_nan() => true,
            Value::Sequence(items) => return items.iter().any(|item| self.has_nan(item, path)),
            Value::Mapping(entries) => return entries.iter().any(|(_, value)| self.has_nan(value, path)),
            _ => false,
        };
        if found {
            self.findings.error(Code::Type, node.span, format!("{path}: nothing equals NaN"));
        }
        found
    }

    /// What YAML 1.1 makes of words and dates.
    fn lint_operand(&mut self, node: &Node, path: &str) {
        let what = match &node.value {
            Value::Bool(flag) if node.disguised => format!("the boolean {flag}"),
            Value::Int(decimal) if node.disguised => format!("the number {decimal}"),
            Value::Date(text) => format!("the text `{text}`, as JSON has no dates"),
            _ => return,
        };
        self.findings
            .warning(Code::LintOperand, node.span, format!("{path}: this is {what}"))
            .help("put quotes around it if text is meant");
    }

    /// A backslash too many: in single quotes none has to be doubled.
    fn lint_pattern(&mut self, node: &Node, path: &str) -> bool {
        let Some(pattern) = node.as_str() else { return true };
        let doubled = ["\\\\b", "\\\\d", "\\\\s", "\\\\w"].iter().find(|escape| pattern.contains(**escape));
        if let Some(escape) = doubled {
            let single = escape.trim_start_matches('\\');
            self.findings
                .warning(
                    Code::LintBackslash,
                    node.span,
                    format!("{path}: `{escape}` is a backslash and the letter {single}"),
                )
                .help(format!("in single quotes write `\\{single}`"));
        }
        true
    }
}

fn selector_help(selector: &str, own: &[String]) -> String {
    let near = did_you_mean(selector, WHOLE);
    let first = selector.split_once('.').map_or(selector, |(first, _)| first);
    let heads = ["args", "principal", "env", "metadata", "result", "environment", "tool", "output"];
    let own = own.iter().map(String::as_str);
    near.or_else(|| {
        let rest = selector.split_once('.').map(|(_, rest)| rest)?;
        let head = did_you_mean(first, heads.into_iter().chain(own))?;
        let head = head.strip_prefix("did you mean `")?.strip_suffix("`?")?;
        (head != first).then(|| format!("did you mean `{head}.{rest}`?"))
    })
    .unwrap_or_else(|| {
        "selectors: environment, tool.name, args.…, principal.user_id, .service_id, .org_id, .role, .ticket_ref, \
         .claims.…, env.…, metadata.…, output.text, result.…"
            .to_owned()
    })
}

/// A list of permitted values says nothing about a field that is not there.
fn lint_missing(expression: &Expression, rule: &str, findings: &mut Findings) {
    let mut leaves = Vec::new();
    collect(expression, &mut leaves);
    for leaf in &leaves {
        let negative = matches!(leaf.operator.value.as_str(), "not_in" | "not_equals");
        let null = leaf.operand.value.root().is_null();
        let guarded =
            leaves.iter().any(|other| other.selector.value == leaf.selector.value && other.operator.value == "exists");
        if negative && !null && !guarded && !always_there(&leaf.selector.value) {
            let message = format!(
                "rule `{rule}`: `{}` does not fire when `{}` is missing",
                leaf.operator.value, leaf.selector.value
            );
            findings.warning(Code::LintMissingField, leaf.operator.span, message).help(format!(
                "add `any: [{{{}: {{exists: false}}}}, …]` if a missing value must fire too",
                leaf.selector.value
            ));
        }
    }
}

fn always_there(selector: &str) -> bool {
    matches!(selector, "environment" | "tool.name")
}

fn collect<'e>(expression: &'e Expression, leaves: &mut Vec<&'e Leaf>) {
    match expression {
        Expression::All(list) | Expression::Any(list) => list.iter().for_each(|inner| collect(inner, leaves)),
        Expression::Not(inner) => collect(inner, leaves),
        Expression::Leaf(leaf) => leaves.push(leaf),
    }
}
