//! Workflow gates: ordered stages that a session walks through, each with the tools it permits, the evidence it asks for
//! and the approvals it needs. Source of the rules: engine.md §13.
//!
//! * [`condition`] is the grammar of gates, [`argv`] of the commands in them;
//! * [`definition`] is a compiled workflow;
//! * [`state`] is where a session stands, and how that is written down; [`stored`] how it gets into a store and out of it;
//! * [`gate`] looks at one condition, [`advance`] at a call: may it run, does the session move on;
//! * [`evidence`] records what a tool did, [`operations`] are what people do to a session.
//!
//! Nothing here runs commands or reads stores: `exec(...)` gives back what has to be asked.

pub mod advance;
pub mod argv;
pub mod condition;
pub mod definition;
pub mod evidence;
pub mod gate;
pub mod operations;
pub mod state;
pub mod stored;
