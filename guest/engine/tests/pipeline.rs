//! The pipeline as a host sees it: decisions, reasons, events and counters (engine.md §7, §8).

mod guard;

use edictum_engine::inquiry::{Action, ApprovalVerdict, Fault, Step, Verdict};
use guard::{Guard, NOW, actions, call, detail, ruleset, ruleset_in};

const NO_RM: &str = "- {id: no-rm, type: pre, tool: Bash, when: {args.command: {contains: 'rm -rf'}}, then: {action: block, message: 'no {args.command}', tags: [fs]}}";
const ASK_DEPLOY: &str = "- {id: ask-deploy, type: pre, tool: Deploy, when: {args.to: {equals: prod}}, then: {action: ask, message: deploy to {args.to}?, timeout: 60}}";

fn quoted(rule: &str) -> String {
    rule.replace("deploy to {args.to}?", "'deploy to {args.to}?'")
}

#[test]
fn an_allowed_call_is_counted_logged_and_finished() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    let call = call("Bash", r#"{"command":"ls"}"#);
    let decision = guard.begin(&call);
    assert_eq!(decision.action, Action::Allow);
    assert_eq!((decision.reason.as_str(), decision.name.as_str()), ("", ""));
    assert_eq!(actions(&decision.events), ["call_allowed"]);
    let conclusion = guard.finish(&call, &decision.ticket, r#""ok""#);
    assert!(conclusion.success && conclusion.passed && conclusion.replacement.is_none());
    assert_eq!(actions(&conclusion.events), ["call_executed"]);
    assert_eq!(guard.store["s:s:attempts"], "1");
    assert_eq!(guard.store["s:s:execs"], "1");
    assert_eq!(guard.store["s:s:tool:Bash"], "1");
    assert!(!guard.store.contains_key("s:s:consec_fail"));
    // One inquiry before the tool and one after: design.md §6.
    assert_eq!(guard.rounds, 2);
}

#[test]
fn a_block_ends_the_call() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    let call = call("Bash", r#"{"command":"rm -rf /"}"#);
    let decision = guard.begin(&call);
    assert_eq!(decision.action, Action::Block);
    assert_eq!(decision.reason, "no rm -rf /");
    assert_eq!(decision.name, "no-rm");
    assert!(!decision.policy_error);
    let detail = detail(&decision.detail);
    assert_eq!(detail["decision_source"], "yaml_precondition");
    assert_eq!(detail["rules_evaluated"][0]["metadata"]["tags"][0], "fs");
    assert_eq!(actions(&decision.events), ["call_blocked"]);
    assert_eq!(guard.store["s:s:attempts"], "1");
    // A closed call cannot be finished.
    let conclusion = guard.finish(&call, &decision.ticket, r#""ok""#);
    assert!(!conclusion.success);
    assert!(conclusion.replacement.unwrap().contains("OUTPUT SUPPRESSED"));
}

#[test]
fn an_observing_guard_lets_blocked_calls_run_and_says_so() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], r#"{"mode":"observe"}"#);
    let call = call("Bash", r#"{"command":"rm -rf /"}"#);
    let decision = guard.begin(&call);
    assert_eq!(decision.action, Action::Allow);
    assert!(decision.observed);
    assert_eq!(decision.reason, "no rm -rf /");
    assert_eq!(actions(&decision.events), ["call_would_block"]);
    assert_eq!(actions(&guard.finish(&call, &decision.ticket, "null").events), ["call_executed"]);
}

#[test]
fn observing_rules_are_recorded_and_change_nothing() {
    let mut guard = Guard::new(&[&ruleset_in("observe", NO_RM)], r#"{"mode":"enforce"}"#);
    let decision = guard.begin(&call("Bash", r#"{"command":"rm -rf /"}"#));
    assert_eq!(decision.action, Action::Allow);
    assert!(decision.observed);
    assert_eq!(decision.reason, "");
    assert_eq!(actions(&decision.events), ["call_would_block", "call_allowed"]);
}

#[test]
fn attempts_and_executions_are_limited_with_the_known_texts() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], r#"{"limits":{"max_attempts":3}}"#);
    let ls = call("Bash", r#"{"command":"ls"}"#);
    for expected in [Action::Allow, Action::Allow, Action::Block] {
        assert_eq!(guard.begin(&ls).action, expected);
    }
    let decision = guard.begin(&ls);
    assert_eq!(decision.reason, "Attempt limit reached (3). Agent may be stuck in a retry loop. Stop and reassess.");
    assert_eq!(detail(&decision.detail)["decision_source"], "attempt_limit");

    let mut guard = Guard::new(&[&ruleset(NO_RM)], r#"{"limits":{"max_calls_per_tool":{"Bash":1}}}"#);
    let decision = guard.begin(&ls);
    guard.finish(&ls, &decision.ticket, "1");
    let decision = guard.begin(&ls);
    assert_eq!(decision.reason, "Per-tool limit: Bash called 1 times (limit: 1).");
    assert_eq!(decision.name, "max_calls_per_tool:Bash");
}

#[test]
fn a_session_rule_blocks_with_its_own_message_verbatim() {
    let rule = "- {id: budget, type: session, limits: {max_tool_calls: 1}, then: {action: block, message: 'at most {args.x}'}}";
    let mut guard = Guard::new(&[&ruleset(rule)], "{}");
    let ls = call("Bash", r#"{"command":"ls"}"#);
    let decision = guard.begin(&ls);
    guard.finish(&ls, &decision.ticket, "1");
    let decision = guard.begin(&ls);
    assert_eq!((decision.name.as_str(), decision.reason.as_str()), ("budget", "at most {args.x}"));
    assert_eq!(detail(&decision.detail)["decision_source"], "yaml_session");
}

#[test]
fn an_ask_is_granted_refused_or_times_out() {
    let deploy = call("Deploy", r#"{"to":"prod"}"#);
    let ask = quoted(ASK_DEPLOY);
    for (verdict, now, action, events) in [
        (ApprovalVerdict::Approved, NOW + 1, Action::Allow, vec!["call_approval_granted", "call_allowed"]),
        (ApprovalVerdict::Rejected, NOW + 1, Action::Block, vec!["call_approval_blocked"]),
        (ApprovalVerdict::Unreachable, NOW + 1, Action::Block, vec!["call_approval_blocked"]),
        (ApprovalVerdict::TimedOut, NOW + 1, Action::Block, vec!["call_approval_timeout"]),
        // Too late is no answer.
        (ApprovalVerdict::Approved, NOW + 60_001, Action::Block, vec!["call_approval_timeout"]),
    ] {
        let mut guard = Guard::new(&[&ruleset(&ask)], "{}");
        let asked = guard.begin(&deploy);
        assert_eq!(asked.action, Action::Ask);
        assert_eq!(actions(&asked.events), ["call_asked"]);
        let approval = detail(asked.approval.as_ref().unwrap());
        assert_eq!(approval["message"], "deploy to prod?");
        assert_eq!(approval["deadline_ms"], NOW + 60_000);
        let settled = guard.settle(&deploy, &asked.ticket, verdict, now);
        assert_eq!(settled.action, action, "{verdict:?}");
        assert_eq!(actions(&settled.events), events, "{verdict:?}");
        assert_eq!(guard.store["s:s:attempts"], "1");
    }
}

#[test]
fn a_block_outweighs_an_approval_and_nobody_is_asked_about_a_blocked_call() {
    let rules = format!(
        "{}\n- {{id: no-prod, type: pre, tool: Deploy, when: {{args.to: {{exists: true}}}}, then: {{action: block, message: frozen}}}}",
        quoted(ASK_DEPLOY)
    );
    let mut guard = Guard::new(&[&ruleset(&rules)], "{}");
    let deploy = call("Deploy", r#"{"to":"prod"}"#);
    let decision = guard.begin(&deploy);
    assert_eq!((decision.action, decision.name.as_str()), (Action::Block, "no-prod"));

    // Begun under one set of rules, settled under another.
    let mut guard = Guard::new(&[&ruleset(&quoted(ASK_DEPLOY))], "{}");
    let asked = guard.begin(&deploy);
    guard.policy = guard::policy(&[&ruleset(&rules)], "{}");
    let settled = guard.settle(&deploy, &asked.ticket, ApprovalVerdict::Approved, NOW + 1);
    assert_eq!((settled.action, settled.name.as_str()), (Action::Block, "no-prod"));
    assert_eq!(actions(&settled.events), ["call_approval_granted", "call_blocked"]);
}

#[test]
fn an_ask_that_nobody_can_answer_blocks() {
    let mut guard = Guard::new(&[&ruleset(&quoted(ASK_DEPLOY))], r#"{"approvals":"none"}"#);
    let decision = guard.begin(&call("Deploy", r#"{"to":"prod"}"#));
    assert_eq!(decision.action, Action::Block);
    assert_eq!(decision.reason, "Approval required but no approval backend configured: deploy to prod?");
    assert_eq!(actions(&decision.events), ["call_blocked"]);
}

#[test]
fn hooks_count_in_their_order_and_a_failing_hook_blocks() {
    let options = r#"{"hooks":[{"name":"one","before":true},{"name":"two","tools":"Ba*","before":true}]}"#;
    let ls = call("Bash", r#"{"command":"ls"}"#);
    let mut guard = Guard::new(&[&ruleset(NO_RM)], options);
    guard.hooks.insert("one".to_owned(), Ok(Verdict::Skip));
    guard.hooks.insert("two".to_owned(), Ok(Verdict::Refuse("not now".to_owned())));
    let decision = guard.begin(&ls);
    assert_eq!((decision.action, decision.name.as_str(), decision.reason.as_str()), (Action::Block, "two", "not now"));
    assert_eq!(detail(&decision.detail)["hooks_evaluated"].as_array().unwrap().len(), 1);

    guard.hooks.insert("two".to_owned(), Err("password=hunter2 exploded".to_owned()));
    let decision = guard.begin(&ls);
    assert!(decision.policy_error);
    assert!(!decision.reason.contains("exploded"));
}

#[test]
fn a_lost_store_blocks_and_an_observing_guard_says_policy_error() {
    let ls = call("Bash", r#"{"command":"ls"}"#);
    for (mode, action) in [("enforce", Action::Block), ("observe", Action::Allow)] {
        let mut guard = Guard::new(&[&ruleset(NO_RM)], &format!(r#"{{"mode":"{mode}"}}"#));
        guard.store_down = true;
        let decision = guard.begin(&ls);
        assert_eq!(decision.action, action);
        assert!(decision.policy_error);
        assert_eq!(decision.observed, mode == "observe");
        assert_eq!(decision.name, "store");
    }
}

#[test]
fn another_call_text_or_a_foreign_ticket_is_a_block() {
    let guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    let ls = call("Bash", r#"{"command":"ls"}"#);
    let Step::Ask(inquiry) = guard.policy.begin(&ls, NOW) else { panic!("counters are asked for") };
    let other = call("Bash", r#"{"command":"rm -rf /"}"#);
    for (text, ticket) in [(&other, inquiry.ticket.as_str()), (&ls, "{}"), (&ls, "nonsense")] {
        let Step::Done(decision) = guard.policy.resume_begin(text, ticket, Vec::new(), NOW) else { panic!() };
        assert_eq!(decision.action, Action::Block);
        assert!(decision.policy_error);
    }
    // The right ticket with no answers is the host's mistake, and blocks as well.
    let Step::Done(decision) = guard.policy.resume_begin(&ls, &inquiry.ticket, Vec::new(), NOW) else { panic!() };
    assert_eq!((decision.action, decision.policy_error), (Action::Block, true));
}

#[test]
fn invalid_calls_are_blocked_before_anything_is_counted() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    for (text, name) in [
        (call("", "{}"), "invalid_tool_name"),
        (call("a\0b", "{}"), "invalid_tool_name"),
        ("{\"tool\":\"Bash\"".to_owned(), "invalid_json"),
        (call("Bash", r#"{"a":1,"a":2}"#), "duplicate_key"),
    ] {
        let decision = guard.begin(&text);
        assert_eq!((decision.action, decision.name.as_str()), (Action::Block, name), "{text}");
        assert!(decision.policy_error);
        assert_eq!(actions(&decision.events), ["call_blocked"]);
    }
    assert!(guard.store.is_empty());
}

#[test]
fn a_tool_name_with_a_slash_is_blocked_with_the_words_of_the_rules() {
    let rule = "- {id: mcp, type: pre, tool: 'mcp*', when: {tool.name: {contains: delete}}, then: {action: block, message: MCP deletes are blocked}}";
    let mut guard = Guard::new(&[&ruleset(rule)], "{}");
    let decision = guard.begin(&call("mcp/delete", "{}"));
    assert_eq!((decision.action, decision.reason.as_str()), (Action::Block, "MCP deletes are blocked"));
    let decision = guard.begin(&call("mcp/list", "{}"));
    assert_eq!((decision.action, decision.name.as_str()), (Action::Block, "invalid_tool_name"));
}

#[test]
fn faults_block_and_after_the_tool_ran_they_suppress() {
    let guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    let ls = call("Bash", r#"{"command":"ls"}"#);
    let decision = guard.policy.fault(&ls, None, Fault::Trap, NOW);
    assert_eq!((decision.action, decision.name.as_str()), (Action::Block, "trap"));
    let mut guard = guard;
    let open = guard.begin(&ls);
    let conclusion = guard.policy.fault_finish(&ls, &open.ticket, Fault::Abandoned, NOW);
    assert_eq!(actions(&conclusion.events), ["call_failed"]);
    let event = detail(&conclusion.events[0]);
    assert_eq!(event["error"], "abandoned");
    assert_eq!(event["event_id"], "c1-1");
    assert!(conclusion.replacement.is_some());
}

#[test]
fn postconditions_warn_redact_and_suppress_on_every_side_effect() {
    let rules = r#"- {id: warn, type: post, tool: "*", when: {output.text: {contains: odd}}, then: {action: warn, message: odd output}}
- {id: cut, type: post, tool: "*", when: {output.text: {matches: 'sk-[a-z]+'}}, then: {action: redact, message: key}}
- {id: stop, type: post, tool: "*", when: {output.text: {contains: secret}}, then: {action: block, message: 'no {output.text}'}}"#;
    let mut guard = Guard::new(&[&ruleset(rules)], r#"{"tools":{"Look":{"side_effect":"read"}}}"#);
    for (tool, output, replacement, warnings) in [
        ("Look", r#""plain""#, None, vec![]),
        ("Look", r#""odd""#, None, vec!["⚠️ odd output Consider retrying."]),
        ("Act", r#""odd""#, None, vec!["⚠️ odd output Tool already executed — assess before proceeding."]),
        ("Look", r#""x sk-abc y sk-d""#, Some(r#""x [REDACTED] y [REDACTED]""#), vec!["⚠️ Content redacted by cut."]),
        (
            "Act",
            r#""x sk-abc""#,
            Some(r#""x [REDACTED]""#),
            vec!["⚠️ Content redacted by cut. Tool already executed — assess before proceeding."],
        ),
        (
            "Look",
            r#"{"a":"sk-abc","n":1.0,"l":["sk-x",true]}"#,
            Some(r#"{"a":"[REDACTED]","n":1.0,"l":["[REDACTED]",true]}"#),
            vec!["⚠️ Content redacted by cut."],
        ),
        (
            "Look",
            r#""secret""#,
            Some(r#""[OUTPUT SUPPRESSED] no {output.text}""#),
            vec!["⚠️ Output suppressed by stop."],
        ),
    ] {
        let call = call(tool, "{}");
        let open = guard.begin(&call);
        let conclusion = guard.finish(&call, &open.ticket, output);
        assert_eq!(conclusion.replacement.as_deref(), replacement, "{output}");
        assert_eq!(conclusion.warnings, warnings, "{output}");
        assert_eq!(conclusion.passed, warnings.is_empty());
    }
}

#[test]
fn failing_tools_are_counted_as_failures() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    let ls = call("Bash", r#"{"command":"ls"}"#);
    for (output, success, streak) in [
        (r#""Error: no""#, false, Some("1")),
        (r#""FATAL: no""#, false, Some("2")),
        (r#"{"is_error":1}"#, false, Some("3")),
        (r#"{"is_error":0}"#, true, None),
        (r#"" error: no""#, true, None),
        ("null", true, None),
    ] {
        let open = guard.begin(&ls);
        let conclusion = guard.finish(&ls, &open.ticket, output);
        assert_eq!(conclusion.success, success, "{output}");
        assert_eq!(guard.store.get("s:s:consec_fail").map(String::as_str), streak, "{output}");
    }
}

#[test]
fn proposed_rules_are_judged_beside_the_others() {
    let proposed = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: next}\ndefaults: {mode: enforce}\nobserve_alongside: true\nrules:\n  - {id: no-ls, type: pre, tool: Bash, when: {args.command: {equals: ls}}, then: {action: block, message: no ls}}\n";
    let mut guard = Guard::new(&[&ruleset(NO_RM), proposed], "{}");
    let decision = guard.begin(&call("Bash", r#"{"command":"ls"}"#));
    assert_eq!(decision.action, Action::Allow);
    assert!(!decision.observed);
    assert_eq!(actions(&decision.events), ["call_allowed", "call_would_block"]);
    let detail = detail(&decision.detail);
    assert_eq!(detail["observe_results"][0]["name"], "no-ls:candidate");
    let result = guard.evaluate(&call("Bash", r#"{"command":"ls"}"#), None);
    assert_eq!(result["decision"], "allow");
    assert_eq!(result["rules"][1]["observed"], true);
}

#[test]
fn custom_operators_selectors_and_resolvers_are_asked() {
    let rules =
        "- {id: big, type: pre, tool: '*', when: {args.n: {divides: 12}}, then: {action: block, message: divides}}
- {id: team, type: pre, tool: '*', when: {team.name: {equals: red}}, then: {action: block, message: 'team {team.name}'}}
- {id: role, type: pre, tool: '*', when: {principal.role: {equals: intern}}, then: {action: block, message: interns}}";
    let options = r#"{"operators":["divides"],"selectors":["team"],"principal_resolver":true}"#;
    let mut guard = Guard::new(&[&ruleset(rules)], options);
    guard.operator = |_, value, operand| Ok(operand.as_u64().unwrap() % value.as_u64().unwrap() == 0);
    assert_eq!(guard.begin(&call("T", r#"{"n":5}"#)).action, Action::Allow);
    assert_eq!(guard.begin(&call("T", r#"{"n":4}"#)).name, "big");
    guard.selectors.insert("team".to_owned(), Ok(r#"{"name":"red"}"#.to_owned()));
    let decision = guard.begin(&call("T", "{}"));
    assert_eq!((decision.name.as_str(), decision.reason.as_str()), ("team", "team red"));
    guard.selectors.insert("team".to_owned(), Err("gone".to_owned()));
    let decision = guard.begin(&call("T", "{}"));
    assert!(decision.policy_error);
    assert_eq!(decision.name, "team");
    guard.selectors.clear();
    guard.principal = Ok(Some(r#"{"role":"intern"}"#.to_owned()));
    assert_eq!(guard.begin(&call("T", "{}")).name, "role");
    guard.principal = Err("down".to_owned());
    let decision = guard.begin(&call("T", "{}"));
    assert_eq!((decision.action, decision.policy_error), (Action::Block, true));
}

#[test]
fn events_are_redacted_and_complete() {
    let mut guard = Guard::new(&[&ruleset(NO_RM)], "{}");
    let call = r#"{"tool":"Bash","args":{"command":"ls","password":"hunter2","n":1.0},"session_id":"s","call_id":"c9","agent_id":"a","principal":{"user_id":"u","claims":{"token":"t0k"}}}"#;
    let decision = guard.begin(call);
    let event = detail(&decision.events[0]);
    for key in [
        "schema_version",
        "event_id",
        "call_id",
        "agent_id",
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
        "rules_evaluated",
        "mode",
        "policy_version",
        "timestamp",
        "run_id",
        "call_index",
        "parent_call_id",
        "tool_success",
        "postconditions_passed",
        "duration_ms",
        "error",
        "result_summary",
        "session_attempt_count",
        "session_execution_count",
        "policy_error",
        "session_id",
        "parent_session_id",
        "workflow",
    ] {
        assert!(event.get(key).is_some(), "{key}");
    }
    assert_eq!(event["event_id"], "c9-0");
    assert_eq!(event["tool_args"]["password"], "[REDACTED]");
    assert!(decision.events[0].contains("\"n\":1.0"));
    assert!(!decision.events[0].contains("hunter2") && !decision.events[0].contains("t0k"));
    assert_eq!(event["timestamp"], "2026-11-22T06:31:47.833000+00:00");
    assert_eq!(event["session_attempt_count"], 1);
}
