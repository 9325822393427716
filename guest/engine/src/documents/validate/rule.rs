//! One rule (engine.md §1.2): first its type, then the keys of that type.

use std::sync::Arc;

use super::{MODES, expression, sandbox};
use crate::diagnostics::{Code, Findings, Span};
use crate::documents::fields::{Fields, count, filled, identifier, list};
use crate::documents::ruleset::{
    Approval, PostAction, PostRule, PreAction, PreRule, Rule, RuleBody, SessionLimits, SessionRule, Then, TimeoutAction,
};
use crate::json::Literal;
use crate::options::Options;
use crate::yaml::{Node, shown};

/// Longest message in code points.
pub(super) const MAX_MESSAGE: usize = 500;
/// Seconds that an `ask` waits when the rule does not say.
const DEFAULT_TIMEOUT: u64 = 300;

const TIMEOUT_ACTIONS: [(&str, TimeoutAction); 2] = [("block", TimeoutAction::Block), ("allow", TimeoutAction::Allow)];

/// Keys that decisions put into a rule's metadata themselves.
const RESERVED: [&str; 5] = ["tags", "message", "cls", "policy_error", "error_detail"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Pre,
    Post,
    Session,
    Sandbox,
}

/// Reads a rule. None: it has an error, and stays out.
pub(in crate::documents) fn read(
    node: &Node,
    path: &str,
    document: &Arc<str>,
    options: &Options,
    findings: &mut Findings,
) -> Option<Rule> {
    let all = Fields::open(node, path, findings)?;
    let types = [("pre", Type::Pre), ("post", Type::Post), ("session", Type::Session), ("sandbox", Type::Sandbox)];
    let kind = all.required_word("type", &types, findings);
    let errors = findings.count_errors();
    let id = all.text("id", findings);
    let span = all.get("id").map_or_else(|| all.first_place(), |node| node.span);
    if let Some(id) = &id
        && !identifier(id, &['_', '-'])
    {
        findings
            .error(Code::Pattern, span, format!("{path}.id: {} is not an id", shown(id)))
            .help("lower-case letters, digits, `_` and `-`, beginning with a letter or digit");
    }
    let enabled = all.flag("enabled", true, findings);
    let mode = all.word("mode", &MODES, findings);
    let kind = kind?;
    let own: &[&str] = match kind {
        Type::Pre | Type::Post => &["id", "type", "enabled", "mode", "tool", "when", "then"],
        Type::Session => &["id", "type", "enabled", "mode", "limits", "then"],
        Type::Sandbox => &sandbox::KEYS,
    };
    let fields = Fields::closed(node, path, own, findings)?;
    let name = id.clone().unwrap_or_default();
    let body = match kind {
        Type::Pre => pre(&fields, &name, options, findings).map(RuleBody::Pre),
        Type::Post => post(&fields, &name, options, findings).map(RuleBody::Post),
        Type::Session => session(&fields, findings).map(RuleBody::Session),
        Type::Sandbox => sandbox::read(&fields, &name, findings).map(RuleBody::Sandbox),
    };
    let broken = findings.count_errors() > errors;
    match (id, body) {
        (Some(id), Some(body)) if !broken => {
            Some(Rule { id, enabled, mode, document: Arc::clone(document), span, body })
        }
        _ => None,
    }
}

fn pre(fields: &Fields<'_>, id: &str, options: &Options, findings: &mut Findings) -> Option<PreRule> {
    let tool = fields.text("tool", findings);
    let when = fields.require("when", findings).and_then(|node| {
        expression::read(node, &fields.path_of("when"), id, expression::Place::Pre, options, findings)
    });
    let actions = [("block", PreAction::Block), ("ask", PreAction::Ask)];
    let keys = ["action", "message", "tags", "metadata", "timeout", "timeout_action", "timeout_effect"];
    let node = fields.require("then", findings)?;
    let path = fields.path_of("then");
    let then = Fields::closed(node, &path, &keys, findings)?;
    let action = then.required_word("action", &actions, findings);
    let approval = approval(&then, findings);
    let then = read_then(&then, findings);
    Some(PreRule { tool: tool?, when: when?, action: action?, then: then?, approval })
}

fn post(fields: &Fields<'_>, id: &str, options: &Options, findings: &mut Findings) -> Option<PostRule> {
    let tool = fields.text("tool", findings);
    let when = fields.require("when", findings).and_then(|node| {
        expression::read(node, &fields.path_of("when"), id, expression::Place::Post, options, findings)
    });
    let actions = [("warn", PostAction::Warn), ("redact", PostAction::Redact), ("block", PostAction::Block)];
    let node = fields.require("then", findings)?;
    let path = fields.path_of("then");
    let then = Fields::closed(node, &path, &["action", "message", "tags", "metadata"], findings)?;
    let action = then.required_word("action", &actions, findings);
    let then = read_then(&then, findings);
    Some(PostRule { tool: tool?, when: when?, action: action?, then: then? })
}

fn session(fields: &Fields<'_>, findings: &mut Findings) -> Option<SessionRule> {
    let limits = fields.require("limits", findings).and_then(|node| limits(node, &fields.path_of("limits"), findings));
    let node = fields.require("then", findings)?;
    let path = fields.path_of("then");
    let then = Fields::closed(node, &path, &["action", "message", "tags", "metadata"], findings)?;
    then.required_word("action", &[("block", ())], findings)?;
    Some(SessionRule { limits: limits?, then: read_then(&then, findings)? })
}

fn limits(node: &Node, path: &str, findings: &mut Findings) -> Option<SessionLimits> {
    let fields = Fields::closed(node, path, &["max_tool_calls", "max_attempts", "max_calls_per_tool"], findings)?;
    if fields.entries().is_empty() {
        findings.error(Code::Empty, node.span, format!("{path}: must name at least one limit"));
        return None;
    }
    let mut limits = SessionLimits {
        max_tool_calls: fields.count("max_tool_calls", findings),
        max_attempts: fields.count("max_attempts", findings),
        ..SessionLimits::default()
    };
    if let Some(node) = fields.get("max_calls_per_tool") {
        let path = fields.path_of("max_calls_per_tool");
        let tools = Fields::open(node, &path, findings)?;
        if tools.entries().is_empty() {
            findings.error(Code::Empty, node.span, format!("{path}: must not be empty"));
        }
        for (key, value) in tools.entries() {
            let Some(tool) = key.as_str() else { continue };
            if tool.contains(['*', '?', '[']) {
                findings
                    .warning(Code::LintGlob, key.span, format!("{path}: {} is a literal name here", shown(tool)))
                    .help("name each tool; patterns never apply to counters");
            }
            if let Some(limit) = count(value, &tools.path_of(tool), findings) {
                limits.max_calls_per_tool.insert(tool.to_owned(), limit);
            }
        }
    }
    Some(limits)
}

/// `timeout` and `timeout_action`, also under its other name.
pub(super) fn approval(fields: &Fields<'_>, findings: &mut Findings) -> Approval {
    let timeout = fields.count("timeout", findings).unwrap_or(DEFAULT_TIMEOUT);
    let action = fields.word("timeout_action", &TIMEOUT_ACTIONS, findings);
    let effect = fields.word("timeout_effect", &TIMEOUT_ACTIONS, findings);
    if let (Some(action), Some(effect)) = (action, effect)
        && action != effect
    {
        let span = fields.get("timeout_effect").map(|node| node.span).unwrap_or_default();
        let message = format!("{}: disagrees with `timeout_action`", fields.path_of("timeout_effect"));
        findings.error(Code::Conflict, span, message).help("they are two names of one key; keep `timeout_action`");
    }
    Approval { timeout, timeout_action: action.or(effect).unwrap_or(TimeoutAction::Block) }
}

/// A message of 1..=500 code points, and where it stands.
pub(super) fn message(fields: &Fields<'_>, findings: &mut Findings) -> Option<(String, Span)> {
    let text = fields.text("message", findings)?;
    let span = fields.get("message").map(|node| node.span).unwrap_or_default();
    let length = text.chars().count();
    if length > MAX_MESSAGE {
        let path = fields.path_of("message");
        findings.error(Code::TooLong, span, format!("{path}: has {length} characters, more than {MAX_MESSAGE}"));
        return None;
    }
    Some((text, span))
}

fn read_then(fields: &Fields<'_>, findings: &mut Findings) -> Option<Then> {
    let message = message(fields, findings);
    let mut tags = Vec::new();
    if let Some(node) = fields.get("tags") {
        let path = fields.path_of("tags");
        for (index, tag) in list(node, &path, findings).unwrap_or_default().iter().enumerate() {
            tags.extend(filled(tag, &format!("{path}[{index}]"), findings));
        }
    }
    let metadata = fields.get("metadata").and_then(|node| metadata(node, &fields.path_of("metadata"), findings));
    let (message, message_span) = message?;
    Some(Then { message, message_span, tags, metadata })
}

fn metadata(node: &Node, path: &str, findings: &mut Findings) -> Option<Literal> {
    let fields = Fields::open(node, path, findings)?;
    for (key, _) in fields.entries() {
        if let Some(name) = key.as_str().filter(|name| RESERVED.contains(name)) {
            findings
                .error(Code::ReservedMetadata, key.span, format!("{path}.{name}: decisions use this key themselves"))
                .help("choose another name; tags go under `then.tags`");
        }
    }
    Some(node.to_literal())
}
