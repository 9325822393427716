//! `edictum-host templates`: the rulesets that come with the engine.

use clap::Args;
use serde_json::json;

use super::{End, Trouble, say, start};

/// Lists the built-in rulesets, or prints one to start from
#[derive(Args)]
#[command(after_help = "\
Example:
  $ edictum-host templates coding-assistant-base > rules.yaml")]
pub struct Templates {
    /// The one to print
    name: Option<String>,
    /// Prints `{"templates": [{"name", "yaml"}]}`
    #[arg(long)]
    json: bool,
}

impl Templates {
    pub fn run(self) -> Result<End, Trouble> {
        let host = start()?;
        let mut templates = host.block_on(host.templates())?;
        if let Some(name) = &self.name {
            let names: Vec<_> = templates.iter().map(|template| template.name.clone()).collect();
            templates.retain(|template| template.name == *name);
            if templates.is_empty() {
                let names = names.join(", ");
                return Err(Trouble::Usage(format!("there is no template `{name}`; there are: {names}")));
            }
        }
        if self.json {
            let templates: Vec<_> =
                templates.iter().map(|template| json!({"name": template.name, "yaml": template.text})).collect();
            say(&json!({ "templates": templates }).to_string())?;
            return Ok(End::Good);
        }
        for template in &templates {
            say(if self.name.is_some() { template.text.trim_end() } else { &template.name })?;
        }
        Ok(End::Good)
    }
}
