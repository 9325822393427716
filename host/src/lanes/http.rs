//! The client of HTTP that all lanes share: connections are kept and used again, certificates are verified as the operating
//! system has it, no proxy is asked and no redirect is followed. [`Gate`] is what stands between a lane and this client: it lets out
//! only what goes to the lane's own server, and holds answers to their time and size once more. No error here names a
//! header or an address.

mod fault;

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::{Request, Response, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Connections that nobody uses are kept for so long. Servers close theirs later, mostly: a request that meets a closing
/// connection is one more that nobody knows the fate of.
const IDLE: Duration = Duration::from_secs(25);

/// And so many of them, for each server.
const MAX_IDLE: usize = 64;

/// Longest time to connect, where the request itself may take longer.
const CONNECT: Duration = Duration::from_secs(10);

/// Longest time for all of a request, whatever a lane asks for.
const LONGEST: Duration = Duration::from_secs(600);

/// The component's own deadline comes first, as long as it works: it knows what it means.
const GRACE: Duration = Duration::from_secs(1);

/// Most bytes of a body. The component's own bound, 10 MiB, comes first.
const MAX_BODY: usize = 11 << 20;

/// Most bytes of the head of an answer.
const MAX_HEAD: usize = 128 << 10;

pub(super) use self::fault::code as error_code;

type Pool = Client<HttpsConnector<HttpConnector>, WasiBody>;

/// One for the process. Made when it is needed first: it reads the certificates of the system.
#[derive(Clone, Default)]
pub(super) struct HttpClient(Arc<OnceLock<Option<Pool>>>);

impl HttpClient {
    /// None: there is no trust in anything here, and nothing can be asked.
    fn pool(&self) -> Option<&Pool> {
        self.0.get_or_init(pool).as_ref()
    }

    /// Makes a request. To be called on the lanes' threads. An error of the kind that says "not sent" is certain.
    pub async fn send(&self, request: Request<WasiBody>) -> Result<Response<Incoming>, Error> {
        let pool = self.pool().ok_or(Error::TlsCertificateError)?;
        pool.request(request).await.map_err(|error| fault::of_request(&error))
    }
}

fn pool() -> Option<Pool> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .ok()?
        .with_platform_verifier()
        .inspect_err(|error| tracing::warn!(%error, "no certificates of the system can be read"))
        .ok()?
        .with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    connector.set_keepalive(Some(IDLE));
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(connector);
    let pool = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .http1_max_buf_size(MAX_HEAD)
        .build(connector);
    Some(pool)
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    secure: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Of an address; none: it has none.
    pub fn of(uri: &Uri) -> Option<Self> {
        let secure = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.to_ascii_lowercase();
        Some(Self { secure, host, port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }) })
    }

    /// Of an address as text.
    pub fn parse(url: &str) -> Option<Self> {
        Self::of(&url.parse().ok()?)
    }
}

/// Between one lane and the client.
pub(super) struct Gate {
    pub client: HttpClient,
    /// None: nothing is let out.
    pub origin: Option<Origin>,
}

impl WasiHttpHooks for Gate {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Over), Error>> + Send> {
        let own = Origin::of(request.uri()).filter(|to| self.origin.as_ref() == Some(to)).is_some();
        let client = self.client.clone();
        let time = options.and_then(|options| options.first_byte_timeout).unwrap_or(LONGEST).min(LONGEST) + GRACE;
        let deadline = Instant::now() + time;
        Box::new(async move {
            if !own {
                tracing::error!("a request to another server than the lane's own was stopped");
                return Err(Error::HttpRequestDenied);
            }
            let response = tokio::time::timeout_at(deadline, client.send(request)).await;
            let response = response.map_err(|_| Error::HttpResponseTimeout)??;
            let over: Over = Box::new(std::future::ready(Ok(())));
            let body = |incoming| Bounded { incoming, left: MAX_BODY, deadline: Box::pin(sleep_until(deadline)) };
            Ok((response.map(|incoming| body(incoming).boxed_unsync()), over))
        })
    }

    fn is_forbidden_header(&mut self, name: &hyper::header::HeaderName) -> bool {
        wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS.contains(name)
    }
}

/// The client drives its connections itself.
type Over = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// A body that ends in time, and is not too long.
struct Bounded {
    incoming: Incoming,
    left: usize,
    deadline: Pin<Box<Sleep>>,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        // The time first: a body that trickles on and on is always about to have more.
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(Error::HttpResponseTimeout)));
        }
        let frame = match std::task::ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Poll::Ready(Some(Err(fault::of_body(&error)))),
            None => return Poll::Ready(None),
        };
        match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => Poll::Ready(Some(Err(Error::HttpResponseBodySize(Some(MAX_BODY as u64))))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
