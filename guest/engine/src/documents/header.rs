//! The top level of a ruleset: everything but its rules (engine.md §1.1, §1.5).

use std::sync::Arc;

use super::check::{Check, Field, Fields};
use super::extends::{Resolved, RuleList};
use super::lint;
use super::path::Path;
use super::rule::MODES;
use super::ruleset::{Mode, Ruleset, SideEffect, ToolClass};
use crate::diagnostics::{Code, Span, nearest};
use crate::json::Literal;
use crate::json::write::Object;
use crate::yaml::{Value, shown};

const KEYS: &[&str] =
    &["apiVersion", "kind", "metadata", "defaults", "rules", "extends", "tools", "observability", "observe_alongside"];

/// Where spans go when OpenTelemetry is on and the file does not say (engine.md §1.5).
const DEFAULT_ENDPOINT: &str = "http://localhost:4317";
const DEFAULT_SERVICE: &str = "edictum-agent";

/// A ruleset without its rules, and where its mode stands.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) ruleset: Ruleset,
    /// The document that sets the mode, and the place.
    pub(super) mode: (Arc<str>, Span),
}

/// Checks everything but the rules. With errors, what could not be read has its default.
pub(super) fn header(resolved: &Resolved, document: &Arc<str>, hash: String, check: &mut Check<'_>) -> Header {
    let root = &Path::Root;
    let fields = Fields::root(&resolved.entries, &resolved.documents, KEYS, check);
    let mut require = |name: &str| {
        let field = fields.get(name);
        check.enter(field.and_then(|field| field.document).unwrap_or(document));
        fields.require(name, root, check)
    };
    let (version, kind) = (require("apiVersion"), require("kind"));
    let (metadata, defaults) = (require("metadata"), require("defaults"));
    match resolved.list {
        RuleList::Absent => {
            require("rules");
        }
        RuleList::Present(key) if resolved.rules.is_empty() => {
            check.error(Code::Empty, key, &root.key("rules"), "must not be empty").help("add a rule");
        }
        RuleList::Present(_) | RuleList::Refused => {}
    }
    if let Some(field) = version {
        at(field, document, check);
        check.one_of(field, &root.key("apiVersion"), &[("edictum/v1", ())]);
    }
    if let Some(field) = kind {
        at(field, document, check);
        self::kind(field, &root.key("kind"), check);
    }
    let (name, description) = metadata.map(|field| self::metadata(field, document, check)).unwrap_or_default();
    let (mode, place) = match defaults {
        Some(field) => self::defaults(field, document, check),
        None => (Mode::Enforce, fields.place()),
    };
    let owner = defaults.and_then(|field| field.document).unwrap_or(document);
    let mut optional = |name: &str| {
        let field = fields.get(name)?;
        at(field, document, check);
        Some(field)
    };
    let tools = optional("tools").map(|field| tools(field, check)).unwrap_or_default();
    let observability = fields.get("observability").and_then(|field| {
        at(field, document, check);
        observability(field, check)
    });
    let observe_alongside = fields.get("observe_alongside").is_some_and(|field| {
        at(field, document, check);
        check.boolean(field, &root.key("observe_alongside"))
    });
    check.enter(document);
    Header {
        mode: (Arc::clone(owner), place),
        ruleset: Ruleset {
            document: Arc::clone(document),
            hash,
            name,
            description,
            mode,
            rules: Vec::new(),
            tools,
            observability,
            observe_alongside,
        },
    }
}

/// Whether an unknown key was most likely meant to be `rules`.
pub(super) fn means_rules(key: &str) -> bool {
    key == "contracts" || nearest(key, KEYS.iter().copied()) == Some("rules")
}

/// Findings about this field belong to the document it stands in.
fn at(field: Field<'_>, document: &Arc<str>, check: &mut Check<'_>) {
    check.enter(field.document.unwrap_or(document));
}

fn kind(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) {
    let help = match field.node.as_str() {
        Some("ContractBundle") => {
            "the kind is called `Ruleset` now, its `contracts` are `rules`, and `effect` is `action`"
        }
        Some("Workflow") => "a workflow is given to the guard as such, not among its rulesets",
        _ => {
            check.one_of(field, path, &[("Ruleset", ())]);
            return;
        }
    };
    let what = format!("must be one of Ruleset, not {}", shown(field.node.as_str().unwrap_or("")));
    check.error(Code::Enum, field.blame(), path, &what).help(help);
}

fn metadata(field: Field<'_>, document: &Arc<str>, check: &mut Check<'_>) -> (String, Option<String>) {
    at(field, document, check);
    let path = Path::Root.key("metadata");
    let Some(fields) = Fields::open(field, &path, &["name", "description"], check) else { return Default::default() };
    let name = match fields.require("name", &path, check) {
        Some(field) => {
            let path = path.key("name");
            let name = check.string(field, &path);
            if field.node.as_str().is_some() && !is_name(name) {
                let what = format!(
                    "{} must be lower-case letters, digits, `.`, `-` and `_`, and begin with a letter or digit",
                    shown(name)
                );
                check.error(Code::Pattern, field.blame(), &path, &what);
            }
            name.to_owned()
        }
        None => String::new(),
    };
    let description = fields.get("description").map(|field| check.string(field, &path.key("description")).to_owned());
    (name, description)
}

/// A ruleset's name (engine.md §1.1).
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'_'))
}

fn defaults(field: Field<'_>, document: &Arc<str>, check: &mut Check<'_>) -> (Mode, Span) {
    at(field, document, check);
    let path = Path::Root.key("defaults");
    let fields = Fields::open(field, &path, &["mode"], check);
    let mode = fields.and_then(|fields| fields.require("mode", &path, check));
    let Some(mode) = mode else { return (Mode::Enforce, field.key) };
    (check.one_of(mode, &path.key("mode"), MODES).unwrap_or(Mode::Enforce), mode.blame())
}

fn tools(field: Field<'_>, check: &mut Check<'_>) -> Vec<(String, ToolClass)> {
    const CLASSES: &[(&str, SideEffect)] = &[
        ("pure", SideEffect::Pure),
        ("read", SideEffect::Read),
        ("write", SideEffect::Write),
        ("irreversible", SideEffect::Irreversible),
    ];
    let path = Path::Root.key("tools");
    let Some(entries) = field.node.entries() else {
        check.wrong_type(field, &path, "a map of tool names to classes");
        return Vec::new();
    };
    let mut tools = Vec::new();
    for (key, node) in entries {
        let name = key.as_str().unwrap_or("");
        let path = path.key(name);
        lint::exact_name(name, key.span, &path, check);
        let field = Field { key: key.span, node, document: field.document };
        let Some(fields) = Fields::open(field, &path, &["side_effect", "idempotent"], check) else { continue };
        let class = fields.require("side_effect", &path, check);
        let class = class.and_then(|field| check.one_of(field, &path.key("side_effect"), CLASSES));
        let idempotent = fields.get("idempotent").is_some_and(|field| check.boolean(field, &path.key("idempotent")));
        if let Some(side_effect) = class {
            tools.push((name.to_owned(), ToolClass { side_effect, idempotent }));
        }
    }
    tools
}

/// The block with its defaults. None after an error.
fn observability(field: Field<'_>, check: &mut Check<'_>) -> Option<Literal> {
    let before = check.errors();
    let path = Path::Root.key("observability");
    let fields = Fields::open(field, &path, &["otel", "stdout", "file"], check)?;
    let stdout = fields.get("stdout").is_none_or(|field| check.boolean(field, &path.key("stdout")));
    let file = fields.get("file").filter(|field| !matches!(field.node.value, Value::Null));
    let file = file.map(|field| check.string(field, &path.key("file")));
    let otel = fields.get("otel").and_then(|field| otel(field, &path.key("otel"), check));
    let mut out = String::new();
    Object::write(&mut out, |block| {
        block.raw("otel", otel.as_deref().unwrap_or(r#"{"enabled":false}"#));
        block.bool("stdout", stdout);
        block.optional_string("file", file);
    });
    (check.errors() == before).then(|| Literal::read_owned(out).ok()).flatten()
}

fn otel(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Option<String> {
    const KEYS: &[&str] = &["enabled", "endpoint", "protocol", "service_name", "insecure", "resource_attributes"];
    const PROTOCOLS: &[(&str, &str)] = &[("grpc", "grpc"), ("http", "http")];
    let fields = Fields::open(field, path, KEYS, check)?;
    let enabled = fields.get("enabled").is_some_and(|field| check.boolean(field, &path.key("enabled")));
    let insecure = fields.get("insecure").is_none_or(|field| check.boolean(field, &path.key("insecure")));
    let endpoint = fields.get("endpoint").map_or(DEFAULT_ENDPOINT, |field| check.string(field, &path.key("endpoint")));
    let service =
        fields.get("service_name").map_or(DEFAULT_SERVICE, |field| check.string(field, &path.key("service_name")));
    let protocol = fields.get("protocol").map(|field| check.one_of(field, &path.key("protocol"), PROTOCOLS));
    let attributes =
        fields.get("resource_attributes").map(|field| attributes(field, &path.key("resource_attributes"), check));
    let mut out = String::new();
    Object::write(&mut out, |block| {
        block.bool("enabled", enabled);
        block.string("endpoint", endpoint);
        block.string("protocol", protocol.flatten().unwrap_or("grpc"));
        block.string("service_name", service);
        block.bool("insecure", insecure);
        block.object("resource_attributes", |out| {
            for (name, value) in attributes.iter().flatten() {
                out.string(name, value);
            }
        });
    });
    Some(out)
}

fn attributes<'n>(field: Field<'n>, path: &Path<'_>, check: &mut Check<'_>) -> Vec<(&'n str, &'n str)> {
    let Some(entries) = field.node.entries() else {
        check.wrong_type(field, path, "a map of strings");
        return Vec::new();
    };
    let attribute = |(key, node): &'n (crate::yaml::Node, crate::yaml::Node)| {
        let name = key.as_str().unwrap_or("");
        (name, check.string(Field { key: key.span, node, ..field }, &path.key(name)))
    };
    entries.iter().map(attribute).collect()
}
