//! Composition → program, in slices.

use super::Program;
use crate::diagnostics::Diagnostic;
use crate::documents::composition::Composition;
use crate::options::Options;

/// Compiles a composition bit by bit, so that a host with one thread is not blocked.
#[derive(Debug)]
pub struct Compiler {}

impl Compiler {
    /// Takes what it needs; the work is in [`Compiler::advance`].
    #[must_use]
    pub fn new(_composition: &Composition, _options: &Options) -> Self {
        Self {}
    }

    /// Compiles up to so many rules, or builds the index of one tool. True when nothing is left to do.
    pub fn advance(&mut self, _rules: usize) -> bool {
        true
    }

    /// The program, and what is wrong with its rules; with an error among the findings it must not be used.
    #[must_use]
    pub fn finish(self) -> (Program, Vec<Diagnostic>) {
        (Program::default(), Vec::new())
    }
}
