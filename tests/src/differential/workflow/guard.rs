//! The model of a guard with a workflow: plays the steps of a case and says what is answered and logged. Rules are few and
//! simple (engine.md §8 is proven elsewhere): texts in arguments, and limits.

use std::collections::BTreeMap;

use super::compare;
use super::definition::Definition;
use super::session::Session;
use super::walk::{Action, Call, Evaluation, Trouble, Walk};
use crate::differential::case::Case;
use crate::differential::compare::refused;
use crate::differential::datum::Datum;

/// Where we differ from the reference on purpose; all false: the reference itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a divergence of its own")]
pub struct Semantics {
    /// Failing checks as in engine.md §13.5.
    pub reconciled_checks: bool,
    /// Results that are maps are evidence.
    pub records_results: bool,
    /// Values in results are compared as JSON text.
    pub json_texts: bool,
    /// A stored state without an active stage that exists is not loaded.
    pub needs_active_stage: bool,
    /// Of a stored state only known stages and granted approvals count.
    pub keeps_only_known: bool,
    /// A call that only runs because the guard observes leaves no evidence.
    pub blocked_leave_nothing: bool,
    /// The log shows the workflow as it is after the tool ran.
    pub fresh_snapshots: bool,
    /// A rule that only observes does not make a workflow's block a policy error.
    pub only_own_errors: bool,
    /// What went wrong stays out of the reason.
    pub plain_errors: bool,
    /// A gate without a message says which condition does not hold.
    pub names_conditions: bool,
    /// A limit that is reached blocks also where a stage asks.
    pub limits_beat_stages: bool,
    /// `version:` with nothing behind it is no version.
    pub null_is_absent: bool,
    /// In conditions only backslashes and quotes are escaped.
    pub plain_escapes: bool,
}

/// A rule: blocks a call with a text in an argument.
#[derive(Clone, Debug)]
struct Rule {
    id: String,
    tool: String,
    key: String,
    text: String,
    message: String,
    observes: bool,
}

/// What was decided.
#[derive(Clone, Debug)]
struct Decision {
    action: Action,
    reason: Datum,
    source: Datum,
    name: Datum,
    records: Vec<Datum>,
    observed: bool,
    policy_error: bool,
    workflow: Datum,
    stage: String,
    moves: Vec<Datum>,
}

#[derive(Clone, Debug)]
struct Open {
    session: String,
    call: Call,
    request: Datum,
    decision: Decision,
    asked: bool,
}

#[derive(Clone, Debug, Default)]
struct Counters {
    attempts: i64,
    execs: i64,
    tools: BTreeMap<String, i64>,
}

/// A guard.
#[derive(Clone, Debug)]
pub struct Guard {
    definition: Definition,
    semantics: Semantics,
    rules: Vec<Rule>,
    observes: bool,
    results: bool,
    fresh: bool,
    limits: Datum,
    sessions: BTreeMap<String, Result<Session, Trouble>>,
    counters: BTreeMap<String, Counters>,
    calls: BTreeMap<String, Open>,
    events: Vec<Datum>,
}

/// All answers to a case; none when the model does not know something in it.
#[must_use]
pub fn answers(case: &Case, semantics: Semantics) -> Option<Vec<Datum>> {
    let mut guard = Guard::open(case, semantics)?;
    let mut answers = vec![compare::opened()];
    for step in &case.steps {
        answers.push(guard.step(step).unwrap_or_else(refused));
    }
    answers.push(Datum::List(std::mem::take(&mut guard.events)));
    Some(answers)
}

impl Guard {
    /// The guard of a case.
    #[must_use]
    pub fn open(case: &Case, semantics: Semantics) -> Option<Self> {
        let opening = &case.opening;
        let content = &opening.documents.first()?.content;
        let settings = &opening.settings;
        let mode = settings.some("mode").or_else(|| content.at(&["defaults", "mode"]));
        let rules = content.list_of("rules").iter().map(Rule::of);
        Some(Self {
            definition: Definition::of(&opening.workflow.as_ref()?.content, semantics)?,
            semantics,
            rules: rules.collect::<Option<_>>()?,
            observes: mode.and_then(Datum::as_str) == Some("observe"),
            results: settings.flag("results_are_evidence") || semantics.records_results,
            fresh: settings.flag("snapshots_are_fresh") || semantics.fresh_snapshots,
            limits: settings.get("limits").cloned().unwrap_or_default(),
            sessions: BTreeMap::new(),
            counters: BTreeMap::new(),
            calls: BTreeMap::new(),
            events: Vec::new(),
        })
    }

    /// The workflow.
    #[must_use]
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// Where a session stands; none: its stored state cannot be used.
    #[must_use]
    pub fn session(&self, id: &str) -> Option<Session> {
        self.stored(id).ok()
    }

    fn stored(&self, id: &str) -> Result<Session, Trouble> {
        self.sessions.get(id).cloned().unwrap_or_else(|| Ok(Session::new(&self.definition, id)))
    }

    /// Answers a request; none: it is refused.
    pub fn step(&mut self, step: &Datum) -> Option<Datum> {
        match step.text("op") {
            "begin" => Some(self.begin(step)),
            "approve" => self.approve(step),
            "finish" => self.finish(step),
            "workflow" => self.operate(step),
            _ => None,
        }
    }

    fn walk(&self) -> Walk<'_> {
        Walk { definition: &self.definition, semantics: self.semantics }
    }

    fn begin(&mut self, request: &Datum) -> Datum {
        let id = request.text("session_id").to_owned();
        let call = Call::of(request.get("call").unwrap_or(&Datum::Null));
        self.counters.entry(id.clone()).or_default().attempts += 1;
        let decision = self.decide(&id, &call, request);
        let open = Open { session: id, call, request: request.clone(), decision, asked: false };
        self.log_moves(&open);
        self.proceed(open)
    }

    /// Answers, asks, or lets run.
    fn proceed(&mut self, mut open: Open) -> Datum {
        let decision = open.decision.clone();
        let call_id = open.request.text("call_id").to_owned();
        let mut answer = decision.answer();
        match decision.action {
            Action::Ask => {
                self.log(&open, "call_asked", true);
                open.asked = true;
                answer.set("approval", decision.approval());
                self.calls.insert(call_id, open);
            }
            Action::Block if self.observes => {
                self.log(&open, "call_would_block", true);
                answer.set("action", "allow");
                answer.set("observed", true);
                open.asked = false;
                self.calls.insert(call_id, open);
            }
            Action::Block => {
                self.log(&open, "call_blocked", true);
                self.calls.remove(&call_id);
            }
            Action::Allow => {
                for record in decision.records.iter().filter(|record| record.flag("observed")) {
                    self.log_observed(&open, record);
                }
                self.log(&open, "call_allowed", true);
                open.asked = false;
                self.calls.insert(call_id, open);
            }
        }
        answer
    }

    fn decide(&mut self, id: &str, call: &Call, request: &Datum) -> Decision {
        let counters = self.counters.entry(id.to_owned()).or_default().clone();
        let limit = |name: &str| self.limits.get(name).and_then(Datum::as_i64);
        let mut decision = Decision::allow();
        if let Some(most) = limit("max_attempts").filter(|most| counters.attempts >= *most) {
            let reason =
                format!("Attempt limit reached ({most}). Agent may be stuck in a retry loop. Stop and reassess.");
            return decision.block(reason, "attempt_limit", "max_attempts");
        }
        let args = request.at(&["call", "args"]).cloned().unwrap_or_default();
        for rule in self.rules.iter().filter(|rule| rule.tool == "*" || rule.tool == call.tool) {
            let fires = args.text(&rule.key).contains(&rule.text);
            decision.records.push(rule.record(fires));
            if fires && rule.observes {
                decision.observed = true;
            } else if fires {
                decision.observed = false;
                return decision.block(rule.message.clone(), "yaml_precondition", &rule.id);
            }
        }
        let observed = std::mem::take(&mut decision.observed);
        let evaluated = self.stored(id).and_then(|mut session| {
            let evaluated = self.walk().evaluate(&mut session, call);
            evaluated.map(|evaluation| (session, evaluation))
        });
        let (session, evaluation) = match evaluated {
            Ok(evaluated) => evaluated,
            Err(trouble) => return decision.failed(&trouble, self.semantics),
        };
        let Evaluation { action, reason, stage, records, moves } = evaluation;
        decision.workflow = session.snapshot(&self.definition);
        decision.moves = moves.iter().map(|(from, to)| self.moved(&decision.workflow, from, to)).collect();
        self.sessions.insert(id.to_owned(), Ok(session));
        if !records.is_empty() {
            decision.stage.clone_from(&stage);
        }
        decision.records.extend(records);
        let asks = action == Action::Ask;
        if action == Action::Block || (asks && !self.semantics.limits_beat_stages) {
            decision.policy_error = !asks && observed && !self.semantics.only_own_errors;
            let mut decision = decision.block(reason, "workflow", &stage);
            decision.action = action;
            return decision;
        }
        if let Some(most) = limit("max_tool_calls").filter(|most| counters.execs >= *most) {
            let reason = format!("Execution limit reached ({most} calls). Summarize progress and stop.");
            return decision.block(reason, "operation_limit", "max_tool_calls");
        }
        let per_tool = self.limits.at(&["max_calls_per_tool", &call.tool]).and_then(Datum::as_i64);
        let count = counters.tools.get(&call.tool).copied().unwrap_or(0);
        if let Some(most) = per_tool.filter(|most| count >= *most) {
            let tool = &call.tool;
            let reason = format!("Per-tool limit: {tool} called {count} times (limit: {most}).");
            return decision.block(reason, "operation_limit", &format!("max_calls_per_tool:{tool}"));
        }
        if asks {
            let mut decision = decision.block(reason, "workflow", &stage);
            decision.action = action;
            return decision;
        }
        decision.observed = observed;
        decision
    }

    fn approve(&mut self, request: &Datum) -> Option<Datum> {
        let id = request.text("call_id");
        if !self.calls.get(id).is_some_and(|open| open.asked) {
            return None;
        }
        let mut open = self.calls.remove(id)?;
        let outcome = request.text("outcome");
        let action = match outcome {
            "approved" => "call_approval_granted",
            "rejected" => "call_approval_blocked",
            _ => "call_approval_timeout",
        };
        self.log(&open, action, true);
        if outcome != "approved" {
            let mut answer = open.decision.answer();
            answer.set("action", "block");
            if let Some(reason) = request.some("reason") {
                answer.set("reason", reason.clone());
            }
            return Some(answer);
        }
        if let Some(mut session) = self.session(&open.session) {
            session.approve(&self.definition, &open.decision.stage);
            self.sessions.insert(open.session.clone(), Ok(session));
        }
        let begun = open.request.clone();
        open.decision = self.decide(&open.session, &open.call, &begun);
        self.log_moves(&open);
        Some(self.proceed(open))
    }

    fn finish(&mut self, request: &Datum) -> Option<Datum> {
        let id = request.text("call_id");
        if self.calls.get(id).is_none_or(|open| open.asked) {
            return None;
        }
        let mut open = self.calls.remove(id)?;
        let result = request.get("result")?;
        let success = request.some("success").map_or_else(|| succeeded(result), |flag| *flag == Datum::Bool(true));
        let blocked = open.decision.action == Action::Block;
        let (mut completed, mut fresh, mut trouble) = (None, None, false);
        if success && !open.decision.stage.is_empty() && !(blocked && self.semantics.blocked_leave_nothing) {
            let mut session = self.session(&open.session)?;
            let stage = open.decision.stage.clone();
            fresh = Some(session.snapshot(&self.definition)).filter(|_| self.fresh);
            let ended = if session.record(&stage, &open.call, Some(result).filter(|_| self.results)) {
                match self.walk().completes(&mut session, &stage) {
                    Ok(ended) => Some(ended),
                    // The reference raises, after the tool ran.
                    Err(_) if !self.semantics.plain_errors => return None,
                    // The evidence is there all the same.
                    Err(_) => {
                        trouble = true;
                        Some(false)
                    }
                }
            } else {
                None
            };
            if let Some(ended) = ended {
                completed = ended.then(|| self.moved(&session.snapshot(&self.definition), &stage, ""));
                self.sessions.insert(open.session.clone(), Ok(session.clone()));
                fresh = Some(session.snapshot(&self.definition)).filter(|_| self.fresh);
            }
        }
        open.decision.workflow = fresh.unwrap_or(open.decision.workflow);
        let counters = self.counters.entry(open.session.clone()).or_default();
        counters.execs += 1;
        *counters.tools.entry(open.call.tool.clone()).or_default() += 1;
        let mut event = self.event(&open, if success { "call_executed" } else { "call_failed" }, false);
        event.set("workflow", open.decision.workflow.clone());
        event.set("tool_success", success);
        event.set("policy_error", trouble);
        self.events.push(event);
        if let Some(completed) = completed {
            self.log_move(&open, &completed);
        }
        Some(Datum::map([("success", success.into())]))
    }

    fn operate(&mut self, request: &Datum) -> Option<Datum> {
        let id = request.text("session_id").to_owned();
        let stage = request.text("stage_id");
        if request.text("do") == "load" {
            let state = request.get("state")?;
            let read = Session::read(&self.definition, &id, state, self.semantics);
            let text = read.as_ref().ok().map(|session| compare::state(&session.text()));
            if read.is_ok() || !self.semantics.needs_active_stage {
                self.sessions.insert(id, read);
            }
            return text;
        }
        let mut session = self.session(&id)?;
        let (done, updated) = match request.text("do") {
            "state" => (true, false),
            "reset" => (session.reset(&self.definition, stage), true),
            "set_stage" => (session.set_stage(&self.definition, stage), true),
            "approve" => (session.approve(&self.definition, stage), false),
            _ => (false, false),
        };
        if !done {
            return None;
        }
        if updated {
            let mut event = compare::empty_event("workflow_state_updated", &id, self.mode());
            event.set("workflow", session.snapshot(&self.definition));
            self.events.push(event);
        }
        let text = session.text();
        if request.text("do") != "state" {
            self.sessions.insert(id, Ok(session));
        }
        Some(compare::state(&text))
    }

    fn mode(&self) -> &'static str {
        if self.observes { "observe" } else { "enforce" }
    }

    fn moved(&self, snapshot: &Datum, from: &str, to: &str) -> Datum {
        let mut workflow = snapshot.clone().with("workflow_name", self.definition.name.as_str()).with("stage_id", from);
        if !to.is_empty() {
            workflow.set("to_stage_id", to);
        }
        workflow
    }

    fn event(&self, open: &Open, action: &str, decided: bool) -> Datum {
        let mut event = compare::empty_event(action, &open.session, self.mode());
        event.set("tool_name", open.call.tool.as_str());
        event.set("call_id", open.request.text("call_id"));
        if let Some(parent) = open.request.some("parent_session_id") {
            event.set("parent_session_id", parent.clone());
        }
        if decided {
            let decision = &open.decision;
            event.set("reason", decision.reason.clone());
            event.set("decision_source", decision.source.clone());
            event.set("decision_name", decision.name.clone());
            event.set("policy_error", decision.policy_error);
            event.set("workflow", decision.workflow.clone());
            event.set("rules_evaluated", decision.records.clone());
        }
        event
    }

    fn log(&mut self, open: &Open, action: &str, decided: bool) {
        let event = self.event(open, action, decided);
        self.events.push(event);
    }

    fn log_moves(&mut self, open: &Open) {
        for moved in &open.decision.moves {
            self.log_move(open, moved);
        }
    }

    fn log_move(&mut self, open: &Open, moved: &Datum) {
        let action = if moved.get("to_stage_id").is_some() { "workflow_stage_advanced" } else { "workflow_completed" };
        let event = self.event(open, action, false).with("workflow", moved.clone());
        self.events.push(event);
    }

    fn log_observed(&mut self, open: &Open, record: &Datum) {
        let mut event = self.event(open, "call_would_block", false);
        event.set("mode", "observe");
        event.set("decision_source", "precondition");
        event.set("decision_name", record.text("name"));
        event.set("reason", record.text("message"));
        self.events.push(event);
    }
}

impl Decision {
    fn allow() -> Self {
        Self {
            action: Action::Allow,
            reason: Datum::Null,
            source: Datum::Null,
            name: Datum::Null,
            records: Vec::new(),
            observed: false,
            policy_error: false,
            workflow: Datum::Null,
            stage: String::new(),
            moves: Vec::new(),
        }
    }

    fn block(mut self, reason: String, source: &str, name: &str) -> Self {
        self.action = Action::Block;
        // A gate without a message says nothing, which the log writes as null.
        self.reason = if reason.is_empty() { Datum::Null } else { reason.into() };
        self.source = source.into();
        self.name = name.into();
        self
    }

    /// The workflow could not be walked.
    fn failed(mut self, trouble: &Trouble, semantics: Semantics) -> Self {
        let error = match trouble {
            Trouble::NoProgram(command) if semantics.plain_errors => {
                format!("workflow: `{command}`{}", compare::NOT_RUN)
            }
            Trouble::NoProgram(command) => format!("[Errno 2] No such file or directory: '{command}'"),
            Trouble::NoStage(stage) => format!("workflow: persisted active stage \"{stage}\" does not exist"),
        };
        let reason = format!("Workflow evaluation error: {error}");
        self.records.push(Datum::map([
            ("name", "workflow:error".into()),
            ("type", "workflow_gate".into()),
            ("passed", false.into()),
            ("message", reason.as_str().into()),
            ("metadata", Datum::map([("policy_error", true.into())])),
            ("observed", false.into()),
        ]));
        self.policy_error = true;
        self.block(reason, "workflow", "workflow_error")
    }

    fn answer(&self) -> Datum {
        let action = match self.action {
            Action::Allow => "allow",
            Action::Block => "block",
            Action::Ask => "ask",
        };
        Datum::map([
            ("action", action.into()),
            ("reason", self.reason.clone()),
            ("decision_source", self.source.clone()),
            ("decision_name", self.name.clone()),
            ("observed", self.observed.into()),
            ("policy_error", self.policy_error.into()),
            ("rules_evaluated", self.records.clone().into()),
            ("workflow", self.workflow.clone()),
        ])
    }

    fn approval(&self) -> Datum {
        Datum::map([
            ("message", self.reason.clone()),
            ("timeout", 300.into()),
            ("timeout_action", "block".into()),
            ("stage_id", self.stage.as_str().into()),
        ])
    }
}

impl Rule {
    fn of(rule: &Datum) -> Option<Self> {
        let (selector, operator) = rule.get("when")?.entries().first()?;
        Some(Self {
            id: rule.text("id").to_owned(),
            tool: rule.text("tool").to_owned(),
            key: selector.strip_prefix("args.")?.to_owned(),
            text: operator.get("contains")?.as_str()?.to_owned(),
            message: rule.at(&["then", "message"])?.as_str()?.to_owned(),
            observes: rule.text("mode") == "observe",
        })
    }

    fn record(&self, fires: bool) -> Datum {
        let tags = if fires { Datum::map([("tags", Datum::List(Vec::new()))]) } else { Datum::map([]) };
        Datum::map([
            ("name", self.id.as_str().into()),
            ("type", "precondition".into()),
            ("passed", (!fires).into()),
            ("message", if fires { self.message.as_str().into() } else { Datum::Null }),
            ("metadata", tags),
            ("observed", (fires && self.observes).into()),
        ])
    }
}

/// The success heuristic (engine.md §8.4), for the results that cases have.
fn succeeded(result: &Datum) -> bool {
    match result {
        Datum::String(text) => {
            let start = text.to_lowercase();
            !start.starts_with("error:") && !start.starts_with("fatal:")
        }
        result => !result.flag("is_error"),
    }
}
