//! The verdict about a call whose facts are known: attempt limit, hooks, preconditions, sandboxes, session rules,
//! workflow, execution limits, proposed rules. The first block ends it; asks are collected, because nobody is asked
//! about a call that another rule blocks (engine.md §8.1).

use super::ask::Known;
use super::gates::{self, Gated};
use super::ticket::{Facts, HookFact, Ticket};
use crate::call::{Subject, sensitive};
use crate::documents::ruleset::{Approval, Mode, PreAction, TimeoutAction};
use crate::inquiry::Action;
use crate::json::write::{Items, Object};
use crate::options::Detail;
use crate::program::{Body, Phase, Rule};
use crate::record::rules::{Failed, Records};
use crate::rules::Rules;
use crate::sandbox::{Touched, Verdict as SandboxVerdict};
use crate::session::counters::Counters;
use crate::workflow::gate::{self, Stuck};

/// Longest reason of a rule or hook, in code points.
pub const MAX_MESSAGE: usize = 500;

/// What comes of a call, and what was looked at on the way.
#[derive(Debug)]
pub struct Judgement {
    /// What comes of it.
    pub verdict: Verdict,
    /// Rules that were looked at.
    pub records: Records,
    /// Hooks that were asked: a JSON list.
    pub hooks: String,
    /// Rules that would have had an effect if they did more than observe.
    pub observed: Vec<Observed>,
    /// Proposed rules; only when the call is allowed.
    pub candidates: Vec<Candidate>,
    /// What the workflow said, when it was its turn.
    pub gated: Option<Gated>,
    /// What people who run the guard should know; see [`super::gates::UNVERSIONED`].
    pub notices: &'static [gates::Notice],
    /// The verdict comes from a broken evaluation.
    pub policy_error: bool,
    /// In the words of whoever failed; for operators, not for the agent.
    pub error_detail: Option<String>,
}

/// What comes of a call.
#[derive(Debug)]
pub enum Verdict {
    /// It may run.
    Allow,
    /// It must not.
    Block(Cause),
    /// Persons must be asked; never empty.
    Ask(Vec<AskRule>),
    /// It cannot be told before the workflow knows how a command ends.
    Command(Box<gate::Asked>),
}

/// Who blocks, and what the agent is told.
#[derive(Clone, Debug)]
pub struct Cause {
    /// `decision_source`
    pub source: String,
    /// `decision_name`
    pub name: String,
    /// For the agent.
    pub reason: String,
}

/// A rule that asks.
#[derive(Clone, Debug)]
pub struct AskRule {
    /// Who asks, and what about.
    pub cause: Cause,
    /// How long, and what then.
    pub approval: Approval,
    /// The stage of a workflow that asks; none: a rule does.
    pub stage: Option<String>,
}

/// A rule that only observes and did not hold.
#[derive(Debug)]
pub struct Observed {
    /// The reference calls them all `precondition`.
    pub source: &'static str,
    /// Its id.
    pub name: String,
    /// Its message.
    pub reason: String,
}

/// A proposed rule.
#[derive(Debug)]
pub struct Candidate {
    /// Its id.
    pub name: String,
    /// `precondition`, `sandbox` or `session_contract`.
    pub kind: &'static str,
    /// `yaml_precondition`, `yaml_sandbox` or `yaml_session`.
    pub source: &'static str,
    /// Its message when it did not hold.
    pub message: Option<String>,
}

/// Judges. `ticket` has what is known, and what a person has agreed to.
#[must_use]
pub fn judge(
    rules: &Rules,
    subject: &Subject<'_>,
    ticket: &Ticket,
    known: &Known,
    touched: Option<&Touched<'_>>,
) -> Judgement {
    let mut bench = Bench { rules, subject, ticket, asks: Vec::new(), judgement: Judgement::allowed(rules) };
    let counters = ticket.facts.counters.unwrap_or_default();
    let verdict = bench.verdict(&ticket.facts, known, touched, &counters);
    let mut judgement = bench.judgement;
    judgement.verdict = verdict;
    judgement
}

struct Bench<'b> {
    rules: &'b Rules,
    subject: &'b Subject<'b>,
    ticket: &'b Ticket,
    asks: Vec<AskRule>,
    judgement: Judgement,
}

impl Bench<'_> {
    fn verdict(&mut self, facts: &Facts, known: &Known, touched: Option<&Touched<'_>>, counters: &Counters) -> Verdict {
        if let Some(trouble) = &facts.failed {
            self.judgement.policy_error = true;
            self.judgement.error_detail = Some(trouble.detail.clone());
            let reason = super::fault::reason(&trouble.name);
            return Verdict::Block(Cause { source: trouble.source.clone(), name: trouble.name.clone(), reason });
        }
        let tool = self.subject.call.tool;
        if let Some(limit) = self.rules.limits.attempts_reached(counters) {
            return limit_block(limit);
        }
        if let Some(block) = self.hooks(facts.hooks.as_deref().unwrap_or_default()) {
            return Verdict::Block(block);
        }
        let judged = self
            .preconditions(facts.operators.as_deref().unwrap_or_default())
            .or_else(|| self.sandboxes(known, touched))
            .or_else(|| self.session(counters));
        self.judgement.policy_error = self.judgement.records.policy_error();
        if let Some(verdict) = judged {
            return verdict;
        }
        if let Some(verdict) = self.workflow() {
            return verdict;
        }
        if let Some(limit) = self.rules.limits.executions_reached(tool, counters) {
            self.judgement.policy_error = false;
            return limit_block(limit);
        }
        if !self.asks.is_empty() {
            return Verdict::Ask(std::mem::take(&mut self.asks));
        }
        self.candidates(facts, known, touched, counters);
        Verdict::Allow
    }

    /// Records hooks up to the first that refuses.
    fn hooks(&mut self, hooks: &[(String, HookFact)]) -> Option<Cause> {
        let mut block = None;
        let mut list = String::new();
        Items::write(&mut list, |items| {
            for (name, fact) in hooks {
                let reason = match fact {
                    HookFact::Skip => continue,
                    HookFact::Pass => None,
                    HookFact::Refuse(reason) => Some(cut(&self.rules.redactor.text(reason))),
                    HookFact::Failed(error) => {
                        self.judgement.policy_error = true;
                        self.judgement.error_detail = Some(error.clone());
                        Some(format!("Hook error: `{name}` failed"))
                    }
                };
                items.object(|hook| {
                    hook.string("name", name);
                    hook.string("result", if reason.is_some() { "block" } else { "allow" });
                    hook.optional_string("reason", reason.as_deref());
                });
                if let Some(reason) = reason {
                    block = Some(Cause { source: "hook".to_owned(), name: name.clone(), reason });
                    break;
                }
            }
        });
        self.judgement.hooks = list;
        block
    }

    fn preconditions(&mut self, operators: &[Result<bool, String>]) -> Option<Verdict> {
        let program = &self.rules.program;
        let all = self.rules.options.detail == Detail::All;
        for (rule, hit) in program.scan(Phase::Pre, *self.subject).outcomes(operators, all) {
            if rule.candidate {
                continue;
            }
            let Some(hit) = hit else {
                self.judgement.records.passed(&rule.passed_record);
                continue;
            };
            let Body::Pre { action, approval } = &rule.body else { continue };
            let expanded = rule.message.expand(self.subject, &*self.rules.redactor);
            let policy_error = hit.policy_error || expanded.error.is_some();
            let detail = hit.error_detail.as_deref().or(expanded.error.as_deref());
            let verdict =
                self.effect(rule, &expanded.text, "yaml_precondition", *action, *approval, policy_error, detail);
            if verdict.is_some() {
                return verdict;
            }
        }
        self.builtin()
    }

    /// Rules that no file needs to spell out come after those of the files.
    fn builtin(&mut self) -> Option<Verdict> {
        let lists = self.rules.options.builtin_rules.deny_sensitive_reads.as_ref()?;
        let name = sensitive::RULE_ID;
        let Some(reason) = sensitive::denied(self.subject.call, lists) else {
            self.judgement.records.passed(&crate::record::rules::passed(name, "precondition"));
            return None;
        };
        let reason = cut(&self.rules.redactor.text(&reason));
        self.judgement.records.failed(&Failed {
            name,
            kind: "precondition",
            message: &reason,
            tags: None,
            metadata: None,
            policy_error: false,
            error_detail: None,
            observed: false,
        });
        Some(Verdict::Block(Cause { source: "precondition".to_owned(), name: name.to_owned(), reason }))
    }

    fn sandboxes(&mut self, known: &Known, touched: Option<&Touched<'_>>) -> Option<Verdict> {
        let program = &self.rules.program;
        for &index in program.rules_for(self.subject.call.tool).sandbox {
            let Some(rule) = program.rules().get(index) else { continue };
            if rule.candidate {
                continue;
            }
            match self.outside(index, known, touched) {
                None => self.judgement.records.passed(&rule.passed_record),
                Some(error) => {
                    let Body::Sandbox { action, approval, .. } = &rule.body else { continue };
                    let message = rule.message.expand(self.subject, &*self.rules.redactor).text;
                    // A sandbox that could not be judged is not put to a person who may be asleep: its timeout blocks.
                    let approval = match error {
                        Some(_) => Approval { timeout_action: TimeoutAction::Block, ..*approval },
                        None => *approval,
                    };
                    let (policy_error, detail) = (error.is_some(), error.as_deref());
                    let verdict = self.effect(rule, &message, "yaml_sandbox", *action, approval, policy_error, detail);
                    if verdict.is_some() {
                        return verdict;
                    }
                }
            }
        }
        None
    }

    /// None: inside. Some(None): outside. Some(Some(_)): it cannot be told, and why.
    #[expect(clippy::option_option, reason = "three answers, read by one caller above")]
    fn outside(&self, index: usize, known: &Known, touched: Option<&Touched<'_>>) -> Option<Option<String>> {
        match (self.rules.sandbox(index), touched) {
            (Some(sandbox), Some(touched)) => match sandbox.judge(touched, &known.links) {
                SandboxVerdict::Inside => None,
                SandboxVerdict::Outside(_) => Some(None),
                SandboxVerdict::Error(error) => Some(Some(error)),
            },
            _ => Some(Some("the sandbox is not there".to_owned())),
        }
    }

    fn session(&mut self, counters: &Counters) -> Option<Verdict> {
        let program = &self.rules.program;
        for check in &self.rules.limits.checks {
            let Some(rule) = program.rules().get(check.rule) else { continue };
            if rule.candidate {
                continue;
            }
            if !check.broken(self.subject.call.tool, counters) {
                self.judgement.records.passed(&rule.passed_record);
                continue;
            }
            let observed = rule.mode == Mode::Observe && !self.rules.options.reference();
            let message = rule.message.template();
            self.record(rule, "session_contract", message, false, None, observed);
            if observed {
                self.observe("yaml_session", rule, message);
                continue;
            }
            let cause = Cause { source: "yaml_session".to_owned(), name: rule.id.clone(), reason: message.to_owned() };
            return Some(Verdict::Block(cause));
        }
        None
    }

    /// A block of the workflow, or what must be known first. A stage that asks does so only when no rule does: it is asked
    /// about again when the rules' question is settled (engine.md §8.1).
    fn workflow(&mut self) -> Option<Verdict> {
        let workflow = self.rules.workflow.as_deref()?;
        let (call, ticket) = (self.subject.call, self.ticket);
        let gated = match gates::judge(self.rules, workflow, call, &ticket.facts, ticket.approved_stage.as_deref()) {
            Ok(gated) => gated,
            Err(Stuck::Ask(asked)) => return Some(Verdict::Command(asked)),
            Err(Stuck::Error(error)) => return Some(self.workflow_error(&error)),
        };
        let said = &gated.evaluation;
        for record in &said.records {
            self.judgement.records.gate(&record.json, record.passed);
        }
        let name = said.stage.clone().unwrap_or_default();
        let (action, reason) = (said.action, said.reason.clone());
        self.judgement.gated = Some(gated);
        let cause = Cause { source: gates::SOURCE.to_owned(), name: name.clone(), reason };
        match action {
            Action::Allow => None,
            Action::Block => Some(Verdict::Block(cause)),
            Action::Ask if self.ticket.workflow_rounds >= gates::MAX_APPROVAL_ROUNDS => {
                Some(self.workflow_error("workflow: exceeded maximum approval rounds (32)"))
            }
            Action::Ask => {
                if self.asks.is_empty() {
                    self.asks.push(AskRule { cause, approval: gates::APPROVAL, stage: Some(name) });
                }
                None
            }
        }
    }

    /// A workflow that cannot be evaluated blocks.
    fn workflow_error(&mut self, error: &str) -> Verdict {
        let reason = format!("Workflow evaluation error: {}", self.rules.redactor.text(error));
        self.judgement.policy_error = true;
        self.judgement.records.failed(&Failed {
            name: "workflow:error",
            kind: "workflow_gate",
            message: &reason,
            tags: None,
            metadata: None,
            policy_error: true,
            error_detail: None,
            observed: false,
        });
        Verdict::Block(Cause { source: gates::SOURCE.to_owned(), name: gates::ERROR.to_owned(), reason })
    }

    /// What a failing rule does: nothing but a record, a block, or an ask that is kept for the end.
    #[expect(clippy::too_many_arguments, reason = "the facts of one failing rule, used once for each kind")]
    fn effect(
        &mut self,
        rule: &Rule,
        message: &str,
        source: &'static str,
        action: PreAction,
        approval: Approval,
        policy_error: bool,
        detail: Option<&str>,
    ) -> Option<Verdict> {
        let kind = if source == "yaml_sandbox" { "sandbox" } else { "precondition" };
        let observed = rule.mode == Mode::Observe;
        self.record(rule, kind, message, policy_error, detail, observed);
        if observed {
            self.observe("precondition", rule, message);
            return None;
        }
        let cause = Cause { source: source.to_owned(), name: rule.id.clone(), reason: message.to_owned() };
        if action == PreAction::Block {
            return Some(Verdict::Block(cause));
        }
        if self.ticket.granted.contains(&rule.id) {
            return None;
        }
        self.asks.push(AskRule { cause, approval, stage: None });
        // The reference asks at once, and never looks at the rules behind.
        self.rules.options.reference().then(|| Verdict::Ask(std::mem::take(&mut self.asks)))
    }

    fn observe(&mut self, source: &'static str, rule: &Rule, message: &str) {
        self.judgement.observed.push(Observed { source, name: rule.id.clone(), reason: message.to_owned() });
    }

    fn record(
        &mut self,
        rule: &Rule,
        kind: &str,
        message: &str,
        policy_error: bool,
        detail: Option<&str>,
        observed: bool,
    ) {
        // Sandbox rules have no tags.
        let tags = (kind != "sandbox").then_some(rule.tags.as_slice());
        let detail = detail.map(|detail| self.rules.redactor.text(detail));
        if self.judgement.error_detail.is_none() {
            self.judgement.error_detail = detail.as_deref().map(str::to_owned);
        }
        self.judgement.records.failed(&Failed {
            name: &rule.id,
            kind,
            message,
            tags,
            metadata: rule.metadata.as_ref(),
            policy_error,
            error_detail: detail.as_deref(),
            observed,
        });
    }

    /// Proposed rules of all three kinds.
    fn candidates(&mut self, facts: &Facts, known: &Known, touched: Option<&Touched<'_>>, counters: &Counters) {
        if !self.rules.has_candidates {
            return;
        }
        let program = &self.rules.program;
        let tool = program.rules_for(self.subject.call.tool);
        let operators = facts.operators.as_deref().unwrap_or_default();
        let mut fired = program.scan(Phase::Pre, *self.subject).fired(operators).peekable();
        let mut found = Vec::new();
        for &index in tool.pre {
            let Some(rule) = program.rules().get(index) else { continue };
            let hit = fired.next_if(|fired| fired.rule == index);
            if rule.candidate {
                let message = hit.map(|_| rule.message.expand(self.subject, &*self.rules.redactor).text);
                found.push(candidate(rule, "precondition", "yaml_precondition", message));
            }
        }
        for &index in tool.sandbox {
            let Some(rule) = program.rules().get(index) else { continue };
            if rule.candidate {
                let outside = self.outside(index, known, touched).is_some();
                let message = outside.then(|| rule.message.expand(self.subject, &*self.rules.redactor).text);
                found.push(candidate(rule, "sandbox", "yaml_sandbox", message));
            }
        }
        for check in &self.rules.limits.checks {
            let Some(rule) = program.rules().get(check.rule) else { continue };
            if rule.candidate {
                let broken = check.broken(self.subject.call.tool, counters);
                let message = broken.then(|| rule.message.template().to_owned());
                found.push(candidate(rule, "session_contract", "yaml_session", message));
            }
        }
        self.judgement.candidates = found;
    }
}

fn candidate(rule: &Rule, kind: &'static str, source: &'static str, message: Option<String>) -> Candidate {
    Candidate { name: rule.id.clone(), kind, source, message }
}

fn limit_block(limit: crate::session::limits::Reached) -> Verdict {
    Verdict::Block(Cause { source: limit.source.to_owned(), name: limit.name, reason: limit.reason })
}

/// Cuts a text to what a reason may be.
#[must_use]
pub fn cut(text: &str) -> String {
    if text.chars().nth(MAX_MESSAGE).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_MESSAGE - 3).collect();
    short.push_str("...");
    short
}

impl Judgement {
    /// An allow for which nothing was looked at.
    #[must_use]
    pub fn allowed(rules: &Rules) -> Self {
        Self {
            verdict: Verdict::Allow,
            records: Records::new(rules.options.detail),
            hooks: "[]".to_owned(),
            observed: Vec::new(),
            candidates: Vec::new(),
            gated: None,
            notices: &[],
            policy_error: false,
            error_detail: None,
        }
    }

    /// The results of proposed rules, for the caller.
    #[must_use]
    pub fn candidate_list(&self) -> String {
        let mut list = String::new();
        Items::write(&mut list, |items| {
            for candidate in &self.candidates {
                items.object(|result: &mut Object<'_>| {
                    result.string("name", &candidate.name);
                    result.string("type", candidate.kind);
                    result.bool("passed", candidate.message.is_none());
                    result.optional_string("message", candidate.message.as_deref());
                    result.string("source", candidate.source);
                });
            }
        });
        list
    }
}
