//! A workflow as the model reads it: from the values that were written down as YAML, not from the text.

use regex_automata::meta::Regex;

use super::guard::Semantics;
use crate::differential::datum::Datum;
use crate::differential::explain::rust_pattern;

/// A workflow.
#[derive(Clone, Debug)]
pub struct Definition {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.version`; empty: none.
    pub version: String,
    /// In order.
    pub stages: Vec<Stage>,
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its id.
    pub id: String,
    /// Patterns of tools, each with its compiled form.
    pub tools: Vec<(String, Regex)>,
    /// In order.
    pub checks: Vec<Check>,
    /// In order.
    pub entry: Vec<Gate>,
    /// In order.
    pub exit: Vec<Gate>,
    /// What a person is asked.
    pub approval: Option<String>,
    /// Nothing comes after it.
    pub terminal: bool,
}

/// A check of commands.
#[derive(Clone, Debug)]
pub struct Check {
    /// As written.
    pub text: String,
    /// Compiled.
    pub pattern: Regex,
    /// Whether it must match.
    pub must_match: bool,
    /// What the agent is told.
    pub message: String,
}

/// A gate.
#[derive(Clone, Debug)]
pub struct Gate {
    /// As written.
    pub text: String,
    /// What it says.
    pub condition: Condition,
    /// What the agent is told.
    pub message: String,
}

/// What a gate says (engine.md §13.3).
#[derive(Clone, Debug)]
pub enum Condition {
    /// `stage_complete("id")`
    StageComplete(String),
    /// `file_read("path")`
    FileRead(String),
    /// `approval()` with nothing, or of a stage.
    Approval(Option<String>),
    /// `command_matches` and `command_not_matches`.
    Command {
        /// Compiled.
        pattern: Regex,
        /// Which of the two.
        must_match: bool,
    },
    /// `exec("command", exit_code=N)`
    Exec {
        /// The command.
        command: String,
        /// What it must end with.
        exit_code: i64,
    },
    /// `mcp_result_matches("tool", "field", "value")`
    Result {
        /// Its tool.
        tool: String,
        /// Of the result.
        field: String,
        /// As text.
        value: String,
    },
}

impl Definition {
    /// Reads the values of a document as one side does; none when it is one that the model does not know.
    #[must_use]
    pub fn of(document: &Datum, semantics: Semantics) -> Option<Self> {
        let metadata = document.get("metadata")?;
        let stages = document.list_of("stages").iter().map(|stage| Stage::of(stage, semantics));
        let stages = stages.collect::<Option<Vec<_>>>()?;
        let version = match metadata.get("version") {
            Some(Datum::Null) if !semantics.null_is_absent => "None",
            version => version.and_then(Datum::as_str).unwrap_or(""),
        };
        let name = metadata.text("name").to_owned();
        (!stages.is_empty()).then(|| Self { name, version: version.to_owned(), stages })
    }

    /// Where a stage stands.
    #[must_use]
    pub fn index(&self, id: &str) -> Option<usize> {
        self.stages.iter().position(|stage| stage.id == id)
    }
}

impl Stage {
    fn of(datum: &Datum, semantics: Semantics) -> Option<Self> {
        let gates = |name: &str| {
            let gates = datum.list_of(name).iter().map(|gate| Gate::of(gate, semantics));
            gates.collect::<Option<Vec<_>>>()
        };
        let tools = datum.list_of("tools").iter().map(|tool| {
            let text = tool.as_str()?;
            Some((text.to_owned(), glob(text)?))
        });
        Some(Self {
            id: datum.text("id").to_owned(),
            tools: tools.collect::<Option<_>>()?,
            checks: datum.list_of("checks").iter().map(Check::of).collect::<Option<_>>()?,
            entry: gates("entry")?,
            exit: gates("exit")?,
            approval: datum.some("approval").map(|approval| approval.text("message").to_owned()),
            terminal: datum.flag("terminal"),
        })
    }

    /// It says itself when it is done.
    #[must_use]
    pub fn explicit(&self) -> bool {
        !self.exit.is_empty() || self.approval.is_some()
    }

    /// Calls only pass through it.
    #[must_use]
    pub fn boundary_only(&self) -> bool {
        self.tools.is_empty() && self.checks.is_empty() && self.explicit()
    }

    /// Whether some pattern of its tools has a wildcard.
    #[must_use]
    pub fn wildcard(&self) -> bool {
        self.tools.iter().any(|(text, _)| text.contains(['*', '?', '[']))
    }

    /// Whether it has this tool.
    #[must_use]
    pub fn permits(&self, tool: &str) -> bool {
        if self.tools.is_empty() { !self.terminal } else { self.tools.iter().any(|(_, glob)| glob.is_match(tool)) }
    }

    /// The first check that a command fails.
    #[must_use]
    pub fn failing_check(&self, command: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.pattern.is_match(command) != check.must_match)
    }
}

impl Check {
    fn of(datum: &Datum) -> Option<Self> {
        let must = datum.some("command_matches").and_then(Datum::as_str);
        let text = must.or_else(|| datum.some("command_not_matches").and_then(Datum::as_str))?;
        Some(Self {
            text: text.to_owned(),
            pattern: Regex::new(&rust_pattern(text)).ok()?,
            must_match: must.is_some(),
            message: datum.text("message").to_owned(),
        })
    }
}

impl Gate {
    fn of(datum: &Datum, semantics: Semantics) -> Option<Self> {
        let text = datum.text("condition").to_owned();
        let condition = Condition::of(&text, semantics)?;
        let message = match datum.text("message") {
            "" if semantics.names_conditions => format!("the condition `{text}` does not hold"),
            message => message.to_owned(),
        };
        Some(Self { text, condition, message })
    }
}

impl Condition {
    fn of(text: &str, semantics: Semantics) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let inside = rest.strip_suffix(')')?;
        let string = |text: &str| string(text, semantics.plain_escapes);
        let pattern = |must_match| {
            let pattern = Regex::new(&rust_pattern(&string(inside)?)).ok()?;
            Some(Self::Command { pattern, must_match })
        };
        match name {
            "stage_complete" => Some(Self::StageComplete(string(inside)?)),
            "file_read" => Some(Self::FileRead(string(inside)?)),
            "approval" if inside.is_empty() => Some(Self::Approval(None)),
            "approval" => Some(Self::Approval(Some(string(inside)?).filter(|id| !id.is_empty()))),
            "command_matches" => pattern(true),
            "command_not_matches" => pattern(false),
            "exec" => {
                let (command, code) = match inside.rsplit_once("exit_code=") {
                    Some((command, code)) => (command.trim_end().strip_suffix(',')?, code.parse().ok()?),
                    None => (inside, 0),
                };
                Some(Self::Exec { command: string(command)?, exit_code: code })
            }
            "mcp_result_matches" => {
                let mut parts = inside.split(',').map(|part| string(part.trim_start()));
                Some(Self::Result { tool: parts.next()??, field: parts.next()??, value: parts.next()?? })
            }
            _ => None,
        }
    }

    /// The name that its records have.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::StageComplete(_) => "stage_complete",
            Self::FileRead(_) => "file_read",
            Self::Approval(_) => "approval",
            Self::Command { must_match: true, .. } => "command_matches",
            Self::Command { must_match: false, .. } => "command_not_matches",
            Self::Exec { .. } => "exec",
            Self::Result { .. } => "mcp_result_matches",
        }
    }
}

/// A quoted string. An escaped backslash or quote is one character. Other escapes are those of Python's strings, or stay
/// as they are.
fn string(text: &str, plain: bool) -> Option<String> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut out = String::new();
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        let escaped = chars.next()?;
        let digits = match escaped {
            'x' => 2,
            'u' => 4,
            _ => 0,
        };
        match escaped {
            '"' | '\\' => out.push(escaped),
            'x' | 'u' if !plain => {
                let digits: String = chars.by_ref().take(digits).collect();
                out.push(char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?);
            }
            // A backspace, which no argument may have.
            'b' if !plain => return None,
            escaped => out.extend(['\\', escaped]),
        }
    }
    Some(out)
}

/// Whether a condition has an escape that Python takes for a control character.
#[must_use]
pub fn has_own_escape(text: &str) -> bool {
    text.contains("\\b")
}

/// A glob of tool names: `*`, `?` and simple brackets.
fn glob(text: &str) -> Option<Regex> {
    let mut pattern = String::from("(?s)^(?:");
    let mut bracket = false;
    for char in text.chars() {
        match char {
            '*' if !bracket => pattern.push_str(".*"),
            '?' if !bracket => pattern.push('.'),
            '[' | ']' => {
                bracket = char == '[';
                pattern.push(char);
            }
            char if char.is_ascii_alphanumeric() || char == '_' || (bracket && char == '-') => pattern.push(char),
            char => pattern.extend(['\\', char]),
        }
    }
    pattern.push_str(")$");
    Regex::new(&pattern).ok().filter(|_| !bracket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        let of = |text| Condition::of(text, Semantics::default());
        let parse = |text| of(text).map(|condition| condition.kind());
        assert_eq!(parse(r#"file_read("a \"b\" \\c")"#), Some("file_read"));
        assert_eq!(parse(r#"exec("sh -c 'exit 3'", exit_code=3)"#), Some("exec"));
        assert_eq!(parse(r#"mcp_result_matches("t", "f",  "v")"#), Some("mcp_result_matches"));
        assert_eq!(parse("approval()"), Some("approval"));
        assert!(matches!(of(r#"file_read("\x41")"#), Some(Condition::FileRead(path)) if path == "A"));
        assert_eq!(parse(r#"command_matches("\bgit")"#), None);
        assert!(matches!(of(r#"command_matches("^git\\s+push\s")"#), Some(Condition::Command { pattern, .. })
            if pattern.is_match("git push now")));
    }

    #[test]
    fn globs_match_whole_names() {
        let matches = |pattern: &str, tool: &str| glob(pattern).is_some_and(|glob| glob.is_match(tool));
        assert!(matches("mcp__*", "mcp__ci__status") && matches("[BR]ash", "Bash") && matches("*", ""));
        assert!(!matches("Ba?h", "Bah") && !matches("Read", "ReadX") && glob("[x").is_none());
    }
}
