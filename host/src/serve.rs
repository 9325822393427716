//! An embedded edictum-api, for development, tests and small teams: what `edictum-host serve` runs.
//!
//! It keeps rulesets, sessions, approvals and the decision log in one SQLite file, and tells connected agents what has
//! changed. It decides nothing about a call; that is a guard's work, wherever it runs. Rulesets are checked by the engine
//! before they are published. It has one process and one file: no cluster, no tenants, no accounts but bearer keys.
//!
//! | file | one idea |
//! |---|---|
//! | [`settings`] | what can be chosen, and every limit |
//! | `listener`, `router`, `request`, `problem` | connections; which path is whose; what a request says; what went wrong |
//! | `keys`, `rate` | who may do what; how often |
//! | `database`, `moment` | the file, written in groups; times |
//! | `rulesets` | versions, signatures, the folder, who is assigned what |
//! | `sessions`, `approvals`, `events` | the endpoints of the same names |
//! | `hub`, `stream`, `agents` | what happened, told to whoever listens; who listens |
//! | `health`, `page` | how it is; the page at `/` |
//!
//! ```no_run
//! use edictum_host::Host;
//! use edictum_host::serve::{Server, Settings};
//!
//! # async fn example() -> Result<(), edictum_host::serve::ServeError> {
//! let host = Host::new().expect("the component is built in");
//! let mut settings = Settings::new("/var/lib/edictum");
//! settings.rulesets = Some("rulesets".into());
//! let server = Server::start(settings, &host).await?;
//! println!("http://{}", server.address());
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod agents;
mod approvals;
mod database;
mod events;
mod health;
mod hub;
mod keys;
mod listener;
mod moment;
mod page;
mod problem;
mod rate;
mod request;
mod router;
mod rulesets;
mod sessions;
pub mod settings;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::host::Host;
use agents::Agents;
use database::Database;
use hub::Hub;
use keys::Keys;
use rate::Rates;
use rulesets::Rulesets;

pub use keys::NewKey;
pub use rulesets::signing::{Signer, SigningKeyError, generate_signing_key};
pub use settings::{Dialect, GivenKey, Role, Settings};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on `{address}`: {error}")]
    Listen {
        /// As given.
        address: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The data folder, or the file in it.
    #[error("the data folder cannot be used: {0}")]
    Data(String),
    /// A key that was given.
    #[error("{0}")]
    Key(String),
    /// The signing key.
    #[error("the signing key cannot be used: {0}")]
    Signing(#[from] SigningKeyError),
    /// The folder of rulesets.
    #[error("the rulesets cannot be read: {0}")]
    Rulesets(String),
}

/// Everything that requests share.
struct App {
    settings: Settings,
    database: Database,
    keys: Keys,
    rates: Rates,
    hub: Hub,
    agents: Agents,
    rulesets: Rulesets,
    approvals: approvals::Wakeup,
    started: Instant,
    /// Becomes true when the server stops: streams end then.
    stopping: watch::Receiver<bool>,
}

/// A server that runs, until [`Server::stop`] or until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    created: Vec<NewKey>,
    verifying_key: Option<String>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    listener: JoinHandle<()>,
}

impl Server {
    /// Opens the data, reads the rulesets and listens. `host` checks rulesets before they are published. Needs a tokio
    /// runtime with I/O and time.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub async fn start(settings: Settings, host: &Host) -> Result<Self, ServeError> {
        let database = Database::open(&settings.data).map_err(ServeError::Data)?;
        let keys = Keys::open(&database, &settings).await?;
        let created = keys.create_missing(&database).await?;
        let signer = settings.signing_key.as_deref().map(Signer::read).transpose()?;
        let verifying_key = signer.as_ref().map(Signer::public_key);
        let rulesets = Rulesets::open(&database, host.clone(), signer, &settings).await?;
        let (stop, stopping) = watch::channel(false);
        let app = Arc::new(App {
            rates: Rates::new(&settings.rates),
            hub: Hub::default(),
            agents: Agents::default(),
            approvals: approvals::Wakeup::default(),
            started: Instant::now(),
            settings,
            database,
            keys,
            rulesets,
            stopping: stopping.clone(),
        });
        let seen = rulesets::folder::read(&app).await;
        app.hub.logged(app.database.read(events::last).await.map_err(|error| ServeError::Data(error.0))?);
        let address = app.settings.listen.clone();
        let failed = |error| ServeError::Listen { address: app.settings.listen.clone(), error };
        let socket = TcpListener::bind(&address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let tasks = vec![
            tokio::spawn(approvals::expire(Arc::clone(&app))),
            tokio::spawn(rulesets::folder::watch(Arc::clone(&app), seen)),
            tokio::spawn(database::sweep(Arc::clone(&app))),
        ];
        let listener = tokio::spawn(listener::run(socket, router::routes(&app), stopping));
        Ok(Self { address, created, verifying_key, stop, tasks, listener })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keys that were made because there were none. They are not stored and cannot be had again.
    #[must_use]
    pub fn created_keys(&self) -> &[NewKey] {
        &self.created
    }

    /// The public key, hex, that clients verify rulesets with.
    #[must_use]
    pub fn verifying_key(&self) -> Option<&str> {
        self.verifying_key.as_deref()
    }

    /// Takes no more connections, ends streams, waits for requests that are under way, and for what they wrote.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // Its own deadline is inside.
        let _ended = (&mut self.listener).await;
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.tasks.drain(..).for_each(|task| task.abort());
    }
}
