"""Verifies signatures with public keys, for SendGrid and SNS. Needs the optional package `cryptography`."""

from __future__ import annotations

import binascii
from base64 import b64decode
from datetime import datetime
from typing import TYPE_CHECKING

from mailshot.errors import SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

MAX_SIGNATURE_CHARACTERS = 2000


def require_cryptography(setting: str) -> None:
    """Raise SettingsError if the package that a setting needs is missing."""
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise SettingsError(
            f"{setting} needs the package cryptography, which is not installed.",
            "Run: pip install 'mailshot[webhooks]'",
        ) from None


def ecdsa_key(encoded: str) -> EllipticCurvePublicKey:
    """Return the P-256 key in base64 of its SubjectPublicKeyInfo (RFC 5480). Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    key = load_der_public_key(b64decode(encoded, validate=True))
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("not a P-256 key")
    return key


def is_signed_by_key(key: EllipticCurvePublicKey, signature: str, message: bytes) -> bool:
    """Return whether a signature in base64 is the key's (ECDSA, SHA-256)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        key.verify(_decoded(signature), message, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def is_signed_by_certificate(pem: bytes, signature: str, message: bytes, at: datetime) -> bool:
    """Return whether a signature in base64 is that of a certificate valid at a moment (RSA PKCS#1 v1.5, SHA-256)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import load_pem_x509_certificate

    try:
        certificate = load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError:
        return False
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        return False
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    try:
        key.verify(_decoded(signature), message, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _decoded(signature: str) -> bytes:
    try:
        return b64decode(signature[:MAX_SIGNATURE_CHARACTERS], validate=True)
    except (binascii.Error, ValueError):
        return b""
