//! A server-backed guard against a server that misbehaves: the cases of wire.md §13 that a client can show, each as a test
//! named after it, through the driver and over real sockets. What is asserted is what the guard decides and says, and what
//! the server got. Time is injected: what waits for minutes takes none.
//!
//! Not here, since no single client shows it:
//!
//! * T52, a process killed between a delivery and its acknowledgement: the outbox of the driver is in memory; the tests of the
//!   host's outbox kill processes.
//! * T78, thousands of clients that come back spread: ten thousand of them are in `guest/server`, at the connection.
//! * Of T24, a proxy for https: there is none, whatever the environment says.
//! * Of T23, what another machine would see of a permitted address: tests use the own machine only.
//! * Of T17, a bomb of gigabytes: a compressed body is refused by its header, before a byte of it is looked at.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod approvals;
mod log;
mod place;
mod rulesets;
mod sessions;
mod stream;
mod transport;
