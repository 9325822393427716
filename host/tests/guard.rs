//! Calls from their beginning to their end, in the real component: what is allowed, blocked, asked, counted, kept and
//! closed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::sync::Arc;
use std::thread;

use edictum_host::callback::ApprovalVerdict;
use edictum_host::{Action, CallRequest, Ran, Ruleset, ToolOutcome};
use support::{DEPLOY, FROZEN, LS, MINUTE, READ, RM, RULES, approval, build, guard, guard_on, host, on_disk, rules};

#[test]
fn a_blocked_call_is_over_and_an_allowed_one_open_until_it_is_finished() {
    let (guard, log) = guard(&host(), RULES);
    let guard = guard.blocking();
    let blocked = guard.begin(CallRequest::new(RM).call_id("c1")).unwrap();
    assert_eq!((blocked.action, blocked.name.as_str()), (Action::Block, "no-rm"));
    assert_eq!(blocked.reason, "Not rm -rf /.");
    assert_eq!(guard.finish("c1", ToolOutcome::new("1")).unwrap_err().code(), "not-found");

    let allowed = guard.begin(CallRequest::new(LS).call_id("c2")).unwrap();
    assert!(allowed.is_allowed() && allowed.reason.is_empty() && !allowed.policy_error);
    let end = guard.finish("c2", ToolOutcome::new("\"files\"")).unwrap();
    assert!(end.success && end.passed && end.replacement.is_none());
    assert_eq!(guard.finish("c2", ToolOutcome::new("1")).unwrap_err().code(), "not-found", "only once");
    assert_eq!(log.actions(), ["call_blocked", "call_allowed", "call_executed"]);
}

#[test]
fn counters_are_the_sessions_and_can_be_set() {
    let (guard, _) = guard(&host(), RULES);
    let guard = guard.blocking();
    for (session, call) in [("a", RM), ("a", LS), ("b", LS)] {
        let decision = guard.begin(CallRequest::new(call).session(session)).unwrap();
        if decision.is_allowed() {
            guard.finish(&decision.call_id, ToolOutcome::failure("no")).unwrap();
        }
    }
    let counters = |session, command| -> serde_json::Value {
        serde_json::from_str(&guard.operate(session, command).unwrap()).unwrap()
    };
    let of_a = counters("a", r#"{"do":"counters"}"#);
    assert_eq!((&of_a["attempts"], &of_a["execs"], &of_a["consec_fail"]), (&2.into(), &1.into(), &1.into()));
    assert_eq!(counters("b", r#"{"do":"counters"}"#)["attempts"], 1);
    let set = counters("b", r#"{"do":"counters","set":{"attempts":41,"tool:sh":7}}"#);
    assert_eq!((&set["attempts"], &set["tools"]["sh"]), (&41.into(), &7.into()));
    assert!(guard.operate("b", r#"{"do":"nothing"}"#).is_err());
}

#[test]
fn the_same_id_twice_is_refused_and_counts_nothing() {
    let (guard, _) = guard(&host(), RULES);
    let guard = guard.blocking();
    guard.begin(CallRequest::new(LS).session("s").call_id("c")).unwrap();
    assert_eq!(guard.begin(CallRequest::new(LS).session("s").call_id("c")).unwrap_err().code(), "conflict");
    assert!(guard.operate("s", r#"{"do":"counters"}"#).unwrap().contains(r#""attempts":1"#));
    for call_id in [String::new(), "x".repeat(1025)] {
        assert_eq!(guard.begin(CallRequest::new(LS).call_id(&call_id)).unwrap_err().code(), "bad-request");
    }
}

#[test]
fn texts_are_never_parsed_and_printed_again() {
    let (guard, log) = guard(&host(), RULES);
    let call = r#"{"tool":"read","args":{"a":1.0,"b":12345678901234567890,"c":1e2,"d":"\u00e9"}}"#;
    let seen = guard.blocking().run(call, ToolOutcome::new).unwrap();
    let Ran::Finished { output, .. } = seen else { panic!("{seen:?}") };
    assert_eq!(output, r#"{"a":1.0,"b":12345678901234567890,"c":1e2,"d":"\u00e9"}"#);
    let event = log.texts().remove(0);
    assert!(event.contains("12345678901234567890") && event.contains("1.0"), "{event}");
}

#[test]
fn a_redacted_output_takes_the_place_of_what_the_tool_returned() {
    let (guard, _) = guard(&host(), RULES);
    let ran = guard.blocking().run(READ, |_| ToolOutcome::new("\"key sk-abc\"")).unwrap();
    let Ran::Finished { output, conclusion, .. } = ran else { panic!("{ran:?}") };
    assert_eq!(output, "\"key [REDACTED]\"");
    assert_eq!(conclusion.detail("redacted"), Some("true"));
    let ran = guard.blocking().run(RM, |_| panic!("a blocked tool must not run")).unwrap();
    assert!(matches!(ran, Ran::Blocked(decision) if decision.name == "no-rm"));
}

#[test]
fn an_approval_lets_a_call_through_and_a_refusal_does_not() {
    let (guard, log) = guard(&host(), RULES);
    let guard = guard.blocking();
    for (call_id, verdict, action) in
        [("yes", ApprovalVerdict::Approved, Action::Allow), ("no", ApprovalVerdict::Rejected, Action::Block)]
    {
        let asked = guard.begin(CallRequest::new(DEPLOY).call_id(call_id)).unwrap();
        assert_eq!(asked.action, Action::Ask);
        assert!(asked.approval.unwrap().contains("Deploy?"));
        assert_eq!(guard.finish(call_id, ToolOutcome::new("1")).unwrap_err().code(), "conflict", "nobody said yes yet");
        assert_eq!(guard.settle(call_id, approval(verdict)).unwrap().action, action);
        assert!(guard.settle(call_id, approval(verdict)).is_err(), "only once");
    }
    guard.finish("yes", ToolOutcome::new("1")).unwrap();
    assert_eq!(guard.settle("other", approval(ApprovalVerdict::Approved)).unwrap_err().code(), "not-found");
    assert!(log.actions().contains(&"call_approval_granted".to_owned()), "{:?}", log.actions());
}

#[test]
fn an_approval_that_nobody_gives_times_out() {
    let host = host();
    let (guard, log) = guard(&host, RULES);
    guard.blocking().begin(CallRequest::new(DEPLOY).call_id("c")).unwrap();
    let settled = guard.settled("c");
    let waiting = thread::spawn(move || pollster::block_on(settled));
    host.clock().set(host.clock().now() + 59_000);
    pollster::block_on(guard.run_due());
    assert_eq!(log.actions(), ["call_asked"], "not yet");
    host.clock().set(host.clock().now() + 2_000);
    // By its timer: nobody calls `run_due`.
    assert_eq!(waiting.join().unwrap().unwrap().action, Action::Block);
    assert!(log.actions().contains(&"call_approval_timeout".to_owned()), "{:?}", log.actions());
    let late = guard.blocking().settle("c", approval(ApprovalVerdict::Approved));
    assert_eq!(late.unwrap().action, Action::Block, "what the deadline decided");
}

#[test]
fn a_call_that_nobody_finishes_is_closed_as_abandoned() {
    let host = host();
    let (guard, log) = guard(&host, RULES);
    guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap();
    host.clock().set(host.clock().now() + 59 * MINUTE);
    pollster::block_on(guard.run_due());
    assert_eq!(log.actions(), ["call_allowed"]);
    host.clock().set(host.clock().now() + 2 * MINUTE);
    pollster::block_on(guard.run_due());
    assert_eq!(log.actions(), ["call_allowed", "call_failed"]);
    assert!(log.texts()[1].contains("abandoned"));
    assert_eq!(guard.blocking().finish("c", ToolOutcome::new("1")).unwrap_err().code(), "not-found");
}

#[test]
fn an_ask_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    {
        let (guard, _) = guard_on(&host(), RULES, on_disk(folder.path()));
        for call_id in ["settled", "late"] {
            let call = CallRequest::new(DEPLOY).session("s").call_id(call_id);
            assert_eq!(guard.blocking().begin(call).unwrap().action, Action::Ask);
        }
        guard.blocking().begin(CallRequest::new(LS).session("s").call_id("running")).unwrap();
    }
    let host = host();
    let (guard, log) = guard_on(&host, RULES, on_disk(folder.path()));
    let open = pollster::block_on(guard.open_calls(10)).unwrap();
    assert_eq!(open.len(), 3);
    let settled = guard.blocking().settle("settled", approval(ApprovalVerdict::Approved)).unwrap();
    assert_eq!(settled.action, Action::Allow);
    guard.blocking().finish("settled", ToolOutcome::new("1")).unwrap();
    guard.blocking().finish("running", ToolOutcome::new("1")).unwrap();
    host.clock().set(host.clock().now() + 2 * MINUTE);
    pollster::block_on(guard.run_due());
    assert!(log.actions().contains(&"call_approval_timeout".to_owned()), "{:?}", log.actions());
    let counters = guard.blocking().operate("s", r#"{"do":"counters"}"#).unwrap();
    assert!(counters.contains(r#""attempts":3"#) && counters.contains(r#""execs":2"#), "{counters}");
}

#[test]
fn another_guard_does_not_see_the_open_calls_of_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let host = host();
    let (guard, _) = guard_on(&host, RULES, on_disk(folder.path()));
    guard.blocking().begin(CallRequest::new(DEPLOY).call_id("c")).unwrap();
    let other = build(host.guard("other").ruleset(rules(RULES)).store(on_disk(folder.path())));
    let refused = other.blocking().settle("c", approval(ApprovalVerdict::Approved));
    assert_eq!(refused.unwrap_err().code(), "not-found");
    other.blocking().begin(CallRequest::new(DEPLOY).call_id("c")).unwrap();
}

#[test]
fn of_two_processes_that_settle_a_call_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let guards: Vec<_> = (0..3).map(|_| guard_on(&host(), RULES, on_disk(folder.path()))).collect();
    for round in 0..10 {
        let call_id = format!("c{round}");
        guards[0].0.blocking().begin(CallRequest::new(DEPLOY).call_id(&call_id)).unwrap();
        let settle = |index: usize| guards[index].0.blocking().settle(&call_id, approval(ApprovalVerdict::Approved));
        let settled = thread::scope(|scope| {
            let racers: Vec<_> = (0..3).map(|index| scope.spawn(move || settle(index).is_ok())).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).filter(|settled| *settled).count()
        });
        assert_eq!(settled, 1, "round {round}");
    }
    let granted: usize = guards
        .iter()
        .map(|(_, log)| log.actions().iter().filter(|action| *action == "call_approval_granted").count())
        .sum();
    assert_eq!(granted, 10);
}

#[test]
fn an_approval_does_not_outweigh_rules_that_block_by_now() {
    let (guard, _) = guard(&host(), RULES);
    guard.blocking().begin(CallRequest::new(DEPLOY).call_id("c")).unwrap();
    let before = guard.policy_version();
    let after = guard.blocking().reload(vec![rules(FROZEN)]).unwrap();
    assert_ne!(before, after);
    assert_eq!(guard.policy_version(), after);
    let decision = guard.blocking().settle("c", approval(ApprovalVerdict::Approved)).unwrap();
    assert_eq!((decision.action, decision.name.as_str()), (Action::Block, "frozen"));
}

#[test]
fn rules_that_do_not_load_leave_the_old_ones_in_force() {
    let (guard, _) = guard(&host(), RULES);
    let before = guard.policy_version();
    let error = guard.blocking().reload(vec![rules(&RULES.replace("starts_with", "starts-with"))]).unwrap_err();
    assert!(!error.diagnostics().is_empty(), "{error}");
    assert_eq!(guard.policy_version(), before);
    assert_eq!(guard.blocking().begin(RM).unwrap().action, Action::Block);
}

#[test]
fn of_many_calls_at_once_a_limit_lets_as_many_through_as_it_says() {
    let limited = "\
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: limited}
defaults: {mode: enforce}
rules:
  - {id: few, type: session, limits: {max_attempts: 21}, then: {action: block, message: enough}}
";
    let folder = tempfile::tempdir().unwrap();
    let stores: [Arc<dyn edictum_host::store::Store>; 2] =
        [Arc::new(edictum_host::store::MemoryStore::new()), on_disk(folder.path())];
    for store in stores {
        let (guard, _) = guard_on(&host(), limited, store);
        let begin = || (0..10).filter(|_| guard.blocking().begin(LS).unwrap().is_allowed()).count();
        let allowed: usize = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(allowed, 20);
    }
}

#[test]
fn a_closed_guard_lets_nothing_through() {
    let (guard, _) = guard(&host(), RULES);
    guard.blocking().begin(CallRequest::new(DEPLOY).call_id("c")).unwrap();
    let settled = guard.settled("c");
    guard.blocking().close();
    assert_eq!(pollster::block_on(settled).unwrap_err().code(), "closed");
    assert_eq!(guard.blocking().begin(LS).unwrap_err().code(), "closed");
    assert_eq!(guard.blocking().evaluate(LS, None).unwrap_err().code(), "closed");
    assert_eq!(guard.blocking().finish("c", ToolOutcome::new("1")).unwrap_err().code(), "closed");
}

#[test]
fn a_dry_run_counts_nothing() {
    let (guard, log) = guard(&host(), RULES);
    let result = guard.blocking().evaluate(RM, None).unwrap();
    assert!(result.contains(r#""decision":"block""#), "{result}");
    let result = guard.blocking().evaluate(READ, Some("\"sk-abc\"")).unwrap();
    assert!(result.contains(r#""decision":"warn""#), "{result}");
    let counters = guard.blocking().operate(guard.session_id(), r#"{"do":"counters"}"#).unwrap();
    assert!(counters.contains(r#""attempts":0"#), "{counters}");
    assert!(log.actions().is_empty());
}

#[test]
fn a_call_that_is_no_object_is_refused() {
    let (guard, _) = guard(&host(), RULES);
    for call in ["", "[]", "{", r#"{"tool":"sh"} x"#] {
        assert_eq!(guard.blocking().begin(call).unwrap_err().code(), "bad-request", "{call}");
        assert_eq!(guard.blocking().evaluate(call, None).unwrap_err().code(), "bad-request", "{call}");
    }
    for call in ["{}", r#"{"tool":"a/b","args":{}}"#, r#"{"tool":"sh","args":[]}"#] {
        let decision = guard.blocking().begin(call).unwrap();
        assert_eq!((decision.action, decision.policy_error), (Action::Block, true), "{call}");
    }
}

#[test]
fn guards_work_inside_a_runtime_and_without_one() {
    let host = host();
    let (guard, _) = guard(&host, RULES);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let decision = runtime.block_on(async { guard.begin(LS).await.unwrap() });
    assert!(decision.is_allowed());
    let decision = runtime.block_on(async { guard.blocking().begin(LS).unwrap() });
    assert!(decision.is_allowed(), "the blocking form too");
    runtime.block_on(async move {
        drop(guard);
        drop(host);
    });
}

#[test]
fn a_reload_adds_tools_and_removes_none() {
    const POST: &str = "rules:\n  - {id: r, type: post, tool: '*', when: {output.text: {contains: x}}, then: {action: warn, message: seen}}\n";
    let text = |tools: &str| {
        format!(
            "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: t}}\ndefaults: {{mode: enforce}}\n{tools}{POST}"
        )
    };
    let first = text("tools: {Fetch: {side_effect: read}, Send: {side_effect: read}}\n");
    let second = text("tools: {Send: {side_effect: write}}\n");
    let host = host();
    let guard = host
        .guard("tools")
        .ruleset(Ruleset::new("one.yaml", first))
        .options(r#"{"tools":{"Own":{"side_effect":"pure"}}}"#);
    let guard = pollster::block_on(guard.build()).unwrap();
    pollster::block_on(guard.reload(vec![Ruleset::new("two.yaml", second)])).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&guard.summary()).unwrap();
    let class = |tool: &str| summary["tools"][tool]["side_effect"].as_str().unwrap_or("none").to_owned();
    assert_eq!([class("Fetch"), class("Send"), class("Own")], ["read", "write", "pure"]);
}
