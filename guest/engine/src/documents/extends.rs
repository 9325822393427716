//! `extends`: a chain of documents, made into one before it is validated (engine.md §12.4).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::header::means_rules;
use crate::diagnostics::{Code, Findings, Span};
use crate::yaml::{Node, Value, shown};

/// Most documents in a chain, the file itself included.
pub const MAX_CHAIN: usize = 50;

/// A document after `extends`: the entries of its root and its rules, each with the document it stands in.
#[derive(Debug)]
pub(super) struct Resolved {
    /// Of the root; the value of `rules` is empty, they are in [`Resolved::rules`].
    pub(super) entries: Vec<(Node, Node)>,
    /// Of each entry.
    pub(super) documents: Vec<Arc<str>>,
    /// The parents' first.
    pub(super) rules: Vec<RuleNode>,
    /// What there was under `rules`, or its parents'.
    pub(super) list: RuleList,
}

/// A rule that is not checked yet.
#[derive(Debug)]
pub(super) struct RuleNode {
    pub(super) node: Node,
    pub(super) document: Arc<str>,
    /// Its place in the list of that document.
    pub(super) index: usize,
}

/// Whether there are rules at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RuleList {
    /// No key.
    Absent,
    /// A list, maybe empty; the key of the last one.
    Present(Span),
    /// None could be had, and that is reported.
    Refused,
}

/// The file and its ancestors so far.
#[derive(Debug)]
pub(super) struct Chain {
    /// The file first, each followed by its parent.
    links: Vec<(Arc<str>, Node)>,
    /// Names looked up, for cycles.
    names: Vec<String>,
    /// It ends too early; that is reported.
    broken: bool,
}

/// What `extends` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parent {
    /// Nothing: the chain is complete.
    None,
    /// This document.
    Named(String),
    /// Something that is reported.
    Refused,
}

impl Chain {
    pub(super) fn of(document: Arc<str>, root: Node) -> Self {
        Self { links: vec![(document, root)], names: Vec::new(), broken: false }
    }

    /// The parent that was looked up; none when it could not be read.
    pub(super) fn push(&mut self, document: Arc<str>, root: Option<Node>) {
        match root {
            Some(root) => self.links.push((document, root)),
            None => self.broken = true,
        }
    }

    /// The parent of the last document of the chain, which `known` says to exist.
    pub(super) fn parent(&mut self, known: impl Fn(&str) -> bool, findings: &mut Findings) -> Parent {
        let parent = self.look_up(known, findings);
        self.broken |= parent == Parent::Refused;
        parent
    }

    fn look_up(&mut self, known: impl Fn(&str) -> bool, findings: &mut Findings) -> Parent {
        let Some((document, root)) = self.links.last().filter(|_| !self.broken) else { return Parent::None };
        let entry = root.entries().unwrap_or(&[]).iter().find(|(key, _)| key.as_str() == Some("extends"));
        let Some((key, value)) = entry else { return Parent::None };
        findings.enter(document);
        let name = match &value.value {
            Value::Null => return Parent::None,
            Value::Invalid => return Parent::Refused,
            Value::String(name) | Value::Int(name) | Value::Date(name) => name.clone(),
            other => {
                let what = format!("extends: must be a string, not {}", other.kind());
                findings.error(Code::Type, value.span, what).help("name one ruleset");
                return Parent::Refused;
            }
        };
        let span = if value.span.end_column > value.span.column { value.span } else { key.span };
        if self.names.contains(&name) {
            let way = self.names.iter().map(|name| shown(name)).collect::<Vec<_>>().join(" → ");
            findings.error(Code::ExtendsCycle, span, format!("extends: {} leads back to itself: {way}", shown(&name)));
            return Parent::Refused;
        }
        if self.links.len() >= MAX_CHAIN {
            let what = format!("extends: a chain of more than {MAX_CHAIN} documents");
            findings.error(Code::ExtendsCycle, span, what);
            return Parent::Refused;
        }
        if !known(&name) {
            let what = format!("extends: there is no ruleset {}", shown(&name));
            findings
                .error(Code::ExtendsUnresolved, span, what)
                .help("give the guard a `registry` that has a ruleset of this name");
            return Parent::Refused;
        }
        self.names.push(name.clone());
        Parent::Named(name)
    }

    /// Parents' keys first; a child's replace them, but its rules come after theirs.
    pub(super) fn resolve(self, findings: &mut Findings) -> Resolved {
        let list = if self.broken { RuleList::Refused } else { RuleList::Absent };
        let mut resolved = Resolved { entries: Vec::new(), documents: Vec::new(), rules: Vec::new(), list };
        let mut places = BTreeMap::new();
        for (document, root) in self.links.into_iter().rev() {
            let Value::Mapping(entries) = root.value else { continue };
            let named = entries.iter().any(|(key, _)| key.as_str() == Some("rules"));
            for (key, value) in entries {
                let is_rules = match key.as_str() {
                    // Resolved by now, or reported.
                    Some("extends") => continue,
                    Some("rules") => true,
                    Some(other) => !named && means_rules(other),
                    None => false,
                };
                let value = if is_rules { resolved.take_rules(&key, value, &document, findings) } else { value };
                resolved.put(key, value, &document, &mut places);
            }
        }
        resolved
    }
}

impl Resolved {
    fn put(&mut self, key: Node, value: Node, document: &Arc<str>, places: &mut BTreeMap<String, usize>) {
        let at = *places.entry(key.as_str().unwrap_or("").to_owned()).or_insert(self.entries.len());
        match (self.entries.get_mut(at), self.documents.get_mut(at)) {
            (Some(entry), Some(owner)) => (*entry, *owner) = ((key, value), Arc::clone(document)),
            _ => {
                self.entries.push((key, value));
                self.documents.push(Arc::clone(document));
            }
        }
    }

    /// Leaves an empty value behind.
    fn take_rules(&mut self, key: &Node, value: Node, document: &Arc<str>, findings: &mut Findings) -> Node {
        let rest = Node::new(value.span, Value::Null);
        match value.value {
            Value::Sequence(list) => {
                if self.list != RuleList::Refused {
                    self.list = RuleList::Present(key.span);
                }
                let rule = |(index, node)| RuleNode { node, document: Arc::clone(document), index };
                self.rules.extend(list.into_iter().enumerate().map(rule));
            }
            other => {
                if !matches!(other, Value::Invalid) {
                    findings.enter(document);
                    findings.error(Code::Type, key.span, format!("rules: must be a list, not {}", other.kind()));
                }
                self.list = RuleList::Refused;
            }
        }
        rest
    }
}
