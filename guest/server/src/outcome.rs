//! What an answer means, for every endpoint alike: carried out, or what kind of trouble, and whether another attempt
//! makes sense (wire.md §2.6). What a body means is with each endpoint.

use edictum_engine::json::{Map, ReadError, Tape};

use crate::endpoint::Endpoint;
use crate::error::{Code, Error};
use crate::response::{Answer, Fault, Response};
use crate::retry::{Safety, Trouble};
use crate::time::retry_after;

/// Deepest nesting of an answer (T71).
pub const MAX_DEPTH: usize = 64;

/// Bytes of a body that an error shows (T09).
const MAX_SHOWN: usize = 200;

/// An answer with a status of 2xx.
#[derive(Debug)]
pub struct Reply {
    /// 200 to 299.
    pub status: u16,
    /// None: it was empty.
    pub body: Option<Tape<'static>>,
}

impl Reply {
    /// The body, when it is a map.
    ///
    /// # Errors
    /// [`Code::Protocol`]: it is empty, or anything else (T14).
    pub fn map(&self) -> Result<Map<'_>, Error> {
        let Some(body) = &self.body else { return Err(self.wrong("a JSON object, got nothing")) };
        body.root().as_map().ok_or_else(|| self.wrong("a JSON object"))
    }

    /// An error about what the body holds.
    #[must_use]
    pub fn wrong(&self, expected: &str) -> Error {
        let message = format!("the server's answer is not as expected: {expected}");
        Error { code: Code::Protocol, message, status: Some(self.status) }
    }
}

/// Why a request did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// For people, and for callers.
    pub error: Error,
    /// For the next attempt.
    pub trouble: Trouble,
}

impl Failed {
    /// Any further attempt would end the same.
    #[must_use]
    pub const fn finally(error: Error) -> Self {
        Self { error, trouble: Trouble::Final }
    }

    /// The status of the answer, when there was one.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.error.status
    }
}

/// Reads an answer.
///
/// # Errors
/// Everything but 2xx with an empty body or JSON. Of a request that is done [`Safety::Once`], whatever leaves open if it was
/// carried out is [`Code::Ambiguous`].
pub fn read(endpoint: &Endpoint, answer: &Answer, safety: Safety, now: u64) -> Result<Reply, Failed> {
    let read = match answer {
        Err(fault) => Err(fault_of(endpoint, fault)),
        Ok(response) => read_response(endpoint, response, now),
    };
    read.map_err(|mut failed| {
        if safety == Safety::Once && failed.trouble == Trouble::Unknown {
            failed.error.code = Code::Ambiguous;
            failed.error.message.push_str("; it is not known whether the request was carried out");
        }
        failed
    })
}

fn fault_of(endpoint: &Endpoint, fault: &Fault) -> Failed {
    let (code, trouble, message) = match fault {
        Fault::NotSent(why) => {
            let message = format!("the server cannot be reached: {}", endpoint.shown(why, MAX_SHOWN));
            (Code::Unreachable, Trouble::NotSent, message)
        }
        Fault::Lost(why) => {
            let message = format!("the connection was lost: {}", endpoint.shown(why, MAX_SHOWN));
            (Code::Interrupted, Trouble::Unknown, message)
        }
        Fault::Deadline => (Code::Interrupted, Trouble::Unknown, "the server did not answer in time".to_owned()),
        Fault::TooLarge => (Code::TooLarge, Trouble::Final, "the server's answer is too large".to_owned()),
        Fault::Incomplete => {
            (Code::Protocol, Trouble::Unknown, "the server's answer is shorter than it says".to_owned())
        }
    };
    Failed { error: Error::new(code, message), trouble }
}

fn read_response(endpoint: &Endpoint, response: &Response, now: u64) -> Result<Reply, Failed> {
    let status = response.status;
    let fail = |code: Code, trouble: Trouble, message: String| {
        Err(Failed { error: Error { code, message, status: Some(status) }, trouble })
    };
    let wait = retry_after(response, now);
    match status {
        200..=299 => read_body(endpoint, response).map_err(Failed::finally),
        300..=399 => {
            let target = response
                .header("location")
                .map_or_else(String::new, |location| format!(" to `{}`", origin(&endpoint.shown(location, MAX_SHOWN))));
            let message = format!("the server redirects (HTTP {status}){target}; redirects are not followed");
            fail(Code::Redirect, Trouble::Final, message)
        }
        401 | 403 => fail(Code::Auth, Trouble::Final, said(endpoint, response, "the server refuses the credential")),
        404 => fail(Code::NotFound, Trouble::Final, said(endpoint, response, "there is no such thing")),
        408 | 425 => fail(
            Code::ServerUnavailable,
            Trouble::Unknown,
            said(endpoint, response, "the server did not take the request"),
        ),
        409 | 412 => fail(Code::Conflict, Trouble::Final, said(endpoint, response, "somebody else was first")),
        429 => fail(Code::Busy, Trouble::Postponed { wait }, said(endpoint, response, "too many requests")),
        400..=499 => fail(Code::Refused, Trouble::Final, said(endpoint, response, "the server refuses the request")),
        503 if wait.is_some() => {
            fail(Code::Busy, Trouble::Postponed { wait }, said(endpoint, response, "the server is busy"))
        }
        500..=599 => {
            fail(Code::ServerUnavailable, Trouble::Unknown, said(endpoint, response, "the server is not available"))
        }
        _ => fail(Code::Protocol, Trouble::Final, format!("HTTP {status} is no status of an answer")),
    }
}

fn read_body(endpoint: &Endpoint, response: &Response) -> Result<Reply, Error> {
    let status = response.status;
    let media = response.media_type();
    let wrong = |what: &str| {
        let (media, sent) = (endpoint.shown(&media, MAX_SHOWN), String::from_utf8_lossy(&response.body));
        let media = if media.is_empty() { "no content type" } else { &*media };
        let message =
            format!("expected JSON, got {what} ({media}, HTTP {status}): {}", endpoint.shown(&sent, MAX_SHOWN));
        Error { code: Code::Protocol, message: message.trim_end_matches(": ").to_owned(), status: Some(status) }
    };
    // It was asked for without; a small body that unpacks to gigabytes must not be touched (T17).
    if response.header("content-encoding").is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
        return Err(wrong("a compressed body"));
    }
    let body = response.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&response.body);
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Reply { status, body: None });
    }
    if media == "text/html" {
        return Err(wrong("text/html"));
    }
    let text = str::from_utf8(body).map_err(|_| wrong("bytes that are no UTF-8"))?;
    let tape = read_json(text).map_err(|error| wrong(&error.to_string()))?;
    Ok(Reply { status, body: Some(tape) })
}

/// Reads JSON of at most [`MAX_DEPTH`] levels.
///
/// # Errors
/// As [`Tape::read`].
pub fn read_json(text: &str) -> Result<Tape<'static>, ReadError> {
    if let Some(at) = too_deep(text) {
        return Err(ReadError::TooDeep { at });
    }
    Tape::read_owned(text.to_owned())
}

/// Where the nesting passes [`MAX_DEPTH`]. Knows strings, and nothing else of JSON.
fn too_deep(text: &str) -> Option<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(at);
        }
    }
    None
}

/// Scheme and authority: what is behind them may hold secrets.
fn origin(location: &str) -> String {
    let Some((scheme, rest)) = location.split_once("://") else { return "another path".to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

/// What the server says itself, behind what its status means.
fn said(endpoint: &Endpoint, response: &Response, meaning: &str) -> String {
    let status = response.status;
    let text = str::from_utf8(&response.body).unwrap_or_default();
    let detail = read_json(text).ok().and_then(|tape| {
        let map = tape.root().as_map()?;
        let found = ["detail", "error", "message"].iter().find_map(|key| map.get(key))?;
        let items = found.as_list().map(|list| list.iter().filter_map(|item| item.as_map()?.get("msg")?.as_str()));
        match items {
            Some(items) => Some(items.take(3).collect::<Vec<_>>().join("; ")),
            None => found.as_str().map(str::to_owned),
        }
    });
    let request = response.header("x-request-id").map(|id| format!(" (request {})", endpoint.shown(id, 64)));
    let request = request.unwrap_or_default();
    match detail.filter(|detail| !detail.is_empty()) {
        Some(detail) => format!("{meaning} (HTTP {status}): {}{request}", endpoint.shown(&detail, MAX_SHOWN)),
        None => format!("{meaning} (HTTP {status}){request}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::{API_KEY, endpoint};

    fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Response { status, headers, body: body.to_vec() })
    }

    fn failed(answer: &Answer) -> Failed {
        read(&endpoint(), answer, Safety::Repeatable, 0).unwrap_err()
    }

    fn reply(body: &[u8]) -> Reply {
        read(&endpoint(), &answer(200, &[("content-type", "application/json")], body), Safety::Repeatable, 0).unwrap()
    }

    #[test]
    fn every_status_has_its_code_and_its_next_step() {
        let no_time = Trouble::Postponed { wait: None };
        for (status, code, trouble) in [
            (100, Code::Protocol, Trouble::Final),
            (302, Code::Redirect, Trouble::Final),
            (304, Code::Redirect, Trouble::Final),
            (400, Code::Refused, Trouble::Final),
            (401, Code::Auth, Trouble::Final),
            (403, Code::Auth, Trouble::Final),
            (404, Code::NotFound, Trouble::Final),
            (408, Code::ServerUnavailable, Trouble::Unknown),
            (409, Code::Conflict, Trouble::Final),
            (412, Code::Conflict, Trouble::Final),
            (413, Code::Refused, Trouble::Final),
            (422, Code::Refused, Trouble::Final),
            (425, Code::ServerUnavailable, Trouble::Unknown),
            (429, Code::Busy, no_time),
            (500, Code::ServerUnavailable, Trouble::Unknown),
            (503, Code::ServerUnavailable, Trouble::Unknown),
            (600, Code::Protocol, Trouble::Final),
        ] {
            let failed = failed(&answer(status, &[], b""));
            assert_eq!((failed.error.code, failed.trouble, failed.status()), (code, trouble, Some(status)));
        }
        let busy = failed(&answer(503, &[("retry-after", "3")], b""));
        assert_eq!((busy.error.code, busy.trouble), (Code::Busy, Trouble::Postponed { wait: Some(3000) }));
    }

    #[test]
    fn t05_t08_what_leaves_open_whether_it_happened_is_ambiguous_when_it_counts() {
        for unclear in [
            Err(Fault::Lost("reset".into())),
            Err(Fault::Deadline),
            Err(Fault::Incomplete),
            answer(500, &[], b""),
            answer(408, &[], b""),
        ] {
            let failed = read(&endpoint(), &unclear, Safety::Once, 0).unwrap_err();
            assert_eq!((failed.error.code, failed.trouble), (Code::Ambiguous, Trouble::Unknown), "{unclear:?}");
        }
        for clear in [Err(Fault::NotSent("refused".into())), answer(429, &[], b""), answer(422, &[], b"")] {
            let failed = read(&endpoint(), &clear, Safety::Once, 0).unwrap_err();
            assert_ne!(failed.error.code, Code::Ambiguous, "{clear:?}");
        }
    }

    #[test]
    fn t09_t10_t12_what_is_no_json_is_a_protocol_error_that_says_what_came() {
        for (media, body, shows) in [
            ("application/json", br#"{"value":"#.as_slice(), r#"{"value":"#),
            ("application/json", b"{\"value\":\"\xff\"}", "no UTF-8"),
            ("text/html; charset=utf-8", b"<html>log in</html>", "expected JSON, got text/html"),
            ("text/html", b"{}", "text/html"),
            ("text/plain", b"hello", "text/plain"),
            ("application/json", b"{} {}", "invalid JSON"),
            ("application/json", br#"{"value":"a","value":"b"}"#, "duplicate key"),
        ] {
            let failed = failed(&answer(200, &[("content-type", media)], body));
            assert_eq!((failed.error.code, failed.trouble), (Code::Protocol, Trouble::Final));
            assert!(failed.error.message.contains(shows), "{}", failed.error.message);
        }
        let long = failed(&answer(200, &[("content-type", "text/html")], &[b'x'; 100_000]));
        assert!(long.error.message.len() < 400);
    }

    #[test]
    fn t11_t13_a_mark_before_the_text_and_an_empty_body_are_fine() {
        assert!(reply(b"\xef\xbb\xbf{\"a\":1}").map().unwrap().get("a").is_some());
        for empty in [b"".as_slice(), b" \r\n", b"\xef\xbb\xbf"] {
            assert!(reply(empty).body.is_none());
        }
    }

    #[test]
    fn t14_what_is_no_object_is_a_protocol_error() {
        for body in [b"null".as_slice(), b"[1]", b"7", b"\"x\"", b"true", b""] {
            assert_eq!(reply(body).map().unwrap_err().code, Code::Protocol);
        }
    }

    #[test]
    fn t15_a_redirect_is_named_and_not_followed() {
        let failed = failed(&answer(302, &[("location", "http://evil.example/login?token=hunter2#x")], b""));
        assert_eq!(failed.error.code, Code::Redirect);
        assert!(failed.error.message.contains("http://evil.example`"), "{}", failed.error.message);
        assert!(!failed.error.message.contains("hunter2"));
    }

    #[test]
    fn t17_a_compressed_body_is_not_unpacked() {
        let failed = failed(&answer(200, &[("Content-Encoding", "gzip")], b"\x1f\x8b{}"));
        assert_eq!(failed.error.code, Code::Protocol);
        assert!(read(&endpoint(), &answer(200, &[("content-encoding", "identity")], b"{}"), Safety::Once, 0).is_ok());
    }

    #[test]
    fn t71_bottomless_nesting_ends_in_an_error() {
        for opening in ["[", "{\"a\":"] {
            assert!(matches!(read_json(&opening.repeat(200_000)), Err(ReadError::TooDeep { .. })));
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read_json(&nested(MAX_DEPTH)).is_ok());
        assert!(read_json(&nested(MAX_DEPTH + 1)).is_err());
        assert!(read_json(&format!("[{:?}]", "[\\\"".repeat(100))).is_ok(), "brackets in strings are no nesting");
    }

    #[test]
    fn t26_what_a_server_says_is_shown_without_secrets_and_cut() {
        let echo = format!(r#"{{"detail":"bad key {API_KEY} for \u001b[31mpassword=hunter2hunter2"}}"#);
        let failed = failed(&answer(401, &[("x-request-id", "abc123")], echo.as_bytes()));
        assert_eq!(failed.error.code, Code::Auth);
        let text = format!("{} {:?}", failed.error, failed.error);
        assert!(text.contains("bad key [REDACTED]") && text.contains("request abc123"), "{text}");
        assert!(!text.contains(API_KEY) && !text.contains('\u{1b}') && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn every_shape_of_an_error_body_is_read() {
        for (body, shows) in [
            (r#"{"detail":"no such key"}"#, ": no such key"),
            (r#"{"error":"nope"}"#, ": nope"),
            (r#"{"message":"sorry"}"#, ": sorry"),
            (
                r#"{"detail":[{"loc":["body","timeout"],"msg":"too long"},{"msg":"too short"}]}"#,
                ": too long; too short",
            ),
            (r#"{"detail":{"a":1}}"#, "(HTTP 422)"),
            ("<html>", "(HTTP 422)"),
            ("", "(HTTP 422)"),
        ] {
            let message = failed(&answer(422, &[], body.as_bytes())).error.message;
            assert!(message.ends_with(shows), "{message}");
        }
    }
}
