//! A driver in a process of its own: ours or the reference. Requests go in without waiting for answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::datum::Datum;
use super::scratch;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A driver: takes request lines, gives response lines.
pub trait Side {
    /// Hands over requests; may begin to work on them at once.
    ///
    /// # Errors
    /// When it cannot take any.
    fn send(&mut self, lines: Vec<String>) -> Result<(), String>;

    /// The next responses, in the order of the requests.
    ///
    /// # Errors
    /// When it ended, hangs, or says something that is no response.
    fn receive(&mut self, count: usize) -> Result<Vec<Datum>, String>;

    /// Both in one.
    ///
    /// # Errors
    /// As above.
    fn exchange(&mut self, lines: Vec<String>) -> Result<Vec<Datum>, String> {
        let count = lines.len();
        self.send(lines)?;
        self.receive(count)
    }
}

/// A running driver.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    requests: Option<Sender<Vec<String>>>,
    responses: Receiver<String>,
    /// Where the scratch folder is.
    scratch: String,
}

impl Process {
    /// Starts a driver.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(mut command: Command, scratch: &Path) -> Result<Self, String> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("cannot start `{name}`: {error}"))?;
        let mut stdin = child.stdin.take().ok_or("no standard input")?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        // Threads of their own: a pipe holds 64 KiB, and neither end may wait for the other.
        let (requests, to_write) = channel::<Vec<String>>();
        thread::spawn(move || {
            for lines in to_write {
                let mut text = lines.join("\n");
                text.push('\n');
                if stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).is_err() {
                    return;
                }
            }
        });
        let (read, responses) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if read.send(line).is_err() {
                    return;
                }
            }
        });
        let scratch = scratch.to_string_lossy().into_owned();
        Ok(Self { name, child, requests: Some(requests), responses, scratch })
    }
}

impl Side for Process {
    fn send(&mut self, lines: Vec<String>) -> Result<(), String> {
        let lines = lines.into_iter().map(|line| line.replace(scratch::NAME, &self.scratch)).collect();
        let sent = self.requests.as_ref().is_some_and(|requests| requests.send(lines).is_ok());
        if sent { Ok(()) } else { Err(format!("`{}` reads no more", self.name)) }
    }

    fn receive(&mut self, count: usize) -> Result<Vec<Datum>, String> {
        let mut answers = Vec::with_capacity(count);
        for _ in 0..count {
            let line = self.responses.recv_timeout(PATIENCE);
            let line = line.map_err(|error| format!("`{}` does not answer: {error}", self.name))?;
            let line = line.replace(&self.scratch, scratch::NAME);
            let answer = Datum::parse(&line);
            let mut answer = answer.map_err(|error| format!("`{}` says no JSON: {error}: {line}", self.name))?;
            // Where the text counts and not only the value: a workflow's state is the same to the byte.
            answer.set("line", line);
            answers.push(answer);
        }
        Ok(answers)
    }
}

impl Drop for Process {
    /// End of input ends a driver.
    fn drop(&mut self) {
        self.requests = None;
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
