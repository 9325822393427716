//! What must happen in a call for a rule to fire: a condition that is cheap to watch for many rules at once.
//!
//! INVARIANT: when none of a guard's events happen, its expression evaluates to false, and to no error. The reverse does
//! not hold; a rule whose events happen is still evaluated.

use std::collections::BTreeMap;

use super::expression::{Expression, Leaf, Test};
use crate::json::Value;

/// Kinds of values a selector can have, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(pub(super) u8);

impl Kinds {
    /// A number or a bool.
    pub(super) const NUMBER: Self = Self(1);
    pub(super) const TEXT: Self = Self(2);
    /// A text that patterns are not searched for in. It is also a [`Kinds::TEXT`].
    pub(super) const LONG: Self = Self(4);
    pub(super) const LIST: Self = Self(8);
    pub(super) const MAP: Self = Self(16);
    /// A custom selector failed.
    pub(super) const FAILED: Self = Self(32);
    /// How many there are.
    pub(super) const COUNT: usize = 6;

    /// All that is neither missing nor a failure.
    const PRESENT: Self = Self(1 | 2 | 8 | 16);
    /// What operators on texts cannot be applied to.
    const NO_TEXT: Self = Self(1 | 8 | 16);
    /// What comparisons of numbers cannot be applied to.
    const NO_NUMBER: Self = Self(2 | 8 | 16);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Something that can be seen of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A selector has this text.
    Equal(u32, Box<str>),
    /// A selector has a text that begins so.
    Prefix(u32, Box<str>),
    /// A selector has a text that ends so.
    Suffix(u32, Box<str>),
    /// What a probe looks for is there.
    Probe(u32),
}

/// Any of these.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// By selector: it has a value of one of these kinds.
    pub(super) kinds: BTreeMap<u32, Kinds>,
    pub(super) events: Vec<Event>,
    /// How often it happens, in thousandths of calls: a guess.
    cost: u32,
}

/// What guards need to know of selectors and probes.
pub(super) trait Estimates {
    /// Whether the selector has the same value in most calls of a tool.
    fn is_steady(&self, selector: u32) -> bool;
    /// How often what a probe looks for is there, in thousandths of texts.
    fn probe_cost(&self, probe: u32) -> u32;
}

/// The guard of an expression; none: the rule must always be evaluated.
pub(super) fn guard(expression: &Expression, estimates: &impl Estimates) -> Option<Guard> {
    match expression {
        Expression::Leaf(leaf) => of_leaf(leaf, estimates),
        // It can be true when nothing at all is there.
        Expression::Not(_) => None,
        Expression::Any(parts) => parts.iter().try_fold(Guard::default(), |mut sum, part| {
            sum.add(guard(part, estimates)?);
            Some(sum)
        }),
        // One part that is false is enough, unless a part before it cannot be evaluated.
        Expression::All(parts) => {
            let mut errors = Guard::default();
            let mut best: Option<Guard> = None;
            for part in parts {
                if let Some(own) = guard(part, estimates) {
                    let cost = own.cost.saturating_add(errors.cost);
                    if best.as_ref().is_none_or(|best| cost < best.cost) {
                        let mut own = own;
                        own.add(errors.clone());
                        best = Some(own);
                    }
                }
                add_errors(part, &mut errors);
            }
            best
        }
    }
}

impl Guard {
    fn add(&mut self, other: Self) {
        for (selector, kinds) in other.kinds {
            self.add_kinds(selector, kinds);
        }
        self.events.extend(other.events);
        self.cost = self.cost.saturating_add(other.cost);
    }

    fn add_kinds(&mut self, selector: u32, kinds: Kinds) {
        let all = self.kinds.entry(selector).or_default();
        *all = all.and(kinds);
    }

    fn add_event(&mut self, event: Event, cost: u32) {
        self.events.push(event);
        self.cost = self.cost.saturating_add(cost);
    }
}

/// What a value of the wrong kind costs: it hardly ever comes.
const MISMATCH_COST: u32 = 5;

/// What a value of the right kind costs: it comes whenever the tool is called.
const KIND_COST: u32 = 700;

/// The values that a leaf cannot be evaluated on.
fn errors_of(leaf: &Leaf) -> Kinds {
    Kinds::FAILED.and(match &leaf.test {
        Test::Contains { .. } | Test::StartsWith(_) | Test::EndsWith(_) => Kinds::NO_TEXT,
        Test::Matches(_) => Kinds::NO_TEXT.and(Kinds::LONG),
        Test::Compare { .. } => Kinds::NO_NUMBER,
        Test::Custom { .. } => Kinds::PRESENT,
        Test::Exists(_) | Test::EqualsText { .. } | Test::Equals { .. } | Test::In { .. } => Kinds::default(),
    })
}

fn add_errors(expression: &Expression, guard: &mut Guard) {
    expression.each_leaf(&mut |leaf| {
        let errors = errors_of(leaf);
        guard.add_kinds(leaf.selector, errors);
        let common = matches!(leaf.test, Test::Custom { .. } | Test::Compare { .. });
        guard.cost = guard.cost.saturating_add(if common { KIND_COST } else { MISMATCH_COST });
    });
}

fn of_leaf(leaf: &Leaf, estimates: &impl Estimates) -> Option<Guard> {
    let selector = leaf.selector;
    let mut guard = Guard::default();
    guard.add_kinds(selector, errors_of(leaf));
    guard.cost = MISMATCH_COST;
    let steady = estimates.is_steady(selector);
    let equal_cost = if steady { 300 } else { 20 };
    let whole = |guard: &mut Guard, kinds| {
        guard.add_kinds(selector, kinds);
        guard.cost = guard.cost.saturating_add(KIND_COST);
    };
    match &leaf.test {
        Test::Exists(false) => return None,
        Test::Exists(true) | Test::Custom { .. } => whole(&mut guard, Kinds::PRESENT),
        Test::EqualsText { negated: true, .. }
        | Test::Equals { negated: true, .. }
        | Test::In { negated: true, .. } => {
            whole(&mut guard, Kinds::PRESENT);
        }
        Test::EqualsText { text, .. } => guard.add_event(Event::Equal(selector, text.clone()), equal_cost),
        Test::Equals { operand, .. } => add_kind(&mut guard, selector, operand.root()),
        Test::In { members, .. } => {
            for text in &members.texts {
                guard.add_event(Event::Equal(selector, text.clone()), equal_cost);
            }
            for member in members.others.root().as_list().into_iter().flat_map(|list| list.iter()) {
                add_kind(&mut guard, selector, member);
            }
        }
        Test::Contains { probe: None, .. } => whole(&mut guard, Kinds::TEXT),
        Test::Contains { probe: Some(probe), .. } => {
            guard.add_event(Event::Probe(*probe), estimates.probe_cost(*probe));
        }
        Test::StartsWith(text) | Test::EndsWith(text) if text.is_empty() => whole(&mut guard, Kinds::TEXT),
        Test::StartsWith(text) => {
            guard.add_event(Event::Prefix(selector, text.clone()), if text.len() < 3 { 200 } else { 40 });
        }
        Test::EndsWith(text) => {
            guard.add_event(Event::Suffix(selector, text.clone()), if text.len() < 3 { 200 } else { 40 });
        }
        Test::Matches(patterns) => {
            for (_, probe) in patterns {
                match probe {
                    Some(probe) => guard.add_event(Event::Probe(*probe), estimates.probe_cost(*probe)),
                    None => whole(&mut guard, Kinds::TEXT),
                }
            }
        }
        Test::Compare { .. } => whole(&mut guard, Kinds::NUMBER),
    }
    Some(guard)
}

/// The values that can be equal to an operand that is no text.
fn add_kind(guard: &mut Guard, selector: u32, operand: Value<'_>) {
    let kinds = match operand {
        // A null is missing, and nothing is equal to what is missing.
        Value::Null => return,
        Value::Bool(_) | Value::Number(_) => Kinds::NUMBER,
        Value::String(_) => Kinds::TEXT,
        Value::List(_) => Kinds::LIST,
        Value::Map(_) => Kinds::MAP,
    };
    guard.add_kinds(selector, kinds);
    guard.cost = guard.cost.saturating_add(100);
}
