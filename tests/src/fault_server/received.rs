//! A request as it came.

use std::io::{BufRead, Read};

/// One of them.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Which request it was, of all connections together, counted from 0.
    pub number: usize,
    /// As in `GET`.
    pub method: String,
    /// Path and query, as they came.
    pub target: String,
    /// In their order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Received {
    /// Reads one whole request; none: the connection is over, or what came is none.
    pub(super) fn read(reader: &mut impl BufRead, connection: usize) -> Option<Self> {
        let line = read_line(reader)?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut request = Self { connection, method, target, ..Self::default() };
        loop {
            let line = read_line(reader)?;
            let Some((name, value)) = line.split_once(':') else { break };
            request.headers.push((name.to_lowercase(), value.trim().to_owned()));
        }
        if let Some(length) = request.header("content-length").and_then(|length| length.parse().ok()) {
            reader.take(length).read_to_end(&mut request.body).ok()?;
        } else if request.header("transfer-encoding").is_some() {
            while let Some(mut chunk) = read_chunk(reader) {
                request.body.append(&mut chunk);
            }
        }
        Some(request)
    }

    /// The value of a header; its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok().filter(|length| *length > 0)?;
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let size = usize::from_str_radix(&read_line(reader)?, 16).ok()?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).ok()?;
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}
