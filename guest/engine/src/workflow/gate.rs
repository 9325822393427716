//! One gate: does its condition hold, and what is written down of it (engine.md §13.3, §13.8).

use std::collections::BTreeMap;

use super::condition::Condition;
use super::definition::{Gate, Workflow};
use super::state::{APPROVED, State};
use crate::inquiry::{CommandLine, CommandResult};
use crate::json::write::Object;
use crate::json::{Number, Value};
use crate::redaction::Redactor;

/// How long a command of `exec(...)` may take.
pub const EXEC_TIMEOUT_MS: u32 = 30_000;

/// How much of its output is kept, in code points.
pub const EXEC_OUTPUT: usize = 4096;

/// Most bytes that so many code points can take.
const EXEC_OUTPUT_BYTES: u32 = EXEC_OUTPUT as u32 * 4 + 4;

/// Variables that a command gets, besides those of the option `exec_env`.
pub const EXEC_ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV"];

/// What commands have answered, by command as written.
pub type Commands = BTreeMap<String, Result<CommandResult, String>>;

/// Whether a gate holds.
#[derive(Debug)]
pub struct Held {
    /// It does.
    pub passed: bool,
    /// What it was held against.
    pub evidence: String,
}

/// Why a gate cannot be judged.
#[derive(Debug)]
pub enum Stuck {
    /// A command must be run first.
    Ask(Box<Asked>),
    /// It failed: the call is blocked.
    Error(String),
}

/// A command that must be run.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As written in the condition.
    pub command: String,
    /// What to run.
    pub line: CommandLine,
}

/// Judges a gate of a stage.
///
/// # Errors
/// A command has to be run, or could not be.
pub fn holds(stage: &str, gate: &Gate, state: &State, commands: &Commands, exec_env: &[String]) -> Result<Held, Stuck> {
    let recorded = state.evidence.commands(stage);
    Ok(match &gate.condition {
        Condition::StageComplete(id) => Held { passed: state.completed(id), evidence: id.clone() },
        Condition::FileRead(path) => {
            Held { passed: state.evidence.reads.iter().any(|read| read == path), evidence: path.clone() }
        }
        Condition::Approval(id) => {
            let approved = state.approved(id.as_deref().unwrap_or(stage));
            Held { passed: approved, evidence: if approved { APPROVED.to_owned() } else { String::new() } }
        }
        Condition::CommandMatches(pattern) => {
            Held { passed: recorded.iter().any(|command| pattern.is_match(command)), evidence: recorded.join(" | ") }
        }
        Condition::CommandNotMatches(pattern) => {
            Held { passed: !recorded.iter().any(|command| pattern.is_match(command)), evidence: recorded.join(" | ") }
        }
        Condition::Exec { command, argv, exit_code } => exec(command, argv, *exit_code, commands, exec_env)?,
        Condition::McpResultMatches { tool, field, value } => Held {
            passed: state.evidence.results(tool).iter().any(|result| has(result.root(), field, value)),
            evidence: tool.clone(),
        },
    })
}

/// Whether a result has a scalar of this text in a top-level field.
fn has(result: Value<'_>, field: &str, expected: &str) -> bool {
    let Some(map) = result.as_map() else { return false };
    match map.get(field) {
        Some(Value::String(text)) => text == expected,
        Some(Value::Bool(flag)) => expected == if flag { "true" } else { "false" },
        Some(Value::Number(Number::Int(_) | Number::Big(_) | Number::Float(_))) => map.raw(field) == Some(expected),
        _ => false,
    }
}

fn exec(
    command: &str,
    argv: &[String],
    expected: i64,
    commands: &Commands,
    exec_env: &[String],
) -> Result<Held, Stuck> {
    match commands.get(command) {
        None => {
            let environment = EXEC_ENVIRONMENT.iter().map(|name| (*name).to_owned()).chain(exec_env.iter().cloned());
            let line = CommandLine {
                argv: argv.to_vec(),
                environment: environment.collect(),
                timeout_ms: EXEC_TIMEOUT_MS,
                output_cap: EXEC_OUTPUT_BYTES,
            };
            Err(Stuck::Ask(Box::new(Asked { command: command.to_owned(), line })))
        }
        Some(Err(why)) => Err(Stuck::Error(format!("workflow: `{command}` could not be run: {why}"))),
        Some(Ok(result)) => {
            let output = Redactor::shared().text(&result.output);
            let cut = match output.char_indices().nth(EXEC_OUTPUT) {
                Some((at, _)) => format!("{}...[truncated]", output.get(..at).unwrap_or_default()),
                None => output.into_owned(),
            };
            Ok(Held {
                passed: i64::from(result.exit_code) == expected,
                evidence: format!("exit_code={} output={cut}", result.exit_code),
            })
        }
    }
}

/// What is written down of a gate.
#[derive(Clone, Copy, Debug)]
pub struct GateRecord<'g> {
    /// The stage it belongs to.
    pub stage: &'g str,
    /// `tools`, `check`, `approval`, `terminal`, or the name of a condition.
    pub kind: &'g str,
    /// As written.
    pub condition: &'g str,
    /// Whether it held.
    pub passed: bool,
    /// What it was held against.
    pub evidence: &'g str,
    /// Its message, whether it held or not.
    pub message: &'g str,
    /// The stage a person is asked about.
    pub approval_for: Option<&'g str>,
}

/// A record as it goes into `rules_evaluated`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whether the gate held.
    pub passed: bool,
    /// The whole record.
    pub json: String,
}

impl GateRecord<'_> {
    /// As JSON.
    #[must_use]
    pub fn write(&self, workflow: &Workflow) -> Record {
        let name = &workflow.name;
        let mut out = String::new();
        Object::write(&mut out, |record| {
            record.string("name", &format!("{name}:{}:{}", self.stage, self.kind));
            record.string("type", "workflow_gate");
            record.bool("passed", self.passed);
            record.string("message", self.message);
            record.object("metadata", |metadata| {
                metadata.string("workflow_name", name);
                metadata.string("stage_id", self.stage);
                metadata.string("gate_kind", self.kind);
                metadata.string("gate_condition", self.condition);
                metadata.bool("gate_passed", self.passed);
                metadata.string("gate_evidence", &Redactor::shared().text(self.evidence));
                if let Some(stage) = self.approval_for {
                    metadata.string("approval_requested_for", stage);
                }
            });
        });
        Record { passed: self.passed, json: out }
    }
}
