//! The answer to a fetch of a ruleset (wire.md §4): its text, whichever member holds it, and what comes with it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edictum_engine::json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Error};
use crate::outcome::Reply;

/// Largest ruleset, in bytes.
pub const MAX_RULESET: usize = 1_048_576;

/// Longest text that is looked at as a signature, in bytes.
pub const MAX_SIGNATURE: usize = 512;

/// A ruleset as the server gave it; nothing is verified yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Body {
    /// YAML, exactly.
    pub text: String,
    /// SHA-256 of the text, lower-case hex.
    pub revision: String,
    /// What the server calls it.
    pub name: Option<String>,
    /// Its number; one more with each upload.
    pub version: Option<u64>,
    /// `signature` and `signature_hex`, as far as they are texts.
    pub signatures: Vec<String>,
    /// The server says that its hash is another one.
    pub other_hash: bool,
}

/// Without the text.
impl std::fmt::Debug for Body {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Body")
            .field("revision", &self.revision)
            .field("name", &self.name)
            .field("version", &self.version)
            .field("signatures", &self.signatures.len())
            .finish_non_exhaustive()
    }
}

impl Body {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`Code::Protocol`]: no ruleset in it, or members of other types. [`Code::Inconsistent`]: two that differ.
    /// [`Code::EmptyRuleset`], [`Code::TooLarge`].
    pub fn read(reply: &Reply) -> Result<Self, Error> {
        let map = reply.map()?;
        let mut text: Option<String> = None;
        for (member, encoded) in [("yaml", false), ("yaml_bytes", true), ("yaml_content", false)] {
            let found = match map.get(member) {
                None | Some(Value::Null) => continue,
                Some(Value::String(found)) => found,
                Some(_) => return Err(reply.wrong(&format!("`{member}` must be a string"))),
            };
            let found = if encoded { decode(found)? } else { found.to_owned() };
            if text.as_ref().is_some_and(|text| *text != found) {
                let message =
                    format!("the server's answer holds two rulesets: `{member}` is not the same as another member");
                return Err(Error::new(Code::Inconsistent, message));
            }
            text = Some(found);
        }
        let text = text.ok_or_else(|| reply.wrong("a ruleset in `yaml` or `yaml_bytes`"))?;
        if text.is_empty() {
            return Err(Error::new(Code::EmptyRuleset, "the server's ruleset is empty"));
        }
        if text.len() > MAX_RULESET {
            return Err(too_large());
        }
        let revision = revision(&text);
        let other_hash = hash(map).is_some_and(|hash| !hash.eq_ignore_ascii_case(&revision));
        let signatures = ["signature", "signature_hex"].into_iter().filter_map(|member| map.get(member)?.as_str());
        Ok(Self {
            revision,
            name: map.get("name").and_then(Value::as_str).map(str::to_owned),
            version: map.get("version").and_then(Value::as_u64).filter(|version| *version > 0),
            signatures: signatures.filter(|text| text.len() <= MAX_SIGNATURE).map(str::to_owned).collect(),
            other_hash,
            text,
        })
    }
}

/// SHA-256 of a text, lower-case hex.
#[must_use]
pub fn revision(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A revision, when the server names one: 64 hex digits. Anything else is a label of its own.
fn hash(map: Map<'_>) -> Option<&str> {
    let hash = map.get("revision_hash")?.as_str()?;
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(hash)
}

/// Strict: one spelling for each text. A decoder that skips what it does not know takes what a filter before it did not see (T30).
fn decode(text: &str) -> Result<String, Error> {
    // Four characters for three bytes: known before anything is decoded.
    if text.len() > MAX_RULESET.div_ceil(3) * 4 {
        return Err(too_large());
    }
    let protocol = |message: &str| Error::new(Code::Protocol, message);
    let bytes = STANDARD.decode(text).map_err(|_| protocol("the server's `yaml_bytes` is not base64"))?;
    String::from_utf8(bytes).map_err(|_| protocol("the server's ruleset is not UTF-8"))
}

fn too_large() -> Error {
    Error::new(Code::TooLarge, "the server's ruleset is larger than 1 MiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::testing::{endpoint, json};
    use crate::outcome;
    use crate::retry::Safety;

    fn read(body: &str) -> Result<Body, Error> {
        let reply = outcome::read(&endpoint(), &json(200, body), Safety::Repeatable, 0).unwrap();
        Body::read(&reply)
    }

    fn code(body: &str) -> Code {
        read(body).unwrap_err().code
    }

    #[test]
    fn t28_every_member_that_may_hold_the_text_is_read() {
        for body in [
            r#"{"yaml":"a: 1\n"}"#,
            r#"{"yaml_bytes":"YTogMQo="}"#,
            r#"{"yaml_content":"a: 1\n"}"#,
            r#"{"yaml":null,"yaml_bytes":"YTogMQo=","yaml_content":"a: 1\n","unknown":[]}"#,
        ] {
            let body = read(body).unwrap();
            assert_eq!(body.text, "a: 1\n");
            assert_eq!(body.revision.len(), 64);
        }
        assert_eq!(revision(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn t29_two_rulesets_in_one_answer_are_refused() {
        assert_eq!(code(r#"{"yaml":"a: 1\n","yaml_bytes":"YTogMg=="}"#), Code::Inconsistent);
        assert_eq!(code(r#"{"yaml":"a: 1\n","yaml_content":"a: 1"}"#), Code::Inconsistent);
        assert_eq!(code(r#"{"yaml_bytes":"YTogMg==","yaml_content":"a: 1"}"#), Code::Inconsistent);
    }

    #[test]
    fn t30_junk_in_base64_is_not_skipped() {
        for junk in
            ["!!!!YTogMQo=", "YTogMQo", "YTogMQo=\\n", "YTog MQo=", "YTogMQp=", "YTogMQo=YTogMQo=", "-_-_", "/////w=="]
        {
            assert_eq!(code(&format!(r#"{{"yaml_bytes":"{junk}"}}"#)), Code::Protocol, "{junk}");
        }
    }

    #[test]
    fn t31_size_is_known_before_decoding() {
        let body = |length: usize| format!(r#"{{"yaml_bytes":"{}"}}"#, STANDARD.encode(vec![b'a'; length]));
        assert_eq!(read(&body(MAX_RULESET)).unwrap().text.len(), MAX_RULESET);
        assert_eq!(code(&body(MAX_RULESET + 1)), Code::TooLarge);
        assert_eq!(code(&body(MAX_RULESET + 2)), Code::TooLarge);
        assert_eq!(code(&format!(r#"{{"yaml":"{}"}}"#, "a".repeat(MAX_RULESET + 1))), Code::TooLarge);
        assert_eq!(code(&format!(r#"{{"yaml_bytes":"{}"}}"#, "!".repeat(MAX_RULESET * 2))), Code::TooLarge);
    }

    #[test]
    fn t32_an_empty_ruleset_is_called_so() {
        assert_eq!(code(r#"{"yaml_bytes":""}"#), Code::EmptyRuleset);
        assert_eq!(code(r#"{"yaml":""}"#), Code::EmptyRuleset);
    }

    #[test]
    fn what_holds_no_ruleset_is_a_protocol_error() {
        for body in ["{}", r#"{"yaml":null}"#, r#"{"yaml":7}"#, r#"{"yaml":"a: 1","yaml_bytes":[]}"#, "[]", "null"] {
            assert_eq!(code(body), Code::Protocol, "{body}");
        }
    }

    #[test]
    fn what_comes_with_it_is_taken_as_far_as_it_is_what_it_should_be() {
        let body =
            read(r#"{"yaml":"a","version":3,"name":"n","signature":"s","signature_hex":"h","revision_hash":"r1"}"#)
                .unwrap();
        assert_eq!((body.version, body.name.as_deref(), body.other_hash), (Some(3), Some("n"), false));
        assert_eq!(body.signatures, ["s", "h"]);
        for odd in ["0", "-1", "1.5", "\"3\"", "true", "null", "[]", "99999999999999999999"] {
            let body = read(&format!(r#"{{"yaml":"a","version":{odd},"name":7,"signature":{odd}}}"#)).unwrap();
            assert_eq!((body.version, body.name), (None, None), "{odd}");
        }
        let long = format!(r#"{{"yaml":"a","signature":"{}"}}"#, "s".repeat(MAX_SIGNATURE + 1));
        assert!(read(&long).unwrap().signatures.is_empty());
        assert!(read(&format!(r#"{{"yaml":"a","revision_hash":"{}"}}"#, "0".repeat(64))).unwrap().other_hash);
    }
}
