//! `ruleset-source`: verified rulesets.

use std::cell::RefCell;

use edictum_server_protocol::ruleset::source as protocol;
use edictum_server_protocol::ruleset::step::Release as Taken;
use edictum_server_protocol::stream::connection::Order;

use super::endpoint::Endpoint;
use super::notices;
use crate::bindings::exports::edictum::guard::types::Document;
use crate::bindings::exports::edictum::server::api::{
    EndpointBorrow, Failure, GuestRulesetSource, Json, Release, RulesetSource as Handle, SourceStep, StreamOrder,
    StreamRequest, Timestamp,
};
use crate::http::{self, Stopwatch};

/// The cell is never borrowed twice: a component is not re-entered.
pub struct RulesetSource(RefCell<protocol::RulesetSource>);

impl GuestRulesetSource for RulesetSource {
    fn open(endpoint: EndpointBorrow<'_>, options: Json, memory: Option<Json>) -> Result<Handle, Failure> {
        let endpoint = &endpoint.get::<Endpoint>().endpoint;
        let source = protocol::RulesetSource::open(endpoint, &options, memory.as_deref())?;
        Ok(Handle::new(Self(RefCell::new(source))))
    }

    fn step(&self, now: Timestamp) -> SourceStep {
        let (clock, mut source) = (Stopwatch::start(now), self.0.borrow_mut());
        while let Some(request) = source.next_request(clock.now()) {
            let answer = http::send(request);
            source.answered(&answer, clock.now());
        }
        let step = source.take_step(clock.now());
        SourceStep {
            release: step.release.map(Into::into),
            connection: match step.connection {
                Order::Keep => StreamOrder::Keep,
                Order::Open => StreamOrder::Open,
                Order::Close => StreamOrder::Close,
            },
            memory: step.memory,
            wake_approvals: step.wake_approvals,
            failed: step.failed.map(Into::into),
            notices: notices(&step.notices),
            next: step.next,
        }
    }

    fn stream_request(&self, now: Timestamp) -> StreamRequest {
        let stream = self.0.borrow_mut().stream_request(now);
        let url = stream.request.url();
        let headers = stream.request.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        StreamRequest { url, headers, idle_timeout_ms: u32::try_from(stream.idle_timeout_ms).unwrap_or(u32::MAX) }
    }

    fn stream_opened(&self, status: u16, headers: Vec<(String, String)>, now: Timestamp) {
        self.0.borrow_mut().stream_opened(status, headers, now);
    }

    fn stream_data(&self, bytes: Vec<u8>, now: Timestamp) {
        self.0.borrow_mut().stream_data(&bytes, now);
    }

    fn stream_closed(&self, now: Timestamp) {
        self.0.borrow_mut().stream_closed(now);
    }

    fn enforced(&self, revision: String, now: Timestamp) {
        self.0.borrow_mut().enforced(&revision, now);
    }

    fn rejected(&self, revision: String, reason: Failure, now: Timestamp) {
        let why = format!("{}: {}", reason.code, reason.message);
        self.0.borrow_mut().rejected(&revision, &why, now);
    }

    fn health(&self, now: Timestamp) -> Json {
        self.0.borrow().health(now)
    }
}

impl From<Taken> for Release {
    fn from(Taken { name, text, revision, version, key_id }: Taken) -> Self {
        Self { ruleset: Document { name, text }, revision, version, key_id }
    }
}
