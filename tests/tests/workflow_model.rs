//! Generated workflows and sessions, with crashes and reloads in between, and after every step the laws that no sequence of
//! calls, results, approvals, resets and moves may break. Gates are judged by a reading of the workflow that shares nothing
//! with the engine.

#![expect(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use edictum_tests::differential::case::Case;
use edictum_tests::differential::datum::Datum;
use edictum_tests::differential::random::Random;
use edictum_tests::differential::workflow::definition::{Definition, Stage};
use edictum_tests::differential::workflow::generate;
use edictum_tests::differential::workflow::guard::Semantics;
use edictum_tests::differential::workflow::session::{MAX_ITEMS, MAX_TEXT, Session};
use edictum_tests::differential::workflow::table::{DIVERGENCES, Effect};
use edictum_tests::differential::workflow::walk::Walk;
use edictum_tests::driver::{Answer, Driver};
use tempfile::TempDir;

/// Sequences.
const SEQUENCES: usize = 3_000;

/// Groups whose store is a file: only those can crash.
const WITH_A_FILE: usize = 25;

/// Steps of a hundred after which such a host crashes.
const CRASHES: usize = 4;

/// Kinds of groups that load on our side and need no explanation of their documents.
const KINDS: [&str; 4] = ["plain", "commands", "truths", "results"];

/// A guard that is played on.
struct Play {
    driver: Driver,
    folder: Option<TempDir>,
    opening: String,
    ruleset: String,
    definition: Definition,
    semantics: Semantics,
    tally: Tally,
}

/// What was done, so that the test cannot pass by doing nothing.
#[derive(Default)]
struct Tally {
    sequences: usize,
    steps: usize,
    left: usize,
    completed: usize,
    crashes: usize,
    reloads: usize,
    terminal: usize,
}

/// Our own switches, all of them.
fn semantics() -> Semantics {
    let mut semantics = Semantics::default();
    for each in DIVERGENCES {
        if let Effect::Switch(switch) = each.effect {
            switch(&mut semantics);
        }
    }
    semantics
}

fn line(request: &Datum) -> String {
    request.clone().with("guard", "g").to_string()
}

impl Play {
    fn begin(driver: Driver, case: &Case, folder: Option<TempDir>, tally: Tally) -> Option<Self> {
        let semantics = semantics();
        let definition = Definition::of(&case.opening.workflow.as_ref()?.content, semantics)?;
        let mut opening = case.opening.request();
        if let Some(folder) = &folder {
            opening.set("store", Datum::map([("path", folder.path().to_string_lossy().as_ref().into())]));
        }
        let ruleset = case.opening.documents.first()?.text.clone();
        let play = Self { driver, folder, opening: line(&opening), ruleset, definition, semantics, tally };
        let opened = play.ask(&play.opening);
        assert!(opened.refusal().is_none(), "{}\n{}", opened.line(), play.opening);
        Some(play)
    }

    /// A request as a line of JSON.
    fn ask(&self, request: &str) -> Answer {
        let members: BTreeMap<String, Box<serde_json::value::RawValue>> = serde_json::from_str(request).unwrap();
        let op: String = serde_json::from_str(members["op"].get()).unwrap();
        let members: Vec<_> = members.iter().filter(|(name, _)| *name != "op").collect();
        let members: Vec<_> = members.iter().map(|(name, text)| (name.as_str(), text.get())).collect();
        self.driver.wait(&self.driver.send_raw(&op, &members)).unwrap_or_else(|trouble| panic!("{trouble}"))
    }

    /// A session as the guard shows it.
    fn session(&self, id: &str) -> Session {
        let request = Datum::map([("op", "workflow".into()), ("session_id", id.into()), ("do", "state".into())]);
        let answer = self.ask(&line(&request));
        let text = answer.raw().unwrap_or_else(|| panic!("the state cannot be read: {}", answer.line()));
        let stored = Datum::parse(text).unwrap();
        let read = Session::read(&self.definition, id, &stored, self.semantics);
        let session = read.unwrap_or_else(|trouble| panic!("{trouble:?}: {text}"));
        assert_eq!(Datum::parse(&session.text()).unwrap().get("evidence"), stored.get("evidence"), "{text}");
        session
    }

    /// Kills the host and starts another.
    fn crash(&mut self) {
        self.driver.kill_and_listen();
        self.driver = Driver::start().unwrap();
        let opened = self.ask(&self.opening);
        assert!(opened.refusal().is_none(), "{}", opened.line());
        self.tally.crashes += 1;
    }

    /// The same rules under another revision.
    fn reload(&mut self) {
        let text = format!("{}# revision {}\n", self.ruleset, self.tally.reloads);
        let request = Datum::map([("op", "reload".into()), ("yaml", text.into())]);
        let reloaded = self.ask(&line(&request));
        assert!(reloaded.refusal().is_none(), "{}", reloaded.line());
        self.tally.reloads += 1;
    }

    fn play(&mut self, case: &Case, random: &mut Random) {
        self.tally.sequences += 1;
        let mut sessions: BTreeMap<String, Session> = BTreeMap::new();
        // What persons have agreed to, by session and stage; and the session of each call.
        let mut granted: BTreeSet<(String, String)> = BTreeSet::new();
        let mut calls: BTreeMap<String, String> = BTreeMap::new();
        for step in &case.steps {
            self.tally.steps += 1;
            let call = step.text("call_id").to_owned();
            let id = calls.get(&call).cloned().unwrap_or_else(|| step.text("session_id").to_owned());
            if step.text("op") == "begin" {
                calls.insert(call, id.clone());
            }
            let before = sessions.remove(&id).unwrap_or_else(|| self.session(&id));
            let answer = self.ask(&line(step));
            if self.folder.is_some() && random.percent(CRASHES) {
                self.crash();
            }
            if random.percent(2) {
                self.reload();
            }
            let after = self.session(&id);
            let happened = format!("{step}\n{}\nbefore: {before:?}\nafter: {after:?}\n{}", answer.line(), self.opening);
            self.note_grants(step, &answer, &before, &after, &mut granted);
            self.holds(&after, &granted, &happened);
            match (step.text("op"), step.text("do")) {
                ("begin" | "approve" | "finish", _) => self.was_led(&before, &after, &happened),
                (_, "state") => assert_eq!(before, after, "{happened}"),
                _ => {}
            }
            if step.text("op") == "begin" {
                self.terminal_accepts_nothing(&before, &answer, &happened);
            }
            sessions.insert(id, after);
        }
    }

    /// Keeps the ledger of approvals.
    fn note_grants(
        &self,
        step: &Datum,
        answer: &Answer,
        before: &Session,
        after: &Session,
        granted: &mut BTreeSet<(String, String)>,
    ) {
        if answer.refusal().is_some() {
            return;
        }
        let id = before.id.clone();
        match (step.text("op"), step.text("do")) {
            ("approve", _) if step.text("outcome") == "approved" => {
                if let Some((stage, _)) = &before.pending {
                    granted.insert((id, stage.clone()));
                } else {
                    // Somebody else's call has changed what the session waits for: the stage is the one that was active.
                    granted.insert((id, before.active.clone()));
                }
            }
            (_, "approve") => {
                granted.insert((id, step.text("stage_id").to_owned()));
            }
            (_, "load") => granted.extend(after.approvals.iter().map(|(stage, _)| (id.clone(), stage.clone()))),
            (_, "reset") => {
                let from = self.definition.index(step.text("stage_id")).unwrap_or(0);
                let gone = |stage: &str| self.definition.index(stage).is_some_and(|at| at >= from);
                granted.retain(|(session, stage)| *session != id || !gone(stage));
            }
            _ => {}
        }
    }

    /// What is true of every session at all times.
    fn holds(&self, session: &Session, granted: &BTreeSet<(String, String)>, happened: &str) {
        let stages = &self.definition.stages;
        let at = self.definition.index(&session.active);
        assert!(at.is_some() || session.active.is_empty(), "the active stage does not exist\n{happened}");
        let before: Vec<&str> = stages.iter().take(at.unwrap_or(stages.len())).map(|stage| stage.id.as_str()).collect();
        assert_eq!(session.completed, before, "completed stages are those before the active one\n{happened}");
        for (stage, status) in &session.approvals {
            let known = granted.contains(&(session.id.clone(), stage.clone()));
            assert!(status == "approved" && known, "nobody has approved `{stage}`\n{happened}");
        }
        let unique: BTreeSet<&String> = session.approvals.iter().map(|(stage, _)| stage).collect();
        assert_eq!(unique.len(), session.approvals.len(), "an approval twice\n{happened}");
        let commands = session.commands.iter().map(|(_, commands)| commands);
        for texts in commands.chain([&session.reads]) {
            assert!(texts.len() <= MAX_ITEMS, "{} items\n{happened}", texts.len());
            assert!(texts.iter().all(|text| text.chars().count() <= MAX_TEXT), "a text is too long\n{happened}");
        }
        assert!(session.results.iter().all(|(_, results)| results.len() <= MAX_ITEMS), "{happened}");
    }

    /// A session goes on only from stage to stage, and leaves each with its gates open.
    fn was_led(&mut self, before: &Session, after: &Session, happened: &str) {
        let end = self.definition.stages.len();
        let place = |session: &Session| self.definition.index(&session.active).unwrap_or(end);
        let (from, to) = (place(before), place(after));
        assert!(from <= to, "a call led back\n{happened}");
        let walk = Walk { definition: &self.definition, semantics: self.semantics };
        let open = |session: &Session, stage: &Stage, entry: bool| {
            let gates = if entry { &stage.entry } else { &stage.exit };
            gates.iter().all(|gate| walk.holds(session, stage, gate).is_ok_and(|(holds, _)| holds))
        };
        for at in from..to {
            let stage = &self.definition.stages[at];
            // With the evidence there is now, and as many stages behind as there were then.
            let mut then = after.clone();
            then.completed.truncate(at);
            assert!(open(&then, stage, false), "`{}` was left by a closed gate\n{happened}", stage.id);
            let agreed = stage.approval.is_none() || after.approval(&stage.id) == "approved";
            assert!(agreed, "`{}` was left without approval\n{happened}", stage.id);
            then.completed.push(stage.id.clone());
            if let Some(next) = self.definition.stages.get(at + 1) {
                assert!(open(&then, next, true), "`{}` was entered by a closed gate\n{happened}", next.id);
            } else {
                assert!(stage.explicit(), "`{}` has nothing that ends it\n{happened}", stage.id);
            }
        }
        self.tally.left += to - from;
        self.tally.completed += usize::from(from < to && to == end);
    }

    /// Where a terminal stage is done, no call runs.
    fn terminal_accepts_nothing(&mut self, before: &Session, answer: &Answer, happened: &str) {
        let stage = self.definition.index(&before.active).map(|at| &self.definition.stages[at]);
        let Some(stage) = stage.filter(|stage| stage.terminal) else { return };
        let walk = Walk { definition: &self.definition, semantics: self.semantics };
        let open = stage.exit.iter().all(|gate| walk.holds(before, stage, gate).is_ok_and(|(holds, _)| holds));
        if open {
            let result = answer.result().unwrap();
            let would_block = result["observed"] == true && result["reason"].is_string();
            assert!(result["action"] == "block" || would_block, "a terminal stage let a call through\n{happened}");
            self.tally.terminal += 1;
        }
    }
}

#[test]
fn no_sequence_breaks_the_laws_of_workflows() {
    let mut random = Random::new(77);
    let mut driver = Some(Driver::start().unwrap());
    let mut tally = Tally::default();
    let mut index = 0;
    while tally.sequences < SEQUENCES {
        let group = generate::group(5, index, false);
        index += 1;
        let Some(first) = group.cases.first().filter(|_| KINDS.contains(&group.kind)) else { continue };
        let folder = random.percent(WITH_A_FILE).then(|| tempfile::tempdir().unwrap());
        let running = driver.take().unwrap();
        let mut play = Play::begin(running, first, folder, tally).unwrap_or_else(|| panic!("group {index} is unknown"));
        for case in &group.cases {
            play.play(case, &mut random);
        }
        tally = play.tally;
        driver = Some(play.driver);
    }
    println!(
        "{} sequences with {} steps: {} stages left, {} workflows completed, {} calls in terminal stages, {} crashes, {} reloads",
        tally.sequences, tally.steps, tally.left, tally.completed, tally.terminal, tally.crashes, tally.reloads
    );
    assert!(tally.left > 1_500 && tally.completed > 100 && tally.terminal > 50, "sessions get nowhere");
    assert!(tally.crashes > 100 && tally.reloads > 300, "nothing went wrong");
}

#[test]
fn evidence_never_exceeds_its_caps() {
    let driver = Driver::start().unwrap();
    let workflow = "apiVersion: edictum/v1\nkind: Workflow\nmetadata: {name: flow}\nstages: [{id: a, tools: ['*']}]\n";
    let rules = edictum_tests::victim::RULES;
    let members = serde_json::json!({ "guard": "g", "rulesets": [{ "name": "r", "yaml": rules }], "workflow": workflow,
        "limits": { "max_attempts": 100_000, "max_tool_calls": 100_000 } });
    driver.ask("open", members).unwrap();
    let calls: Vec<String> = (0..MAX_ITEMS - 2).map(|number| format!("c{number}")).collect();
    let results: Vec<_> = (0..MAX_ITEMS - 2).map(|number| serde_json::json!({ "n": number })).collect();
    let state = serde_json::json!({ "active_stage": "a", "evidence": {
        "reads": calls, "stage_calls": { "a": calls }, "mcp_results": { "mcp__t": results } } });
    driver
        .ask("workflow", serde_json::json!({ "guard": "g", "session_id": "s", "do": "load", "state": state }))
        .unwrap();
    let long = "x".repeat(MAX_TEXT + 1);
    for number in 0..5 {
        for (tool, args) in [
            ("Read", serde_json::json!({ "path": format!("new {number}") })),
            ("Bash", serde_json::json!({ "command": format!("new {number}") })),
            ("Bash", serde_json::json!({ "command": long })),
            ("Read", serde_json::json!({ "path": long })),
            ("mcp__t", serde_json::json!({ "q": 1 })),
        ] {
            let call = serde_json::json!({ "tool": tool, "args": args });
            let begun = serde_json::json!({ "guard": "g", "session_id": "s", "call": call });
            let begun = driver.ask("begin", begun).unwrap();
            let result = serde_json::json!({ "text": long, "n": number });
            let finish = serde_json::json!({ "guard": "g", "call_id": begun["call_id"], "result": result });
            driver.ask("finish", finish).unwrap();
        }
    }
    let state = driver.ask("workflow", serde_json::json!({ "guard": "g", "session_id": "s", "do": "state" })).unwrap();
    let evidence = &state["evidence"];
    for list in [&evidence["reads"], &evidence["stage_calls"]["a"], &evidence["mcp_results"]["mcp__t"]] {
        let items = list.as_array().unwrap();
        assert_eq!(items.len(), MAX_ITEMS);
        assert!(items.iter().all(|item| item.to_string().len() <= MAX_TEXT), "a text is too long");
    }
    assert_eq!(evidence["mcp_results"]["mcp__t"][MAX_ITEMS - 1], serde_json::json!({ "text": "", "n": 1 }));
}
