//! `edictum-host serve`: an edictum-api for development and small teams.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use edictum_host::serve::settings::{Rate, RateSettings};
use edictum_host::serve::{Dialect, GivenKey, NewKey, Role, Server, Settings};
use serde_json::{Value, json};

use super::remote::{ADDRESS, runtime, secret};
use super::{End, Trouble, say, start};

/// Serves rulesets, sessions, approvals and the decision log to agents: an edictum-api in one process
///
/// Everything is kept in one SQLite file and survives a restart. Rulesets come from a folder: NAME.yaml is for all
/// environments, ENVIRONMENT/NAME.yaml for one; a file that changes is checked, published as a new version and announced to
/// connected agents. `assignments.yaml` beside them says which agent follows which ruleset when it names none. The page at /
/// shows approvals, decisions, rulesets and agents.
#[derive(Args)]
#[command(after_help = "\
Runs until SIGTERM or Ctrl-C: requests that are under way are finished, streams are ended. Exit code 0 then, 2 when it
cannot start (address taken, unreadable data, a bad key).

Keys: agents' keys belong to an environment, operators' keys to a person who decides. When there is none of a kind, one is
made and printed once. Plain HTTP only: put a TLS proxy in front of it for other machines.

assignments.yaml:
  assignments:
    - {ruleset: data-rules, tags: {team: data}, environment: production}
    - {ruleset: base-rules, agent: 'ci-*'}

Examples:
  $ edictum-host serve --rulesets ./rulesets
  $ edictum-host keygen -o signing.key && edictum-host serve --rulesets ./rulesets --signing-key signing.key
  $ edictum-host serve --listen 127.0.0.1:0 --data ./state --api-key production:@agent.key --json")]
pub struct Serve {
    /// Address and port; port 0: a free one, which is printed
    #[arg(long, default_value = ADDRESS, value_name = "ADDRESS")]
    listen: String,
    /// Where everything is kept [default: ~/.local/state/edictum/serve]
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Rulesets to publish, and to publish again when they change
    #[arg(long, value_name = "FOLDER")]
    rulesets: Option<PathBuf>,
    /// Who is assigned which ruleset [default: assignments.yaml among the rulesets]
    #[arg(long, value_name = "FILE")]
    assignments: Option<PathBuf>,
    /// Signs rulesets with this key, made by `keygen`
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// An agents' key of an environment; KEY may be @FILE (repeatable)
    #[arg(long = "api-key", value_name = "ENV:KEY")]
    api_keys: Vec<String>,
    /// An operator's key; KEY may be @FILE (repeatable)
    #[arg(long = "operator-key", value_name = "NAME:KEY")]
    operator_keys: Vec<String>,
    /// What it speaks
    #[arg(long, value_enum, default_value_t = Spoken::Superset)]
    dialect: Spoken,
    /// How often what may be done, as in `approvals=10/60` (per 60 s) or `events=none`
    /// [classes: events, approvals, sessions, rulesets]
    #[arg(long = "rate-limit", value_name = "CLASS=COUNT/SECONDS")]
    rates: Vec<String>,
    /// Days that a session's value is kept after it was last written
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    session_ttl: u32,
    /// Days that events are kept [default: for ever]
    #[arg(long, value_name = "DAYS")]
    keep_events: Option<u32>,
    /// Seconds between signs of life on silent streams
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=300))]
    keepalive: u32,
    /// Options for checking rulesets (custom operators, a registry), as a JSON object or as @FILE
    #[arg(long, value_name = "JSON", default_value = "{}")]
    options: String,
    /// Prints the address and new keys as one line of JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Spoken {
    /// What all public SDKs understand
    Superset,
    /// Only what edictum-api documents
    Canonical,
    /// The retired console, below /api/v1
    Console,
}

impl Serve {
    pub fn run(self) -> Result<End, Trouble> {
        let (json, settings) = (self.json, self.settings()?);
        let host = start()?;
        let shown = shown(settings.dialect);
        runtime()?.block_on(async move {
            let mut signals = Signals::new()?;
            let server = Server::start(settings, &host).await.map_err(|error| Trouble::Usage(error.to_string()))?;
            announce(&server, shown, json)?;
            signals.wait().await;
            server.stop().await;
            Ok(End::Good)
        })
    }

    fn settings(self) -> Result<Settings, Trouble> {
        let data = match self.data {
            Some(data) => data,
            None => super::run::default_folder()?.join("serve"),
        };
        let mut settings = Settings::new(data);
        settings.listen = self.listen;
        settings.rulesets = self.rulesets;
        settings.assignments = self.assignments;
        settings.signing_key = self.signing_key;
        settings.dialect = match self.dialect {
            Spoken::Superset => Dialect::Superset,
            Spoken::Canonical => Dialect::Canonical,
            Spoken::Console => Dialect::Console,
        };
        let given = [(Role::Agent, &self.api_keys), (Role::Operator, &self.operator_keys)];
        for (role, keys) in given {
            for key in keys {
                settings.keys.push(self::given(role, key)?);
            }
        }
        settings.rates = rates(&self.rates)?;
        settings.session_ttl = days(self.session_ttl);
        settings.keep_events = self.keep_events.map(days);
        settings.keepalive = Duration::from_secs(self.keepalive.into());
        settings.options = match self.options.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path).map_err(Trouble::unread(std::path::Path::new(path)))?,
            None => self.options,
        };
        Ok(settings)
    }
}

fn days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 86_400)
}

fn given(role: Role, text: &str) -> Result<GivenKey, Trouble> {
    let wrong = || {
        Trouble::Usage(match role {
            Role::Agent => "--api-key is ENV:KEY, as in production:edk_…".to_owned(),
            Role::Operator => "--operator-key is NAME:KEY, as in alice:…".to_owned(),
        })
    };
    let (name, key) = text.split_once(':').ok_or_else(wrong)?;
    Ok(GivenKey { role, name: name.to_owned(), secret: secret(key)? })
}

fn rates(given: &[String]) -> Result<RateSettings, Trouble> {
    let mut rates = RateSettings::default();
    for text in given {
        let wrong = || Trouble::Usage(format!("`{text}` is not CLASS=COUNT/SECONDS or CLASS=none"));
        let (class, limit) = text.split_once('=').ok_or_else(wrong)?;
        let limit = match limit {
            "none" => None,
            limit => {
                let (count, seconds) = limit.split_once('/').ok_or_else(wrong)?;
                let number = |text: &str| text.parse().ok().filter(|number| *number > 0).ok_or_else(wrong);
                Some(Rate { count: number(count)?, seconds: number(seconds)? })
            }
        };
        match class {
            "events" => rates.events = limit,
            "approvals" => rates.approvals = limit,
            "sessions" => rates.sessions = limit,
            "rulesets" => rates.rulesets = limit,
            _ => return Err(wrong()),
        }
    }
    Ok(rates)
}

fn shown(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Canonical => "canonical",
        Dialect::Console => "console",
        _ => "superset",
    }
}

fn announce(server: &Server, dialect: &str, json: bool) -> Result<(), Trouble> {
    let address = server.address();
    let url = format!("http://{address}");
    if !address.ip().is_loopback() {
        anstream::eprintln!("warning: `{address}` can be reached from other machines, over plain HTTP");
    }
    if json {
        let keys: Vec<Value> = server.created_keys().iter().map(key_json).collect();
        let line = json!({
            "listening": url,
            "address": address.to_string(),
            "dialect": dialect,
            "created_keys": keys,
            "public_key": server.verifying_key(),
        });
        return say(&line.to_string());
    }
    say(&format!("listening on {url} ({dialect})"))?;
    for key in server.created_keys() {
        let whose = match key.role {
            Role::Agent => format!("agents' key for {}", key.name),
            Role::Operator => "operator's key".to_owned(),
        };
        say(&format!("{whose}, shown only now: {}", key.secret))?;
    }
    if let Some(key) = server.verifying_key() {
        say(&format!("rulesets are signed; public key: {key}"))?;
    }
    say(&format!("approvals and decisions: {url}/"))
}

fn key_json(key: &NewKey) -> Value {
    let role = match key.role {
        Role::Agent => "agent",
        Role::Operator => "operator",
    };
    json!({ "role": role, "name": key.name, "key": key.secret })
}

/// What ends a server in order.
#[cfg(unix)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    pub fn new() -> Result<Self, Trouble> {
        use tokio::signal::unix::{SignalKind, signal};

        let heard = |kind| signal(kind).map_err(Trouble::io("signals cannot be heard"));
        Ok(Self { terminate: heard(SignalKind::terminate())?, interrupt: heard(SignalKind::interrupt())? })
    }

    pub async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What ends a server in order.
#[cfg(not(unix))]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub fn new() -> Result<Self, Trouble> {
        Ok(Self)
    }

    pub async fn wait(&mut self) {
        let _heard = tokio::signal::ctrl_c().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_mistakes_told() {
        let read = rates(&["approvals=10/60".to_owned(), "events=none".to_owned()]).unwrap();
        assert_eq!(read.approvals, Some(Rate { count: 10, seconds: 60 }));
        assert_eq!(read.events, None);
        for wrong in ["approvals", "approvals=10", "approvals=0/60", "approvals=1/0", "x=1/1", "events=-1/1"] {
            assert!(rates(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
