//! The front of this module: texts in, one composition and all findings out, in slices.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Document;
use super::check::{Check, Dialect, START};
use super::compose::compose;
use super::composition::Composition;
use super::extends::{Chain, Parent, RuleNode};
use super::header::{Header, header};
use super::merge::merge;
use super::path::Path;
use super::rule;
use super::ruleset::SessionLimits;
use super::vocabulary::refuse_names;
use crate::diagnostics::{Code, Diagnostic, Findings, Span};
use crate::options::Options;
use crate::program::pattern::{Pattern, Use};
use crate::yaml::{Node, Reader, Value, shown};

/// Patterns that are checked of a rule that has other mistakes.
const MAX_PATTERNS: usize = 100;

/// Nodes that are read in the time of one rule.
const NODES_PER_RULE: usize = 64;

/// Reads, validates, composes and merges rulesets. A lone ruleset and several go the same way.
#[derive(Debug)]
pub struct Loader {
    /// Those still to be read; the first one is being read.
    waiting: VecDeque<Guard>,
    /// What became of the others, with the limits of their options.
    loaded: Vec<(Composition, SessionLimits)>,
    stage: Stage,
    findings: Vec<Diagnostic>,
    reference: bool,
    result: Option<Composition>,
}

/// A guard's files and how they are read.
#[derive(Debug)]
struct Guard {
    files: VecDeque<Document>,
    dialect: Dialect,
    registry: BTreeMap<String, String>,
    /// What `extends` looked up: none when it could not be read.
    parents: BTreeMap<String, Option<Node>>,
    limits: SessionLimits,
    headers: Vec<Header>,
    empty: bool,
}

#[derive(Debug)]
enum Stage {
    /// The next file.
    File,
    /// A file's text, or that of a ruleset it extends.
    Text(Box<Text>),
    /// A file's rules.
    Rules(Box<Rules>),
    /// All is done.
    Done,
}

#[derive(Debug)]
struct Text {
    document: Arc<str>,
    hash: String,
    reader: Reader,
    /// None: it is the file itself that is read.
    chain: Option<(Chain, String)>,
    findings: Findings,
}

#[derive(Debug)]
struct Rules {
    header: Header,
    rules: std::vec::IntoIter<RuleNode>,
    ids: BTreeMap<String, Span>,
    findings: Findings,
}

impl Loader {
    /// For these rulesets, left to right, and what the options merge and extend. No work is done here yet.
    #[must_use]
    pub fn new(rulesets: Vec<Document>, options: &Options) -> Self {
        let dialect = Dialect::of(options);
        let mut waiting = VecDeque::from([Guard::new(rulesets, dialect.clone(), options)]);
        let mut findings = Findings::of("options");
        refuse_names(&dialect, &mut findings);
        for (at, merged) in options.merge.iter().enumerate() {
            let mut theirs = Dialect::of(&merged.options);
            refuse_names(&theirs, &mut findings);
            // The host answers for the names of both.
            theirs.operators.extend(dialect.operators.iter().cloned());
            theirs.selectors.extend(dialect.selectors.iter().cloned());
            waiting.push_back(Guard::new(merged.rulesets.clone(), theirs, &merged.options));
            if !merged.options.merge.is_empty() {
                findings
                    .error(
                        Code::Option,
                        Span::default(),
                        format!("merge[{at}].options.merge: a merged guard cannot merge"),
                    )
                    .help("list all guards in the one `merge`");
            }
        }
        Self {
            waiting,
            loaded: Vec::new(),
            stage: Stage::File,
            findings: findings.into_list(),
            reference: options.reference(),
            result: None,
        }
    }

    /// Works on, as much as so many rules take; true when done.
    pub fn advance(&mut self, rules: usize) -> bool {
        for _ in 0..rules {
            if matches!(self.stage, Stage::Done) {
                break;
            }
            self.step();
        }
        matches!(self.stage, Stage::Done)
    }

    /// What came out, and all findings: those of each file in load order, by place, then those of the composition.
    ///
    /// Rules with errors are left out of the composition, so that later steps can find more; a caller that sees an error
    /// among the findings must not use it for decisions. Does what is left to do.
    #[must_use]
    pub fn finish(mut self) -> (Option<Composition>, Vec<Diagnostic>) {
        while !self.advance(usize::MAX) {}
        // Two files that extend the same one find the same in it.
        let mut seen = BTreeSet::new();
        self.findings.retain(|finding| seen.insert((finding.document.clone(), finding.span, finding.message.clone())));
        (self.result, self.findings)
    }

    fn step(&mut self) {
        let Some(guard) = self.waiting.front_mut() else {
            self.stage = Stage::Done;
            return;
        };
        self.stage = match std::mem::replace(&mut self.stage, Stage::File) {
            Stage::File => match guard.files.pop_front() {
                Some(file) => open(file),
                None => {
                    self.close_guard();
                    if self.waiting.is_empty() { self.close() } else { Stage::File }
                }
            },
            Stage::Text(mut text) => {
                if text.reader.advance(NODES_PER_RULE) {
                    guard.close_text(*text, &mut self.findings)
                } else {
                    Stage::Text(text)
                }
            }
            Stage::Rules(mut rules) => match rules.rules.next() {
                Some(node) => {
                    guard.check_rule(&node, &mut rules);
                    Stage::Rules(rules)
                }
                None => {
                    self.findings.extend(rules.findings.into_list());
                    guard.headers.push(rules.header);
                    Stage::File
                }
            },
            Stage::Done => Stage::Done,
        };
    }

    fn close_guard(&mut self) {
        let Some(guard) = self.waiting.pop_front() else { return };
        let mut findings = Findings::of("rulesets");
        if guard.empty {
            findings
                .error(Code::DocEmpty, Span::default(), "a guard needs at least one ruleset")
                .help("give it a ruleset, or a built-in template");
        }
        let composition = compose(&guard.headers, guard.dialect.reference, &mut findings);
        self.loaded.extend(composition.map(|composition| (composition, guard.limits)));
        self.findings.extend(findings.into_list());
    }

    fn close(&mut self) -> Stage {
        let mut loaded = std::mem::take(&mut self.loaded).into_iter();
        let mut findings = Findings::of("rulesets");
        // The first guard's own limits are in its options, where later steps find them.
        self.result = loaded.next().map(|(first, _)| merge(first, loaded.collect(), self.reference, &mut findings));
        self.findings.extend(findings.into_list());
        Stage::Done
    }
}

/// Begins to read a file.
fn open(file: Document) -> Stage {
    let document: Arc<str> = Arc::from(file.name);
    let hash = hex::encode(Sha256::digest(&file.text));
    let reader = Reader::new(&document, file.text);
    let findings = Findings::of(&document);
    Stage::Text(Box::new(Text { document, hash, reader, chain: None, findings }))
}

impl Guard {
    fn new(rulesets: Vec<Document>, dialect: Dialect, options: &Options) -> Self {
        Self {
            empty: rulesets.is_empty(),
            files: rulesets.into(),
            dialect,
            registry: options.registry.clone(),
            parents: BTreeMap::new(),
            limits: options.limits.clone(),
            headers: Vec::new(),
        }
    }

    /// A text is read: the file's own, or that of a ruleset it extends.
    fn close_text(&mut self, text: Text, all: &mut Vec<Diagnostic>) -> Stage {
        let Text { document, hash, reader, chain, mut findings } = text;
        let (root, found) = reader.finish();
        let name: Arc<str> =
            chain.as_ref().map_or_else(|| Arc::clone(&document), |(_, parent)| Arc::from(parent.as_str()));
        findings.enter(&name);
        let root = usable(root, found, &mut findings);
        let chain = match (chain, root) {
            (None, None) => {
                all.extend(findings.into_list());
                return Stage::File;
            }
            (None, Some(root)) => Chain::of(name, root),
            (Some((mut chain, parent)), root) => {
                self.parents.insert(parent, root.clone());
                chain.push(name, root);
                chain
            }
        };
        self.follow(Text { document, hash, reader: Reader::new("", ""), chain: None, findings }, chain)
    }

    /// Goes on with the parent of the last document of the chain, or with the rules when it has none.
    fn follow(&mut self, mut text: Text, mut chain: Chain) -> Stage {
        while let Parent::Named(parent) = chain.parent(|name| self.registry.contains_key(name), &mut text.findings) {
            if let Some(root) = self.parents.get(&parent) {
                chain.push(Arc::from(parent), root.clone());
                continue;
            }
            let yaml = self.registry.get(&parent).map_or("", String::as_str);
            text.reader = Reader::new(&parent, yaml);
            text.chain = Some((chain, parent));
            return Stage::Text(Box::new(text));
        }
        let Text { document, hash, mut findings, .. } = text;
        let resolved = chain.resolve(&mut findings);
        let header = header(&resolved, &document, hash, &mut Check::new(&self.dialect, &mut findings));
        let rules = resolved.rules.into_iter();
        Stage::Rules(Box::new(Rules { header, rules, ids: BTreeMap::new(), findings }))
    }

    fn check_rule(&self, rule: &RuleNode, rules: &mut Rules) {
        let list = Path::Root.key("rules");
        let path = list.item(rule.index);
        let findings = &mut rules.findings;
        findings.enter(&rule.document);
        let mut check = Check::new(&self.dialect, findings);
        let checked = rule::rule(&rule.node, &path, &rule.document, &mut check);
        let patterns = check.into_patterns();
        let head = rule::head(&rule.node);
        if checked.is_none() {
            // No later step sees this rule; what is wrong with its patterns is said now, with the rest.
            for (pattern, span) in patterns.iter().take(MAX_PATTERNS) {
                if let Err(error) = Pattern::compile(pattern, Use::Search) {
                    let finding = findings.error(error.code, *span, error.in_rule(&head.id, pattern));
                    error.help.into_iter().for_each(|help| {
                        finding.help(help);
                    });
                }
            }
        }
        if !head.id.is_empty() {
            if let Some(first) = rules.ids.get(&head.id) {
                findings
                    .error(
                        Code::DupRuleId,
                        head.span,
                        format!("{path}.id: another rule is called {} too", shown(&head.id)),
                    )
                    .help(format!("the first one is on line {}", first.line));
                return;
            }
            rules.ids.insert(head.id, head.span);
        }
        rules.header.ruleset.rules.extend(checked.map(Arc::new));
    }
}

/// The root, when it is a map.
pub(super) fn usable(root: Option<Node>, found: Vec<Diagnostic>, findings: &mut Findings) -> Option<Node> {
    let readable = found.is_empty();
    findings.extend(found);
    match root {
        Some(root) if matches!(root.value, Value::Mapping(_)) => Some(root),
        Some(Node { value: Value::Invalid, .. }) => None,
        Some(root) => {
            let what = format!("the document must be a mapping, not {}", root.value.kind());
            findings.error(Code::DocNotMap, root.span, what).help("begin with `apiVersion: edictum/v1`");
            None
        }
        None => {
            if readable {
                findings
                    .error(Code::DocEmpty, START, "the document is empty, and must be a mapping")
                    .help("begin with `apiVersion: edictum/v1`");
            }
            None
        }
    }
}
