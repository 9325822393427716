//! Workflows that must not load, warnings about those that do, and how they come out (engine.md §1.6, §13.3).

use super::{MAX_STAGES, load};
use crate::diagnostics::{Code, Diagnostic, MAX_FINDINGS, Severity};
use crate::workflow::condition::Condition;
use crate::workflow::definition::Workflow;

const HEAD: &str = "apiVersion: edictum/v1\nkind: Workflow\nmetadata: {name: w}\n";
const DONE: &str = "{id: done, terminal: true}";

/// A workflow with these stages, each a flow map on a line of its own; the first is on line 5.
fn with(stages: &[&str]) -> String {
    format!("{HEAD}stages:\n{}", stages.iter().map(|stage| format!("- {stage}\n")).collect::<String>())
}

/// Two stages, the first with this in it.
fn first(inside: &str) -> String {
    with(&[&format!("{{id: a, {inside}}}"), DONE])
}

/// With this condition, as it stands in YAML.
fn condition(scalar: &str) -> String {
    first(&format!("exit: [{{condition: {scalar}, message: m}}]"))
}

fn loads(text: &str) -> (Workflow, Vec<Diagnostic>) {
    load("w.yaml", text, true).unwrap_or_else(|findings| panic!("{text}\n{findings:?}"))
}

fn fine(text: &str) -> Workflow {
    let (workflow, warnings) = loads(text);
    assert!(warnings.is_empty(), "{text}\n{warnings:?}");
    workflow
}

fn findings(text: &str) -> Vec<Diagnostic> {
    match load("w.yaml", text, false) {
        Ok((_, warnings)) => warnings,
        Err(findings) => findings,
    }
}

/// Exactly one finding, of this code, whose message begins so behind `workflow: `.
fn one(text: &str, code: &str, message: &str) -> Diagnostic {
    let found = findings(text);
    let codes: Vec<_> = found.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, [code], "{text}\n{found:?}");
    let message = format!("workflow: {message}");
    assert!(found[0].message.starts_with(&message), "{text}\n{}\nnot {message}", found[0].message);
    assert!(found[0].span.line > 0 && found[0].span.column > 0 && found[0].document == "w.yaml", "{found:?}");
    let broken = found[0].severity == Severity::Error;
    assert_eq!(load("w.yaml", text, false).is_err(), broken, "{text}");
    found.into_iter().next().unwrap()
}

#[test]
fn mistakes_around_the_stages_are_named() {
    let stages = format!("stages: [{DONE}]\n");
    let without = |key: &str| {
        let head: String = HEAD.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect();
        format!("{head}{stages}")
    };
    for key in ["apiVersion", "kind", "metadata"] {
        one(&without(key), "E_MISSING_FIELD", &format!("{key}: is required"));
        one(&format!("{}{key}:\n", without(key)), "E_MISSING_FIELD", &format!("{key}: is required"));
    }
    one(HEAD, "E_MISSING_FIELD", "stages: is required");
    for (key, value, code, message) in [
        ("apiVersion", "edictum/v2", "E_ENUM", "apiVersion: must be one of edictum/v1, not `edictum/v2`"),
        ("apiVersion", "1", "E_TYPE", "apiVersion: must be one of edictum/v1"),
        ("kind", "Ruleset", "E_ENUM", "kind: must be one of Workflow, not `Ruleset`"),
        ("kind", "workflow", "E_ENUM", "kind: must be one of Workflow, not `workflow`"),
        ("metadata", "w", "E_TYPE", "metadata: must be a map, not a string"),
        ("metadata", "{version: '1'}", "E_MISSING_FIELD", "metadata.name: is required"),
        ("metadata", "{name: ~}", "E_MISSING_FIELD", "metadata.name: is required"),
        ("metadata", "{name: Upper}", "E_PATTERN", "metadata.name: `Upper` must be"),
        ("metadata", "{name: \"w\\n\"}", "E_PATTERN", "metadata.name: `w\\n` must be"),
        ("metadata", "{name: ''}", "E_PATTERN", "metadata.name: `` must be"),
        ("metadata", "{name: yes}", "E_TYPE", "metadata.name: must be a string, not a boolean"),
        ("metadata", "{name: w, version: 1.10}", "E_TYPE", "metadata.version: must be a string, not a float"),
        ("metadata", "{name: w, version: [1]}", "E_TYPE", "metadata.version: must be a string, not a list"),
        ("metadata", "{name: w, descripton: d}", "E_UNKNOWN_FIELD", "metadata.descripton: unknown field"),
        ("defaults", "{mode: enforce}", "E_UNKNOWN_FIELD", "defaults: unknown field"),
    ] {
        one(&format!("{}{key}: {value}\n", without(key)), code, message);
    }
    one(&format!("{HEAD}stages: []\n"), "E_EMPTY", "stages: must not be empty");
    one(&format!("{HEAD}stages: {{a: b}}\n"), "E_TYPE", "stages: must be a list, not a map");
    one(&format!("{HEAD}stages: [text]\n"), "E_TYPE", "stages[0]: must be a map, not a string");
    let many: Vec<String> = (0..=MAX_STAGES).map(|stage| format!("{{id: s{stage}}}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    one(&with(&many), "E_TOO_LONG", "stages: has 257 stages");
    assert_eq!(fine(&with(&many[1..])).stages.len(), MAX_STAGES);
}

#[test]
fn texts_that_are_no_document_are_named() {
    one("", "E_DOC_EMPTY", "the document is empty");
    one("# only words\n", "E_DOC_EMPTY", "the document is empty");
    one("- a\n", "E_DOC_NOT_MAP", "the document must be a mapping, not a list");
    one("text\n", "E_DOC_NOT_MAP", "the document must be a mapping, not a string");
    let text = with(&[DONE]);
    one(&format!("{text}---\n"), "E_YAML_MULTI_DOC", "expected a single document");
    one(&format!("{text}kind: Workflow\n"), "E_YAML_DUP_KEY", "");
    one(&format!("{text}x: [\n"), "E_YAML_SYNTAX", "YAML parse error");
    one(&text.replace("name: w", "name: 2024-13-01"), "E_YAML_SCALAR", "");
    let large = format!("{text}#{}\n", "x".repeat(crate::yaml::MAX_BYTES - text.len() - 1));
    let found = findings(&large);
    assert_eq!((found.len(), found[0].code), (1, Code::DocTooLarge), "{found:?}");
    assert!(found[0].message.starts_with("workflow: "));
    fine(&large.replace("xx#", "#").replacen('x', "", 1));
}

#[test]
fn mistakes_in_stages_are_named() {
    for (inside, code, message) in [
        ("terminal: 'false'", "E_TYPE", "stages[0].terminal: must be a boolean, not a string"),
        ("terminal: 0", "E_TYPE", "stages[0].terminal: must be a boolean, not an integer"),
        ("description: [d]", "E_TYPE", "stages[0].description: must be a string"),
        ("gates: []", "E_UNKNOWN_FIELD", "stages[0].gates: unknown field"),
        ("tools: Read", "E_TYPE", "stages[0].tools: must be a list, not a string"),
        ("tools: {Read: 1}", "E_TYPE", "stages[0].tools: must be a list, not a map"),
        ("tools: ['']", "E_EMPTY", "stages[0].tools[0]: must not be empty"),
        ("tools: [true]", "E_TYPE", "stages[0].tools[0]: must be a string, not a boolean"),
        ("tools: [Read, a/b]", "E_PATTERN", "stages[0].tools[1]: `a/b` is no tool name"),
        (r"tools: ['a\b']", "E_PATTERN", "stages[0].tools[0]: `a\\b` is no tool name"),
        (r#"tools: ["a\u0085b"]"#, "E_PATTERN", "stages[0].tools[0]: `a\\u{85}b` is no tool name"),
        ("tools: ['mcp_[a']", "E_PATTERN", "stages[0].tools[0]: `mcp_[a` has a bracket that is not closed"),
        ("tools: ['{Read,Edit}']", "W_GLOB", "stages[0].tools[0]: braces are no alternatives"),
        ("approval: {}", "E_MISSING_FIELD", "stages[0].approval.message: is required"),
        ("approval: {message: ''}", "E_EMPTY", "stages[0].approval.message: must not be empty"),
        ("approval: {message: ~}", "E_MISSING_FIELD", "stages[0].approval.message: is required"),
        ("approval: yes", "E_TYPE", "stages[0].approval: must be a map, not a boolean"),
        ("exit: [approval()]", "E_TYPE", "stages[0].exit[0]: must be a map, not a string"),
        ("exit: {condition: approval()}", "E_TYPE", "stages[0].exit: must be a list, not a map"),
        ("exit: [{message: m}]", "E_MISSING_FIELD", "stages[0].exit[0].condition: is required"),
        ("exit: [{condition: ''}]", "E_EMPTY", "stages[0].exit[0].condition: must not be empty"),
        ("exit: [{condition: approval(), mesage: m}]", "E_UNKNOWN_FIELD", "stages[0].exit[0].mesage: unknown field"),
        ("exit: [{condition: approval(), message: yes}]", "E_TYPE", "stages[0].exit[0].message: must be a string"),
        ("checks: {command_matches: a}", "E_TYPE", "stages[0].checks: must be a list, not a map"),
        ("checks: [{message: m}]", "E_MISSING_FIELD", "stages[0].checks[0].command_matches: is required"),
        ("checks: [{command_matches: a}]", "E_MISSING_FIELD", "stages[0].checks[0].message: is required"),
        ("checks: [{command_matches: a, message: ''}]", "E_EMPTY", "stages[0].checks[0].message: must not be"),
        ("checks: [{command_matches: '', message: m}]", "E_EMPTY", "stages[0].checks[0].command_matches: must not"),
        (
            "checks: [{command_matches: a, command_not_matches: b, message: m}]",
            "E_EXPR_SHAPE",
            "stages[0].checks[0]: must have exactly one of",
        ),
        (
            "checks: [{command_matches: '(', message: m}]",
            "E_REGEX_SYNTAX",
            "stages[0].checks[0].command_matches: regex `(`",
        ),
        (
            "checks: [{command_not_matches: '(?<=a)b', message: m}]",
            "E_REGEX_UNSUPPORTED",
            "stages[0].checks[0].command_not_matches: regex `(?<=a)b`: look-behind at position 0",
        ),
        (
            r"checks: [{command_matches: 'a\\b', message: m}]",
            "W_DOUBLE_BACKSLASH",
            "stages[0].checks[0].command_matches:",
        ),
    ] {
        one(&first(inside), code, message);
    }
    one(&with(&["{tools: [Read]}", DONE]), "E_MISSING_FIELD", "stages[0].id: is required");
    one(&with(&["{id: A}", DONE]), "E_PATTERN", "stages[0].id: `A` must be lower-case");
    one(&with(&["{id: -a}", DONE]), "E_PATTERN", "stages[0].id: `-a`");
    let twice = one(&with(&["{id: a}", "{id: b}", "{id: a}", DONE]), "E_WF_DUP_STAGE", "stages[2].id: another stage");
    assert_eq!((twice.span.line, twice.help.as_deref()), (7, Some("the first one is on line 5")));
}

#[test]
fn what_is_no_condition_is_named_where_it_is_wrong() {
    // The caret is on these characters of the line.
    for (scalar, code, message, caret) in [
        ("'stage_completed(\"a\")'", "E_WF_CONDITION", "unknown condition `stage_completed`", "stage_completed"),
        ("exec_('x')", "E_WF_CONDITION", "unknown condition `exec_`", "exec_"),
        ("approval", "E_WF_CONDITION", "`approval` is not a condition", "approval"),
        ("\"approval( )\"", "E_WF_CONDITION", "`approval( )` is not a condition", "\"approval( )\""),
        ("'file_read(\"\")'", "E_WF_CONDITION", "`file_read` needs an argument", "'file_read(\"\")'"),
        ("'command_matches(\"a)b\")'", "E_WF_CONDITION", "", ")"),
        ("\"command_matches(\\\"ab(\\\")\"", "E_WF_CONDITION", "", "("),
        ("command_matches(\"a**\")", "E_WF_CONDITION", "a quantifier after a quantifier at position 2", "*"),
        ("'stage_complete(\"don\")'", "E_WF_UNKNOWN_STAGE", "there is no stage `don`", "don"),
        ("\"stage_complete(\\\"nope\\\")\"", "E_WF_UNKNOWN_STAGE", "there is no stage `nope`", "nope"),
        ("approval(\"x\")", "E_WF_UNKNOWN_STAGE", "there is no stage `x`", "x"),
        ("exec(\"ls\")", "E_WF_EXEC_DISABLED", "`exec` runs a command", "exec"),
        ("stage_complete(\"done\")", "W_WORKFLOW", "never holds here: `done` is not completed before", "done"),
        (
            "\"file_read(\\\"a\\tb\\\")\"",
            "E_WF_CONDITION",
            "a condition must not hold control",
            "\"file_read(\\\"a\\tb\\\")\"",
        ),
        ("5", "E_WF_CONDITION", "`5` is not a condition", "5"),
    ] {
        let text = condition(scalar);
        let finding = one(&text, code, &format!("stages[0].exit[0].condition: {message}"));
        let line = text.lines().nth(finding.span.line as usize - 1).unwrap();
        let (start, end) = (finding.span.column as usize - 1, finding.span.end_column as usize - 1);
        let marked: String = line.chars().skip(start).take(end - start).collect();
        assert_eq!(marked, caret, "{scalar}");
    }
    let help = |scalar: &str| findings(&condition(scalar))[0].help.clone().unwrap();
    assert_eq!(help("'stage_completed(\"a\")'"), "did you mean `stage_complete`?");
    assert_eq!(help("'stage_complete(\"don\")'"), "did you mean `done`?");
    assert!(help("exec(\"ls\")").contains("exec_enabled"));
    // What is written over several lines is marked whole.
    let folded = with(&["id: a\n  exit:\n  - condition: >-\n      stage_complete(\"x\")", DONE]);
    assert_eq!(one(&folded, "E_WF_UNKNOWN_STAGE", "stages[0].exit[0].condition").span.line, 8);
}

#[test]
fn all_mistakes_of_a_file_are_found_at_once() {
    let text = "\
apiVersion: edictum/v2
kind: Workflow
metadata: {name: W, extra: 1}
stages:
- id: a
  entry: [{condition: approval()}]
  tool: [Read]
  exit: [{condition: 'stage_complete(\"c\")'}, {condition: nothing}]
- id: a
  checks: [{command_matches: '(', message: m}]
  terminal: maybe
- tools: ['[']
";
    let found = findings(text);
    let codes: Vec<_> = found.iter().map(|finding| (finding.span.line, finding.code.as_str())).collect();
    let expected = [
        (1, "E_ENUM"),
        (3, "E_PATTERN"),
        (3, "E_UNKNOWN_FIELD"),
        (6, "W_WORKFLOW"),
        (7, "E_UNKNOWN_FIELD"),
        (8, "E_WF_UNKNOWN_STAGE"),
        (8, "E_WF_CONDITION"),
        (9, "E_WF_DUP_STAGE"),
        (10, "E_REGEX_SYNTAX"),
        (11, "E_TYPE"),
        (12, "E_MISSING_FIELD"),
        (12, "E_PATTERN"),
    ];
    assert_eq!(codes, expected, "{found:?}");
    assert!(found.iter().all(|finding| finding.message.starts_with("workflow: ")));
    let help = |line: u32| found.iter().filter(|finding| finding.span.line == line).find_map(|one| one.help.clone());
    assert_eq!(help(7).as_deref(), Some("did you mean `tools`?"));
}

#[test]
fn workflows_that_do_not_hold_are_warned_of() {
    let push = "tools: [Bash], exit: [{condition: 'command_matches(\"push\")', message: m}]";
    for (stages, line, message) in [
        (&["{id: a, entry: [{condition: approval()}]}", DONE] as &[&str], 5, "stages[0].entry: is never looked at"),
        (&[&format!("{{id: a, {push}}}")], 5, "stages[0]: when this last stage is completed, every call is allowed"),
        (
            &["{id: a}", "{id: b, approval: {message: m}}"],
            6,
            "stages[1]: the call that gets past this last stage is allowed",
        ),
        (&[DONE, "{id: b}"], 6, "stages[1]: is never reached: `done` before it is terminal"),
        (&["{id: a, tools: ['mcp_*']}", "{id: b}"], 5, "stages[0]: is never left by a call"),
        (
            &["{id: a, tools: [Read, Bash], checks: [{command_matches: ^git, message: m}]}", DONE],
            5,
            "stages[0].tools[0]: `Read` never runs in this stage",
        ),
    ] {
        let finding = one(&with(stages), "W_WORKFLOW", message);
        assert_eq!((finding.severity, finding.span.line), (Severity::Warning, line), "{stages:?}");
    }
    for stages in [
        &["{id: a}"] as &[&str],
        &["{id: a, tools: ['mcp_*']}", DONE],
        &["{id: a, tools: ['*'], approval: {message: m}}", DONE],
        &["{id: a, tools: [Read, Bash], checks: [{command_not_matches: ^git, message: m}]}", DONE],
        &["{id: a, tools: ['B*'], checks: [{command_matches: ^git, message: m}]}", DONE],
        &["{id: a}", "{id: b, entry: [{condition: 'stage_complete(\"a\")', message: m}]}"],
    ] {
        fine(&with(stages));
    }
}

#[test]
fn what_is_written_is_what_comes_out() {
    let text = "\
apiVersion: edictum/v1
kind: Workflow
metadata: {name: release.2, version: 2026-04-04, description: ~}
stages:
- id: 5
  description: read first
  tools: [Read, 'mcp_*']
  exit:
  - {condition: 'file_read(\"plan.md\")', message: read the plan}
  - {condition: 'exec(\"make test\", exit_code=2)'}
- id: push
  entry: [{condition: 'stage_complete(\"5\")', message:}]
  tools: [Bash]
  checks:
  - {command_matches: '^git push', message: only pushes}
  - {command_not_matches: main$, message: not to main}
  approval: {message: push?}
  terminal:
- {id: done, terminal: yes, tools: ~, checks: ~, entry: ~, exit: ~, approval: ~}
";
    let workflow = fine(text);
    assert_eq!((workflow.name.as_str(), workflow.version.as_str()), ("release.2", "2026-04-04"));
    let ids: Vec<&str> = workflow.stages.iter().map(|stage| stage.id.as_str()).collect();
    assert_eq!(ids, ["5", "push", "done"]);
    let [read, push, done] = workflow.stages.as_slice() else { panic!("three stages") };
    assert_eq!((read.description.as_str(), read.tool_list().as_str()), ("read first", "Read,mcp_*"));
    assert!(read.wildcard() && read.explicit() && !read.terminal && read.permits("mcp_x") && !read.permits("Bash"));
    assert_eq!(
        (read.exit[0].text.as_str(), read.exit[0].message.as_str()),
        ("file_read(\"plan.md\")", "read the plan")
    );
    assert_eq!(read.exit[1].message, "");
    assert!(read.exit[1].reason().contains("exec(\"make test\", exit_code=2)"));
    let Condition::Exec { argv, exit_code, .. } = &read.exit[1].condition else { panic!("a command") };
    assert_eq!((argv.as_slice(), *exit_code), (&["make".to_owned(), "test".to_owned()][..], 2));
    assert_eq!(push.approval.as_deref(), Some("push?"));
    assert_eq!(push.failing_check("git push origin main").map(|check| check.message.as_str()), Some("not to main"));
    assert_eq!(push.failing_check("ls").map(|check| check.message.as_str()), Some("only pushes"));
    assert!(push.failing_check("git push origin x").is_none() && !push.terminal);
    assert!(done.terminal && done.approval.is_none() && done.tools.is_empty());
    assert!(workflow.uses_exec());
}

#[test]
fn hostile_documents_end_with_a_bounded_number_of_findings() {
    let gates = "{condition: 'stage_complete(\"stage-number-x\")'},".repeat(5_000);
    let others: Vec<String> = (0..20).map(|stage| format!("{{id: stage-number-{stage}}}")).collect();
    let mut stages = vec![format!("{{id: a, exit: [{gates}]}}")];
    stages.extend(others);
    let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
    let found = findings(&with(&stages));
    assert_eq!(found.len(), MAX_FINDINGS + 1);
    assert_eq!(found.last().unwrap().code, Code::TooManyFindings);
    let patterns: String =
        (0..2_000).map(|at| format!("{{command_matches: '[a-z]{{900}}{at}', message: m}},")).collect();
    let found = findings(&first(&format!("checks: [{patterns}]")));
    assert!(found.iter().any(|finding| finding.code == Code::RegexUnsupported), "all patterns together have a bound");
}
