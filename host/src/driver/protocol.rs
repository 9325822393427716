//! Lines and envelopes: `{"id", "op", …}` in, `{"id", "ok", "result" | "error"}` out. An id comes back as the text it was.

use std::io::{self, BufRead, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::bindings::types::{Diagnostic, Severity};
use crate::error::Error;

/// Longest line, in bytes. A call may have 16 MiB, and its escapes.
pub const MAX_LINE: usize = 128 << 20;

/// What was read.
pub(super) enum Line {
    Text(String),
    /// Not a line that can be a request, and why.
    Broken(&'static str),
    End,
}

/// Reads a line. One that is too long is read to its end and thrown away.
pub(super) fn read_line(input: &mut impl BufRead) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut too_long = false;
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            if line.is_empty() && !too_long {
                return Ok(Line::End);
            }
            break;
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(chunk.len(), |end| end + 1);
        let part = chunk.get(..taken).unwrap_or_default();
        too_long |= line.len() + part.len() > MAX_LINE;
        if too_long {
            line = Vec::new();
        } else {
            line.extend_from_slice(part);
        }
        input.consume(taken);
        if end.is_some() {
            break;
        }
    }
    if too_long {
        return Ok(Line::Broken("the line is too long"));
    }
    Ok(String::from_utf8(line).map_or(Line::Broken("the line is not UTF-8"), Line::Text))
}

/// A request: its envelope, and the line with its fields.
#[derive(Debug)]
pub(super) struct Request {
    /// As it came.
    pub id: String,
    pub op: String,
    pub now_ms: Option<u64>,
    pub parallel: bool,
    line: String,
}

#[derive(Deserialize)]
struct Identity<'l> {
    #[serde(borrow)]
    id: Option<&'l RawValue>,
}

#[derive(Deserialize)]
struct Envelope {
    op: String,
    now_ms: Option<u64>,
    parallel: Option<bool>,
}

impl Request {
    /// Reads the envelope. The error has the id, where there is one.
    pub fn read(line: String) -> Result<Self, Box<(Option<String>, Refusal)>> {
        let identity: Identity<'_> = serde_json::from_str(&line)
            .map_err(|error| (None, Refusal::bad_request(format!("the line is not a request: {}", place(&error)))))
            .map_err(Box::new)?;
        let id = identity.id.map_or_else(|| "null".to_owned(), |id| id.get().to_owned());
        match serde_json::from_str::<Envelope>(&line) {
            Ok(Envelope { op, now_ms, parallel }) => {
                Ok(Self { id, op, now_ms, parallel: parallel.unwrap_or(false), line })
            }
            Err(error) => Err(Box::new((Some(id), Refusal::bad_request(error.to_string())))),
        }
    }

    /// A request that did not come as a line of its own. `fields`: a JSON object.
    pub fn new(op: &str, fields: String) -> Self {
        Self { id: "null".to_owned(), op: op.to_owned(), now_ms: None, parallel: false, line: fields }
    }

    /// The fields of an operation.
    pub fn fields<'l, T: Deserialize<'l>>(&'l self) -> Result<T, Refusal> {
        serde_json::from_str(&self.line).map_err(|error| Refusal::bad_request(error.to_string()))
    }
}

/// The parser's words may quote the line: only the place is given.
fn place(error: &serde_json::Error) -> String {
    format!("line {}, column {}", error.line(), error.column())
}

/// A field that counts also when it is null.
pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Why a request was not carried out.
#[derive(Debug, Serialize)]
pub struct Refusal {
    /// Stable; see [`Error::code`].
    pub code: String,
    /// For people.
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Finding>,
}

/// A diagnostic on the wire.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    severity: &'static str,
    code: String,
    message: String,
    document: String,
    line: u32,
    column: u32,
    end_line: u32,
    end_column: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

impl From<&Diagnostic> for Finding {
    fn from(found: &Diagnostic) -> Self {
        let severity = match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Hint => "hint",
        };
        Self {
            severity,
            code: found.code.clone(),
            message: found.message.clone(),
            document: found.document.clone(),
            line: found.line,
            column: found.column,
            end_line: found.end_line,
            end_column: found.end_column,
            help: found.help.clone(),
        }
    }
}

impl Refusal {
    /// Without a place in a document.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { code, message, line: None, column: None, help: None, diagnostics: Vec::new() }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new("bad-request", message)
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::new("unsupported", message)
    }

    /// The `error` of an answer (JSON): `code`, `message`, and where they are known `line`, `column`, `help`, `diagnostics`.
    #[must_use]
    pub fn document(&self) -> String {
        json(self)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let found = error.diagnostics();
        let first = found.iter().find(|finding| finding.severity == Severity::Error).or(found.first());
        Self {
            code: error.code().to_owned(),
            message: error.message(),
            line: first.map(|first| first.line),
            column: first.map(|first| first.column),
            help: first.and_then(|first| first.help.clone()),
            diagnostics: found.iter().map(Finding::from).collect(),
        }
    }
}

/// Writes whole lines, from any thread.
pub(super) struct Output {
    writer: Mutex<Writer>,
}

struct Writer {
    to: Box<dyn Write + Send>,
    failure: Option<io::Error>,
}

impl Output {
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Self { writer: Mutex::new(Writer { to: Box::new(to), failure: None }) }
    }

    /// `result` is JSON, on one line.
    pub fn answer(&self, id: &str, result: &str) {
        self.write(format!("{{\"id\":{id},\"ok\":true,\"result\":{result}}}\n"));
    }

    pub fn refuse(&self, id: Option<&str>, refusal: &Refusal) {
        let id = id.unwrap_or("null");
        let error = refusal.document();
        self.write(format!("{{\"id\":{id},\"ok\":false,\"error\":{error}}}\n"));
    }

    /// Why nothing can be written any more.
    pub fn failure(&self) -> Option<io::Error> {
        self.lock().failure.take()
    }

    fn write(&self, line: String) {
        let mut writer = self.lock();
        if writer.failure.is_none() {
            writer.failure = writer.to.write_all(line.as_bytes()).and_then(|()| writer.to.flush()).err();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A result as JSON. Ours cannot fail to be written.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_is_read_whatever_its_fields_are() {
        let deep = format!(r#"{{"id":[1.0],"op":"x","deep":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        let request = Request::read(deep).unwrap();
        assert_eq!((request.id.as_str(), request.op.as_str()), ("[1.0]", "x"));
        assert_eq!(Request::read(r#"{"op":"x"}"#.to_owned()).unwrap().id, "null");
    }

    #[test]
    fn a_broken_envelope_is_refused_under_its_id() {
        let cases = [
            ("nonsense", None),
            ("[]", None),
            (r#"{"id":1,"id":2,"op":"x"}"#, None),
            (r#"{"id":"a"}"#, Some("\"a\"")),
            (r#"{"id":7,"op":5}"#, Some("7")),
            (r#"{"id":7,"op":"x","now_ms":-1}"#, Some("7")),
            (r#"{"id":null,"op":"x","parallel":"yes"}"#, Some("null")),
        ];
        for (line, expected) in cases {
            let (id, refusal) = *Request::read(line.to_owned()).unwrap_err();
            assert_eq!(id.as_deref(), expected, "{line}");
            assert_eq!(refusal.code, "bad-request");
        }
    }

    #[test]
    fn lines_are_told_apart() {
        let mut input = io::BufReader::with_capacity(3, &b"one\n\xff\xfe\n\ntwo"[..]);
        let mut next = || match read_line(&mut input).unwrap() {
            Line::Text(text) => text,
            Line::Broken(reason) => reason.to_owned(),
            Line::End => "end".to_owned(),
        };
        let lines: Vec<_> = (0..5).map(|_| next()).collect();
        assert_eq!(lines, ["one\n", "the line is not UTF-8", "\n", "two", "end"]);
    }

    #[test]
    fn a_line_without_end_is_thrown_away_and_the_next_one_read() {
        let flood = io::Read::take(io::repeat(b'x'), MAX_LINE as u64 + 10);
        let mut input = io::BufReader::new(io::Read::chain(flood, &b"\nnext"[..]));
        assert!(matches!(read_line(&mut input).unwrap(), Line::Broken(_)));
        assert!(matches!(read_line(&mut input).unwrap(), Line::Text(text) if text == "next"));
    }

    #[test]
    fn a_null_that_is_there_is_told_from_nothing() {
        #[derive(Deserialize)]
        struct Fields<'l> {
            #[serde(borrow, default, deserialize_with = "present")]
            output: Option<&'l RawValue>,
        }

        let output = |line: &str| {
            let request = Request::read(line.to_owned()).unwrap();
            request.fields::<Fields<'_>>().unwrap().output.map(|output| output.get().to_owned())
        };
        assert_eq!(output(r#"{"op":"x","output":null}"#).as_deref(), Some("null"));
        assert_eq!(output(r#"{"op":"x","output":1.0}"#).as_deref(), Some("1.0"));
        assert_eq!(output(r#"{"op":"x"}"#), None);
    }
}
