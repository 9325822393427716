//! The driver protocol, line by line, over pipes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use support::{DEPLOY, FROZEN, LS, RM, RULES, host};

/// A driver on a thread.
struct Driver {
    input: Option<PipeWriter>,
    output: BufReader<PipeReader>,
    thread: Option<JoinHandle<()>>,
    early: HashMap<String, Value>,
}

impl Driver {
    fn start() -> Self {
        let (input, to_driver) = pipe().unwrap();
        let (from_driver, output) = pipe().unwrap();
        let thread = std::thread::spawn(move || {
            edictum_host::driver::serve(&host(), BufReader::new(input), output).unwrap();
        });
        let output = BufReader::new(from_driver);
        Self { input: Some(to_driver), output, thread: Some(thread), early: HashMap::new() }
    }

    /// One with a guard `g`.
    fn with(rules: &str) -> Self {
        let mut driver = Self::start();
        driver.open("g", rules, json!({}));
        driver
    }

    fn open(&mut self, guard: &str, rules: &str, fields: Value) -> Value {
        let mut request = json!({"op": "open", "guard": guard, "rulesets": [{"name": "rules", "yaml": rules}]});
        request.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.result(request)
    }

    fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn next(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The answer with this id, whenever it comes.
    fn answer(&mut self, id: &str) -> Value {
        loop {
            if let Some(answer) = self.early.remove(id) {
                return answer;
            }
            let answer = self.next();
            self.early.insert(answer["id"].as_str().unwrap().to_owned(), answer);
        }
    }

    fn ask(&mut self, mut request: Value) -> Value {
        request["id"] = json!("asked");
        self.send(&request.to_string());
        self.answer("asked")
    }

    fn result(&mut self, request: Value) -> Value {
        let mut answer = self.ask(request);
        assert_eq!(answer["ok"], true, "{answer}");
        answer["result"].take()
    }

    fn refusal(&mut self, request: Value) -> String {
        let answer = self.ask(request);
        assert_eq!(answer["ok"], false, "{answer}");
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    fn begin(&mut self, call: &str, call_id: &str) -> Value {
        self.result(begin(call, call_id))
    }

    fn end(mut self) {
        drop(self.input.take());
        self.thread.take().unwrap().join().unwrap();
    }
}

fn begin(call: &str, call_id: &str) -> Value {
    let call: Value = serde_json::from_str(call).unwrap();
    json!({"op": "begin", "guard": "g", "session_id": "s", "call_id": call_id, "call": call})
}

#[test]
fn a_call_goes_from_open_to_close() {
    let mut driver = Driver::start();
    let hello = driver.result(json!({"op": "hello"}));
    assert_eq!((&hello["protocol"], &hello["host"]), (&json!(1), &json!("rust")));
    let opened = driver.open("g", RULES, json!({}));
    assert_eq!(opened["rules"], json!(["no-rm", "ask-deploy", "no-keys"]));
    assert_eq!(opened["report"], json!({"overridden": [], "observed": []}));
    assert_eq!(opened["policy_version"].as_str().unwrap().len(), 64);

    let blocked = driver.begin(RM, "c1");
    assert_eq!(blocked["action"], "block");
    assert_eq!(blocked["decision_source"], "yaml_precondition");
    assert_eq!(blocked["decision_name"], "no-rm");
    assert_eq!(blocked["rules_evaluated"][0]["passed"], false);
    let allowed = driver.begin(LS, "c2");
    assert_eq!((&allowed["action"], &allowed["decision_name"]), (&json!("allow"), &Value::Null));
    let finished = driver.result(json!({"op": "finish", "guard": "g", "call_id": "c2", "result": {"is_error": true}}));
    assert_eq!((&finished["success"], &finished["redacted"]), (&json!(false), &json!(false)));
    let events = driver.result(json!({"op": "events", "guard": "g"}));
    let actions: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["call_blocked", "call_allowed", "call_failed"]);
    assert_eq!(driver.result(json!({"op": "events", "guard": "g"}))["events"], json!([]));
    assert_eq!(driver.result(json!({"op": "close", "guard": "g"})), json!({"unsent_events": 0}));
    assert_eq!(driver.refusal(begin(LS, "c3")), "not-found");
    driver.end();
}

#[test]
fn texts_come_back_as_they_came() {
    let mut driver = Driver::with(RULES);
    driver.send(r#"{"id": 1.0, "op": "begin", "guard": "g", "session_id": "s", "call_id": "c", "call": {"tool": "t", "args": {"n": 1e400}}}"#);
    let line = driver.line();
    assert!(line.starts_with(r#"{"id":1.0,"ok":true"#), "{line}");
    driver.send(r#"{"id": {"a" : [ ]}, "op": "finish", "guard": "g", "call_id": "c", "result": {"a": 1.0, "b": 12345678901234567890}}"#);
    let line = driver.line();
    assert!(line.contains(r#""result":{"a": 1.0, "b": 12345678901234567890}"#), "{line}");
    driver.end();
}

#[test]
fn nothing_in_a_line_ends_the_driver() {
    let mut driver = Driver::with(RULES);
    let lines = [
        "",
        "nonsense",
        "[1,2]",
        "{}",
        r#"{"op":7}"#,
        r#"{"op":"no-such-thing"}"#,
        r#"{"op":"begin"}"#,
        r#"{"op":"begin","guard":"g","session_id":"s","call":7}"#,
        r#"{"op":"open","guard":"h","rulesets":[]}"#,
        r#"{"op":"open","guard":"h","rulesets":[{"name":"n","yaml":"a: ["}]}"#,
        r#"{"op":"open","guard":"h","rulesets":[{"name":"n","yaml":"x"}],"options":{"no_such_option":1}}"#,
        r#"{"op":"open","guard":"h","rulesets":[{"name":"n","yaml":"x"}],"store":"redis://h"}"#,
        r#"{"op":"approve","guard":"g","call_id":"x","outcome":"perhaps"}"#,
        r#"{"op":"finish","guard":"g","call_id":"x","result":1}"#,
        r#"{"op":"counters","guard":"g","session_id":"s","set":{"attempts":"many"}}"#,
        r#"{"op":"counters","guard":"g","session_id":"a/b"}"#,
        r#"{"op":"reload","guard":"g","yaml":"rules: 5"}"#,
        r#"{"op":"workflow","guard":"g","session_id":"s","do":"state"}"#,
    ];
    for line in lines {
        driver.send(line);
    }
    driver.input.as_mut().unwrap().write_all(b"\xff\xfe{}\n").unwrap();
    let deep =
        format!(r#"{{"op":"begin","guard":"g","session_id":"s","call":{}{}}}"#, "[".repeat(9_000), "]".repeat(9_000));
    driver.send(&deep);
    for line in lines.iter().skip(1) {
        let answer = driver.next();
        assert_eq!(answer["ok"], false, "{line}: {answer}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty(), "{line}: {answer}");
    }
    assert_eq!(driver.next()["error"]["code"], "bad-request", "not UTF-8");
    assert_eq!(driver.next()["error"]["code"], "bad-request", "too deep");
    assert_eq!(driver.begin(LS, "c")["action"], "allow", "and the guard is still there");
    driver.end();
}

#[test]
fn findings_say_where_they_are() {
    let mut driver = Driver::start();
    let broken = RULES.replace("action: block", "action: bloc");
    let request = json!({"op": "open", "guard": "g", "rulesets": [{"name": "my rules", "yaml": broken}]});
    let answer = driver.ask(request);
    let error = &answer["error"];
    assert_eq!((&error["line"], &error["code"]), (&json!(10), &json!("E_ENUM")), "{answer}");
    assert_eq!(error["diagnostics"][0]["document"], "my rules");
    let checked = driver.result(json!({"op": "check", "rulesets": [{"name": "my rules", "yaml": broken}]}));
    assert_eq!(checked["diagnostics"][0], error["diagnostics"][0]);
    let checked = driver.result(json!({"op": "check", "rulesets": [{"name": "n", "yaml": RULES}]}));
    assert_eq!(checked["diagnostics"], json!([]));
    driver.end();
}

#[test]
fn templates_can_be_opened() {
    let mut driver = Driver::start();
    let templates = driver.result(json!({"op": "templates"}));
    let templates = templates["templates"].as_array().unwrap().clone();
    assert_eq!(templates.len(), 5);
    for template in templates {
        driver.open("g", template["yaml"].as_str().unwrap(), json!({}));
    }
    driver.end();
}

#[test]
fn fields_of_open_win_over_its_options() {
    let mut driver = Driver::start();
    driver.open("g", RULES, json!({"options": {"mode": "enforce"}, "mode": "observe"}));
    let decision = driver.begin(RM, "c");
    assert_eq!((&decision["action"], &decision["observed"]), (&json!("allow"), &json!(true)));
    driver.open("g", RULES, json!({"options": {"mode": "observe"}}));
    assert_eq!(driver.begin(RM, "c")["action"], "allow");
    driver.open("g", RULES, json!({"limits": {"max_attempts": 1}}));
    assert_eq!(driver.begin(LS, "c")["decision_source"], "attempt_limit");
    driver.end();
}

#[test]
fn variables_are_those_of_the_request_or_else_of_the_process() {
    let rules = "\
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: env}
defaults: {mode: enforce}
rules:
  - {id: r, type: pre, tool: '*', when: {env.PATH: {equals: here}}, then: {action: block, message: '{env.PATH}'}}
  - {id: p, type: pre, tool: '*', when: {env.PATH: {exists: true}}, then: {action: block, message: seen}}
";
    let mut driver = Driver::start();
    driver.open("g", rules, json!({"env": {"PATH": "here"}}));
    assert_eq!(driver.begin(LS, "c")["decision_name"], "r");
    driver.open("g", rules, json!({"env": {}}));
    assert_eq!(driver.begin(LS, "c")["action"], "allow");
    driver.open("g", rules, json!({}));
    assert_eq!(driver.begin(LS, "c")["decision_name"], "p");
    driver.end();
}

#[test]
fn a_held_answer_comes_when_somebody_has_decided() {
    let mut driver = Driver::with(RULES);
    for (id, call_id) in [("h1", "c1"), ("h2", "c2"), ("h3", "c3")] {
        let mut request = begin(DEPLOY, call_id);
        request["id"] = json!(id);
        request["hold"] = json!(true);
        driver.send(&request.to_string());
    }
    assert_eq!(driver.begin(LS, "c4")["action"], "allow", "nobody waits for them");
    let settle = |driver: &mut Driver, call_id: &str, outcome: &str| {
        driver.result(json!({"op": "approve", "guard": "g", "call_id": call_id, "outcome": outcome, "approver": "a"}))
    };
    assert_eq!(settle(&mut driver, "c1", "approved")["action"], "allow");
    assert_eq!(driver.answer("h1")["result"]["action"], "allow");
    assert_eq!(settle(&mut driver, "c2", "rejected")["action"], "block");
    assert_eq!(driver.answer("h2")["result"]["action"], "block");
    let now: u64 = 4_000_000_000_000;
    driver.result(json!({"op": "hello", "now_ms": now}));
    assert_eq!(driver.answer("h3")["result"]["action"], "block", "its time is over");
    driver.end();
}

#[test]
fn who_waits_without_an_outcome_is_told_what_became_of_it() {
    let mut driver = Driver::with(RULES);
    assert_eq!(driver.begin(DEPLOY, "c")["approval"]["timeout"], 60);
    driver.send(r#"{"id":"wait","op":"approve","guard":"g","call_id":"c"}"#);
    driver.result(json!({"op": "approve", "guard": "g", "call_id": "c", "outcome": "timed_out"}));
    assert_eq!(driver.answer("wait")["result"]["action"], "block");
    assert_eq!(driver.refusal(json!({"op": "approve", "guard": "g", "call_id": "c"})), "not-found");
    driver.begin(DEPLOY, "left");
    driver.send(r#"{"id":"left","op":"approve","guard":"g","call_id":"left"}"#);
    driver.result(json!({"op": "close", "guard": "g"}));
    assert_eq!(driver.answer("left")["error"]["code"], "closed");
    driver.end();
}

#[test]
fn hours_pass_when_the_clock_is_set() {
    let mut driver = Driver::with(RULES);
    let start: u64 = 2_000_000_000_000;
    driver.result(json!({"op": "hello", "now_ms": start}));
    driver.begin(LS, "c");
    driver.begin(DEPLOY, "d");
    let later = driver.result(json!({"op": "events", "guard": "g", "now_ms": start + 3_601_000}));
    let actions: Vec<_> = later["events"].as_array().unwrap().iter().map(|event| event["action"].clone()).collect();
    assert_eq!(actions, ["call_allowed", "call_asked", "call_approval_timeout", "call_failed"], "{later}");
    assert!(later["events"][0]["timestamp"].as_str().unwrap().starts_with("2033-05-18T03:33:2"), "{later}");
    driver.end();
}

#[test]
fn parallel_requests_of_one_session_keep_their_order() {
    let mut driver = Driver::with(RULES);
    for number in 0..50 {
        let mut request = begin(LS, &format!("c{number}"));
        request["id"] = json!(format!("b{number}"));
        request["parallel"] = json!(true);
        driver.send(&request.to_string());
        let finish = json!({"id": format!("f{number}"), "op": "finish", "guard": "g", "call_id": format!("c{number}"),
            "result": 1, "parallel": true});
        driver.send(&finish.to_string());
    }
    let counters = driver.result(json!({"op": "counters", "guard": "g", "session_id": "s"}));
    assert_eq!((&counters["attempts"], &counters["execs"]), (&json!(50), &json!(50)));
    for number in 0..50 {
        assert_eq!(driver.answer(&format!("b{number}"))["result"]["action"], "allow");
        assert_eq!(driver.answer(&format!("f{number}"))["ok"], true);
    }
    let events = driver.result(json!({"op": "events", "guard": "g"}));
    let ids: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| event["call_id"].clone()).collect();
    let expected: Vec<_> =
        (0..50).flat_map(|number| [json!(format!("c{number}")), json!(format!("c{number}"))]).collect();
    assert_eq!(ids, expected);
    driver.end();
}

#[test]
fn a_guard_on_disk_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = json!({"store": {"path": folder.path().join("state")}});
    let mut driver = Driver::start();
    driver.open("g", RULES, store.clone());
    driver.begin(DEPLOY, "asked");
    driver.begin(LS, "running");
    driver.end();
    let mut driver = Driver::start();
    driver.open("g", RULES, store);
    let approve = json!({"op": "approve", "guard": "g", "call_id": "asked", "outcome": "approved"});
    assert_eq!(driver.result(approve)["action"], "allow");
    for call_id in ["asked", "running"] {
        driver.result(json!({"op": "finish", "guard": "g", "call_id": call_id, "result": null}));
    }
    let counters = driver.result(json!({"op": "counters", "guard": "g", "session_id": "s"}));
    assert_eq!((&counters["attempts"], &counters["execs"]), (&json!(2), &json!(2)));
    driver.end();
}

#[test]
fn a_reload_exchanges_the_rules_and_a_bad_one_does_not() {
    let mut driver = Driver::with(RULES);
    let reloaded = driver.result(json!({"op": "reload", "guard": "g", "yaml": FROZEN}));
    assert_eq!(driver.begin(RM, "c")["action"], "allow");
    assert_eq!(driver.begin(DEPLOY, "d")["decision_name"], "frozen");
    assert_eq!(driver.refusal(json!({"op": "reload", "guard": "g", "yaml": "kind: Ruleset"})), "E_MISSING_FIELD");
    assert_eq!(driver.begin(DEPLOY, "e")["decision_name"], "frozen");
    assert_eq!(reloaded["policy_version"].as_str().unwrap().len(), 64);
    driver.end();
}

#[test]
fn counters_can_be_seeded() {
    let mut driver = Driver::with(RULES);
    let set = json!({"attempts": 498, "execs": 3, "tool:sh": 2, "consec_fail": 1});
    let counters = driver.result(json!({"op": "counters", "guard": "g", "session_id": "s", "set": set}));
    assert_eq!(counters, json!({"attempts": 498, "execs": 3, "consec_fail": 1, "tools": {"sh": 2}}));
    assert_eq!(driver.begin(LS, "c1")["action"], "allow");
    assert_eq!(driver.begin(LS, "c2")["decision_source"], "attempt_limit");
    driver.end();
}
