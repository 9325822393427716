//! What happened, told to whoever listens, and the frames of a stream of events. Who falls behind is told so, and reads the
//! state anew: nothing here has to be complete.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Response};
use tokio::sync::{broadcast, watch};

use super::approvals::Approval;

/// Notices that a listener may be behind.
const BACKLOG: usize = 4_096;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Another version of a ruleset is to be used.
    Ruleset(String),
    /// Agents may be assigned other rulesets.
    Assignments,
    /// Somebody is asked.
    Asked(Arc<Approval>),
    /// Somebody answered, or nobody in time.
    Settled(Arc<Approval>),
}

/// Where it is told.
pub struct Hub {
    notices: broadcast::Sender<Notice>,
    logged: watch::Sender<i64>,
    agents: watch::Sender<u64>,
}

impl Default for Hub {
    fn default() -> Self {
        let (notices, _) = broadcast::channel(BACKLOG);
        Self { notices, logged: watch::Sender::new(0), agents: watch::Sender::new(0) }
    }
}

impl Hub {
    /// Tells everybody.
    pub fn tell(&self, notice: Notice) {
        // Nobody may be listening.
        let _heard = self.notices.send(notice);
    }

    /// From now on.
    pub fn listen(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// The decision log goes up to here.
    pub fn logged(&self, seq: i64) {
        self.logged.send_if_modified(|last| {
            let more = seq > *last;
            *last = seq.max(*last);
            more
        });
    }

    /// How far the decision log goes.
    pub fn log(&self) -> watch::Receiver<i64> {
        self.logged.subscribe()
    }

    /// An agent came or went.
    pub fn agents_changed(&self) {
        self.agents.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Whether agents came or went.
    pub fn agents(&self) -> watch::Receiver<u64> {
        self.agents.subscribe()
    }
}

/// What is sent while nothing happens.
pub const KEEPALIVE: Bytes = Bytes::from_static(b":keepalive\n\n");

/// One event. A line break in `data` (white space of a JSON text) begins another line of it.
pub fn frame(name: Option<&str>, id: Option<&str>, data: &str) -> Bytes {
    let mut out = String::with_capacity(data.len() + 64);
    if let Some(id) = id {
        out.push_str("id: ");
        out.push_str(id);
        out.push('\n');
    }
    if let Some(name) = name {
        out.push_str("event: ");
        out.push_str(name);
        out.push('\n');
    }
    for line in data.split(['\n', '\r']) {
        out.push_str("data: ");
        out.push_str(line);
        out.push('\n');
    }
    out.push('\n');
    Bytes::from(out)
}

/// The head of a stream's answer, with its body.
pub fn stream_answer(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A reverse proxy shall not collect it.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_breaks_out_of_its_frame() {
        assert_eq!(frame(None, None, "{}"), "data: {}\n\n");
        let hostile = frame(Some("decision"), Some("1-2"), "{\r\n\n\"a\": 1,\revent: x\n}");
        assert_eq!(
            hostile,
            "id: 1-2\nevent: decision\ndata: {\ndata: \ndata: \ndata: \"a\": 1,\ndata: event: x\ndata: }\n\n"
        );
    }
}
