//! `open_server`, `health`, `flush`: guards whose rules, sessions, approvals and log are on edictum-api.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::open::{plugins, store};
use super::protocol::{Refusal, Request, json as text};
use super::session::{Open, Session, event_buffer};
use crate::connect::{Backend, ServerOptions};
use crate::guard::GuardBuilder;
use crate::outbox::Outbox;

/// How long a `flush` takes at most, unless it says otherwise.
const FLUSH: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Named {
    guard: String,
}

#[derive(Deserialize)]
struct Fields<'l> {
    guard: String,
    url: String,
    api_key: String,
    agent_id: Option<String>,
    env: Option<String>,
    bundle_name: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    mode: Option<String>,
    auto_watch: Option<bool>,
    #[serde(default)]
    allow_insecure: bool,
    #[serde(default)]
    verify_signatures: bool,
    #[serde(default)]
    signing_public_keys: Vec<String>,
    workflow: Option<String>,
    #[serde(default)]
    exec_enabled: bool,
    store: Option<Value>,
    approvals: Option<Approvals>,
    decision_log: Option<DecisionLog>,
    #[serde(borrow)]
    plugins: Option<Vec<&'l RawValue>>,
    options: Option<Map<String, Value>>,
    compat: Option<Value>,
    timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Approvals {
    #[default]
    Server,
    Host,
    None,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum DecisionLog {
    #[default]
    Server,
    Local,
}

impl Fields<'_> {
    fn server(&mut self) -> ServerOptions {
        let mut server = ServerOptions::new(std::mem::take(&mut self.url), std::mem::take(&mut self.api_key));
        let text = |given: &mut Option<String>, default: &mut String| {
            if let Some(given) = given.take() {
                *default = given;
            }
        };
        text(&mut self.agent_id, &mut server.agent_id);
        text(&mut self.env, &mut server.env);
        text(&mut self.mode, &mut server.mode);
        server.bundle_name = self.bundle_name.take();
        server.tags = std::mem::take(&mut self.tags);
        server.auto_watch = self.auto_watch.unwrap_or(true);
        server.allow_insecure = self.allow_insecure;
        server.verify_signatures = self.verify_signatures;
        server.signing_public_keys = std::mem::take(&mut self.signing_public_keys);
        server.timeout_ms = self.timeout_ms;
        server.workflow_content = self.workflow.take();
        server.workflow_exec_evaluator_enabled = self.exec_enabled;
        server.storage_backend = match &self.store {
            None | Some(Value::Null) => Backend::Server,
            Some(Value::String(name)) if name == "server" => Backend::Server,
            Some(_) => Backend::Host,
        };
        server.approval_backend = match self.approvals.unwrap_or_default() {
            Approvals::Server => Backend::Server,
            Approvals::Host => Backend::Host,
            Approvals::None => Backend::None,
        };
        server.audit_sink = match self.decision_log.unwrap_or_default() {
            DecisionLog::Server => Backend::Server,
            DecisionLog::Local => Backend::Host,
        };
        server
    }
}

pub(super) async fn open(session: &Session, request: &Request) -> Result<String, Refusal> {
    let Named { guard } = request.fields()?;
    session.close(&guard).await;
    let (opened, open) = make(session, request, |builder| builder).await?;
    session.insert(&guard, open);
    Ok(opened)
}

/// Makes a guard. `prepare` adds what no document can say.
pub(super) async fn make(
    session: &Session,
    request: &Request,
    prepare: impl FnOnce(GuardBuilder) -> GuardBuilder,
) -> Result<(String, Open), Refusal> {
    let mut fields: Fields<'_> = request.fields()?;
    let plugins = plugins(session, fields.plugins.take().unwrap_or_default()).await?;
    let mut options = fields.options.take().unwrap_or_default();
    options.extend(fields.compat.take().map(|compat| ("compat".to_owned(), compat)));
    let events = event_buffer();
    let mut builder = session
        .host
        .guard(&fields.guard)
        .options(&Value::Object(options.clone()).to_string())
        .sink(Arc::clone(&events) as Arc<_>);
    let mut server = fields.server();
    if server.storage_backend == Backend::Host {
        builder = builder.store(store(session, fields.store.as_ref(), &options).await?);
        server.outbox = outbox(session, fields.store.as_ref())?;
    }
    for plugin in plugins {
        builder = builder.plugin(plugin);
    }
    let guard = prepare(builder).connect(server).await?;
    let health = guard.health().await;
    let opened = json!({ "policy_version": health.policy_version, "bundle_name": health.bundle_name });
    let name = health.bundle_name.unwrap_or_else(|| "rules".to_owned());
    Ok((opened.to_string(), Open::new(guard, events, &name)))
}

/// Beside the store, where it is in a folder.
fn outbox(session: &Session, store: Option<&Value>) -> Result<Option<Outbox>, Refusal> {
    let folder = store.and_then(|store| store.get("path")).and_then(Value::as_str);
    folder.map(|folder| session.outbox(Path::new(folder))).transpose()
}

pub(super) async fn health(session: &Session, request: &Request) -> Result<String, Refusal> {
    let Named { guard } = request.fields()?;
    Ok(text(&session.guard(&guard)?.guard.health().await))
}

pub(super) async fn flush(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Flush {
        guard: String,
        timeout_ms: Option<u64>,
    }

    let Flush { guard, timeout_ms } = request.fields()?;
    let within = timeout_ms.map_or(FLUSH, Duration::from_millis);
    let unsent = session.guard(&guard)?.guard.flush(within).await;
    Ok(json!({ "unsent_events": unsent }).to_string())
}
