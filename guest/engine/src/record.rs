//! What is written down of a decision: records of rules, and events of the decision log in wire form. Redacted: nothing
//! here leaves the process as it came. Source of the rules: engine.md §8.2, §8.10, wire.md §9.

pub mod event;
pub mod rules;
pub mod time;
