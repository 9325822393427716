//! `edictum-host check`: what would happen to one call.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::plugins::Plugins;
use super::rules::Settings;
use super::{End, Trouble, say, start};

/// Judges one tool call by a ruleset, without counting anything
///
/// All rules that match the tool are looked at; session limits, hooks and workflows are not. With --output also those that
/// look at what the tool returned.
#[derive(Args)]
#[command(after_help = "\
Exit code 0 when the call may run, 1 when it would be blocked, 2 when it could not be judged (rules that do not load).
A call that would be asked about counts as blocked: nobody is asked here.

Examples:
  $ edictum-host check --rules rules.yaml --call @call.json --output '\"42 rows\"'
  $ echo '{\"tool\": \"Read\", \"args\": {\"file_path\": \".env\"}}' | edictum-host check --rules rules.yaml
  $ edictum-host check --rules rules.yaml '{\"tool\": \"Bash\", \"args\": {\"command\": \"rm -rf /\"}}'")]
pub struct Check {
    /// Rulesets (YAML), laid over each other in this order
    #[arg(short, long = "rules", required = true, value_name = "FILE")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    plugins: Plugins,
    /// The call: a JSON object with `tool` and `args`, `@FILE`, or `-` for stdin (as when none is given)
    call: Option<String>,
    /// The same, by name
    #[arg(long = "call", value_name = "CALL", conflicts_with = "call")]
    named: Option<String>,
    /// What the tool returned (JSON; a text with its quotes)
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
        let call = read_call(self.call.as_deref().or(self.named.as_deref()).unwrap_or("-"))?;
        if let Some(output) = &self.output {
            serde_json::from_str::<&RawValue>(output)
                .map_err(|error| Trouble::Usage(format!("--output is not JSON: {error} (a text needs its quotes)")))?;
        }
        let host = start()?;
        let result = host.block_on(async {
            let guard = self.settings.guard(&host, "check", &self.rules)?;
            let guard = self.plugins.give(&host, guard).await?;
            let guard = self.settings.load(guard, &self.rules).await?;
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
    let fired: Vec<_> = verdict.rules.iter().filter(|rule| !rule.passed).collect();
    for rule in &fired {
        let how = if rule.observed { " (observed only)" } else { "" };
        say(&format!("  {}{how} — {}", rule.id, rule.message.as_deref().unwrap_or_default()))?;
    }
    // Not every reason is a rule's: a call may be no call at all.
    let said = |reason: &str| fired.iter().any(|rule| rule.message.as_deref() == Some(reason));
    for reason in verdict.block_reasons.iter().chain(&verdict.warn_reasons).filter(|reason| !said(reason)) {
        say(&format!("  {reason}"))?;
    }
    say(&match verdict.rules.len() {
        0 => "  no rule looked at it".to_owned(),
        rules => format!("  {} of the {rules} rules that looked at it fired", fired.len()),
    })
}

fn read_call(given: &str) -> Result<String, Trouble> {
    if given == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Trouble::io("cannot read stdin"))?;
        return Ok(text);
    }
    match given.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(Trouble::unread(Path::new(path))),
        None => Ok(given.to_owned()),
    }
}
