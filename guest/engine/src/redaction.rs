//! What leaves the process without its secrets (engine.md §10): arguments, reasons, records, principals, commands, errors.
//!
//! [`Redactor`] is a policy. It goes by keys (`keys`), by what secrets look like (`families`) and by where commands put
//! them (`commands`); `scan` does the last two in one pass. [`event`] keeps events within their size and [`finding`]
//! names what a postcondition found. Nothing here decides about a call.

mod argv;
mod commands;
pub mod event;
mod families;
pub mod finding;
mod keys;
mod patterns;
mod programs;
mod scan;
mod text;
mod value;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use crate::options::Redaction;
use keys::Keys;
use patterns::Pattern;
use scan::Look;

/// What stands where a secret stood.
pub const MARK: &str = "[REDACTED]";

/// Longest string of arguments in an event, in code points; a longer one ends in [`ELLIPSIS`].
pub const MAX_STRING: usize = 1000;

/// Longest summary of a result, in code points.
pub const MAX_SUMMARY: usize = 500;

/// End of a text that was cut.
pub const ELLIPSIS: &str = "...";

/// A redaction policy, compiled. Every method takes time in proportion to its text, and doing it twice changes nothing
/// (but for a user's own patterns, whose replacement may match again).
#[derive(Clone, Debug)]
pub struct Redactor {
    keys: Keys,
    patterns: Vec<Pattern>,
    /// Whether values are looked at, and not only keys.
    detect: bool,
}

impl Default for Redactor {
    fn default() -> Self {
        Self { keys: Keys::default(), patterns: Vec::new(), detect: true }
    }
}

impl Redactor {
    /// The built-in policy with additions.
    ///
    /// # Errors
    /// A pattern that is not a regular expression, or whose replacement names a group that it does not have.
    pub fn new(additions: &Redaction) -> Result<Self, String> {
        let patterns = additions.patterns.iter().map(|(pattern, replacement)| Pattern::new(pattern, replacement));
        Ok(Self {
            keys: Keys::new(&additions.sensitive_keys, &additions.safe_keys),
            patterns: patterns.collect::<Result<_, _>>()?,
            detect: additions.detect_secret_values,
        })
    }

    /// The built-in policy; one for all.
    #[must_use]
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Redactor>> = LazyLock::new(Arc::default);
        Arc::clone(&SHARED)
    }

    /// Whether what stands under such a key is a secret, whatever it is (engine.md §10.2).
    #[must_use]
    pub fn is_sensitive_key(&self, key: &str) -> bool {
        self.keys.is_sensitive(key)
    }

    /// A text without secrets, of whatever look and wherever they stand: for reasons, records, errors, outputs of
    /// commands. Not cut. As it is when values are not looked at.
    #[must_use]
    pub fn text<'s>(&self, text: &'s str) -> Cow<'s, str> {
        if self.detect { self.replace(text, Look::Everything, None) } else { Cow::Borrowed(text) }
    }

    /// Only what looks like a secret by itself (engine.md §10.3). As it is when values are not looked at.
    #[must_use]
    pub fn secrets<'s>(&self, text: &'s str) -> Cow<'s, str> {
        if self.detect { scan::replace(text, &self.keys, Look::Families, None) } else { Cow::Borrowed(text) }
    }

    /// Only what a command gives away: assignments, options, headers, user information of URLs, and the user's own
    /// patterns (engine.md §10.4). Also when values are not looked at otherwise.
    #[must_use]
    pub fn command<'s>(&self, text: &'s str) -> Cow<'s, str> {
        self.replace(text, Look::Commands, None)
    }

    /// The user's own patterns first. What comes back may end anywhere beyond `most` code points.
    fn replace<'s>(&self, text: &'s str, look: Look, most: Option<usize>) -> Cow<'s, str> {
        let mut text = Cow::Borrowed(text);
        for pattern in &self.patterns {
            if let Cow::Owned(replaced) = pattern.replace(&text) {
                text = Cow::Owned(replaced);
            }
        }
        match text {
            Cow::Borrowed(text) => scan::replace(text, &self.keys, look, most),
            Cow::Owned(text) => match scan::replace(&text, &self.keys, look, most) {
                Cow::Borrowed(_) => Cow::Owned(text),
                Cow::Owned(replaced) => Cow::Owned(replaced),
            },
        }
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

#[cfg(test)]
mod tests;
