//! `edictum-host validate`: do these documents load, and what is wrong with them. Rulesets are one composition; a workflow
//! among them stands for itself.

use std::path::PathBuf;

use clap::Args;
use edictum_host::plugin::Plugin;
use edictum_host::{Document, Severity};
use serde_json::{Map, Value, json};

use super::plugins::Plugins;
use super::rules::{Settings, documents};
use super::{End, Trouble, findings, say, start};

/// Checks rulesets and workflows, and shows every finding with its place
///
/// Several rulesets are laid over each other from left to right, as a guard would load them. Workflows (kind: Workflow) are
/// checked each by itself; with `exec(...)` they need --options '{"exec_enabled": true}'.
#[derive(Args)]
#[command(after_help = "\
Exit code 1 when they do not load (with --strict: also on warnings), 2 when a file cannot be read.

Each finding has a code, its place and, where there is one, a way out. The codes do not change; texts may.

Examples:
  $ edictum-host validate rules.yaml
  $ edictum-host validate base.yaml team.yaml --strict
  $ edictum-host validate rules.yaml --json | jq '.diagnostics[].code'")]
pub struct Validate {
    /// Rulesets and workflows (YAML)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    plugins: Plugins,
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
        let plugins = host.block_on(self.plugins.load(&host))?;
        let options = named(&self.settings.options()?, &plugins)?;
        let (workflows, rulesets): (Vec<_>, Vec<_>) = documents.iter().cloned().partition(is_workflow);
        let mut found = Vec::new();
        if workflows.is_empty() || !rulesets.is_empty() {
            found.extend(host.block_on(host.check(rulesets, workflow.clone(), &options))?);
        }
        for alone in workflows {
            found.extend(host.block_on(host.check(Vec::new(), Some(alone), &options))?);
        }
        documents.extend(workflow);
        let bad = |severity| severity == Severity::Error || (self.strict && severity == Severity::Warning);
        let failed = found.iter().any(|finding| bad(finding.severity));
        if self.json {
            say(&json!({ "diagnostics": findings::as_json(&found) }).to_string())?;
        } else {
            let shown = findings::shown(&found, &documents);
            if !shown.is_empty() {
                say(shown.trim_end())?;
                say("")?;
            }
            let files = match self.files.len() {
                1 => "1 file".to_owned(),
                count => format!("{count} files"),
            };
            let loads = if found.iter().any(|finding| finding.severity == Severity::Error) {
                "cannot be loaded"
            } else {
                "can be loaded"
            };
            let counted = findings::counted(&found);
            let counted = if counted.is_empty() { counted } else { format!(": {counted}") };
            say(&format!("{files} {loads}{counted}"))?;
        }
        Ok(if failed { End::Found } else { End::Good })
    }
}

/// The options, with the names that plugins bring.
fn named(options: &str, plugins: &[Plugin]) -> Result<String, Trouble> {
    let mut options: Map<String, Value> = serde_json::from_str(options)
        .map_err(|error| Trouble::Usage(format!("the options cannot be read: {error}")))?;
    for plugin in plugins {
        for (kind, names) in [("operators", plugin.operators()), ("selectors", plugin.selectors())] {
            let named = options.entry(kind).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(named) = named {
                named.extend(names.iter().map(|name| Value::from(name.as_str())));
            }
        }
    }
    Ok(Value::Object(options).to_string())
}

/// Whether a file means to be a workflow. Whether it is one, the engine says.
fn is_workflow(document: &Document) -> bool {
    document.text.lines().find_map(|line| line.strip_prefix("kind:")).is_some_and(|kind| {
        let kind = kind.split('#').next().unwrap_or_default();
        kind.trim().trim_matches(['"', '\'']) == "Workflow"
    })
}
