//! `edictum-host serve` on real sockets: each endpoint in each dialect, what it refuses, and what survives kill -9.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use edictum_tests::wire::{AGENT, Events, OPERATOR, STAGING, Serve, replace, ruleset, send};
use serde_json::{Value, json};
use tempfile::TempDir;

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("rulesets/staging")).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        replace(&self.path("rulesets").join(name), text);
    }

    fn serve(&self, arguments: &[&str]) -> Serve {
        let rulesets = self.path("rulesets");
        let all = [&["--rulesets", rulesets.to_str().unwrap()], arguments].concat();
        Serve::start(&self.path("data"), &all)
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

const CURRENT: &str = "/v1/rulesets/rules/current";

#[test]
fn each_dialect_says_only_its_own_and_both_forms_are_the_same_bytes() {
    let place = Place::new();
    let yaml = ruleset("rules", "sh");
    place.write("rules.yaml", &yaml);
    fs::write(place.path("key"), format!("{}\n", "07".repeat(32))).unwrap();
    let key = place.path("key");
    let signed = ["--signing-key", key.to_str().unwrap()];

    let serve = place.serve(&signed);
    let superset = serve.agent("GET", &format!("{CURRENT}?env=production"), "").is(200);
    assert_eq!(superset["yaml"], yaml);
    assert_eq!(decoded(&superset["yaml_bytes"]), yaml.as_bytes());
    assert_eq!(decoded(&superset["signature"]), hex(&superset["signature_hex"]));
    assert_eq!((&superset["version"], &superset["name"]), (&json!(1), &json!("rules")));
    let console = serve.agent("GET", "/api/v1/bundles/rules/current?env=production", "").is(200);
    assert!(console.get("yaml").is_none() && console.get("signature").is_none());
    assert_eq!(console["yaml_bytes"], superset["yaml_bytes"]);
    assert_eq!(console["signature_hex"], superset["signature_hex"]);
    let _missing_env = serve.agent("GET", "/api/v1/bundles/rules/current", "").is(422);
    drop(serve);

    let serve = place.serve(&[&signed[..], &["--dialect", "canonical"]].concat());
    let canonical = serve.agent("GET", CURRENT, "").is(200);
    assert_eq!(canonical["yaml"], yaml);
    assert!(canonical.get("yaml_bytes").is_none());
    let _no_console = serve.agent("GET", "/api/v1/bundles/rules/current?env=production", "").is(404);
    drop(serve);

    let serve = place.serve(&[&signed[..], &["--dialect", "console"]].concat());
    let _no_canonical = serve.agent("GET", CURRENT, "").is(404);
    assert_eq!(serve.agent("GET", "/api/v1/bundles/rules/current?env=production", "").is(200)["version"], 1);
}

#[test]
fn keys_open_their_own_environment_and_agents_decide_nothing() {
    let place = Place::new();
    place.write("rules.yaml", &ruleset("rules", "sh"));
    place.write("staging/rules.yaml", &ruleset("rules", "stage"));
    let serve = place.serve(&[]);
    for (header, status) in
        [("", 401), ("Bearer ", 401), ("Bearer nobody", 401), ("Basic abc", 401), (&format!("bearer {AGENT}"), 200)]
    {
        let answer = send(&serve.address, "GET", CURRENT, &[("Authorization", header)], "");
        let _body = answer.is(status);
        assert!(answer.headers["x-request-id"].len() == 12);
    }
    assert!(serve.agent("GET", CURRENT, "").is(200)["yaml"].as_str().unwrap().contains("no-sh"));
    assert!(serve.with(STAGING, "GET", CURRENT, "").is(200)["yaml"].as_str().unwrap().contains("no-stage"));
    let _other = serve.agent("GET", &format!("{CURRENT}?env=staging"), "").is(403);
    let bad_name = [("Authorization", &*format!("Bearer {AGENT}")), ("X-Edictum-Agent-Id", "../x")];
    let _bad_name = send(&serve.address, "GET", CURRENT, &bad_name, "").is(422);

    let asked = serve.agent("POST", "/v1/approvals", r#"{"tool_name": "t", "message": "m"}"#).is(201);
    let id = asked["id"].as_str().unwrap();
    let decide = format!("/v1/approvals/{id}/decide");
    for path in
        ["/v1/approvals", "/v1/events", "/v1/events/stream", "/v1/agents", "/v1/keys", "/v1/rulesets", "/v1/health"]
    {
        let _not_for_agents = serve.agent("GET", path, "").is(403);
    }
    let _not_for_agents = serve.agent("POST", &decide, r#"{"approved": true}"#).is(403);
    let _not_for_agents = serve.agent("PUT", "/v1/rulesets/rules", &json!({"yaml": ""}).to_string()).is(403);
    let _other_environment = serve.with(STAGING, "GET", &format!("/v1/approvals/{id}"), "").is(404);
    // Values of one environment are not another's.
    let _set = serve.agent("PUT", "/v1/sessions/s:a:x", r#"{"value": "1"}"#).is(200);
    let _other_environment = serve.with(STAGING, "GET", "/v1/sessions/s:a:x", "").is(404);
    let _nothing = serve.operator("GET", "/v1/nothing", "").is(404);
    let _method = serve.operator("PATCH", "/v1/events", "").is(405);
    assert_eq!(send(&serve.address, "GET", "/health", &[], "").is(200), json!({ "status": "ok" }));

    // A key that is taken back ends at once.
    let made = serve.operator("POST", "/v1/keys", r#"{"role": "agent", "name": "production"}"#).is(201);
    let key = made["key"].as_str().unwrap();
    let _works = serve.with(key, "GET", CURRENT, "").is(200);
    let _taken = serve.operator("DELETE", &format!("/v1/keys/{}", made["id"]), "").is(204);
    let _gone = serve.with(key, "GET", CURRENT, "").is(401);
    let file = fs::read(place.path("data/serve.sqlite")).unwrap();
    assert!(!contains(&file, key.as_bytes()) && !contains(&file, OPERATOR.as_bytes()), "keys are kept hashed");
}

#[test]
fn counters_are_exact_under_concurrency_and_a_repeated_request_counts_once() {
    let place = Place::new();
    let serve = place.serve(&[]);
    let key = "/v1/sessions/s:a:attempts";
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let _counted = serve.agent("POST", &format!("{key}/increment"), r#"{"amount": 1}"#).is(200);
                }
            });
        }
    });
    let value = serve.agent("GET", key, "").is(200);
    assert_eq!(value["value"], "200");
    let auth = format!("Bearer {AGENT}");
    let headers = [("Authorization", auth.as_str()), ("Idempotency-Key", "once")];
    let again = || send(&serve.address, "POST", &format!("{key}/increment"), &headers, "{}").is(200);
    assert_eq!(again()["value"], 201);
    assert_eq!(again()["value"], 201, "the first answer once more");
    assert_eq!(serve.agent("GET", key, "").is(200)["value"], "201");
    assert_eq!(serve.agent("POST", "/v1/sessions/f/increment", r#"{"amount": 0.5}"#).is(200)["value"], 0.5);
    assert_eq!(serve.agent("GET", "/v1/sessions/f", "").is(200)["value"], "0.5");

    let set = |value: &str, expected: &Value| {
        let expected = format!("\"{expected}\"");
        let headers = [("Authorization", auth.as_str()), ("If-Match", expected.as_str())];
        send(&serve.address, "PUT", "/v1/sessions/s:a:w", &headers, &json!({ "value": value }).to_string())
    };
    let nothing = serve.agent("GET", "/v1/sessions/s:a:w", "").is(404)["version"].clone();
    let version = set("{}", &nothing).is(200)["version"].clone();
    let taken = set("x", &nothing).is(412);
    assert_eq!((&taken["value"], &taken["version"]), (&json!("{}"), &version));
    let _mine = set("y", &version).is(200);
    let _stale = set("z", &version).is(412);
    let _none_of_ours = set("z", &json!("a")).is(422);
    let _not_a_number = serve.agent("POST", "/v1/sessions/s:a:w/increment", "{}").is(409);
    assert_eq!(serve.agent("GET", "/v1/sessions/s:a:w", "").is(200)["value"], "y");

    let body = json!({ "keys": ["s:a:attempts", "s:a:gone"] }).to_string();
    let batch = serve.agent("POST", "/v1/sessions/batch", &body).is(200);
    assert_eq!(batch["values"], json!({ "s:a:attempts": "201", "s:a:gone": null }));
    assert_eq!(batch["versions"]["s:a:gone"], 0);
    assert_eq!(serve.agent("DELETE", "/v1/sessions/s:a:w", "").is(200), json!({ "value": null }));
    let _twice = serve.agent("DELETE", "/v1/sessions/s:a:w", "").is(200);
    let missing = serve.agent("GET", "/v1/sessions/s:a:w", "");
    assert_eq!(missing.headers["content-type"], "application/json");
    assert_eq!(missing.is(404)["error"], "not_found");
}

#[test]
fn keys_of_sessions_are_told_apart_however_they_are_encoded() {
    let place = Place::new();
    let serve = place.serve(&[]);
    for (path, value) in
        [("s:a%3Fb:x", "1"), ("s:a%23b:x", "2"), ("s:a%2Fb:x", "3"), ("s%3Aa%25:x", "4"), ("s:%C3%BC:x", "5")]
    {
        let body = json!({ "value": value }).to_string();
        let _set = serve.agent("PUT", &format!("/v1/sessions/{path}"), &body).is(200);
    }
    let keys = ["s:a?b:x", "s:a#b:x", "s:a/b:x", "s:a%:x", "s:ü:x", "s:a"];
    let batch = serve.agent("POST", "/v1/sessions/batch", &json!({ "keys": keys }).to_string()).is(200);
    for (key, value) in keys.iter().zip([json!("1"), json!("2"), json!("3"), json!("4"), json!("5"), Value::Null]) {
        assert_eq!(batch["values"][key], value, "{key}");
    }
    for wrong in
        ["/v1/sessions/%2E%2E", "/v1/sessions/a%00b", "/v1/sessions/%FF", &format!("/v1/sessions/{}", "k".repeat(5000))]
    {
        let _refused = serve.agent("GET", wrong, "").is(422);
    }
    let many: Vec<String> = (0..101).map(|number| number.to_string()).collect();
    let _too_many = serve.agent("POST", "/v1/sessions/batch", &json!({ "keys": many }).to_string()).is(422);
    for body in ["", "{", "[]", r#"{"value": 1}"#, r#"{"value": null}"#, r#"{"value": "a", "value": "b"}"#] {
        let _refused = serve.agent("PUT", "/v1/sessions/k", body).is(422);
    }
    let _console = serve.agent("PUT", "/api/v1/sessions/s:%C3%BC", r#"{"value": "1"}"#).is(422);
}

fn ask(serve: &Serve, more: &Value) -> Value {
    let mut body = json!({ "tool_name": "deploy", "tool_args": { "n": 1 }, "message": "Deploy?", "timeout": 60 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serve.agent("POST", "/v1/approvals", &body.to_string()).is(201)
}

#[test]
fn an_approval_has_one_end_and_the_stream_tells_it() {
    let place = Place::new();
    let serve = place.serve(&[]);
    let mut agent = serve.stream(AGENT, "/v1/stream?env=production", &[]);
    let mut staging = serve.stream(STAGING, "/v1/stream", &[]);
    let mut operator = serve.stream(OPERATOR, "/v1/stream", &[]);
    assert_eq!((agent.status, agent.headers["content-type"].as_str()), (200, "text/event-stream"));

    // Arguments stay the text they came in.
    let body = r#"{"tool_name": "deploy", "tool_args": {"big": 1e400, "same": 1, "same": 2.0}, "message": "Deploy?",
        "timeout": 0.5e2, "timeout_effect": "allow"}"#;
    let answer = serve.agent("POST", "/v1/approvals", body);
    assert_eq!(answer.status, 201);
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.contains(r#""tool_args":{"big": 1e400, "same": 1, "same": 2.0}"#), "{text}");
    assert!(text.contains(r#""timeout":50"#) && text.contains(r#""timeout_action":"allow""#), "{text}");
    assert_eq!(operator.wait_for("approval_created").json()["agent_id"], "test-agent");

    let asked = ask(&serve, &json!({ "agent_id": "somebody-else" }));
    assert_eq!(asked["agent_id"], "test-agent", "who it is, the header says");
    let path = format!("/v1/approvals/{}", asked["id"].as_str().unwrap());
    assert_eq!(serve.agent("GET", &path, "").is(200)["status"], "pending");
    let pending = serve.operator("GET", "/v1/approvals?status=pending", "");
    assert_eq!(String::from_utf8_lossy(&pending.body).matches("\"status\":\"pending\"").count(), 2);

    let decided = serve.operator(
        "POST",
        &format!("{path}/decide"),
        r#"{"approved": false, "reason": "no", "decided_by": "eve"}"#,
    );
    let decided = decided.is(200);
    assert_eq!((&decided["status"], &decided["decided_by"]), (&json!("rejected"), &json!("alice")));
    assert_eq!(decided["decision_reason"], "no");
    let told = agent.wait_for("approval_decided");
    assert_eq!(told.json(), json!({ "approval_id": asked["id"], "status": "rejected", "decided_by": "alice" }));
    let again = serve.operator("POST", &format!("{path}/decide"), r#"{"approved": true}"#);
    assert_eq!(again.is(409)["message"], "it is rejected by alice already");
    // The retired console says the same in its words.
    let old = format!("/api{path}");
    assert_eq!(serve.agent("GET", &old, "").is(200)["status"], "denied");
    assert!(staging.next_within(Duration::from_millis(300)).is_none_or(|event| event.name == "ruleset_updated"));

    // Who was away is told what happened meanwhile.
    drop(agent);
    let next = ask(&serve, &json!({}));
    let decide = format!("/v1/approvals/{}/decide", next["id"].as_str().unwrap());
    let _yes = serve.operator("POST", &decide, r#"{"decision": "approved"}"#).is(200);
    let mut agent = serve.stream(AGENT, "/v1/stream", &[("Last-Event-ID", &told.id)]);
    let missed = std::iter::repeat_with(|| agent.wait_for("approval_decided").json());
    let missed = missed.take(5).find(|told| told["approval_id"] == next["id"]).unwrap();
    assert_eq!(missed["status"], "approved");

    for wrong in [
        json!({ "timeout": 0 }),
        json!({ "timeout": 1e12 }),
        json!({ "timeout_action": "maybe" }),
        json!({ "timeout_action": "block", "timeout_effect": "allow" }),
        json!({ "tool_args": [1] }),
        json!({ "tool_name": "" }),
        json!({ "message": "m".repeat(10_001) }),
    ] {
        let mut body = json!({ "tool_name": "t", "message": "m" });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let _refused = serve.agent("POST", "/v1/approvals", &body.to_string()).is(422);
    }
}

#[test]
fn nobody_can_approve_what_is_over_and_its_end_is_told_at_its_moment() {
    let place = Place::new();
    let serve = place.serve(&[]);
    let mut agent = serve.stream(AGENT, "/v1/stream", &[]);
    let start = Instant::now();
    let asked = ask(&serve, &json!({ "timeout": 0.4 }));
    let told = agent.wait_for("approval_timeout");
    assert_eq!(told.json()["approval_id"], asked["id"]);
    assert!(start.elapsed() >= Duration::from_millis(400));
    let path = format!("/v1/approvals/{}", asked["id"].as_str().unwrap());
    assert_eq!(serve.agent("GET", &path, "").is(200)["status"], "timed_out");
    let _late = serve.operator("POST", &format!("{path}/decide"), r#"{"approved": true}"#).is(409);
    assert_eq!(serve.agent("GET", &format!("/api{path}"), "").is(200)["status"], "timeout");
}

#[test]
fn one_idempotency_key_is_one_approval_and_too_many_are_refused_with_a_time() {
    let place = Place::new();
    let serve = place.serve(&["--rate-limit", "approvals=3/60"]);
    let auth = format!("Bearer {AGENT}");
    let headers = [("Authorization", auth.as_str()), ("X-Edictum-Agent-Id", "a"), ("Idempotency-Key", "r-1")];
    let body = r#"{"tool_name": "t", "message": "m"}"#;
    let post = || send(&serve.address, "POST", "/v1/approvals", &headers, body);
    let first = post().is(201)["id"].clone();
    assert_eq!(post().is(201)["id"], first);
    assert_eq!(post().is(201)["id"], first);
    let refused = post();
    let seconds: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=20).contains(&seconds));
    assert_eq!(refused.is(429)["error"], "too_many_requests");
    let list = serve.operator("GET", "/v1/approvals?agent_id=a", "").is(200);
    assert_eq!(list["approvals"].as_array().unwrap().len(), 1);
}

fn event(id: Option<&str>, number: usize) -> Value {
    let mut event = json!({
        "call_id": format!("c{number}"), "agent_id": format!("agent-{}", number % 2), "tool_name": "Bash", "action": "call_blocked",
        "timestamp": format!("2026-11-22T06:31:{:02}.833870+00:00", number % 60), "session_id": "s", "reason": "é\n", "mode": "enforce",
    });
    if let Some(id) = id {
        event["event_id"] = id.into();
    }
    event
}

fn post_events(serve: &Serve, events: &[Value]) -> edictum_tests::wire::Answer {
    serve.agent("POST", "/v1/events", &json!({ "events": events }).to_string())
}

#[test]
fn each_event_is_kept_once_and_found_again() {
    let place = Place::new();
    let serve = place.serve(&[]);
    let mut live = serve.stream(OPERATOR, "/v1/events/stream?agent_id=agent-1", &[]);
    let batch: Vec<Value> = (0..5).map(|number| event(Some(&format!("e{number}")), number)).collect();
    assert_eq!(post_events(&serve, &batch).is(202), json!({ "accepted": 5, "duplicates": 0 }));
    assert_eq!(post_events(&serve, &batch[3..]).is(202), json!({ "accepted": 0, "duplicates": 2 }));
    // Without an id the same text is the same event, and the second one of a call is another one.
    let (pre, mut post) = (event(None, 7), event(None, 7));
    post["action"] = "call_executed".into();
    assert_eq!(post_events(&serve, &[pre.clone(), post]).is(202)["accepted"], 2);
    assert_eq!(post_events(&serve, &[pre]).is(202), json!({ "accepted": 0, "duplicates": 1 }));
    let told: Vec<String> = (0..4)
        .map(|_| live.next_within(Duration::from_secs(20)).unwrap().json()["call_id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, ["c1", "c3", "c7", "c7"]);

    let list = |query: &str| -> Vec<String> {
        let page = serve.operator("GET", &format!("/v1/events?{query}"), "").is(200);
        let events = page["events"].as_array().unwrap().iter();
        events.map(|event| event["event"]["call_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(list("limit=3"), ["c7", "c7", "c4"]);
    assert_eq!(list("after=0&limit=2"), ["c0", "c1"]);
    assert_eq!(list("agent_id=agent-0"), ["c4", "c2", "c0"]);
    assert_eq!(list("action=call_executed"), ["c7"]);
    assert_eq!(list("session_id=s&call_id=c2"), ["c2"]);
    assert_eq!(list("since=2026-11-22T06:31:03Z&until=2026-11-22T06:31:04.833Z"), ["c3"]);
    assert_eq!(list("env=staging"), Vec::<String>::new());
    // One goes on where one was.
    let mut resumed = serve.stream(OPERATOR, "/v1/events/stream", &[("Last-Event-ID", "5")]);
    assert_eq!(resumed.next_within(Duration::from_secs(20)).unwrap().json()["call_id"], "c7");
}

#[test]
fn a_batch_with_one_wrong_event_is_refused_as_a_whole_and_says_which() {
    let place = Place::new();
    let serve = place.serve(&[]);
    for wrong in [json!(3), json!({}), json!({ "action": 7 }), json!({ "action": "a", "event_id": "" })] {
        let answer = post_events(&serve, &[event(Some("good"), 1), wrong]).is(422);
        assert_eq!(answer["detail"][0]["loc"][2], 1, "{answer}");
    }
    let _none = serve.agent("POST", "/v1/events", "{}").is(422);
    let many: Vec<Value> = (0..1_001).map(|number| event(None, number)).collect();
    let text = json!({ "events": many }).to_string();
    let _console = serve.agent("POST", "/api/v1/events", &text).is(422);
    assert_eq!(serve.agent("POST", "/v1/events", &text).is(202)["accepted"], 1_001);
    let huge = format!(r#"{{"value": "{}"}}"#, "x".repeat(9 << 20));
    let _too_large = serve.agent("PUT", "/v1/sessions/k", &huge).is(413);
    assert_eq!(serve.operator("GET", "/v1/health", "").is(200)["events"], 1_001);
}

#[test]
fn an_acknowledgement_is_empty_in_the_canonical_dialect() {
    let place = Place::new();
    let serve = place.serve(&["--dialect", "canonical"]);
    let answer = post_events(&serve, &[event(Some("e"), 1)]);
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    let asked = ask(&serve, &json!({ "timeout_effect": "nonsense" }));
    assert!(asked.get("timeout_effect").is_none());
    assert_eq!(serve.agent("PUT", "/v1/sessions/k", r#"{"value": "1"}"#).is(200), json!({ "value": "1" }));
}

#[test]
fn a_changed_file_reaches_who_follows_it_in_both_vocabularies_and_nobody_else() {
    let place = Place::new();
    let (one, two) = (ruleset("rules", "sh"), ruleset("rules", "curl"));
    place.write("rules.yaml", &one);
    place.write("other.yaml", &ruleset("other", "sh"));
    let serve = place.serve(&[]);
    let revision =
        |serve: &Serve| serve.agent("GET", CURRENT, "").is(200)["revision_hash"].as_str().unwrap().to_owned();
    let first = revision(&serve);
    let follow = format!("/v1/stream?env=production&bundle_name=rules&policy_version={first}");
    let mut knows = serve.stream(AGENT, &follow, &[]);
    let mut new = serve.stream(AGENT, "/v1/stream?env=production&bundle_name=rules", &[]);
    let mut other = serve.stream(AGENT, "/v1/stream?bundle_name=other", &[]);
    // Who does not say what it has is told what there is: nothing between fetch and stream is missed.
    assert_eq!(new.wait_for("ruleset_updated").json()["version"], 1);
    assert_eq!(new.wait_for("contract_update").json()["revision_hash"], first.as_str());
    assert_eq!(other.wait_for("contract_update").json()["bundle_name"], "other");

    place.write("rules.yaml", &two);
    let pointer = knows.next_within(Duration::from_secs(20)).unwrap();
    assert_eq!(
        (pointer.name.as_str(), &pointer.json()["version"]),
        ("ruleset_updated", &json!(2)),
        "the first it is told"
    );
    let update = knows.wait_for("contract_update").json();
    assert_eq!(decoded(&update["yaml_bytes"]), two.as_bytes());
    assert_eq!(new.wait_for("ruleset_updated").json()["version"], 2);
    assert!(other.next_within(Duration::from_millis(300)).is_none());

    // What does not load changes nothing, and is told.
    place.write("rules.yaml", "apiVersion: edictum/v1\nkind: Ruleset\nrules: 3\n");
    until("it is told", || serve.operator("GET", "/v1/rulesets", "").is(200)["troubles"]["rules.yaml"].is_object());
    assert_eq!(serve.operator("GET", "/v1/health", "").is(200)["status"], "degraded");
    assert_eq!(serve.agent("GET", CURRENT, "").is(200)["version"], 2);
    // The old text is a new version: versions only go up.
    place.write("rules.yaml", &one);
    assert_eq!(knows.wait_for("ruleset_updated").json()["version"], 3);
    assert_eq!(revision(&serve), first);
    until("it is well again", || serve.operator("GET", "/v1/health", "").is(200)["status"] == "ok");
    let agents = serve.operator("GET", "/v1/agents", "").is(200);
    assert_eq!(agents["total"], 3);
    drop((knows, new, other));
    until("they have left", || serve.operator("GET", "/v1/agents", "").is(200)["total"] == 0);
}

#[test]
fn other_dialects_speak_one_vocabulary() {
    let place = Place::new();
    place.write("rules.yaml", &ruleset("rules", "sh"));
    let serve = place.serve(&["--dialect", "canonical"]);
    let mut canonical = serve.stream(AGENT, "/v1/stream", &[]);
    assert_eq!(canonical.next_within(Duration::from_secs(20)).unwrap().name, "ruleset_updated");
    assert!(canonical.next_within(Duration::from_millis(300)).is_none());
    drop(serve);
    let serve = place.serve(&["--dialect", "console"]);
    let _missing = serve.agent("GET", "/api/v1/stream", "").is(422);
    let _not_here = serve.agent("GET", "/v1/stream", "").is(403);
    let mut console = serve.stream(AGENT, "/api/v1/stream?env=production&bundle_name=rules", &[]);
    assert_eq!(console.next_within(Duration::from_secs(20)).unwrap().name, "contract_update");
    assert!(console.next_within(Duration::from_millis(300)).is_none());
}

#[test]
fn who_names_no_ruleset_is_assigned_one_and_told_when_that_changes() {
    let place = Place::new();
    for name in ["base", "data"] {
        place.write(&format!("{name}.yaml"), &ruleset(name, "sh"));
    }
    place.write("assignments.yaml", "assignments:\n  - {ruleset: data, tags: {team: data}}\n  - {ruleset: base}\n");
    let serve = place.serve(&[]);
    let mut agent = serve.stream(AGENT, "/v1/stream?env=production&tags=%7B%22team%22%3A+%22data%22%7D", &[]);
    let told = agent.wait_for("assignment_changed").json();
    assert_eq!((&told["bundle_name"], &told["source"]), (&json!("data"), &json!("rule")));
    place.write("data.yaml", &ruleset("data", "curl"));
    assert_eq!(agent.wait_for("contract_update").json()["bundle_name"], "data");
    place.write("assignments.yaml", "assignments: [{ruleset: base}]\n");
    assert_eq!(agent.wait_for("assignment_changed").json()["bundle_name"], "base");
    drop(agent);
    // It names what it was assigned when it comes back; that is no choice of its own, also after a restart.
    serve.kill();
    let serve = place.serve(&[]);
    let mut agent = serve.stream(AGENT, "/v1/stream?env=production&bundle_name=base", &[]);
    place.write("assignments.yaml", "assignments: [{ruleset: data, agent: test-agent}]\n");
    let told = agent.wait_for("assignment_changed").json();
    assert_eq!((&told["bundle_name"], &told["source"]), (&json!("data"), &json!("explicit")));
}

#[test]
fn counters_approvals_events_and_rulesets_survive_kill_9() {
    let place = Place::new();
    place.write("rules.yaml", &ruleset("rules", "sh"));
    let mut serve = place.serve(&[]);
    let mut counted = 0;
    let mut ids = Vec::new();
    for round in 0..5 {
        for number in 0..20 {
            counted =
                serve.agent("POST", "/v1/sessions/s:a:attempts/increment", "{}").is(200)["value"].as_i64().unwrap();
            let _acknowledged = post_events(&serve, &[event(Some(&format!("{round}-{number}")), number)]).is(202);
        }
        ids.push(ask(&serve, &json!({ "timeout": 600 }))["id"].as_str().unwrap().to_owned());
        // Others write on while it dies.
        let address = serve.address.clone();
        let writer = thread::spawn(move || {
            let auth = format!("Bearer {AGENT}");
            let head = format!(
                "POST /v1/sessions/noise/increment HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nContent-Length: 2\r\n\r\n{{}}"
            );
            while let Ok(mut socket) = std::net::TcpStream::connect(&address) {
                if std::io::Write::write_all(&mut socket, head.as_bytes()).is_err() {
                    break;
                }
            }
        });
        thread::sleep(Duration::from_millis(30));
        serve.kill();
        writer.join().unwrap();
        serve = place.serve(&[]);
        assert_eq!(serve.agent("GET", "/v1/sessions/s:a:attempts", "").is(200)["value"], counted.to_string());
        let again: Vec<Value> = (0..20).map(|number| event(Some(&format!("{round}-{number}")), number)).collect();
        assert_eq!(post_events(&serve, &again).is(202), json!({ "accepted": 0, "duplicates": 20 }));
        for id in &ids {
            assert_eq!(serve.agent("GET", &format!("/v1/approvals/{id}"), "").is(200)["status"], "pending");
        }
        assert_eq!(serve.agent("GET", CURRENT, "").is(200)["version"], 1);
    }
    assert_eq!(counted, 100);
    assert_eq!(serve.operator("GET", "/v1/health", "").is(200)["events"], 100);
    let decide = format!("/v1/approvals/{}/decide", ids[0]);
    let _decided = serve.operator("POST", &decide, r#"{"approved": true}"#).is(200);
    assert_eq!(serve.terminate(), Some(0), "SIGTERM is an orderly end");
    let serve = place.serve(&[]);
    assert_eq!(serve.agent("GET", &format!("/v1/approvals/{}", ids[0]), "").is(200)["decided_by"], "alice");
}

#[test]
fn sigterm_ends_streams_and_finishes_requests() {
    let place = Place::new();
    let serve = place.serve(&[]);
    let mut stream = serve.stream(AGENT, "/v1/stream", &[]);
    let start = Instant::now();
    assert_eq!(serve.terminate(), Some(0));
    assert!(stream.next_within(Duration::from_secs(5)).is_none());
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn keys_that_nobody_gave_are_made_once_and_work_after_a_restart() {
    let place = Place::new();
    let start = || {
        let mut child = std::process::Command::new(edictum_tests::wire::program())
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--data"])
            .arg(place.path("own"))
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        (child, serde_json::from_str::<Value>(&line).unwrap())
    };
    let (mut child, announced) = start();
    let keys = announced["created_keys"].as_array().unwrap().clone();
    assert_eq!(keys.iter().map(|key| key["role"].as_str().unwrap()).collect::<Vec<_>>(), ["agent", "operator"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let (mut child, announced) = start();
    assert_eq!(announced["created_keys"], json!([]));
    let operator = format!("Bearer {}", keys[1]["key"].as_str().unwrap());
    let address = announced["address"].as_str().unwrap();
    let list = send(address, "GET", "/v1/keys", &[("Authorization", &operator)], "").is(200);
    assert_eq!(list["keys"].as_array().unwrap().len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_stream_gives_signs_of_life() {
    let place = Place::new();
    let serve = place.serve(&["--keepalive", "1"]);
    let auth = format!("Bearer {AGENT}");
    let mut socket = std::net::TcpStream::connect(&serve.address).unwrap();
    let head = format!("GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\n\r\n");
    std::io::Write::write_all(&mut socket, head.as_bytes()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut seen, mut buffer) = (String::new(), [0; 512]);
    while seen.matches(":keepalive").count() < 3 {
        let count = std::io::Read::read(&mut socket, &mut buffer).unwrap();
        seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    let status = Events::open(&serve.address, "/v1/stream", &[]).status;
    assert_eq!(status, 401, "and no stream without a key");
}

fn decoded(text: &Value) -> Vec<u8> {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let text = text.as_str().unwrap();
    assert_eq!(text.len() % 4, 0, "padded");
    let values: Vec<u32> = text
        .trim_end_matches('=')
        .bytes()
        .map(|byte| u32::try_from(alphabet.iter().position(|known| *known == byte).unwrap()).unwrap())
        .collect();
    let mut out = Vec::new();
    for group in values.chunks(4) {
        let bits = group.iter().fold(0, |bits, value| bits << 6 | value) << (6 * (4 - group.len()));
        out.extend(&bits.to_be_bytes()[1..group.len()]);
    }
    out
}

fn hex(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().unwrap()).unwrap()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
