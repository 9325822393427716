//! What a good server answers.

use serde_json::{Map, Value, json};

use super::state::{Asked, State};
use crate::driver::as_value;
use crate::fault_server::{self, Act, Feed, Received};

/// The head of a stream: what follows are its bytes, until it is closed.
const STREAM: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

fn answer(status: u16, body: &Value) -> Act {
    fault_server::json(status, &body.to_string())
}

fn not_found() -> Act {
    answer(404, &json!({"detail": "Not Found"}))
}

impl State {
    /// Does what a request asks for.
    pub fn carry_out(&mut self, request: &Received) -> Act {
        let path = request.target.split('?').next().unwrap_or_default();
        let Some(path) = path.strip_prefix("/v1/") else { return not_found() };
        let words: Vec<String> = path.split('/').map(decoded).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let body = as_value(&request.text());
        match (request.method.as_str(), &*words) {
            ("GET", ["rulesets", name, "current"]) => match self.rulesets.get(*name) {
                Some(published) => answer(200, &Value::Object(published.body.clone())),
                None => not_found(),
            },
            ("GET", ["stream"]) => {
                let feed = Feed::default();
                self.streams.push(feed.clone());
                Act::Follow(STREAM.to_vec(), feed)
            }
            ("POST", ["sessions", "batch"]) => self.batch(&body),
            ("POST", ["sessions", key, "increment"]) => self.increment(key, &body),
            ("GET" | "PUT" | "DELETE", ["sessions", key]) => self.session(request, key, &body),
            ("POST", ["approvals"]) => self.ask(request, body),
            ("GET", ["approvals", id]) => match self.approvals.iter().find(|asked| asked.id == *id) {
                Some(asked) => answer(200, &asked.answer),
                None => not_found(),
            },
            ("POST", ["events"]) => self.take_events(&body),
            _ => not_found(),
        }
    }

    fn batch(&self, body: &Value) -> Act {
        let keys = body["keys"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let (mut values, mut versions) = (Map::new(), Map::new());
        for key in keys {
            let entry = self.sessions.get(key);
            values.insert(key.to_owned(), entry.map(|(value, _)| value.as_str()).into());
            versions.insert(key.to_owned(), entry.map_or(0, |(_, version)| *version).to_string().into());
        }
        let mut all = json!({ "values": values });
        if self.versions {
            all["versions"] = versions.into();
        }
        answer(200, &all)
    }

    fn increment(&mut self, key: &str, body: &Value) -> Act {
        let before: i64 = self.sessions.get(key).and_then(|(value, _)| value.parse().ok()).unwrap_or(0);
        let after = before + body["amount"].as_i64().unwrap_or(1);
        self.write(key, &after.to_string());
        answer(200, &json!({ "value": after }))
    }

    fn session(&mut self, request: &Received, key: &str, body: &Value) -> Act {
        let entry = self.sessions.get(key).cloned();
        let version = entry.as_ref().map_or(0, |(_, version)| *version);
        let there = |status: u16, value: Option<&str>, version: u64| {
            let mut said = json!({ "value": value });
            if self.versions {
                said["version"] = version.to_string().into();
            }
            answer(status, &said)
        };
        match request.method.as_str() {
            "GET" => match &entry {
                Some((value, version)) => there(200, Some(value), *version),
                None if self.versions => answer(404, &json!({"detail": "no such key", "version": "0"})),
                None => answer(404, &json!({"detail": "no such key"})),
            },
            "DELETE" => {
                self.sessions.remove(key);
                answer(200, &json!({ "value": null }))
            }
            _ => {
                let expected = request.header("if-match").map(|version| version.trim_matches('"'));
                if self.versions && expected.is_some_and(|expected| expected != version.to_string()) {
                    return there(412, entry.as_ref().map(|(value, _)| value.as_str()), version);
                }
                let value = body["value"].as_str().unwrap_or_default().to_owned();
                let version = self.write(key, &value);
                let mut said = json!({ "value": value });
                if self.versions {
                    said["version"] = version.to_string().into();
                }
                answer(200, &said)
            }
        }
    }

    fn ask(&mut self, request: &Received, question: Value) -> Act {
        let id = format!("ap-{}", self.approvals.len() + 1);
        let said = json!({ "id": id, "status": "pending" });
        let key = request.header("idempotency-key").map(str::to_owned);
        self.approvals.push(Asked { id, question, key, answer: said.clone() });
        answer(201, &said)
    }

    /// Each is kept once.
    fn take_events(&mut self, body: &Value) -> Act {
        let (mut accepted, mut duplicates) = (0, 0);
        for event in body["events"].as_array().into_iter().flatten() {
            if self.events.iter().any(|kept| kept["event_id"] == event["event_id"]) {
                duplicates += 1;
            } else {
                accepted += 1;
                self.events.push(event.clone());
            }
        }
        answer(202, &json!({ "accepted": accepted, "duplicates": duplicates }))
    }
}

/// Without percent-encoding.
fn decoded(word: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let hex = behind.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
