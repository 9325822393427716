//! The driver protocol: one request a line in, one answer a line out. It is how tests put every host through the same
//! cases, and how a language without a component runtime can use the guard.
//!
//! [`serve`] reads lines, a [`Driver`] keeps their order; [`protocol`] is the envelope; [`session`] is what a driver has
//! open; [`lanes`] keeps the requests of one session in order when they run at the same time. Each operation is in the file
//! of its kind: [`documents`], [`open`], [`server`], [`calls`], [`state`]. [`Service`] performs them one by one, without lines.
//!
//! Texts of calls, outputs and results go to the engine and come back as they are: nothing parses and prints them again.

mod calls;
mod documents;
mod lanes;
mod open;
mod protocol;
mod server;
mod service;
mod session;
mod state;

use std::io::{self, BufRead, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

use self::lanes::Place;
pub use self::protocol::Refusal;
use self::protocol::{Line, Output, Request, read_line};
pub use self::service::{Served, ServedGuard, Service};
use self::session::Session;
use crate::host::Host;

/// Version of the protocol.
pub const PROTOCOL: u32 = 1;

/// What an operation answers: at once, or when a person has decided.
enum Reply {
    Now(String),
    Later(Pin<Box<dyn Future<Output = Result<String, Refusal>> + Send>>),
}

/// Serves requests until the end of input, then closes all guards. Nothing but answers is written to `output`.
///
/// # Errors
/// `input` cannot be read, or `output` cannot be written any more.
pub fn serve(host: &Host, mut input: impl BufRead, output: impl Write + Send + 'static) -> io::Result<()> {
    let driver = Driver::new(host, output);
    loop {
        match read_line(&mut input)? {
            Line::Text(text) => driver.request(text),
            Line::Broken(reason) => driver.server.output.refuse(None, &Refusal::bad_request(reason)),
            Line::End => break,
        }
        driver.failure()?;
    }
    driver.close();
    driver.failure()
}

/// A driver without a stream to read from: lines are handed to it, answers are written as they come.
pub struct Driver {
    server: Server,
    at_work: Mutex<Vec<JoinHandle<()>>>,
    waiting: Waiting,
}

impl Driver {
    /// Nothing is open in it.
    pub fn new(host: &Host, output: impl Write + Send + 'static) -> Self {
        let server = Server { session: Arc::new(Session::new(host.clone())), output: Arc::new(Output::new(output)) };
        Self { server, at_work: Mutex::default(), waiting: Waiting::default() }
    }

    /// Answers a line, on this thread; one that may wait, or says `parallel`, is answered when it is done. Requests come one
    /// after another: a second thread waits for the first.
    pub fn request(&self, line: String) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if line.trim().is_empty() {
            return;
        }
        at_work.retain(|task| !task.is_finished());
        self.server.take(line, &mut at_work, &self.waiting);
    }

    /// Waits for what is under way, then closes all guards: what waits for a person is answered so.
    pub fn close(&self) {
        let at_work = std::mem::take(&mut *self.at_work.lock().unwrap_or_else(PoisonError::into_inner));
        self.server.session.host.block_on(async {
            for task in at_work {
                let _ = task.await;
            }
            self.server.session.close_all().await;
            self.waiting.finish().await;
        });
    }

    /// Why answers cannot be written any more.
    fn failure(&self) -> io::Result<()> {
        self.server.output.failure().map_or(Ok(()), Err)
    }
}

/// Tasks that wait for a person.
#[derive(Clone, Default)]
struct Waiting {
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Waiting {
    fn add(&self, task: JoinHandle<()>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|task| !task.is_finished());
        tasks.push(task);
    }

    async fn finish(&self) {
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            let _ = task.await;
        }
    }
}

#[derive(Clone)]
struct Server {
    session: Arc<Session>,
    output: Arc<Output>,
}

impl Server {
    /// Answers one line, or starts to.
    fn take(&self, text: String, at_work: &mut Vec<JoinHandle<()>>, waiting: &Waiting) {
        let request = match Request::read(text) {
            Ok(request) => request,
            Err(refused) => return self.output.refuse(refused.0.as_deref(), &refused.1),
        };
        let host = &self.session.host;
        if let Some(now) = request.now_ms {
            host.clock().set(now);
            host.block_on(self.session.run_due());
        }
        // Taken here, in the order of the lines.
        let place = self.session.place(&request);
        let (server, waiting) = (self.clone(), waiting.clone());
        if request.parallel {
            at_work.push(host.runtime().spawn(async move { server.answer(request, place, &waiting).await }));
        } else {
            host.block_on(server.answer(request, place, &waiting));
        }
    }

    async fn answer(&self, request: Request, place: Place, waiting: &Waiting) {
        let lane = place.wait().await;
        let reply = perform(&self.session, &request).await;
        drop(lane);
        match reply {
            Ok(Reply::Now(result)) => self.output.answer(&request.id, &result),
            Err(refusal) => self.output.refuse(Some(&request.id), &refusal),
            Ok(Reply::Later(later)) => {
                let (output, id) = (Arc::clone(&self.output), request.id);
                waiting.add(self.session.host.runtime().spawn(async move {
                    match later.await {
                        Ok(result) => output.answer(&id, &result),
                        Err(refusal) => output.refuse(Some(&id), &refusal),
                    }
                }));
            }
        }
    }
}

/// Carries out one operation.
async fn perform(session: &Session, request: &Request) -> Result<Reply, Refusal> {
    let result = match request.op.as_str() {
        "begin" => return calls::begin(session, request).await,
        "approve" => return calls::approve(session, request).await,
        "evaluate" => calls::evaluate(session, request).await,
        "finish" => calls::finish(session, request).await,
        "hello" => documents::hello(),
        "check" => documents::check(session, request).await,
        "templates" => documents::templates(session).await,
        "open" => open::open(session, request).await,
        "reload" => open::reload(session, request).await,
        "close" => open::close(session, request).await,
        "counters" => state::counters(session, request).await,
        "events" => state::events(session, request),
        "workflow" => state::workflow(session, request).await,
        "open_server" => server::open(session, request).await,
        "health" => server::health(session, request).await,
        "flush" => server::flush(session, request).await,
        other => Err(Refusal::bad_request(format!("there is no operation `{other}`"))),
    };
    result.map(Reply::Now)
}
