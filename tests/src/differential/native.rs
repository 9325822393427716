//! The engine in this process, behind the same requests as a driver: no host, no component, no second process. For runs of
//! millions of cases, and for the deliberate faults, each of which takes only the engine to build.
//!
//! Not a host: its store is a map, and nothing of it outlives the process.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::process::Command;

use edictum_engine::documents::Document;
use edictum_engine::inquiry::{
    Action, Answer, ApprovalOutcome, ApprovalVerdict, CommandLine, CommandResult, Conclusion, Decision, Entry, Inquiry,
    Link, Operated, Operation, Outcome, Question, Step, ToolOutcome,
};
use edictum_engine::policy::{Policy, Preparation, Progress};

use super::datum::Datum;
use super::process::Side;
use super::scratch;

/// Milliseconds since 1970: always now.
const NOW: u64 = 1_700_000_000_000;

/// The engine as a side.
#[derive(Debug, Default)]
pub struct Native {
    scratch: String,
    guards: BTreeMap<String, Guard>,
    responses: VecDeque<Datum>,
}

#[derive(Debug)]
struct Guard {
    policy: Policy,
    principal: Option<String>,
    store: BTreeMap<String, String>,
    calls: BTreeMap<String, Call>,
    events: Vec<Datum>,
}

#[derive(Debug)]
struct Call {
    text: String,
    ticket: String,
    asked: bool,
}

impl Native {
    /// One with no guards.
    #[must_use]
    pub fn new(scratch: &Path) -> Self {
        Self { scratch: scratch.to_string_lossy().into_owned(), ..Self::default() }
    }

    fn respond(&mut self, line: &str) -> Result<Datum, String> {
        let request = Datum::parse(line)?;
        let name = request.text("guard").to_owned();
        if request.text("op") == "open" {
            self.guards.remove(&name);
            let (guard, opened) = Guard::open(&request)?;
            self.guards.insert(name, guard);
            return Ok(opened);
        }
        let guard = self.guards.get_mut(&name).ok_or("no such guard")?;
        match request.text("op") {
            "evaluate" => guard.evaluate(&request),
            "begin" => guard.begin(&request),
            "approve" => guard.approve(&request),
            "finish" => guard.finish(&request),
            "counters" => guard.counters(&request),
            "workflow" => guard.workflow(&request).map(Datum::from),
            "events" => Ok(Datum::map([("events", std::mem::take(&mut guard.events).into())])),
            other => Err(format!("no operation `{other}`")),
        }
    }
}

impl Side for Native {
    fn send(&mut self, lines: Vec<String>) -> Result<(), String> {
        for line in lines {
            let line = line.replace(scratch::NAME, &self.scratch);
            let response = match self.respond(&line) {
                // The state of a workflow is compared as text.
                Ok(Datum::String(state)) => {
                    Datum::map([("ok", true.into()), ("line", format!("{{\"ok\":true,\"result\":{state}}}").into())])
                }
                Ok(result) => Datum::map([("ok", true.into()), ("result", result)]),
                Err(error) => {
                    if std::env::var("VERBOSE").is_ok() {
                        eprintln!("ERR {error}");
                    }
                    Datum::map([("ok", false.into()), ("error", error.into())])
                }
            };
            let text = response.to_string().replace(&self.scratch, scratch::NAME);
            self.responses.push_back(Datum::parse(&text)?);
        }
        Ok(())
    }

    fn receive(&mut self, count: usize) -> Result<Vec<Datum>, String> {
        if self.responses.len() < count {
            return Err("fewer answers than requests".to_owned());
        }
        Ok(self.responses.drain(..count).collect())
    }
}

/// Fields of `open` that are options.
const OPTIONS: &[&str] = &["mode", "environment", "tools", "limits", "env", "exec_enabled", "compat", "registry"];

impl Guard {
    fn open(request: &Datum) -> Result<(Self, Datum), String> {
        let documents = request.list_of("rulesets").iter();
        let documents =
            documents.map(|each| Document { name: each.text("name").to_owned(), text: each.text("yaml").to_owned() });
        let mut options = request.some("options").cloned().unwrap_or_else(|| Datum::map([]));
        for name in OPTIONS {
            if let Some(value) = request.some(name) {
                options.set(name, value.clone());
            }
        }
        let workflow = request.some("workflow").and_then(Datum::as_str);
        let workflow = workflow.map(|text| Document { name: "workflow".to_owned(), text: text.to_owned() });
        let policy = prepare(documents.collect(), workflow, options.to_string())?;
        let summary = Datum::parse(&policy.summary())?;
        let rules = summary.list_of("rules").iter().map(|rule| Datum::from(rule.text("id")));
        let opened = Datum::map([
            ("policy_version", policy.revision().into()),
            ("rules", Datum::list(rules)),
            ("report", summary.get("report").cloned().unwrap_or_default()),
        ]);
        let principal = request.some("principal").map(Datum::to_string);
        let guard = Self { policy, principal, store: BTreeMap::new(), calls: BTreeMap::new(), events: Vec::new() };
        Ok((guard, opened))
    }

    /// The engine's call text: the members of `call`, and what belongs to the guard and the session.
    fn text(&self, request: &Datum) -> Result<String, String> {
        let mut call = request.get("call").cloned().ok_or("no call")?;
        for name in ["session_id", "call_id", "parent_session_id"] {
            call.remove(name);
            if let Some(value) = request.some(name) {
                call.set(name, value.clone());
            }
        }
        if let Some(principal) = &self.principal {
            call.set("static_principal", Datum::parse(principal)?);
        }
        Ok(call.to_string())
    }

    fn evaluate(&mut self, request: &Datum) -> Result<Datum, String> {
        let text = self.text(request)?;
        let output = request.get("output").map(Datum::to_string);
        let output = output.as_deref();
        let mut step = self.policy.evaluate(&text, output);
        loop {
            match step {
                Step::Done(result) => return Datum::parse(&result),
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answers(&questions);
                    step = self.policy.resume_evaluate(&text, output, &ticket, answers);
                }
            }
        }
    }

    fn begin(&mut self, request: &Datum) -> Result<Datum, String> {
        let text = self.text(request)?;
        let step = self.policy.begin(&text, NOW);
        let decision = self.decided(&text, step);
        self.keep(request.text("call_id"), text, decision)
    }

    fn approve(&mut self, request: &Datum) -> Result<Datum, String> {
        let id = request.text("call_id");
        let call = self.calls.get(id).filter(|call| call.asked).ok_or("no call waits for that")?;
        let (text, ticket) = (call.text.clone(), call.ticket.clone());
        let some = |name| request.some(name).and_then(Datum::as_str).map(str::to_owned);
        let outcome = ApprovalOutcome {
            verdict: match request.text("outcome") {
                "approved" => ApprovalVerdict::Approved,
                "rejected" => ApprovalVerdict::Rejected,
                "timed_out" => ApprovalVerdict::TimedOut,
                other => return Err(format!("no outcome `{other}`")),
            },
            approval_id: None,
            approver: some("approver"),
            reason: some("reason"),
            decided_at: None,
            decided_via: None,
        };
        let step = self.policy.settle(&text, &ticket, outcome, NOW);
        let decision = self.decided(&text, step);
        self.keep(id, text, decision)
    }

    /// Answers questions until there is a decision.
    fn decided(&mut self, text: &str, mut step: Step<Decision>) -> Decision {
        loop {
            match step {
                Step::Done(decision) => return decision,
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answers(&questions);
                    step = self.policy.resume_begin(text, &ticket, answers, NOW);
                }
            }
        }
    }

    fn keep(&mut self, id: &str, text: String, decision: Decision) -> Result<Datum, String> {
        let Decision { action, observed, policy_error, reason, name, detail, events, ticket, approval } = decision;
        self.log(&events)?;
        let detail = Datum::parse(&detail)?;
        let mut answer = Datum::map([
            ("call_id", id.into()),
            ("action", action.as_str().into()),
            ("reason", reason.into()),
            ("decision_source", detail.get("decision_source").cloned().unwrap_or_default()),
            ("decision_name", name.into()),
            ("observed", observed.into()),
            ("policy_error", policy_error.into()),
            ("rules_evaluated", detail.get("rules_evaluated").cloned().unwrap_or_default()),
            ("workflow", detail.get("workflow").cloned().unwrap_or_default()),
        ]);
        if let Some(approval) = approval {
            answer.set("approval", Datum::parse(&approval)?);
        }
        if action == Action::Block {
            self.calls.remove(id);
        } else {
            self.calls.insert(id.to_owned(), Call { text, ticket, asked: action == Action::Ask });
        }
        Ok(answer)
    }

    fn finish(&mut self, request: &Datum) -> Result<Datum, String> {
        let id = request.text("call_id");
        if self.calls.get(id).is_none_or(|call| call.asked) {
            return Err("no call waits for that".to_owned());
        }
        let Call { text, ticket, .. } = self.calls.remove(id).ok_or("no such call")?;
        let output = request.get("result").ok_or("no result")?;
        let success = request.some("success").map(|success| *success == Datum::Bool(true));
        let outcome = ToolOutcome { output: output.to_string(), success };
        let mut step = self.policy.finish(&text, &ticket, &outcome, NOW);
        let conclusion = loop {
            match step {
                Step::Done(conclusion) => break conclusion,
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answers(&questions);
                    step = self.policy.resume_finish(&text, &ticket, &outcome, answers, NOW);
                }
            }
        };
        let Conclusion { success, passed, replacement, warnings, detail, events } = conclusion;
        self.log(&events)?;
        let mut answer = Datum::parse(&detail)?;
        answer.set("success", success);
        answer.set("postconditions_passed", passed);
        answer.set("warnings", Datum::list(warnings.into_iter().map(Datum::from)));
        answer.set("result", replacement.map_or_else(|| Ok(output.clone()), |text| Datum::parse(&text))?);
        Ok(answer)
    }

    fn counters(&mut self, request: &Datum) -> Result<Datum, String> {
        let mut command = Datum::map([("id", "c".into()), ("do", "counters".into())]);
        if let Some(set) = request.some("set") {
            command.set("set", set.clone());
        }
        let state = self.operate(request, &command)?;
        Datum::parse(&state)
    }

    fn workflow(&mut self, request: &Datum) -> Result<String, String> {
        let mut command = Datum::map([("id", "w".into())]);
        for name in ["do", "stage_id", "state"] {
            if let Some(value) = request.get(name) {
                command.set(name, value.clone());
            }
        }
        self.operate(request, &command)
    }

    fn operate(&mut self, request: &Datum, command: &Datum) -> Result<String, String> {
        let mut step = self.policy.operate(request.text("session_id"), &command.to_string(), NOW);
        loop {
            match step {
                Step::Done(Ok(Operated { state, events })) => {
                    self.log(&events)?;
                    return Ok(state);
                }
                Step::Done(Err(failure)) => return Err(failure.message),
                Step::Ask(Inquiry { ticket, questions }) => {
                    let answers = self.answers(&questions);
                    step = self.policy.resume_operate(&ticket, answers, NOW);
                }
            }
        }
    }

    fn log(&mut self, events: &[String]) -> Result<(), String> {
        for event in events {
            self.events.push(Datum::parse(event)?);
        }
        Ok(())
    }

    fn answers(&mut self, questions: &[Question]) -> Vec<Answer> {
        let answer = |question: &Question| match question {
            Question::Session(operations) => {
                Answer::Session(operations.iter().map(|each| self.operation(each)).collect())
            }
            Question::ReadLinks(paths) => Answer::ReadLinks(paths.iter().map(|path| link(path)).collect()),
            Question::Command(line) => Answer::Command(ran(line)),
            _ => Answer::Failed("nothing here can answer that".to_owned()),
        };
        questions.iter().map(answer).collect()
    }

    fn operation(&mut self, operation: &Operation) -> Outcome {
        let entry = |value: Option<&String>| Outcome::Done(Entry { value: value.cloned(), version: None });
        match operation {
            Operation::Get(key) => entry(self.store.get(key)),
            Operation::Increment { key, amount } => {
                let count = self.store.get(key).map_or(Ok(0), |text| text.parse::<u64>());
                let Ok(count) = count else { return Outcome::Failed("not a counter".to_owned()) };
                let sum = (count + u64::from(*amount)).to_string();
                self.store.insert(key.clone(), sum.clone());
                entry(Some(&sum))
            }
            Operation::Put { key, value, .. } => {
                self.store.insert(key.clone(), value.clone());
                entry(Some(value))
            }
            Operation::Delete(key) => {
                self.store.remove(key);
                entry(None)
            }
            Operation::Scan(prefix) => {
                let found = self.store.iter().filter(|(key, _)| key.starts_with(prefix));
                Outcome::Found(found.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
        }
    }
}

/// Compiles documents.
fn prepare(documents: Vec<Document>, workflow: Option<Document>, options: String) -> Result<Policy, String> {
    let mut preparation = Preparation::new(documents, workflow, options);
    loop {
        match preparation
            .advance(u32::MAX)
            .map_err(|failure| format!("{} {:?}", failure.message, failure.diagnostics))?
        {
            Progress::More => {}
            Progress::Ready(policy) => return Ok(policy),
            Progress::Ask(questions) => {
                let answers = questions.iter().map(|question| match question {
                    Question::ReadLinks(paths) => Answer::ReadLinks(paths.iter().map(|path| link(path)).collect()),
                    _ => Answer::Failed("nothing here can answer that".to_owned()),
                });
                preparation.answer(answers.collect());
            }
        }
    }
}

/// What comes of a command. Those of cases end at once.
fn ran(line: &CommandLine) -> Result<CommandResult, String> {
    let (program, arguments) = line.argv.split_first().ok_or("no command")?;
    let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok(CommandResult { exit_code: output.status.code().unwrap_or(-1), output: text })
}

fn link(path: &str) -> Link {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_symlink() => match fs::read_link(path) {
            Ok(target) => target.into_os_string().into_string().map_or(Link::Unreadable, Link::Target),
            Err(_) => Link::Unreadable,
        },
        Ok(_) => Link::Plain,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            Link::Missing
        }
        Err(_) => Link::Unreadable,
    }
}
