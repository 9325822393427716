//! Which rules fire for a call.

use super::{Phase, Program};
use crate::call::Subject;
use crate::inquiry::OperatorCall;

/// The rules of one call and one phase that can fire.
#[derive(Debug)]
pub struct Scan<'p, 'c> {
    _program: &'p Program,
    _subject: Subject<'c>,
}

/// A rule whose expression is true, or cannot be evaluated (engine.md §3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// Index into [`Program::rules`].
    pub rule: usize,
    /// It fired because it could not be evaluated.
    pub policy_error: bool,
    /// What a custom operator or selector said when it failed; none for a type mismatch.
    pub error_detail: Option<String>,
}

/// Evaluates rule by rule, as it is asked. Ascending.
#[derive(Debug)]
pub struct FiredRules<'p, 'c, 'o> {
    _scan: Scan<'p, 'c>,
    _operators: &'o [Result<bool, String>],
}

impl<'p, 'c> Scan<'p, 'c> {
    pub(super) fn new(program: &'p Program, _phase: Phase, subject: Subject<'c>) -> Self {
        Self { _program: program, _subject: subject }
    }

    /// Custom operators on the values that the rules may see; each distinct call once.
    #[must_use]
    pub fn operator_calls(&self) -> Vec<OperatorCall> {
        Vec::new()
    }

    /// The rules that fire, lazily and in order. `operators` answers [`Scan::operator_calls`]; a missing answer is an error.
    #[must_use]
    pub fn fired<'o>(self, operators: &'o [Result<bool, String>]) -> FiredRules<'p, 'c, 'o> {
        FiredRules { _scan: self, _operators: operators }
    }
}

impl Iterator for FiredRules<'_, '_, '_> {
    type Item = Fired;

    fn next(&mut self) -> Option<Fired> {
        None
    }
}
