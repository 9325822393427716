//! Workflows in the pipeline as a host sees them: what is decided, what lies in the store then, and in which order it is
//! told (engine.md §8.1 step 6, §8.5, §13).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod guard;

use edictum_engine::inquiry::{Action, ApprovalVerdict, CommandResult, Decision};
use guard::{Guard, NOW, actions, call, detail, policy_with, ruleset, ruleset_in};
use serde_json::Value;

const INERT: &str =
    "- {id: inert, type: pre, tool: Nothing, when: {tool.name: {exists: true}}, then: {action: block, message: never}}";

const KEY: &str = "s:s:workflow:dev:state";

/// read (one file) → review (a person) → push (one command) → done
const DEV: &str = r#"
apiVersion: edictum/v1
kind: Workflow
metadata: {name: dev, version: "1"}
stages:
  - id: read
    tools: [Read]
    exit:
      - {condition: 'file_read("a.md")', message: Read a.md first}
  - id: review
    approval: {message: May it be pushed?}
  - id: push
    tools: [Bash]
    checks:
      - {command_matches: "^git push$", message: Only git push}
    exit:
      - {condition: 'command_matches("^git push$")', message: Not pushed yet}
  - id: done
    terminal: true
"#;

fn guard_of(workflow: &str, options: &str) -> Guard {
    Guard::with(policy_with(&[&ruleset(INERT)], Some(workflow), options))
}

fn read(path: &str) -> String {
    call("Read", &format!(r#"{{"file_path":"{path}"}}"#))
}

fn bash(command: &str) -> String {
    call("Bash", &format!(r#"{{"command":"{command}"}}"#))
}

fn state(guard: &Guard) -> Value {
    serde_json::from_str(&guard.store[KEY]).unwrap()
}

/// The guard after `a.md` was read.
fn has_read(options: &str) -> Guard {
    let mut guard = guard_of(DEV, options);
    let call = read("a.md");
    let decision = guard.begin(&call);
    assert_eq!(decision.action, Action::Allow, "{decision:?}");
    guard.finish(&call, &decision.ticket, r#""text""#);
    guard
}

fn source(decision: &Decision) -> String {
    detail(&decision.detail)["decision_source"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_session_walks_through_its_stages_and_ends_in_the_terminal_one() {
    let mut guard = has_read("{}");
    assert_eq!(state(&guard)["evidence"]["reads"], serde_json::json!(["a.md"]));
    let push = bash("git push");
    let asked = guard.begin(&push);
    assert_eq!(asked.action, Action::Ask);
    assert_eq!(actions(&asked.events), ["workflow_stage_advanced", "call_asked"]);
    let approval = detail(asked.approval.as_deref().unwrap());
    assert_eq!((approval["stage_id"].as_str(), approval["timeout"].as_u64()), (Some("review"), Some(300)));
    assert_eq!(state(&guard)["pending_approval"]["stage_id"], "review");

    let granted = guard.settle(&push, &asked.ticket, ApprovalVerdict::Approved, NOW);
    assert_eq!(granted.action, Action::Allow, "{granted:?}");
    assert_eq!(actions(&granted.events), ["call_approval_granted", "workflow_stage_advanced", "call_allowed"]);
    // The attempt was counted once.
    assert_eq!(guard.store["s:s:attempts"], "2");
    let pushed = guard.finish(&push, &granted.ticket, r#""ok""#);
    assert_eq!(actions(&pushed.events), ["call_executed"]);
    assert_eq!(detail(&pushed.detail)["workflow"]["last_recorded_evidence"]["summary"], "git push");

    let more = guard.begin(&bash("git push"));
    assert_eq!(more.action, Action::Allow, "the stage is still active: it is left by a call that is not its own");
    let over = guard.begin(&read("a.md"));
    assert_eq!((over.action, over.name.as_str()), (Action::Block, "done"));
    assert_eq!(actions(&over.events), ["workflow_stage_advanced", "call_blocked"]);
    assert_eq!(state(&guard)["completed_stages"], serde_json::json!(["read", "review", "push"]));
}

#[test]
fn what_was_told_is_in_the_store_before_it_is_told() {
    let mut guard = guard_of(DEV, "{}");
    let blocked = guard.begin(&bash("ls"));
    assert_eq!((blocked.action, blocked.reason.as_str()), (Action::Block, "Read a.md first"));
    assert_eq!(source(&blocked), "workflow");
    assert_eq!(state(&guard)["blocked_reason"], "Read a.md first");
    assert_eq!(state(&guard)["last_blocked_action"]["summary"], "ls");
    let event = detail(&blocked.events[0]);
    assert_eq!(event["workflow"]["last_blocked_action"], state(&guard)["last_blocked_action"]);
    let gate = &event["rules_evaluated"][0];
    assert_eq!(gate["metadata"]["gate_condition"], "file_read(\"a.md\")", "{event}");
}

#[test]
fn a_lost_race_is_read_again_and_decided_again() {
    // Between our look and our write another guard records the file.
    let seen = has_read("{}").store[KEY].clone();
    let mut guard = guard_of(DEV, "{}");
    guard.rival = Some((KEY.to_owned(), seen));
    let push = bash("git push");
    let decision = guard.begin(&push);
    assert_eq!(decision.action, Action::Ask, "what the other guard recorded counts: {decision:?}");
    assert_eq!(state(&guard)["evidence"]["reads"], serde_json::json!(["a.md"]), "and is not lost");
    assert_eq!(guard.store["s:s:attempts"], "1");
}

#[test]
fn evidence_that_comes_too_late_is_added_to_what_is_there() {
    let mut guard = guard_of(DEV, "{}");
    let call = read("b.md");
    let decision = guard.begin(&call);
    guard.rival = Some((KEY.to_owned(), has_read("{}").store[KEY].clone()));
    let conclusion = guard.finish(&call, &decision.ticket, r#""text""#);
    assert!(conclusion.success);
    assert_eq!(state(&guard)["evidence"]["reads"], serde_json::json!(["a.md", "b.md"]));
    assert_eq!(guard.store["s:s:execs"], "1", "counted once");
}

#[test]
fn a_store_without_versions_is_read_again_and_said_to_be_one() {
    let mut guard = guard_of(DEV, "{}");
    guard.versions = None;
    let blocked = guard.begin(&bash("ls"));
    assert_eq!(detail(&blocked.detail)["notices"][0]["code"], "workflow_store_unversioned");
    assert_eq!(guard.rounds, 3, "read with the counters, read again, written");
    let versioned = guard_of(DEV, "{}").begin(&bash("ls"));
    assert_eq!(detail(&versioned.detail)["notices"], Value::Null);
}

#[test]
fn a_state_that_cannot_be_used_blocks() {
    for (text, part) in [
        ("nonsense", "cannot be read"),
        ("{}", "no active stage"),
        (r#"{"active_stage":null}"#, "no active stage"),
        (r#"{"active_stage":"gone"}"#, "`gone` does not exist"),
    ] {
        let mut guard = guard_of(DEV, "{}");
        guard.store.insert(KEY.to_owned(), text.to_owned());
        let decision = guard.begin(&read("a.md"));
        assert_eq!((decision.action, decision.policy_error), (Action::Block, true), "{text}");
        assert_eq!(decision.name, "workflow_error");
        assert!(decision.reason.contains(part), "{}", decision.reason);
        assert_eq!(guard.store[KEY], text, "nothing is written over it");
        let (state, _) = guard.operate(r#"{"id":"o","do":"load","state":{"active_stage":"read"}}"#).unwrap();
        assert_eq!(state["active_stage"], "read");
    }
}

#[test]
fn the_state_of_the_typescript_sdk_is_taken_over() {
    let mut guard = guard_of(DEV, "{}");
    let theirs = r#"{"sessionId":"s","activeStage":"push","completedStages":["read","review"],"approvals":{"review":"approved"},"evidence":{"reads":["a.md"],"stageCalls":{},"mcpResults":{}}}"#;
    guard.store.insert("s:s:workflow_state__dev".to_owned(), theirs.to_owned());
    let call = bash("git push");
    let decision = guard.begin(&call);
    assert_eq!(decision.action, Action::Allow, "{decision:?}");
    guard.finish(&call, &decision.ticket, "null");
    assert_eq!(state(&guard)["evidence"]["stage_calls"]["push"], serde_json::json!(["git push"]));
    assert_eq!(state(&guard)["completed_stages"], serde_json::json!(["read", "review"]));
}

#[test]
fn failures_and_observed_blocks_are_no_evidence() {
    let mut guard = guard_of(DEV, "{}");
    let call = read("a.md");
    let decision = guard.begin(&call);
    guard.finish(&call, &decision.ticket, r#""Error: no such file""#);
    assert!(!guard.store.contains_key(KEY), "nothing has changed, nothing is written");

    let mut guard = Guard::with(policy_with(&[&ruleset_in("observe", INERT)], Some(DEV), "{}"));
    let call = bash("ls");
    let decision = guard.begin(&call);
    assert_eq!((decision.action, decision.observed), (Action::Allow, true));
    assert_eq!(actions(&decision.events), ["call_would_block"]);
    guard.finish(&call, &decision.ticket, "null");
    assert_eq!(state(&guard)["evidence"]["stage_calls"], serde_json::json!({}));
}

#[test]
fn a_command_that_is_no_evidence_stops_nothing_and_leaves_nothing() {
    let mut guard = guard_of(DEV, "{}");
    guard.operate(r#"{"id":"o","do":"set_stage","stage_id":"push"}"#).unwrap();
    let before = guard.store[KEY].clone();
    let call = read("a\\u0001b");
    guard.operate(r#"{"id":"o","do":"set_stage","stage_id":"read"}"#).unwrap();
    let decision = guard.begin(&call);
    let conclusion = guard.finish(&call, &decision.ticket, "null");
    assert!(conclusion.success);
    assert_eq!(state(&guard)["evidence"]["reads"], serde_json::json!([]), "{before}");
    assert_eq!(state(&guard)["last_recorded_evidence"], Value::Null);
}

const RULES_ASK: &str =
    "- {id: ask-bash, type: pre, tool: Bash, when: {tool.name: {exists: true}}, then: {action: ask, message: run it?}}";

#[test]
fn a_rule_asks_first_then_the_stage_and_nobody_is_asked_twice() {
    let mut guard = has_read("{}");
    guard.policy = policy_with(&[&ruleset(RULES_ASK)], Some(DEV), "{}");
    let push = bash("git push");
    let first = guard.begin(&push);
    assert_eq!((first.action, first.name.as_str()), (Action::Ask, "ask-bash"));
    let second = guard.settle(&push, &first.ticket, ApprovalVerdict::Approved, NOW);
    assert_eq!((second.action, second.name.as_str()), (Action::Ask, "review"));
    let third = guard.settle(&push, &second.ticket, ApprovalVerdict::Approved, NOW);
    assert_eq!(third.action, Action::Allow, "{third:?}");
    assert_eq!(guard.store["s:s:attempts"], "2");
}

#[test]
fn nobody_is_asked_about_a_call_that_the_workflow_blocks() {
    let mut guard = guard_of(DEV, "{}");
    guard.policy = policy_with(&[&ruleset(RULES_ASK)], Some(DEV), "{}");
    let decision = guard.begin(&bash("git push"));
    assert_eq!((decision.action, decision.reason.as_str()), (Action::Block, "Read a.md first"));
}

#[test]
fn a_refused_approval_blocks_and_leaves_the_stage_where_it_was() {
    let mut guard = has_read("{}");
    let push = bash("git push");
    let asked = guard.begin(&push);
    let refused = guard.settle(&push, &asked.ticket, ApprovalVerdict::Rejected, NOW);
    assert_eq!((refused.action, refused.name.as_str()), (Action::Block, "review"));
    assert_eq!(actions(&refused.events), ["call_approval_blocked"]);
    let event = detail(&refused.events[0]);
    assert_eq!(event["workflow"]["pending_approval"]["required"], true);
    assert_eq!(state(&guard)["active_stage"], "review");
    let late = guard.settle(&push, &asked.ticket, ApprovalVerdict::Approved, NOW + 300_001);
    assert_eq!(late.action, Action::Block, "an approval after five minutes is none");
}

#[test]
fn an_approval_is_not_used_for_a_session_that_has_been_set_back() {
    let mut guard = has_read("{}");
    let push = bash("git push");
    let asked = guard.begin(&push);
    guard.operate(r#"{"id":"o","do":"reset"}"#).unwrap();
    let decision = guard.settle(&push, &asked.ticket, ApprovalVerdict::Approved, NOW);
    assert_eq!((decision.action, decision.reason.as_str()), (Action::Block, "Read a.md first"));
    assert_eq!(state(&guard)["approvals"], serde_json::json!({}));
}

#[test]
fn an_approval_is_kept_when_a_rule_blocks_the_call_after_all() {
    let mut guard = has_read("{}");
    let push = bash("git push");
    let asked = guard.begin(&push);
    let no_bash = "- {id: no-bash, type: pre, tool: Bash, when: {tool.name: {exists: true}}, then: {action: block, message: never}}";
    guard.policy = policy_with(&[&ruleset(no_bash)], Some(DEV), "{}");
    let decision = guard.settle(&push, &asked.ticket, ApprovalVerdict::Approved, NOW);
    assert_eq!((decision.action, decision.name.as_str()), (Action::Block, "no-bash"));
    assert_eq!(state(&guard)["approvals"], serde_json::json!({"review": "approved"}));
}

#[test]
fn after_32_approvals_of_one_call_enough_is_enough() {
    let stages: String = (0..40).map(|n| format!("  - id: r{n}\n    approval: {{message: again {n}}}\n")).collect();
    let many = format!("apiVersion: edictum/v1\nkind: Workflow\nmetadata: {{name: many}}\nstages:\n{stages}");
    let mut guard = guard_of(&many, "{}");
    let call = bash("ls");
    let mut decision = guard.begin(&call);
    let mut rounds = 0;
    while decision.action == Action::Ask {
        rounds += 1;
        decision = guard.settle(&call, &decision.ticket, ApprovalVerdict::Approved, NOW);
    }
    assert_eq!((rounds, decision.action, decision.name.as_str()), (32, Action::Block, "workflow_error"));
    assert!(decision.reason.contains("maximum approval rounds (32)"));
}

const EXEC: &str = r#"
apiVersion: edictum/v1
kind: Workflow
metadata: {name: dev}
stages:
  - id: build
    tools: [Edit]
    exit:
      - {condition: 'exec("make test", exit_code=0)', message: The tests fail}
      - {condition: 'exec("make lint")', message: The linter complains}
  - id: ship
    tools: [Bash]
"#;

#[test]
fn commands_are_asked_for_once_each_and_their_end_is_what_counts() {
    let mut guard = guard_of(EXEC, r#"{"exec_enabled":true}"#);
    guard.command = |argv| {
        Ok(CommandResult {
            exit_code: i32::from(argv[1] == "lint"),
            output: "token=sk-abcdefghijklmnopqrstuvwx".to_owned(),
        })
    };
    let decision = guard.begin(&bash("ls"));
    assert_eq!((decision.action, decision.reason.as_str()), (Action::Block, "The linter complains"));
    assert_eq!(guard.ran, [["make", "test"], ["make", "lint"]]);
    let records = detail(&decision.detail)["rules_evaluated"].to_string();
    assert!(records.contains("exit_code=1 output=") && !records.contains("sk-abc"), "{records}");

    guard.command = |_| Err("no such program".to_owned());
    let decision = guard.begin(&bash("ls"));
    assert_eq!((decision.action, decision.policy_error), (Action::Block, true));

    guard.command = |_| Ok(CommandResult { exit_code: 0, output: String::new() });
    assert_eq!(guard.begin(&bash("ls")).action, Action::Allow);
}

#[test]
fn a_finished_workflow_permits_everything_or_nothing() {
    let one = "apiVersion: edictum/v1\nkind: Workflow\nmetadata: {name: dev}\nstages:\n  - {id: only, tools: [Read], exit: [{condition: 'file_read(\"a.md\")', message: read}]}\n";
    for (options, action) in [("{}", Action::Allow), (r#"{"after_completion":"block"}"#, Action::Block)] {
        let mut guard = guard_of(one, options);
        let call = read("a.md");
        let decision = guard.begin(&call);
        let conclusion = guard.finish(&call, &decision.ticket, "null");
        assert_eq!(actions(&conclusion.events), ["call_executed", "workflow_completed"]);
        assert_eq!(state(&guard)["active_stage"], "");
        let after = guard.begin(&bash("ls"));
        assert_eq!(after.action, action, "{options}: {after:?}");
    }
}

#[test]
fn operations_say_what_they_cannot_do() {
    let mut guard = guard_of(DEV, "{}");
    for (command, code) in [
        (r#"{"id":"o","do":"set_stage","stage_id":"nowhere"}"#, "E_WF_UNKNOWN_STAGE"),
        (r#"{"id":"o","do":"approve"}"#, "E_COMMAND"),
        (r#"{"id":"o","do":"load"}"#, "E_COMMAND"),
        (r#"{"id":"o","do":"load","state":{}}"#, "E_WORKFLOW_STATE"),
        (r#"{"id":"o","do":"jump","stage_id":"push"}"#, "E_COMMAND"),
    ] {
        assert_eq!(guard.operate(command).unwrap_err(), code, "{command}");
    }
    let (state, events) = guard.operate(r#"{"id":"o","do":"set_stage","stage_id":"review"}"#).unwrap();
    assert_eq!(state["pending_approval"]["message"], "May it be pushed?");
    assert_eq!(actions(&events), ["workflow_state_updated"]);
    let (state, events) = guard.operate(r#"{"id":"o","do":"approve","stage_id":"review"}"#).unwrap();
    assert_eq!((state["approvals"]["review"].as_str(), events.len()), (Some("approved"), 0));
    let mut bare = Guard::new(&[&ruleset(INERT)], "{}");
    assert_eq!(bare.operate(r#"{"id":"o","do":"state"}"#).unwrap_err(), "E_NO_WORKFLOW");
}

#[test]
fn evidence_is_kept_when_the_last_gate_cannot_be_judged() {
    let last = "apiVersion: edictum/v1\nkind: Workflow\nmetadata: {name: dev}\nstages:\n  - {id: only, tools: [Read], exit: [{condition: 'exec(\"check\")', message: no}]}\n".replace("message: no}", "message: not yet}");
    let mut guard = guard_of(&last, r#"{"exec_enabled":true}"#);
    let call = read("a.md");
    let decision = guard.begin(&call);
    let conclusion = guard.finish(&call, &decision.ticket, "null");
    assert!(conclusion.success && detail(&conclusion.detail)["policy_error"] == true, "{conclusion:?}");
    assert_eq!(state(&guard)["evidence"]["reads"], serde_json::json!(["a.md"]));
    assert_eq!(state(&guard)["active_stage"], "only");
}

#[test]
fn what_is_forbidden_here_and_what_the_next_stage_waits_for_are_told_apart() {
    let stages = r#"
apiVersion: edictum/v1
kind: Workflow
metadata: {name: dev}
stages:
  - id: work
    tools: [Bash]
    checks: [{command_not_matches: "^git push", message: Not from here}]
    exit: [{condition: 'command_matches("^make$")', message: Make it first}]
  - id: push
    entry: [{condition: 'file_read("ok.txt")', message: Read ok.txt first}]
    tools: [Bash]
    checks: [{command_matches: "^git push", message: Only push}]
  - id: done
    terminal: true
"#;
    let mut guard = guard_of(stages, "{}");
    assert_eq!(guard.begin(&bash("git push")).reason, "Not from here");
    let make = bash("make");
    let decision = guard.begin(&make);
    guard.finish(&make, &decision.ticket, "null");
    assert_eq!(guard.begin(&bash("git push")).reason, "Read ok.txt first");
    let mut reference = guard_of(stages, r#"{"compat":"python-0.19"}"#);
    let decision = reference.begin(&make);
    reference.finish(&make, &decision.ticket, "null");
    assert_eq!(reference.begin(&bash("git push")).reason, "Not from here");
}

#[test]
fn two_hundred_implicit_stages_are_looked_through_once() {
    let stages: String = (0..200).map(|n| format!("  - {{id: s{n}, tools: [T{n}]}}\n")).collect();
    let many = format!("apiVersion: edictum/v1\nkind: Workflow\nmetadata: {{name: dev}}\nstages:\n{stages}");
    let mut guard = guard_of(&many, "{}");
    let refused = guard.begin(&call("T200", "{}"));
    assert_eq!((refused.action, refused.name.as_str()), (Action::Block, "s0"), "nothing is left for nothing");
    assert_eq!(state(&guard)["completed_stages"], serde_json::json!([]));
    let decision = guard.begin(&call("T199", "{}"));
    assert_eq!(decision.action, Action::Allow);
    assert_eq!(decision.events.len(), 200, "199 stages left, one call allowed");
    assert_eq!(state(&guard)["active_stage"], "s199");
    assert_eq!(state(&guard)["completed_stages"].as_array().unwrap().len(), 199);
}
