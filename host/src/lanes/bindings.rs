//! The Rust side of `wit/server`, made from the WIT: what lanes export, over the types that the decider's bindings already
//! have. Nothing but the names: [`super::instance`] is what uses them.

wasmtime::component::bindgen!({
    path: ["../wit/deps/io.wit", "../wit/deps/clocks.wit", "../wit/deps/http.wit", "../wit/guard", "../wit/server"],
    inline: "
        package edictum:host;
        world lanes {
            export edictum:server/api@0.1.0;
        }
    ",
    world: "edictum:host/lanes",
    exports: { default: async },
    additional_derives: [PartialEq],
    with: {
        "edictum:guard/types": shared::types,
        "edictum:guard/session": shared::session,
    },
});

/// Interfaces of types only: there is nothing to link.
#[expect(dead_code, reason = "what the macro wants to name, and nobody calls")]
mod shared {
    macro_rules! of_types_only {
        ($($name:ident)*) => {$(
            pub mod $name {
                pub use crate::bindings::$name::*;

                pub trait Host {}
                impl<T: ?Sized> Host for T {}

                pub trait HostWithStore<T>: wasmtime::component::HasData {}
                impl<T, D: wasmtime::component::HasData + ?Sized> HostWithStore<T> for D {}

                pub fn add_to_linker<T, D>(
                    _: &mut wasmtime::component::Linker<T>,
                    _: fn(&mut T) -> D::Data<'_>,
                ) -> wasmtime::Result<()>
                where
                    D: wasmtime::component::HasData,
                {
                    Ok(())
                }
            }
        )*};
    }

    of_types_only! { types session }
}

pub use self::exports::edictum::server::api;
