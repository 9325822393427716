//! `edictum-host check`: what would happen to one call.

use std::io::Read;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::rules::Settings;
use super::{End, Trouble, say, start};

/// Judges one tool call by a ruleset, without counting anything
///
/// All rules that match the tool are looked at; session limits, hooks and workflows are not. With --output also those that
/// look at what the tool returned.
#[derive(Args)]
#[command(after_help = "\
Exit code 1 when the call would be blocked.

Example:
  $ edictum-host check --rules rules.yaml '{\"tool\": \"Bash\", \"args\": {\"command\": \"rm -rf /\"}}'")]
pub struct Check {
    /// Rulesets (YAML), laid over each other in this order
    #[arg(short, long = "rules", required = true, value_name = "FILE")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// The call: a JSON object with `tool` and `args`, `@FILE`, or `-` for stdin
    call: String,
    /// What the tool returned (JSON)
    #[arg(long, value_name = "JSON")]
    output: Option<String>,
    /// Prints the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Verdict {
    decision: String,
    rules: Vec<Rule>,
    block_reasons: Vec<String>,
    warn_reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    passed: bool,
    #[serde(default)]
    observed: bool,
    message: Option<String>,
}

impl Check {
    pub fn run(self) -> Result<End, Trouble> {
        let call = read_call(&self.call)?;
        let host = start()?;
        let result = host.block_on(async {
            let guard = self.settings.guard(&host, "check", &self.rules)?.build().await?;
            Ok::<_, Trouble>(guard.evaluate(&call, self.output.as_deref()).await?)
        })?;
        let verdict: Verdict = serde_json::from_str(&result)
            .map_err(|error| Trouble::Usage(format!("the result cannot be read: {error}")))?;
        if self.json {
            say(&result)?;
        } else {
            show(&verdict)?;
        }
        Ok(if verdict.decision == "block" { End::Found } else { End::Good })
    }
}

fn show(verdict: &Verdict) -> Result<(), Trouble> {
    say(&verdict.decision)?;
    for reason in verdict.block_reasons.iter().chain(&verdict.warn_reasons) {
        say(&format!("  {reason}"))?;
    }
    for rule in verdict.rules.iter().filter(|rule| !rule.passed) {
        let how = if rule.observed { "fired (observed)" } else { "fired" };
        say(&format!("  rule {} {how}: {}", rule.id, rule.message.as_deref().unwrap_or_default()))?;
    }
    let passed = verdict.rules.iter().filter(|rule| rule.passed).count();
    say(&format!("  {passed} of {} rules passed", verdict.rules.len()))
}

fn read_call(given: &str) -> Result<String, Trouble> {
    if given == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Trouble::io("stdin"))?;
        return Ok(text);
    }
    match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(Trouble::io(path)),
        None => Ok(given.to_owned()),
    }
}
