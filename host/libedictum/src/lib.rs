//! The reference host for languages that call C. The header `include/edictum.h` is made from this crate, item by item.
//!
//! Meaning lives in the engine, and keeping in the host; here texts are moved, and nothing is judged. All unsafe code of the
//! project that is not about compiled components is in this crate.
//!
//! | open next | for |
//! |---|---|
//! | [`text`], [`answer`] | what goes in, what comes out, whose it is |
//! | [`host`], [`guard`], [`calls`] | what one can do |
//! | [`operation`] | an operation to its end: at once, waited for, or told about later |
//! | [`setup`], [`callback`] | what the program answers for itself |
//! | [`driver`] | the driver protocol in this process |
//! | [`boundary`] | no panic goes through it |

#![expect(unsafe_code, reason = "the C ABI: pointers come in and go out")]
// Each function says in words for C programmers what its pointers must be.
#![expect(clippy::missing_safety_doc, reason = "documented for C, in the header and in `text`")]

pub mod answer;
mod boundary;
pub mod callback;
pub mod calls;
pub mod driver;
pub mod guard;
pub mod host;
pub mod log;
pub mod operation;
pub mod setup;
pub mod text;
