//! Rows for one decision: the dry run and a whole call, at several sizes, natively, in the component and in the Python SDK.

use std::cell::Cell;
use std::hint::black_box;

use edictum_engine::documents::Document;
use edictum_engine::inquiry::{Action, Answer, Entry, Operation, Outcome, Question, Step, ToolOutcome};
use edictum_engine::policy::{Policy, Preparation, Progress};
use edictum_host::measure::{COUNT, Component, Instance};

use crate::processes;
use crate::sample::{Effort, each, together};
use crate::table::{Row, Unit};
use crate::workload;

/// Rules, tools, and the most that a decision in the component may take, in microseconds.
const SIZES: [(usize, usize, f64); 4] = [(10, 1, 2.5), (100, 4, 3.0), (1_000, 20, 4.0), (10_000, 200, 5.0)];

/// How much slower a call may be judged when ten rules for its tool become ten thousand.
const GROWTH: f64 = 20.0;

/// Milliseconds since 1970.
const NOW: u64 = 1_790_000_000_000;

/// Records of rules that fired.
pub const FIRED: &str = r#"{"detail":"fired"}"#;

/// What the tool of a whole call returns.
const OUTPUT: &str = r#""12 tests passed; finished in 0.31s""#;

pub fn measure(component: &Component, effort: Effort) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut runs = Vec::new();
    for (rules, tools, target) in SIZES {
        let mut bench = Bench::new(component, rules, tools, FIRED)?;
        let mut row = bench.evaluate(effort)?;
        row.target = Some(target);
        if rules <= 100 {
            row.sdk = processes::sdk(&workload::rulesets(rules, tools).concat(), &workload::calls(tools), effort)?;
        }
        rows.push(row);
        runs.push(bench.run(effort)?);
    }
    let mut all = Bench::new(component, 100, 4, r#"{"detail":"all"}"#)?.evaluate(effort)?;
    all.detail = Some("all");
    rows.push(all);
    rows.extend(runs);
    rows.extend(one_tool(component, effort)?);
    rows.extend(redos(component, effort)?);
    Ok(rows)
}

/// Ten and ten thousand rules for one tool.
fn one_tool(component: &Component, effort: Effort) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for rules in [10, 10_000] {
        rows.push(Bench::new(component, rules, 1, FIRED)?.evaluate(effort)?);
    }
    let ratio = |side: fn(&Row) -> Option<f64>| Some(side(rows.get(1)?)? / side(rows.first()?)?);
    let growth = Row {
        what: "growth 10 → 10000 rules".to_owned(),
        rules: Some(10_000),
        tools: Some(1),
        unit: Unit::Times,
        native: ratio(|row| row.native),
        component: ratio(|row| row.component),
        target: Some(GROWTH),
        ..Row::default()
    };
    rows.remove(0);
    rows.push(growth);
    Ok(rows)
}

/// A pattern that takes a backtracking engine years.
fn redos(component: &Component, effort: Effort) -> Result<Vec<Row>, String> {
    let (rulesets, call) = workload::redos();
    let native = Native::load(&rulesets, FIRED)?;
    let mut instance = component.instantiate()?;
    instance.prepare(&rulesets, FIRED)?;
    let row = Row {
        what: "evaluate (a+)+$, 10000 × a".to_owned(),
        rules: Some(1),
        tools: Some(1),
        native: Some(each(effort, &mut || native.evaluate(&call).map(drop))? / 1e3),
        component: Some(each(effort, &mut || instance.evaluate(&call).map(drop))? / 1e3),
        ..Row::default()
    };
    Ok(vec![row])
}

/// One ruleset on both sides.
struct Bench {
    rules: usize,
    tools: usize,
    native: Native,
    instance: Instance,
    calls: Vec<String>,
}

impl Bench {
    fn new(component: &Component, rules: usize, tools: usize, options: &str) -> Result<Self, String> {
        let rulesets = workload::rulesets(rules, tools);
        let native = Native::load(&rulesets, options)?;
        let mut instance = component.instantiate()?;
        instance.prepare(&rulesets, options)?;
        Ok(Self { rules, tools, native, instance, calls: workload::calls(tools) })
    }

    fn evaluate(&mut self, effort: Effort) -> Result<Row, String> {
        let Self { native, instance, calls, .. } = self;
        for call in calls.iter() {
            if native.evaluate(call)? != instance.evaluate(call)? {
                return Err(format!("the component and the engine decide differently about {call}"));
            }
        }
        let (next, also) = (Turn::new(calls), Turn::new(calls));
        let times = together(
            effort,
            [&mut || native.evaluate(next.call()).map(drop), &mut || instance.evaluate(also.call()).map(drop)],
        )?;
        Ok(self.row("evaluate", times))
    }

    fn run(&mut self, effort: Effort) -> Result<Row, String> {
        let Self { native, instance, calls, .. } = self;
        for call in calls.iter() {
            if native.run(call)? != instance.run(call, OUTPUT, NOW)? {
                return Err(format!("the component and the engine run {call} differently"));
            }
        }
        let (next, also) = (Turn::new(calls), Turn::new(calls));
        let times = together(
            effort,
            [&mut || native.run(next.call()).map(drop), &mut || instance.run(also.call(), OUTPUT, NOW).map(drop)],
        )?;
        Ok(self.row("begin + finish", times))
    }

    fn row(&self, what: &str, [native, component]: [f64; 2]) -> Row {
        Row {
            what: what.to_owned(),
            rules: Some(self.rules),
            tools: Some(self.tools),
            detail: Some("fired"),
            native: Some(native / 1e3),
            component: Some(component / 1e3),
            ..Row::default()
        }
    }
}

/// Calls that take turns.
struct Turn<'c> {
    calls: &'c [String],
    next: Cell<usize>,
    none: String,
}

impl<'c> Turn<'c> {
    fn new(calls: &'c [String]) -> Self {
        Self { calls, next: Cell::new(0), none: String::new() }
    }

    fn call(&self) -> &String {
        let next = self.next.get();
        self.next.set((next + 1) % self.calls.len().max(1));
        self.calls.get(next).unwrap_or(&self.none)
    }
}

/// The engine, called directly.
pub struct Native(Policy);

impl Native {
    /// A policy of some rulesets.
    pub fn load(rulesets: &[String], options: &str) -> Result<Self, String> {
        let document = |text: &String| Document { name: "rules.yaml".to_owned(), text: text.clone() };
        let mut preparation = Preparation::new(rulesets.iter().map(document).collect(), None, options.to_owned());
        loop {
            match preparation.advance(512).map_err(|failure| failure.message)? {
                Progress::More => {}
                Progress::Ask(_) => return Err("the ruleset asks for links".to_owned()),
                Progress::Ready(policy) => return Ok(Self(policy)),
            }
        }
    }

    /// The dry run.
    pub fn evaluate(&self, call: &str) -> Result<String, String> {
        match self.0.evaluate(call, None) {
            Step::Done(result) => Ok(black_box(result)),
            Step::Ask(_) => Err("the policy asks".to_owned()),
        }
    }

    /// A whole call, as [`Instance::run`].
    fn run(&self, call: &str) -> Result<bool, String> {
        let policy = &self.0;
        let mut step = policy.begin(call, NOW);
        let decision = loop {
            match step {
                Step::Done(decision) => break decision,
                Step::Ask(inquiry) => {
                    step = policy.resume_begin(call, &inquiry.ticket, answers(&inquiry.questions)?, NOW);
                }
            }
        };
        if decision.action != Action::Allow {
            return Ok(false);
        }
        let outcome = ToolOutcome { output: OUTPUT.to_owned(), success: None };
        let mut step = policy.finish(call, &decision.ticket, &outcome, NOW);
        loop {
            match step {
                Step::Done(conclusion) => return Ok(black_box(conclusion).passed),
                Step::Ask(inquiry) => {
                    let answers = answers(&inquiry.questions)?;
                    step = policy.resume_finish(call, &inquiry.ticket, &outcome, answers, NOW);
                }
            }
        }
    }
}

fn answers(questions: &[Question]) -> Result<Vec<Answer>, String> {
    let answer = |question: &Question| match question {
        Question::Session(operations) => {
            let value =
                |operation: &Operation| matches!(operation, Operation::Increment { .. }).then(|| COUNT.to_owned());
            let outcome = |operation| Outcome::Done(Entry { value: value(operation), version: None });
            Ok(Answer::Session(operations.iter().map(outcome).collect()))
        }
        _ => Err("the policy asks for more than counters".to_owned()),
    };
    questions.iter().map(answer).collect()
}
