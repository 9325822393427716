//! Address, identity and credential (EdictumServerClient). Every part makes its requests through an [`Endpoint`]; they share
//! nothing else. Requests of the host's own are in [`crate::requests`].

use std::collections::BTreeMap;
use std::sync::Arc;

use edictum_engine::json::write;
use edictum_engine::redaction::{Redactor, cut};
use serde::Deserialize;

use crate::address::Address;
use crate::credential::ApiKey;
use crate::error::{Code, Error, Result};
use crate::jitter::Jitter;
use crate::path::{Path, check_name, encoded_length};
use crate::request::{MAX_BODY, Method, Request};
use crate::retry::Budget;

/// Seconds for one attempt, when nothing else is said.
pub const DEFAULT_TIMEOUT_MS: u64 = 30_000;

/// Shortest and longest time for one attempt.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 100..=600_000;

/// Most tags, and bytes of all of them in an address (T25).
pub const MAX_TAGS: usize = 64;
/// See [`MAX_TAGS`].
pub const MAX_TAGS_ENCODED: usize = 4096;

/// Longest reference of a request, in bytes; it becomes the value of a header.
pub const MAX_REFERENCE: usize = 255;

/// So many bytes of a foreign text are looked at before it is shown.
const MAX_LOOKED_AT: usize = 16 * 1024;

/// Which edictum-api it is. Never found out by trying: a credential is not for experiments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Generation {
    /// `/v1`, the canonical one.
    #[default]
    #[serde(rename = "v1")]
    V1,
    /// `/api/v1`, the historic console.
    #[serde(rename = "console")]
    Console,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    url: String,
    #[serde(default)]
    agent_id: Option<String>,
    #[serde(default)]
    env: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    allow_insecure: bool,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    api_generation: Generation,
    seed: u64,
}

/// A server, who talks to it, and with which key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Endpoint(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Address,
    key: ApiKey,
    agent_id: String,
    env: String,
    tags: Option<String>,
    timeout_ms: u64,
    generation: Generation,
    seed: u64,
}

impl Endpoint {
    /// Checks everything that can be checked without a request. `options` is a JSON object: `url`, `seed` (random, below 2^53:
    /// spreads this client's waiting times from those of others), `agent_id` (default `default`), `env` (`production`), `tags`,
    /// `allow_insecure` (false), `timeout_ms` (30,000; for one attempt), `api_generation` (`v1` or `console`).
    ///
    /// # Errors
    /// [`Code::Address`], [`Code::Insecure`], [`Code::Credential`], [`Code::Option`].
    pub fn open(options: &str, api_key: &str) -> Result<Self> {
        let key = ApiKey::new(api_key)?;
        let options: Options = read_options(options)?;
        let address = Address::parse(&options.url, options.allow_insecure)?;
        let agent_id = options.agent_id.unwrap_or_else(|| "default".to_owned());
        let env = options.env.unwrap_or_else(|| "production".to_owned());
        check_name("`agent_id`", &agent_id)?;
        check_name("`env`", &env)?;
        let timeout_ms = options.timeout_ms.unwrap_or(DEFAULT_TIMEOUT_MS);
        if !TIMEOUT_MS.contains(&timeout_ms) {
            return Err(Error::new(Code::Option, "`timeout_ms` must be 100 to 600000"));
        }
        let tags = tags(&options.tags)?;
        let (generation, seed) = (options.api_generation, options.seed);
        Ok(Self(Arc::new(Inner { address, key, agent_id, env, tags, timeout_ms, generation, seed })))
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.0.address
    }

    /// Who talks.
    #[must_use]
    pub fn agent_id(&self) -> &str {
        &self.0.agent_id
    }

    /// For which environment.
    #[must_use]
    pub fn env(&self) -> &str {
        &self.0.env
    }

    /// Tags as a JSON object; none: there are none.
    #[must_use]
    pub fn tags(&self) -> Option<&str> {
        self.0.tags.as_deref()
    }

    /// Which edictum-api.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.0.generation
    }

    /// Milliseconds for one attempt.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.0.timeout_ms
    }

    /// Bounds of all attempts at one request.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget::for_timeout(self.0.timeout_ms)
    }

    /// Waiting times of one part. `part` keeps the parts of one client apart from one another.
    #[must_use]
    pub fn jitter(&self, part: u64) -> Jitter {
        Jitter::from_seed(self.0.seed ^ part.rotate_left(32))
    }

    /// A text from outside, so that it can be shown: without the key and other secrets, on one line, at most `most` code points.
    #[must_use]
    pub fn shown(&self, text: &str, most: usize) -> String {
        let mut end = text.len().min(MAX_LOOKED_AT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let plain: String = text.get(..end).unwrap_or_default().chars().map(one_line).collect();
        let plain = self.0.key.scrub(&plain);
        cut(&Redactor::shared().text(plain.trim()), most).into_owned()
    }

    /// The root of the interface, `/v1` or what stands for it.
    #[must_use]
    pub fn root(&self) -> Path {
        Path::literal(match self.0.generation {
            Generation::V1 => "/v1",
            Generation::Console => "/api/v1",
        })
    }

    /// A request below the base address, with everything that every request has.
    #[must_use]
    pub fn request(&self, method: Method, path: &Path, body: Option<String>) -> Request {
        let inner = &*self.0;
        let headers = vec![
            ("authorization", inner.key.header()),
            ("x-edictum-agent-id", inner.agent_id.clone()),
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json".to_owned()),
            ("accept-encoding", "identity".to_owned()),
            ("user-agent", concat!("edictum-guard/", env!("CARGO_PKG_VERSION")).to_owned()),
        ];
        Request {
            method,
            scheme: inner.address.scheme(),
            authority: inner.address.authority().to_owned(),
            target: format!("{}{}", inner.address.prefix(), path.as_str()),
            headers,
            body,
            deadline_ms: inner.timeout_ms,
            max_body: MAX_BODY,
        }
    }
}

fn one_line(character: char) -> char {
    let hidden = character.is_control() || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    if hidden { ' ' } else { character }
}

/// Reads a JSON object of options.
pub(crate) fn read_options<T: for<'de> Deserialize<'de>>(options: &str) -> Result<T> {
    serde_json::from_str(options).map_err(|error| {
        // Names the key and the place; a value of a wrong type could be a secret in the wrong place, and is not shown.
        let known = error.to_string().starts_with("unknown field") || error.to_string().starts_with("missing field");
        let what = if known { error.to_string() } else { format!("a wrong value at column {}", error.column()) };
        Error::new(Code::Option, format!("the options are not as they should be: {what}"))
    })
}

fn tags(tags: &BTreeMap<String, String>) -> Result<Option<String>> {
    let refuse = |message: &str| Err(Error::new(Code::Option, message));
    if tags.is_empty() {
        return Ok(None);
    }
    let clean = |text: &str| !text.chars().any(|character| one_line(character) != character);
    if tags.len() > MAX_TAGS {
        return refuse("`tags` may have at most 64 entries");
    }
    if !tags.iter().all(|(key, value)| !key.is_empty() && clean(key) && clean(value)) {
        return refuse("keys of `tags` must not be empty, and neither keys nor values may hold control characters");
    }
    if !tags.iter().all(|(key, value)| key.chars().count() <= 128 && value.chars().count() <= 256) {
        return refuse("keys of `tags` may have at most 128 characters, values 256");
    }
    let mut json = String::new();
    write::Object::write(&mut json, |object| tags.iter().for_each(|(key, value)| object.string(key, value)));
    if encoded_length(&json) > MAX_TAGS_ENCODED {
        return refuse("`tags` are too long for an address: at most 4096 bytes, percent-encoded");
    }
    Ok(Some(json))
}

/// Checks what becomes the value of a header.
pub(crate) fn check_reference(reference: &str) -> Result<()> {
    let fits = (1..=MAX_REFERENCE).contains(&reference.len()) && reference.bytes().all(|byte| byte.is_ascii_graphic());
    let error = || Error::new(Code::Argument, "a reference must be 1 to 255 visible ASCII characters");
    if fits { Ok(()) } else { Err(error()) }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::response::{Answer, Response};

    pub(crate) const API_KEY: &str = "edk_production_0123456789abcdef";

    pub(crate) fn endpoint() -> Endpoint {
        seeded(1, "v1")
    }

    pub(crate) fn console() -> Endpoint {
        seeded(1, "console")
    }

    pub(crate) fn seeded(seed: u64, generation: &str) -> Endpoint {
        let options = format!(
            r#"{{"url":"https://api.example.com/","agent_id":"agent-1","seed":{seed},"api_generation":"{generation}"}}"#
        );
        Endpoint::open(&options, API_KEY).unwrap()
    }

    pub(crate) fn json(status: u16, body: &str) -> Answer {
        let headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        Ok(Response { status, headers, body: body.as_bytes().to_vec() })
    }

    pub(crate) fn with_header(answer: Answer, name: &str, value: &str) -> Answer {
        answer.map(|mut response| {
            response.headers.push((name.to_owned(), value.to_owned()));
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::testing::*;
    use super::*;

    fn open(members: &str) -> Result<Endpoint> {
        Endpoint::open(&format!(r#"{{"url":"https://h.example","seed":1{members}}}"#), API_KEY)
    }

    #[test]
    fn every_request_has_identity_credential_and_no_compression() {
        let request = endpoint().request(Method::Get, &Path::literal("/v1/stream"), None);
        assert_eq!(request.url(), "https://api.example.com/v1/stream");
        assert_eq!(request.header("Authorization"), Some(&*format!("Bearer {API_KEY}")));
        assert_eq!(request.header("X-Edictum-Agent-Id"), Some("agent-1"));
        assert_eq!(request.header("Accept-Encoding"), Some("identity"));
        assert_eq!((request.deadline_ms, request.max_body), (30_000, MAX_BODY));
    }

    #[test]
    fn defaults_are_those_of_the_reference() {
        let endpoint = open("").unwrap();
        assert_eq!((endpoint.agent_id(), endpoint.env(), endpoint.tags()), ("default", "production", None));
        assert_eq!(console().root().as_str(), "/api/v1");
        assert_eq!(endpoint.root().as_str(), "/v1");
    }

    #[test]
    fn t22_t25_identity_that_cannot_be_sent_is_refused_at_once() {
        let long =
            format!(r#","tags":{{"k":"{}","l":"{}","m":"{}"}}"#, "ä".repeat(256), "ä".repeat(256), "ä".repeat(256));
        let many: Vec<String> = (0..65).map(|n| format!(r#""{n}":"x""#)).collect();
        for bad in [
            r#","agent_id":"a\n""#,
            r#","agent_id":"""#,
            r#","env":"../prod""#,
            r#","timeout_ms":0"#,
            r#","timeout_ms":600001"#,
            r#","api_generation":"v2""#,
            r#","tags":{"":"v"}"#,
            r#","tags":{"a\nb":"v"}"#,
            r#","tags":{"a":"\u0000"}"#,
            r#","tags":{"a":1}"#,
            r#","unknown":1"#,
            &format!(r#","tags":{{"{}":"v"}}"#, "k".repeat(129)),
            &format!(r#","tags":{{"k":"{}"}}"#, "v".repeat(257)),
            &format!(r#","tags":{{{}}}"#, many.join(",")),
            &long,
        ] {
            assert_eq!(open(bad).unwrap_err().code, Code::Option, "{bad}");
        }
        assert!(
            Endpoint::open(r#"{"url":"https://h.example"}"#, API_KEY).is_err(),
            "without a seed all clients wait alike"
        );
        assert_eq!(open(r#","tags":{"team":"a b","role":"x"}"#).unwrap().tags(), Some(r#"{"role":"x","team":"a b"}"#));
    }

    #[test]
    fn t20_the_key_is_in_no_debug_output_and_no_error() {
        let endpoint = endpoint();
        let request = endpoint.request(Method::Post, &Path::literal("/v1/events"), Some(r#"{"secret":1}"#.to_owned()));
        let shown = format!("{endpoint:?} {request:?}");
        assert!(!shown.contains("0123456789abcdef") && !shown.contains("secret"), "{shown}");
        let error = Endpoint::open(r#"{"url":"https://h.example","seed":1,"env":7}"#, API_KEY).unwrap_err();
        assert!(!error.message.contains('7'), "{error}");
    }
}
