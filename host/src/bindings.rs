//! The Rust side of `wit/guard`, made from the WIT. Nothing but the names: [`crate::decider`] is what uses them.

wasmtime::component::bindgen!({
    path: "../wit/guard",
    world: "decider",
    additional_derives: [PartialEq],
});

pub use self::exports::edictum::guard::{decide, documents, session, signing, types};
