//! What workflows and calls are made of. Few words, so that gates and calls often speak of the same thing. No word looks
//! like a secret: what is redacted is proven with rulesets.

use super::walk::Trouble;

/// Ids of stages.
pub const STAGES: &[&str] = &["plan", "implement", "verify", "review", "push", "s-1", "a.b", "x_y", "7th"];

/// Tools.
pub const TOOLS: &[&str] = &["Read", "Bash", "Edit", "Write", "mcp__ci__status", "mcp__db__query"];

/// Patterns of tools with a wildcard.
pub const WILDCARDS: &[&str] = &["mcp__*", "*", "Ba?h", "[RB]*", "mcp__??__*", "[A-Z]*"];

/// Paths. One of them has what must be escaped in a condition.
pub const FILES: &[&str] = &["spec.md", "src/a.py", "docs/pl an.md", "é/ü.txt", "say \"hi\"\\now"];

/// Commands.
pub const COMMANDS: &[&str] = &[
    "pytest -q",
    "pytest tests/unit",
    "git status",
    "git push origin main",
    "git checkout -b feature",
    "make build",
    "ls",
    "rm out.txt",
    "echo é",
];

/// Commands that may not be evidence, and one that just may.
pub const ODD_COMMANDS: &[&str] = &["echo a\necho b", "ls\t-l", "pytest\u{7f}"];

/// Regular expressions; each matches some command and not all.
pub const PATTERNS: &[&str] =
    &["^pytest", "^git push", "git", "^make\\s+build$", "rm ", "^(ls|pytest)", "main$", "e", "^git\\s+\\w+", "é"];

/// Fields and values of results.
pub const RESULTS: &[(&str, &str)] =
    &[("status", "\"passed\""), ("status", "\"failed\""), ("count", "3"), ("ratio", "1.5"), ("note", "\"é\"")];

/// Commands of `exec(...)`: what they end with and what they print.
const EXECUTED: &[(&str, i64, &str)] =
    &[("true", 0, ""), ("false", 1, ""), ("echo 'x y'", 0, "x y\n"), ("sh -c 'exit 3'", 3, "")];

/// A command that is no program.
pub const NOT_A_PROGRAM: &str = "no-such-program-here";

/// A command of `exec(...)` by number.
#[must_use]
pub fn executed(index: usize) -> (&'static str, i64) {
    EXECUTED.get(index % EXECUTED.len()).map_or(("true", 0), |(command, code, _)| (*command, *code))
}

/// What comes of a command of `exec(...)`.
///
/// # Errors
/// There is no such program.
pub fn ran(command: &str) -> Result<(i64, &'static str), Trouble> {
    let known = EXECUTED.iter().find(|(known, ..)| *known == command);
    known.map(|(_, code, output)| (*code, *output)).ok_or_else(|| Trouble::NoProgram(command.to_owned()))
}
