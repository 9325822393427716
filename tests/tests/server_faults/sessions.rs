//! T80–T88: counters and the state of workflows on the server.

use edictum_tests::driver::Driver;
use edictum_tests::fault_server::{Received, json as says, response};
use edictum_tests::stand_in::until;
use serde_json::{Value, json};

use crate::place::{COUNT, Place};

const BATCH: &str = "POST /v1/sessions/batch";

/// Three calls, and two of one tool.
const LIMITS: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - id: limits
    type: session
    limits: {max_attempts: 50, max_tool_calls: 3, max_calls_per_tool: {'foo?x': 2}}
    then: {action: block, message: It is enough.}
";

const WORKFLOW: &str = r#"apiVersion: edictum/v1
kind: Workflow
metadata: {name: flow}
stages:
  - {id: work, tools: [Bash, Read], exit: [{condition: 'file_read("enough")', message: not enough}]}
  - {id: more, tools: [Bash, Edit]}
"#;

fn limited() -> Place {
    let place = Place::new();
    place.api.publish("rules", LIMITS);
    place.open(json!({"auto_watch": false}));
    place
}

/// A fault of the store, and not of a rule.
#[track_caller]
fn is_fault(decision: &Value) {
    assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(true)), "{decision}");
}

#[test]
fn t80_sessions_that_differ_behind_a_question_mark_or_a_hash_do_not_share() {
    let place = limited();
    for session in ["a", "a?b", "a#b", "a%3Fb", "ü ü"] {
        place.run(session, "cat");
        assert_eq!(place.api.value(&format!("s:{session}:attempts")).as_deref(), Some("1"), "{session}");
    }
    let lines: Vec<_> = place.api.came(COUNT).iter().map(|came| came.line()).collect();
    for path in ["s:a%3Fb:attempts", "s:a%23b:attempts", "s:a%253Fb:attempts", "s:%C3%BC%20%C3%BC:attempts"] {
        assert!(lines.contains(&format!("POST /v1/sessions/{path}/increment")), "{lines:?}");
    }
}

#[test]
fn t81_a_tools_name_with_a_question_mark_is_counted_as_itself() {
    let place = limited();
    place.run("s", "foo?x");
    place.run("s", "foo?x");
    let third = place.begin("s", "foo?x");
    assert_eq!((&third["action"], &third["policy_error"]), (&json!("block"), &json!(false)), "{third}");
    assert_eq!(place.api.value("s:s:tool:foo?x").as_deref(), Some("2"));
    assert!(place.api.count("POST /v1/sessions/s:s:tool:foo%3Fx/increment") == 2);
}

#[test]
fn t82_without_a_batch_keys_are_read_one_by_one_and_that_is_remembered() {
    for status in [404, 405] {
        let place = limited();
        place.api.set_value("s:s:execs", "2");
        place.api.always(BATCH, says(status, r#"{"detail":"Not Found"}"#));
        place.run("s", "foo?x");
        assert!(place.api.count("GET /v1/sessions/") >= 1);
        let tried = place.api.count(BATCH);
        let third = place.begin("s", "foo?x");
        assert_eq!((&third["action"], &third["policy_error"]), (&json!("block"), &json!(false)), "{third}");
        // Each lane learns it for itself, and a second one may have been opened.
        let all = place.api.count(BATCH);
        assert!(tried == 1 && all <= 2, "{status}: {tried}, then {all}");
    }
}

#[test]
fn t83_a_batch_that_says_nothing_is_no_zero() {
    for body in ["{}", r#"{"values":{}}"#, r#"{"values":null}"#, r#"{"values":[]}"#, r#"{"values":{"s:s:execs":null}}"#]
    {
        let place = limited();
        place.api.set_value("s:s:execs", "3");
        place.api.always(BATCH, says(200, body));
        place.api.always("GET /v1/sessions/", says(200, "{}"));
        is_fault(&place.begin("s", "foo?x"));
    }
}

/// No key has a value, but that of the executions.
fn batch(request: &Received, execs: &str) -> String {
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    let value = |key: &str| if key.ends_with(":execs") { execs } else { "null" }.to_owned();
    let keys = asked["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap());
    let values: Vec<_> = keys.map(|key| format!("{}:{}", json!(key), value(key))).collect();
    format!(r#"{{"values":{{{}}}}}"#, values.join(","))
}

#[test]
fn t84_a_counter_is_a_counter_or_a_fault() {
    // Three were made: the fourth is one too many.
    for (value, fault) in [
        ("\"3\"", false),
        ("3", false),
        ("3.0", false),
        ("\"3.0\"", false),
        ("1000000000000000000000000000000", true),
        ("\"1e3\"", true),
        ("-5", true),
        ("\"-5\"", true),
        ("true", true),
        ("\"\"", true),
        ("\"three\"", true),
        ("[]", true),
        ("{}", true),
        ("false", true),
        ("\"NaN\"", true),
    ] {
        let place = limited();
        place.api.instead(BATCH, move |request: &Received| Some(says(200, &batch(request, value))));
        place.api.always("GET /v1/sessions/", says(200, &format!(r#"{{"value":{value}}}"#)));
        let decision = place.begin("s", "foo?x");
        assert_eq!((&decision["action"], &decision["policy_error"]), (&json!("block"), &json!(fault)), "{value}");
    }
    // And what an increment answers.
    for value in ["null", "\"\"", "-5", "true", "[]", "\"1e3\""] {
        let place = limited();
        place.api.always_after(COUNT, says(200, &format!(r#"{{"value":{value}}}"#)));
        is_fault(&place.begin("s", "cat"));
    }
    let place = limited();
    place.api.always_after(COUNT, says(200, r#"{"value":"1.0"}"#));
    place.run("s", "cat");
}

#[test]
fn t85_a_page_that_says_404_is_no_missing_key() {
    let place = limited();
    let page = response(404, &[("Content-Type", "text/html")], "<html>Not Found</html>");
    place.api.always("POST /v1/sessions/batch", page.clone());
    place.api.always("GET /v1/sessions/", page);
    is_fault(&place.begin("s", "foo?x"));
    place.api.heal();
    place.run("s", "foo?x");
}

#[test]
fn t86_a_server_that_is_away_blocks_and_the_guard_has_an_event_of_it() {
    let place = limited();
    let _before = place.events();
    place.api.server().down();
    let decision = place.begin("s", "cat");
    is_fault(&decision);
    assert!(decision.to_string().contains("E_UNREACHABLE"), "{decision}");
    let events = place.events();
    assert!(
        events.iter().any(|event| event["action"] == "call_blocked" && event["policy_error"] == true),
        "{events:?}"
    );
    place.api.server().up();
    until("calls go on", || place.begin("t", "cat")["action"] == "allow");
}

fn work(place: &Place, driver: &Driver, guard: &str, path: &str) -> Value {
    let call = json!({"tool": "Read", "args": {"path": path}});
    let begun = driver.ask("begin", json!({"guard": guard, "session_id": "s", "call": call})).unwrap();
    assert_eq!(begun["action"], "allow", "{begun}");
    let done = json!({"guard": guard, "call_id": begun["call_id"], "result": "x"});
    let finished = driver.ask("finish", done).unwrap();
    assert!(place.api.value("s:s:workflow:flow:state").is_some());
    finished
}

fn reads(place: &Place) -> Value {
    let state: Value = serde_json::from_str(&place.api.value("s:s:workflow:flow:state").unwrap()).unwrap();
    state["evidence"]["reads"].clone()
}

#[test]
fn t87_of_two_who_advance_one_workflow_the_later_one_reads_again() {
    let place = Place::new();
    place.api.with_versions();
    place.open(json!({"auto_watch": false, "workflow": WORKFLOW}));
    work(&place, place.driver(), &place.guard, "one");
    // Somebody else writes before the next write gets there.
    let mut theirs: Value = serde_json::from_str(&place.api.value("s:s:workflow:flow:state").unwrap()).unwrap();
    theirs["evidence"]["reads"].as_array_mut().unwrap().push("theirs".into());
    let now = json!({"value": theirs.to_string(), "version": "2"}).to_string();
    place.api.once("PUT /v1/sessions/s:s:workflow:flow:state", says(412, &now));
    place.api.set_value("s:s:workflow:flow:state", &theirs.to_string());
    work(&place, place.driver(), &place.guard, "two");
    assert_eq!(reads(&place), json!(["one", "theirs", "two"]));
    let puts = place.api.came("PUT /v1/sessions/s:s:workflow:flow:state");
    assert!(puts.iter().skip(1).all(|put| put.request.header("if-match").is_some()), "{puts:?}");
}

#[test]
fn t87_without_versions_what_somebody_else_wrote_is_not_lost() {
    let place = Place::new();
    place.open(json!({"auto_watch": false, "workflow": WORKFLOW}));
    let other = Driver::start().unwrap();
    let mut fields = place.fields(json!({"auto_watch": false, "workflow": WORKFLOW}));
    fields["guard"] = "other".into();
    other.ask("open_server", fields).unwrap();
    for (number, path) in ["one", "two", "three", "four"].iter().enumerate() {
        let mine = number % 2 == 0;
        let (driver, guard) = if mine { (place.driver(), place.guard.as_str()) } else { (&other, "other") };
        work(&place, driver, guard, path);
    }
    assert_eq!(reads(&place), json!(["one", "two", "three", "four"]));
}

#[test]
fn t88_the_state_that_a_typescript_client_left_is_gone_on_with() {
    let place = Place::new();
    let state = json!({
        "sessionId": "s", "activeStage": "work", "completedStages": [], "approvals": {},
        "evidence": {"reads": ["theirs"], "stageCalls": {}, "mcpResults": {}},
        "blockedReason": null, "pendingApproval": {"required": false},
    });
    place.api.set_value("s:s:workflow_state__flow", &state.to_string());
    place.open(json!({"auto_watch": false, "workflow": WORKFLOW}));
    work(&place, place.driver(), &place.guard, "mine");
    assert_eq!(reads(&place), json!(["theirs", "mine"]), "and written in snake_case");
}

#[test]
fn counting_goes_on_after_an_outage_and_no_call_is_counted_twice() {
    let place = limited();
    place.run("s", "cat");
    place.api.in_turn(COUNT, [response(503, &[("Retry-After", "0")], ""), response(429, &[], "")]);
    place.run("s", "cat");
    assert_eq!(place.api.value("s:s:attempts").as_deref(), Some("2"));
    assert!(place.api.count("POST /v1/sessions/s:s:attempts/increment") >= 3);
    place.run("s", "cat");
    let fourth = place.begin("s", "cat");
    assert_eq!((&fourth["action"], &fourth["policy_error"]), (&json!("block"), &json!(false)), "{fourth}");
}
