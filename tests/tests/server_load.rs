//! Many guards with one server, and one thing of it that hangs: what they share is counted at the server, and calls that do
//! not need what hangs come to their end while it does.
//!
//! `EDICTUM_AGENTS` says how many agents there are; otherwise there are 10,000.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use edictum_tests::driver::{Driver, Pending};
use edictum_tests::proxy::Proxy;
use edictum_tests::wire::{AGENT, Serve, replace};
use serde_json::{Value, json};
use tempfile::TempDir;

const RULES: &str = "apiVersion: edictum/v1
kind: Ruleset
metadata: {name: rules}
defaults: {mode: enforce}
rules:
  - {id: no-sh, type: pre, tool: sh, when: {args.x: {exists: true}}, then: {action: block, message: no sh}}
  - {id: ask, type: pre, tool: deploy, when: {args.x: {exists: true}}, then: {action: ask, message: deploy?, timeout: 600}}
";

const PATIENCE: Duration = Duration::from_secs(300);

struct Place {
    folder: TempDir,
    serve: Serve,
    proxy: Proxy,
    driver: Driver,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rulesets")).unwrap();
        replace(&folder.path().join("rulesets/rules.yaml"), RULES);
        let rulesets = folder.path().join("rulesets");
        let serve = Serve::start(&folder.path().join("data"), &["--rulesets", rulesets.to_str().unwrap()]);
        let proxy = Proxy::to(&serve.address);
        Self { folder, serve, proxy, driver: Driver::start().unwrap().with_patience(PATIENCE) }
    }

    fn publish(&self, rules: &str) {
        replace(&self.folder.path().join("rulesets/rules.yaml"), rules);
    }

    fn fields(&self, guard: &str, store: &str) -> Value {
        json!({
            "guard": guard, "agent_id": guard, "url": format!("http://{}", self.proxy.address), "api_key": AGENT,
            "bundle_name": "rules", "store": store, "parallel": true,
        })
    }

    fn all(&self, op: &str, fields: impl Iterator<Item = Value>) -> Vec<Value> {
        let pending: Vec<_> = fields.map(|fields| self.driver.send(op, fields)).collect();
        pending.iter().map(|pending| self.result(pending)).collect()
    }

    fn result(&self, pending: &Pending) -> Value {
        self.driver.wait(pending).unwrap().result().unwrap()
    }

    /// So many allowed calls of a guard, from beginning to end.
    fn run(&self, guard: &str, calls: usize) {
        let begun = self.all("begin", (0..calls).map(|call| begin(guard, &format!("s{call}"), "cat")));
        for decision in &begun {
            assert_eq!(decision["action"], "allow", "{decision}");
        }
        let finish = |decision: &Value| json!({"guard": guard, "call_id": decision["call_id"], "result": "done", "parallel": true});
        let _finished = self.all("finish", begun.iter().map(finish));
    }
}

fn begin(guard: &str, session: &str, tool: &str) -> Value {
    json!({"guard": guard, "session_id": session, "call": {"tool": tool, "args": {"x": 1}}, "parallel": true})
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn agents() -> usize {
    std::env::var("EDICTUM_AGENTS").ok().map_or(10_000, |agents| agents.parse().unwrap())
}

fn counted(requests: &[String], start: &str) -> usize {
    requests.iter().filter(|line| line.starts_with(start)).count()
}

#[test]
fn many_agents_cost_one_stream_one_fetch_a_push_and_little_memory() {
    let (agents, place) = (agents(), Place::new());
    let name = |agent: usize| format!("agent-{agent}");
    let opened = place.all("open_server", (0..agents).map(|agent| place.fields(&name(agent), "memory")));
    let version = &opened[0]["policy_version"];
    assert!(opened.iter().all(|opened| &opened["policy_version"] == version));
    let health = |agent: usize| place.driver.ask("health", json!({"guard": name(agent)})).unwrap();
    until("the stream is up", || health(0)["stream"] == "live");
    thread::sleep(Duration::from_millis(500));
    let requests = place.proxy.requests();
    assert_eq!(counted(&requests, "GET /v1/stream"), 1);
    let fetches = counted(&requests, "GET /v1/rulesets/");
    assert!((1..=2).contains(&fetches), "the first, and one when the stream was up: {fetches}");

    place.publish(&RULES.replace("tool: sh", "tool: cat"));
    until("the push is enforced", || &health(0)["policy_version"] != version);
    let blocked = place.all("begin", (0..agents).map(|agent| begin(&name(agent), "s", "cat")));
    assert!(blocked.iter().all(|decision| decision["action"] == "block"), "nobody is behind");
    let requests = place.proxy.requests();
    assert_eq!(counted(&requests, "GET /v1/stream"), 0);
    let fetches = counted(&requests, "GET /v1/rulesets/");
    assert!((1..=2).contains(&fetches), "one fetch a push, whoever follows it: {fetches}");

    // All of them wait for people; the stream says who was answered.
    let mut hold: Vec<Pending> = Vec::new();
    for agent in 0..agents {
        let mut fields = begin(&name(agent), "s", "deploy");
        fields["hold"] = true.into();
        hold.push(place.driver.send("begin", fields));
    }
    let mut decided = 0;
    until("everybody is asked about", || {
        let page = place.serve.operator("GET", "/v1/approvals?status=pending&limit=1000", "").is(200);
        for approval in page["approvals"].as_array().unwrap() {
            let path = format!("/v1/approvals/{}/decide", approval["id"].as_str().unwrap());
            let _decided = place.serve.operator("POST", &path, r#"{"approved": true}"#).is(200);
            decided += 1;
        }
        decided == agents
    });
    let answered = Instant::now();
    assert!(hold.iter().all(|pending| place.result(pending)["action"] == "allow"));
    let settled = answered.elapsed();
    let memory = place.driver.peak_memory().unwrap_or(0) >> 20;
    println!("{agents} agents: {memory} MiB at most; the last of them settled {settled:?} after the last answer");
    assert!(memory <= 512, "{memory} MiB");
}

#[test]
fn what_hangs_holds_up_nobody_who_does_not_need_it() {
    const CALLS: usize = 1_000;
    let place = Place::new();
    place.all("open_server", [place.fields("local", "memory"), place.fields("remote", "server")].into_iter());
    until("the stream is up", || place.driver.ask("health", json!({"guard": "local"})).unwrap()["stream"] == "live");
    place.run("local", 10);

    // Sessions: a call that needs them waits, and nobody else does.
    place.proxy.hang("/v1/sessions");
    let waits = place.driver.send("begin", begin("remote", "s", "cat"));
    place.run("local", CALLS);
    assert!(place.driver.poll(&waits).is_none(), "it hung all the time");
    place.proxy.heal();
    let _ended = place.result(&waits);

    // Approvals: the same.
    place.proxy.hang("/v1/approvals");
    let mut ask = begin("local", "asking", "deploy");
    ask["hold"] = true.into();
    let waits = place.driver.send("begin", ask);
    place.run("local", CALLS);
    assert!(place.driver.poll(&waits).is_none());
    place.proxy.heal();
    // The connection was cut when the request may have arrived: it is not made a second time, and nobody was asked.
    assert_eq!(place.result(&waits)["action"], "block");

    // The decision log, the fetch and the stream: nothing of a call ever waits for them.
    for part in ["POST /v1/events", "GET /v1/rulesets", "GET /v1/stream"] {
        place.proxy.cut();
        place.proxy.heal();
        place.proxy.hang(part);
        place.publish(&RULES.replace("no sh", part));
        place.run("local", CALLS);
        place.proxy.heal();
    }
    until("the log gets out after all", || {
        place.driver.ask("flush", json!({"guard": "local", "timeout_ms": 1000})).unwrap()["unsent_events"] == 0
    });
}

const EXEC: &str = "apiVersion: edictum/v1
kind: Workflow
metadata: {name: slow}
stages:
  - id: build
    tools: [Bash]
    exit:
      - {condition: 'exec(\"sleep 60\")', message: not built}
  - {id: done, tools: [cat]}
";

#[test]
fn a_command_that_hangs_holds_up_no_other_session() {
    let place = Place::new();
    let mut fields = place.fields("slow", "memory");
    fields["workflow"] = EXEC.into();
    fields["exec_enabled"] = true.into();
    place.all("open_server", [fields, place.fields("local", "memory")].into_iter());
    let waits = place.driver.send("begin", begin("slow", "s", "cat"));
    place.run("local", 1_000);
    assert!(place.driver.poll(&waits).is_none(), "the command runs all the time");
}
