//! `edictum-host demo`: a guard at work. The calls of its agents and what their tools returned are recorded (`examples/`);
//! every decision is made by the engine while one looks on.
//!
//! [`story`] is the whole of it, with a server, told by [`teller`]: [`place`] is the server and its operator, [`log`] shows
//! the decision log. Three longer sessions are guarded by rules on disk: [`recording`] reads one, [`transcript`] shows calls,
//! [`summary`] counts them.

mod log;
mod place;
mod recording;
mod story;
mod summary;
mod teller;
mod transcript;

use std::sync::Arc;

use clap::{Args, ValueEnum};
use edictum_host::store::MemoryStore;
use edictum_host::{Action, CallRequest, Conclusion, Decision, Guard, Host, Ruleset, ToolOutcome};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use self::recording::{Recorded, recorded};
use self::summary::Tally;
use self::teller::Teller;
use self::transcript::Page;
use super::{End, Trouble, outcome, say, start};

/// Shows a guard at work, with all that belongs to it
///
/// The story (`server`) starts `edictum-host serve` in this process on a free port of this machine, signs and publishes rules,
/// and connects a guard that verifies them. An agent works under these rules and a workflow: calls are allowed and blocked, a
/// person is asked and answers, an output is redacted, the rules change meanwhile, stages are left, and in the end one sees the
/// decision log of the server. All of it goes over sockets; data and server are gone afterwards.
///
/// The other three are longer sessions of agents, guarded by rules on disk: a coding agent adds a feature to a payment service,
/// an analyst's agent asks a health insurer's warehouse, and a third one ships a change under a workflow, and tries to cut
/// corners.
///
/// What agents want, and what tools returned, was recorded; the decisions are made now. No tool is run.
#[derive(Args)]
#[command(after_help = "\
How to read it: a number and a decision for each call, and below it the rules that fired and why. `ask` goes to a person,
`redact`, `suppress` and `warn` are about what the tool returned, `observe` is a rule on trial, which blocks nothing yet,
`stage` a step of the session in its workflow.

On a terminal the story takes about 20 s, to be read; elsewhere, with --json and with --at-once, it does not wait.

Exit code 0, whatever is blocked: that is what is to be seen. 2 when something cannot be done, 130 after Ctrl-C.

Examples:
  $ edictum-host demo
  $ edictum-host demo --stay                       # and then look at the page
  $ edictum-host demo data-agent release-agent
  $ edictum-host demo --json | jq -c 'select(.step == \"call\") | [.tool, .action, .reason]'")]
pub struct Demo {
    /// What is shown [default: server]
    #[arg(value_name = "NAME")]
    names: Vec<Name>,
    /// Leaves server, page and guard of the story until Ctrl-C
    #[arg(long)]
    stay: bool,
    /// Does not wait between the steps
    #[arg(long)]
    at_once: bool,
    /// Prints each step or call as a JSON object, and nothing else
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The story, with a server, a person and rules that change
    Server,
    /// A coding agent in the repository of a payment service
    CodingAgent,
    /// An analyst's agent with a data warehouse
    DataAgent,
    /// A coding agent that ships a change, stage by stage
    ReleaseAgent,
}

/// What is needed to guard a session once more.
struct Scene {
    which: Name,
    name: &'static str,
    title: &'static str,
    /// The ruleset's path and text.
    ruleset: (&'static str, &'static str),
    /// The workflow's path and text.
    workflow: Option<(&'static str, &'static str)>,
    calls: &'static str,
    /// Where relative paths began when it was recorded.
    cwd: &'static str,
}

const CODING_RULES: (&str, &str) =
    ("examples/rulesets/coding-agent.yaml", include_str!("../../../examples/rulesets/coding-agent.yaml"));

const SHIPPING: (&str, &str) =
    ("examples/workflows/ship-a-change.yaml", include_str!("../../../examples/workflows/ship-a-change.yaml"));

const SCENES: [Scene; 3] = [
    Scene {
        which: Name::CodingAgent,
        name: "coding-agent",
        title: "A coding agent",
        ruleset: CODING_RULES,
        workflow: None,
        calls: include_str!("../../../examples/sessions/coding-agent.jsonl"),
        cwd: "/home/dev/payments",
    },
    Scene {
        which: Name::DataAgent,
        name: "data-agent",
        title: "A data agent",
        ruleset: ("examples/rulesets/data-agent.yaml", include_str!("../../../examples/rulesets/data-agent.yaml")),
        workflow: None,
        calls: include_str!("../../../examples/sessions/data-agent.jsonl"),
        cwd: "/srv/analysis",
    },
    Scene {
        which: Name::ReleaseAgent,
        name: "release-agent",
        title: "A coding agent in a workflow",
        ruleset: CODING_RULES,
        workflow: Some(SHIPPING),
        calls: include_str!("../../../examples/sessions/release-agent.jsonl"),
        cwd: "/home/dev/payments",
    },
];

/// Session counters are shown after so many calls.
const COUNTERS_EVERY: usize = 15;

impl Demo {
    pub fn run(self) -> Result<End, Trouble> {
        if self.stay && !self.shows(Name::Server) {
            return Err(Trouble::Usage("--stay is for the story with the server".to_owned()));
        }
        let host = start()?;
        if self.shows(Name::Server) {
            let end = story::play(&host, Teller::new(Page::new(), self.json, self.at_once), self.stay)?;
            if end != End::Good {
                return Ok(end);
            }
        }
        let page = Page::new();
        let mut tallies = Vec::new();
        for scene in SCENES.iter().filter(|scene| self.shows(scene.which)) {
            tallies.push(self.play(&host, &page, scene)?);
        }
        if !self.json && !tallies.is_empty() {
            say(&summary::table(&page, &tallies))?;
        }
        Ok(End::Good)
    }

    fn shows(&self, name: Name) -> bool {
        if self.names.is_empty() { name == Name::Server } else { self.names.contains(&name) }
    }

    fn play(&self, host: &Host, page: &Page, scene: &Scene) -> Result<Tally, Trouble> {
        let calls = recorded(scene.calls).map_err(|error| broken(scene, &error))?;
        let options = json!({ "cwd": scene.cwd }).to_string();
        let guard = host
            .guard(scene.name)
            .ruleset(Ruleset::new(scene.ruleset.0, scene.ruleset.1))
            .options(&options)
            .session_id(scene.name)
            .store(Arc::new(MemoryStore::new()));
        let guard = match scene.workflow {
            Some((name, text)) => guard.workflow(name, text),
            None => guard,
        };
        let guard = host.block_on(guard.build())?;
        let about: About = serde_json::from_str(&guard.summary()).map_err(|error| broken(scene, &error))?;
        let rules = about.rules.len();

        if !self.json {
            say(&page.opening(scene, rules, &calls))?;
        }
        let mut tally = Tally::new(scene.name);
        let usual = calls.first().and_then(Recorded::principal);
        let mut stage = about.workflow.and_then(|workflow| Some(workflow.stages.into_iter().next()?.id));
        for (index, call) in calls.iter().enumerate() {
            let number = index + 1;
            let guarded = guard_one(&guard, number, call)?;
            tally.count(&guarded);
            if self.json {
                say(&guarded.as_json(scene.name).to_string())?;
                continue;
            }
            say(&page.call(&guarded, usual.as_ref(), stage.as_deref()))?;
            stage = guarded.stage().or(stage);
            if number % COUNTERS_EVERY == 0 && number != calls.len() {
                say(&page.counters(&counters(&guard)?))?;
            }
        }
        tally.counters = counters(&guard)?;
        guard.blocking().close();
        Ok(tally)
    }
}

/// The members of a guard's summary that are shown.
#[derive(Deserialize)]
struct About {
    rules: Vec<Value>,
    workflow: Option<Stages>,
}

#[derive(Deserialize)]
struct Stages {
    stages: Vec<Stage>,
}

#[derive(Deserialize)]
struct Stage {
    id: String,
}

/// What a session has counted.
#[derive(Default, Deserialize)]
struct Counters {
    attempts: u64,
    execs: u64,
    consec_fail: u64,
}

/// A call that was guarded, with everything that came of it.
struct Guarded<'s> {
    number: usize,
    call: &'s Recorded<'s>,
    /// What was decided before a person was asked.
    asked: Option<Decision>,
    decision: Decision,
    /// How it ended, and what the agent saw (JSON). None: the tool did not run.
    end: Option<(Conclusion, String)>,
}

/// All steps of one call, as an agent's program would take them.
fn guard_one<'s>(guard: &Guard, number: usize, call: &'s Recorded<'s>) -> Result<Guarded<'s>, Trouble> {
    let guard = guard.blocking();
    let call_id = number.to_string();
    let mut decision = guard.begin(CallRequest::new(call.text()).call_id(&call_id))?;
    let asked = (decision.action == Action::Ask).then(|| decision.clone());
    // A rule may ask, and then a stage.
    while decision.action == Action::Ask {
        decision = guard.settle(&call_id, call.answer()?)?;
    }
    let end = if decision.is_allowed() {
        let returned = call.result();
        let conclusion = guard.finish(&call_id, ToolOutcome::new(returned))?;
        let seen = conclusion.replacement.clone().unwrap_or_else(|| returned.to_owned());
        Some((conclusion, seen))
    } else {
        None
    };
    Ok(Guarded { number, call, asked, decision, end })
}

impl Guarded<'_> {
    /// Where the session stands in its workflow after the call; empty when it is completed.
    fn stage(&self) -> Option<String> {
        let after = self.end.as_ref().and_then(|(conclusion, _)| conclusion.detail("workflow"));
        active(after.or(self.decision.detail("workflow")))
    }

    fn as_json(&self, session: &str) -> Value {
        let mut line = outcome::decided(&self.decision);
        line.insert("session_id".to_owned(), session.into());
        line.insert("tool".to_owned(), self.call.tool().into());
        if let Some(asked) = &self.asked {
            line.insert("asked".to_owned(), outcome::decided(asked).into());
        }
        if let Some((conclusion, _)) = &self.end {
            line.insert("finished".to_owned(), outcome::finished(&self.decision.call_id, conclusion));
        }
        line.into()
    }
}

/// The stage that a detail of a decision or an end says the session is in.
fn active(workflow: Option<&str>) -> Option<String> {
    #[derive(Deserialize)]
    struct Workflow {
        active_stage: String,
    }
    let workflow: Workflow = serde_json::from_str(workflow?).ok()?;
    Some(workflow.active_stage)
}

fn counters(guard: &Guard) -> Result<Counters, Trouble> {
    let state = guard.blocking().operate(guard.session_id(), r#"{"do":"counters"}"#)?;
    serde_json::from_str(&state).map_err(|error| Trouble::Usage(format!("the counters cannot be read: {error}")))
}

fn broken(scene: &Scene, error: &serde_json::Error) -> Trouble {
    Trouble::Usage(format!("the example `{}` cannot be read: {error}", scene.name))
}

/// A rule that fired, as the records of a decision or an end say.
#[derive(Deserialize)]
struct Record {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    passed: bool,
    #[serde(default)]
    observed: bool,
    message: Option<String>,
}

/// The rules that fired, out of the records of a detail. Gates of a workflow are told of by the decision itself.
fn fired(records: Option<&str>) -> Vec<Record> {
    let records: Option<Vec<Record>> = records.and_then(|records| serde_json::from_str(records).ok());
    records.unwrap_or_default().into_iter().filter(|record| !record.passed && record.kind != "workflow_gate").collect()
}

impl Recorded<'_> {
    /// What the people of the recording said to an `ask`.
    fn answer(&self) -> Result<edictum_host::callback::ApprovalOutcome, Trouble> {
        outcome::approval(self.answer.as_deref(), self.approver.clone(), self.reason.clone())
    }

    fn text(&self) -> &str {
        self.call.get()
    }

    fn result(&self) -> &str {
        self.result.map_or("null", RawValue::get)
    }
}
