//! The reference host: the decider component in wasmtime, and all that it asks for.
//!
//! The engine decides; it is a component that imports nothing and cannot do anything else. A host answers what the engine
//! asks (session state, links, callbacks, commands), keeps the time, and keeps what must survive an instance: sessions and
//! open calls, in a [`store`].
//!
//! | open next | for |
//! |---|---|
//! | [`Host`] | what a process has one of: component, deciders, clock |
//! | [`Guard`], [`GuardBuilder`] | what judges calls |
//! | [`store`] | where state lives: memory, SQLite, or your own |
//! | [`callback`] | what a program answers for itself |
//! | [`driver`] | the same as lines of JSON, for other languages and for tests |

#![deny(unsafe_code)]

mod answers;
mod bindings;
mod blocking;
mod call;
pub mod callback;
mod clock;
mod component;
mod decider;
mod decision;
pub mod driver;
mod error;
mod events;
mod guard;
mod host;
mod links;
mod policy;
mod pool;
mod process;
pub mod store;
mod timers;
mod turns;

pub use bindings::types::{Diagnostic, Document, Failure, FailureKind, Severity};
pub use blocking::Blocking;
pub use call::{CallRequest, HOST_MEMBERS};
pub use clock::{Clock, Timestamp};
pub use component::{COMPONENT_VARIABLE, ComponentSource};
pub use decision::{Action, Conclusion, Decision, ToolOutcome};
pub use error::Error;
pub use events::{EventBuffer, EventSink};
pub use guard::{Guard, GuardBuilder, HookPlace, MAX_CALL_ID, Ran, Ruleset};
pub use host::{Host, HostBuilder};
