//! Edictum's engine: what a ruleset means and what it decides about a tool call.
//!
//! Data goes through it from top to bottom, and no arrow goes back up:
//!
//! 1. [`yaml`] reads text into nodes with spans;
//! 2. [`documents`] validates them and composes files into one list of rules;
//! 3. [`program`] compiles that into what runs, indexed by tool;
//! 4. [`sandbox`] and [`session`] judge what expressions cannot;
//! 5. [`pipeline`] decides: `evaluate`, `begin`, `settle`, `finish`, `fault`, `operate`;
//! 6. [`record`] writes decisions and events, redacted by [`redaction`].
//!
//! [`policy`] is the front door: what the component exports, also as [`text`].
//!
//! It has no I/O, no clock and no randomness. What a decision needs from outside it asks for ([`inquiry`]).

pub mod call;
pub mod diagnostics;
pub mod documents;
pub mod inquiry;
pub mod json;
pub mod options;
pub mod pipeline;
pub mod policy;
pub mod program;
pub mod record;
pub mod redaction;
pub mod rules;
pub mod sandbox;
pub mod session;
pub mod signing;
pub mod text;
pub mod workflow;
pub mod yaml;
