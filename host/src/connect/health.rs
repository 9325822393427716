//! How a guard is doing: which rules it enforces and how old they are, whether the stream is up, whether the log gets out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::guard::Guard;
use crate::outbox::State;

/// The stream of a server-backed guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StreamState {
    /// There is none, and none is wanted.
    #[default]
    Off,
    /// It is being opened.
    Connecting,
    /// It is open.
    Live,
    /// Something is wrong with it, or with the rules that came; [`Health::last_error`] says what.
    Degraded,
}

/// The delivery of the decision log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogState {
    /// Nothing is delivered to a server.
    #[default]
    Off,
    /// It gets out.
    Ok,
    /// It does not, for now, or some of it had to be given up.
    Degraded,
}

/// See [`Guard::health`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// SHA-256 of the rules that are enforced, hex.
    pub policy_version: String,
    /// Name of the ruleset, of a server-backed guard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bundle_name: Option<String>,
    /// Its stream.
    pub stream: StreamState,
    /// Its decision log.
    pub log: LogState,
    /// What is wrong now; redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Events that are kept and not delivered yet.
    pub unsent_events: u64,
    /// Seconds since it was last known that these are the rules; 0 for rules that are the program's own.
    pub rules_age_s: u64,
    /// The rules were read from memory, and no server has confirmed them since.
    pub from_memory: bool,
}

/// What a source says of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct OfSource {
    bundle_name: Option<String>,
    stream: StreamState,
    last_error: Option<String>,
    rules_age_s: u64,
    from_memory: bool,
}

impl Guard {
    /// Lets the decision log be delivered now, waits for it at most so long, and gives the number of events that are left.
    pub async fn flush(&self, within: Duration) -> u64 {
        match self.shared.connected().and_then(|connected| connected.log.as_ref()) {
            Some(log) => log.flush(self.host(), within).await,
            None => 0,
        }
    }

    /// How it is doing.
    pub async fn health(&self) -> Health {
        let shared = &self.shared;
        let mut health = Health { policy_version: self.policy_version(), ..Health::default() };
        if let Some(connected) = shared.connected() {
            let source = connected.followed.source.health(self.host()).await;
            let source: Option<OfSource> = source.and_then(|source| serde_json::from_str(&source).ok());
            let source = source.unwrap_or_else(|| OfSource {
                stream: StreamState::Degraded,
                last_error: Some("the ruleset source does not answer".to_owned()),
                ..OfSource::default()
            });
            let OfSource { bundle_name, stream, last_error, rules_age_s, from_memory } = source;
            health = Health { bundle_name, stream, last_error, rules_age_s, from_memory, ..health };
            if let Some(log) = &connected.log {
                let of_log = log.health();
                health.log = match of_log.state {
                    State::Off => LogState::Off,
                    State::Ok => LogState::Ok,
                    State::Degraded => LogState::Degraded,
                };
                health.unsent_events = of_log.unsent.events;
                health.last_error = health.last_error.or(of_log.last_error);
            }
        }
        health
    }
}
