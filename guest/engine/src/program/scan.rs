//! The hot path: which rules fire for a call. The index says which can; only those are evaluated, lazily and in order, with
//! the same result as if every rule were.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::iter::Peekable;

use super::expression::{Expression, Facts, Test, Trouble};
use super::index::{Index, Seen};
use super::selector::Resolved;
use super::{Phase, Program, Rule, RuleList};
use crate::call::Subject;
use crate::inquiry::OperatorCall;
use crate::json::{Builder, Literal, Value};

/// The rules of one call and one phase that can fire.
#[derive(Debug)]
pub struct Scan<'p: 'c, 'c> {
    program: &'p Program,
    phase: Phase,
    subject: Subject<'c>,
    /// Most tools have one part.
    first: Option<Part<'p>>,
    others: Vec<Part<'p>>,
}

/// What was seen with one index, and how far it was followed.
#[derive(Debug)]
struct Part<'p> {
    index: &'p Index,
    seen: Seen,
    from: usize,
}

/// A rule whose expression is true, or cannot be evaluated (engine.md §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Index into [`Program::rules`].
    pub rule: usize,
    /// It fired because it could not be evaluated.
    pub policy_error: bool,
    /// What a custom operator or selector said when it failed; none for a type mismatch.
    pub error_detail: Option<String>,
}

/// Evaluates rule by rule, as it is asked. Ascending.
#[derive(Debug)]
pub struct FiredRules<'p, 'c, 'o> {
    scan: Scan<'p, 'c>,
    answers: Answers<'o>,
    recent: Recent<'c>,
}

/// Rule by rule, with what fired. Ascending.
#[derive(Debug)]
pub struct Outcomes<'p, 'c, 'o> {
    program: &'p Program,
    /// None: only rules that fire.
    list: Option<RuleList<'p>>,
    fired: Peekable<FiredRules<'p, 'c, 'o>>,
}

impl<'p> Iterator for Outcomes<'p, '_, '_> {
    type Item = (&'p Rule, Option<Fired>);

    fn next(&mut self) -> Option<Self::Item> {
        let (index, hit) = match &mut self.list {
            Some(list) => {
                let index = *list.next()?;
                (index, self.fired.next_if(|fired| fired.rule == index))
            }
            None => {
                let hit = self.fired.next()?;
                (hit.rule, Some(hit))
            }
        };
        Some((self.program.rules().get(index)?, hit))
    }
}

/// Values that were looked up last, each under its selector's number modulo the length.
type Recent<'v> = [Cell<Option<(u32, Resolved<'v>)>>; 4];

/// Answers of custom operators, by question.
#[derive(Debug)]
struct Answers<'o> {
    places: BTreeMap<Call, usize>,
    list: &'o [Result<bool, String>],
}

/// A call of a custom operator: name, value and operand, the last two as JSON.
type Call = (String, String, String);

impl<'p, 'c> Scan<'p, 'c> {
    pub(super) fn new(program: &'p Program, phase: Phase, mut subject: Subject<'c>) -> Self {
        if phase == Phase::Pre {
            // Before a tool runs there is nothing that it returned.
            subject.output = None;
        }
        let mut first = None;
        let mut others = Vec::new();
        for section in program.tools.sections(subject.call.tool) {
            let index = match phase {
                Phase::Pre => &section.pre,
                Phase::Post => &section.post,
            };
            if index.rules().is_empty() {
                continue;
            }
            let part = Part { index, seen: index.see(&program.selectors, &subject), from: 0 };
            if first.is_none() { first = Some(part) } else { others.push(part) }
        }
        Self { program, phase, subject, first, others }
    }

    /// Custom operators on the values that the rules may see; each distinct call once.
    #[must_use]
    pub fn operator_calls(&self) -> Vec<OperatorCall> {
        let mut calls: Vec<(Call, usize)> = self.questions().into_iter().collect();
        calls.sort_unstable_by_key(|(_, place)| *place);
        calls.into_iter().map(|((name, value, operand), _)| OperatorCall { name, value, operand }).collect()
    }

    /// The rules that fire, lazily and in order. `operators` answers [`Scan::operator_calls`]; a missing answer is an error.
    #[must_use]
    pub fn fired<'o>(self, operators: &'o [Result<bool, String>]) -> FiredRules<'p, 'c, 'o> {
        let answers = Answers { places: self.questions(), list: operators };
        FiredRules { scan: self, answers, recent: Recent::default() }
    }

    /// Rules with what came of them, lazily and in order: all that are for the tool and phase, or, with `all` unset, only
    /// those that fire. The others are not touched then, however many they are.
    #[must_use]
    pub fn outcomes<'o>(self, operators: &'o [Result<bool, String>], all: bool) -> Outcomes<'p, 'c, 'o> {
        let program = self.program;
        let list = all.then(|| {
            let tool = program.rules_for(self.subject.call.tool);
            if self.phase == Phase::Pre { tool.pre } else { tool.post }
        });
        Outcomes { program, list, fired: self.fired(operators).peekable() }
    }

    /// Each call of a custom operator with its place, in the order of rules and leaves.
    fn questions(&self) -> BTreeMap<Call, usize> {
        let mut places = BTreeMap::new();
        if self.program.needs.operators.is_empty() {
            return places;
        }
        let mut rules: Vec<usize> = Vec::new();
        for part in self.first.iter().chain(&self.others) {
            let mut from = 0;
            while let Some(place) = part.seen.rules.next(from) {
                rules.extend(part.index.rule(place));
                from = place + 1;
            }
        }
        rules.sort_unstable();
        for expression in rules.iter().filter_map(|rule| self.program.expression(*rule)) {
            expression.each_leaf(&mut |leaf| {
                if let Test::Custom { name, operand } = &leaf.test
                    && let Resolved::Value(value) = self.program.value(leaf.selector, &self.subject)
                {
                    let place = places.len();
                    places.entry(call(name, value, operand)).or_insert(place);
                }
            });
        }
        places
    }
}

fn call(name: &str, value: Value<'_>, operand: &Literal) -> Call {
    let mut text = Builder::new();
    text.value(value);
    (name.to_owned(), text.finish().text().to_owned(), operand.text().to_owned())
}

impl Part<'_> {
    /// The next rule that can fire, and its place in the index.
    fn peek(&self) -> Option<(usize, usize)> {
        let place = self.seen.rules.next(self.from)?;
        Some((self.index.rule(place)?, place))
    }

    /// As [`Part::peek`], and goes on.
    fn next(&mut self) -> Option<usize> {
        let (rule, place) = self.peek()?;
        self.from = place + 1;
        Some(rule)
    }
}

impl Iterator for FiredRules<'_, '_, '_> {
    type Item = Fired;

    fn next(&mut self) -> Option<Fired> {
        loop {
            let Scan { program, subject, first, others, .. } = &mut self.scan;
            let (rule, part) = if others.is_empty() {
                let part = first.as_mut()?;
                (part.next()?, part)
            } else {
                let ahead = first.iter_mut().chain(others).filter_map(|part| Some((part.peek()?.0, part)));
                let (_, part) = ahead.min_by_key(|(rule, _)| *rule)?;
                (part.next()?, part)
            };
            let Some(expression) = program.expression(rule) else { continue };
            let facts = Evaluation { program, subject, part, answers: &self.answers, recent: &self.recent };
            match expression.evaluate(&facts) {
                Ok(false) => {}
                Ok(true) => return Some(Fired { rule, policy_error: false, error_detail: None }),
                Err(trouble) => {
                    let error_detail = match trouble {
                        Trouble::Mismatch => None,
                        Trouble::Failed(error) => Some(error.to_owned()),
                    };
                    return Some(Fired { rule, policy_error: true, error_detail });
                }
            }
        }
    }
}

/// What one rule of one part looks up.
struct Evaluation<'e, 'p, 'c> {
    program: &'p Program,
    subject: &'e Subject<'c>,
    part: &'e Part<'p>,
    answers: &'e Answers<'e>,
    recent: &'e Recent<'c>,
}

impl<'e, 'p: 'c, 'c: 'e> Facts<'e> for Evaluation<'e, 'p, 'c> {
    fn value(&self, selector: u32) -> Resolved<'e> {
        let Some(recent) = self.recent.get(selector as usize % self.recent.len()) else { return Resolved::Missing };
        match recent.get() {
            Some((known, value)) if known == selector => value,
            _ => {
                let value = self.program.value(selector, self.subject);
                recent.set(Some((selector, value)));
                value
            }
        }
    }

    fn probe(&self, probe: u32) -> Option<bool> {
        self.part.index.probe(&self.part.seen, probe)
    }

    fn operator(&self, name: &str, value: Value<'e>, operand: &Literal) -> Result<bool, &'e str> {
        let place = self.answers.places.get(&call(name, value, operand));
        match place.and_then(|place| self.answers.list.get(*place)) {
            Some(Ok(answer)) => Ok(*answer),
            Some(Err(error)) => Err(error),
            None => Err("the host gave no answer"),
        }
    }
}

impl Program {
    fn expression(&self, rule: usize) -> Option<&Expression> {
        self.expressions.get(rule)?.as_ref()
    }

    fn value<'v>(&'v self, selector: u32, subject: &Subject<'v>) -> Resolved<'v> {
        self.selectors.get(selector as usize).map_or(Resolved::Missing, |selector| selector.resolve(subject))
    }
}
