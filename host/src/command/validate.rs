//! `edictum-host validate`: do these documents load, and what is wrong with them.

use std::path::PathBuf;

use clap::Args;
use edictum_host::Severity;
use serde_json::json;

use super::rules::{Settings, documents};
use super::{End, Trouble, findings, say, start};

/// Checks rulesets, and shows every finding with its place
///
/// Several files are laid over each other from left to right, as a guard would load them.
#[derive(Args)]
#[command(after_help = "\
Exit code 1 when they do not load (with --strict: also on warnings).

Example:
  $ edictum-host validate rules.yaml")]
pub struct Validate {
    /// Rulesets (YAML)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Warnings count as findings
    #[arg(long)]
    strict: bool,
    /// Prints `{"diagnostics": [...]}`
    #[arg(long)]
    json: bool,
}

impl Validate {
    pub fn run(self) -> Result<End, Trouble> {
        let mut documents = documents(&self.files)?;
        let workflow = self.settings.workflow()?;
        let host = start()?;
        let found = host.block_on(host.check(documents.clone(), workflow.clone(), &self.settings.options()?))?;
        documents.extend(workflow);
        let bad = |severity| severity == Severity::Error || (self.strict && severity == Severity::Warning);
        let failed = found.iter().any(|finding| bad(finding.severity));
        if self.json {
            say(&json!({ "diagnostics": findings::as_json(&found) }).to_string())?;
        } else {
            findings::show(&found, &documents)?;
            if !failed {
                let files =
                    if self.files.len() == 1 { "1 file".to_owned() } else { format!("{} files", self.files.len()) };
                say(&format!("{files} can be loaded"))?;
            }
        }
        Ok(if failed { End::Found } else { End::Good })
    }
}
