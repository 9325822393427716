//! The built-in rule `deny_sensitive_reads` (engine.md §14.6): files with credentials, and commands that print the
//! environment. Acts before any tool; on when the options name it.

use super::Call;
use crate::options::DenySensitiveReads;

/// Id of the rule in decisions.
pub const RULE_ID: &str = "deny_sensitive_reads";

/// Parts of paths that are denied when the options list none.
pub const DEFAULT_PATHS: [&str; 7] =
    ["/.ssh/", "/var/run/secrets/", "/.env", "/.aws/credentials", "/.git-credentials", "/id_rsa", "/id_ed25519"];

/// Commands that are denied when the options list none: alone, or followed by a space.
pub const DEFAULT_COMMANDS: [&str; 2] = ["printenv", "env"];

/// The message of the rule when it fires on a call.
#[must_use]
pub fn denied(call: &Call<'_>, lists: &DenySensitiveReads) -> Option<String> {
    let paths = || listed(&lists.sensitive_paths, &DEFAULT_PATHS);
    if let Some(path) = call.file_path
        && paths().any(|part| path.contains(part))
    {
        return Some(format!("Access to sensitive path denied: {path}. This file may contain secrets or credentials."));
    }
    let command = call.bash_command.trim();
    if command.is_empty() {
        return None;
    }
    if let Some(word) = listed(&lists.sensitive_commands, &DEFAULT_COMMANDS)
        .find(|word| command.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(' ')))
    {
        return Some(format!(
            "Sensitive command denied: {word}. This command may expose secrets or environment variables."
        ));
    }
    paths().find(|part| command.contains(part)).map(|part| {
        format!("Bash command accesses sensitive path: {part}. This file may contain secrets or credentials.")
    })
}

fn listed<'l>(given: &'l [String], default: &'l [&'static str]) -> impl Iterator<Item = &'l str> {
    let default = if given.is_empty() { default } else { &[] };
    given.iter().map(String::as_str).chain(default.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{Purpose, ToolRegistry, read_text};

    fn message(tool: &str, args: &str, lists: &DenySensitiveReads) -> Option<String> {
        let text = format!("{{\"tool\":\"{tool}\",\"args\":{args}}}");
        let tape = read_text(&text).unwrap();
        denied(&Call::read(&tape, &ToolRegistry::default(), Purpose::DryRun).unwrap(), lists)
    }

    #[test]
    fn credentials_and_the_environment_are_denied() {
        let lists = DenySensitiveReads::default();
        for (tool, args, start) in [
            ("Read", r#"{"file_path":"/home/u/.ssh/id"}"#, "Access to sensitive path denied: /home/u/.ssh/id. This"),
            ("Read", r#"{"path":"/app/.env.local"}"#, "Access to sensitive path denied: /app/.env.local."),
            ("Bash", r#"{"command":" printenv "}"#, "Sensitive command denied: printenv. This command"),
            ("Bash", r#"{"command":"env FOO=1 x"}"#, "Sensitive command denied: env."),
            (
                "Bash",
                r#"{"command":"cat ~/.aws/credentials"}"#,
                "Bash command accesses sensitive path: /.aws/credentials.",
            ),
        ] {
            let message = message(tool, args, &lists).unwrap_or_default();
            assert!(message.starts_with(start), "{message}");
        }
        for (tool, args) in [
            ("Read", r#"{"file_path":".env"}"#),
            ("Bash", r#"{"command":"environment"}"#),
            ("Bash", r#"{"command":"env\tx"}"#),
            ("Bash", r#"{"command":""}"#),
            ("cat", r#"{"file_path":"/.ssh/x","command":"env"}"#),
        ] {
            assert_eq!(message(tool, args, &lists), None, "{args}");
        }
    }

    #[test]
    fn lists_replace_the_defaults_each_for_itself() {
        let lists = DenySensitiveReads { sensitive_paths: vec!["/vault/".to_owned()], ..Default::default() };
        assert!(message("Read", r#"{"path":"/vault/x"}"#, &lists).is_some());
        assert!(message("Read", r#"{"path":"/.ssh/x"}"#, &lists).is_none());
        assert!(message("Bash", r#"{"command":"env"}"#, &lists).is_some());
    }
}
