//! A way to a server under test that can be watched and blocked: it counts the requests that pass, by method and path, and
//! lets those of a kind hang. It knows HTTP/1.1 only so far as requests have a first line.

#![allow(clippy::expect_used, clippy::panic, reason = "what a test cannot have ends it")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// `127.0.0.1:PORT`
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<String>,
    state: Mutex<State>,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// First lines of requests, without the version.
    requests: Vec<String>,
    connections: u64,
    /// Requests whose first line holds one of these never arrive.
    hanging: Vec<String>,
    /// Nobody is let in.
    closed: bool,
    open: Vec<TcpStream>,
    /// Everything that clients sent, where it is wanted.
    recorded: Option<Vec<u8>>,
}

impl Proxy {
    /// To this server.
    ///
    /// # Panics
    /// When no port can be had.
    #[must_use]
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            server: Mutex::new(server.to_owned()),
            state: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if accepting.over.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    accepting.accept(client);
                }
            }
        });
        Self { address, shared }
    }

    /// The same, and everything that clients send is kept.
    #[must_use]
    pub fn recording(server: &str) -> Self {
        let proxy = Self::to(server);
        proxy.shared.state().recorded = Some(Vec::new());
        proxy
    }

    /// Everything that clients sent.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        self.shared.state().recorded.clone().unwrap_or_default()
    }

    /// What has passed since the last time: `GET /v1/…`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.state().requests)
    }

    /// How many connections there ever were.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.state().connections
    }

    /// From now on requests whose first line holds this get no answer.
    pub fn hang(&self, part: &str) {
        self.shared.state().hanging.push(part.to_owned());
    }

    /// From now on everything passes; what hung is cut off.
    pub fn heal(&self) {
        let mut state = self.shared.state();
        state.hanging.clear();
        state.closed = false;
        cut(&mut state.open);
    }

    /// Nobody gets through, and every connection is cut.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        state.closed = true;
        cut(&mut state.open);
    }

    /// The server is somewhere else now.
    pub fn lead_to(&self, server: &str) {
        *self.shared.server.lock().unwrap_or_else(PoisonError::into_inner) = server.to_owned();
    }
}

fn cut(open: &mut Vec<TcpStream>) {
    for stream in open.drain(..) {
        let _gone = stream.shutdown(Shutdown::Both);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        cut(&mut self.shared.state().open);
        let _woken = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, client: TcpStream) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut state = self.state();
        state.connections += 1;
        if state.closed {
            return;
        }
        let Ok(server) = TcpStream::connect(server) else { return };
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else { return };
        state.open.extend([client.try_clone(), server.try_clone()].into_iter().flatten());
        drop(state);
        let shared = Arc::clone(self);
        thread::spawn(move || shared.forward(from_client, to_server));
        thread::spawn(move || back(server, client));
    }

    fn forward(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            let Some(bytes) = buffer.get(..read) else { break };
            if let Some(recorded) = &mut self.state().recorded {
                recorded.extend_from_slice(bytes);
            }
            if let Some(line) = first_line(bytes) {
                let hangs = {
                    let mut state = self.state();
                    let hangs = state.hanging.iter().any(|part| line.contains(part));
                    state.requests.push(line);
                    hangs
                };
                if hangs {
                    // Until the connection is cut.
                    while !self.over.load(Ordering::SeqCst) && !matches!(client.peek(&mut [0]), Ok(0) | Err(_)) {
                        thread::sleep(Duration::from_millis(20));
                    }
                    let _gone = server.shutdown(Shutdown::Both);
                    return;
                }
            }
            if server.write_all(bytes).is_err() {
                break;
            }
        }
        let _gone = server.shutdown(Shutdown::Write);
    }
}

fn back(mut server: TcpStream, mut client: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        let Some(bytes) = buffer.get(..read) else { break };
        if client.write_all(bytes).is_err() {
            break;
        }
    }
    let _gone = client.shutdown(Shutdown::Both);
}

/// A client writes the head of a request at once, and waits for the answer before the next one.
fn first_line(bytes: &[u8]) -> Option<String> {
    let known = ["GET ", "POST ", "PUT ", "DELETE "].iter().any(|method| bytes.starts_with(method.as_bytes()));
    let line = bytes.split(|byte| *byte == b'\r').next().filter(|_| known)?;
    let line = String::from_utf8_lossy(line);
    Some(line.trim_end_matches(" HTTP/1.1").to_owned())
}
