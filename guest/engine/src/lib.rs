//! Edictum's engine: what a ruleset means and what it decides about a tool call.
//!
//! Data goes through it from top to bottom, and no arrow goes back up:
//!
//! 1. [`yaml`] reads text into nodes with spans;
//! 2. [`documents`] validates them and composes files into one list of rules;
//! 3. [`program`] compiles that into what runs, indexed by tool;
//! 4. [`sandbox`], [`session`], [`workflow`] judge what expressions cannot;
//! 5. [`pipeline`] decides: `evaluate`, `begin`, `settle`, `finish`, `fault`, `operate`;
//! 6. [`record`] writes decisions and events, redacted.
//!
//! [`policy`] is the front door: what the component exports.
//!
//! It has no I/O, no clock and no randomness. What a decision needs from outside it asks for ([`inquiry`]).

pub mod call;
pub mod diagnostics;
pub mod documents;
pub mod inquiry;
pub mod json;
pub mod options;
pub mod policy;
pub mod signing;
pub mod text;
