//! Where a session's values lie in a store (engine.md §2.5). Session ids hold no `:`, so no session reaches into
//! another.

/// Prefix of everything of a session.
#[must_use]
pub fn prefix(session: &str) -> String {
    format!("s:{session}:")
}

/// Attempts: one more for every call that is decided about.
#[must_use]
pub fn attempts(session: &str) -> String {
    format!("s:{session}:attempts")
}

/// Executions: one more for every tool that ran.
#[must_use]
pub fn executions(session: &str) -> String {
    format!("s:{session}:execs")
}

/// Failures in a row; absent after a success.
#[must_use]
pub fn failures(session: &str) -> String {
    format!("s:{session}:consec_fail")
}

/// Executions of one tool.
#[must_use]
pub fn tool(session: &str, tool: &str) -> String {
    format!("s:{session}:tool:{tool}")
}
