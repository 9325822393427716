//! The targets, one function each: programs under `fuzz_targets/` feed them noise, `tests/corpus.rs` the committed corpus.
//! All of them go through the engine's public interface. A target fails by a panic; that it ends at all, and in bounded
//! memory, is for whoever runs it to see.

use std::sync::LazyLock;

use edictum_engine::call::{Call, Purpose, ToolRegistry};
use edictum_engine::diagnostics::Severity;
use edictum_engine::documents::{Document, workflow};
use edictum_engine::inquiry::{Action, Answer, Decision, Entry, Link, Operation, Outcome, Question, Step, ToolOutcome};
use edictum_engine::json::{Tape, write};
use edictum_engine::policy::{self, Policy, Preparation, Progress};
use edictum_engine::program::Pattern;
use edictum_engine::program::pattern::Use;
use edictum_engine::redaction::Redactor;

/// Parts an input into a ruleset and a call, or a pattern and a text.
const SEPARATOR: &str = "\n====\n";

/// Milliseconds since 1970.
const NOW: u64 = 1_790_000_000_000;

/// A ruleset as text. What loads has no error among its findings, and what has none loads.
pub fn documents(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let document = Document { name: "fuzz.yaml".to_owned(), text: text.to_owned() };
    let findings = policy::check(std::slice::from_ref(&document), None, "{}");
    let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
    let loaded = load(text);
    assert_eq!(loaded.is_none(), broken, "check and load disagree: {findings:?}");
    if let Some(policy) = loaded {
        assert!(serde_json::from_str::<serde_json::Value>(&policy.summary()).is_ok(), "the summary is not JSON");
        decide(&policy, r#"{"tool":"Bash","args":{"command":"ls"},"session_id":"s","call_id":"c"}"#);
    }
}

/// A workflow as text. What loads has no error among its findings, and runs commands only when that is permitted.
pub fn workflows(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let lines = u32::try_from(text.matches(['\n', '\r']).count() + 2).unwrap_or(u32::MAX);
    let [without, with] = [false, true].map(|exec_enabled| {
        let loaded = workflow::load("fuzz.yaml", text, exec_enabled);
        let findings = match &loaded {
            Ok((_, findings)) | Err(findings) => findings,
        };
        let broken = findings.iter().any(|finding| finding.severity == Severity::Error);
        assert_eq!(loaded.is_err(), broken, "findings and result disagree: {findings:?}");
        for finding in findings {
            assert!(finding.message.starts_with("workflow: "), "another beginning: {finding:?}");
            let (span, order) = (finding.span, |line, column| (line, column));
            assert!(order(span.line, span.column) <= order(span.end_line, span.end_column), "backwards: {finding:?}");
            assert!(span.line <= lines, "outside the document: {finding:?}");
        }
        loaded.ok().map(|(workflow, _)| workflow)
    });
    if let Some(workflow) = &without {
        assert!(!workflow.uses_exec(), "a command without the opt-in: {text:?}");
        assert!(with.is_some(), "the opt-in breaks it: {text:?}");
    }
    if let Some(workflow) = with {
        assert!(!workflow.stages.is_empty(), "no stage: {text:?}");
        for (place, stage) in workflow.stages.iter().enumerate() {
            assert_eq!(workflow.index(&stage.id), Some(place), "two stages with one id: {text:?}");
            let gates = stage.entry.iter().chain(&stage.exit);
            assert!(gates.into_iter().all(|gate| !gate.reason().is_empty()), "a gate says nothing: {text:?}");
        }
    }
}

/// A ruleset and a call.
pub fn evaluation(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (ruleset, call) = text.split_once(SEPARATOR).unwrap_or((RULES, text));
    if let Some(policy) = load(ruleset) {
        decide(&policy, call);
    }
}

/// A shell command, in a sandbox that permits `ls` and `cat`.
pub fn shell(input: &[u8]) {
    let Ok(command) = std::str::from_utf8(input) else { return };
    permitted(&COMMANDS, "Bash", "command", command);
    for prefix in ["rm x; ", "rm x && ", "rm x\n", "$(rm x) "] {
        let command = format!("{prefix}{command}");
        assert!(!permitted(&COMMANDS, "Bash", "command", &command), "a chained command is permitted: {command:?}");
    }
}

/// A path, in a sandbox that permits `/project`. There are no links.
pub fn paths(input: &[u8]) {
    let Ok(path) = std::str::from_utf8(input) else { return };
    let inside = permitted(&PATHS, "Read", "path", path);
    let other_meaning = path.is_empty() || path.starts_with('~') || path.contains(':');
    if inside && !other_meaning {
        assert!(plainly_inside(path), "a path that leads outside is permitted: {path:?}");
    }
    let outside = format!("/etc/{path}");
    assert!(plainly_inside(&outside) || !permitted(&PATHS, "Read", "path", &outside), "permitted: {outside:?}");
}

/// `/project` as a naive reader sees it: `..` takes the name before it away.
fn plainly_inside(path: &str) -> bool {
    let mut names = if path.starts_with('/') { Vec::new() } else { vec!["project"] };
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.first() == Some(&"project")
}

/// A URL, in a sandbox that permits `example.com` alone.
pub fn urls(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if !permitted(&DOMAINS, "Fetch", "url", text) {
        return;
    }
    let Ok(url) = url::Url::parse(text) else { return };
    if matches!(url.scheme(), "http" | "https" | "ws" | "wss" | "ftp")
        && let Some(host) = url.host_str()
    {
        assert_eq!(host.trim_end_matches('.'), "example.com", "another host is permitted: {text:?}");
    }
}

/// A pattern and a text.
pub fn patterns(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (source, subject) = text.split_once(SEPARATOR).unwrap_or((text, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"));
    let search = Pattern::compile(source, Use::Search);
    if let Ok(pattern) = &search {
        let found = pattern.is_match(subject);
        assert_eq!(pattern.search(subject).unwrap_or(found), found, "two searches disagree: {source:?}");
    }
    if let Ok(pattern) = Pattern::compile(source, Use::Replace) {
        assert!(search.is_ok(), "only for replacing: {source:?}");
        let replaced = pattern.replace_all(subject, "[R]");
        assert!(pattern.is_match(subject) || replaced == subject, "replaces what it does not find: {source:?}");
    }
}

/// A call, read and redacted. What we take as JSON others take too, and a secret is gone.
pub fn calls(input: &[u8]) {
    const SECRET: &str = "correct-horse-7f3a";
    let Ok(text) = std::str::from_utf8(input) else { return };
    let redactor = Redactor::shared();
    let mut redacted = redactor.text(text).into_owned();
    assert!(!redactor.text(&format!("{text}\npassword={SECRET}")).contains(SECRET), "in a text: {text:?}");
    let Ok(tape) = Tape::read(text) else { return };
    assert!(serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok(), "not JSON: {text:?}");
    for purpose in [Purpose::Execute, Purpose::DryRun] {
        let _ = Call::read(&tape, &ToolRegistry::default(), purpose);
    }
    redacted.clear();
    redactor.value(&mut redacted, tape.root());
    assert!(Tape::read(&redacted).is_ok(), "what is redacted is not JSON: {redacted:?}");
    let around = format!(r#"{{"before":{text},"password":"{SECRET}"}}"#);
    if let Ok(tape) = Tape::read(&around) {
        redacted.clear();
        redactor.value(&mut redacted, tape.root());
        assert!(!redacted.contains(SECRET), "in a value: {text:?}");
    }
}

/// Whether a dry run lets a call with one argument through.
fn permitted(policy: &Policy, tool: &str, argument: &str, value: &str) -> bool {
    let mut call = String::new();
    write::Object::write(&mut call, |object| {
        object.string("tool", tool);
        object.object("args", |args| args.string(argument, value));
    });
    evaluate(policy, &call).contains(r#""decision":"allow""#)
}

fn evaluate(policy: &Policy, call: &str) -> String {
    let mut step = policy.evaluate(call, None);
    loop {
        match step {
            Step::Done(result) => return result,
            Step::Ask(inquiry) => {
                step = policy.resume_evaluate(call, None, &inquiry.ticket, answers(&inquiry.questions));
            }
        }
    }
}

/// The dry run, and a whole call. Everything that comes out is JSON, and the same call is decided the same way twice.
fn decide(policy: &Policy, call: &str) {
    let result = evaluate(policy, call);
    assert!(Tape::read(&result).is_ok(), "the result is not JSON: {result:?}");
    assert_eq!(evaluate(policy, call), result, "two dry runs differ");
    let decision = begin(policy, call);
    assert!(Tape::read(&decision.detail).is_ok(), "the detail is not JSON: {:?}", decision.detail);
    assert!(decision.events.iter().all(|event| Tape::read(event).is_ok()), "an event is not JSON");
    if decision.action != Action::Allow {
        return;
    }
    let outcome = ToolOutcome { output: r#"{"out":"sk-abcdefghijklmnopqrstuvwx","n":1.0}"#.to_owned(), success: None };
    let mut step = policy.finish(call, &decision.ticket, &outcome, NOW);
    loop {
        match step {
            Step::Done(conclusion) => {
                let replaced = conclusion.replacement.as_deref().unwrap_or("null");
                assert!(Tape::read(replaced).is_ok(), "the replacement is not JSON: {replaced:?}");
                return;
            }
            Step::Ask(inquiry) => {
                let answers = answers(&inquiry.questions);
                step = policy.resume_finish(call, &inquiry.ticket, &outcome, answers, NOW);
            }
        }
    }
}

fn begin(policy: &Policy, call: &str) -> Decision {
    let mut step = policy.begin(call, NOW);
    loop {
        match step {
            Step::Done(decision) => return decision,
            Step::Ask(inquiry) => step = policy.resume_begin(call, &inquiry.ticket, answers(&inquiry.questions), NOW),
        }
    }
}

/// A host that knows of no links, and of no operators, selectors and hooks either.
fn answers(questions: &[Question]) -> Vec<Answer> {
    let answer = |question: &Question| match question {
        Question::Session(operations) => Answer::Session(
            operations
                .iter()
                .map(|operation| {
                    let value = matches!(operation, Operation::Increment { .. }).then(|| "1".to_owned());
                    Outcome::Done(Entry { value, version: None })
                })
                .collect(),
        ),
        Question::ReadLinks(paths) => Answer::ReadLinks(vec![Link::Plain; paths.len()]),
        Question::Principal => Answer::Principal(Ok(None)),
        _ => Answer::Failed("nobody answers here".to_owned()),
    };
    questions.iter().map(answer).collect()
}

/// None: it does not load.
fn load(ruleset: &str) -> Option<Policy> {
    let document = Document { name: "fuzz.yaml".to_owned(), text: ruleset.to_owned() };
    let mut preparation = Preparation::new(vec![document], None, r#"{"cwd":"/project"}"#.to_owned());
    loop {
        match preparation.advance(64).ok()? {
            Progress::More => {}
            Progress::Ask(questions) => preparation.answer(answers(&questions)),
            Progress::Ready(policy) => return Some(policy),
        }
    }
}

/// A policy that is ours.
fn ours(ruleset: &str) -> Policy {
    match load(ruleset) {
        Some(policy) => policy,
        None => panic!("our own ruleset does not load: {ruleset}"),
    }
}

fn sandbox(boundaries: &str) -> Policy {
    ours(&format!(
        "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: fuzz}}\ndefaults: {{mode: enforce}}\nrules:\n  \
         - {{id: box, type: sandbox, tools: ['*'], {boundaries}, outside: block, message: outside}}\n"
    ))
}

static COMMANDS: LazyLock<Policy> = LazyLock::new(|| sandbox("allows: {commands: [ls, cat]}"));
static PATHS: LazyLock<Policy> = LazyLock::new(|| sandbox("within: [/project]"));
static DOMAINS: LazyLock<Policy> = LazyLock::new(|| sandbox("allows: {domains: [example.com]}"));

/// For calls that come without rules: every operator, a sandbox, limits, a redaction.
const RULES: &str = "\
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: fuzz}
defaults: {mode: enforce}
rules:
  - {id: words, type: pre, tool: '*', when: {args.command: {contains_any: [rm, 'é', '\"']}}, then: {action: block, message: '{args.command} {args.x.y} {principal.role}'}}
  - {id: regex, type: pre, tool: '*', when: {any: [{args.command: {matches: '(a+)+$'}}, {args.x: {matches_any: ['^\\s', '\\bb']}}]}, then: {action: block, message: no}}
  - {id: number, type: pre, tool: '*', when: {all: [{args.n: {gt: 1}}, {not: {args.n: {lte: 1.5}}}]}, then: {action: ask, message: '{args.n}'}}
  - {id: member, type: pre, tool: 'B*', when: {args.x: {in: [1, a, null, true]}}, then: {action: block, message: no}}
  - {id: there, type: pre, tool: '*', when: {args.gone: {exists: true}}, then: {action: block, message: no}}
  - {id: key, type: post, tool: '*', when: {output.text: {matches: 'sk-[a-z]{20,}'}}, then: {action: redact, message: a key}}
  - {id: much, type: session, limits: {max_tool_calls: 5}, then: {action: block, message: enough}}
  - {id: box, type: sandbox, tools: [Read], within: [/project], not_within: [/project/.git], outside: block, message: outside}
";
