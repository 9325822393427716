//! Requests of your own (EdictumServerClient), for whoever manages transport: with credential, caps, retries and the TLS rule.
//!
//! ```no_run
//! use edictum_host::Host;
//! use edictum_host::lanes::{ConnectOptions, Endpoint};
//!
//! # async fn example() -> Result<(), edictum_host::Error> {
//! let host = Host::new()?;
//! let key = std::env::var("EDICTUM_API_KEY").unwrap_or_default();
//! let connect = ConnectOptions::new("https://api.example.com", key).agent_id("docs-agent").env("production");
//! let client = Endpoint::open(host.lanes(), &connect).await?;
//! let payload = client.get("/v1/rulesets/production-rules/current", &[("env", "production")]).await?;
//! println!("{}: {}", payload.status, payload.body);
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use uuid::Uuid;
use wasmtime::component::ResourceAny;

use super::Lanes;
use super::bindings::api::Failure;
pub use super::bindings::api::{Method, Reply, Response};
use super::connect::ConnectOptions;
use super::instance::{Inside, Opens, Work};
use super::lane::Lane;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;

/// Address, identity and credential, and requests below it.
pub struct Endpoint(Lane<Plain>);

/// The endpoint is all there is.
struct Plain;

impl Opens for Plain {
    fn open<'i>(&'i self, inside: Inside<'i>) -> Work<'i, Result<ResourceAny, Failure>> {
        Box::pin(std::future::ready(Ok(Ok(inside.resource))))
    }
}

/// A request below the base address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Begins with `/`, not yet encoded.
    pub path: String,
    /// Not yet encoded.
    pub query: Vec<(String, String)>,
    /// JSON text.
    pub body: Option<String>,
}

impl Endpoint {
    /// Looks at the options; makes no request.
    ///
    /// # Errors
    /// [`Error::Refused`]: an option, the address or the key is not as it should be.
    pub async fn open(lanes: &Lanes, connect: &ConnectOptions) -> Result<Self, Error> {
        Ok(Self(Lane::open(lanes, connect, Plain).await?))
    }

    /// Reads.
    ///
    /// # Errors
    /// As [`Endpoint::request`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Response, Error> {
        self.request(&Request::new(Method::Get, path).query(query)).await
    }

    /// Creates, or counts: not repeated when it is not known whether it was carried out. `body`: JSON text.
    ///
    /// # Errors
    /// As [`Endpoint::request`].
    pub async fn post(&self, path: &str, body: &str) -> Result<Response, Error> {
        self.request(&Request::new(Method::Post, path).body(body)).await
    }

    /// Writes. `body`: JSON text.
    ///
    /// # Errors
    /// As [`Endpoint::request`].
    pub async fn put(&self, path: &str, body: &str) -> Result<Response, Error> {
        self.request(&Request::new(Method::Put, path).body(body)).await
    }

    /// Removes.
    ///
    /// # Errors
    /// As [`Endpoint::request`].
    pub async fn delete(&self, path: &str) -> Result<Response, Error> {
        self.request(&Request::new(Method::Delete, path)).await
    }

    /// A request with its retries: three attempts at most, within twice the time of one.
    ///
    /// # Errors
    /// [`Error::Refused`]: the server refused it, or could not be reached, or it is not known whether it was carried out
    /// (`kind` says which); or the request cannot be one.
    pub async fn request(&self, request: &Request) -> Result<Response, Error> {
        let reference = Uuid::new_v4().to_string();
        let clock = Clock::default();
        let mut attempt = 0;
        loop {
            match self.attempt(&reference, attempt, request.clone(), clock.now()).await? {
                Reply::Done(response) => return Ok(response),
                Reply::Failed(failure) => return Err(Error::Refused(failure)),
                Reply::RetryAt(at) => {
                    let wait = Duration::from_millis(at.saturating_sub(clock.now()));
                    let never = std::future::pending::<()>();
                    let _waited = self.0.lanes().within(wait, never).await;
                    attempt += 1;
                }
            }
        }
    }

    /// One attempt, for whoever waits in another way. `reference`: the same for every attempt at a request, 1 to 255 visible
    /// ASCII characters; `attempt` counts from 0.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the instance ended; it is not known whether anything was sent.
    pub async fn attempt(
        &self,
        reference: &str,
        attempt: u32,
        request: Request,
        now: Timestamp,
    ) -> Result<Reply, Error> {
        let reference = reference.to_owned();
        self.0
            .call(move |Inside { store, api, resource }| {
                Box::pin(async move {
                    let Request { method, path, query, body } = &request;
                    let (endpoint, body) = (api.endpoint(), body.as_ref());
                    endpoint.call_request(store, resource, &reference, attempt, *method, path, query, body, now).await
                })
            })
            .await
    }
}

impl Request {
    /// Without query and body.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), query: Vec::new(), body: None }
    }

    /// With these parameters.
    #[must_use]
    pub fn query(mut self, query: &[(&str, &str)]) -> Self {
        self.query.extend(query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        self
    }

    /// With this JSON text.
    #[must_use]
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = Some(body.into());
        self
    }
}

impl Response {
    /// The body as JSON values. Numbers beyond what they hold are not as they came: those are in `body`.
    ///
    /// # Errors
    /// [`Error::Abnormal`]: the component gave something else than JSON.
    pub fn json(&self) -> Result<serde_json::Value, Error> {
        serde_json::from_str(&self.body).map_err(|_| Error::Abnormal("a body that is no JSON".to_owned()))
    }
}
