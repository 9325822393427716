//! Where the story happens: a server in this process on a free port of loopback, a key that signs its rulesets, and the
//! operator whom it asks. All of them talk over sockets, as they would from one machine to another.

use std::path::Path;
use std::time::{Duration, Instant};

use edictum_host::serve::{GivenKey, Role, Server, Settings, Signer, generate_signing_key};
use edictum_host::{Guard, Health, Host, ServerOptions};
use reqwest::Method;
use serde_json::{Value, json};

use super::Trouble;
use crate::command::remote::{self, Remote, text};

/// The agent, as it calls itself.
pub const AGENT: &str = "refunds-agent";

/// Of its key.
pub const ENVIRONMENT: &str = "production";

/// Who answers.
const OPERATOR: &str = "dana";

/// Between two looks at what is waited for.
const AGAIN: Duration = Duration::from_millis(10);

/// Longer than anything takes that is not broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most events that are looked at.
const MOST_EVENTS: &str = "1000";

/// A server that runs, and who has to do with it.
pub struct Place {
    server: Server,
    /// The server as an operator sees it.
    operator: remote::Server,
    operator_key: String,
    agent_key: String,
    signer: Signer,
}

impl Place {
    /// Makes a key and starts a server that keeps its data in this folder.
    pub async fn open(host: &Host, folder: &Path) -> Result<Self, Trouble> {
        let told = |error: &dyn std::error::Error| Trouble::Usage(error.to_string());
        let (_, signer) = generate_signing_key().map_err(|error| told(&error))?;
        let operator_key = format!("edo_{OPERATOR}_{}", uuid::Uuid::new_v4().simple());
        let mut settings = Settings::new(folder);
        settings.keys.push(GivenKey { role: Role::Operator, name: OPERATOR.to_owned(), secret: operator_key.clone() });
        let server = Server::start(settings, host).await.map_err(|error| told(&error))?;
        let made = server.created_keys().iter().find(|key| key.role == Role::Agent && key.name == ENVIRONMENT);
        let made = made.ok_or_else(|| Trouble::Usage("the server has made no key for agents".to_owned()))?;
        let agent_key = made.secret.clone();
        let operator = Remote::of(format!("http://{}", server.address()), operator_key.clone()).server()?;
        Ok(Self { server, operator, operator_key, agent_key, signer })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    pub fn operator_key(&self) -> &str {
        &self.operator_key
    }

    /// The public part of the key that signs, hex.
    pub fn public_key(&self) -> String {
        self.signer.public_key()
    }

    /// Signs a ruleset here and publishes it; the server never sees the key. Gives the server's record.
    pub async fn publish(&self, yaml: &str) -> Result<Value, Trouble> {
        let signature = hex::encode(self.signer.sign(yaml));
        self.post(&["rulesets"], &json!({ "yaml": yaml, "signature": signature })).await
    }

    /// A guard that takes its rules from the server if they are signed by the key, and keeps sessions, approvals and log there.
    pub async fn connect(&self, host: &Host, ruleset: &str, workflow: &str, cwd: &str) -> Result<Guard, Trouble> {
        let mut options = ServerOptions::new(self.url(), self.agent_key.as_str());
        options.agent_id = AGENT.to_owned();
        options.env = ENVIRONMENT.to_owned();
        options.bundle_name = Some(ruleset.to_owned());
        options.verify_signatures = true;
        options.signing_public_keys = vec![self.public_key()];
        options.workflow_content = Some(workflow.to_owned());
        let guard = host.guard(AGENT).session_id("refunds").option("cwd", cwd);
        Ok(guard.connect(options).await?)
    }

    /// The oldest request that waits in the inbox, as soon as there is one.
    pub async fn asked(&self) -> Result<Value, Trouble> {
        until("the request did not get to the inbox", async || {
            let query = [("status", "pending".to_owned()), ("agent_id", AGENT.to_owned())];
            let request = self.operator.request(Method::GET, &["approvals"], &query);
            let mut inbox = self.operator.ask(request).await?.good()?;
            let waiting = inbox.get_mut("approvals").and_then(Value::as_array_mut);
            Ok(waiting.and_then(Vec::pop))
        })
        .await
    }

    /// Answers a request of the inbox. Gives the server's record of it.
    pub async fn decide(&self, request: &Value, approved: bool, reason: Option<&str>) -> Result<Value, Trouble> {
        let answer = json!({ "approved": approved, "reason": reason, "decided_via": "cli" });
        self.post(&["approvals", text(request, "id"), "decide"], &answer).await
    }

    /// Every event of the session that the server has, the oldest first.
    pub async fn log(&self, session: &str) -> Result<Vec<Value>, Trouble> {
        let query = [("after", "0"), ("limit", MOST_EVENTS), ("session_id", session)];
        let query = query.map(|(name, value)| (name, value.to_owned()));
        let request = self.operator.request(Method::GET, &["events"], &query);
        let mut page = self.operator.ask(request).await?.good()?;
        let rows = page.get_mut("events").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        Ok(rows.into_iter().map(|mut row| row.get_mut("event").map(Value::take).unwrap_or_default()).collect())
    }

    pub async fn stop(self) {
        self.server.stop().await;
    }

    async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Trouble> {
        let request = self.operator.request(Method::POST, path, &[]);
        let request = request.header("content-type", "application/json").body(body.to_string());
        self.operator.ask(request).await?.good()
    }
}

/// The health of a guard, as soon as it is as it should be.
pub async fn healthy(guard: &Guard, what: &str, good: impl Fn(&Health) -> bool) -> Result<Health, Trouble> {
    until(what, async || Ok(Some(guard.health().await).filter(&good))).await
}

/// Looks until there is something. `otherwise`: what to say when it takes too long.
async fn until<T>(otherwise: &str, look: impl AsyncFn() -> Result<Option<T>, Trouble>) -> Result<T, Trouble> {
    let start = Instant::now();
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if start.elapsed() > PATIENCE {
            return Err(Trouble::Usage(format!("{otherwise} within {} s", PATIENCE.as_secs())));
        }
        tokio::time::sleep(AGAIN).await;
    }
}
