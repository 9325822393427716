//! A server that misbehaves as a test tells it: it reads whole requests over plain sockets, keeps all that it got, and for
//! each does exactly one [`Act`], down to the byte and the reset. What it says may be HTTP, and need not be.
//!
//! A [`Script`] is asked twice: when a connection has come ([`Script::connected`]), and when a request was read on it
//! ([`Script::requested`]). A closure over requests is a script; [`in_turn`] does one act after the other.

#![allow(clippy::expect_used, clippy::panic, reason = "what a test cannot have ends it")]

mod act;
mod received;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

pub use self::act::{Act, Greeting, json, redirect, response};
pub use self::received::Received;
use crate::wire::PATIENCE;

/// What a server does.
pub trait Script: Send + Sync + 'static {
    /// A connection has come, the so manieth, counted from 0.
    fn connected(&self, connection: usize) -> Greeting {
        let _ = connection;
        Greeting::Read
    }

    /// A request was read. It may wait here: other connections go on.
    fn requested(&self, request: &Received) -> Act;
}

impl<F: Fn(&Received) -> Act + Send + Sync + 'static> Script for F {
    fn requested(&self, request: &Received) -> Act {
        self(request)
    }
}

/// One act after the other, whatever is asked; the last one again and again.
#[must_use]
pub fn in_turn(acts: impl IntoIterator<Item = Act>) -> impl Script {
    let acts: Vec<Act> = acts.into_iter().collect();
    move |request: &Received| {
        let act = acts.get(request.number).or_else(|| acts.last());
        act.cloned().unwrap_or_else(|| response(500, &[], ""))
    }
}

/// A running server. Dropping it ends all of its connections.
pub struct FaultServer {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Box<dyn Script>,
    ending: AtomicBool,
    connections: AtomicUsize,
    requests: Mutex<Vec<Received>>,
    arrived: Condvar,
    sockets: Mutex<BTreeMap<usize, TcpStream>>,
}

impl FaultServer {
    /// Listens on a free port of this machine.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn start(script: impl Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            ending: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
            arrived: Condvar::new(),
            sockets: Mutex::default(),
        });
        let server = Arc::clone(&shared);
        thread::spawn(move || server.accept(&listener));
        Self { address, shared }
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that have come so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Requests that were read so far, in order.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests().clone()
    }

    /// Waits until there were so many.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) -> Vec<Received> {
        let deadline = Instant::now() + PATIENCE;
        let mut requests = self.shared.requests();
        while requests.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} requests came", requests.len());
            requests = self.shared.arrived.wait_timeout(requests, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        requests.clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        for socket in self.shared.sockets().values() {
            let _closed = socket.shutdown(Shutdown::Both);
        }
        // Whoever accepts looks again.
        let _woken = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Received>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sockets(&self) -> MutexGuard<'_, BTreeMap<usize, TcpStream>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for socket in listener.incoming() {
            if self.ending.load(Ordering::SeqCst) {
                return;
            }
            let Ok(socket) = socket else { continue };
            let connection = self.connections.fetch_add(1, Ordering::SeqCst);
            self.sockets().extend(socket.try_clone().map(|socket| (connection, socket)));
            let server = Arc::clone(&self);
            thread::spawn(move || {
                server.serve(connection, &socket);
                // The last handle is ours now: dropping it closes, or resets.
                server.sockets().remove(&connection);
            });
        }
    }

    fn serve(&self, connection: usize, socket: &TcpStream) {
        // Small pieces shall be seen as such.
        let _may_fail = socket.set_nodelay(true);
        match self.script.connected(connection) {
            Greeting::Read => {}
            Greeting::Reset => return act::reset(socket),
            Greeting::Hang => return act::be_deaf(&self.ending, socket),
            Greeting::SayAndHang(bytes) => {
                let _went_on = Act::SayAndHang(bytes.to_vec()).perform(socket);
                return;
            }
        }
        let mut reader = BufReader::new(socket);
        while let Some(mut request) = Received::read(&mut reader, connection) {
            {
                let mut requests = self.requests();
                request.number = requests.len();
                requests.push(request.clone());
            }
            self.arrived.notify_all();
            if !self.script.requested(&request).perform(socket) {
                return;
            }
        }
    }
}
