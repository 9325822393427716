//! The text form against the typed one: each type in both directions, and each call through a policy.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::diagnostics::Failure;
use crate::documents::Document;
use crate::inquiry::{
    Action, Answer, ApprovalOutcome, ApprovalVerdict, CommandLine, CommandResult, Conclusion, Decision, Entry,
    HookCall, Inquiry, Link, Operated, Operation, OperatorCall, Outcome, Phase, Question, SelectorQuery, Step,
    ToolOutcome, Verdict,
};
use crate::policy::{Preparation, Progress};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Every kind of question, and how it is written.
fn questions() -> Vec<(Question, Value)> {
    vec![
        (
            Question::Session(vec![
                Operation::Get("s:\"1\":attempts".into()),
                Operation::Increment { key: "k".into(), amount: u32::MAX },
                Operation::Put { key: "k".into(), value: "{\"a\":1.0}".into(), expected: None },
                Operation::Put { key: "k".into(), value: String::new(), expected: Some("7".into()) },
                Operation::Delete("k\n".into()),
                Operation::Scan("s:1:".into()),
            ]),
            json!({"session": [
                {"get": "s:\"1\":attempts"},
                {"increment": {"key": "k", "amount": u32::MAX}},
                {"put": {"key": "k", "value": "{\"a\":1.0}"}},
                {"put": {"key": "k", "value": "", "expected": "7"}},
                {"delete": "k\n"},
                {"scan": "s:1:"},
            ]}),
        ),
        (Question::Session(vec![]), json!({"session": []})),
        (Question::Principal, json!("principal")),
        (Question::ReadLinks(vec!["/a\\b".into(), "/é".into()]), json!({"read_links": ["/a\\b", "/é"]})),
        (
            Question::Selectors(SelectorQuery {
                prefixes: vec!["user".into()],
                call: r#"{"tool":"x","args":{}}"#.into(),
            }),
            json!({"selectors": {"prefixes": ["user"], "call": {"tool": "x", "args": {}}}}),
        ),
        (
            Question::Operators(vec![OperatorCall {
                name: "near".into(),
                value: "[1]".into(),
                operand: "\"x\"".into(),
            }]),
            json!({"operators": [{"name": "near", "value": [1], "operand": "x"}]}),
        ),
        (
            Question::Hooks(vec![
                HookCall {
                    name: "one".into(),
                    phase: Phase::Before,
                    call: r#"{"tool":"x","args":{}}"#.into(),
                    output: None,
                },
                HookCall {
                    name: "two".into(),
                    phase: Phase::After,
                    call: r#"{"tool":"x","args":{}}"#.into(),
                    output: Some("null".into()),
                },
                HookCall {
                    name: String::new(),
                    phase: Phase::SuccessCheck,
                    call: r#"{"tool":"x","args":{}}"#.into(),
                    output: Some("\"o\"".into()),
                },
            ]),
            json!({"hooks": [
                {"name": "one", "phase": "before", "call": {"tool": "x", "args": {}}},
                {"name": "two", "phase": "after", "call": {"tool": "x", "args": {}}, "output": null},
                {"name": "", "phase": "success_check", "call": {"tool": "x", "args": {}}, "output": "o"},
            ]}),
        ),
        (
            Question::Command(CommandLine {
                argv: vec!["git".into(), "status".into()],
                environment: vec!["PATH".into()],
                timeout_ms: 30_000,
                output_cap: 4096,
            }),
            json!({"command": {"argv": ["git", "status"], "environment": ["PATH"], "timeout_ms": 30000, "output_cap": 4096}}),
        ),
    ]
}

/// Every kind of answer, and how it is read.
fn answers() -> Vec<(Value, Answer)> {
    let entry = |value: Option<&str>, version: Option<&str>| Entry {
        value: value.map(str::to_owned),
        version: version.map(str::to_owned),
    };
    vec![
        (
            json!({"session": [
                {"done": {"value": "3", "version": "9"}},
                {"done": {}},
                {"done": {"value": null, "version": null}},
                {"conflict": {"value": "{\"a\": 1.0}"}},
                {"found": [["s:1:execs", "2"], ["", "\u{1}"]]},
                {"found": []},
                {"failed": "no \"route\""},
            ]}),
            Answer::Session(vec![
                Outcome::Done(entry(Some("3"), Some("9"))),
                Outcome::Done(entry(None, None)),
                Outcome::Done(entry(None, None)),
                Outcome::Conflict(entry(Some("{\"a\": 1.0}"), None)),
                Outcome::Found(vec![("s:1:execs".into(), "2".into()), (String::new(), "\u{1}".into())]),
                Outcome::Found(vec![]),
                Outcome::Failed("no \"route\"".into()),
            ]),
        ),
        (json!({"principal": {"ok": null}}), Answer::Principal(Ok(None))),
        (json!({"principal": {"ok": {"role": "dev"}}}), Answer::Principal(Ok(Some(r#"{"role":"dev"}"#.into())))),
        (json!({"principal": {"err": "down"}}), Answer::Principal(Err("down".into()))),
        (
            json!({"read_links": ["missing", "plain", {"target": "../x"}, "unreadable"]}),
            Answer::ReadLinks(vec![Link::Missing, Link::Plain, Link::Target("../x".into()), Link::Unreadable]),
        ),
        (
            json!({"selectors": [{"ok": {"tier": 1}}, {"err": "no"}]}),
            Answer::Selectors(vec![Ok(r#"{"tier":1}"#.into()), Err("no".into())]),
        ),
        (
            json!({"operators": [{"ok": true}, {"ok": false}, {"err": "no"}]}),
            Answer::Operators(vec![Ok(true), Ok(false), Err("no".into())]),
        ),
        (
            json!({"hooks": [{"ok": "pass"}, {"ok": "skip"}, {"ok": {"refuse": "why"}}, {"err": "no"}]}),
            Answer::Hooks(vec![
                Ok(Verdict::Pass),
                Ok(Verdict::Skip),
                Ok(Verdict::Refuse("why".into())),
                Err("no".into()),
            ]),
        ),
        (
            json!({"command": {"ok": {"exit_code": -9, "output": "x\n"}}}),
            Answer::Command(Ok(CommandResult { exit_code: -9, output: "x\n".into() })),
        ),
        (json!({"command": {"err": "not found"}}), Answer::Command(Err("not found".into()))),
        (json!({"failed": "deadline"}), Answer::Failed("deadline".into())),
    ]
}

/// The examples of a definition in the schema, which the tests of the workspace validate.
fn examples(definition: &str) -> Vec<Value> {
    let schema = parsed(include_str!("../../../../wit/schemas/inquiry.schema.json"));
    schema["$defs"][definition]["examples"].as_array().unwrap_or_else(|| panic!("no examples of {definition}")).clone()
}

#[test]
fn every_question_is_written_as_the_schema_says() {
    let written: Vec<_> = questions().into_iter().map(|(_, written)| written).collect();
    assert_eq!(written, examples("question"));
    for (question, expected) in questions() {
        let inquiry = Inquiry { ticket: r#"{"v":1, "n":1.0}"#.into(), questions: vec![question.clone(), question] };
        let text = answer::begun(Step::Ask(inquiry));
        let ticket = json!({"v": 1, "n": 1.0});
        assert_eq!(parsed(&text), json!({"ask_host": {"ticket": ticket, "questions": [expected, expected]}}));
        // Not even the space in it may change: the engine compares.
        assert!(text.contains(r#""ticket":{"v":1, "n":1.0}"#), "{text}");
    }
}

#[test]
fn every_answer_is_read_as_the_schema_says() {
    let written: Vec<_> = answers().into_iter().map(|(written, _)| written).collect();
    assert_eq!(written, examples("answer"));
    for (written, expected) in answers() {
        let text = format!(r#"{{"answers":[{written}, {written:#}]}}"#);
        let read = Request::read(&text).unwrap().answers().unwrap();
        let count = read.len();
        assert_eq!((read.first(), count), (Some(&expected), 2), "{text}");
    }
}

#[test]
fn an_answer_that_is_not_one_is_refused_with_its_place() {
    for wrong in [
        r#"null"#,
        r#""session""#,
        r#"{}"#,
        r#"{"session":[],"failed":"x"}"#,
        r#"{"session":{}}"#,
        r#"{"session":[{"done":null}]}"#,
        r#"{"session":[{"done":{"value":3}}]}"#,
        r#"{"session":[{"done":{"value":"3","ttl":1}}]}"#,
        r#"{"session":[{"gone":{}}]}"#,
        r#"{"session":[{"found":[["k"]]}]}"#,
        r#"{"session":[{"found":[["k","v","w"]]}]}"#,
        r#"{"principal":null}"#,
        r#"{"principal":{"ok":null,"err":"x"}}"#,
        r#"{"read_links":["plain","linked"]}"#,
        r#"{"read_links":[{"target":null}]}"#,
        r#"{"selectors":[{"ok":{}},{"err":null}]}"#,
        r#"{"operators":[{"ok":"true"}]}"#,
        r#"{"operators":[{"ok":1}]}"#,
        r#"{"hooks":[{"ok":"refuse"}]}"#,
        r#"{"hooks":[{"ok":{"refuse":null}}]}"#,
        r#"{"command":{"ok":{"exit_code":0}}}"#,
        r#"{"command":{"ok":{"exit_code":2147483648,"output":""}}}"#,
        r#"{"command":{"ok":{"exit_code":1.0,"output":""}}}"#,
        r#"{"failed":{}}"#,
        r#"{"answered":[]}"#,
        r#"{"failed":"\ud800"}"#,
    ] {
        let text = format!(r#"{{"answers":[{{"failed":""}},{wrong}]}}"#);
        let error = Request::read(&text).unwrap().answers().unwrap_err();
        assert_eq!(error.message, "request: `answers[1]` is not an answer", "{wrong}");
    }
}

#[test]
fn decisions_and_conclusions_carry_texts_unchanged() {
    let decision = Decision {
        action: Action::Ask,
        observed: true,
        policy_error: true,
        reason: "a \"quoted\" reason".into(),
        name: "rule".into(),
        detail: r#"{"n": 1e400}"#.into(),
        events: vec![r#"{"a":1.0}"#.into(), r#"{"a":12345678901234567890}"#.into()],
        ticket: r#"{"step":"ask"}"#.into(),
        approval: Some(r#"{"timeout":300}"#.into()),
    };
    assert_eq!(
        answer::begun(Step::Done(decision.clone())),
        r#"{"done":{"action":"ask","observed":true,"policy_error":true,"reason":"a \"quoted\" reason","name":"rule","detail":{"n": 1e400},"events":[{"a":1.0},{"a":12345678901234567890}],"ticket":{"step":"ask"},"approval":{"timeout":300}}}"#
    );
    let plain = Decision { action: Action::Allow, approval: None, events: vec![], ..decision.clone() };
    let text = answer::begun(Step::Done(plain));
    assert_eq!(parsed(&text.replace("1e400", "1"))["done"].as_object().unwrap().get("approval"), None);
    assert!(answer::begun(Step::Done(Decision { action: Action::Block, ..decision })).contains(r#""action":"block""#));

    let conclusion = Conclusion {
        success: false,
        passed: true,
        replacement: Some("\"[REDACTED]\"".into()),
        warnings: vec!["⚠️ x".into()],
        detail: "{}".into(),
        events: vec![],
    };
    assert_eq!(
        answer::finished(Step::Done(conclusion.clone())),
        r#"{"done":{"success":false,"passed":true,"replacement":"[REDACTED]","warnings":["⚠️ x"],"detail":{},"events":[]}}"#
    );
    // A replacement by null is one; none is none.
    for (replacement, member) in [(Some("null"), Some(Value::Null)), (None, None)] {
        let conclusion = Conclusion { replacement: replacement.map(Into::into), ..conclusion.clone() };
        let text = answer::finished(Step::Done(conclusion));
        assert_eq!(parsed(&text)["done"].as_object().unwrap().get("replacement"), member.as_ref());
    }
    assert_eq!(answer::evaluated(Step::Done(r#"{"x": 1.0}"#.into())), r#"{"done":{"x": 1.0}}"#);
}

#[test]
fn operations_end_in_ok_or_err() {
    let operated = Operated { state: r#"{"attempts": 1}"#.into(), events: vec!["{}".into()] };
    assert_eq!(
        answer::operated(Step::Done(Ok(operated))),
        r#"{"done":{"ok":{"state":{"attempts": 1},"events":[{}]}}}"#
    );
    let failure = Failure::argument("E_COMMAND", "no such `do`");
    let expected = json!({"done": {"err": {"kind": "invalid_argument", "code": "E_COMMAND", "message": "no such `do`", "diagnostics": []}}});
    assert_eq!(parsed(&answer::operated(Step::Done(Err(failure)))), expected);
}

#[test]
fn approvals_and_outcomes_are_read() {
    for (verdict, expected) in [
        ("approved", ApprovalVerdict::Approved),
        ("rejected", ApprovalVerdict::Rejected),
        ("timed_out", ApprovalVerdict::TimedOut),
        ("unreachable", ApprovalVerdict::Unreachable),
    ] {
        let text =
            format!(r#"{{"approval":{{"verdict":"{verdict}","approver":"ann","reason":null,"approval_id":"a1"}}}}"#);
        let approval = ApprovalOutcome {
            verdict: expected,
            approval_id: Some("a1".into()),
            approver: Some("ann".into()),
            reason: None,
            decided_at: None,
            decided_via: None,
        };
        assert_eq!(Request::read(&text).unwrap().approval(), Ok(approval));
    }
    let text = r#"{"approval":{"verdict":"approved","decided_at":"t","decided_via":"console"}}"#;
    let approval = Request::read(text).unwrap().approval().unwrap();
    assert_eq!((approval.decided_at.as_deref(), approval.decided_via.as_deref()), (Some("t"), Some("console")));
    // A verdict that is misread might let a call run.
    for wrong in
        [r#"{"verdict":"Approved"}"#, r#"{"verdict":true}"#, "{}", r#""approved""#, r#"{"verdict":"approved","x":1}"#]
    {
        let text = format!(r#"{{"approval":{wrong}}}"#);
        assert!(Request::read(&text).unwrap().approval().is_err(), "{wrong}");
    }

    for (text, output, success) in [
        (r#"{"outcome":{"output":1.0}}"#, "1.0", None),
        (r#"{"outcome":{"output":null,"success":null}}"#, "null", None),
        (r#"{"outcome":{"success":false,"output":{"a":1,"a":2}}}"#, r#"{"a":1,"a":2}"#, Some(false)),
    ] {
        let outcome = ToolOutcome { output: output.into(), success };
        assert_eq!(Request::read(text).unwrap().outcome(), Ok(outcome));
    }
    for wrong in ["{}", r#"{"success":true}"#, r#"{"output":1,"success":"yes"}"#, r#"{"output":1,"result":2}"#, "null"]
    {
        assert!(Request::read(&format!(r#"{{"outcome":{wrong}}}"#)).unwrap().outcome().is_err(), "{wrong}");
    }
}

thread_local! {
    static POLICY: Policy = load();
}

fn policy() -> Policy {
    POLICY.with(Clone::clone)
}

fn load() -> Policy {
    let ruleset = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: text-form}\ndefaults: {mode: enforce}\nrules:\n  \
                   - {id: none, type: pre, tool: nothing, when: {tool.name: {equals: x}}, then: {action: block, message: 'no'}}\n";
    let document = Document { name: "text-form".into(), text: ruleset.into() };
    let mut preparation = Preparation::new(vec![document], None, "{}".into());
    loop {
        match preparation.advance(100).unwrap_or_else(|failure| panic!("{failure:?}")) {
            Progress::More => {}
            Progress::Ask(questions) => panic!("{questions:?}"),
            Progress::Ready(policy) => return policy,
        }
    }
}

const CALL: &str = r#"{"tool":"Read","args":{"path":"/x","n":1.0},"session_id":"s1","call_id":"c1"}"#;

/// Answers questions about the session as an empty store does.
fn empty_store(questions: &Value) -> Value {
    let answer = |question: &Value| {
        let operations = question["session"].as_array().unwrap_or_else(|| panic!("{question}"));
        let outcome = |operation: &Value| match operation["increment"]["amount"].as_u64() {
            Some(sum) => json!({"done": {"value": sum.to_string()}}),
            None => json!({"done": {}}),
        };
        json!({"session": operations.iter().map(outcome).collect::<Vec<_>>()})
    };
    questions.as_array().unwrap().iter().map(answer).collect()
}

/// Resumes with what an empty store answers until the step is done.
fn done(policy: &Policy, request: &str, mut answer: Json) -> Value {
    for _ in 0..10 {
        let read = parsed(&answer);
        let Some(asked) = read.get("ask_host") else { return read["done"].clone() };
        let answers = empty_store(&asked["questions"]);
        let (head, _) = request.rsplit_once('}').unwrap();
        let ticket = asked["ticket"].to_string();
        answer = resume(policy, &format!(r#"{head},"ticket":{ticket},"answers":{answers}}}"#));
    }
    panic!("asks without end: {answer}");
}

#[test]
fn a_call_goes_through_begin_and_finish() {
    let policy = policy();
    let request = format!(r#"{{"call":{CALL},"now":1700000000000}}"#);
    let decision = done(&policy, &request, begin(&policy, &request));
    assert_eq!(decision["action"], "allow", "{decision}");
    let ticket = decision["ticket"].to_string();
    let outcome = r#"{"output":"text","success":true}"#;
    let request = format!(r#"{{"call":{CALL},"now":1700000000001,"outcome":{outcome}}}"#);
    let first = format!(r#"{{"call":{CALL},"now":1700000000001,"outcome":{outcome},"ticket":{ticket}}}"#);
    let conclusion = done(&policy, &request, finish(&policy, &first));
    assert_eq!(conclusion["success"], true, "{conclusion}");
    let result = parsed(&evaluate(&policy, &format!(r#"{{"call":{CALL},"output":null}}"#)));
    assert_eq!(result["done"]["decision"], "allow", "{result}");
}

#[test]
fn the_text_form_says_what_the_typed_form_says() {
    let policy = policy();
    let now = 1_700_000_000_000;
    let request = format!(r#"{{"call":{CALL},"now":{now}}}"#);
    assert_eq!(begin(&policy, &request), answer::begun(policy.begin(CALL, now)));
    assert_eq!(evaluate(&policy, &format!(r#"{{"call":{CALL}}}"#)), answer::evaluated(policy.evaluate(CALL, None)));
    // A call that no reader may trust is the engine's to block, and not the caller's mistake.
    for call in [r#"{"tool":"Read","tool":"Bash","args":{}}"#, "[]", &format!("{}{}", "[".repeat(500), "]".repeat(500))]
    {
        let request = format!(r#"{{"call":{call},"now":{now}}}"#);
        assert_eq!(begin(&policy, &request), answer::begun(policy.begin(call, now)));
    }
}

#[test]
fn a_request_that_is_not_one_is_answered_and_decides_nothing() {
    let policy = policy();
    type Call = fn(&Policy, &str) -> Json;
    let cases: [(Call, &str, &str); 19] = [
        (begin, "", "request: invalid JSON at byte 0: expected an object"),
        (begin, "[]", "request: invalid JSON at byte 0: expected an object"),
        (begin, "{}", "request: the member `call` is missing"),
        (begin, r#"{"call":{}}"#, "request: the member `now` is missing"),
        (begin, r#"{"call":{},"now":-1}"#, "request: `now` must be an integer of milliseconds since 1970"),
        (begin, r#"{"call":{},"now":1.0}"#, "request: `now` must be an integer of milliseconds since 1970"),
        (
            begin,
            r#"{"call":{},"now":18446744073709551616}"#,
            "request: `now` must be an integer of milliseconds since 1970",
        ),
        (begin, r#"{"call":{},"now":1,"now":2}"#, "request: duplicate key at byte 0"),
        (begin, r#"{"call":{},"now":1,"ticket":{}}"#, "request: unknown member `ticket`"),
        (evaluate, r#"{"call":{},"now":1}"#, "request: unknown member `now`"),
        (settle, r#"{"call":{},"ticket":{},"now":1}"#, "request: the member `approval` is missing"),
        (settle, r#"{"call":{},"ticket":{},"approval":{},"now":1}"#, "request: `approval` must be an approval outcome"),
        (
            finish,
            r#"{"call":{},"ticket":{},"now":1,"outcome":{}}"#,
            "request: `outcome` must be an object with `output` and, where known, `success`",
        ),
        (resume, r#"{"call":{},"now":1}"#, "request: the member `ticket` is missing"),
        (resume, r#"{"call":{},"now":1,"ticket":{"step":"begin"}}"#, "request: the member `answers` is missing"),
        (resume, r#"{"call":{},"now":1,"ticket":{"step":"begin"},"answers":{}}"#, "request: `answers` must be a list"),
        (
            resume,
            r#"{"call":{},"now":1,"ticket":{"step":"finish"},"answers":[]}"#,
            "request: the member `outcome` is missing",
        ),
        (resume, r#"{"call":{},"now":1,"ticket":{"step":"evaluate"},"answers":[]}"#, "request: unknown member `now`"),
        (resume, r#"{"call":{},"now":1,"ticket":{"step":"operate"},"answers":[]}"#, "request: unknown member `call`"),
    ];
    for (call, request, message) in cases {
        let expected = json!({"failed": {"code": "E_REQUEST", "message": message}});
        assert_eq!(parsed(&call(&policy, request)), expected, "{request}");
    }
    for ticket in [r#"{"step":"open"}"#, r#"{"step":1}"#, "{}", "null", "\"begin\""] {
        let text = format!(r#"{{"call":{{}},"now":1,"ticket":{ticket},"answers":[]}}"#);
        assert_eq!(parsed(&resume(&policy, &text))["failed"]["code"], "E_TICKET", "{ticket}");
    }
}

#[test]
fn members_gives_names_and_raw_texts() {
    let expected = vec![("\u{e9}".to_owned(), "1.0".to_owned()), ("b".to_owned(), "[1e400 ]".to_owned())];
    assert_eq!(members(r#"{"\u00e9": 1.0,"b":[1e400 ]}"#), Ok(expected));
    assert_eq!(members("[]"), Err("invalid JSON at byte 0: expected an object".to_owned()));
    assert_eq!(members(r#"{"a":1,"a":1}"#), Err("duplicate key at byte 0".to_owned()));
}

proptest! {
    /// Whatever a key, a reason or a path holds, it neither breaks out of its string nor changes on the way.
    #[test]
    fn texts_survive_in_both_directions(text in any::<String>()) {
        let question = Question::Session(vec![Operation::Get(text.clone())]);
        let inquiry = Inquiry { ticket: "{}".into(), questions: vec![question] };
        let written = parsed(&answer::begun(Step::Ask(inquiry)));
        prop_assert_eq!(written["ask_host"]["questions"][0]["session"][0]["get"].as_str(), Some(text.as_str()));

        let request = json!({"answers": [{"session": [{"done": {"value": text}}]}, {"read_links": [{"target": text}]}]}).to_string();
        let read = Request::read(&request).unwrap().answers().unwrap();
        let expected = vec![
            Answer::Session(vec![Outcome::Done(Entry { value: Some(text.clone()), version: None })]),
            Answer::ReadLinks(vec![Link::Target(text)]),
        ];
        prop_assert_eq!(read, expected);
    }

    #[test]
    fn no_request_ends_the_process(text in ".{0,80}") {
        let policy = policy();
        for call in [evaluate, begin, settle, finish, resume] {
            prop_assert!(parsed(&call(&policy, &text)).is_object());
        }
    }
}
