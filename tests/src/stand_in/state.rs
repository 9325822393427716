//! What the stand-in has.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_compact::{KeyPair, Seed};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::Came;
use crate::fault_server::{Act, Feed, Received};

#[derive(Default)]
pub(super) struct State {
    pub rulesets: BTreeMap<String, Published>,
    /// Values with their versions.
    pub sessions: BTreeMap<String, (String, u64)>,
    pub versions: bool,
    pub approvals: Vec<Asked>,
    pub events: Vec<Value>,
    pub streams: Vec<Feed>,
    pub faults: Vec<Fault>,
    pub came: Vec<Came>,
}

/// What is done about a request; none: what is always done.
pub type Acting = Box<dyn FnMut(&Received) -> Option<Act> + Send>;

pub(super) struct Fault {
    pub pattern: String,
    /// The request does what it should, whatever is answered.
    pub carried_out: bool,
    pub act: Acting,
}

/// A ruleset on the server.
#[derive(Clone, Debug)]
pub struct Published {
    /// What is answered to a fetch.
    pub body: Map<String, Value>,
}

/// A request for approval.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The server's name for it.
    pub id: String,
    /// As it was asked.
    pub question: Value,
    /// Its Idempotency-Key.
    pub key: Option<String>,
    /// What a look says.
    pub answer: Value,
}

impl Published {
    /// Signed with the key of the tests, numbered 1.
    #[must_use]
    pub fn new(name: &str, text: &str, version: u64) -> Self {
        let body = json!({
            "name": name, "version": version, "yaml": text, "yaml_bytes": STANDARD.encode(text),
            "revision_hash": hex::encode(Sha256::digest(text)), "signature": STANDARD.encode(signature(1, text)),
        });
        Self { body: body.as_object().cloned().unwrap_or_default() }
    }

    fn version(&self) -> u64 {
        self.body.get("version").and_then(Value::as_u64).unwrap_or(0)
    }
}

fn pair(number: u8) -> KeyPair {
    KeyPair::from_seed(Seed::new([number; Seed::BYTES]))
}

/// A key of the tests, hex.
#[must_use]
pub fn public_key(number: u8) -> String {
    hex::encode(*pair(number).pk)
}

/// The signature of a text by a key of the tests.
#[must_use]
pub fn signature(number: u8, text: &str) -> Vec<u8> {
    pair(number).sk.sign(text, None).to_vec()
}

impl State {
    pub fn publish(&mut self, name: &str, text: &str) {
        let version = self.rulesets.get(name).map_or(1, |published| published.version() + 1);
        self.rulesets.insert(name.to_owned(), Published::new(name, text, version));
    }

    /// Writes a key of a session; its new version.
    pub fn write(&mut self, key: &str, value: &str) -> u64 {
        let version = self.sessions.get(key).map_or(1, |(_, version)| version + 1);
        self.sessions.insert(key.to_owned(), (value.to_owned(), version));
        version
    }
}
