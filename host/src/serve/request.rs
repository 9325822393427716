//! What a request says: who sends it, its query, the parts of its path, its body; and the two forms of an answer.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::App;
use super::keys::Identity;
use super::problem::Problem;
use super::settings::{BODY_DEADLINE, MAX_REFERENCE, Role};

/// What agents call themselves.
const AGENT_HEADER: &str = "x-edictum-agent-id";

/// A name of an agent, an environment or a ruleset: a letter or digit, then up to 127 of those and `.`, `_`, `-`.
pub fn is_identifier(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    let mut bytes = text.bytes();
    text.len() <= 128
        && bytes.next().is_some_and(plain)
        && bytes.all(|byte| plain(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

/// Who sends a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key it came with.
    pub key: Arc<Identity>,
    /// Which agent it says it is.
    pub agent: Option<String>,
}

impl Caller {
    /// The environment that the request is about: the key's own, and for operators the one they name (`production` when
    /// they name none).
    pub fn environment(&self, named: Option<&str>) -> Result<String, Problem> {
        if let Some(named) = named
            && !is_identifier(named)
        {
            return Err(Problem::invalid(json!(["query", "env"]), "not the name of an environment"));
        }
        match (self.key.role, named) {
            (Role::Operator, named) => Ok(named.unwrap_or("production").to_owned()),
            (Role::Agent, Some(named)) if named != self.key.name => {
                Err(Problem::forbidden(format!("this key is for the environment `{}`", self.key.name)))
            }
            (Role::Agent, _) => Ok(self.key.name.clone()),
        }
    }

    /// Which agent it is, as far as one can tell.
    pub fn agent_or_key(&self) -> String {
        self.agent.clone().unwrap_or_else(|| format!("key:{}", self.key.prefix))
    }

    /// Only operators go on.
    pub fn operator(&self) -> Result<(), Problem> {
        match self.key.role {
            Role::Operator => Ok(()),
            Role::Agent => Err(Problem::forbidden("this needs an operator's key")),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let secret = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
        let key = secret.and_then(|secret| app.keys.identify(secret)).ok_or_else(Problem::unauthorized)?;
        let agent = match parts.headers.get(AGENT_HEADER) {
            None => None,
            Some(value) => {
                let agent = value.to_str().ok().filter(|agent| is_identifier(agent));
                let wrong = || Problem::invalid(json!(["header", AGENT_HEADER]), "not the name of an agent");
                Some(agent.ok_or_else(wrong)?.to_owned())
            }
        };
        Ok(Self { key, agent })
    }
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim_start_matches(' '))
}

/// The query of a request: the first value of each name counts.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// None: it is not there, or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Problem> {
        let wrong = || Problem::invalid(json!(["query", name]), "not a whole number from 0 on");
        let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(wrong);
        self.get(name).map(number).transpose()
    }

    /// How many rows an answer may have.
    pub fn limit(&self, default: usize, most: usize) -> Result<i64, Problem> {
        let bound = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(self.number("limit")?.unwrap_or(bound(default)).clamp(1, bound(most)))
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

/// The only variable part of a path, decoded.
#[derive(Debug)]
pub struct Part(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let part = Path::<String>::from_request_parts(parts, state).await;
        let wrong = |_| Problem::invalid(json!(["path"]), "the path is not UTF-8");
        part.map(|Path(part)| Self(part)).map_err(wrong)
    }
}

/// `Idempotency-Key`: the same request a second time changes nothing, and gets the first answer.
pub fn reference(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let good = |text: &&str| !text.is_empty() && text.len() <= MAX_REFERENCE;
    let wrong = || {
        Problem::invalid(json!(["header", "idempotency-key"]), format!("not 1 to {MAX_REFERENCE} visible characters"))
    };
    Ok(Some(value.to_str().ok().filter(good).ok_or_else(wrong)?.to_owned()))
}

/// A body of at most so many bytes, which must come in time.
pub async fn body(request: Request, limit: usize) -> Result<Bytes, Problem> {
    let headers = request.headers();
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::unsupported("compressed bodies are not taken"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > u64::try_from(limit).unwrap_or(u64::MAX)) {
        return Err(Problem::too_large(limit));
    }
    let read = tokio::time::timeout(BODY_DEADLINE, to_bytes(request.into_body(), limit)).await;
    match read {
        Err(_) => Err(Problem::incomplete()),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_length_limit(&error) => Err(Problem::too_large(limit)),
        Ok(Err(_)) => Err(Problem::incomplete()),
    }
}

fn is_length_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.to_string().contains("length limit") {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A body that is one JSON document of this shape.
pub fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(unreadable)
}

/// A body that is not.
#[expect(clippy::needless_pass_by_value, reason = "as `map_err` gives it")]
pub fn unreadable(error: serde_json::Error) -> Problem {
    Problem::invalid(json!(["body"]), error.to_string())
}

/// [`body`], then [`read`].
pub async fn json_body<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Problem> {
    read(&body(request, limit).await?)
}

/// An answer with a JSON text.
pub fn answer(status: StatusCode, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer with a JSON value.
pub fn ok(body: &Value) -> Response<Body> {
    answer(StatusCode::OK, body.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_as_clients_take() {
        for good in ["a", "A.b_c-d", "0", &"x".repeat(128)] {
            assert!(is_identifier(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a\n", "a b", "ä", "a/b", "../x", &"x".repeat(129)] {
            assert!(!is_identifier(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_bearer_is_a_scheme_and_a_secret() {
        assert_eq!(bearer("Bearer k"), Some("k"));
        assert_eq!(bearer("bearer   k"), Some("k"));
        for wrong in ["k", "Basic k", "Bearer"] {
            assert_eq!(bearer(wrong), None);
        }
    }
}
