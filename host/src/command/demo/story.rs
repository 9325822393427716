//! The whole story, for real: a server, rules that are signed, a guard that verifies them, an agent under rules and a
//! workflow, a person who is asked, rules that change meanwhile, and the decision log that the server has in the end. What
//! the agent wants and what its tools return was recorded; all else happens now, over sockets of this machine.

use std::path::Path;
use std::vec;

use edictum_host::{Action, CallRequest, Decision, Guard, Host, StreamState, ToolOutcome};
use serde_json::{Value, json};

use super::place::{AGENT, ENVIRONMENT, Place, healthy};
use super::recording::{Recorded, recorded};
use super::teller::Teller;
use super::{About, CODING_RULES, End, Guarded, SHIPPING, Trouble, active};
use crate::command::outcome;
use crate::command::remote::{runtime, text};
use crate::command::serve::Signals;

const CALLS: &str = include_str!("../../../../examples/sessions/server.jsonl");

/// Where relative paths begin.
const CWD: &str = "/home/dev/payments";

/// What the second version of the rules has more; rules are the last part of the first one.
const ONE_RULE_MORE: &str = "
  - id: logs-are-off-limits
    type: pre
    tool: Read
    when:
      args.file_path: {contains: logs/}
    then:
      action: block
      message: 'Logs are off limits since a key was found in one: {args.file_path}'
";

/// How long the decision log may take to the server.
const FLUSH: std::time::Duration = std::time::Duration::from_secs(30);

/// For who wants it for real. `serve` signs what is in its folder.
const FOR_REAL: &str = "\
$ edictum-host keygen -o signing.key
$ edictum-host serve --rulesets examples/rulesets --signing-key signing.key
$ edictum-host sign rules.yaml --key signing.key      # by hand, for rulesets push
$ edictum-host run --rules rules.yaml calls.jsonl     # without a server
docs/serve.md has the rest, and how programs connect.";

/// Tells the story in a folder that is gone in the end. `stay`: server and guard stay until Ctrl-C.
pub fn play(host: &Host, mut teller: Teller, stay: bool) -> Result<End, Trouble> {
    let folder = tempfile::Builder::new().prefix("edictum-demo-").tempdir();
    let folder = folder.map_err(Trouble::io("no temporary folder can be made"))?;
    let runtime = runtime()?;
    let played = runtime.block_on(until_the_end(host, &mut teller, folder.path(), stay));
    // Who writes into the folder has ended before it is removed.
    drop(runtime);
    folder.close().map_err(Trouble::io("the temporary folder cannot be removed"))?;
    played
}

async fn until_the_end(host: &Host, teller: &mut Teller, folder: &Path, stay: bool) -> Result<End, Trouble> {
    let mut signals = Signals::new()?;
    let story = tokio::select! {
        story = tell(host, teller, folder, stay) => story?,
        () = signals.wait() => return Ok(End::Interrupted),
    };
    if stay {
        signals.wait().await;
    }
    tokio::select! {
        () = story.end() => Ok(End::Good),
        () = signals.wait() => Ok(End::Interrupted),
    }
}

/// Everything that runs while the story is told.
struct Story<'t> {
    place: Place,
    guard: Guard,
    teller: &'t mut Teller,
    calls: vec::IntoIter<Recorded<'static>>,
    number: usize,
    /// All stages of the workflow, the last one ends it.
    stages: Vec<String>,
    stage: Option<String>,
}

async fn tell<'t>(host: &Host, teller: &'t mut Teller, folder: &Path, stay: bool) -> Result<Story<'t>, Trouble> {
    let broken = |error| Trouble::Usage(format!("the example `server` cannot be read: {error}"));
    let calls = recorded(CALLS).map_err(broken)?.into_iter();

    teller.chapter("A server, and rules that are signed").await?;
    let place = Place::open(host, folder).await?;
    let key = place.public_key();
    let shown = teller.page.step("key", &format!("made to sign rulesets; its public part is {key}"));
    teller.tell("keygen", json!({ "public_key": key }), &shown).await?;
    let shown = teller.page.step("serve", &format!("rulesets, sessions, approvals and the log, on {}", place.url()));
    teller.tell("serve", json!({ "url": place.url() }), &shown).await?;
    if stay {
        tell_key(teller, &place).await?;
    }
    let record = place.publish(CODING_RULES.1).await?;
    let shown = teller.page.step("publish", &format!("{}: {}", CODING_RULES.0, published(&record)));
    teller.tell("publish", record.clone(), &shown).await?;

    teller.chapter("A guard that trusts the key, and nobody who has none").await?;
    let guard = place.connect(host, text(&record, "name"), SHIPPING.1, CWD).await?;
    let health = healthy(&guard, "the stream was not live", |health| health.stream == StreamState::Live).await?;
    let about: About = serde_json::from_str(&guard.summary()).map_err(broken)?;
    let stages: Vec<String> =
        about.workflow.map_or_else(Vec::new, |workflow| workflow.stages.into_iter().map(|stage| stage.id).collect());
    let stage = stages.first().cloned();
    let shown = format!(
        "{AGENT} in {ENVIRONMENT} has verified the signature and enforces the {} rules of revision {}; the stream is live",
        about.rules.len(),
        short(&health.policy_version)
    );
    let fact = json!({ "agent_id": AGENT, "env": ENVIRONMENT, "health": health, "rules": about.rules.len(), "stages": stages });
    let shown = teller.page.step("connect", &shown);
    teller.tell("connect", fact, &shown).await?;
    let shown = teller.page.step("stages", &format!("{}\nof {}", progress(&stages, stage.as_deref()), SHIPPING.0));
    if !stages.is_empty() {
        teller.show(&shown).await?;
    }

    let mut story = Story { place, guard, teller, calls, number: 0, stages, stage };
    story.go_through().await?;
    if stay {
        let shown = story.teller.page.step("stay", "server and guard stay; Ctrl-C ends them");
        let fact = json!({ "url": story.place.url(), "operator_key": story.place.operator_key() });
        story.teller.tell("stay", fact, &shown).await?;
    }
    Ok(story)
}

impl Story<'_> {
    async fn go_through(&mut self) -> Result<(), Trouble> {
        self.teller.chapter("An agent works, under these rules").await?;
        self.calls(3).await?;
        self.teller.chapter("A person is asked").await?;
        self.calls(1).await?;
        self.teller.chapter("What a tool returns is judged, too").await?;
        self.calls(1).await?;
        self.teller.chapter("The rules change, and the same call is decided anew").await?;
        self.publish_more().await?;
        self.calls(1).await?;
        self.teller.chapter("From stage to stage").await?;
        self.calls(usize::MAX).await?;
        let shown = progress(&self.stages, self.stage.as_deref());
        let shown = self.teller.page.step("stages", &shown);
        self.teller.show(&shown).await?;
        self.teller.chapter("The decision log, as the server has it").await?;
        self.log().await?;
        self.teller.chapter("For real").await?;
        let page = format!("{}/ shows inbox, log, rulesets and agents; --stay leaves it open", self.place.url());
        let shown = format!("{}\n{}", self.teller.page.step("page", &page), self.teller.page.step("yours", FOR_REAL));
        self.teller.show(&shown).await
    }

    /// The next calls of the agent.
    async fn calls(&mut self, most: usize) -> Result<(), Trouble> {
        for _ in 0..most {
            let Some(call) = self.calls.next() else { break };
            self.call(call).await?;
        }
        Ok(())
    }

    /// A call, as an agent's program would make it, and whoever is asked about it.
    async fn call(&mut self, mut call: Recorded<'static>) -> Result<(), Trouble> {
        self.number += 1;
        let number = self.number;
        let call_id = number.to_string();
        let mut decision = self.guard.begin(CallRequest::new(call.text()).call_id(&call_id)).await?;
        let asked = (decision.action == Action::Ask).then(|| decision.clone());
        let shown = self.teller.page.begun(number, &call, &decision, call.principal().as_ref());
        self.teller.show(&shown).await?;
        while decision.action == Action::Ask {
            decision = self.ask(&mut call, &decision).await?;
        }
        let end = if decision.is_allowed() {
            let returned = call.result().to_owned();
            let conclusion = self.guard.finish(&call_id, ToolOutcome::new(returned.as_str())).await?;
            let seen = conclusion.replacement.clone().unwrap_or(returned);
            Some((conclusion, seen))
        } else {
            None
        };
        let guarded = Guarded { number, call: &call, asked, decision, end };
        let shown = self.teller.page.ended(&guarded, self.stage.as_deref()).join("\n");
        let fact = guarded.as_json(self.guard.session_id());
        self.stage = guarded.stage().or(self.stage.take());
        let mut fact = fact.as_object().cloned().unwrap_or_default();
        fact.insert("stage".to_owned(), self.stage.clone().into());
        self.teller.tell("call", fact.into(), &shown).await
    }

    /// What waits in the inbox is answered there; the guard hears of it from the server.
    async fn ask(&mut self, call: &mut Recorded<'static>, decision: &Decision) -> Result<Decision, Trouble> {
        let settled = self.guard.settled(&decision.call_id);
        let request = self.place.asked().await?;
        let shown = self.teller.page.step("inbox", &crate::command::approvals::shown(&request).join("\n"));
        let mut fact = outcome::decided(decision);
        fact.insert("request".to_owned(), request.clone());
        self.teller.tell("inbox", fact.into(), &shown).await?;
        // A stage that asks is entered before anybody answers.
        let stage = active(decision.detail("workflow"));
        if let Some(moved) = self.teller.page.moved(self.stage.as_deref(), stage.as_deref()) {
            self.teller.show(&moved).await?;
        }
        self.stage = stage.or(self.stage.take());
        let approved = call.answer.as_deref() == Some("approved");
        let record = self.place.decide(&request, approved, call.reason.as_deref()).await?;
        // What is told is what the server says.
        call.answer = Some(text(&record, "status").to_owned());
        call.approver = Some(text(&record, "decided_by").to_owned());
        self.teller.tell("answer", record, "").await?;
        Ok(settled.await?)
    }

    /// A second version while the agent works, and the guard that takes it.
    async fn publish_more(&mut self) -> Result<(), Trouble> {
        let before = self.guard.policy_version();
        let record = self.place.publish(&format!("{}{ONE_RULE_MORE}", CODING_RULES.1)).await?;
        let shown = format!("{}, with one rule more:{ONE_RULE_MORE}", published(&record));
        let shown = self.teller.page.step("publish", shown.trim_end());
        self.teller.tell("publish", record.clone(), &shown).await?;
        let revision = text(&record, "revision_hash");
        let what = "the guard did not take the second version";
        let health = healthy(&self.guard, what, |health| health.policy_version == revision).await?;
        let shown = format!("{} instead of {}, says the health of the guard", short(revision), short(&before));
        let shown = self.teller.page.step("enforced", &shown);
        self.teller.tell("enforced", json!({ "before": before, "health": health }), &shown).await
    }

    async fn log(&mut self) -> Result<(), Trouble> {
        let left = self.guard.flush(FLUSH).await;
        if left > 0 {
            return Err(Trouble::Usage(format!("{left} events did not get to the server")));
        }
        let events = self.place.log(self.guard.session_id()).await?;
        let shown = super::log::table(&self.teller.page, &events);
        self.teller.tell("log", json!({ "events": events }), &shown).await
    }

    async fn end(self) {
        let Self { place, guard, .. } = self;
        guard.close().await;
        // Its stream ends with it, and the server need not wait.
        drop(guard);
        place.stop().await;
    }
}

async fn tell_key(teller: &mut Teller, place: &Place) -> Result<(), Trouble> {
    let shown = format!("{}/ asks for an operator's key: {}", place.url(), place.operator_key());
    let shown = teller.page.step("page", &shown);
    teller.show(&shown).await
}

/// What the server says of a version.
fn published(record: &Value) -> String {
    let signed = if record.get("signed") == Some(&Value::Bool(true)) { "signed" } else { "not signed" };
    let version = record.get("version").cloned().unwrap_or_default();
    let revision = short(text(record, "revision_hash"));
    format!("version {version} of {}, {signed}, revision {revision}", text(record, "name"))
}

/// Enough of a revision to tell it from others.
pub fn short(revision: &str) -> &str {
    revision.get(..8).unwrap_or(revision)
}

/// The stages in a line: those that were left, the one that it is in, those ahead.
fn progress(stages: &[String], here: Option<&str>) -> String {
    let at = stages.iter().position(|stage| Some(stage.as_str()) == here);
    let sign = |index: usize| match at {
        Some(at) if index > at => "○",
        Some(at) if index == at && index + 1 < stages.len() => "▶",
        _ => "✓",
    };
    let stages: Vec<_> = stages.iter().enumerate().map(|(index, stage)| format!("{} {stage}", sign(index))).collect();
    stages.join("  ")
}
