//! Fixture files and what it takes to run them over a driver. One file is a suite, one entry of it a case.
//!
//! * [`document`] reads and writes YAML; [`listing`] finds the files and counts their entries without reading them; [`load`]
//!   makes suites of them;
//! * [`ruleset`], [`rejection`], [`extends`], [`workflow`], [`adapter`] run the shared suites (engine.md §15);
//! * [`scenario`] is the format of our own fixtures, [`run`] runs them, [`expectation`] compares;
//! * [`guarded`] is one guard of a driver; [`score`] counts what ran.

pub mod adapter;
pub mod document;
pub mod expectation;
pub mod extends;
pub mod guarded;
pub mod listing;
pub mod load;
pub mod rejection;
pub mod ruleset;
pub mod run;
pub mod scenario;
pub mod score;
pub mod workflow;

use std::fmt;

use guarded::Drivers;

/// What a case does; an error says what was expected and what came.
pub type Run = Box<dyn FnOnce(&Drivers) -> Result<(), String> + Send>;

/// A fixture file after reading.
pub struct Suite {
    /// The file, relative to its root and without its ending: `behavioral/operators`.
    pub name: String,
    /// Its entries.
    pub cases: Vec<Case>,
    /// How many entries its text lists; fewer cases mean that reading lost some.
    pub listed: usize,
}

/// One entry of a suite, ready to run.
pub struct Case {
    /// Its id or name, unique in the suite.
    pub name: String,
    /// The capability a driver must have to run it.
    pub needs: Option<String>,
    /// How many single comparisons with an expectation it stands for: 1, or the rows of its table.
    pub weight: usize,
    /// The fixture itself is wrong; `run` says how.
    pub fault: bool,
    /// Runs it.
    pub run: Run,
}

impl fmt::Debug for Suite {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Suite").field("name", &self.name).field("cases", &self.cases).finish_non_exhaustive()
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}
