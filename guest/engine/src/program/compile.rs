//! Composition → program, in slices: first the rules, then one section of tools after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expression::{Bound, Expression, Leaf, Members, Order, Test};
use super::guard::{Estimates, Guard, guard};
use super::index::{Entry, Index};
use super::message::Message;
use super::pattern::{Pattern, PatternError, Use};
use super::probe::Probes;
use super::selector::{Root, Selector, Vocabulary};
use super::tools::{Named, Owner, Plan, Planned, Section, Tools};
use super::{Body, Needs, Program, Rule};
use crate::diagnostics::{Code, Diagnostic, Severity, Span, did_you_mean};
use crate::documents::composition::{Composition, EffectiveRule};
use crate::documents::ruleset::{self, PostAction, RuleBody};
use crate::json::write::Object;
use crate::json::{Builder, Value};
use crate::options::{Options, UnknownSelectors};

/// Operators that need no registration (engine.md §1.3).
pub const OPERATORS: [&str; 15] = [
    "exists",
    "equals",
    "not_equals",
    "in",
    "not_in",
    "contains",
    "contains_any",
    "starts_with",
    "ends_with",
    "matches",
    "matches_any",
    "gt",
    "gte",
    "lt",
    "lte",
];

/// Largest programs of all patterns of a policy together, roughly in states: what they may take of memory when a call
/// needs them all.
pub(crate) const MAX_PROGRAMS: u64 = 1_000_000;

/// Compiles a composition bit by bit, so that a host with one thread is not blocked.
#[derive(Debug)]
pub struct Compiler {
    waiting: std::vec::IntoIter<EffectiveRule>,
    vocabulary: Vocabulary,
    operators: Vec<String>,
    strict_selectors: bool,
    findings: Vec<Diagnostic>,
    needs: Needs,
    rules: Vec<Rule>,
    expressions: Vec<Option<Expression>>,
    /// By rule, for the index: what must happen, and what is looked for.
    guards: Vec<(Option<Guard>, Vec<u32>)>,
    selectors: Vec<Selector>,
    numbers: BTreeMap<String, u32>,
    probes: Probes,
    patterns: BTreeMap<(Use, String), Result<Arc<Pattern>, PatternError>>,
    /// What the patterns cost so far.
    cost: u64,
    plan: Plan,
    tools: Tools,
}

impl Compiler {
    /// Takes what it needs; the work is in [`Compiler::advance`].
    #[must_use]
    pub fn new(composition: &Composition, options: &Options) -> Self {
        let vocabulary = Vocabulary::new(options);
        Self {
            waiting: composition.rules.clone().into_iter(),
            vocabulary,
            operators: options.operators.clone(),
            strict_selectors: options.unknown_selectors == UnknownSelectors::Error,
            findings: Vec::new(),
            needs: Needs::default(),
            rules: Vec::with_capacity(composition.rules.len()),
            expressions: Vec::new(),
            guards: Vec::new(),
            selectors: Vec::new(),
            numbers: BTreeMap::new(),
            probes: Probes::default(),
            patterns: BTreeMap::new(),
            cost: 0,
            plan: Plan::default(),
            tools: Tools::default(),
        }
    }

    /// Compiles up to so many rules (at least one), or builds the index of one tool. True when nothing is left to do.
    pub fn advance(&mut self, rules: usize) -> bool {
        if !self.waiting.as_slice().is_empty() {
            for _ in 0..rules.max(1) {
                let Some(rule) = self.waiting.next() else { break };
                self.rule(rule);
            }
            return false;
        }
        match self.plan.next() {
            Some(planned) => {
                self.section(planned);
                false
            }
            None => true,
        }
    }

    /// The program, and what is wrong with its rules; with an error among the findings it must not be used. Does what is
    /// left to do.
    #[must_use]
    pub fn finish(mut self) -> (Program, Vec<Diagnostic>) {
        while !self.advance(usize::MAX) {}
        let program = Program {
            sessions: (0..self.rules.len())
                .filter(|place| matches!(self.rules.get(*place), Some(Rule { body: Body::Session { .. }, .. })))
                .collect(),
            rules: self.rules,
            expressions: self.expressions,
            selectors: self.selectors,
            tools: self.tools,
            needs: self.needs,
        };
        (program, self.findings)
    }

    fn rule(&mut self, effective: EffectiveRule) {
        let EffectiveRule { id, mode, candidate, rule } = effective;
        let source = Arc::clone(&rule);
        let number = self.rules.len();
        let (body, message, then, when) = match &rule.body {
            RuleBody::Pre(pre) => {
                let body = Body::Pre { action: pre.action, approval: pre.approval };
                let message = Message::new(&pre.then.message, &self.vocabulary, |_| true);
                (body, message, Some(&pre.then), Some(&pre.when))
            }
            RuleBody::Post(post) => {
                let redact =
                    if post.action == PostAction::Redact { self.redactions(&rule, &post.when) } else { Vec::new() };
                let body = Body::Post { action: post.action, redact };
                // What is taken away must not come back through the message (engine.md §8.7).
                let shows_output = post.action == PostAction::Warn;
                let shown = |selector: &Selector| shows_output || !selector.reads_output();
                (body, Message::new(&post.then.message, &self.vocabulary, shown), Some(&post.then), Some(&post.when))
            }
            RuleBody::Session(session) => {
                let body = Body::Session { limits: session.limits.clone() };
                (body, Message::verbatim(&session.then.message), Some(&session.then), None)
            }
            RuleBody::Sandbox(sandbox) => {
                let body = Body::Sandbox { action: sandbox.outside, approval: sandbox.approval };
                let shown = |selector: &Selector| !matches!(selector, Selector::Nested(Root::Custom(_), _));
                (body, Message::new(&sandbox.message, &self.vocabulary, shown), None, None)
            }
        };
        message.needs(&mut self.needs);
        let expression = when.map(|when| self.expression(&rule, when));
        let (guard, probes) = self.guard(expression.as_ref());
        let weight = 1 + probes
            .iter()
            .filter_map(|probe| self.probes.get(*probe)?.needles())
            .map(|all| all.len())
            .sum::<usize>();
        match &rule.body {
            RuleBody::Pre(pre) => self.plan.add(&pre.tool, weight, |members| members.pre.push(number)),
            RuleBody::Post(post) => self.plan.add(&post.tool, weight, |members| members.post.push(number)),
            RuleBody::Sandbox(sandbox) => {
                for tool in &sandbox.tools {
                    self.plan.add(tool, weight, |members| {
                        if members.sandbox.last() != Some(&number) {
                            members.sandbox.push(number);
                        }
                    });
                }
            }
            RuleBody::Session(_) => {}
        }
        let mut passed_record = String::new();
        Object::write(&mut passed_record, |record| {
            record.string("name", &id);
            record.string("type", body.record_type());
            record.bool("passed", true);
            record.raw("message", "null");
        });
        let tags = then.map(|then| then.tags.clone()).unwrap_or_default();
        let metadata = then.and_then(|then| then.metadata.clone());
        self.rules.push(Rule { id, mode, candidate, body, message, tags, metadata, passed_record, source });
        self.expressions.push(expression);
        self.guards.push((guard, probes));
    }

    fn guard(&self, expression: Option<&Expression>) -> (Option<Guard>, Vec<u32>) {
        let Some(expression) = expression else { return (None, Vec::new()) };
        let mut probes = Vec::new();
        expression.each_leaf(&mut |leaf| match &leaf.test {
            Test::Contains { probe, .. } => probes.extend(probe),
            Test::Matches(patterns) => probes.extend(patterns.iter().filter_map(|(_, probe)| *probe)),
            _ => {}
        });
        (guard(expression, self), probes)
    }

    fn section(&mut self, planned: Planned) {
        let index = |rules: &[usize]| {
            let entries = rules.iter().filter_map(|rule| {
                let (guard, probes) = self.guards.get(*rule)?;
                Some(Entry { rule: *rule, guard: guard.as_ref(), probes })
            });
            Index::new(entries, &self.selectors, &self.probes)
        };
        let members = planned.members;
        let section = Section { pre: index(&members.pre), post: index(&members.post), sandbox: members.sandbox.into() };
        let place = self.tools.sections.len();
        self.tools.sections.push(section);
        match planned.owner {
            Owner::Glob(glob) => self.tools.globs.push((glob, place)),
            // Names come in their order.
            Owner::Name { name, merged } => self.tools.named.push(Named { name: name.into(), section: place, merged }),
        }
    }

    fn expression(&mut self, rule: &ruleset::Rule, when: &ruleset::Expression) -> Expression {
        match when {
            ruleset::Expression::All(parts) => {
                Expression::All(parts.iter().map(|part| self.expression(rule, part)).collect())
            }
            ruleset::Expression::Any(parts) => {
                Expression::Any(parts.iter().map(|part| self.expression(rule, part)).collect())
            }
            ruleset::Expression::Not(part) => Expression::Not(Box::new(self.expression(rule, part))),
            ruleset::Expression::Leaf(leaf) => Expression::Leaf(self.leaf(rule, leaf)),
        }
    }

    fn leaf(&mut self, rule: &ruleset::Rule, leaf: &ruleset::Leaf) -> Leaf {
        let selector = self.selector(rule, leaf);
        let operand = leaf.operand.value.root();
        let texts = || -> Box<[Box<str>]> {
            let list = operand.as_list().into_iter().flat_map(|list| list.iter());
            list.chain(operand.as_str().map(Value::String)).filter_map(Value::as_str).map(Box::from).collect()
        };
        let text = || operand.as_str().unwrap_or_default();
        let negated = leaf.operator.value.starts_with("not_");
        let test = match leaf.operator.value.as_str() {
            "exists" => Test::Exists(operand.as_bool().unwrap_or(true)),
            "equals" | "not_equals" => match operand.as_str() {
                Some(text) => Test::EqualsText { text: text.into(), negated },
                None => Test::Equals { operand: Box::new(leaf.operand.value.clone()), negated },
            },
            "in" | "not_in" => Test::In { members: Box::new(members(operand)), negated },
            "contains" | "contains_any" => {
                let texts = texts();
                let scannable = texts.iter().all(|text| !text.is_empty());
                let probe = scannable.then(|| self.probes.texts(selector, &texts));
                Test::Contains { texts, probe }
            }
            "starts_with" => Test::StartsWith(text().into()),
            "ends_with" => Test::EndsWith(text().into()),
            "matches" | "matches_any" => {
                let mut patterns = Vec::new();
                for source in &texts() {
                    if let Some(pattern) = self.pattern(rule, leaf.operand.span, source, Use::Search) {
                        let probe = (!pattern.is_nullable()).then(|| self.probes.pattern(selector, &pattern));
                        patterns.push((pattern, probe));
                    }
                }
                Test::Matches(patterns.into())
            }
            other => match Order::read(other) {
                Some(order) => Test::Compare { order, bound: Bound::new(&leaf.operand.value) },
                None => self.custom(rule, leaf),
            },
        };
        Leaf { selector, test }
    }

    fn custom(&mut self, rule: &ruleset::Rule, leaf: &ruleset::Leaf) -> Test {
        let name = &leaf.operator.value;
        if self.operators.contains(name) {
            self.needs.operators.insert(name.clone());
        } else {
            let known = OPERATORS.into_iter().chain(self.operators.iter().map(String::as_str));
            let help = did_you_mean(name, known);
            let message = format!("rule `{}`: unknown operator `{name}`", rule.id);
            self.error(rule, Code::UnknownOperator, leaf.operator.span, message, help);
        }
        Test::Custom { name: name.as_str().into(), operand: Box::new(leaf.operand.value.clone()) }
    }

    fn selector(&mut self, rule: &ruleset::Rule, leaf: &ruleset::Leaf) -> u32 {
        let text = &leaf.selector.value;
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let selector = self.vocabulary.read(text);
        match &selector {
            Selector::Nothing if self.strict_selectors => {
                let message = format!("rule `{}`: unknown selector `{text}`", rule.id);
                self.error(rule, Code::UnknownSelector, leaf.selector.span, message, None);
            }
            other => other.needs(text, &mut self.needs),
        }
        let number = self.selectors.len() as u32;
        self.selectors.push(selector);
        self.numbers.insert(text.clone(), number);
        number
    }

    /// The patterns that a redact rule replaces, in the order of its tree.
    fn redactions(&mut self, rule: &ruleset::Rule, when: &ruleset::Expression) -> Vec<Arc<Pattern>> {
        match when {
            ruleset::Expression::All(parts) | ruleset::Expression::Any(parts) => {
                parts.iter().flat_map(|part| self.redactions(rule, part)).collect()
            }
            ruleset::Expression::Not(part) => self.redactions(rule, part),
            ruleset::Expression::Leaf(leaf) => {
                if !matches!(leaf.operator.value.as_str(), "matches" | "matches_any")
                    || !self.vocabulary.read(&leaf.selector.value).reads_output()
                {
                    return Vec::new();
                }
                let operand = leaf.operand.value.root();
                let list = operand.as_list().into_iter().flat_map(|list| list.iter());
                list.chain(operand.as_str().map(Value::String))
                    .filter_map(Value::as_str)
                    .filter_map(|source| self.pattern(rule, leaf.operand.span, source, Use::Replace))
                    .collect()
            }
        }
    }

    fn pattern(&mut self, rule: &ruleset::Rule, span: Span, source: &str, purpose: Use) -> Option<Arc<Pattern>> {
        let key = (purpose, source.to_owned());
        let known = self.patterns.get(&key).cloned();
        let result = known.unwrap_or_else(|| {
            let compiled = Pattern::compile(source, purpose).map(Arc::new).and_then(|pattern| {
                self.cost = self.cost.saturating_add(pattern.cost());
                let fits = self.cost <= MAX_PROGRAMS;
                if fits { Ok(pattern) } else { Err(PatternError::too_many()) }
            });
            self.patterns.insert(key, compiled.clone());
            compiled
        });
        result.map_err(|error| self.error(rule, error.code, span, error.in_rule(&rule.id, source), error.help)).ok()
    }

    fn error(&mut self, rule: &ruleset::Rule, code: Code, span: Span, message: String, help: Option<String>) {
        let finding =
            Diagnostic { severity: Severity::Error, code, message, document: rule.document.to_string(), span, help };
        // A pattern that is both searched for and replaced would be reported twice.
        if self.findings.last() != Some(&finding) {
            self.findings.push(finding);
        }
    }
}

impl Estimates for Compiler {
    fn is_steady(&self, selector: u32) -> bool {
        !matches!(
            self.selectors.get(selector as usize),
            Some(Selector::OutputText | Selector::Nested(Root::Args | Root::Result | Root::Custom(_), _))
        )
    }

    fn probe_cost(&self, probe: u32) -> u32 {
        self.probes.get(probe).map_or(0, super::probe::Probe::cost)
    }
}

fn members(operand: Value<'_>) -> Members {
    let list = || operand.as_list().into_iter().flat_map(|list| list.iter());
    let mut texts: Vec<Box<str>> = list().filter_map(Value::as_str).map(Box::from).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut others = Builder::new();
    others.list();
    list().filter(|member| member.as_str().is_none()).for_each(|member| others.value(member));
    others.end();
    Members { texts: texts.into(), others: others.finish() }
}
