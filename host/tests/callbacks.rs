//! What a program answers for itself: asked as the engine asks, and a block when there is no good answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use edictum_host::callback::{ApprovalVerdict, Callback, Verdict};
use edictum_host::{Action, CallRequest, GuardBuilder, HookPlace, Host, Ran, ToolOutcome};
use support::{DEPLOY, LS, RULES, approval, build, host, rules};

const CUSTOM: &str = "\
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: custom}
defaults: {mode: enforce}
rules:
  - id: odd
    type: pre
    tool: t
    when: {args.n: {is_odd: true}}
    then: {action: block, message: odd}
  - id: risky
    type: pre
    tool: t
    when: {risk.level: {gt: 5}}
    then: {action: block, message: risky}
  - id: not-root
    type: pre
    tool: t
    when: {principal.user_id: {equals: root}}
    then: {action: block, message: root}
";

const CALL: &str = r#"{"tool":"t","args":{"n":2}}"#;

fn custom(host: &Host) -> GuardBuilder {
    host.guard("g").ruleset(rules(CUSTOM))
}

fn is_odd() -> Callback<edictum_host::callback::OperatorCall, bool> {
    Callback::new(|asked: edictum_host::callback::OperatorCall| {
        Ok(asked.value.parse::<i64>().map_err(|error| error.to_string())? % 2 == 1)
    })
}

fn level(level: &'static str) -> Callback<edictum_host::callback::SelectorCall, String> {
    Callback::from_async(move |asked: edictum_host::callback::SelectorCall| async move {
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(asked.prefix, "risk");
        Ok(format!(r#"{{"level":{level}}}"#))
    })
}

#[test]
fn operators_and_selectors_answer_for_themselves() {
    let host = host();
    let guard = build(custom(&host).operator("is_odd", is_odd()).selector("risk", level("3")));
    assert!(guard.blocking().begin(CALL).unwrap().is_allowed());
    assert_eq!(guard.blocking().begin(r#"{"tool":"t","args":{"n":3}}"#).unwrap().name, "odd");
    let guard = build(custom(&host).operator("is_odd", is_odd()).selector("risk", level("9")));
    assert_eq!(guard.blocking().begin(CALL).unwrap().name, "risky");
    let result = guard.blocking().evaluate(CALL, None).unwrap();
    assert!(result.contains("risky"), "{result}");
}

#[test]
fn rules_that_need_an_answer_that_nobody_gives_do_not_load() {
    let host = host();
    let error = pollster::block_on(custom(&host).operator("is_odd", is_odd()).build()).unwrap_err();
    assert!(!error.diagnostics().is_empty(), "an unknown selector: {error}");
    for options in [
        r#"{"operators":["is_odd"],"selectors":["risk"]}"#,
        r#"{"hooks":[{"name":"h","before":true}]}"#,
        r#"{"success_check":true}"#,
        r#"{"principal_resolver":true}"#,
    ] {
        let builder = host.guard("g").ruleset(rules(RULES)).options(options);
        let error = pollster::block_on(builder.build()).unwrap_err();
        assert_eq!(error.code(), "unsupported", "{options}: {error}");
    }
}

#[test]
fn a_callback_that_fails_panics_or_hangs_blocks() {
    let host = Host::builder().callback_deadline(Duration::from_millis(200)).build().unwrap();
    let broken: [Callback<edictum_host::callback::SelectorCall, String>; 4] = [
        Callback::new(|_| Err("no".to_owned())),
        Callback::new(|_| panic!("broken")),
        Callback::from_async(|_| std::future::pending()),
        Callback::new(|_| Ok("not JSON".to_owned())),
    ];
    for selector in broken {
        let guard = build(custom(&host).operator("is_odd", is_odd()).selector("risk", selector));
        let decision = guard.blocking().begin(CALL).unwrap();
        assert_eq!((decision.action, decision.policy_error), (Action::Block, true), "{decision:?}");
    }
}

#[test]
fn hooks_are_asked_before_and_told_after() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let before = Callback::new(|asked: edictum_host::callback::HookCall| {
        Ok(if asked.call.contains("secret") { Verdict::Refuse("no secrets".to_owned()) } else { Verdict::Pass })
    });
    let after = {
        let told = Arc::clone(&told);
        Callback::new(move |asked: edictum_host::callback::HookCall| {
            told.lock().unwrap().push(asked.output.unwrap_or_default());
            Ok(Verdict::Pass)
        })
    };
    let builder = host().guard("g").ruleset(rules(RULES));
    let builder = builder.hook(HookPlace::before("careful", "s*"), before).hook(HookPlace::after("told", "*"), after);
    let guard = build(builder);
    let refused = guard.blocking().begin(r#"{"tool":"sh","args":{"command":"secret"}}"#).unwrap();
    assert_eq!(
        (refused.action, refused.name.as_str(), refused.reason.as_str()),
        (Action::Block, "careful", "no secrets")
    );
    guard.blocking().run(LS, |_| ToolOutcome::new("[1.0]")).unwrap();
    assert_eq!(*told.lock().unwrap(), ["[1.0]"]);
}

#[test]
fn a_success_check_takes_the_place_of_the_heuristic() {
    let check = Callback::new(|asked: edictum_host::callback::HookCall| Ok(asked.output.as_deref() == Some("0")));
    let guard = build(host().guard("g").ruleset(rules(RULES)).success_check(check));
    for (output, success) in [("0", true), ("1", false)] {
        let Ran::Finished { conclusion, .. } = guard.blocking().run(LS, |_| ToolOutcome::new(output)).unwrap() else {
            panic!("blocked")
        };
        assert_eq!(conclusion.success, success);
    }
}

#[test]
fn a_resolver_says_whose_call_it_is_unless_the_call_does() {
    let host = host();
    let resolver =
        Callback::new(|call: String| Ok(call.contains("as-root").then(|| r#"{"user_id":"root"}"#.to_owned())));
    let builder = custom(&host).operator("is_odd", is_odd()).selector("risk", level("1"));
    let guard = build(builder.principal_resolver(resolver).principal(r#"{"user_id":"root"}"#));
    assert!(guard.blocking().begin(CALL).unwrap().is_allowed(), "the static principal is replaced");
    let call = r#"{"tool":"t","args":{"n":2,"note":"as-root"}}"#;
    assert_eq!(guard.blocking().begin(call).unwrap().name, "not-root");
    let call = r#"{"tool":"t","args":{"n":2,"note":"as-root"},"principal":null}"#;
    assert!(guard.blocking().begin(call).unwrap().is_allowed(), "an explicit nobody counts");
}

#[test]
fn the_static_principal_can_be_exchanged() {
    let host = host();
    let builder = custom(&host).operator("is_odd", is_odd()).selector("risk", level("1"));
    let guard = build(builder.principal(r#"{"user_id":"root"}"#));
    assert_eq!(guard.blocking().begin(CALL).unwrap().name, "not-root");
    guard.set_principal(Some(r#"{"user_id":"alice"}"#)).unwrap();
    assert!(guard.blocking().begin(CALL).unwrap().is_allowed());
    guard.set_principal(None).unwrap();
    assert!(guard.blocking().begin(CALL).unwrap().is_allowed());
    for wrong in ["root", "[]", r#"{"a":1},"b":{"c":2}"#] {
        assert_eq!(guard.set_principal(Some(wrong)).unwrap_err().code(), "bad-request", "{wrong}");
    }
}

#[test]
fn an_approver_answers_for_people() {
    let host = host();
    for (verdict, runs) in [(ApprovalVerdict::Approved, true), (ApprovalVerdict::Rejected, false)] {
        let approver = Callback::from_async(move |asked: edictum_host::callback::ApprovalRequest| async move {
            assert!(asked.approval.contains("Deploy?"));
            Ok(approval(verdict))
        });
        let guard = build(host.guard("g").ruleset(rules(RULES)).approver(approver));
        let ran = guard.blocking().run(DEPLOY, |_| ToolOutcome::new("1")).unwrap();
        assert_eq!(matches!(ran, Ran::Finished { .. }), runs);
    }
}

#[test]
fn an_approver_that_cannot_be_reached_blocks_and_one_that_is_slow_is_overtaken() {
    let host = host();
    let broken = Callback::new(|_| Err("no network".to_owned()));
    let guard = build(host.guard("g").ruleset(rules(RULES)).approver(broken));
    assert!(matches!(guard.blocking().run(DEPLOY, |_| ToolOutcome::new("1")).unwrap(), Ran::Blocked(_)));

    let slow = Callback::from_async(|_| std::future::pending());
    let guard = build(host.guard("g").ruleset(rules(RULES)).approver(slow));
    let running = {
        let guard = guard.clone();
        std::thread::spawn(move || {
            guard.blocking().run(CallRequest::new(DEPLOY).call_id("c"), |_| ToolOutcome::new("1"))
        })
    };
    while guard.blocking().settle("c", approval(ApprovalVerdict::Approved)).is_err() {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(running.join().unwrap().unwrap(), Ran::Finished { .. }));
}
