//! A composition written back as ruleset text. What was layered, extended and merged is one plain file then.

use super::composition::{Composition, EffectiveRule};
use super::rule::DEFAULT_TIMEOUT;
use super::ruleset::{
    Approval, Expression, Mode, PreAction, Rule, RuleBody, SandboxRule, SessionLimits, Spanned, Then, TimeoutAction,
    ToolClass,
};
use crate::diagnostics::Span;
use crate::json::{self, Literal, Number};
use crate::yaml::{Node, Value, write};

/// One ruleset with the composition's enforced and observed rules, each with the mode it has there. [`Composition::limits`]
/// belong to the options and candidates to a file of their own ([`candidates`]): neither is in it. A composition without
/// rules has no text that loads: a ruleset needs one.
#[must_use]
pub fn ruleset(composition: &Composition) -> String {
    let rules = composition.rules.iter().filter(|rule| !rule.candidate).map(|rule| node(rule, rule.mode));
    let rules = rules.collect::<Vec<_>>();
    let tools = composition.tools.iter().map(|(name, class)| (key(name), tool(*class))).collect::<Vec<_>>();
    let mut entries = head(&composition.name, composition.mode);
    if !tools.is_empty() {
        entries.push((key("tools"), map(tools)));
    }
    if let Some(block) = &composition.observability {
        entries.push((key("observability"), value(block.root())));
    }
    entries.push((key("rules"), list(rules)));
    write(&map(entries))
}

/// A ruleset with `observe_alongside: true` that, laid behind the text of [`ruleset`], adds the candidates again; none when
/// there are none. Of two candidates with one id the first stays: a file cannot have both.
#[must_use]
pub fn candidates(composition: &Composition) -> Option<String> {
    let mut ids = std::collections::BTreeSet::new();
    let candidates = composition.rules.iter().filter(|rule| rule.candidate && ids.insert(rule.rule.id.as_str()));
    let rules = candidates.map(|rule| node(rule, Mode::Observe)).collect::<Vec<_>>();
    if rules.is_empty() {
        return None;
    }
    let mut entries = head(&composition.name, Mode::Observe);
    entries.push((key("observe_alongside"), plain(Value::Bool(true))));
    entries.push((key("rules"), list(rules)));
    Some(write(&map(entries)))
}

type Entries = Vec<(Node, Node)>;

fn plain(value: Value) -> Node {
    Node::new(Span::default(), value)
}

fn key(name: &str) -> Node {
    string(name)
}

fn string(text: &str) -> Node {
    plain(Value::String(text.to_owned()))
}

fn number(number: u64) -> Node {
    plain(Value::Int(number.to_string()))
}

fn map(entries: Entries) -> Node {
    plain(Value::Mapping(entries))
}

fn list(items: Vec<Node>) -> Node {
    plain(Value::Sequence(items))
}

fn strings(texts: &[Spanned<String>]) -> Node {
    list(texts.iter().map(|text| string(&text.value)).collect())
}

fn head(name: &str, mode: Mode) -> Entries {
    vec![
        (key("apiVersion"), string("edictum/v1")),
        (key("kind"), string("Ruleset")),
        (key("metadata"), map(vec![(key("name"), string(name))])),
        (key("defaults"), map(vec![(key("mode"), string(mode.as_str()))])),
    ]
}

fn tool(class: ToolClass) -> Node {
    map(vec![
        (key("side_effect"), string(class.side_effect.as_str())),
        (key("idempotent"), plain(Value::Bool(class.idempotent))),
    ])
}

fn node(effective: &EffectiveRule, mode: Mode) -> Node {
    let rule: &Rule = &effective.rule;
    let mut entries = vec![(key("id"), string(&rule.id)), (key("type"), string(kind(&rule.body)))];
    entries.push((key("mode"), string(mode.as_str())));
    match &rule.body {
        RuleBody::Pre(pre) => {
            entries.push((key("tool"), string(&pre.tool)));
            entries.push((key("when"), expression(&pre.when)));
            entries.push((key("then"), then(pre.action.as_str(), &pre.then, Some(pre.approval))));
        }
        RuleBody::Post(post) => {
            entries.push((key("tool"), string(&post.tool)));
            entries.push((key("when"), expression(&post.when)));
            entries.push((key("then"), then(post.action.as_str(), &post.then, None)));
        }
        RuleBody::Session(session) => {
            entries.push((key("limits"), limits(&session.limits)));
            entries.push((key("then"), then("block", &session.then, None)));
        }
        RuleBody::Sandbox(rule) => sandbox(rule, &mut entries),
    }
    map(entries)
}

const fn kind(body: &RuleBody) -> &'static str {
    match body {
        RuleBody::Pre(_) => "pre",
        RuleBody::Post(_) => "post",
        RuleBody::Session(_) => "session",
        RuleBody::Sandbox(_) => "sandbox",
    }
}

fn then(action: &str, then: &Then, approval: Option<Approval>) -> Node {
    let mut entries = vec![(key("action"), string(action)), (key("message"), string(&then.message))];
    if !then.tags.is_empty() {
        entries.push((key("tags"), list(then.tags.iter().map(|tag| string(tag)).collect())));
    }
    if let Some(metadata) = &then.metadata {
        entries.push((key("metadata"), literal(metadata)));
    }
    if let Some(approval) = approval {
        push_approval(action == PreAction::Ask.as_str(), approval, &mut entries);
    }
    map(entries)
}

/// What matters only to an `ask` is left out elsewhere, unless the file said something.
fn push_approval(asks: bool, approval: Approval, entries: &mut Entries) {
    let action = match approval.timeout_action {
        TimeoutAction::Block => "block",
        TimeoutAction::Allow => "allow",
    };
    if asks || approval.timeout != DEFAULT_TIMEOUT || approval.timeout_action != TimeoutAction::Block {
        entries.push((key("timeout"), number(approval.timeout)));
        entries.push((key("timeout_action"), string(action)));
    }
}

fn limits(limits: &SessionLimits) -> Node {
    let mut entries = Entries::new();
    entries.extend(limits.max_tool_calls.map(|most| (key("max_tool_calls"), number(most))));
    entries.extend(limits.max_attempts.map(|most| (key("max_attempts"), number(most))));
    if !limits.max_calls_per_tool.is_empty() {
        let tools = limits.max_calls_per_tool.iter().map(|(tool, most)| (key(tool), number(*most)));
        entries.push((key("max_calls_per_tool"), map(tools.collect())));
    }
    map(entries)
}

fn sandbox(rule: &SandboxRule, entries: &mut Entries) {
    entries.push((key("tools"), list(rule.tools.iter().map(|tool| string(tool)).collect())));
    if !rule.within.is_empty() {
        entries.push((key("within"), strings(&rule.within)));
    }
    if !rule.not_within.is_empty() {
        entries.push((key("not_within"), strings(&rule.not_within)));
    }
    let commands = rule.allowed_commands.iter().map(|commands| (key("commands"), strings(commands)));
    let domains = rule.allowed_domains.iter().map(|domains| (key("domains"), strings(domains)));
    let allows = commands.chain(domains).collect::<Entries>();
    if !allows.is_empty() {
        entries.push((key("allows"), map(allows)));
    }
    if !rule.blocked_domains.is_empty() {
        entries.push((key("not_allows"), map(vec![(key("domains"), strings(&rule.blocked_domains))])));
    }
    entries.push((key("outside"), string(rule.outside.as_str())));
    entries.push((key("message"), string(&rule.message)));
    push_approval(rule.outside == PreAction::Ask, rule.approval, entries);
}

fn expression(of: &Expression) -> Node {
    match of {
        Expression::All(operands) => single("all", list(operands.iter().map(expression).collect())),
        Expression::Any(operands) => single("any", list(operands.iter().map(expression).collect())),
        Expression::Not(inner) => single("not", expression(inner)),
        Expression::Leaf(leaf) => {
            single(&leaf.selector.value, single(&leaf.operator.value, literal(&leaf.operand.value)))
        }
    }
}

fn single(name: &str, value: Node) -> Node {
    map(vec![(key(name), value)])
}

fn literal(of: &Literal) -> Node {
    value(of.root())
}

fn value(of: json::Value<'_>) -> Node {
    plain(match of {
        json::Value::Null => Value::Null,
        json::Value::Bool(flag) => Value::Bool(flag),
        json::Value::Number(Number::Int(int)) => Value::Int(int.to_string()),
        json::Value::Number(Number::Big(decimal)) => Value::Int(decimal.to_owned()),
        json::Value::Number(Number::Float(float)) => Value::Float(float),
        json::Value::String(text) => Value::String(text.to_owned()),
        json::Value::List(items) => Value::Sequence(items.iter().map(value).collect()),
        json::Value::Map(entries) => {
            Value::Mapping(entries.iter().map(|(name, item)| (key(name), value(item))).collect())
        }
    })
}
