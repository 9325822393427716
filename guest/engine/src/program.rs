//! Validated documents → what runs. A [`Program`] is immutable, holds every rule of a guard in the order of its files, and
//! finds the few rules of a call that can fire without looking at the others.
//!
//! * `compile` makes it in slices ([`Compiler`]);
//! * `scan` is the hot path: which rules fire for a call ([`Scan`], [`Fired`]);
//! * [`pattern`] is Python's regular expressions on a linear-time engine, [`glob`] is `fnmatch`;
//! * `message` expands templates, [`text`] writes values the way messages and `output.text` show them.
//!
//! It decides nothing: what a fired rule means for the call is for the pipeline to say. Paths, commands and hosts of
//! sandbox rules are compiled elsewhere; a sandbox rule only keeps its source here.

mod classes;
mod compile;
mod environment;
mod expression;
pub mod glob;
mod guard;
mod index;
mod keys;
mod message;
#[cfg(test)]
mod naive;
mod needles;
mod paths;
pub mod pattern;
mod probe;
mod scan;
mod selector;
mod sets;
mod tables;
#[cfg(test)]
mod tests;
pub mod text;
mod tools;

use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) use compile::MAX_PROGRAMS;
pub use compile::{Compiler, OPERATORS};
pub use message::{Expanded, Message, MessageRedaction};
pub use pattern::Pattern;
pub use scan::{Fired, FiredRules, Outcomes, Scan};

use self::expression::Expression;
use self::selector::Selector;
use self::tools::Tools;
use crate::call::Subject;
use crate::documents::ruleset::{self, Approval, Mode, PostAction, PreAction, SessionLimits};
use crate::json::{Json, Literal};

/// Compiled rules. Made by [`Compiler`].
#[derive(Debug, Default)]
pub struct Program {
    rules: Vec<Rule>,
    /// By rule; none for rules that have no `when`.
    expressions: Vec<Option<Expression>>,
    selectors: Vec<Selector>,
    tools: Tools,
    sessions: Vec<usize>,
    needs: Needs,
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its id in the composition: `{id}:candidate` for a candidate.
    pub id: String,
    /// The mode it runs in.
    pub mode: Mode,
    /// Judged beside the others, never effective.
    pub candidate: bool,
    /// What it does.
    pub body: Body,
    /// What it tells the agent.
    pub message: Message,
    /// In order, duplicates kept; empty for a sandbox rule.
    pub tags: Vec<String>,
    /// A map, when present.
    pub metadata: Option<Literal>,
    /// The record that says it passed, as JSON: `{"name":…,"type":…,"passed":true,"message":null}` (engine.md §8.2).
    pub passed_record: Json,
    /// As it stands in its document.
    pub source: Arc<ruleset::Rule>,
}

/// The four types of rules.
#[derive(Clone, Debug)]
pub enum Body {
    /// Checked before the tool runs.
    Pre {
        /// Effect when it fires.
        action: PreAction,
        /// For `ask`.
        approval: Approval,
    },
    /// Checked after it ran.
    Post {
        /// Effect when it fires.
        action: PostAction,
        /// What a `redact` replaces: all patterns under `output.text` and `result.*`, in the order of the tree
        /// (engine.md §8.7). Empty for the other actions.
        redact: Vec<Arc<Pattern>>,
    },
    /// Limits of a session.
    Session {
        /// At least one is set.
        limits: SessionLimits,
    },
    /// Boundaries; the rest is in [`Rule::source`].
    Sandbox {
        /// Effect of a call outside.
        action: PreAction,
        /// For `ask`.
        approval: Approval,
    },
}

impl Body {
    /// `type` of the rule's records (engine.md §8.2).
    #[must_use]
    pub const fn record_type(&self) -> &'static str {
        match self {
            Self::Pre { .. } => "precondition",
            Self::Post { .. } => "postcondition",
            Self::Session { .. } => "session_contract",
            Self::Sandbox { .. } => "sandbox",
        }
    }
}

/// When rules are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the tool runs.
    Pre,
    /// After it ran.
    Post,
}

/// What rules and messages may read or call that a host must provide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Prefixes of custom selectors.
    pub selectors: BTreeSet<String>,
    /// Names of custom operators.
    pub operators: BTreeSet<String>,
    /// Environment variables.
    pub env: BTreeSet<String>,
    /// Whether `output.text` or `result.*` is read.
    pub output: bool,
}

/// Indices into [`Program::rules`] of the rules for one tool, ascending, candidates included.
#[derive(Clone, Debug)]
pub struct ToolRules<'p> {
    /// Preconditions.
    pub pre: RuleList<'p>,
    /// Sandbox rules.
    pub sandbox: RuleList<'p>,
    /// Postconditions.
    pub post: RuleList<'p>,
}

/// Ascending indices into [`Program::rules`].
#[derive(Clone, Debug, Default)]
pub struct RuleList<'p> {
    first: &'p [usize],
    /// Of further globs, where they are not merged.
    others: Vec<&'p [usize]>,
}

impl<'p> RuleList<'p> {
    fn add(&mut self, list: &'p [usize]) {
        if self.first.is_empty() {
            self.first = list;
        } else if !list.is_empty() {
            self.others.push(list);
        }
    }
}

impl RuleList<'_> {
    /// How many preconditions or postconditions are left; a sandbox rule may be counted twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.others.iter().fold(self.first.len(), |sum, list| sum + list.len())
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'p> Iterator for RuleList<'p> {
    type Item = &'p usize;

    fn next(&mut self) -> Option<&'p usize> {
        if self.others.is_empty() {
            let (next, rest) = self.first.split_first()?;
            self.first = rest;
            return Some(next);
        }
        let next = std::iter::once(&self.first).chain(&self.others).filter_map(|list| list.first()).min()?;
        for list in std::iter::once(&mut self.first).chain(&mut self.others) {
            // A sandbox rule can be in several lists.
            if list.first() == Some(next) {
                *list = list.get(1..).unwrap_or_default();
            }
        }
        Some(next)
    }
}

impl Program {
    /// Every rule in the order of the composition.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules for a tool, by its exact name (code point by code point).
    #[must_use]
    pub fn rules_for(&self, tool: &str) -> ToolRules<'_> {
        let mut rules = ToolRules { pre: RuleList::default(), sandbox: RuleList::default(), post: RuleList::default() };
        for section in self.tools.sections(tool) {
            rules.pre.add(section.pre.rules());
            rules.sandbox.add(&section.sandbox);
            rules.post.add(section.post.rules());
        }
        rules
    }

    /// Indices of session rules, ascending, candidates included. They are for every tool.
    #[must_use]
    pub fn session_rules(&self) -> &[usize] {
        &self.sessions
    }

    /// What a host must provide.
    #[must_use]
    pub fn needs(&self) -> &Needs {
        &self.needs
    }

    /// Finds the rules of one phase that can fire.
    #[must_use]
    pub fn scan<'p, 'c>(&'p self, phase: Phase, subject: Subject<'c>) -> Scan<'p, 'c> {
        Scan::new(self, phase, subject)
    }
}
