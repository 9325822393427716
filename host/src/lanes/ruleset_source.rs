//! Verified rulesets (ServerContractSource). Whoever drives it calls [`RulesetSource::step`] when it says so and after everything
//! that the stream brought, loads what is released, and moves the stream's bytes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use wasmtime::component::ResourceAny;

use super::Lanes;
use super::bindings::api::Failure;
pub use super::bindings::api::{Release, SourceStep, StreamOrder, StreamRequest};
use super::connect::ConnectOptions;
use super::instance::{Inside, Opens, Work};
use super::lane::Lane;
use super::stream::{self, EventStream, StreamEnd};
use crate::clock::{Clock, Timestamp};
use crate::error::Error;

/// Most bytes of a stream in one call.
const MAX_CHUNK: usize = 16 * 1024;

/// One per address, key, environment and ruleset name; in server-assigned mode one per agent.
pub struct RulesetSource(Lane<Source>);

struct Source {
    options: String,
    kept: Mutex<Kept>,
}

/// What a new instance has to know of the one before.
#[derive(Clone, Default)]
struct Kept {
    memory: Option<String>,
    enforced: Option<String>,
}

impl Source {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opens for Source {
    fn open<'i>(&'i self, inside: Inside<'i>) -> Work<'i, Result<ResourceAny, Failure>> {
        let Kept { memory, enforced } = self.kept().clone();
        Box::pin(async move {
            let Inside { store, api, resource } = inside;
            let source = api.ruleset_source();
            let opened = source.call_open(&mut *store, resource, &self.options, memory.as_ref()).await?;
            // A source that was started once does not start again: from then on trouble does not end it.
            if let (Ok(opened), Some(revision)) = (&opened, enforced) {
                source.call_enforced(store, *opened, &revision, Clock::default().now()).await?;
            }
            Ok(opened)
        })
    }
}

impl RulesetSource {
    /// `options`: as `ruleset-source.open` of the WIT. `memory`: what the last step gave to keep. Makes no request.
    ///
    /// # Errors
    /// [`Error::Refused`]: an option is not as it should be.
    pub async fn open(
        lanes: &Lanes,
        connect: &ConnectOptions,
        options: &str,
        memory: Option<String>,
    ) -> Result<Self, Error> {
        let kept = Mutex::new(Kept { memory, enforced: None });
        Ok(Self(Lane::open(lanes, connect, Source { options: options.to_owned(), kept }).await?))
    }

    /// Fetches, verifies and reconciles whatever is due.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended. The next call has a new one, from the last memory: it may give a release again.
    pub async fn step(&self, now: Timestamp) -> Result<SourceStep, Error> {
        let step = self
            .0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.ruleset_source().call_step(store, resource, now).await })
            })
            .await?;
        if let Some(memory) = &step.memory {
            self.0.opens().kept().memory = Some(memory.clone());
        }
        Ok(step)
    }

    /// The request that opens the stream; it holds the key.
    ///
    /// # Errors
    /// As [`RulesetSource::step`].
    pub async fn stream_request(&self, now: Timestamp) -> Result<StreamRequest, Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.ruleset_source().call_stream_request(store, resource, now).await })
            })
            .await
    }

    /// Opens the stream, to this source's own server and nowhere else. Its head goes to
    /// [`RulesetSource::stream_opened`], what comes then to [`RulesetSource::stream_data`]; dropping it closes it.
    ///
    /// # Errors
    /// There is none: to be told with [`RulesetSource::stream_closed`].
    pub async fn open_stream(&self, request: &StreamRequest) -> Result<EventStream, StreamEnd> {
        stream::open(self.0.lanes(), self.0.origin(), request).await
    }

    /// The stream has answered.
    ///
    /// # Errors
    /// As [`RulesetSource::step`].
    pub async fn stream_opened(
        &self,
        status: u16,
        headers: Vec<(String, String)>,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move {
                    api.ruleset_source().call_stream_opened(store, resource, status, &headers, now).await
                })
            })
            .await
    }

    /// The stream's bytes as they came, any number.
    ///
    /// # Errors
    /// As [`RulesetSource::step`].
    pub async fn stream_data(&self, bytes: impl Into<Vec<u8>>, now: Timestamp) -> Result<(), Error> {
        let bytes = bytes.into();
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move {
                    for chunk in bytes.chunks(MAX_CHUNK) {
                        api.ruleset_source().call_stream_data(&mut *store, resource, chunk, now).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The stream has ended, or could not be opened. Not for one that it was ordered to close.
    ///
    /// # Errors
    /// As [`RulesetSource::step`].
    pub async fn stream_closed(&self, now: Timestamp) -> Result<(), Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.ruleset_source().call_stream_closed(store, resource, now).await })
            })
            .await
    }

    /// Every deciding instance now runs this revision.
    ///
    /// # Errors
    /// As [`RulesetSource::step`]; the new instance knows it all the same.
    pub async fn enforced(&self, revision: &str, now: Timestamp) -> Result<(), Error> {
        let revision = revision.to_owned();
        self.0.opens().kept().enforced = Some(revision.clone());
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.ruleset_source().call_enforced(store, resource, &revision, now).await })
            })
            .await
    }

    /// The release does not load.
    ///
    /// # Errors
    /// As [`RulesetSource::step`].
    pub async fn rejected(&self, revision: &str, reason: Failure, now: Timestamp) -> Result<(), Error> {
        let revision = revision.to_owned();
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(
                    async move { api.ruleset_source().call_rejected(store, resource, &revision, &reason, now).await },
                )
            })
            .await
    }

    /// JSON, as in `health` of the driver protocol.
    ///
    /// # Errors
    /// As [`RulesetSource::step`].
    pub async fn health(&self, now: Timestamp) -> Result<String, Error> {
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move { api.ruleset_source().call_health(store, resource, now).await })
            })
            .await
    }
}
