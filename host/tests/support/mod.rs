//! What tests of guards share: rulesets, a host with a clock of its own, events that can be read, a store that can be
//! lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what a test cannot have ends it"
)]
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use edictum_host::callback::{ApprovalOutcome, ApprovalVerdict};
use edictum_host::store::{Claimed, MemoryStore, OpenCall, Operation, Outcome, SqliteStore, Store, StoreError, Visit};
use edictum_host::{EventSink, Guard, GuardBuilder, Host, Ruleset, Timestamp};
use serde_json::Value;

pub const MINUTE: Timestamp = 60_000;

/// Blocks `rm`, asks before `deploy`, redacts keys that `read` returns.
pub const RULES: &str = "\
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: demo}
defaults: {mode: enforce}
rules:
  - id: no-rm
    type: pre
    tool: sh
    when: {args.command: {starts_with: rm}}
    then: {action: block, message: 'Not {args.command}.'}
  - id: ask-deploy
    type: pre
    tool: deploy
    when: {args.to: {equals: prod}}
    then: {action: ask, message: 'Deploy?', timeout: 60}
  - id: no-keys
    type: post
    tool: read
    when: {output.text: {matches: 'sk-[a-z]+'}}
    then: {action: redact, message: keys}
";

/// The same, but nothing may be deployed any more.
pub const FROZEN: &str = "\
apiVersion: edictum/v1
kind: Ruleset
metadata: {name: frozen}
defaults: {mode: enforce}
rules:
  - id: frozen
    type: pre
    tool: deploy
    when: {args.to: {exists: true}}
    then: {action: block, message: Frozen.}
";

pub const RM: &str = r#"{"tool":"sh","args":{"command":"rm -rf /"}}"#;
pub const LS: &str = r#"{"tool":"sh","args":{"command":"ls"}}"#;
pub const DEPLOY: &str = r#"{"tool":"deploy","args":{"to":"prod"}}"#;
pub const READ: &str = r#"{"tool":"read","args":{"path":"x"}}"#;

pub fn host() -> Host {
    Host::new().unwrap()
}

pub fn rules(text: &str) -> Ruleset {
    Ruleset::new("rules.yaml", text)
}

pub fn build(builder: GuardBuilder) -> Guard {
    pollster::block_on(builder.build()).unwrap()
}

/// A guard with these rules and its events.
pub fn guard(host: &Host, text: &str) -> (Guard, Arc<Log>) {
    let log = Arc::new(Log::default());
    (build(host.guard("g").ruleset(rules(text)).sink(Arc::clone(&log) as Arc<_>)), log)
}

/// The same on a store.
pub fn guard_on(host: &Host, text: &str, store: Arc<dyn Store>) -> (Guard, Arc<Log>) {
    let log = Arc::new(Log::default());
    (build(host.guard("g").ruleset(rules(text)).store(store).sink(Arc::clone(&log) as Arc<_>)), log)
}

pub fn on_disk(folder: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(folder, false).unwrap())
}

pub fn approval(verdict: ApprovalVerdict) -> ApprovalOutcome {
    ApprovalOutcome {
        verdict,
        approval_id: None,
        approver: Some("alice".to_owned()),
        reason: None,
        decided_at: None,
        decided_via: None,
    }
}

/// Keeps all events; or none, on demand.
#[derive(Default)]
pub struct Log {
    events: Mutex<Vec<String>>,
    pub lost: AtomicBool,
}

impl Log {
    /// The `action` of every event so far.
    pub fn actions(&self) -> Vec<String> {
        self.events().iter().map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    }

    pub fn events(&self) -> Vec<Value> {
        self.texts().iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    pub fn texts(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

impl EventSink for Log {
    fn emit(&self, events: &[String]) -> Result<(), String> {
        if self.lost.load(Ordering::SeqCst) {
            return Err("no space left".to_owned());
        }
        self.events.lock().unwrap().extend_from_slice(events);
        Ok(())
    }
}

/// A store that can be lost.
#[derive(Default)]
pub struct Fragile {
    store: MemoryStore,
    pub lost: AtomicBool,
}

impl Fragile {
    pub fn lose(&self, lost: bool) {
        self.lost.store(lost, Ordering::SeqCst);
    }

    fn store(&self) -> Result<&MemoryStore, StoreError> {
        if self.lost.load(Ordering::SeqCst) { Err(StoreError::new("disk gone")) } else { Ok(&self.store) }
    }
}

impl Store for Fragile {
    fn perform(&self, visit: Visit<'_>, operations: &[Operation]) -> Result<Vec<Outcome>, StoreError> {
        self.store()?.perform(visit, operations)
    }

    fn open(&self, call: &OpenCall) -> Result<bool, StoreError> {
        self.store()?.open(call)
    }

    fn find(&self, guard: &str, call_id: &str) -> Result<Option<OpenCall>, StoreError> {
        self.store()?.find(guard, call_id)
    }

    fn claim(&self, guard: &str, call_id: &str, now: Timestamp, until: Timestamp) -> Result<Claimed, StoreError> {
        self.store()?.claim(guard, call_id, now, until)
    }

    fn update(&self, call: &OpenCall, claim: u64) -> Result<bool, StoreError> {
        self.store()?.update(call, claim)
    }

    fn release(&self, guard: &str, call_id: &str, claim: u64) -> Result<(), StoreError> {
        self.store()?.release(guard, call_id, claim)
    }

    fn close(&self, guard: &str, call_id: &str, claim: u64) -> Result<bool, StoreError> {
        self.store()?.close(guard, call_id, claim)
    }

    fn list(&self, guard: Option<&str>, limit: usize) -> Result<Vec<OpenCall>, StoreError> {
        self.store()?.list(guard, limit)
    }

    fn due(&self, guard: &str, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        self.store()?.due(guard, now, limit)
    }

    fn next_deadline(&self, guard: &str) -> Result<Option<Timestamp>, StoreError> {
        self.store()?.next_deadline(guard)
    }

    fn memory(&self, owner: &str, name: &str) -> Result<Option<String>, StoreError> {
        self.store()?.memory(owner, name)
    }

    fn remember(&self, owner: &str, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.store()?.remember(owner, name, value)
    }

    fn expire(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.store()?.expire(now)
    }
}
