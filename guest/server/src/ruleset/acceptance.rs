//! Whether a ruleset of the server is taken: by its signature, its name, and never back to an older one unless the server,
//! asked again, says so (wire.md §6, T34–T40). Whether its rules load is for the deciding instances to say.

use edictum_engine::signing::{self, SigningError};
use edictum_engine::yaml;

use super::body::Body;
use crate::error::{Code, Error, Result};

/// What a ruleset must have to be taken.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Trusted keys, 64 hex digits each; none: signatures are not verified.
    trusted_keys: Option<Vec<String>>,
    /// Whether `metadata.name` of the text must be the name that was asked for.
    check_name: bool,
}

impl Conditions {
    /// Conditions of a source.
    ///
    /// # Errors
    /// [`Code::Option`]: signatures are to be verified, and there is no key, or one that is none.
    pub fn new(verify: bool, keys: &[String], check_name: bool) -> Result<Self> {
        if !verify {
            return Ok(Self { trusted_keys: None, check_name });
        }
        let keys: Vec<String> = keys.iter().map(|key| key.trim().to_owned()).collect();
        match signing::verify("", "", &keys) {
            // The keys are good; only the signature is missing.
            Err(SigningError::MissingSignature) => Ok(Self { trusted_keys: Some(keys), check_name }),
            Err(error) => Err(Error::new(Code::Option, format!("`signing_public_keys`: {error}"))),
            Ok(_) => Err(Error::new(Code::Option, "`signing_public_keys`: a key that signs nothing")),
        }
    }

    /// Whether signatures are verified.
    #[must_use]
    pub const fn verifies(&self) -> bool {
        self.trusted_keys.is_some()
    }

    /// The key that vouches for a ruleset; none: signatures are not verified.
    ///
    /// # Errors
    /// [`Code::WrongName`], [`Code::Signature`].
    pub fn accept(&self, name: &str, body: &Body) -> Result<Option<String>> {
        if body.name.as_ref().is_some_and(|given| given != name) {
            return Err(Error::new(Code::WrongName, format!("the server gave another ruleset than `{name}`")));
        }
        // First of all the signature: nothing else of a forged text is read.
        let key = self.trusted_keys.as_ref().map(|keys| verify(body, keys)).transpose()?;
        if self.check_name
            && let Some(written) = written_name(&body.text)
            && written != name
        {
            let message = format!("the ruleset calls itself {}, not `{name}`", yaml::shown(&written));
            return Err(Error::new(Code::WrongName, message));
        }
        Ok(key)
    }
}

/// One good signature is enough: each is over the same bytes.
fn verify(body: &Body, keys: &[String]) -> Result<String> {
    let mut worst = SigningError::MissingSignature;
    for signature in &body.signatures {
        match signing::verify(&body.text, signature, keys) {
            Ok(key) => return Ok(key),
            Err(error) => worst = error,
        }
    }
    let message = match worst {
        SigningError::MissingSignature => "the server's ruleset is not signed".to_owned(),
        SigningError::Mismatch => {
            "signature mismatch: the server's ruleset is not what a trusted key signed".to_owned()
        }
        error => format!("the server's ruleset cannot be verified: {error}"),
    };
    Err(Error::new(Code::Signature, message))
}

/// `metadata.name`, where it is a text; otherwise the loader has something to say.
fn written_name(text: &str) -> Option<String> {
    let (root, _) = yaml::read("ruleset", text);
    root?.get("metadata")?.get("name")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use ed25519_compact::{KeyPair, Seed};

    use super::super::body::revision;
    use super::*;

    const TEXT: &str = "apiVersion: edictum/v1\nkind: Ruleset\nmetadata:\n  name: t\n";

    fn pair(seed: u8) -> KeyPair {
        KeyPair::from_seed(Seed::new([seed; Seed::BYTES]))
    }

    fn key(seed: u8) -> String {
        hex::encode(*pair(seed).pk)
    }

    fn body(text: &str, signatures: &[String]) -> Body {
        Body {
            text: text.to_owned(),
            revision: revision(text),
            name: None,
            version: None,
            signatures: signatures.to_vec(),
            other_hash: false,
        }
    }

    fn signed(text: &str) -> Vec<u8> {
        pair(1).sk.sign(text, None).to_vec()
    }

    fn verifying(keys: &[String]) -> Conditions {
        Conditions::new(true, keys, true).unwrap()
    }

    #[test]
    fn t34_a_ruleset_without_a_signature_is_refused() {
        let error = verifying(&[key(1)]).accept("t", &body(TEXT, &[])).unwrap_err();
        assert_eq!(error.code, Code::Signature);
        assert!(error.message.contains("not signed"));
        assert!(Conditions::default().accept("t", &body(TEXT, &[])).is_ok());
    }

    #[test]
    fn t35_t36_t37_every_spelling_of_a_signature_and_a_key_is_accepted() {
        let signature = signed(TEXT);
        for spelling in [hex::encode(&signature), STANDARD.encode(&signature), URL_SAFE_NO_PAD.encode(&signature)] {
            for key_text in [key(1), key(1).to_uppercase(), format!(" {}\n", key(1))] {
                let accepted = verifying(&[key_text]).accept("t", &body(TEXT, std::slice::from_ref(&spelling)));
                assert_eq!(accepted, Ok(Some(key(1))), "{spelling}");
            }
        }
        let both = [STANDARD.encode([0; 64]), hex::encode(&signature)];
        assert_eq!(verifying(&[key(1)]).accept("t", &body(TEXT, &both)), Ok(Some(key(1))));
    }

    #[test]
    fn t38_a_changed_byte_is_a_signature_mismatch() {
        let changed = TEXT.replace('\n', "\r\n");
        let error = verifying(&[key(1)]).accept("t", &body(&changed, &[hex::encode(signed(TEXT))])).unwrap_err();
        assert_eq!(error.code, Code::Signature);
        assert!(error.message.contains("signature mismatch"), "{error}");
    }

    #[test]
    fn t40_after_a_rotation_the_second_trusted_key_counts() {
        let body = body(TEXT, &[hex::encode(signed(TEXT))]);
        assert_eq!(verifying(&[key(2), key(1)]).accept("t", &body), Ok(Some(key(1))));
        assert_eq!(verifying(&[key(2)]).accept("t", &body).unwrap_err().code, Code::Signature);
    }

    #[test]
    fn verifying_without_a_good_key_is_refused_at_once() {
        for keys in [vec![], vec!["00".to_owned()], vec![key(1), "zz".repeat(32)], vec!["00".repeat(32)]] {
            assert_eq!(Conditions::new(true, &keys, true).unwrap_err().code, Code::Option, "{keys:?}");
            assert!(Conditions::new(false, &keys, true).is_ok());
        }
    }

    #[test]
    fn another_ruleset_than_the_one_asked_for_is_refused() {
        let signature = [hex::encode(signed(TEXT))];
        let (strict, loose) = (verifying(&[key(1)]), Conditions::new(true, &[key(1)], false).unwrap());
        assert_eq!(strict.accept("u", &body(TEXT, &signature)).unwrap_err().code, Code::WrongName);
        assert!(loose.accept("u", &body(TEXT, &signature)).is_ok());
        let called = Body { name: Some("u".to_owned()), ..body(TEXT, &signature) };
        assert_eq!(strict.accept("t", &called).unwrap_err().code, Code::WrongName);
        assert_eq!(loose.accept("t", &called).unwrap_err().code, Code::WrongName);
        for text in ["kind: Ruleset\n", "[", "metadata: 7\n", "metadata:\n  name: 7\n", "- 1\n"] {
            let conditions = Conditions::new(false, &[], true).unwrap();
            assert!(conditions.accept("t", &body(text, &[])).is_ok(), "the loader has a better message: {text}");
        }
    }
}
