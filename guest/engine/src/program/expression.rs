//! A compiled `when`, and its evaluation: left to right, as far as needed, to true, false or an error (engine.md §3.1, §3.3).

use std::cmp::Ordering;
use std::sync::Arc;

use super::pattern::{MAX_SUBJECT, Pattern};
use super::selector::Resolved;
use crate::json::{Literal, Number, Value};

/// `when`.
#[derive(Clone, Debug)]
pub(super) enum Expression {
    All(Box<[Expression]>),
    Any(Box<[Expression]>),
    Not(Box<Expression>),
    Leaf(Leaf),
}

/// One comparison.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Number of the selector.
    pub(super) selector: u32,
    pub(super) test: Test,
}

/// An operator with its operand.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Exists(bool),
    /// `equals` with a text.
    EqualsText {
        text: Box<str>,
        negated: bool,
    },
    /// `equals` with anything else.
    Equals {
        operand: Box<Literal>,
        negated: bool,
    },
    In {
        members: Box<Members>,
        negated: bool,
    },
    /// `contains` and `contains_any`, with the number of its probe, when it has one.
    Contains {
        texts: Box<[Box<str>]>,
        probe: Option<u32>,
    },
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    /// `matches` and `matches_any`, each pattern with its probe, when it has one.
    Matches(Box<[(Arc<Pattern>, Option<u32>)]>),
    Compare {
        order: Order,
        bound: Bound,
    },
    Custom {
        name: Box<str>,
        operand: Box<Literal>,
    },
}

/// Operand of `in`.
#[derive(Clone, Debug)]
pub(super) struct Members {
    /// Sorted.
    pub(super) texts: Box<[Box<str>]>,
    /// A list of the others.
    pub(super) others: Literal,
}

/// Operand of a comparison of numbers.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Number(Number<'static>),
    /// An integer that does not fit.
    Big(Box<Literal>),
}

/// `gt`, `gte`, `lt`, `lte`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble<'a> {
    /// The operator cannot be applied to such a value.
    Mismatch,
    /// A custom selector or operator failed, and said so.
    Failed(&'a str),
}

/// What an evaluation looks up.
pub(super) trait Facts<'a> {
    /// The value of a selector.
    fn value(&self, selector: u32) -> Resolved<'a>;

    /// Whether a text was scanned for what the probe stands for, and it was there. A pattern whose probe is there must
    /// still be searched for. `None`: not known.
    fn probe(&self, probe: u32) -> Option<bool>;

    /// The answer of a custom operator.
    fn operator(&self, name: &str, value: Value<'a>, operand: &Literal) -> Result<bool, &'a str>;
}

impl Expression {
    pub(super) fn evaluate<'a>(&self, facts: &impl Facts<'a>) -> Result<bool, Trouble<'a>> {
        match self {
            Self::All(parts) => {
                for part in parts {
                    if !part.evaluate(facts)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.evaluate(facts)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(part) => Ok(!part.evaluate(facts)?),
            Self::Leaf(leaf) => leaf.evaluate(facts),
        }
    }

    /// Every leaf in the order of the tree.
    pub(super) fn each_leaf<'e>(&'e self, visit: &mut impl FnMut(&'e Leaf)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.each_leaf(visit)),
            Self::Not(part) => part.each_leaf(visit),
            Self::Leaf(leaf) => visit(leaf),
        }
    }
}

impl Leaf {
    fn evaluate<'a>(&self, facts: &impl Facts<'a>) -> Result<bool, Trouble<'a>> {
        let value = match facts.value(self.selector) {
            Resolved::Failed(error) => return Err(Trouble::Failed(error)),
            // Every operator but one is false on what is not there.
            Resolved::Missing => return Ok(matches!(self.test, Test::Exists(false))),
            Resolved::Value(value) => value,
        };
        let text = || value.as_str().ok_or(Trouble::Mismatch);
        match &self.test {
            Test::Exists(wanted) => Ok(*wanted),
            Test::EqualsText { text, negated } => Ok((value.as_str() == Some(text)) != *negated),
            Test::Equals { operand, negated } => Ok((value == operand.root()) != *negated),
            Test::In { members, negated } => Ok(members.contains(value) != *negated),
            Test::Contains { texts, probe } => {
                let text = text()?;
                let known = probe.and_then(|probe| facts.probe(probe));
                Ok(known.unwrap_or_else(|| texts.iter().any(|part| text.contains(&**part))))
            }
            Test::StartsWith(start) => Ok(text()?.starts_with(&**start)),
            Test::EndsWith(end) => Ok(text()?.ends_with(&**end)),
            Test::Matches(patterns) => {
                let text = text()?;
                if text.len() > MAX_SUBJECT {
                    return Err(Trouble::Mismatch);
                }
                for (pattern, probe) in patterns {
                    let possible = probe.and_then(|probe| facts.probe(probe)).unwrap_or(true);
                    if possible && pattern.search(text).ok_or(Trouble::Failed(NOT_BUILT))? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Test::Compare { order, bound } => {
                let (Some(number), Some(bound)) = (value.as_number(), bound.number()) else {
                    return Err(Trouble::Mismatch);
                };
                Ok(order.holds(number, bound))
            }
            Test::Custom { name, operand } => facts.operator(name, value, operand).map_err(Trouble::Failed),
        }
    }
}

const NOT_BUILT: &str = "a pattern could not be built";

impl Members {
    fn contains(&self, value: Value<'_>) -> bool {
        match value {
            Value::String(text) => self.texts.binary_search_by(|member| (**member).cmp(text)).is_ok(),
            other => self.others.root().as_list().is_some_and(|members| members.iter().any(|member| member == other)),
        }
    }
}

impl Bound {
    pub(super) fn new(operand: &Literal) -> Self {
        match operand.root().as_number() {
            Some(Number::Int(int)) => Self::Number(Number::Int(int)),
            Some(Number::Float(float)) => Self::Number(Number::Float(float)),
            _ => Self::Big(Box::new(operand.clone())),
        }
    }

    fn number(&self) -> Option<Number<'_>> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Big(literal) => literal.root().as_number(),
        }
    }
}

impl Order {
    /// As written in documents.
    pub(super) fn read(operator: &str) -> Option<Self> {
        Some(match operator {
            "gt" => Self::Greater,
            "gte" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "lte" => Self::LessOrEqual,
            _ => return None,
        })
    }

    /// Never with a NaN.
    pub(super) fn holds(self, value: Number<'_>, operand: Number<'_>) -> bool {
        value.compare(operand).is_some_and(|ordering| match self {
            Self::Greater => ordering == Ordering::Greater,
            Self::GreaterOrEqual => ordering != Ordering::Less,
            Self::Less => ordering == Ordering::Less,
            Self::LessOrEqual => ordering != Ordering::Greater,
        })
    }
}
