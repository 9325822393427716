//! `edictum-host demo`: recorded agent sessions, guarded now. The rules, the calls and what people answered are recorded
//! (`examples/`); every decision is made by the engine while one looks on.
//!
//! [`recording`] reads a session, [`transcript`] shows calls, [`summary`] counts them.

mod recording;
mod summary;
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
use self::transcript::Page;
use super::{End, Trouble, outcome, say, start};

/// Shows a guard at work on three recorded agent sessions
///
/// A coding agent adds a feature to a payment service, and an analyst's agent asks a health insurer's warehouse. A third
/// agent ships a change under a workflow, and tries to cut corners. All do some things that they should not. What the tools returned and what people answered was recorded; the decisions are made
/// now, by the rules in examples/rulesets. Nothing is run, and no file is read or written.
#[derive(Args)]
#[command(after_help = "\
How to read it: a number and a decision for each call, and below it the rules that fired and why. `ask` goes to a person,
`redact`, `suppress` and `warn` are about what the tool returned, `observe` is a rule on trial, which blocks nothing yet,
`stage` a step of the session in its workflow.

Exit code 0, whatever is blocked: that is what is to be seen.

Examples:
  $ edictum-host demo
  $ edictum-host demo data-agent
  $ edictum-host demo --json | grep '\"action\":\"block\"'")]
pub struct Demo {
    /// Only this session
    session: Option<Name>,
    /// Prints each call as a JSON object, and no summary
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(clippy::enum_variant_names, reason = "the names of the sessions, as one types them")]
enum Name {
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
        workflow: Some((
            "examples/workflows/ship-a-change.yaml",
            include_str!("../../../examples/workflows/ship-a-change.yaml"),
        )),
        calls: include_str!("../../../examples/sessions/release-agent.jsonl"),
        cwd: "/home/dev/payments",
    },
];

/// Session counters are shown after so many calls.
const COUNTERS_EVERY: usize = 15;

impl Demo {
    pub fn run(self) -> Result<End, Trouble> {
        let host = start()?;
        let page = Page::new();
        let mut tallies = Vec::new();
        for scene in SCENES.iter().filter(|scene| self.session.is_none_or(|which| which == scene.which)) {
            tallies.push(self.play(&host, &page, scene)?);
        }
        if !self.json {
            say(&summary::table(&page, &tallies))?;
        }
        Ok(End::Good)
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
        #[derive(Deserialize)]
        struct Workflow {
            active_stage: String,
        }
        let after = self.end.as_ref().and_then(|(conclusion, _)| conclusion.detail("workflow"));
        let workflow: Workflow = serde_json::from_str(after.or(self.decision.detail("workflow"))?).ok()?;
        Some(workflow.active_stage)
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
