//! edictum-api as a guard sees it, without I/O: requests out, answers in. No clock, no randomness, no socket; time is an
//! argument (milliseconds since 1970), and all waiting times follow from one random seed.
//!
//! Everything that could be decided differently by two hosts is here: what may be an address, what an answer means, when a
//! request is made again and when never, what an event of the stream is a reason for, which ruleset is taken, what becomes of
//! an approval that nobody answers, how the decision log gets there in order. What is left for others is to move bytes.
//!
//! # The parts
//!
//! An [`endpoint`] is an address with an identity and a credential; [`requests`] below it are the host's own. Four lanes make requests through it and know nothing of
//! one another, so that a host can give each an instance of its own:
//!
//! | lane | is given | gives |
//! |---|---|---|
//! | [`ruleset::source`] | answers, bytes of the stream, what is enforced | verified releases, orders for the stream, memory, notices |
//! | [`session::store`] | operations on keys | an outcome for each |
//! | [`approval::queue`] | requests for approval, announced ids | ids, verdicts |
//! | [`log::delivery`] | the oldest entries of an outbox | what is settled, what is set apart |
//!
//! Below them: [`address`], [`path`] and [`credential`] are what a request is made of; [`outcome`] says what an answer means
//! and [`retry`] when to ask again; [`stream`] reads events and keeps the connection; [`jitter`], [`time`] and [`clock`] are about
//! time; [`error`] and [`notice`] are for people.
//!
//! # Driving a lane
//!
//! Every lane is driven alike: ask for requests, make them (all at the same time, where there are several), bring the
//! answers, ask again, and take the step when there is nothing left. Whoever makes a [`request::Request`] keeps its rules:
//! this authority only, no redirects, certificates verified, everything within [`request::Request::deadline_ms`], no more than
//! [`request::Request::max_body`] bytes ([`response::BodyReader`] counts them). What went wrong is a [`response::Fault`]; only a
//! request that certainly never left is [`response::Fault::NotSent`].
//!
//! ```
//! use edictum_server_protocol::endpoint::Endpoint;
//! use edictum_server_protocol::request::Request;
//! use edictum_server_protocol::response::{Answer, Response};
//! use edictum_server_protocol::ruleset::source::RulesetSource;
//! use edictum_server_protocol::stream::connection::Order;
//!
//! /// Stands for a client of HTTP.
//! fn fetch(request: &Request) -> Answer {
//!     assert_eq!(request.url(), "https://api.example.com/v1/rulesets/production-rules/current?env=production");
//!     let body = br#"{"name":"production-rules","version":7,"yaml":"metadata:\n  name: production-rules\n"}"#;
//!     Ok(Response { status: 200, headers: vec![("content-type".into(), "application/json".into())], body: body.to_vec() })
//! }
//!
//! # fn main() -> Result<(), edictum_server_protocol::error::Error> {
//! let endpoint = Endpoint::open(r#"{"url":"https://api.example.com","agent_id":"docs-agent","seed":42}"#, "edk_production_x")?;
//! let mut source = RulesetSource::open(&endpoint, r#"{"bundle_name":"production-rules"}"#, None)?;
//! let mut now = 1_800_000_000_000;
//!
//! // One step: make what is due, then see what has come of it.
//! while let Some(request) = source.next_request(now) {
//!     let answer = fetch(&request);
//!     now += 20;
//!     source.answered(&answer, now);
//! }
//! let step = source.take_step(now);
//! assert!(step.failed.is_none());
//! if let Some(memory) = step.memory {
//!     // Kept durably before the release is used: no restart goes back behind it.
//!     assert!(memory.contains("production-rules"));
//! }
//! if let Some(release) = step.release {
//!     // Loaded by every deciding instance; only then is it reported.
//!     source.enforced(&release.revision, now);
//! }
//!
//! // Now the stream is wanted, and what it says is a hint: the fetch is the truth.
//! assert_eq!(source.take_step(now).connection, Order::Open);
//! let stream = source.stream_request(now);
//! assert!(stream.request.url().contains("policy_version="));
//! source.stream_opened(200, vec![("content-type".into(), "text/event-stream".into())], now);
//! now += 2_000;
//! source.stream_data(b"event: ruleset_updated\ndata: {\"name\":\"production-rules\",\"version\":8}\n\n", now);
//! assert!(source.next_request(now).is_some());
//! # Ok(())
//! # }
//! ```
//!
//! # What must stay true
//!
//! * Nothing waits here. What must wait comes out as a time, on the caller's clock; inside, time never goes back.
//! * Whatever a server sends ends in bounded time and memory, and never in a panic.
//! * What may have been carried out is not done again unless doing it twice is doing it once.
//! * The API key is in one header, and in no `Debug` output, error, notice, memory or health.

pub mod address;
pub mod approval;
pub mod clock;
pub mod credential;
pub mod endpoint;
pub mod error;
pub mod jitter;
pub mod log;
pub mod notice;
pub mod outcome;
pub mod path;
pub mod request;
pub mod requests;
pub mod response;
pub mod retry;
pub mod ruleset;
pub mod session;
pub mod stream;
pub mod time;
