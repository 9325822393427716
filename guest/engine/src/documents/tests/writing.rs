//! What is written as one ruleset loads as the same one.

use proptest::prelude::*;

use super::{has_errors, load, load_all};
use crate::documents::composition::Composition;
use crate::documents::ruleset::{Expression, Rule, RuleBody, Spanned};
use crate::documents::serialize;
use crate::options::Options;

/// Everything about a composition but names, places and versions.
fn essence(composition: &Composition) -> String {
    fn expression(of: &Expression) -> String {
        match of {
            Expression::All(list) => format!("all{:?}", list.iter().map(expression).collect::<Vec<_>>()),
            Expression::Any(list) => format!("any{:?}", list.iter().map(expression).collect::<Vec<_>>()),
            Expression::Not(inner) => format!("not {}", expression(inner)),
            Expression::Leaf(leaf) => {
                format!("{} {} {}", leaf.selector.value, leaf.operator.value, leaf.operand.value.text())
            }
        }
    }
    fn texts(list: &[Spanned<String>]) -> Vec<&str> {
        list.iter().map(|text| text.value.as_str()).collect()
    }
    let body = |rule: &Rule| match &rule.body {
        RuleBody::Pre(pre) => {
            let then = (&pre.then.message, &pre.then.tags, pre.then.metadata.as_ref().map(|metadata| metadata.text()));
            format!("{} {} {:?} {then:?} {:?}", pre.tool, expression(&pre.when), pre.action, pre.approval)
        }
        RuleBody::Post(post) => {
            let then =
                (&post.then.message, &post.then.tags, post.then.metadata.as_ref().map(|metadata| metadata.text()));
            format!("{} {} {:?} {then:?}", post.tool, expression(&post.when), post.action)
        }
        RuleBody::Session(session) => format!("{:?} {} {:?}", session.limits, session.then.message, session.then.tags),
        RuleBody::Sandbox(of) => format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {} {:?}",
            of.tools,
            texts(&of.within),
            texts(&of.not_within),
            of.allowed_commands.as_deref().map(texts),
            of.allowed_domains.as_deref().map(texts),
            texts(&of.blocked_domains),
            of.outside,
            of.message,
            of.approval
        ),
    };
    let rules = composition
        .rules
        .iter()
        .map(|rule| format!("{} {:?} {} {}\n", rule.id, rule.mode, rule.candidate, body(&rule.rule)));
    let block = composition.observability.as_ref().map(|block| block.text().to_owned());
    format!(
        "{} {:?} {:?} {block:?}\n{}",
        composition.name,
        composition.mode,
        composition.tools,
        rules.collect::<String>()
    )
}

const FULL: &str = r#"
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: full.1}
defaults: {mode: enforce}
tools: {Bash: {side_effect: read, idempotent: true}, 'a b': {side_effect: pure}}
observability: {otel: {enabled: on, resource_attributes: {'yes': 'no'}}, file: /x}
rules:
  - {id: a, type: pre, tool: 'mcp_*', when: {all: [{args.x: {equals: {a: [1, 1.0, null, 99999999999999999999, .inf, "\n", 'yes']}}}, {not: {any: [{args.y: {matches: '\d+\\x'}}, {env.HOME: {gt: -1.5}}]}}]}, then: {action: ask, message: "it's {args.x}: \"q\"", tags: [a, a, '017'], metadata: {n: 2024-01-01, on_call: [true]}, timeout: 5}}
  - {id: b, type: post, tool: '*', mode: observe, when: {result.code: {not_in: [0]}}, then: {action: redact, message: 'é😀'}}
  - {id: c, type: session, limits: {max_tool_calls: 3, max_calls_per_tool: {'a: b': 1}}, then: {action: block, message: '- x'}}
  - {id: d, type: sandbox, tools: [a, 'b?'], within: [/a, ~/b], not_within: [/a/c], allows: {commands: [git status, ls], domains: ['*.a.com']}, not_allows: {domains: [x.a.com]}, outside: ask, message: '# m', timeout_action: allow}
  - {id: e, type: sandbox, tool: x, within: [/], message: m, enabled: false}
  - {id: f, type: pre, tool: x, when: {tool.name: {exists: true}}, then: {action: block, message: m, timeout: 7}}
"#;

#[test]
fn one_file_comes_back() {
    let (composition, findings) = load(FULL);
    assert!(!has_errors(&findings), "{findings:?}");
    let composition = composition.unwrap();
    assert_eq!(composition.rules.len(), 5);
    let text = serialize::ruleset(&composition);
    let (again, findings) = load(&text);
    assert!(!has_errors(&findings), "{text}\n{findings:?}");
    assert_eq!(essence(&again.unwrap()), essence(&composition), "{text}");
    assert!(serialize::candidates(&composition).is_none());
}

#[test]
fn layers_come_back_as_two_files() {
    let beside = FULL
        .replace("full.1", "beside")
        .replace("defaults: {mode: enforce}", "defaults: {mode: enforce}\nobserve_alongside: true");
    let over = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: over}\ndefaults: {mode: observe}\nrules:\n  - {id: z, type: pre, tool: x, when: {tool.name: {exists: true}}, then: {action: block, message: m}}\n";
    let files = [("a", FULL), ("b", beside.as_str()), ("c", over)];
    let composition = load_all(&files, &Options::default()).0.unwrap();
    let (ruleset, candidates) = (serialize::ruleset(&composition), serialize::candidates(&composition).unwrap());
    let (again, findings) = load_all(&[("r", &ruleset), ("c", &candidates)], &Options::default());
    assert!(!has_errors(&findings), "{findings:?}");
    let again = again.unwrap();
    // Candidates stood between the layers; only their order among themselves is kept.
    let split = |composition: &Composition, candidate: bool| {
        let mut part = composition.clone();
        part.rules.retain(|rule| rule.candidate == candidate);
        essence(&part)
    };
    assert_eq!(split(&again, false), split(&composition, false));
    assert_eq!(split(&again, true), split(&composition, true));
}

proptest! {
    #[test]
    fn any_texts_come_back(message in "\\PC{1,40}", tool in "[ -~é]{1,12}", operand in "[ -~\t\n\u{85}\u{2028}é😀]{1,20}", key in "[ -~]{0,8}") {
        // A ` #` in quotes counts as a comment for characters that end some readers' lines: see `yaml::screen`.
        let quoted = |text: &str| serde_json::to_string(&text.replace('#', "=")).unwrap();
        let text = format!(
            "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: t}}\ndefaults: {{mode: observe}}\nrules:\n  - {{id: a, type: pre, tool: {}, when: {{{}: {{contains: {}}}}}, then: {{action: block, message: {}}}}}\n",
            quoted(&tool), quoted(&format!("args.{key}")), quoted(&operand), quoted(&message),
        );
        let (composition, findings) = load(&text);
        prop_assert!(!has_errors(&findings), "{}\n{:?}", text, findings);
        let composition = composition.unwrap();
        let written = serialize::ruleset(&composition);
        let (again, findings) = load(&written);
        prop_assert!(!has_errors(&findings), "{}\n{:?}", written, findings);
        prop_assert_eq!(essence(&again.unwrap()), essence(&composition));
    }
}
