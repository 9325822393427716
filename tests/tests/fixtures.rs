//! One test a fixture.
fn main() {}
