//! Server-backed guards, through the driver, against `edictum-host serve`: verified rules that change while calls go on,
//! shared sessions, people who approve, the decision log, and what happens while the server is away.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use edictum_tests::driver::{Driver, Pending};
use edictum_tests::proxy::Proxy;
use edictum_tests::wire::{AGENT, Serve, replace, ruleset};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A server with signed rules, a way to it that can be cut, and a driver.
struct Place {
    folder: TempDir,
    serve: Serve,
    proxy: Proxy,
    driver: Driver,
}

impl Place {
    fn new(rules: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rulesets")).unwrap();
        fs::write(folder.path().join("key"), "07".repeat(32)).unwrap();
        replace(&folder.path().join("rulesets/rules.yaml"), rules);
        let serve = serve(&folder);
        let proxy = Proxy::to(&serve.address);
        Self { folder, serve, proxy, driver: Driver::start().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn publish(&self, rules: &str) {
        replace(&self.path("rulesets/rules.yaml"), rules);
    }

    fn fields(&self, guard: &str, more: Value) -> Value {
        let mut fields = json!({
            "guard": guard,
            "url": format!("http://{}", self.proxy.address),
            "api_key": AGENT,
            "agent_id": guard,
            "bundle_name": "rules",
            "verify_signatures": true,
            "signing_public_keys": [self.serve.announced["public_key"]],
        });
        fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_else(Map::new));
        fields
    }

    fn open(&self, guard: &str, more: Value) -> Value {
        self.driver.ask("open_server", self.fields(guard, more)).unwrap()
    }

    fn begin(&self, guard: &str, session: &str, tool: &str) -> Value {
        self.driver.ask("begin", begin(guard, session, tool)).unwrap()
    }

    fn run(&self, guard: &str, session: &str, tool: &str) {
        let decision = self.begin(guard, session, tool);
        assert_eq!(decision["action"], "allow", "{decision}");
        let finish = json!({"guard": guard, "call_id": decision["call_id"], "result": "done"});
        let _finished = self.driver.ask("finish", finish).unwrap();
    }

    fn health(&self, guard: &str) -> Value {
        self.driver.ask("health", json!({"guard": guard})).unwrap()
    }

    /// Pending approvals as operators see them.
    fn asked(&self) -> Vec<Value> {
        let asked = self.serve.operator("GET", "/v1/approvals?status=pending", "").is(200);
        asked["approvals"].as_array().unwrap().clone()
    }

    fn decide(&self, id: &Value, body: &str) {
        let path = format!("/v1/approvals/{}/decide", id.as_str().unwrap());
        let _decided = self.serve.operator("POST", &path, body).is(200);
    }
}

fn serve(folder: &TempDir) -> Serve {
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    Serve::start(&folder.path().join("data"), &["--rulesets", &path("rulesets"), "--signing-key", &path("key")])
}

fn begin(guard: &str, session: &str, tool: &str) -> Value {
    json!({"guard": guard, "session_id": session, "call": {"tool": tool, "args": {"x": 1}}})
}

fn until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

const ASK: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - id: ask-first
    type: pre
    tool: deploy
    when: {args.x: {exists: true}}
    then: {action: ask, message: 'Deploy with sk-proj-abcdefghijklmnopqrstuvwx?', timeout: 60, timeout_action: block}
";

const LIMIT: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - id: three
    type: session
    limits: {max_tool_calls: 3}
    then: {action: block, message: Three are enough.}
";

#[test]
fn a_push_changes_the_next_decision_and_what_is_reported_is_what_is_enforced() {
    let place = Place::new(&ruleset("rules", "sh"));
    let opened = place.open("dev", json!({}));
    assert_eq!(opened["bundle_name"], "rules");
    assert_eq!(place.begin("dev", "s", "sh")["action"], "block");
    place.run("dev", "s", "cat");
    until("the stream is up", || (place.health("dev")["stream"] == "live").then_some(()));

    place.publish(&ruleset("rules", "cat"));
    until("the new rules are enforced", || (place.begin("dev", "s", "cat")["action"] == "block").then_some(()));
    assert_eq!(place.begin("dev", "s", "sh")["action"], "allow");
    let health = place.health("dev");
    assert_ne!(health["policy_version"], opened["policy_version"]);
    place.driver.ask("flush", json!({"guard": "dev"})).unwrap();
    let agents = until("the agent reports them", || {
        let agents = place.serve.operator("GET", "/v1/agents", "").is(200);
        let known =
            agents["agents"].as_array().unwrap().iter().any(|a| a["policy_version"] == health["policy_version"]);
        known.then_some(agents)
    });
    assert!(agents.to_string().contains("dev"), "{agents}");

    // The same text under another version is no news; one that does not load changes nothing and is said.
    place.publish("kind: Ruleset\nrules: [");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(place.health("dev")["policy_version"], health["policy_version"]);
    assert_eq!(place.begin("dev", "s", "cat")["action"], "block");
}

#[test]
fn every_event_gets_to_the_server_once_and_in_order() {
    let place = Place::new(&ruleset("rules", "sh"));
    place.open("dev", json!({}));
    for number in 0..40 {
        place.run("dev", &format!("s{}", number % 4), "cat");
    }
    assert_eq!(place.driver.ask("flush", json!({"guard": "dev", "timeout_ms": 20_000})).unwrap()["unsent_events"], 0);
    assert_eq!(place.health("dev")["log"], "ok");
    let local = place.driver.ask("events", json!({"guard": "dev"})).unwrap();
    let ids = |events: &Value| -> Vec<String> {
        events["events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|event| event["event_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let kept = place.serve.operator("GET", "/v1/events?limit=1000", "").is(200);
    let (mut kept, local) = (ids(&kept), ids(&local));
    assert_eq!(local.len(), 80);
    if kept.first() != local.first() {
        kept.reverse();
    }
    assert_eq!(kept, local);
}

#[test]
fn people_approve_reject_and_are_late_and_secrets_are_not_shown_to_them() {
    let place = Place::new(ASK);
    place.open("dev", json!({}));
    let hold = |session: &str| -> Pending {
        let mut fields = begin("dev", session, "deploy");
        fields["hold"] = true.into();
        place.driver.send("begin", fields)
    };
    let wait = |pending: &Pending| place.driver.wait(pending).unwrap().result().unwrap();

    let held = hold("a");
    let asked = until("somebody is asked", || place.asked().first().cloned());
    assert_eq!(asked["tool_name"], "deploy");
    assert_eq!(asked["agent_id"], "dev");
    assert!(!asked.to_string().contains("sk-proj"), "{asked}");
    assert!(place.driver.poll(&held).is_none());
    place.decide(&asked["id"], r#"{"approved": true, "reason": "go"}"#);
    assert_eq!(wait(&held)["action"], "allow");

    let held = hold("b");
    let asked = until("somebody is asked again", || place.asked().first().cloned());
    place.decide(&asked["id"], r#"{"approved": false, "reason": "not on a Friday"}"#);
    let refused = wait(&held);
    assert_eq!(refused["action"], "block");
    assert!(refused["reason"].as_str().unwrap().contains("not on a Friday"), "{refused}");

    let events = place.driver.ask("events", json!({"guard": "dev"})).unwrap().to_string();
    assert!(events.contains("alice"), "who approved is in the log");
    assert!(events.contains(asked["id"].as_str().unwrap()), "and which request it was");

    // Nobody answers: the deadline does, on the clock that the driver is given.
    let held = hold("c");
    until("somebody is asked once more", || place.asked().first().cloned());
    let late = place.driver.ask("hello", json!({"now_ms": now_ms() + 61_000})).unwrap();
    assert_eq!(late["protocol"], 1);
    assert_eq!(wait(&held)["action"], "block");
}

fn now_ms() -> u64 {
    u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[test]
fn an_approval_that_is_waited_for_survives_a_restart_and_is_asked_for_once() {
    let mut place = Place::new(ASK);
    let state = place.path("state");
    let store = json!({"store": {"path": state}});
    place.open("dev", store.clone());
    let decision = place.begin("dev", "s", "deploy");
    assert_eq!(decision["action"], "ask");
    let asked = until("somebody is asked", || place.asked().first().cloned());
    // What the server gave is kept with the call before the process ends.
    thread::sleep(Duration::from_millis(200));
    std::mem::replace(&mut place.driver, Driver::start().unwrap()).kill();
    place.decide(&asked["id"], r#"{"approved": true}"#);
    place.open("dev", store);
    let settled = place.driver.ask("approve", json!({"guard": "dev", "call_id": decision["call_id"]})).unwrap();
    assert_eq!(settled["action"], "allow");
    let all = place.serve.operator("GET", "/v1/approvals", "").is(200);
    assert_eq!(all["approvals"].as_array().unwrap().len(), 1, "{all}");
}

#[test]
fn two_machines_count_in_one_session() {
    let place = Place::new(LIMIT);
    let other = Driver::start().unwrap();
    place.open("one", json!({}));
    other.ask("open_server", place.fields("two", json!({}))).unwrap();
    place.run("one", "shared", "cat");
    let decision = other.ask("begin", begin("two", "shared", "cat")).unwrap();
    other.ask("finish", json!({"guard": "two", "call_id": decision["call_id"], "result": "done"})).unwrap();
    place.run("one", "shared", "cat");
    let fourth = other.ask("begin", begin("two", "shared", "cat")).unwrap();
    assert_eq!((&fourth["action"], &fourth["reason"]), (&json!("block"), &json!("Three are enough.")));
    let counters = place.driver.ask("counters", json!({"guard": "one", "session_id": "shared"})).unwrap();
    assert_eq!((&counters["attempts"], &counters["execs"]), (&json!(4), &json!(3)));
}

#[test]
fn a_call_costs_at_most_four_requests_over_connections_that_stay() {
    let place = Place::new(LIMIT);
    place.open("dev", json!({"decision_log": "local"}));
    place.run("dev", "warm", "cat");
    let _before = place.proxy.requests();
    let connections = place.proxy.connections();
    place.run("dev", "counted", "cat");
    let requests: Vec<_> = place.proxy.requests().into_iter().filter(|line| line.contains("/sessions")).collect();
    assert!(requests.len() <= 4, "{requests:#?}");
    for number in 0..20 {
        place.run("dev", &format!("s{number}"), "cat");
    }
    assert!(place.proxy.connections() <= connections + 2, "connections are used again");
}

#[test]
fn while_the_server_is_away_rules_stay_sessions_block_and_the_log_waits() {
    let place = Place::new(&ruleset("rules", "sh"));
    place.open("here", json!({"store": "memory"}));
    place.open("there", json!({}));
    until("the stream is up", || (place.health("here")["stream"] == "live").then_some(()));
    place.proxy.cut();
    place.run("here", "s", "cat");
    assert_eq!(place.begin("here", "s", "sh")["action"], "block");
    let lost = place.begin("there", "s", "cat");
    assert_eq!((&lost["action"], &lost["policy_error"]), (&json!("block"), &json!(true)), "{lost}");
    until("the log says so", || {
        let health = place.health("here");
        (health["unsent_events"].as_u64().unwrap() > 0 && health["log"] == "degraded").then_some(())
    });
    place.proxy.heal();
    until("the log gets out", || {
        let left = place.driver.ask("flush", json!({"guard": "here", "timeout_ms": 1000})).unwrap();
        (left["unsent_events"] == 0).then_some(())
    });
    until("sessions work again", || (place.begin("there", "t", "cat")["action"] == "allow").then_some(()));
    until("the stream is back", || (place.health("here")["stream"] == "live").then_some(()));
}

#[test]
fn the_last_ruleset_is_enough_to_start_with_and_no_older_one_is_taken_for_it() {
    let mut place = Place::new(&ruleset("rules", "sh"));
    let store = json!({"store": {"path": place.path("state")}});
    place.open("dev", store.clone());
    place.publish(&ruleset("rules", "cat"));
    until("the new rules are enforced", || (place.begin("dev", "s", "cat")["action"] == "block").then_some(()));
    let version = place.health("dev")["policy_version"].clone();
    place.driver.ask("close", json!({"guard": "dev"})).unwrap();
    place.driver = Driver::start().unwrap();
    place.proxy.cut();
    assert_eq!(place.open("dev", store.clone())["policy_version"], version);
    let health = place.health("dev");
    assert_eq!(health["from_memory"], true, "{health}");
    assert_eq!(place.begin("dev", "s", "cat")["action"], "block");
    place.proxy.heal();
    until("the server confirms them", || (place.health("dev")["from_memory"] == false).then_some(()));
}

#[test]
fn a_start_that_cannot_succeed_fails_at_once_and_says_why() {
    let place = Place::new(&ruleset("rules", "sh"));
    let refused =
        |more: Value| place.driver.answer("open_server", place.fields("dev", more)).unwrap().result().unwrap_err();
    let wrong_key = refused(json!({"signing_public_keys": ["00".repeat(32)]}));
    let code = |refusal: &edictum_tests::driver::Refusal| refusal.code.clone();
    for (what, refusal) in [
        ("a key that nobody signed with", &wrong_key),
        ("a credential that nobody has", &refused(json!({"api_key": "edk_production_nobody"}))),
        ("a name that is not there", &refused(json!({"bundle_name": "nothing"}))),
        ("plain http to another machine", &refused(json!({"url": "http://192.0.2.1"}))),
        ("no name and no stream", &refused(json!({"bundle_name": null, "auto_watch": false}))),
    ] {
        assert!(!code(refusal).is_empty(), "{what}");
        let said = refusal.to_string();
        assert!(!said.contains("nobody_") && !said.contains(AGENT), "{what}: {said}");
    }
    let opened = place.driver.ask("health", json!({"guard": "dev"}));
    assert!(opened.is_err(), "no guard is left behind");
}

#[test]
fn the_server_assigns_by_tags_and_moves_agents() {
    let place = Place::new(&ruleset("rules", "sh"));
    replace(&place.path("rulesets/data.yaml"), &ruleset("data", "rm"));
    replace(
        &place.path("rulesets/assignments.yaml"),
        "assignments: [{ruleset: data, tags: {team: data}}, {ruleset: rules}]\n",
    );
    let assigned = json!({"bundle_name": null, "tags": {"team": "data"}});
    until("the server has its rules of assignment", || {
        place.driver.answer("open_server", place.fields("dev", assigned.clone())).unwrap().result().ok()
    });
    until("the right one", || (place.health("dev")["bundle_name"] == "data").then_some(()));
    assert_eq!(place.begin("dev", "s", "rm")["action"], "block");
    replace(&place.path("rulesets/assignments.yaml"), "assignments: [{ruleset: rules}]\n");
    until("it is moved", || (place.begin("dev", "s", "sh")["action"] == "block").then_some(()));
    assert_eq!(place.health("dev")["bundle_name"], "rules");
}
