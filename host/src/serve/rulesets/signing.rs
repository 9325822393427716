//! The server's own Ed25519 key: a file with its seed, 64 hex digits on a line; lines that begin with `#` say what it is.
//! What is signed are the bytes of a ruleset and nothing else. Verifying is the engine's work.

use std::fs;
use std::path::Path;

use ed25519_compact::{KeyPair, Seed};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// The file.
    #[error("`{path}`: {error}")]
    File {
        /// As given.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// What is in it.
    #[error("`{0}` does not hold a seed of 64 hex digits; `edictum-host keygen` makes such a file")]
    Malformed(String),
    /// The system.
    #[error("there is no randomness: {0}")]
    Randomness(String),
}

/// A key pair.
pub struct Signer {
    pair: KeyPair,
}

impl Signer {
    /// Reads a key file.
    ///
    /// # Errors
    /// It cannot be read, or holds no key.
    pub fn read(path: &Path) -> Result<Self, SigningKeyError> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path).map_err(|error| SigningKeyError::File { path: shown.clone(), error })?;
        warn_when_open(path);
        Self::from_text(&text).ok_or(SigningKeyError::Malformed(shown))
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (line, rest) = (lines.next()?, lines.next());
        let mut seed = [0; Seed::BYTES];
        hex::decode_to_slice(line, &mut seed).ok().filter(|()| rest.is_none())?;
        Some(Self { pair: KeyPair::from_seed(Seed::new(seed)) })
    }

    /// Of these bytes.
    #[must_use]
    pub fn sign(&self, text: &str) -> [u8; 64] {
        *self.pair.sk.sign(text, None)
    }

    /// 64 hex digits, lower case.
    #[must_use]
    pub fn public_key(&self) -> String {
        hex::encode(*self.pair.pk)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public_key", &self.public_key()).finish_non_exhaustive()
    }
}

/// A new key: the text of its file, and the key itself.
///
/// # Errors
/// The system has no randomness.
pub fn generate_signing_key() -> Result<(String, Signer), SigningKeyError> {
    let mut seed = [0; Seed::BYTES];
    getrandom::fill(&mut seed).map_err(|error| SigningKeyError::Randomness(error.to_string()))?;
    let signer = Signer { pair: KeyPair::from_seed(Seed::new(seed)) };
    let text = format!(
        "# Ed25519 seed for signing rulesets. Keep it secret.\n# Public key: {}\n{}\n",
        signer.public_key(),
        hex::encode(seed)
    );
    Ok((text, signer))
}

#[cfg(unix)]
fn warn_when_open(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        tracing::warn!("others can read the signing key `{}`: chmod 600 keeps it private", path.display());
    }
}

#[cfg(not(unix))]
fn warn_when_open(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_reads_back_and_its_debug_form_tells_no_secret() {
        let (text, signer) = generate_signing_key().unwrap();
        let again = Signer::from_text(&text).unwrap();
        assert_eq!(again.public_key(), signer.public_key());
        assert_eq!(again.sign("x"), signer.sign("x"));
        let secret = text.lines().last().unwrap();
        assert!(!format!("{signer:?}").contains(secret));
    }

    #[test]
    fn rfc_8032() {
        let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let signer = Signer::from_text(&format!("# mine\n\n {seed} \n")).unwrap();
        assert_eq!(signer.public_key(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        assert!(hex::encode(signer.sign("r")).starts_with("92a009a9f0d4cab8720e820b5f642540"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "# only a comment", "abcd", &"g".repeat(64), &format!("{0}\n{0}", "a".repeat(64))] {
            assert!(Signer::from_text(text).is_none(), "{text}");
        }
    }
}
