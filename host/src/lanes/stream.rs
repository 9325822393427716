//! The stream of events: a request whose answer does not end. The host owns its socket; what its bytes mean is in the
//! component.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Uri;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use wasmtime_wasi_http::Error;

use super::Lanes;
use super::bindings::api::StreamRequest;
use super::http::Origin;

/// Why a stream is over, or could not be opened. For a log of the host's: it names neither address nor header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamEnd(String);

impl StreamEnd {
    fn new(why: impl ToString) -> Self {
        Self(why.to_string())
    }
}

/// An open stream. Dropping it closes its connection.
pub struct EventStream {
    /// As in 200; any status that the server likes.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    body: Incoming,
    idle: Duration,
    lanes: Lanes,
}

/// Without the headers: a server may set cookies.
impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStream").field("status", &self.status).finish_non_exhaustive()
    }
}

/// Opens one; goes to this origin only. The head of the answer has to come within the idle time.
pub(super) async fn open(
    lanes: &Lanes,
    origin: Option<Origin>,
    request: &StreamRequest,
) -> Result<EventStream, StreamEnd> {
    let uri: Uri = request.url.parse().map_err(|_| StreamEnd::new("its address is none"))?;
    if Origin::of(&uri).is_none_or(|to| origin.as_ref() != Some(&to)) {
        return Err(StreamEnd::new("a stream from another server than the lane's own was stopped"));
    }
    let mut outgoing = hyper::Request::get(uri);
    for (name, value) in &request.headers {
        let refuse = |_| StreamEnd::new("a header is none");
        let name = HeaderName::try_from(name.as_str()).map_err(|_| StreamEnd::new("a header is none"))?;
        let mut value = HeaderValue::try_from(value.as_str()).map_err(refuse)?;
        value.set_sensitive(true);
        outgoing = outgoing.header(name, value);
    }
    let body = Empty::<Bytes>::new().map_err(Error::from).boxed_unsync();
    let outgoing = outgoing.body(body).map_err(|_| StreamEnd::new("it is no request"))?;
    let idle = Duration::from_millis(request.idle_timeout_ms.into());
    let client = lanes.client().clone();
    let answer = lanes.on_threads(async move {
        match tokio::time::timeout(idle, client.send(outgoing)).await {
            Ok(answer) => answer.map_err(StreamEnd::new),
            Err(_) => Err(StreamEnd::new("the server did not answer in time")),
        }
    });
    let (head, body) = answer.await.unwrap_or_else(|| Err(StreamEnd::new("the host is gone")))?.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(EventStream { status: head.status.as_u16(), headers, body, idle, lanes: lanes.clone() })
}

impl EventStream {
    /// The next bytes, as they came; none: the server ended it.
    ///
    /// # Errors
    /// The connection was lost, or nothing came within the idle time.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StreamEnd> {
        loop {
            let Some(frame) = self.lanes.within(self.idle, self.body.frame()).await else {
                return Err(StreamEnd::new("nothing came for too long"));
            };
            match frame {
                None => return Ok(None),
                // What else the transport says of it may name the address.
                Some(Err(_)) => return Err(StreamEnd::new("the connection was lost")),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }
}
