//! A plugin for tests. What it does, each question says: an operator's operand, a call's argument `mode`, an output.
//! `wit/` is put beside it by the test that builds it.

#[cfg(feature = "mistyped")]
mod mistyped;
#[cfg(not(feature = "mistyped"))]
mod plugin;
