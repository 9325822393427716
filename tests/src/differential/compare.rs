//! Brings answers into one form and says where two of them differ.
//!
//! Only form is levelled here, never meaning: the decision log's names (engine.md §8.10 says which are synonyms), absent
//! against null, ids and times of events, what a driver may add, and `action` of preconditions in a dry run, which means
//! nothing in the reference (engine.md §11). DIVERGENCES.md lists it all under "Form".

use super::datum::Datum;

/// An answer that is not `ok`. Codes and texts are not compared: they are ours alone.
#[must_use]
pub fn refused() -> Datum {
    Datum::map([("refused", true.into())])
}

/// The comparable form of a response to a request.
#[must_use]
pub fn canonical(request: &Datum, response: &Datum) -> Datum {
    if !response.flag("ok") {
        return refused();
    }
    let result = response.get("result").cloned().unwrap_or_default();
    match request.text("op") {
        "open" => open(&result),
        "evaluate" => evaluation(&result),
        "begin" | "approve" => decision(&result),
        "finish" => conclusion(&result),
        "counters" => counters(&result),
        "events" => Datum::list(result.list_of("events").iter().map(event)),
        _ => result,
    }
}

/// Picks fields; null for what is not there.
pub(super) fn pick(from: &Datum, names: &[&str]) -> Datum {
    Datum::map(names.iter().map(|name| (*name, from.get(name).cloned().unwrap_or_default())))
}

/// Texts that may be absent, null or empty to say that there is none.
pub(super) fn nothing_is_null(value: &mut Datum, names: &[&str]) {
    for name in names {
        if value.get(name).is_some_and(|text| text.as_str() == Some("")) {
            value.set(name, Datum::Null);
        }
    }
}

/// Flags that are false when absent.
fn absent_is_false(value: &mut Datum, names: &[&str]) {
    for name in names {
        if value.some(name).is_none() {
            value.set(name, false);
        }
    }
}

fn open(result: &Datum) -> Datum {
    let mut answer = pick(result, &["policy_version", "rules", "report"]);
    let mut rules: Vec<&str> = result.list_of("rules").iter().filter_map(Datum::as_str).collect();
    rules.sort_unstable();
    answer.set("rules", Datum::list(rules.into_iter().map(Datum::from)));
    let report = result.get("report").cloned().unwrap_or_default();
    answer.set("report", pick(&report, &["overridden", "observed"]));
    answer
}

fn evaluation(result: &Datum) -> Datum {
    let mut answer = pick(result, &["decision", "rules_evaluated", "policy_error", "block_reasons", "warn_reasons"]);
    let rules = result.list_of("rules").iter().map(|rule| {
        let mut rule = pick(rule, &["id", "type", "passed", "message", "tags", "observed", "action", "policy_error"]);
        if rule.text("type") != "postcondition" {
            rule.remove("action");
        }
        if rule.some("tags").is_none() {
            rule.set("tags", Vec::new());
        }
        absent_is_false(&mut rule, &["observed", "policy_error"]);
        nothing_is_null(&mut rule, &["message"]);
        rule
    });
    answer.set("rules", Datum::list(rules));
    answer
}

fn decision(result: &Datum) -> Datum {
    const TEXTS: &[&str] = &["reason", "decision_source", "decision_name"];
    let mut answer =
        pick(result, &["action", "reason", "decision_source", "decision_name", "observed", "policy_error"]);
    nothing_is_null(&mut answer, TEXTS);
    answer.set("rules_evaluated", records(result));
    if let Some(approval) = result.some("approval") {
        answer.set("approval", pick(approval, &["message", "timeout", "timeout_action", "stage_id"]));
    }
    answer
}

fn conclusion(result: &Datum) -> Datum {
    let names = ["success", "postconditions_passed", "warnings", "result", "redacted", "suppressed"];
    let mut answer = pick(result, &names);
    answer.set("rules_evaluated", records(result));
    let findings = result.list_of("findings").iter().map(|finding| {
        let mut finding = pick(finding, &["type", "rule_id", "field", "message", "metadata"]);
        if finding.some("metadata").is_none() {
            finding.set("metadata", Datum::map([]));
        }
        finding
    });
    answer.set("findings", Datum::list(findings));
    answer
}

/// The records of a decision or an event.
pub(super) fn records(of: &Datum) -> Datum {
    let list = of.get("rules_evaluated").or_else(|| of.get("contracts_evaluated"));
    Datum::list(list.map_or(&[][..], Datum::items).iter().map(|record| {
        let mut record = pick(record, &["name", "type", "passed", "message", "metadata", "observed"]);
        absent_is_false(&mut record, &["observed"]);
        nothing_is_null(&mut record, &["message"]);
        if record.some("metadata").is_none() {
            record.set("metadata", Datum::map([]));
        }
        record
    }))
}

fn counters(result: &Datum) -> Datum {
    let mut answer = pick(result, &["attempts", "execs", "consec_fail"]);
    let tools = result.get("tools").map_or(&[][..], Datum::entries).iter();
    let counted = tools.filter(|(_, count)| *count != Datum::from(0)).cloned();
    answer.set("tools", Datum::Map(counted.collect()));
    answer
}

/// Fields of the decision log that both sides must agree on, beside the records. Not among them: `schema_version`,
/// `timestamp`, what only ours has (`event_id`, `sequence`, `revision` …), and what is always the same (`duration_ms`).
const EVENT: &[&str] = &[
    "run_id",
    "call_id",
    "call_index",
    "parent_call_id",
    "session_id",
    "parent_session_id",
    "tool_name",
    "tool_args",
    "side_effect",
    "environment",
    "principal",
    "action",
    "decision_source",
    "decision_name",
    "reason",
    "hooks_evaluated",
    "workflow",
    "tool_success",
    "postconditions_passed",
    "error",
    "session_attempt_count",
    "session_execution_count",
    "mode",
    "policy_version",
    "policy_error",
];

fn event(event: &Datum) -> Datum {
    let mut answer = pick(event, EVENT);
    answer.set("rules_evaluated", records(event));
    answer.set("action", action_name(event.text("action")));
    absent_is_false(&mut answer, &["policy_error"]);
    nothing_is_null(&mut answer, &["decision_source", "decision_name", "reason", "parent_call_id", "error"]);
    for count in ["call_index", "session_attempt_count", "session_execution_count"] {
        if answer.some(count).is_none() {
            answer.set(count, 0);
        }
    }
    if answer.some("hooks_evaluated").is_none() {
        answer.set("hooks_evaluated", Vec::new());
    }
    if let Some(principal) = event.some("principal") {
        let mut principal = pick(principal, &["user_id", "service_id", "org_id", "role", "ticket_ref", "claims"]);
        if principal.some("claims").is_none() {
            principal.set("claims", Datum::map([]));
        }
        answer.set("principal", principal);
    }
    answer
}

/// The names of the fixtures for those of the reference (engine.md §8.10).
#[must_use]
pub fn action_name(name: &str) -> &str {
    match name {
        "call_denied" => "call_blocked",
        "call_would_deny" => "call_would_block",
        "call_approval_requested" => "call_asked",
        "call_approval_denied" => "call_approval_blocked",
        name => name,
    }
}

/// Where two answers first differ, and how; none when they are equal.
#[must_use]
pub fn difference(one: &Datum, two: &Datum) -> Option<String> {
    fn walk(path: &str, one: &Datum, two: &Datum) -> Option<String> {
        if one == two {
            return None;
        }
        match (one, two) {
            (Datum::Map(ones), Datum::Map(twos)) => {
                let names = ones.iter().chain(twos).map(|(name, _)| name);
                for name in names {
                    match (one.get(name), two.get(name)) {
                        (Some(one), Some(two)) => {
                            let found = walk(&format!("{path}.{name}"), one, two);
                            if found.is_some() {
                                return found;
                            }
                        }
                        (one, two) => {
                            let show =
                                |side: Option<&Datum>| side.map_or_else(|| "absent".to_owned(), Datum::to_string);
                            return Some(format!("{path}.{name}: {} != {}", show(one), show(two)));
                        }
                    }
                }
                None
            }
            (Datum::List(ones), Datum::List(twos)) => {
                let found = ones.iter().zip(twos).enumerate();
                let found = found.filter_map(|(index, (one, two))| walk(&format!("{path}[{index}]"), one, two)).next();
                found.or_else(|| Some(format!("{path}: {} items != {} items", ones.len(), twos.len())))
            }
            _ => Some(format!("{path}: {one} != {two}")),
        }
    }
    walk("", one, two)
}

#[cfg(test)]
mod tests {
    use super::{Datum, canonical, difference, refused};

    fn parse(text: &str) -> Datum {
        Datum::parse(text).unwrap_or_else(|error| unreachable!("{error}: {text}"))
    }

    #[test]
    fn names_of_both_sides_become_one_and_values_stay() {
        let request = parse(r#"{"op":"events"}"#);
        let one = parse(
            r#"{"ok":true,"result":{"events":[{"action":"call_denied","reason":"no","timestamp":"a","contracts_evaluated":[{"name":"r","passed":true,"message":null}]}]}}"#,
        );
        let two = parse(
            r#"{"ok":true,"result":{"events":[{"action":"call_blocked","reason":"no","event_id":"b","rules_evaluated":[{"name":"r","passed":true}]}]}}"#,
        );
        assert_eq!(difference(&canonical(&request, &one), &canonical(&request, &two)), None);
        let other = parse(r#"{"ok":true,"result":{"events":[{"action":"call_blocked","reason":"nay"}]}}"#);
        let found = difference(&canonical(&request, &one), &canonical(&request, &other));
        assert_eq!(found.as_deref(), Some("[0].reason: \"no\" != \"nay\""));
    }

    #[test]
    fn an_event_more_or_less_is_a_difference() {
        let request = parse(r#"{"op":"events"}"#);
        let one = canonical(&request, &parse(r#"{"ok":true,"result":{"events":[{"action":"call_allowed"}]}}"#));
        let none = canonical(&request, &parse(r#"{"ok":true,"result":{"events":[]}}"#));
        assert_eq!(difference(&one, &none).as_deref(), Some(": 1 items != 0 items"));
    }

    #[test]
    fn an_error_equals_only_an_error() {
        let request = parse(r#"{"op":"begin"}"#);
        let error = canonical(&request, &parse(r#"{"ok":false,"error":{"code":"a"}}"#));
        assert_eq!(error, refused());
        let allow = canonical(&request, &parse(r#"{"ok":true,"result":{"action":"allow"}}"#));
        assert!(difference(&error, &allow).is_some());
    }

    #[test]
    fn the_action_of_a_dry_run_counts_for_postconditions_only() {
        let request = parse(r#"{"op":"evaluate"}"#);
        let rule = |kind: &str, action: &str| {
            let text =
                format!(r#"{{"ok":true,"result":{{"rules":[{{"id":"r","type":"{kind}","action":"{action}"}}]}}}}"#);
            canonical(&request, &parse(&text))
        };
        assert_eq!(rule("precondition", "warn"), rule("precondition", "block"));
        assert_ne!(rule("postcondition", "warn"), rule("postcondition", "block"));
    }
}
