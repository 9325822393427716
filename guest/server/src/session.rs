//! Session state on the server (ServerBackend): what an answer holds ([`answer`]), and the operations of a step in as few
//! round trips as the protocol permits ([`store`]).
//!
//! The protocol as of wire.md §7, with one addition that older servers ignore: an answer about a key may carry a `version`
//! (a batch: `versions`, by key), a text that changes with each write and that a missing key has too. A put with an expected
//! version then carries it as `If-Match`, and a server that finds another one refuses with 409 or 412 and
//! `{"value": …, "version": …}` of what is there now. Nothing of it is sent to a server that gave no version.

pub mod answer;
pub mod store;
