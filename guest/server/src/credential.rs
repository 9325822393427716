//! The API key. It goes into one header and nowhere else: not into `Debug`, errors, logs or memories (T20, T21).

use crate::error::{Code, Error, Result};

/// Longest key, in bytes.
pub const MAX_KEY: usize = 4096;

/// Shorter texts are not looked for in what a server says: they would be found everywhere.
const LEAST_SCRUBBED: usize = 4;

/// What stands where the key stood.
const MARK: &str = "[REDACTED]";

/// A bearer key that can be the value of a header.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key over.
    ///
    /// # Errors
    /// [`Code::Credential`]: empty, too long, or anything but visible ASCII; the message does not show it.
    pub fn new(key: &str) -> Result<Self> {
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > MAX_KEY || !visible {
            let message = "the API key must be 1 to 4096 visible ASCII characters, without spaces or line breaks";
            return Err(Error::new(Code::Credential, message));
        }
        Ok(Self(key.to_owned()))
    }

    /// The value of the header `Authorization`.
    #[must_use]
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text without the key.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        if self.0.len() < LEAST_SCRUBBED { text.to_owned() } else { text.replace(&self.0, MARK) }
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ApiKey([REDACTED])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t20_t21_a_key_that_cannot_be_a_header_is_refused_and_not_shown() {
        for bad in
            ["", "k\n", "k\r\nX-Evil: 1", "a b", "k\u{0}", "k\u{7f}", "schlüssel", "k\u{2028}", &"k".repeat(4097)]
        {
            let error = ApiKey::new(bad).unwrap_err();
            assert_eq!(error.code, Code::Credential);
            assert!(bad.len() < 3 || !format!("{error} {error:?}").contains(bad), "{bad:?}");
        }
        assert_eq!(ApiKey::new("edk_production_abc").unwrap().header(), "Bearer edk_production_abc");
    }

    #[test]
    fn the_key_is_in_no_debug_output_and_is_taken_out_of_what_servers_say() {
        let key = ApiKey::new("edk_production_abc").unwrap();
        assert!(!format!("{key:?}").contains("abc"));
        assert_eq!(key.scrub("bad key edk_production_abc!"), "bad key [REDACTED]!");
    }
}
