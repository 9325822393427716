//! The dry run: every matching rule, none of them effective, nothing counted (engine.md §11).

use super::ask::{self, Known, Round};
use super::fault;
use super::postconditions;
use super::ticket::{Facts, Stage, Ticket};
use crate::call::{self, Call, MAX_CALL_BYTES, Output, Principal, Purpose, Subject, sensitive};
use crate::documents::ruleset::{Mode, PreAction};
use crate::inquiry::{Answer, Step};
use crate::json::write::{self, Items, Object};
use crate::json::{Json, Tape};
use crate::options::Detail;
use crate::program::{Body, Phase, Rule};
use crate::rules::Rules;
use crate::sandbox::{Touched, Verdict};

/// `policy.evaluate`
#[must_use]
pub fn evaluate(rules: &Rules, text: &str, output: Option<&str>) -> Step<Json> {
    step(rules, text, output, Facts::default())
}

/// `policy.resume-evaluate`
#[must_use]
pub fn resume(rules: &Rules, text: &str, output: Option<&str>, ticket: &str, answers: Vec<Answer>) -> Step<Json> {
    match Ticket::read(ticket, text, &[Stage::Evaluate]) {
        Ok(mut ticket) => {
            let asked = std::mem::take(&mut ticket.asked);
            ask::absorb(&mut ticket.facts, &asked, answers);
            step(rules, text, output, ticket.facts)
        }
        Err(error) => Step::Done(blocked("", &error.to_string())),
    }
}

fn step(rules: &Rules, text: &str, output: Option<&str>, facts: Facts) -> Step<Json> {
    let tape = match call::read_text(text) {
        Ok(tape) => tape,
        Err(invalid) => return Step::Done(blocked("", &invalid.reason)),
    };
    let call = match Call::read(&tape, &rules.registry, Purpose::DryRun) {
        Ok(call) => call,
        Err(refused) => return Step::Done(blocked(refused.call.tool, &refused.invalid.reason)),
    };
    let output = match output {
        Some(output) if output.len() > MAX_CALL_BYTES => {
            return Step::Done(blocked(call.tool, "the result is too large to be checked"));
        }
        Some(output) => match Tape::read(output) {
            Ok(tape) => Some(tape),
            Err(_) => return Step::Done(blocked(call.tool, "the result is not JSON")),
        },
        None => None,
    };
    let known = Known::of(&facts);
    let mut subject = known.subject(rules, &call);
    if let Principal::Static(principal) = call.principal {
        subject.principal = principal;
    }
    let output = output.as_ref().map(Tape::root);
    let output_text = output.and_then(|output| postconditions::output_text(rules, output));
    let mut after = subject;
    after.output = output.map(|value| Output { value, text: output_text.as_deref() });
    let touched = rules.touched(&call);

    let mut round = Round::default();
    round.links(touched.as_ref(), &known);
    round.selectors(rules, &subject, &facts);
    let mut before_operators = 0;
    if round.is_empty() && !rules.needs.operators.is_empty() {
        let before = rules.program.scan(Phase::Pre, subject);
        before_operators = before.operator_calls().len();
        round.operators_of_both(
            &before,
            after.output.is_some().then(|| rules.program.scan(Phase::Post, after)),
            &facts,
        );
    }
    if !round.is_empty() {
        let mut ticket = Ticket::new(Stage::Evaluate, text);
        ticket.facts = facts;
        return Step::Ask(round.into_inquiry(ticket));
    }
    if let Some(trouble) = &facts.failed {
        return Step::Done(blocked(call.tool, &fault::reason(&trouble.name)));
    }
    let operators = facts.operators.as_deref().unwrap_or_default();
    let mut report = Report::new(rules);
    report.before(&subject, operators.get(..before_operators).unwrap_or_default(), &known, touched.as_ref());
    if after.output.is_some() {
        report.after(&after, operators.get(before_operators..).unwrap_or_default());
    }
    Step::Done(report.write(call.tool))
}

/// The result for a call that cannot be judged.
fn blocked(tool: &str, reason: &str) -> Json {
    let mut out = String::new();
    Object::write(&mut out, |result| {
        result.string("decision", "block");
        result.string("tool_name", tool);
        result.raw("rules", "[]");
        result.list("block_reasons", |reasons| reasons.string(reason));
        result.raw("warn_reasons", "[]");
        result.number("rules_evaluated", 0);
        result.bool("policy_error", true);
    });
    out
}

struct Report<'r> {
    rules: &'r Rules,
    list: String,
    count: u64,
    block_reasons: Vec<String>,
    warn_reasons: Vec<String>,
    would_ask: Vec<String>,
    policy_error: bool,
}

/// A rule's result.
struct Hit {
    message: String,
    policy_error: bool,
}

impl<'r> Report<'r> {
    const fn new(rules: &'r Rules) -> Self {
        Self {
            rules,
            list: String::new(),
            count: 0,
            block_reasons: Vec::new(),
            warn_reasons: Vec::new(),
            would_ask: Vec::new(),
            policy_error: false,
        }
    }

    fn before(
        &mut self,
        subject: &Subject<'_>,
        operators: &[Result<bool, String>],
        known: &Known,
        touched: Option<&Touched<'_>>,
    ) {
        let rules = self.rules;
        let program = &rules.program;
        let tool = program.rules_for(subject.call.tool);
        let before = self.count;
        for (rule, hit) in program.scan(Phase::Pre, *subject).outcomes(operators, self.looks_at_all()) {
            let Body::Pre { action, .. } = &rule.body else { continue };
            if self.skips(rule) {
                continue;
            }
            let hit = hit.map(|hit| {
                let expanded = rule.message.expand(subject, &*rules.redactor);
                let policy_error = hit.policy_error || expanded.error.is_some();
                Hit { message: expanded.text, policy_error }
            });
            self.pre(rule, "precondition", *action, hit);
        }
        if !self.looks_at_all() {
            self.count = before + tool.pre.len() as u64;
        }
        self.builtin(subject.call);
        for &index in tool.sandbox {
            let Some(rule) = program.rules().get(index) else { continue };
            let Body::Sandbox { action, .. } = &rule.body else { continue };
            if self.skips(rule) {
                continue;
            }
            let verdict = match (rules.sandbox(index), touched) {
                (Some(sandbox), Some(touched)) => sandbox.judge(touched, &known.links),
                _ => Verdict::Error(String::new()),
            };
            let hit = (!matches!(verdict, Verdict::Inside)).then(|| Hit {
                message: rule.message.expand(subject, &*rules.redactor).text,
                policy_error: matches!(verdict, Verdict::Error(_)),
            });
            self.pre(rule, "sandbox", *action, hit);
        }
    }

    /// The reference leaves proposed rules out; here they are shown as observed (engine.md §16 row 32).
    fn skips(&self, rule: &Rule) -> bool {
        rule.candidate && self.rules.options.reference()
    }

    /// Whether rules that hold must be looked at one by one: to be written down, or because some do not count.
    fn looks_at_all(&self) -> bool {
        self.rules.options.detail == Detail::All || self.rules.has_candidates && self.rules.options.reference()
    }

    fn pre(&mut self, rule: &Rule, kind: &str, action: PreAction, hit: Option<Hit>) {
        let observes = rule.candidate || rule.mode == Mode::Observe;
        if let Some(hit) = &hit
            && !observes
        {
            self.block_reasons.push(hit.message.clone());
            if action == PreAction::Ask {
                self.would_ask.push(rule.id.clone());
            }
        }
        let tags = if kind == "sandbox" { &[] } else { rule.tags.as_slice() };
        self.result(&rule.id, kind, action.as_str(), tags, hit, observes);
    }

    fn builtin(&mut self, call: &Call<'_>) {
        let Some(lists) = &self.rules.options.builtin_rules.deny_sensitive_reads else { return };
        let name = sensitive::RULE_ID;
        let hit = sensitive::denied(call, lists)
            .map(|reason| Hit { message: super::judge::cut(&self.rules.redactor.text(&reason)), policy_error: false });
        self.block_reasons.extend(hit.as_ref().map(|hit| hit.message.clone()));
        self.result(name, "precondition", "block", &[], hit, false);
    }

    fn after(&mut self, subject: &Subject<'_>, operators: &[Result<bool, String>]) {
        let rules = self.rules;
        let program = &rules.program;
        let before = self.count;
        for (rule, hit) in program.scan(Phase::Post, *subject).outcomes(operators, self.looks_at_all()) {
            let Body::Post { action, .. } = &rule.body else { continue };
            if self.skips(rule) {
                continue;
            }
            let observes = rule.candidate || rule.mode == Mode::Observe;
            let hit = hit.map(|hit| {
                let expanded = rule.message.expand(subject, &*rules.redactor);
                let policy_error = hit.policy_error || expanded.error.is_some();
                Hit { message: expanded.text, policy_error }
            });
            if let Some(hit) = &hit
                && !observes
            {
                self.warn_reasons.push(hit.message.clone());
            }
            self.result(&rule.id, "postcondition", action.as_str(), &rule.tags, hit, observes);
        }
        if !self.looks_at_all() {
            self.count = before + program.rules_for(subject.call.tool).post.len() as u64;
        }
    }

    fn result(&mut self, id: &str, kind: &str, action: &str, tags: &[String], hit: Option<Hit>, observes: bool) {
        self.count += 1;
        let policy_error = hit.as_ref().is_some_and(|hit| hit.policy_error);
        self.policy_error |= policy_error;
        let wanted = match self.rules.options.detail {
            Detail::All => true,
            Detail::Fired => hit.is_some(),
            Detail::None => false,
        };
        if !wanted {
            return;
        }
        if !self.list.is_empty() {
            self.list.push(',');
        }
        Object::write(&mut self.list, |result| {
            result.string("id", id);
            result.string("type", kind);
            result.bool("passed", hit.is_none());
            result.optional_string("message", hit.as_ref().map(|hit| hit.message.as_str()));
            result.list("tags", |list| {
                if hit.is_some() {
                    tags.iter().for_each(|tag| list.string(tag));
                }
            });
            result.bool("observed", observes && hit.is_some());
            result.string("action", action);
            result.bool("policy_error", policy_error);
        });
    }

    fn write(&self, tool: &str) -> Json {
        let decision = match (self.block_reasons.is_empty(), self.warn_reasons.is_empty()) {
            (false, _) => "block",
            (true, false) => "warn",
            (true, true) => "allow",
        };
        let reasons = |items: &mut Items<'_>, list: &[String]| list.iter().for_each(|reason| items.string(reason));
        let mut out = String::with_capacity(self.list.len() + 256);
        Object::write(&mut out, |result| {
            result.string("decision", decision);
            result.string("tool_name", tool);
            result.list("rules", |list| {
                if !self.list.is_empty() {
                    list.raw(&self.list);
                }
            });
            result.list("block_reasons", |list| reasons(list, &self.block_reasons));
            result.list("warn_reasons", |list| reasons(list, &self.warn_reasons));
            if !self.would_ask.is_empty() {
                result.raw("would_ask", &write::strings(&self.would_ask));
            }
            result.number("rules_evaluated", self.count);
            result.bool("policy_error", self.policy_error);
        });
        out
    }
}
