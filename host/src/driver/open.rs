//! `open`, `reload`, `close`: guards come and go. The fields of `open` are members of the options document, laid over the
//! one that it may bring.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::protocol::{Refusal, Request, json as text};
use super::session::{Open, Session, event_buffer};
use crate::error::Error;
use crate::guard::{Guard, GuardBuilder, Ruleset};
use crate::plugin::{Plugin, PluginSettings};
use crate::store::{MemoryStore, Store, is_address};

/// A ruleset on the wire.
#[derive(Deserialize)]
pub(super) struct Document {
    pub name: String,
    pub yaml: String,
    #[serde(default)]
    pub signature: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    guard: String,
}

#[derive(Deserialize)]
struct Fields<'l> {
    guard: String,
    rulesets: Vec<Document>,
    workflow: Option<String>,
    mode: Option<Value>,
    environment: Option<Value>,
    tools: Option<Value>,
    limits: Option<Value>,
    env: Option<Value>,
    #[serde(borrow)]
    principal: Option<&'l RawValue>,
    exec_enabled: Option<Value>,
    store: Option<Value>,
    verify_signatures: Option<Value>,
    signing_public_keys: Option<Value>,
    #[serde(borrow)]
    plugins: Option<Vec<&'l RawValue>>,
    options: Option<Map<String, Value>>,
    registry: Option<Value>,
    compat: Option<Value>,
}

impl Fields<'_> {
    /// A field named in the request wins over the options document.
    fn options(&mut self) -> Map<String, Value> {
        let mut options = self.options.take().unwrap_or_default();
        let named = [
            ("mode", self.mode.take()),
            ("environment", self.environment.take()),
            ("tools", self.tools.take()),
            ("limits", self.limits.take()),
            ("env", self.env.take()),
            ("exec_enabled", self.exec_enabled.take()),
            ("verify_signatures", self.verify_signatures.take()),
            ("signing_public_keys", self.signing_public_keys.take()),
            ("registry", self.registry.take()),
            ("compat", self.compat.take()),
        ];
        options.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        options
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
    let options = fields.options();
    let store = store(session, fields.store.as_ref(), &options).await?;
    let events = event_buffer();
    let rulesets: Vec<_> = fields.rulesets.into_iter().map(ruleset).collect();
    let first = rulesets.first().map_or("rules", |first| first.name.as_str()).to_owned();
    let mut builder = session
        .host
        .guard(&fields.guard)
        .rulesets(rulesets)
        .options(&Value::Object(options).to_string())
        .store(store)
        .sink(Arc::clone(&events) as Arc<_>);
    if let Some(workflow) = fields.workflow {
        builder = builder.workflow("workflow", workflow);
    }
    if let Some(principal) = fields.principal {
        builder = builder.principal(principal.get());
    }
    for plugin in plugins {
        builder = builder.plugin(plugin);
    }
    let guard = prepare(builder).build().await?;
    Ok((opened(&guard), Open::new(guard, events, &first)))
}

/// Paths, or objects with a path and more.
pub(super) async fn plugins(session: &Session, given: Vec<&RawValue>) -> Result<Vec<Plugin>, Refusal> {
    let mut plugins = Vec::with_capacity(given.len());
    for settings in given {
        plugins.push(PluginSettings::from_json(settings.get())?.builder(&session.host).load().await?);
    }
    Ok(plugins)
}

fn ruleset(document: Document) -> Ruleset {
    Ruleset { name: document.name, text: document.yaml, signature: document.signature }
}

/// `"memory"`, `{"path": folder}`, or the address of a Redis server.
pub(super) async fn store(
    session: &Session,
    choice: Option<&Value>,
    options: &Map<String, Value>,
) -> Result<Arc<dyn Store>, Refusal> {
    #[derive(Deserialize)]
    struct OnDisk {
        path: PathBuf,
    }

    let folder = match choice {
        None | Some(Value::Null) => return Ok(Arc::new(MemoryStore::new())),
        Some(Value::String(name)) if name == "memory" => return Ok(Arc::new(MemoryStore::new())),
        Some(Value::String(address)) if is_address(address) => {
            return session.redis(address).map_err(|error| Error::from(error).into());
        }
        Some(Value::String(_)) => {
            let message = "this host has stores in memory, in a folder and on a Redis server";
            return Err(Refusal::unsupported(message));
        }
        Some(object) => OnDisk::deserialize(object).map_err(|error| Refusal::bad_request(format!("store: {error}")))?,
    };
    if folder.path.as_os_str().is_empty() {
        return Err(Refusal::bad_request("store: the path must not be empty"));
    }
    let durable = options.get("durable") == Some(&Value::Bool(true));
    session.store(&folder.path, durable).map_err(|error| Error::from(error).into())
}

/// What the engine says about a policy, as far as it is shown.
fn opened(guard: &Guard) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Summary<'s> {
        rules: Vec<Rule>,
        #[serde(borrow)]
        report: Option<&'s RawValue>,
    }
    #[derive(Deserialize)]
    struct Rule {
        id: String,
    }
    #[derive(Serialize)]
    struct Opened<'s> {
        policy_version: String,
        rules: Vec<&'s str>,
        report: Option<&'s RawValue>,
    }

    let summary = guard.summary();
    let Summary { rules, report } = serde_json::from_str(&summary).unwrap_or_default();
    let rules = rules.iter().map(|rule| rule.id.as_str()).collect();
    text(&Opened { policy_version: guard.policy_version(), rules, report })
}

pub(super) async fn reload(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Reload {
        guard: String,
        yaml: String,
        signature: Option<String>,
    }

    let Reload { guard, yaml, signature } = request.fields()?;
    let open = session.guard(&guard)?;
    let ruleset = Ruleset { name: open.ruleset.as_ref().to_owned(), text: yaml, signature };
    let policy_version = open.guard.reload(vec![ruleset]).await?;
    Ok(json!({ "policy_version": policy_version }).to_string())
}

pub(super) async fn close(session: &Session, request: &Request) -> Result<String, Refusal> {
    let Named { guard } = request.fields()?;
    session.guard(&guard)?;
    let unsent = session.close(&guard).await;
    Ok(json!({ "unsent_events": unsent }).to_string())
}
