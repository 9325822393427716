//! `type: sandbox`: what a tool may touch (engine.md §1.2). Boundaries are resolved elsewhere, later.

use super::check::{Check, Field, Fields};
use super::lint;
use super::path::Path;
use super::rule::{Head, approval, message, tool};
use super::ruleset::{PreAction, SandboxRule, Spanned};
use crate::diagnostics::{Code, Span};
use crate::yaml::shown;

pub(super) const KEYS: &[&str] = &[
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

/// `approve` is what fixtures of earlier versions say.
const OUTSIDE: &[(&str, PreAction)] =
    &[("block", PreAction::Block), ("ask", PreAction::Ask), ("approve", PreAction::Ask)];

/// What makes a command a chain of commands, which no entry permits (engine.md §6.3).
const SENTINELS: &[&str] = &[";", "|", "&", "\n", "\r", "`", "$(", "${", "$'", "<(", ">(", "<<"];

pub(super) fn sandbox(fields: &Fields<'_>, path: &Path<'_>, head: &Head, check: &mut Check<'_>) -> Option<SandboxRule> {
    let tools = tools(fields, path, check);
    let (message, message_span) = match fields.require("message", path, check) {
        Some(field) => (message(field, &path.key("message"), check), field.blame()),
        None => (String::new(), head.span),
    };
    dependencies(fields, path, head, check);
    let within = paths(fields, "within", path, 1, check);
    let not_within = paths(fields, "not_within", path, 0, check);
    let (allowed_commands, allowed_domains) = allows(fields, path, check);
    let blocked_domains = not_allows(fields, path, check);
    let outside = fields.get("outside").map(|field| check.one_of(field, &path.key("outside"), OUTSIDE));
    let approval = approval(fields, path, check);
    Some(SandboxRule {
        tools,
        within,
        not_within,
        allowed_commands,
        allowed_domains,
        blocked_domains,
        outside: outside.unwrap_or(Some(PreAction::Block))?,
        message,
        message_span,
        approval,
    })
}

fn tools(fields: &Fields<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Vec<String> {
    match (fields.get("tool"), fields.get("tools")) {
        (Some(one), several) => {
            if let Some(several) = several {
                check.error(Code::Conflict, several.key, path, "has both `tool` and `tools`").help("keep one of them");
            }
            vec![tool(one, &path.key("tool"), check)]
        }
        (None, Some(several)) => {
            let path = path.key("tools");
            let items = check.list(several, &path, 1);
            items.iter().enumerate().map(|(at, node)| tool(several.item(node), &path.item(at), check)).collect()
        }
        (None, None) => {
            check
                .error(Code::MissingField, fields.place(), path, "needs `tool` or `tools`")
                .help("add `tool: '*'` to restrict every tool");
            Vec::new()
        }
    }
}

/// A key that narrows another one must not stand alone: it would look like protection and be none.
fn dependencies(fields: &Fields<'_>, path: &Path<'_>, head: &Head, check: &mut Check<'_>) {
    let (within, allows) = (fields.get("within"), fields.get("allows"));
    let mut alone = false;
    for (narrower, needed) in [("not_within", within.is_some()), ("not_allows", allows.is_some())] {
        if let Some(field) = fields.get(narrower)
            && !needed
        {
            alone = true;
            depends(field.key, narrower, narrower.trim_start_matches("not_"), path, head, check);
        }
    }
    if let (Some(excluded), Some(allows)) = (fields.get("not_allows"), allows)
        && let (Some(entries), Some(_)) = (excluded.node.entries(), allows.node.entries())
        && allows.node.get("domains").is_none()
        && let Some((key, _)) = entries.iter().find(|(key, _)| key.as_str() == Some("domains"))
    {
        depends(key.span, "not_allows.domains", "allows.domains", path, head, check);
    }
    if within.is_none() && allows.is_none() && !alone {
        check
            .error(Code::MissingField, fields.place(), path, "needs `within` or `allows`")
            .help("add `within` with the paths, or `allows` with the commands or domains that are permitted");
    }
}

fn depends(span: Span, key: &str, needed: &str, path: &Path<'_>, head: &Head, check: &mut Check<'_>) {
    let what = format!("`{key}` needs `{needed}` (rule {})", shown(&head.id));
    check.error(Code::SandboxDep, span, path, &what).help(format!("add `{needed}`"));
}

fn spanned(list: Vec<(String, Span)>) -> Vec<Spanned<String>> {
    list.into_iter().map(|(value, span)| Spanned { value, span }).collect()
}

fn paths(
    fields: &Fields<'_>,
    name: &str,
    path: &Path<'_>,
    least: usize,
    check: &mut Check<'_>,
) -> Vec<Spanned<String>> {
    let Some(field) = fields.get(name) else { return Vec::new() };
    let path = path.key(name);
    let list = check.strings(field, &path, least);
    for (at, (boundary, span)) in list.iter().enumerate() {
        if boundary.contains('\0') {
            let what = format!("{} holds a NUL, which no path can", shown(boundary));
            check.error(Code::SandboxPath, *span, &path.item(at), &what);
        }
    }
    spanned(list)
}

type Allowed = Option<Vec<Spanned<String>>>;

fn allows(fields: &Fields<'_>, path: &Path<'_>, check: &mut Check<'_>) -> (Allowed, Allowed) {
    let Some(field) = fields.get("allows") else { return (None, None) };
    let path = path.key("allows");
    let Some(inner) = Fields::open(field, &path, &["commands", "domains"], check) else { return (None, None) };
    if inner.entries().is_empty() {
        check.error(Code::Empty, field.blame(), &path, "must not be empty").help("add `commands` or `domains`");
    }
    let commands = inner.get("commands").map(|field| {
        let path = path.key("commands");
        let list = check.strings(field, &path, 1);
        for (at, (entry, span)) in list.iter().enumerate() {
            command(entry, *span, &path.item(at), check);
        }
        spanned(list)
    });
    let domains = inner.get("domains").map(|field| domains(field, &path.key("domains"), check));
    (commands, domains)
}

fn not_allows(fields: &Fields<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Vec<Spanned<String>> {
    let Some(field) = fields.get("not_allows") else { return Vec::new() };
    let path = path.key("not_allows");
    let inner = Fields::open(field, &path, &["domains"], check);
    let field = inner.and_then(|inner| inner.get("domains"));
    field.map(|field| domains(field, &path.key("domains"), check)).unwrap_or_default()
}

fn domains(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Vec<Spanned<String>> {
    let list = check.strings(field, path, 1);
    for (at, (glob, span)) in list.iter().enumerate() {
        lint::domain_glob(glob, *span, &path.item(at), check);
    }
    spanned(list)
}

/// Entries are compared with the first words of a command; one of blanks would permit all of them.
fn command(entry: &str, span: Span, path: &Path<'_>, check: &mut Check<'_>) {
    if entry.is_empty() {
        return;
    }
    if entry.trim().is_empty() {
        check.error(Code::SandboxCommand, span, path, "must not be blank");
    } else if let Some(sentinel) = SENTINELS.iter().find(|sentinel| entry.contains(**sentinel)) {
        let what = format!("{} can never match: a command with {} is never permitted", shown(entry), shown(sentinel));
        check.error(Code::SandboxCommand, span, path, &what).help("name the first words of one command");
    }
}
