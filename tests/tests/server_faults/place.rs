//! A guard under test, the server that is made up for it, and the time between them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use edictum_tests::driver::{Answer, Driver, Pending, Refusal};
use edictum_tests::stand_in::{StandIn, TestClock, public_key, until};
use edictum_tests::wire::ruleset;
use serde_json::{Map, Value, json};

/// Found nowhere but in one header.
pub const KEY: &str = "edk_production_a-key-that-nobody-shows";

/// What of it is in no text.
const SECRET: &str = "that-nobody-shows";

pub const FETCH: &str = "GET /v1/rulesets/rules/current";
pub const STREAM: &str = "GET /v1/stream";
pub const EVENTS: &str = "POST /v1/events";
pub const ASK: &str = "POST /v1/approvals";
pub const LOOK: &str = "GET /v1/approvals/";
pub const COUNT: &str = "POST /v1/sessions/*/increment";

/// Drivers whose time is the system's.
static IDLE: Mutex<Vec<Driver>> = Mutex::new(Vec::new());

/// Of the next guard.
static NEXT: AtomicU64 = AtomicU64::new(0);

pub struct Place {
    pub api: StandIn,
    pub guard: String,
    clock: TestClock,
    driver: Option<Driver>,
    /// Nobody else uses the driver: its time may be moved.
    alone: bool,
}

impl Place {
    /// With the ruleset `rules`, which blocks `sh`. The driver is shared with other tests, one after the other.
    pub fn new() -> Self {
        let idle = IDLE.lock().unwrap().pop();
        Self::with(idle.unwrap_or_else(|| Driver::start().unwrap()), false)
    }

    /// The same with a driver of its own, whose time may be moved.
    pub fn alone() -> Self {
        Self::with(Driver::start().unwrap(), true)
    }

    pub fn with(driver: Driver, alone: bool) -> Self {
        let clock = TestClock::default();
        let api = StandIn::start(clock.clone());
        api.publish("rules", &ruleset("rules", "sh"));
        let guard = format!("guard-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { api, guard, clock, driver: Some(driver), alone }
    }

    pub fn driver(&self) -> &Driver {
        self.driver.as_ref().unwrap()
    }

    /// The fields of `open_server`; `null` leaves one out. The log stays here, unless it is said otherwise.
    pub fn fields(&self, more: Value) -> Value {
        let mut fields = json!({
            "guard": self.guard,
            "url": self.api.server().url(),
            "api_key": KEY,
            "agent_id": "dev",
            "bundle_name": "rules",
            "verify_signatures": true,
            "signing_public_keys": [public_key(1)],
            "decision_log": "local",
        });
        fields.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_else(Map::new));
        fields.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        fields
    }

    /// Opens one while other requests go on.
    pub fn opening(&self, more: Value) -> Pending {
        let mut fields = self.fields(more);
        fields["parallel"] = true.into();
        self.driver().send("open_server", fields)
    }

    pub fn opened(&self, pending: &Pending) -> Answer {
        self.driver().wait(pending).unwrap()
    }

    #[track_caller]
    pub fn open(&self, more: Value) -> Value {
        self.driver().ask("open_server", self.fields(more)).unwrap()
    }

    /// Opens one whose stream is up, and which has looked since.
    #[track_caller]
    pub fn open_live(&self, more: Value) -> Value {
        let opened = self.open(more);
        until("the stream is up", || self.health()["stream"] == "live");
        let _looked = self.api.wait_for("GET /v1/rulesets/", 2);
        opened
    }

    /// Why it is not opened.
    #[track_caller]
    pub fn refused(&self, more: Value) -> Refusal {
        *self.driver().answer("open_server", self.fields(more)).unwrap().result().unwrap_err()
    }

    pub fn call(&self, session: &str, tool: &str) -> Value {
        json!({"guard": self.guard, "session_id": session, "call": {"tool": tool, "args": {"x": 1}}})
    }

    pub fn begin(&self, session: &str, tool: &str) -> Value {
        self.driver().ask("begin", self.call(session, tool)).unwrap()
    }

    /// Begins a call that waits for a person.
    pub fn hold(&self, session: &str, tool: &str) -> Pending {
        let mut call = self.call(session, tool);
        call["hold"] = true.into();
        self.driver().send("begin", call)
    }

    pub fn settled(&self, pending: &Pending) -> Value {
        self.opened(pending).result().unwrap()
    }

    pub fn finish(&self, decision: &Value) -> Value {
        let finish = json!({"guard": self.guard, "call_id": decision["call_id"], "result": "done"});
        self.driver().ask("finish", finish).unwrap()
    }

    /// A call that is allowed and done.
    #[track_caller]
    pub fn run(&self, session: &str, tool: &str) {
        let decision = self.begin(session, tool);
        assert_eq!(decision["action"], "allow", "{decision}");
        let _finished = self.finish(&decision);
    }

    pub fn health(&self) -> Value {
        self.driver().ask("health", json!({"guard": self.guard})).unwrap()
    }

    /// What is wrong now.
    pub fn trouble(&self) -> String {
        self.health()["last_error"].as_str().unwrap_or_default().to_owned()
    }

    pub fn flush(&self) -> u64 {
        let left = self.driver().ask("flush", json!({"guard": self.guard, "timeout_ms": 25_000})).unwrap();
        left["unsent_events"].as_u64().unwrap()
    }

    /// The events of the guard, as its program sees them.
    pub fn events(&self) -> Vec<Value> {
        let events = self.driver().ask("events", json!({"guard": self.guard})).unwrap();
        events["events"].as_array().unwrap().clone()
    }

    /// Lets time pass, or go back, and then the guard a moment to see it.
    #[track_caller]
    pub fn pass(&self, milliseconds: i64) {
        assert!(self.alone, "others use the same clock");
        // First here: no request seems to come earlier than it does.
        self.clock.pass(milliseconds);
        self.driver().ask("hello", json!({"now_ms": self.clock.now()})).unwrap();
        for _ in 0..3 {
            let _whether_or_not = self.driver().answer("health", json!({"guard": self.guard})).unwrap();
        }
    }

    /// Lets time pass in steps until it holds, but not more than so many of them.
    #[track_caller]
    pub fn pass_until(&self, what: &str, step: i64, steps: usize, mut holds: impl FnMut() -> bool) {
        for _ in 0..steps {
            for _ in 0..20 {
                if holds() {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            self.pass(step);
        }
        until(what, holds);
    }

    /// Whether what blocks `tool` is enforced.
    pub fn blocks(&self, tool: &str) -> bool {
        self.begin("looking", tool)["action"] == "block"
    }
}

/// The credential is in its header, and nowhere else; and whatever a server says, nothing is asked for but what there is.
impl Drop for Place {
    fn drop(&mut self) {
        let driver = self.driver.take().unwrap();
        if std::thread::panicking() {
            eprintln!("stderr of the driver: {}", driver.stderr());
            for came in self.api.all() {
                eprintln!("{} {} {}", came.at, came.line(), came.request.text().chars().take(300).collect::<String>());
            }
            return;
        }
        for came in self.api.all() {
            let line = came.line();
            let known = ["GET /v1/rulesets/", STREAM, "GET /v1/sessions/", "PUT /v1/sessions/", "DELETE /v1/sessions/"];
            let known = known.iter().chain(&["POST /v1/sessions/", ASK, LOOK, EVENTS]);
            assert!(known.into_iter().any(|known| line.starts_with(known)), "{line}");
            let shown = format!("{line} {}", came.request.text());
            assert!(!shown.contains(SECRET), "{shown}");
            for (name, value) in &came.request.headers {
                assert_eq!(value.contains(SECRET), name == "authorization", "{name}: {value}");
            }
        }
        self.api.heal();
        let _unsent = driver.answer("close", json!({"guard": self.guard}));
        assert!(!driver.stderr().contains(SECRET), "{}", driver.stderr());
        if !self.alone && driver.is_sound() {
            IDLE.lock().unwrap().push(driver);
        }
    }
}

/// No text says the credential.
pub fn shows_no_key(text: &str) {
    assert!(!text.contains(SECRET), "{text}");
}
