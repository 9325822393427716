//! The front of this module: texts in, one composition and all findings out, in slices.

use super::Document;
use super::composition::Composition;
use crate::diagnostics::Diagnostic;
use crate::options::Options;

/// Reads, validates, composes and merges rulesets. A lone ruleset and several go the same way.
#[derive(Debug)]
pub struct Loader {
    _rulesets: Vec<Document>,
}

impl Loader {
    /// For these rulesets, left to right, and what the options merge and extend. No work is done here yet.
    #[must_use]
    pub fn new(rulesets: Vec<Document>, options: &Options) -> Self {
        let _ = options;
        Self { _rulesets: rulesets }
    }

    /// Works on, as much as so many rules take; true when done.
    pub fn advance(&mut self, rules: usize) -> bool {
        let _ = rules;
        true
    }

    /// What came out, and all findings in load order. Rules with errors are left out of the composition, so that later
    /// steps can find more; a caller that sees an error among the findings must not use it for decisions.
    #[must_use]
    pub fn finish(self) -> (Option<Composition>, Vec<Diagnostic>) {
        (None, Vec::new())
    }
}
