//! `edictum-host rulesets`: publishing on a server.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::remote::{Remote, plain, runtime, text};
use super::signing::{from_file, signature};
use super::{End, Trouble, say};

/// Publishes rulesets on a server
#[derive(Args)]
#[command(after_help = "\
Example:
  $ edictum-host rulesets push rules.yaml")]
pub struct Rulesets {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Push(Push),
    List(List),
}

/// Publishes a ruleset: agents that follow it get it at once
///
/// The server checks it first, and keeps every version. The same text again changes nothing.
#[derive(Args)]
#[command(after_help = "\
Exit code 0 when agents get this text from now on, 1 when the server refuses it (its findings are shown), 2 when the server
cannot be asked.

Examples:
  $ edictum-host rulesets push rules.yaml
  $ edictum-host rulesets push rules.yaml --env staging --key signing.key --json | jq .version")]
struct Push {
    #[command(flatten)]
    remote: Remote,
    /// The ruleset; `metadata.name` is what it is published as
    file: PathBuf,
    /// Only for agents of this environment
    #[arg(long)]
    env: Option<String>,
    /// Signs it here, with a key made by `keygen`, instead of at the server
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A signature made by `sign`, or `@FILE` with it
    #[arg(long, conflicts_with = "key")]
    signature: Option<String>,
    /// Prints the server's answer
    #[arg(long)]
    json: bool,
}

/// Shows what is published, and what is wrong with files in the server's folder
#[derive(Args)]
#[command(after_help = "\
Exit code 1 when something in the folder is not published as it is, 2 when the server cannot be asked.

Example:
  $ edictum-host rulesets list")]
struct List {
    #[command(flatten)]
    remote: Remote,
    /// Prints the server's answer
    #[arg(long)]
    json: bool,
}

impl Rulesets {
    pub fn run(self) -> Result<End, Trouble> {
        match self.verb {
            Verb::Push(push) => push.run(),
            Verb::List(list) => list.run(),
        }
    }
}

impl Push {
    fn run(self) -> Result<End, Trouble> {
        let server = self.remote.server()?;
        let yaml = fs::read_to_string(&self.file).map_err(Trouble::unread(&self.file))?;
        let signature = match (&self.key, &self.signature) {
            (Some(key), _) => Some(hex::encode(signature(key, &yaml)?.0)),
            (None, Some(given)) => Some(from_file(given)?),
            (None, None) => None,
        };
        let mut body = json!({ "yaml": yaml });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.env.map(|environment| ("env".to_owned(), environment.into())));
            members.extend(signature.map(|signature| ("signature".to_owned(), signature.into())));
        }
        let request = server
            .request(Method::POST, &["rulesets"], &[])
            .header("content-type", "application/json")
            .body(body.to_string());
        let answer = runtime()?.block_on(server.ask(request))?;
        let refused = matches!(answer.status, 413 | 422);
        let message = answer.message();
        let body = if refused { answer.body } else { answer.good()? };
        if self.json {
            say(&body.to_string())?;
        } else if refused {
            anstream::eprintln!("{}", plain(&message));
            findings(&body);
        } else {
            let changed = body.get("changed").and_then(Value::as_bool).unwrap_or(true);
            let already = if changed { "" } else { " already" };
            let version = body.get("version").cloned().unwrap_or_default();
            say(&format!("{} is{already} version {version}", plain(text(&body, "name"))))?;
            findings(&body);
        }
        Ok(if refused { End::Found } else { End::Good })
    }
}

/// What the engine says about it.
fn findings(body: &Value) {
    for finding in body.get("diagnostics").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| plain(text(finding, name));
        let line = finding.get("line").and_then(Value::as_u64).unwrap_or(0);
        anstream::eprintln!("  {} {} (line {line}): {}", part("severity"), part("code"), part("message"));
        let help = part("help");
        if !help.is_empty() {
            anstream::eprintln!("    {help}");
        }
    }
}

impl List {
    fn run(self) -> Result<End, Trouble> {
        let server = self.remote.server()?;
        let asked = async { server.ask(server.request(Method::GET, &["rulesets"], &[])).await?.good() };
        let body = runtime()?.block_on(asked)?;
        let troubles = body.get("troubles").and_then(Value::as_object).cloned().unwrap_or_default();
        if self.json {
            say(&body.to_string())?;
        } else {
            for ruleset in body.get("rulesets").and_then(Value::as_array).into_iter().flatten() {
                let part = |name: &str| plain(text(ruleset, name));
                let environment = ruleset.get("environment").and_then(Value::as_str).unwrap_or("all environments");
                let version = ruleset.get("version").cloned().unwrap_or_default();
                let signed = ruleset.get("signed").and_then(Value::as_bool).unwrap_or(false);
                let signed = if signed { "signed" } else { "not signed" };
                let (name, at) = (part("name"), part("deployed_at"));
                say(&format!("{name}  version {version}, {}, {signed}, since {at}", plain(environment)))?;
            }
            for (file, trouble) in &troubles {
                say(&format!("{}: {}", plain(file), plain(text(trouble, "message"))))?;
            }
        }
        Ok(if troubles.is_empty() { End::Good } else { End::Found })
    }
}
