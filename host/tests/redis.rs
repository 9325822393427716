//! Guards and drivers whose store is a Redis server, which may go away and come back.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]

mod support;

use std::io::{BufRead as _, BufReader, Write as _, pipe};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use edictum_host::store::RedisStore;
use edictum_host::{Action, CallRequest, ToolOutcome};
use serde_json::{Value, json};
use support::{DEPLOY, LS, RULES, guard_on, host};

/// A server without persistence, which ends with this.
struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// None: `cargo xtask test` has found none here, and says so.
    fn start() -> Option<Self> {
        if std::env::var_os("EDICTUM_NO_REDIS").is_some() {
            println!("NOT run: there is no redis-server");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { child: spawn(port), port };
        server.answers();
        Some(server)
    }

    fn answers(&self) {
        let since = Instant::now();
        while RedisStore::open(&self.address()).is_err() {
            assert!(since.elapsed() < Duration::from_secs(60), "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn stop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }

    fn again(&mut self) {
        self.child = spawn(self.port);
        self.answers();
    }
}

fn spawn(port: u16) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("this test needs redis-server: `apt-get install redis-server`")
}

#[test]
fn calls_are_blocked_while_the_server_is_away_and_go_on_when_it_is_back() {
    let Some(mut server) = Server::start() else { return };
    let store = Arc::new(RedisStore::open(&server.address()).unwrap());
    let (guard, log) = guard_on(&host(), RULES, store);
    assert!(guard.blocking().begin(CallRequest::new(LS).call_id("a")).unwrap().is_allowed());
    guard.blocking().finish("a", ToolOutcome::new("\"ok\"")).unwrap();
    assert!(guard.blocking().begin(CallRequest::new(LS).call_id("b")).unwrap().is_allowed());
    server.stop();
    for _ in 0..3 {
        let decision = guard.blocking().begin(LS).unwrap();
        assert_eq!((decision.action, decision.policy_error), (Action::Block, true));
    }
    let end = guard.blocking().finish("b", ToolOutcome::new("\"secret\"")).unwrap();
    assert!(!end.replacement.unwrap().contains("secret"), "what cannot be judged is suppressed");
    server.again();
    assert!(guard.blocking().begin(CallRequest::new(LS).call_id("c")).unwrap().is_allowed());
    guard.blocking().finish("c", ToolOutcome::new("\"ok\"")).unwrap();
    let actions = log.actions();
    assert_eq!(actions.iter().filter(|action| *action == "call_blocked").count(), 3, "{actions:?}");
}

#[test]
fn two_hosts_share_sessions_and_open_calls() {
    let Some(server) = Server::start() else { return };
    let open = |rules: &str| {
        let store = Arc::new(RedisStore::open(&server.address()).unwrap());
        guard_on(&host(), rules, store)
    };
    let rules = format!(
        "{RULES}  - id: few\n    type: session\n    limits: {{max_attempts: 4}}\n    then: {{action: block, message: enough}}\n"
    );
    let ((one, _), (two, _)) = (open(&rules), open(&rules));
    let call = |id: &'static str| CallRequest::new(LS).call_id(id).session("s");
    assert!(one.blocking().begin(call("a")).unwrap().is_allowed());
    assert!(two.blocking().begin(call("b")).unwrap().is_allowed());
    two.blocking().finish("a", ToolOutcome::new("1")).unwrap();
    one.blocking().finish("b", ToolOutcome::new("1")).unwrap();
    assert_eq!(one.blocking().finish("a", ToolOutcome::new("1")).unwrap_err().code(), "not-found");
    assert!(one.blocking().begin(call("c")).unwrap().is_allowed());
    assert!(two.blocking().begin(call("d")).unwrap().reason.starts_with("Attempt limit reached (4)"));
}

/// What a driver answers to these lines.
fn driver(requests: &[Value]) -> Vec<Value> {
    let (input, mut to_driver) = pipe().unwrap();
    let (from_driver, output) = pipe().unwrap();
    let thread = std::thread::spawn(move || {
        edictum_host::driver::serve(&host(), BufReader::new(input), output).unwrap();
    });
    let mut lines = BufReader::new(from_driver).lines();
    let mut answers = Vec::new();
    for request in requests {
        writeln!(to_driver, "{request}").unwrap();
        answers.push(serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap());
    }
    drop(to_driver);
    thread.join().unwrap();
    answers
}

#[test]
fn a_driver_goes_on_with_the_open_calls_of_one_before() {
    let Some(mut server) = Server::start() else { return };
    let open = json!({
        "id": "1", "op": "open", "guard": "g", "rulesets": [{ "name": "rules", "yaml": RULES }], "store": server.address(),
    });
    let deploy: Value = serde_json::from_str(DEPLOY).unwrap();
    let begin = json!({ "id": "2", "op": "begin", "guard": "g", "session_id": "s", "call_id": "c", "call": deploy });
    let hello = json!({ "id": "0", "op": "hello" });
    let answers = driver(&[hello, open.clone(), begin]);
    let capabilities = answers[0]["result"]["capabilities"].as_array().unwrap();
    assert!(capabilities.contains(&json!("redis")), "{}", answers[0]);
    assert_eq!(answers[2]["result"]["action"], "ask", "{answers:?}");
    let approve = json!({ "id": "3", "op": "approve", "guard": "g", "call_id": "c", "outcome": "approved" });
    let answers = driver(&[open.clone(), approve]);
    assert_eq!(answers[1]["result"]["action"], "allow", "{answers:?}");

    server.stop();
    let mut open = open;
    open["store"] = json!(format!("redis://somebody:hunter2@127.0.0.1:{}", server.port));
    let refused = driver(&[open]);
    let error = refused[0]["error"].to_string();
    assert!(error.contains("unavailable") && !error.contains("hunter2"), "{error}");
}
