//! What the reference's answers say about each call of a case: which rules looked at it and how each of them ended. The
//! dry run before a call names all rules that match, the call itself those up to the verdict.

use std::collections::BTreeMap;

use super::policy::{Kind, Policy};
use crate::differential::case::Case;
use crate::differential::datum::Datum;

/// How a rule ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// It held.
    pub passed: bool,
    /// Its message when it did not.
    pub message: Datum,
    /// Its record's metadata.
    pub metadata: Datum,
}

impl Ending {
    /// A rule that held.
    #[must_use]
    pub fn passed() -> Self {
        Self { passed: true, message: Datum::Null, metadata: Datum::map([]) }
    }

    /// Whether it could not be evaluated.
    #[must_use]
    pub fn policy_error(&self) -> bool {
        self.metadata.flag("policy_error")
    }
}

/// What is known of one `begin`.
#[derive(Clone, Debug, Default)]
pub struct CallFacts {
    /// Endings by rule id: before the tool ran.
    pub before: BTreeMap<String, Ending>,
    /// The rule that the reference stopped at: rules behind it are not known.
    pub stopped_at: Option<String>,
    /// Proposed rules are known.
    pub proposed: bool,
    /// It is no call: name and text of the block.
    pub invalid: Option<(&'static str, String)>,
    /// After it ran; none when that is not known.
    pub after: Option<BTreeMap<String, Ending>>,
    /// An event of the call: who, what, with which arguments.
    pub event: Option<Datum>,
}

/// What is known of one `evaluate`: endings before the tool runs, and after.
#[derive(Clone, Debug, Default)]
pub struct DryRun {
    /// All rules that match.
    pub before: BTreeMap<String, Ending>,
    /// Postconditions; empty without an output.
    pub after: BTreeMap<String, Ending>,
    /// It is no call, and why.
    pub invalid: Option<String>,
}

/// By step.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Of `begin`.
    pub calls: BTreeMap<usize, CallFacts>,
    /// Of `evaluate`.
    pub dry_runs: BTreeMap<usize, DryRun>,
}

/// Reads the reference's answers. `answers` has the opening before and the events behind those of the steps.
#[must_use]
pub fn gather(case: &Case, policy: &Policy, answers: &[Datum]) -> Facts {
    let events = answers.last().cloned().unwrap_or_default();
    let mut facts = Facts::default();
    for (step, request) in case.steps.iter().enumerate() {
        let answer = answers.get(step + 1).cloned().unwrap_or_default();
        match request.text("op") {
            _ if answer.flag("refused") => {}
            "evaluate" => drop(facts.dry_runs.insert(step, dry_run(policy, &answer))),
            "begin" => {
                let id = request.text("call_id");
                let of_call = || events.items().iter().filter(|event| event.text("call_id") == id);
                let mut call = CallFacts { event: of_call().next().cloned(), ..CallFacts::default() };
                before(policy, &answer, &mut call);
                candidates(policy, of_call(), &mut call);
                let dry_run = step.checked_sub(1).and_then(|index| Some((case.steps.get(index)?, facts.dry_runs.get(&index)?)));
                let dry_run = dry_run.filter(|(dry_run, _)| same_call(case, dry_run, request));
                after(case, answers, id, dry_run, &mut call);
                if let Some((_, dry_run)) = dry_run {
                    for (id, ending) in &dry_run.before {
                        call.before.entry(id.clone()).or_insert_with(|| ending.clone());
                    }
                    call.stopped_at = None;
                }
                facts.calls.insert(step, call);
            }
            _ => {}
        }
    }
    facts
}

/// The records of the call itself.
fn before(policy: &Policy, answer: &Datum, call: &mut CallFacts) {
    for record in answer.list_of("rules_evaluated") {
        let name = record.text("name").to_owned();
        let judged = policy.rules.iter().any(|rule| rule.id == name && matches!(rule.kind, Kind::Pre | Kind::Sandbox));
        if judged {
            if answer.text("decision_name") == name {
                call.stopped_at = Some(name.clone());
            }
            call.before.insert(name, ending_of_record(record));
        }
    }
    let source = answer.text("decision_source");
    if source == "attempt_limit" {
        call.stopped_at = Some(String::new());
    }
    call.proposed = source.is_empty();
}

/// The records after the tool ran, or what a dry run says about the same output.
fn after(case: &Case, answers: &[Datum], id: &str, dry_run: Option<(&Datum, &DryRun)>, call: &mut CallFacts) {
    let finish = case.steps.iter().enumerate();
    let Some((index, finish)) = finish.into_iter().find(|(_, step)| step.text("op") == "finish" && step.text("call_id") == id)
    else {
        return;
    };
    let answer = answers.get(index + 1).cloned().unwrap_or_default();
    if !answer.flag("refused") {
        let records = answer.list_of("rules_evaluated").iter();
        call.after = Some(records.map(|record| (record.text("name").to_owned(), ending_of_record(record))).collect());
    } else if let Some((request, dry_run)) = dry_run
        && request.get("output").is_some()
        && request.get("output") == finish.get("result")
    {
        call.after = Some(dry_run.after.clone());
    }
}

fn dry_run(policy: &Policy, answer: &Datum) -> DryRun {
    let mut dry_run = DryRun::default();
    for result in answer.list_of("rules") {
        let post = result.text("type") == "postcondition";
        let endings = if post { &mut dry_run.after } else { &mut dry_run.before };
        endings.insert(result.text("id").to_owned(), ending_of_result(policy, result));
    }
    dry_run
}

/// A dry run knows neither metadata nor the static principal of its guard.
fn same_call(case: &Case, dry_run: &Datum, begin: &Datum) -> bool {
    let (Some(one), Some(two)) = (dry_run.get("call"), begin.get("call")) else { return false };
    let same = |name| one.some(name) == two.some(name);
    let fixed = case.opening.settings.get("principal");
    let principal = two.get("principal").or(fixed).filter(|principal| !principal.is_null());
    same("tool") && same("args") && same("environment") && one.some("principal") == principal && (two.get("metadata").is_none() || !reads_metadata(case))
}

fn reads_metadata(case: &Case) -> bool {
    case.opening.documents.iter().any(|document| document.text.contains("metadata."))
}

/// Proposed rules show only in the log.
fn candidates<'e>(policy: &Policy, events: impl Iterator<Item = &'e Datum>, call: &mut CallFacts) {
    for event in events {
        let name = event.text("decision_name");
        if policy.rules.iter().any(|rule| rule.candidate && rule.kind != Kind::Post && rule.id == name) {
            let passed = event.text("action") == "call_allowed";
            let message = event.get("reason").cloned().unwrap_or_default();
            call.before.insert(name.to_owned(), Ending { passed, message, metadata: Datum::map([]) });
        }
    }
}

fn ending_of_record(record: &Datum) -> Ending {
    Ending {
        passed: record.flag("passed"),
        message: record.get("message").cloned().unwrap_or_default(),
        metadata: record.get("metadata").cloned().unwrap_or_default(),
    }
}

fn ending_of_result(policy: &Policy, result: &Datum) -> Ending {
    if result.flag("passed") {
        return Ending::passed();
    }
    let rule = policy.rules.iter().find(|rule| rule.id == result.text("id"));
    Ending {
        passed: false,
        message: result.get("message").cloned().unwrap_or_default(),
        metadata: rule.map(|rule| rule.record_metadata(result.flag("policy_error"))).unwrap_or_default(),
    }
}
