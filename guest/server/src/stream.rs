//! The stream of events: its bytes ([`sse`]), and when it is opened, given up and opened again ([`connection`]). What the
//! events mean for rulesets is `ruleset::hint`.

pub mod connection;
pub mod sse;
