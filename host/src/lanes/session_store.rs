//! Sessions on the server (ServerBackend).

use wasmtime::component::ResourceAny;

use super::Lanes;
use super::bindings::api::Failure;
pub use super::bindings::api::Performed;
use super::connect::ConnectOptions;
use super::instance::{Inside, Opens, Work};
use super::lane::Lane;
pub use crate::bindings::session::{Entry, Increment, Operation, Outcome, Put};
use crate::clock::Timestamp;
use crate::error::Error;

/// Any number; each does one call at a time.
pub struct SessionStore(Lane<Sessions>);

struct Sessions {
    options: String,
}

impl Opens for Sessions {
    fn open<'i>(&'i self, inside: Inside<'i>) -> Work<'i, Result<ResourceAny, Failure>> {
        let Inside { store, api, resource } = inside;
        Box::pin(async move { api.session_store().call_open(store, resource, &self.options).await })
    }
}

impl SessionStore {
    /// `options`: as `session-store.open` of the WIT. Makes no request.
    ///
    /// # Errors
    /// [`Error::Refused`]: an option is not as it should be.
    pub async fn open(lanes: &Lanes, connect: &ConnectOptions, options: &str) -> Result<Self, Error> {
        Ok(Self(Lane::open(lanes, connect, Sessions { options: options.to_owned() }).await?))
    }

    /// One list for each session, one answer for each operation. `attempt` counts from 0, one more when what was put off is
    /// submitted again.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended; it is not known what was carried out.
    pub async fn perform(
        &self,
        sessions: Vec<Vec<Operation>>,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Vec<Vec<Performed>>, Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(
                    async move { api.session_store().call_perform(store, resource, &sessions, attempt, now).await },
                )
            })
            .await
    }
}
