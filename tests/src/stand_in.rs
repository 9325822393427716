//! A stand-in for edictum-api: signed rulesets, sessions, approvals, events and the stream as a good server has them, in
//! memory, but where a test says otherwise. It keeps every request and the time it came at, on a clock that tests move.
//!
//! Patterns are a method and a path with query, `*` for anything: `POST /v1/sessions/*/increment`. They match beginnings.

#![allow(clippy::expect_used, clippy::panic, reason = "what a test cannot have ends it")]

mod answers;
mod clock;
mod state;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

pub use self::clock::TestClock;
pub use self::state::{Asked, Published, public_key, signature};
use self::state::{Fault, State};
use crate::fault_server::{Act, FaultServer, Feed, Received};
use crate::wire::PATIENCE;

/// A running one.
pub struct StandIn {
    server: FaultServer,
    shared: Arc<Shared>,
}

struct Shared {
    clock: TestClock,
    state: Mutex<State>,
}

/// A request, and when it came.
#[derive(Clone, Debug)]
pub struct Came {
    /// Milliseconds since 1970, on the clock of the test.
    pub at: u64,
    /// The request.
    pub request: Received,
}

impl Came {
    /// Method and target.
    #[must_use]
    pub fn line(&self) -> String {
        line(&self.request)
    }

    /// The body.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.request.body).expect("JSON")
    }
}

impl StandIn {
    /// With nothing in it.
    #[must_use]
    pub fn start(clock: TestClock) -> Self {
        let shared = Arc::new(Shared { clock, state: Mutex::default() });
        let answering = Arc::clone(&shared);
        let server = FaultServer::start(move |request: &Received| answering.answer(request));
        Self { server, shared }
    }

    /// The server itself.
    #[must_use]
    pub fn server(&self) -> &FaultServer {
        &self.server
    }

    /// Another ruleset from now on; it gets the next version, and nobody is told.
    pub fn publish(&self, name: &str, text: &str) {
        self.shared.state().publish(name, text);
    }

    /// The same with this version.
    pub fn publish_version(&self, name: &str, text: &str, version: u64) {
        self.shared.state().rulesets.insert(name.to_owned(), Published::new(name, text, version));
    }

    /// Changes what is answered to a fetch of a ruleset.
    ///
    /// # Panics
    /// When there is none of this name.
    pub fn alter(&self, name: &str, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
        let mut state = self.shared.state();
        change(&mut state.rulesets.get_mut(name).expect("it is published").body);
    }

    /// The next request of this pattern is not carried out, but gets this answer.
    pub fn once(&self, pattern: &str, act: Act) {
        self.in_turn(pattern, [act]);
    }

    /// The next requests of this pattern are not carried out, but get these answers, one after the other.
    pub fn in_turn(&self, pattern: &str, acts: impl IntoIterator<Item = Act>) {
        let mut acts: Vec<Act> = acts.into_iter().collect();
        acts.reverse();
        self.fault(pattern, false, move |_| acts.pop());
    }

    /// Requests of this pattern are not carried out from now on, but get this answer.
    pub fn always(&self, pattern: &str, act: Act) {
        self.fault(pattern, false, move |_| Some(act.clone()));
    }

    /// Whatever this says is answered in place of carrying it out.
    pub fn instead(&self, pattern: &str, act: impl FnMut(&Received) -> Option<Act> + Send + 'static) {
        self.fault(pattern, false, act);
    }

    /// The next request of this pattern is carried out, and gets this answer.
    pub fn after(&self, pattern: &str, act: Act) {
        let mut act = Some(act);
        self.fault(pattern, true, move |_| act.take());
    }

    /// Requests of this pattern are carried out from now on, and get this answer.
    pub fn always_after(&self, pattern: &str, act: Act) {
        self.fault(pattern, true, move |_| Some(act.clone()));
    }

    fn fault(&self, pattern: &str, carried_out: bool, act: impl FnMut(&Received) -> Option<Act> + Send + 'static) {
        let fault = Fault { pattern: pattern.to_owned(), carried_out, act: Box::new(act) };
        self.shared.state().faults.push(fault);
    }

    /// All faults are over.
    pub fn heal(&self) {
        self.shared.state().faults.clear();
    }

    /// Everything that came, in order.
    #[must_use]
    pub fn all(&self) -> Vec<Came> {
        self.shared.state().came.clone()
    }

    /// What came of this pattern.
    #[must_use]
    pub fn came(&self, pattern: &str) -> Vec<Came> {
        self.all().into_iter().filter(|came| matches(pattern, &came.line())).collect()
    }

    /// How many came of this pattern.
    #[must_use]
    pub fn count(&self, pattern: &str) -> usize {
        self.came(pattern).len()
    }

    /// Waits until so many came of this pattern.
    ///
    /// # Panics
    /// When they do not.
    #[track_caller]
    #[must_use]
    pub fn wait_for(&self, pattern: &str, count: usize) -> Vec<Came> {
        let mut came = Vec::new();
        until(&format!("{count} of `{pattern}`"), || {
            came = self.came(pattern);
            came.len() >= count
        });
        came
    }

    /// Says this on every open stream.
    pub fn say(&self, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.streams().iter().for_each(|stream| stream.say(bytes.clone()));
    }

    /// An event on every open stream.
    pub fn push(&self, name: &str, data: &str) {
        self.say(format!("event: {name}\ndata: {data}\n\n"));
    }

    /// The streams that are open.
    #[must_use]
    pub fn streams(&self) -> Vec<Feed> {
        self.shared.state().streams.iter().filter(|stream| !stream.is_over()).cloned().collect()
    }

    /// What is in a key of a session.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<String> {
        self.shared.state().sessions.get(key).map(|(value, _)| value.clone())
    }

    /// Puts something into a key of a session.
    pub fn set_value(&self, key: &str, value: &str) {
        self.shared.state().write(key, value);
    }

    /// Who was asked, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.state().approvals.clone()
    }

    /// Waits until so many were asked.
    ///
    /// # Panics
    /// When they are not.
    #[track_caller]
    #[must_use]
    pub fn wait_for_asked(&self, count: usize) -> Vec<Asked> {
        until("somebody is asked", || self.asked().len() >= count);
        self.asked()
    }

    /// What a look at an approval answers from now on, besides its id. Nobody is told.
    ///
    /// # Panics
    /// When it does not exist.
    pub fn decide(&self, id: &str, answer: Value) {
        let mut state = self.shared.state();
        state.approvals.iter_mut().find(|asked| asked.id == id).expect("it exists").answer = answer;
    }

    /// The events that were taken, each once, in the order they came in.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.shared.state().events.clone()
    }

    /// Whether versions of keys are kept, told and asked for.
    pub fn with_versions(&self) {
        self.shared.state().versions = true;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Received) -> Act {
        let line = line(request);
        let mut state = self.state();
        state.came.push(Came { at: self.clock.now(), request: request.clone() });
        let mut answer = None;
        for fault in state.faults.iter_mut().filter(|fault| matches(&fault.pattern, &line)) {
            if let Some(act) = (fault.act)(request) {
                answer = Some((act, fault.carried_out));
                break;
            }
        }
        match answer {
            Some((act, false)) => {
                if let (Act::Follow(_, feed), true) = (&act, matches("GET /v1/stream", &line)) {
                    state.streams.push(feed.clone());
                }
                act
            }
            Some((act, true)) => {
                let _done = state.carry_out(request);
                act
            }
            None => state.carry_out(request),
        }
    }
}

fn line(request: &Received) -> String {
    format!("{} {}", request.method, request.target)
}

/// Whether a line begins as a pattern says.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// Waits for it.
///
/// # Panics
/// When it does not come about.
#[track_caller]
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: it does not come about");
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_beginnings() {
        let line = "POST /v1/sessions/s:a:attempts/increment";
        for pattern in ["POST", "POST /v1/sessions", "POST /v1/sessions/*/increment", "*attempts", line] {
            assert!(matches(pattern, line), "{pattern}");
        }
        for pattern in ["GET", "POST /v1/sessions/*/batch", "/v1"] {
            assert!(!matches(pattern, line), "{pattern}");
        }
    }
}
