//! engine.md §1.1–1.4: every way to be wrong, with its code, its path and its place.

use super::{HEAD, codes, fine, has_errors, load, load_all, when, with_rules};
use crate::documents::ruleset::{Expression, PreAction, RuleBody, TimeoutAction};
use crate::options::{Options, UnknownSelectors};

/// Exactly one finding, of this code, whose message begins so.
fn one(text: &str, code: &str, message: &str) {
    let (_, findings) = load(text);
    assert_eq!(codes(&findings), [code], "{text}\n{findings:?}");
    assert!(findings[0].message.starts_with(message), "{text}\n{}\nnot {message}", findings[0].message);
    assert!(findings[0].span.line > 0 && findings[0].span.column > 0, "{findings:?}");
}

const RULE: &str =
    "rules: [{id: r, type: pre, tool: Bash, when: {args.x: {equals: 1}}, then: {action: block, message: m}}]";

#[test]
fn top_level_mistakes_are_named() {
    let without = |key: &str| {
        let lines = HEAD.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n"));
        format!("{}{RULE}\n", lines.collect::<String>())
    };
    let with = |key: &str, value: &str| format!("{}{key}: {value}\n", without(key));
    for key in ["apiVersion", "kind", "metadata", "defaults"] {
        one(&without(key), "E_MISSING_FIELD", &format!("{key}: is required"));
        one(&with(key, "null"), "E_TYPE", &format!("{key}: must be"));
    }
    one(HEAD, "E_MISSING_FIELD", "rules: is required");
    for (key, value, code, message) in [
        ("apiVersion", "edictum/v2", "E_ENUM", "apiVersion: must be one of edictum/v1, not `edictum/v2`"),
        ("apiVersion", "1", "E_TYPE", "apiVersion: must be one of edictum/v1"),
        ("kind", "ContractBundle", "E_ENUM", "kind: must be one of Ruleset"),
        ("metadata", "text", "E_TYPE", "metadata: must be a map, not a string"),
        ("metadata", "{description: d}", "E_MISSING_FIELD", "metadata.name: is required"),
        ("metadata", "{name: Upper}", "E_PATTERN", "metadata.name: `Upper` must be"),
        ("metadata", "{name: \"t\\n\"}", "E_PATTERN", "metadata.name: `t\\n`"),
        ("metadata", "{name: ''}", "E_PATTERN", "metadata.name: ``"),
        ("metadata", "{name: 5}", "E_TYPE", "metadata.name: must be a string, not an integer"),
        ("metadata", "{name: t, version: '1'}", "E_UNKNOWN_FIELD", "metadata.version: unknown field"),
        ("defaults", "{}", "E_MISSING_FIELD", "defaults.mode: is required"),
        ("defaults", "{mode: permissive}", "E_ENUM", "defaults.mode: must be one of enforce, observe"),
        ("defaults", "{mode: enforce, environment: staging}", "E_UNKNOWN_FIELD", "defaults.environment: unknown"),
        ("unknown_field", "true", "E_UNKNOWN_FIELD", "unknown_field: unknown field"),
        ("limits", "{}", "E_UNKNOWN_FIELD", "limits: unknown field"),
        ("observe_alongside", "1", "E_TYPE", "observe_alongside: must be a boolean"),
        ("tools", "[Bash]", "E_TYPE", "tools: must be a map"),
        ("tools", "{Bash: {}}", "E_MISSING_FIELD", "tools.Bash.side_effect: is required"),
        ("tools", "{Bash: {side_effect: none}}", "E_ENUM", "tools.Bash.side_effect: must be one of pure, read"),
        ("tools", "{Bash: {side_effect: read, idempotent: 1}}", "E_TYPE", "tools.Bash.idempotent: must be a boolean"),
        ("tools", "{'mcp_*': {side_effect: read}}", "W_GLOB", "tools.`mcp_*`: `mcp_*` is compared as it stands"),
        ("observability", "{stdout: no, file: null}", "", ""),
        ("observability", "{stdout: null}", "E_TYPE", "observability.stdout: must be a boolean, not null"),
        (
            "observability",
            "{otel: {protocol: udp}}",
            "E_ENUM",
            "observability.otel.protocol: must be one of grpc, http",
        ),
        (
            "observability",
            "{otel: {resource_attributes: {a: 1}}}",
            "E_TYPE",
            "observability.otel.resource_attributes.a:",
        ),
    ] {
        if code.is_empty() {
            fine(&with(key, value));
        } else {
            one(&with(key, value), code, message);
        }
    }
    one(&format!("{HEAD}rules: []\n"), "E_EMPTY", "rules: must not be empty");
    one(&format!("{HEAD}rules: null\n"), "E_TYPE", "rules: must be a list, not null");
    one(&format!("{HEAD}rules: [text]\n"), "E_TYPE", "rules[0]: must be a map, not a string");
}

#[test]
fn documents_that_are_no_map_are_named() {
    one("", "E_DOC_EMPTY", "the document is empty, and must be a mapping");
    one("# nothing\n", "E_DOC_EMPTY", "the document is empty");
    for text in ["---\n", "[a]", "text", "5"] {
        one(text, "E_DOC_NOT_MAP", "the document must be a mapping");
    }
    let (composition, findings) = load(&format!("a: {}", "x".repeat(crate::yaml::MAX_BYTES)));
    assert!(composition.is_none());
    assert_eq!(codes(&findings), ["E_DOC_TOO_LARGE"]);
    assert!(findings[0].message.contains("1048579") && findings[0].message.contains("1048576"));
    let (composition, findings) = load_all(&[], &Options::default());
    assert!(composition.is_none());
    assert_eq!(codes(&findings), ["E_DOC_EMPTY"]);
}

#[test]
fn rule_mistakes_are_named() {
    const THEN: &str = "then: {action: block, message: m}";
    const PRE: &str = "type: pre, tool: Bash, when: {args.x: {equals: 1}}";
    for (rule, code, message) in [
        (format!("{{{PRE}, {THEN}}}"), "E_MISSING_FIELD", "rules[0].id: is required"),
        (format!("{{id: '', {PRE}, {THEN}}}"), "E_PATTERN", "rules[0].id: ``"),
        (format!("{{id: has.dot, {PRE}, {THEN}}}"), "E_PATTERN", "rules[0].id: `has.dot`"),
        (format!("{{id: Upper, {PRE}, {THEN}}}"), "E_PATTERN", "rules[0].id: `Upper`"),
        (format!("{{id: 5, {PRE}, {THEN}}}"), "E_TYPE", "rules[0].id: must be a string"),
        (format!("{{id: r, tool: Bash, {THEN}}}"), "E_MISSING_FIELD", "rules[0].type: is required"),
        (format!("{{id: r, type: prae, tool: Bash, {THEN}}}"), "E_ENUM", "rules[0].type: must be one of pre, post"),
        (format!("{{id: r, {PRE}, {THEN}, enabled: 1}}"), "E_TYPE", "rules[0].enabled: must be a boolean"),
        (format!("{{id: r, {PRE}, {THEN}, mode: log}}"), "E_ENUM", "rules[0].mode: must be one of enforce, observe"),
        (format!("{{id: r, {PRE}, {THEN}, _observe: true}}"), "E_UNKNOWN_FIELD", "rules[0]._observe: unknown field"),
        (format!("{{id: r, {PRE}, {THEN}, limits: {{}}}}"), "E_UNKNOWN_FIELD", "rules[0].limits: unknown field"),
        (format!("{{id: r, {PRE}}}"), "E_MISSING_FIELD", "rules[0].then: is required"),
        (format!("{{id: r, {PRE}, then: null}}"), "E_TYPE", "rules[0].then: must be a map, not null"),
        (format!("{{id: r, type: pre, when: {{args.x: {{equals: 1}}}}, {THEN}}}"), "E_MISSING_FIELD", "rules[0].tool:"),
        (format!("{{id: r, type: pre, tool: '', when: {{args.x: {{equals: 1}}}}, {THEN}}}"), "E_EMPTY", "rules[0].tool:"),
        (format!("{{id: r, type: pre, tool: Bash, {THEN}}}"), "E_MISSING_FIELD", "rules[0].when: is required"),
        (format!("{{id: r, type: post, tool: Bash, {THEN}}}"), "E_MISSING_FIELD", "rules[0].when: is required"),
        (format!("{{id: r, {PRE}, then: {{message: m}}}}"), "E_MISSING_FIELD", "rules[0].then.action: is required"),
        (format!("{{id: r, {PRE}, then: {{action: block}}}}"), "E_MISSING_FIELD", "rules[0].then.message: is required"),
        (
            format!("{{id: r, {PRE}, then: {{action: warn, message: m}}}}"),
            "E_ENUM",
            "rules[0].then.action: must be one of block, ask, not `warn`",
        ),
        (format!("{{id: r, {PRE}, then: {{action: no, message: m}}}}"), "E_TYPE", "rules[0].then.action: must be one of"),
        (format!("{{id: r, {PRE}, then: {{action: block, message: ''}}}}"), "E_EMPTY", "rules[0].then.message: must not"),
        (
            format!("{{id: r, {PRE}, then: {{action: block, message: {}}}}}", "é".repeat(501)),
            "E_TOO_LONG",
            "rules[0].then.message: has 501 characters",
        ),
        (format!("{{id: r, {PRE}, then: {{action: block, message: m, tags: [a, '']}}}}"), "E_EMPTY", "rules[0].then.tags[1]"),
        (format!("{{id: r, {PRE}, then: {{action: block, message: m, tags: a}}}}"), "E_TYPE", "rules[0].then.tags: must be"),
        (
            format!("{{id: r, {PRE}, then: {{action: block, message: m, metadata: {{policy_error: false}}}}}}"),
            "E_RESERVED_METADATA",
            "rules[0].then.metadata.policy_error:",
        ),
        (
            format!("{{id: r, {PRE}, then: {{action: block, message: m, metadata: {{a: [.nan]}}}}}}"),
            "E_TYPE",
            "rules[0].then.metadata: must not be or hold `.nan`",
        ),
        (
            format!("{{id: r, {PRE}, then: {{action: ask, message: m, timeout: 0}}}}"),
            "E_RANGE",
            "rules[0].then.timeout: must be at least 1",
        ),
        (format!("{{id: r, {PRE}, then: {{action: ask, message: m, timeout: 1.5}}}}"), "E_TYPE", "rules[0].then.timeout:"),
        (format!("{{id: r, {PRE}, then: {{action: ask, message: m, timeout: 1e3}}}}"), "E_TYPE", "rules[0].then.timeout:"),
        (format!("{{id: r, {PRE}, then: {{action: ask, message: m, timeout: yes}}}}"), "E_TYPE", "rules[0].then.timeout:"),
        (
            format!("{{id: r, {PRE}, then: {{action: ask, message: m, timeout_action: deny}}}}"),
            "E_ENUM",
            "rules[0].then.timeout_action: must be one of block, allow",
        ),
        (
            format!("{{id: r, {PRE}, then: {{action: ask, message: m, timeout_action: block, timeout_effect: allow}}}}"),
            "E_CONFLICT",
            "rules[0].then.timeout_effect:",
        ),
        (
            "{id: r, type: post, tool: Bash, when: {output.text: {exists: true}}, then: {action: ask, message: m}}".to_owned(),
            "E_ENUM",
            "rules[0].then.action: must be one of warn, redact, block",
        ),
        (
            "{id: r, type: post, tool: B, when: {output.text: {exists: true}}, then: {action: warn, message: m, timeout: 5}}"
                .to_owned(),
            "E_UNKNOWN_FIELD",
            "rules[0].then.timeout: unknown field",
        ),
        (format!("{{id: r, type: session, {THEN}}}"), "E_MISSING_FIELD", "rules[0].limits: is required"),
        (format!("{{id: r, type: session, limits: {{}}, {THEN}}}"), "E_EMPTY", "rules[0].limits: must not be empty"),
        (
            format!("{{id: r, type: session, limits: {{max_attempts: -1}}, {THEN}}}"),
            "E_RANGE",
            "rules[0].limits.max_attempts: must be at least 1",
        ),
        (
            format!("{{id: r, type: session, limits: {{max_calls_per_tool: {{}}}}, {THEN}}}"),
            "E_EMPTY",
            "rules[0].limits.max_calls_per_tool: must not be empty",
        ),
        (
            format!("{{id: r, type: session, limits: {{max_calls_per_tool: {{'T*': 1}}}}, {THEN}}}"),
            "W_GLOB",
            "rules[0].limits.max_calls_per_tool.`T*`:",
        ),
        (
            "{id: r, type: session, limits: {max_attempts: 3}, then: {action: ask, message: m}}".to_owned(),
            "E_ENUM",
            "rules[0].then.action: must be one of block",
        ),
        (format!("{{id: r, type: session, tool: Bash, limits: {{max_attempts: 3}}, {THEN}}}"), "E_UNKNOWN_FIELD", "rules[0].tool:"),
    ] {
        one(&with_rules(&[&rule]), code, message);
    }
}

#[test]
fn sandbox_mistakes_are_named() {
    let sandbox = |keys: &str| with_rules(&[&format!("{{id: box, type: sandbox, message: m, {keys}}}")]);
    for (keys, code, message) in [
        ("within: [/safe]", "E_MISSING_FIELD", "rules[0]: needs `tool` or `tools`"),
        ("tool: a, tools: [b], within: [/safe]", "E_CONFLICT", "rules[0]: has both"),
        ("tools: [], within: [/safe]", "E_EMPTY", "rules[0].tools: must not be empty"),
        ("tools: [''], within: [/safe]", "E_EMPTY", "rules[0].tools[0]: must not be empty"),
        ("tool: a", "E_MISSING_FIELD", "rules[0]: needs `within` or `allows`"),
        ("tool: a, within: []", "E_EMPTY", "rules[0].within: must not be empty"),
        ("tool: a, within: /safe", "E_TYPE", "rules[0].within: must be a list"),
        ("tool: a, within: [\"/a\\0b\"]", "E_SANDBOX_PATH", "rules[0].within[0]: `/a\\u{0}b` holds a NUL"),
        ("tool: a, not_within: [/x]", "E_SANDBOX_DEP", "rules[0]: `not_within` needs `within` (rule `box`)"),
        (
            "tool: a, allows: {commands: [ls]}, not_within: [/x]",
            "E_SANDBOX_DEP",
            "rules[0]: `not_within` needs `within`",
        ),
        ("tool: a, within: [/x], not_allows: {}", "E_SANDBOX_DEP", "rules[0]: `not_allows` needs `allows`"),
        (
            "tool: a, allows: {commands: [ls]}, not_allows: {domains: [a.com]}",
            "E_SANDBOX_DEP",
            "rules[0]: `not_allows.domains` needs `allows.domains` (rule `box`)",
        ),
        ("tool: a, allows: {}", "E_EMPTY", "rules[0].allows: must not be empty"),
        ("tool: a, allows: {commands: []}", "E_EMPTY", "rules[0].allows.commands: must not be empty"),
        ("tool: a, allows: {commands: [' ']}", "E_SANDBOX_COMMAND", "rules[0].allows.commands[0]: must not be blank"),
        (
            "tool: a, allows: {commands: ['ls; rm']}",
            "E_SANDBOX_COMMAND",
            "rules[0].allows.commands[0]: `ls; rm` can never",
        ),
        ("tool: a, allows: {paths: [x]}", "E_UNKNOWN_FIELD", "rules[0].allows.paths: unknown field"),
        ("tool: a, within: [/x], outside: deny", "E_ENUM", "rules[0].outside: must be one of block, ask"),
        ("tool: a, within: [/x], then: {action: block, message: m}", "E_UNKNOWN_FIELD", "rules[0].then: unknown field"),
        ("tool: a, within: [/x], tags: [a]", "E_UNKNOWN_FIELD", "rules[0].tags: unknown field"),
        ("tool: a, allows: {domains: ['*a.com']}", "W_GLOB", "rules[0].allows.domains[0]: `*a.com` also matches"),
        ("tool: 'a{b,c}', within: [/x]", "W_GLOB", "rules[0].tool: braces"),
    ] {
        one(&sandbox(keys), code, message);
    }
    one(
        &with_rules(&["{id: box, type: sandbox, tool: a, within: [/x]}"]),
        "E_MISSING_FIELD",
        "rules[0].message: is required",
    );
    for keys in [
        "tool: a, within: [x, /workspace], not_within: []",
        "tool: a, allows: {commands: [git status, ls], domains: ['*']}, not_allows: {domains: [evil.com]}",
        "tools: [a, b], allows: {domains: ['*.a.com', a.com]}, not_allows: {}",
    ] {
        fine(&sandbox(keys));
    }
}

#[test]
fn synonyms_of_older_versions_are_understood() {
    let composition = fine(&with_rules(&[
        "{id: a, type: pre, tool: T, when: {tool.name: {exists: true}}, then: {action: ask, message: m, timeout: 30.0, timeout_effect: allow}}",
        "{id: b, type: sandbox, tool: T, within: [/x], message: m, outside: approve, timeout: 1:30, timeout_effect: allow, timeout_action: allow}",
        "{id: c, type: session, limits: {max_attempts: 1.0e+3, max_tool_calls: 0x10, max_calls_per_tool: {T: 99999999999999999999999}}, then: {action: block, message: m}}",
    ]));
    let RuleBody::Pre(pre) = &composition.rules[0].rule.body else { panic!("a pre rule") };
    assert_eq!((pre.approval.timeout, pre.approval.timeout_action), (30, TimeoutAction::Allow));
    let RuleBody::Sandbox(sandbox) = &composition.rules[1].rule.body else { panic!("a sandbox") };
    assert_eq!((sandbox.outside, sandbox.approval.timeout), (PreAction::Ask, 90));
    let RuleBody::Session(session) = &composition.rules[2].rule.body else { panic!("a session rule") };
    assert_eq!((session.limits.max_attempts, session.limits.max_tool_calls), (Some(1000), Some(16)));
    assert_eq!(session.limits.max_calls_per_tool["T"], u64::MAX);
}

#[test]
fn expression_mistakes_are_named() {
    for (condition, code, message) in [
        ("text", "E_TYPE", "rules[0].when: must be a map with one key"),
        ("[]", "E_TYPE", "rules[0].when: must be a map"),
        ("{}", "E_EXPR_SHAPE", "rules[0].when: must have exactly one key, not 0"),
        (
            "{args.a: {exists: true}, args.b: {exists: true}}",
            "E_EXPR_SHAPE",
            "rules[0].when: must have exactly one key, not 2",
        ),
        ("{all: []}", "E_EMPTY", "rules[0].when.all: must not be empty"),
        ("{any: []}", "E_EMPTY", "rules[0].when.any: must not be empty"),
        ("{all: {args.a: {exists: true}}}", "E_TYPE", "rules[0].when.all: must be a list"),
        ("{not: [{args.a: {exists: true}}]}", "E_TYPE", "rules[0].when.not: must be a map"),
        ("{all: [{not: {any: [5]}}]}", "E_TYPE", "rules[0].when.all[0].not.any[0]: must be a map"),
        ("{args.x: 5}", "E_TYPE", "rules[0].when.args.x: must be a map with one operator"),
        ("{args.x: {}}", "E_EXPR_SHAPE", "rules[0].when.args.x: must have exactly one operator, not 0"),
        ("{args.x: {gt: 1, lt: 5}}", "E_EXPR_SHAPE", "rules[0].when.args.x: must have exactly one operator, not 2"),
        ("{args.x: {exists: 1}}", "E_TYPE", "rules[0].when.args.x.exists: must be a boolean"),
        ("{args.x: {in: []}}", "E_EMPTY", "rules[0].when.args.x.in: must not be empty"),
        ("{args.x: {in: a}}", "E_TYPE", "rules[0].when.args.x.in: must be a list"),
        ("{args.x: {contains: 42}}", "E_TYPE", "rules[0].when.args.x.contains: must be a string, not an integer"),
        ("{args.x: {contains: ''}}", "E_EMPTY", "rules[0].when.args.x.contains: must not be empty"),
        (
            "{args.x: {starts_with: 2024-01-01}}",
            "E_TYPE",
            "rules[0].when.args.x.starts_with: must be a string, not a date",
        ),
        ("{args.x: {contains_any: [a, '']}}", "E_EMPTY", "rules[0].when.args.x.contains_any[1]: must not be empty"),
        ("{args.x: {contains_any: a}}", "E_TYPE", "rules[0].when.args.x.contains_any: must be a list"),
        ("{args.x: {matches: ''}}", "E_EMPTY", "rules[0].when.args.x.matches: must not be empty"),
        ("{args.x: {matches_any: [5]}}", "E_TYPE", "rules[0].when.args.x.matches_any[0]: must be a string"),
        ("{args.x: {gt: true}}", "E_TYPE", "rules[0].when.args.x.gt: must be a number, not a boolean"),
        ("{args.x: {gt: '5'}}", "E_TYPE", "rules[0].when.args.x.gt: must be a number, not a string"),
        ("{args.x: {lte: .nan}}", "E_TYPE", "rules[0].when.args.x.lte: must be a number, and `.nan`"),
        (
            "{args.x: {contians: a}}",
            "E_UNKNOWN_OPERATOR",
            "rules[0].when.args.x.contians: there is no operator `contians` (rule `r`)",
        ),
        ("{arg.x: {exists: true}}", "E_UNKNOWN_SELECTOR", "rules[0].when.arg.x: there is no selector `arg.x`"),
        ("{Tool.name: {exists: true}}", "E_UNKNOWN_SELECTOR", "rules[0].when.Tool.name:"),
        ("{principal: {exists: true}}", "E_UNKNOWN_SELECTOR", "rules[0].when.principal:"),
        ("{env.: {exists: true}}", "E_UNKNOWN_SELECTOR", "rules[0].when.env.:"),
        (
            "{output.text: {exists: true}}",
            "E_PRE_OUTPUT_SELECTOR",
            "rules[0].when.output.text: the rule `r` runs before",
        ),
        ("{not: {result.code: {gt: 0}}}", "E_PRE_OUTPUT_SELECTOR", "rules[0].when.not.result.code: the rule `r` runs"),
    ] {
        one(&when(condition), code, message);
    }
    for condition in [
        "{args.: {exists: true}}",
        "{args..: {equals: {a: [1, null]}}}",
        "{env.A.B: {gt: .inf}}",
        "{principal.claims.a.b: {lt: -99999999999999999999}}",
        "{metadata.x: {in: [1, a, [x]]}}",
    ] {
        fine(&when(condition));
    }
}

#[test]
fn expressions_nest_a_hundred_deep_and_no_deeper() {
    let nested = |open: &str, close: &str, levels: usize| {
        let leaf = "{args.x: {exists: true}}";
        when(&format!("{}{leaf}{}", open.repeat(levels), close.repeat(levels)))
    };
    for (open, close) in [("{not: ", "}"), ("{all: [", "]}")] {
        fine(&nested(open, close, 100));
        let (_, findings) = load(&nested(open, close, 101));
        assert_eq!(codes(&findings), ["E_EXPR_DEPTH"], "{open}");
        let (_, findings) = load(&nested(open, close, 20_000));
        assert_eq!(codes(&findings), ["E_YAML_DEPTH"], "{open}");
    }
    // Elsewhere the general cap holds, whatever the keys are called.
    let deep = format!("{}1{}", "{not: ".repeat(150), "}".repeat(150));
    one(
        &when(&format!("{{args.x: {{equals: {deep}}}}}")),
        "E_YAML_DEPTH",
        "rules[0].when.args.x.equals: nested deeper",
    );
}

#[test]
fn options_extend_the_language() {
    let text = when("{all: [{device.os: {is_old: {than: 5}}}, {args.x: {is_old: 1}}]}");
    assert_eq!(codes(&load(&text).1), ["E_UNKNOWN_SELECTOR", "E_UNKNOWN_OPERATOR", "E_UNKNOWN_OPERATOR"]);
    let options =
        Options { operators: vec!["is_old".to_owned()], selectors: vec!["device".to_owned()], ..Options::default() };
    let (composition, findings) = load_all(&[("t", &text)], &options);
    assert!(findings.is_empty(), "{findings:?}");
    let RuleBody::Pre(pre) = &composition.unwrap().rules[0].rule.body.clone() else { panic!("a pre rule") };
    let Expression::All(list) = &pre.when else { panic!("all") };
    let Expression::Leaf(leaf) = &list[0] else { panic!("a leaf") };
    assert_eq!(leaf.operand.value.text(), "{\"than\":5}");
    let (_, findings) = load_all(&[("t", &when("{args.x: {is_old: .nan}}"))], &options);
    assert_eq!(codes(&findings), ["E_TYPE"], "what JSON cannot write cannot be asked");
    let names = |operators: &[&str], selectors: &[&str]| {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Options { operators: list(operators), selectors: list(selectors), ..Options::default() }
    };
    let text = when("{args.x: {equals: 1}}");
    for (options, count) in
        [(names(&["equals", "", "fine"], &[]), 2), (names(&[], &["args", "result", "all", "a.b", "", "fine"]), 5)]
    {
        let (_, findings) = load_all(&[("t", &text)], &options);
        assert_eq!(codes(&findings), vec!["E_OPTION"; count], "{findings:?}");
    }
    let warn = Options { unknown_selectors: UnknownSelectors::Warn, ..Options::default() };
    let (composition, findings) = load_all(&[("t", &when("{arg.x: {exists: true}}"))], &warn);
    assert!(!has_errors(&findings));
    assert_eq!(codes(&findings), ["E_UNKNOWN_SELECTOR"]);
    assert_eq!(composition.unwrap().rules.len(), 1);
}

#[test]
fn ten_mistakes_are_ten_findings_with_places_and_help() {
    let text = r#"apiVersion: edictum/v1
kind: Ruleset
metadata: {name: Ten}
defaults: {mod: enforce}
tools:
  Bash: {side_effect: writes}
rules:
  - id: one
    type: pre
    tool: Bash
    when: {args.command: {contain: rm}}
    then: {action: blok, message: m}
  - id: two
    type: pre
    tool: Bash
    when: {arg.command: {matches: "\d+"}}
    then: {action: block, mesage: m}
  - id: two
    type: session
    limits: {max_attempts: 0}
    then: {action: block, message: m}
  - id: four
    typ: sandbox
    tool: Bash
    within: [/x]
    message: m
"#;
    let (composition, findings) = load(text);
    let found: Vec<_> =
        findings.iter().map(|found| (found.code.as_str(), found.span.line, found.span.column)).collect();
    assert_eq!(
        found,
        [
            ("E_PATTERN", 3, 18),
            ("E_UNKNOWN_FIELD", 4, 12),
            ("E_ENUM", 6, 23),
            ("E_UNKNOWN_OPERATOR", 11, 27),
            ("E_ENUM", 12, 20),
            ("E_UNKNOWN_SELECTOR", 16, 12),
            ("E_YAML_SYNTAX", 16, 36),
            ("E_UNKNOWN_FIELD", 17, 27),
            ("E_DUP_RULE_ID", 18, 9),
            ("E_RANGE", 20, 28),
            ("E_UNKNOWN_FIELD", 23, 5),
        ],
        "{findings:?}"
    );
    let help = |at: usize| findings[at].help.as_deref().unwrap_or("");
    assert_eq!(help(1), "did you mean `mode`?");
    assert_eq!(help(2), "did you mean `write`?");
    assert_eq!(help(3), "did you mean `contains`?");
    assert_eq!(help(4), "did you mean `block`?");
    assert_eq!(help(5), "did you mean `args.command`?");
    assert!(help(6).contains("single quotes"));
    assert_eq!(help(7), "did you mean `message`?");
    assert_eq!(help(8), "the first one is on line 13");
    assert_eq!(help(10), "did you mean `type`?");
    assert!(findings.iter().all(|finding| finding.document == "t.yaml"));
    let span = findings[4].span;
    assert_eq!((span.end_line, span.end_column), (12, 24), "the span is the offending word");
    assert!(composition.unwrap().rules.is_empty());
}

#[test]
fn rules_without_mistakes_stay_when_others_have_some() {
    let (composition, findings) = load(&with_rules(&[
        "{id: a, type: pre, tool: T, when: {args.x: {exists: true}}, then: {action: block, message: m}}",
        "{id: b, type: pre, tool: T, when: {args.x: {exists: 2024-13-01}}, then: {action: block, message: m}}",
        "{id: a, type: pre, tool: T, when: {args.x: {exists: true}}, then: {action: block, message: m}}",
        "{id: d, type: post, tool: T, when: {output.text: {exists: true}}, then: {action: warn, message: m}}",
    ]));
    assert_eq!(codes(&findings), ["E_YAML_SCALAR", "E_DUP_RULE_ID"]);
    let ids: Vec<_> = composition.unwrap().rules.iter().map(|rule| rule.id.clone()).collect();
    assert_eq!(ids, ["a", "d"]);
}

#[test]
fn pitfalls_are_warned_of() {
    for (condition, code, part) in [
        ("{args.x: {equals: no}}", "W_OPERAND_TYPE", "boolean false"),
        ("{args.x: {in: [on, 'off']}}", "W_OPERAND_TYPE", "boolean true"),
        ("{args.x: {equals: 2024-01-01}}", "W_OPERAND_TYPE", "compared as a text"),
        ("{args.x: {gt: 017}}", "W_OPERAND_TYPE", "number `15`"),
        ("{args.x: {equals: 1:30}}", "W_OPERAND_TYPE", "number `90`"),
        ("{args.x: {equals: }}", "W_OPERAND_TYPE", "missing field"),
        ("{args.x: {equals: .nan}}", "W_OPERAND_TYPE", "not even itself"),
        (r"{args.x: {matches: '\\brm\\b'}}", "W_DOUBLE_BACKSLASH", "looks for a backslash"),
        (r"{args.x: {matches_any: ['a', 'x\\\\d']}}", "W_DOUBLE_BACKSLASH", ""),
        ("{principal.role: {not_in: [sre]}}", "W_MISSING_FIELD_PASSES", "`principal.role` is missing or null"),
        ("{args.x: {not_equals: a}}", "W_MISSING_FIELD_PASSES", "does not fire"),
    ] {
        let (composition, findings) = load(&when(condition));
        if part.is_empty() {
            assert!(findings.is_empty(), "two escaped backslashes are meant: {findings:?}");
            continue;
        }
        assert_eq!(codes(&findings), [code], "{condition}: {findings:?}");
        assert!(findings[0].message.contains(part), "{condition}: {}", findings[0].message);
        assert!(findings[0].span.line > 0);
        assert_eq!(composition.unwrap().rules.len(), 1, "{condition}");
    }
    for condition in [
        "{args.x: {equals: true}}",
        "{args.x: {equals: 'no'}}",
        "{args.x: {exists: no}}",
        r"{args.x: {matches: '\brm\b'}}",
        r#"{args.x: {matches: "\\brm"}}"#,
        r"{args.x: {contains: 'C:\\dir'}}",
        "{any: [{principal.role: {exists: false}}, {principal.role: {not_in: [sre]}}]}",
        "{not: {args.x: {not_equals: a}}}",
        "{environment: {not_equals: production}}",
    ] {
        fine(&when(condition));
    }
}

#[test]
fn a_date_as_operand_is_its_text() {
    let (composition, _) = load(&when("{args.x: {in: [2024-01-01, 1.0, 12345678901234567890123]}}"));
    let RuleBody::Pre(pre) = &composition.unwrap().rules[0].rule.body.clone() else { panic!("a pre rule") };
    let Expression::Leaf(leaf) = &pre.when else { panic!("a leaf") };
    assert_eq!(leaf.operand.value.text(), "[\"2024-01-01\",1.0,12345678901234567890123]");
}

#[test]
fn hostile_documents_have_a_bounded_number_of_findings() {
    let keys: String = (0..50_000).map(|key| format!("k{key}: 1\n")).collect();
    let (_, findings) = load(&format!("{HEAD}{keys}{RULE}\n"));
    assert_eq!(findings.len(), crate::diagnostics::MAX_FINDINGS + 1);
    assert_eq!(findings.last().unwrap().code.as_str(), "E_TOO_MANY_FINDINGS");
    assert!(has_errors(&findings));
    let long = "x".repeat(900_000);
    let (_, findings) = load(&format!("{HEAD}{RULE}\n'{long}': 1\n"));
    assert!(findings[0].message.len() < 400, "a long key is cut in the message");
}

#[test]
fn slices_find_the_same() {
    use crate::documents::{Document, load::Loader};
    let text = format!("{HEAD}{RULE}\n");
    let documents = || vec![Document { name: "t".to_owned(), text: text.clone() }; 3];
    let mut loader = Loader::new(documents(), &Options::default());
    let mut slices = 0;
    while !loader.advance(1) {
        slices += 1;
        assert!(slices < 1000, "no progress");
    }
    assert!(slices > 6, "each file takes some slices");
    let (sliced, whole) = (loader.finish(), Loader::new(documents(), &Options::default()).finish());
    assert_eq!(sliced.1, whole.1);
    assert_eq!(format!("{:?}", sliced.0), format!("{:?}", whole.0));
}

#[test]
fn a_broken_pattern_is_found_beside_the_other_mistakes_of_its_rule() {
    let rule = RULE.replace("{equals: 1}", "{matches: '('}").replace("type: pre", "type: pre, mode: sometimes");
    let (_, findings) = load(&format!("{HEAD}{rule}\n"));
    let codes: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes.len(), 2, "{findings:?}");
    assert!(codes.contains(&"E_REGEX_SYNTAX"), "{codes:?}");
}
