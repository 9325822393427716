//! The component, in two worlds: `edictum:guard/decider` over the engine, and with the feature `server` also
//! `edictum:server/api` over wasi:http, which together are `edictum:server/guard`. Conversions and wiring, nothing else; what
//! anything means is in `edictum_engine`, whose front door is [`edictum_engine::policy`], and in `edictum_server_protocol`.
//!
//! [`documents`], [`decide`] and [`decide_text`] each export one interface of `wit/guard`; [`types`] and [`inquiry`] turn the
//! types of the WIT into the engine's and back, by moving. `api` exports `wit/server`, `http` makes its requests.

#[cfg(feature = "server")]
mod api;
mod decide;
mod decide_text;
mod documents;
#[cfg(feature = "server")]
mod http;
mod inquiry;
mod types;

#[cfg(not(feature = "server"))]
#[expect(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit/guard",
        world: "decider",
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}

#[cfg(feature = "server")]
#[expect(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: ["../wit/deps/io.wit", "../wit/deps/clocks.wit", "../wit/deps/http.wit", "../wit/guard", "../wit/server"],
        world: "edictum:server/guard",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}

/// What the component exports its interfaces from.
struct Component;

bindings::export!(Component);
