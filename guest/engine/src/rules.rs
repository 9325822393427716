//! A policy as the pipeline sees it: compiled rules, limits, sandboxes and the options they run under. Immutable, and
//! shared by every call. Made by [`crate::policy::Preparation`].

use std::collections::BTreeMap;
use std::sync::Arc;

use std::borrow::Cow;

use crate::call::{Call, Purpose, Subject, ToolRegistry};
use crate::documents::composition::Composition;
use crate::documents::ruleset::Mode;
use crate::inquiry::Phase;
use crate::json::Tape;
use crate::options::Options;
use crate::program::glob::Glob;
use crate::program::{MessageRedaction, Needs, Program};
use crate::record::event::Log;
use crate::redaction::Redactor;
use crate::sandbox::{self, Sandbox, Touched};
use crate::session::limits::Limits;
use crate::workflow::definition::Workflow;

/// The environment of a guard that names none.
pub const DEFAULT_ENVIRONMENT: &str = "production";

/// Everything that a step of a call looks at.
#[derive(Debug)]
pub struct Rules {
    /// Where the rules come from, and what layering did to them.
    pub composition: Composition,
    /// The guard's options.
    pub options: Options,
    /// The guard's mode.
    pub mode: Mode,
    /// What `environment` is when a call names none.
    pub environment: String,
    /// Expressions and messages.
    pub program: Program,
    /// What the program may ask for.
    pub needs: Needs,
    /// Counters' limits.
    pub limits: Limits,
    /// Classes of tools.
    pub registry: ToolRegistry,
    /// What leaves the process without its secrets.
    pub redactor: Arc<Redactor>,
    /// Stages that calls must go through; shared by policies that were given the same one.
    pub workflow: Option<Arc<Workflow>>,
    /// Whether any rule is only proposed.
    pub has_candidates: bool,
    /// Directories that relative paths begin at.
    pub(crate) places: sandbox::Context,
    /// By index of the rule.
    pub(crate) sandboxes: BTreeMap<usize, Sandbox>,
    /// Hooks with their compiled globs, in the order in which they count.
    pub(crate) hooks: Vec<(Glob, crate::options::Hook)>,
    /// What was found in the documents that is no error.
    pub(crate) warnings: Vec<crate::diagnostics::Diagnostic>,
}

impl Rules {
    /// SHA-256 hex as in the decision log.
    #[must_use]
    pub fn revision(&self) -> &str {
        &self.composition.policy_version
    }

    /// The sandbox of a rule.
    #[must_use]
    pub fn sandbox(&self, rule: usize) -> Option<&Sandbox> {
        self.sandboxes.get(&rule)
    }

    /// What a call touches, as far as sandboxes of its tool look at it; none when there are none.
    #[must_use]
    pub fn touched<'c>(&self, call: &'c Call<'c>) -> Option<Touched<'c>> {
        let rules = self.program.rules_for(call.tool).sandbox.filter_map(|rule| self.sandbox(*rule));
        let needs = rules.map(Sandbox::needs).reduce(sandbox::Needs::and)?;
        Some(Touched::of(call, &self.places, needs))
    }

    /// As much of a call as its text gives.
    #[must_use]
    pub fn call_of<'t>(&self, tape: Option<&'t Tape<'t>>) -> Call<'t> {
        match tape.map(|tape| Call::read(tape, &self.registry, Purpose::Execute)) {
            Some(Ok(call)) => call,
            Some(Err(refused)) => *refused.call,
            None => Call::unreadable(),
        }
    }

    /// Names of the hooks for a tool.
    #[must_use]
    pub fn hooks_for(&self, tool: &str, phase: Phase) -> Vec<String> {
        self.hooks
            .iter()
            .filter(|(_, hook)| if phase == Phase::Before { hook.before } else { hook.after })
            .filter(|(glob, _)| glob.matches(tool))
            .map(|(_, hook)| hook.name.clone())
            .collect()
    }

    /// The log of a step of a call.
    #[must_use]
    pub fn log<'s>(&'s self, subject: Subject<'s>, place: u32, now: u64) -> Log<'s> {
        Log {
            subject,
            policy_version: self.revision(),
            mode: self.mode.as_str(),
            redactor: &self.redactor,
            now,
            bare: self.options.bare_events,
            place,
            events: Vec::new(),
            arguments: None,
        }
    }
}

impl MessageRedaction for Redactor {
    fn is_sensitive_key(&self, key: &str) -> bool {
        self.is_sensitive_key(key)
    }

    fn secrets<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.secrets(text)
    }
}
