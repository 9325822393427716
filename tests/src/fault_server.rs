//! A server that misbehaves as a test tells it: it reads whole requests over plain sockets, keeps all that it got, and for
//! each does exactly one [`Act`], down to the byte and the reset. What it says may be HTTP, and need not be.
//!
//! A [`Script`] is asked twice: when a connection has come ([`Script::connected`]), and when a request was read on it
//! ([`Script::requested`]). A closure over requests is a script; [`in_turn`] does one act after the other.

#![allow(clippy::expect_used, clippy::panic, reason = "what a test cannot have ends it")]

mod act;
mod feed;
mod received;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use socket2::{Domain, Socket, Type};

pub use self::act::{Act, Greeting, json, redirect, response};
pub use self::feed::Feed;
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
    address: SocketAddr,
    name: String,
    shared: Arc<Shared>,
    /// Who listens; none: nobody does, and connections are refused.
    listening: Mutex<Option<JoinHandle<()>>>,
    /// Keeps the port while nobody listens.
    _port: Socket,
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
        let port = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let address = port.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
        let shared = Arc::new(Shared {
            script: Box::new(script),
            ending: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
            arrived: Condvar::new(),
            sockets: Mutex::default(),
        });
        let server = Self { address, name: address.to_string(), shared, listening: Mutex::default(), _port: port };
        server.up();
        server
    }

    /// Listens again, after [`FaultServer::down`].
    ///
    /// # Panics
    /// When the port is taken.
    pub fn up(&self) {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.is_none() {
            self.shared.ending.store(false, Ordering::SeqCst);
            let listener = bound(self.address);
            listener.listen(1024).expect("a listener");
            let (server, listener) = (Arc::clone(&self.shared), TcpListener::from(listener));
            *listening = Some(thread::spawn(move || server.accept(&listener)));
        }
    }

    /// Ends all connections. New ones are refused when this returns, until [`FaultServer::up`].
    pub fn down(&self) {
        let Some(listening) = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.shared.ending.store(true, Ordering::SeqCst);
        // Whoever accepts looks again.
        let _woken = TcpStream::connect(self.address);
        let _ended = listening.join();
        for socket in self.shared.sockets().values() {
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.name
    }

    /// `http://127.0.0.1:PORT`
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.name)
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
        self.down();
    }
}

/// A socket at this address. Another one that listens may have the same.
fn bound(address: SocketAddr) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_reuse_address(true).and_then(|()| socket.set_reuse_port(true)).expect("a shared port");
    socket.bind(&address.into()).expect("a free port");
    socket
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
