//! A plugin and what it may use, as JSON: what the driver's `plugins` and the option `--plugin` take.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Folder, Grants, PluginBuilder};
use crate::error::Error;
use crate::host::Host;

/// A plugin and what it may use: `"plugin.wasm"`, or an object with these members.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSettings {
    /// The component's file.
    pub path: PathBuf,
    /// What the plugin is told when it is loaded; any JSON.
    pub configuration: Option<Box<RawValue>>,
    /// Memory for each instance, in bytes.
    pub memory_bytes: Option<usize>,
    /// Time for one call, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// How many calls it answers at the same time.
    pub instances: Option<usize>,
    /// What it may reach.
    #[serde(default)]
    grants: GrantSettings,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct GrantSettings {
    environment: Vec<String>,
    folders: Vec<FolderSettings>,
    connect: Vec<SocketAddr>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderSettings {
    host: PathBuf,
    plugin: String,
    #[serde(default)]
    write: bool,
}

impl PluginSettings {
    /// The file alone.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            configuration: None,
            memory_bytes: None,
            deadline_ms: None,
            instances: None,
            grants: GrantSettings::default(),
        }
    }

    /// From JSON: a text (the file), or an object.
    ///
    /// # Errors
    /// It is neither, or the object has other members.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let bad = |error: serde_json::Error| Error::Argument(format!("plugins: {error}"));
        if text.trim_start().starts_with('"') {
            return serde_json::from_str(text).map(|path: PathBuf| Self::file(path)).map_err(bad);
        }
        serde_json::from_str(text).map_err(bad)
    }

    /// The plugin that is to be loaded. Variables are granted by name, with the values that they have now.
    pub fn builder(self, host: &Host) -> PluginBuilder {
        let mut builder = host.plugin(self.path);
        if let Some(configuration) = self.configuration {
            builder = builder.configuration(configuration.get());
        }
        if let Some(memory) = self.memory_bytes {
            builder = builder.memory(memory);
        }
        if let Some(deadline) = self.deadline_ms {
            builder = builder.deadline(Duration::from_millis(deadline));
        }
        if let Some(instances) = self.instances {
            builder = builder.instances(instances);
        }
        let GrantSettings { environment, folders, connect } = self.grants;
        let environment = environment.into_iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        let folders = folders.into_iter().map(|FolderSettings { host, plugin, write }| Folder { host, plugin, write });
        builder.grants(Grants { environment: environment.collect(), folders: folders.collect(), connect })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_an_object_and_nothing_else() {
        assert_eq!(PluginSettings::from_json(r#" "a.wasm" "#).unwrap().path, PathBuf::from("a.wasm"));
        let settings = PluginSettings::from_json(
            r#"{"path":"a.wasm","configuration":{"n":1.0},"memory_bytes":1,"deadline_ms":2,"instances":3,
                "grants":{"environment":["A"],"folders":[{"host":"/h","plugin":"/p"}],"connect":["127.0.0.1:80"]}}"#,
        )
        .unwrap();
        assert_eq!(settings.configuration.unwrap().get(), r#"{"n":1.0}"#);
        assert!(!settings.grants.folders.first().unwrap().write);
        for wrong in [
            "null",
            "1",
            "[]",
            r#"{"path":1}"#,
            "{}",
            r#"{"path":"a","config":{}}"#,
            r#"{"path":"a","grants":{"network":true}}"#,
        ] {
            assert_eq!(PluginSettings::from_json(wrong).unwrap_err().code(), "bad-request", "{wrong}");
        }
    }
}
