//! The law of the hot path: its answers are those of evaluating every rule from left to right.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::fixture::{Sample, literal, post, pre, program};
use crate::documents::ruleset::PostAction;
use crate::options::Options;
use crate::program::{Phase, naive};

const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "ab",
    "ba",
    "A",
    "aB",
    "k",
    "é",
    "rm",
    "rm -rf",
    "rm -rf /",
    "-rf",
    "production",
    "Bash",
    "1",
    "a.b",
    "a\n",
    "x1y",
    "deploy production now",
    "abababab",
    "aéb",
    "12-34",
];

const PATTERNS: &[&str] = &[
    "a",
    "a.b",
    "^a",
    "b$",
    "(?i)AB",
    r"\d+",
    "x*",
    "^(?!a)b",
    "[ab]{2}",
    r"\bk\b",
    "(a|b)c?$",
    ".",
    "é",
    r"\w\W",
    "rm\\s+-rf",
    "(?i)PROD",
    r"\d-\d",
    "(?:a|b)+$",
    "^$",
    r"\B",
];

const SELECTORS: &[&str] = &[
    "args.a",
    "args.a",
    "args.a",
    "args.b",
    "args.n.x",
    "args.n",
    "args.missing",
    "args",
    "environment",
    "tool.name",
    "principal.role",
    "principal.claims.k",
    "metadata.m",
    "output.text",
    "result.output",
    "result.k",
    "custom.x",
    "broken.x",
    "env.NAME",
    "foo.bar",
];

fn options() -> Options {
    Options {
        selectors: vec!["custom".to_owned(), "broken".to_owned()],
        operators: vec!["odd".to_owned(), "even".to_owned()],
        unknown_selectors: crate::options::UnknownSelectors::Warn,
        ..Options::default()
    }
}

fn text() -> impl Strategy<Value = Json> {
    prop::sample::select(TEXTS).prop_map(Json::from)
}

fn number() -> impl Strategy<Value = Json> {
    prop::sample::select(vec![json!(0), json!(1), json!(1.0), json!(1.5), json!(-3), json!(9_007_199_254_740_993_i64)])
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![6 => text(), 2 => number(), 1 => any::<bool>().prop_map(Json::from), 1 => Just(Json::Null)]
}

fn value() -> impl Strategy<Value = Json> {
    prop_oneof![
        8 => scalar(),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(Json::from),
        1 => prop::collection::vec(scalar(), 0..3).prop_map(|items| json!({"x": items.first(), "k": items.get(1)})),
    ]
}

fn leaf() -> impl Strategy<Value = Json> {
    let test = prop_oneof![
        any::<bool>().prop_map(|flag| json!({"exists": flag})),
        (prop::sample::select(vec!["equals", "not_equals"]), value())
            .prop_map(|(name, operand)| json!({name: operand})),
        (prop::sample::select(vec!["in", "not_in"]), prop::collection::vec(value(), 1..4))
            .prop_map(|(name, operand)| json!({name: operand})),
        (prop::sample::select(vec!["contains", "starts_with", "ends_with"]), text())
            .prop_map(|(name, operand)| json!({name: operand})),
        prop::collection::vec(text(), 1..4).prop_map(|operand| json!({"contains_any": operand})),
        prop::sample::select(PATTERNS).prop_map(|operand| json!({"matches": operand})),
        prop::collection::vec(prop::sample::select(PATTERNS), 1..4).prop_map(|operand| json!({"matches_any": operand})),
        (prop::sample::select(vec!["gt", "gte", "lt", "lte"]), number())
            .prop_map(|(name, operand)| json!({name: operand})),
        (prop::sample::select(vec!["odd", "even"]), text()).prop_map(|(name, operand)| json!({name: operand})),
    ];
    (prop::sample::select(SELECTORS), test).prop_map(|(selector, test)| json!({selector: test}))
}

fn when() -> impl Strategy<Value = Json> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({"all": parts})),
            2 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| json!({"any": parts})),
            1 => inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

fn map(keys: &'static [&'static str]) -> impl Strategy<Value = Json> {
    prop::collection::vec(prop::option::weighted(0.8, value()), keys.len()).prop_map(|values| {
        let present = keys.iter().zip(values).filter_map(|(key, value)| Some(((*key).to_owned(), value?)));
        Json::Object(present.collect())
    })
}

fn call() -> impl Strategy<Value = Json> {
    let tool = prop::sample::select(vec!["Bash", "Read", "Bx", "Other"]);
    let parts = (
        map(&["a", "b", "n"]),
        map(&["m"]),
        prop::option::of((value(), map(&["k"]))),
        value(),
        map(&["x"]),
        any::<bool>(),
    );
    (tool, prop::sample::select(vec!["production", "ab"]), parts).prop_map(
        |(tool, environment, (args, metadata, principal, output, custom, broken))| {
            let principal = principal.map(|(role, claims)| json!({"role": role, "claims": claims}));
            let mut call =
                json!({"tool": tool, "environment": environment, "args": args, "metadata": metadata, "output": output});
            if let Some(principal) = principal {
                call["principal"] = principal;
            }
            call["custom"] =
                json!({"custom": custom, "broken": if broken { json!("down") } else { json!({"x": "a"}) }});
            call
        },
    )
}

/// Deterministic, and wrong now and then.
fn answer(name: &str, value: &str, operand: &str) -> Result<bool, String> {
    match (name.len() + value.len() * 3 + operand.len()) % 5 {
        0 => Err(format!("{name} failed on {value}")),
        other => Ok(other % 2 == 0),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_index_never_loses_or_invents_a_rule(
        rules in prop::collection::vec((prop::sample::select(vec!["Bash", "*", "B*", "Read", "[BR]*", "?ash"]), when(), any::<bool>()), 1..12),
        calls in prop::collection::vec(call(), 1..6),
    ) {
        let rules: Vec<_> = rules
            .iter()
            .enumerate()
            .map(|(number, (tool, when, before))| {
                let id = format!("r{number}");
                if *before { pre(&id, tool, when, "m") } else { post(&id, tool, when, PostAction::Warn, "m") }
            })
            .collect();
        let program = program(rules.clone(), &options());
        for call in &calls {
            let sample = Sample::new(call);
            for phase in [Phase::Pre, Phase::Post] {
                let expected = sample.with(|subject| naive::fired(&rules, phase, subject, &answer));
                prop_assert_eq!(sample.fired(&program, phase, &answer), expected, "{:?} {}", phase, call);
            }
        }
    }
}

#[test]
fn rules_of_globs_are_found_where_they_are_too_many_to_copy() {
    let mut rules = Vec::new();
    for number in 0..300 {
        rules.push(pre(&format!("n{number}"), &format!("tool{number}"), &json!({"args.a": {"contains": "x"}}), "m"));
    }
    for number in 0..40 {
        let (glob, when) =
            (["tool*", "*", "tool[1-3]*"][number % 3], json!({"args.a": {"contains": format!("y{number}")}}));
        rules.insert(number * 5, pre(&format!("g{number}"), glob, &when, "m"));
    }
    let program = program(rules.clone(), &Options::default());
    assert!(
        program.tools.named.iter().any(|named| named.merged) && program.tools.named.iter().any(|named| !named.merged)
    );
    for tool in ["tool0", "tool17", "tool299", "tool300", "other"] {
        let sample = Sample::new(&json!({"tool": tool, "args": {"a": "x y0 y1 y2 y33 y39"}}));
        let expected = sample.with(|subject| naive::fired(&rules, Phase::Pre, subject, &answer));
        assert!(!expected.is_empty());
        assert_eq!(sample.fired(&program, Phase::Pre, &answer), expected, "{tool}");
        let globs: Vec<usize> = rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| match &rule.rule.body {
                crate::documents::ruleset::RuleBody::Pre(pre) => {
                    crate::program::glob::Glob::compile(&pre.tool).matches(tool)
                }
                _ => false,
            })
            .map(|(number, _)| number)
            .collect();
        assert_eq!(program.rules_for(tool).pre.copied().collect::<Vec<_>>(), globs, "{tool}");
    }
}

#[test]
fn a_text_above_the_cap_of_patterns_is_a_policy_error_and_not_an_evasion() {
    let padded = format!("{}\nrm -rf /", "#".repeat(crate::program::pattern::MAX_SUBJECT));
    let long = |name: &str, operand: &str| {
        let program = program(vec![pre("r", "*", &json!({"args.a": {name: operand}}), "m")], &Options::default());
        let sample = Sample::new(&json!({"args": {"a": &padded}}));
        let fired = sample.fired(&program, Phase::Pre, &answer);
        fired.first().map(|fired| fired.policy_error)
    };
    assert_eq!(long("matches", "rm -rf"), Some(true));
    assert_eq!(long("matches", "nowhere"), Some(true));
    assert_eq!(long("contains", "rm -rf"), Some(false));
    assert_eq!(long("contains", "nowhere"), None);
    let under = format!("{}\nrm -rf /", "#".repeat(20_000));
    assert_eq!(super::fixture::outcome(&json!({"args.a": {"matches": "rm -rf"}}), &json!({"a": under})), 'T');
}

#[test]
fn each_operator_call_is_asked_once_and_only_for_rules_that_can_fire() {
    let rules = vec![
        pre("a", "*", &json!({"args.a": {"odd": 1}}), "m"),
        pre("b", "*", &json!({"all": [{"args.b": {"equals": "no"}}, {"args.a": {"even": 2}}]}), "m"),
        pre(
            "c",
            "*",
            &json!({"any": [{"args.a": {"odd": 1}}, {"args.missing": {"odd": 1}}, {"args.b": {"odd": [1.0]}}]}),
            "m",
        ),
        pre("d", "Read", &json!({"args.a": {"even": 3}}), "m"),
    ];
    let program = program(rules, &options());
    assert_eq!(program.needs().operators.iter().map(String::as_str).collect::<Vec<_>>(), ["even", "odd"]);
    let sample = Sample::new(&json!({"args": {"a": "x\"", "b": [1, {"k": 2.50}]}}));
    sample.with(|subject| {
        let scan = program.scan(Phase::Pre, *subject);
        let calls = scan.operator_calls();
        let shown: Vec<_> = calls.iter().map(|call| [call.name.as_str(), &call.value, &call.operand]).collect();
        assert_eq!(shown, [["odd", "\"x\\\"\"", "1"], ["odd", "[1,{\"k\":2.5}]", "[1.0]"]]);
        // No answers at all: nothing is let through.
        let fired: Vec<_> = scan.fired(&[]).collect();
        assert_eq!(fired.iter().map(|fired| fired.rule).collect::<Vec<_>>(), [0, 2]);
        assert!(fired.iter().all(|fired| fired.policy_error && fired.error_detail.is_some()));
    });
    assert_eq!(literal(&json!(2.50)).text(), "2.5");
}
