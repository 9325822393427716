//! One rule: keys that all types share, then those of its type (engine.md §1.2). `sandbox` has a file of its own.

use std::sync::Arc;

use super::check::{Check, Field, Fields};
use super::expression::{Place, expression};
use super::path::Path;
use super::ruleset::{
    Approval, Expression, Mode, PostAction, PostRule, PreAction, PreRule, Rule, RuleBody, SessionLimits, SessionRule,
    Then, TimeoutAction,
};
use super::{lint, sandbox};
use crate::diagnostics::{Code, Span, nearest};
use crate::yaml::{Node, shown};

/// Longest message, in code points (engine.md §1.2).
pub const MAX_MESSAGE: usize = 500;

/// Seconds that an `ask` waits when the rule does not say.
pub const DEFAULT_TIMEOUT: u64 = 300;

/// Keys of `then.metadata` that decisions use themselves (engine.md §1.4 row 20).
pub const RESERVED_METADATA: &[&str] = &["tags", "message", "cls", "policy_error", "error_detail"];

pub(super) const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("observe", Mode::Observe)];

const TIMEOUT_ACTIONS: &[(&str, TimeoutAction)] = &[("block", TimeoutAction::Block), ("allow", TimeoutAction::Allow)];

#[derive(Clone, Copy)]
enum Type {
    Pre,
    Post,
    Session,
    Sandbox,
}

const TYPES: &[(&str, Type)] =
    &[("pre", Type::Pre), ("post", Type::Post), ("session", Type::Session), ("sandbox", Type::Sandbox)];

/// What a rule's keys say before its body is looked at.
#[derive(Debug)]
pub(super) struct Head {
    /// "" when there is none.
    pub(super) id: String,
    /// Where the id stands, or the rule begins.
    pub(super) span: Span,
}

/// Id of a rule that may have any number of other mistakes.
pub(super) fn head(node: &Node) -> Head {
    let id = node.get("id");
    let begin = node.entries().and_then(<[_]>::first).map_or(node.span, |(key, _)| key.span);
    Head { id: id.and_then(Node::as_str).unwrap_or("").to_owned(), span: id.map_or(begin, |id| id.span) }
}

/// Checks a rule with everything in it; none when there is any error.
pub(super) fn rule(node: &Node, path: &Path<'_>, document: &Arc<str>, check: &mut Check<'_>) -> Option<Rule> {
    let before = check.errors();
    let field = Field { key: node.span, node, document: None };
    if field.is_invalid() || node.entries().is_none() {
        check.wrong_type(field, path, "a map");
        return None;
    }
    let kind = kind(field, path, check);
    let known: &[&str] = match kind {
        Some(Type::Pre | Type::Post) => &["id", "type", "enabled", "mode", "tool", "when", "then"],
        Some(Type::Session) => &["id", "type", "enabled", "mode", "limits", "then"],
        Some(Type::Sandbox) => sandbox::KEYS,
        // Which keys are wrong cannot be said; the id is checked all the same.
        None => {
            identity(entry(node, "id"), field, path, check);
            return None;
        }
    };
    let fields = Fields::open(field, path, known, check)?;
    let head = identity(fields.get("id"), field, path, check);
    let enabled = fields.get("enabled").is_none_or(|field| check.boolean(field, &path.key("enabled")));
    let mode = fields.get("mode").and_then(|field| check.one_of(field, &path.key("mode"), MODES));
    let body = match kind? {
        Type::Pre => pre(&fields, path, &head, check).map(RuleBody::Pre),
        Type::Post => post(&fields, path, &head, check).map(RuleBody::Post),
        Type::Session => session(&fields, path, check).map(RuleBody::Session),
        Type::Sandbox => sandbox::sandbox(&fields, path, &head, check).map(RuleBody::Sandbox),
    };
    let body = body.filter(|_| check.errors() == before)?;
    lint::rule(&body, path, check);
    Some(Rule { id: head.id, enabled, mode, document: Arc::clone(document), span: head.span, body })
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<Field<'n>> {
    let (key, value) = node.entries()?.iter().find(|(key, _)| key.as_str() == Some(name))?;
    Some(Field { key: key.span, node: value, document: None })
}

fn begin(field: Field<'_>) -> Span {
    field.node.entries().and_then(<[_]>::first).map_or(field.key, |(key, _)| key.span)
}

/// `type`, before anything else: which other keys there may be depends on it.
fn kind(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Option<Type> {
    let path = path.key("type");
    if let Some(field) = entry(field.node, "type") {
        return check.one_of(field, &path, TYPES);
    }
    // A misspelt key is reported as an unknown one, once its value tells what keys are known.
    let misspelt = field.node.entries().unwrap_or(&[]).iter().find_map(|(key, value)| {
        nearest(key.as_str()?, ["type"])?;
        TYPES.iter().find(|(word, _)| value.as_str() == Some(word)).map(|(_, kind)| *kind)
    });
    if misspelt.is_none() {
        check
            .error(Code::MissingField, begin(field), &path, "is required")
            .help("add `type: pre`, `post`, `session` or `sandbox`");
    }
    misspelt
}

/// `id`
fn identity(id: Option<Field<'_>>, rule: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Head {
    let path = path.key("id");
    let Some(field) = id else {
        check
            .error(Code::MissingField, begin(rule), &path, "is required")
            .help("give each rule an id of its own, as in `block-rm`");
        return Head { id: String::new(), span: begin(rule) };
    };
    let id = check.string(field, &path);
    if field.node.as_str().is_some() && !is_id(id) {
        let what =
            format!("{} must be lower-case letters, digits, `-` and `_`, and begin with a letter or digit", shown(id));
        check.error(Code::Pattern, field.blame(), &path, &what);
    }
    Head { id: id.to_owned(), span: field.blame() }
}

fn is_id(id: &str) -> bool {
    id.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

/// A tool glob of at least one character.
pub(super) fn tool(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> String {
    let glob = check.full_string(field, path);
    lint::tool_glob(glob, field.blame(), path, check);
    glob.to_owned()
}

fn condition(
    fields: &Fields<'_>,
    path: &Path<'_>,
    place: Place<'_>,
    check: &mut Check<'_>,
) -> Option<(String, Expression)> {
    let glob = fields.require("tool", path, check).map(|field| tool(field, &path.key("tool"), check));
    let when = fields.require("when", path, check);
    let when = when.and_then(|field| expression(field, &path.key("when"), place, check));
    Some((glob?, when?))
}

fn pre(fields: &Fields<'_>, path: &Path<'_>, head: &Head, check: &mut Check<'_>) -> Option<PreRule> {
    const KEYS: &[&str] = &["action", "message", "tags", "metadata", "timeout", "timeout_action", "timeout_effect"];
    const ACTIONS: &[(&str, PreAction)] = &[("block", PreAction::Block), ("ask", PreAction::Ask)];
    let place = Place { rule: &head.id, before: true };
    let condition = condition(fields, path, place, check);
    let (action, then, inner) = then(fields, path, KEYS, ACTIONS, check)?;
    let approval = approval(&inner, &path.key("then"), check);
    let (tool, when) = condition?;
    Some(PreRule { tool, when, action: action?, then, approval })
}

fn post(fields: &Fields<'_>, path: &Path<'_>, head: &Head, check: &mut Check<'_>) -> Option<PostRule> {
    const KEYS: &[&str] = &["action", "message", "tags", "metadata"];
    const ACTIONS: &[(&str, PostAction)] =
        &[("warn", PostAction::Warn), ("redact", PostAction::Redact), ("block", PostAction::Block)];
    let place = Place { rule: &head.id, before: false };
    let condition = condition(fields, path, place, check);
    let (action, then, _) = then(fields, path, KEYS, ACTIONS, check)?;
    let (tool, when) = condition?;
    Some(PostRule { tool, when, action: action?, then })
}

fn session(fields: &Fields<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Option<SessionRule> {
    const KEYS: &[&str] = &["action", "message", "tags", "metadata"];
    const ACTIONS: &[(&str, ())] = &[("block", ())];
    let limits = fields.require("limits", path, check).and_then(|field| limits(field, &path.key("limits"), check));
    let (action, then, _) = then(fields, path, KEYS, ACTIONS, check)?;
    action?;
    Some(SessionRule { limits: limits?, then })
}

fn limits(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Option<SessionLimits> {
    let fields = Fields::open(field, path, &["max_tool_calls", "max_attempts", "max_calls_per_tool"], check)?;
    if fields.entries().is_empty() {
        check
            .error(Code::Empty, field.blame(), path, "must not be empty")
            .help("set `max_tool_calls`, `max_attempts` or `max_calls_per_tool`");
    }
    let mut number = |name: &str| fields.get(name).map(|field| check.positive(field, &path.key(name)));
    let mut limits = SessionLimits {
        max_tool_calls: number("max_tool_calls"),
        max_attempts: number("max_attempts"),
        ..SessionLimits::default()
    };
    if let Some(field) = fields.get("max_calls_per_tool") {
        let path = path.key("max_calls_per_tool");
        let entries = field.node.entries();
        match entries {
            None => check.wrong_type(field, &path, "a map of tool names to numbers"),
            Some([]) => check.empty(field, &path),
            Some(_) => {}
        }
        for (key, value) in entries.unwrap_or(&[]) {
            let name = key.as_str().unwrap_or("");
            let path = path.key(name);
            let most = check.positive(Field { key: key.span, node: value, document: None }, &path);
            lint::exact_name(name, key.span, &path, check);
            limits.max_calls_per_tool.insert(name.to_owned(), most);
        }
    }
    Some(limits)
}

/// `then`: its action, what all types have in it, and the map for what only some have. The action is none after an error.
fn then<'n, T: Copy>(
    fields: &Fields<'n>,
    path: &Path<'_>,
    known: &[&'static str],
    actions: &[(&str, T)],
    check: &mut Check<'_>,
) -> Option<(Option<T>, Then, Fields<'n>)> {
    let field = fields.require("then", path, check)?;
    let path = path.key("then");
    let inner = Fields::open(field, &path, known, check)?;
    let action = inner.require("action", &path, check);
    let action = action.and_then(|field| check.one_of(field, &path.key("action"), actions));
    let (text, message_span) = match inner.require("message", &path, check) {
        Some(field) => (message(field, &path.key("message"), check), field.blame()),
        None => (String::new(), inner.place()),
    };
    let tags = inner.get("tags").map(|field| check.strings(field, &path.key("tags"), 0)).unwrap_or_default();
    let metadata = inner.get("metadata").map(|field| metadata(field, &path.key("metadata"), check));
    let tags = tags.into_iter().map(|(tag, _)| tag).collect();
    Some((action, Then { message: text, message_span, tags, metadata }, inner))
}

/// A message of 1..=[`MAX_MESSAGE`] code points.
pub(super) fn message(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> String {
    let text = check.full_string(field, path);
    let length = text.chars().count();
    if length > MAX_MESSAGE {
        let what = format!("has {length} characters, and at most {MAX_MESSAGE} are permitted");
        check.error(Code::TooLong, field.blame(), path, &what);
    }
    text.to_owned()
}

fn metadata(field: Field<'_>, path: &Path<'_>, check: &mut Check<'_>) -> crate::json::Literal {
    match field.node.entries() {
        None => check.wrong_type(field, path, "a map"),
        Some(entries) => {
            for (key, _) in entries {
                let name = key.as_str().unwrap_or("");
                if RESERVED_METADATA.contains(&name) {
                    check
                        .error(Code::ReservedMetadata, key.span, &path.key(name), "decisions use this key themselves")
                        .help("choose another name");
                }
            }
        }
    }
    check.literal(field, path, false)
}

/// `timeout` and `timeout_action`, which older schemas call `timeout_effect` (engine.md §1.2).
pub(super) fn approval(fields: &Fields<'_>, path: &Path<'_>, check: &mut Check<'_>) -> Approval {
    let timeout = fields.get("timeout").map(|field| check.positive(field, &path.key("timeout")));
    let mut action = |name: &str| {
        let field = fields.get(name)?;
        Some((field.key, check.one_of(field, &path.key(name), TIMEOUT_ACTIONS)?))
    };
    let (new, old) = (action("timeout_action"), action("timeout_effect"));
    if let (Some((_, new)), Some((span, old))) = (new, old)
        && new != old
    {
        check
            .error(Code::Conflict, span, &path.key("timeout_effect"), "says something else than `timeout_action`")
            .help("they are two spellings of one key; keep `timeout_action`");
    }
    let timeout_action = new.or(old).map_or(TimeoutAction::Block, |(_, action)| action);
    Approval { timeout: timeout.unwrap_or(DEFAULT_TIMEOUT), timeout_action }
}
