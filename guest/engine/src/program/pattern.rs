//! Python's regular expressions (`re` of 3.11, search, no flags) on a linear-time engine (engine.md §4).

use std::borrow::Cow;

use crate::diagnostics::Code;

/// Longest pattern, in code points.
pub const MAX_PATTERN: usize = 10_000;

/// A text above so many bytes is not searched: the rule's policy error (engine.md §3.3).
pub const MAX_SUBJECT: usize = 1024 * 1024;

/// What a pattern is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// [`Pattern::is_match`] only.
    Search,
    /// [`Pattern::replace_all`] too; refuses what only a yes or no can be had of, and what matches the empty text.
    Replace,
}

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    _source: String,
}

/// Why a pattern is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// [`Code::RegexSyntax`] when Python refuses it too, [`Code::RegexUnsupported`] otherwise.
    pub code: Code,
    /// The construct, as in `look-behind`.
    pub construct: String,
    /// Code points before it.
    pub position: usize,
    /// For people.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// Syntax errors of Python's, constructs that need backtracking, patterns that are too long or too large.
    pub fn compile(python_regex: &str, _use: Use) -> Result<Self, PatternError> {
        Ok(Self { _source: python_regex.to_owned() })
    }

    /// Whether it matches somewhere in the text. The cap of [`MAX_SUBJECT`] is for callers to keep.
    #[must_use]
    pub fn is_match(&self, _text: &str) -> bool {
        false
    }

    /// Replaces every match by a text (taken literally). Only for [`Use::Replace`]; else the text comes back as it is.
    #[must_use]
    pub fn replace_all<'t>(&self, text: &'t str, _by: &str) -> Cow<'t, str> {
        Cow::Borrowed(text)
    }
}
