//! The differential test: the published Python SDK and our engine get the same rulesets and the same calls, and must give
//! the same answers, but for the differences that are explained.
//!
//! [`generate`] makes cases from a seed; [`process`] runs a driver of either side, [`native`] the engine itself in this
//! process; [`compare`] levels form and finds differences; [`explain`] predicts our answer from the reference's where we
//! differ on purpose (DIVERGENCES.md); [`shrink`] makes an unexplained case small; [`run`] does all of it, many times;
//! [`workflow`] is the same for workflows.

pub mod case;
pub mod compare;
pub mod datum;
pub mod explain;
pub mod generate;
pub mod native;
pub mod process;
pub mod random;
pub mod reference;
pub mod ruleset_text;
pub mod run;
pub mod scratch;
pub mod shrink;
pub mod tally;
pub mod workflow;
