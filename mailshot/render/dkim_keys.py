"""The DKIM keys of an installation: makes, reads and describes them. Needs the optional package `cryptography`.

A key's file is named after the DNS record of its public half: `m1._domainkey.example.com.pem`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailshot import safe_files
from mailshot.errors import SettingsError
from mailshot.render import dkim, headers
from mailshot.render.dkim import SigningKey

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SETTING = "MAILSHOT_DKIM_KEYS"
MAX_BYTES = 64 * 1024
#: Verifiers reject shorter RSA keys (RFC 8301 section 3.2).
LEAST_BITS = 1024
#: Of new RSA keys. 4096 bits would not fit a DNS answer by UDP, and take four times as long to sign with.
NEW_BITS = 2048
_FILE = re.compile(r"(?P<selector>[^/]+?)\._domainkey\.(?P<domain>.+)\.pem")


class KeyType(StrEnum):
    """The kinds of keys, as a DNS record names them in `k=`."""

    rsa = "rsa"
    ed25519 = "ed25519"


class DkimKeys:
    """The private keys by the DNS name of their records. `folder` is named in errors."""

    def __init__(self, folder: Path, keys: Mapping[str, SigningKey]) -> None:
        self.folder = folder
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, sign: Mapping[str, Any] | None) -> Sequence[SigningKey]:
        """Return the keys that a sender signs with; none for one that does not sign.

        `sign` is the sender's entry in rules/senders.yaml: `domain`, and `selector`, one or a list. Raises
        SettingsError for a key that is not there: a mail that should be signed must not leave without a signature.
        """
        return [self._key(domain, selector) for domain, selector in identities(sign)]

    def _key(self, domain: str, selector: str) -> SigningKey:
        name = dkim.record_name(domain, selector)
        if name in self._keys:
            return self._keys[name]
        raise SettingsError(
            f"The DKIM key {self.folder / file_name(domain, selector)} is missing.",
            f"Put it there, or make one: mailshot dkim key --domain {domain} --selector {selector}. "
            "Then restart the workers.",
        )


#: Of an installation without any.
NO_KEYS = DkimKeys(Path(), {})


def identities(sign: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return domain (in A-labels) and selector of each key that a sender signs with."""
    if not sign:
        return []
    selectors = sign["selector"] if not isinstance(sign["selector"], str) else [sign["selector"]]
    return [(headers.ascii_domain(sign["domain"]), selector) for selector in selectors]


def file_name(domain: str, selector: str) -> str:
    """Return the name of the file with a private key."""
    return f"{dkim.record_name(domain, selector)}.pem"


def read_folder(folder: Path) -> DkimKeys:
    """Read all keys in a folder, which need not exist. Raises SettingsError for a file that holds no usable key."""
    keys = {}
    for path in sorted(folder.glob("*.pem")):
        if named := _FILE.fullmatch(path.name):
            keys[path.name.removesuffix(".pem")] = _read(path, named["domain"], named["selector"])
    return DkimKeys(folder, keys)


def generate(kind: KeyType) -> bytes:
    """Return a new private key as PEM (PKCS #8). Raises SettingsError without the package it needs."""
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    key: RSAPrivateKey | Ed25519PrivateKey
    if kind is KeyType.rsa:
        key = rsa.generate_private_key(public_exponent=65537, key_size=NEW_BITS)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def parse(pem: bytes, domain: str, selector: str) -> SigningKey:
    """Read a private key. Raises ValueError with what is wrong with it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("it is not a private key in PEM without a password") from None
    if isinstance(key, Ed25519PrivateKey):
        return SigningKey(domain, selector, "ed25519-sha256", 256, _ed25519_record(key), key.sign)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("it is neither an RSA nor an Ed25519 key")
    if key.key_size < LEAST_BITS:
        raise ValueError(f"it has {key.key_size} bits; DKIM needs {LEAST_BITS} (RFC 8301)")
    return SigningKey(domain, selector, "rsa-sha256", key.key_size, _rsa_record(key), lambda it: _sign_rsa(key, it))


def published_bits(kind: str, public_key: bytes) -> int:
    """Return the length of a published key, `k=` and the decoded `p=` of its record. Raises ValueError for none."""
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    if kind == KeyType.ed25519 and len(public_key) == 32:
        return 256
    try:
        key = load_der_public_key(public_key)
    except UnsupportedAlgorithm:
        raise ValueError("unknown kind of key") from None
    if kind != KeyType.rsa or not isinstance(key, RSAPublicKey):
        raise ValueError("unknown kind of key")
    return key.key_size


def _read(path: Path, domain: str, selector: str) -> SigningKey:
    _require_cryptography()
    try:
        return parse(safe_files.read_bytes(path, most=MAX_BYTES), domain, selector)
    except OSError as error:
        reason = error.strerror or str(error)
    except ValueError as error:
        reason = str(error)
    raise SettingsError(f"The DKIM key {path} cannot be used: {reason}.", f"Replace or remove it; see {SETTING}.")


def _sign_rsa(key: RSAPrivateKey, digest: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import padding, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    return key.sign(digest, padding.PKCS1v15(), utils.Prehashed(SHA256()))


def _rsa_record(key: RSAPrivateKey) -> str:
    from cryptography.hazmat.primitives import serialization

    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _record(KeyType.rsa, public)


def _ed25519_record(key: Ed25519PrivateKey) -> str:
    return _record(KeyType.ed25519, key.public_key().public_bytes_raw())


def _record(kind: KeyType, public_key: bytes) -> str:
    return f"v=DKIM1; k={kind}; p={base64.b64encode(public_key).decode()}"


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise SettingsError(
            "DKIM needs the package cryptography, which is not installed.", "Run: pip install 'mailshot[dkim]'"
        ) from None
