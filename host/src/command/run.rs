//! `edictum-host run`: guards a stream of tool calls. Each line is a step of a call; each answer is a line.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write, stdin};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use edictum_host::store::{MemoryStore, RedisStore, SqliteStore, Store, is_address};
use edictum_host::{Action, CallRequest, Conclusion, Decision, EventSink, Guard, ToolOutcome};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::plugins::Plugins;
use super::rules::Settings;
use super::{End, Trouble, outcome, say, start};

/// Guards a stream of tool calls: one JSON object a line in, one decision a line out
///
/// A line is a call: {"tool": ..., "args": {...}}, or {"call": {...}} with "session_id", "call_id", "parent_session_id" and
/// "result" (what the tool returned, when it is known already). An allowed call stays open until
/// {"finish": CALL_ID, "result": ..., "success"?: ...}, one that is asked about until
/// {"approve": CALL_ID, "outcome": "approved" | "rejected"}. Sessions and open calls are kept in the store, so that the next
/// run goes on where this one ends.
#[derive(Args)]
#[command(after_help = "\
Exit code 1 when a call was blocked, or a line could not be carried out; the lines after it are read all the same.

Examples:
  $ edictum-host run --rules rules.yaml calls.jsonl
  $ echo '{\"call\": {\"tool\": \"Bash\", \"args\": {\"command\": \"ls\"}}, \"call_id\": \"1\", \"result\": \"a b\"}' |
      edictum-host run --rules rules.yaml --store ./state --json")]
pub struct Run {
    /// Rulesets (YAML), laid over each other in this order
    #[arg(short, long = "rules", required = true, value_name = "FILE")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    plugins: Plugins,
    /// The calls; `-` or nothing: stdin
    input: Option<PathBuf>,
    /// The session of calls that name none
    #[arg(long, default_value = "default")]
    session: String,
    /// Where sessions and open calls are kept: a folder, `memory`, or `redis://HOST` [default: ~/.local/state/edictum]
    #[arg(long, value_name = "STORE")]
    store: Option<PathBuf>,
    /// Appends the decision log to this file, one event a line
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Prints each decision as JSON
    #[arg(long)]
    json: bool,
}

/// A line of the input.
#[derive(Deserialize)]
struct Step<'l> {
    #[serde(borrow)]
    call: Option<&'l RawValue>,
    session_id: Option<String>,
    call_id: Option<String>,
    parent_session_id: Option<String>,
    #[serde(borrow)]
    result: Option<&'l RawValue>,
    success: Option<bool>,
    finish: Option<String>,
    approve: Option<String>,
    outcome: Option<String>,
    approver: Option<String>,
    reason: Option<String>,
}

impl Run {
    pub fn run(self) -> Result<End, Trouble> {
        let host = start()?;
        let guard = host.block_on(async {
            let builder = self.settings.guard(&host, "run", &self.rules)?.store(self.store()?);
            let mut builder = self.plugins.give(&host, builder).await?;
            if let Some(path) = &self.events {
                builder = builder.sink(Arc::new(EventFile::open(path)?));
            }
            self.settings.load(builder, &self.rules).await
        })?;
        let mut end = End::Good;
        for (index, line) in self.lines()?.enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let answer = self.step(&guard, &line).unwrap_or_else(|trouble| refused(&trouble, index + 1));
            if answer.found {
                end = End::Found;
            }
            say(&if self.json { answer.json.to_string() } else { answer.text })?;
        }
        guard.blocking().close();
        Ok(end)
    }

    fn store(&self) -> Result<Arc<dyn Store>, Trouble> {
        let folder = match &self.store {
            Some(named) if named.as_os_str() == "memory" => return Ok(Arc::new(MemoryStore::new())),
            Some(named) if let Some(address) = named.to_str().filter(|named| is_address(named)) => {
                return Ok(Arc::new(RedisStore::open(address).map_err(edictum_host::Error::from)?));
            }
            Some(folder) => folder.clone(),
            None => default_folder()?,
        };
        let store = SqliteStore::open(&folder, false).map_err(edictum_host::Error::from)?;
        Ok(Arc::new(store))
    }

    fn lines(&self) -> Result<Box<dyn Iterator<Item = Result<String, Trouble>>>, Trouble> {
        let (name, reader): (String, Box<dyn BufRead>) = match &self.input {
            Some(path) if path.as_os_str() != "-" => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(Trouble::unread(path))?;
                (format!("cannot read `{name}`"), Box::new(BufReader::new(file)))
            }
            _ => ("cannot read stdin".to_owned(), Box::new(stdin().lock())),
        };
        Ok(Box::new(reader.lines().map(move |line| line.map_err(Trouble::io(name.clone())))))
    }

    fn step(&self, guard: &Guard, line: &str) -> Result<Answer, Trouble> {
        let step: Step<'_> = serde_json::from_str(line)
            .map_err(|error| Trouble::Usage(format!("not a step in JSON (column {})", error.column())))?;
        if let Some(call_id) = &step.finish {
            return finish(guard, call_id, &step).map(|conclusion| Answer::finished(call_id, &conclusion));
        }
        if let Some(call_id) = &step.approve {
            let outcome = outcome::approval(step.outcome.as_deref(), step.approver.clone(), step.reason.clone())?;
            return Ok(Answer::decided(&guard.blocking().settle(call_id, outcome)?));
        }
        let request = CallRequest {
            call: step.call.map_or(line, RawValue::get),
            session_id: Some(step.session_id.as_deref().unwrap_or(&self.session)),
            call_id: step.call_id.as_deref(),
            parent_session_id: step.parent_session_id.as_deref(),
        };
        let decision = guard.blocking().begin(request)?;
        let mut answer = Answer::decided(&decision);
        if decision.is_allowed() && step.result.is_some() {
            answer.and(Answer::finished(&decision.call_id, &finish(guard, &decision.call_id, &step)?));
        }
        Ok(answer)
    }
}

fn finish(guard: &Guard, call_id: &str, step: &Step<'_>) -> Result<Conclusion, Trouble> {
    let output = step.result.map_or("null", RawValue::get).to_owned();
    Ok(guard.blocking().finish(call_id, ToolOutcome { output, success: step.success })?)
}

/// What a line came to.
struct Answer {
    json: Value,
    text: String,
    /// A block, or a refusal.
    found: bool,
}

impl Answer {
    fn decided(decision: &Decision) -> Self {
        let observed = if decision.observed { " (observed)" } else { "" };
        let mut text = format!("{}{observed}  {}", outcome::word(decision.action), decision.call_id);
        for part in [&decision.name, &decision.reason] {
            if !part.is_empty() {
                text.push_str("  ");
                text.push_str(part);
            }
        }
        let json: Value = outcome::decided(decision).into();
        if let Some(error) = json.get("error_detail").and_then(Value::as_str) {
            text.push_str("\n  ");
            text.push_str(error);
        }
        Self { json, text, found: decision.action == Action::Block }
    }

    fn finished(call_id: &str, conclusion: &Conclusion) -> Self {
        let how = if conclusion.success { "succeeded" } else { "failed" };
        let mut text = format!("{how}  {call_id}");
        for warning in &conclusion.warnings {
            text.push_str("\n  ");
            text.push_str(warning);
        }
        Self { json: outcome::finished(call_id, conclusion), text, found: false }
    }

    /// The end of a call in the same line as its beginning.
    fn and(&mut self, end: Self) {
        if let Some(object) = self.json.as_object_mut() {
            object.insert("finished".to_owned(), end.json);
        }
        self.text.push('\n');
        self.text.push_str(&end.text);
        self.found |= end.found;
    }
}

/// A line that could not be carried out; the others are, all the same.
fn refused(trouble: &Trouble, line: usize) -> Answer {
    let (code, message) = match trouble {
        Trouble::Host(error) => (error.code(), error.message()),
        trouble => ("bad-request", trouble.to_string()),
    };
    let text = format!("error: line {line}: {message}");
    Answer { json: json!({"error": {"code": code, "message": message, "line": line}}), text, found: true }
}

pub fn default_folder() -> Result<PathBuf, Trouble> {
    let named = |variable| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    named("XDG_STATE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("edictum"))
        .ok_or_else(|| Trouble::Usage("there is no home folder: name a folder".to_owned()))
}

/// Events as lines of a file.
struct EventFile {
    file: Mutex<File>,
}

impl EventFile {
    fn open(path: &std::path::Path) -> Result<Self, Trouble> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(Trouble::io(format!("cannot write `{}`", path.display())))?;
        Ok(Self { file: Mutex::new(file) })
    }
}

impl EventSink for EventFile {
    fn emit(&self, events: &[String]) -> Result<(), String> {
        let mut lines = String::new();
        for event in events {
            lines.push_str(event);
            lines.push('\n');
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(lines.as_bytes()).map_err(|error| error.to_string())
    }
}
