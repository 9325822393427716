//! `hello`, `check`, `templates`: what needs no guard.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::open::Document;
use super::protocol::{Finding, Refusal, Request, json as text};
use super::session::Session;

/// The optional parts of the protocol that this host has.
const CAPABILITIES: &[&str] = &["open_server", "path", "plugins", "redis", "workflow"];

pub(super) fn hello() -> Result<String, Refusal> {
    Ok(json!({
        "protocol": super::PROTOCOL,
        "host": "rust",
        "version": env!("CARGO_PKG_VERSION"),
        "capabilities": CAPABILITIES,
    })
    .to_string())
}

pub(super) async fn check(session: &Session, request: &Request) -> Result<String, Refusal> {
    #[derive(Deserialize)]
    struct Check {
        rulesets: Vec<Document>,
        workflow: Option<String>,
        registry: Option<Value>,
        options: Option<Map<String, Value>>,
    }
    #[derive(Serialize)]
    struct Checked {
        diagnostics: Vec<Finding>,
    }

    let Check { rulesets, workflow, registry, options } = request.fields()?;
    let mut options = options.unwrap_or_default();
    options.extend(registry.map(|registry| ("registry".to_owned(), registry)));
    let rulesets = rulesets.into_iter().map(|ruleset| crate::Document { name: ruleset.name, text: ruleset.yaml });
    let workflow = workflow.map(|text| crate::Document { name: "workflow".to_owned(), text });
    let found = session.host.check(rulesets.collect(), workflow, &Value::Object(options).to_string()).await?;
    Ok(text(&Checked { diagnostics: found.iter().map(Finding::from).collect() }))
}

pub(super) async fn templates(session: &Session) -> Result<String, Refusal> {
    let templates = session.host.templates().await?;
    let templates: Vec<_> =
        templates.into_iter().map(|template| json!({"name": template.name, "yaml": template.text})).collect();
    Ok(json!({ "templates": templates }).to_string())
}
