//! The child process: one thread writes its stdin, one reads its stdout, one keeps the end of its stderr. So neither side
//! can block the other, however large a request is.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Answer, Trouble};

/// How much of stderr is kept for messages.
const STDERR_KEPT: usize = 16 * 1024;

/// How much of a bad line is shown.
const LINE_SHOWN: usize = 500;

/// How long the stderr reader may lag behind the end of stdout.
const LAST_WORDS: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Process {
    child: Mutex<Child>,
    input: Mutex<Option<Sender<Vec<u8>>>>,
    inbox: Arc<Inbox>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    hung: AtomicBool,
}

/// Answers that nobody has asked for yet.
#[derive(Debug, Default)]
struct Inbox {
    state: Mutex<Arrived>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Arrived {
    by_id: BTreeMap<String, Answer>,
    strays: VecDeque<Answer>,
    bad_line: Option<(String, String)>,
    ended: bool,
}

impl Process {
    pub(super) fn start(command: &[String]) -> std::io::Result<Self> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(std::io::Error::other("the command is empty"));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, receiver) = channel();
        if let Some(stdin) = child.stdin.take() {
            thread::spawn(move || write_lines(stdin, &receiver));
        }
        let inbox = Arc::new(Inbox::default());
        if let Some(stdout) = child.stdout.take() {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || read_answers(stdout, &inbox));
        }
        let stderr = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(stream) = child.stderr.take() {
            let kept = Arc::clone(&stderr);
            thread::spawn(move || keep_end(stream, &kept));
        }
        Ok(Self {
            child: Mutex::new(child),
            input: Mutex::new(Some(sender)),
            inbox,
            stderr,
            hung: AtomicBool::new(false),
        })
    }

    /// Hands a line to the writer; an ended process shows when its answer is waited for.
    pub(super) fn write(&self, mut line: Vec<u8>) {
        line.push(b'\n');
        if let Some(input) = lock(&self.input).as_ref() {
            let _ended = input.send(line);
        }
    }

    pub(super) fn wait(&self, id: Option<&str>, request: &str, patience: Duration) -> Result<Answer, Trouble> {
        let deadline = Instant::now() + patience;
        let mut state = lock(&self.inbox.state);
        loop {
            let found = match id {
                Some(id) => state.by_id.remove(id),
                None => state.strays.pop_front(),
            };
            if let Some(answer) = found {
                return Ok(answer);
            }
            if let Some((line, reason)) = state.bad_line.clone() {
                return Err(Trouble::Protocol { reason, line });
            }
            if state.ended {
                drop(state);
                thread::sleep(LAST_WORDS);
                return Err(Trouble::Ended { status: self.status(), stderr: self.stderr() });
            }
            let now = Instant::now();
            if now >= deadline {
                drop(state);
                self.hung.store(true, Ordering::Relaxed);
                let request = request.to_owned();
                return Err(Trouble::TimedOut { request, after: patience, stderr: self.stderr() });
            }
            let waited = self.inbox.changed.wait_timeout(state, deadline - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub(super) fn poll(&self, id: &str) -> Option<Answer> {
        lock(&self.inbox.state).by_id.remove(id)
    }

    pub(super) fn poll_stray(&self) -> Option<Answer> {
        lock(&self.inbox.state).strays.pop_front()
    }

    pub(super) fn is_sound(&self) -> bool {
        !self.hung.load(Ordering::Relaxed) && lock(&self.inbox.state).bad_line.is_none() && self.is_alive()
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    pub(super) fn peak_memory(&self) -> Option<u64> {
        let id = lock(&self.child).id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kibibytes * 1024)
    }

    pub(super) fn stderr(&self) -> String {
        let kept: Vec<u8> = lock(&self.stderr).iter().copied().collect();
        String::from_utf8_lossy(&kept).into_owned()
    }

    pub(super) fn finish(&self, patience: Duration) -> Result<i32, Trouble> {
        drop(lock(&self.input).take());
        let deadline = Instant::now() + patience;
        loop {
            if let Ok(Some(status)) = lock(&self.child).try_wait() {
                return status
                    .code()
                    .ok_or_else(|| Trouble::Ended { status: status.to_string(), stderr: self.stderr() });
            }
            if Instant::now() >= deadline {
                let request = "end of input".to_owned();
                return Err(Trouble::TimedOut { request, after: patience, stderr: self.stderr() });
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills it, and waits until everything that it had written is read.
    pub(super) fn kill(&self) {
        let mut child = lock(&self.child);
        let _gone = child.kill();
        let _reaped = child.wait();
        drop(child);
        let state = lock(&self.inbox.state);
        let ended = self.inbox.changed.wait_while(state, |state| !state.ended);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    fn status(&self) -> String {
        match lock(&self.child).try_wait() {
            Ok(Some(status)) => ExitStatus::to_string(&status),
            Ok(None) => "its stdout is closed, and it still runs".to_owned(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Both fail only when the process is gone already, which is what they are for.
        let _gone = child.kill();
        let _reaped = child.wait();
    }
}

fn write_lines(mut stdin: impl Write, lines: &Receiver<Vec<u8>>) {
    while let Ok(line) = lines.recv() {
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_answers(stdout: impl Read, inbox: &Inbox) {
    let mut stdout = BufReader::new(stdout);
    loop {
        let mut bytes = Vec::new();
        let read = stdout.read_until(b'\n', &mut bytes);
        let mut state = lock(&inbox.state);
        if !matches!(read, Ok(count) if count > 0) {
            state.ended = true;
            inbox.changed.notify_all();
            return;
        }
        match String::from_utf8(bytes).map_err(|error| error.to_string()) {
            Ok(line) => match Answer::read(line.trim_end_matches(['\n', '\r']).to_owned()) {
                Ok((Some(id), answer)) => {
                    if state.by_id.insert(id.clone(), answer).is_some() {
                        state.bad_line = Some((id, "a second answer to one request".to_owned()));
                    }
                }
                Ok((None, answer)) => state.strays.push_back(answer),
                Err(reason) => state.bad_line = Some((line.chars().take(LINE_SHOWN).collect(), reason)),
            },
            Err(reason) => state.bad_line = Some((String::new(), reason)),
        }
        inbox.changed.notify_all();
    }
}

fn keep_end(mut stream: impl Read, kept: &Mutex<VecDeque<u8>>) {
    let mut buffer = [0_u8; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 {
            return;
        }
        let mut kept = lock(kept);
        kept.extend(buffer.iter().take(count));
        let surplus = kept.len().saturating_sub(STDERR_KEPT);
        kept.drain(..surplus);
    }
}

/// A thread that panicked while it held the lock left nothing half done that matters here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
