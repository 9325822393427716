//! Says that it is a plugin, and has other functions.

wit_bindgen::generate!({ path: "mistyped", world: "mistyped" });

struct Plugin;

export!(Plugin);

impl exports::edictum::plugin::plugin_info::Guest for Plugin {
    fn describe() -> u32 {
        7
    }
}

impl exports::edictum::plugin::operators::Guest for Plugin {
    fn apply(_name: String) -> bool {
        true
    }
}
