//! Which questions of the engine go to which plugin: each name to the plugin that has it, and no name to two.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::bindings::hooks as wit;
use super::instances::{Instances, reason};
use super::{Delivery, Interface, Plugin};
use crate::call;
use crate::callback::{Answered, Callback, Callbacks, HookCall, OperatorCall, Phase, SelectorCall, Verdict};
use crate::error::Error;
use crate::guard::HookPlace;

/// Puts what plugins answer for beside what the program answers for. Gives the ways that the decision log goes to them.
///
/// # Errors
/// Two of them have the same name, or answer the same question.
pub(crate) fn register(
    plugins: &[Plugin],
    callbacks: &mut Callbacks,
    places: &mut Vec<HookPlace>,
) -> Result<Vec<Arc<Delivery>>, Error> {
    let mut owners = Owners::of_program(callbacks);
    let mut deliveries = Vec::new();
    for plugin in plugins {
        let instances = &plugin.instances;
        for name in plugin.operators() {
            owners.claim(plugin, "operator", name)?;
            callbacks.operators.insert(name.clone(), operator(instances));
        }
        for prefix in plugin.selectors() {
            owners.claim(plugin, "selector", prefix)?;
            callbacks.selectors.insert(prefix.clone(), selector(instances));
        }
        for place in plugin.hooks() {
            owners.claim(plugin, "hook", &place.name)?;
            callbacks.hooks.insert(place.name.clone(), hook(instances));
            places.push(place);
        }
        if plugin.has(Interface::SuccessCheck) {
            owners.claim(plugin, "success check", "")?;
            callbacks.success_check = Some(success_check(instances));
        }
        if plugin.has(Interface::PrincipalResolver) {
            owners.claim(plugin, "principal resolver", "")?;
            callbacks.principal_resolver = Some(principal_resolver(instances));
        }
        if plugin.has(Interface::AuditSink) {
            deliveries.push(Delivery::start(&plugin.host, instances));
        }
    }
    Ok(deliveries)
}

/// Who answers for what.
struct Owners(BTreeMap<(&'static str, String), String>);

impl Owners {
    fn of_program(callbacks: &Callbacks) -> Self {
        let named = callbacks.operators.keys().map(|name| ("operator", name.clone()));
        let named = named.chain(callbacks.selectors.keys().map(|name| ("selector", name.clone())));
        let named = named.chain(callbacks.hooks.keys().map(|name| ("hook", name.clone())));
        let check = callbacks.success_check.iter().map(|_| ("success check", String::new()));
        let resolver = callbacks.principal_resolver.iter().map(|_| ("principal resolver", String::new()));
        Self(named.chain(check).chain(resolver).map(|what| (what, "the program".to_owned())).collect())
    }

    fn claim(&mut self, plugin: &Plugin, kind: &'static str, name: &str) -> Result<(), Error> {
        let new = format!("plugin `{}`", plugin.name());
        let Some(owner) = self.0.insert((kind, name.to_owned()), new.clone()) else { return Ok(()) };
        let what = if name.is_empty() { format!("a {kind}") } else { format!("the {kind} `{name}`") };
        Err(Error::Argument(format!("both {owner} and {new} have {what}: a guard can ask only one")))
    }
}

fn operator(instances: &Arc<Instances>) -> Callback<OperatorCall, bool> {
    let instances = Arc::clone(instances);
    Callback::from_async(move |call: OperatorCall| {
        let instances = Arc::clone(&instances);
        async move {
            let asked = instances.ask(async move |functions, store| {
                let Some(operators) = &functions.operators else { return Ok(Err(MISSING.to_owned())) };
                operators.call_apply(store, &call.name, &call.value, &call.operand).await
            });
            asked.await
        }
    })
}

fn selector(instances: &Arc<Instances>) -> Callback<SelectorCall, String> {
    let instances = Arc::clone(instances);
    Callback::from_async(move |call: SelectorCall| {
        let instances = Arc::clone(&instances);
        async move {
            let name = instances.manifest().name.clone();
            let asked = instances.ask(async move |functions, store| {
                let Some(selectors) = &functions.selectors else { return Ok(Err(MISSING.to_owned())) };
                selectors.call_resolve(store, &call.prefix, &call.call).await
            });
            object(&name, asked.await?)
        }
    })
}

fn hook(instances: &Arc<Instances>) -> Callback<HookCall, Verdict> {
    let instances = Arc::clone(instances);
    Callback::from_async(move |call: HookCall| {
        let instances = Arc::clone(&instances);
        let (name, phase) = (call.name.clone(), call.phase);
        async move {
            let asked = instances.ask(async move |functions, store| {
                let Some(hooks) = &functions.hooks else { return Ok(Err(MISSING.to_owned())) };
                if call.phase == Phase::Before {
                    let said = hooks.call_before(store, &call.name, &call.call).await?;
                    return Ok(said.map(verdict));
                }
                let output = call.output.unwrap_or_else(|| "null".to_owned());
                let told = hooks.call_after(store, &call.name, &call.call, &output).await?;
                Ok(told.map(|()| Verdict::Pass))
            });
            let answer = asked.await;
            if let (Phase::After, Err(why)) = (phase, &answer) {
                // The tool has run, and the engine does not care any more.
                tracing::warn!(hook = name, why, "a hook failed after the tool ran");
            }
            answer
        }
    })
}

fn verdict(said: wit::Verdict) -> Verdict {
    match said {
        wit::Verdict::Pass => Verdict::Pass,
        wit::Verdict::Skip => Verdict::Skip,
        wit::Verdict::Refuse(reason) => Verdict::Refuse(reason),
    }
}

fn success_check(instances: &Arc<Instances>) -> Callback<HookCall, bool> {
    let instances = Arc::clone(instances);
    Callback::from_async(move |call: HookCall| {
        let instances = Arc::clone(&instances);
        async move {
            let tool = tool(&call.call)?;
            let output = call.output.unwrap_or_else(|| "null".to_owned());
            let asked = instances.ask(async move |functions, store| {
                let Some(check) = &functions.success_check else { return Ok(Err(MISSING.to_owned())) };
                check.call_succeeded(store, &tool, &output).await
            });
            asked.await
        }
    })
}

fn principal_resolver(instances: &Arc<Instances>) -> Callback<String, Option<String>> {
    let instances = Arc::clone(instances);
    Callback::from_async(move |call: String| {
        let instances = Arc::clone(&instances);
        async move {
            let name = instances.manifest().name.clone();
            let tool = tool(&call)?;
            let arguments = call::member(&call, "args").unwrap_or("{}").to_owned();
            let asked = instances.ask(async move |functions, store| {
                let Some(resolver) = &functions.principal_resolver else { return Ok(Err(MISSING.to_owned())) };
                resolver.call_resolve(store, &tool, &arguments).await
            });
            asked.await?.map(|principal| object(&name, principal)).transpose()
        }
    })
}

/// What was exported when it was loaded is exported by each of its instances.
const MISSING: &str = "it does not export this interface";

/// A call's tool. The engine has read this call before.
fn tool(call: &str) -> Answered<String> {
    let tool = call::member(call, "tool").and_then(|tool| serde_json::from_str(tool).ok());
    tool.ok_or_else(|| "the call names no tool".to_owned())
}

/// Only so far as to say whose fault it is: what an object means is the engine's to know.
fn object(plugin: &str, text: String) -> Answered<String> {
    match serde_json::from_str::<&RawValue>(&text) {
        Ok(value) if value.get().starts_with('{') => Ok(text),
        _ => Err(reason(plugin, "its answer is not a JSON object")),
    }
}
