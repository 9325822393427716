//! Requests of the host's own below an endpoint, for people who manage transport themselves: with the caps, the retries and
//! the TLS rule of all others.

use std::collections::BTreeMap;

use crate::endpoint::{Endpoint, check_reference};
use crate::error::{Code, Error, Result};
use crate::jitter::Jitter;
use crate::outcome;
use crate::path::Path;
use crate::request::{Method, Request};
use crate::response::Answer;
use crate::retry::{Progress, Safety, Trouble};

/// So many requests are remembered between their attempts.
const MAX_OPEN: usize = 1024;

/// What came of one attempt at a request of [`Requests`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Carried out.
    Done {
        /// 200 to 299.
        status: u16,
        /// JSON text; `null` when the answer has no body.
        body: String,
    },
    /// Not carried out; the same request again at this time, with one more `attempt`.
    RetryAt(u64),
    /// Refused, or not known.
    Failed(Error),
}

/// A request of the host's own, as it is given with each attempt.
#[derive(Clone, Copy, Debug)]
pub struct Call<'c> {
    /// The host's own name for it, the same for every attempt: 1 to 255 visible ASCII characters. A POST carries it as
    /// Idempotency-Key.
    pub reference: &'c str,
    /// Counts from 0.
    pub attempt: u32,
    /// What to do.
    pub method: Method,
    /// Begins with `/`, not yet encoded.
    pub path: &'c str,
    /// Not yet encoded.
    pub query: &'c [(String, String)],
    /// JSON text.
    pub body: Option<&'c str>,
}

/// Requests of the host's own, with the caps, the retries and the TLS rule of all others.
#[derive(Debug)]
pub struct Requests {
    endpoint: Endpoint,
    jitter: Jitter,
    started: BTreeMap<String, u64>,
}

impl Requests {
    /// For an endpoint.
    #[must_use]
    pub fn new(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), jitter: endpoint.jitter(1), started: BTreeMap::new() }
    }

    /// The request of an attempt.
    ///
    /// # Errors
    /// [`Code::Argument`]: a path, reference or body that cannot be sent.
    pub fn begin(&mut self, call: &Call<'_>, now: u64) -> Result<Request> {
        check_reference(call.reference)?;
        if call.body.is_some_and(|body| outcome::read_json(body).is_err()) {
            return Err(Error::new(Code::Argument, "the body is not JSON"));
        }
        let path =
            call.query.iter().try_fold(Path::parse(call.path)?, |path, (name, value)| path.parameter(name, value))?;
        let mut request = self.endpoint.request(call.method, &path, call.body.map(str::to_owned));
        if call.method == Method::Post {
            request.headers.push(("idempotency-key", call.reference.to_owned()));
        }
        if self.started.len() >= MAX_OPEN && !self.started.contains_key(call.reference) {
            self.started.pop_first();
        }
        let started = *self.started.entry(call.reference.to_owned()).or_insert(now);
        let left = self.endpoint.budget().total_ms.saturating_sub(now.saturating_sub(started));
        request.deadline_ms = request.deadline_ms.min(left.max(1));
        Ok(request)
    }

    /// What the answer to an attempt means.
    pub fn answered(&mut self, call: &Call<'_>, answer: &Answer, now: u64) -> Reply {
        let safety = if call.method == Method::Post { Safety::Once } else { Safety::Repeatable };
        let reply = match outcome::read(&self.endpoint, answer, safety, now) {
            Ok(reply) => {
                let body = reply.body.as_ref().map_or_else(|| "null".to_owned(), |tape| tape.text().trim().to_owned());
                Reply::Done { status: reply.status, body }
            }
            Err(failed) => {
                let started = self.started.get(call.reference).copied().unwrap_or(now);
                let progress = Progress { started, attempt: call.attempt };
                let trouble = failed.trouble;
                match self.endpoint.budget().next(progress, trouble, safety, now, self.jitter.next()) {
                    Some(at) if trouble != Trouble::Final => Reply::RetryAt(at),
                    _ => Reply::Failed(failed.error),
                }
            }
        };
        if !matches!(reply, Reply::RetryAt(_)) {
            self.started.remove(call.reference);
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::{endpoint, json};
    use crate::response::Fault;

    fn call(method: Method, attempt: u32) -> Call<'static> {
        Call { reference: "r-1", attempt, method, path: "/v1/x", query: &[], body: None }
    }

    #[test]
    fn t01_t02_a_read_is_tried_three_times_and_then_typed() {
        let mut requests = Requests::new(&endpoint());
        let mut now = 1000;
        for attempt in 0..3 {
            requests.begin(&call(Method::Get, attempt), now).unwrap();
            match requests.answered(&call(Method::Get, attempt), &json(500, "{}"), now) {
                Reply::RetryAt(at) => {
                    assert!(attempt < 2 && (now..=now + 1000).contains(&at));
                    now = at;
                }
                Reply::Failed(error) => assert_eq!((attempt, error.code), (2, Code::ServerUnavailable)),
                Reply::Done { .. } => panic!("500 is no success"),
            }
        }
        assert!(requests.started.is_empty());
        let done = requests.answered(&call(Method::Get, 2), &json(200, " {\"a\": 1.0} "), now);
        assert_eq!(done, Reply::Done { status: 200, body: r#"{"a": 1.0}"#.to_owned() });
        assert_eq!(
            requests.answered(&call(Method::Delete, 0), &json(204, ""), now),
            Reply::Done { status: 204, body: "null".to_owned() }
        );
    }

    #[test]
    fn t05_a_post_that_may_have_arrived_is_not_sent_again() {
        let mut requests = Requests::new(&endpoint());
        let request = requests.begin(&call(Method::Post, 0), 0).unwrap();
        assert_eq!(request.header("idempotency-key"), Some("r-1"));
        let lost = Err(Fault::Lost("reset".to_owned()));
        let Reply::Failed(error) = requests.answered(&call(Method::Post, 0), &lost, 0) else { panic!("repeated") };
        assert_eq!(error.code, Code::Ambiguous);
        let refused = Err(Fault::NotSent("refused".to_owned()));
        assert!(matches!(requests.answered(&call(Method::Post, 0), &refused, 0), Reply::RetryAt(0..=500)));
        assert!(matches!(requests.answered(&call(Method::Put, 0), &lost, 0), Reply::RetryAt(0..=500)));
    }

    #[test]
    fn t18_all_attempts_together_have_an_end() {
        let mut requests = Requests::new(&endpoint());
        requests.begin(&call(Method::Get, 0), 0).unwrap();
        assert_eq!(requests.begin(&call(Method::Get, 1), 45_000).unwrap().deadline_ms, 15_000);
        let reply = requests.answered(&call(Method::Get, 1), &Err(Fault::Deadline), 60_000);
        assert!(matches!(reply, Reply::Failed(error) if error.code == Code::Interrupted));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_before_it_is() {
        let mut requests = Requests::new(&endpoint());
        for (reference, path, body) in [
            ("", "/v1", None),
            ("a b", "/v1", None),
            ("r\n", "/v1", None),
            ("r", "v1", None),
            ("r", "/../x", None),
            ("r", "/v1", Some("{")),
        ] {
            let call = Call { reference, path, body, ..call(Method::Post, 0) };
            assert_eq!(requests.begin(&call, 0).unwrap_err().code, Code::Argument, "{call:?}");
        }
    }

    #[test]
    fn forgotten_requests_do_not_pile_up() {
        let mut requests = Requests::new(&endpoint());
        for number in 0..3000 {
            let reference = format!("r-{number}");
            requests.begin(&Call { reference: &reference, ..call(Method::Get, 0) }, 0).unwrap();
        }
        assert_eq!(requests.started.len(), MAX_OPEN);
    }
}
