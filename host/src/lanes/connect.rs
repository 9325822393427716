//! Which server, who talks, with which key.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::error::Error;

/// Milliseconds for one attempt, when nothing else is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Address, identity and credential of a client of edictum-api. What is wrong with them is told when a lane is opened.
#[derive(Clone)]
pub struct ConnectOptions {
    options: Map<String, Value>,
    api_key: String,
}

impl ConnectOptions {
    /// The base address, as `https://api.example.com`, and the API key. Everything else has its default: `agent_id` is
    /// `default`, `env` is `production`.
    #[must_use]
    pub fn new(url: impl Into<String>, api_key: impl Into<String>) -> Self {
        let mut options = Map::new();
        options.insert("url".to_owned(), Value::String(url.into()));
        Self { options, api_key: api_key.into() }.seeded()
    }

    /// From options of `endpoint.open` (`wit/server`) as a JSON object. Without a `seed` it gets a random one.
    ///
    /// # Errors
    /// [`Error::Argument`]: it is no JSON object.
    pub fn from_json(options: &str, api_key: impl Into<String>) -> Result<Self, Error> {
        let options = serde_json::from_str(options)
            .map_err(|_| Error::Argument("the options of the connection are no JSON object".to_owned()))?;
        Ok(Self { options, api_key: api_key.into() }.seeded())
    }

    /// From this seed all waiting times follow: clients that start at the same time must have different ones.
    fn seeded(mut self) -> Self {
        if !self.options.contains_key("seed") {
            let mut bytes = [0; 8];
            // Without randomness of the system the clock and the place in memory tell clients apart well enough.
            if getrandom::fill(&mut bytes).is_err() {
                let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
                bytes = u64::from(since.subsec_nanos()).rotate_left(32).to_le_bytes();
            }
            self.options.insert("seed".to_owned(), json!(u64::from_le_bytes(bytes) >> 11));
        }
        self
    }

    /// Who talks; default `default`.
    #[must_use]
    pub fn agent_id(self, agent_id: impl Into<String>) -> Self {
        self.set("agent_id", agent_id.into())
    }

    /// For which environment; default `production`.
    #[must_use]
    pub fn env(self, env: impl Into<String>) -> Self {
        self.set("env", env.into())
    }

    /// What the server assigns rulesets by.
    #[must_use]
    pub fn tags<K: Into<String>, V: Into<String>>(self, tags: impl IntoIterator<Item = (K, V)>) -> Self {
        let tags: Map<String, Value> =
            tags.into_iter().map(|(key, value)| (key.into(), Value::String(value.into()))).collect();
        self.set("tags", tags)
    }

    /// Permits plain http to another machine; the key can be read on the way. Default: no.
    #[must_use]
    pub fn allow_insecure(self, allow: bool) -> Self {
        self.set("allow_insecure", allow)
    }

    /// Time of one attempt at a request; default 30 s.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set("timeout_ms", u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    /// Any option of `endpoint.open`.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.options.insert(name.to_owned(), value.into());
        self
    }

    /// As `endpoint.open` takes them.
    pub(super) fn json(&self) -> String {
        Value::Object(self.options.clone()).to_string()
    }

    pub(super) fn api_key(&self) -> &str {
        &self.api_key
    }

    pub(super) fn url(&self) -> &str {
        self.options.get("url").and_then(Value::as_str).unwrap_or_default()
    }

    /// What the component was told; it refuses what is out of bounds.
    pub(super) fn attempt(&self) -> Duration {
        self.options.get("timeout_ms").and_then(Value::as_u64).map_or(DEFAULT_TIMEOUT, Duration::from_millis)
    }
}

/// Without the key.
impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConnectOptions").field("options", &self.json()).finish_non_exhaustive()
    }
}
