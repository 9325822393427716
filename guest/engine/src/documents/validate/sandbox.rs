//! The keys of a sandbox rule (engine.md §1.2).

use super::rule::{approval, message};
use crate::diagnostics::{Code, Findings};
use crate::documents::fields::{Fields, filled, items, list};
use crate::documents::ruleset::{PreAction, SandboxRule, Spanned};
use crate::yaml::{Node, Value};

pub(super) const KEYS: [&str; 15] = [
    "id",
    "type",
    "enabled",
    "mode",
    "tool",
    "tools",
    "within",
    "not_within",
    "allows",
    "not_allows",
    "outside",
    "message",
    "timeout",
    "timeout_action",
    "timeout_effect",
];

pub(super) fn read(fields: &Fields<'_>, id: &str, findings: &mut Findings) -> Option<SandboxRule> {
    let tools = tools(fields, findings);
    let strings = |key: &str, findings: &mut Findings| {
        let node = fields.get(key)?;
        let path = fields.path_of(key);
        // `not_within: []` excludes nothing, and is accepted.
        let nodes = if key == "not_within" { list(node, &path, findings) } else { items(node, &path, findings) };
        Some(spanned(nodes.unwrap_or_default(), &path, findings))
    };
    let within = strings("within", findings);
    let not_within = strings("not_within", findings);
    let allows = fields.get("allows").map(|node| allows(node, &fields.path_of("allows"), findings));
    let blocked = fields.get("not_allows").map(|node| not_allows(node, &fields.path_of("not_allows"), findings));
    if within.is_none() && allows.is_none() {
        findings
            .error(Code::MissingField, fields.first_place(), format!("rule `{id}`: needs `within` or `allows`"))
            .help("without a boundary the rule would permit everything");
    }
    depends(fields, "not_within", "within", within.is_some(), id, findings);
    depends(fields, "not_allows", "allows", allows.is_some(), id, findings);
    let (commands, domains) = allows.unwrap_or_default();
    if blocked.as_ref().is_some_and(|blocked| !blocked.is_empty())
        && domains.is_none()
        && fields.get("allows").is_some()
    {
        let span = fields.get("not_allows").map(|node| node.span).unwrap_or_default();
        findings
            .error(Code::SandboxDep, span, format!("rule `{id}`: `not_allows.domains` needs `allows.domains`"))
            .help("to permit all other hosts, write `allows: {domains: [\"*\"]}`");
    }
    let outsides = [("block", PreAction::Block), ("ask", PreAction::Ask), ("approve", PreAction::Ask)];
    let outside = fields.word("outside", &outsides, findings).unwrap_or(PreAction::Block);
    let approval = approval(fields, findings);
    let (message, message_span) = message(fields, findings)?;
    Some(SandboxRule {
        tools: tools?,
        within: within.unwrap_or_default(),
        not_within: not_within.unwrap_or_default(),
        allowed_commands: commands,
        allowed_domains: domains,
        blocked_domains: blocked.unwrap_or_default(),
        outside,
        message,
        message_span,
        approval,
    })
}

fn tools(fields: &Fields<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    match (fields.get("tool"), fields.get("tools")) {
        (Some(tool), None) => filled(tool, &fields.path_of("tool"), findings).map(|tool| vec![tool]),
        (None, Some(tools)) => {
            let path = fields.path_of("tools");
            let tools = spanned(items(tools, &path, findings)?, &path, findings);
            Some(tools.into_iter().map(|tool| tool.value).collect())
        }
        (None, None) => {
            fields.require("tool", findings);
            None
        }
        (Some(_), Some(tools)) => {
            let path = fields.path_of("tools");
            findings
                .error(Code::Conflict, tools.span, format!("{path}: a sandbox has either `tool` or `tools`"))
                .help("keep `tools` and put the one tool into its list");
            None
        }
    }
}

fn depends(fields: &Fields<'_>, key: &str, on: &str, there: bool, id: &str, findings: &mut Findings) {
    if let Some(node) = fields.get(key)
        && !there
    {
        findings
            .error(Code::SandboxDep, node.span, format!("rule `{id}`: `{key}` needs `{on}`"))
            .help(format!("add `{on}`, from which `{key}` takes away"));
    }
}

fn spanned(nodes: &[Node], path: &str, findings: &mut Findings) -> Vec<Spanned<String>> {
    let texts = nodes.iter().enumerate().filter_map(|(index, node)| {
        Some(Spanned { value: filled(node, &format!("{path}[{index}]"), findings)?, span: node.span })
    });
    texts.collect()
}

type Texts = Option<Vec<Spanned<String>>>;

fn allows(node: &Node, path: &str, findings: &mut Findings) -> (Texts, Texts) {
    let Some(fields) = Fields::closed(node, path, &["commands", "domains"], findings) else { return (None, None) };
    if fields.entries().is_empty() {
        findings
            .error(Code::Empty, node.span, format!("{path}: must not be empty"))
            .help("name permitted `commands` or `domains`");
    }
    let mut strings = |key: &str| {
        let node = fields.get(key)?;
        let path = fields.path_of(key);
        Some(spanned(items(node, &path, findings)?, &path, findings))
    };
    (strings("commands"), strings("domains"))
}

fn not_allows(node: &Node, path: &str, findings: &mut Findings) -> Vec<Spanned<String>> {
    let Some(fields) = Fields::closed(node, path, &["domains"], findings) else { return Vec::new() };
    let Some(node) = fields.get("domains").filter(|node| !matches!(node.value, Value::Invalid)) else {
        return Vec::new();
    };
    let path = fields.path_of("domains");
    spanned(items(node, &path, findings).unwrap_or_default(), &path, findings)
}
