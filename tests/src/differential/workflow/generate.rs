//! Makes cases: workflows of one to six stages with all kinds of gates, and sessions that walk through them. Calls are
//! chosen with the model's help: mostly such that the next gate is satisfied or the next stage entered, so that sessions
//! get somewhere; sometimes any. The same seed gives the same cases for ever.

use std::sync::Arc;

use super::definition::{Condition, Definition};
use super::guard::{Guard, Semantics};
use super::session::Session;
use super::walk::{Action, Call, Walk};
use super::{territory, vocabulary};
use crate::differential::case::{Case, Document, Group, Opening};
use crate::differential::datum::Datum;
use crate::differential::random::Random;
use crate::differential::ruleset_text;

/// Cases of a group.
const GROUP: usize = 8;

/// Of a thousand groups, so many go where the engines differ on purpose.
const TERRITORY: usize = 60;

/// Of a thousand candidates on which the two sides differ, so many may be chosen all the same.
const DIFFERENT: usize = 2;

/// The group at an index.
#[must_use]
pub fn group(seed: u64, index: u64, compat: bool) -> Group {
    let mut random = Random::part(seed ^ 0x0077_6f72_6b66_6c6f, index);
    let kind = if random.below(1_000) < TERRITORY { territory::kind(&mut random) } else { territory::PLAIN };
    let workflow = workflow(&mut random, kind);
    let mut opening = Opening {
        documents: vec![ruleset(&mut random)],
        settings: settings(&mut random, kind, compat),
        workflow: Some(workflow),
    };
    if compat {
        opening.settings.set("compat", "python-0.19");
    }
    let opening = Arc::new(opening);
    let empty = Case { opening: Arc::clone(&opening), steps: Vec::new() };
    let guard = Guard::open(&empty, Semantics::default());
    let cases = (0..GROUP).map(|number| {
        let steps = match &guard {
            Some(guard) => Sessions::new(&mut random, guard.clone(), kind, number).steps(),
            None => vec![Datum::map([("op", "workflow".into()), ("session_id", "s".into()), ("do", "state".into())])],
        };
        Case { opening: Arc::clone(&opening), steps }
    });
    // A guard that one side does not open needs to be tried only once.
    let count = if guard.is_some() && kind.document.is_none() { GROUP } else { 1 };
    Group { kind: kind.name, cases: cases.take(count).collect() }
}

fn ruleset(random: &mut Random) -> Document {
    let inert = r#"{"id":"inert","type":"pre","tool":"no-such-tool","when":{"args.x":{"contains":"x"}},"then":{"action":"block","message":"inert"}}"#;
    let mut rules = vec![Datum::parse(inert).unwrap_or_default()];
    let texts =
        [("Bash", "command", "rm"), ("Bash", "command", "main"), ("*", "path", "spec"), ("Edit", "path", "src")];
    if random.percent(30) {
        for number in 0..random.between(1, 2) {
            let (tool, key, text) = *random.one(&texts);
            let then = Datum::map([("action", "block".into()), ("message", format!("no {text} here").into())]);
            let when = Datum::Map(vec![(format!("args.{key}"), Datum::map([("contains", text.into())]))]);
            let mut rule = Datum::map([
                ("id", format!("rule-{number}").into()),
                ("type", "pre".into()),
                ("tool", tool.into()),
                ("when", when),
                ("then", then),
            ]);
            if random.percent(15) {
                rule.set("mode", "observe");
            }
            rules.push(rule);
        }
    }
    let content = Datum::map([
        ("apiVersion", "edictum/v1".into()),
        ("kind", "Ruleset".into()),
        ("metadata", Datum::map([("name", "rules".into())])),
        ("defaults", Datum::map([("mode", "enforce".into())])),
        ("rules", rules.into()),
    ]);
    let text = ruleset_text::plainly(&content);
    Document { name: "rules.yaml".to_owned(), content, text }
}

fn settings(random: &mut Random, kind: territory::Kind, compat: bool) -> Datum {
    let mut settings = Datum::map([("env", Datum::map([])), ("exec_enabled", true.into())]);
    if !kind.drops_results && !compat {
        settings.set("results_are_evidence", true);
    }
    if !kind.stale_snapshots {
        settings.set("snapshots_are_fresh", true);
    }
    if kind.observes || random.percent(8) {
        settings.set("mode", "observe");
    }
    if random.percent(10) {
        let per_tool = Datum::map([("Bash", Datum::from(3)), ("Read", Datum::from(2))]);
        let limits = [("max_attempts", Datum::from(8)), ("max_tool_calls", 5.into()), ("max_calls_per_tool", per_tool)];
        let some = limits.into_iter().filter(|_| random.percent(50)).collect::<Vec<_>>();
        settings.set("limits", Datum::map(some));
    }
    settings
}

/// A workflow document.
fn workflow(random: &mut Random, kind: territory::Kind) -> Document {
    let count = *random.weighted(&[(8, 1), (20, 2), (30, 3), (22, 4), (12, 5), (8, 6)]);
    let mut ids: Vec<&str> = Vec::new();
    while ids.len() < count {
        let id = random.word(vocabulary::STAGES);
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let stages: Vec<Datum> = (0..count).map(|index| stage(random, &ids, index, kind)).collect();
    let mut metadata = Datum::map([("name", random.word(&["flow", "coding-guard", "w.1"]).into())]);
    if random.percent(50) {
        metadata.set("version", random.word(&["1", "2.0.1", "v é"]));
    }
    if random.percent(20) {
        metadata.set("description", "what it is for");
    }
    let mut content = Datum::map([
        ("apiVersion", "edictum/v1".into()),
        ("kind", "Workflow".into()),
        ("metadata", metadata),
        ("stages", stages.into()),
    ]);
    territory::change(random, kind, &mut content);
    let text = kind.text(&content, ruleset_text::somehow(&content, random));
    Document { name: "workflow.yaml".to_owned(), content, text }
}

fn stage(random: &mut Random, ids: &[&str], index: usize, kind: territory::Kind) -> Datum {
    let last = index + 1 == ids.len();
    let mut stage = Datum::map([("id", ids.get(index).copied().unwrap_or("plan").into())]);
    if random.percent(10) {
        stage.set("description", "a stage");
    }
    let mut tools: Vec<&str> = Vec::new();
    let form = random.below(100);
    if form < 60 {
        for _ in 0..random.between(1, 3) {
            let tool = *random.weighted(&[(4, "Read"), (5, "Bash"), (3, "Edit"), (2, "Write"), (3, "mcp__ci__status")]);
            if !tools.contains(&tool) {
                tools.push(tool);
            }
        }
    } else if form < 75 {
        tools.push(random.word(vocabulary::WILDCARDS));
        if random.percent(40) {
            tools.push(random.word(vocabulary::TOOLS));
        }
    }
    if kind.truths && !tools.is_empty() {
        tools.push("mcp__ci__status");
    }
    let shell =
        tools.is_empty() || tools.iter().any(|tool| matches!(*tool, "Bash" | "*" | "Ba?h" | "[RB]*" | "[A-Z]*"));
    if !tools.is_empty() {
        stage.set("tools", Datum::list(tools.iter().map(|tool| Datum::from(*tool))));
    }
    if shell && random.percent(25) {
        let checks: Vec<Datum> = (0..random.between(1, 2)).map(|_| check(random)).collect();
        stage.set("checks", checks);
    }
    let exits =
        if (75..90).contains(&form) { random.between(1, 2) } else { *random.weighted(&[(50, 0), (38, 1), (12, 2)]) };
    if exits > 0 {
        let gates: Vec<Datum> = (0..exits).map(|_| gate(random, ids, index, &tools, kind)).collect();
        stage.set("exit", gates);
    }
    if index > 0 && random.percent(18) {
        let gates: Vec<Datum> = (0..random.between(1, 2)).map(|_| entry(random, ids, index)).collect();
        stage.set("entry", gates);
    }
    if random.percent(22) {
        let message = random.word(&["go on?", "may it be pushed?", "é ok?"]);
        stage.set("approval", Datum::map([("message", message.into())]));
    }
    if (last && random.percent(30)) || random.percent(2) {
        stage.set("terminal", true);
    }
    stage
}

fn check(random: &mut Random) -> Datum {
    let pattern = random.word(vocabulary::PATTERNS);
    let name = if random.percent(50) { "command_matches" } else { "command_not_matches" };
    Datum::map([(name, pattern.into()), ("message", random.word(&["not this command", "only that command"]).into())])
}

fn with_message(random: &mut Random, condition: String) -> Datum {
    let mut gate = Datum::map([("condition", condition.into())]);
    if !random.permille(8) {
        gate.set("message", random.word(&["do that first", "it is missing", "read the spec, é"]));
    }
    gate
}

/// What must hold before a stage is left: mostly what its tools can bring about.
fn gate(random: &mut Random, ids: &[&str], index: usize, tools: &[&str], kind: territory::Kind) -> Datum {
    if kind.executes || random.permille(12) {
        let condition = if kind.breaks && random.percent(50) {
            format!("exec(\"{}\")", vocabulary::NOT_A_PROGRAM)
        } else {
            let (command, code) = vocabulary::executed(random.below(4));
            // Mostly one that holds.
            let code = if random.percent(80) { code } else { 1 };
            if code == 0 && random.percent(50) {
                format!("exec(\"{command}\")")
            } else {
                format!("exec(\"{command}\", exit_code={code})")
            }
        };
        return with_message(random, condition);
    }
    let has = |tool: &str| tools.is_empty() || tools.contains(&tool) || tools.contains(&"*");
    let mut kinds: Vec<(usize, u8)> = vec![(6, 4), (5, 5)];
    if has("Read") {
        kinds.push((30, 0));
    }
    if has("Bash") {
        kinds.extend([(25, 1), (10, 2)]);
    }
    if kind.truths || tools.iter().any(|tool| tool.starts_with("mcp") || *tool == "*") {
        kinds.push((if kind.truths { 90 } else { 25 }, 3));
    }
    let condition = match random.weighted(&kinds) {
        0 => format!("file_read({})", quoted(random.word(vocabulary::FILES))),
        1 => format!("command_matches({})", quoted(random.word(vocabulary::PATTERNS))),
        2 => format!("command_not_matches({})", quoted(random.word(vocabulary::PATTERNS))),
        3 => {
            let (field, value) = *random.one(vocabulary::RESULTS);
            let value = if kind.truths { random.word(&["true", "True"]) } else { value.trim_matches('"') };
            let space = random.word(&["", " ", "  "]);
            let tool =
                if kind.truths { "mcp__ci__status" } else { random.word(&["mcp__ci__status", "mcp__db__query"]) };
            format!("mcp_result_matches(\"{tool}\",{space}\"{field}\", \"{value}\")")
        }
        4 => approval(random, ids, index),
        _ => stage_complete(random, ids, index),
    };
    with_message(random, condition)
}

/// What must hold before a stage is entered.
fn entry(random: &mut Random, ids: &[&str], index: usize) -> Datum {
    let condition = match random.below(100) {
        0..45 => stage_complete(random, ids, index),
        45..80 => format!("file_read({})", quoted(random.word(vocabulary::FILES))),
        80..90 => approval(random, ids, index),
        // Of the stage that is entered, where nothing has run yet.
        90..96 => format!("command_not_matches({})", quoted(random.word(vocabulary::PATTERNS))),
        _ => format!("command_matches({})", quoted(random.word(vocabulary::PATTERNS))),
    };
    with_message(random, condition)
}

fn approval(random: &mut Random, ids: &[&str], index: usize) -> String {
    if random.percent(50) || index == 0 {
        return random.word(&["approval()", "approval(\"\")"]).to_owned();
    }
    format!("approval(\"{}\")", ids.get(random.below(index + 1)).unwrap_or(&"plan"))
}

fn stage_complete(random: &mut Random, ids: &[&str], index: usize) -> String {
    let which = if random.percent(90) { random.below(index.max(1)) } else { random.below(ids.len()) };
    format!("stage_complete(\"{}\")", ids.get(which).unwrap_or(&"plan"))
}

/// A string of a condition.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The steps of a case, while they are made.
struct Sessions<'r> {
    random: &'r mut Random,
    guard: Guard,
    kind: territory::Kind,
    number: usize,
    sessions: Vec<String>,
    calls: usize,
    steps: Vec<Datum>,
    /// Calls that run: their ids and what they return.
    running: Vec<(String, Datum)>,
}

/// A call that may be made, and what its tool returns.
#[derive(Clone, Debug)]
struct Candidate {
    call: Datum,
    result: Option<Datum>,
}

impl<'r> Sessions<'r> {
    fn new(random: &'r mut Random, guard: Guard, kind: territory::Kind, number: usize) -> Self {
        let mut sessions = vec![format!("s{number}")];
        if random.percent(5) {
            sessions.push(format!("other{number}"));
        }
        Self { random, guard, kind, number, sessions, calls: 0, steps: Vec::new(), running: Vec::new() }
    }

    fn steps(mut self) -> Vec<Datum> {
        for _ in 0..self.random.between(4, 11) {
            let sessions = self.sessions.clone();
            let session = self.random.one(&sessions).clone();
            match self.random.below(1000) {
                0..830 => self.call(&session),
                830..860 => self.operate(&session, "reset"),
                860..890 => self.operate(&session, "set_stage"),
                890..930 => self.operate(&session, "approve"),
                930..945 => self.load(&session),
                _ => self.state(&session),
            }
            while !self.running.is_empty() && self.random.percent(90) {
                self.finish();
            }
            if self.random.percent(25) {
                self.state(&session);
            }
        }
        while !self.running.is_empty() && self.random.percent(80) {
            self.finish();
        }
        for session in self.sessions.clone() {
            self.state(&session);
        }
        self.steps
    }

    fn step(&mut self, step: Datum) -> Datum {
        let answer = self.guard.step(&step).unwrap_or_default();
        self.steps.push(step);
        answer
    }

    fn state(&mut self, session: &str) {
        self.step(Datum::map([("op", "workflow".into()), ("session_id", session.into()), ("do", "state".into())]));
    }

    fn operate(&mut self, session: &str, what: &str) {
        let stages = &self.guard.definition().stages;
        let stage = self.random.one(stages).id.clone();
        let stage = if self.random.percent(4) { "no-such-stage".to_owned() } else { stage };
        let mut step = Datum::map([("op", "workflow".into()), ("session_id", session.into()), ("do", what.into())]);
        step.set("stage_id", stage);
        self.step(step);
    }

    /// A state from elsewhere: with what is usual left out, and sometimes with more than is known.
    fn load(&mut self, session: &str) {
        let definition = self.guard.definition().clone();
        let at = self.random.below(definition.stages.len() + 1);
        let ids = || definition.stages.iter().map(|stage| stage.id.as_str());
        let active = ids().nth(at).unwrap_or("");
        let mut state = Datum::map([
            ("session_id", self.random.word(&["", "another"]).into()),
            ("active_stage", active.into()),
            ("completed_stages", Datum::list(ids().take(at).map(Datum::from))),
        ]);
        if self.random.percent(60) {
            let status =
                if self.kind.foreign_states { self.random.word(&["rejected", "approved"]) } else { "approved" };
            state.set("approvals", Datum::map(ids().filter(|_| self.random.percent(30)).map(|id| (id, status.into()))));
        }
        if self.kind.foreign_states && self.random.percent(50) {
            state
                .set("completed_stages", Datum::list(["elsewhere"].into_iter().chain(ids().take(at)).map(Datum::from)));
        }
        if self.kind.foreign_states && self.random.percent(30) {
            state.remove("active_stage");
            if self.random.percent(50) {
                state.set("active_stage", self.random.word(&["", "nowhere"]));
            }
        }
        if self.random.percent(70) {
            let read = vocabulary::FILES.iter().filter(|_| self.random.percent(30)).map(|file| Datum::from(*file));
            let mut evidence = Datum::map([("reads", Datum::list(read.collect::<Vec<_>>()))]);
            if self.random.percent(50) {
                let calls = ids().take(1).map(|id| (id, Datum::list([vocabulary::COMMANDS[0].into()])));
                evidence.set("stage_calls", Datum::map(calls));
                evidence.set("mcp_results", Datum::Null);
            }
            state.set("evidence", evidence);
        }
        let mut step = Datum::map([("op", "workflow".into()), ("session_id", session.into()), ("do", "load".into())]);
        step.set("state", state);
        self.step(step);
    }

    fn call(&mut self, session: &str) {
        let Some(state) = self.guard.session(session) else { return };
        if self.person_is_wanted(&state) && self.random.percent(60) {
            let mut step = Datum::map([("op", "workflow".into()), ("session_id", session.into())]);
            step.set("do", "approve");
            step.set("stage_id", state.active.as_str());
            self.step(step);
            return;
        }
        let Some(candidate) = self.candidate(&state) else { return };
        let id = format!("c{}-{}", self.number, self.calls);
        self.calls += 1;
        let mut step = Datum::map([("op", "begin".into()), ("session_id", session.into())]);
        step.set("call_id", id.as_str());
        step.set("call", candidate.call.clone());
        if self.random.percent(8) {
            step.set("parent_session_id", "parent");
        }
        let mut answer = self.step(step);
        while answer.text("action") == "ask" {
            let outcome = *self.random.weighted(&[(76, "approved"), (9, "rejected"), (5, "timed_out"), (10, "")]);
            if outcome.is_empty() || (outcome == "approved" && self.leads_apart(session, &candidate)) {
                return;
            }
            let mut step = Datum::map([("op", "approve".into()), ("call_id", id.as_str().into())]);
            step.set("outcome", outcome);
            answer = self.step(step);
        }
        if answer.text("action") == "allow" {
            let blocked = answer.some("decision_source").is_some();
            let result = self.result(&candidate, blocked);
            self.running.push((id, result));
        } else if self.random.permille(15) {
            self.step(Datum::map([("op", "finish".into()), ("call_id", id.as_str().into()), ("result", "ok".into())]));
        }
    }

    /// Whether the two sides differ on the call once its stage is approved.
    fn leads_apart(&mut self, session: &str, candidate: &Candidate) -> bool {
        let Some(mut state) = self.guard.session(session) else { return false };
        let definition = self.guard.definition();
        let stage = state.active.clone();
        state.approve(definition, &stage);
        let [theirs, ours] =
            sides(definition).map(|walk| walk.evaluate(&mut state.clone(), &Call::of(&candidate.call)));
        theirs != ours && !self.random.permille(DIFFERENT * 10)
    }

    fn finish(&mut self) {
        let which = self.random.below(self.running.len());
        let (id, result) = self.running.remove(which);
        let mut step = Datum::map([("op", "finish".into()), ("call_id", id.into())]);
        step.set("result", result);
        self.step(step);
    }

    fn result(&mut self, candidate: &Candidate, blocked: bool) -> Datum {
        if blocked && !self.kind.observes && !self.random.permille(DIFFERENT) {
            return "Error: it was not to run".into();
        }
        if self.kind.truths && self.random.percent(60) {
            let (field, _) = *self.random.one(vocabulary::RESULTS);
            return Datum::map([(field, self.random.percent(70).into())]);
        }
        if let Some(result) = &candidate.result
            && self.random.percent(85)
        {
            return result.clone();
        }
        match self.random.below(100) {
            0..60 => "ok".into(),
            60..72 => {
                let (field, value) = *self.random.one(vocabulary::RESULTS);
                let mut map = Datum::map([(field, Datum::parse(value).unwrap_or_default())]);
                if self.random.percent(20) {
                    map.set("more", Datum::parse(r#"[1,{"a":null}]"#).unwrap_or_default());
                    map.set("none", Datum::Null);
                    map.set("odd\u{1}", "a\nb");
                }
                map
            }
            72..78 => Datum::Null,
            78..82 => Datum::map([("is_error", true.into())]),
            82..84 => 5.into(),
            84..86 => Datum::list([1.into()]),
            _ => self.random.word(&["Error: it failed", "FATAL: no", "errors are fine", ""]).into(),
        }
    }

    /// An exit gate asks for an approval that no boundary will.
    fn person_is_wanted(&self, state: &Session) -> bool {
        let definition = self.guard.definition();
        let stage = definition.index(&state.active).and_then(|at| definition.stages.get(at));
        stage.is_some_and(|stage| {
            let wants = |gate: &super::definition::Gate| {
                matches!(&gate.condition, Condition::Approval(id)
                    if state.approval(id.as_deref().unwrap_or(&stage.id)) != "approved")
            };
            stage.exit.iter().any(wants)
        })
    }

    /// A call: most likely one that leads on.
    /// None: on every one of them the two sides differ.
    fn candidate(&mut self, state: &Session) -> Option<Candidate> {
        let definition = self.guard.definition().clone();
        let mut candidates = wanted(&definition, state);
        let helpful = candidates.len();
        for _ in 0..7 {
            candidates.push(self.any());
        }
        let [theirs, ours] = sides(&definition);
        let mut weighted = Vec::new();
        for (index, candidate) in candidates.iter().enumerate() {
            let call = Call::of(&candidate.call);
            let evaluated = theirs.evaluate(&mut state.clone(), &call);
            let same = evaluated == ours.evaluate(&mut state.clone(), &call);
            let weight = match &evaluated {
                _ if !same && !self.random.permille(DIFFERENT) => 0,
                Ok(evaluation) if !evaluation.moves.is_empty() => 12,
                Ok(evaluation) => match evaluation.action {
                    Action::Ask => 10,
                    Action::Allow if index < helpful => 14,
                    Action::Allow => 3,
                    Action::Block => 1,
                },
                Err(_) => 1,
            };
            weighted.push((weight, index));
        }
        if weighted.iter().all(|(weight, _)| *weight == 0) {
            return None;
        }
        let chosen = *self.random.weighted(&weighted);
        Some(candidates.swap_remove(chosen))
    }

    fn any(&mut self) -> Candidate {
        let tool = *self.random.weighted(&[
            (6, "Read"),
            (9, "Bash"),
            (4, "Edit"),
            (3, "Write"),
            (4, "mcp__ci__status"),
            (2, "mcp__db__query"),
            (1, "Other"),
        ]);
        let call = match tool {
            "Bash" if self.random.permille(15) => call(tool, "command", self.random.word(vocabulary::ODD_COMMANDS)),
            "Bash" if self.random.permille(4) => call(tool, "command", &"x".repeat(4096 + self.random.below(2))),
            "Bash" if self.random.permille(10) => call(tool, "cmd", "ls"),
            "Bash" => call(tool, "command", self.random.word(vocabulary::COMMANDS)),
            "Other" => call(tool, "path", "spec.md"),
            _ if tool.starts_with("mcp") => call(tool, "query", "q"),
            _ if self.random.permille(15) => call(tool, "path", "a\u{1}b"),
            _ => call(tool, self.random.word(&["path", "file_path", "filePath"]), self.random.word(vocabulary::FILES)),
        };
        Candidate { call, result: None }
    }
}

fn call(tool: &str, key: &str, value: &str) -> Datum {
    Datum::map([("tool", tool.into()), ("args", Datum::map([(key, value.into())]))])
}

/// The reference, and what differs most often from it.
fn sides(definition: &Definition) -> [Walk<'_>; 2] {
    let theirs = Semantics::default();
    [theirs, Semantics { reconciled_checks: true, ..theirs }].map(|semantics| Walk { definition, semantics })
}

/// Calls that satisfy a gate that does not hold yet.
fn wanted(definition: &Definition, state: &Session) -> Vec<Candidate> {
    let walk = Walk { definition, semantics: Semantics::default() };
    let Some(at) = definition.index(&state.active) else { return Vec::new() };
    let here = definition.stages.get(at).into_iter().flat_map(|stage| stage.exit.iter().map(move |gate| (stage, gate)));
    let next = definition.stages.get(at + 1).into_iter();
    let next = next.flat_map(|stage| stage.entry.iter().map(move |gate| (stage, gate)));
    let mut found = Vec::new();
    for (stage, gate) in here.chain(next) {
        if walk.holds(state, stage, gate).is_ok_and(|(holds, _)| holds) {
            continue;
        }
        match &gate.condition {
            Condition::FileRead(path) => found.push(Candidate { call: call("Read", "file_path", path), result: None }),
            Condition::Command { pattern, must_match: true } => {
                let matching = vocabulary::COMMANDS.iter().filter(|command| pattern.is_match(**command));
                found
                    .extend(matching.map(|command| Candidate { call: call("Bash", "command", command), result: None }));
            }
            Condition::Result { tool, field, value } => {
                let value = Datum::parse(value).unwrap_or_else(|_| value.as_str().into());
                let result = Datum::Map(vec![(field.clone(), value)]);
                found.push(Candidate { call: call(tool, "query", "q"), result: Some(result) });
            }
            _ => {}
        }
    }
    found
}
