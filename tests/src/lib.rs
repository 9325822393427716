//! Tests through hosts.

pub mod differential;
