//! Conditions of gates: `name("argument")`, whole, case-sensitive, without spaces around (engine.md §13.3).

use crate::program::Pattern;
use crate::program::pattern::Use;

/// Longest regular expression, in code points.
pub const MAX_PATTERN: usize = 10_000;

/// A condition, parsed.
#[derive(Debug)]
pub enum Condition {
    /// The stage is completed.
    StageComplete(String),
    /// The file has been read, under exactly this path.
    FileRead(String),
    /// The stage has been approved; none: the gate's own.
    Approval(Option<String>),
    /// A command recorded in the gate's stage matches.
    CommandMatches(Pattern),
    /// No command recorded in the gate's stage matches.
    CommandNotMatches(Pattern),
    /// The command ends with this code.
    Exec {
        /// As written.
        command: String,
        /// Its words, as a program gets them; never empty.
        argv: Vec<String>,
        /// 0 when the condition names none.
        exit_code: i64,
    },
    /// A result of this tool had this value in this field.
    McpResultMatches {
        /// Exact name.
        tool: String,
        /// Top-level field.
        field: String,
        /// Text of a scalar.
        value: String,
    },
}

/// Why a text is not a condition; for a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Names of all conditions, for did-you-mean.
pub const NAMES: [&str; 7] =
    ["stage_complete", "file_read", "approval", "command_matches", "command_not_matches", "exec", "mcp_result_matches"];

impl Condition {
    /// Parses a condition.
    ///
    /// # Errors
    /// Not of the grammar, or with a regular expression that cannot be used.
    pub fn parse(text: &str) -> Result<Self, ConditionError> {
        let (name, rest) = text.split_once('(').ok_or_else(|| malformed(text))?;
        if !NAMES.contains(&name) {
            let help = crate::diagnostics::did_you_mean(name, NAMES)
                .unwrap_or_else(|| format!("there are: {}", NAMES.join(", ")));
            return Err(ConditionError { message: format!("unknown condition `{name}`"), help: Some(help) });
        }
        let inside = rest.strip_suffix(')').ok_or_else(|| malformed(text))?;
        match name {
            "approval" if inside.is_empty() => Ok(Self::Approval(None)),
            "approval" => {
                let stage = only_string(inside, text)?;
                Ok(Self::Approval(Some(stage).filter(|stage| !stage.is_empty())))
            }
            "exec" => exec(inside, text),
            "mcp_result_matches" => mcp(inside, text),
            _ => {
                let argument = only_string(inside, text)?;
                if argument.is_empty() {
                    return Err(error(format!("`{name}` needs an argument that is not empty")));
                }
                match name {
                    "stage_complete" => Ok(Self::StageComplete(argument)),
                    "file_read" => Ok(Self::FileRead(argument)),
                    "command_matches" => pattern(&argument).map(Self::CommandMatches),
                    _ => pattern(&argument).map(Self::CommandNotMatches),
                }
            }
        }
    }

    /// Its name in the grammar, which is also the `gate_kind` of its records.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::StageComplete(_) => "stage_complete",
            Self::FileRead(_) => "file_read",
            Self::Approval(_) => "approval",
            Self::CommandMatches(_) => "command_matches",
            Self::CommandNotMatches(_) => "command_not_matches",
            Self::Exec { .. } => "exec",
            Self::McpResultMatches { .. } => "mcp_result_matches",
        }
    }
}

/// Compiles a regular expression of a condition or a check.
///
/// # Errors
/// Too long, not one, or not one that can be matched in linear time.
pub fn pattern(text: &str) -> Result<Pattern, ConditionError> {
    if text.chars().nth(MAX_PATTERN).is_some() {
        return Err(error(format!("the regular expression is longer than {MAX_PATTERN} characters")));
    }
    Pattern::compile(text, Use::Search)
        .map_err(|wrong| ConditionError { message: wrong.message.clone(), help: wrong.help.clone() })
}

fn error(message: String) -> ConditionError {
    ConditionError { message, help: None }
}

fn malformed(text: &str) -> ConditionError {
    ConditionError {
        message: format!("`{text}` is not a condition"),
        help: Some("write it as in stage_complete(\"plan\"), with double quotes and no spaces around".to_owned()),
    }
}

/// Exactly one quoted string.
fn only_string(inside: &str, text: &str) -> Result<String, ConditionError> {
    let (argument, rest) = string(inside, text)?;
    if rest.is_empty() { Ok(argument) } else { Err(malformed(text)) }
}

/// A quoted string at the start: `\\` and `\"` are one character, any other escape stays as it is written, so that `\b`
/// is a word boundary and not a control character.
fn string<'t>(inside: &'t str, text: &str) -> Result<(String, &'t str), ConditionError> {
    let body = inside.strip_prefix('"').ok_or_else(|| malformed(text))?;
    let mut argument = String::new();
    let mut characters = body.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((argument, body.get(at + 1..).unwrap_or_default())),
            '\\' => match characters.next() {
                Some((_, escaped @ ('\\' | '"'))) => argument.push(escaped),
                Some((_, escaped)) if !is_control(escaped) => argument.extend(['\\', escaped]),
                _ => return Err(malformed(text)),
            },
            control if is_control(control) => {
                return Err(error("a condition must not hold control characters".to_owned()));
            }
            plain => argument.push(plain),
        }
    }
    Err(malformed(text))
}

fn is_control(character: char) -> bool {
    matches!(character, '\0'..='\x1f' | '\x7f')
}

fn exec(inside: &str, text: &str) -> Result<Condition, ConditionError> {
    let (command, rest) = string(inside, text)?;
    let argv = super::argv::split(&command)
        .ok_or_else(|| error(format!("the command `{command}` has a quote that does not close")))?;
    if argv.first().is_none_or(String::is_empty) {
        return Err(error("`exec` needs a command that is not empty".to_owned()));
    }
    if rest.is_empty() {
        return Ok(Condition::Exec { command, argv, exit_code: 0 });
    }
    let digits = rest.strip_prefix(',').map(str::trim_start).and_then(|rest| rest.strip_prefix("exit_code="));
    let digits = digits.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let exit_code = digits.and_then(|digits| digits.parse().ok()).ok_or_else(|| malformed(text))?;
    Ok(Condition::Exec { command, argv, exit_code })
}

/// Three strings, taken raw: no quotes, no backslashes, no control characters in them.
fn mcp(inside: &str, text: &str) -> Result<Condition, ConditionError> {
    let mut rest = inside;
    let mut arguments = Vec::new();
    for place in 0..3 {
        if place > 0 {
            rest = rest.strip_prefix(',').map(str::trim_start).ok_or_else(|| malformed(text))?;
        }
        let body = rest.strip_prefix('"').ok_or_else(|| malformed(text))?;
        let (argument, after) = body.split_once('"').ok_or_else(|| malformed(text))?;
        if argument.is_empty() || argument.contains('\\') || argument.contains(is_control) {
            return Err(malformed(text));
        }
        arguments.push(argument.to_owned());
        rest = after;
    }
    match <[String; 3]>::try_from(arguments) {
        Ok([tool, field, value]) if rest.is_empty() => Ok(Condition::McpResultMatches { tool, field, value }),
        _ => Err(malformed(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Appendix A.11.
    #[test]
    fn the_grammar_takes_what_the_reference_takes() {
        for text in [
            r#"stage_complete("a")"#,
            r#"file_read("a b/c.md")"#,
            r#"file_read("a\\b")"#,
            r#"file_read("a\"b")"#,
            r#"file_read("é")"#,
            "approval()",
            r#"approval("")"#,
            r#"approval("x")"#,
            r#"exec("ls", exit_code=1)"#,
            r#"exec("ls",exit_code=007)"#,
            r#"mcp_result_matches("t", "f",  "v")"#,
            r#"command_matches("^git\\s+push\b")"#,
            r#"command_not_matches("\bmain\b")"#,
        ] {
            assert!(Condition::parse(text).is_ok(), "{text}");
        }
        let Ok(Condition::Exec { exit_code, .. }) = Condition::parse(r#"exec("ls",exit_code=007)"#) else { panic!() };
        assert_eq!(exit_code, 7);
        let Ok(Condition::FileRead(path)) = Condition::parse(r#"file_read("a\\b\"c")"#) else { panic!() };
        assert_eq!(path, "a\\b\"c");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "stage_complete('a')",
            r#" stage_complete("a")"#,
            r#"stage_complete("a") "#,
            r#"stage_complete ("a")"#,
            r#"stage_complete("a" )"#,
            r#"stage_complete("a", "b")"#,
            r#"stage_complete("")"#,
            r#"STAGE_COMPLETE("a")"#,
            "approval( )",
            "exec(ls)",
            r#"exec("ls" , exit_code=1)"#,
            r#"exec("ls", exit_code=-1)"#,
            r#"exec("ls", exit_code=)"#,
            r#"exec("")"#,
            r#"mcp_result_matches("", "f", "v")"#,
            r#"mcp_result_matches("t", "f\"", "v")"#,
            r#"mcp_result_matches("t", "f", v)"#,
            r#"mcp_result_matches("t", "f")"#,
            r#"not stage_complete("a")"#,
            r#"stage_complete("a") and approval()"#,
            "file_read(\"a\u{1}\")",
            "file_read(\"a\\\n\")",
            r#"file_read("a\")"#,
            r#"command_matches("(")"#,
            r#"command_matches("(?<=a)b")"#,
        ] {
            assert!(Condition::parse(text).is_err(), "{text}");
        }
        let long = format!("command_matches(\"{}\")", "a".repeat(MAX_PATTERN + 1));
        assert!(Condition::parse(&long).is_err());
    }
}
