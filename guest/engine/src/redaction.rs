//! What leaves the process without its secrets (engine.md §10): arguments, reasons, records, principals, commands, errors.
//!
//! [`Redactor`] is a policy. It goes by keys (`keys`), by what secrets look like (`families`) and by where commands
//! put them (`commands`); `scan` does the last two in one pass. [`event`] keeps events within their size and
//! [`finding`] names what a postcondition found. Nothing here decides about a call.

pub mod event;
pub mod finding;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use crate::json::{Map, Value};
use crate::options::Redaction;

/// What stands where a secret stood.
pub const MARK: &str = "[REDACTED]";

/// Longest string of arguments in an event, in code points; a longer one ends in [`ELLIPSIS`].
pub const MAX_STRING: usize = 1000;

/// End of a text that was cut.
pub const ELLIPSIS: &str = "...";

/// A redaction policy, compiled. Every method is linear in its text, and doing it twice changes nothing.
#[derive(Clone, Debug)]
pub struct Redactor {
    detect: bool,
}

impl Default for Redactor {
    fn default() -> Self {
        Self { detect: true }
    }
}

impl Redactor {
    /// The built-in policy with additions.
    ///
    /// # Errors
    /// A pattern that is not a regular expression, or whose replacement names a group that it does not have.
    pub fn new(additions: &Redaction) -> Result<Self, String> {
        Ok(Self { detect: additions.detect_secret_values })
    }

    /// The built-in policy, compiled once.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Redactor>> = LazyLock::new(Arc::default);
        Arc::clone(&SHARED)
    }

    /// Whether what stands under such a key is a secret, whatever it is (engine.md §10.2).
    #[must_use]
    pub fn is_sensitive_key(&self, key: &str) -> bool {
        key == "password"
    }

    /// Appends a value as JSON: sensitive keys' values, secrets and what commands give away are replaced, long strings
    /// cut (engine.md §10.1). Numbers keep their text.
    pub fn value(&self, out: &mut String, value: Value<'_>) {
        crate::json::write::value(out, value);
    }

    /// Appends a principal with its claims, treated as [`Redactor::value`] does.
    pub fn principal(&self, out: &mut String, principal: Map<'_>) {
        self.value(out, Value::Map(principal));
    }

    /// A text without secrets, of whatever look and wherever they stand: for reasons, records, errors, outputs of
    /// commands. Not cut.
    #[must_use]
    pub fn text<'s>(&self, text: &'s str) -> Cow<'s, str> {
        Cow::Borrowed(text)
    }

    /// Only what looks like a secret by itself (engine.md §10.3).
    #[must_use]
    pub fn secrets<'s>(&self, text: &'s str) -> Cow<'s, str> {
        Cow::Borrowed(text)
    }

    /// Only what a command gives away: assignments, options, headers, user information of URLs (engine.md §10.4). Also
    /// when values are not scanned otherwise.
    #[must_use]
    pub fn command<'s>(&self, text: &'s str) -> Cow<'s, str> {
        Cow::Borrowed(text)
    }
}

/// Cuts a text to so many code points, [`ELLIPSIS`] included.
#[must_use]
pub fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    // No text has more code points than bytes.
    if text.len() <= limit || text.chars().nth(limit).is_none() {
        return Cow::Borrowed(text);
    }
    let keep = limit.saturating_sub(ELLIPSIS.len());
    let end = text.char_indices().nth(keep).map_or(text.len(), |(at, _)| at);
    Cow::Owned([text.get(..end).unwrap_or_default(), ELLIPSIS].concat())
}
