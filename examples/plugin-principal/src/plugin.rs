//! How the host asks: the world `principal-plugin`.

mod bindings {
    wit_bindgen::generate!({ path: "wit", world: "principal-plugin" });
}

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use bindings::exports::edictum::plugin;
use plugin::plugin_info::Manifest;

use crate::directory::Directory;

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

static DIRECTORY: OnceLock<Directory> = OnceLock::new();

impl plugin::plugin_info::Guest for Plugin {
    fn describe(configuration: String) -> Result<Manifest, String> {
        let directory = Directory::read(&configuration)?;
        // This is called once in each instance.
        let _first = DIRECTORY.set(directory);
        Ok(Manifest {
            name: "principal".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            operators: Vec::new(),
            selectors: Vec::new(),
            hooks: Vec::new(),
        })
    }
}

impl plugin::principal_resolver::Guest for Plugin {
    fn resolve(tool: String, arguments: String) -> Result<Option<String>, String> {
        let directory = DIRECTORY.get().ok_or("there is no directory")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        crate::resolve(directory, &tool, &arguments, now.as_secs())
    }
}
