//! `extends`: a document takes over another one's rules (engine.md §12.4). Works on nodes, before validation.

use std::collections::BTreeMap;

use crate::diagnostics::{Code, Diagnostic, Findings, did_you_mean};
use crate::yaml::{self, Node, Value, shown};

/// Longest chain of documents.
const MAX_CHAIN: usize = 50;

/// Puts everything that a document extends in front of it. None: something on the way does not exist or cannot be read.
pub(super) fn resolve(
    root: Node,
    document: &str,
    registry: &BTreeMap<String, String>,
) -> (Option<Node>, Vec<Diagnostic>) {
    let mut chain = vec![root];
    let mut names: Vec<String> = Vec::new();
    let mut found = Vec::new();
    loop {
        let Some(last) = chain.last() else { return (None, found) };
        let current = names.last().map_or(document, String::as_str);
        let mut findings = Findings::of(current);
        let parent = match parent(last, &mut findings) {
            Ok(parent) => parent,
            Err(()) => {
                found.extend(findings.into_list());
                return (None, found);
            }
        };
        let Some((name, span)) = parent else { break };
        let message = if names.contains(&name) {
            Some((Code::ExtendsCycle, format!("extends: {} leads back to itself", shown(&name))))
        } else if chain.len() >= MAX_CHAIN {
            Some((Code::ExtendsCycle, format!("extends: more than {MAX_CHAIN} documents in a chain")))
        } else if !registry.contains_key(&name) {
            Some((Code::ExtendsUnresolved, format!("extends: no document {} is known", shown(&name))))
        } else {
            None
        };
        if let Some((code, message)) = message {
            let known = registry.keys().map(String::as_str);
            let help = did_you_mean(&name, known).unwrap_or_else(|| match registry.len() {
                0 => "give the documents that may be extended as the option `registry`".to_owned(),
                _ => format!("known: {}", registry.keys().map(String::as_str).collect::<Vec<_>>().join(", ")),
            });
            findings.error(code, span, message).help(help);
            found.extend(findings.into_list());
            return (None, found);
        }
        let text = registry.get(&name).cloned().unwrap_or_default();
        let (node, findings) = yaml::read(&name, &text);
        found.extend(findings);
        let Some(node) = node.filter(|node| matches!(node.value, Value::Mapping(_))) else {
            let mut findings = Findings::of(&name);
            findings.error(Code::DocNotMap, span, "the document must be a mapping");
            found.extend(findings.into_list());
            return (None, found);
        };
        names.push(name);
        chain.push(node);
    }
    let merged = chain.into_iter().rev().reduce(merge);
    (merged, found)
}

/// The name that a document extends.
fn parent(node: &Node, findings: &mut Findings) -> Result<Option<(String, crate::diagnostics::Span)>, ()> {
    match node.get("extends") {
        None => Ok(None),
        Some(Node { value: Value::Null, .. }) => Ok(None),
        Some(Node { value: Value::String(name), span, .. }) => Ok(Some((name.clone(), *span))),
        Some(other) => {
            super::fields::wrong_type(findings, other.span, "extends", "a string", &other.value);
            Err(())
        }
    }
}

/// The parent's keys, with the child's laid over them; rules of both, the parent's first.
fn merge(parent: Node, child: Node) -> Node {
    let span = child.span;
    let (Value::Mapping(parent), Value::Mapping(child)) = (parent.value, child.value) else {
        return Node::new(span, Value::Invalid);
    };
    let mut merged: Vec<(Node, Node)> = parent.into_iter().filter(|(key, _)| key.as_str() != Some("extends")).collect();
    for (key, value) in child {
        if key.as_str() == Some("extends") {
            continue;
        }
        match merged.iter_mut().find(|(name, _)| name.as_str() == key.as_str()) {
            Some((_, there)) if key.as_str() == Some("rules") => append(there, value),
            Some((_, there)) => *there = value,
            None => merged.push((key, value)),
        }
    }
    Node::new(span, Value::Mapping(merged))
}

/// A list of rules behind another; what is no list stays for validation to report.
fn append(there: &mut Node, value: Node) {
    match (&mut there.value, value.value) {
        (Value::Sequence(list), Value::Sequence(more)) => list.extend(more),
        (_, other) => *there = Node::new(value.span, other),
    }
}
