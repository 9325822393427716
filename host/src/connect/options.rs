//! What is said about a server when a guard connects to it. Names, meaning and defaults are those of
//! `Edictum.from_server()` of the Python SDK.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::outbox::Outbox;
use crate::workflow::Workflow;

/// Who does something for a guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// edictum-api.
    #[default]
    Server,
    /// This program: the guard's own store, approver or sink.
    Host,
    /// Nobody.
    None,
}

/// The server of a guard. `ServerOptions::new(url, api_key)` has every default.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Base address of edictum-api.
    pub url: String,
    /// Credential of every request. In no error, log or `Debug` output.
    pub api_key: String,
    /// Which agent this is, for rulesets, sessions and approvals. `default`
    pub agent_id: String,
    /// Name of the environment. `production`
    pub env: String,
    /// The ruleset to fetch. None: the server assigns one, within 30 s.
    pub bundle_name: Option<String>,
    /// For the server's rules of assignment. At most 64.
    pub tags: BTreeMap<String, String>,
    /// `enforce` or `observe`; goes before the mode of the rules. `enforce`
    pub mode: String,
    /// Where the decision log goes. [`Backend::Host`]: only to the sink of the guard.
    pub audit_sink: Backend,
    /// Who asks people. [`Backend::None`]: an `ask` is a block.
    pub approval_backend: Backend,
    /// Where the state of sessions is. [`Backend::Host`]: in the store of the guard; there is no [`Backend::None`].
    pub storage_backend: Backend,
    /// Listen to the server's stream, and look by ourselves from time to time. Without it the rules stay until
    /// [`crate::Guard::refresh`] or [`crate::Guard::reload`], and `bundle_name` is needed. `true`
    pub auto_watch: bool,
    /// Permit plain http to other machines. For tests only.
    pub allow_insecure: bool,
    /// Take only rulesets that one of `signing_public_keys` has signed.
    pub verify_signatures: bool,
    /// Ed25519, 64 hex digits each.
    pub signing_public_keys: Vec<String>,
    /// A workflow that was loaded before, for guards that share one.
    pub workflow_runtime: Option<Workflow>,
    /// A workflow on disk.
    pub workflow_path: Option<PathBuf>,
    /// A workflow (YAML).
    pub workflow_content: Option<String>,
    /// Permit `exec(...)` in conditions of the workflow.
    pub workflow_exec_evaluator_enabled: bool,
    /// Where the decision log waits until the server has it; none: in memory, gone with the process.
    pub outbox: Option<Outbox>,
    /// Start with the last ruleset that was taken, while the server is away. `true`
    pub offline_start: bool,
    /// The ruleset must call itself what it was asked for. `true`
    pub check_name: bool,
    /// Time of one attempt of a request, in milliseconds; none: 30,000.
    pub timeout_ms: Option<u64>,
    /// `v1` or `console` (the retired server); none: `v1`.
    pub api_generation: Option<String>,
}

impl ServerOptions {
    /// With the defaults.
    #[must_use]
    pub fn new(url: impl Into<String>, api_key: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            api_key: api_key.into(),
            agent_id: "default".to_owned(),
            env: "production".to_owned(),
            bundle_name: None,
            tags: BTreeMap::new(),
            mode: "enforce".to_owned(),
            audit_sink: Backend::Server,
            approval_backend: Backend::Server,
            storage_backend: Backend::Server,
            auto_watch: true,
            allow_insecure: false,
            verify_signatures: false,
            signing_public_keys: Vec::new(),
            workflow_runtime: None,
            workflow_path: None,
            workflow_content: None,
            workflow_exec_evaluator_enabled: false,
            outbox: None,
            offline_start: true,
            check_name: true,
            timeout_ms: None,
            api_generation: None,
        }
    }

    /// The options of an endpoint in the component, but for its seed.
    pub(super) fn endpoint(&self) -> Map<String, Value> {
        let mut endpoint = Map::new();
        for (name, value) in [
            ("url", json!(self.url)),
            ("agent_id", json!(self.agent_id)),
            ("env", json!(self.env)),
            ("tags", json!(self.tags)),
            ("allow_insecure", json!(self.allow_insecure)),
        ] {
            endpoint.insert(name.to_owned(), value);
        }
        let given = [
            ("timeout_ms", self.timeout_ms.map(Value::from)),
            ("api_generation", self.api_generation.clone().map(Value::from)),
        ];
        endpoint.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        endpoint
    }

    /// The options of a ruleset source in the component.
    pub(super) fn source(&self) -> Value {
        let mut source = json!({
            "auto_watch": self.auto_watch,
            "verify_signatures": self.verify_signatures,
            "signing_public_keys": self.signing_public_keys,
            "offline_start": self.offline_start,
            "check_name": self.check_name,
        });
        if let (Some(name), Some(source)) = (&self.bundle_name, source.as_object_mut()) {
            source.insert("bundle_name".to_owned(), name.as_str().into());
        }
        source
    }
}

/// Without the key.
impl fmt::Debug for ServerOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerOptions")
            .field("agent_id", &self.agent_id)
            .field("env", &self.env)
            .field("bundle_name", &self.bundle_name)
            .finish_non_exhaustive()
    }
}
