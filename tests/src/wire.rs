//! A server under test and HTTP over plain sockets: what goes over the wire is what a test wrote, and nothing else.
//!
//! [`Serve`] is a running `edictum-host serve`; [`send`] makes one request; [`Events`] reads a stream of events. It knows
//! nothing of what the answers mean.

#![allow(clippy::expect_used, clippy::panic, reason = "what a test cannot have ends it")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::places::workspace;

/// Longer than anything takes that is not broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The agents' key that servers under test are started with.
pub const AGENT: &str = "edk_production_test-agent-key";
/// An agents' key of another environment.
pub const STAGING: &str = "edk_staging_test-agent-key";
/// The operator's key.
pub const OPERATOR: &str = "edo_alice_test-operator-key";

/// The program of the last build.
#[must_use]
pub fn program() -> PathBuf {
    workspace().join("target/release/edictum-host")
}

/// A running server. Ends with SIGKILL when it is dropped.
#[derive(Debug)]
pub struct Serve {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    /// Its line of JSON.
    pub announced: Value,
}

impl Serve {
    /// Starts one with the three keys of this module, and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        let keys = [format!("production:{AGENT}"), format!("staging:{STAGING}"), format!("alice:{OPERATOR}")];
        let mut child = Command::new(program())
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--data"])
            .arg(data)
            .args(["--api-key", &keys[0], "--api-key", &keys[1], "--operator-key", &keys[2]])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("`{}` does not start: {error}", program().display()));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let announced: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it does not listen: {line:?}"));
        let address = announced["address"].as_str().expect("an address").to_owned();
        Self { child, address, announced }
    }

    /// SIGKILL: nothing is finished.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        let _status = self.child.wait();
    }

    /// SIGTERM; answers with the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill");
        assert!(sent.success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A request as an agent of production.
    #[must_use]
    pub fn agent(&self, method: &str, path: &str, body: &str) -> Answer {
        self.with(AGENT, method, path, body)
    }

    /// A request as an operator.
    #[must_use]
    pub fn operator(&self, method: &str, path: &str, body: &str) -> Answer {
        self.with(OPERATOR, method, path, body)
    }

    /// A request with a key.
    #[must_use]
    pub fn with(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        let key = format!("Bearer {key}");
        send(&self.address, method, path, &[("Authorization", &key), ("X-Edictum-Agent-Id", "test-agent")], body)
    }

    /// A stream with a key.
    #[must_use]
    pub fn stream(&self, key: &str, path: &str, headers: &[(&str, &str)]) -> Events {
        let key = format!("Bearer {key}");
        let mut all = vec![("Authorization", key.as_str()), ("X-Edictum-Agent-Id", "test-agent")];
        all.extend(headers);
        Events::open(&self.address, path, &all)
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// As in 200.
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body, when the status is this one.
    ///
    /// # Panics
    /// When it is another one.
    #[must_use]
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

/// One request on a connection of its own. `path` and headers go out as they are.
///
/// # Panics
/// When nothing comes back.
#[must_use]
pub fn send(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut socket = connect(address);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method != "GET" {
        head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    // A server that refuses a body by its length may close before all of it is written.
    let _written = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(body.as_bytes()));
    let mut reader = BufReader::new(socket);
    let (status, headers) = read_head(&mut reader);
    let mut body = Vec::new();
    match headers.get("content-length") {
        Some(length) => {
            let length: u64 = length.parse().expect("a length");
            reader.take(length).read_to_end(&mut body).expect("a body");
        }
        None if headers.contains_key("transfer-encoding") => {
            while let Some(mut chunk) = read_chunk(&mut reader) {
                body.append(&mut chunk);
            }
        }
        None => {}
    }
    Answer { status, headers, body }
}

fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn read_head(reader: &mut impl BufRead) -> (u16, BTreeMap<String, String>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no HTTP: {line:?}"));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => return (status, headers),
        };
    }
}

/// None: the body is over.
fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let size = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}

/// An open stream of events.
#[derive(Debug)]
pub struct Events {
    reader: BufReader<TcpStream>,
    /// As in 200.
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    rest: String,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Event {
    /// Empty: none was given.
    pub name: String,
    /// Empty: none was given.
    pub id: String,
    /// The lines, joined.
    pub data: String,
}

impl Event {
    /// Its data.
    ///
    /// # Panics
    /// When it is no JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).expect("JSON")
    }
}

impl Events {
    /// Opens one, and reads the head of the answer.
    #[must_use]
    pub fn open(address: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut socket = connect(address);
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        socket.write_all(head.as_bytes()).expect("a request");
        let mut reader = BufReader::new(socket);
        let (status, headers) = read_head(&mut reader);
        Self { reader, status, headers, rest: String::new() }
    }

    /// The next one; comments are left out. None: the stream is over, or nothing came for so long.
    pub fn next_within(&mut self, time: Duration) -> Option<Event> {
        let deadline = Instant::now() + time;
        loop {
            while let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (parse(frame), rest.to_owned());
                self.rest = rest;
                if event != Event::default() {
                    return Some(event);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            self.reader.get_ref().set_read_timeout(Some(left)).expect("a timeout");
            let chunk = read_chunk(&mut self.reader)?;
            self.rest.push_str(&String::from_utf8(chunk).expect("UTF-8"));
        }
    }

    /// The next one of this name; others are passed over.
    ///
    /// # Panics
    /// When none comes.
    #[track_caller]
    pub fn wait_for(&mut self, name: &str) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.next_within(left).unwrap_or_else(|| panic!("no `{name}` comes"));
            if event.name == name {
                return event;
            }
        }
    }
}

fn parse(frame: &str) -> Event {
    let mut event = Event::default();
    let mut data = Vec::new();
    for line in frame.lines() {
        match line.split_once(": ") {
            Some(("event", name)) => name.clone_into(&mut event.name),
            Some(("id", id)) => id.clone_into(&mut event.id),
            Some(("data", text)) => data.push(text),
            _ => {}
        }
    }
    event.data = data.join("\n");
    event
}

/// A ruleset that blocks one tool.
#[must_use]
pub fn ruleset(name: &str, blocked: &str) -> String {
    format!(
        "apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {{name: {name}}}\ndefaults: {{mode: enforce}}\nrules:\n  \
         - id: no-{blocked}\n    type: pre\n    tool: {blocked}\n    when: {{args.x: {{exists: true}}}}\n    \
         then: {{action: block, message: 'no {blocked} — é'}}\n"
    )
}

/// Writes a file at once, as an editor does.
///
/// # Panics
/// When it cannot be written.
pub fn replace(path: &Path, text: &str) {
    let fresh = path.with_extension("fresh");
    fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path)).expect("a file");
}
