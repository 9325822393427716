//! Rulesets from the server (ServerContractSource): what an answer holds ([`body`]), whether it is taken ([`acceptance`]),
//! what a push hints at ([`hint`]), what is kept over a restart ([`memory`]), when what happens ([`source`]), and
//! what comes of it ([`step`]).
//!
//! A push is a hint; the fetch is the truth.

pub mod acceptance;
pub mod body;
mod fetch;
pub mod hint;
pub mod memory;
pub mod source;
pub mod step;
