"""Signatures of rulesets."""

from __future__ import annotations

from ..errors import SignatureError
from ..host import Host
from .errors import BundleVerificationError


def verify_bundle_signature(
    yaml_bytes: bytes, signature_b64: str, public_key_hex: str, *, host: Host | None = None
) -> None:
    """Verifies an Ed25519 signature (base64 or hex) of exactly these bytes.

    Raises:
        BundleVerificationError: it is not this key's, or none.
    """
    try:
        text = yaml_bytes.decode()
    except UnicodeDecodeError:
        raise BundleVerificationError("a ruleset is UTF-8") from None
    try:
        (host or Host.default()).verify(text, signature_b64, [public_key_hex])
    except SignatureError as error:
        raise BundleVerificationError(error.message) from None
