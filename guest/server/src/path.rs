//! Paths and queries: escaping that is injective, so that no two keys share an address and none leaves its place
//! (wire.md §2.8), and the names that may stand in them (§2.4).

use crate::error::{Code, Error, Result};

/// Longest name of an agent, an environment, a ruleset, an approval.
pub const MAX_NAME: usize = 128;

/// Longest path with its query, in bytes. Servers refuse far shorter ones; this bounds memory.
pub const MAX_TARGET: usize = 128 * 1024;

/// Whether a text is a name: a letter or digit of ASCII, then up to 127 of these, `.`, `_` and `-`. Nothing is trimmed (T22).
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    text.len() <= MAX_NAME
        && text.bytes().all(plain)
        && text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
}

/// Checks a name that comes from options.
///
/// # Errors
/// [`Code::Option`]; the message names `what`, not the text.
pub fn check_name(what: &str, text: &str) -> Result<()> {
    if is_name(text) {
        return Ok(());
    }
    let rule = "must be 1 to 128 letters, digits, `.`, `_` and `-`, and begin with a letter or digit";
    Err(Error::new(Code::Option, format!("{what} {rule}")))
}

/// A path below the base address, percent-encoded. Made segment by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    encoded: String,
    query: bool,
}

impl Path {
    /// From literal segments, each a plain word of the protocol: `/v1/rulesets`.
    #[must_use]
    pub fn literal(path: &'static str) -> Self {
        Self { encoded: path.to_owned(), query: false }
    }

    /// From what a user wrote: `/` and segments, not yet encoded.
    ///
    /// # Errors
    /// [`Code::Argument`]: no `/` at its start, or a segment that [`Path::segment`] refuses.
    pub fn parse(path: &str) -> Result<Self> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(Error::new(Code::Argument, "a path must begin with `/`"));
        };
        let start = Self { encoded: String::with_capacity(path.len()), query: false };
        rest.split('/').try_fold(start, Self::segment)
    }

    /// Adds `/` and a segment. Everything but unreserved characters and `:` is encoded, so a `/` or `?` in it stays part of it.
    ///
    /// # Errors
    /// [`Code::Argument`]: empty, `.`, `..`, a control character, or too long.
    pub fn segment(mut self, segment: &str) -> Result<Self> {
        if matches!(segment, "" | "." | "..") {
            return Err(Error::new(Code::Argument, "an empty segment, `.` and `..` are no parts of a path"));
        }
        if segment.chars().any(char::is_control) {
            return Err(Error::new(Code::Argument, "a path must not hold control characters"));
        }
        self.encoded.push('/');
        encode(&mut self.encoded, segment, true);
        self.check()
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// [`Code::Argument`]: too long.
    pub fn parameter(mut self, name: &str, value: &str) -> Result<Self> {
        self.encoded.push(if std::mem::replace(&mut self.query, true) { '&' } else { '?' });
        encode(&mut self.encoded, name, false);
        self.encoded.push('=');
        encode(&mut self.encoded, value, false);
        self.check()
    }

    fn check(self) -> Result<Self> {
        let fits = self.encoded.len() <= MAX_TARGET;
        if fits { Ok(self) } else { Err(Error::new(Code::Argument, "the address of the request is too long")) }
    }

    /// With its query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.encoded
    }
}

/// How many bytes a text has as a parameter.
#[must_use]
pub fn encoded_length(text: &str) -> usize {
    let mut out = String::new();
    encode(&mut out, text, false);
    out.len()
}

fn encode(out: &mut String, text: &str, colon: bool) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') || (colon && byte == b':') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.extend([byte >> 4, byte & 15].map(|half| DIGITS.get(usize::from(half)).copied().unwrap_or('0')));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn key(key: &str) -> Result<String> {
        Path::literal("/v1/sessions").segment(key).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn t22_a_name_has_no_line_break_at_its_end() {
        for good in ["a", "0", "agent-1", "A.b_c-d", &"a".repeat(128)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", "a\n", "b\r\n", "-a", ".a", "_a", "a b", "a/b", "../x", "a?b", "ä", "a\u{0}", &"a".repeat(129)]
        {
            assert!(!is_name(bad), "{bad:?}");
            let error = check_name("agent_id", bad).unwrap_err();
            assert_eq!(error.code, Code::Option);
        }
    }

    #[test]
    fn t80_t81_a_question_mark_or_hash_does_not_share_the_key_before_it() {
        for (raw, encoded) in [
            ("s:a:attempts", "/v1/sessions/s:a:attempts"),
            ("s:a?b:execs", "/v1/sessions/s:a%3Fb:execs"),
            ("s:a#b:execs", "/v1/sessions/s:a%23b:execs"),
            ("s:x:tool:foo?x", "/v1/sessions/s:x:tool:foo%3Fx"),
            ("a//b", "/v1/sessions/a%2F%2Fb"),
            ("%2F", "/v1/sessions/%252F"),
            ("a b+c&d=e;f,g", "/v1/sessions/a%20b%2Bc%26d%3De%3Bf%2Cg"),
            ("ü\\", "/v1/sessions/%C3%BC%5C"),
            ("...", "/v1/sessions/..."),
        ] {
            assert_eq!(key(raw).unwrap(), encoded, "{raw}");
        }
    }

    #[test]
    fn no_key_climbs_out_of_its_place() {
        for bad in ["", ".", "..", "a\nb", "a\r", "\u{0}", "\u{7f}", "\u{85}"] {
            assert_eq!(key(bad).unwrap_err().code, Code::Argument, "{bad:?}");
        }
        assert!(key(&"?".repeat(MAX_TARGET / 3)).is_err());
    }

    #[test]
    fn a_users_path_keeps_its_segments() {
        let path = Path::parse("/v1/a b/c?d").unwrap().parameter("env", "a&b").unwrap().parameter("x", "").unwrap();
        assert_eq!(path.as_str(), "/v1/a%20b/c%3Fd?env=a%26b&x=");
        for bad in ["", "v1", "//host/x", "/v1//x", "/v1/../x", "/v1/", "/", "/a\nb"] {
            assert!(Path::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn two_keys_never_share_an_address(keys in prop::collection::vec("[ab:/?#%. \\PC]{1,4}", 1..40)) {
            let mut seen = BTreeMap::new();
            for raw in keys {
                let Ok(encoded) = key(&raw) else { continue };
                prop_assert_eq!(seen.entry(encoded).or_insert_with(|| raw.clone()), &raw);
            }
        }
    }
}
