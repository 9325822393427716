//! What came back: an answer whose body was read within its bounds, or why there is none. Reading it is `outcome`.

/// An answer. Its body is whole, and as it came: nothing was decompressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100 to 599.
    pub status: u16,
    /// As they came; names in any case.
    pub headers: Vec<(String, String)>,
    /// At most [`crate::request::Request::max_body`] bytes.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The media type without its parameters, lower case; empty when there is none.
    #[must_use]
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// Why there is no whole answer. The texts come from the transport and are shown after they were redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request certainly never reached the server: no such name, no connection, no TLS.
    NotSent(String),
    /// The connection was lost after something may have been sent.
    Lost(String),
    /// The deadline came. Nothing is known.
    Deadline,
    /// The answer's body is longer than it may be; the rest was not read.
    TooLarge,
    /// The answer's body ended before its announced length.
    Incomplete,
}

/// What a request came to.
pub type Answer = Result<Response, Fault>;

/// Collects a body, up to a bound.
#[derive(Debug)]
pub struct BodyReader {
    bytes: Vec<u8>,
    most: usize,
}

impl BodyReader {
    /// For at most so many bytes.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { bytes: Vec::new(), most }
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Fault::TooLarge`]: stop reading, and close the connection.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() > self.most - self.bytes.len() {
            return Err(Fault::TooLarge);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The whole body.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t16_a_body_is_not_read_beyond_its_bound() {
        let mut reader = BodyReader::new(4);
        assert_eq!(reader.push(b"abc"), Ok(()));
        assert_eq!(reader.push(b"de"), Err(Fault::TooLarge));
        assert_eq!(reader.push(b"d"), Ok(()));
        assert_eq!(reader.push(b""), Ok(()));
        assert_eq!(reader.push(b"e"), Err(Fault::TooLarge));
        assert_eq!(reader.finish(), b"abcd");
    }
}
