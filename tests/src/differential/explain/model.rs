//! A guard whose rules' endings are given: what it answers and logs. With the reference's [`Semantics`] it repeats the
//! reference, with ours it predicts us; where one of the two fails, nothing is explained. A reading of engine.md §7 and §8
//! of its own, only for predictions; nothing of the engine's is used.

use std::collections::BTreeMap;

use super::facts::{CallFacts, Ending, Facts};
use super::policy::{Kind, Policy, Rule};
use super::result;
use crate::differential::case::Case;
use crate::differential::compare::refused;
use crate::differential::datum::Datum;

/// In which points the guard is ours. All false: the reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Semantics {
    /// D-001: a block anywhere outweighs an ask; asks are collected.
    pub block_beats_ask: bool,
    /// D-002: a granted call is also logged as allowed.
    pub allowed_after_ask: bool,
    /// D-003: redact and block act whatever the tool does.
    pub always_acts: bool,
    /// D-004: a redaction that changed nothing leaves nothing.
    pub redacts_all: bool,
    /// D-005: what is suppressed stays so.
    pub stays_suppressed: bool,
    /// D-006: session rules observe.
    pub session_observes: bool,
    /// D-007: proposed session rules have their own limits, and dry runs show proposed rules.
    pub shows_proposed: bool,
    /// D-008: a rule has the mode of its own file.
    pub own_mode: bool,
    /// D-009: a failed tool's output is redacted too.
    pub redacts_failures: bool,
    /// D-026: a call goes by the counters that were read before it was judged.
    pub own_counts: bool,
}

/// The guard.
#[derive(Clone, Debug)]
pub struct Model<'c> {
    /// The case.
    pub case: &'c Case,
    /// Its rules.
    pub policy: &'c Policy,
    /// How they end.
    pub facts: &'c Facts,
    /// Whose guard it is.
    pub semantics: Semantics,
}

#[derive(Clone, Debug, Default)]
struct Counters {
    attempts: i64,
    execs: i64,
    failures: i64,
    tools: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Default)]
struct State {
    sessions: BTreeMap<String, Counters>,
    calls: BTreeMap<String, Open>,
    log: Vec<Datum>,
}

/// An open call.
#[derive(Clone, Debug)]
struct Open {
    step: usize,
    session: String,
    tool: String,
    asked: Option<Judgement>,
    /// As they were when it was judged.
    counters: Counters,
}

#[derive(Clone, Debug)]
enum Verdict {
    Allow,
    Block,
    Ask(i64, bool),
}

#[derive(Clone, Debug)]
struct Judgement {
    verdict: Verdict,
    source: Datum,
    name: Datum,
    reason: Datum,
    records: Vec<Datum>,
    policy_error: bool,
    observed: Vec<(String, String, Datum)>,
    proposed: Vec<(String, &'static str, Ending)>,
    granted: Vec<String>,
}

/// Limits when nothing says otherwise.
const ATTEMPTS: i64 = 500;
const EXECUTIONS: i64 = 200;

#[derive(Clone, Debug)]
struct Limits {
    attempts: i64,
    execs: i64,
    tools: BTreeMap<String, i64>,
}

impl Limits {
    fn narrow(&mut self, rule: &Rule) {
        self.attempts = self.attempts.min(rule.limit("max_attempts").unwrap_or(i64::MAX));
        self.execs = self.execs.min(rule.limit("max_tool_calls").unwrap_or(i64::MAX));
        for (tool, limit) in rule.tool_limits() {
            let there = self.tools.entry(tool.to_owned()).or_insert(limit);
            *there = (*there).min(limit);
        }
    }
}

impl Model<'_> {
    /// The answers to the steps, then the events. None: something it would take is not known.
    #[must_use]
    pub fn run(&self) -> Option<Vec<Datum>> {
        let mut state = State::default();
        let mut answers = Vec::new();
        for (step, request) in self.case.steps.iter().enumerate() {
            answers.push(match request.text("op") {
                "evaluate" => self.evaluate(step)?,
                "begin" => self.begin(&mut state, step, request)?,
                "approve" => self.approve(&mut state, request)?,
                "finish" => self.finish(&mut state, request)?,
                "counters" => Self::counters(&mut state, request),
                _ => return None,
            });
        }
        answers.push(Datum::list(state.log));
        Some(answers)
    }

    fn observes(&self, rule: &Rule) -> bool {
        rule.observes(self.semantics.own_mode)
    }

    /// What enforced session rules leave, and what the options set.
    fn base_limits(&self) -> Limits {
        let option = |name| self.case.opening.settings.at(&["limits", name]);
        let number = |name| option(name).and_then(Datum::as_i64);
        let tools = option("max_calls_per_tool").map_or(&[][..], Datum::entries).iter();
        Limits {
            attempts: number("max_attempts").unwrap_or(ATTEMPTS),
            execs: number("max_tool_calls").unwrap_or(EXECUTIONS),
            tools: tools.filter_map(|(tool, limit)| Some((tool.clone(), limit.as_i64()?))).collect(),
        }
    }

    fn session_acts(&self, rule: &Rule) -> bool {
        !rule.candidate && !(self.semantics.session_observes && self.observes(rule))
    }

    /// A dry run changes only by what the rules' endings are, and by proposed rules.
    fn evaluate(&self, step: usize) -> Option<Datum> {
        let Some(facts) = self.facts.dry_runs.get(&step) else { return Some(refused()) };
        if let Some(reason) = &facts.invalid {
            return Some(Datum::map([
                ("decision", "block".into()),
                ("rules_evaluated", 0.into()),
                ("policy_error", true.into()),
                ("block_reasons", Datum::list([reason.as_str().into()])),
                ("warn_reasons", Vec::new().into()),
                ("rules", Vec::new().into()),
            ]));
        }
        let mut rules = Vec::new();
        let mut blocks = Vec::new();
        let mut warns = Vec::new();
        for kind in [Kind::Pre, Kind::Sandbox, Kind::Post] {
            let endings = if kind == Kind::Post { &facts.after } else { &facts.before };
            for rule in self.policy.rules.iter().filter(|rule| rule.kind == kind) {
                if rule.candidate && !self.semantics.shows_proposed {
                    continue;
                }
                let Some(ending) = endings.get(&rule.id) else { continue };
                let observed = !ending.passed && self.observes(rule);
                if !ending.passed && !observed {
                    let reasons = if kind == Kind::Post { &mut warns } else { &mut blocks };
                    reasons.push(match &ending.message {
                        Datum::Null => Datum::from(""),
                        message => message.clone(),
                    });
                }
                let tags = if ending.passed || kind == Kind::Sandbox { Datum::list([]) } else { rule.tags() };
                let mut result = Datum::map([
                    ("id", rule.id.as_str().into()),
                    ("type", kind.record().into()),
                    ("passed", ending.passed.into()),
                    ("message", ending.message.clone()),
                    ("tags", tags),
                    ("observed", observed.into()),
                    ("policy_error", ending.policy_error().into()),
                ]);
                if kind == Kind::Post {
                    result.set("action", rule.action());
                }
                rules.push(result);
            }
        }
        let decision = if !blocks.is_empty() {
            "block"
        } else if !warns.is_empty() {
            "warn"
        } else {
            "allow"
        };
        Some(Datum::map([
            ("decision", decision.into()),
            ("rules_evaluated", Datum::from(i64::try_from(rules.len()).ok()?)),
            ("policy_error", rules.iter().any(|rule| rule.flag("policy_error")).into()),
            ("block_reasons", blocks.into()),
            ("warn_reasons", warns.into()),
            ("rules", rules.into()),
        ]))
    }

    fn begin(&self, state: &mut State, step: usize, request: &Datum) -> Option<Datum> {
        let Some(facts) = self.facts.calls.get(&step) else { return Some(refused()) };
        let mut open = Open {
            step,
            session: request.text("session_id").to_owned(),
            tool: request.at(&["call", "tool"])?.as_str()?.to_owned(),
            asked: None,
            counters: Counters::default(),
        };
        if let Some((name, reason)) = &facts.invalid {
            return self.not_a_call(state, facts, name, reason);
        }
        let session = state.sessions.entry(open.session.clone()).or_default();
        session.attempts += 1;
        open.counters = session.clone();
        let judgement = self.judge(state, facts, &open, Vec::new())?;
        self.decide(state, facts, open, request.text("call_id"), judgement)
    }

    /// Neither counted nor judged; only an enforcing guard is predicted.
    fn not_a_call(&self, state: &mut State, facts: &CallFacts, name: &str, reason: &str) -> Option<Datum> {
        if self.policy.mode == "observe" {
            return None;
        }
        let event = self.event(facts.event.as_ref()?, "call_blocked").with("policy_error", true);
        let event = event.with("decision_source", "envelope").with("decision_name", name).with("reason", reason);
        state.log.push(event);
        Some(Datum::map([
            ("action", "block".into()),
            ("reason", reason.into()),
            ("decision_source", "envelope".into()),
            ("decision_name", name.into()),
            ("observed", false.into()),
            ("policy_error", true.into()),
            ("rules_evaluated", Vec::new().into()),
        ]))
    }

    /// What a verdict leads to: events, an open call, an answer.
    fn decide(&self, state: &mut State, facts: &CallFacts, mut open: Open, id: &str, judgement: Judgement) -> Option<Datum> {
        let event = facts.event.as_ref()?;
        let counters = state.sessions.get(&open.session)?.clone();
        let observing = self.policy.mode == "observe";
        let mut answer = Datum::map([
            ("action", "allow".into()),
            ("reason", Datum::Null),
            ("decision_source", Datum::Null),
            ("decision_name", Datum::Null),
            ("observed", false.into()),
            ("policy_error", judgement.policy_error.into()),
            ("rules_evaluated", judgement.records.clone().into()),
        ]);
        let mut cause = || {
            answer.set("reason", judgement.reason.clone());
            answer.set("decision_source", judgement.source.clone());
            answer.set("decision_name", judgement.name.clone());
        };
        match judgement.verdict {
            Verdict::Allow => {
                for (source, name, reason) in &judgement.observed {
                    state.log.push(self.observe_event(event, "call_would_block", source, name, reason, judgement.policy_error));
                }
                state.log.push(self.decision_event(event, "call_allowed", &judgement, &counters));
                for (name, source, ending) in &judgement.proposed {
                    let action = if ending.passed { "call_allowed" } else { "call_would_block" };
                    state.log.push(self.observe_event(event, action, source, name, &ending.message, false));
                }
                answer.set("observed", !judgement.observed.is_empty());
                state.calls.insert(id.to_owned(), open);
            }
            Verdict::Block => {
                cause();
                let action = if observing { "call_would_block" } else { "call_blocked" };
                state.log.push(self.decision_event(event, action, &judgement, &counters));
                if observing {
                    answer.set("observed", true);
                    state.calls.insert(id.to_owned(), open);
                } else {
                    answer.set("action", "block");
                }
            }
            Verdict::Ask(timeout, allow) => {
                cause();
                let nobody = self.case.opening.settings.at(&["options", "approvals"]) == Some(&"none".into());
                let action = if nobody { "call_blocked" } else { "call_asked" };
                state.log.push(self.decision_event(event, action, &judgement, &counters));
                if nobody {
                    let reason = judgement.reason.as_str().unwrap_or("");
                    answer.set("reason", format!("Approval required but no approval backend configured: {reason}"));
                    answer.set("action", "block");
                    return Some(answer);
                }
                answer.set("action", "ask");
                answer.set(
                    "approval",
                    Datum::map([
                        ("message", judgement.reason.clone()),
                        ("timeout", timeout.into()),
                        ("timeout_action", if allow { "allow" } else { "block" }.into()),
                        ("stage_id", Datum::Null),
                    ]),
                );
                open.asked = Some(judgement);
                state.calls.insert(id.to_owned(), open);
            }
        }
        Some(answer)
    }

    fn approve(&self, state: &mut State, request: &Datum) -> Option<Datum> {
        let id = request.text("call_id");
        let Some(mut open) = state.calls.get(id).filter(|open| open.asked.is_some()).cloned() else { return Some(refused()) };
        let facts = self.facts.calls.get(&open.step)?;
        let event = facts.event.as_ref()?;
        let asked = open.asked.take()?;
        let Verdict::Ask(_, allow_on_timeout) = asked.verdict else { return None };
        let outcome = request.text("outcome");
        let granted = outcome == "approved" || (outcome == "timed_out" && allow_on_timeout);
        if !self.semantics.own_counts || (granted && self.semantics.block_beats_ask) {
            open.counters = state.sessions.get(&open.session)?.clone();
        }
        let counters = open.counters.clone();
        let action = match outcome {
            "approved" => "call_approval_granted",
            "timed_out" => "call_approval_timeout",
            _ => "call_approval_blocked",
        };
        state.log.push(self.decision_event(event, action, &asked, &counters));
        let mut answer = Datum::map([
            ("action", if granted { "allow" } else { "block" }.into()),
            ("reason", Datum::Null),
            ("decision_source", Datum::Null),
            ("decision_name", Datum::Null),
            ("observed", false.into()),
            ("policy_error", asked.policy_error.into()),
            ("rules_evaluated", asked.records.clone().into()),
        ]);
        if !granted {
            state.calls.remove(id);
            let said = request.some("reason").filter(|reason| outcome != "timed_out" && reason.as_str() != Some(""));
            answer.set("reason", said.unwrap_or(&asked.reason).clone());
            answer.set("decision_source", asked.source);
            answer.set("decision_name", asked.name);
            return Some(answer);
        }
        if self.semantics.block_beats_ask {
            state.calls.remove(id);
            let judgement = self.judge(state, facts, &open, asked.granted)?;
            if self.semantics.allowed_after_ask || !matches!(judgement.verdict, Verdict::Allow) {
                return self.decide(state, facts, open, id, judgement);
            }
            state.calls.insert(id.to_owned(), open);
            return Some(answer);
        }
        if self.semantics.allowed_after_ask {
            let mut allowed = Judgement { source: Datum::Null, name: Datum::Null, reason: Datum::Null, ..asked };
            if self.case.opening.compat() {
                // The decision after the ask is one of its own; nothing was looked at for it.
                allowed.records.clear();
                allowed.policy_error = false;
                answer.set("rules_evaluated", Vec::new());
                answer.set("policy_error", false);
            }
            state.log.push(self.decision_event(event, "call_allowed", &allowed, &counters));
        }
        state.calls.insert(id.to_owned(), open);
        Some(answer)
    }

    fn finish(&self, state: &mut State, request: &Datum) -> Option<Datum> {
        let id = request.text("call_id");
        let Some(open) = state.calls.get(id).filter(|open| open.asked.is_none()).cloned() else { return Some(refused()) };
        state.calls.remove(id);
        let facts = self.facts.calls.get(&open.step)?;
        let event = facts.event.as_ref()?;
        let output = request.get("result")?;
        let success = match request.some("success") {
            Some(Datum::Bool(success)) => *success,
            _ => result::succeeded(output),
        };
        let session = state.sessions.entry(open.session.clone()).or_default();
        session.execs += 1;
        *session.tools.entry(open.tool.clone()).or_default() += 1;
        if !success {
            session.failures += 1;
        } else if !self.semantics.own_counts || open.counters.failures > 0 {
            session.failures = 0;
        }
        let counters = session.clone();
        let attempts = if self.semantics.own_counts { open.counters.attempts } else { counters.attempts };
        let checked = result::check(self, facts.after.as_ref()?, event.text("side_effect"), output, success)?;
        let mut post = self.event(event, if success { "call_executed" } else { "call_failed" });
        post.set("tool_success", success);
        post.set("postconditions_passed", checked.answer.get("postconditions_passed").cloned().unwrap_or_default());
        post.set("rules_evaluated", checked.answer.get("rules_evaluated").cloned().unwrap_or_default());
        post.set("session_attempt_count", attempts);
        post.set("session_execution_count", counters.execs);
        post.set("policy_error", checked.policy_error);
        state.log.push(post);
        Some(checked.answer)
    }

    fn counters(state: &mut State, request: &Datum) -> Datum {
        let session = state.sessions.entry(request.text("session_id").to_owned()).or_default();
        for (name, value) in request.some("set").map_or(&[][..], Datum::entries) {
            let value = value.as_i64().unwrap_or(0);
            match name.as_str() {
                "attempts" => session.attempts = value,
                "execs" => session.execs = value,
                "consec_fail" => session.failures = value,
                tool => drop(session.tools.insert(tool.trim_start_matches("tool:").to_owned(), value)),
            }
        }
        let tools = session.tools.iter().filter(|(_, count)| **count != 0);
        Datum::map([
            ("attempts", session.attempts.into()),
            ("execs", session.execs.into()),
            ("consec_fail", session.failures.into()),
            ("tools", Datum::Map(tools.map(|(tool, count)| (tool.clone(), (*count).into())).collect())),
        ])
    }

    /// An event of the call, with nothing in it but who and what.
    fn event(&self, event: &Datum, action: &str) -> Datum {
        let mut event = event.clone();
        for name in ["decision_source", "decision_name", "reason", "workflow", "tool_success", "postconditions_passed", "error"] {
            event.set(name, Datum::Null);
        }
        event.set("hooks_evaluated", Vec::new());
        event.set("rules_evaluated", Vec::new());
        event.set("session_attempt_count", 0);
        event.set("session_execution_count", 0);
        event.set("mode", self.policy.mode.as_str());
        event.set("policy_error", false);
        event.set("action", action);
        event
    }

    fn observe_event(&self, event: &Datum, action: &str, source: &str, name: &str, reason: &Datum, error: bool) -> Datum {
        let event = self.event(event, action).with("mode", "observe").with("policy_error", error);
        event.with("decision_source", source).with("decision_name", name).with("reason", reason.clone())
    }

    fn decision_event(&self, event: &Datum, action: &str, judgement: &Judgement, counters: &Counters) -> Datum {
        let event = self.event(event, action).with("policy_error", judgement.policy_error);
        let event = event.with("decision_source", judgement.source.clone()).with("decision_name", judgement.name.clone());
        let event = event.with("reason", judgement.reason.clone()).with("rules_evaluated", judgement.records.clone());
        event.with("session_attempt_count", counters.attempts).with("session_execution_count", counters.execs)
    }

    /// Engine.md §8.1.
    fn judge(&self, state: &State, facts: &CallFacts, open: &Open, granted: Vec<String>) -> Option<Judgement> {
        let counters = state.sessions.get(&open.session)?;
        let mut judgement = Judgement {
            verdict: Verdict::Allow,
            source: Datum::Null,
            name: Datum::Null,
            reason: Datum::Null,
            records: Vec::new(),
            policy_error: false,
            observed: Vec::new(),
            proposed: Vec::new(),
            granted,
        };
        let mut limits = self.base_limits();
        let acting = || self.policy.of_kind(Kind::Session, false).filter(|rule| self.session_acts(rule));
        let checks: Vec<(&Rule, Limits)> = acting().map(|rule| { limits.narrow(rule); (rule, limits.clone()) }).collect();
        if counters.attempts >= limits.attempts {
            let reason = format!("Attempt limit reached ({}). Agent may be stuck in a retry loop. Stop and reassess.", limits.attempts);
            return Some(judgement.blocked("attempt_limit", "max_attempts".to_owned(), reason.into()));
        }
        let mut asks: Vec<(&Rule, Datum)> = Vec::new();
        for kind in [Kind::Pre, Kind::Sandbox] {
            for rule in self.policy.of_kind(kind, false) {
                let Some(ending) = facts.before.get(&rule.id) else { continue };
                let observed = !ending.passed && self.observes(rule);
                judgement.record(rule, ending, observed);
                if ending.passed {
                    continue;
                }
                if observed {
                    judgement.observed.push(("precondition".to_owned(), rule.id.clone(), ending.message.clone()));
                } else if rule.action() != "ask" {
                    return Some(judgement.blocked(kind.source(), rule.id.clone(), ending.message.clone()));
                } else if !judgement.granted.contains(&rule.id) {
                    asks.push((rule, ending.message.clone()));
                    if !self.semantics.block_beats_ask {
                        return judgement.asked(&asks);
                    }
                }
                if facts.stopped_at.as_ref() == Some(&rule.id) {
                    return None;
                }
            }
        }
        if facts.stopped_at.is_some() {
            return None;
        }
        for rule in self.policy.of_kind(Kind::Session, false) {
            let acts = checks.iter().find(|(check, _)| check.id == rule.id);
            let broken = match acts {
                Some((_, limits)) => counters.execs >= limits.execs || counters.attempts >= limits.attempts,
                None => self.own_limits_broken(rule, counters, &open.tool, &limits),
            };
            let ending = session_ending(rule, broken);
            judgement.record(rule, &ending, broken && acts.is_none());
            if broken && acts.is_some() {
                return Some(judgement.blocked(Kind::Session.source(), rule.id.clone(), ending.message));
            }
            if broken {
                judgement.observed.push((Kind::Session.source().to_owned(), rule.id.clone(), ending.message));
            }
        }
        if counters.execs >= limits.execs {
            let reason = format!("Execution limit reached ({} calls). Summarize progress and stop.", limits.execs);
            return Some(judgement.limited("max_tool_calls".to_owned(), reason));
        }
        let count = counters.tools.get(&open.tool).copied().unwrap_or(0);
        if let Some(limit) = limits.tools.get(&open.tool).filter(|limit| count >= **limit) {
            let reason = format!("Per-tool limit: {} called {count} times (limit: {limit}).", open.tool);
            return Some(judgement.limited(format!("max_calls_per_tool:{}", open.tool), reason));
        }
        if !asks.is_empty() {
            return judgement.asked(&asks);
        }
        if !facts.proposed && self.policy.rules.iter().any(|rule| rule.candidate) {
            return None;
        }
        for kind in [Kind::Pre, Kind::Sandbox] {
            for rule in self.policy.of_kind(kind, true) {
                if let Some(ending) = facts.before.get(&rule.id) {
                    judgement.proposed.push((rule.id.clone(), kind.source(), ending.clone()));
                }
            }
        }
        for rule in self.policy.of_kind(Kind::Session, true) {
            let broken = self.semantics.shows_proposed && self.own_limits_broken(rule, counters, &open.tool, &limits);
            judgement.proposed.push((rule.id.clone(), Kind::Session.source(), session_ending(rule, broken)));
        }
        Some(judgement)
    }

    /// A rule that only observes, or is proposed, against what it says itself.
    fn own_limits_broken(&self, rule: &Rule, counters: &Counters, tool: &str, _: &Limits) -> bool {
        rule.limit("max_tool_calls").is_some_and(|limit| counters.execs >= limit)
            || rule.limit("max_attempts").is_some_and(|limit| counters.attempts >= limit)
            || rule.tool_limits().iter().any(|(name, limit)| {
                *name == tool && counters.tools.get(tool).copied().unwrap_or(0) >= *limit
            })
    }
}

/// Messages of session rules are never expanded.
fn session_ending(rule: &Rule, broken: bool) -> Ending {
    if broken {
        Ending { passed: false, message: rule.message().into(), metadata: rule.record_metadata(false) }
    } else {
        Ending::passed()
    }
}

/// A record of a rule.
#[must_use]
pub fn record(rule: &Rule, ending: &Ending, observed: bool) -> Datum {
    Datum::map([
        ("name", rule.id.as_str().into()),
        ("type", rule.kind.record().into()),
        ("passed", ending.passed.into()),
        ("message", ending.message.clone()),
        ("metadata", ending.metadata.clone()),
        ("observed", observed.into()),
    ])
}

impl Judgement {
    fn record(&mut self, rule: &Rule, ending: &Ending, observed: bool) {
        self.policy_error |= ending.policy_error();
        self.records.push(record(rule, ending, observed));
    }

    fn blocked(mut self, source: &str, name: String, reason: Datum) -> Self {
        self.verdict = Verdict::Block;
        self.source = source.into();
        self.name = name.into();
        self.reason = reason;
        self
    }

    /// Limits are no rules: they never are policy errors.
    fn limited(self, name: String, reason: String) -> Self {
        Self { policy_error: false, ..self.blocked("operation_limit", name, reason.into()) }
    }

    /// One question for all: the first one's words, the shortest time, a yes on timeout only of all.
    fn asked(mut self, asks: &[(&Rule, Datum)]) -> Option<Self> {
        let (first, message) = asks.first()?;
        let timeout = asks.iter().map(|(rule, _)| rule.timeout()).min()?;
        self.verdict = Verdict::Ask(timeout, asks.iter().all(|(rule, _)| rule.allows_on_timeout()));
        self.source = first.kind.source().into();
        self.name = first.id.as_str().into();
        self.reason = message.clone();
        self.granted.extend(asks.iter().map(|(rule, _)| rule.id.clone()));
        Some(self)
    }
}
