//! The front of this module: texts in, one composition and all findings out, in slices.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::composition::Composition;
use super::fields::items;
use super::ruleset::{Mode, Rule, Ruleset};
use super::{Document, compose, extends, hash, merge, validate};
use crate::diagnostics::{Code, Diagnostic, Findings, Severity, Span};
use crate::options::Options;
use crate::yaml::{Node, Reader, Value, shown};

/// YAML nodes that are read for each rule of a slice: a rule of usual size has about so many.
const NODES_PER_RULE: usize = 24;

/// Reads, validates, composes and merges rulesets. A lone ruleset and several go the same way.
#[derive(Debug)]
pub struct Loader {
    options: Options,
    /// The guard itself, then those that are merged behind it.
    groups: VecDeque<(Vec<Document>, Options)>,
    open: Option<Group>,
    done: Vec<(Option<Composition>, Options)>,
    diagnostics: Vec<Diagnostic>,
}

/// The rulesets of one guard.
#[derive(Debug)]
struct Group {
    options: Options,
    waiting: VecDeque<Document>,
    file: Option<File>,
    rulesets: Vec<Ruleset>,
}

/// One ruleset on its way.
#[derive(Debug)]
enum File {
    Reading { document: Document, reader: Box<Reader> },
    Rules(Box<Rules>),
}

#[derive(Debug)]
struct Rules {
    document: Arc<str>,
    hash: String,
    head: validate::Head,
    nodes: std::vec::IntoIter<Node>,
    index: usize,
    ids: BTreeMap<String, Span>,
    rules: Vec<Arc<Rule>>,
    findings: Findings,
}

impl Loader {
    /// For these rulesets, left to right, and what the options merge and extend. No work is done here yet.
    #[must_use]
    pub fn new(rulesets: Vec<Document>, options: &Options) -> Self {
        let mut groups = VecDeque::from([(rulesets, options.clone())]);
        for merged in &options.merge {
            let mut own = (*merged.options).clone();
            // What decides how files are read is the first guard's where the further one says nothing.
            own.compat = own.compat.or(options.compat);
            own.operators.extend(options.operators.iter().cloned());
            own.selectors.extend(options.selectors.iter().cloned());
            for (name, text) in &options.registry {
                own.registry.entry(name.clone()).or_insert_with(|| text.clone());
            }
            groups.push_back((merged.rulesets.clone(), own));
        }
        Self { options: options.clone(), groups, open: None, done: Vec::new(), diagnostics: Vec::new() }
    }

    /// Works on, as much as so many rules take; true when done.
    pub fn advance(&mut self, rules: usize) -> bool {
        let rules = rules.max(1);
        let Some(group) = &mut self.open else {
            let Some((waiting, options)) = self.groups.pop_front() else { return true };
            if waiting.is_empty() {
                let mut findings = Findings::of("");
                findings
                    .error(Code::DocEmpty, Span::default(), "there is no ruleset")
                    .help("give at least one document of `kind: Ruleset`");
                self.diagnostics.extend(findings.into_list());
            }
            self.open = Some(Group { options, waiting: waiting.into(), file: None, rulesets: Vec::new() });
            return false;
        };
        if group.advance(rules, &mut self.diagnostics) {
            let Some(group) = self.open.take() else { return false };
            let (composition, warnings) = compose::compose(&group.rulesets, &group.options);
            self.diagnostics.extend(warnings);
            self.done.push((composition, group.options));
        }
        self.open.is_none() && self.groups.is_empty()
    }

    /// What came out, and all findings in load order. Rules with errors are left out of the composition, so that later
    /// steps can find more; a caller that sees an error among the findings must not use it for decisions.
    #[must_use]
    pub fn finish(mut self) -> (Option<Composition>, Vec<Diagnostic>) {
        while !self.advance(usize::MAX) {}
        let mut groups = self.done.into_iter();
        let mut first = groups.next().and_then(|(composition, _)| composition);
        for (further, own) in groups {
            if let (Some(first), Some(further)) = (&mut first, further) {
                merge::merge(first, further, &self.options, &own);
            }
        }
        (first, self.diagnostics)
    }
}

impl Group {
    /// True: all its files are read.
    fn advance(&mut self, rules: usize, diagnostics: &mut Vec<Diagnostic>) -> bool {
        match self.file.take() {
            None => {
                let Some(document) = self.waiting.pop_front() else { return true };
                let reader = Box::new(Reader::new(&document.name, document.text.as_str()));
                self.file = Some(File::Reading { document, reader });
            }
            Some(File::Reading { document, mut reader }) => {
                if reader.advance(rules.saturating_mul(NODES_PER_RULE)) {
                    self.file = begin(&document, *reader, &self.options, diagnostics).map(Box::new).map(File::Rules);
                } else {
                    self.file = Some(File::Reading { document, reader });
                }
            }
            Some(File::Rules(mut file)) => {
                if file.advance(rules, &self.options) {
                    let (ruleset, found) = file.finish();
                    self.rulesets.push(ruleset);
                    diagnostics.extend(found);
                } else {
                    self.file = Some(File::Rules(file));
                }
            }
        }
        self.file.is_none() && self.waiting.is_empty()
    }
}

/// Resolves `extends` and reads everything but the rules.
fn begin(document: &Document, reader: Reader, options: &Options, diagnostics: &mut Vec<Diagnostic>) -> Option<Rules> {
    let (root, found) = reader.finish();
    let broken = found.iter().any(|finding| finding.severity == Severity::Error);
    diagnostics.extend(found);
    let mut findings = Findings::of(&document.name);
    let Some(root) = root else {
        if !broken {
            findings
                .error(Code::DocNotMap, Span::default(), "the document is empty; it must be a mapping")
                .help("begin with `apiVersion: edictum/v1` and `kind: Ruleset`");
        }
        diagnostics.extend(findings.into_list());
        return None;
    };
    let (root, found) = extends::resolve(root, &document.name, &options.registry);
    diagnostics.extend(found);
    let root = root?;
    let Some(head) = validate::head(&root, &mut findings) else {
        diagnostics.extend(findings.into_list());
        return None;
    };
    let rules = rules(root, &mut findings);
    Some(Rules {
        document: Arc::from(document.name.as_str()),
        hash: hash(document.text.as_bytes()),
        head,
        nodes: rules.into_iter(),
        index: 0,
        ids: BTreeMap::new(),
        rules: Vec::new(),
        findings,
    })
}

/// The nodes of the rules.
fn rules(root: Node, findings: &mut Findings) -> Vec<Node> {
    let span = root.span;
    let Value::Mapping(entries) = root.value else { return Vec::new() };
    let first = entries.first().map_or(span, |(key, _)| key.span);
    let Some((_, node)) = entries.into_iter().find(|(key, _)| key.as_str() == Some("rules")) else {
        findings
            .error(Code::MissingField, first, "missing required field `rules`")
            .help("add `rules:` with at least one rule");
        return Vec::new();
    };
    if items(&node, "rules", findings).is_none() {
        return Vec::new();
    }
    match node.value {
        Value::Sequence(nodes) => nodes,
        _ => Vec::new(),
    }
}

impl Rules {
    /// True: all rules are read.
    fn advance(&mut self, rules: usize, options: &Options) -> bool {
        for node in self.nodes.by_ref().take(rules) {
            let path = format!("rules[{}]", self.index);
            self.index += 1;
            let rule = validate::rule::read(&node, &path, &self.document, options, &mut self.findings);
            // Also a rule with errors has used its id.
            let id = node.get("id").and_then(|id| Some((id.as_str()?, id.span)));
            if let Some((id, span)) = id
                && let Some(first) = self.ids.insert(id.to_owned(), span)
            {
                self.findings
                    .error(Code::DupRuleId, span, format!("{path}.id: {} is a duplicate rule id", shown(id)))
                    .help(format!("it is already used in line {}", first.line));
                continue;
            }
            self.rules.extend(rule.map(Arc::new));
        }
        self.nodes.len() == 0
    }

    fn finish(self) -> (Ruleset, Vec<Diagnostic>) {
        let ruleset = Ruleset {
            document: self.document,
            hash: self.hash,
            name: self.head.name,
            description: self.head.description,
            mode: self.head.mode.unwrap_or(Mode::Enforce),
            rules: self.rules,
            tools: self.head.tools,
            observability: self.head.observability,
            observe_alongside: self.head.observe_alongside,
        };
        (ruleset, self.findings.into_list())
    }
}
