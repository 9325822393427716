//! One request over wasi:http, from its first byte to the last one of its answer. [`Flight::advance`] does what can be done
//! without waiting; [`Flight::subscribe`] tells what to wait for.
//!
//! A child goes before its parent: streams before bodies, bodies before answers. Fields are in that order.

use edictum_server_protocol::address::Scheme as To;
use edictum_server_protocol::request::{Method as Do, Request};
use edictum_server_protocol::response::{Answer, BodyReader, Fault, Response};

use super::{MILLISECOND, fault};
use crate::bindings::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use crate::bindings::wasi::io::poll::Pollable;
use crate::bindings::wasi::io::streams::{InputStream, OutputStream, StreamError};

/// Bytes that are taken at once.
const CHUNK: u64 = 64 * 1024;

/// A request on its way.
pub struct Flight {
    state: State,
    max_body: usize,
    /// On the monotonic clock.
    pub deadline: u64,
}

enum State {
    /// The request is going out, or its answer is waited for.
    Waiting { sending: Option<Sending>, answer: FutureIncomingResponse },
    /// The answer is coming in.
    Reading(Box<Reading>),
    /// It never began.
    Failed(Fault),
    /// The answer was given.
    Over,
}

/// A body on its way out.
struct Sending {
    stream: OutputStream,
    body: OutgoingBody,
    bytes: Vec<u8>,
    sent: usize,
}

/// A body on its way in.
struct Reading {
    stream: InputStream,
    _body: IncomingBody,
    _answer: IncomingResponse,
    status: u16,
    headers: Vec<(String, String)>,
    reader: BodyReader,
    received: u64,
}

impl Flight {
    /// Hands a request to the host.
    pub fn start(request: Request) -> Self {
        let deadline = monotonic_clock::now().saturating_add(request.deadline_ms.saturating_mul(MILLISECOND));
        let max_body = request.max_body;
        let state = begin(request).unwrap_or_else(State::Failed);
        Self { state, max_body, deadline }
    }

    /// Goes as far as it can; none: it has to wait. Gives the answer once.
    pub fn advance(&mut self) -> Option<Answer> {
        let answer = match self.step() {
            Ok(None) if monotonic_clock::now() >= self.deadline => Err(Fault::Deadline),
            Ok(None) => return None,
            Ok(Some(response)) => Ok(response),
            Err(fault) => Err(fault),
        };
        // What is left of it is dropped, and the connection with it when the answer was not read to its end.
        self.state = State::Over;
        Some(answer)
    }

    fn step(&mut self) -> Result<Option<Response>, Fault> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Failed(fault) => return Err(fault),
                State::Over => return Err(fault::none()),
                State::Waiting { mut sending, answer } => {
                    if sending.as_mut().is_some_and(Sending::advance) {
                        sending.take().into_iter().for_each(Sending::finish);
                    }
                    let Some(answered) = answer.get() else {
                        self.state = State::Waiting { sending, answer };
                        return Ok(None);
                    };
                    // A server may answer before it has the whole request: what it says counts.
                    let response = answered.map_err(|()| fault::none())?.map_err(|error| fault::of(&error))?;
                    drop(sending);
                    self.state = State::Reading(Box::new(Reading::begin(response, self.max_body)?));
                }
                State::Reading(mut reading) => {
                    if !reading.advance()? {
                        self.state = State::Reading(reading);
                        return Ok(None);
                    }
                    return reading.finish().map(Some);
                }
            }
        }
    }

    /// What it waits for.
    pub fn subscribe(&self) -> Vec<Pollable> {
        match &self.state {
            State::Waiting { sending, answer } => {
                let sending = sending.as_ref().map(|sending| sending.stream.subscribe());
                sending.into_iter().chain([answer.subscribe()]).collect()
            }
            State::Reading(reading) => vec![reading.stream.subscribe()],
            State::Failed(_) | State::Over => Vec::new(),
        }
    }
}

fn begin(request: Request) -> Result<State, Fault> {
    let outgoing = OutgoingRequest::new(headers(&request)?);
    let method = match request.method {
        Do::Get => Method::Get,
        Do::Post => Method::Post,
        Do::Put => Method::Put,
        Do::Delete => Method::Delete,
    };
    let scheme = match request.scheme {
        To::Http => Scheme::Http,
        To::Https => Scheme::Https,
    };
    outgoing.set_method(&method).map_err(|()| fault::refused("the method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| fault::refused("the scheme"))?;
    outgoing.set_authority(Some(&request.authority)).map_err(|()| fault::refused("the address"))?;
    outgoing.set_path_with_query(Some(&request.target)).map_err(|()| fault::refused("the path"))?;
    let sending = match request.body {
        None => None,
        Some(text) => {
            let body = outgoing.body().map_err(|()| fault::refused("the body"))?;
            let stream = body.write().map_err(|()| fault::refused("the body"))?;
            Some(Sending { stream, body, bytes: text.into_bytes(), sent: 0 })
        }
    };
    // The host shall not wait longer, either. One that cannot be told so is held to the deadline here.
    let options = RequestOptions::new();
    let most = Some(request.deadline_ms.saturating_mul(MILLISECOND));
    let _may_fail = options.set_connect_timeout(most);
    let _may_fail = options.set_first_byte_timeout(most);
    let _may_fail = options.set_between_bytes_timeout(most);
    let answer = outgoing_handler::handle(outgoing, Some(options)).map_err(|error| fault::of(&error))?;
    Ok(State::Waiting { sending, answer })
}

fn headers(request: &Request) -> Result<Fields, Fault> {
    let mut entries: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    if let Some(body) = &request.body {
        entries.push(("content-length".to_owned(), body.len().to_string().into_bytes()));
    }
    Fields::from_list(&entries).map_err(|_| fault::refused("a header"))
}

impl Sending {
    /// Writes what can be written; true: there is nothing left, or nobody takes it any more.
    fn advance(&mut self) -> bool {
        loop {
            let rest = self.bytes.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                return true;
            }
            let room = match self.stream.check_write() {
                Ok(0) => return false,
                Ok(room) => usize::try_from(room).unwrap_or(usize::MAX),
                Err(_) => return true,
            };
            let chunk = rest.get(..room.min(rest.len())).unwrap_or_default();
            if self.stream.write(chunk).is_err() {
                return true;
            }
            self.sent += chunk.len();
        }
    }

    /// Ends the body, where all of it was taken; the answer says what came of it.
    fn finish(self) {
        let Self { stream, body, bytes, sent } = self;
        drop(stream);
        if sent >= bytes.len() {
            let _the_answer_says_it = OutgoingBody::finish(body, None);
        }
    }
}

impl Reading {
    fn begin(answer: IncomingResponse, max_body: usize) -> Result<Self, Fault> {
        let status = answer.status();
        let entries = answer.headers().entries();
        let headers =
            entries.into_iter().map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned())).collect();
        let body = answer.consume().map_err(|()| fault::none())?;
        let stream = body.stream().map_err(|()| fault::none())?;
        let reader = BodyReader::new(max_body);
        Ok(Self { stream, _body: body, _answer: answer, status, headers, reader, received: 0 })
    }

    /// Reads what is there; true: that was all.
    fn advance(&mut self) -> Result<bool, Fault> {
        loop {
            match self.stream.read(CHUNK) {
                Ok(bytes) if bytes.is_empty() => return Ok(false),
                Ok(bytes) => {
                    self.received = self.received.saturating_add(bytes.len() as u64);
                    self.reader.push(&bytes)?;
                }
                Err(StreamError::Closed) => return Ok(true),
                Err(error) => return Err(fault::of_stream(error)),
            }
        }
    }

    fn finish(self) -> Result<Response, Fault> {
        let Self { status, headers, reader, received, .. } = self;
        let response = Response { status, headers, body: reader.finish() };
        // Not every host sees that a connection was closed too early.
        let announced: Option<u64> = response.header("content-length").and_then(|length| length.trim().parse().ok());
        let has_body = !matches!(status, 204 | 304);
        if has_body && announced.is_some_and(|announced| received < announced) {
            return Err(Fault::Incomplete);
        }
        Ok(response)
    }
}
