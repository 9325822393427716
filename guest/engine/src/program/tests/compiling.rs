//! What a compiler finds, what it makes of rules, and what messages say.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::fixture::{APPROVAL, Sample, compile, composition, post, pre, program, sandbox, session};
use crate::diagnostics::Code;
use crate::documents::ruleset::PostAction;
use crate::options::{Options, UnknownSelectors};
use crate::program::{Body, Compiler, MessageRedaction, Needs, Phase};

fn warn_options() -> Options {
    Options { unknown_selectors: UnknownSelectors::Warn, ..Options::default() }
}

#[test]
fn findings_name_rule_place_and_reason() {
    let rules = vec![
        pre("r1", "*", &json!({"args.a": {"matches": "(?<=a)b"}}), "m"),
        pre(
            "r2",
            "*",
            &json!({"any": [{"args.a": {"matches_any": ["ok", "a**"]}}, {"args.b": {"conatins": "x"}}]}),
            "m",
        ),
        pre("r3", "*", &json!({"arg.a": {"exists": true}}), "m"),
        post("r4", "*", &json!({"output.text": {"matches": "x*"}}), PostAction::Redact, "m"),
        post("r5", "*", &json!({"output.text": {"matches": "a{2}{3}"}}), PostAction::Redact, "m"),
    ];
    let (_, findings) = compile(rules.clone(), &Options::default());
    let shown: Vec<_> =
        findings.iter().map(|finding| (finding.code, finding.message.as_str(), finding.help.as_deref())).collect();
    let rewrite = Some("rewrite without it; combine two conditions with all/not");
    assert_eq!(
        shown,
        [
            (Code::RegexUnsupported, "rule `r1`: regex `(?<=a)b`: look-behind at position 0 is not supported", rewrite),
            (Code::RegexSyntax, "rule `r2`: regex `a**`: a quantifier after a quantifier at position 2", None),
            (Code::UnknownOperator, "rule `r2`: unknown operator `conatins`", Some("did you mean `contains`?")),
            (Code::UnknownSelector, "rule `r3`: unknown selector `arg.a`", None),
            (
                Code::RegexUnsupported,
                "rule `r4`: regex `x*`: a pattern for redaction that matches the empty text at position 0 is not supported",
                Some("use `+` instead of `*`, or name a character that must be there"),
            ),
            (Code::RegexSyntax, "rule `r5`: regex `a{2}{3}`: a quantifier after a quantifier at position 4", None),
        ]
    );
    assert!(findings.iter().all(|finding| finding.document == "a.yaml" && finding.span.line == 7));
    let (_, lenient) = compile(rules, &warn_options());
    assert!(!lenient.iter().any(|finding| finding.code == Code::UnknownSelector));
}

#[test]
fn a_policy_of_huge_patterns_is_refused_before_a_call_needs_them_all() {
    let rule = |number: usize| {
        let pattern = format!("(?:x{{400}}y){{{}}}", 40 + number % 10);
        pre(&format!("r{number}"), "*", &json!({"args.a": {"matches": format!("{pattern}{number}")}}), "m")
    };
    assert!(compile((0..20).map(rule).collect(), &Options::default()).1.is_empty());
    let (_, findings) = compile((0..40).map(rule).collect(), &Options::default());
    assert!(findings.iter().all(|finding| finding.code == Code::RegexUnsupported) && !findings.is_empty());
    assert!(findings[0].message.contains("too large together"), "{}", findings[0].message);
}

#[test]
fn a_compiler_goes_on_where_it_stopped() {
    let rules: Vec<_> =
        (0..10).map(|number| pre(&format!("r{number}"), "*", &json!({"args.a": {"contains": "x"}}), "m")).collect();
    let mut compiler = Compiler::new(&composition(rules), &Options::default());
    let mut steps = 1;
    while !compiler.advance(3) {
        steps += 1;
    }
    assert_eq!(steps, 6, "four slices of rules, one section, the end");
    assert!(compiler.advance(0));
    let (program, _) = compiler.finish();
    assert_eq!(program.rules().len(), 10);
    let empty = Compiler::new(&composition(Vec::new()), &Options::default()).finish().0;
    assert!(empty.rules_for("Bash").pre.next().is_none());
}

#[test]
fn rules_are_listed_by_tool_and_kind() {
    let mut candidate = pre("b:candidate", "Bash", &json!({"args.a": {"exists": true}}), "m");
    candidate.candidate = true;
    let rules = vec![
        sandbox("s1", &["Bash", "B*", "*"], "m"),
        pre("a", "Bash", &json!({"args.a": {"exists": true}}), "m"),
        session("limits", "m"),
        post("p", "*", &json!({"output.text": {"exists": true}}), PostAction::Warn, "m"),
        candidate,
        pre("c", "*", &json!({"args.a": {"exists": true}}), "m"),
        sandbox("s2", &["Read"], "m"),
        pre("d", "a[*]b", &json!({"args.a": {"exists": true}}), "m"),
    ];
    let program = program(rules, &Options::default());
    let of = |tool: &str| {
        let rules = program.rules_for(tool);
        [rules.pre, rules.sandbox, rules.post].map(|list| list.copied().collect::<Vec<_>>())
    };
    assert_eq!(of("Bash"), [vec![1, 4, 5], vec![0], vec![3]]);
    assert_eq!(of("Bx"), [vec![5], vec![0], vec![3]]);
    assert_eq!(of("Read"), [vec![5], vec![0, 6], vec![3]]);
    assert_eq!(of("a*b"), [vec![5, 7], vec![0], vec![3]]);
    assert_eq!(of("bash"), [vec![5], vec![0], vec![3]]);
    assert_eq!(program.session_rules(), [2]);
    assert!(program.rules()[4].candidate);
    assert_eq!(program.rules()[1].passed_record, r#"{"name":"a","type":"precondition","passed":true,"message":null}"#);
    assert_eq!(program.rules()[0].passed_record, r#"{"name":"s1","type":"sandbox","passed":true,"message":null}"#);
    assert!(program.rules()[0].tags.is_empty() && program.rules()[1].tags == ["t"]);
    assert!(matches!(program.rules()[1].body, Body::Pre { approval, .. } if approval.timeout == APPROVAL.timeout));
}

#[test]
fn redaction_patterns_come_in_the_order_of_the_tree() {
    let when = json!({"any": [
        {"not": {"output.text": {"matches": "a+"}}},
        {"result.x": {"matches_any": ["b+", "c+"]}},
        {"args.a": {"matches": "d*"}},
        {"output.text": {"contains": "e"}},
    ]});
    let sources = |action| {
        let program = program(vec![post("r", "*", &when, action, "m")], &Options::default());
        let Body::Post { redact, .. } = &program.rules()[0].body else { panic!("a postcondition") };
        redact.iter().map(|pattern| pattern.source().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(sources(PostAction::Redact), ["a+", "b+", "c+"]);
    assert!(sources(PostAction::Block).is_empty());
}

#[test]
fn needs_are_what_rules_and_messages_read() {
    let options = Options {
        selectors: vec!["db".to_owned(), "cache".to_owned(), "unused".to_owned()],
        operators: vec!["near".to_owned(), "unused_operator".to_owned()],
        ..Options::default()
    };
    let rules = vec![
        pre("a", "*", &json!({"all": [{"db.x": {"near": 1}}, {"env.A": {"equals": 1}}]}), "{cache.y} {env.B.c} {db}"),
        sandbox("s", &["*"], "{unused.z}"),
        session("l", "{unused.z} {env.C}"),
    ];
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(
        *program(rules, &options).needs(),
        Needs {
            selectors: strings(&["cache", "db"]),
            operators: strings(&["near"]),
            env: strings(&["A", "B.c"]),
            output: false
        }
    );
    let reads = |when: Json, message: &str| {
        program(vec![post("p", "*", &when, PostAction::Warn, message)], &Options::default()).needs().output
    };
    assert!(reads(json!({"result.x": {"exists": true}}), "m"));
    assert!(reads(json!({"args.x": {"exists": true}}), "{output.text}"));
    assert!(!reads(json!({"args.x": {"exists": true}}), "m"));
}

/// `password` is a sensitive key, `sk-` and letters a secret.
struct Redaction;

impl MessageRedaction for Redaction {
    fn is_sensitive_key(&self, key: &str) -> bool {
        key == "password"
    }

    fn secrets<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match text.find("sk-") {
            Some(start) => Cow::Owned(format!("{}[REDACTED]", &text[..start])),
            None => Cow::Borrowed(text),
        }
    }
}

fn expand(template: &str) -> (String, Option<String>) {
    let options = Options {
        selectors: vec!["db".to_owned(), "down".to_owned()],
        env: [("TEN".to_owned(), "010".to_owned())].into(),
        ..Options::default()
    };
    let rule = pre("r", "*", &json!({"args.s": {"exists": true}}), template);
    let program = program(vec![rule], &options);
    let call = json!({
        "args": {
            "s": "v", "long": "x".repeat(300), "exact": "é".repeat(200), "n": 5, "f": 1.0, "b": true, "none": null,
            "l": [1, "a", null, true, 1.5, {"k": "v"}], "braces": "{args.s}", "key": "sk-abcdefghij", "hidden": "s\u{0}k-abc",
            "late": "prefix sk-abc", "password": "p", "nested": {"password": "p", "q": {"password": 1}}, "lines": "a\nb\u{1b}[0m\u{85}c\r",
        },
        "custom": {"db": {"x": "y"}, "down": "not now"},
    });
    Sample::new(&call).with(|subject| {
        let expanded = program.rules()[0].message.expand(subject, &Redaction);
        (expanded.text, expanded.error)
    })
}

#[test]
fn messages_follow_the_appendix() {
    for (template, expected) in [
        ("{args.s}", "v"),
        ("a{args.s}b{args.s}", "avbv"),
        ("{args.n} {args.f} {args.b}", "5 1.0 True"),
        ("{args.l}", "[1, 'a', None, True, 1.5, {'k': 'v'}]"),
        ("{args.braces}", "{args.s}"),
        ("{env.TEN} {env.NOT}", "10 {env.NOT}"),
        ("{tool.name} {environment}", "Bash production"),
        ("{db.x} {db.none}", "y {db.none}"),
        ("{args.key}", "[REDACTED]"),
        ("{args.late}", "prefix [REDACTED]"),
        ("{args.hidden}", "[REDACTED]"),
        ("{args.password}", "[REDACTED]"),
        ("{args.nested.password}", "[REDACTED]"),
        ("{args.nested.q.password}", "[REDACTED]"),
        ("{args.nested}", "{'password': '[REDACTED]', 'q': {'password': '[REDACTED]'}}"),
        ("{args.lines}", "a\nb[0mc"),
        ("{output.text}", "{output.text}"),
    ] {
        assert_eq!(expand(template), (expected.to_owned(), None), "{template}");
    }
    for unchanged in [
        "{args.none}",
        "{args.nope}",
        "{}",
        "{ }",
        "{ args.s }",
        "{args.s!r}",
        "{{args.s}}",
        "{a{args.s}b}",
        "{tool}",
        "{args}",
        "plain",
        "{args.s",
        "args.s}",
        "",
        "{args.\ns}",
    ] {
        assert_eq!(expand(unchanged), (unchanged.to_owned(), None));
    }
    assert_eq!(expand("{}{args.s}{").0, "{}v{");
    assert_eq!(expand("{args.long}").0, format!("{}...", "x".repeat(197)));
    assert_eq!(expand("{args.exact}").0, "é".repeat(200));
    let cut = expand(&format!("{}{{args.long}}", "é".repeat(400))).0;
    assert_eq!(cut, format!("{}{}...", "é".repeat(400), "x".repeat(97)));
}

#[test]
fn a_message_whose_selector_fails_stays_as_written() {
    assert_eq!(expand("{args.s} {down.x}"), ("{args.s} {down.x}".to_owned(), Some("not now".to_owned())));
}

#[test]
fn what_is_taken_away_does_not_come_back_through_the_message() {
    for (action, expected) in [
        (PostAction::Warn, "out text v"),
        (PostAction::Redact, "{result.x} {output.text} v"),
        (PostAction::Block, "{result.x} {output.text} v"),
    ] {
        let rule =
            post("r", "*", &json!({"output.text": {"exists": true}}), action, "{result.x} {output.text} {args.s}");
        let program = program(vec![rule], &Options::default());
        let call = json!({"args": {"s": "v"}, "output": {"x": "out"}});
        let mut sample = Sample::new(&call);
        sample.set_output_text("text");
        sample.with(|subject| {
            assert_eq!(program.rules()[0].message.expand(subject, &Redaction).text, expected);
        });
        assert_eq!(sample.fired(&program, Phase::Post, &|_, _, _| Ok(false)).len(), 1);
    }
}

#[test]
fn session_messages_are_never_filled_in_and_sandbox_messages_ask_nobody() {
    let options = Options { selectors: vec!["db".to_owned()], ..Options::default() };
    let program = program(vec![session("l", "{args.s}"), sandbox("s", &["*"], "{args.s} {db.x}")], &options);
    Sample::new(&json!({"args": {"s": "v"}})).with(|subject| {
        let text = |rule: usize| program.rules()[rule].message.expand(subject, &Redaction).text;
        assert_eq!(text(0), "{args.s}");
        assert_eq!(text(1), "v {db.x}");
    });
    assert!(program.needs().selectors.is_empty());
}
