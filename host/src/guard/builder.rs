//! How a guard is made: rulesets, options, callbacks, a store. The options document is the engine's to check; here it only
//! gets the names of what the program answers for.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, RwLock};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Guard, Listener, Shared};
use crate::bindings::signing::SigningError;
use crate::bindings::types::Document;
use crate::callback::{
    ApprovalOutcome, ApprovalRequest, Callback, Callbacks, HookCall, Observer, OperatorCall, SelectorCall, Trouble,
    Verdict,
};
use crate::connect::Connected;
use crate::decision::Decision;
use crate::error::Error;
use crate::events::{EventSink, Fan};
use crate::host::Host;
use crate::outbox::{Outbox, SinkSettings};
use crate::plugin::{self, Delivery, Plugin};
use crate::policy::{Policy, PolicyCell, Settings, Source};
use crate::store::{MemoryStore, Store};
use crate::workflow::Workflow;

/// A ruleset as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruleset {
    /// Shown in diagnostics and composition reports: a path or a name.
    pub name: String,
    /// YAML.
    pub text: String,
    /// Ed25519 over exactly the text's bytes, base64 or hex; looked at with the option `verify_signatures`.
    pub signature: Option<String>,
}

impl Ruleset {
    /// Without a signature.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), signature: None }
    }
}

/// Where a hook stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookPlace {
    /// Its name: what `decision_name` shows when it refuses.
    pub name: String,
    /// Glob of the tools it is asked about.
    pub tools: String,
    /// Asked before a tool runs.
    pub before: bool,
    /// Told after it ran.
    pub after: bool,
}

impl HookPlace {
    /// Before tools that this glob matches.
    #[must_use]
    pub fn before(name: impl Into<String>, tools: impl Into<String>) -> Self {
        Self { name: name.into(), tools: tools.into(), before: true, after: false }
    }

    /// After tools that this glob matches.
    #[must_use]
    pub fn after(name: impl Into<String>, tools: impl Into<String>) -> Self {
        Self { name: name.into(), tools: tools.into(), before: false, after: true }
    }
}

/// A guard that is to be made.
#[must_use = "a builder makes nothing until `build` is called"]
pub struct GuardBuilder {
    host: Host,
    name: String,
    rulesets: Vec<Ruleset>,
    workflow: Option<Document>,
    options: Result<Map<String, Value>, Error>,
    agent_id: Option<String>,
    principal: Option<String>,
    session_id: Option<String>,
    store: Option<Arc<dyn Store>>,
    sink: Option<Arc<dyn EventSink>>,
    listener: Option<Arc<Listener>>,
    outbox: Option<(Outbox, String)>,
    callbacks: Callbacks,
    hooks: Vec<HookPlace>,
    plugins: Vec<Plugin>,
}

/// What makes a policy of rulesets, the first time and at each reload.
#[derive(Clone)]
pub(crate) struct Recipe {
    workflow: Option<Document>,
    options: Map<String, Value>,
    signatures: Signatures,
}

impl Recipe {
    /// One of its options, as it was given.
    pub fn option(&self, name: &str) -> Option<&Value> {
        self.options.get(name)
    }

    /// Equal for guards that make the same policy of the same rulesets.
    pub fn key(&self) -> String {
        let workflow = self.workflow.as_ref().map(|workflow| (&workflow.name, &workflow.text));
        json!([self.options, workflow]).to_string()
    }
}

/// A guard that lacks its policy and its server only.
pub(crate) struct Parts {
    pub host: Host,
    pub name: String,
    pub recipe: Recipe,
    pub agent_id: Option<String>,
    pub principal: Option<Arc<str>>,
    pub session_id: Option<String>,
    pub store: Option<Arc<dyn Store>>,
    pub sink: Option<Arc<dyn EventSink>>,
    pub outbox: Option<(Outbox, String)>,
    pub deliveries: Vec<Arc<Delivery>>,
    pub listener: Option<Arc<Listener>>,
    pub callbacks: Callbacks,
}

impl Parts {
    /// Open calls of an earlier guard of this name go on.
    pub async fn guard(self, policy: Arc<PolicyCell>, connected: Option<Connected>) -> Guard {
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        self.host.inner.timers.sweep(&store);
        let lane = self.outbox.map(|(outbox, lane)| into_lane(&outbox, &lane, &policy.get().settings));
        let plugins = self.deliveries.iter().map(|delivery| Arc::clone(delivery) as Arc<dyn EventSink>);
        let sink = Fan::of(lane.into_iter().chain(self.sink).chain(plugins));
        let shared = Arc::new(Shared {
            host: self.host,
            name: self.name.into(),
            agent_id: self.agent_id,
            principal: RwLock::new(self.principal),
            session_id: self.session_id.unwrap_or_else(|| Uuid::new_v4().to_string()),
            store,
            callbacks: self.callbacks,
            sink,
            deliveries: self.deliveries,
            listener: self.listener,
            recipe: self.recipe,
            policy,
            connected,
            closed: AtomicBool::new(false),
            noticed: AtomicBool::new(false),
            copies: Default::default(),
            waiters: Default::default(),
            due: Default::default(),
        });
        shared.arm_from_store().await;
        Guard { shared }
    }
}

/// The options that have to be obeyed before the engine sees a document.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Signatures {
    verify_signatures: Option<bool>,
    signing_public_keys: Option<Vec<String>>,
}

impl GuardBuilder {
    pub(crate) fn new(host: Host, name: String) -> Self {
        Self {
            host,
            name,
            rulesets: Vec::new(),
            workflow: None,
            options: Ok(Map::new()),
            agent_id: None,
            principal: None,
            session_id: None,
            store: None,
            sink: None,
            listener: None,
            outbox: None,
            callbacks: Callbacks::default(),
            hooks: Vec::new(),
            plugins: Vec::new(),
        }
    }

    /// A further ruleset, laid over those before it.
    pub fn ruleset(mut self, ruleset: Ruleset) -> Self {
        self.rulesets.push(ruleset);
        self
    }

    /// Further rulesets, left to right.
    pub fn rulesets(mut self, rulesets: impl IntoIterator<Item = Ruleset>) -> Self {
        self.rulesets.extend(rulesets);
        self
    }

    /// The workflow (YAML).
    pub fn workflow(mut self, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.workflow = Some(Document { name: name.into(), text: text.into() });
        self
    }

    /// A workflow that was loaded before, for guards that share one.
    pub fn workflow_runtime(mut self, workflow: &Workflow) -> Self {
        self.workflow = Some(workflow.document().clone());
        self
    }

    /// The options document (JSON object); its members replace those given before.
    pub fn options(mut self, options: &str) -> Self {
        let given = serde_json::from_str::<Map<String, Value>>(options);
        let given = given.map_err(|error| Error::Argument(format!("`options` must be a JSON object: {error}")));
        self.options = self.options.and_then(|mut options| {
            options.extend(given?);
            Ok(options)
        });
        self
    }

    /// One option.
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Ok(options) = &mut self.options {
            options.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Which agent this is.
    pub fn agent_id(mut self, agent_id: impl Into<String>) -> Self {
        self.agent_id = Some(agent_id.into());
        self
    }

    /// Whose calls they are when nothing else says so (JSON object).
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = Some(principal.into());
        self
    }

    /// The session of calls that name none; default: a new one.
    pub fn session_id(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(session_id.into());
        self
    }

    /// Where sessions and open calls are kept; default: in memory.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where the decision log goes; default: nowhere.
    pub fn sink(mut self, sink: Arc<dyn EventSink>) -> Self {
        self.sink = Some(sink);
        self
    }

    /// The decision log goes into this lane of an outbox (and to the sink, if there is one), which obeys the options `decision_log_required`, `durable` and
    /// `outbox_max_bytes`. The last is the outbox's: of several guards the one made last says it.
    pub fn outbox(mut self, outbox: &Outbox, lane: impl Into<String>) -> Self {
        self.outbox = Some((outbox.clone(), lane.into()));
        self
    }

    /// Is told of every decision, on the thread that made it: it should only put it somewhere.
    pub fn on_decision(mut self, listener: impl Fn(&str, &Decision) + Send + Sync + 'static) -> Self {
        self.listener = Some(Arc::new(listener));
        self
    }

    /// A custom operator.
    pub fn operator(mut self, name: impl Into<String>, operator: Callback<OperatorCall, bool>) -> Self {
        self.callbacks.operators.insert(name.into(), operator);
        self
    }

    /// A custom selector, by its prefix. It gives a JSON object.
    pub fn selector(mut self, prefix: impl Into<String>, selector: Callback<SelectorCall, String>) -> Self {
        self.callbacks.selectors.insert(prefix.into(), selector);
        self
    }

    /// A hook, after those before it.
    pub fn hook(mut self, place: HookPlace, hook: Callback<HookCall, Verdict>) -> Self {
        self.callbacks.hooks.insert(place.name.clone(), hook);
        self.hooks.push(place);
        self
    }

    /// Says whether a tool succeeded, instead of the heuristic.
    pub fn success_check(mut self, check: Callback<HookCall, bool>) -> Self {
        self.callbacks.success_check = Some(check);
        self
    }

    /// Says whose call it is (a JSON object, or nobody). It is given the call's text, and replaces the static principal.
    pub fn principal_resolver(mut self, resolver: Callback<String, Option<String>>) -> Self {
        self.callbacks.principal_resolver = Some(resolver);
        self
    }

    /// Asks a person, in [`Guard::run`].
    pub fn approver(mut self, approver: Callback<ApprovalRequest, ApprovalOutcome>) -> Self {
        self.callbacks.approver = Some(approver);
        self
    }

    /// Told of what goes wrong beside decisions.
    pub fn on_error(mut self, told: impl Fn(&Trouble) + Send + Sync + 'static) -> Self {
        self.callbacks.on_error = Some(Observer::new(told));
        self
    }

    /// A plugin, after those before it: its operators, selectors, hooks (after those of the program), success check,
    /// principal resolver, and the decision log also to its audit sink. No name may be there twice.
    pub fn plugin(mut self, plugin: Plugin) -> Self {
        self.plugins.push(plugin);
        self
    }

    /// Loads the rules and makes the guard. Open calls of an earlier guard of this name go on.
    ///
    /// # Errors
    /// The rulesets or options do not load, are not signed as they must be, or need an answer that nobody gives.
    pub async fn build(self) -> Result<Guard, Error> {
        let (parts, rulesets) = self.parts()?;
        let policy = load(&parts.host, rulesets, &parts.recipe, &parts.callbacks).await?;
        Ok(parts.guard(Arc::new(PolicyCell::new(policy)), None).await)
    }

    pub(crate) fn parts(mut self) -> Result<(Parts, Vec<Ruleset>), Error> {
        let mut options = self.options?;
        let deliveries = plugin::register(&self.plugins, &mut self.callbacks, &mut self.hooks)?;
        announce(&mut options, &self.callbacks, &self.hooks)?;
        settle_in(&mut options);
        let signatures = Signatures::deserialize(Value::Object(options.clone()))
            .map_err(|error| Error::Argument(format!("`options`: {error}")))?;
        let recipe = Recipe { workflow: self.workflow, options, signatures };
        let principal = self.principal.as_deref().map(checked_principal).transpose()?;
        let parts = Parts {
            host: self.host,
            name: self.name,
            recipe,
            agent_id: self.agent_id,
            principal,
            session_id: self.session_id,
            store: self.store,
            sink: self.sink,
            outbox: self.outbox,
            deliveries,
            listener: self.listener,
            callbacks: self.callbacks,
        };
        Ok((parts, self.rulesets))
    }
}

impl Guard {
    /// Exchanges the rulesets; options, workflow and callbacks stay. Steps that run end under the old rules. Open calls go
    /// on under the new ones. When the new rules do not load, the old ones stay.
    ///
    /// # Errors
    /// As [`GuardBuilder::build`].
    pub async fn reload(&self, rulesets: Vec<Ruleset>) -> Result<String, Error> {
        let shared = &self.shared;
        shared.check_open()?;
        if shared.connected.as_ref().is_some_and(Connected::is_watched) {
            return Err(Error::Conflict("the rules of this guard come from its server".to_owned()));
        }
        let policy = load(&shared.host, rulesets, &after(&shared.recipe, &shared.policy()), &shared.callbacks).await?;
        let revision = policy.revision.clone();
        shared.policy.replace(policy);
        shared.host.inner.pool.tidy();
        Ok(revision)
    }
}

/// For the policy that comes after this one: tools that have a class keep it, unless the new rulesets say otherwise, also
/// of those that the options name (engine.md §12.3).
pub(crate) fn after(recipe: &Recipe, policy: &Policy) -> Recipe {
    #[derive(Deserialize)]
    struct Tools {
        tools: Value,
    }
    let mut options = recipe.options.clone();
    if let Ok(Tools { tools }) = serde_json::from_str(&policy.summary) {
        options.remove("tools");
        options.insert("tools_before".to_owned(), tools);
    }
    Recipe { options, workflow: recipe.workflow.clone(), signatures: recipe.signatures.clone() }
}

pub(crate) async fn load(
    host: &Host,
    rulesets: Vec<Ruleset>,
    recipe: &Recipe,
    callbacks: &Callbacks,
) -> Result<Arc<Policy>, Error> {
    verify(host, &rulesets, &recipe.signatures).await?;
    let rulesets = rulesets.into_iter().map(|ruleset| Document { name: ruleset.name, text: ruleset.text }).collect();
    let options = Value::Object(recipe.options.clone()).to_string();
    let source = Source { rulesets, workflow: recipe.workflow.clone(), options };
    let mut policy = host.policy(source).await?;
    if !recipe.options.contains_key("env") && !policy.env.is_empty() {
        let mut options = recipe.options.clone();
        options.insert("env".to_owned(), environment(&policy.env));
        let source = Source { options: Value::Object(options).to_string(), ..policy.source.clone() };
        policy = host.policy(source).await?;
    }
    match policy.needs.iter().find_map(|(need, what)| unanswered(need, what, callbacks)) {
        Some(what) => Err(Error::Unsupported(format!("the rules need an answer that this guard cannot give: {what}"))),
        None => Ok(policy),
    }
}

/// What this process sees of these variables.
fn environment(names: &[String]) -> Value {
    let present = names.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?.into())));
    Value::Object(present.collect())
}

/// Relative paths and `~` mean what they mean to this process, unless the options say otherwise.
fn settle_in(options: &mut Map<String, Value>) {
    let cwd = || std::env::current_dir().ok()?.into_os_string().into_string().ok();
    let home = || std::env::var("HOME").ok().filter(|home| home.starts_with('/'));
    let places: [(&str, &dyn Fn() -> Option<String>); 2] = [("cwd", &cwd), ("home", &home)];
    for (name, place) in places {
        if options.get(name).is_none_or(Value::is_null)
            && let Some(place) = place()
        {
            options.insert(name.to_owned(), place.into());
        }
    }
}

fn into_lane(outbox: &Outbox, lane: &str, settings: &Settings) -> Arc<dyn EventSink> {
    if let Some(max_bytes) = settings.outbox_max_bytes {
        outbox.set_max_bytes(max_bytes);
    }
    Arc::new(outbox.sink(lane, SinkSettings { required: settings.decision_log_required() }))
}

async fn verify(host: &Host, rulesets: &[Ruleset], signatures: &Signatures) -> Result<(), Error> {
    if signatures.verify_signatures != Some(true) {
        return Ok(());
    }
    let keys = signatures.signing_public_keys.clone().unwrap_or_default();
    if keys.is_empty() {
        return Err(Error::Unauthorized("`verify_signatures` needs `signing_public_keys`".to_owned()));
    }
    for ruleset in rulesets {
        let (text, keys) = (ruleset.text.clone(), keys.clone());
        let signature = ruleset.signature.clone().unwrap_or_default();
        let verified = host.ask(move |decider| decider.verify(&text, &signature, &keys)).await?;
        verified.map_err(|error| Error::Unauthorized(format!("ruleset `{}`: {}", ruleset.name, why(error))))?;
    }
    Ok(())
}

fn why(error: SigningError) -> &'static str {
    match error {
        SigningError::MissingSignature => "it has no signature",
        SigningError::MalformedSignature => "its signature is malformed",
        SigningError::MalformedKey => "a trusted key is malformed",
        SigningError::NoTrustedKey => "there is no trusted key",
        SigningError::Mismatch => "its signature does not match",
    }
}

/// Names in the options what the callbacks answer for; what the options name already must be answered for.
fn announce(options: &mut Map<String, Value>, callbacks: &Callbacks, hooks: &[HookPlace]) -> Result<(), Error> {
    announce_names(options, "operators", &callbacks.operators)?;
    announce_names(options, "selectors", &callbacks.selectors)?;
    let hooks: Vec<_> = hooks
        .iter()
        .map(|hook| json!({"name": hook.name, "tools": hook.tools, "before": hook.before, "after": hook.after}))
        .collect();
    let named = options.get("hooks").and_then(Value::as_array).is_some_and(|named| !named.is_empty());
    if named && hooks.is_empty() {
        return Err(Error::Unsupported("the options name hooks that nobody answers for".to_owned()));
    }
    if !hooks.is_empty() {
        options.insert("hooks".to_owned(), hooks.into());
    }
    for (name, answered) in [
        ("success_check", callbacks.success_check.is_some()),
        ("principal_resolver", callbacks.principal_resolver.is_some()),
    ] {
        if options.get(name) == Some(&Value::Bool(true)) && !answered {
            return Err(Error::Unsupported(format!("the options say `{name}`, and nobody answers for it")));
        }
        if answered {
            options.insert(name.to_owned(), true.into());
        }
    }
    Ok(())
}

fn announce_names<T>(
    options: &mut Map<String, Value>,
    kind: &str,
    callbacks: &BTreeMap<String, T>,
) -> Result<(), Error> {
    let named = options.get(kind).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let unanswered = named.iter().filter_map(Value::as_str).find(|name| !callbacks.contains_key(*name));
    if let Some(name) = unanswered {
        return Err(Error::Unsupported(format!("the options name `{name}` in `{kind}`, and nobody answers for it")));
    }
    if !callbacks.is_empty() {
        options.insert(kind.to_owned(), callbacks.keys().cloned().collect::<Vec<_>>().into());
    }
    Ok(())
}

/// The part of a need (`needs` of a summary) that nobody answers for. A need that this host has never heard of is one.
fn unanswered(need: &str, what: &Value, callbacks: &Callbacks) -> Option<String> {
    let names = match what {
        Value::Bool(false) => return None,
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let missing = |answered: &dyn Fn(&str) -> bool| names.iter().find(|name| !answered(name)).copied();
    let name = match need {
        "session" | "read_links" | "command" => return None,
        "principal" if callbacks.principal_resolver.is_some() => return None,
        "success_check" if callbacks.success_check.is_some() => return None,
        "selectors" => missing(&|name| callbacks.selectors.contains_key(name))?,
        "operators" => missing(&|name| callbacks.operators.contains_key(name))?,
        "hooks_before" | "hooks_after" => missing(&|name| callbacks.hooks.contains_key(name))?,
        _ if what.as_array().is_some_and(Vec::is_empty) => return None,
        _ => return Some(format!("`{need}`")),
    };
    Some(format!("`{name}` of `{need}`"))
}

/// A principal goes into call texts as it is: it must be one JSON object.
pub(super) fn checked_principal(principal: &str) -> Result<Arc<str>, Error> {
    let object = principal.trim();
    let checked = crate::call::splice(object, &[]);
    checked.map_err(|_| Error::Argument("`principal` must be a JSON object".to_owned()))?;
    Ok(object.into())
}
