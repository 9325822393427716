//! A compiled workflow: what a validated document means.

use std::borrow::Cow;

use super::condition::Condition;
use crate::program::{Pattern, glob::Glob};

/// A workflow, ready to be walked. Immutable; several guards may share one.
#[derive(Debug)]
pub struct Workflow {
    /// `metadata.name`; part of the key its state lies under.
    pub name: String,
    /// `metadata.version`; empty when there is none.
    pub version: String,
    /// In order, never empty, ids unique.
    pub stages: Vec<Stage>,
}

/// A stage.
#[derive(Debug)]
pub struct Stage {
    /// Unique in its workflow.
    pub id: String,
    /// For people.
    pub description: String,
    /// Must hold before it is entered.
    pub entry: Vec<Gate>,
    /// Must hold before it is left.
    pub exit: Vec<Gate>,
    /// Globs of the tools it permits; none: all, unless it is terminal.
    pub tools: Vec<Tool>,
    /// Must hold for each command.
    pub checks: Vec<Check>,
    /// Shown to the person who must agree before it is left.
    pub approval: Option<String>,
    /// Nothing comes after it.
    pub terminal: bool,
}

/// A tool of a stage.
#[derive(Debug)]
pub struct Tool {
    /// As written.
    pub text: String,
    /// Compiled.
    pub glob: Glob,
}

/// A condition with its message.
#[derive(Debug)]
pub struct Gate {
    /// As written.
    pub text: String,
    /// Parsed.
    pub condition: Condition,
    /// What the agent is told when it does not hold.
    pub message: String,
}

/// What each command of a stage must, or must not, match.
#[derive(Debug)]
pub struct Check {
    /// As written.
    pub text: String,
    /// Compiled.
    pub pattern: Pattern,
    /// True: it must match; false: it must not.
    pub must_match: bool,
    /// What the agent is told.
    pub message: String,
}

impl Workflow {
    /// Where a stage stands.
    #[must_use]
    pub fn index(&self, id: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.id == id)
    }

    /// Whether any gate runs commands.
    #[must_use]
    pub fn uses_exec(&self) -> bool {
        let gates = self.stages.iter().flat_map(|stage| stage.entry.iter().chain(&stage.exit));
        gates.into_iter().any(|gate| matches!(gate.condition, Condition::Exec { .. }))
    }

    /// The key its state lies under, behind a session's prefix.
    #[must_use]
    pub fn state_key(&self, session: &str) -> String {
        format!("s:{session}:workflow:{}:state", self.name)
    }
}

impl Gate {
    /// What the agent is told when it does not hold; a gate without a message names its condition.
    #[must_use]
    pub fn reason(&self) -> Cow<'_, str> {
        match self.message.as_str() {
            "" => Cow::Owned(format!("the condition `{}` does not hold", self.text)),
            message => Cow::Borrowed(message),
        }
    }
}

impl Stage {
    /// It only guards a boundary: calls pass through it to the next stage.
    #[must_use]
    pub fn boundary_only(&self) -> bool {
        self.tools.is_empty() && self.checks.is_empty() && self.explicit()
    }

    /// It says itself when it is left.
    #[must_use]
    pub fn explicit(&self) -> bool {
        !self.exit.is_empty() || self.approval.is_some()
    }

    /// A tool of it may be any of many.
    #[must_use]
    pub fn wildcard(&self) -> bool {
        self.tools.iter().any(|tool| tool.glob.has_wildcard())
    }

    /// Whether it permits a tool.
    #[must_use]
    pub fn permits(&self, tool: &str) -> bool {
        if self.tools.is_empty() { !self.terminal } else { self.tools.iter().any(|own| own.glob.matches(tool)) }
    }

    /// Its tools as they are shown in records.
    #[must_use]
    pub fn tool_list(&self) -> String {
        self.tools.iter().map(|tool| tool.text.as_str()).collect::<Vec<_>>().join(",")
    }

    /// The first check that a command does not pass.
    #[must_use]
    pub fn failing_check(&self, command: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.pattern.is_match(command) != check.must_match)
    }

    /// Whether a call that another stage refuses is clearly this one's work (engine.md §13.5).
    #[must_use]
    pub fn claims(&self, tool: &str, command: &str) -> bool {
        !self.boundary_only()
            && self.permits(tool)
            && self.checks.iter().any(|check| check.must_match)
            && self.failing_check(command).is_none()
    }
}
