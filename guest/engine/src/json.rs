//! JSON as the engine sees it: texts that are read once into a flat [`Tape`] and looked at through [`Value`]s.
//!
//! Why not `serde_json::Value`: a decision must not build a tree, numbers must keep their exact text (`1.0`, `1e400`,
//! integers above 2^53), every value must be able to give its raw text back, and a call with duplicate keys, lone
//! surrogates or bottomless nesting must be refused. Everything that is not on the way of a call uses `serde_json`.
//!
//! [`tape`] reads, [`value`] looks, [`number`] compares exactly, [`write`] makes
//! texts, [`members`] cuts one without judging what is inside.

pub(crate) mod members;
mod number;
mod plain;
mod tape;
mod value;
pub mod write;

pub use number::Number;
pub(crate) use tape::fingerprint;
pub use tape::{Builder, MAX_DEPTH, ReadError, Tape};
pub use value::{List, Map, Unread, Value};

/// JSON text (RFC 8259).
pub type Json = String;

/// An owned value: a tape whose root is the value. Operands, metadata and answers are kept so.
pub type Literal = Tape<'static>;
