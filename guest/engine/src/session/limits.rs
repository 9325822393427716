//! Limits of a session: those of the options, narrowed by session rules, and the texts they block with.
//! Source of the rules: engine.md §7.2–7.4.

use std::collections::BTreeMap;

use super::counters::Counters;
use crate::documents::composition::Composition;
use crate::documents::ruleset::{Mode, RuleBody, SessionLimits};
use crate::options::Options;

/// Attempts when nothing says otherwise.
pub const DEFAULT_MAX_ATTEMPTS: u64 = 500;
/// Executions when nothing says otherwise.
pub const DEFAULT_MAX_TOOL_CALLS: u64 = 200;

/// What a guard holds its sessions to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A call is blocked when so many attempts, itself included, have been made: one less gets through.
    pub max_attempts: u64,
    /// A call is blocked when so many have run.
    pub max_tool_calls: u64,
    /// The same for single tools, by exact name.
    pub per_tool: BTreeMap<String, u64>,
    /// Session rules in their order.
    pub checks: Vec<Check>,
}

/// A session rule with the limits it is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Index of the rule in its composition.
    pub rule: usize,
    /// Compared with executions.
    pub max_tool_calls: Option<u64>,
    /// Compared with attempts.
    pub max_attempts: Option<u64>,
    /// Compared with executions of the tool; empty for enforced rules, whose tools are [`Limits::per_tool`].
    pub per_tool: BTreeMap<String, u64>,
}

impl Check {
    /// Whether the rule is broken by a call of `tool`.
    #[must_use]
    pub fn broken(&self, tool: &str, counters: &Counters) -> bool {
        self.max_tool_calls.is_some_and(|limit| counters.executions >= limit)
            || self.max_attempts.is_some_and(|limit| counters.attempts >= limit)
            || self.per_tool.get(tool).is_some_and(|limit| counters.tool.unwrap_or(0) >= *limit)
    }
}

impl Limits {
    /// The limits of a composition under these options.
    #[must_use]
    pub fn of(composition: &Composition, options: &Options) -> Self {
        let mut limits = Self {
            max_attempts: options.limits.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS),
            max_tool_calls: options.limits.max_tool_calls.unwrap_or(DEFAULT_MAX_TOOL_CALLS),
            per_tool: options.limits.max_calls_per_tool.clone(),
            checks: Vec::new(),
        };
        limits.narrow(&composition.limits);
        for (rule, effective) in composition.rules.iter().enumerate() {
            let RuleBody::Session(session) = &effective.rule.body else { continue };
            // The reference lets session rules act whatever their mode is (engine.md §7.4).
            let acts = !effective.candidate && (effective.mode == Mode::Enforce || options.reference());
            let check = if acts {
                limits.narrow(&session.limits);
                // Cumulative: a rule that only sets attempts also fires at the executions that hold so far.
                Check {
                    rule,
                    max_tool_calls: Some(limits.max_tool_calls),
                    max_attempts: Some(limits.max_attempts),
                    per_tool: BTreeMap::new(),
                }
            } else if options.reference() {
                // The reference compares proposed rules with the enforced limits, which have held by then.
                Check { rule, max_tool_calls: None, max_attempts: None, per_tool: BTreeMap::new() }
            } else {
                Check {
                    rule,
                    max_tool_calls: session.limits.max_tool_calls,
                    max_attempts: session.limits.max_attempts,
                    per_tool: session.limits.max_calls_per_tool.clone(),
                }
            };
            limits.checks.push(check);
        }
        limits
    }

    /// Takes the smaller of each: a rule never raises a limit.
    fn narrow(&mut self, other: &SessionLimits) {
        self.max_attempts = self.max_attempts.min(other.max_attempts.unwrap_or(u64::MAX));
        self.max_tool_calls = self.max_tool_calls.min(other.max_tool_calls.unwrap_or(u64::MAX));
        for (tool, limit) in &other.max_calls_per_tool {
            let current = self.per_tool.entry(tool.clone()).or_insert(*limit);
            *current = (*current).min(*limit);
        }
    }

    /// Whether the executions of this tool have to be read.
    #[must_use]
    pub fn counts_tool(&self, tool: &str) -> bool {
        self.per_tool.contains_key(tool) || self.checks.iter().any(|check| check.per_tool.contains_key(tool))
    }

    /// Tools that have a limit, for stores that cannot list.
    pub fn limited_tools(&self) -> impl Iterator<Item = &str> {
        let own = self.checks.iter().flat_map(|check| check.per_tool.keys());
        self.per_tool.keys().chain(own).map(String::as_str)
    }
}

/// A limit that is reached, when no rule with a message of its own reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// `attempt_limit` or `operation_limit`.
    pub source: &'static str,
    /// The limit's name.
    pub name: String,
    /// For the agent.
    pub reason: String,
}

impl Limits {
    /// The first step of a decision.
    #[must_use]
    pub fn attempts_reached(&self, counters: &Counters) -> Option<Reached> {
        (counters.attempts >= self.max_attempts).then(|| Reached {
            source: "attempt_limit",
            name: "max_attempts".to_owned(),
            reason: format!(
                "Attempt limit reached ({}). Agent may be stuck in a retry loop. Stop and reassess.",
                self.max_attempts
            ),
        })
    }

    /// The last step of a decision.
    #[must_use]
    pub fn executions_reached(&self, tool: &str, counters: &Counters) -> Option<Reached> {
        if counters.executions >= self.max_tool_calls {
            return Some(Reached {
                source: "operation_limit",
                name: "max_tool_calls".to_owned(),
                reason: format!(
                    "Execution limit reached ({} calls). Summarize progress and stop.",
                    self.max_tool_calls
                ),
            });
        }
        let limit = *self.per_tool.get(tool)?;
        let count = counters.tool.unwrap_or(0);
        (count >= limit).then(|| Reached {
            source: "operation_limit",
            name: format!("max_calls_per_tool:{tool}"),
            reason: format!("Per-tool limit: {tool} called {count} times (limit: {limit})."),
        })
    }
}
