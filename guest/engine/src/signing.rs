//! Provisional: the shape of Ed25519 verification.

/// Why a signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    /// There is none.
    #[error("the document has no signature")]
    MissingSignature,
    /// Neither base64 nor hex of 64 bytes.
    #[error("the signature is not base64 or hex of 64 bytes")]
    MalformedSignature,
    /// Not hex of 32 bytes.
    #[error("a trusted key is not hex of 32 bytes")]
    MalformedKey,
    /// No key to verify with.
    #[error("no key is trusted")]
    NoTrustedKey,
    /// No trusted key verifies it.
    #[error("no trusted key verifies the signature")]
    Mismatch,
}

/// The key that verifies.
///
/// # Errors
/// See [`SigningError`].
pub fn verify(_text: &str, _signature: &str, _trusted_keys: &[String]) -> Result<String, SigningError> {
    Err(SigningError::NoTrustedKey)
}
