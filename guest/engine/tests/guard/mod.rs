//! A host for tests: everything in memory, every question answered at once. What a host must do, in small.

#![allow(
    dead_code,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test file uses a part of it"
)]

use std::collections::BTreeMap;

use edictum_engine::documents::Document;
use edictum_engine::inquiry::{
    Answer, ApprovalOutcome, ApprovalVerdict, CommandResult, Conclusion, Decision, Entry, Inquiry, Link, Operation,
    Outcome, Question, Step, ToolOutcome, Verdict,
};
use edictum_engine::policy::{Policy, Preparation, Progress};
use serde_json::Value;

/// 2026-11-22T06:31:47.833Z
pub const NOW: u64 = 1_795_329_107_833;

pub struct Guard {
    pub policy: Policy,
    pub store: BTreeMap<String, String>,
    /// Versions of keys; none: the store has no versions.
    pub versions: Option<BTreeMap<String, u64>>,
    /// Somebody else who writes the same store, once, right before the next put.
    pub rival: Option<(String, String)>,
    /// Commands that have been run, and what they do.
    pub ran: Vec<Vec<String>>,
    pub command: fn(&[String]) -> Result<CommandResult, String>,
    /// The store cannot be asked.
    pub store_down: bool,
    pub links: BTreeMap<String, Link>,
    pub hooks: BTreeMap<String, Result<Verdict, String>>,
    pub operator: fn(&str, &Value, &Value) -> Result<bool, String>,
    pub selectors: BTreeMap<String, Result<String, String>>,
    pub principal: Result<Option<String>, String>,
    /// Inquiries answered so far.
    pub rounds: usize,
}

pub fn policy(rulesets: &[&str], options: &str) -> Policy {
    policy_with(rulesets, None, options)
}

pub fn policy_with(rulesets: &[&str], workflow: Option<&str>, options: &str) -> Policy {
    let documents = rulesets
        .iter()
        .enumerate()
        .map(|(index, text)| Document { name: format!("file{index}.yaml"), text: (*text).to_owned() })
        .collect();
    let workflow = workflow.map(|text| Document { name: "workflow.yaml".to_owned(), text: text.to_owned() });
    let mut preparation = Preparation::new(documents, workflow, options.to_owned());
    loop {
        match preparation.advance(7).unwrap_or_else(|failure| panic!("{failure}: {:#?}", failure.diagnostics)) {
            Progress::More => {}
            Progress::Ready(policy) => return policy,
            Progress::Ask(questions) => {
                let answers = questions.into_iter().map(|question| match question {
                    Question::ReadLinks(paths) => Answer::ReadLinks(vec![Link::Plain; paths.len()]),
                    other => panic!("not at load: {other:?}"),
                });
                preparation.answer(answers.collect());
            }
        }
    }
}

impl Guard {
    pub fn new(rulesets: &[&str], options: &str) -> Self {
        Self::with(policy(rulesets, options))
    }

    pub fn with(policy: Policy) -> Self {
        Self {
            policy,
            store: BTreeMap::new(),
            versions: Some(BTreeMap::new()),
            rival: None,
            ran: Vec::new(),
            command: |_| Err("no commands here".to_owned()),
            store_down: false,
            links: BTreeMap::new(),
            hooks: BTreeMap::new(),
            operator: |_, _, _| Err("no operator".to_owned()),
            selectors: BTreeMap::new(),
            principal: Ok(None),
            rounds: 0,
        }
    }

    pub fn evaluate(&mut self, call: &str, output: Option<&str>) -> Value {
        let mut step = self.policy.evaluate(call, output);
        loop {
            match step {
                Step::Done(result) => return serde_json::from_str(&result).unwrap(),
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answer(questions);
                    step = self.policy.resume_evaluate(call, output, &ticket, answers);
                }
            }
        }
    }

    fn decided(&mut self, call: &str, mut step: Step<Decision>) -> Decision {
        loop {
            match step {
                Step::Done(decision) => return decision,
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answer(questions);
                    step = self.policy.resume_begin(call, &ticket, answers, NOW);
                }
            }
        }
    }

    pub fn begin(&mut self, call: &str) -> Decision {
        let step = self.policy.begin(call, NOW);
        self.decided(call, step)
    }

    pub fn settle(&mut self, call: &str, ticket: &str, verdict: ApprovalVerdict, now: u64) -> Decision {
        let outcome = ApprovalOutcome {
            verdict,
            approval_id: None,
            approver: Some("ann".to_owned()),
            reason: None,
            decided_at: None,
            decided_via: None,
        };
        let step = self.policy.settle(call, ticket, outcome, now);
        self.decided(call, step)
    }

    pub fn finish(&mut self, call: &str, ticket: &str, output: &str) -> Conclusion {
        let outcome = ToolOutcome { output: output.to_owned(), success: None };
        let mut step = self.policy.finish(call, ticket, &outcome, NOW);
        loop {
            match step {
                Step::Done(conclusion) => return conclusion,
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answer(questions);
                    step = self.policy.resume_finish(call, &ticket, &outcome, answers, NOW);
                }
            }
        }
    }

    fn answer(&mut self, questions: Vec<Question>) -> Vec<Answer> {
        self.rounds += 1;
        questions.into_iter().map(|question| self.answer_one(question)).collect()
    }

    fn answer_one(&mut self, question: Question) -> Answer {
        match question {
            Question::Session(operations) => {
                Answer::Session(operations.into_iter().map(|operation| self.perform(operation)).collect())
            }
            Question::Principal => Answer::Principal(self.principal.clone()),
            Question::ReadLinks(paths) => Answer::ReadLinks(
                paths.iter().map(|path| self.links.get(path).cloned().unwrap_or(Link::Missing)).collect(),
            ),
            Question::Selectors(query) => Answer::Selectors(
                query
                    .prefixes
                    .iter()
                    .map(|prefix| self.selectors.get(prefix).cloned().unwrap_or_else(|| Ok("{}".to_owned())))
                    .collect(),
            ),
            Question::Operators(calls) => {
                let apply = |call: &edictum_engine::inquiry::OperatorCall| {
                    let json = |text: &str| serde_json::from_str(text).unwrap();
                    (self.operator)(&call.name, &json(&call.value), &json(&call.operand))
                };
                Answer::Operators(calls.iter().map(apply).collect())
            }
            Question::Hooks(calls) => Answer::Hooks(
                calls.iter().map(|call| self.hooks.get(&call.name).cloned().unwrap_or(Ok(Verdict::Pass))).collect(),
            ),
            Question::Command(line) => {
                self.ran.push(line.argv.clone());
                Answer::Command((self.command)(&line.argv))
            }
        }
    }

    fn entry(&self, key: &str) -> Entry {
        let version = self.versions.as_ref().map(|versions| versions.get(key).copied().unwrap_or(0).to_string());
        Entry { value: self.store.get(key).cloned(), version }
    }

    fn write(&mut self, key: &str, value: String) {
        self.store.insert(key.to_owned(), value);
        if let Some(versions) = &mut self.versions {
            *versions.entry(key.to_owned()).or_default() += 1;
        }
    }

    pub fn operate(&mut self, command: &str) -> Result<(Value, Vec<String>), String> {
        let mut step = self.policy.operate("s", command, NOW);
        loop {
            match step {
                Step::Done(Ok(operated)) => {
                    return Ok((serde_json::from_str(&operated.state).unwrap(), operated.events));
                }
                Step::Done(Err(failure)) => return Err(failure.code),
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answer(questions);
                    step = self.policy.resume_operate(&ticket, answers, NOW);
                }
            }
        }
    }

    fn perform(&mut self, operation: Operation) -> Outcome {
        if self.store_down {
            return Outcome::Failed("down".to_owned());
        }
        match operation {
            Operation::Get(key) => Outcome::Done(self.entry(&key)),
            Operation::Increment { key, amount } => {
                let count: u64 = self.store.get(&key).map_or(0, |value| value.parse().unwrap());
                self.write(&key, (count + u64::from(amount)).to_string());
                Outcome::Done(self.entry(&key))
            }
            Operation::Put { key, value, expected } => {
                if let Some((key, value)) = self.rival.take() {
                    self.write(&key, value);
                }
                let present = self.entry(&key);
                if expected.is_some() && expected != present.version {
                    return Outcome::Conflict(present);
                }
                self.write(&key, value);
                Outcome::Done(self.entry(&key))
            }
            Operation::Delete(key) => {
                self.store.remove(&key);
                Outcome::Done(Entry::default())
            }
            Operation::Scan(prefix) => Outcome::Found(
                self.store
                    .iter()
                    .filter(|(key, _)| key.starts_with(&prefix))
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect(),
            ),
        }
    }
}

/// A call of a tool in session `s`.
pub fn call(tool: &str, args: &str) -> String {
    format!(r#"{{"tool":{},"args":{args},"session_id":"s","call_id":"c1"}}"#, serde_json::to_string(tool).unwrap())
}

/// A ruleset of these rules, in enforce mode.
pub fn ruleset(rules: &str) -> String {
    ruleset_in("enforce", rules)
}

pub fn ruleset_in(mode: &str, rules: &str) -> String {
    let rules: String = rules.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: test}}\ndefaults: {{mode: {mode}}}\nrules:\n{rules}"
    )
}

/// `action` of each event, in order.
pub fn actions(events: &[String]) -> Vec<String> {
    events
        .iter()
        .map(|event| {
            let event: Value = serde_json::from_str(event).unwrap();
            event["action"].as_str().unwrap().to_owned()
        })
        .collect()
}

pub fn detail(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
