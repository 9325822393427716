//! `--plugin`, for the verbs that judge calls.

use std::path::Path;

use clap::Args;
use edictum_host::plugin::{Plugin, PluginSettings};
use edictum_host::{GuardBuilder, Host};

use super::Trouble;
use super::rules::read;

/// Plugins to load.
#[derive(Args)]
pub struct Plugins {
    /// A plugin (a component), or `FILE=CONFIGURATION.json`, or `@SETTINGS.json` with its limits and grants; repeatable
    #[arg(long = "plugin", value_name = "FILE")]
    plugins: Vec<String>,
}

impl Plugins {
    /// Loads them, in their order.
    pub async fn load(&self, host: &Host) -> Result<Vec<Plugin>, Trouble> {
        let mut loaded = Vec::with_capacity(self.plugins.len());
        for given in &self.plugins {
            loaded.push(settings(given)?.builder(host).load().await?);
        }
        Ok(loaded)
    }

    /// Gives them to a guard.
    pub async fn give(&self, host: &Host, mut guard: GuardBuilder) -> Result<GuardBuilder, Trouble> {
        for plugin in self.load(host).await? {
            guard = guard.plugin(plugin);
        }
        Ok(guard)
    }
}

/// What an argument names.
pub fn settings(given: &str) -> Result<PluginSettings, Trouble> {
    if let Some(path) = given.strip_prefix('@') {
        return Ok(PluginSettings::from_json(&read(Path::new(path))?)?);
    }
    // A file's own name may have the sign, too.
    let Some((file, configuration)) = given.rsplit_once('=').filter(|_| !Path::new(given).exists()) else {
        return Ok(PluginSettings::file(given));
    };
    let text = read(Path::new(configuration))?;
    let configuration = serde_json::value::RawValue::from_string(text)
        .map_err(|error| Trouble::Usage(format!("`{configuration}` is not JSON: {error}")))?;
    let mut settings = PluginSettings::file(file);
    settings.configuration = Some(configuration);
    Ok(settings)
}
