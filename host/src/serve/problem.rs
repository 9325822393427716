//! What goes wrong with a request, and how it is said: `{"error": code, "message": text, "detail": …}`. `detail` is what the
//! retired console said there: the text, or for a refused document a list of places and messages.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::database::DatabaseError;

/// Characters of a message that quotes what the client sent.
const MAX_MESSAGE: usize = 500;

/// A request that was not carried out.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// Where in the request.
    place: Option<Box<Value>>,
    /// Further members of the answer.
    members: Map<String, Value>,
    retry_after: Option<u64>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE) {
            message.truncate(end);
            message.push('…');
        }
        Self { status, code, message, place: None, members: Map::new(), retry_after: None }
    }

    /// There is no key, or nobody has it.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "a known API key is needed: Authorization: Bearer KEY")
    }

    /// The key may not do this.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", message)
    }

    /// It is not there.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// There, but not this way.
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this path is not used with this method")
    }

    /// The request does not say what it must. `place`: as in `["body", "events", 3]`.
    pub fn invalid(place: Value, message: impl Into<String>) -> Self {
        Self { place: Some(Box::new(place)), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", message) }
    }

    /// A ruleset that does not load, with what is wrong with it.
    pub fn refused_ruleset(message: impl Into<String>, findings: Value) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_ruleset", message).with("diagnostics", findings)
    }

    /// Not in this state.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// Something else is there than the request was made for.
    pub fn precondition_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", message)
    }

    /// The same with a further member in the answer.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// More bytes than it may have.
    pub fn too_large(limit: usize) -> Self {
        let message = format!("the request body is too large; at most {limit} bytes are taken");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
    }

    /// Not in this encoding.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    /// The body did not come, or not as a whole.
    pub fn incomplete() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "incomplete_request", "the request body did not arrive")
    }

    /// Too often; once more after so many seconds.
    pub fn too_often(retry_after: u64) -> Self {
        let message = format!("too many requests; the next one in {retry_after} s");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
        Self { retry_after: Some(retry_after), ..problem }
    }

    /// Ours, and for certain not carried out.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message) }
    }

    /// What it says.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Findings of the engine, for whom it may concern.
    pub fn findings(&self) -> Option<&Value> {
        self.members.get("diagnostics")
    }
}

impl From<DatabaseError> for Problem {
    fn from(error: DatabaseError) -> Self {
        tracing::error!(%error, "the database failed");
        Self::unavailable("the database does not answer")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let detail = match self.place {
            Some(place) => json!([{ "loc": place, "msg": self.message, "type": "value_error" }]),
            None => self.message.as_str().into(),
        };
        let mut body = json!({ "error": self.code, "message": self.message, "detail": detail });
        if let Some(members) = body.as_object_mut() {
            members.extend(self.members);
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
