//! A driver process and the conversation with it (`spec/driver.md`). Nothing here knows what an operation means.
//!
//! Requests may be sent while others are under way: answers are kept by the id of their request until somebody asks for
//! them, so that `parallel` and `hold` may answer in any order. No wait is without end, and the process dies with its
//! [`Driver`].

mod answer;
mod process;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Map, Value};

pub(crate) use answer::as_value;
pub use answer::{Answer, Refusal};
use process::Process;

use crate::places;

/// How long an answer may take before the driver counts as hung. A guard against hangs, not a measure of speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Trouble {
    /// The process did not start.
    #[error("the driver `{command}` does not start: {reason}")]
    NotStarted {
        /// Its command line.
        command: String,
        /// What the system says.
        reason: String,
    },
    /// The process ended while an answer was due.
    #[error("the driver ended ({status}); its last words:\n{stderr}")]
    Ended {
        /// Exit code or signal.
        status: String,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// Nothing came in time.
    #[error("no answer to `{request}` within {after:?}; stderr:\n{stderr}")]
    TimedOut {
        /// The operation, or what was waited for.
        request: String,
        /// How long it was waited for.
        after: Duration,
        /// The end of what it wrote to stderr.
        stderr: String,
    },
    /// stdout carries something that is no answer.
    #[error("stdout carries a line that is no answer ({reason}): {line}")]
    Protocol {
        /// What is wrong with it.
        reason: String,
        /// The line's beginning.
        line: String,
    },
    /// The driver said no.
    #[error("`{request}` was refused: {refusal}")]
    Refused {
        /// The operation.
        request: String,
        /// What it said.
        refusal: Box<Refusal>,
    },
}

/// A request that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    id: String,
    request: String,
}

/// What `hello` says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Hello {
    /// Version of the protocol.
    pub protocol: u64,
    /// Which host.
    pub host: String,
    /// Its version.
    pub version: String,
    /// The optional parts it has.
    pub capabilities: Vec<String>,
}

/// A running driver.
#[derive(Debug)]
pub struct Driver {
    process: Process,
    next: AtomicU64,
    patience: Duration,
}

impl Driver {
    /// Starts the driver under test ([`places::driver_command`]).
    ///
    /// # Errors
    /// [`Trouble::NotStarted`].
    pub fn start() -> Result<Self, Trouble> {
        Self::start_command(&places::driver_command())
    }

    /// Starts this command line.
    ///
    /// # Errors
    /// [`Trouble::NotStarted`].
    pub fn start_command(command: &[String]) -> Result<Self, Trouble> {
        let process = Process::start(command)
            .map_err(|reason| Trouble::NotStarted { command: command.join(" "), reason: reason.to_string() })?;
        Ok(Self { process, next: AtomicU64::new(1), patience: PATIENCE })
    }

    /// The same, with another patience.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Asks for one operation and waits for its result.
    ///
    /// # Errors
    /// Any [`Trouble`], [`Trouble::Refused`] included.
    pub fn ask(&self, op: &str, fields: Value) -> Result<Value, Trouble> {
        self.answer(op, fields)?.result().map_err(|refusal| Trouble::Refused { request: op.to_owned(), refusal })
    }

    /// Asks for one operation and waits for its answer, which may be a refusal.
    ///
    /// # Errors
    /// Any [`Trouble`] but [`Trouble::Refused`].
    pub fn answer(&self, op: &str, fields: Value) -> Result<Answer, Trouble> {
        let pending = self.send(op, fields);
        self.wait(&pending)
    }

    /// Sends a request and does not wait. `fields` is an object; anything else counts as an empty one.
    pub fn send(&self, op: &str, fields: Value) -> Pending {
        let mut members = if let Value::Object(members) = fields { members } else { Map::new() };
        let pending = self.pending(op);
        members.insert("id".to_owned(), pending.id.parse::<u64>().map_or(Value::Null, Value::from));
        members.insert("op".to_owned(), op.into());
        self.process.write(Value::Object(members).to_string().into_bytes());
        pending
    }

    /// Sends a request whose members are JSON texts, which go out unchanged.
    pub fn send_raw(&self, op: &str, members: &[(&str, &str)]) -> Pending {
        let pending = self.pending(op);
        let mut line = format!(r#"{{"id":{},"op":{}"#, pending.id, Value::from(op));
        for (name, text) in members {
            line.push(',');
            line.push_str(&Value::from(*name).to_string());
            line.push(':');
            line.push_str(text);
        }
        line.push('}');
        self.process.write(line.into_bytes());
        pending
    }

    /// Sends bytes as a line of their own, whatever they are. An answer without an id of ours is [`Self::stray`].
    pub fn send_line(&self, line: impl Into<Vec<u8>>) {
        self.process.write(line.into());
    }

    /// The answer to come to a line that was sent with this id, given as JSON text.
    #[must_use]
    pub fn pending_id(&self, id: &str) -> Pending {
        Pending { id: answer::canonical(id), request: format!("the line with id {id}") }
    }

    /// Waits for the answer to a request.
    ///
    /// # Errors
    /// [`Trouble::Ended`], [`Trouble::TimedOut`], [`Trouble::Protocol`].
    pub fn wait(&self, pending: &Pending) -> Result<Answer, Trouble> {
        self.process.wait(Some(&pending.id), &pending.request, self.patience)
    }

    /// The answer, when it is there already.
    #[must_use]
    pub fn poll(&self, pending: &Pending) -> Option<Answer> {
        self.process.poll(&pending.id)
    }

    /// Waits for the next answer whose id is null or missing.
    ///
    /// # Errors
    /// As [`Self::wait`].
    pub fn stray(&self) -> Result<Answer, Trouble> {
        self.process.wait(None, "a line without an id", self.patience)
    }

    /// An answer whose id is null or missing, when there is one already.
    #[must_use]
    pub fn poll_stray(&self) -> Option<Answer> {
        self.process.poll_stray()
    }

    /// What this driver is and can do.
    ///
    /// # Errors
    /// Any [`Trouble`].
    pub fn hello(&self) -> Result<Hello, Trouble> {
        let result = self.ask("hello", Value::Null)?;
        serde_json::from_value(result.clone())
            .map_err(|error| Trouble::Protocol { reason: format!("hello: {error}"), line: result.to_string() })
    }

    /// Whether the process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.is_alive()
    }

    /// Whether it runs, was never overdue, and never wrote what is no answer: then others can use it too.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.process.is_sound()
    }

    /// The most memory the process ever had in use, in bytes; none where the system does not say.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        self.process.peak_memory()
    }

    /// The end of what the process wrote to stderr.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// Ends the input and waits for the process to end by itself; its exit code.
    ///
    /// # Errors
    /// [`Trouble::TimedOut`] when it does not; [`Trouble::Ended`] when a signal ended it.
    pub fn finish(self) -> Result<i32, Trouble> {
        self.end_input()
    }

    /// The same, with answers that can still be had afterwards.
    ///
    /// # Errors
    /// As [`Self::finish`].
    pub fn end_input(&self) -> Result<i32, Trouble> {
        self.process.finish(self.patience)
    }

    /// Ends the process at once, as a crash or a power cut would (on Unix with SIGKILL).
    pub fn kill(self) {
        drop(self);
    }

    /// The same, with the answers that it had given before: those can still be had ([`Driver::poll`]), and no others.
    pub fn kill_and_listen(&self) {
        self.process.kill();
    }

    fn pending(&self, op: &str) -> Pending {
        Pending { id: self.next.fetch_add(1, Ordering::Relaxed).to_string(), request: op.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> Driver {
        let command = ["sh", "-c", text].map(ToOwned::to_owned);
        Driver::start_command(&command).unwrap().with_patience(Duration::from_secs(10))
    }

    #[test]
    fn answers_may_come_in_any_order() {
        let driver = script(
            r#"read a; read b; echo '{"id":2,"ok":true,"result":{"n":"two"}}'; echo '{"id":1,"ok":true,"result":{"n":"one"}}'; read c"#,
        );
        let (one, two) = (driver.send("first", Value::Null), driver.send("second", Value::Null));
        assert_eq!(driver.wait(&one).unwrap().raw_member(&["n"]).as_deref(), Some("\"one\""));
        assert_eq!(driver.wait(&two).unwrap().raw_member(&["n"]).as_deref(), Some("\"two\""));
        assert!(driver.poll(&one).is_none());
    }

    #[test]
    fn raw_members_go_out_unchanged() {
        let driver = script(r#"read a; printf '{"id":1,"ok":true,"result":%s}\n' "$a""#);
        let sent = driver.send_raw("begin", &[("call", r#"{"n":1.0,"e":1e400}"#)]);
        let answer = driver.wait(&sent).unwrap();
        assert_eq!(answer.raw_member(&["call"]).as_deref(), Some(r#"{"n":1.0,"e":1e400}"#));
        assert_eq!(driver.finish().unwrap(), 0);
    }

    #[test]
    fn a_crash_shows_its_last_words() {
        let driver = script("read a; echo 'out of luck' >&2; exit 3");
        let trouble = driver.ask("hello", Value::Null).unwrap_err();
        assert!(matches!(&trouble, Trouble::Ended { stderr, .. } if stderr.contains("out of luck")), "{trouble}");
        assert!(trouble.to_string().contains('3'), "{trouble}");
    }

    #[test]
    fn a_hang_is_an_error_and_the_process_dies_with_its_driver() {
        let driver = script("sleep 1000").with_patience(Duration::from_millis(50));
        assert!(matches!(driver.ask("hello", Value::Null), Err(Trouble::TimedOut { .. })));
        assert!(driver.is_alive() && !driver.is_sound());
        driver.kill();
    }

    #[test]
    fn stdout_that_is_no_answer_is_an_error() {
        for line in ["starting up", r#"{"id":1}"#, r#"{"id":1,"ok":true,"result":1} trailing"#] {
            let driver = script(&format!("read a; echo '{line}'; read b"));
            let trouble = driver.ask("hello", Value::Null).unwrap_err();
            assert!(matches!(trouble, Trouble::Protocol { .. }), "{line}: {trouble}");
        }
    }

    #[test]
    fn an_answer_too_many_is_an_error() {
        let twice = r#"read a; for i in 1 1; do echo '{"id":1,"ok":true,"result":{}}'; done; read b; read c"#;
        let driver = script(twice);
        let (one, two) = (driver.send("first", Value::Null), driver.send("second", Value::Null));
        assert!(matches!(driver.wait(&two), Err(Trouble::Protocol { .. })));
        drop(one);
    }

    #[test]
    fn answers_without_an_id_are_kept_apart() {
        let driver =
            script(r#"read a; echo '{"id":null,"ok":false,"error":{"code":"bad-request","message":"m"}}'; read b"#);
        driver.send_line(*b"\xff\xfe");
        assert_eq!(driver.stray().unwrap().refusal().unwrap().code, "bad-request");
    }

    #[test]
    fn a_driver_that_does_not_exist_is_named() {
        let trouble = Driver::start_command(&["/nowhere/at-all".to_owned()]).unwrap_err();
        assert!(trouble.to_string().contains("/nowhere/at-all"), "{trouble}");
    }
}
