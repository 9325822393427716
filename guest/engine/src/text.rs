//! The text form: the hot calls of a policy with one JSON text in and one JSON text out (`decide-text` of the WIT).

use crate::json::Json;
use crate::policy::Policy;

/// Dry run.
#[must_use]
pub fn evaluate(_policy: &Policy, _request: &str) -> Json {
    String::new()
}
/// Before a tool runs.
#[must_use]
pub fn begin(_policy: &Policy, _request: &str) -> Json {
    String::new()
}
/// An `ask` was answered.
#[must_use]
pub fn settle(_policy: &Policy, _request: &str) -> Json {
    String::new()
}
/// After the tool ran.
#[must_use]
pub fn finish(_policy: &Policy, _request: &str) -> Json {
    String::new()
}
/// Answers the questions of a step.
#[must_use]
pub fn resume(_policy: &Policy, _request: &str) -> Json {
    String::new()
}
/// The members of an object as raw text.
///
/// # Errors
/// Not a JSON object.
pub fn members(_object: &str) -> Result<Vec<(String, Json)>, String> {
    Ok(Vec::new())
}
