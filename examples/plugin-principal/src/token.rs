//! Tokens: `et1.KEY.PAYLOAD.MAC`. The payload is JSON in base64url; the MAC is HMAC-SHA-256 over everything before its dot,
//! so that neither the version nor the key can be exchanged.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const VERSION: &str = "et1";

/// The longest token that is looked at, in bytes.
const LONGEST: usize = 8 * 1024;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Who.
    pub sub: String,
    /// Until when, in seconds since 1970.
    pub exp: u64,
    /// For which tools; none: for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// Makes a token.
///
/// # Errors
/// The key's name cannot be in a token.
pub fn sign(grant: &Grant, key: &str, secret: &[u8]) -> Result<String, String> {
    if key.is_empty() || key.contains('.') {
        return Err(format!("`{key}` is no name for a key"));
    }
    let payload = serde_json::to_vec(grant).map_err(|error| error.to_string())?;
    let signed = format!("{VERSION}.{key}.{}", URL_SAFE_NO_PAD.encode(payload));
    let mac = mac(secret, &signed)?.finalize().into_bytes();
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac)))
}

/// What a token says, when it is signed with the key that it names.
///
/// # Errors
/// It is not. What it says is not looked at before its signature.
pub fn verify<'k>(token: &str, key: impl Fn(&str) -> Option<&'k [u8]>) -> Result<Grant, String> {
    let parts: Vec<_> = token.split('.').collect();
    let [VERSION, name, payload, mac_text] = parts[..] else { return Err("it is not a token".to_owned()) };
    if token.len() > LONGEST {
        return Err("it is not a token, but too long".to_owned());
    }
    let secret = key(name).ok_or("the token is signed with an unknown key")?;
    let given = URL_SAFE_NO_PAD.decode(mac_text).map_err(|_| "the signature is malformed")?;
    let signed = &token[..token.len() - mac_text.len() - 1];
    // Takes the same time however much of it is right.
    mac(secret, signed)?.verify_slice(&given).map_err(|_| "the signature does not match")?;
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| "the payload is malformed")?;
    serde_json::from_slice(&payload).map_err(|_| "the payload is malformed".to_owned())
}

fn mac(secret: &[u8], text: &str) -> Result<Hmac<Sha256>, String> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| error.to_string())?;
    Ok(mac.chain_update(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn the_mac_is_the_standards() {
        let bytes = mac(b"Jefe", "what do ya want for nothing?").unwrap().finalize().into_bytes();
        assert_eq!(hex::encode(bytes), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn a_token_cannot_move_to_another_key() {
        let grant = Grant { sub: "a".to_owned(), exp: 1, tools: Vec::new() };
        let token = sign(&grant, "one", b"the same secret").unwrap();
        let keys = |name: &str| ["one", "two"].contains(&name).then_some(&b"the same secret"[..]);
        assert_eq!(verify(&token, keys), Ok(grant));
        assert!(verify(&token.replace(".one.", ".two."), keys).is_err());
    }

    #[test]
    fn any_changed_character_is_noticed() {
        let grant = Grant { sub: "alice".to_owned(), exp: 1, tools: vec!["Bash".to_owned()] };
        let token = sign(&grant, "k", b"secret").unwrap();
        for place in 0..token.len() {
            for other in ["A", "B", "-"] {
                let mut changed = token.clone();
                changed.replace_range(place..=place, other);
                assert!(changed == token || verify(&changed, |_| Some(&b"secret"[..])).is_err(), "{changed}");
            }
        }
        assert!(verify(&format!("{token}A"), |_| Some(&b"secret"[..])).is_err());
    }
}
