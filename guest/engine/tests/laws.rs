//! Laws of deciding, held against generated rules and calls.

#![allow(clippy::unwrap_used, reason = "what a test cannot have ends it")]

mod guard;

use edictum_engine::documents::Document;
use edictum_engine::inquiry::{Action, Fault, Step, ToolOutcome};
use edictum_engine::policy;
use guard::{Guard, NOW, ruleset, ruleset_in};
use proptest::prelude::*;

const CASES: u32 = 400;

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "rm", "/tmp/x", "é😀", "1", "", "sk-abc"]).prop_map(str::to_owned)
}

fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        word().prop_map(|word| serde_json::to_string(&word).unwrap()),
        prop::sample::select(vec!["null", "true", "1", "1.0", "1e400", "99999999999999999999", "-0.5"])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            (inner.clone(), inner).prop_map(|(one, two)| format!(r#"{{"a":{one},"b":{two}}}"#)),
        ]
    })
}

fn tool_call() -> impl Strategy<Value = String> {
    (prop::sample::select(vec!["Bash", "Read", "Send", "mcp_x"]), json_value(), json_value()).prop_map(
        |(tool, one, two)| {
            format!(
                r#"{{"tool":"{tool}","args":{{"command":"ls","path":{one},"x":{two}}},"session_id":"s","call_id":"c"}}"#
            )
        },
    )
}

fn leaf() -> impl Strategy<Value = String> {
    let selector =
        prop::sample::select(vec!["args.path", "args.x", "args.x.a", "tool.name", "principal.role", "args.command"]);
    let operator = prop_oneof![
        word()
            .prop_filter("not empty", |word| !word.is_empty())
            .prop_map(|word| format!("{{contains: {}}}", serde_json::to_string(&word).unwrap())),
        word().prop_map(|word| format!("{{equals: {}}}", serde_json::to_string(&word).unwrap())),
        any::<bool>().prop_map(|flag| format!("{{exists: {flag}}}")),
        (0..3_i32).prop_map(|number| format!("{{gt: {number}}}")),
        Just("{matches: '^[a-z]+$'}".to_owned()),
        Just("{not_in: [a, 1, null]}".to_owned()),
    ];
    (selector, operator).prop_map(|(selector, operator)| format!("{{{selector}: {operator}}}"))
}

fn expression() -> impl Strategy<Value = String> {
    leaf().prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|all| format!("{{all: [{}]}}", all.join(", "))),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|any| format!("{{any: [{}]}}", any.join(", "))),
            inner.prop_map(|not| format!("{{not: {not}}}")),
        ]
    })
}

/// Rule bodies: the text behind the id.
fn rule() -> impl Strategy<Value = String> {
    let tool = || prop::sample::select(vec!["'*'", "Bash", "'mcp_*'", "Read"]);
    prop_oneof![
        (tool(), expression(), prop::sample::select(vec!["block", "ask"])).prop_map(|(tool, when, action)| format!(
            "type: pre, tool: {tool}, when: {when}, then: {{action: {action}, message: 'm {{args.x}}'}}"
        )),
        (tool(), prop::sample::select(vec!["block", "ask"])).prop_map(|(tool, outside)| format!(
            "type: sandbox, tool: {tool}, within: [/tmp], outside: {outside}, message: outside"
        )),
        (1..4_u8).prop_map(|limit| format!(
            "type: session, limits: {{max_tool_calls: {limit}}}, then: {{action: block, message: enough}}"
        )),
    ]
}

fn rules_text(rules: &[String], prefix: &str, extra: &str) -> String {
    rules
        .iter()
        .enumerate()
        .map(|(index, body)| format!("- {{id: {prefix}{index}, {extra}{body}}}"))
        .collect::<Vec<_>>()
        .join("\n")
}

const fn severity(action: Action) -> u8 {
    match action {
        Action::Allow => 0,
        Action::Ask => 1,
        Action::Block => 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_further_rule_never_makes_a_decision_milder(
        rules in prop::collection::vec(rule(), 1..4), further in rule(), call in tool_call(), at in any::<prop::sample::Index>()
    ) {
        let mut fewer = Guard::new(&[&ruleset(&rules_text(&rules, "r", ""))], "{}");
        let mut all = rules.clone();
        all.insert(at.index(rules.len() + 1), further);
        let mut more = Guard::new(&[&ruleset(&rules_text(&all, "r", ""))], "{}");
        prop_assert!(severity(more.begin(&call).action) >= severity(fewer.begin(&call).action));
    }

    #[test]
    fn observing_rules_change_no_decision(
        rules in prop::collection::vec(rule(), 1..3), watching in prop::collection::vec(rule(), 1..3), call in tool_call()
    ) {
        let enforced = rules_text(&rules, "r", "");
        let mut alone = Guard::new(&[&ruleset(&enforced)], "{}");
        let both = format!("{}\n{enforced}", rules_text(&watching, "w", "mode: observe, "));
        let mut watched = Guard::new(&[&ruleset(&both)], "{}");
        let (one, two) = (alone.begin(&call), watched.begin(&call));
        prop_assert_eq!(one.action, two.action);
        prop_assert_eq!(one.reason, two.reason);
        prop_assert_eq!(one.name, two.name);
    }

    #[test]
    fn an_observing_guard_only_ever_asks_or_allows(rules in prop::collection::vec(rule(), 1..4), call in tool_call()) {
        let mut guard = Guard::new(&[&ruleset_in("observe", &rules_text(&rules, "r", ""))], "{}");
        prop_assert_eq!(guard.begin(&call).action, Action::Allow);
    }

    #[test]
    fn composing_with_nothing_changes_nothing(rules in prop::collection::vec(rule(), 1..4), call in tool_call()) {
        let text = ruleset(&rules_text(&rules, "r", ""));
        let nothing = ruleset("- {id: idle, enabled: false, type: session, limits: {max_attempts: 1}, then: {action: block, message: idle}}");
        let mut alone = Guard::new(&[&text], "{}");
        let mut composed = Guard::new(&[&text, &nothing], "{}");
        let (one, two) = (alone.begin(&call), composed.begin(&call));
        prop_assert_eq!((one.action, one.reason, one.name, one.detail), (two.action, two.reason, two.name, two.detail));
    }

    #[test]
    fn any_instance_decides_the_same(rules in prop::collection::vec(rule(), 1..4), call in tool_call()) {
        let text = ruleset(&rules_text(&rules, "r", ""));
        let (mut one, mut two) = (Guard::new(&[&text], "{}"), Guard::new(&[&text], "{}"));
        let (first, second) = (one.begin(&call), two.begin(&call));
        prop_assert_eq!(&first, &second);
        if first.action == Action::Allow {
            // Begun in one, finished in the other.
            two.store.clone_from(&one.store);
            let (first_end, second_end) =
                (one.finish(&call, &second.ticket, "\"x\""), two.finish(&call, &first.ticket, "\"x\""));
            prop_assert_eq!(first_end, second_end);
        }
        prop_assert_eq!(one.evaluate(&call, Some("\"x\"")), two.evaluate(&call, Some("\"x\"")));
    }

    #[test]
    fn what_the_dry_run_blocks_is_not_let_through(rules in prop::collection::vec(rule(), 1..4), call in tool_call()) {
        let text = ruleset(&rules_text(&rules, "r", ""));
        let mut guard = Guard::new(&[&text], "{}");
        let dry = guard.evaluate(&call, None);
        if dry["decision"] == "block" {
            prop_assert_ne!(guard.begin(&call).action, Action::Allow);
        } else {
            prop_assert_eq!(guard.begin(&call).action, Action::Allow);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,200}", ticket in ".{0,60}") {
        let guard = Guard::new(&[&ruleset("- {id: a, type: pre, tool: '*', when: {args.x: {exists: true}}, then: {action: block, message: m}}")], "{}");
        let policy = &guard.policy;
        let outcome = ToolOutcome { output: text.clone(), success: None };
        drop(policy.evaluate(&text, Some(&text)));
        drop(policy.begin(&text, NOW));
        drop(policy.resume_begin(&text, &ticket, Vec::new(), NOW));
        drop(policy.finish(&text, &ticket, &outcome, NOW));
        drop(policy.fault(&text, Some(&ticket), Fault::Store, NOW));
        drop(policy.fault_finish(&text, &ticket, Fault::Host, NOW));
        drop(policy.operate(&text, &ticket, NOW));
        drop(policy.resume_operate(&ticket, Vec::new(), NOW));
        drop(policy::check(&[Document { name: "x".to_owned(), text }], None, &ticket));
    }
}

#[test]
fn a_call_that_is_not_one_never_runs() {
    let guard = Guard::new(
        &[&ruleset(
            "- {id: a, type: pre, tool: '*', when: {args.x: {exists: true}}, then: {action: block, message: m}}",
        )],
        "{}",
    );
    for text in ["", "null", "[]", "{}", "{\"tool\":1}", "{\"tool\":\"T\"}"] {
        let Step::Done(decision) = guard.policy.begin(text, NOW) else { panic!("{text}") };
        assert_eq!((decision.action, decision.policy_error), (Action::Block, true), "{text}");
    }
}
