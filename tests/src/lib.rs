//! Tests that go through a host's driver: what a host answers, not how it is built.
//!
//! * [`driver`] talks to any process that speaks the driver protocol;
//! * [`fixture`] reads fixture files and runs their cases over it: the shared suites and our own;
//! * [`differential`] holds our answers against the published Python SDK's;
//! * [`victim`] is a driver for tests that attack it;
//! * [`workshop`] builds plugins as their authors do;
//! * [`wire`] starts a server and talks HTTP to it;
//! * [`proxy`] stands before a server, counts what passes and blocks it;
//! * [`fault_server`] is a server that misbehaves as a test tells it;
//! * [`stand_in`] answers like edictum-api, but where a test says otherwise;
//! * [`places`] knows where the workspace, the shared suites and the driver are.
//!
//! It decides nothing about a call and holds no copy of a rule's meaning: expectations stand in the fixtures.

#![expect(clippy::indexing_slicing, reason = "indexing a JSON value by a name gives null and no panic")]

pub mod differential;
pub mod driver;
pub mod fault_server;
pub mod fixture;
pub mod places;
pub mod proxy;
pub mod stand_in;
pub mod victim;
pub mod wire;
pub mod workshop;
