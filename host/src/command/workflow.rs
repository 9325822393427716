//! `edictum-host workflow show`: the stages of a workflow as a picture, and where a session stands in it.
//!
//! [`picture`] is what there is to draw; [`text`], [`mermaid`] and [`svg`] draw it.

mod mermaid;
mod picture;
mod svg;
mod text;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use edictum_host::store::{RedisStore, SqliteStore, is_address};
use edictum_host::{Document, Error};
use serde::Deserialize;
use serde_json::{Value, json};

use self::picture::{Picture, State};
use super::rules::read;
use super::run::default_folder;
use super::{End, Trouble, say, start};

/// Looks at workflows
#[derive(Args)]
pub struct Workflow {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Show(Show),
}

/// Draws the stages of a workflow, and where a session stands in it
///
/// With --session the stages it has left are ticked, the one it is in is marked, and below are its evidence, the approval
/// that is waited for and the last call that was blocked. The store is only read, also while a host uses it.
#[derive(Args)]
#[command(after_help = "\
Exit code 2 when the workflow does not load, or a file or the store cannot be read.

Examples:
  $ edictum-host workflow show examples/workflows/ship-a-change.yaml
  $ edictum-host workflow show ship.yaml --store ./state --session s1
  $ edictum-host workflow show ship.yaml --format svg > ship.svg
  $ edictum-host workflow show ship.yaml --format mermaid     # for Markdown pages")]
struct Show {
    /// The workflow (YAML)
    file: PathBuf,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The session to mark
    #[arg(long)]
    session: Option<String>,
    /// Where sessions are kept: a folder, or `redis://HOST` [default: ~/.local/state/edictum]
    #[arg(long, value_name = "STORE", requires = "session")]
    store: Option<PathBuf>,
    /// Prints the stages and the session's state as JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For the terminal
    Text,
    /// For pages in Markdown
    Mermaid,
    /// A picture by itself, light and dark
    Svg,
}

/// What the engine says of a workflow alone.
#[derive(Deserialize)]
struct Described {
    workflow: Value,
}

impl Workflow {
    pub fn run(self) -> Result<End, Trouble> {
        match self.verb {
            Verb::Show(show) => show.run(),
        }
    }
}

impl Show {
    fn run(self) -> Result<End, Trouble> {
        let document = Document { name: self.file.display().to_string(), text: read(&self.file)? };
        let host = start()?;
        // Whether commands may run is the guard's business; here they are only drawn.
        let options = r#"{"exec_enabled":true}"#;
        let described = match host.block_on(host.describe(Vec::new(), Some(document.clone()), options)) {
            Err(Error::Refused(failure)) if !failure.diagnostics.is_empty() => {
                return Err(Trouble::Documents(failure.diagnostics, vec![document]));
            }
            described => described?,
        };
        let broken = |error| Trouble::Usage(format!("the engine's description cannot be read: {error}"));
        let Described { workflow } = serde_json::from_str(&described).map_err(broken)?;
        let mut picture = Picture::deserialize(&workflow).map_err(broken)?;
        let state = self.state(&picture.state_key)?;
        if self.json {
            let state = state.map(|text| serde_json::from_str::<Value>(&text).unwrap_or(Value::String(text)));
            say(&json!({ "workflow": workflow, "state": state }).to_string())?;
            return Ok(End::Good);
        }
        if let Some(session) = &self.session {
            let state = match state {
                None => None,
                Some(text) => Some(serde_json::from_str::<State>(&text).map_err(|error| {
                    Trouble::Usage(format!("the state of session `{session}` cannot be read: {error}"))
                })?),
            };
            picture.session = Some((session.clone(), state));
        }
        say(match self.format {
            Format::Text => text::draw(&picture),
            Format::Mermaid => mermaid::draw(&picture),
            Format::Svg => svg::draw(&picture),
        }
        .trim_end())?;
        Ok(End::Good)
    }

    /// The session's state as it is stored.
    fn state(&self, key: &str) -> Result<Option<String>, Trouble> {
        let Some(session) = &self.session else { return Ok(None) };
        let key = key.replace("{session}", session);
        let folder = match &self.store {
            Some(named) if let Some(address) = named.to_str().filter(|named| is_address(named)) => {
                let store = RedisStore::open(address).map_err(Error::from)?;
                return Ok(store.peek(session, &key).map_err(Error::from)?);
            }
            Some(folder) => folder.clone(),
            None => default_folder()?,
        };
        Ok(SqliteStore::peek(&folder, session, &key).map_err(Error::from)?)
    }
}
