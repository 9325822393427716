//! A guard from the options of its server: what has to be known first, which parts it shares with others, and the first
//! rules, for which it waits.

use std::sync::Arc;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::approvals::Approvals;
use super::log::Log;
use super::rulesets::{Opening, SourceKey, follow};
use super::sessions::ServerSessions;
use super::{Backend, Connected, Server, ServerOptions};
use crate::error::Error;
use crate::guard::{Guard, GuardBuilder};
use crate::host::Host;
use crate::lanes::ConnectOptions;
use crate::store::CallState;

/// Open calls that are read together.
const MANY: usize = 100_000;

impl Guard {
    /// A guard whose rules, sessions, approvals and decision log are on a server. It has its first rules when it is
    /// returned. For operators, hooks, a store of its own and the like, see [`GuardBuilder::connect`].
    ///
    /// # Errors
    /// As [`GuardBuilder::connect`].
    pub async fn connect(host: &Host, server: ServerOptions) -> Result<Self, Error> {
        host.guard(server.agent_id.clone()).connect(server).await
    }

    /// Fetches the rules of a server-backed guard now, and gives the revision that is enforced then. Of use without
    /// `auto_watch`; with it, they are new anyway.
    ///
    /// # Errors
    /// The guard has no server, or the rules cannot be had; the old ones stay.
    pub async fn refresh(&self) -> Result<String, Error> {
        let connected = self.shared.connected();
        let connected = connected.ok_or_else(|| Error::Unsupported("this guard has no server".to_owned()))?;
        connected.followed.source.refresh().await
    }
}

impl GuardBuilder {
    /// Connects to edictum-api: fetches (or is assigned) the rules, verifies them, and from then on keeps them new. Guards
    /// with the same server share its stream, its approval queue and its connections. Open calls of an earlier guard of this
    /// name go on.
    ///
    /// # Errors
    /// The options do not fit together, the address is not permitted, the credential is refused, there is no such ruleset, it
    /// is not signed as it must be or does not load, or no ruleset was assigned within 30 s.
    pub async fn connect(self, server: ServerOptions) -> Result<Guard, Error> {
        let builder = self.of_server(&server).await?;
        let (mut parts, rulesets) = builder.parts()?;
        if !rulesets.is_empty() {
            return Err(Error::Argument(
                "the rules of this guard come from its server; leave out `ruleset`".to_owned(),
            ));
        }
        if server.storage_backend == Backend::None {
            return Err(Error::Argument(
                "`storage_backend` is the server or the host: sessions have to be somewhere".to_owned(),
            ));
        }
        let host = parts.host.clone();
        host.inner.connections.withhold(&server.api_key);
        let store = parts.store.get_or_insert_with(|| host.memory()).clone();

        let mut shared = server.endpoint();
        shared.remove("agent_id");
        shared.remove("tags");
        shared.remove("env");
        let address = Server::new(Value::Object(shared).to_string(), &server.api_key);
        let mut own = server.endpoint();
        if server.bundle_name.is_some() {
            // Everybody in the environment gets the same ruleset, whoever they are.
            own.remove("agent_id");
            own.remove("tags");
        }
        let options = server.source().to_string();
        let own = Value::Object(own).to_string();
        let key = SourceKey { server: Server::new(own.clone(), &server.api_key), options };
        let endpoint =
            ConnectOptions::from_json(&Value::Object(server.endpoint()).to_string(), server.api_key.as_str())?;
        let opening = Opening {
            endpoint: endpoint.clone(),
            options: key.options.clone(),
            watched: server.auto_watch,
            store,
            memory_name: memory_name(&own, server.bundle_name.as_deref()),
        };
        let (recipe, callbacks) = (parts.recipe.clone(), parts.callbacks.clone());
        let followed = follow(&host, &address, &key, opening, recipe, callbacks).await?;

        let connections = &host.inner.connections;
        let sessions = (server.storage_backend == Backend::Server).then(|| {
            let make = || Arc::new(ServerSessions::new(host.clone(), endpoint.clone()));
            connections.sessions.shared(&address_in(&server, &address), make)
        });
        let approvals = (server.approval_backend == Backend::Server)
            .then(|| connections.approvals.shared(&address, || Approvals::start(&host, endpoint.clone())));
        let without_approvals = server.approval_backend == Backend::None;
        let log = match server.audit_sink {
            Backend::Server => {
                let outbox = server.outbox.clone().map_or_else(|| host.outbox(), Ok)?;
                let bare = parts.recipe.option("bare_events").cloned().unwrap_or(Value::Bool(false));
                let options = serde_json::json!({ "bare_events": bare }).to_string();
                let key = (address.clone(), outbox.address());
                let log = match connections.logs.find(&key) {
                    Some(log) => log,
                    None => {
                        let made = Log::open(&host, &address, &endpoint, &outbox, &options).await?;
                        connections.logs.shared(&key, || made)
                    }
                };
                parts.outbox = Some((log.outbox().clone(), log.lane().to_owned()));
                Some(log)
            }
            Backend::Host | Backend::None => None,
        };
        let policy = Arc::clone(&followed.group.policy);
        let connected = Connected { followed, sessions, approvals, log, without_approvals };
        let guard = parts.guard(policy, Some(connected)).await;
        guard.go_on_asking().await?;
        Ok(guard)
    }

    /// What the server's options say about the guard itself.
    async fn of_server(self, server: &ServerOptions) -> Result<Self, Error> {
        let mut builder = self
            .agent_id(server.agent_id.as_str())
            .option("mode", server.mode.as_str())
            .option("environment", server.env.as_str());
        if server.workflow_exec_evaluator_enabled {
            builder = builder.option("exec_enabled", true);
        }
        let given =
            [server.workflow_runtime.is_some(), server.workflow_path.is_some(), server.workflow_content.is_some()];
        if given.iter().filter(|given| **given).count() > 1 {
            let message = "one workflow: `workflow_runtime`, `workflow_path` or `workflow_content`";
            return Err(Error::Argument(message.to_owned()));
        }
        if let Some(workflow) = &server.workflow_runtime {
            builder = builder.workflow_runtime(workflow);
        }
        if let Some(text) = &server.workflow_content {
            builder = builder.workflow("workflow", text.as_str());
        }
        if let Some(path) = &server.workflow_path {
            let text = tokio::task::spawn_blocking({
                let path = path.clone();
                move || std::fs::read_to_string(path)
            });
            let unreadable =
                |why: String| Error::Argument(format!("the workflow `{}` cannot be read: {why}", path.display()));
            let text = text.await.map_err(|error| unreadable(error.to_string()))?;
            let text = text.map_err(|error| unreadable(error.to_string()))?;
            builder = builder.workflow(path.display().to_string(), text);
        }
        Ok(builder)
    }
}

impl Guard {
    /// People may have been asked before this process began.
    async fn go_on_asking(&self) -> Result<(), Error> {
        let Some(approvals) = self.shared.connected().and_then(|connected| connected.approvals.as_ref()) else {
            return Ok(());
        };
        for open in self.open_calls(MANY).await? {
            if let (CallState::Asking, Some(approval)) = (open.state, &open.approval) {
                approvals.submit(&self.shared, &open.call_id, approval);
            }
        }
        Ok(())
    }
}

/// The same after a restart, and for another key: what is remembered is verified again.
fn memory_name(endpoint: &str, bundle_name: Option<&str>) -> String {
    let mut hash = Sha256::new();
    hash.update(endpoint);
    hash.update([0]);
    hash.update(bundle_name.unwrap_or_default());
    hex::encode(hash.finalize())
}

/// Sessions are told apart by environment too.
fn address_in(server: &ServerOptions, address: &Server) -> Server {
    Server { endpoint: format!("{} {}", server.env, address.endpoint), key: address.key }
}
