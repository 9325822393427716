//! What goes into a guard: the rules of all its files in their order, each with the mode it has there.

use std::sync::Arc;

use super::ruleset::{Mode, Rule, SessionLimits, ToolClass};
use crate::json::Literal;

/// Rulesets after `extends`, layering and merging (engine.md §12).
#[derive(Clone, Debug)]
pub struct Composition {
    /// `metadata.name` of the result.
    pub name: String,
    /// SHA-256 as in the decision log (engine.md §12.3).
    pub policy_version: String,
    /// The guard's own mode when the options name none.
    pub mode: Mode,
    /// Enabled rules in order; candidates (engine.md §12.2) stand where they were appended.
    pub rules: Vec<EffectiveRule>,
    /// By exact tool name; `tools` of the options not yet laid over it.
    pub tools: Vec<(String, ToolClass)>,
    /// Limits that came with merged guards' options; the narrowest counts.
    pub limits: SessionLimits,
    /// The block of the last file that has one.
    pub observability: Option<Literal>,
    /// What layering changed.
    pub report: Report,
}

/// A rule with its place in the composition.
#[derive(Clone, Debug)]
pub struct EffectiveRule {
    /// Its id here: `{id}:candidate` for a candidate.
    pub id: String,
    /// The mode it runs in.
    pub mode: Mode,
    /// Judged beside the others, never effective.
    pub candidate: bool,
    /// The rule.
    pub rule: Arc<Rule>,
}

/// `CompositionReport` of engine.md §12.3.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Rules that a later file replaced.
    pub overridden: Vec<Override>,
    /// Rules that a later file proposes.
    pub observed: Vec<Observed>,
}

/// A rule that a later file replaced.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Override {
    /// Its id.
    pub rule_id: String,
    /// The file that replaced it.
    pub overridden_by: String,
    /// The file it was in before.
    pub original_source: String,
}

/// A rule that a later file proposes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Observed {
    /// Its own id, without `:candidate`.
    pub rule_id: String,
    /// The file whose rule of that id is enforced; "" when none is.
    pub enforced_source: String,
    /// The file that proposes it.
    pub observed_source: String,
}
