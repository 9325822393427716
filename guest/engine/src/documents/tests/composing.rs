//! engine.md §12: `extends`, layering, candidates, merged guards.

use std::collections::BTreeMap;

use super::{codes, has_errors, load_all};
use crate::documents::Document;
use crate::documents::composition::{Composition, Observed, Override};
use crate::documents::ruleset::{Mode, SessionLimits, SideEffect};
use crate::options::{Compat, Merged, Options};

fn rule(id: &str, more: &str) -> String {
    format!(
        "  - {{id: {id}, type: pre, tool: T, when: {{tool.name: {{exists: true}}}}, then: {{action: block, message: {id}}}{more}}}\n"
    )
}

fn file(name: &str, mode: &str, more: &str, rules: &[String]) -> String {
    let rules = if rules.is_empty() { String::new() } else { format!("rules:\n{}", rules.concat()) };
    format!(
        "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: {name}}}\ndefaults: {{mode: {mode}}}\n{more}{rules}"
    )
}

fn reference() -> Options {
    Options { compat: Some(Compat::Python019), ..Options::default() }
}

fn rules(composition: &Composition) -> Vec<(&str, &'static str, bool)> {
    composition.rules.iter().map(|rule| (rule.id.as_str(), rule.mode.as_str(), rule.candidate)).collect()
}

#[test]
fn a_parent_comes_first_and_the_child_has_the_last_word() {
    let parent =
        file("base", "enforce", "tools: {T: {side_effect: read}}\n", &[rule("p", ""), rule("q", ", mode: enforce")]);
    let options = Options { registry: BTreeMap::from([("base".to_owned(), parent)]), ..Options::default() };
    let child = file("child", "observe", "extends: base\n", &[rule("c", "")]);
    let (composition, findings) = load_all(&[("child.yaml", &child)], &options);
    assert!(findings.is_empty(), "{findings:?}");
    let composition = composition.unwrap();
    assert_eq!(composition.name, "child");
    assert_eq!(rules(&composition), [("p", "observe", false), ("q", "enforce", false), ("c", "observe", false)]);
    assert_eq!(composition.tools[0].1.side_effect, SideEffect::Read);
    assert_eq!(&*composition.rules[0].rule.document, "base");
    // Rules may be absent, or an empty list, when there are the parent's.
    for more in ["extends: base\n", "extends: base\nrules: []\n", "extends: base\ntools: {U: {side_effect: pure}}\n"] {
        let (composition, findings) = load_all(&[("c", &file("child", "enforce", more, &[]))], &options);
        assert!(findings.is_empty(), "{findings:?}");
        let composition = composition.unwrap();
        assert_eq!(composition.rules.len(), 2);
        assert_eq!(composition.tools.len(), 1, "a child's key replaces the parent's as a whole");
    }
    let (_, findings) = load_all(&[("c", &file("child", "enforce", "extends: base\nrules: null\n", &[]))], &options);
    assert_eq!(codes(&findings), ["E_TYPE"]);
    let (_, findings) = load_all(&[("c", &file("child", "enforce", "extends: base\n", &[rule("p", "")]))], &options);
    assert_eq!(codes(&findings), ["E_DUP_RULE_ID"], "ids do not override across `extends`");
}

#[test]
fn findings_about_a_parent_name_the_parent() {
    let parent = "apiVersion: edictum/v1\nkind: Rulesets\nrules:\n  - {id: p, type: pre}\nx: 2024-13-01\n".to_owned();
    let options = Options { registry: BTreeMap::from([("base".to_owned(), parent)]), ..Options::default() };
    let child = "extends: base\nmetadata: {name: c}\ndefaults: {mode: no}\n";
    let files = [("a.yaml", child), ("b.yaml", child)];
    let (_, findings) = load_all(&files, &options);
    let found: Vec<_> =
        findings.iter().map(|found| (found.document.as_str(), found.code.as_str(), found.span.line)).collect();
    assert_eq!(
        found,
        [
            ("a.yaml", "E_TYPE", 3),
            ("base", "E_ENUM", 2),
            ("base", "E_MISSING_FIELD", 4),
            ("base", "E_MISSING_FIELD", 4),
            ("base", "E_MISSING_FIELD", 4),
            ("base", "E_UNKNOWN_FIELD", 5),
            ("base", "E_YAML_SCALAR", 5),
            ("b.yaml", "E_TYPE", 3),
        ],
        "{findings:?}"
    );
}

#[test]
fn extends_that_leads_nowhere_is_an_error_and_never_ignored() {
    let extending = |parent: &str| file("c", "enforce", &format!("extends: {parent}\n"), &[rule("r", "")]);
    for (parent, code) in [
        ("nobody", "E_EXTENDS_UNRESOLVED"),
        ("''", "E_EXTENDS_UNRESOLVED"),
        ("5", "E_EXTENDS_UNRESOLVED"),
        ("[a]", "E_TYPE"),
    ] {
        let (composition, findings) = load_all(&[("c", &extending(parent))], &Options::default());
        assert_eq!(codes(&findings), [code], "{parent}");
        assert_eq!(composition.unwrap().rules.len(), 1, "its own rules are checked all the same");
    }
    let (_, findings) = load_all(&[("c", &extending("null"))], &Options::default());
    assert!(findings.is_empty());
    let registry = BTreeMap::from([("a".to_owned(), extending("b")), ("b".to_owned(), extending("a"))]);
    let (_, findings) = load_all(&[("c", &extending("a"))], &Options { registry, ..Options::default() });
    assert!(codes(&findings).contains(&"E_EXTENDS_CYCLE"), "{findings:?}");
    let registry = BTreeMap::from([("empty".to_owned(), String::new()), ("text".to_owned(), "text".to_owned())]);
    for (parent, code) in [("empty", "E_DOC_EMPTY"), ("text", "E_DOC_NOT_MAP")] {
        let options = Options { registry: registry.clone(), ..Options::default() };
        let (_, findings) = load_all(&[("c", &extending(parent))], &options);
        assert_eq!(codes(&findings), [code]);
        assert_eq!(findings[0].document, parent);
    }
}

#[test]
fn chains_end_after_fifty_documents() {
    let chain = |length: usize| {
        let mut registry = BTreeMap::new();
        for link in 1..length {
            let extends = if link + 1 < length { format!("extends: d{}\n", link + 1) } else { String::new() };
            registry.insert(format!("d{link}"), file("x", "enforce", &extends, &[rule(&format!("r{link}"), "")]));
        }
        let options = Options { registry, ..Options::default() };
        load_all(&[("c", &file("x", "enforce", "extends: d1\n", &[rule("r0", "")]))], &options)
    };
    let (composition, findings) = chain(50);
    assert!(findings.is_empty(), "{findings:?}");
    let composition = composition.unwrap();
    assert_eq!(composition.rules.len(), 50);
    assert_eq!((composition.rules[0].id.as_str(), composition.rules[49].id.as_str()), ("r49", "r0"));
    assert_eq!(codes(&chain(51).1), ["E_EXTENDS_CYCLE"]);
}

#[test]
fn later_files_replace_in_place_and_append() {
    let one = file(
        "one",
        "enforce",
        "tools: {T: {side_effect: read}, U: {side_effect: pure}}\nobservability: {file: a}\n",
        &[rule("a", ""), rule("b", "")],
    );
    let two = file(
        "two",
        "enforce",
        "tools: {T: {side_effect: write}}\nobservability: {stdout: false}\n",
        &[rule("c", ""), rule("a", "")],
    );
    let (composition, findings) = load_all(&[("one.yaml", &one), ("two.yaml", &two)], &Options::default());
    assert!(findings.is_empty(), "{findings:?}");
    let composition = composition.unwrap();
    assert_eq!(composition.name, "two");
    assert_eq!(rules(&composition), [("a", "enforce", false), ("b", "enforce", false), ("c", "enforce", false)]);
    assert_eq!(&*composition.rules[0].rule.document, "two.yaml");
    assert_eq!(
        composition.tools.iter().map(|(_, class)| class.side_effect).collect::<Vec<_>>(),
        [SideEffect::Write, SideEffect::Pure]
    );
    assert_eq!(composition.observability.unwrap().text(), r#"{"otel":{"enabled":false},"stdout":false,"file":null}"#);
    assert_eq!(
        composition.report.overridden,
        [Override {
            rule_id: "a".to_owned(),
            overridden_by: "two.yaml".to_owned(),
            original_source: "one.yaml".to_owned()
        }]
    );
    let hash = |text: &str| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(text));
    assert_eq!(composition.policy_version, hash(&format!("{}:{}", hash(&one), hash(&two))));
    let (alone, _) = load_all(&[("one.yaml", &one)], &Options::default());
    assert_eq!(alone.unwrap().policy_version, hash(&one));
}

#[test]
fn one_late_observe_does_not_switch_earlier_files_off() {
    let one = file("one", "enforce", "", &[rule("a", ""), rule("b", ", mode: observe")]);
    let two = file("two", "observe", "", &[rule("c", ""), rule("d", ", mode: enforce")]);
    let files = [("one.yaml", one.as_str()), ("two.yaml", two.as_str())];
    let (composition, findings) = load_all(&files, &Options::default());
    let composition = composition.unwrap();
    assert_eq!(composition.mode, Mode::Enforce);
    assert_eq!(
        rules(&composition),
        [("a", "enforce", false), ("b", "observe", false), ("c", "observe", false), ("d", "enforce", false)]
    );
    assert_eq!(codes(&findings), ["W_MODE"]);
    assert_eq!((findings[0].document.as_str(), findings[0].span.line, findings[0].span.column), ("two.yaml", 4, 18));
    // As the reference does it.
    let (composition, findings) = load_all(&files, &reference());
    let composition = composition.unwrap();
    assert_eq!(composition.mode, Mode::Observe);
    assert_eq!(
        rules(&composition),
        [("a", "observe", false), ("b", "observe", false), ("c", "observe", false), ("d", "enforce", false)]
    );
    assert_eq!(codes(&findings), ["W_MODE"]);
    // The other way round what is added is enforced.
    let (composition, _) = load_all(&[files[1], files[0]], &Options::default());
    assert_eq!(composition.unwrap().mode, Mode::Enforce);
}

#[test]
fn weakening_is_reported() {
    let base = |body: &str| file("base", "enforce", "", &[format!("  - {{id: r, {body}}}\n")]);
    let pre =
        |then: &str| format!("type: pre, tool: T, when: {{tool.name: {{exists: true}}}}, then: {{message: m, {then}}}");
    let post = |action: &str| {
        format!("type: post, tool: T, when: {{output.text: {{exists: true}}}}, then: {{message: m, action: {action}}}")
    };
    let limit = |limits: &str| format!("type: session, limits: {{{limits}}}, then: {{action: block, message: m}}");
    let sandbox = |more: &str| format!("type: sandbox, tool: T, within: [/x], message: m{more}");
    for (old, new, warned) in [
        (pre("action: block"), pre("action: block"), false),
        (pre("action: block"), pre("action: ask"), true),
        (pre("action: ask"), pre("action: block"), false),
        (pre("action: ask"), pre("action: ask, timeout_action: allow"), true),
        (pre("action: block"), format!("{}, enabled: false", pre("action: block")), true),
        (pre("action: block"), format!("{}, mode: observe", pre("action: block")), true),
        (post("block"), post("redact"), true),
        (post("warn"), post("redact"), false),
        (limit("max_attempts: 3"), limit("max_attempts: 4"), true),
        (limit("max_attempts: 3"), limit("max_attempts: 2, max_tool_calls: 1"), false),
        (limit("max_calls_per_tool: {a: 1}"), limit("max_attempts: 1"), true),
        (sandbox(""), sandbox(", outside: ask"), true),
        (sandbox(""), pre("action: block"), true),
    ] {
        let (composition, findings) = load_all(&[("a", &base(&old)), ("b", &base(&new))], &Options::default());
        assert!(!has_errors(&findings), "{findings:?}");
        assert_eq!(codes(&findings).contains(&"W_WEAKENED"), warned, "{old} → {new}: {findings:?}");
        let composition = composition.unwrap();
        assert_eq!(composition.report.overridden.len(), 1);
        assert_eq!(composition.rules.len(), usize::from(!new.contains("enabled: false")), "a disabled rule is dropped");
    }
}

#[test]
fn candidates_stand_beside_the_rules_and_change_nothing_else() {
    let one = file("one", "enforce", "observe_alongside: true\ntools: {T: {side_effect: read}}\n", &[rule("a", "")]);
    let two = file(
        "two",
        "observe",
        "observe_alongside: true\ntools: {T: {side_effect: pure}, U: {side_effect: pure}}\nobservability: {}\n",
        &[rule("a", ""), rule("n", ", mode: enforce"), rule("out", ", enabled: false")],
    );
    let files = [("one.yaml", one.as_str()), ("two.yaml", two.as_str()), ("two.yaml", two.as_str())];
    let (composition, findings) = load_all(&files, &Options::default());
    assert!(findings.is_empty(), "{findings:?}");
    let composition = composition.unwrap();
    assert_eq!(composition.mode, Mode::Enforce);
    assert_eq!(
        rules(&composition),
        [
            ("a", "enforce", false),
            ("a:candidate", "observe", true),
            ("n:candidate", "observe", true),
            ("a:candidate", "observe", true),
            ("n:candidate", "observe", true),
        ]
    );
    assert_eq!(composition.tools.len(), 1);
    assert_eq!(composition.tools[0].1.side_effect, SideEffect::Read);
    assert!(composition.observability.is_none());
    assert_eq!(composition.report.observed.len(), 6);
    assert_eq!(
        composition.report.observed[0],
        Observed {
            rule_id: "a".to_owned(),
            enforced_source: "one.yaml".to_owned(),
            observed_source: "two.yaml".to_owned()
        }
    );
    assert_eq!(composition.report.observed[1].enforced_source, "");
    let (composition, _) = load_all(&files, &reference());
    let composition = composition.unwrap();
    assert_eq!(composition.tools.len(), 2, "the reference lets a candidate file classify tools");
    assert_eq!(composition.mode, Mode::Enforce);
    // The last of all is an ordinary file again: candidates are not replaced, the rule is.
    let last = file("last", "enforce", "", &[rule("a", "")]);
    let (composition, _) = load_all(&[files[0], files[1], ("last.yaml", &last)], &Options::default());
    let composition = composition.unwrap();
    assert_eq!(
        composition.rules.iter().map(|rule| &*rule.rule.document).collect::<Vec<_>>(),
        ["last.yaml", "two.yaml", "two.yaml"]
    );
}

#[test]
fn merged_guards_add_rules_and_narrow_limits() {
    let document = |name: &str, text: &str| Document { name: name.to_owned(), text: text.to_owned() };
    let limits = |calls: u64, tool: u64| SessionLimits {
        max_tool_calls: Some(calls),
        max_attempts: None,
        max_calls_per_tool: BTreeMap::from([("T".to_owned(), tool)]),
    };
    let first = file("first", "enforce", "tools: {T: {side_effect: read}}\n", &[rule("a", "")]);
    let second = file(
        "second",
        "observe",
        "tools: {T: {side_effect: pure}}\nobservability: {}\n",
        &[rule("b", ""), rule("a", "")],
    );
    let third = file("third", "enforce", "", &[rule("b", ""), rule("c", "")]);
    let merged = |files: Vec<Document>, limits: SessionLimits| Merged {
        rulesets: files,
        options: Box::new(Options { limits, ..Options::default() }),
    };
    let options = Options {
        limits: limits(500, 5),
        merge: vec![
            merged(vec![document("second", &second)], limits(50, 9)),
            merged(vec![document("third", &third)], limits(70, 7)),
        ],
        ..Options::default()
    };
    let (composition, findings) = load_all(&[("first", &first)], &options);
    assert!(!has_errors(&findings));
    assert_eq!(codes(&findings), ["W_WEAKENED", "W_WEAKENED"], "{findings:?}");
    let composition = composition.unwrap();
    assert_eq!(rules(&composition), [("a", "enforce", false), ("b", "observe", false), ("c", "enforce", false)]);
    assert_eq!((composition.name.as_str(), composition.mode), ("first", Mode::Enforce));
    assert_eq!(composition.limits, limits(50, 7), "the narrowest of those that came with the others");
    assert_eq!(composition.tools[0].1.side_effect, SideEffect::Read);
    assert!(composition.observability.is_none());
    let (alone, _) = load_all(&[("first", &first)], &Options::default());
    assert_eq!(composition.policy_version, alone.unwrap().policy_version);
    let compat = Options { compat: Some(Compat::Python019), ..options.clone() };
    assert_eq!(load_all(&[("first", &first)], &compat).0.unwrap().limits, SessionLimits::default());
    // A merged guard without files, and one that merges itself, are mistakes.
    let nested = Options { merge: options.merge.clone(), ..Options::default() };
    let wrong =
        Options { merge: vec![Merged { rulesets: Vec::new(), options: Box::new(nested) }], ..Options::default() };
    let mut found = codes(&load_all(&[("first", &first)], &wrong).1);
    found.sort_unstable();
    assert_eq!(found, ["E_DOC_EMPTY", "E_OPTION"]);
}
