//! Questions: what a decision must still know, asked in as few rounds as their order permits, and what the answers
//! teach.
//!
//! First what depends on nothing but the call (counters, principal, links), then what must see the principal (hooks,
//! selectors), then custom operators, which are applied to what selectors gave.

use serde_json::value::RawValue;

use super::ticket::{Asked, Facts, HookFact, Resolved, Ticket, Trouble};
use crate::call::{Call, Principal, Subject};
use crate::inquiry::{Answer, HookCall, Inquiry, Link, Operation, Outcome, Phase, Question, SelectorQuery};
use crate::json::{Literal, Tape};
use crate::program;
use crate::rules::Rules;
use crate::sandbox::{Links, Touched};
use crate::session::counters::{self, Counters};
use crate::workflow::definition::Workflow;
use crate::workflow::gate;
use crate::workflow::state::State;
use crate::workflow::stored::{self, Stored};

/// What the facts of a ticket say, in the form that judging works on.
#[derive(Debug, Default)]
pub struct Known {
    principal: Option<Literal>,
    custom: Vec<(String, Result<Literal, String>)>,
    /// Paths.
    pub links: Links,
}

impl Known {
    /// Reads the facts.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        let literal = |raw: &RawValue| Tape::read_owned(raw.get().to_owned());
        let principal = facts.principal.as_ref().and_then(|resolved| resolved.0.as_deref());
        let mut links = Links::default();
        for (path, link) in &facts.links {
            links.insert(path.clone(), Link::from(link));
        }
        Self {
            principal: principal.and_then(|raw| literal(raw).ok()),
            custom: facts
                .selectors
                .iter()
                .map(|(prefix, answer)| {
                    let map = answer.as_ref().map_err(Clone::clone).and_then(|raw| {
                        literal(raw).map_err(|error| format!("the selector's answer is not JSON: {error}"))
                    });
                    (prefix.clone(), map)
                })
                .collect(),
            links,
        }
    }

    /// What rules see of the call.
    #[must_use]
    pub fn subject<'c>(&'c self, rules: &'c Rules, call: &'c Call<'c>) -> Subject<'c> {
        let principal = match call.principal {
            Principal::Explicit(principal) => principal,
            Principal::Static(_) if rules.options.principal_resolver => {
                self.principal.as_ref().and_then(|literal| literal.root().as_map())
            }
            Principal::Static(principal) => principal,
        };
        let environment = call.environment.unwrap_or(&rules.environment);
        Subject { call, principal, environment, output: None, custom: &self.custom }
    }
}

/// Questions being collected.
#[derive(Debug, Default)]
pub struct Round {
    asked: Vec<Asked>,
    questions: Vec<Question>,
}

impl Round {
    fn add(&mut self, asked: Asked, question: Question) {
        self.asked.push(asked);
        self.questions.push(question);
    }

    /// Nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// The inquiry; the ticket remembers what it asks.
    #[must_use]
    pub fn into_inquiry(self, mut ticket: Ticket) -> Inquiry {
        ticket.asked = self.asked;
        Inquiry { ticket: ticket.write(), questions: self.questions }
    }

    /// Counters of the session, and where it stands in a workflow; `count` adds the attempt.
    pub fn counters(&mut self, rules: &Rules, call: &Call<'_>, facts: &Facts, count: bool) {
        let state = rules.workflow.as_deref().filter(|_| facts.workflow.is_none());
        if facts.counters.is_none() {
            let tool = rules.limits.counts_tool(call.tool).then_some(call.tool);
            let mut operations = counters::questions(call.session_id, tool, count);
            // In one batch: where the session stands is wanted for nearly every call.
            operations.extend(state.into_iter().flat_map(|workflow| stored::questions(workflow, call.session_id)));
            let asked = if state.is_some() { Asked::CountersAndWorkflow } else { Asked::Counters };
            self.add(asked, Question::Session(operations));
        } else if let Some(workflow) = state {
            self.add(Asked::Workflow, Question::Session(stored::questions(workflow, call.session_id)));
        }
    }

    /// A command that a workflow must know the end of.
    pub fn command(&mut self, asked: gate::Asked) {
        self.add(Asked::Command(asked.command), Question::Command(asked.line));
    }

    /// The state that the call leaves; nobody is told anything before it is in the store.
    pub fn write_workflow(&mut self, workflow: &Workflow, session: &str, stored: &Stored, state: &State) {
        self.add(Asked::WorkflowWrite, Question::Session(stored.write(workflow, session, state)));
    }

    /// Whose call it is.
    pub fn principal(&mut self, rules: &Rules, call: &Call<'_>, facts: &Facts) {
        let open = matches!(call.principal, Principal::Static(_)) && facts.principal.is_none();
        if rules.options.principal_resolver && open {
            self.add(Asked::Principal, Question::Principal);
        }
    }

    /// Paths that sandbox rules have to know.
    pub fn links(&mut self, touched: Option<&Touched<'_>>, known: &Known) {
        let paths = touched.map(|touched| touched.unresolved(&known.links)).unwrap_or_default();
        if !paths.is_empty() {
            self.add(Asked::Links(paths.clone()), Question::ReadLinks(paths));
        }
    }

    /// Hooks that run before the tool.
    pub fn hooks(&mut self, rules: &Rules, subject: &Subject<'_>, facts: &Facts) {
        let names = rules.hooks_for(subject.call.tool, Phase::Before);
        let answered = facts.hooks.as_ref().is_some_and(|hooks| hooks.iter().map(|(name, _)| name).eq(names.iter()));
        if names.is_empty() || answered {
            return;
        }
        let calls = hook_calls(subject, &names, Phase::Before, None);
        self.add(Asked::Hooks(names), Question::Hooks(calls));
    }

    /// Maps of custom selectors.
    pub fn selectors(&mut self, rules: &Rules, subject: &Subject<'_>, facts: &Facts) {
        let missing: Vec<String> = rules
            .needs
            .selectors
            .iter()
            .filter(|prefix| !facts.selectors.iter().any(|(known, _)| known == *prefix))
            .cloned()
            .collect();
        if missing.is_empty() {
            return;
        }
        let mut tool = rules.program.rules_for(subject.call.tool);
        if tool.pre.next().is_none() && tool.post.next().is_none() {
            return;
        }
        let query = SelectorQuery { prefixes: missing.clone(), call: describe(subject) };
        self.add(Asked::Selectors(missing), Question::Selectors(query));
    }

    /// Custom operators of the rules of a phase.
    pub fn operators(&mut self, scan: &program::Scan<'_, '_>, facts: &Facts) {
        let calls = scan.operator_calls();
        let answered = facts.operators.as_ref().is_some_and(|answers| answers.len() == calls.len());
        if !calls.is_empty() && !answered {
            self.add(Asked::Operators(calls.len()), Question::Operators(calls));
        }
    }

    /// Custom operators of a dry run: those of its preconditions, then those of its postconditions.
    pub fn operators_of_both(
        &mut self,
        before: &program::Scan<'_, '_>,
        after: Option<program::Scan<'_, '_>>,
        facts: &Facts,
    ) {
        let mut calls = before.operator_calls();
        calls.extend(after.iter().flat_map(program::Scan::operator_calls));
        if !calls.is_empty() && facts.operators.is_none() {
            self.add(Asked::Operators(calls.len()), Question::Operators(calls));
        }
    }

    /// Whether the tool succeeded.
    pub fn success(&mut self, subject: &Subject<'_>, output: &str) {
        let calls = hook_calls(subject, &[String::new()], Phase::SuccessCheck, Some(output));
        self.add(Asked::Success, Question::Hooks(calls));
    }

    /// Hooks that are told what the tool returned.
    pub fn after(&mut self, rules: &Rules, subject: &Subject<'_>, output: &str) {
        let names = rules.hooks_for(subject.call.tool, Phase::After);
        if !names.is_empty() {
            let calls = hook_calls(subject, &names, Phase::After, Some(output));
            self.add(Asked::After, Question::Hooks(calls));
        }
    }

    /// Counts the execution, and reads where the session stands in a workflow that is told of it.
    pub fn executed(&mut self, mut operations: Vec<Operation>, workflow: Option<&Workflow>, session: &str) {
        operations.extend(workflow.into_iter().flat_map(|workflow| stored::questions(workflow, session)));
        let asked = if workflow.is_some() { Asked::ExecutedAndWorkflow } else { Asked::Executed };
        self.add(asked, Question::Session(operations));
    }
}

/// The call as hooks, selectors and resolvers get it.
fn describe(subject: &Subject<'_>) -> String {
    let mut out = String::new();
    subject.call.describe(&mut out, subject.principal, subject.environment);
    out
}

fn hook_calls(subject: &Subject<'_>, names: &[String], phase: Phase, output: Option<&str>) -> Vec<HookCall> {
    let call = describe(subject);
    names
        .iter()
        .map(|name| HookCall { name: name.clone(), phase, call: call.clone(), output: output.map(str::to_owned) })
        .collect()
}

/// Adds what the answers say to the facts. Answers that do not fit their questions are a failure of the host, and block.
pub fn absorb(facts: &mut Facts, asked: &[Asked], answers: Vec<Answer>) {
    if asked.len() != answers.len() {
        return fail(facts, "fault", "host", "the host gave another number of answers than there were questions");
    }
    for (asked, answer) in asked.iter().zip(answers) {
        absorb_one(facts, asked, answer);
    }
}

fn absorb_one(facts: &mut Facts, asked: &Asked, answer: Answer) {
    match (asked, answer) {
        (Asked::Counters, Answer::Session(outcomes)) => match Counters::read(&outcomes) {
            Ok(counters) => facts.counters = Some(counters),
            Err(why) => fail(facts, "fault", "store", &why),
        },
        (Asked::CountersAndWorkflow, Answer::Session(outcomes)) => {
            let (counters, state) = outcomes.split_at(outcomes.len().saturating_sub(stored::QUESTIONS));
            facts.workflow = Some(Stored::read(state));
            match Counters::read(counters) {
                Ok(counters) => facts.counters = Some(counters),
                Err(why) => fail(facts, "fault", "store", &why),
            }
        }
        (Asked::Workflow, Answer::Session(outcomes)) => facts.workflow = Some(Stored::read(&outcomes)),
        (Asked::WorkflowWrite, Answer::Session(outcomes)) => {
            if let Some(Ok(stored)) = &mut facts.workflow
                && let Err(why) = stored.wrote(&outcomes)
            {
                facts.workflow = Some(Err(why));
            }
        }
        (Asked::Workflow | Asked::WorkflowWrite, Answer::Failed(why)) => facts.workflow = Some(Err(why)),
        (Asked::Command(command), Answer::Command(end)) => drop(facts.commands.insert(command.clone(), end)),
        (Asked::Command(command), Answer::Failed(why)) => drop(facts.commands.insert(command.clone(), Err(why))),
        (Asked::Principal, Answer::Principal(Ok(principal))) => {
            match principal.map(RawValue::from_string).transpose() {
                Ok(principal) => facts.principal = Some(Resolved(principal)),
                Err(_) => fail(facts, "principal", "principal_resolver", "the resolver's answer is not JSON"),
            }
        }
        (Asked::Principal, Answer::Principal(Err(why)) | Answer::Failed(why)) => {
            fail(facts, "principal", "principal_resolver", &why);
        }
        (Asked::Links(paths), Answer::ReadLinks(links)) if links.len() == paths.len() => {
            facts.links.extend(paths.iter().cloned().zip(links.into_iter().map(Into::into)));
        }
        (Asked::Selectors(prefixes), Answer::Selectors(maps)) if maps.len() == prefixes.len() => {
            let maps = maps.into_iter().map(|map| {
                map.and_then(|json| RawValue::from_string(json).map_err(|_| "the answer is not JSON".to_owned()))
            });
            facts.selectors.extend(prefixes.iter().cloned().zip(maps));
        }
        // A selector that cannot be asked is a rule that cannot be evaluated, not a call that cannot be decided.
        (Asked::Selectors(prefixes), Answer::Failed(why)) => {
            facts.selectors.extend(prefixes.iter().map(|prefix| (prefix.clone(), Err(why.clone()))));
        }
        (Asked::Operators(count), Answer::Operators(answers)) if answers.len() == *count => {
            facts.operators = Some(answers);
        }
        (Asked::Operators(count), Answer::Failed(why)) => facts.operators = Some(vec![Err(why); *count]),
        (Asked::Hooks(names), Answer::Hooks(verdicts)) if verdicts.len() == names.len() => {
            facts.hooks = Some(names.iter().cloned().zip(verdicts.into_iter().map(HookFact::from)).collect());
        }
        (Asked::Hooks(names), Answer::Failed(why)) => {
            facts.hooks = Some(names.iter().map(|name| (name.clone(), HookFact::Failed(why.clone()))).collect());
        }
        (Asked::Success, Answer::Hooks(verdicts)) => {
            facts.success = Some(match verdicts.into_iter().next() {
                Some(Ok(crate::inquiry::Verdict::Refuse(_))) => Ok(false),
                Some(Ok(_)) => Ok(true),
                Some(Err(why)) => Err(why),
                None => Err("the success check gave no answer".to_owned()),
            });
        }
        (Asked::Success, Answer::Failed(why)) => facts.success = Some(Err(why)),
        // Whatever after-hooks say, the tool has run.
        (Asked::After, _) => {}
        (Asked::Executed, Answer::Session(outcomes)) => facts.executions = Some(executions(&outcomes)),
        (Asked::ExecutedAndWorkflow, Answer::Session(outcomes)) => {
            let (counters, state) = outcomes.split_at(outcomes.len().saturating_sub(stored::QUESTIONS));
            facts.workflow = Some(Stored::read(state));
            facts.executions = Some(executions(counters));
        }
        (Asked::Executed | Asked::ExecutedAndWorkflow, Answer::Failed(why)) => facts.executions = Some(Err(why)),
        (Asked::Counters | Asked::CountersAndWorkflow, Answer::Failed(why)) => fail(facts, "fault", "store", &why),
        (_, Answer::Failed(why)) => fail(facts, "fault", "host", &why),
        _ => fail(facts, "fault", "host", "the host gave an answer of another kind than the question"),
    }
}

/// The first outcome is the counter of executions; the others must only have worked.
fn executions(outcomes: &[Outcome]) -> Result<u64, String> {
    let mut executions = Err("the store gave no answer".to_owned());
    for (place, outcome) in outcomes.iter().enumerate() {
        let count = counters::count(outcome)?;
        if place == 0 {
            executions = count.ok_or_else(|| "the store lost a counter".to_owned());
        }
    }
    executions
}

fn fail(facts: &mut Facts, source: &str, name: &str, detail: &str) {
    // The first trouble is the one that is reported.
    facts.failed.get_or_insert_with(|| Trouble {
        source: source.to_owned(),
        name: name.to_owned(),
        detail: detail.to_owned(),
    });
}
