//! A document's nodes → a ruleset, with all findings. The schema of engine.md §1.1 and §1.2; rules go one by one through
//! [`rule`], so that a host can do other work between two of them.

pub(super) mod expression;
pub(super) mod rule;
mod sandbox;

use super::fields::{Fields, identifier, string, word};
use super::ruleset::{Mode, SideEffect, ToolClass};
use crate::diagnostics::{Code, Findings};
use crate::json::{Builder, Literal};
use crate::yaml::{Node, Value, shown};

const MODES: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("observe", Mode::Observe)];

const SIDE_EFFECTS: [(&str, SideEffect); 4] = [
    ("pure", SideEffect::Pure),
    ("read", SideEffect::Read),
    ("write", SideEffect::Write),
    ("irreversible", SideEffect::Irreversible),
];

const TOP: [&str; 9] =
    ["apiVersion", "kind", "metadata", "defaults", "rules", "extends", "tools", "observability", "observe_alongside"];

/// A ruleset without its rules.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) tools: Vec<(String, ToolClass)>,
    pub(super) observability: Option<Literal>,
    pub(super) observe_alongside: bool,
}

/// Everything but the rules. None: the root is not a map, and there is nothing to look at.
pub(super) fn head(root: &Node, findings: &mut Findings) -> Option<Head> {
    if !matches!(root.value, Value::Mapping(_)) {
        findings.error(
            Code::DocNotMap,
            root.span,
            format!("the document must be a mapping, not {}", root.value.kind()),
        );
        return None;
    }
    let fields = Fields::closed(root, "", &TOP, findings)?;
    fields.required_word("apiVersion", &[("edictum/v1", ())], findings);
    kind(&fields, findings);
    let mut head = Head::default();
    if let Some(node) = fields.require("metadata", findings) {
        metadata(node, &mut head, findings);
    }
    if let Some(node) = fields.require("defaults", findings)
        && let Some(defaults) = Fields::closed(node, "defaults", &["mode"], findings)
    {
        head.mode = defaults.required_word("mode", &MODES, findings);
    }
    if let Some(node) = fields.get("tools") {
        head.tools = tools(node, findings);
    }
    if let Some(node) = fields.get("observability") {
        head.observability = observability(node, findings);
    }
    head.observe_alongside = fields.flag("observe_alongside", false, findings);
    Some(head)
}

fn kind(fields: &Fields<'_>, findings: &mut Findings) {
    let Some(node) = fields.require("kind", findings) else { return };
    match node.as_str() {
        Some("ContractBundle") => {
            findings
                .error(Code::Enum, node.span, "kind: must be one of Ruleset, not `ContractBundle`")
                .help("`ContractBundle` is the old name of `Ruleset`; its `contracts` are now `rules`");
        }
        Some("Workflow") => {
            findings
                .error(Code::Enum, node.span, "kind: must be one of Ruleset, not `Workflow`")
                .help("a workflow is given to the guard beside its rulesets");
        }
        _ => {
            word(node, "kind", &[("Ruleset", ())], findings);
        }
    }
}

fn metadata(node: &Node, head: &mut Head, findings: &mut Findings) {
    let Some(metadata) = Fields::closed(node, "metadata", &["name", "description"], findings) else { return };
    if let Some(name) = metadata.text("name", findings) {
        if !identifier(&name, &['.', '_', '-']) {
            let span = metadata.get("name").map(|node| node.span).unwrap_or_default();
            findings
                .error(Code::Pattern, span, format!("metadata.name: {} is not a name", shown(&name)))
                .help("lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit");
        }
        head.name = name;
    }
    head.description = metadata.optional_string("description", findings);
}

fn tools(node: &Node, findings: &mut Findings) -> Vec<(String, ToolClass)> {
    let Some(fields) = Fields::open(node, "tools", findings) else { return Vec::new() };
    let mut tools = Vec::new();
    for (key, value) in fields.entries() {
        let Some(name) = key.as_str() else { continue };
        if name.contains(['*', '?', '[']) {
            findings
                .warning(
                    Code::LintGlob,
                    key.span,
                    format!("tools: {} is a literal name here, not a pattern", shown(name)),
                )
                .help("name each tool; a tool that is not named counts as irreversible");
        }
        let path = fields.path_of(name);
        let Some(class) = Fields::closed(value, &path, &["side_effect", "idempotent"], findings) else { continue };
        let side_effect = class.required_word("side_effect", &SIDE_EFFECTS, findings);
        let idempotent = class.flag("idempotent", false, findings);
        if let Some(side_effect) = side_effect {
            tools.push((name.to_owned(), ToolClass { side_effect, idempotent }));
        }
    }
    tools
}

/// The block with its defaults (engine.md §1.1, §1.5).
fn observability(node: &Node, findings: &mut Findings) -> Option<Literal> {
    let fields = Fields::closed(node, "observability", &["otel", "stdout", "file"], findings)?;
    let stdout = fields.flag("stdout", true, findings);
    let file = fields.get("file").filter(|node| !matches!(node.value, Value::Null));
    let file = file.and_then(|node| string(node, "observability.file", findings));
    let mut out = Builder::new();
    out.map();
    if let Some(node) = fields.get("otel") {
        otel(node, &mut out, findings);
    }
    out.key("stdout");
    out.bool(stdout);
    out.key("file");
    match file {
        Some(file) => out.string(&file),
        None => out.null(),
    }
    out.end();
    Some(out.finish())
}

fn otel(node: &Node, out: &mut Builder, findings: &mut Findings) {
    let known = ["enabled", "endpoint", "protocol", "service_name", "insecure", "resource_attributes"];
    let path = "observability.otel";
    let Some(fields) = Fields::closed(node, path, &known, findings) else { return };
    let (enabled, insecure) = (fields.flag("enabled", false, findings), fields.flag("insecure", true, findings));
    let endpoint = fields.optional_string("endpoint", findings);
    let protocol = fields.word("protocol", &[("grpc", "grpc"), ("http", "http")], findings);
    let service = fields.optional_string("service_name", findings);
    out.key("otel");
    out.map();
    out.key("enabled");
    out.bool(enabled);
    for (key, value, default) in [
        ("endpoint", endpoint.as_deref(), "http://localhost:4317"),
        ("protocol", protocol, "grpc"),
        ("service_name", service.as_deref(), "edictum-agent"),
    ] {
        out.key(key);
        out.string(value.unwrap_or(default));
    }
    out.key("insecure");
    out.bool(insecure);
    out.key("resource_attributes");
    out.map();
    if let Some(node) = fields.get("resource_attributes")
        && let Some(attributes) = Fields::open(node, "observability.otel.resource_attributes", findings)
    {
        for (key, value) in attributes.entries() {
            let name = key.as_str().unwrap_or_default();
            if let Some(text) = string(value, &attributes.path_of(name), findings) {
                out.key(name);
                out.string(&text);
            }
        }
    }
    out.end();
    out.end();
}
