//! `endpoint`: address, identity and credential, and requests of the host's own.

use std::cell::RefCell;

use edictum_server_protocol::endpoint as protocol;
use edictum_server_protocol::request::Method as Do;
use edictum_server_protocol::requests::{Call, Reply as Came, Requests};

use crate::bindings::exports::edictum::server::api::{
    Endpoint as Handle, Failure, GuestEndpoint, Json, Method, Reply, Response, Timestamp,
};
use crate::http::{self, Stopwatch};

/// The cell is never borrowed twice: a component is not re-entered.
pub struct Endpoint {
    pub(super) endpoint: protocol::Endpoint,
    requests: RefCell<Requests>,
}

impl GuestEndpoint for Endpoint {
    fn open(options: Json, api_key: String) -> Result<Handle, Failure> {
        let endpoint = protocol::Endpoint::open(&options, &api_key)?;
        let requests = RefCell::new(Requests::new(&endpoint));
        Ok(Handle::new(Self { endpoint, requests }))
    }

    fn request(
        &self,
        reference: String,
        attempt: u32,
        method: Method,
        path: String,
        query: Vec<(String, String)>,
        body: Option<Json>,
        now: Timestamp,
    ) -> Reply {
        let method = match method {
            Method::Get => Do::Get,
            Method::Post => Do::Post,
            Method::Put => Do::Put,
            Method::Delete => Do::Delete,
        };
        let call = Call { reference: &reference, attempt, method, path: &path, query: &query, body: body.as_deref() };
        let clock = Stopwatch::start(now);
        let mut requests = self.requests.borrow_mut();
        let request = match requests.begin(&call, now) {
            Ok(request) => request,
            Err(error) => return Reply::Failed(error.into()),
        };
        let answer = http::send(request);
        match requests.answered(&call, &answer, clock.now()) {
            Came::Done { status, body } => Reply::Done(Response { status, body }),
            Came::RetryAt(at) => Reply::RetryAt(at),
            Came::Failed(error) => Reply::Failed(error.into()),
        }
    }
}
