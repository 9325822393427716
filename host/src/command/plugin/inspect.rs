//! `edictum-host plugin inspect`: loads a plugin and shows what it has.

use clap::Args;
use edictum_host::plugin::Plugin;
use serde_json::json;

use crate::command::{End, Trouble, plugins, say, start};

/// Loads a plugin, and shows what it says about itself
///
/// The plugin is asked who it is, as a guard would ask it, with the configuration given.
#[derive(Args)]
#[command(after_help = "\
Exit code 2 when it cannot be loaded.

Examples:
  $ edictum-host plugin inspect pii.wasm
  $ edictum-host plugin inspect principal.wasm=directory.json --json")]
pub struct Inspect {
    /// The component, or `FILE=CONFIGURATION.json`, or `@SETTINGS.json`
    #[arg(value_name = "FILE")]
    plugin: String,
    /// Prints what it has as JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn run(self) -> Result<End, Trouble> {
        let settings = plugins::settings(&self.plugin)?;
        let host = start()?;
        let plugin = host.block_on(settings.builder(&host).load())?;
        if self.json {
            say(&as_json(&plugin))?
        } else {
            show(&plugin)?
        }
        Ok(End::Good)
    }
}

fn as_json(plugin: &Plugin) -> String {
    let hooks = plugin.hooks().into_iter();
    let hooks =
        hooks.map(|hook| json!({"name": hook.name, "tools": hook.tools, "before": hook.before, "after": hook.after}));
    let interfaces: Vec<_> = plugin.interfaces().iter().map(|interface| interface.name()).collect();
    json!({
        "name": plugin.name(),
        "version": plugin.version(),
        "interfaces": interfaces,
        "operators": plugin.operators(),
        "selectors": plugin.selectors(),
        "hooks": hooks.collect::<Vec<_>>(),
    })
    .to_string()
}

fn show(plugin: &Plugin) -> Result<(), Trouble> {
    say(&format!("{} {}", plugin.name(), plugin.version()))?;
    let interfaces: Vec<_> = plugin.interfaces().iter().map(|interface| interface.name()).collect();
    say(&format!("  exports    {}", interfaces.join(", ")))?;
    for (what, names) in [("operators", plugin.operators()), ("selectors", plugin.selectors())] {
        if !names.is_empty() {
            say(&format!("  {what}  {}", names.join(", ")))?;
        }
    }
    for hook in plugin.hooks() {
        let when = match (hook.before, hook.after) {
            (true, true) => "before and after",
            (true, false) => "before",
            (false, true) => "after",
            (false, false) => "never",
        };
        say(&format!("  hook       {}: {when} `{}`", hook.name, hook.tools))?;
    }
    Ok(())
}
