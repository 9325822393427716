//! Tests through hosts.
