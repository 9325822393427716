//! The evaluator that the fast one must agree with: every rule, left to right, straight from the document, nothing
//! compiled but patterns. Only for tests.

use std::cmp::Ordering;

use super::pattern::{MAX_SUBJECT, Pattern, Use};
use super::scan::Fired;
use super::{Phase, glob::Glob};
use crate::call::Subject;
use crate::documents::composition::EffectiveRule;
use crate::documents::ruleset::{Expression, Leaf, RuleBody};
use crate::json::{Builder, Map, Value};

/// Answers of custom operators, from name, value and operand.
pub(super) type Operators<'o> = &'o dyn Fn(&str, &str, &str) -> Result<bool, String>;

/// The rules that fire.
pub(super) fn fired(
    rules: &[EffectiveRule],
    phase: Phase,
    subject: &Subject<'_>,
    operators: Operators<'_>,
) -> Vec<Fired> {
    let mut all = Vec::new();
    for (rule, effective) in rules.iter().enumerate() {
        let (tool, when) = match (&effective.rule.body, phase) {
            (RuleBody::Pre(pre), Phase::Pre) => (&pre.tool, &pre.when),
            (RuleBody::Post(post), Phase::Post) => (&post.tool, &post.when),
            _ => continue,
        };
        if !Glob::compile(tool).matches(subject.call.tool) {
            continue;
        }
        let naive = Naive { subject, phase, operators };
        match naive.expression(when) {
            Ok(false) => {}
            Ok(true) => all.push(Fired { rule, policy_error: false, error_detail: None }),
            Err(error_detail) => all.push(Fired { rule, policy_error: true, error_detail }),
        }
    }
    all
}

struct Naive<'n> {
    subject: &'n Subject<'n>,
    phase: Phase,
    operators: Operators<'n>,
}

type Outcome = Result<bool, Option<String>>;

impl<'n> Naive<'n> {
    fn expression(&self, expression: &Expression) -> Outcome {
        match expression {
            Expression::All(parts) => {
                for part in parts {
                    if !self.expression(part)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Expression::Any(parts) => {
                for part in parts {
                    if self.expression(part)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Expression::Not(part) => Ok(!self.expression(part)?),
            Expression::Leaf(leaf) => self.leaf(leaf),
        }
    }

    fn select(&self, selector: &str) -> Result<Option<Value<'n>>, String> {
        let nested = |map: Option<Map<'n>>, path: &str| map.and_then(|map| Value::Map(map).path(path.split('.')));
        let subject = self.subject;
        let output = if self.phase == Phase::Post { subject.output } else { None };
        Ok(match selector {
            "environment" => Some(Value::String(subject.environment)),
            "tool.name" => Some(Value::String(subject.call.tool)),
            "output.text" => output.and_then(|output| output.text).map(Value::String),
            _ => match selector.split_once('.') {
                Some(("args", path)) => nested(Some(subject.call.args), path),
                Some(("metadata", path)) => nested(subject.call.metadata, path),
                Some(("principal", path)) => nested(subject.principal, path),
                Some(("result", path)) => match output.map(|output| output.value) {
                    Some(Value::Map(map)) => nested(Some(map), path),
                    Some(text @ Value::String(_)) if path == "output" => Some(text),
                    _ => None,
                },
                Some((prefix, path)) => match subject.custom.iter().find(|(name, _)| name == prefix) {
                    Some((_, Ok(map))) => nested(map.root().as_map(), path),
                    Some((_, Err(error))) => return Err(error.clone()),
                    None => None,
                },
                None => None,
            },
        })
    }

    fn leaf(&self, leaf: &Leaf) -> Outcome {
        let operator = leaf.operator.value.as_str();
        let operand = leaf.operand.value.root();
        let value = self.select(&leaf.selector.value).map_err(Some)?;
        let value = match value {
            None | Some(Value::Null) => return Ok(operator == "exists" && operand.as_bool() == Some(false)),
            Some(value) => value,
        };
        let text = || value.as_str().ok_or(None);
        let order = || match (value, operand.as_number()) {
            (Value::Bool(_) | Value::Number(_), Some(operand)) => {
                Ok(value.as_number().and_then(|number| number.compare(operand)))
            }
            _ => Err(None),
        };
        let texts = || -> Vec<&str> {
            match operand {
                Value::String(text) => vec![text],
                Value::List(list) => list.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            }
        };
        let member = || operand.as_list().is_some_and(|list| list.iter().any(|member| member == value));
        match operator {
            "exists" => Ok(operand.as_bool() == Some(true)),
            "equals" => Ok(value == operand),
            "not_equals" => Ok(value != operand),
            "in" => Ok(member()),
            "not_in" => Ok(!member()),
            "contains" | "contains_any" => text().map(|text| texts().iter().any(|part| text.contains(part))),
            "starts_with" => text().map(|text| texts().iter().any(|part| text.starts_with(part))),
            "ends_with" => text().map(|text| texts().iter().any(|part| text.ends_with(part))),
            "matches" | "matches_any" => {
                let text = text()?;
                if text.len() > MAX_SUBJECT {
                    return Err(None);
                }
                Ok(texts().iter().any(|source| Pattern::compile(source, Use::Search).unwrap().is_match(text)))
            }
            "gt" => order().map(|order| order == Some(Ordering::Greater)),
            "gte" => order().map(|order| matches!(order, Some(Ordering::Greater | Ordering::Equal))),
            "lt" => order().map(|order| order == Some(Ordering::Less)),
            "lte" => order().map(|order| matches!(order, Some(Ordering::Less | Ordering::Equal))),
            custom => {
                let mut text = Builder::new();
                text.value(value);
                (self.operators)(custom, text.finish().text(), leaf.operand.value.text()).map_err(Some)
            }
        }
    }
}
