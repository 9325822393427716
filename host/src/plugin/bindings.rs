//! The Rust side of `wit/plugin`, made from the WIT. Nothing but the names: [`super::surface`] is what uses them.

wasmtime::component::bindgen!({
    path: "../wit/plugin",
    world: "plugin",
    exports: { default: async },
    additional_derives: [PartialEq],
});

pub use self::exports::edictum::plugin::{
    audit_sink, hooks, operators, plugin_info, principal_resolver, selectors, success_check,
};
