//! edictum-api, as five parts that know nothing of one another, each an instance of the component with `edictum:server/api`
//! in a store of its own: what hangs in one holds up no other. What anything means is in the component; here is what moves
//! the bytes.
//!
//! | open next | for |
//! |---|---|
//! | [`Endpoint`] | requests of your own, with credential, caps, retries and the TLS rule |
//! | [`RulesetSource`] | verified rulesets, and the stream that announces them |
//! | [`SessionStore`] | sessions on the server |
//! | [`ApprovalQueue`] | people |
//! | [`DecisionLog`] | delivery of an outbox |
//! | [`ConnectOptions`] | which server, who talks, with which key |
//!
//! A [`Lane`](lane) makes its instance anew when one has ended abnormally or a call was dropped; `instance` is such an
//! instance, `http` the client that all of them share.

mod approval_queue;
mod bindings;
mod connect;
mod decision_log;
mod endpoint;
mod http;
mod instance;
mod lane;
mod ruleset_source;
mod session_store;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use wasmtime::Engine;

pub use self::approval_queue::{ApprovalQueue, ApprovalStep, Created, Settled};
use self::bindings::LanesPre;
pub use self::connect::ConnectOptions;
pub use self::decision_log::{Content, DecisionLog, Delivery, Gap, Pending};
pub use self::endpoint::{Endpoint, Method, Reply, Request, Response};
use self::http::HttpClient;
use self::instance::State;
pub use self::ruleset_source::{Release, RulesetSource, SourceStep, StreamOrder, StreamRequest};
pub use self::session_store::{Entry, Increment, Operation, Outcome, Performed, Put, SessionStore};
pub use self::stream::{EventStream, StreamEnd};
use crate::component::ComponentSource;
use crate::decider::Bounds;
use crate::error::Error;

/// What lanes have in common: the compiled component, loaded when the first one is opened, and one client of HTTP. Of a
/// [`crate::Host`]; cheap to clone.
#[derive(Clone)]
pub struct Lanes(Arc<Shared>);

struct Shared {
    engine: Engine,
    source: Option<ComponentSource>,
    component: OnceCell<LanesPre<State>>,
    client: HttpClient,
    handle: Handle,
    bounds: Bounds,
}

impl Lanes {
    pub(crate) fn new(engine: Engine, source: Option<ComponentSource>, bounds: Bounds, handle: Handle) -> Self {
        let (component, client) = (OnceCell::new(), HttpClient::default());
        Self(Arc::new(Shared { engine, source, component, client, handle, bounds }))
    }

    /// Does something on the lanes' threads, for whoever is in another runtime, or in none. It ends when nobody waits for it
    /// any more. None: it has panicked, or the host is gone.
    async fn on_threads<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let mut task = Task(self.0.handle.spawn(work));
        (&mut task.0).await.ok()
    }

    /// None: it took longer. In any runtime, or in none.
    async fn within<F: Future>(&self, time: Duration, work: F) -> Option<F::Output> {
        let timeout = {
            let _context = self.0.handle.enter();
            tokio::time::timeout(time, work)
        };
        timeout.await.ok()
    }

    fn client(&self) -> &HttpClient {
        &self.0.client
    }

    fn bounds(&self) -> Bounds {
        self.0.bounds
    }

    /// The component, compiled now when nobody needed it before. To be called on the lanes' threads.
    async fn component(&self) -> Result<&LanesPre<State>, Error> {
        let load = || async {
            let shared = Arc::clone(&self.0);
            let load = move || {
                let source = shared.source.clone().map_or_else(ComponentSource::find_guard, Ok)?;
                instance::load(&shared.engine, &source)
            };
            let loaded = tokio::task::spawn_blocking(load).await;
            loaded.map_err(|_| Error::Component("a thread of the host panicked".to_owned()))?
        };
        self.0.component.get_or_try_init(load).await
    }
}

/// Ends when it is dropped.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lanes").field("loaded", &self.0.component.initialized()).finish()
    }
}
