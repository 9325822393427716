//! Session state: the keys it lies under, the counters that are read, and the limits they are held against.
//! Source of the rules: engine.md §2.5 (keys), §7.

pub mod counters;
pub mod keys;
pub mod limits;
