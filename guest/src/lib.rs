//! The component: `edictum:guard/decider` over the engine. Conversions and wiring, nothing else; what anything means is
//! in `edictum_engine`, and its front door is [`edictum_engine::policy`].
//!
//! [`documents`], [`decide`] and [`decide_text`] each export one interface of `wit/guard`; [`types`] and [`inquiry`] turn the
//! types of the WIT into the engine's and back, by moving.

mod decide;
mod decide_text;
mod documents;
mod inquiry;
mod types;

#[expect(clippy::all, reason = "generated")]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit/guard",
        world: "decider",
        pub_export_macro: true,
        default_bindings_module: "crate::bindings",
    });
}

/// What the component exports its interfaces from.
struct Component;

bindings::export!(Component);
