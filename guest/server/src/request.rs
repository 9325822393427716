//! A request to be made, and nothing about how.

use crate::address::Scheme;

/// Largest body of an answer that is read, in bytes (T16).
pub const MAX_BODY: usize = 10 * 1024 * 1024;

/// Methods that edictum-api knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Creates, or counts.
    Post,
    /// Writes.
    Put,
    /// Removes.
    Delete,
}

impl Method {
    /// As on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A request. Whoever makes it follows no redirect, goes to this authority only, verifies certificates, gives up at the
/// deadline with whatever it has, and reads no more than [`Request::max_body`].
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// Host and port.
    pub authority: String,
    /// Path and query, percent-encoded; begins with `/`.
    pub target: String,
    /// Names in lower case, each once; the credential is among them.
    pub headers: Vec<(&'static str, String)>,
    /// JSON text.
    pub body: Option<String>,
    /// Milliseconds for everything: connecting, sending, and the whole answer (T18, T19).
    pub deadline_ms: u64,
    /// Most bytes of the answer's body.
    pub max_body: usize,
}

impl Request {
    /// The whole address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority, self.target)
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Without the credential, and without the body: arguments of tools may be in it.
impl std::fmt::Debug for Request {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.body.as_ref().map(String::len);
        write!(formatter, "{} {} (body: {bytes:?} bytes)", self.method.as_str(), self.url())
    }
}
