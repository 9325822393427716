//! A server-backed guard against a server that misbehaves: the cases of wire.md §13 that a client can show, each as a test
//! named after it, through the driver and over real sockets. What is asserted is what the guard decides and says, and what
//! the server got. Time is injected: what waits for minutes takes none.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod approvals;
mod log;
mod place;
mod rulesets;
mod sessions;
mod stream;
mod transport;
