//! Ed25519 signatures of documents: over the exact bytes of the text and nothing else (wire.md §6). A signature binds no
//! name and no version; whoever fetches checks those.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ed25519_compact::{PublicKey, Signature};

/// 64 bytes as hex.
const HEX_LENGTH: usize = 2 * Signature::BYTES;

/// 64 bytes as base64 without padding, and with.
const BASE64_LENGTH: usize = 86;
const BASE64_PADDED_LENGTH: usize = 88;

/// Why no trusted key vouches for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// There is no signature.
    #[error("the document is not signed")]
    MissingSignature,
    /// Neither 64 bytes of base64 nor 128 hex digits.
    #[error("the signature is not 64 bytes of base64 or hex")]
    MalformedSignature,
    /// A trusted key is not 64 hex digits, not a point, or a point of small order.
    #[error("a trusted key is not an Ed25519 public key of 64 hex digits")]
    MalformedKey,
    /// No key is trusted.
    #[error("no key is trusted")]
    NoTrustedKey,
    /// No trusted key made this signature of this text.
    #[error("the signature is not of this document by a trusted key")]
    Mismatch,
}

/// The key, lower-case hex, that signed a text.
///
/// `signature` is base64 (standard or URL-safe alphabet, with or without its padding) or 128 hex digits; `trusted_keys`
/// are 64 hex digits each. Nothing is trimmed. One malformed key refuses everything: a trust list that is not what its
/// author meant must not decide.
///
/// # Errors
/// See [`SigningError`].
pub fn verify(text: &str, signature: &str, trusted_keys: &[String]) -> Result<String, SigningError> {
    if trusted_keys.is_empty() {
        return Err(SigningError::NoTrustedKey);
    }
    let keys = trusted_keys.iter().map(|key| public_key(key)).collect::<Result<Vec<_>, _>>()?;
    if signature.is_empty() {
        return Err(SigningError::MissingSignature);
    }
    let signature = Signature::new(signature_bytes(signature).ok_or(SigningError::MalformedSignature)?);
    keys.into_iter()
        .find(|key| key.verify(text, &signature).is_ok())
        .map(|key| hex::encode(*key))
        .ok_or(SigningError::Mismatch)
}

fn public_key(text: &str) -> Result<PublicKey, SigningError> {
    let mut bytes = [0; PublicKey::BYTES];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| SigningError::MalformedKey)?;
    let key = PublicKey::new(bytes);
    // With a key of small order anybody can sign anything.
    key.validate().map_err(|_| SigningError::MalformedKey)?;
    Ok(key)
}

/// The length tells the encodings apart: no base64 of 64 bytes has 128 characters. Each has one spelling; left-over bits
/// and a single `=` are refused.
fn signature_bytes(text: &str) -> Option<[u8; Signature::BYTES]> {
    let mut bytes = [0; Signature::BYTES];
    match text.len() {
        HEX_LENGTH => hex::decode_to_slice(text, &mut bytes).ok()?,
        BASE64_LENGTH | BASE64_PADDED_LENGTH => {
            let unpadded = text.strip_suffix("==").unwrap_or(text);
            let url_safe = unpadded.contains(['-', '_']);
            let engine = if url_safe { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
            let decoded = engine.decode(unpadded).ok()?;
            bytes = decoded.try_into().ok()?;
        }
        _ => return None,
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use ed25519_compact::{KeyPair, Seed};

    use super::*;

    fn pair(seed: u8) -> KeyPair {
        KeyPair::from_seed(Seed::new([seed; Seed::BYTES]))
    }

    fn key(seed: u8) -> String {
        hex::encode(*pair(seed).pk)
    }

    /// RFC 8032, 7.1: public key, message, signature.
    const RFC_8032: [(&str, &str, &str); 3] = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "r",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            // In upper case; the third message of the RFC is no UTF-8, and cannot be a document.
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "r",
            "92A009A9F0D4CAB8720E820B5F642540A2B27B5416503F8FB3762223EBDB69DA085AC1E43E15996E458F3613D0F11D8C387B2EAEB4302AEEB00D291612BB0C00",
        ),
    ];

    #[test]
    fn the_vectors_of_the_rfc_verify() {
        for (key, message, signature) in RFC_8032 {
            assert_eq!(verify(message, signature, &[key.to_owned()]), Ok(key.to_owned()));
            assert_eq!(verify("x", signature, &[key.to_owned()]), Err(SigningError::Mismatch));
        }
    }

    #[test]
    fn every_spelling_of_a_signature_verifies() {
        let (text, keys) = ("kind: Ruleset\r\n", [key(1)]);
        let signature = pair(1).sk.sign(text, None);
        for spelling in [
            hex::encode(*signature),
            hex::encode_upper(*signature),
            STANDARD.encode(*signature),
            STANDARD_NO_PAD.encode(*signature),
            URL_SAFE.encode(*signature),
            URL_SAFE_NO_PAD.encode(*signature),
        ] {
            assert_eq!(verify(text, &spelling, &keys), Ok(key(1)), "{spelling}");
        }
        assert_ne!(STANDARD.encode(*signature), URL_SAFE.encode(*signature), "the test must tell the alphabets apart");
        assert_eq!(verify(text, &hex::encode(*signature), &[key(1).to_uppercase()]), Ok(key(1)));
    }

    #[test]
    fn a_changed_byte_is_a_mismatch() {
        let signature = hex::encode(*pair(1).sk.sign("kind: Ruleset\n", None));
        for text in ["kind: Ruleset\r\n", "kind: Ruleset", "\u{feff}kind: Ruleset\n", ""] {
            assert_eq!(verify(text, &signature, &[key(1)]), Err(SigningError::Mismatch), "{text:?}");
        }
    }

    #[test]
    fn rotation_trusts_a_set_and_names_the_key() {
        let signature = STANDARD.encode(*pair(2).sk.sign("x", None));
        assert_eq!(verify("x", &signature, &[key(1), key(2)]), Ok(key(2)));
        assert_eq!(verify("x", &signature, &[key(1), key(3)]), Err(SigningError::Mismatch));
        assert_eq!(verify("x", &signature, &[]), Err(SigningError::NoTrustedKey));
        assert_eq!(verify("x", "", &[key(1)]), Err(SigningError::MissingSignature));
    }

    #[test]
    fn nothing_is_trimmed_or_guessed_in_a_signature() {
        let bytes = *pair(1).sk.sign("x", None);
        let (standard, hexed) = (STANDARD.encode(bytes), hex::encode(bytes));
        let (plain, last) = standard.trim_end_matches('=').split_at(BASE64_LENGTH - 1);
        // The last of 86 characters carries four bits that belong to nothing.
        let bits = format!("{plain}{}", char::from(last.as_bytes()[0] + 1));
        let mixed: String = format!("-{}", standard.replacen('/', "+", 9).trim_end_matches('=').split_at(1).1);
        for malformed in [
            format!("{standard}\n"),
            format!(" {standard}"),
            format!("{hexed}\n"),
            format!("0x{}", &hexed[2..]),
            standard[..87].to_owned(),
            standard[..85].to_owned(),
            format!("{}=", &standard[..87]).replace("==", "=A"),
            STANDARD.encode(&bytes[..63]),
            STANDARD.encode([bytes.as_slice(), &[0]].concat()),
            hexed[..126].to_owned(),
            "é".repeat(64),
            "é".repeat(43),
            "=".repeat(88),
            bits,
            mixed,
        ] {
            assert_eq!(verify("x", &malformed, &[key(1)]), Err(SigningError::MalformedSignature), "{malformed}");
        }
    }

    #[test]
    fn a_signature_with_its_scalar_plus_the_group_order_is_another_text_and_refused() {
        let mut bytes = *pair(1).sk.sign("x", None);
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut carry = 0;
        for (byte, add) in bytes[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum as u8, sum >> 8);
        }
        assert_eq!(verify("x", &hex::encode(bytes), &[key(1)]), Err(SigningError::Mismatch));
    }

    #[test]
    fn one_malformed_key_refuses_everything() {
        let signature = hex::encode(*pair(1).sk.sign("x", None));
        let good = key(1);
        for malformed in [
            String::new(),
            good[..62].to_owned(),
            format!("{good}00"),
            format!("{good}\n"),
            format!(" {}", &good[1..]),
            format!("{}zz", &good[..62]),
            "é".repeat(32),
        ] {
            let keys = [good.clone(), malformed];
            assert_eq!(verify("x", &signature, &keys), Err(SigningError::MalformedKey), "{keys:?}");
        }
    }

    /// Points of small order and their odd spellings: with them R = identity, S = 0 signs every text.
    #[test]
    fn keys_with_which_anybody_can_sign_are_refused() {
        let forged = format!("01{}", "00".repeat(63));
        for weak in [
            "0100000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000080",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ] {
            assert_eq!(verify("x", &forged, &[weak.to_owned()]), Err(SigningError::MalformedKey), "{weak}");
        }
    }
}
